//! One node, its neighbors played by the test.

use std::time::Duration;

use bytes::Bytes;
use crypto::{MessageId, Signed};

use crate::action::Action;
use crate::broadcast::Broadcast;
use crate::broadcast::copies::Copied;
use crate::input::{Lane, LinkId};
use crate::messages::{Accepted, Messages};
use crate::neighbors::{Change, Code, Link, Links};
use crate::restored::Restored;
use crate::rules::Rules;
use crate::testing::{Bench, identity, neighbor, peer};
use crate::wire::{
    self, Announce, Bounded, Branch, Gossip, Graft, MAX_ANNOUNCE, Message, MessageHeader, Prune,
    ShortId, body_of, short_id,
};

const MS: Duration = Duration::from_millis(1);
/// All that is announced has gone out after this.
const LATE: Duration = Duration::from_millis(200);

struct Fixture {
    bench: Bench,
    links: Links,
    part: Broadcast,
}

fn id(n: u32) -> MessageId {
    let mut id = [0; 32];
    id[..4].copy_from_slice(&n.to_le_bytes());
    MessageId::from_bytes(id)
}

fn key_of(link: u64) -> [u8; 16] {
    u128::from(link).to_le_bytes()
}

fn frame() -> Bytes {
    Bytes::from_static(&[0; 300])
}

/// Any frame is at hand.
fn any(_: &MessageId) -> Option<Bytes> {
    Some(frame())
}

impl Fixture {
    /// With neighbors 1 to `count`; the first `dialled` of them dialled by us.
    fn new(count: u64, dialled: u64) -> Self {
        let mut it = Self {
            bench: Bench::new(0),
            links: Links::default(),
            part: Broadcast::new(),
        };
        for n in 1..=count {
            it.up(n, n <= dialled);
        }
        it
    }

    fn up(&mut self, n: u64, outbound: bool) {
        let row = Link {
            outbound,
            rtt: MS * u32::try_from(n).expect("few"),
            announce_key: key_of(n),
            ..neighbor(peer(u32::try_from(n).expect("few")), self.bench.now.mono)
        };
        let change = Change::NeighborUp {
            link: LinkId(n),
            peer: row.peer,
        };
        self.links.insert(LinkId(n), row);
        self.bench.out.open(LinkId(n));
        let mut cx = self.bench.cx();
        self.part.on_change(&change, &self.links, &mut cx);
    }

    fn down(&mut self, n: u64) {
        self.links.remove(LinkId(n));
        self.bench.out.forget(LinkId(n));
        let change = Change::NeighborDown {
            link: LinkId(n),
            peer: peer(u32::try_from(n).expect("few")),
            why: crate::neighbors::Down::TimedOut,
        };
        let mut cx = self.bench.cx();
        self.part.on_change(&change, &self.links, &mut cx);
    }

    fn hear(&mut self, link: u64, ids: &[ShortId]) {
        for ids in ids.chunks(MAX_ANNOUNCE) {
            let announce = Announce {
                ids: Bounded::truncated(ids.to_vec()),
            };
            let mut cx = self.bench.cx();
            self.part
                .on_announce(LinkId(link), &announce, &self.links, &mut cx);
        }
    }

    /// Our short form.
    fn short(&self, n: u32) -> ShortId {
        short_id(&self.bench.announce_key, &id(n))
    }

    fn copy(&mut self, link: u64, n: u32, author: u32, copied: Copied) {
        let author = peer(author).to_bytes();
        let mut cx = self.bench.cx();
        self.part.on_copy(
            LinkId(link),
            id(n),
            author,
            300,
            copied,
            &self.links,
            &mut cx,
        );
    }

    fn accept(&mut self, n: u32, author: u32, from: Option<u64>, repaired: bool) -> usize {
        let accepted = Accepted {
            id: id(n),
            author: peer(author),
            published_unix_ms: self.bench.now.unix_ms,
            frame: frame(),
            body_len: None,
            from: from.map(LinkId),
            repaired,
        };
        self.part.on_accepted(&accepted, &mut self.bench.cx())
    }

    /// A new message from a link, accepted.
    fn receive(&mut self, link: u64, n: u32, author: u32) {
        self.copy(link, n, author, Copied::First);
        self.accept(n, author, Some(link), false);
    }

    fn graft(&mut self, link: u64, branch: Option<Branch>, numbers: &[u32]) {
        let ids = numbers.iter().map(|n| short_id(&key_of(link), &id(*n)));
        let graft = Graft {
            branch,
            ids: Bounded::truncated(ids.collect()),
            once: true,
        };
        let mut cx = self.bench.cx();
        self.part.on_graft(LinkId(link), &graft, &any, &mut cx);
    }

    fn pass(&mut self, time: Duration) {
        self.bench.advance(time);
        let mut cx = self.bench.cx();
        self.part.on_timeout(&self.links, &mut cx);
    }

    /// Control frames sent and links that whole messages were sent to.
    fn sent(&mut self) -> (Vec<(u64, Message)>, Vec<u64>) {
        let (mut control, mut data) = (Vec::new(), Vec::new());
        for action in self.bench.actions() {
            let Action::Send { link, lane, bytes } = action else {
                continue;
            };
            if lane == Lane::Control {
                control.push((link.0, wire::decode(&bytes).expect("own frames decode")));
            } else {
                data.push(link.0);
            }
        }
        (control, data)
    }

    /// Ids asked for, with whom.
    fn asks(&mut self) -> Vec<(u64, ShortId)> {
        let mut asks = Vec::new();
        for (link, message) in self.sent().0 {
            if let Message::Graft(graft) = message {
                asks.extend(graft.ids.iter().map(|id| (link, *id)));
            }
        }
        asks
    }

    fn default_grafts(&mut self) -> Vec<u64> {
        let sent = self.sent().0.into_iter();
        sent.filter(|(_, message)| {
            matches!(message, Message::Graft(graft) if graft.branch == Some(Branch::Default))
        })
        .map(|(link, _)| link)
        .collect()
    }
}

fn shorts(range: std::ops::Range<u32>) -> Vec<ShortId> {
    let short = |n: u32| {
        let hash = blake3::hash(&n.to_le_bytes());
        hash.as_bytes()[..8].try_into().expect("8 bytes")
    };
    range.map(short).collect()
}

#[test]
fn three_neighbors_supply_by_default_and_most_of_them_are_dialled() {
    let mut it = Fixture::new(8, 0);
    assert_eq!(it.default_grafts(), [1, 2, 3], "whoever comes first");
    for n in 9..=12 {
        it.up(n, true);
    }
    let grafted = it.default_grafts();
    assert_eq!(
        grafted,
        [9, 10],
        "links we dialled take the place of others"
    );
    for n in [9, 10, 1, 2, 3] {
        it.down(n);
    }
    let supply = it.part.edges.values().filter(|edge| edge.in_default);
    assert_eq!(supply.count(), 3, "topped up");
    for n in [4, 5, 6, 7, 8, 11] {
        it.down(n);
        assert!(it.part.edges.values().any(|edge| edge.in_default));
    }
    it.down(12);
    assert!(it.part.edges.is_empty());
}

#[test]
fn bait_is_bounded_and_its_sender_distrusted() {
    let mut it = Fixture::new(4, 4);
    it.sent();
    it.hear(1, &shorts(0..100_000));
    assert!(it.part.missing.len() <= it.bench.config.broadcast.missing / 4);
    let honest = it.short(1);
    it.hear(2, &[honest]);
    assert!(it.part.missing.has(&honest), "bait leaves room for others");
    let mut asks = Vec::new();
    let mut asked_honest = None;
    for step in 0..2000 {
        it.pass(10 * MS);
        for (link, short) in it.asks() {
            if link == 1 {
                asks.push(step);
            } else {
                assert_eq!((link, short), (2, honest));
                asked_honest.get_or_insert(step);
            }
        }
        if asked_honest == Some(step) {
            it.receive(2, 1, 50);
        }
    }
    assert!(
        asked_honest.is_some_and(|step| step < 100),
        "{asked_honest:?}"
    );
    assert!(it.part.edges[&LinkId(1)].demoted(it.bench.now.mono, Rules::ALL));
    assert!(
        asks.len() <= 2000,
        "{} asks in 20 s for 100,000 ids",
        asks.len()
    );
    assert!(it.bench.stats.broadcast.missing_full >= 90_000);
}

#[test]
fn one_after_the_other_is_asked_then_two_at_a_time_then_nobody() {
    let mut it = Fixture::new(30, 30);
    it.sent();
    let wanted = it.short(1);
    for link in 1..=30 {
        it.hear(link, &[wanted]);
    }
    assert_eq!(
        it.bench.stats.broadcast.missing_full, 6,
        "24 announcers are remembered"
    );
    let mut steps: Vec<Vec<u64>> = Vec::new();
    for _ in 0..5000 {
        it.pass(5 * MS);
        let links: Vec<u64> = it.asks().into_iter().map(|(link, _)| link).collect();
        if !links.is_empty() {
            steps.push(links);
        }
    }
    assert_eq!(steps[..3], [vec![1], vec![2], vec![3, 4]]);
    let first_round: Vec<u64> = steps.iter().flatten().take(24).copied().collect();
    assert_eq!(first_round, (1..=24).collect::<Vec<_>>());
    assert_eq!(it.bench.stats.broadcast.abandoned, 1);
    assert_eq!(it.part.missing.len(), 0);
    assert_eq!(it.part.next_timeout(), None);
}

#[test]
fn an_announcer_that_broke_its_word_is_not_the_first_to_be_asked() {
    let mut it = Fixture::new(2, 2);
    it.sent();
    for n in 1..=2 {
        let wanted = it.short(n);
        it.hear(1, &[wanted]);
        it.pass(500 * MS);
        assert_eq!(it.asks(), [(1, wanted)]);
        it.pass(Duration::from_secs(1));
        it.hear(2, &[wanted]);
        it.receive(2, n, 50);
        it.sent();
    }
    let wanted = it.short(3);
    it.hear(1, &[wanted]);
    it.hear(2, &[wanted]);
    it.pass(500 * MS);
    assert_eq!(it.asks(), [(2, wanted)]);
}

#[test]
fn who_has_delivered_before_is_asked_before_who_only_announces() {
    let mut it = Fixture::new(3, 3);
    it.sent();
    it.receive(3, 1, 50);
    it.sent();
    let wanted = it.short(2);
    for link in 1..=3 {
        it.hear(link, &[wanted]);
    }
    it.pass(500 * MS);
    assert_eq!(it.asks(), [(3, wanted)]);
    it.pass(Duration::from_secs(1));
    assert_eq!(it.asks()[0], (1, wanted), "then in the order of time");
}

#[test]
fn a_second_copy_prunes_its_link_once_and_never_the_supplier() {
    let mut it = Fixture::new(3, 3);
    it.sent();
    it.receive(1, 1, 50);
    it.copy(2, 1, 50, Copied::Again);
    let author = peer(50).to_bytes();
    let prune = Prune {
        branch: Branch::Author(author),
    };
    assert_eq!(it.sent().0, [(2, Message::Prune(prune))]);
    it.receive(1, 2, 50);
    it.copy(2, 2, 50, Copied::Again);
    it.copy(1, 2, 50, Copied::Again);
    let control = it.sent().0;
    assert!(control.is_empty(), "{control:?}");
    it.bench.advance(Duration::from_secs(2));
    it.receive(1, 3, 50);
    it.copy(2, 3, 50, Copied::Again);
    it.bench.advance(MS);
    it.copy(2, 2, 50, Copied::Again);
    assert_eq!(
        it.sent().0.len(),
        1,
        "repeated to a peer that seems to have forgotten, at most once a second"
    );
}

#[test]
fn a_failed_supplier_is_replaced_by_who_answers() {
    let mut it = Fixture::new(4, 4);
    it.receive(1, 1, 50);
    it.sent();
    let wanted = it.short(2);
    it.hear(3, &[wanted]);
    it.pass(100 * MS);
    assert_eq!(it.asks(), [(3, wanted)]);
    it.receive(3, 2, 50);
    assert_eq!(it.bench.stats.broadcast.supplier_changes, 1);
    it.receive(3, 3, 50);
    it.sent();
    it.copy(1, 3, 50, Copied::Again);
    let control = it.sent().0;
    assert!(
        matches!(control[..], [(1, Message::Prune(_))]),
        "{control:?}"
    );
}

#[test]
fn when_a_supplier_goes_its_authors_get_another_at_once() {
    let mut it = Fixture::new(4, 4);
    for author in 100..300 {
        it.receive(1, author, author);
        let short = it.short(author);
        it.hear(4, &[short]);
    }
    it.sent();
    it.down(1);
    let control = it.sent().0;
    let named = |branch: &Option<Branch>| matches!(branch, Some(Branch::Author(_)));
    let grafts: Vec<u64> = control
        .iter()
        .filter(|(_, message)| matches!(message, Message::Graft(graft) if named(&graft.branch)))
        .map(|(link, _)| *link)
        .collect();
    assert_eq!(grafts, [4; 64], "the 64 most recent, from who had them");
}

#[test]
fn a_faster_link_takes_over_after_three_times_and_not_again_soon() {
    let mut it = Fixture::new(3, 3);
    let mut n = 1;
    it.receive(1, n, 50);
    let mut race = |it: &mut Fixture, from: u64, rival: u64| {
        n += 1;
        let short = it.short(n);
        it.hear(rival, &[short]);
        it.bench.advance(600 * MS);
        it.receive(from, n, 50);
        it.bench.stats.broadcast.supplier_races
    };
    assert_eq!(race(&mut it, 1, 2), 0);
    assert_eq!(race(&mut it, 1, 2), 0);
    assert_eq!(race(&mut it, 1, 3), 0, "another one: not in a row");
    assert_eq!(race(&mut it, 1, 2), 0);
    assert_eq!(race(&mut it, 1, 2), 0);
    it.sent();
    assert_eq!(race(&mut it, 1, 2), 1);
    let control = it.sent().0;
    assert!(control.iter().any(|(link, message)| *link == 2
        && matches!(message, Message::Graft(graft) if graft.branch == Some(Branch::Author(peer(50).to_bytes())))));
    for _ in 0..10 {
        assert_eq!(race(&mut it, 2, 3), 1, "at most once in 10 s");
    }
}

#[test]
fn own_messages_go_to_all_but_those_that_pruned_them() {
    let mut it = Fixture::new(5, 2);
    it.sent();
    assert_eq!(it.accept(1, 0, None, false), 5);
    assert_eq!(it.sent().1, [1, 2, 3, 4, 5]);
    let prune = Prune {
        branch: Branch::Author(peer(0).to_bytes()),
    };
    it.part.on_prune(LinkId(3), &prune, &mut it.bench.cx());
    assert_eq!(it.accept(2, 0, None, false), 4);
    it.pass(LATE);
    let (control, data) = it.sent();
    assert_eq!(data, [1, 2, 4, 5]);
    let news = Announce {
        ids: Bounded::truncated(vec![short_id(&key_of(3), &id(2))]),
    };
    assert_eq!(control, [(3, Message::Announce(news))]);
}

/// Everybody is told before long, and half of those that dialled us soon: so everybody is told soon by some that it dialled.
#[test]
fn half_of_those_that_dialled_us_are_told_soon() {
    let mut it = Fixture::new(9, 4);
    it.sent();
    it.receive(1, 1, 50);
    let told = |it: &mut Fixture| -> Vec<u64> {
        let (control, data) = it.sent();
        assert!(data.is_empty());
        control.iter().map(|(link, _)| *link).collect()
    };
    it.pass(49 * MS);
    assert!(told(&mut it).is_empty());
    it.pass(MS);
    let soon = told(&mut it);
    let dialled_us = |link: &u64| !it.part.edges[&LinkId(*link)].outbound;
    assert!(soon.iter().all(dialled_us), "{soon:?}");
    assert!((2..=3).contains(&soon.len()), "{soon:?}");
    it.pass(149 * MS);
    assert!(told(&mut it).is_empty());
    it.pass(MS);
    let late = told(&mut it);
    assert_eq!(soon.len() + late.len(), 8, "{soon:?} {late:?}");
    assert!(late.iter().all(|link| !soon.contains(link)));
}

#[test]
fn messages_of_others_go_to_who_asked_and_are_announced_to_the_rest() {
    let mut it = Fixture::new(5, 5);
    it.graft(1, Some(Branch::Default), &[]);
    it.graft(2, Some(Branch::Default), &[]);
    it.sent();
    it.receive(1, 1, 50);
    let short = it.short(1);
    it.hear(4, &[short]);
    it.pass(LATE);
    let (control, data) = it.sent();
    assert_eq!(data, [2], "not back to who brought it");
    let told: Vec<u64> = control.iter().map(|(link, _)| *link).collect();
    assert_eq!(told, [3, 5], "not to who announced it meanwhile");
    let repaired = it.accept(2, 51, None, true);
    it.pass(LATE);
    let (control, data) = it.sent();
    assert_eq!(
        (repaired, data.len(), control.len()),
        (0, 0, 5),
        "announced only"
    );
    it.bench.now.unix_ms -= 121_000;
    let old = Accepted {
        id: id(3),
        author: peer(51),
        published_unix_ms: it.bench.now.unix_ms,
        frame: frame(),
        body_len: None,
        from: None,
        repaired: true,
    };
    it.bench.now.unix_ms += 121_000;
    it.part.on_accepted(&old, &mut it.bench.cx());
    it.pass(LATE);
    assert!(it.sent().0.is_empty(), "old news is no news");
}

#[test]
fn what_is_asked_for_is_served_once_and_within_the_budget() {
    let mut it = Fixture::new(2, 2);
    for n in 0..10 {
        it.receive(1, n, 50);
    }
    it.pass(LATE);
    it.sent();
    it.graft(2, None, &[0, 1, 2, 99]);
    it.graft(2, None, &[0, 1, 2]);
    assert_eq!(it.sent().1, [2; 3]);
    let counters = &it.bench.stats.broadcast;
    assert_eq!((counters.requested, counters.served), (7, 3));
    assert_eq!(counters.not_served, 4);
    it.copy(1, 77, 50, Copied::First);
    it.graft(2, None, &[77]);
    assert!(it.sent().1.is_empty(), "not before it is accepted");
    it.bench.config.broadcast.serve_burst = 1000;
    it.up(3, true);
    it.sent();
    it.graft(3, None, &[0, 1, 2, 3, 4, 5]);
    assert_eq!(it.sent().1, [3; 3]);
    assert_eq!(it.bench.stats.broadcast.over_budget, 3);
}

#[test]
fn a_full_lane_owes_up_to_a_cap_then_announces() {
    let mut it = Fixture::new(2, 2);
    it.bench.config.broadcast.owed = 10;
    it.graft(2, Some(Branch::Default), &[]);
    it.bench.out.set_room(LinkId(2), Lane::Forwarded, 0);
    it.sent();
    for n in 0..15 {
        it.receive(1, n, 50);
    }
    let counters = &it.bench.stats.broadcast;
    assert_eq!((counters.owed, counters.owed_full), (10, 5));
    it.pass(LATE);
    let (control, data) = it.sent();
    assert!(data.is_empty());
    assert!(matches!(&control[..], [(2, Message::Announce(news))] if news.ids.len() == 5));
    let (three, four) = (it.short(3), it.short(4));
    it.hear(2, &[three, four]);
    let room = 5 * (frame().len() + crate::cx::FRAME_OVERHEAD);
    it.bench.out.set_room(LinkId(2), Lane::Forwarded, room);
    let mut cx = it.bench.cx();
    it.part.on_room(LinkId(2), Lane::Forwarded, &any, &mut cx);
    assert_eq!(it.sent().1.len(), 5);
    it.bench.out.set_room(LinkId(2), Lane::Forwarded, room);
    let mut cx = it.bench.cx();
    it.part.on_room(LinkId(2), Lane::Forwarded, &any, &mut cx);
    assert_eq!(it.sent().1.len(), 3);
    let counters = &it.bench.stats.broadcast;
    assert_eq!((counters.owed_sent, counters.owed_needless), (8, 2));
    assert!(it.part.edges[&LinkId(2)].owed_forwarded.is_empty());
}

#[test]
fn announcements_wait_while_the_control_lane_is_half_full() {
    let mut it = Fixture::new(2, 2);
    it.bench.config.broadcast.pending = 20;
    it.sent();
    it.bench.out.set_room(LinkId(2), Lane::Control, 1000);
    for n in 0..30 {
        it.receive(1, n, 50);
    }
    it.pass(Duration::from_secs(1));
    assert!(it.sent().0.is_empty());
    assert_eq!(it.bench.stats.broadcast.pending_full, 10);
    assert_eq!(
        it.part.next_timeout(),
        None,
        "it waits for room, not for time"
    );
    it.bench
        .out
        .set_room(LinkId(2), Lane::Control, Lane::Control.capacity());
    let mut cx = it.bench.cx();
    it.part.on_room(LinkId(2), Lane::Control, &any, &mut cx);
    let control = it.sent().0;
    assert!(matches!(&control[..], [(2, Message::Announce(news))] if news.ids.len() == 20));
}

#[test]
fn a_peer_that_takes_no_control_frame_is_stalled() {
    let mut it = Fixture::new(1, 1);
    it.sent();
    it.bench.out.set_room(LinkId(1), Lane::Control, 0);
    let wanted = it.short(1);
    it.hear(1, &[wanted]);
    it.pass(100 * MS);
    assert_eq!(it.bench.out.take_stalled(), [LinkId(1)]);
    assert_eq!(it.bench.stats.broadcast.control_full, 1);
}

#[test]
fn publishing_waits_for_the_many_and_never_for_the_stalled() {
    let mut it = Fixture::new(3, 3);
    for link in 1..=3 {
        it.bench.out.set_room(LinkId(link), Lane::Own, 0);
    }
    let high = u32::try_from(it.bench.config.broadcast.own_high_water).expect("small");
    for n in 0..high {
        assert!(it.part.ready_to_publish(&it.bench.cx()));
        it.accept(n, 0, None, false);
    }
    it.accept(high, 0, None, false);
    assert!(!it.part.ready_to_publish(&it.bench.cx()));
    for link in 1..=2 {
        let room = Lane::Own.capacity();
        it.bench.out.set_room(LinkId(link), Lane::Own, room);
        let mut cx = it.bench.cx();
        it.part.on_room(LinkId(link), Lane::Own, &any, &mut cx);
    }
    assert!(
        it.part.ready_to_publish(&it.bench.cx()),
        "one of three does not count"
    );
    let prune = Prune {
        branch: Branch::Author(peer(0).to_bytes()),
    };
    for link in 1..=2 {
        it.part.on_prune(LinkId(link), &prune, &mut it.bench.cx());
    }
    assert!(
        !it.part.ready_to_publish(&it.bench.cx()),
        "the only one that takes them"
    );
    it.bench.advance(Duration::from_secs(2));
    assert!(
        it.part.ready_to_publish(&it.bench.cx()),
        "unless it is stalled"
    );
}

#[test]
fn what_nobody_took_is_kept_within_bounds() {
    let mut it = Fixture::new(0, 0);
    it.bench.config.broadcast.unsent = 10;
    it.bench.config.broadcast.unsent_bytes = 8 * 300;
    for n in 0..15 {
        assert_eq!(it.accept(n, 0, None, false), 0);
        assert!(it.part.ready_to_publish(&it.bench.cx()));
    }
    assert_eq!(it.bench.stats.broadcast.unsent_dropped, 7);
    it.up(1, true);
    assert_eq!(it.sent().1, [1; 8]);
    it.up(2, true);
    assert_eq!(it.sent().1, [2; 8]);
    it.up(3, true);
    assert!(it.sent().1.is_empty(), "two have them");
    assert_eq!(it.part.unsent_bytes, 0);
}

#[test]
fn control_about_unknown_authors_and_from_strangers_leaves_nothing_behind() {
    let mut it = Fixture::new(1, 1);
    for n in 0..10_000_u32 {
        let mut author = [0; 32];
        author[..4].copy_from_slice(&n.to_le_bytes());
        let branch = Branch::Author(author);
        it.graft(1, Some(branch), &[]);
        it.part
            .on_prune(LinkId(1), &Prune { branch }, &mut it.bench.cx());
    }
    assert_eq!(it.part.authors.len(), 0);
    assert_eq!(it.bench.stats.broadcast.unknown_author, 20_000);
    it.graft(9, Some(Branch::Default), &[1]);
    it.hear(9, &shorts(0..10));
    it.copy(9, 1, 50, Copied::First);
    it.copy(9, 1, 50, Copied::Again);
    assert_eq!(it.bench.stats.broadcast.strays, 4);
    assert_eq!(it.part.missing.len(), 0);
}

#[test]
fn a_message_that_was_refused_is_not_asked_for_again() {
    let mut it = Fixture::new(3, 3);
    it.copy(1, 1, 50, Copied::Refused);
    it.sent();
    let short = it.short(1);
    it.hear(2, &[short]);
    it.hear(3, &[short]);
    it.pass(Duration::from_secs(5));
    assert!(it.asks().is_empty());
    it.graft(2, None, &[1]);
    assert!(it.sent().1.is_empty(), "nor served");
}

#[test]
fn more_neighbors_than_numbers_are_left_to_repair() {
    let mut it = Fixture::new(300, 0);
    assert_eq!(it.part.edges.len(), 256);
    assert_eq!(it.bench.stats.broadcast.beyond_slots, 44);
    it.receive(300, 1, 50);
    it.down(300);
    it.down(1);
    it.up(301, true);
    assert_eq!(it.part.edges.len(), 256);
}

/// A signed message of author number `n`.
fn gossip(bench: &Bench, n: u32, seq: u64) -> Gossip {
    let identity = identity(n);
    let entries = vec![Bytes::from_static(b"some text")];
    let (body_len, body_root) = body_of(&entries);
    let header = MessageHeader {
        author: identity.id().to_bytes(),
        seq,
        prev_seq: 0,
        published_unix_ms: bench.now.unix_ms,
        topic: "text".parse().expect("a topic"),
        count: 1,
        body_len,
        body_root,
    };
    let signed = Signed::sign(header, &identity, &bench.network).expect("an own key signs");
    Gossip {
        signed: signed.into_signed(),
        entries,
    }
}

#[test]
fn a_signed_message_arrives_and_a_bad_signature_is_a_fault() {
    let mut it = Fixture::new(3, 3);
    let bench = &mut it.bench;
    let restored = Restored::default();
    let mut messages = Messages::new(&restored, &mut bench.cx());
    let good = gossip(&it.bench, 50, 1);
    let bytes = wire::encode(&Message::Gossip(Box::new(good.clone())));
    let mut forged = good.clone();
    forged.signed.signature[0] ^= 1;
    it.sent();

    let mut take = |it: &mut Fixture, link: u64, gossip: &Gossip| {
        let (gossip, bytes) = (gossip.clone(), bytes.clone());
        let mut cx = it.bench.cx();
        it.part
            .on_gossip(LinkId(link), gossip, bytes, &it.links, &messages, &mut cx);
        let arrivals = it.part.take_arrivals();
        for arrival in arrivals.clone() {
            messages.on_arrival(arrival, &mut it.bench.cx());
        }
        arrivals.len()
    };
    assert_eq!(take(&mut it, 1, &forged), 0);
    assert_eq!(it.part.take_faults(), [(LinkId(1), Code::BadSignature)]);
    let actions = it.bench.actions();
    assert!(
        actions.is_empty(),
        "closing is up to whoever takes the fault: {actions:?}"
    );
    assert_eq!(
        take(&mut it, 2, &good),
        1,
        "the forged copy censors nothing"
    );
    assert_eq!(it.part.take_credits(), [(LinkId(2), 1)]);
    it.sent();
    assert_eq!(take(&mut it, 3, &good), 0);
    assert!(it.part.take_credits().is_empty());
    assert!(matches!(it.sent().0[..], [(3, Message::Prune(_))]));
    let mut old = good.clone();
    old.signed.value.published_unix_ms = 1;
    assert_eq!(take(&mut it, 2, &old), 0);
    let counters = &it.bench.stats.broadcast;
    assert_eq!((counters.refused, counters.bad_signatures), (1, 1));
    assert!(it.part.take_faults().is_empty(), "nobody's fault");
}
