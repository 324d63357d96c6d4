//! The greeting, admission and upkeep, one node at a time and two against each other.

use std::net::SocketAddr;
use std::time::Duration;

use super::*;
use crate::action::{Action, SeedFailure, Target};
use crate::conduct::Conduct;
use crate::config::{AddressPreset, Seed};
use crate::input::Lane;
use crate::restored::Restored;
use crate::sampling::Sampling;
use crate::testing::{Bench, identity, peer};
use crate::wire::{self, Accept, Hello, Message, Refuse, RetryAfter, VERSION, WireAddr};

/// Frames by link.
type Sent = Vec<(u64, Message)>;
/// Closes by link.
type Closed = Vec<(u64, Code)>;

struct Side {
    bench: Bench,
    neighbors: Neighbors,
    book: Book,
    conduct: Conduct,
    sampling: Sampling,
}

fn addr(a: u8, b: u8, c: u8, d: u8) -> SocketAddr {
    SocketAddr::from(([a, b, c, d], 4000))
}

fn side(n: u32, tweak: impl FnOnce(&mut crate::Config)) -> Side {
    let mut bench = Bench::new(n);
    tweak(&mut bench.config);
    let mut cx = bench.cx();
    let own = Own::new(
        &[addr(127, 0, 2, u8::try_from(n).expect("few"))],
        0,
        &mut cx,
    )
    .expect("signs");
    let restored = Restored::default();
    let book = Book::new(&restored, &mut cx);
    let conduct = Conduct::new(&restored, &mut cx);
    let neighbors = Neighbors::new(own, &[], &mut cx);
    let sampling = Sampling::new(&mut cx);
    bench.actions();
    Side {
        bench,
        neighbors,
        book,
        conduct,
        sampling,
    }
}

impl Side {
    fn connected(&mut self, link: u64, from: u32, addr: SocketAddr, dialed: Option<DialId>) {
        let rtt = Duration::from_millis(20);
        self.neighbors.on_connected(
            LinkId(link),
            peer(from),
            addr,
            None,
            dialed,
            rtt,
            &mut self.book,
            &self.conduct,
            &mut self.bench.cx(),
        );
    }

    fn tick(&mut self, by: Duration) {
        self.bench.advance(by);
        self.neighbors
            .on_timeout(self.sampling.view(), &mut self.book, &mut self.bench.cx());
        self.neighbors.check();
    }

    fn receive(&mut self, link: u64, message: &Message) -> Result<(), Code> {
        let (id, book, cx) = (LinkId(link), &mut self.book, &mut self.bench.cx());
        let conduct = &mut self.conduct;
        match message {
            Message::Hello(hello) => self.neighbors.on_hello(id, hello, book, conduct, cx),
            Message::Accept(accept) => self.neighbors.on_accept(id, accept, book, cx),
            Message::Refuse(refuse) => self.neighbors.on_refuse(id, *refuse, book, cx),
            Message::NeighborRequest => {
                self.neighbors.on_neighbor_request(id, book, cx);
                Ok(())
            }
            Message::NeighborReply(code) => self.neighbors.on_neighbor_reply(id, *code, book, cx),
            Message::Ping(nonce) => {
                self.neighbors.on_ping(id, *nonce, cx);
                Ok(())
            }
            Message::Pong(nonce) => {
                self.neighbors.on_pong(id, *nonce, cx);
                Ok(())
            }
            other => panic!("no business of links: {other:?}"),
        }
    }

    /// What was sent and what was closed since the last call.
    fn out(&mut self) -> (Sent, Closed) {
        self.neighbors.check();
        let (mut sent, mut closed) = (Vec::new(), Vec::new());
        for action in self.bench.actions() {
            match action {
                Action::Send { link, lane, bytes } => {
                    assert_eq!(lane, Lane::Control);
                    sent.push((link.0, wire::decode(&bytes).expect("own frames decode")));
                }
                Action::Close { link, code } => {
                    closed.push((
                        link.0,
                        Code::from_u16(u16::try_from(code).expect("16 bits")),
                    ));
                }
                _ => {}
            }
        }
        (sent, closed)
    }

    fn dials(&mut self) -> Vec<(DialId, PeerId)> {
        let dials = self
            .bench
            .actions()
            .into_iter()
            .filter_map(|action| match action {
                Action::Dial { dial, peer, .. } => Some((dial, peer)),
                _ => None,
            });
        dials.collect()
    }

    fn neighbors_now(&self) -> Vec<u64> {
        self.neighbors
            .links()
            .neighbors()
            .map(|(id, _)| id.0)
            .collect()
    }
}

fn hello(from: u32, purpose: Purpose) -> Hello {
    let mut other = side(from, |_| {});
    Hello {
        min_version: VERSION,
        max_version: VERSION,
        features: 0,
        network: *other.bench.network.as_bytes(),
        purpose,
        record: other.neighbors.own().signed(),
        unix_ms: other.bench.cx().now.unix_ms,
        observed: WireAddr(addr(127, 0, 2, 1)),
        announce_key: [9; 16],
    }
}

fn accept(from: u32, purpose: Purpose, ahead_ms: u64, observed: SocketAddr) -> Message {
    let hello = hello(from, purpose);
    Message::Accept(Box::new(Accept {
        version: VERSION,
        features: 0,
        purpose,
        record: hello.record,
        unix_ms: hello.unix_ms + ahead_ms,
        observed: WireAddr(observed),
        announce_key: [9; 16],
    }))
}

fn greet(side: &mut Side, link: u64, from: u32, addr: SocketAddr, purpose: Purpose) {
    side.connected(link, from, addr, None);
    side.receive(link, &Message::Hello(Box::new(hello(from, purpose))))
        .expect("a good hello");
}

#[test]
fn a_good_hello_is_accepted_and_opens_the_link() {
    let mut me = side(1, |_| {});
    greet(&mut me, 1, 2, addr(127, 0, 2, 2), Purpose::Neighbor);
    let (sent, closed) = me.out();
    assert!(
        matches!(&sent[..], [(1, Message::Accept(accept))] if accept.purpose == Purpose::Neighbor),
        "{sent:?}"
    );
    assert!(closed.is_empty());
    assert_eq!(me.neighbors_now(), [1]);
    let changes = me.neighbors.take_changes();
    assert!(
        matches!(
            changes[..],
            [Change::Opened { dial: None, .. }, Change::NeighborUp { .. }]
        ),
        "{changes:?}"
    );
    let link = me.neighbors.links().get(LinkId(1)).expect("there");
    assert_eq!(link.announce_key, [9; 16]);
    assert_eq!(
        me.receive(1, &Message::Hello(Box::new(hello(2, Purpose::Visit)))),
        Err(Code::Protocol),
        "no second hello"
    );
}

#[test]
fn a_refused_peer_that_comes_back_too_early_is_not_listened_to() {
    let mut me = side(1, |_| {});
    let mut bad = hello(2, Purpose::Visit);
    bad.record.signature[5] ^= 1; // to come back in 60 s
    me.connected(1, 2, addr(127, 0, 2, 2), None);
    me.receive(1, &Message::Hello(Box::new(bad)))
        .expect("refused, not a fault");
    assert_eq!(me.out().1, [(1, Code::BadRecord)]);
    me.tick(Duration::from_secs(59));
    me.connected(2, 2, addr(127, 0, 2, 2), None);
    me.connected(3, 3, addr(127, 0, 2, 3), None);
    assert_eq!(me.out().1, [(2, Code::Busy)], "others pay nothing for it");
    assert_eq!(me.bench.stats.neighbors.refused_early, 1);
    me.tick(Duration::from_secs(1));
    me.connected(4, 2, addr(127, 0, 2, 2), None);
    assert!(!me.out().1.iter().any(|(link, _)| *link == 4));
}

#[test]
fn bad_hellos_are_refused_with_their_code() {
    let good = hello(2, Purpose::Visit);
    let mut other_network = good.clone();
    other_network.network[0] ^= 1;
    let mut other_version = good.clone();
    other_version.min_version = VERSION + 1;
    other_version.max_version = VERSION + 1;
    let mut of_another = good.clone();
    of_another.record = hello(3, Purpose::Visit).record;
    let mut forged = good.clone();
    forged.record.signature[5] ^= 1;
    for (bad, code) in [
        (other_network, Code::WrongNetwork),
        (other_version, Code::Version),
        (of_another, Code::BadRecord),
        (forged, Code::BadRecord),
    ] {
        let mut me = side(1, |_| {});
        me.connected(1, 2, addr(127, 0, 2, 2), None);
        me.receive(1, &Message::Hello(Box::new(bad)))
            .expect("refused, not a fault");
        let (sent, closed) = me.out();
        assert!(
            matches!(sent[..], [(1, Message::Refuse(Refuse { code: sent, .. }))] if sent == code.to_u16()),
            "{sent:?}"
        );
        assert_eq!(closed, [(1, code)]);
        assert!(me.neighbors.take_changes().is_empty(), "nothing came of it");
    }
}

#[test]
fn our_own_key_a_banned_peer_and_a_leaving_node_end_at_once() {
    let mut me = side(1, |_| {});
    me.connected(1, 1, addr(127, 0, 2, 9), None);
    assert_eq!(me.out().1, [(1, Code::Myself)]);
    assert!(
        me.neighbors.take_clone_seen(),
        "no dial of ours: another node runs with our key"
    );
    assert!(!me.neighbors.take_clone_seen(), "told once");
    me.conduct.ban(peer(2), None, &mut me.bench.cx());
    me.connected(2, 2, addr(127, 0, 2, 2), None);
    assert_eq!(me.out().1, [(2, Code::Banned)]);
    me.neighbors.leave(&mut me.book, &mut me.bench.cx());
    me.connected(3, 3, addr(127, 0, 2, 3), None);
    assert_eq!(me.out().1, [(3, Code::Leaving)]);
}

#[test]
fn a_greeting_that_never_ends_is_closed() {
    let mut me = side(1, |_| {});
    me.connected(1, 2, addr(127, 0, 2, 2), None);
    me.tick(Duration::from_secs(4));
    assert!(me.out().1.is_empty());
    assert!(
        me.neighbors
            .next_timeout()
            .is_some_and(|at| at <= me.bench.now.mono + Duration::from_secs(1))
    );
    me.tick(Duration::from_secs(1));
    assert_eq!(me.out().1, [(1, Code::Timeout)]);
    assert_eq!(me.bench.stats.neighbors.greeting_timeouts, 1);
}

#[test]
fn an_accept_proves_the_address_and_one_without_a_dial_is_a_fault() {
    let mut me = side(1, |_| {});
    let target = Target::Addr(addr(127, 0, 2, 2));
    let dial = me
        .book
        .try_dial(peer(2), target, DialPurpose::Neighbor, &mut me.bench.cx())
        .expect("in budget");
    me.out();
    me.connected(1, 2, addr(127, 0, 2, 2), Some(dial));
    let (sent, _) = me.out();
    assert!(
        matches!(&sent[..], [(1, Message::Hello(hello))] if hello.purpose == Purpose::Neighbor)
    );
    assert!(
        !me.book.is_proven(&peer(2)),
        "a finished handshake alone proves nothing"
    );
    me.receive(1, &accept(2, Purpose::Neighbor, 0, addr(127, 0, 2, 1)))
        .expect("asked for");
    assert!(me.book.is_proven(&peer(2)));
    assert_eq!(me.neighbors_now(), [1]);
    assert_eq!(
        me.receive(1, &accept(2, Purpose::Visit, 0, addr(127, 0, 2, 1))),
        Err(Code::Protocol)
    );
    me.connected(2, 3, addr(127, 0, 2, 3), None);
    assert_eq!(
        me.receive(2, &accept(3, Purpose::Visit, 0, addr(127, 0, 2, 1))),
        Err(Code::Protocol)
    );
}

#[test]
fn a_refusal_is_reported_and_leaves_nothing_behind() {
    let mut me = side(1, |_| {});
    let target = Target::Addr(addr(127, 0, 2, 2));
    let dial = me
        .book
        .try_dial(peer(2), target, DialPurpose::Exchange, &mut me.bench.cx())
        .expect("in budget");
    me.connected(1, 2, addr(127, 0, 2, 2), Some(dial));
    me.out();
    let refuse = Message::Refuse(Refuse {
        code: Code::Full.to_u16(),
        retry_after: RetryAfter::from_secs(60),
    });
    me.receive(1, &refuse).expect("asked for");
    let changes = me.neighbors.take_changes();
    assert!(
        matches!(
            changes[..],
            [Change::DialFailed {
                reason: Err(Code::Full),
                ..
            }]
        ),
        "{changes:?}"
    );
    assert!(!me.book.is_proven(&peer(2)));
    assert_eq!(me.bench.stats.neighbors.dials_refused, 1);
}

/// Has the dial refused with this code and these seconds; returns what was told of it as a configured peer: the wait.
fn refused(me: &mut Side, link: u64, dial: DialId, code: Code, seconds: u16) -> Vec<u64> {
    me.connected(link, 2, addr(127, 0, 2, 2), Some(dial));
    let refuse = Message::Refuse(Refuse {
        code: code.to_u16(),
        retry_after: RetryAfter::from_secs(seconds),
    });
    me.receive(link, &refuse).expect("asked for");
    let told = me
        .bench
        .events()
        .into_iter()
        .filter_map(|event| match event {
            Event::SeedFailed {
                reason,
                retry_in_ms,
                ..
            } => {
                assert_eq!(reason, SeedFailure::Refused(code.to_u16()));
                Some(retry_in_ms)
            }
            _ => None,
        });
    told.collect()
}

/// Seconds until the next dial, at most 5,000.
fn until_next_dial(me: &mut Side) -> (u64, DialId) {
    for waited in 0..5000 {
        if let Some((dial, _)) = me.dials().pop() {
            return (waited, dial);
        }
        me.tick(Duration::from_secs(1));
    }
    panic!("never dialled again")
}

#[test]
fn a_seed_that_refuses_is_dialled_again_when_it_said_and_at_most_an_hour_later() {
    let seed = || Seed {
        peer: peer(2),
        target: Target::Addr(addr(127, 0, 2, 2)),
    };
    for persistent in [false, true] {
        let mut me = side(1, |config| {
            if persistent {
                config.persistent = vec![seed()];
            } else {
                config.seeds = vec![seed()];
            }
        });
        me.tick(Duration::ZERO);
        for (link, (asked, waits)) in [
            (600, 600),
            (u16::MAX, 3600), // clamped
            (3600, 3600),
        ]
        .into_iter()
        .enumerate()
        {
            let (_, dial) = until_next_dial(&mut me);
            let told = refused(&mut me, link as u64, dial, Code::WrongNetwork, asked);
            assert_eq!(told, [waits * 1000], "the true wait is told");
            let (waited, dial) = until_next_dial(&mut me);
            assert_eq!(waited, waits);
            // No shorter than our own back-off, which has grown by now.
            let told = refused(&mut me, 100 + link as u64, dial, Code::WrongNetwork, 0);
            assert!(matches!(told[..], [2_000..=60_000]), "{told:?}");
        }
    }
}

#[test]
fn a_peer_that_is_seed_and_persistent_rests_as_both_though_the_node_is_alone() {
    let both = || Seed {
        peer: peer(2),
        target: Target::Addr(addr(127, 0, 2, 2)),
    };
    let mut me = side(1, |config| {
        config.seeds = vec![both()];
        config.persistent = vec![both()];
    });
    me.tick(Duration::ZERO);
    let (_, dial) = until_next_dial(&mut me);
    refused(&mut me, 1, dial, Code::BadRecord, 900);
    assert_eq!(until_next_dial(&mut me).0, 900);
}

#[test]
fn a_peer_that_refuses_rests_for_every_other_kind_of_dial_and_its_neighbors_at_the_address_do_not()
{
    let mut me = side(1, |_| {});
    let at = addr(127, 0, 2, 2);
    let mut link = 0;
    for (asked, rests) in [(0, 30), (3, 30), (600, 600), (u16::MAX, 3600)] {
        // (`Leaving` counts as a dead address, `Full` as a peer that is there.)
        for code in [Code::Full, Code::Leaving] {
            let dial = |who: u32, me: &mut Side| {
                me.book.try_dial(
                    peer(who),
                    Target::Addr(at),
                    DialPurpose::Exchange,
                    &mut me.bench.cx(),
                )
            };
            link += 1;
            let first = dial(2, &mut me).expect("at rest no more");
            refused(&mut me, link, first, code, asked);
            if code == Code::Full {
                let other = dial(3, &mut me).expect("no part in it");
                me.book.dial_ended(other);
            }
            let Err(crate::peers::DialRefused::Resting(until)) = dial(2, &mut me) else {
                panic!("rests");
            };
            let rest = until - me.bench.now.mono;
            assert!(rest >= Duration::from_secs(rests), "{code:?}: {rest:?}");
            assert!(rest <= Duration::from_secs(3600), "{code:?}: {rest:?}");
            // Far enough for our own back-off to have begun anew.
            me.bench.advance(Duration::from_secs(3 * 3600));
        }
    }
}

/// Two nodes dial each other at the same moment; frames cross in every order that one bit per frame can choose.
#[test]
fn crossing_dials_leave_exactly_one_neighbor_link_at_both_ends() {
    for order in 0..64_u32 {
        let (mut a, mut b) = (side(1, |_| {}), side(2, |_| {}));
        let (at_a, at_b) = (addr(127, 0, 2, 1), addr(127, 0, 2, 2));
        let a_dial = a
            .book
            .try_dial(
                peer(2),
                Target::Addr(at_b),
                DialPurpose::Neighbor,
                &mut a.bench.cx(),
            )
            .expect("in budget");
        let b_dial = b
            .book
            .try_dial(
                peer(1),
                Target::Addr(at_a),
                DialPurpose::Neighbor,
                &mut b.bench.cx(),
            )
            .expect("in budget");
        a.out();
        b.out();
        // Connection 1 was dialled by a, connection 2 by b; both ends use the same numbers here.
        a.connected(1, 2, at_b, Some(a_dial));
        b.connected(2, 1, at_a, Some(b_dial));
        b.connected(1, 1, at_a, None);
        a.connected(2, 2, at_b, None);
        let (mut to_b, mut to_a) = (a.out().0, b.out().0);
        for step in 0..32 {
            let a_first = order >> (step % 6) & 1 == 0;
            if !to_b.is_empty() && (a_first || to_a.is_empty()) {
                let (link, message) = to_b.remove(0);
                b.receive(link, &message).expect("no fault");
            } else if !to_a.is_empty() {
                let (link, message) = to_a.remove(0);
                a.receive(link, &message).expect("no fault");
            }
            to_b.extend(a.out().0);
            to_a.extend(b.out().0);
        }
        assert_eq!(a.neighbors_now().len(), 1, "order {order}");
        assert_eq!(
            a.neighbors_now(),
            b.neighbors_now(),
            "order {order}: both keep the same one"
        );
        assert!(
            a.book.is_proven(&peer(2)) && b.book.is_proven(&peer(1)),
            "both proved each other's address"
        );
    }
}

#[test]
fn a_second_connection_of_a_live_peer_is_refused_and_a_dead_one_makes_room() {
    let mut me = side(1, |_| {});
    greet(&mut me, 1, 2, addr(127, 0, 2, 2), Purpose::Neighbor);
    me.out();
    greet(&mut me, 2, 2, addr(127, 0, 2, 2), Purpose::Neighbor);
    let (sent, closed) = me.out();
    assert_eq!(closed, [(2, Code::Duplicate)]);
    assert!(
        !sent
            .iter()
            .any(|(_, message)| matches!(message, Message::Ping(_))),
        "the first was heard just now"
    );
    assert_eq!(me.neighbors_now(), [1]);
    // Ten silent seconds later the peer comes again: the old connection is asked, does not answer, and goes.
    me.tick(Duration::from_secs(10));
    me.out();
    greet(&mut me, 3, 2, addr(127, 0, 2, 2), Purpose::Neighbor);
    assert_eq!(me.out().1, [(3, Code::Duplicate)]);
    me.tick(Duration::from_secs(2));
    assert_eq!(me.out().1, [(1, Code::Timeout)]);
    me.neighbors.on_disconnected(
        LinkId(1),
        &Lost::ClosedByUs,
        &mut me.book,
        &mut me.bench.cx(),
    );
    me.neighbors.on_disconnected(
        LinkId(3),
        &Lost::ClosedByUs,
        &mut me.book,
        &mut me.bench.cx(),
    );
    greet(&mut me, 4, 2, addr(127, 0, 2, 2), Purpose::Neighbor);
    assert_eq!(me.neighbors_now(), [4]);
}

#[test]
fn connections_are_capped_by_address_and_group_and_in_total() {
    let mut me = side(1, |config| config.addresses = AddressPreset::Wan);
    let caps = me.book.caps();
    let mut link = 0;
    let mut come = |me: &mut Side, addr: SocketAddr| {
        link += 1;
        me.connected(link, 100 + u32::try_from(link).expect("few"), addr, None);
        me.out().1.is_empty()
    };
    for _ in 0..caps.per_addr {
        assert!(come(&mut me, addr(9, 1, 1, 1)));
    }
    assert!(!come(&mut me, addr(9, 1, 1, 1)), "the address is full");
    let mut let_in = caps.per_addr;
    for host in 2..=u8::try_from(caps.per_group + 1).expect("few") {
        let_in += usize::from(come(&mut me, addr(9, 1, 1, host)));
    }
    assert_eq!(let_in, caps.per_group, "the group is full");
    assert!(come(&mut me, addr(9, 2, 1, 1)), "another group gets in");

    let mut small = side(1, |config| config.neighbors.max_links = 20);
    for n in 0..20 {
        small.connected(
            n,
            200 + u32::try_from(n).expect("few"),
            addr(127, 0, 3, 1),
            None,
        );
    }
    assert!(small.out().1.is_empty());
    small.connected(20, 300, addr(127, 0, 3, 1), None);
    assert_eq!(small.out().1, [(20, Code::Full)]);
}

#[test]
fn a_full_inbound_pool_gives_up_one_of_the_largest_group_and_never_an_outbound_neighbor() {
    let mut me = side(1, |config| {
        config.addresses = AddressPreset::Wan;
        config.neighbors.inbound = 40;
    });
    let target = Target::Addr(addr(9, 200, 1, 1));
    let dial = me
        .book
        .try_dial(peer(2), target, DialPurpose::Neighbor, &mut me.bench.cx())
        .expect("in budget");
    me.connected(1, 2, addr(9, 200, 1, 1), Some(dial));
    me.receive(1, &accept(2, Purpose::Neighbor, 0, addr(9, 9, 9, 9)))
        .expect("asked for");
    // One /16 fills the pool from many /24s, next to a few others.
    for n in 0..40_u8 {
        let from = if n < 36 {
            addr(9, 1, n, 1)
        } else {
            addr(9, 2 + n, 1, 1)
        };
        greet(
            &mut me,
            10 + u64::from(n),
            10 + u32::from(n),
            from,
            Purpose::Neighbor,
        );
        me.bench.advance(Duration::from_millis(10));
    }
    assert_eq!(me.neighbors_now().len(), 41);
    me.out();
    greet(&mut me, 100, 100, addr(9, 1, 99, 1), Purpose::Neighbor);
    assert_eq!(
        me.bench.stats.neighbors.evicted, 0,
        "one more of the crowd wins nothing"
    );
    let granted = me.neighbors.links().get(LinkId(100)).map(|link| link.kind);
    assert_eq!(granted, Some(Purpose::Visit));
    greet(&mut me, 101, 101, addr(9, 100, 1, 1), Purpose::Neighbor);
    assert_eq!(me.bench.stats.neighbors.evicted, 1);
    assert!(me.neighbors_now().contains(&101), "a new group gets in");
    assert!(
        me.neighbors_now().contains(&1),
        "the outbound neighbor stays"
    );
    let evicted: Vec<u64> = me
        .out()
        .1
        .into_iter()
        .filter(|(_, code)| *code == Code::Evicted)
        .map(|(id, _)| id)
        .collect();
    assert!(
        matches!(evicted[..], [id] if (10..46).contains(&id)),
        "one of the crowd went: {evicted:?}"
    );
}

#[test]
fn idle_visits_are_closed_by_their_dialler_first() {
    let mut me = side(1, |_| {});
    greet(&mut me, 1, 2, addr(127, 0, 2, 2), Purpose::Visit);
    let dial = me
        .book
        .try_dial(
            peer(3),
            Target::Addr(addr(127, 0, 2, 3)),
            DialPurpose::Exchange,
            &mut me.bench.cx(),
        )
        .expect("in budget");
    me.connected(2, 3, addr(127, 0, 2, 3), Some(dial));
    me.receive(2, &accept(3, Purpose::Visit, 0, addr(127, 0, 2, 1)))
        .expect("asked for");
    me.out();
    me.tick(Duration::from_secs(3));
    assert_eq!(me.out().1, [(2, Code::Idle)], "ours");
    me.neighbors.touched(LinkId(1), me.bench.now.mono);
    me.tick(Duration::from_secs(6));
    assert!(me.out().1.is_empty(), "theirs is for them to close");
    me.tick(Duration::from_secs(3));
    assert_eq!(me.out().1, [(1, Code::Idle)], "unless they do not");
}

#[test]
fn a_seed_is_dialled_at_once_and_for_ever_and_each_failure_is_told() {
    let seed = Seed {
        peer: peer(2),
        target: Target::Addr(addr(127, 0, 2, 2)),
    };
    let mut me = side(1, |config| config.seeds = vec![seed]);
    for attempt in 0..30 {
        me.tick(Duration::ZERO);
        let mut waited = Duration::ZERO;
        let dial = loop {
            if let Some((dial, who)) = me.dials().pop() {
                assert_eq!(who, peer(2));
                break dial;
            }
            assert!(attempt > 0, "the first dial comes at once");
            assert!(
                waited < Duration::from_secs(4000),
                "attempt {attempt} never came"
            );
            me.tick(Duration::from_secs(1));
            waited += Duration::from_secs(1);
        };
        me.neighbors.on_dial_failed(
            dial,
            DialError::Unreachable,
            &mut me.book,
            &mut me.bench.cx(),
        );
        let told = me.bench.events();
        assert!(
            matches!(&told[..], [Event::SeedFailed { reason: SeedFailure::Dial(DialError::Unreachable), retry_in_ms, .. }] if *retry_in_ms <= 60_000),
            "{told:?}"
        );
    }
}

#[test]
fn a_clock_far_off_five_groups_is_told_once_and_never_adjusted() {
    let mut me = side(1, |config| config.addresses = AddressPreset::Wan);
    let mut events = Vec::new();
    for n in 2..9_u8 {
        // The first three share a group: one voice.
        let at = if n < 5 {
            addr(9, 1, n, 1)
        } else {
            addr(9, n, 1, 1)
        };
        let who = u32::from(n);
        let dial = me
            .book
            .try_dial(
                peer(who),
                Target::Addr(at),
                DialPurpose::Seed,
                &mut me.bench.cx(),
            )
            .expect("in budget");
        me.connected(u64::from(n), who, at, Some(dial));
        me.receive(
            u64::from(n),
            &accept(who, Purpose::Visit, 40_000, addr(9, 9, 9, 9)),
        )
        .expect("asked for");
        let skew = me
            .bench
            .events()
            .into_iter()
            .find(|event| matches!(event, Event::ClockSkew { .. }));
        events.push(skew.is_some());
    }
    assert_eq!(
        events,
        [false, false, false, false, false, false, true],
        "with the fifth group, once"
    );
    assert_eq!(me.neighbors.clock_offset_ms(), Some(-40_000));
    assert_eq!(
        me.neighbors.observed(),
        Some(addr(9, 9, 9, 9)),
        "and three groups agree where we are"
    );
}

#[test]
fn a_ping_measures_and_an_unasked_pong_changes_nothing() {
    let mut me = side(1, |_| {});
    greet(&mut me, 1, 2, addr(127, 0, 2, 2), Purpose::Neighbor);
    me.tick(Duration::from_secs(10));
    me.out();
    greet(&mut me, 2, 2, addr(127, 0, 2, 2), Purpose::Neighbor);
    let (sent, _) = me.out();
    let Some(nonce) = sent.iter().find_map(|(_, message)| match message {
        Message::Ping(nonce) => Some(*nonce),
        _ => None,
    }) else {
        panic!("the older connection is asked when the peer comes again: {sent:?}");
    };
    let before = me.neighbors.links().get(LinkId(1)).map(|link| link.rtt);
    me.receive(1, &Message::Pong(nonce ^ 1)).expect("ignored");
    assert_eq!(
        me.neighbors.links().get(LinkId(1)).map(|link| link.rtt),
        before
    );
    me.bench.advance(Duration::from_millis(100));
    me.receive(1, &Message::Pong(nonce)).expect("asked for");
    assert!(me.neighbors.links().get(LinkId(1)).map(|link| link.rtt) > before);
    assert_eq!(
        me.receive(1, &Message::NeighborReply(None)),
        Err(Code::Protocol),
        "an answer nobody asked for"
    );
    assert_eq!(identity(2).id(), peer(2));
}

#[test]
fn an_answer_that_comes_late_is_no_fault_and_counts() {
    for refused in [None, Some(Code::Full.to_u16())] {
        let mut me = side(1, |config| config.neighbors.outbound = 1);
        let at = addr(127, 0, 2, 2);
        let marks = me.book.marks(peer(2).as_bytes(), at);
        me.sampling.plant_member(peer(2), at, &marks);
        let purpose = DialPurpose::Seed;
        let dial = me
            .book
            .try_dial(peer(2), Target::Addr(at), purpose, &mut me.bench.cx())
            .expect("in budget");
        me.connected(1, 2, at, Some(dial));
        me.receive(1, &accept(2, Purpose::Visit, 0, at))
            .expect("asked for");
        me.tick(Duration::ZERO);
        let asked = |me: &mut Side| {
            let (sent, _) = me.out();
            let requests = sent.iter();
            requests
                .filter(|(_, message)| matches!(message, Message::NeighborRequest))
                .count()
        };
        assert_eq!(asked(&mut me), 1);
        for _ in 0..7 {
            me.bench.advance(Duration::from_secs(1));
            me.neighbors.touched(LinkId(1), me.bench.now.mono);
            me.tick(Duration::ZERO);
            assert_eq!(asked(&mut me), 0, "not asked twice");
        }
        assert_eq!(me.receive(1, &Message::NeighborReply(refused)), Ok(()));
        assert_eq!(me.neighbors_now().len(), usize::from(refused.is_none()));
        assert_eq!(
            me.receive(1, &Message::NeighborReply(refused)),
            Err(Code::Protocol),
            "once"
        );
    }
}

#[test]
fn who_is_slow_to_answer_is_not_waited_for_and_finds_the_outbound_pool_full() {
    let mut me = side(1, |config| config.neighbors.outbound = 1);
    for n in 2..8 {
        let at = addr(127, 0, 2, u8::try_from(n).expect("few"));
        let marks = me.book.marks(peer(n).as_bytes(), at);
        me.sampling.plant_member(peer(n), at, &marks);
    }
    me.tick(Duration::ZERO);
    let mut dials = me.dials();
    assert_eq!(dials.len(), 1);
    me.tick(Duration::from_millis(900));
    assert_eq!(me.dials(), [], "it may still answer");
    for second in 1..10 {
        me.tick(Duration::from_millis(1_001));
        let more = me.dials();
        // Two that may be dead, and one that may not.
        assert_eq!(more.len(), usize::from(second < 3), "{second}");
        dials.extend(more);
    }
    for (link, (dial, peer_id)) in (1..).zip(&dials) {
        let n = (2..8).find(|n| peer(*n) == *peer_id).expect("a member");
        let at = addr(127, 0, 2, u8::try_from(n).expect("few"));
        me.connected(link, n, at, Some(*dial));
        me.receive(link, &accept(n, Purpose::Neighbor, 0, addr(127, 0, 2, 1)))
            .expect("asked for");
    }
    assert_eq!(me.neighbors_now(), [1]);
    assert_eq!(me.out().1, [(2, Code::Rotated), (3, Code::Rotated)]);
}

#[test]
fn who_was_chosen_while_young_is_exchanged_once_the_memory_is_settled() {
    let keeper = Seed {
        peer: peer(9),
        target: Target::Addr(addr(127, 0, 2, 9)),
    };
    // One to be kept whatever happens, and one drawn.
    let mut me = side(1, |config| {
        config.neighbors.outbound = 2;
        config.persistent = vec![keeper];
    });
    // Dials the one neighbor that is missing, and has it accept.
    let up = |me: &mut Side, link: u64| {
        me.tick(Duration::from_millis(1));
        let dials = me.dials();
        let [(dial, to)] = dials[..] else {
            panic!("one neighbor is missing: {dials:?}");
        };
        let n = (2..10).find(|n| peer(*n) == to).expect("a member");
        let at = addr(127, 0, 2, u8::try_from(n).expect("few"));
        me.connected(link, n, at, Some(dial));
        me.receive(link, &accept(n, Purpose::Neighbor, 0, addr(127, 0, 2, 1)))
            .expect("asked for");
        me.out();
    };
    up(&mut me, 1);
    for n in 2..5 {
        let at = addr(127, 0, 2, u8::try_from(n).expect("few"));
        let marks = me.book.marks(peer(n).as_bytes(), at);
        me.sampling.plant_member(peer(n), at, &marks);
    }
    me.tick(Duration::from_secs(1));
    up(&mut me, 2);
    assert_eq!(me.neighbors_now(), [1, 2]);
    me.tick(Duration::from_secs(3));
    assert_eq!(me.out().1, [], "nothing is better yet");
    let now = me.bench.now.mono;
    me.sampling.plant_settled(now);
    let renewing = |me: &Side| {
        let view = me.sampling.view();
        me.neighbors.is_renewing(view, &me.bench.config)
    };
    assert!(renewing(&me));
    me.tick(Duration::from_secs(3));
    assert_eq!(me.out().1, [(2, Code::Rotated)]);
    me.neighbors.on_disconnected(
        LinkId(2),
        &Lost::ClosedByUs,
        &mut me.book,
        &mut me.bench.cx(),
    );
    up(&mut me, 3);
    assert!(!renewing(&me));
    me.tick(Duration::from_secs(3));
    assert_eq!(me.out().1, [], "it was drawn from the settled memory");
}
