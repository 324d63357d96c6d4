//! Ranked slots without the rules that a node adds to them: whoever is named is believed, and of the callers of a round the first two.
//!
//! It is BASALT (A. Auvolat, Y.-D. Bromberg, D. Frey, D. Mvondo, F. Taïani, Middleware 2023) with ranks over ids alone and with the obvious
//! limit on what callers may cost, which makes it weaker: an adversary that calls more often than others is always among the first.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crypto::{KeyCache, NetworkId, PeerId, Signed, VerdictMemo};
use rand::RngExt as _;
use rand::rngs::ChaCha12Rng;
use rand::seq::SliceRandom as _;

use super::descriptors::Held;
use crate::action::Action;
use crate::input::{Input, LinkId, Now};
use crate::neighbors::Code;
use crate::sim::talk::{Said, Talk};
use crate::sim::world::{Actor, Known};
use crate::wire::{ExchangeRequest, ListItem, MAX_LIST, PeerRecord, Purpose};

/// Callers believed in a round.
const CAP: usize = 2;

#[derive(Debug)]
struct Slot {
    seed: [u8; 32],
    holder: Option<(u64, PeerId)>,
    hits: u32,
}

impl Slot {
    fn new(rng: &mut ChaCha12Rng) -> Self {
        Self {
            seed: rng.random(),
            holder: None,
            hits: 1,
        }
    }

    /// Hears of a peer: a hit if it holds the slot; it holds it from now on if it ranks lower.
    fn hear(&mut self, peer: &PeerId) {
        if self.holder.is_some_and(|(_, holder)| holder == *peer) {
            self.hits = self.hits.saturating_add(1);
            return;
        }
        let hash = blake3::keyed_hash(&self.seed, peer.as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&hash.as_bytes()[..8]);
        let rank = u64::from_le_bytes(first);
        if self.holder.is_none_or(|(best, _)| rank < best) {
            self.holder = Some((rank, *peer));
            self.hits = 1;
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aim {
    Pull,
    Push,
}

/// A node of naive ranked slots.
#[derive(Debug)]
pub(in crate::sim) struct NaiveCap {
    talk: Talk,
    network: NetworkId,
    keys: KeyCache,
    slots: Vec<Slot>,
    /// Whoever holds a slot.
    held: BTreeMap<PeerId, Held>,
    calls: BTreeMap<PeerId, Aim>,
    /// Connections whose answer is awaited; they are given up when the round is over.
    asked: BTreeSet<LinkId>,
    contacts: Vec<(PeerId, SocketAddr)>,
    rng: ChaCha12Rng,
    period: Duration,
    next: Instant,
    rounds: u64,
    rounds_per_reset: u32,
    next_reset: usize,
    /// Callers believed in this round.
    believed: usize,
    answered: u64,
}

impl NaiveCap {
    /// A node of `slots` slots that knows `contacts` at first. It pulls once and pushes once every `period`, and resets a slot every
    /// `rounds_per_reset` rounds (the paper: 1).
    #[expect(clippy::too_many_arguments, reason = "what a node is made of")]
    pub(in crate::sim) fn new(
        talk: Talk,
        network: NetworkId,
        memo: Arc<VerdictMemo>,
        slots: usize,
        contacts: Vec<(PeerId, SocketAddr)>,
        period: Duration,
        rounds_per_reset: u32,
        mut rng: ChaCha12Rng,
        now: Now,
    ) -> Self {
        let slots = (0..slots.max(1)).map(|_| Slot::new(&mut rng)).collect();
        let next = now.mono + period.mul_f64(rng.random());
        let mut node = Self {
            talk,
            network,
            keys: KeyCache::shared(memo),
            slots,
            held: BTreeMap::new(),
            calls: BTreeMap::new(),
            asked: BTreeSet::new(),
            contacts,
            rng,
            period,
            next,
            rounds: 0,
            rounds_per_reset: rounds_per_reset.max(1),
            next_reset: 0,
            believed: 0,
            answered: 0,
        };
        node.begin_anew();
        node
    }

    fn begin_anew(&mut self) {
        let contacts = self.contacts.iter();
        let held = contacts.map(|(peer, addr)| Held::contact(*peer, *addr));
        for held in held.collect::<Vec<_>>() {
            self.hear(held);
        }
    }

    fn hear(&mut self, held: Held) {
        if held.peer == self.talk.me() {
            return;
        }
        for slot in &mut self.slots {
            slot.hear(&held.peer);
        }
        // A record of a holder replaces an older one.
        let date = |held: &Held| held.record.as_ref().map(|record| record.value.version);
        match self.held.get_mut(&held.peer) {
            Some(before) if date(&held) > date(before) => *before = held,
            Some(_) => {}
            None => {
                self.held.insert(held.peer, held);
            }
        }
    }

    /// Takes whole lists for true.
    fn believe(&mut self, records: impl IntoIterator<Item = Signed<PeerRecord>>) {
        for record in records {
            if let Some(held) = Held::of(record, &self.network, &mut self.keys) {
                self.hear(held);
            }
        }
        self.tidy();
    }

    /// Forgets whoever holds no slot any more.
    fn tidy(&mut self) {
        let mut used: Vec<PeerId> = self.slots.iter().filter_map(holder).collect();
        used.sort_unstable();
        self.held.retain(|peer, _| used.binary_search(peer).is_ok());
    }

    fn tick(&mut self) {
        self.next += self.period;
        for link in std::mem::take(&mut self.asked) {
            self.talk.close(link, Code::Timeout);
        }
        self.believed = 0;
        self.rounds += 1;
        if self.rounds.is_multiple_of(self.rounds_per_reset.into()) {
            self.reset();
        }
        if self.held.is_empty() {
            self.begin_anew();
        }
        self.call(Aim::Pull);
        self.call(Aim::Push);
    }

    /// Begins one slot anew with the best of the others.
    fn reset(&mut self) {
        let at = self.next_reset;
        self.next_reset = (at + 1) % self.slots.len();
        self.slots[at] = Slot::new(&mut self.rng);
        self.refill();
    }

    fn refill(&mut self) {
        for slot in self.slots.iter_mut().filter(|slot| slot.holder.is_none()) {
            for peer in self.held.keys() {
                slot.hear(peer);
            }
        }
        self.tidy();
    }

    fn call(&mut self, aim: Aim) {
        let slots = self.slots.iter_mut().filter(|slot| slot.holder.is_some());
        let Some(slot) = slots.min_by_key(|slot| slot.hits) else {
            return;
        };
        slot.hits = slot.hits.saturating_add(1);
        let Some(held) = holder(slot).and_then(|peer| self.held.get(&peer)) else {
            return;
        };
        let (peer, addr) = (held.peer, held.addr);
        if !self.calls.contains_key(&peer) && self.talk.dial(peer, addr, Purpose::Visit) {
            self.calls.insert(peer, aim);
        }
    }

    fn list(&mut self, want: usize) -> Vec<ListItem> {
        let mut items: Vec<ListItem> = self.held.values().filter_map(Held::item).collect();
        items.shuffle(&mut self.rng);
        items.truncate(want.min(MAX_LIST));
        items
    }

    fn said(&mut self, said: Said, now: Now) {
        match said {
            Said::Opened { link, peer, record } => {
                if !self.talk.is_ours(link) {
                    return;
                }
                self.asked.insert(link);
                match self.calls.remove(&peer) {
                    Some(Aim::Pull) => self.talk.ask(link, MAX_LIST as u8, Vec::new(), now),
                    Some(Aim::Push) => {
                        let list = self.list(MAX_LIST);
                        self.talk.ask(link, 0, list, now);
                    }
                    None => self.talk.close(link, Code::Idle),
                }
                self.believe([record]);
            }
            Said::Asked { link, request } => self.asked(link, *request, now),
            Said::Answered { link, reply } => {
                self.talk.close(link, Code::Idle);
                self.asked.remove(&link);
                self.answered += 1;
                let listed = reply.list.iter().map(|item| item.record.clone());
                self.believe(listed);
            }
            Said::Failed { peer } => {
                self.calls.remove(&peer);
                self.held.remove(&peer);
                for slot in &mut self.slots {
                    if holder(slot) == Some(peer) {
                        slot.holder = None;
                        slot.hits = 1;
                    }
                }
                self.refill();
            }
            Said::Closed { link } => {
                self.asked.remove(&link);
            }
        }
    }

    fn asked(&mut self, link: LinkId, request: ExchangeRequest, now: Now) {
        let list = self.list(request.want.into());
        self.talk.answer(link, list, now);
        let pushes = request.want == 0 || !request.list.is_empty();
        if pushes && self.believed < CAP {
            self.believed += 1;
            let listed = request.list.iter().map(|item| item.record.clone());
            let records = std::iter::once(request.record.clone()).chain(listed);
            self.believe(records);
        }
    }
}

fn holder(slot: &Slot) -> Option<PeerId> {
    slot.holder.map(|(_, peer)| peer)
}

impl Actor for NaiveCap {
    fn handle(&mut self, now: Now, input: Input) {
        if let Some(said) = self.talk.handle(now, input) {
            self.said(said, now);
        }
        if self.next <= now.mono {
            self.tick();
        }
    }

    fn poll_action(&mut self) -> Option<Action> {
        self.talk.poll_action()
    }

    fn next_timeout(&self) -> Option<Instant> {
        Some(self.next)
    }

    fn view(&self) -> Vec<Known> {
        let mut slots: BTreeMap<PeerId, usize> = BTreeMap::new();
        for peer in self.slots.iter().filter_map(holder) {
            *slots.entry(peer).or_default() += 1;
        }
        let held = self.held.values();
        held.filter_map(|held| Some(held.known(*slots.get(&held.peer)?)))
            .collect()
    }

    fn answered(&self) -> u64 {
        self.answered
    }

    fn as_any(&mut self) -> &mut dyn std::any::Any {
        self
    }
}
