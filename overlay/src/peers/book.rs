//! The book itself: passive data, lent to `sampling` and `neighbors`.

use std::collections::BTreeSet;
use std::hash::Hash;
use std::net::SocketAddr;
use std::time::Instant;

use crypto::{PeerId, Verified};
use indexmap::Equivalent;
use rand::Rng;

use super::archive::Archive;
use super::candidates::{Candidates, Class};
use super::departed::Departed;
use super::dials::Dials;
use super::proven::{Entry, ProvenSet, is_stale, lists};
use super::{Caps, Config, Group, Marker, Marks, canonical, is_taken};
use crate::config::AddressPreset;
use crate::cx::Cx;
use crate::input::Now;
use crate::restored::Restored;
use crate::rules::{Rule, Rules};
use crate::wire::{ListItem, PeerRecord};

/// Most anchors kept.
pub(super) const MAX_ANCHORS: usize = 2;

/// Who told us of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The peer itself, when it called us. It is dialled back first.
    Caller,
    /// The list of another peer.
    List {
        /// Whose list.
        from: PeerId,
        /// The record would win a slot of the memory; else it waits for a feeler.
        wins: bool,
    },
}

/// What became of a heard record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A new candidate.
    New,
    /// It replaced an older record of the same peer.
    Renewed,
    /// Known already.
    Known,
    /// Out of date, or from the future.
    Stale,
    /// Our own.
    Myself,
    /// Nothing in it can be dialled (now).
    NoAddress,
    /// A cap is reached.
    Full,
}

/// The book. See the room's documentation.
#[derive(Debug)]
pub struct Book {
    pub(super) me: PeerId,
    pub(super) preset: AddressPreset,
    pub(super) caps: Caps,
    pub(super) rules: Rules,
    pub(super) config: Config,
    pub(super) young: bool,
    pub(super) marker: Marker,
    pub(super) candidates: Candidates,
    pub(super) proven: ProvenSet,
    pub(super) departed: Departed,
    pub(super) archive: Archive,
    pub(super) dials: Dials,
    pub(super) anchors: Vec<(PeerId, SocketAddr)>,
    /// Peers whose proof came, changed or went since `take_touched`.
    pub(super) touched: BTreeSet<PeerId>,
    /// Last sign of life from anybody.
    pub(super) last_contact: Option<Instant>,
    pub(super) next_sweep: Instant,
}

impl Book {
    /// A book that knows what the store kept.
    #[must_use]
    pub fn new(restored: &Restored, cx: &mut Cx<'_>) -> Self {
        let (mut config, preset) = (cx.config.peers.clone(), cx.config.addresses);
        let caps = if cx.rules.hold(Rule::AddressCaps) {
            Caps::of(preset)
        } else {
            Caps::NONE
        };
        if !cx.rules.hold(Rule::SourceQuota) {
            config.per_source = config.heard;
        }
        let mut archive = Archive::new(preset, config.archive, config.archive_persist, cx.rng);
        archive.restore(&restored.archive, cx);
        let mut anchors = restored.anchors.clone();
        anchors.truncate(MAX_ANCHORS);
        Self {
            me: cx.me(),
            preset,
            caps,
            rules: cx.rules,
            young: true,
            marker: Marker::new(cx.rng),
            candidates: Candidates::new(preset, caps, cx.rng),
            proven: ProvenSet::new(preset, caps, config.proven, config.proof_valid, cx.rng),
            departed: Departed::default(),
            archive,
            dials: Dials::new(&config, cx.now.mono),
            anchors,
            touched: BTreeSet::new(),
            last_contact: None,
            next_sweep: cx.now.mono,
            config,
        }
    }

    // ---- addresses

    /// The caps per address and group, the same for links, dials and records.
    #[must_use]
    pub const fn caps(&self) -> Caps {
        self.caps
    }

    /// The groups of an address.
    #[must_use]
    pub fn group_of(&self, addr: SocketAddr) -> Group {
        Group::of(addr.ip(), self.preset)
    }

    /// What an id is ranked by at an address.
    #[must_use]
    pub fn marks(&self, id: &[u8; 32], addr: SocketAddr) -> Marks {
        let preset = if self.rules.hold(Rule::PrefixRank) {
            self.preset
        } else {
            AddressPreset::Local
        };
        self.marker.marks(id, addr.ip(), preset)
    }

    /// This address answered with our own key: never dial it again.
    pub fn note_own_addr(&mut self, addr: SocketAddr, _cx: &mut Cx<'_>) {
        self.dials.note_own(canonical(addr));
    }

    // ---- records

    /// The version of the record in the book, by raw key; also of a peer that has left.
    #[must_use]
    pub fn version_of(&self, id: &[u8; 32]) -> Option<u64> {
        let proven = self.proven.get(id).map(|entry| entry.record.version);
        proven
            .or_else(|| self.candidates.get(id).map(|c| c.record.version))
            .or_else(|| self.departed.version_of(id))
    }

    /// The newest record of a peer, heard or proven.
    #[must_use]
    pub fn record_of(&self, peer: &PeerId) -> Option<&Verified<PeerRecord>> {
        let proven = self.proven.get(peer).map(|entry| &entry.record);
        proven.or_else(|| self.candidates.get(peer).map(|candidate| &candidate.record))
    }

    /// Takes in a record with a good signature. `bits` are the addresses that the source has proven itself (0 = it says nothing,
    /// all are tried); only those are dialled.
    pub fn heard(
        &mut self,
        record: Verified<PeerRecord>,
        bits: u8,
        source: Source,
        cx: &mut Cx<'_>,
    ) -> Heard {
        let heard = if self.rules.hold(Rule::OwnDial) {
            self.take_in(record, bits, source, cx)
        } else {
            self.trust(record, bits, cx)
        };
        let counter = match heard {
            Heard::New => &mut cx.stats.peers.heard,
            Heard::Renewed => &mut cx.stats.peers.renewed,
            Heard::Known | Heard::Myself => &mut cx.stats.peers.known,
            Heard::Stale => &mut cx.stats.peers.stale,
            Heard::NoAddress => &mut cx.stats.peers.no_address,
            Heard::Full => &mut cx.stats.peers.over_cap,
        };
        *counter += 1;
        heard
    }

    fn take_in(
        &mut self,
        record: Verified<PeerRecord>,
        bits: u8,
        source: Source,
        cx: &mut Cx<'_>,
    ) -> Heard {
        let peer = record.signer();
        if peer == self.me {
            return Heard::Myself;
        }
        if !record.is_current(cx.now.unix_ms / 1000) {
            return Heard::Stale;
        }
        match self.departed.version_of(peer.as_bytes()) {
            Some(version) if version >= record.version => return Heard::Known,
            Some(_) => self.departed.forget(&peer),
            None => {}
        }
        if let Some(entry) = self.proven.get(&peer) {
            if entry.record.version >= record.version {
                return Heard::Known;
            }
            if !self.replace_record(peer, record.clone(), cx) {
                return Heard::Renewed;
            }
        }
        let bits = self.dialable_bits(&record, if bits == 0 { !0 } else { bits }, cx.now.mono);
        if bits == 0 {
            return Heard::NoAddress;
        }
        let (class, from) = match source {
            Source::Caller => (Class::Caller, None),
            Source::List { from, wins } => {
                let class = if wins { Class::Wins } else { Class::Spare };
                (class, Some(self.queue_of(from)))
            }
        };
        if let Some(candidate) = self.candidates.get(&peer) {
            let newer = candidate.record.version < record.version;
            let update = newer.then_some((record, bits));
            self.candidates.update(&peer, update, class, &self.config);
            return if newer { Heard::Renewed } else { Heard::Known };
        }
        let now = cx.now.mono;
        if self
            .candidates
            .insert(record, bits, class, from, &self.config, now)
        {
            Heard::New
        } else {
            Heard::Full
        }
    }

    /// Gives a proven peer its newer record. A record that no longer names the proven address, where the older one did, ends the
    /// proof: true, and the peer is to be heard again.
    fn replace_record(
        &mut self,
        peer: PeerId,
        record: Verified<PeerRecord>,
        cx: &mut Cx<'_>,
    ) -> bool {
        let Some(entry) = self.proven.get(&peer) else {
            return false;
        };
        if entry.is_listed() && !lists(&record, entry.addr) {
            self.drop_proven(&peer);
            cx.stats.peers.moved += 1;
            return true;
        }
        self.proven.set_record(&peer, record, cx.now);
        false
    }

    // ---- proof

    /// A dial of ours ended in accept: the peer is at this address. Nothing else proves anything.
    pub fn proven(
        &mut self,
        peer: PeerId,
        addr: SocketAddr,
        record: Verified<PeerRecord>,
        cx: &mut Cx<'_>,
    ) {
        let addr = canonical(addr);
        self.in_touch(cx.now.mono);
        self.dials.rested(addr, peer);
        if peer == self.me || record.signer() != peer {
            return;
        }
        self.candidates.proven(&peer);
        self.departed.forget(&peer);
        if !is_taken(addr, self.preset) {
            cx.stats.peers.proofs_over_cap += 1;
            return;
        }
        if is_stale(&record, cx.now.unix_ms) {
            cx.stats.peers.stale += 1;
            return;
        }
        self.archive.proven(peer, addr, cx);
        let known = self.proven.get(&peer).map(|entry| entry.record.version);
        if known.is_some_and(|version| version < record.version) {
            self.replace_record(peer, record.clone(), cx);
        }
        let kept = self
            .proven
            .get(&peer)
            .is_some_and(|entry| entry.addr == addr || self.outweighs(entry, addr, cx.now.mono));
        if kept {
            cx.stats.peers.proofs_renewed += 1;
            if self.proven.get(&peer).is_some_and(|e| e.addr == addr) {
                self.proven.renew(&peer, cx.now);
            }
            return;
        }
        let record = self
            .proven
            .remove(&peer)
            .map_or(record, |entry| entry.record);
        self.touched.insert(peer);
        if !self.proven.admits(addr) {
            cx.stats.peers.proofs_over_cap += 1;
            return;
        }
        cx.stats.peers.proofs += 1;
        let marks = self.marks(peer.as_bytes(), addr);
        if let Some(evicted) = self.proven.insert(peer, addr, marks, record, cx.now) {
            cx.stats.peers.proven_evicted += 1;
            self.touched.insert(evicted);
        }
    }

    /// Whether the standing proof at another address is kept over a new one at `addr`: it is in its first half, its dials do not
    /// fail, and the peer names it.
    fn outweighs(&self, entry: &Entry, addr: SocketAddr, now: Instant) -> bool {
        let age = now.saturating_duration_since(entry.proven);
        age < self.config.proof_valid / 2
            && entry.failures() == 0
            && (entry.is_listed() || !lists(&entry.record, addr))
    }

    /// A peer spoke over a link that we dialled to `addr` and that is still open: that is as good as another dial.
    /// A proof that has ended meanwhile is not revived: its record is heard again.
    pub fn renewed(
        &mut self,
        peer: PeerId,
        addr: SocketAddr,
        record: Verified<PeerRecord>,
        cx: &mut Cx<'_>,
    ) {
        let addr = canonical(addr);
        self.in_touch(cx.now.mono);
        if record.signer() != peer || is_stale(&record, cx.now.unix_ms) {
            return;
        }
        let Some(entry) = self.proven.get(&peer) else {
            self.heard(record, 0, Source::Caller, cx);
            return;
        };
        if entry.record.version < record.version && self.replace_record(peer, record.clone(), cx) {
            self.heard(record, 0, Source::Caller, cx);
            return;
        }
        if self.proven.get(&peer).is_some_and(|e| e.addr == addr) {
            cx.stats.peers.proofs_renewed += 1;
            self.proven.renew(&peer, cx.now);
        }
    }

    /// When the peer was last proven; `None` if it is not.
    #[must_use]
    pub fn proven_at(&self, peer: &PeerId) -> Option<Instant> {
        self.proven.get(peer).map(|entry| entry.proven)
    }

    /// Where the peer is proven to be, and what it is ranked by there.
    #[must_use]
    pub fn proven_marks(&self, peer: &PeerId) -> Option<(SocketAddr, Marks)> {
        let entry = self.proven.get(peer)?;
        Some((entry.addr, entry.marks))
    }

    /// Where the peer is proven to be.
    #[must_use]
    pub fn proven_addr(&self, peer: &PeerId) -> Option<SocketAddr> {
        self.proven.get(peer).map(|entry| entry.addr)
    }

    /// Whether the peer, by id or by raw key, is proven, anywhere.
    #[must_use]
    pub fn is_proven<K: Hash + Equivalent<PeerId>>(&self, peer: &K) -> bool {
        self.proven.get(peer).is_some()
    }

    /// Dials to this proven peer that failed in a row.
    #[must_use]
    pub fn failures_of(&self, peer: &PeerId) -> u32 {
        self.proven.get(peer).map_or(0, Entry::failures)
    }

    /// Number of proven peers whose last dial failed.
    #[must_use]
    pub fn failing(&self) -> usize {
        self.proven.failing()
    }

    /// All proven peers with their proven addresses and what they are ranked by there, in no particular order.
    pub fn proven_peers(&self) -> impl Iterator<Item = (PeerId, SocketAddr, Marks)> {
        self.proven
            .iter()
            .map(|(peer, entry)| (*peer, entry.addr, entry.marks))
    }

    /// Number of proven peers.
    #[must_use]
    pub fn proven_len(&self) -> usize {
        self.proven.len()
    }

    /// Number of heard records that await a dial.
    #[must_use]
    pub fn heard_len(&self) -> usize {
        self.candidates.len()
    }

    #[cfg(test)]
    pub(super) fn sources_len(&self) -> usize {
        self.candidates.sources_len()
    }

    /// Peers whose proof came, changed its address or went since the last call. At most as many as a step touched.
    pub fn take_touched(&mut self) -> BTreeSet<PeerId> {
        std::mem::take(&mut self.touched)
    }

    /// A proven peer's record to be handed on: current, naming the proven address, its last dial not failed.
    #[must_use]
    pub fn item_of(&self, peer: &PeerId, now: Now) -> Option<ListItem> {
        let entry = self.proven.get(peer)?;
        let proven = entry.bit()?;
        if entry.failures() > 0 || !entry.record.is_current(now.unix_ms / 1000) {
            return None;
        }
        Some(ListItem {
            record: entry.record.signed().clone(),
            proven,
        })
    }

    /// A random proven peer, fair over groups first.
    pub fn pick_proven(&self, rng: &mut impl Rng) -> Option<PeerId> {
        self.proven.pick(rng)
    }

    pub(super) fn drop_proven(&mut self, peer: &PeerId) {
        if self.proven.remove(peer).is_some() {
            self.touched.insert(*peer);
        }
    }

    // ---- time

    /// When [`expire`](Self::expire) has something to do.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        self.proven.next_expiry()
    }

    /// Drops proofs and records that have run out. Cheap when nothing is due.
    pub fn expire(&mut self, cx: &mut Cx<'_>) {
        for peer in self.proven.expire(cx.now) {
            cx.stats.peers.lapsed += 1;
            self.touched.insert(peer);
        }
        if cx.now.mono >= self.next_sweep {
            self.next_sweep = cx.now.mono + std::time::Duration::from_secs(60);
            let stale = self.candidates.expire(cx.now.unix_ms / 1000);
            cx.stats.peers.stale += stale as u64;
            self.departed.expire(cx.now.unix_ms);
        }
    }
}
