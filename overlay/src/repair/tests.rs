//! Whole rooms (`messages` and `repair`) talking over real wire frames in virtual time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use crypto::{Identity, MessageId, Signed};
use proptest::prelude::*;

use super::job::{Job, asks};
use super::*;
use crate::action::{Action, Event, Key, Row};
use crate::input::{Lane, LinkId, Token};
use crate::messages::{Arrival, Messages, StoredMessage, Topic};
use crate::neighbors::{Change, Link, Links};
use crate::restored::Restored;
use crate::testing::{Bench, START_UNIX_MS, identity, neighbor, peer};
use crate::wire::{
    self, Bounded, Gossip, Message, MessageHeader, PeerRecord, Point, Reconcile, body_of,
};

mod rooms;
mod sets;

const LATENCY: Duration = Duration::from_millis(20);

struct Node {
    bench: Bench,
    messages: Messages,
    repair: Repair,
    links: Links,
    log: BTreeMap<MessageId, StoredMessage>,
    delivered: Vec<(u64, bool)>,
    /// Loads are not answered while this is set.
    store_stalls: bool,
    waiting_loads: Vec<(Token, Key)>,
}

impl Node {
    fn new(n: u32) -> Self {
        let mut bench = Bench::new(n);
        let messages = Messages::new(&Restored::default(), &mut bench.cx());
        let repair = Repair::new(&mut bench.cx());
        Self {
            bench,
            messages,
            repair,
            links: Links::default(),
            log: BTreeMap::new(),
            delivered: Vec::new(),
            store_stalls: false,
            waiting_loads: Vec::new(),
        }
    }

    fn settle(&mut self) {
        self.repair
            .on_timeout(&self.messages, &self.links, &mut self.bench.cx());
        let repair = &self.repair;
        self.messages
            .on_timeout(&|| repair.sought(), &mut self.bench.cx());
        for arrival in self.repair.take_arrivals() {
            self.messages.on_arrival(arrival, &mut self.bench.cx());
        }
        self.messages.take_accepted();
        for hole in self.messages.take_holes() {
            self.repair
                .on_hole(hole, &self.messages, &self.links, &mut self.bench.cx());
        }
    }

    /// Carries out actions; returns the frames sent.
    fn act(&mut self) -> Vec<(LinkId, Lane, Bytes)> {
        let mut sent = Vec::new();
        loop {
            let actions = self.bench.actions();
            if actions.is_empty() {
                return sent;
            }
            for action in actions {
                match action {
                    Action::Send { link, lane, bytes } => sent.push((link, lane, bytes)),
                    Action::Persist { token, row } => {
                        match row {
                            Row::Message(stored) => {
                                self.log.insert(stored.id, stored);
                            }
                            Row::Forget { pruned, .. } => {
                                pruned.iter().for_each(|id| drop(self.log.remove(id)));
                            }
                            _ => {}
                        }
                        self.messages.on_persisted(token, &mut self.bench.cx());
                    }
                    Action::Load { token, key } => self.waiting_loads.push((token, key)),
                    Action::Emit(Event::Delivered(delivery)) => {
                        self.delivered.push((delivery.seq, delivery.gap));
                    }
                    Action::Emit(_) => {}
                    other => panic!("{other:?}"),
                }
            }
            if !self.store_stalls {
                for (token, Key::Message(id)) in std::mem::take(&mut self.waiting_loads) {
                    let row = self.log.get(&id).cloned().map(Row::Message);
                    self.repair.on_loaded(token, row, &mut self.bench.cx());
                }
            }
            self.settle();
        }
    }

    /// Puts a message into the node as if it had come live, without any order.
    fn has(&mut self, message: &Arrival) {
        let mut arrival = message.clone();
        arrival.from = Some((LinkId(999), peer(999)));
        self.messages.on_arrival(arrival, &mut self.bench.cx());
        self.messages.take_accepted();
        assert!(self.act().is_empty());
    }

    fn ids(&self) -> BTreeSet<[u8; 32]> {
        let all = self.messages.decided();
        all.range(session::date(0), session::date(u64::MAX))
            .map(|point| point.id)
            .collect()
    }
}

/// Nodes, their links (all to all that were connected) and the frames between them.
struct World {
    nodes: Vec<Node>,
    frames: VecDeque<(Instant, usize, LinkId, Lane, Bytes)>,
    /// Where a node's link leads.
    ends: BTreeMap<(usize, LinkId), (usize, LinkId)>,
    next_link: u64,
    sent: BTreeMap<u8, (u64, u64)>,
    /// Frames that a node's link swallows.
    mute: BTreeSet<(usize, LinkId)>,
}

impl World {
    fn new(nodes: u32) -> Self {
        let mut nodes: Vec<Node> = (0..nodes).map(Node::new).collect();
        let start = nodes[0].bench.now;
        nodes.iter_mut().for_each(|node| {
            node.bench.now = start;
            node.repair = Repair::new(&mut node.bench.cx());
            node.messages = Messages::new(&Restored::default(), &mut node.bench.cx());
            node.act();
        });
        Self {
            nodes,
            frames: VecDeque::new(),
            ends: BTreeMap::new(),
            next_link: 0,
            sent: BTreeMap::new(),
            mute: BTreeSet::new(),
        }
    }

    fn connect(&mut self, a: usize, b: usize) -> LinkId {
        self.next_link += 1;
        let id = LinkId(self.next_link);
        for (me, other) in [(a, b), (b, a)] {
            self.ends.insert((me, id), (other, id));
            let (whom, record) = {
                let node = &self.nodes[other];
                let record = PeerRecord {
                    id: node.bench.identity.id().to_bytes(),
                    version: 1,
                    issued_unix_s: START_UNIX_MS / 1000,
                    ipv4: None,
                    ipv6: None,
                    roles: 0,
                };
                let signed = Signed::sign(record, &node.bench.identity, &node.bench.network);
                (node.bench.identity.id(), signed.unwrap())
            };
            let node = &mut self.nodes[me];
            let now = node.bench.now.mono;
            node.bench.out.open(id);
            let row = Link {
                outbound: me == a,
                rtt: LATENCY * 2,
                ..neighbor(whom, now)
            };
            let addr = row.addr;
            node.links.insert(id, row);
            for change in [
                Change::Opened {
                    link: id,
                    peer: whom,
                    addr,
                    record,
                    dial: None,
                },
                Change::NeighborUp {
                    link: id,
                    peer: whom,
                },
            ] {
                node.repair
                    .on_change(&change, &node.messages, &node.links, &mut node.bench.cx());
            }
            self.collect(me);
        }
        id
    }

    fn cut(&mut self, id: LinkId) {
        for node in &mut self.nodes {
            if let Some(link) = node.links.remove(id) {
                let change = Change::Closed {
                    link: id,
                    peer: link.peer,
                };
                node.repair
                    .on_change(&change, &node.messages, &node.links, &mut node.bench.cx());
                node.bench.out.forget(id);
            }
        }
        self.ends.retain(|(_, link), _| *link != id);
    }

    fn collect(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        node.settle();
        for (link, lane, bytes) in node.act() {
            let (count, total) = self.sent.entry(wire::tag_of(&bytes).unwrap()).or_default();
            *count += 1;
            *total += bytes.len() as u64;
            if self.mute.contains(&(n, link)) {
                continue;
            }
            self.frames
                .push_back((node.bench.now.mono + LATENCY, n, link, lane, bytes));
        }
    }

    /// Lets time pass.
    fn run(&mut self, span: Duration) {
        let end = self.nodes[0].bench.now.mono + span;
        for _ in 0..1_000_000 {
            let frame = self.frames.front().map(|frame| frame.0);
            let timer = self
                .nodes
                .iter()
                .filter_map(|node| {
                    let messages = node.messages.next_timeout();
                    messages.into_iter().chain(node.repair.next_timeout()).min()
                })
                .min();
            let next = frame.into_iter().chain(timer).min().unwrap_or(end).min(end);
            let now = self.nodes[0].bench.now.mono;
            let by = next.saturating_duration_since(now);
            for node in &mut self.nodes {
                node.bench.advance(by);
            }
            if frame.is_some_and(|at| at <= next) {
                let (_, from, link, lane, bytes) = self.frames.pop_front().unwrap();
                self.deliver(from, link, lane, &bytes);
            } else if next >= end {
                return;
            } else {
                for n in 0..self.nodes.len() {
                    self.collect(n);
                }
            }
        }
        panic!("the world does not come to rest");
    }

    fn deliver(&mut self, from: usize, link: LinkId, lane: Lane, bytes: &Bytes) {
        // The lane of the sender has drained.
        let sender = &mut self.nodes[from];
        sender.bench.out.set_room(link, lane, lane.capacity());
        sender
            .repair
            .on_room(link, lane, &sender.messages, &mut sender.bench.cx());
        self.collect(from);
        let Some((to, link)) = self.ends.get(&(from, link)).copied() else {
            return;
        };
        let whom = self.nodes[from].bench.identity.id();
        let node = &mut self.nodes[to];
        let (repair, messages, links) = (&mut node.repair, &node.messages, &node.links);
        let cx = &mut node.bench.cx();
        match wire::decode(bytes).unwrap() {
            Message::Reconcile(frame) => repair.on_reconcile(link, *frame, messages, links, cx),
            Message::Fetch(fetch) => repair.on_fetch(link, fetch, messages, cx),
            Message::FetchMissing(missing) => repair.on_fetch_missing(link, missing, links, cx),
            Message::Gossip(gossip) => {
                repair.on_gossip(link, whom, *gossip, bytes.clone(), messages, cx)
            }
            other => panic!("{other:?}"),
        }
        .unwrap();
        self.collect(to);
    }

    fn frames_of(&self, tag: u8) -> u64 {
        self.sent.get(&tag).map_or(0, |(count, _)| *count)
    }

    fn bytes_of(&self, tag: u8) -> u64 {
        self.sent.get(&tag).map_or(0, |(_, bytes)| *bytes)
    }
}

/// Message number `n` of an author, verified, dated `age` before the start.
fn message(author: &Identity, n: u64, prev: u64, age_ms: u64) -> Arrival {
    sized(author, n, prev, age_ms, 8)
}

/// As `message`, with a payload of so many bytes.
fn sized(author: &Identity, n: u64, prev: u64, age_ms: u64, size: usize) -> Arrival {
    let mut payload = n.to_le_bytes().to_vec();
    payload.resize(size, 0);
    let entries = vec![Bytes::from(payload)];
    let (body_len, body_root) = body_of(&entries);
    let network = crypto::NetworkId::from_name("test");
    let header = MessageHeader {
        author: author.id().to_bytes(),
        seq: n,
        prev_seq: prev,
        published_unix_ms: START_UNIX_MS - age_ms,
        topic: "news".parse::<Topic>().unwrap(),
        count: 1,
        body_len,
        body_root,
    };
    let header = Signed::sign(header, author, &network).unwrap();
    let frame = wire::encode(&Message::Gossip(Box::new(Gossip {
        signed: header.signed().clone(),
        entries: entries.clone(),
    })));
    Arrival {
        id: header.id(&network),
        header,
        entries,
        body: None,
        frame,
        from: None,
        repaired: false,
    }
}
