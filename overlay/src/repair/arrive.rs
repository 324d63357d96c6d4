//! What was asked for comes: messages whole, or heads of large ones.

use bytes::Bytes;
use crypto::{PeerId, Signed};

use super::part::Repair;
use crate::bodies::{Has, Holding, News, Wanted};
use crate::cx::Cx;
use crate::input::LinkId;
use crate::messages::{Admission, Arrival, Messages, admit};
use crate::neighbors::Code;
use crate::wire::{Gossip, Head, MessageHeader};

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
        let Gossip { signed, entries } = gossip;
        if let Some(arrival) = self.admit(link, peer, signed, entries, frame, messages, cx)? {
            self.fetch.arrived(arrival, cx.now.mono);
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
        let Head {
            signed,
            manifest,
            hops,
            follows,
        } = head;
        let id = signed.value.id(cx.network);
        if let Some(arrival) = self.admit(link, peer, signed, Vec::new(), frame, messages, cx)? {
            self.fetch.settled(&id);
            self.news.push(News::Wanted(Box::new(Wanted {
                arrival,
                manifest,
                holding: Holding {
                    id,
                    link,
                    has: Has::Whole,
                    hops: Some(hops),
                    follows,
                },
                feeder: None,
            })));
        }
        Ok(())
    }

    /// What was asked for and is new and good; for all else the fetch is told what became of it.
    #[expect(
        clippy::too_many_arguments,
        reason = "a frame, and what it is held against"
    )]
    fn admit(
        &mut self,
        link: LinkId,
        peer: PeerId,
        signed: Signed<MessageHeader>,
        entries: Vec<Bytes>,
        frame: Bytes,
        messages: &Messages,
        cx: &mut Cx<'_>,
    ) -> Result<Option<Arrival>, Code> {
        self.stirred = true;
        let id = signed.value.id(cx.network);
        if !self.fetch.is_asked(link, &id, cx.now.mono) {
            cx.stats.repair.unasked += 1;
            return Ok(None);
        }
        cx.stats.repair.received += 1;
        match admit(signed, entries, frame, (link, peer), true, messages, cx) {
            Admission::Arrival(arrival) => return Ok(Some(*arrival)),
            Admission::Duplicate(id) => self.fetch.settled(&id),
            Admission::Refused(_) => {
                cx.stats.repair.refused += 1;
                self.fetch.absent(link, &id, cx.now.mono);
            }
            Admission::BadSignature => {
                self.fetch.absent(link, &id, cx.now.mono);
                return Err(Code::BadSignature);
            }
        }
        Ok(None)
    }
}
