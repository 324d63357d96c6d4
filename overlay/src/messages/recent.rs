//! Frames and bodies of the last minute, for those who graft, want or fetch them.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use crypto::{MessageId, Verified};

use crate::wire::MessageHeader;

/// Kept beside the frame: header, ids, map nodes.
const OVERHEAD: usize = 512;

/// A cache bounded in bytes and time; the oldest go first. Bodies have a bound of their own, so that a few large ones do not
/// drive out every small message.
#[derive(Debug)]
pub(super) struct Recent {
    frames: BTreeMap<MessageId, (Bytes, Verified<MessageHeader>)>,
    order: VecDeque<(Instant, MessageId)>,
    bytes: usize,
    max_bytes: usize,
    bodies: BTreeMap<MessageId, Bytes>,
    body_order: VecDeque<(Instant, MessageId)>,
    body_bytes: usize,
    max_body_bytes: usize,
    time: Duration,
}

impl Recent {
    pub(super) fn new(max_bytes: usize, max_body_bytes: usize, time: Duration) -> Self {
        Self {
            frames: BTreeMap::new(),
            order: VecDeque::new(),
            bytes: 0,
            max_bytes,
            bodies: BTreeMap::new(),
            body_order: VecDeque::new(),
            body_bytes: 0,
            max_body_bytes,
            time,
        }
    }

    pub(super) fn insert(
        &mut self,
        id: MessageId,
        frame: Bytes,
        header: Verified<MessageHeader>,
        body: Option<Bytes>,
        now: Instant,
    ) {
        if self.frames.contains_key(&id) {
            return;
        }
        self.bytes += frame.len() + OVERHEAD;
        self.frames.insert(id, (frame, header));
        self.order.push_back((now, id));
        while self.bytes > self.max_bytes && self.pop() {}
        if let Some(body) = body {
            self.body_bytes += body.len() + OVERHEAD;
            self.bodies.insert(id, body);
            self.body_order.push_back((now, id));
            // The newest stays, however large it is.
            while self.body_bytes > self.max_body_bytes && self.bodies.len() > 1 {
                self.pop_body();
            }
        }
    }

    pub(super) fn body(&self, id: &MessageId) -> Option<Bytes> {
        self.bodies.get(id).cloned()
    }

    pub(super) fn frame(&self, id: &MessageId) -> Option<Bytes> {
        self.frames.get(id).map(|(frame, _)| frame.clone())
    }

    pub(super) fn header(&self, id: &MessageId) -> Option<&Verified<MessageHeader>> {
        self.frames.get(id).map(|(_, header)| header)
    }

    pub(super) fn expire(&mut self, now: Instant) {
        let old = |order: &VecDeque<(Instant, MessageId)>, time| {
            let since = order.front().map(|(since, _)| *since);
            since.is_some_and(|since| since + time <= now)
        };
        while old(&self.order, self.time) && self.pop() {}
        while old(&self.body_order, self.time) && self.pop_body() {}
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let fronts = [self.order.front(), self.body_order.front()];
        let since = fronts.into_iter().flatten().map(|(since, _)| *since).min();
        Some(since? + self.time)
    }

    fn pop_body(&mut self) -> bool {
        let Some((_, id)) = self.body_order.pop_front() else {
            return false;
        };
        if let Some(body) = self.bodies.remove(&id) {
            self.body_bytes -= body.len() + OVERHEAD;
        }
        true
    }

    fn pop(&mut self) -> bool {
        let Some((_, id)) = self.order.pop_front() else {
            return false;
        };
        if let Some((frame, _)) = self.frames.remove(&id) {
            self.bytes -= frame.len() + OVERHEAD;
        }
        true
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    #[cfg(test)]
    pub(super) fn body_bytes(&self) -> usize {
        self.body_bytes
    }
}
