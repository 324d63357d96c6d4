//! Hosts spread over threads. What one host does reaches another only after the shortest delay between hosts, so within a window of
//! that length all shards run side by side, and the result does not depend on how many there are.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Barrier, Mutex, PoisonError};

use super::event::{Event, Sink};
use super::ground::Ground;
use super::host::Host;
use super::time::{Due, Queue, Time};

/// Every n-th host, and what is due at them.
#[derive(Debug)]
pub(super) struct Shard {
    pub(super) hosts: Vec<Host>,
    pub(super) queue: Queue<Event>,
    pub(super) events: u64,
}

impl Shard {
    pub(super) fn new() -> Self {
        Self {
            hosts: Vec::new(),
            queue: Queue::new(),
            events: 0,
        }
    }

    /// Runs everything due before `end`.
    fn run(
        &mut self,
        end: Time,
        shard: usize,
        shards: usize,
        post: &mut [Vec<Due<Event>>],
        ground: &Ground,
    ) {
        while let Some(due) = self.queue.pop_before(end) {
            self.events += 1;
            let host = &mut self.hosts[due.what.to as usize / shards];
            let mut sink = Sink {
                shards,
                shard,
                queue: &mut self.queue,
                post,
            };
            host.happen(due.what.what, due.key.time, ground, &mut sink);
        }
    }
}

/// Runs all shards up to `until` (what is due at it stays), window by window.
pub(super) fn run(shards: &mut [Shard], until: Time, ground: &Ground) {
    if let [only] = shards {
        return only.run(until, 0, 1, &mut [Vec::new()], ground);
    }
    let count = shards.len();
    let lookahead = ground.paths.lookahead_us();
    let barrier = Barrier::new(count);
    // Double, so that the window after next is not confused with the next.
    let next: [AtomicU64; 2] = [AtomicU64::new(u64::MAX), AtomicU64::new(u64::MAX)];
    let boxes: Vec<Mutex<Vec<Due<Event>>>> = (0..count).map(|_| Mutex::default()).collect();
    let (barrier, next, boxes) = (&barrier, &next, &boxes);
    std::thread::scope(|scope| {
        for (index, shard) in shards.iter_mut().enumerate() {
            scope.spawn(move || {
                let mut post: Vec<Vec<Due<Event>>> = (0..count).map(|_| Vec::new()).collect();
                for turn in 0_usize.. {
                    let mine = shard.queue.next().map_or(u64::MAX, |time| time.0);
                    next[turn % 2].fetch_min(mine, Ordering::AcqRel);
                    barrier.wait();
                    let first = next[turn % 2].load(Ordering::Acquire);
                    if first >= until.0 {
                        return;
                    }
                    let end = Time(first.saturating_add(lookahead)).min(until);
                    shard.run(end, index, count, &mut post, ground);
                    for (to, letters) in post.iter_mut().enumerate() {
                        if !letters.is_empty() {
                            boxes[to]
                                .lock()
                                .unwrap_or_else(PoisonError::into_inner)
                                .append(letters);
                        }
                    }
                    barrier.wait();
                    next[turn % 2].store(u64::MAX, Ordering::Release);
                    let letters = std::mem::take(
                        &mut *boxes[index].lock().unwrap_or_else(PoisonError::into_inner),
                    );
                    for letter in letters {
                        shard.queue.push(letter);
                    }
                }
            });
        }
    });
}
