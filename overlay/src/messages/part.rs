//! The part itself: from arrival to delivery.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use bytes::Bytes;
use crypto::{EntryId, MessageId, PeerId, Verified};

use super::authors::{Authors, Due, Fate, Hole, Release, Standing};
use super::decided::{Decided, Fact};
use super::publish::Publishes;
use super::recent::Recent;
use super::reserve::Reservation;
use super::verdicts::Verdicts;
use crate::action::{Delivery, Event, Row};
use crate::cx::Cx;
use crate::input::{LinkId, Now, Token, Verdict};
use crate::messages::{
    Accepted, Arrival, Config, MAX_INLINE, ROW_OVERHEAD, StoredMessage, packed, point_of,
};
use crate::wire::{self, MessageHeader, Point};

/// Most messages whose delivery waits for the store to reserve cursors; beyond it arrivals are dropped, and repaired later.
const MAX_READY: usize = 4096;
/// Most bytes of them.
const MAX_READY_BYTES: usize = 16 * 1024 * 1024;

/// Everything that has arrived, and the order in which it goes to the application.
#[derive(Debug)]
pub struct Messages {
    pub(super) config: Config,
    pub(super) me: PeerId,
    pub(super) decided: Decided,
    pub(super) authors: Authors,
    /// Verified, waiting for a verdict or for their author's previous message.
    pub(super) pending: BTreeSet<MessageId>,
    pub(super) verdicts: Verdicts,
    pub(super) recent: Recent,
    pub(super) cursors: Reservation,
    pub(super) ready: VecDeque<Ready>,
    pub(super) ready_bytes: usize,
    pub(super) publishes: Publishes,
    pub(super) accepted: Vec<Accepted>,
    /// At most one for each message that waits.
    pub(super) holes: Vec<Hole>,
    /// Links that brought what the application rejects, since the last look.
    pub(super) rejected: Vec<LinkId>,
    pub(super) proofs: BTreeMap<Token, Verified<MessageHeader>>,
    /// First own sequence number of this run.
    pub(super) first_seq: u64,
    /// When this run began.
    pub(super) started: Now,
    pub(super) cloned: bool,
    pub(super) leaving: bool,
    pub(super) edge_check: Instant,
    pub(super) squeeze_check: Instant,
    pub(super) stored_edge_ms: u64,
}

/// Appended, but not delivered before its cursors are reserved.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) message: StoredMessage,
    author: PeerId,
    own: bool,
}

impl Messages {
    /// Takes a verified message from `broadcast` or `repair`.
    pub fn on_arrival(&mut self, arrival: Arrival, cx: &mut Cx<'_>) {
        if self.knows(&arrival.point()) {
            cx.stats.messages.duplicates += 1;
            return;
        }
        if self.is_stalled() {
            cx.stats.messages.stalled += 1;
            return;
        }
        self.watch_for_clone(&arrival, cx);
        if arrival.entries.len() != usize::from(arrival.header.count) {
            cx.stats.messages.bad_bodies += 1;
            self.drop_decided(arrival, cx);
            self.flush(cx);
            return;
        }
        if !self.config.validated_topics.contains(&arrival.header.topic) {
            self.accept(arrival, cx);
            self.flush(cx);
            return;
        }
        if !self.verdicts.has_room(&arrival) {
            cx.stats.messages.verdicts_full += 1;
            return;
        }
        cx.stats.messages.validated += 1;
        let token = cx.out.token();
        cx.emit(Event::Validate {
            token,
            header: MessageHeader::clone(&arrival.header),
            entries: arrival.entries.clone(),
        });
        self.pending.insert(arrival.id);
        self.verdicts.insert(token, arrival, cx.now.mono);
    }

    /// The application's answer to [`Event::Validate`]; the first answer to a token counts.
    pub fn on_verdict(&mut self, token: Token, verdict: Verdict, cx: &mut Cx<'_>) {
        if self.own_verdict(token, verdict, cx) {
            return;
        }
        let Some(arrival) = self.verdicts.take(token) else {
            return;
        };
        self.pending.remove(&arrival.id);
        match verdict {
            Verdict::Accept => {
                self.accept(arrival, cx);
            }
            Verdict::Ignore | Verdict::Reject => {
                if verdict == Verdict::Ignore {
                    cx.stats.messages.ignored += 1;
                } else {
                    cx.stats.messages.rejected += 1;
                    self.rejected.extend(arrival.from.map(|(link, _)| link));
                }
                self.drop_decided(arrival, cx);
            }
        }
        self.flush(cx);
    }

    /// Remembers a message as decided without delivering it, in its author's order.
    fn drop_decided(&mut self, arrival: Arrival, cx: &mut Cx<'_>) {
        let author = self.track(&arrival, cx);
        if self
            .authors
            .standing(author, arrival.header.seq, &arrival.id, &self.decided)
            != Standing::Surplus
        {
            self.place(author, arrival, Fate::Drop, cx);
        }
    }

    fn track(&mut self, arrival: &Arrival, cx: &mut Cx<'_>) -> u64 {
        let entry = arrival.from.map(|(_, peer)| peer);
        let (author, evicted) =
            self.authors
                .track(&arrival.header.author, entry, cx.now.mono, &self.decided);
        if let Some(evicted) = evicted {
            cx.stats.messages.authors_evicted += 1;
            self.append_all(evicted, cx);
        }
        author
    }

    /// Takes a message in: it is passed on at once, and appended when its author's order allows. Returns whether it was.
    pub(super) fn accept(&mut self, arrival: Arrival, cx: &mut Cx<'_>) -> bool {
        let author = self.track(&arrival, cx);
        let seq = arrival.header.seq;
        let equivocation = match self
            .authors
            .standing(author, seq, &arrival.id, &self.decided)
        {
            Standing::Alone => false,
            Standing::Second(other) => {
                cx.stats.messages.equivocations += 1;
                self.prove(other, arrival.header.clone(), cx);
                true
            }
            Standing::Displaces(worst) => {
                cx.stats.messages.displaced += 1;
                self.displace(author, seq, worst, cx);
                true
            }
            Standing::Surplus => {
                cx.stats.messages.surplus += 1;
                return false;
            }
        };
        cx.stats.messages.accepted += 1;
        self.recent.insert(
            arrival.id,
            arrival.frame.clone(),
            arrival.header.clone(),
            arrival.body.clone(),
            cx.now.mono,
        );
        self.accepted.push(Accepted {
            id: arrival.id,
            author: arrival.header.signer(),
            published_unix_ms: arrival.header.published_unix_ms,
            frame: arrival.frame.clone(),
            body_len: arrival.body.as_ref().map(Bytes::len),
            from: arrival.from.map(|(link, _)| link),
            repaired: arrival.repaired,
        });
        self.place(author, arrival, Fate::Deliver { equivocation }, cx);
        true
    }

    /// Appends a message, or lets it wait for its author's previous one.
    fn place(&mut self, author: u64, arrival: Arrival, fate: Fate, cx: &mut Cx<'_>) {
        let (seq, prev) = (arrival.header.seq, arrival.header.prev_seq);
        if let Some(gap) = self.authors.in_order(author, seq, prev, &self.decided) {
            let release = Release { arrival, gap, fate };
            self.append(release, cx);
            let ready = self.authors.ready(author, &self.decided);
            self.append_all(ready, cx);
        } else {
            cx.stats.messages.held += 1;
            self.pending.insert(arrival.id);
            let overflow = self
                .authors
                .hold(author, arrival, fate, cx.now.mono, &self.decided);
            cx.stats.messages.held_overflow += overflow.len() as u64;
            self.append_all(overflow, cx);
        }
    }

    pub(super) fn append_all(&mut self, releases: Vec<Release>, cx: &mut Cx<'_>) {
        for release in releases {
            self.append(release, cx);
        }
    }

    fn append(&mut self, release: Release, cx: &mut Cx<'_>) {
        let Release { arrival, gap, fate } = release;
        self.pending.remove(&arrival.id);
        let point = arrival.point();
        let header = &arrival.header;
        let author = self.authors.number(&header.author).unwrap_or(0);
        let bytes = match fate {
            Fate::Deliver { .. } => header.body_len.saturating_add(ROW_OVERHEAD),
            Fate::Drop => 0,
        };
        let fact = Fact {
            author,
            seq: header.seq,
            bytes,
            hidden: false,
        };
        self.decided.insert(point, fact);
        self.authors.decided(author, fact.seq, bytes);
        let Fate::Deliver { equivocation } = fate else {
            cx.persist(Row::Decided {
                id: arrival.id,
                published_unix_ms: point.unix_ms,
            });
            return;
        };
        cx.stats.messages.appended += 1;
        cx.stats.messages.gaps += u64::from(gap);
        self.ready_bytes += bytes as usize;
        self.ready.push_back(Ready {
            author: header.signer(),
            own: arrival.from.is_none(),
            message: StoredMessage {
                id: arrival.id,
                first_cursor: 0,
                signed: arrival.header.into_signed(),
                entries: arrival.entries,
                gap,
                equivocation,
            },
        });
    }

    /// Delivers what has its cursors, signs what has its sequence numbers, and asks for more of both in time.
    pub(super) fn flush(&mut self, cx: &mut Cx<'_>) {
        self.flush_publishes(cx);
        while let Some(ready) = self.ready.front() {
            let Some(cursor) = self.cursors.take(ready.message.entries.len() as u64) else {
                break;
            };
            let Some(Ready {
                mut message,
                author,
                own,
            }) = self.ready.pop_front()
            else {
                break;
            };
            self.ready_bytes -= message.signed.value.body_len.saturating_add(ROW_OVERHEAD) as usize;
            message.first_cursor = cursor;
            let token = cx.persist(Row::Message(message.clone()));
            if own {
                self.publishes.stored(token, message.id);
            }
            deliver(message, author, cx);
        }
        self.reserve(cx);
    }

    pub(super) fn reserve(&mut self, cx: &mut Cx<'_>) {
        if let Some(cursor) = self.cursors.due() {
            let token = cx.persist(Row::ReserveCursors { cursor });
            self.cursors.asked(token, cursor);
        }
        if let Some(seq) = self.publishes.seqs.due() {
            let token = cx.persist(Row::ReserveSeqs { seq });
            self.publishes.seqs.asked(token, seq);
        }
    }

    /// Whether deliveries wait for the store and no more can be taken.
    pub(super) fn is_stalled(&self) -> bool {
        self.ready.len() >= MAX_READY || self.ready_bytes >= MAX_READY_BYTES
    }

    /// The store made everything up to `token` durable.
    pub fn on_persisted(&mut self, token: Token, cx: &mut Cx<'_>) {
        self.cursors.on_persisted(token);
        self.publishes.seqs.on_persisted(token);
        self.flush(cx);
        self.acknowledge(token, cx);
    }

    /// Runs what is due; cheap when nothing is. `sought` is asked only when a message has waited for an earlier one of its author:
    /// it tells the first place where repair is at work.
    pub fn on_timeout(&mut self, sought: &dyn Fn() -> Option<Point>, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        let mut found = None;
        let mut sought = || *found.get_or_insert_with(sought);
        while let Some(due) = self.authors.due(now, &mut sought, &self.decided) {
            match due {
                Due::Over(releases) => self.append_all(releases, cx),
                Due::Tell(hole) => self.holes.push(hole),
                Due::Later => cx.stats.messages.waited_on += 1,
            }
        }
        while let Some(arrival) = self.verdicts.expired(now) {
            cx.stats.messages.undecided += 1;
            self.pending.remove(&arrival.id);
        }
        self.expire_publishes(cx);
        self.recent.expire(now);
        self.retain(cx);
        self.flush(cx);
    }

    /// When [`on_timeout`](Self::on_timeout) has something to do next.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        [
            self.authors.next_timeout(),
            self.verdicts.next_timeout(),
            self.publishes.next_timeout(),
            self.recent.next_timeout(),
            self.next_retention(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Messages accepted since the last call, to be passed on by `broadcast`.
    pub fn take_accepted(&mut self) -> Vec<Accepted> {
        std::mem::take(&mut self.accepted)
    }

    /// Links that brought a message that the application rejects, since the last call: whoever passes one on should have asked too.
    pub fn take_rejected(&mut self) -> Vec<LinkId> {
        std::mem::take(&mut self.rejected)
    }

    /// Holes noticed since the last call, for `repair` to look into.
    pub fn take_holes(&mut self) -> Vec<Hole> {
        std::mem::take(&mut self.holes)
    }

    /// The frame of a message of the last minute.
    #[must_use]
    pub fn frame(&self, id: &MessageId) -> Option<Bytes> {
        self.recent.frame(id)
    }

    /// The frame of a message of the last minute for one who fetches it: whole if it fits one frame, however it came.
    #[must_use]
    pub fn to_serve(&self, id: &MessageId) -> Option<Bytes> {
        let frame = self.recent.frame(id)?;
        if wire::tag_of(&frame) != Some(wire::tag::HEAD) {
            return Some(frame);
        }
        let body = self.recent.body(id)?;
        let signed = self.recent.header(id)?.signed();
        if body.len() > MAX_INLINE {
            return Some(wire::head_for(&frame, 0, false));
        }
        let entries = wire::entries_of(&body, signed.value.count)?;
        Some(packed(signed.clone(), entries, MAX_INLINE).0)
    }

    /// The body of a large message of the last minute.
    #[must_use]
    pub fn body(&self, id: &MessageId) -> Option<Bytes> {
        self.recent.body(id)
    }

    /// The decided messages of the window.
    #[must_use]
    pub fn decided(&self) -> &Decided {
        &self.decided
    }

    /// Nothing dated below this is known or taken, milliseconds since the Unix epoch.
    #[must_use]
    pub fn low_edge_ms(&self) -> u64 {
        self.decided.low_edge_ms()
    }

    /// Makes a message decided, and logged or not, without its content.
    /// From now on messages are kept for so long.
    #[cfg(test)]
    pub(crate) fn retain_for(&mut self, retention: std::time::Duration) {
        self.config.retention = retention;
    }

    #[cfg(test)]
    pub(crate) fn put(&mut self, point: Point, logged: bool) {
        let fact = Fact {
            author: 0,
            seq: 1,
            bytes: u32::from(logged),
            hidden: false,
        };
        self.decided.insert(point, fact);
    }

    /// Number of tracked authors.
    #[must_use]
    pub fn authors(&self) -> usize {
        self.authors.len()
    }

    /// Whether publishing has stopped because somebody else signs with our key.
    #[must_use]
    pub fn is_cloned(&self) -> bool {
        self.cloned
    }
}

fn deliver(message: StoredMessage, author: PeerId, cx: &mut Cx<'_>) {
    let header = &message.signed.value;
    for (index, payload) in (0u32..).zip(message.entries) {
        cx.stats.messages.delivered += 1;
        cx.emit(Event::Delivered(Delivery {
            cursor: message.first_cursor + u64::from(index),
            id: EntryId::of(&message.id, index),
            message: message.id,
            index,
            author,
            seq: header.seq,
            published_unix_ms: header.published_unix_ms,
            topic: header.topic.clone(),
            payload,
            gap: message.gap,
            equivocation: message.equivocation,
        }));
    }
}

impl StoredMessage {
    /// What it counts for in the retention, bytes.
    #[must_use]
    pub fn retention_bytes(&self) -> u32 {
        self.signed.value.body_len.saturating_add(ROW_OVERHEAD)
    }

    /// Its place in the order that nodes reconcile on.
    #[must_use]
    pub fn point(&self) -> Point {
        point_of(&self.signed.value, &self.id)
    }
}
