//! What is kept of each link: what it wants of us, what it may have, and how far its word is good.

use std::collections::VecDeque;
use std::time::Instant;

use crypto::MessageId;

use super::Config;
use crate::collections::{Budget, TokenBucket};

/// Promises kept, in thousandths. A link begins trusted; two broken promises in a row make it one that is asked last.
const FULL: u16 = 1000;
/// Below this a link is asked last.
const DISTRUST: u16 = 500;

/// Chunks `next..to` of a body that the peer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) id: MessageId,
    pub(super) next: u16,
    pub(super) to: u16,
}

/// The state of one link.
#[derive(Debug)]
pub(super) struct Peer {
    /// First come, first served, but for those whose next chunk is not here yet.
    pub(super) jobs: VecDeque<Job>,
    pub(super) budget: Budget,
    /// For what is read from the store.
    pub(super) stored: TokenBucket,
    pub(super) unasked: TokenBucket,
    word: u16,
    /// When it last sent a chunk that we kept.
    pub(super) active: Instant,
    /// Bodies wanted whose header it brought.
    pub(super) brought: usize,
    /// When its budget allows more.
    pub(super) wake: Option<Instant>,
}

impl Peer {
    pub(super) fn new(config: &Config, now: Instant) -> Self {
        let earned = 2 * config.serve_burst;
        Self {
            jobs: VecDeque::new(),
            budget: Budget::new(config.serve_burst, config.serve_rate, earned, now),
            stored: TokenBucket::new(config.stored_burst, config.stored_rate, now),
            unasked: TokenBucket::new(config.unasked_burst, config.unasked_rate, now),
            word: FULL,
            active: now,
            brought: 0,
            wake: None,
        }
    }

    /// It delivered what it was asked for.
    pub(super) fn kept(&mut self) {
        self.word += (FULL - self.word) * 3 / 10;
    }

    /// It kept us waiting.
    pub(super) fn broke(&mut self) {
        self.word = self.word * 7 / 10;
    }

    /// It is to be asked last.
    pub(super) const fn is_distrusted(&self) -> bool {
        self.word < DISTRUST
    }

    /// Takes chunks of a body off its list.
    pub(super) fn cancel(&mut self, id: &MessageId, from: u16, to: u16, max: usize) {
        let mut spare = max.saturating_sub(self.jobs.len());
        let mut kept = VecDeque::with_capacity(self.jobs.len());
        for job in self.jobs.drain(..) {
            if job.id != *id {
                kept.push_back(job);
                continue;
            }
            let before = Job {
                to: job.to.min(from),
                ..job
            };
            let after = Job {
                next: job.next.max(to),
                ..job
            };
            let parts = [before, after].into_iter().filter(|it| it.next < it.to);
            let parts = parts.collect::<Vec<_>>();
            let more = parts.len().saturating_sub(1);
            // Without room for both, the latter part is to be asked for anew.
            let most = if more <= spare { 2 } else { 1 };
            spare -= more.min(spare);
            kept.extend(parts.into_iter().take(most));
        }
        self.jobs = kept;
    }

    /// Puts chunks of a body on its list; what is there already stays where it is. Returns whether there was room.
    pub(super) fn want(&mut self, id: MessageId, from: u16, to: u16, max: usize) -> bool {
        for job in &mut self.jobs {
            if job.id == id && from <= job.to && to >= job.next {
                job.next = job.next.min(from);
                job.to = job.to.max(to);
                return true;
            }
        }
        let room = self.jobs.len() < max;
        if room {
            self.jobs.push_back(Job { id, next: from, to });
        }
        room
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    fn peer() -> Peer {
        Peer::new(&Config::default(), Bench::new(0).now.mono)
    }

    fn id(n: u8) -> MessageId {
        MessageId::from_bytes([n; 32])
    }

    fn jobs(peer: &Peer) -> Vec<(u8, u16, u16)> {
        let each = |job: &Job| (job.id.as_bytes()[0], job.next, job.to);
        peer.jobs.iter().map(each).collect()
    }

    #[test]
    fn wants_of_one_body_are_joined_and_cancelled_in_parts() {
        let mut peer = peer();
        assert!(peer.want(id(1), 0, 10, 8));
        assert!(peer.want(id(2), 0, 4, 8));
        assert!(peer.want(id(1), 5, 20, 8));
        assert_eq!(jobs(&peer), [(1, 0, 20), (2, 0, 4)]);
        peer.cancel(&id(1), 8, 12, 8);
        assert_eq!(jobs(&peer), [(1, 0, 8), (1, 12, 20), (2, 0, 4)]);
        peer.cancel(&id(1), 0, 8, 8);
        peer.cancel(&id(2), 0, u16::MAX, 8);
        assert_eq!(jobs(&peer), [(1, 12, 20)]);
        peer.cancel(&id(3), 0, u16::MAX, 8);
        assert_eq!(jobs(&peer), [(1, 12, 20)]);
    }

    #[test]
    fn a_link_has_no_more_jobs_than_the_cap() {
        let mut peer = peer();
        for n in 0..100 {
            assert_eq!(peer.want(id(n), 0, 9, 8), n < 8);
        }
        // Cutting one in two does not make more of them.
        for n in 0..8 {
            peer.cancel(&id(n), 3, 5, 8);
            assert!(peer.jobs.len() <= 8);
        }
    }

    #[test]
    fn trust_is_lost_by_two_broken_promises_and_comes_back_by_kept_ones() {
        let mut peer = peer();
        peer.broke();
        assert!(!peer.is_distrusted());
        peer.broke();
        assert!(peer.is_distrusted());
        for _ in 0..100 {
            peer.broke();
        }
        for _ in 0..3 {
            peer.kept();
        }
        assert!(!peer.is_distrusted());
        for _ in 0..100 {
            peer.kept();
        }
        peer.broke();
        assert!(!peer.is_distrusted());
    }
}
