//! A memory that is full from the start, for simulations of networks too large to wait for.

use std::collections::BTreeMap;

use crypto::Verified;
use rand::RngExt as _;

use super::Sampling;
use crate::cx::Cx;
use crate::peers::Book;
use crate::wire::PeerRecord;

impl Sampling {
    /// Ends the fast start with the memory of a node that has heard of all of `heard` and has proven those who win a slot: the end that a
    /// fast start among honest nodes comes to, without the way there. Whoever has no address is passed over.
    pub(crate) fn warm<'a>(
        &mut self,
        heard: impl Iterator<Item = &'a Verified<PeerRecord>>,
        book: &mut Book,
        cx: &mut Cx<'_>,
    ) {
        let mut hopes = self.view.memory.clone();
        let mut winners = BTreeMap::new();
        for record in heard {
            let peer = record.signer();
            let Some((_, addr)) = record.addrs().next() else {
                continue;
            };
            let marks = book.marks(peer.as_bytes(), addr);
            if hopes.would_win(&marks) {
                hopes.offer(peer, addr, &marks);
                winners.insert(peer, (addr, record));
            }
        }
        let counted = hopes.counted().into_iter();
        let members = counted.filter_map(|peer| {
            let (addr, record) = winners.get(&peer)?;
            Some((peer, *addr, *record))
        });
        book.warm(members, cx);
        self.absorb(book, cx);
        self.young = None;
        self.was_young = Some(cx.now.mono);
        let wait = cx.config.sampling.period.mul_f64(cx.rng.random());
        self.next_exchange = Some(cx.now.mono + wait);
        book.set_young(false);
    }
}
