//! The memory: slots that each hold the proven peer of least rank under a secret seed (BASALT: Auvolat, Bromberg, Frey, Mvondo,
//! Taiani, Middleware 2023).
//!
//! However often and however loudly an identity is named, its rank under a seed it does not know stays what it is. The rank
//! compares the prefixes of the address we proved before it compares ids, so that many ids behind few prefixes win few slots:
//! fair over address groups first, then over the ids within them. Where all share a prefix it is fair over ids.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use crypto::PeerId;
use rand::Rng;
use rand::RngExt as _;

use super::size::Census;
use crate::config::AddressPreset;
use crate::peers::{Group, Prefix};

/// Hashes of widest, wide and narrow group and of the id: compared in this order.
pub(super) type Rank = [u64; 4];

/// What a rank is made of.
#[derive(Clone, Copy, Debug)]
struct Ranked<'a> {
    /// `None` = no groups (one machine or a test): only ids count.
    group: Option<Group>,
    id: &'a [u8; 32],
}

impl Ranked<'_> {
    fn level(&self, seed: &[u8; 32], level: usize) -> u64 {
        let prefix = |prefix: Prefix| {
            let mut input = [0; 19];
            input[0] = u8::try_from(level).unwrap_or(u8::MAX);
            input[1..].copy_from_slice(&prefix.bytes());
            keyed(seed, &input)
        };
        match (level, &self.group) {
            (0, Some(group)) => prefix(group.widest),
            (1, Some(group)) => prefix(group.wide),
            (2, Some(group)) => prefix(group.narrow),
            (3, _) => keyed(seed, self.id),
            _ => 0,
        }
    }

    fn levels(&self) -> std::ops::Range<usize> {
        if self.group.is_some() { 0..4 } else { 3..4 }
    }

    fn rank(&self, seed: &[u8; 32]) -> Rank {
        std::array::from_fn(|level| self.level(seed, level))
    }

    /// Whether this ranks below `rank`; computes only as many levels as it takes to tell.
    fn is_below(&self, seed: &[u8; 32], rank: &Rank) -> bool {
        for level in self.levels() {
            let own = self.level(seed, level);
            if own != rank[level] {
                return own < rank[level];
            }
        }
        false
    }
}

/// First 8 bytes of BLAKE3 keyed with the seed.
fn keyed(seed: &[u8; 32], input: &[u8]) -> u64 {
    let hash = blake3::keyed_hash(seed, input);
    let mut first = [0; 8];
    first.copy_from_slice(&hash.as_bytes()[..8]);
    u64::from_le_bytes(first)
}

#[derive(Clone, Copy, Debug)]
struct Holder {
    peer: PeerId,
    rank: Rank,
}

#[derive(Debug)]
struct Slot {
    seed: [u8; 32],
    holder: Option<Holder>,
    /// How often the slot was visited since its seed.
    uses: u64,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    addr: SocketAddr,
    slots: usize,
}

/// The ranked slots and the census beside them. Its size is fixed: `m` slots, so at most `m` distinct members.
pub struct Memory {
    preset: AddressPreset,
    slots: Vec<Slot>,
    members: BTreeMap<PeerId, Member>,
    census: Census,
    /// Emptied since the last refill.
    vacant: BTreeSet<usize>,
    /// The slot whose seed is oldest.
    oldest: usize,
}

impl std::fmt::Debug for Memory {
    /// Leaves the seeds out: they are secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory")
            .field("slots", &self.slots.len())
            .field("members", &self.members.len())
            .finish_non_exhaustive()
    }
}

impl Memory {
    /// An empty memory of `slots` slots (at least 1) with fresh seeds.
    pub(super) fn new(slots: usize, preset: AddressPreset, rng: &mut impl Rng) -> Self {
        let slots: Vec<Slot> = (0..slots.max(1))
            .map(|_| Slot {
                seed: rng.random(),
                holder: None,
                uses: 0,
            })
            .collect();
        Self {
            preset,
            census: Census::new(slots.len(), rng),
            vacant: (0..slots.len()).collect(),
            slots,
            members: BTreeMap::new(),
            oldest: 0,
        }
    }

    fn ranked<'a>(&self, id: &'a [u8; 32], ip: IpAddr) -> Ranked<'a> {
        let group = (self.preset != AddressPreset::Local).then(|| Group::of(ip, self.preset));
        Ranked { group, id }
    }

    /// Number of slots.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Number of slots that hold a peer.
    #[must_use]
    pub fn filled(&self) -> usize {
        (0..self.slots())
            .filter(|slot| self.holder(*slot).is_some())
            .count()
    }

    /// Number of distinct members.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether nobody is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The distinct members and the addresses they are ranked under, in order of id.
    pub fn members(&self) -> impl Iterator<Item = (PeerId, SocketAddr)> {
        self.members
            .iter()
            .map(|(peer, member)| (*peer, member.addr))
    }

    /// The address a member is ranked under.
    #[must_use]
    pub fn addr_of(&self, peer: &PeerId) -> Option<SocketAddr> {
        self.members.get(peer).map(|member| member.addr)
    }

    /// How many slots a peer holds.
    #[must_use]
    pub fn slots_of(&self, peer: &PeerId) -> usize {
        self.members.get(peer).map_or(0, |member| member.slots)
    }

    /// Who holds a slot.
    pub(super) fn holder(&self, slot: usize) -> Option<PeerId> {
        self.slots.get(slot)?.holder.map(|holder| holder.peer)
    }

    /// All distinct members with the least use count of their slots.
    pub(super) fn uses(&self) -> BTreeMap<PeerId, u64> {
        let mut uses: BTreeMap<PeerId, u64> = BTreeMap::new();
        for slot in &self.slots {
            if let Some(holder) = slot.holder {
                let least = uses.entry(holder.peer).or_insert(slot.uses);
                *least = slot.uses.min(*least);
            }
        }
        uses
    }

    /// Counts a visit to a member on all of its slots.
    pub(super) fn used(&mut self, peer: &PeerId) {
        for slot in &mut self.slots {
            if slot.holder.is_some_and(|holder| holder.peer == *peer) {
                slot.uses = slot.uses.saturating_add(1);
            }
        }
    }

    /// Whether a peer at this address would win a slot or a place in the census, were it proven.
    #[must_use]
    pub fn would_win(&self, id: &[u8; 32], addr: SocketAddr) -> bool {
        let ranked = self.ranked(id, addr.ip());
        let slot = self.slots.iter().any(|slot| match &slot.holder {
            None => true,
            Some(holder) => ranked.is_below(&slot.seed, &holder.rank),
        });
        slot || self.census.would_count(id)
    }

    /// Offers a proven peer to every slot; returns how many it won. Only the book's word that a peer is proven may lead here.
    pub(super) fn offer(&mut self, peer: PeerId, addr: SocketAddr) -> usize {
        self.census.offer(&peer);
        let mut won = 0;
        for index in 0..self.slots.len() {
            won += usize::from(self.offer_to(index, peer, addr));
        }
        won
    }

    fn offer_to(&mut self, index: usize, peer: PeerId, addr: SocketAddr) -> bool {
        let ranked = self.ranked(peer.as_bytes(), addr.ip());
        let slot = &mut self.slots[index];
        let before = slot.holder;
        if let Some(holder) = &before
            && (holder.peer == peer || !ranked.is_below(&slot.seed, &holder.rank))
        {
            return false;
        }
        let rank = ranked.rank(&slot.seed);
        slot.holder = Some(Holder { peer, rank });
        slot.uses = 0;
        self.vacant.remove(&index);
        if let Some(holder) = before {
            self.lose(&holder.peer);
        }
        let member = self
            .members
            .entry(peer)
            .or_insert(Member { addr, slots: 0 });
        member.slots += 1;
        true
    }

    fn lose(&mut self, peer: &PeerId) {
        if let Some(member) = self.members.get_mut(peer) {
            member.slots = member.slots.saturating_sub(1);
            if member.slots == 0 {
                self.members.remove(peer);
            }
        }
    }

    /// Takes a peer out of all of its slots and of the census. They stay empty until [`refill`](Self::refill).
    pub(super) fn remove(&mut self, peer: &PeerId) {
        self.census.remove(peer);
        if self.members.remove(peer).is_none() {
            return;
        }
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if slot.holder.is_some_and(|holder| holder.peer == *peer) {
                slot.holder = None;
                self.vacant.insert(index);
            }
        }
    }

    /// Whether slots (or places of the census) are empty that one of the proven peers may take.
    pub(super) fn needs_refill(&self) -> bool {
        !self.vacant.is_empty() || self.census.has_vacant()
    }

    /// Ranks the proven peers anew for all empty slots.
    pub(super) fn refill(&mut self, proven: impl Iterator<Item = (PeerId, SocketAddr)>) {
        let vacant: Vec<usize> = self.vacant.iter().copied().collect();
        let census = self.census.has_vacant();
        for (peer, addr) in proven {
            for index in &vacant {
                self.offer_to(*index, peer, addr);
            }
            if census {
                self.census.offer(&peer);
            }
        }
    }

    /// Gives the slot with the oldest seed a fresh one and empties it. Returns who held it; `None` when it was empty, and then its
    /// seed stays.
    pub(super) fn reset_oldest(&mut self, rng: &mut impl Rng) -> Option<PeerId> {
        let index = self.oldest;
        self.oldest = (self.oldest + 1) % self.slots.len();
        let slot = &mut self.slots[index];
        let holder = slot.holder.take()?;
        slot.seed = rng.random();
        slot.uses = 0;
        self.vacant.insert(index);
        self.lose(&holder.peer);
        Some(holder.peer)
    }

    /// The census.
    pub(super) fn census(&self) -> &Census {
        &self.census
    }

    /// Number of wide groups (/16, /32) among the members; 1 where there are no groups.
    #[must_use]
    pub fn group_count(&self) -> usize {
        let wide = |member: &Member| Group::of(member.addr.ip(), self.preset).wide;
        let groups: BTreeSet<Prefix> = self.members.values().map(wide).collect();
        groups.len()
    }

    #[cfg(test)]
    pub(super) fn check(&self) {
        let mut slots: BTreeMap<PeerId, usize> = BTreeMap::new();
        for (index, slot) in self.slots.iter().enumerate() {
            match slot.holder {
                Some(holder) => {
                    *slots.entry(holder.peer).or_default() += 1;
                    let addr = self.members[&holder.peer].addr;
                    let ranked = self.ranked(holder.peer.as_bytes(), addr.ip());
                    assert_eq!(ranked.rank(&slot.seed), holder.rank);
                    assert!(!self.vacant.contains(&index));
                }
                None => assert!(self.vacant.contains(&index)),
            }
        }
        let counted: BTreeMap<PeerId, usize> = self
            .members
            .iter()
            .map(|(peer, m)| (*peer, m.slots))
            .collect();
        assert_eq!(slots, counted);
    }
}
