//! The archive: who was proven once, for this node to dial after a restart, a suspend or a partition. Never handed on, holding no slot.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crypto::PeerId;
use rand::Rng;
use rand::RngExt as _;

use super::{ArchiveEntry, Group, PeerRow, Prefix};
use crate::action::Row;
use crate::collections::IndexedSet;
use crate::config::AddressPreset;
use crate::cx::Cx;

#[derive(Clone, Copy, Debug)]
struct Kept {
    entry: ArchiveEntry,
    persisted: Option<Instant>,
}

/// At most `capacity` entries. When full, the entry proven longest ago of the most crowded group goes, so that a crowd behind few
/// prefixes pushes out only its own; time alone removes nothing.
#[derive(Debug)]
pub(super) struct Archive {
    preset: AddressPreset,
    capacity: usize,
    persist_every: Duration,
    entries: BTreeMap<PeerId, Kept>,
    groups: BTreeMap<Prefix, IndexedSet<PeerId>>,
}

impl Archive {
    pub(super) fn new(preset: AddressPreset, capacity: usize, persist_every: Duration) -> Self {
        Self {
            preset,
            capacity: capacity.max(1),
            persist_every,
            entries: BTreeMap::new(),
            groups: BTreeMap::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn group_count(&self) -> usize {
        self.groups.len()
    }

    fn group(&self, addr: SocketAddr) -> Prefix {
        Group::of(addr.ip(), self.preset).wide
    }

    /// Takes back what the store kept. More than the capacity (a lowered setting) is evicted by the same rule.
    pub(super) fn restore(&mut self, entries: &[ArchiveEntry], cx: &mut Cx<'_>) {
        for entry in entries {
            self.insert(*entry, Some(cx.now.mono));
            self.make_room(cx);
        }
    }

    /// The peer has been proven; its row is written at most once in the throttle's period unless its address changed.
    pub(super) fn proven(&mut self, peer: PeerId, addr: SocketAddr, cx: &mut Cx<'_>) {
        let entry = ArchiveEntry {
            peer,
            addr,
            proven_unix_ms: cx.now.unix_ms,
        };
        let before = self.entries.get(&peer).copied();
        let recently = before.is_some_and(|kept| {
            kept.entry.addr == addr
                && kept.persisted.is_some_and(|at| {
                    cx.now.mono.saturating_duration_since(at) < self.persist_every
                })
        });
        if recently {
            self.insert(entry, before.and_then(|kept| kept.persisted));
            return;
        }
        self.insert(entry, Some(cx.now.mono));
        cx.persist(Row::Peer(PeerRow::Archived(entry)));
        self.make_room(cx);
    }

    fn insert(&mut self, entry: ArchiveEntry, persisted: Option<Instant>) {
        self.remove(&entry.peer);
        self.groups
            .entry(self.group(entry.addr))
            .or_default()
            .insert(entry.peer);
        self.entries.insert(entry.peer, Kept { entry, persisted });
    }

    fn remove(&mut self, peer: &PeerId) {
        let Some(kept) = self.entries.remove(peer) else {
            return;
        };
        let group = self.group(kept.entry.addr);
        if let Some(members) = self.groups.get_mut(&group) {
            members.remove(peer);
            if members.is_empty() {
                self.groups.remove(&group);
            }
        }
    }

    fn make_room(&mut self, cx: &mut Cx<'_>) {
        while self.entries.len() > self.capacity {
            let crowd = self.groups.values().max_by_key(|members| members.len());
            let Some(victim) = crowd.and_then(|members| {
                members
                    .iter()
                    .filter_map(|peer| self.entries.get(peer))
                    .min_by_key(|kept| (kept.entry.proven_unix_ms, kept.entry.peer))
                    .map(|kept| kept.entry.peer)
            }) else {
                return;
            };
            self.remove(&victim);
            cx.stats.peers.archive_evicted += 1;
            cx.persist(Row::Peer(PeerRow::Unarchived(victim)));
        }
    }

    /// A random entry: first a group, then a peer in it, so that no crowd decides whom a node comes back to.
    pub(super) fn pick(&self, rng: &mut impl Rng) -> Option<ArchiveEntry> {
        if self.groups.is_empty() {
            return None;
        }
        let nth = rng.random_range(0..self.groups.len());
        let members = self.groups.values().nth(nth)?;
        let peer = members.random(rng)?;
        self.entries.get(peer).map(|kept| kept.entry)
    }

    pub(super) fn get(&self, peer: &PeerId) -> Option<&ArchiveEntry> {
        self.entries.get(peer).map(|kept| &kept.entry)
    }
}
