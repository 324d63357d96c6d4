//! What a simulation may ask the book that nobody else needs to know.

use std::net::SocketAddr;
use std::time::Instant;

use crypto::{PeerId, Verified};

use super::{ArchiveEntry, Book, DialPurpose};
use crate::cx::Cx;
use crate::wire::PeerRecord;

/// A proof as the book holds it.
#[derive(Clone, Copy, Debug)]
pub struct Proof<'a> {
    /// Where the peer was proven to be.
    pub addr: SocketAddr,
    /// When, or when that was renewed.
    pub at: Instant,
    /// Its newest record.
    pub record: &'a Verified<PeerRecord>,
}

/// How many entries the book's collections have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Heard records.
    pub heard: usize,
    /// Callers that wait to be dialled back.
    pub callers: usize,
    /// Sources of heard records.
    pub sources: usize,
    /// Untested candidates of the source that has most.
    pub per_source: usize,
    /// Proven peers.
    pub proven: usize,
    /// Archived peers.
    pub archive: usize,
    /// Dials under way.
    pub dials: usize,
    /// Addresses at rest.
    pub resting: usize,
}

impl Book {
    /// Has proven these, and archived as many of them as the archive holds, without the dials and rows that it would have taken.
    pub(crate) fn warm<'a>(
        &mut self,
        peers: impl Iterator<Item = (PeerId, SocketAddr, &'a Verified<PeerRecord>)>,
        cx: &mut Cx<'_>,
    ) {
        self.last_contact = Some(cx.now.mono);
        let mut archived = Vec::new();
        for (peer, addr, record) in peers.filter(|(peer, ..)| *peer != self.me) {
            if !self.proven.admits(addr) {
                continue;
            }
            let marks = self.marks(peer.as_bytes(), addr);
            self.proven
                .insert(peer, addr, marks, record.clone(), cx.now);
            self.touched.insert(peer);
            cx.stats.peers.proofs += 1;
            if archived.len() < self.config.archive {
                archived.push(ArchiveEntry {
                    peer,
                    addr,
                    proven_unix_ms: cx.now.unix_ms,
                });
            }
        }
        self.archive.restore(&archived, cx);
    }

    /// The proof of a peer, if it has one.
    #[must_use]
    pub fn proof_of(&self, peer: &PeerId) -> Option<Proof<'_>> {
        self.proven.get(peer).map(|entry| Proof {
            addr: entry.addr,
            at: entry.proven,
            record: &entry.record,
        })
    }

    /// What the dial to a peer that is under way is for.
    #[must_use]
    pub fn dial_purpose(&self, peer: &PeerId) -> Option<DialPurpose> {
        self.dials.to_peer(peer).map(|dialing| dialing.purpose)
    }

    /// Other caps per address and group than those that were configured.
    #[cfg(test)]
    pub(crate) fn plant_preset(&mut self, preset: crate::config::AddressPreset) {
        self.preset = preset;
    }

    /// Somebody is proven at this address, whatever the caps say.
    #[cfg(test)]
    pub(crate) fn plant_proof(
        &mut self,
        n: u8,
        addr: SocketAddr,
        network: &crypto::NetworkId,
        now: crate::input::Now,
    ) {
        let identity = crypto::Identity::from_seed(&[n; 32]);
        let record = PeerRecord {
            id: identity.id().to_bytes(),
            version: 1,
            issued_unix_s: now.unix_ms / 1000,
            ipv4: None,
            ipv6: None,
            roles: 0,
        };
        let record = crypto::Signed::sign(record, &identity, network).expect("a key in memory");
        let marks = self.marks(identity.id().as_bytes(), addr);
        self.proven.insert(identity.id(), addr, marks, record, now);
    }

    /// Other settings than those that were configured.
    #[cfg(test)]
    pub(crate) fn config_mut(&mut self) -> &mut super::Config {
        &mut self.config
    }

    /// How many entries the book's collections have.
    #[must_use]
    pub fn sizes(&self) -> Sizes {
        let (callers, sources, per_source) = self.candidates.sizes();
        Sizes {
            heard: self.heard_len(),
            callers,
            sources,
            per_source,
            proven: self.proven_len(),
            archive: self.archived_len(),
            dials: self.dialing_len(),
            resting: self.resting_len(),
        }
    }
}
