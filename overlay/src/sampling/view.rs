//! What the others may read: the memory and the stream of samples.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use crypto::PeerId;
use rand::Rng;
use rand::RngExt as _;
use rand::seq::SliceRandom as _;

use super::memory::Memory;
use crate::config::AddressPreset;
use crate::input::Now;
use crate::peers::Book;
use crate::wire::ListItem;

/// Emitted samples among which `sample` chooses, if it is asked for no more.
const POOL: usize = 32;

/// The memory and the stream of samples.
#[derive(Debug)]
pub struct View {
    pub(super) memory: Memory,
    /// Emitted samples that are still proven, newest last; at most as many as there are slots.
    samples: VecDeque<PeerId>,
    /// When the last fast start ended.
    pub(super) settled: Option<Instant>,
    /// Every sample emitted since a simulation last took them; `None` in a node that is not simulated.
    #[cfg(feature = "sim")]
    pub(super) emitted: Option<Vec<PeerId>>,
}

impl View {
    pub(super) fn new(slots: usize, preset: AddressPreset, rng: &mut impl Rng) -> Self {
        Self {
            memory: Memory::new(slots, preset, rng),
            samples: VecDeque::new(),
            settled: None,
            #[cfg(feature = "sim")]
            emitted: None,
        }
    }

    /// The memory.
    #[must_use]
    pub const fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The distinct members of the memory and their proven addresses, in order of id.
    pub fn peers(&self) -> impl Iterator<Item = (PeerId, SocketAddr)> {
        self.memory.members()
    }

    /// Number of distinct members.
    #[must_use]
    pub fn len(&self) -> usize {
        self.memory.len()
    }

    /// Whether nobody is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.memory.is_empty()
    }

    /// When the last fast start ended. What was drawn from the memory before was drawn from what happened to be heard first.
    #[must_use]
    pub const fn settled(&self) -> Option<Instant> {
        self.settled
    }

    /// Number of wide groups (/16, /32) among the members; 1 where there are no groups.
    #[must_use]
    pub fn group_count(&self) -> usize {
        self.memory.group_count()
    }

    /// The estimated number of dialable peers in the network, this node not counted (standard deviation about 6 %). It counts
    /// what this node could prove itself: unreachable identities do not raise it. `None` while nobody is proven.
    #[must_use]
    pub fn size_estimate(&self) -> Option<f64> {
        self.memory.census().estimate()
    }

    /// `n` distinct random peers, or all there are: from the last samples that resets of slots emitted, topped up from random
    /// slots.
    ///
    /// One sample is emitted every 5 exchanges, about every 50 s, and the choice is among the last 32 (or `n`); so answers within
    /// half an hour overlap, and they are independent of each other once all slots have been reset: with 256 slots after
    /// about three and a half hours.
    #[must_use]
    pub fn sample(&self, n: usize, rng: &mut impl Rng) -> Vec<PeerId> {
        let mut pool: Vec<PeerId> = Vec::new();
        for peer in self.samples.iter().rev() {
            if pool.len() >= POOL.max(n) {
                break;
            }
            if !pool.contains(peer) {
                pool.push(*peer);
            }
        }
        pool.shuffle(rng);
        pool.truncate(n);
        if pool.len() < n {
            let mut taken: BTreeSet<PeerId> = pool.iter().copied().collect();
            for slot in shuffled(self.memory.slots(), rng) {
                if pool.len() >= n {
                    break;
                }
                if let Some(peer) = self.memory.holder(slot)
                    && taken.insert(peer)
                {
                    pool.push(peer);
                }
            }
        }
        pool
    }

    pub(super) fn emit(&mut self, peer: PeerId) {
        if self.samples.len() >= self.memory.slots() {
            self.samples.pop_front();
        }
        self.samples.push_back(peer);
        #[cfg(feature = "sim")]
        if let Some(emitted) = &mut self.emitted {
            emitted.push(peer);
        }
    }

    pub(super) fn forget(&mut self, peer: &PeerId) {
        self.memory.remove(peer);
        self.samples.retain(|sample| sample != peer);
    }

    /// At most `n` records to hand on. First the `newest` that entered the memory last; then distinct peers from random slots, so
    /// that the rest of a list has the distribution of the memory itself; where that gives too few, topped up with proven peers, fair over
    /// groups. Never `to` itself.
    pub(super) fn share(
        &self,
        n: usize,
        newest: usize,
        to: &PeerId,
        book: &Book,
        rng: &mut impl Rng,
        now: Now,
    ) -> Vec<ListItem> {
        let mut items = Vec::with_capacity(n);
        let mut met = vec![false; self.memory.places()];
        let add = |peer: PeerId, items: &mut Vec<ListItem>| {
            if peer != *to
                && let Some(item) = book.item_of(&peer, now)
            {
                items.push(item);
            }
        };
        let newest = self.memory.newest(newest).into_iter();
        let slots = shuffled(self.memory.slots(), rng);
        for (place, peer) in newest.chain(slots.filter_map(|slot| self.memory.holding(slot))) {
            if items.len() >= n {
                return items;
            }
            if !std::mem::replace(&mut met[place], true) {
                add(peer, &mut items);
            }
        }
        // All members are in; a bounded number of draws finds more, if there are.
        if book.proven_len() > self.memory.len() {
            for _ in 0..2 * n {
                if items.len() >= n {
                    break;
                }
                if let Some(peer) = book.pick_proven(rng)
                    && !items
                        .iter()
                        .any(|item| item.record.value.id == *peer.as_bytes())
                {
                    add(peer, &mut items);
                }
            }
        }
        items
    }

    #[cfg(test)]
    pub(super) fn samples(&self) -> impl Iterator<Item = &PeerId> {
        self.samples.iter()
    }
}

#[cfg(feature = "sim")]
impl super::Sampling {
    /// Number of visits under way.
    #[must_use]
    pub fn visits_len(&self) -> usize {
        self.visits.len()
    }

    #[cfg(test)]
    pub(crate) fn plant_member(
        &mut self,
        peer: PeerId,
        addr: SocketAddr,
        marks: &crate::peers::Marks,
    ) {
        self.view.memory.remove(&peer);
        self.view.memory.offer(peer, addr, marks);
    }

    #[cfg(test)]
    pub(crate) fn plant_settled(&mut self, at: Instant) {
        self.view.settled = Some(at);
    }

    #[cfg(test)]
    pub(crate) fn plant_resets(&mut self, count: u64, rng: &mut impl Rng) {
        for _ in 0..count {
            self.view.memory.reset_oldest(rng);
        }
    }

    /// Takes the samples emitted since the last call; the first call only begins to keep them.
    pub(crate) fn take_emitted(&mut self) -> Vec<PeerId> {
        self.view.emitted.replace(Vec::new()).unwrap_or_default()
    }
}

/// The numbers below `n` in random order, shuffled as far as they are taken.
fn shuffled(n: usize, rng: &mut impl Rng) -> impl Iterator<Item = usize> {
    let mut numbers: Vec<u16> = (0..=u16::MAX).take(n).collect();
    let mut at = 0;
    std::iter::from_fn(move || {
        if at >= numbers.len() {
            return None;
        }
        let other = rng.random_range(at..numbers.len());
        numbers.swap(at, other);
        at += 1;
        Some(usize::from(numbers[at - 1]))
    })
}
