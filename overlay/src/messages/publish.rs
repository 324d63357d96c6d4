//! Publishing: validate, sign, spread, and acknowledge what is durable.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use bytes::Bytes;
use crypto::{EntryId, Manifest, MessageId, Signed};

use super::part::Messages;
use super::reserve::Reservation;
use crate::action::{Event, Receipt};
use crate::cx::Cx;
use crate::input::{Token, Verdict};
use crate::messages::{
    Arrival, ENTRY_PREFIX, MAX_ENTRIES, MAX_INLINE, PublishError, Topic, is_inline,
};
use crate::wire::{self, Gossip, Head, Message, MessageHeader, body_bytes, body_of, entries_of};

/// A publish that is not signed yet.
#[derive(Debug)]
struct Waiting {
    token: Token,
    topic: Topic,
    payloads: Vec<Bytes>,
}

/// A publish whose messages are on their way but not all durable.
#[derive(Debug)]
struct Open {
    token: Token,
    entries: Vec<EntryId>,
    messages: Vec<MessageId>,
    /// Its messages with the lanes that took each.
    taken: BTreeMap<MessageId, usize>,
    /// Messages not durable yet.
    left: usize,
    bytes: usize,
}

/// Own messages between the command and its answer. Capped by count and bytes; beyond that publishes are refused as busy.
#[derive(Debug)]
pub(super) struct Publishes {
    pub(super) seqs: Reservation,
    last_seq: u64,
    waiting: VecDeque<Waiting>,
    validating: BTreeMap<Token, (Instant, Waiting)>,
    open: BTreeMap<u64, Open>,
    last_open: u64,
    owner: BTreeMap<MessageId, u64>,
    rows: BTreeMap<Token, MessageId>,
    bytes: usize,
}

impl Publishes {
    pub(super) fn new(seqs: Reservation, last_seq: u64) -> Self {
        Self {
            seqs,
            last_seq,
            waiting: VecDeque::new(),
            validating: BTreeMap::new(),
            open: BTreeMap::new(),
            last_open: 0,
            owner: BTreeMap::new(),
            rows: BTreeMap::new(),
            bytes: 0,
        }
    }

    /// The row of an own message went to the store.
    pub(super) fn stored(&mut self, token: Token, id: MessageId) {
        self.rows.insert(token, id);
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.validating.first_key_value().map(|(_, (due, _))| *due)
    }

    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.count() == 0 && self.bytes == 0 && self.owner.is_empty() && self.rows.is_empty()
    }

    fn count(&self) -> usize {
        self.waiting.len() + self.validating.len() + self.open.len()
    }
}

impl Messages {
    /// Signs and spreads `payloads` as the entries of one message, or of several when they do not fit one body.
    /// Answered by [`Event::Published`], at once when refused, else when durable.
    pub fn publish(&mut self, token: Token, topic: Topic, payloads: Vec<Bytes>, cx: &mut Cx<'_>) {
        if let Err(error) = self.may_publish(&topic, &payloads, cx) {
            refuse(token, error, cx);
            return;
        }
        self.publishes.bytes += size(&payloads);
        let waiting = Waiting {
            token,
            topic,
            payloads,
        };
        if self.config.validated_topics.contains(&waiting.topic) {
            cx.stats.messages.validated += 1;
            let question = cx.out.token();
            cx.emit(Event::Validate {
                token: question,
                header: self.header(&waiting.topic, &waiting.payloads, cx),
                entries: waiting.payloads.clone(),
            });
            let due = cx.now.mono + self.config.verdict_deadline;
            self.publishes.validating.insert(question, (due, waiting));
        } else {
            self.publishes.waiting.push_back(waiting);
            self.flush(cx);
        }
    }

    /// Whether a publish of the largest message would not be refused as busy; the caller had better wait otherwise.
    #[must_use]
    pub fn ready_to_publish(&self) -> bool {
        !self.is_stalled()
            && !self.is_crowded()
            && self.publishes.count() < self.config.max_publishes
            && self.has_room_for(self.config.max_body)
    }

    /// Whether so many bytes of payload may wait too. One message may always, however small the bound.
    fn has_room_for(&self, bytes: usize) -> bool {
        let waiting = self.publishes.bytes;
        waiting == 0 || waiting.saturating_add(bytes) <= self.config.max_publish_bytes
    }

    fn may_publish(
        &self,
        topic: &Topic,
        payloads: &[Bytes],
        cx: &Cx<'_>,
    ) -> Result<(), PublishError> {
        if self.leaving {
            return Err(PublishError::Leaving);
        }
        if self.cloned {
            return Err(PublishError::Cloned);
        }
        if payloads.is_empty() || payloads.len() > MAX_ENTRIES {
            return Err(PublishError::Count(payloads.len()));
        }
        let max = self.config.max_payload();
        if let Some(payload) = payloads.iter().find(|payload| payload.len() > max) {
            return Err(PublishError::TooLarge {
                size: payload.len(),
                max,
            });
        }
        let header = self.header(topic, payloads, cx);
        if !cx.config.conduct.authors.admits(&header) {
            return Err(PublishError::NotAdmitted);
        }
        if self.is_stalled()
            || self.is_crowded()
            || self.publishes.count() >= self.config.max_publishes
            || !self.has_room_for(size(payloads))
        {
            return Err(PublishError::Busy);
        }
        Ok(())
    }

    /// The header that a message with these entries would get now. For a question to the validator or the policy its
    /// sequence number is provisional.
    fn header(&self, topic: &Topic, entries: &[Bytes], cx: &Cx<'_>) -> MessageHeader {
        let (body_len, body_root) = body_of(entries);
        MessageHeader {
            author: cx.me().to_bytes(),
            seq: self.publishes.seqs.next(),
            prev_seq: self.publishes.last_seq,
            published_unix_ms: cx.now.unix_ms,
            topic: topic.clone(),
            count: u16::try_from(entries.len()).unwrap_or(u16::MAX), // at most MAX_ENTRIES
            body_len,
            body_root,
        }
    }

    /// Takes a verdict on an own publish; returns whether it was one.
    pub(super) fn own_verdict(&mut self, token: Token, verdict: Verdict, cx: &mut Cx<'_>) -> bool {
        let Some((_, waiting)) = self.publishes.validating.remove(&token) else {
            return false;
        };
        if verdict == Verdict::Accept {
            self.publishes.waiting.push_back(waiting);
            self.flush(cx);
        } else {
            self.fail(waiting, PublishError::Invalid, cx);
        }
        true
    }

    /// Own publishes that the validator did not answer in time are refused.
    pub(super) fn expire_publishes(&mut self, cx: &mut Cx<'_>) {
        while let Some(entry) = self.publishes.validating.first_entry() {
            if entry.get().0 > cx.now.mono {
                return;
            }
            let (_, waiting) = entry.remove();
            cx.stats.messages.undecided += 1;
            self.fail(waiting, PublishError::Invalid, cx);
        }
    }

    /// Signs what waits, as far as durable sequence numbers reach.
    pub(super) fn flush_publishes(&mut self, cx: &mut Cx<'_>) {
        while !self.is_stalled()
            && let Some(waiting) = self.publishes.waiting.front()
        {
            let bodies = split(&waiting.payloads);
            let Some(seq) = self.publishes.seqs.take(bodies.len() as u64) else {
                return;
            };
            let Some(waiting) = self.publishes.waiting.pop_front() else {
                return;
            };
            match self.sign(&waiting.topic, bodies, seq, cx) {
                Ok(arrivals) => self.spread(waiting, arrivals, cx),
                Err(error) => self.fail(waiting, error, cx),
            }
        }
    }

    /// Signs all messages of a publish, so that nothing is sent when one fails.
    fn sign(
        &self,
        topic: &Topic,
        bodies: Vec<Vec<Bytes>>,
        first_seq: u64,
        cx: &mut Cx<'_>,
    ) -> Result<Vec<Arrival>, PublishError> {
        let mut prev_seq = self.publishes.last_seq;
        (first_seq..)
            .zip(bodies)
            .map(|(seq, entries)| {
                let mut header = self.header(topic, &entries, cx);
                header.seq = seq;
                header.prev_seq = std::mem::replace(&mut prev_seq, seq);
                let header = Signed::sign(header, cx.identity, cx.network)
                    .map_err(|error| PublishError::Signer(error.to_string()))?;
                let signed = header.signed().clone();
                let (frame, body, entries) = packed(signed, entries, self.config.inline);
                Ok(Arrival {
                    id: header.id(cx.network),
                    header,
                    entries,
                    body,
                    frame,
                    from: None,
                    repaired: false,
                })
            })
            .collect()
    }

    fn spread(&mut self, waiting: Waiting, arrivals: Vec<Arrival>, cx: &mut Cx<'_>) {
        self.publishes.last_open += 1;
        let number = self.publishes.last_open;
        let mut open = Open {
            token: waiting.token,
            entries: Vec::with_capacity(waiting.payloads.len()),
            messages: Vec::with_capacity(waiting.payloads.len()),
            taken: BTreeMap::new(),
            left: arrivals.len(),
            bytes: size(&waiting.payloads),
        };
        for arrival in &arrivals {
            let id = arrival.id;
            for index in 0..u32::from(arrival.header.count) {
                open.entries.push(EntryId::of(&id, index));
                open.messages.push(id);
            }
            open.taken.insert(id, 0);
            self.publishes.owner.insert(id, number);
        }
        self.publishes.open.insert(number, open);
        for arrival in arrivals {
            cx.stats.messages.signed += 1;
            let (id, seq) = (arrival.id, arrival.header.seq);
            if self.accept(arrival, cx) {
                self.publishes.last_seq = seq;
            } else {
                // Two messages of ours with this number exist that we did not sign.
                self.clone_detected(cx);
                self.finish(number, id, Some(PublishError::Cloned), cx);
            }
        }
    }

    /// Answers the publishes whose rows are durable now.
    pub(super) fn acknowledge(&mut self, token: Token, cx: &mut Cx<'_>) {
        while let Some(entry) = self.publishes.rows.first_entry() {
            if *entry.key() > token {
                return;
            }
            let id = entry.remove();
            if let Some(number) = self.publishes.owner.get(&id).copied() {
                self.finish(number, id, None, cx);
            }
        }
    }

    /// One message of a publish is durable, or will never be.
    fn finish(&mut self, number: u64, id: MessageId, error: Option<PublishError>, cx: &mut Cx<'_>) {
        self.publishes.owner.remove(&id);
        let Some(open) = self.publishes.open.get_mut(&number) else {
            return;
        };
        open.left = open.left.saturating_sub(1);
        if open.left > 0 && error.is_none() {
            return;
        }
        let Some(open) = self.publishes.open.remove(&number) else {
            return;
        };
        for id in open.taken.keys() {
            self.publishes.owner.remove(id);
        }
        self.publishes.bytes -= open.bytes;
        let result = match error {
            Some(error) => {
                cx.stats.messages.publish_refused += 1;
                Err(error)
            }
            None => Ok(Receipt {
                message: open.messages.first().copied().unwrap_or(id),
                entries: open.entries,
                messages: open.messages,
                neighbors: open.taken.values().copied().min().unwrap_or(0),
            }),
        };
        cx.emit(Event::Published {
            token: open.token,
            result,
        });
    }

    /// `n` more neighbors' lanes took this own message.
    pub fn note_neighbors(&mut self, id: &MessageId, n: usize) {
        if let Some(number) = self.publishes.owner.get(id)
            && let Some(open) = self.publishes.open.get_mut(number)
            && let Some(taken) = open.taken.get_mut(id)
        {
            *taken = taken.saturating_add(n);
        }
    }

    /// The node is shutting down: nothing new is signed; what is signed is still acknowledged.
    pub fn leave(&mut self, cx: &mut Cx<'_>) {
        self.leaving = true;
        self.refuse_waiting(&PublishError::Leaving, cx);
    }

    /// Refuses everything that is not signed yet.
    pub(super) fn refuse_waiting(&mut self, error: &PublishError, cx: &mut Cx<'_>) {
        let validating = std::mem::take(&mut self.publishes.validating);
        let waiting = std::mem::take(&mut self.publishes.waiting);
        for waiting in waiting
            .into_iter()
            .chain(validating.into_values().map(|(_, waiting)| waiting))
        {
            self.fail(waiting, error.clone(), cx);
        }
    }

    fn fail(&mut self, waiting: Waiting, error: PublishError, cx: &mut Cx<'_>) {
        self.publishes.bytes -= size(&waiting.payloads);
        refuse(waiting.token, error, cx);
    }
}

fn refuse(token: Token, error: PublishError, cx: &mut Cx<'_>) {
    cx.stats.messages.publish_refused += 1;
    cx.emit(Event::Published {
        token,
        result: Err(error),
    });
}

/// The frame of a signed message; and, if its body travels apart, the body and the entries as parts of it.
pub(crate) fn packed(
    signed: Signed<MessageHeader>,
    entries: Vec<Bytes>,
    inline: usize,
) -> (Bytes, Option<Bytes>, Vec<Bytes>) {
    let count = signed.value.count;
    if !is_inline(entries.len(), signed.value.body_len as usize, inline) {
        let body = Bytes::from(body_bytes(&entries));
        if let (Some(manifest), Some(entries)) = (Manifest::of(&body), entries_of(&body, count)) {
            let head = Message::Head(Box::new(Head {
                signed,
                manifest,
                hops: 0,
                follows: false,
            }));
            return (wire::encode(&head), Some(body), entries);
        }
    }
    let gossip = Message::Gossip(Box::new(Gossip {
        signed,
        entries: entries.clone(),
    }));
    (wire::encode(&gossip), None, entries)
}

/// What payloads take while they wait.
fn size(payloads: &[Bytes]) -> usize {
    let each = |payload: &Bytes| payload.len() + ENTRY_PREFIX;
    payloads.iter().map(each).sum()
}

/// Cuts payloads into bodies, in order: what fits one frame together shares one, what does not is alone.
fn split(payloads: &[Bytes]) -> Vec<Vec<Bytes>> {
    let mut bodies: Vec<Vec<Bytes>> = Vec::new();
    let mut length = MAX_INLINE;
    for payload in payloads {
        let more = payload.len() + ENTRY_PREFIX;
        match bodies.last_mut() {
            Some(body) if length + more <= MAX_INLINE => {
                body.push(payload.clone());
                length += more;
            }
            _ => {
                bodies.push(vec![payload.clone()]);
                length = more;
            }
        }
    }
    bodies
}
