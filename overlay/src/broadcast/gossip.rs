//! A whole message arrives: admission speaks, then the tree learns from the copy.

use bytes::Bytes;
use crypto::PeerId;

use super::{Broadcast, Copied};
use crate::cx::Cx;
use crate::input::LinkId;
use crate::messages::{Admission, Messages, admit};
use crate::neighbors::{Code, Links};
use crate::wire::Gossip;

impl Broadcast {
    /// A neighbor pushed a message.
    ///
    /// # Errors
    /// The signature is bad: the neighbor should have checked it, its link is to be closed.
    #[expect(
        clippy::too_many_arguments,
        reason = "the facts of one copy, and what it is judged by"
    )]
    pub fn on_gossip(
        &mut self,
        link: LinkId,
        peer: PeerId,
        gossip: Gossip,
        frame: Bytes,
        messages: &Messages,
        links: &Links,
        cx: &mut Cx<'_>,
    ) -> Result<(), Code> {
        let author = gossip.signed.value.author;
        let header = gossip.signed.value.clone();
        let len = frame.len();
        let (id, copied) = match admit(gossip, frame, (link, peer), false, messages, cx) {
            Admission::Duplicate(id) => (id, Copied::Again),
            Admission::Refused(_) => (header.id(cx.network), Copied::Refused),
            Admission::BadSignature => {
                cx.stats.broadcast.bad_signatures += 1;
                return Err(Code::BadSignature);
            }
            Admission::Arrival(arrival) => {
                let id = arrival.id;
                self.arrivals.push(*arrival);
                (id, Copied::First)
            }
        };
        self.on_copy(link, id, author, len, copied, links, cx);
        Ok(())
    }
}
