//! What a simulation may look at, and what the nodes of one share.

use crypto::{KeyCache, PeerId, Verified};

use super::Overlay;
use crate::conduct::Conduct;
use crate::config::Config;
use crate::input::Now;
use crate::peers::Book;
use crate::sampling::Sampling;
use crate::wire::PeerRecord;

/// What a simulation may look at.
#[derive(Clone, Copy, Debug)]
pub struct Rooms<'a> {
    /// Records, archive, dials.
    pub book: &'a Book,
    /// Memory and samples.
    pub view: &'a crate::sampling::View,
    /// Visits.
    pub sampling: &'a Sampling,
    /// Connections.
    pub links: &'a crate::neighbors::Links,
    /// Bans and soft refusals.
    pub conduct: &'a Conduct,
    /// What the node was configured with.
    pub config: &'a Config,
}

impl Overlay {
    /// Shares the verdicts of signature checks with other simulated nodes.
    pub fn share_verdicts(&mut self, memo: std::sync::Arc<crypto::VerdictMemo>) {
        self.env.keys = KeyCache::shared(memo);
    }

    /// Starts with a full memory instead of a fast start; see [`Sampling::warm`].
    pub(crate) fn warm<'a>(
        &mut self,
        now: Now,
        heard: impl Iterator<Item = &'a Verified<PeerRecord>>,
    ) {
        let (parts, mut cx) = (&mut self.parts, self.env.cx(now));
        parts.sampling.warm(heard, &mut parts.book, &mut cx);
    }

    /// What a simulation may look at.
    #[must_use]
    pub fn rooms(&self) -> Rooms<'_> {
        Rooms {
            book: &self.parts.book,
            view: self.parts.sampling.view(),
            sampling: &self.parts.sampling,
            links: self.parts.neighbors.links(),
            conduct: &self.parts.conduct,
            config: &self.env.config,
        }
    }

    /// Takes the samples emitted since the last call; the first call only begins to keep them.
    pub fn take_emitted(&mut self) -> Vec<PeerId> {
        self.parts.sampling.take_emitted()
    }
}

/// For tests that plant a fault in a running node.
#[cfg(test)]
impl Overlay {
    pub(crate) fn book_mut(&mut self) -> &mut Book {
        &mut self.parts.book
    }

    pub(crate) fn config_mut(&mut self) -> &mut Config {
        &mut self.env.config
    }

    /// How many characters each room takes when it is written out with what it holds: what grows for ever makes them more. What writes a
    /// number instead of its entries (the memory, callers) is not seen.
    pub(crate) fn written_lengths(&self) -> [(&'static str, usize); 9] {
        let parts = &self.parts;
        let length = |room: &dyn std::fmt::Debug| format!("{room:?}").len();
        [
            ("conduct", length(&parts.conduct)),
            ("peers", length(&parts.book)),
            ("neighbors", length(&parts.neighbors)),
            ("detector", length(&parts.detector)),
            ("sampling", length(&parts.sampling)),
            ("broadcast", length(&parts.broadcast)),
            ("bodies", length(&parts.bodies)),
            ("repair", length(&parts.repair)),
            ("messages", length(&parts.messages)),
        ]
    }

    /// Messages are kept for so long from now on.
    pub(crate) fn retain_for(&mut self, retention: std::time::Duration) {
        self.parts.messages.retain_for(retention);
    }

    /// The memory holds this peer from now on, whoever it is.
    pub(crate) fn plant_member(&mut self, peer: PeerId, addr: std::net::SocketAddr) {
        let marks = self.parts.book.marks(peer.as_bytes(), addr);
        self.parts.sampling.plant_member(peer, addr, &marks);
    }

    /// So many slots are reset without an exchange.
    pub(crate) fn plant_resets(&mut self, count: u64) {
        let env = &mut self.env;
        self.parts.sampling.plant_resets(count, &mut env.rng);
        env.stats.sampling.resets += count;
    }

    /// Another connection that somebody opened from this address.
    pub(crate) fn plant_link(&mut self, n: u8, addr: std::net::SocketAddr) {
        self.parts.neighbors.plant_link(n, addr);
    }

    /// Somebody is proven at this address, whatever the caps say.
    pub(crate) fn plant_proof(&mut self, n: u8, addr: std::net::SocketAddr, now: Now) {
        let network = self.env.network;
        self.parts.book.plant_proof(n, addr, &network, now);
    }

    /// A link is closed with this code.
    pub(crate) fn plant_close(
        &mut self,
        link: crate::input::LinkId,
        code: crate::neighbors::Code,
        now: Now,
    ) {
        let cx = &mut self.env.cx(now);
        self.parts
            .neighbors
            .close(link, code, &mut self.parts.book, cx);
    }
}
