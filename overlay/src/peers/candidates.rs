//! Records that were only heard: candidates to be dialled, queued per source, so that whoever names many fills only its own queue.

use std::collections::{BTreeMap, VecDeque};
use std::hash::Hash;
use std::net::SocketAddr;
use std::ops::Bound;
use std::time::Instant;

use crypto::{PeerId, Verified};
use indexmap::Equivalent;
use rand::Rng;

use super::crowd::Crowd;
use super::{Caps, Config};
use crate::collections::{KeyedMap, Keys, reserve_one};
use crate::config::AddressPreset;
use crate::wire::PeerRecord;

/// How urgent a candidate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// Only known of.
    Spare,
    /// Would win a slot of the memory.
    Wins,
    /// Called us: it is there, and waits to be believed.
    Caller,
}

/// A heard record and what is still to be tried.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) record: Verified<PeerRecord>,
    /// Addresses not yet tried, as bits of `ListItem::proven`.
    pub(super) left: u8,
    class: Class,
    source: Option<PeerId>,
    dialing: bool,
    /// The address it is counted under.
    counted: SocketAddr,
}

impl Candidate {
    /// The address to try next.
    pub(super) fn addr(&self) -> Option<SocketAddr> {
        self.record
            .addrs()
            .find(|(bit, _)| self.left & bit != 0)
            .map(|(_, addr)| addr)
    }
}

/// Who named candidates, and how well they did.
#[derive(Debug)]
struct Source {
    queue: Vec<PeerId>,
    /// Of these, not being dialled, by class.
    idle: [usize; 3],
    tested: u32,
    dead: u32,
    last: Instant,
}

impl Source {
    /// Mostly dead candidates so far.
    fn is_bad(&self) -> bool {
        self.tested >= 4 && self.dead * 2 > self.tested
    }

    fn tested(&mut self, dead: bool) {
        self.tested += 1;
        self.dead += u32::from(dead);
        // What is long past counts less and less.
        if self.tested >= 32 {
            self.tested /= 2;
            self.dead /= 2;
        }
    }
}

/// All candidates. At most `config.heard` of them, `config.per_source` untested per source (one for a source whose candidates
/// mostly turned out dead), `config.sources` sources; addresses and groups are capped too. When full, a spare of the
/// longest queue makes room; the least recently heard source makes room for a new one, idle ones first.
#[derive(Debug)]
pub(super) struct Candidates {
    heard: KeyedMap<PeerId, Candidate>,
    /// Candidates of sources that are not being dialled, by class.
    idle: [usize; 3],
    callers: VecDeque<PeerId>,
    sources: BTreeMap<PeerId, Source>,
    /// The source served last.
    turn: Option<PeerId>,
    crowd: Crowd,
}

impl Candidates {
    pub(super) fn new(preset: AddressPreset, caps: Caps, rng: &mut impl Rng) -> Self {
        Self {
            heard: KeyedMap::with_hasher(Keys::new(rng)),
            idle: [0; 3],
            callers: VecDeque::new(),
            sources: BTreeMap::new(),
            turn: None,
            crowd: Crowd::new(preset, caps),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.heard.len()
    }

    #[cfg(test)]
    pub(super) fn check(&self) {
        let idle = |queue: &mut dyn Iterator<Item = &PeerId>| {
            let mut idle = [0; 3];
            for peer in queue {
                let candidate = &self.heard[peer];
                idle[candidate.class as usize] += usize::from(!candidate.dialing);
            }
            idle
        };
        for (source, state) in &self.sources {
            assert_eq!(state.idle, idle(&mut state.queue.iter()));
            assert!(
                state
                    .queue
                    .iter()
                    .all(|p| self.heard[p].source == Some(*source))
            );
        }
        let mut all = self.sources.values().flat_map(|source| source.queue.iter());
        assert_eq!(self.idle, idle(&mut all));
    }

    #[cfg(test)]
    pub(super) fn sources_len(&self) -> usize {
        self.sources.len()
    }

    /// Callers that wait, sources, and the untested candidates of the source that has most.
    #[cfg(feature = "sim")]
    pub(super) fn sizes(&self) -> (usize, usize, usize) {
        let most = self.sources.values().map(|source| source.queue.len()).max();
        (self.callers.len(), self.sources.len(), most.unwrap_or(0))
    }

    /// By id or by raw key.
    pub(super) fn get<K: Hash + Equivalent<PeerId>>(&self, peer: &K) -> Option<&Candidate> {
        self.heard.get(peer)
    }

    /// How many more untested candidates this source may name now.
    pub(super) fn room(&self, source: &PeerId, config: &Config) -> usize {
        let Some(state) = self.sources.get(source) else {
            return config.per_source;
        };
        let limit = if state.is_bad() { 1 } else { config.per_source };
        limit.saturating_sub(state.queue.len())
    }

    /// Whether a candidate that would win may take the place of a spare of this source.
    pub(super) fn has_spare(&self, source: &PeerId) -> bool {
        self.spare_of(source).is_some()
    }

    fn spare_of(&self, source: &PeerId) -> Option<PeerId> {
        let queue = &self.sources.get(source)?.queue;
        queue.iter().copied().find(|peer| self.is_idle_spare(peer))
    }

    fn is_idle_spare(&self, peer: &PeerId) -> bool {
        self.heard
            .get(peer)
            .is_some_and(|candidate| candidate.class == Class::Spare && !candidate.dialing)
    }

    /// Replaces the record of a known candidate by a newer one, and may make it more urgent.
    pub(super) fn update(
        &mut self,
        peer: &PeerId,
        record: Option<(Verified<PeerRecord>, u8)>,
        class: Class,
        config: &Config,
    ) {
        let Some(candidate) = self.heard.get_mut(peer) else {
            return;
        };
        if let Some((record, bits)) = record {
            candidate.record = record;
            candidate.left = bits;
        }
        if class > candidate.class {
            let (before, source) = (candidate.class, candidate.source);
            let idle = !candidate.dialing;
            candidate.class = class;
            if idle {
                self.count_idle(source, before, false);
                self.count_idle(source, class, true);
            }
            if class == Class::Caller {
                self.push_caller(*peer, config);
            }
        }
    }

    /// The spares, and where they would be dialled; without those whose source has mostly named dead ones so far.
    pub(super) fn spares(&self) -> impl Iterator<Item = (PeerId, SocketAddr)> {
        let sources = self.sources.values();
        sources
            .filter(|source| !source.is_bad())
            .flat_map(|source| &source.queue)
            .filter_map(|peer| Some((*peer, self.heard.get(peer)?)))
            .filter(|(_, candidate)| candidate.class == Class::Spare && !candidate.dialing)
            .filter_map(|(peer, candidate)| Some((peer, candidate.addr()?)))
    }

    /// Makes a spare one that would win a slot; false when it is none.
    pub(super) fn promote(&mut self, peer: &PeerId, config: &Config) -> bool {
        let spare = self
            .heard
            .get(peer)
            .is_some_and(|candidate| candidate.class == Class::Spare);
        if spare {
            self.update(peer, None, Class::Wins, config);
        }
        spare
    }

    /// Adds a candidate; false when a cap is against it.
    pub(super) fn insert(
        &mut self,
        record: Verified<PeerRecord>,
        left: u8,
        class: Class,
        source: Option<PeerId>,
        config: &Config,
        now: Instant,
    ) -> bool {
        let peer = record.signer();
        let mut candidate = Candidate {
            counted: SocketAddr::from(([0, 0, 0, 0], 0)),
            record,
            left,
            class,
            source,
            dialing: false,
        };
        let Some(addr) = candidate.addr() else {
            return false;
        };
        candidate.counted = addr;
        if !self.crowd.admits(addr) {
            return false;
        }
        if let Some(source) = source
            && self.room(&source, config) == 0
        {
            let Some(spare) = self.spare_of(&source).filter(|_| class > Class::Spare) else {
                return false;
            };
            self.remove(&spare);
        }
        if self.heard.len() >= config.heard.max(1) && !self.make_room(class) {
            return false;
        }
        if let Some(source) = source {
            if !self.sources.contains_key(&source) {
                self.make_source_room(config);
            }
            let state = self.sources.entry(source).or_insert_with(|| Source {
                queue: Vec::new(),
                idle: [0; 3],
                tested: 0,
                dead: 0,
                last: now,
            });
            state.queue.push(peer);
            state.last = now;
        }
        self.crowd.add(addr);
        reserve_one(&mut self.heard);
        self.heard.insert(peer, candidate);
        self.count_idle(source, class, true);
        if class == Class::Caller {
            self.push_caller(peer, config);
        }
        true
    }

    /// One candidate more, or less, of a source waits to be dialled.
    fn count_idle(&mut self, source: Option<PeerId>, class: Class, more: bool) {
        let Some(state) = source.and_then(|source| self.sources.get_mut(&source)) else {
            return;
        };
        for idle in [&mut self.idle, &mut state.idle] {
            if more {
                idle[class as usize] += 1;
            } else {
                idle[class as usize] -= 1;
            }
        }
    }

    fn push_caller(&mut self, peer: PeerId, config: &Config) {
        self.callers.push_back(peer);
        if self.callers.len() > config.callers.max(1)
            && let Some(oldest) = self.callers.pop_front()
            && self
                .heard
                .get(&oldest)
                .is_some_and(|candidate| candidate.source.is_none() && !candidate.dialing)
        {
            self.remove(&oldest);
        }
    }

    /// Drops an idle spare of the source with the longest queue; for more than a spare also an idle candidate that would win.
    fn make_room(&mut self, class: Class) -> bool {
        let mut sources: Vec<(&PeerId, usize)> = self
            .sources
            .iter()
            .map(|(peer, source)| (peer, source.queue.len()))
            .collect();
        sources.sort_by_key(|(peer, len)| (std::cmp::Reverse(*len), **peer));
        let spare = sources.iter().find_map(|(source, _)| self.spare_of(source));
        let victim = spare.or_else(|| {
            let idle = |peer: &&PeerId| self.heard.get(*peer).is_some_and(|c| !c.dialing);
            let crowded = sources.first().filter(|_| class > Class::Spare)?;
            self.sources
                .get(crowded.0)?
                .queue
                .iter()
                .find(idle)
                .copied()
        });
        victim.is_some_and(|victim| self.remove(&victim).is_some())
    }

    fn make_source_room(&mut self, config: &Config) {
        if self.sources.len() < config.sources.max(1) {
            return;
        }
        let oldest = self
            .sources
            .iter()
            .min_by_key(|(_, source)| (!source.queue.is_empty(), source.last))
            .map(|(peer, _)| *peer);
        let Some(oldest) = oldest else { return };
        let queue = self.sources.get(&oldest).map(|source| source.queue.clone());
        for peer in queue.unwrap_or_default() {
            self.remove(&peer);
        }
        self.sources.remove(&oldest);
    }

    /// Takes a candidate out: it has been proven, given up, or evicted.
    pub(super) fn remove(&mut self, peer: &PeerId) -> Option<Candidate> {
        let candidate = self.heard.swap_remove(peer)?;
        if !candidate.dialing {
            self.count_idle(candidate.source, candidate.class, false);
        }
        self.crowd.remove(candidate.counted);
        if let Some(source) = candidate.source.and_then(|s| self.sources.get_mut(&s)) {
            source.queue.retain(|other| other != peer);
        }
        self.callers.retain(|other| other != peer);
        Some(candidate)
    }

    /// The candidate has been proven: a credit to whoever named it.
    pub(super) fn proven(&mut self, peer: &PeerId) {
        if let Some(candidate) = self.remove(peer) {
            self.judge(candidate.source, false);
        }
    }

    fn judge(&mut self, source: Option<PeerId>, dead: bool) {
        if let Some(source) = source.and_then(|source| self.sources.get_mut(&source)) {
            source.tested(dead);
        }
    }

    /// A dial to a candidate failed. It stays while another address is left to try; else it goes, and counts against whoever
    /// named it if `blame`.
    pub(super) fn failed(&mut self, peer: &PeerId, addr: SocketAddr, blame: bool) {
        self.put_back(peer);
        let Some(candidate) = self.heard.get_mut(peer) else {
            return;
        };
        for (bit, other) in candidate.record.addrs() {
            if other == addr {
                candidate.left &= !bit;
            }
        }
        if candidate.addr().is_none()
            && let Some(candidate) = self.remove(peer)
        {
            self.judge(candidate.source, blame);
        }
    }

    /// A dial that was about to be made was refused by a budget, or ended for a reason of ours.
    pub(super) fn put_back(&mut self, peer: &PeerId) {
        if let Some(candidate) = self.heard.get_mut(peer)
            && std::mem::replace(&mut candidate.dialing, false)
        {
            let (source, class) = (candidate.source, candidate.class);
            self.count_idle(source, class, true);
        }
    }

    /// The next candidate to dial, marked as being dialled: callers first, then round robin over the sources: those that would win
    /// a slot, then, if `spares`, the others.
    pub(super) fn next(&mut self, spares: bool) -> Option<(PeerId, SocketAddr)> {
        let caller = self
            .callers
            .iter()
            .copied()
            .find(|peer| self.heard.get(peer).is_some_and(|c| !c.dialing));
        let peer = caller
            .or_else(|| self.next_of(Class::Wins))
            .or_else(|| spares.then(|| self.next_of(Class::Spare))?)?;
        let candidate = self.heard.get_mut(&peer)?;
        let was_dialing = std::mem::replace(&mut candidate.dialing, true);
        let (source, class, addr) = (candidate.source, candidate.class, candidate.addr());
        if !was_dialing {
            self.count_idle(source, class, false);
        }
        let addr = addr?;
        Some((peer, addr))
    }

    fn next_of(&mut self, class: Class) -> Option<PeerId> {
        if self.idle[class as usize] == 0 {
            return None;
        }
        let ready = |source: &Source| {
            let busy = |peer: &PeerId| self.heard.get(peer).is_some_and(|c| c.dialing);
            if source.idle[class as usize] == 0
                || (source.is_bad() && source.queue.iter().any(busy))
            {
                return None;
            }
            let fits = |peer: &&PeerId| {
                self.heard
                    .get(*peer)
                    .is_some_and(|c| !c.dialing && c.class == class)
            };
            source.queue.iter().find(fits).copied()
        };
        let after = self.turn.map(|turn| {
            self.sources
                .range((Bound::Excluded(turn), Bound::Unbounded))
        });
        let found = after
            .into_iter()
            .flatten()
            .chain(self.sources.iter())
            .find_map(|(source, state)| Some((*source, ready(state)?)));
        let (source, peer) = found?;
        if class > Class::Spare || self.turn != Some(source) {
            self.turn = Some(source);
        }
        Some(peer)
    }

    /// Drops candidates whose record is out of date.
    pub(super) fn expire(&mut self, unix_s: u64) -> usize {
        let stale: Vec<PeerId> = self
            .heard
            .iter()
            .filter(|(_, candidate)| !candidate.record.is_current(unix_s) && !candidate.dialing)
            .map(|(peer, _)| *peer)
            .collect();
        for peer in &stale {
            self.remove(peer);
        }
        stale.len()
    }
}
