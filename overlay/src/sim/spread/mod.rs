//! Messages: what a scenario publishes, and how it reached the nodes, beside a flood on the same links.
//!
//! Each host notes what it sends and gets (`tap`); once a second the notes are gathered, and messages that everybody has are added up
//! and forgotten, so that memory holds only what is under way.

mod flood;
pub mod load;
mod tally;
pub(super) mod tap;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use bytes::Bytes;
use crypto::PeerId;

use super::outcome::Outcome;
use super::scenario::Scenario;
use super::world::{Host, World};
use crate::input::{Command, Input, Token};
use crate::messages::Topic;
use crate::wire::{Name, author_of};
use flood::Graph;
use load::Plan;
use tally::{Message, Tally};
use tap::{Fact, Kind, Noted, Of, Sums};

/// The messages of one run.
#[derive(Debug)]
pub(super) struct Spread {
    plan: Plan,
    payload: usize,
    /// What a copy takes an uplink, microseconds; `None` = nothing.
    send_us: Option<u32>,
    topic: Topic,
    ids: BTreeMap<PeerId, u32>,
    authors: BTreeMap<u64, u32>,
    links: Graph,
    live: BTreeMap<Name, Message>,
    /// Large ones among them, as chunks of their bodies name them.
    bodies: BTreeMap<u64, Name>,
    tally: Tally,
    /// What each host had done when measuring began.
    before: Vec<Sums>,
}

impl Spread {
    /// What a scenario publishes with this seed; `None` = nothing.
    pub(super) fn new(scenario: &Scenario, seed: u64) -> Option<Self> {
        let topic = "spread".parse().ok()?;
        let send = |uplink: u64| scenario.payload as f64 / uplink as f64 * 1e6;
        (scenario.payload > 0).then(|| Self {
            plan: Plan::new(scenario, seed),
            payload: scenario.payload,
            send_us: (scenario.uplink > 0).then(|| send(scenario.uplink) as u32),
            topic,
            ids: BTreeMap::new(),
            authors: BTreeMap::new(),
            links: Graph::default(),
            live: BTreeMap::new(),
            bodies: BTreeMap::new(),
            tally: Tally::default(),
            before: Vec::new(),
        })
    }

    /// What is published when, and when measuring begins.
    pub(super) const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Publishes message number `number` of the plan.
    pub(super) fn publish(&self, number: usize, world: &mut World) {
        let Some(planned) = self.plan.messages.get(number) else {
            return;
        };
        let mut payload = vec![0x5a; self.payload];
        for (byte, of) in payload.iter_mut().zip((number as u64).to_le_bytes()) {
            *byte = of;
        }
        let command = Command::Publish {
            token: Token(number as u64),
            topic: self.topic.clone(),
            payloads: vec![Bytes::from(payload)],
        };
        world.tell(planned.author, Input::Command(command));
    }

    /// Measuring begins.
    pub(super) fn begin(&mut self, world: &mut World) {
        self.gather(world);
        self.before = world.hosts().map(|host| sums(host.tap())).collect();
    }

    /// Gathers the notes of all hosts; once a second.
    pub(super) fn gather(&mut self, world: &mut World) {
        if self.ids.len() != world.len() {
            let number = |index| u32::try_from(index).unwrap_or(u32::MAX);
            let ids = world.index_of_ids().into_iter();
            self.ids = ids.map(|(id, index)| (id, number(index))).collect();
            let authors = self.ids.iter();
            self.authors = authors
                .map(|(id, index)| (author_of(id.as_bytes()), *index))
                .collect();
        }
        let notes: Vec<Vec<Noted>> = (0..world.len())
            .map(|host| world.take_notes(host))
            .collect();
        for note in notes.iter().flatten() {
            self.signed(note, world.len());
        }
        let up: Vec<bool> = world.hosts().map(|host| host.is_honest()).collect();
        for (host, notes) in notes.into_iter().enumerate() {
            let host = u32::try_from(host).unwrap_or(u32::MAX);
            for note in notes {
                let name = match note.of {
                    Of::Named(name) => Some(name),
                    Of::Body(id) => self.bodies.get(&id).copied(),
                };
                let Some(message) = name.and_then(|name| self.live.get_mut(&name)) else {
                    continue;
                };
                match note.fact {
                    Fact::Signed | Fact::SignedLarge { .. } => {}
                    Fact::Copy { from } => message.copy(host, from, note.at),
                    // Hostile nodes are not waited for.
                    Fact::Delivered if !up[host as usize] => {}
                    Fact::Delivered => message.deliver(host, note.at),
                }
            }
        }
        let done: Vec<Message> = self
            .live
            .extract_if(.., |_, message| {
                world
                    .hosts()
                    .all(|host| !is_due(host, message) || message.is_at(host.index()))
            })
            .map(|(_, message)| message)
            .collect();
        for message in done {
            self.end(&message, world);
        }
        let live = &self.live;
        self.bodies.retain(|_, name| live.contains_key(name));
        self.links = Graph::of(world, &self.ids);
    }

    fn signed(&mut self, note: &Noted, hosts: usize) {
        let (Of::Named(name), Fact::Signed | Fact::SignedLarge { .. }) = (note.of, note.fact)
        else {
            return;
        };
        let author = self.authors.get(&name.0).copied();
        let Some(author) = author.filter(|_| note.at >= self.plan.measured_from) else {
            return;
        };
        let flood = self.links.flood(author);
        let tree = self.send_us.map(|us| self.links.tree(author, us));
        self.tally.begin(author, &flood, tree);
        let message = Message::new(author, note.at, hosts);
        self.live.insert(name, message);
        if let Fact::SignedLarge { id } = note.fact {
            self.bodies.insert(id, name);
        }
    }

    fn end(&mut self, message: &Message, world: &World) {
        let expected: Vec<bool> = world.hosts().map(|host| is_due(host, message)).collect();
        self.tally.end(message, &expected);
    }

    /// The run is over: puts the figures into the outcome.
    pub(super) fn finish(mut self, world: &mut World, outcome: &mut Outcome) {
        self.gather(world);
        for message in std::mem::take(&mut self.live).into_values() {
            self.end(&message, world);
        }
        let mut figures = self.tally.figures();
        figures.extend(self.loads(world));
        let figures = figures
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value));
        outcome.metrics.extend(figures);
        for (name, counts) in self.tally.distributions() {
            outcome.histograms.insert(name.to_owned(), counts);
        }
    }

    /// What the messages cost since measuring began.
    fn loads(&self, world: &World) -> tally::Figures {
        let mut figures = tally::Figures::new();
        let (mut all, mut most, mut hostile_in, mut hostile) = (Sums::default(), 0, 0, 0);
        for host in world.hosts() {
            let before = self.before.get(host.index() as usize).copied();
            let did = sums(host.tap()).since(&before.unwrap_or_default());
            if host.who().hostile {
                hostile += 1;
                hostile_in += did.payload_in;
                continue;
            }
            for (sum, one) in all.frames_out.iter_mut().zip(did.frames_out) {
                *sum += one;
            }
            all.wire += did.wire;
            all.payload_out += did.payload_out;
            all.payload_in += did.payload_in;
            all.refused += did.refused;
            most = most.max(did.payload_out);
        }
        figures.insert("publish_refused", all.refused as f64);
        let (deliveries, messages) = (self.tally.delivered(), self.tally.messages());
        if deliveries == 0 {
            return figures;
        }
        let payload = self.payload as f64;
        let each = |bytes: u64| bytes as f64 / (payload * deliveries as f64);
        figures.insert("copies", each(all.payload_in));
        figures.insert("redundancy", each(all.payload_in) - 1.0);
        figures.insert("bytes_ratio", each(all.frames_out.iter().sum()));
        figures.insert("wire_ratio", each(all.wire));
        figures.insert("upload_ratio", each(all.payload_out));
        let alone = |bytes: u64| bytes as f64 / (payload * messages as f64);
        figures.insert("upload_ratio_max", alone(most));
        for (name, kind) in [
            ("head_ratio", Kind::Heads),
            ("announce_ratio", Kind::Announcements),
            ("control_ratio", Kind::Control),
            ("repair_ratio", Kind::Repair),
        ] {
            figures.insert(name, each(all.frames_out[kind as usize]));
        }
        if hostile > 0 {
            figures.insert("hostile_copies", alone(hostile_in) / f64::from(hostile));
        }
        figures
    }
}

/// Whether a host is one of those who must get a message: honest, and up since before it was signed.
fn is_due(host: &Host, message: &Message) -> bool {
    host.is_honest() && host.started_at() <= message.signed
}

fn sums(tap: Option<&tap::Tap>) -> Sums {
    tap.map(tap::Tap::sums).unwrap_or_default()
}
