//! The memory: slots that each hold the proven peer of least rank under a secret seed (BASALT: Auvolat, Bromberg, Frey, Mvondo,
//! Taiani, Middleware 2023).
//!
//! However often and however loudly an identity is named, its rank under a seed it does not know stays what it is. The rank
//! compares the prefixes of the address we proved before it compares ids, so that many ids behind few prefixes win few slots:
//! fair over address groups first, then over the ids within them. Where all share a prefix it is fair over ids.
//! Prefixes and ids are hashed once, into secret marks; each slot makes its own ranks of them (`draw`).

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Instant;

use crypto::PeerId;
use rand::Rng;

use super::draw::Seed;
use super::size::Census;
use crate::config::AddressPreset;
use crate::peers::{Group, Marks, Prefix};

/// What a slot's seed makes of the marks of widest, wide and narrow prefix and of the id: compared in this order.
type Rank = [u64; 4];

/// Where a member is in the table of members.
type Place = u16;

#[derive(Clone)]
struct Slot {
    rank: Rank,
    /// How often the slot was visited since its seed.
    uses: u64,
    holder: Option<Place>,
}

/// A distinct member.
#[derive(Clone, Copy, Debug)]
struct Member {
    peer: PeerId,
    addr: SocketAddr,
    /// How many slots it holds; 0 = the place is free.
    slots: usize,
    visited: Option<Instant>,
    /// The number of its entry: higher than those of all who entered before.
    entered: u64,
}

/// A member as its turn to be visited depends on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    pub(super) peer: PeerId,
    /// The least use count of its slots.
    pub(super) uses: u64,
    pub(super) visited: Option<Instant>,
}

/// The ranked slots and the census beside them. Its size is fixed: `m` slots, so at most `m` distinct members.
#[derive(Clone)]
pub struct Memory {
    preset: AddressPreset,
    slots: Vec<Slot>,
    /// The slots' seeds.
    seeds: Vec<Seed>,
    /// The first numbers of the slots' ranks, the highest number where a slot is empty: with the seeds they are all that it takes to
    /// tell that a peer wins nothing.
    first: Vec<u64>,
    /// As many places as there were members at most; free ones are in `free`.
    members: Vec<Member>,
    free: Vec<Place>,
    /// How often a peer that was no member became one.
    entered: u64,
    places: BTreeMap<PeerId, Place>,
    /// Members of each wide prefix.
    groups: BTreeMap<Prefix, usize>,
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
            .field("members", &self.places.len())
            .finish_non_exhaustive()
    }
}

impl Memory {
    /// An empty memory of `slots` slots (1 to 65,535) with fresh seeds.
    pub(super) fn new(slots: usize, preset: AddressPreset, rng: &mut impl Rng) -> Self {
        let slots: Vec<Slot> = (0..slots.clamp(1, usize::from(Place::MAX)))
            .map(|_| Slot {
                rank: Rank::default(),
                uses: 0,
                holder: None,
            })
            .collect();
        let seeds: Vec<Seed> = slots.iter().map(|_| Seed::new(rng)).collect();
        Self {
            preset,
            census: Census::new(&seeds),
            vacant: (0..slots.len()).collect(),
            seeds,
            first: vec![u64::MAX; slots.len()],
            slots,
            members: Vec::new(),
            free: Vec::new(),
            entered: 0,
            places: BTreeMap::new(),
            groups: BTreeMap::new(),
            oldest: 0,
        }
    }

    /// Number of slots.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Number of slots that hold a peer.
    #[must_use]
    pub fn filled(&self) -> usize {
        let held = |slot: &&Slot| slot.holder.is_some();
        self.slots.iter().filter(held).count()
    }

    /// Number of distinct members.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether nobody is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    fn member(&self, peer: &PeerId) -> Option<&Member> {
        self.members.get(usize::from(*self.places.get(peer)?))
    }

    /// The distinct members and the addresses they are ranked under, in order of id.
    pub fn members(&self) -> impl Iterator<Item = (PeerId, SocketAddr)> {
        self.places
            .iter()
            .map(|(peer, place)| (*peer, self.members[usize::from(*place)].addr))
    }

    /// The address a member is ranked under.
    #[must_use]
    pub fn addr_of(&self, peer: &PeerId) -> Option<SocketAddr> {
        self.member(peer).map(|member| member.addr)
    }

    /// How many slots a peer holds.
    #[must_use]
    pub fn slots_of(&self, peer: &PeerId) -> usize {
        self.member(peer).map_or(0, |member| member.slots)
    }

    /// Who holds a slot.
    pub(super) fn holder(&self, slot: usize) -> Option<PeerId> {
        self.holding(slot).map(|(_, peer)| peer)
    }

    /// Who holds a slot, and its place among the members: below [`places`](Self::places).
    pub(super) fn holding(&self, slot: usize) -> Option<(usize, PeerId)> {
        let place = usize::from(self.slots.get(slot)?.holder?);
        Some((place, self.members.get(place)?.peer))
    }

    /// Places of members, the free ones included.
    pub(super) fn places(&self) -> usize {
        self.members.len()
    }

    /// All distinct members, in no particular order.
    pub(super) fn turns(&self) -> Vec<Turn> {
        let mut uses = vec![u64::MAX; self.members.len()];
        for slot in &self.slots {
            if let Some(place) = slot.holder {
                let least = &mut uses[usize::from(place)];
                *least = slot.uses.min(*least);
            }
        }
        let members = self.members.iter().zip(uses);
        members
            .filter(|(member, _)| member.slots > 0)
            .map(|(member, uses)| Turn {
                peer: member.peer,
                uses,
                visited: member.visited,
            })
            .collect()
    }

    /// Counts a visit to a member on all of its slots.
    pub(super) fn used(&mut self, peer: &PeerId) {
        let Some(place) = self.places.get(peer).copied() else {
            return;
        };
        for slot in &mut self.slots {
            if slot.holder == Some(place) {
                slot.uses = slot.uses.saturating_add(1);
            }
        }
    }

    /// Notes that a visit to a member was begun, or tried.
    pub(super) fn visited(&mut self, peer: &PeerId, now: Instant) {
        if let Some(place) = self.places.get(peer) {
            self.members[usize::from(*place)].visited = Some(now);
        }
    }

    /// The `n` members that entered last, and their places, in no particular order.
    pub(super) fn newest(&self, n: usize) -> Vec<(usize, PeerId)> {
        if n == 0 {
            return Vec::new();
        }
        let members = self.members.iter().enumerate();
        let mut newest: Vec<_> = members
            .filter(|(_, member)| member.slots > 0)
            .map(|(place, member)| (u64::MAX - member.entered, place, member.peer))
            .collect();
        if n < newest.len() {
            newest.select_nth_unstable(n);
            newest.truncate(n);
        }
        let places = newest.into_iter();
        places.map(|(_, place, peer)| (place, peer)).collect()
    }

    /// The slots that a peer of these marks would win: whose holder ranks above it, or that are empty. Who holds a slot does not win it.
    fn won_by(&self, marks: &Marks) -> impl Iterator<Item = usize> {
        let [first, rest @ ..] = marks.0;
        let slots = self.seeds.iter().zip(&self.first).enumerate();
        slots
            .filter(move |(index, (seed, held))| {
                let own = seed.of(first);
                own < **held || (own == **held && self.is_tie_won_by(*index, &rest))
            })
            .map(|(index, _)| index)
    }

    /// As [`won_by`](Self::won_by), for one slot.
    fn is_won_by(&self, index: usize, marks: &Marks) -> bool {
        let [first, rest @ ..] = marks.0;
        let (own, held) = (self.seeds[index].of(first), self.first[index]);
        own < held || (own == held && self.is_tie_won_by(index, &rest))
    }

    /// As [`won_by`](Self::won_by), for a slot whose rank begins with the same number; computes only as many levels as it takes to tell.
    fn is_tie_won_by(&self, index: usize, rest: &[u64; 3]) -> bool {
        let (slot, seed) = (&self.slots[index], &self.seeds[index]);
        let levels = rest.iter().zip(&slot.rank[1..]);
        let mut differ = levels
            .map(|(mark, held)| (seed.of(*mark), *held))
            .filter(|(own, held)| own != held);
        slot.holder.is_none() || differ.next().is_some_and(|(own, held)| own < held)
    }

    /// Whether a peer of these marks would win a slot or a place in the census, were it proven.
    #[must_use]
    pub fn would_win(&self, marks: &Marks) -> bool {
        self.won_by(marks).next().is_some() || self.census.would_count(marks)
    }

    /// Offers a proven peer, of these marks at this address, to every slot; returns how many it won. Only the book's word that a
    /// peer is proven may lead here.
    pub(super) fn offer(&mut self, peer: PeerId, addr: SocketAddr, marks: &Marks) -> usize {
        self.census.offer(&peer, marks);
        let won: Vec<usize> = self.won_by(marks).collect();
        for index in &won {
            self.give(*index, peer, addr, marks);
        }
        won.len()
    }

    /// Gives a slot to a peer that has won it.
    fn give(&mut self, index: usize, peer: PeerId, addr: SocketAddr, marks: &Marks) {
        let place = self.place_of(peer, addr);
        self.members[usize::from(place)].slots += 1;
        let slot = &mut self.slots[index];
        slot.rank = marks.0.map(|mark| self.seeds[index].of(mark));
        self.first[index] = slot.rank[0];
        slot.uses = 0;
        match slot.holder.replace(place) {
            Some(before) => self.lose(before),
            None => {
                self.vacant.remove(&index);
            }
        }
    }

    /// The place of a member, made if it is none yet.
    fn place_of(&mut self, peer: PeerId, addr: SocketAddr) -> Place {
        if let Some(place) = self.places.get(&peer) {
            return *place;
        }
        self.entered += 1;
        let member = Member {
            peer,
            addr,
            slots: 0,
            visited: None,
            entered: self.entered,
        };
        let place = match self.free.pop() {
            Some(place) => {
                self.members[usize::from(place)] = member;
                place
            }
            None => {
                self.members.push(member);
                // A newcomer is placed before the one it displaces goes, so there may be one more than there are slots.
                Place::try_from(self.members.len() - 1).unwrap_or(Place::MAX)
            }
        };
        self.places.insert(peer, place);
        *self.groups.entry(self.wide(addr)).or_default() += 1;
        place
    }

    /// A member has lost one slot.
    fn lose(&mut self, place: Place) {
        let member = &mut self.members[usize::from(place)];
        member.slots = member.slots.saturating_sub(1);
        if member.slots == 0 {
            let (peer, addr) = (member.peer, member.addr);
            self.forget(&peer, addr);
        }
    }

    fn forget(&mut self, peer: &PeerId, addr: SocketAddr) {
        if let Some(place) = self.places.remove(peer) {
            self.members[usize::from(place)].slots = 0;
            self.free.push(place);
        }
        let wide = self.wide(addr);
        if let Some(count) = self.groups.get_mut(&wide) {
            *count -= 1;
            if *count == 0 {
                self.groups.remove(&wide);
            }
        }
    }

    fn wide(&self, addr: SocketAddr) -> Prefix {
        Group::of(addr.ip(), self.preset).wide
    }

    /// Takes a peer out of all of its slots and of the census. They stay empty until [`refill`](Self::refill).
    pub(super) fn remove(&mut self, peer: &PeerId) {
        self.census.remove(peer);
        let Some(place) = self.places.get(peer).copied() else {
            return;
        };
        self.forget(peer, self.members[usize::from(place)].addr);
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if slot.holder == Some(place) {
                slot.holder = None;
                self.first[index] = u64::MAX;
                self.vacant.insert(index);
            }
        }
    }

    /// Whether slots (or places of the census) are empty that one of the proven peers may take.
    pub(super) fn needs_refill(&self) -> bool {
        !self.vacant.is_empty() || self.census.has_vacant()
    }

    /// Ranks the proven peers anew for all empty slots; returns which those were.
    pub(super) fn refill(
        &mut self,
        proven: impl Iterator<Item = (PeerId, SocketAddr, Marks)>,
    ) -> Vec<usize> {
        let vacant: Vec<usize> = self.vacant.iter().copied().collect();
        let census = self.census.has_vacant();
        for (peer, addr, marks) in proven {
            for index in &vacant {
                if self.is_won_by(*index, &marks) {
                    self.give(*index, peer, addr, &marks);
                }
            }
            if census {
                self.census.offer(&peer, &marks);
            }
        }
        vacant
    }

    /// For each of these slots the `n` of the given peers that would win it, were they proven, and rank least of those that would.
    pub(super) fn winners(
        &self,
        slots: &[usize],
        n: usize,
        peers: impl Iterator<Item = (PeerId, Marks)>,
    ) -> BTreeSet<PeerId> {
        let mut least: Vec<Vec<(Rank, PeerId)>> = vec![Vec::new(); slots.len()];
        for (peer, marks) in peers {
            for (index, least) in slots.iter().zip(&mut least) {
                if self.is_won_by(*index, &marks) {
                    let rank = marks.0.map(|mark| self.seeds[*index].of(mark));
                    let at = least.partition_point(|(other, _)| *other < rank);
                    least.insert(at, (rank, peer));
                    least.truncate(n);
                }
            }
        }
        least.into_iter().flatten().map(|(_, peer)| peer).collect()
    }

    /// Gives the slot with the oldest seed a fresh one and empties it. Returns who held it; `None` when it was empty, and then its
    /// seed stays.
    pub(super) fn reset_oldest(&mut self, rng: &mut impl Rng) -> Option<PeerId> {
        let index = self.oldest;
        self.oldest = (self.oldest + 1) % self.slots.len();
        let slot = &mut self.slots[index];
        let holder = slot.holder.take()?;
        slot.uses = 0;
        self.seeds[index] = Seed::new(rng);
        self.first[index] = u64::MAX;
        self.vacant.insert(index);
        let peer = self.members[usize::from(holder)].peer;
        self.lose(holder);
        Some(peer)
    }

    /// The census.
    pub(super) fn census(&self) -> &Census {
        &self.census
    }

    /// Whether a peer holds a slot or a place in the census.
    pub(super) fn counts(&self, peer: &PeerId) -> bool {
        self.places.contains_key(peer) || self.census.holders().any(|holder| holder == *peer)
    }

    /// All who hold a slot or a place in the census.
    pub(super) fn counted(&self) -> BTreeSet<PeerId> {
        self.places
            .keys()
            .copied()
            .chain(self.census.holders())
            .collect()
    }

    /// Number of wide groups (/16, /32) among the members; 1 where there are no groups.
    #[must_use]
    pub fn group_count(&self) -> usize {
        self.groups.len()
    }

    #[cfg(test)]
    pub(super) fn check(&self, marks: &dyn Fn(&PeerId, SocketAddr) -> Marks) {
        let mut slots: BTreeMap<PeerId, usize> = BTreeMap::new();
        for (index, slot) in self.slots.iter().enumerate() {
            match self.holder(index) {
                Some(holder) => {
                    *slots.entry(holder).or_default() += 1;
                    let addr = self.addr_of(&holder).unwrap();
                    let seed = &self.seeds[index];
                    let rank = marks(&holder, addr).0.map(|mark| seed.of(mark));
                    assert_eq!((rank, rank[0]), (slot.rank, self.first[index]));
                    assert!(!self.vacant.contains(&index));
                }
                None => assert!(self.vacant.contains(&index)),
            }
        }
        let counted: BTreeMap<PeerId, usize> = self
            .places
            .keys()
            .map(|peer| (*peer, self.slots_of(peer)))
            .collect();
        assert_eq!(slots, counted);
        assert_eq!(self.members.len(), self.places.len() + self.free.len());
        assert!(self.members.len() <= self.slots.len() + 1);
        let wide: BTreeSet<Prefix> = self.members().map(|(_, addr)| self.wide(addr)).collect();
        assert!(self.groups.keys().eq(wide.iter()));
        assert_eq!(self.groups.values().sum::<usize>(), self.len());
        let turns: BTreeSet<PeerId> = self.turns().iter().map(|turn| turn.peer).collect();
        assert!(turns.iter().eq(self.places.keys()));
    }
}
