//! A small network in virtual time: real parts and real control frames; messages are opaque, so that no signature is made.
//!
//! Each direction of a link sends its data frames one after the other at a rate; control frames overtake them. Each node takes
//! one frame after the other, control first, and pays time for it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use crypto::{MessageId, PeerId};
use rand::rngs::ChaCha12Rng;
use rand::{RngExt as _, SeedableRng as _};

use crate::action::Action;
use crate::broadcast::copies::Copied;
use crate::broadcast::{Broadcast, Counters};
use crate::input::{Lane, LinkId};
use crate::messages::Accepted;
use crate::neighbors::{Change, Link, Links};
use crate::testing::{Bench, neighbor, peer};
use crate::wire::{self, Message};

const FIRST_COST: Duration = Duration::from_micros(40);
const OTHER_COST: Duration = Duration::from_micros(3);

pub(super) struct Node {
    pub(super) bench: Bench,
    pub(super) part: Broadcast,
    pub(super) links: Links,
    pub(super) got: BTreeMap<MessageId, (Instant, Bytes)>,
    /// Passes on nothing of others, but announces it.
    pub(super) silent: bool,
    pub(super) dead: bool,
    inbox: [VecDeque<(LinkId, Lane, Bytes)>; 2],
    running: bool,
    wake: Option<Instant>,
}

struct Wire {
    ends: [usize; 2],
    latency: Duration,
    /// Bytes per second; per direction: when the line is free again.
    rate: u64,
    free_at: [Instant; 2],
    queued: [[usize; 5]; 2],
}

enum Ev {
    Arrive(usize, LinkId, Lane, Bytes),
    Left(LinkId, usize, Lane, usize),
    Run(usize),
    Wake(usize),
}

pub(super) struct World {
    pub(super) now: Instant,
    pub(super) nodes: Vec<Node>,
    pub(super) rng: ChaCha12Rng,
    wires: BTreeMap<LinkId, Wire>,
    peers: Vec<PeerId>,
    queue: BTreeMap<(Instant, u64), Ev>,
    events: u64,
    published: u64,
    /// Id, author, when, and who was alive then.
    pub(super) messages: Vec<(MessageId, usize, Instant, BTreeSet<usize>)>,
    pub(super) rate: u64,
}

fn frame_of(id: MessageId, author: usize, size: usize) -> Bytes {
    let mut bytes = vec![0; size.max(33)];
    bytes[..32].copy_from_slice(id.as_bytes());
    bytes[32] = u8::try_from(author).expect("at most 256 nodes");
    bytes.into()
}

impl World {
    /// `n` nodes without links.
    pub(super) fn new(n: usize, seed: u64) -> Self {
        let now = Bench::new(0).now.mono;
        let nodes = (0..n)
            .map(|i| {
                let number = u32::try_from(i).expect("few nodes");
                let mut bench = Bench::new(number);
                bench.announce_key = [u8::try_from(i).expect("at most 256 nodes"); 16];
                bench.rng = ChaCha12Rng::seed_from_u64(seed * 1000 + u64::from(number));
                Node {
                    bench,
                    part: Broadcast::new(),
                    links: Links::default(),
                    got: BTreeMap::new(),
                    silent: false,
                    dead: false,
                    inbox: [VecDeque::new(), VecDeque::new()],
                    running: false,
                    wake: None,
                }
            })
            .collect();
        Self {
            now,
            nodes,
            rng: ChaCha12Rng::seed_from_u64(seed),
            wires: BTreeMap::new(),
            peers: (0..n)
                .map(|i| peer(u32::try_from(i).expect("few")))
                .collect(),
            queue: BTreeMap::new(),
            events: 0,
            published: 0,
            messages: Vec::new(),
            rate: 12_500_000,
        }
    }

    /// A ring, so that it is connected, and random links, each node dialling `dials` in all; latencies in milliseconds.
    pub(super) fn random(n: usize, dials: usize, seed: u64, latency: (u64, u64)) -> Self {
        let mut world = Self::new(n, seed);
        let mut linked = BTreeSet::new();
        for from in 0..n {
            let mut made = 0;
            while made < dials {
                let to = if made == 0 {
                    (from + 1) % n
                } else {
                    world.rng.random_range(0..n)
                };
                if to != from && linked.insert((from.min(to), from.max(to))) {
                    let micros = world.rng.random_range(latency.0 * 1000..=latency.1 * 1000);
                    world.connect(from, to, Duration::from_micros(micros));
                }
                made += 1;
            }
        }
        world.run(Duration::from_secs(1));
        world
    }

    pub(super) fn connect(&mut self, from: usize, to: usize, latency: Duration) -> LinkId {
        let link = LinkId(self.wires.len() as u64 + 1);
        let wire = Wire {
            ends: [from, to],
            latency,
            rate: self.rate,
            free_at: [self.now; 2],
            queued: [[0; 5]; 2],
        };
        self.wires.insert(link, wire);
        for (end, other, outbound) in [(from, to, true), (to, from, false)] {
            let announce_key = self.nodes[other].bench.announce_key;
            let row = Link {
                outbound,
                rtt: latency * 2,
                announce_key,
                ..neighbor(self.peers[other], self.now)
            };
            let change = Change::NeighborUp {
                link,
                peer: row.peer,
            };
            self.nodes[end].links.insert(link, row);
            self.nodes[end].bench.out.open(link);
            self.change(end, &change);
        }
        link
    }

    /// The data lanes of one direction of a link become this slow, bytes per second.
    pub(super) fn slow(&mut self, link: LinkId, rate: u64) {
        if let Some(wire) = self.wires.get_mut(&link) {
            wire.rate = rate;
        }
    }

    pub(super) fn links_of(&self, node: usize) -> Vec<(LinkId, usize)> {
        let mine = self
            .wires
            .iter()
            .filter(|(_, wire)| wire.ends.contains(&node));
        mine.map(|(link, wire)| (*link, wire.ends[usize::from(wire.ends[0] == node)]))
            .collect()
    }

    /// A node falls silent for good, and its neighbors notice at once if `noticed`.
    pub(super) fn kill(&mut self, node: usize, noticed: bool) {
        self.nodes[node].dead = true;
        for (link, other) in self.links_of(node) {
            if !noticed {
                continue;
            }
            let change = Change::NeighborDown {
                link,
                peer: self.peers[node],
                why: crate::neighbors::Down::TimedOut,
            };
            self.nodes[other].links.remove(link);
            self.nodes[other].bench.out.forget(link);
            self.change(other, &change);
        }
    }

    fn change(&mut self, node: usize, change: &Change) {
        let it = &mut self.nodes[node];
        it.bench.now.mono = self.now;
        it.part.on_change(change, &it.links, &mut it.bench.cx());
        self.settle(node);
    }

    /// Publishes a message of this size; returns how many lanes took it at once.
    pub(super) fn publish(&mut self, node: usize, size: usize) -> usize {
        self.published += 1;
        let id = MessageId::from_bytes(*blake3::hash(&self.published.to_le_bytes()).as_bytes());
        let alive = (0..self.nodes.len()).filter(|i| !self.nodes[*i].dead);
        let alive: BTreeSet<usize> = alive.collect();
        self.messages.push((id, node, self.now, alive));
        let it = &mut self.nodes[node];
        it.bench.now.mono = self.now;
        let author = self.peers[node];
        let frame = frame_of(id, node, size);
        it.got.insert(id, (self.now, frame.clone()));
        let accepted = Accepted {
            id,
            author,
            published_unix_ms: it.bench.now.unix_ms,
            frame,
            body_len: None,
            from: None,
            repaired: false,
        };
        let taken = it.part.on_accepted(&accepted, &mut it.bench.cx());
        self.settle(node);
        taken
    }

    pub(super) fn ready(&mut self, node: usize) -> bool {
        let it = &mut self.nodes[node];
        it.bench.now.mono = self.now;
        it.part.ready_to_publish(&it.bench.cx())
    }

    fn at(&mut self, at: Instant, event: Ev) {
        self.events += 1;
        self.queue.insert((at, self.events), event);
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > end {
                break;
            }
            let ((at, _), event) = entry.remove_entry();
            self.now = self.now.max(at);
            self.step(event);
        }
        self.now = end;
    }

    fn step(&mut self, event: Ev) {
        match event {
            Ev::Arrive(node, link, lane, bytes) => {
                let it = &mut self.nodes[node];
                if it.dead {
                    return;
                }
                it.inbox[usize::from(lane != Lane::Control)].push_back((link, lane, bytes));
                if !it.running {
                    it.running = true;
                    self.at(self.now, Ev::Run(node));
                }
            }
            Ev::Run(node) => {
                let it = &mut self.nodes[node];
                let next = it.inbox[0].pop_front().or_else(|| it.inbox[1].pop_front());
                let Some((link, lane, bytes)) = next.filter(|_| !it.dead) else {
                    it.running = false;
                    return;
                };
                let cost = self.frame(node, link, lane, &bytes);
                self.settle(node);
                self.at(self.now + cost, Ev::Run(node));
            }
            Ev::Wake(node) => {
                let it = &mut self.nodes[node];
                if it.wake.is_none_or(|at| at > self.now) || it.dead {
                    return;
                }
                it.wake = None;
                self.settle(node);
            }
            Ev::Left(link, end, lane, size) => {
                let Some(wire) = self.wires.get_mut(&link) else {
                    return;
                };
                let queued = &mut wire.queued[end][lane as usize];
                *queued -= size;
                let (queued, node) = (*queued, wire.ends[end]);
                let it = &mut self.nodes[node];
                let half = lane.capacity() / 2;
                if it.dead || queued >= half || it.bench.out.room(link, lane) >= half {
                    return;
                }
                it.bench.now.mono = self.now;
                it.bench.out.set_room(link, lane, lane.capacity() - queued);
                let got = &it.got;
                let frames = |id: &MessageId| Some(got.get(id)?.1.clone());
                it.part.on_room(link, lane, &frames, &mut it.bench.cx());
                self.settle(node);
            }
        }
    }

    fn frame(&mut self, node: usize, link: LinkId, lane: Lane, bytes: &Bytes) -> Duration {
        let it = &mut self.nodes[node];
        it.bench.now.mono = self.now;
        if it.links.get(link).is_none() {
            return OTHER_COST;
        }
        let (part, links, got) = (&mut it.part, &it.links, &mut it.got);
        let mut cx = it.bench.cx();
        if lane == Lane::Control {
            let frames = |id: &MessageId| Some(got.get(id)?.1.clone());
            match wire::decode(bytes).expect("own frames decode") {
                Message::Announce(announce) => part.on_announce(link, &announce, links, &mut cx),
                Message::Graft(graft) => part.on_graft(link, &graft, &frames, &mut cx),
                Message::Prune(prune) => part.on_prune(link, &prune, &mut cx),
                other => panic!("no control frame of this room: {other:?}"),
            }
            return OTHER_COST;
        }
        let id = MessageId::from_bytes(bytes[..32].try_into().expect("32 bytes"));
        let author = self.peers[usize::from(bytes[32])];
        let copied = if got.contains_key(&id) {
            Copied::Again
        } else {
            Copied::First
        };
        let (key, len) = (author.to_bytes(), bytes.len());
        part.on_copy(link, id, key, len, copied, links, &mut cx);
        if copied == Copied::Again {
            return OTHER_COST;
        }
        got.insert(id, (self.now, bytes.clone()));
        let accepted = Accepted {
            id,
            author,
            published_unix_ms: cx.now.unix_ms,
            frame: bytes.clone(),
            body_len: None,
            from: Some(link),
            repaired: false,
        };
        part.on_accepted(&accepted, &mut cx);
        FIRST_COST
    }

    /// Due deadlines, then what the node sends.
    fn settle(&mut self, node: usize) {
        let it = &mut self.nodes[node];
        it.bench.now.mono = self.now;
        it.part.on_timeout(&it.links, &mut it.bench.cx());
        let actions = it.bench.actions();
        let silent = it.silent;
        let next = it.part.next_timeout();
        if let Some(at) = next
            && it.wake.is_none_or(|wake| at < wake)
        {
            it.wake = Some(at);
            self.at(at, Ev::Wake(node));
        }
        for action in actions {
            let Action::Send { link, lane, bytes } = action else {
                continue;
            };
            let Some(wire) = self.wires.get_mut(&link) else {
                continue;
            };
            let end = usize::from(wire.ends[1] == node);
            let size = bytes.len() + crate::cx::FRAME_OVERHEAD;
            wire.queued[end][lane as usize] += size;
            let arrive = if lane == Lane::Control {
                self.now
            } else {
                let time = Duration::from_nanos(size as u64 * 1_000_000_000 / wire.rate);
                wire.free_at[end] = wire.free_at[end].max(self.now) + time;
                wire.free_at[end]
            };
            let (to, latency) = (wire.ends[1 - end], wire.latency);
            self.at(arrive, Ev::Left(link, end, lane, size));
            let withheld = silent && lane != Lane::Control && usize::from(bytes[32]) != node;
            if !withheld {
                self.at(arrive + latency, Ev::Arrive(to, link, lane, bytes));
            }
        }
    }

    /// The sum of a counter over all nodes.
    pub(super) fn sum(&self, counter: impl Fn(&Counters) -> u64) -> u64 {
        let each = |node: &Node| counter(&node.bench.stats.broadcast);
        self.nodes.iter().map(each).sum()
    }

    /// Copies a first copy, over what happened since the counters stood at `since`.
    pub(super) fn copies_since(&self, since: (u64, u64)) -> f64 {
        let (copies, firsts) = self.counts();
        (copies - since.0) as f64 / (firsts - since.1) as f64
    }

    pub(super) fn counts(&self) -> (u64, u64) {
        (self.sum(|it| it.copies), self.sum(|it| it.first_copies))
    }

    /// Which share of the messages from `first` on reached whom they should: nodes alive when it was published and still.
    pub(super) fn coverage(&self, first: usize) -> f64 {
        let (mut due, mut got) = (0, 0);
        for (id, _, _, alive) in &self.messages[first..] {
            for node in alive.iter().map(|i| &self.nodes[*i]).filter(|it| !it.dead) {
                due += 1;
                got += u64::from(node.got.contains_key(id));
            }
        }
        got as f64 / due as f64
    }

    /// Times from publishing to arrival of the messages from `first` on, sorted.
    pub(super) fn latencies(&self, first: usize) -> Vec<Duration> {
        let mut all = Vec::new();
        for (id, author, at, _) in &self.messages[first..] {
            for (i, node) in self.nodes.iter().enumerate() {
                if i != *author
                    && let Some((when, _)) = node.got.get(id)
                {
                    all.push(*when - *at);
                }
            }
        }
        all.sort_unstable();
        all
    }

    pub(super) fn report(&self, name: &str, first: usize, since: (u64, u64)) {
        let all = self.latencies(first);
        let at = |share: f64| all[((all.len() - 1) as f64 * share) as usize];
        println!(
            "{name}: copies {:.3}, coverage {:.4}, p50 {:?} p99 {:?} max {:?}",
            self.copies_since(since),
            self.coverage(first),
            at(0.5),
            at(0.99),
            at(1.0)
        );
        let mut total = BTreeMap::new();
        for node in &self.nodes {
            node.bench.stats.broadcast.each(|name, value| {
                *total.entry(name).or_insert(0) += value;
            });
        }
        println!("  {total:?}");
    }
}
