//! Chunks that overtook their head. Lanes are not ordered among themselves: what follows a head may come before it, and is then
//! left in the queue it came in, so to speak, until the head tells what it is. Nothing of it is passed on or put together.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crypto::{CHUNK_LEN, MessageId};

use crate::input::{Lane, LinkId};
use crate::wire::Chunk;

/// Bytes of one link's chunks that wait: what a lane holds at the sender, as much again under way, and what waits to be read, as all of it
/// may overtake the heads.
const PER_LINK_BYTES: usize = 3 * Lane::Bulk.capacity() + CHUNK_LEN;
/// How many those may be: bodies are no shorter than some 2 KiB.
const PER_LINK: usize = 400;
/// Chunks and bytes that wait over all links.
const MOST: usize = 2048;
const MOST_BYTES: usize = 8 * 1024 * 1024;
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
    bytes: usize,
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
    ) -> Vec<(LinkId, usize)> {
        if self.closed.contains(&MessageId::from_bytes(chunk.id)) {
            return vec![(link, frame.len())];
        }
        self.bytes += frame.len();
        self.entries.push_back(Entry {
            at: now,
            link,
            chunk,
            frame,
        });
        let mut gone = Vec::new();
        let of_link = |entry: &Entry| entry.link == link;
        let theirs = self.entries.iter().filter(|entry| of_link(entry));
        let (mut count, mut bytes) = theirs.fold((0, 0), |(count, bytes), entry| {
            (count + 1, bytes + entry.frame.len())
        });
        while count > PER_LINK || bytes > PER_LINK_BYTES {
            let Some(old) = self.remove_at(self.entries.iter().position(of_link)) else {
                break;
            };
            count -= 1;
            bytes -= old.1;
            gone.push(old);
        }
        while self.entries.len() > MOST || self.bytes > MOST_BYTES {
            gone.extend(self.remove_at(Some(0)));
        }
        gone
    }

    fn remove_at(&mut self, at: Option<usize>) -> Option<(LinkId, usize)> {
        let entry = self.entries.remove(at?)?;
        self.bytes -= entry.frame.len();
        Some((entry.link, entry.frame.len()))
    }

    /// The chunks of a body that a link sent before its head.
    pub(super) fn take(&mut self, link: LinkId, id: &MessageId) -> Vec<(Chunk, Bytes)> {
        // In place: this runs for every head that is followed by its body, and most have nothing here.
        let (mut taken, mut bytes) = (Vec::new(), 0);
        self.entries.retain(|entry| {
            let of_body = entry.link == link && entry.chunk.id == *id.as_bytes();
            if of_body {
                bytes += entry.frame.len();
                taken.push((entry.chunk.clone(), entry.frame.clone()));
            }
            !of_body
        });
        self.bytes -= bytes;
        taken
    }

    /// Drops what has waited for too long; returns the link and size of one such.
    pub(super) fn expire(&mut self, now: Instant) -> Option<(LinkId, usize)> {
        let old = self.entries.front()?.at + WAIT <= now;
        self.remove_at(old.then_some(0))
    }

    /// A link is gone.
    pub(super) fn forget(&mut self, link: LinkId) {
        self.entries.retain(|entry| entry.link != link);
        self.bytes = self.entries.iter().map(|entry| entry.frame.len()).sum();
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        Some(self.entries.front()?.at + WAIT)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    fn push(
        early: &mut Early,
        link: u64,
        n: u32,
        len: usize,
        now: Instant,
    ) -> Vec<(LinkId, usize)> {
        let mut id = [7; 32];
        id[..4].copy_from_slice(&n.to_be_bytes());
        let chunk = Chunk {
            id,
            index: 0,
            bytes: Bytes::new(),
        };
        early.push(LinkId(link), chunk, vec![0; len].into(), now)
    }

    fn check(early: &Early) {
        let bytes: usize = early.entries.iter().map(|it| it.frame.len()).sum();
        assert_eq!(early.bytes, bytes);
        assert!(early.entries.len() <= MOST && bytes <= MOST_BYTES);
    }

    #[test]
    fn a_lane_full_of_chunks_of_any_size_may_overtake_its_heads() {
        let now = Bench::new(0).now.mono;
        for len in [2100, 4200, 33_000] {
            let mut early = Early::default();
            let count = u32::try_from((PER_LINK_BYTES / len).min(PER_LINK)).unwrap();
            for n in 0..count {
                assert_eq!(push(&mut early, 1, n, len, now), [], "{len} {n}");
            }
            // The oldest of the same link goes first.
            push(&mut early, 2, 0, len, now);
            assert_eq!(push(&mut early, 1, count, len, now), [(LinkId(1), len)]);
            check(&early);
            let mut id = [7; 32];
            id[..4].copy_from_slice(&0u32.to_be_bytes());
            assert!(early.take(LinkId(1), &MessageId::from_bytes(id)).is_empty());
            assert_eq!(early.take(LinkId(2), &MessageId::from_bytes(id)).len(), 1);
            check(&early);
        }
    }

    #[test]
    fn all_links_together_are_capped_by_number_and_by_bytes() {
        let now = Bench::new(0).now.mono;
        for len in [100, 33_000] {
            let mut early = Early::default();
            let mut gone = 0;
            for n in 0..6000 {
                gone += push(&mut early, u64::from(n % 100), n, len, now).len();
                check(&early);
            }
            assert_eq!(gone + early.len(), 6000);
            assert!(early.len() == MOST || early.bytes + len > MOST_BYTES);
            while early.expire(now + WAIT).is_some() {}
            assert_eq!((early.len(), early.bytes), (0, 0));
        }
    }
}
