//! What was asked for comes: messages whole, or heads of large ones.

use bytes::Bytes;
use crypto::PeerId;

use super::part::Repair;
use crate::bodies::{Holding, News, Wanted};
use crate::cx::Cx;
use crate::input::LinkId;
use crate::messages::{Admission, Messages, admit};
use crate::neighbors::Code;
use crate::wire::{Gossip, Head};

impl Repair {
    /// A message on the bulk lane; taken only if it was asked for.
    ///
    /// # Errors
    /// A bad signature: the sender should have checked it.
    pub fn on_gossip(
        &mut self,
        link: LinkId,
        peer: PeerId,
        gossip: Gossip,
        frame: Bytes,
        messages: &Messages,
        cx: &mut Cx<'_>,
    ) -> Result<(), Code> {
        self.stirred = true;
        let id = gossip.signed.value.id(cx.network);
        if !self.fetch.is_asked(link, &id, cx.now.mono) {
            cx.stats.repair.unasked += 1;
            return Ok(());
        }
        cx.stats.repair.received += 1;
        let Gossip { signed, entries } = gossip;
        match admit(signed, entries, frame, (link, peer), true, messages, cx) {
            Admission::Duplicate(id) => self.fetch.settled(&id),
            Admission::Refused(_) => {
                cx.stats.repair.refused += 1;
                self.fetch.absent(link, &id, cx.now.mono);
            }
            Admission::BadSignature => {
                self.fetch.absent(link, &id, cx.now.mono);
                return Err(Code::BadSignature);
            }
            Admission::Arrival(arrival) => self.fetch.arrived(*arrival, cx.now.mono),
        }
        Ok(())
    }

    /// The head of a large message on the bulk lane; taken only if it was asked for. Its body is `bodies`' to get.
    ///
    /// # Errors
    /// A bad signature: the sender should have checked it.
    pub fn on_head(
        &mut self,
        link: LinkId,
        peer: PeerId,
        head: Head,
        frame: Bytes,
        messages: &Messages,
        cx: &mut Cx<'_>,
    ) -> Result<(), Code> {
        self.stirred = true;
        let Head {
            signed,
            manifest,
            hops,
            follows,
        } = head;
        let id = signed.value.id(cx.network);
        if !self.fetch.is_asked(link, &id, cx.now.mono) {
            cx.stats.repair.unasked += 1;
            return Ok(());
        }
        cx.stats.repair.received += 1;
        match admit(signed, Vec::new(), frame, (link, peer), true, messages, cx) {
            Admission::Duplicate(id) => self.fetch.settled(&id),
            Admission::Refused(_) => {
                cx.stats.repair.refused += 1;
                self.fetch.absent(link, &id, cx.now.mono);
            }
            Admission::BadSignature => {
                self.fetch.absent(link, &id, cx.now.mono);
                return Err(Code::BadSignature);
            }
            Admission::Arrival(arrival) => {
                self.fetch.settled(&id);
                self.news.push(News::Wanted(Box::new(Wanted {
                    arrival: *arrival,
                    manifest,
                    holding: Holding {
                        id,
                        link,
                        whole: true,
                        hops: Some(hops),
                        follows,
                    },
                })));
            }
        }
        Ok(())
    }
}
