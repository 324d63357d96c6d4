//! A small deterministic world for tests of whole cores: virtual time, perfect links with latency, a store that survives restarts.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use crypto::{Identity, MessageId, NetworkId, PeerId};
use overlay::action::{Delivery, Target};
use overlay::config::{AddressPreset, Config, Seed};
use overlay::input::{DialError, Lost};
use overlay::messages::StoredMessage;
use overlay::peers::PeerRow;
use overlay::{
    Action, Command, Event, Input, Key, LinkId, Now, Overlay, Restored, RestoredMessage, Row, Token,
};

/// 2026-01-01T00:00:00Z.
pub(crate) const START_UNIX_MS: u64 = 1_767_225_600_000;

/// What a node's disk holds.
#[derive(Default)]
pub(crate) struct Disk {
    restored: Restored,
    bodies: BTreeMap<MessageId, StoredMessage>,
}

impl Disk {
    fn apply(&mut self, row: Row) {
        let disk = &mut self.restored;
        match row {
            Row::Message(message) => {
                disk.messages.push(RestoredMessage {
                    id: message.id,
                    author: PeerId::from_bytes(&message.signed.value.author)
                        .expect("verified before"),
                    seq: message.signed.value.seq,
                    published_unix_ms: message.signed.value.published_unix_ms,
                    bytes: message.signed.value.body_len + 200,
                    first_cursor: message.first_cursor,
                    entries: u32::from(message.signed.value.count),
                    equivocation: message.equivocation,
                });
                self.bodies.insert(message.id, message);
            }
            Row::Decided {
                id,
                published_unix_ms,
            } => disk.decided.push((id, published_unix_ms)),
            Row::Forget {
                low_edge_ms,
                pruned,
            } => {
                disk.low_edge_ms = low_edge_ms;
                let gone: Vec<RestoredMessage> = disk
                    .messages
                    .extract_if(.., |m| {
                        m.published_unix_ms < low_edge_ms || pruned.contains(&m.id)
                    })
                    .collect();
                for message in gone {
                    self.bodies.remove(&message.id);
                    if message.published_unix_ms >= low_edge_ms {
                        disk.decided.push((message.id, message.published_unix_ms));
                    }
                }
                disk.decided.retain(|(_, date)| *date >= low_edge_ms);
            }
            Row::ReserveCursors { cursor } => disk.next_cursor = cursor,
            Row::ReserveSeqs { seq } => disk.next_seq = seq,
            Row::RecordVersion { version } => {
                disk.record_version = disk.record_version.max(version)
            }
            Row::Evidence { .. } => {}
            Row::Peer(PeerRow::Archived(entry)) => {
                disk.archive.retain(|other| other.peer != entry.peer);
                disk.archive.push(entry);
            }
            Row::Peer(PeerRow::Unarchived(peer)) => disk.archive.retain(|other| other.peer != peer),
            Row::Peer(PeerRow::Anchors(anchors)) => disk.anchors = anchors,
            Row::Peer(PeerRow::Banned {
                peer,
                until_unix_ms,
            }) => disk.bans.push((peer, until_unix_ms)),
            Row::Peer(PeerRow::Unbanned(peer)) => disk.bans.retain(|(other, _)| *other != peer),
        }
    }
}

/// One node.
pub(crate) struct WorldNode {
    pub(crate) identity: Identity,
    pub(crate) addr: SocketAddr,
    pub(crate) config: Config,
    pub(crate) core: Option<Overlay>,
    pub(crate) disk: Disk,
    pub(crate) delivered: Vec<Delivery>,
    pub(crate) events: Vec<Event>,
    starts: u64,
    timer: Option<Duration>,
}

#[derive(Clone, Copy)]
struct End {
    node: usize,
    link: LinkId,
}

#[expect(
    clippy::large_enum_variant,
    reason = "a test world, and inputs are most of what happens"
)]
enum Happening {
    Tell {
        node: usize,
        start: u64,
        input: Input,
    },
    Wake {
        node: usize,
    },
    Arrive {
        to: End,
        lane: overlay::Lane,
        bytes: Bytes,
    },
    Cut {
        end: End,
        reason: Lost,
    },
}

/// All of them.
pub(crate) struct World {
    pub(crate) nodes: Vec<WorldNode>,
    pub(crate) time: Duration,
    pub(crate) latency: Duration,
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
    seed: u64,
    start: Instant,
    queue: BTreeMap<(Duration, u64), Happening>,
    next: u64,
    next_link: u64,
    ends: BTreeMap<LinkId, (End, End)>,
    cut: BTreeSet<(usize, usize)>,
    /// Nodes that send no chunk of a body.
    #[allow(dead_code, reason = "not every test file needs it")]
    pub(crate) baiters: BTreeSet<usize>,
    network: NetworkId,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "a start for virtual time; only differences matter"
        )]
        let start = Instant::now();
        Self {
            nodes: Vec::new(),
            time: Duration::ZERO,
            latency: Duration::from_millis(20),
            frames: 0,
            bytes: 0,
            seed,
            start,
            queue: BTreeMap::new(),
            next: 0,
            next_link: 0,
            ends: BTreeMap::new(),
            cut: BTreeSet::new(),
            baiters: BTreeSet::new(),
            network: NetworkId::from_name("world"),
        }
    }

    /// Adds a node that knows the given ones as seeds; it starts at once.
    pub(crate) fn add(&mut self, seeds: &[usize], tweak: impl FnOnce(&mut Config)) -> usize {
        self.add_with_key_of(self.nodes.len(), seeds, tweak)
    }

    /// Adds a node that has the key of node `of`, and a disk and an address of its own.
    pub(crate) fn add_with_key_of(
        &mut self,
        of: usize,
        seeds: &[usize],
        tweak: impl FnOnce(&mut Config),
    ) -> usize {
        let index = self.nodes.len();
        let number = u8::try_from(index).expect("a small world");
        let addr = SocketAddr::from((Ipv4Addr::new(127, 0, 1, number), 4000));
        let mut config = Config {
            addresses: AddressPreset::Local,
            external: vec![addr],
            ..Config::default()
        };
        config.seeds = seeds
            .iter()
            .map(|seed| Seed {
                peer: self.nodes[*seed].identity.id(),
                target: Target::Addr(self.nodes[*seed].addr),
            })
            .collect();
        tweak(&mut config);
        let identity =
            Identity::from_seed(blake3::hash(format!("node {of}").as_bytes()).as_bytes());
        self.nodes.push(WorldNode {
            identity,
            addr,
            config,
            core: None,
            disk: Disk::default(),
            delivered: Vec::new(),
            events: Vec::new(),
            starts: 0,
            timer: None,
        });
        self.boot(index);
        index
    }

    fn now(&self) -> Now {
        Now {
            mono: self.start + self.time,
            unix_ms: START_UNIX_MS + u64::try_from(self.time.as_millis()).expect("short"),
        }
    }

    /// Starts a node with what its disk holds.
    pub(crate) fn boot(&mut self, index: usize) {
        let now = self.now();
        let node = &mut self.nodes[index];
        node.starts += 1;
        let seed = blake3::hash(format!("{} {index} {}", self.seed, node.starts).as_bytes());
        let core = Overlay::new(
            node.identity.clone(),
            self.network,
            node.config.clone(),
            *seed.as_bytes(),
            now,
            node.disk.restored.clone(),
        )
        .expect("a valid configuration");
        node.core = Some(core);
        self.tell(index, Input::Timeout);
    }

    /// kill -9: what was not persisted is gone; peers notice after the idle timeout.
    pub(crate) fn kill(&mut self, index: usize) {
        self.nodes[index].core = None;
        let mine: Vec<LinkId> = self
            .ends
            .iter()
            .filter(|(_, (a, b))| a.node == index || b.node == index)
            .map(|(id, _)| *id)
            .collect();
        for id in mine {
            if let Some((mine, theirs)) = self.ends.remove(&id) {
                let other = if mine.node == index { theirs } else { mine };
                self.ends.remove(&other.link);
                if other.node != index {
                    self.at(
                        Duration::from_secs(20),
                        Happening::Cut {
                            end: other,
                            reason: Lost::TimedOut,
                        },
                    );
                }
            }
        }
    }

    /// Cuts or mends the path between two nodes: frames are lost, dials time out.
    #[allow(dead_code, reason = "not every test file needs it")]
    pub(crate) fn set_cut(&mut self, a: usize, b: usize, cut: bool) {
        for pair in [(a, b), (b, a)] {
            if cut {
                self.cut.insert(pair);
            } else {
                self.cut.remove(&pair);
            }
        }
    }

    fn at(&mut self, delay: Duration, happening: Happening) {
        self.next += 1;
        self.queue.insert((self.time + delay, self.next), happening);
    }

    /// Gives a node one input and carries out what comes of it.
    pub(crate) fn tell(&mut self, index: usize, input: Input) {
        let now = self.now();
        let Some(core) = self.nodes[index].core.as_mut() else {
            return;
        };
        core.handle(now, input);
        let actions: Vec<Action> = std::iter::from_fn(|| core.poll_action()).collect();
        for action in actions {
            self.execute(index, action);
        }
        let wake = self.nodes[index]
            .core
            .as_ref()
            .and_then(Overlay::next_timeout);
        if let Some(wake) = wake {
            let at = wake.saturating_duration_since(self.start).max(self.time);
            if self.nodes[index]
                .timer
                .is_none_or(|timer| at < timer || timer < self.time)
            {
                self.nodes[index].timer = Some(at);
                self.at(at - self.time, Happening::Wake { node: index });
            }
        }
    }

    fn execute(&mut self, index: usize, action: Action) {
        let start = self.nodes[index].starts;
        match action {
            Action::Send { link, lane, bytes } => {
                self.frames += 1;
                self.bytes += bytes.len() as u64;
                let chunk = overlay::wire::tag_of(&bytes) == Some(overlay::wire::tag::CHUNK);
                let withheld = chunk && self.baiters.contains(&index);
                if let Some((_, other)) = self.ends.get(&link).copied()
                    && !self.cut.contains(&(index, other.node))
                    && !withheld
                {
                    self.at(
                        self.latency,
                        Happening::Arrive {
                            to: other,
                            lane,
                            bytes,
                        },
                    );
                }
                let input = Input::Lane {
                    link,
                    lane,
                    free_bytes: lane.capacity(),
                };
                self.at(
                    self.latency,
                    Happening::Tell {
                        node: index,
                        start,
                        input,
                    },
                );
            }
            Action::Dial { dial, peer, target } => {
                let Target::Addr(addr) = target else {
                    panic!("no names in this world")
                };
                let found = self
                    .nodes
                    .iter()
                    .position(|node| node.addr == addr && node.core.is_some());
                let found = found.filter(|other| !self.cut.contains(&(index, *other)));
                let Some(other) = found else {
                    let input = Input::DialFailed {
                        dial,
                        reason: DialError::Unreachable,
                    };
                    return self.at(
                        Duration::from_secs(2),
                        Happening::Tell {
                            node: index,
                            start,
                            input,
                        },
                    );
                };
                if self.nodes[other].identity.id() != peer {
                    let input = Input::DialFailed {
                        dial,
                        reason: DialError::WrongIdentity,
                    };
                    return self.at(
                        self.latency * 2,
                        Happening::Tell {
                            node: index,
                            start,
                            input,
                        },
                    );
                }
                let mine = End {
                    node: index,
                    link: LinkId(self.next_link + 1),
                };
                let theirs = End {
                    node: other,
                    link: LinkId(self.next_link + 2),
                };
                self.next_link += 2;
                self.ends.insert(mine.link, (mine, theirs));
                self.ends.insert(theirs.link, (theirs, mine));
                let rtt = self.latency * 2;
                let my_addr = self.nodes[index].addr;
                let inbound = Input::Connected {
                    link: theirs.link,
                    peer: self.nodes[index].identity.id(),
                    addr: my_addr,
                    local: None,
                    dialed: None,
                    rtt,
                };
                let outbound = Input::Connected {
                    link: mine.link,
                    peer,
                    addr,
                    local: None,
                    dialed: Some(dial),
                    rtt,
                };
                let their_start = self.nodes[other].starts;
                self.at(
                    self.latency * 2,
                    Happening::Tell {
                        node: index,
                        start,
                        input: outbound,
                    },
                );
                self.at(
                    self.latency * 3,
                    Happening::Tell {
                        node: other,
                        start: their_start,
                        input: inbound,
                    },
                );
            }
            Action::Close { link, code } => {
                if let Some((mine, theirs)) = self.ends.remove(&link) {
                    self.ends.remove(&theirs.link);
                    self.at(
                        Duration::ZERO,
                        Happening::Cut {
                            end: mine,
                            reason: Lost::ClosedByUs,
                        },
                    );
                    self.at(
                        self.latency * 2,
                        Happening::Cut {
                            end: theirs,
                            reason: Lost::ClosedByPeer(code),
                        },
                    );
                }
            }
            Action::Persist { token, row } => {
                self.nodes[index].disk.apply(row);
                self.at(
                    Duration::from_millis(5),
                    Happening::Tell {
                        node: index,
                        start,
                        input: Input::Persisted { token },
                    },
                );
            }
            Action::Load {
                token,
                key: Key::Message(id),
            } => {
                let row = self.nodes[index]
                    .disk
                    .bodies
                    .get(&id)
                    .cloned()
                    .map(Row::Message);
                self.at(
                    Duration::from_millis(1),
                    Happening::Tell {
                        node: index,
                        start,
                        input: Input::Loaded { token, row },
                    },
                );
            }
            Action::Emit(Event::Delivered(delivery)) => self.nodes[index].delivered.push(delivery),
            Action::Emit(event) => self.nodes[index].events.push(event),
        }
    }

    /// Lets virtual time pass.
    pub(crate) fn run(&mut self, span: Duration) {
        let until = self.time + span;
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > until {
                break;
            }
            let ((at, _), happening) = entry.remove_entry();
            self.time = at;
            match happening {
                Happening::Tell { node, start, input } => {
                    if self.nodes[node].starts == start {
                        self.tell(node, input);
                    }
                }
                Happening::Wake { node } => {
                    if self.nodes[node].timer.is_some_and(|timer| timer <= at) {
                        self.nodes[node].timer = None;
                        self.tell(node, Input::Timeout);
                    }
                }
                Happening::Arrive { to, lane, bytes } => {
                    if self.ends.contains_key(&to.link) {
                        self.tell(
                            to.node,
                            Input::Frame {
                                link: to.link,
                                lane,
                                bytes,
                            },
                        );
                    }
                }
                Happening::Cut { end, reason } => {
                    self.tell(
                        end.node,
                        Input::Disconnected {
                            link: end.link,
                            reason,
                        },
                    );
                }
            }
        }
        self.time = until;
    }

    /// Publishes one payload at a node.
    #[allow(dead_code, reason = "not every test file needs it")]
    pub(crate) fn publish(&mut self, index: usize, token: u64, payload: &str) {
        self.publish_bytes(index, token, Bytes::copy_from_slice(payload.as_bytes()));
    }

    /// Publishes one payload at a node.
    #[allow(dead_code, reason = "not every test file needs it")]
    pub(crate) fn publish_bytes(&mut self, index: usize, token: u64, payload: Bytes) {
        self.tell(
            index,
            Input::Command(Command::Publish {
                token: Token(token),
                topic: "t".parse().expect("a topic"),
                payloads: vec![payload],
            }),
        );
    }

    /// Whole messages received by all nodes, duplicates included.
    #[allow(dead_code, reason = "not every test file needs it")]
    pub(crate) fn copies(&self) -> u64 {
        self.nodes
            .iter()
            .filter_map(|node| node.core.as_ref())
            .map(|core| core.stats().broadcast.copies)
            .sum()
    }
}
