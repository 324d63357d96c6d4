//! Chunks that overtook their head. Lanes are not ordered among themselves: what follows a head may come before it, and is then
//! left in the queue it came in, so to speak, until the head tells what it is. Nothing of it is passed on or put together.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crypto::MessageId;

use crate::input::LinkId;
use crate::wire::Chunk;

/// Chunks of one link that wait: what a lane holds.
const PER_LINK: usize = 8;
/// Chunks that wait over all links: 8 MiB.
const MOST: usize = 256;
/// How long they wait.
const WAIT: Duration = Duration::from_secs(1);
/// Bodies of late whose chunks are no news, but late.
const CLOSED: usize = 256;

#[derive(Debug)]
struct Entry {
    at: Instant,
    link: LinkId,
    chunk: Chunk,
    frame: Bytes,
}

/// A queue, capped by link and in all; the oldest go first.
#[derive(Debug, Default)]
pub(super) struct Early {
    entries: VecDeque<Entry>,
    closed: VecDeque<MessageId>,
}

impl Early {
    /// A body is done with, one way or the other.
    pub(super) fn close(&mut self, id: MessageId) {
        if self.closed.len() >= CLOSED {
            self.closed.pop_front();
        }
        self.closed.push_back(id);
    }

    /// Keeps a chunk of a body that nothing is known of. Returns the links and sizes of what had to go instead, this one
    /// included if it is late rather than early.
    pub(super) fn push(
        &mut self,
        link: LinkId,
        chunk: Chunk,
        frame: Bytes,
        now: Instant,
    ) -> Option<(LinkId, usize)> {
        if self.closed.contains(&MessageId::from_bytes(chunk.id)) {
            return Some((link, frame.len()));
        }
        let of_link = |entry: &Entry| entry.link == link;
        let gone = if self.entries.iter().filter(|entry| of_link(entry)).count() >= PER_LINK {
            let oldest = self.entries.iter().position(of_link);
            oldest.and_then(|at| self.entries.remove(at))
        } else if self.entries.len() >= MOST {
            self.entries.pop_front()
        } else {
            None
        };
        self.entries.push_back(Entry {
            at: now,
            link,
            chunk,
            frame,
        });
        gone.map(|entry| (entry.link, entry.frame.len()))
    }

    /// The chunks of a body that a link sent before its head.
    pub(super) fn take(&mut self, link: LinkId, id: &MessageId) -> Vec<(Chunk, Bytes)> {
        if self.entries.is_empty() {
            return Vec::new();
        }
        let of_body = |entry: &Entry| entry.link == link && entry.chunk.id == *id.as_bytes();
        let (taken, kept): (VecDeque<_>, _) = std::mem::take(&mut self.entries)
            .into_iter()
            .partition(of_body);
        self.entries = kept;
        let taken = taken.into_iter();
        taken.map(|entry| (entry.chunk, entry.frame)).collect()
    }

    /// Drops what has waited for too long; returns the link and size of one such.
    pub(super) fn expire(&mut self, now: Instant) -> Option<(LinkId, usize)> {
        let old = |entry: &mut Entry| entry.at + WAIT <= now;
        let entry = self.entries.pop_front_if(old)?;
        Some((entry.link, entry.frame.len()))
    }

    /// A link is gone.
    pub(super) fn forget(&mut self, link: LinkId) {
        self.entries.retain(|entry| entry.link != link);
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        Some(self.entries.front()?.at + WAIT)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}
