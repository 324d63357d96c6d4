//! Forged records and messages, planted in a world whose nodes share the verdicts of their signature checks.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use bytes::Bytes;
use crypto::{Identity, PeerId, Signed};

use super::invariants::Violation;
use super::run::Run;
use super::scenario::Scenario;
use super::talk::{Said, Talk, record_of};
use super::world::{Actor, Player, Time, Who};
use crate::action::{Action, Target};
use crate::config::{AddressPreset, Config, Seed};
use crate::input::{Command, Input, Lane, LinkId, Now, Token};
use crate::overlay::Overlay;
use crate::restored::Restored;
use crate::wire::{self, Gossip, ListItem, Message, MessageHeader, PeerRecord, Purpose};

const HONEST: usize = 12;
/// Whose names are forged: one who has published, and whom all know.
const AUTHOR: usize = 4;

/// Somebody who tells everybody the same, right or wrong, and keeps the messages that he is told.
#[derive(Debug)]
struct Teller {
    talk: Talk,
    dials: Vec<(PeerId, SocketAddr)>,
    records: Vec<ListItem>,
    message: Option<Gossip>,
    told: Vec<Gossip>,
    /// Links to tell the message on, with the next frame that comes on them.
    greeted: Vec<LinkId>,
    out: Vec<Action>,
}

impl Actor for Teller {
    fn handle(&mut self, now: Now, input: Input) {
        if let Input::Frame { bytes, .. } = &input
            && let Ok(Message::Gossip(gossip)) = wire::decode(bytes)
        {
            self.told.push(*gossip);
        }
        // Not with the greeting: on a lane of its own it might come before that, and not be read.
        if let Input::Frame { link, .. } = &input
            && let Some(at) = self.greeted.iter().position(|greeted| greeted == link)
        {
            let link = self.greeted.swap_remove(at);
            self.out
                .extend(self.message.clone().map(|message| Action::Send {
                    link,
                    lane: Lane::Forwarded,
                    bytes: wire::encode(&Message::Gossip(Box::new(message))),
                }));
        }
        for (peer, addr) in std::mem::take(&mut self.dials) {
            self.talk.dial(peer, addr, Purpose::Neighbor);
        }
        match self.talk.handle(now, input) {
            Some(Said::Opened { link, .. }) => {
                self.greeted.push(link);
                if self.talk.is_ours(link) && !self.records.is_empty() {
                    self.talk.ask(link, 8, self.records.clone(), now);
                }
            }
            Some(Said::Asked { link, .. }) => self.talk.answer(link, self.records.clone(), now),
            _ => {}
        }
    }

    fn poll_action(&mut self) -> Option<Action> {
        self.talk.poll_action().or_else(|| self.out.pop())
    }

    fn next_timeout(&self) -> Option<Instant> {
        None
    }

    fn as_any(&mut self) -> &mut dyn std::any::Any {
        self
    }
}

/// A network of honest nodes that know each other, a teller that is their neighbor, and one message that all have.
struct Plot<'a> {
    run: Run<'a>,
    message: Gossip,
    record: Signed<PeerRecord>,
}

fn scenario() -> Scenario {
    Scenario {
        nodes: HONEST,
        duration_s: 1000.0,
        measure_every_s: 10.0,
        join_s: 1.0,
        ..Scenario::default()
    }
}

impl<'a> Plot<'a> {
    fn new(scenario: &'a Scenario) -> Self {
        let mut run = Run::new(scenario, 1, 1);
        run.plan();
        go(&mut run, 20.0);
        let spy = add_teller(&mut run, Vec::new(), None);
        go(&mut run, 5.0);
        run.world.tell(
            AUTHOR,
            Input::Command(Command::Publish {
                token: Token(1),
                topic: "t".parse().expect("a topic"),
                payloads: vec![Bytes::from_static(b"true")],
            }),
        );
        go(&mut run, 5.0);
        let message = teller(&mut run, spy).told.first().cloned();
        run.world.crash(spy);
        let author = run.world.host(AUTHOR).id();
        let record = node(&run, 5).rooms().book.record_of(&author);
        let record = record.expect("all know each other").signed().clone();
        let plot = Self {
            message: message.expect("a neighbor is told"),
            record,
            run,
        };
        assert_eq!(plot.deliveries(), [1; HONEST]);
        plot
    }

    fn deliveries(&self) -> Vec<usize> {
        let hosts = self.run.world.hosts().take(HONEST);
        hosts.map(|host| host.deliveries().len()).collect()
    }

    /// A newcomer that knows only this host.
    fn add_joiner(&mut self, knows: usize) -> usize {
        let who = Who {
            hostile: false,
            ..stranger(&self.run)
        };
        let seed = self.run.world.host(knows).who();
        let config = Config {
            addresses: AddressPreset::Local,
            external: vec![who.addr],
            seeds: vec![Seed {
                peer: seed.identity.id(),
                target: Target::Addr(seed.addr),
            }],
            ..Config::default()
        };
        let world = &mut self.run.world;
        let mut overlay = Overlay::new(
            who.identity.clone(),
            world.network(),
            config,
            [7; 32],
            world.now(),
            Restored::default(),
        )
        .expect("a sound configuration");
        overlay.share_verdicts(world.memo());
        let index = world.add(who);
        world.start(index, Player::Node(Box::new(overlay)));
        index
    }
}

/// Goes on for so long; nothing happened that must never happen: no honest node was held to be at fault, say.
fn go(run: &mut Run<'_>, seconds: f64) {
    let end = Time::from_seconds(run.world.time().seconds() + seconds);
    run.until(end, &mut |_| {}).expect("a sound scenario");
    run.measure();
    assert_eq!(run.checker.described(), Vec::<Violation>::new());
}

/// The next host that belongs to nobody yet.
fn stranger(run: &Run<'_>) -> Who {
    let n = u8::try_from(run.world.len()).expect("a small world");
    Who {
        identity: Identity::from_seed(&[n; 32]),
        addr: (Ipv4Addr::new(99, 0, 0, n), 4100).into(),
        hostile: true,
        undialable: false,
    }
}

/// Adds one who calls every honest node and tells it this.
fn add_teller(run: &mut Run<'_>, records: Vec<ListItem>, message: Option<Gossip>) -> usize {
    let who = stranger(run);
    let hosts = run.world.hosts().take(HONEST);
    let teller = Teller {
        talk: Talk::new(who.identity.clone(), run.world.network(), who.addr),
        dials: hosts.map(|host| (host.id(), host.who().addr)).collect(),
        records,
        message,
        told: Vec::new(),
        greeted: Vec::new(),
        out: Vec::new(),
    };
    let index = run.world.add(who);
    run.world.start(index, Player::Other(Box::new(teller)));
    run.world.tell(index, Input::Timeout);
    index
}

fn teller<'a>(run: &'a mut Run<'_>, index: usize) -> &'a mut Teller {
    let Some(Player::Other(actor)) = run.world.player_mut(index) else {
        panic!("host {index} is down");
    };
    actor.as_any().downcast_mut().expect("a teller")
}

fn node<'a>(run: &'a Run<'_>, index: usize) -> &'a Overlay {
    run.world.host(index).node().expect("a node of ours")
}

/// Those who ban a host.
fn banned_by(run: &Run<'_>, other: usize) -> Vec<usize> {
    let (peer, now) = (run.world.host(other).id(), run.world.now());
    let bans = |index: &usize| node(run, *index).rooms().conduct.is_banned(&peer, now);
    (0..HONEST).filter(bans).collect()
}

fn item(record: Signed<PeerRecord>) -> Vec<ListItem> {
    vec![ListItem { record, proven: 1 }]
}

fn flipped<T>(mut signed: Signed<T>) -> Signed<T> {
    signed.signature[40] ^= 1;
    signed
}

/// Records of a newer version in the author's name: with the signature of the true one; signed by somebody else; and with a true
/// signature of which one bit is wrong.
fn forged_records(plot: &Plot<'_>) -> Vec<Signed<PeerRecord>> {
    let mut moved = plot.record.clone();
    moved.value.version += 1;
    moved.value.ipv4 = Some((Ipv4Addr::new(99, 9, 9, 9), 9));
    let (network, now) = (plot.run.world.network(), plot.run.world.now());
    let elsewhere = SocketAddr::from((Ipv4Addr::new(99, 9, 9, 9), 9));
    let sign = |identity: &Identity| {
        let version = plot.record.value.version + 2;
        record_of(identity, &network, elsewhere, version, now.unix_ms)
    };
    let mut by_another = sign(&Identity::from_seed(&[200; 32]));
    by_another.value.id = plot.record.value.id;
    let author = &plot.run.world.host(AUTHOR).who().identity;
    vec![moved, by_another, flipped(sign(author))]
}

#[test]
fn forged_records_are_refused_by_all() {
    let scenario = scenario();
    let mut plot = Plot::new(&scenario);
    let true_version = plot.record.value.version;
    let others: Vec<usize> = (0..HONEST).filter(|index| *index != AUTHOR).collect();
    for record in forged_records(&plot) {
        let forger = add_teller(&mut plot.run, item(record.clone()), None);
        go(&mut plot.run, 10.0);
        // The author itself sees at most that it is no record of its own making.
        let banned: BTreeSet<usize> = banned_by(&plot.run, forger).into_iter().collect();
        assert!(
            others.iter().all(|index| banned.contains(index)),
            "{banned:?}"
        );
        for index in &others {
            let node = node(&plot.run, *index);
            let book = node.rooms().book;
            assert_eq!(book.version_of(&plot.record.value.id), Some(true_version));
            assert!(node.stats().peers.bad_signatures > 0);
        }
    }
}

#[test]
fn a_verdict_on_a_true_record_says_nothing_of_the_same_one_with_another_signature() {
    let scenario = scenario();
    let mut plot = Plot::new(&scenario);
    let author = plot.record.value.id;
    let forged = flipped(plot.record.clone());
    let forger = add_teller(&mut plot.run, item(forged), None);
    let joiner = plot.add_joiner(forger);
    go(&mut plot.run, 10.0);
    let first = node(&plot.run, joiner);
    assert_eq!(first.stats().peers.bad_signatures, 1);
    assert_eq!(first.rooms().book.version_of(&author), None);
    // Nor does the verdict on the forged one harm the true one.
    let honest = add_teller(&mut plot.run, item(plot.record.clone()), None);
    let joiner = plot.add_joiner(honest);
    go(&mut plot.run, 10.0);
    let second = node(&plot.run, joiner);
    assert_eq!(second.stats().peers.bad_signatures, 0);
    assert!(second.rooms().book.is_proven(&author));
}

/// Messages in the author's name that nobody has: with the signature of the true one; signed by somebody else; and with a true signature
/// of which one bit is wrong.
fn forged_messages(plot: &Plot<'_>) -> Vec<Gossip> {
    let network = plot.run.world.network();
    let next = MessageHeader {
        seq: plot.message.signed.value.seq + 1,
        prev_seq: plot.message.signed.value.seq,
        ..plot.message.signed.value.clone()
    };
    let sign = |identity: &Identity| {
        let own = MessageHeader {
            author: identity.id().to_bytes(),
            ..next.clone()
        };
        let signed = Signed::sign(own, identity, &network).expect("a key in memory");
        signed.into_signed()
    };
    let mut by_another = sign(&Identity::from_seed(&[200; 32]));
    by_another.value.author = next.author;
    let old_signature = Signed {
        value: next.clone(),
        ..plot.message.signed.clone()
    };
    let author = &plot.run.world.host(AUTHOR).who().identity;
    let entries = &plot.message.entries;
    [old_signature, by_another, flipped(sign(author))]
        .map(|signed| Gossip {
            signed,
            entries: entries.clone(),
        })
        .into()
}

#[test]
fn forged_messages_are_refused_by_all_and_never_handed_on() {
    let scenario = scenario();
    let mut plot = Plot::new(&scenario);
    for (n, message) in (1..).zip(forged_messages(&plot)) {
        let forger = add_teller(&mut plot.run, Vec::new(), Some(message));
        go(&mut plot.run, 10.0);
        for index in 0..HONEST {
            let stats = &node(&plot.run, index).stats().messages;
            // Once for each forged message, from the forger itself.
            assert_eq!(stats.bad_signatures, n, "node {index}");
        }
        assert_eq!(
            banned_by(&plot.run, forger),
            (0..HONEST).collect::<Vec<_>>()
        );
        assert_eq!(plot.deliveries(), [1; HONEST]);
    }
}

#[test]
fn a_verdict_on_a_true_message_says_nothing_of_the_same_one_with_another_signature() {
    let scenario = scenario();
    let mut plot = Plot::new(&scenario);
    let forged = Gossip {
        signed: flipped(plot.message.signed.clone()),
        ..plot.message.clone()
    };
    let forger = add_teller(&mut plot.run, Vec::new(), Some(forged));
    let joiner = plot.add_joiner(forger);
    go(&mut plot.run, 10.0);
    assert_eq!(node(&plot.run, joiner).stats().messages.bad_signatures, 1);
    assert_eq!(plot.run.world.host(joiner).deliveries().len(), 0);
    // Nor does the verdict on the forged one keep the true one out.
    let honest = plot.add_joiner(0);
    go(&mut plot.run, 60.0);
    assert_eq!(node(&plot.run, honest).stats().messages.bad_signatures, 0);
    assert_eq!(plot.run.world.host(honest).deliveries().len(), 1);
}
