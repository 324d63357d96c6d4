//! What others say of third parties, and how much of it is taken.

use std::time::Instant;

use crypto::{PeerId, Verified};

use super::Book;
use super::book::Heard;
use crate::cx::Cx;
use crate::rules::Rule;
use crate::wire::PeerRecord;

impl Book {
    /// A peer, by raw key, would win a slot now: if it is a candidate that waited as a spare, it waits no longer. Whether it was one.
    pub fn promote(&mut self, id: &[u8; 32]) -> bool {
        let Some(peer) = self
            .candidates
            .get(id)
            .map(|candidate| candidate.record.signer())
        else {
            return false;
        };
        self.candidates.promote(&peer, &self.config)
    }

    /// How many more untested candidates this source may name now.
    #[must_use]
    pub fn room_for(&self, source: &PeerId, wins: bool) -> bool {
        let source = &self.queue_of(*source);
        self.candidates.room(source, &self.config) > 0
            || (wins && self.candidates.has_spare(source))
    }

    /// Which of these addresses of a record can be dialled now.
    pub(super) fn dialable_bits(
        &self,
        record: &Verified<PeerRecord>,
        bits: u8,
        now: Instant,
    ) -> u8 {
        let peer = record.signer();
        record
            .addrs()
            .filter(|(bit, addr)| bits & bit != 0 && self.can_dial(*addr, &peer, now))
            .fold(0, |all, (bit, _)| all | bit)
    }

    /// Whose candidates a peer's list adds to.
    pub(super) fn queue_of(&self, from: PeerId) -> PeerId {
        if self.rules.hold(Rule::SourceQuota) {
            from
        } else {
            self.me
        }
    }

    /// Takes a record at its word, as no node does: it is where it says.
    pub(super) fn trust(
        &mut self,
        record: Verified<PeerRecord>,
        bits: u8,
        cx: &mut Cx<'_>,
    ) -> Heard {
        let mut addrs = record.addrs();
        let named = addrs.find(|(bit, _)| bits == 0 || bits & bit != 0);
        let Some((_, addr)) = named else {
            return Heard::NoAddress;
        };
        self.proven(record.signer(), addr, record, cx);
        Heard::New
    }
}
