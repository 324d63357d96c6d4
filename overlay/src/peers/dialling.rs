//! The book's side of dialling: budgets, what a failure means, archive and anchors.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crypto::PeerId;

use super::book::MAX_ANCHORS;
use super::dials::{DialRefused, Dialing};
use super::{Book, DialPurpose, PeerRow, canonical, is_taken};
use crate::action::{Action, Row, Target};
use crate::cx::Cx;
use crate::input::{DialError, DialId};
use crate::neighbors::Code;
use crate::rules::Rule;

/// How a failed dial is understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// Our own affair.
    Ours,
    /// The right peer is there and says no.
    Refused,
    /// Nobody answers.
    Dead,
    /// Somebody answers, but not this peer of this network.
    Wrong,
}

impl Failure {
    const fn of(reason: &Result<DialError, Code>) -> Self {
        match reason {
            Ok(DialError::Busy | DialError::NoAddress) => Self::Ours,
            Ok(DialError::Unreachable | DialError::Handshake)
            | Err(Code::Timeout | Code::Leaving) => Self::Dead,
            Ok(DialError::WrongIdentity | DialError::WrongNetwork)
            | Err(
                Code::WrongNetwork
                | Code::Version
                | Code::BadRecord
                | Code::Malformed
                | Code::Protocol
                | Code::Myself,
            ) => Self::Wrong,
            Err(_) => Self::Refused,
        }
    }
}

impl Book {
    /// Whether this node is young: then it may dial quickly. Set by `sampling`.
    pub fn set_young(&mut self, young: bool) {
        self.young = young;
        self.dials.set_young(young);
    }

    /// Asks for a dial, if nothing is against it.
    ///
    /// Configured peers (seeds, persistent ones) and anchors are dialled whatever the total rate and addresses at rest say, and
    /// candidates alone have budgets per address and group; no dial is made to ourselves, twice to one peer, or beyond the cap
    /// of dials under way.
    ///
    /// # Errors
    /// Why not. Each reason is counted.
    pub fn try_dial(
        &mut self,
        peer: PeerId,
        target: Target,
        purpose: DialPurpose,
        cx: &mut Cx<'_>,
    ) -> Result<DialId, DialRefused> {
        let addr = match &target {
            Target::Addr(addr) => Some(canonical(*addr)),
            Target::Name(_) => None,
        };
        let allowed = self.may_dial(&peer, addr, purpose, cx.now.mono);
        if let Err(reason) = allowed {
            let counter = match reason {
                DialRefused::Myself | DialRefused::OwnAddress => &mut cx.stats.peers.dials_to_self,
                DialRefused::SpecialUse => &mut cx.stats.peers.dials_special_use,
                DialRefused::AlreadyDialing | DialRefused::InFlight => {
                    &mut cx.stats.peers.dials_in_flight
                }
                DialRefused::Rate(_) => &mut cx.stats.peers.dials_over_rate,
                DialRefused::Budget => &mut cx.stats.peers.dials_over_budget,
                DialRefused::Resting(_) => &mut cx.stats.peers.dials_resting,
            };
            *counter += 1;
            return Err(reason);
        }
        let dial = cx.out.dial_id();
        let dialing = Dialing {
            peer,
            target: target.clone(),
            addr,
            purpose,
            since: cx.now.mono,
        };
        self.dials.begin(dial, dialing);
        cx.stats.peers.dials += 1;
        cx.out.push(Action::Dial { dial, peer, target });
        Ok(dial)
    }

    fn may_dial(
        &mut self,
        peer: &PeerId,
        addr: Option<SocketAddr>,
        purpose: DialPurpose,
        now: Instant,
    ) -> Result<(), DialRefused> {
        let configured = matches!(purpose, DialPurpose::Seed | DialPurpose::Persistent);
        let trusted = configured || purpose == DialPurpose::Anchor;
        if *peer == self.me {
            return Err(DialRefused::Myself);
        }
        if let Some(addr) = addr {
            if self.dials.is_own(addr) {
                return Err(DialRefused::OwnAddress);
            }
            if !configured && !is_taken(addr, self.preset) {
                return Err(DialRefused::SpecialUse);
            }
        }
        if self.dials.to_peer(peer).is_some() {
            return Err(DialRefused::AlreadyDialing);
        }
        // Hearsay leaves a quarter of the dials under way to the others.
        let cap = if purpose == DialPurpose::Candidate {
            self.config.in_flight * 3 / 4
        } else {
            self.config.in_flight
        };
        if self.dials.len() >= cap.max(1) {
            return Err(DialRefused::InFlight);
        }
        if trusted {
            return Ok(());
        }
        if let Some(until) = addr.and_then(|addr| self.dials.resting(addr, peer, now)) {
            return Err(DialRefused::Resting(until));
        }
        if self.rules.hold(Rule::DialRate) {
            self.dials.take_rate(now).map_err(DialRefused::Rate)?;
        }
        let caps = self.caps();
        if let Some(addr) = addr.filter(|_| purpose == DialPurpose::Candidate)
            && self.rules.hold(Rule::DialBudget)
            && !self.dials.take_hearsay(addr.ip(), self.preset, &caps, now)
        {
            return Err(DialRefused::Budget);
        }
        Ok(())
    }

    /// Takes the next candidate for a dial: callers first, then round robin over the sources, those that would win a slot before
    /// the others, which only `spares` (a feeler) reaches. Resolve it with a dial, or with [`put_back`](Self::put_back).
    pub fn next_candidate(
        &mut self,
        spares: bool,
        cx: &mut Cx<'_>,
    ) -> Option<(PeerId, SocketAddr)> {
        // Each turn takes one candidate out or returns it, so this ends.
        while let Some((peer, addr)) = self.candidates.next(spares) {
            let current = self
                .candidates
                .get(&peer)
                .is_some_and(|c| c.record.is_current(cx.now.unix_ms / 1000));
            if current && self.can_dial(addr, &peer, cx.now.mono) {
                return Some((peer, addr));
            }
            cx.stats.peers.stale += u64::from(!current);
            self.candidates.remove(&peer);
        }
        None
    }

    /// The candidate of a raw key.
    #[must_use]
    pub fn candidate_of(&self, id: &[u8; 32]) -> Option<PeerId> {
        self.candidates.get(id).map(|c| c.record.signer())
    }

    /// Returns a candidate that could not be dialled now.
    pub fn put_back(&mut self, peer: &PeerId) {
        self.candidates.put_back(peer);
    }

    /// Drops a candidate.
    pub fn drop_candidate(&mut self, peer: &PeerId) {
        self.candidates.remove(peer);
    }

    pub(super) fn can_dial(&self, addr: SocketAddr, peer: &PeerId, now: Instant) -> bool {
        is_taken(addr, self.preset)
            && !self.dials.is_own(addr)
            && self.dials.resting(addr, peer, now).is_none()
    }

    /// Addresses at rest.
    #[must_use]
    pub fn resting_len(&self) -> usize {
        self.dials.resting_len()
    }

    /// Whether as many candidates are being dialled as may be.
    #[must_use]
    pub fn candidates_busy(&self) -> bool {
        let cap = self.config.candidates_in_flight;
        let cap = if self.young { cap } else { cap / 4 };
        let dials = self.dials.under_way();
        let candidates = dials.filter(|dialing| dialing.purpose == DialPurpose::Candidate);
        candidates.count() >= cap.max(1)
    }

    /// Whether this peer is being dialled, for whatever purpose.
    #[must_use]
    pub fn is_dialing(&self, peer: &PeerId) -> bool {
        self.dials.to_peer(peer).is_some()
    }

    /// Whether this peer is being dialled to become a neighbor.
    #[must_use]
    pub fn is_dialing_neighbor(&self, peer: &PeerId) -> bool {
        self.dials
            .to_peer(peer)
            .is_some_and(|dialing| wants_neighbor(dialing.purpose))
    }

    /// Dials under way whose purpose is a neighbor: how many there are, and how many of them began at `since` or later.
    #[must_use]
    pub fn dialing_neighbors(&self, since: Instant) -> (usize, usize) {
        let dials = self.dials.under_way();
        let ours = dials.filter(|dialing| wants_neighbor(dialing.purpose));
        ours.fold((0, 0), |(all, young), dialing| {
            (all + 1, young + usize::from(dialing.since >= since))
        })
    }

    /// Number of dials under way.
    #[must_use]
    pub fn dialing_len(&self) -> usize {
        self.dials.len()
    }

    /// The driver answered a dial: it is no longer under way. `None` for one that never was.
    pub fn dial_ended(&mut self, dial: DialId) -> Option<Dialing> {
        self.dials.end(dial)
    }

    /// A dial came to nothing. What follows from it: the address rests, the candidate goes, the proven peer dies after some
    /// failures in a row; unless nobody has been heard from for a while, when the fault is probably ours.
    pub fn dial_failed(
        &mut self,
        dialing: &Dialing,
        reason: &Result<DialError, Code>,
        cx: &mut Cx<'_>,
    ) {
        let (peer, now) = (dialing.peer, cx.now.mono);
        let failure = Failure::of(reason);
        match failure {
            Failure::Ours => {}
            Failure::Dead => cx.stats.peers.dials_dead += 1,
            Failure::Wrong => cx.stats.peers.dials_wrong += 1,
            Failure::Refused => cx.stats.peers.dials_refused += 1,
        }
        if matches!(failure, Failure::Wrong | Failure::Refused) {
            self.in_touch(now);
        }
        let Some(addr) = dialing.addr else { return };
        let judged = self.rules.hold(Rule::SourceQuota);
        match failure {
            Failure::Ours => {
                // An address of a family we cannot dial is no use to us, and nobody's fault.
                if *reason == Ok(DialError::NoAddress) {
                    self.rest(addr, None, true, cx);
                    self.candidates.failed(&peer, addr, false);
                }
                self.candidates.put_back(&peer);
            }
            Failure::Refused => {
                // It is there, so its source spoke true; it may have room for us another time.
                self.rest(addr, Some(peer), false, cx);
                self.candidates.failed(&peer, addr, false);
            }
            Failure::Wrong => {
                self.rest(addr, Some(peer), true, cx);
                if dialing.purpose == DialPurpose::Candidate {
                    self.dials.astray(addr.ip(), now);
                }
                self.candidates.failed(&peer, addr, judged);
                if self.proven_addr(&peer) == Some(addr) {
                    cx.stats.peers.died += 1;
                    self.drop_proven(&peer);
                }
            }
            Failure::Dead => {
                let excused = self.cut_off(now);
                cx.stats.peers.failures_excused += u64::from(excused);
                self.rest(addr, None, !excused, cx);
                self.candidates.failed(&peer, addr, judged && !excused);
                if !excused && self.proven_addr(&peer) == Some(addr) {
                    self.note_failure(&peer, cx);
                }
            }
        }
    }

    fn rest(&mut self, addr: SocketAddr, peer: Option<PeerId>, escalate: bool, cx: &Cx<'_>) {
        if self.rules.hold(Rule::RestDead) {
            self.dials
                .rest(addr, peer, escalate, &self.config, cx.now.mono);
        }
    }

    /// A frame arrived from anybody: we are not cut off.
    pub fn in_touch(&mut self, now: Instant) {
        self.last_contact = self.last_contact.max(Some(now));
    }

    /// No sign of life from anybody for a while.
    fn cut_off(&self, now: Instant) -> bool {
        self.last_contact
            .is_none_or(|at| now.saturating_duration_since(at) >= self.config.cut_off_after)
    }

    /// A peer that refused asked not to be dialled again for this long: it rests there for at least that. Others at its address
    /// have no part in it.
    pub fn stay_away(&mut self, dialing: &Dialing, asked: Duration, now: Instant) {
        if let Some(addr) = dialing.addr.filter(|_| !asked.is_zero()) {
            self.dials
                .rest_at_least(addr, dialing.peer, asked, &self.config, now);
        }
    }

    /// A proven peer did not answer a question of ours; the same as a failed dial.
    pub fn unanswered(&mut self, peer: &PeerId, cx: &mut Cx<'_>) {
        if self.cut_off(cx.now.mono) {
            cx.stats.peers.failures_excused += 1;
        } else {
            self.note_failure(peer, cx);
        }
    }

    fn note_failure(&mut self, peer: &PeerId, cx: &mut Cx<'_>) {
        let failures = self.proven.failed(peer);
        if failures.is_some_and(|failures| failures >= self.config.dead_after.max(1)) {
            cx.stats.peers.died += 1;
            self.drop_proven(peer);
        }
    }

    /// A random archived peer that is neither proven now nor being dialled nor at rest; fair over groups first.
    pub fn archived(&self, cx: &mut Cx<'_>) -> Option<(PeerId, SocketAddr)> {
        // Everyone proven is in the archive while it has room: when they are as many, all are proven.
        if self.archive.has_all() && self.proven.len() >= self.archive.len() {
            return None;
        }
        // A bounded number of draws: most of the archive may be proven or at rest.
        for _ in 0..16 {
            let entry = self.archive.pick(cx.rng)?;
            if !self.is_proven(&entry.peer)
                && !self.is_dialing(&entry.peer)
                && self.can_dial(entry.addr, &entry.peer, cx.now.mono)
            {
                return Some((entry.peer, entry.addr));
            }
        }
        None
    }

    /// Where the archive last saw a peer.
    #[must_use]
    pub fn archived_addr(&self, peer: &PeerId) -> Option<SocketAddr> {
        self.archive.get(peer).map(|entry| entry.addr)
    }

    /// Number of archived peers.
    #[must_use]
    pub fn archived_len(&self) -> usize {
        self.archive.len()
    }

    /// Number of wide groups the archive knows.
    #[must_use]
    pub fn archived_groups(&self) -> usize {
        self.archive.group_count()
    }

    /// The anchors, most trusted first.
    #[must_use]
    pub fn anchors(&self) -> &[(PeerId, SocketAddr)] {
        &self.anchors
    }

    /// Replaces the anchors (the first two count) and makes them durable if they changed.
    pub fn set_anchors(&mut self, mut anchors: Vec<(PeerId, SocketAddr)>, cx: &mut Cx<'_>) {
        anchors.truncate(MAX_ANCHORS);
        if anchors != self.anchors {
            self.anchors.clone_from(&anchors);
            cx.persist(Row::Peer(PeerRow::Anchors(anchors)));
        }
    }
}

const fn wants_neighbor(purpose: DialPurpose) -> bool {
    matches!(
        purpose,
        DialPurpose::Neighbor | DialPurpose::Persistent | DialPurpose::Anchor
    )
}
