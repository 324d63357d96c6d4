//! Words of peers that leave: from themselves, and in the lists of others.

use crypto::{PeerId, Signed};

use super::Sampling;
use crate::cx::Cx;
use crate::neighbors::Code;
use crate::peers::{Book, MAX_GONE};
use crate::wire::{ListItem, PeerRecord};

impl Sampling {
    /// The peer at the other end of a link leaves the network.
    ///
    /// # Errors
    /// The record is another peer's, or its signature is wrong.
    pub fn on_leave(
        &mut self,
        peer: &PeerId,
        record: Signed<PeerRecord>,
        book: &mut Book,
        cx: &mut Cx<'_>,
    ) -> Result<(), Code> {
        if record.value.id != *peer.as_bytes() {
            return Err(Code::BadRecord);
        }
        book.hear_left(&record, cx).map_err(|_| Code::BadRecord)?;
        self.absorb(book, cx);
        Ok(())
    }

    /// Takes the words of peers that left out of a list: of those that this node knew. They are checked as any other record.
    pub(super) fn hear_of_gone(
        &mut self,
        list: &[ListItem],
        book: &mut Book,
        cx: &mut Cx<'_>,
    ) -> Result<(), Code> {
        for item in list.iter().filter(|item| item.proven == 0).take(MAX_GONE) {
            book.hear_left(&item.record, cx)
                .map_err(|_| Code::BadSignature)?;
        }
        Ok(())
    }
}
