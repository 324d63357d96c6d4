//! Peers that this node itself has proven: a dial of its own ended in accept, at an address, not long ago.

use std::hash::Hash;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crypto::{PeerId, Verified};
use indexmap::Equivalent;
use rand::Rng;

use super::crowd::Crowd;
use super::groups::Groups;
use super::{Caps, Group, Marks};
use crate::collections::{KeyedMap, Keys, reserve_one};
use crate::config::AddressPreset;
use crate::input::Now;
use crate::wire::{PeerRecord, RECORD_VALID_S};

/// One proven peer. A peer with two addresses is proven at one of them at a time.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) record: Verified<PeerRecord>,
    pub(super) addr: SocketAddr,
    /// What it is ranked by at this address.
    pub(super) marks: Marks,
    /// When the proof was made or renewed.
    pub(super) proven: Instant,
    /// When proof or record runs out, whichever is first.
    deadline: Instant,
    /// Dials in a row that failed while we were not cut off ourselves.
    failures: u32,
}

impl Entry {
    /// Dials in a row that failed while we were not cut off ourselves.
    pub(super) const fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether the peer itself says that it can be dialled at the proven address; only then is it handed on.
    pub(super) fn is_listed(&self) -> bool {
        lists(&self.record, self.addr)
    }

    /// The bit of the proven address.
    pub(super) fn bit(&self) -> Option<u8> {
        let mut addrs = self.record.addrs();
        addrs
            .find(|(_, addr)| *addr == self.addr)
            .map(|(bit, _)| bit)
    }
}

/// Whether a record names an address.
pub(super) fn lists(record: &PeerRecord, addr: SocketAddr) -> bool {
    record.addrs().any(|(_, listed)| listed == addr)
}

/// Whether a record's time is over. A date ahead of our clock does not make it so.
pub(super) fn is_stale(record: &PeerRecord, unix_ms: u64) -> bool {
    unix_ms / 1000 > record.issued_unix_s.saturating_add(RECORD_VALID_S)
}

/// All proven peers: at most `capacity`, under the caps per address and group. When full, the oldest proof makes room; members of
/// the memory are visited in that very order, so theirs are never the oldest for long.
#[derive(Debug)]
pub(super) struct ProvenSet {
    preset: AddressPreset,
    capacity: usize,
    valid: Duration,
    entries: KeyedMap<PeerId, Entry>,
    groups: Groups,
    crowd: Crowd,
    /// Entries whose last dial failed.
    failing: usize,
    /// Some of the oldest proofs when they were last looked for, the oldest last; all others were, or are, younger.
    oldest: Vec<(Instant, PeerId)>,
    /// No entry runs out before this.
    soonest: Option<Instant>,
}

impl ProvenSet {
    pub(super) fn new(
        preset: AddressPreset,
        caps: Caps,
        capacity: usize,
        valid: Duration,
        rng: &mut impl Rng,
    ) -> Self {
        Self {
            preset,
            capacity: capacity.max(1),
            valid,
            entries: KeyedMap::with_hasher(Keys::new(rng)),
            groups: Groups::new(rng),
            crowd: Crowd::new(preset, caps),
            failing: 0,
            oldest: Vec::new(),
            soonest: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// By id or by raw key.
    pub(super) fn get<K: Hash + Equivalent<PeerId>>(&self, peer: &K) -> Option<&Entry> {
        self.entries.get(peer)
    }

    /// A dial failed; returns how many have in a row.
    pub(super) fn failed(&mut self, peer: &PeerId) -> Option<u32> {
        let entry = self.entries.get_mut(peer)?;
        self.failing += usize::from(entry.failures == 0);
        entry.failures = entry.failures.saturating_add(1);
        Some(entry.failures)
    }

    /// How many failed to be dialled the last time.
    pub(super) const fn failing(&self) -> usize {
        self.failing
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&PeerId, &Entry)> {
        self.entries.iter()
    }

    fn note_deadline(&mut self, deadline: Instant) {
        self.soonest = Some(
            self.soonest
                .map_or(deadline, |soonest| soonest.min(deadline)),
        );
    }

    /// Renews a proof at its address.
    pub(super) fn renew(&mut self, peer: &PeerId, now: Now) {
        let valid = self.valid;
        let Some(entry) = self.entries.get_mut(peer) else {
            return;
        };
        entry.proven = now.mono;
        self.failing -= usize::from(entry.failures > 0);
        entry.failures = 0;
        entry.deadline = deadline(&entry.record, now.mono, valid, now);
        let deadline = entry.deadline;
        self.note_deadline(deadline);
    }

    /// Takes a newer record of a proven peer over; the address stays.
    pub(super) fn set_record(&mut self, peer: &PeerId, record: Verified<PeerRecord>, now: Now) {
        let valid = self.valid;
        let Some(entry) = self.entries.get_mut(peer) else {
            return;
        };
        entry.deadline = deadline(&record, entry.proven, valid, now);
        entry.record = record;
        let deadline = entry.deadline;
        self.note_deadline(deadline);
    }

    /// Whether a newcomer at this address is within the caps.
    pub(super) fn admits(&self, addr: SocketAddr) -> bool {
        self.crowd.admits(addr)
    }

    /// Adds a peer proven now. Returns who had to go for it.
    pub(super) fn insert(
        &mut self,
        peer: PeerId,
        addr: SocketAddr,
        marks: Marks,
        record: Verified<PeerRecord>,
        now: Now,
    ) -> Option<PeerId> {
        self.remove(&peer);
        let evicted = (self.entries.len() >= self.capacity)
            .then(|| self.oldest())
            .flatten();
        if let Some(evicted) = &evicted {
            self.remove(evicted);
        }
        let deadline = deadline(&record, now.mono, self.valid, now);
        self.crowd.add(addr);
        self.groups
            .insert(Group::of(addr.ip(), self.preset).wide, peer);
        reserve_one(&mut self.entries);
        self.entries.insert(
            peer,
            Entry {
                record,
                addr,
                marks,
                proven: now.mono,
                deadline,
                failures: 0,
            },
        );
        self.note_deadline(deadline);
        evicted
    }

    pub(super) fn remove(&mut self, peer: &PeerId) -> Option<Entry> {
        let entry = self.entries.swap_remove(peer)?;
        self.failing -= usize::from(entry.failures > 0);
        self.crowd.remove(entry.addr);
        let group = Group::of(entry.addr.ip(), self.preset).wide;
        self.groups.remove(&group, peer);
        Some(entry)
    }

    /// The peer whose proof is oldest. Proofs are only ever made or renewed now, so those once found to be the oldest, as far as they
    /// have not been renewed, are older than all others: looking through everything gives the next few dozen answers at once.
    fn oldest(&mut self) -> Option<PeerId> {
        loop {
            if self.oldest.is_empty() {
                self.oldest.extend(
                    self.entries
                        .iter()
                        .map(|(peer, entry)| (entry.proven, *peer)),
                );
                self.oldest.sort_unstable();
                self.oldest.truncate(self.entries.len().div_ceil(16));
                self.oldest.reverse();
            }
            let (proven, peer) = self.oldest.pop()?;
            if self
                .entries
                .get(&peer)
                .is_some_and(|entry| entry.proven == proven)
            {
                debug_assert!(self.entries.values().all(|entry| entry.proven >= proven));
                return Some(peer);
            }
        }
    }

    /// When the next proof or record runs out, at the earliest.
    pub(super) const fn next_expiry(&self) -> Option<Instant> {
        self.soonest
    }

    /// Removes what has run out.
    pub(super) fn expire(&mut self, now: Now) -> Vec<PeerId> {
        if self.soonest.is_none_or(|soonest| now.mono < soonest) {
            return Vec::new();
        }
        let over: Vec<PeerId> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.deadline <= now.mono || is_stale(&entry.record, now.unix_ms))
            .map(|(peer, _)| *peer)
            .collect();
        for peer in &over {
            self.remove(peer);
        }
        // At least once a minute, since the wall clock may jump.
        let soonest = self.entries.values().map(|entry| entry.deadline).min();
        self.soonest = soonest.map(|soonest| soonest.min(now.mono + Duration::from_secs(60)));
        over
    }

    /// A random peer: first a group, then a peer in it.
    pub(super) fn pick(&self, rng: &mut impl Rng) -> Option<PeerId> {
        self.groups.pick(rng)
    }
}

/// When proof or record runs out.
fn deadline(record: &PeerRecord, proven: Instant, valid: Duration, now: Now) -> Instant {
    // One second after its last: `is_stale` compares whole seconds.
    let end_ms = (record.issued_unix_s.saturating_add(RECORD_VALID_S + 1)).saturating_mul(1000);
    // A date far in the future is no reason to keep a record longer than one issued now.
    let left = end_ms
        .saturating_sub(now.unix_ms)
        .min((RECORD_VALID_S + 1) * 1000);
    (proven + valid).min(now.mono + Duration::from_millis(left))
}
