//! The archive: who was proven once, for this node to dial after a restart, a suspend or a partition. Never handed on, holding no slot.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crypto::PeerId;
use rand::Rng;

use super::groups::Groups;
use super::{ArchiveEntry, Group, PeerRow, Prefix};
use crate::action::Row;
use crate::collections::{KeyedMap, Keys, reserve_one};
use crate::config::AddressPreset;
use crate::cx::Cx;

#[derive(Clone, Copy, Debug)]
struct Kept {
    addr: SocketAddr,
    proven_unix_ms: u64,
    persisted: Instant,
}

impl Kept {
    const fn entry(&self, peer: PeerId) -> ArchiveEntry {
        ArchiveEntry {
            peer,
            addr: self.addr,
            proven_unix_ms: self.proven_unix_ms,
        }
    }
}

/// At most `capacity` entries. When full, the entry proven longest ago of the most crowded group goes, so that a crowd behind few
/// prefixes pushes out only its own; time alone removes nothing.
#[derive(Debug)]
pub(super) struct Archive {
    preset: AddressPreset,
    capacity: usize,
    persist_every: Duration,
    entries: KeyedMap<PeerId, Kept>,
    groups: Groups,
}

impl Archive {
    pub(super) fn new(
        preset: AddressPreset,
        capacity: usize,
        persist_every: Duration,
        rng: &mut impl Rng,
    ) -> Self {
        Self {
            preset,
            capacity: capacity.max(1),
            persist_every,
            entries: KeyedMap::with_hasher(Keys::new(rng)),
            groups: Groups::new(rng),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nobody has had to make room yet.
    pub(super) fn has_all(&self) -> bool {
        self.entries.len() < self.capacity
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
            self.remove(&entry.peer);
            self.insert(*entry, cx.now.mono);
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
        match self.entries.get_mut(&peer).filter(|kept| kept.addr == addr) {
            Some(kept) => {
                kept.proven_unix_ms = entry.proven_unix_ms;
                let since = cx.now.mono.saturating_duration_since(kept.persisted);
                if since < self.persist_every {
                    return;
                }
                kept.persisted = cx.now.mono;
            }
            None => {
                self.remove(&peer);
                self.insert(entry, cx.now.mono);
            }
        }
        cx.persist(Row::Peer(PeerRow::Archived(entry)));
        self.make_room(cx);
    }

    fn insert(&mut self, entry: ArchiveEntry, persisted: Instant) {
        self.groups.insert(self.group(entry.addr), entry.peer);
        reserve_one(&mut self.entries);
        self.entries.insert(
            entry.peer,
            Kept {
                addr: entry.addr,
                proven_unix_ms: entry.proven_unix_ms,
                persisted,
            },
        );
    }

    fn remove(&mut self, peer: &PeerId) {
        if let Some(kept) = self.entries.swap_remove(peer) {
            self.groups.remove(&self.group(kept.addr), peer);
        }
    }

    fn make_room(&mut self, cx: &mut Cx<'_>) {
        while self.entries.len() > self.capacity {
            let crowd = self.groups.largest().iter();
            let longest_ago = crowd
                .filter_map(|peer| Some((self.entries.get(peer)?.proven_unix_ms, *peer)))
                .min();
            let Some((_, victim)) = longest_ago else {
                return;
            };
            self.remove(&victim);
            cx.stats.peers.archive_evicted += 1;
            cx.persist(Row::Peer(PeerRow::Unarchived(victim)));
        }
    }

    /// A random entry: first a group, then a peer in it, so that no crowd decides whom a node comes back to.
    pub(super) fn pick(&self, rng: &mut impl Rng) -> Option<ArchiveEntry> {
        let peer = self.groups.pick(rng)?;
        self.get(&peer)
    }

    pub(super) fn get(&self, peer: &PeerId) -> Option<ArchiveEntry> {
        self.entries.get(peer).map(|kept| kept.entry(*peer))
    }
}
