//! The one way from a frame to a verified message: cheap checks before costly ones.

use bytes::Bytes;
use crypto::{MessageId, PeerId, Signed};

use crate::cx::Cx;
use crate::input::{LinkId, Now};
use crate::messages::{AHEAD_MS, Arrival, LIVE_MARGIN_MS, Messages, point_of};
use crate::wire::MessageHeader;

/// Why a message is not taken. Nobody is to blame: clocks, edges and policies differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Dated below the low edge, or (live) less than 120 s above it.
    TooOld,
    /// Dated more than 60 s ahead.
    TooNew,
    /// Sequence number 0, or not above the previous one's.
    BadHeader,
    /// The author policy says no.
    NotAdmitted,
    /// The body is longer than this node takes.
    TooLarge,
    /// Two messages of lesser id with this author and sequence number are known.
    Surplus,
    /// The seen set is full and this account holds more than its share.
    OverShare,
}

/// What became of a message that came in.
#[derive(Debug)]
pub enum Admission {
    /// Decided or waiting already.
    Duplicate(MessageId),
    /// Not taken, and nobody's fault.
    Refused(Refused),
    /// The signature does not verify: the fault of whoever passed it on.
    BadSignature,
    /// Verified and new.
    Arrival(Box<Arrival>),
}

/// Checks a message in the order length (done by the codec, which also computed the body root), seen?, window, author
/// policy, signature. A large message comes without entries. `repaired` = asked for by repair, which takes dates down to the low edge. Counts every outcome
/// but the last.
pub fn admit(
    signed: Signed<MessageHeader>,
    entries: Vec<Bytes>,
    frame: Bytes,
    from: (LinkId, PeerId),
    repaired: bool,
    messages: &Messages,
    cx: &mut Cx<'_>,
) -> Admission {
    let header = &signed.value;
    let id = header.id(cx.network);
    if messages.knows(&point_of(header, &id)) {
        cx.stats.messages.duplicates += 1;
        return Admission::Duplicate(id);
    }
    let verdict = messages
        .check(header, &id, from.1, repaired, cx.now)
        .and_then(|()| {
            let admits = cx.config.conduct.authors.admits(header);
            admits.then_some(()).ok_or(Refused::NotAdmitted)
        });
    if let Err(refused) = verdict {
        let counters = &mut cx.stats.messages;
        *match refused {
            Refused::TooOld => &mut counters.too_old,
            Refused::TooNew => &mut counters.too_new,
            Refused::BadHeader => &mut counters.bad_header,
            Refused::NotAdmitted => &mut counters.not_admitted,
            Refused::TooLarge => &mut counters.too_large,
            Refused::Surplus => &mut counters.surplus,
            Refused::OverShare => &mut counters.over_share,
        } += 1;
        return Admission::Refused(refused);
    }
    match signed.verify(cx.network, cx.keys) {
        Ok(header) => Admission::Arrival(Box::new(Arrival {
            id,
            header,
            entries,
            body: None,
            frame,
            from: Some(from),
            repaired,
        })),
        Err(_) => {
            cx.stats.messages.bad_signatures += 1;
            Admission::BadSignature
        }
    }
}

impl Messages {
    /// Whether a message is decided, or verified and waiting.
    #[must_use]
    pub fn knows(&self, point: &crate::wire::Point) -> bool {
        self.decided.contains(point) || self.pending.contains(&MessageId::from_bytes(point.id))
    }

    /// The cheap checks of a message not known yet: its numbers, the window, surplus, shares.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn check(
        &self,
        header: &MessageHeader,
        id: &MessageId,
        from: PeerId,
        repaired: bool,
        now: Now,
    ) -> Result<(), Refused> {
        if header.prev_seq >= header.seq {
            return Err(Refused::BadHeader);
        }
        if header.body_len as usize > self.config.max_body {
            return Err(Refused::TooLarge);
        }
        let margin = if repaired { 0 } else { LIVE_MARGIN_MS };
        if header.published_unix_ms < self.decided.low_edge_ms().saturating_add(margin) {
            return Err(Refused::TooOld);
        }
        if header.published_unix_ms > now.unix_ms.saturating_add(AHEAD_MS) {
            return Err(Refused::TooNew);
        }
        if let Some(number) = self.authors.number(&header.author)
            && self.authors.standing(number, header.seq, id, &self.decided)
                == super::authors::Standing::Surplus
        {
            return Err(Refused::Surplus);
        }
        let (known, max) = (self.decided.len(), self.config.max_decided);
        if known >= max.saturating_add(max / 16) {
            let (usage, accounts) = self.authors.account(&header.author, Some(from));
            let share = (max / accounts) as u64;
            if usage.ids >= share || self.is_crowded() {
                return Err(Refused::OverShare);
            }
        }
        Ok(())
    }

    /// Whether the seen set is so full that nobody gets in, ourselves included, until time raises the edge.
    pub(super) fn is_crowded(&self) -> bool {
        let max = self.config.max_decided;
        self.decided.len() >= max.saturating_add(max / 8)
    }
}
