//! What signing and verifying cost for each payload when payloads share messages: two whole cores, linked in virtual time; one
//! publishes `PAYLOADS` payloads of 256 B in groups of K, the other receives them.
//!
//! The program measures nothing itself: run it under callgrind and read the inclusive cost of `publish` and `receive`; see
//! `docs/RESULTS.md` for the command.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use crypto::{Identity, NetworkId};
use overlay::action::Target;
use overlay::config::{AddressPreset, Config, Seed};
use overlay::messages::MAX_ENTRIES;
use overlay::{Action, Command, Event, Input, LinkId, Now, Overlay, Restored, Token};

/// Payloads of one run.
const PAYLOADS: usize = 1024;
/// Bytes of each.
const SIZE: usize = 256;
/// Any moment will do: 2026-01-01T00:00:00Z.
const START_UNIX_MS: u64 = 1_767_225_600_000;
/// The one link, at both ends.
const LINK: LinkId = LinkId(1);

/// A core and what has yet to be told to it.
struct Node {
    core: Overlay,
    inbox: VecDeque<Input>,
    addr: SocketAddr,
    delivered: usize,
    messages: usize,
}

/// Both cores and their clock.
struct Pair {
    start: Instant,
    time: Duration,
    nodes: [Node; 2],
}

impl Pair {
    fn new() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "a start for virtual time; only differences matter"
        )]
        let start = Instant::now();
        let identities = [[1; 32], [2; 32]].map(|seed| Identity::from_seed(&seed));
        let addrs = [1, 2].map(|n| SocketAddr::from((Ipv4Addr::new(127, 0, 0, n), 4000)));
        let node = |n: usize, seeds| {
            let config = Config {
                addresses: AddressPreset::Local,
                external: vec![addrs[n]],
                seeds,
                ..Config::default()
            };
            let now = Now {
                mono: start,
                unix_ms: START_UNIX_MS,
            };
            let core = Overlay::new(
                identities[n].clone(),
                NetworkId::from_name("coalescing"),
                config,
                [n as u8; 32],
                now,
                Restored::default(),
            );
            Node {
                core: core.expect("a valid configuration"),
                inbox: VecDeque::from([Input::Timeout]),
                addr: addrs[n],
                delivered: 0,
                messages: 0,
            }
        };
        let seed = Seed {
            peer: identities[0].id(),
            target: Target::Addr(addrs[0]),
        };
        let nodes = [node(0, Vec::new()), node(1, vec![seed])];
        Self {
            start,
            time: Duration::ZERO,
            nodes,
        }
    }

    /// Gives a core what is for it, and carries out what it asks for. Returns whether there was anything.
    fn step(&mut self, n: usize) -> bool {
        let now = Now {
            mono: self.start + self.time,
            unix_ms: START_UNIX_MS + self.time.as_millis() as u64,
        };
        let mut busy = false;
        while let Some(input) = self.nodes[n].inbox.pop_front() {
            busy = true;
            self.nodes[n].core.handle(now, input);
            while let Some(action) = self.nodes[n].core.poll_action() {
                self.execute(n, action);
            }
        }
        busy
    }

    fn execute(&mut self, n: usize, action: Action) {
        let [mine, theirs] = match &mut self.nodes {
            [a, b] if n == 0 => [a, b],
            [a, b] => [b, a],
        };
        match action {
            Action::Send { link, lane, bytes } => {
                mine.inbox.push_back(Input::Lane {
                    link,
                    lane,
                    free_bytes: lane.capacity(),
                });
                theirs.inbox.push_back(Input::Frame {
                    link: LINK,
                    lane,
                    bytes,
                });
            }
            Action::Dial { dial, peer, .. } => {
                let connected = |peer, addr, dialed| Input::Connected {
                    link: LINK,
                    peer,
                    addr,
                    local: None,
                    dialed,
                    rtt: Duration::from_millis(1),
                };
                let caller = connected(mine.core.id(), mine.addr, None);
                mine.inbox
                    .push_back(connected(peer, theirs.addr, Some(dial)));
                theirs.inbox.push_back(caller);
            }
            Action::Persist { token, .. } => mine.inbox.push_back(Input::Persisted { token }),
            Action::Load { token, .. } => mine.inbox.push_back(Input::Loaded { token, row: None }),
            Action::Close { link, code } => panic!("link {link:?} was closed: {code:?}"),
            Action::Emit(Event::Delivered(_)) => mine.delivered += 1,
            Action::Emit(Event::Published { result, .. }) => {
                let mut receipt = result.expect("it is published");
                assert_eq!(receipt.neighbors, 1, "the neighbor did not take it");
                receipt.messages.dedup();
                mine.messages += receipt.messages.len();
            }
            Action::Emit(_) => {}
        }
    }

    /// Lets both do what they have to do within a span of virtual time.
    fn run(&mut self, span: Duration) {
        for _ in 0..span.as_millis() {
            self.time += Duration::from_millis(1);
            for n in 0..2 {
                self.nodes[n].inbox.push_back(Input::Timeout);
            }
            while self.step(0) | self.step(1) {}
        }
    }
}

/// From the application's payloads to frames in the link's lane: hash, sign, encode, log.
#[inline(never)]
fn publish(pair: &mut Pair, token: u64, payloads: Vec<Bytes>) {
    let topic = "load".parse().expect("a topic");
    pair.nodes[0]
        .inbox
        .push_back(Input::Command(Command::Publish {
            token: Token(token),
            topic,
            payloads,
        }));
    pair.step(0);
}

/// From frames to entries for the application: decode, hash, verify, log.
#[inline(never)]
fn receive(pair: &mut Pair) {
    pair.step(1);
}

fn main() {
    let arg = std::env::args().nth(1);
    let group = arg.and_then(|text| text.parse::<usize>().ok());
    let Some(group) = group.filter(|group| (1..=MAX_ENTRIES).contains(group)) else {
        eprintln!("usage: coalescing K, where K (1 to {MAX_ENTRIES}) payloads wait together");
        std::process::exit(2);
    };
    let mut pair = Pair::new();
    pair.run(Duration::from_secs(3)); // they greet each other, and have compared their empty logs
    let payloads: Vec<Bytes> = (0..PAYLOADS)
        .map(|n| Bytes::from(vec![n as u8; SIZE]))
        .collect();
    for (token, some) in (1..).zip(payloads.chunks(group)) {
        publish(&mut pair, token, some.to_vec());
        receive(&mut pair);
        pair.run(Duration::from_millis(2));
    }
    let [publisher, receiver] = &pair.nodes;
    assert_eq!([publisher.delivered, receiver.delivered], [PAYLOADS; 2]);
    println!(
        "{PAYLOADS} payloads of {SIZE} B, {group} at a time: {} messages",
        publisher.messages
    );
}
