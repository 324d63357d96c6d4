//! Peers that this node itself has proven: a dial of its own ended in accept, at an address, not long ago.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crypto::{PeerId, Verified};
use rand::Rng;
use rand::RngExt as _;

use super::crowd::Crowd;
use super::{Caps, Group, Prefix};
use crate::collections::IndexedSet;
use crate::config::AddressPreset;
use crate::input::Now;
use crate::wire::{PeerRecord, RECORD_VALID_S};

/// One proven peer. A peer with two addresses is proven at one of them at a time.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) record: Verified<PeerRecord>,
    pub(super) addr: SocketAddr,
    /// When the proof was made or renewed.
    pub(super) proven: Instant,
    /// When proof or record runs out, whichever is first.
    deadline: Instant,
    /// Dials in a row that failed while we were not cut off ourselves.
    pub(super) failures: u32,
}

impl Entry {
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
    entries: BTreeMap<PeerId, Entry>,
    groups: BTreeMap<Prefix, IndexedSet<PeerId>>,
    crowd: Crowd,
    /// No entry runs out before this.
    soonest: Option<Instant>,
}

impl ProvenSet {
    pub(super) fn new(preset: AddressPreset, caps: Caps, capacity: usize, valid: Duration) -> Self {
        Self {
            preset,
            capacity: capacity.max(1),
            valid,
            entries: BTreeMap::new(),
            groups: BTreeMap::new(),
            crowd: Crowd::new(preset, caps),
            soonest: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// By id or by raw key.
    pub(super) fn get<K: Ord>(&self, peer: &K) -> Option<&Entry>
    where
        PeerId: Borrow<K>,
    {
        self.entries.get(peer)
    }

    pub(super) fn get_mut(&mut self, peer: &PeerId) -> Option<&mut Entry> {
        self.entries.get_mut(peer)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&PeerId, &Entry)> {
        self.entries.iter()
    }

    fn deadline(&self, record: &PeerRecord, proven: Instant, now: Now) -> Instant {
        // One second after its last: `is_stale` compares whole seconds.
        let end_ms = (record.issued_unix_s.saturating_add(RECORD_VALID_S + 1)).saturating_mul(1000);
        // A date far in the future is no reason to keep a record longer than one issued now.
        let left = end_ms
            .saturating_sub(now.unix_ms)
            .min((RECORD_VALID_S + 1) * 1000);
        (proven + self.valid).min(now.mono + Duration::from_millis(left))
    }

    fn note_deadline(&mut self, deadline: Instant) {
        self.soonest = Some(
            self.soonest
                .map_or(deadline, |soonest| soonest.min(deadline)),
        );
    }

    /// Renews a proof at its address.
    pub(super) fn renew(&mut self, peer: &PeerId, now: Now) {
        let valid = self.entries.get(peer).map(|entry| entry.record.clone());
        let Some(record) = valid else { return };
        let deadline = self.deadline(&record, now.mono, now);
        if let Some(entry) = self.entries.get_mut(peer) {
            entry.proven = now.mono;
            entry.failures = 0;
            entry.deadline = deadline;
        }
        self.note_deadline(deadline);
    }

    /// Takes a newer record of a proven peer over; the address stays.
    pub(super) fn set_record(&mut self, peer: &PeerId, record: Verified<PeerRecord>, now: Now) {
        let Some(proven) = self.entries.get(peer).map(|entry| entry.proven) else {
            return;
        };
        let deadline = self.deadline(&record, proven, now);
        if let Some(entry) = self.entries.get_mut(peer) {
            entry.record = record;
            entry.deadline = deadline;
        }
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
        record: Verified<PeerRecord>,
        now: Now,
    ) -> Option<PeerId> {
        self.remove(&peer);
        let evicted = (self.entries.len() >= self.capacity)
            .then(|| {
                let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.proven);
                oldest.map(|(peer, _)| *peer)
            })
            .flatten();
        if let Some(evicted) = &evicted {
            self.remove(evicted);
        }
        let deadline = self.deadline(&record, now.mono, now);
        self.crowd.add(addr);
        self.groups
            .entry(Group::of(addr.ip(), self.preset).wide)
            .or_default()
            .insert(peer);
        self.entries.insert(
            peer,
            Entry {
                record,
                addr,
                proven: now.mono,
                deadline,
                failures: 0,
            },
        );
        self.note_deadline(deadline);
        evicted
    }

    pub(super) fn remove(&mut self, peer: &PeerId) -> Option<Entry> {
        let entry = self.entries.remove(peer)?;
        self.crowd.remove(entry.addr);
        let group = Group::of(entry.addr.ip(), self.preset).wide;
        if let Some(members) = self.groups.get_mut(&group) {
            members.remove(peer);
            if members.is_empty() {
                self.groups.remove(&group);
            }
        }
        Some(entry)
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
        if self.groups.is_empty() {
            return None;
        }
        let nth = rng.random_range(0..self.groups.len());
        let members = self.groups.values().nth(nth)?;
        members.random(rng).copied()
    }
}
