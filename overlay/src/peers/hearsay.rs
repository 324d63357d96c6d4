//! What others say of third parties, and how much of it is taken.

use std::time::Instant;

use crypto::{BadSignature, PeerId, Signed, Verified};

use super::book::Heard;
use super::{Book, Marks};
use crate::cx::Cx;
use crate::rules::Rule;
use crate::wire::PeerRecord;

impl Book {
    /// Checks the signature of a list's record, unless the same or a newer version is known: then there is nothing to do (`None`).
    ///
    /// # Errors
    /// The signature is wrong. Whoever sent the list should have checked, and is at fault.
    pub fn check(
        &self,
        record: &Signed<PeerRecord>,
        cx: &mut Cx<'_>,
    ) -> Result<Option<Verified<PeerRecord>>, BadSignature> {
        if self.knows(&record.value) {
            cx.stats.peers.known += 1;
            return Ok(None);
        }
        let checked = record.clone().verify(cx.network, cx.keys);
        cx.stats.peers.bad_signatures += u64::from(checked.is_err());
        checked.map(Some)
    }

    /// Whether this record, or a newer one of the same peer, is in the book (or it is our own).
    fn knows(&self, record: &PeerRecord) -> bool {
        record.id == *self.me.as_bytes()
            || self
                .version_of(&record.id)
                .is_some_and(|version| version >= record.version)
    }

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

    /// Who was heard of and waits as a spare, and what it would be ranked by; without those of sources that have mostly named dead ones.
    pub fn spares(&self) -> impl Iterator<Item = (PeerId, Marks)> {
        let spares = self.candidates.spares();
        spares.map(|(peer, addr)| (peer, self.marks(peer.as_bytes(), addr)))
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
