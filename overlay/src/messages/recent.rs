//! Frames of the last minute, for those who graft or fetch them.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use crypto::{MessageId, Verified};

use crate::wire::MessageHeader;

/// Kept beside the frame: header, ids, map nodes.
const OVERHEAD: usize = 512;

/// A cache bounded in bytes and time; the oldest go first.
#[derive(Debug)]
pub(super) struct Recent {
    frames: BTreeMap<MessageId, (Bytes, Verified<MessageHeader>)>,
    order: VecDeque<(Instant, MessageId)>,
    bytes: usize,
    max_bytes: usize,
    time: Duration,
}

impl Recent {
    pub(super) fn new(max_bytes: usize, time: Duration) -> Self {
        Self {
            frames: BTreeMap::new(),
            order: VecDeque::new(),
            bytes: 0,
            max_bytes,
            time,
        }
    }

    pub(super) fn insert(
        &mut self,
        id: MessageId,
        frame: Bytes,
        header: Verified<MessageHeader>,
        now: Instant,
    ) {
        if self.frames.contains_key(&id) {
            return;
        }
        self.bytes += frame.len() + OVERHEAD;
        self.frames.insert(id, (frame, header));
        self.order.push_back((now, id));
        while self.bytes > self.max_bytes && self.pop() {}
    }

    pub(super) fn frame(&self, id: &MessageId) -> Option<Bytes> {
        self.frames.get(id).map(|(frame, _)| frame.clone())
    }

    pub(super) fn header(&self, id: &MessageId) -> Option<&Verified<MessageHeader>> {
        self.frames.get(id).map(|(_, header)| header)
    }

    pub(super) fn expire(&mut self, now: Instant) {
        while self.next_timeout().is_some_and(|due| due <= now) && self.pop() {}
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let (since, _) = self.order.front()?;
        Some(*since + self.time)
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
}
