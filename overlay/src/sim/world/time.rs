//! Virtual time and the order in which things happen.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::time::Duration;

/// Virtual time, microseconds since the world began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub u64);

impl Time {
    /// Seconds since the world began.
    #[must_use]
    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// The time so many seconds after the beginning.
    #[must_use]
    pub fn from_seconds(seconds: f64) -> Self {
        Self((seconds.max(0.0) * 1e6) as u64)
    }

    /// This much later.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)),
        )
    }

    /// Time since the beginning.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_micros(self.0)
    }
}

/// The place of an event in the order of all events: by time, then by who caused it, then by how many it had caused before. It does
/// not depend on how hosts are spread over threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) time: Time,
    pub(super) cause: u32,
    pub(super) number: u64,
}

/// Something that is due, with its place in the order.
#[derive(Debug)]
pub(super) struct Due<T> {
    pub(super) key: Key,
    pub(super) what: T,
}

impl<T> PartialEq for Due<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl<T> Eq for Due<T> {}

impl<T> PartialOrd for Due<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Due<T> {
    /// Reversed: the heap's greatest is the one that is due first.
    fn cmp(&self, other: &Self) -> Ordering {
        other.key.cmp(&self.key)
    }
}

/// Width of a bucket, microseconds.
const BUCKET: u64 = 1 << 14;
/// Buckets of the near future (about two minutes).
const BUCKETS: u64 = 1 << 13;

/// What is due, in order. The near future lies unsorted in buckets and is put in order when its time comes, which costs far less
/// than one heap of millions.
#[derive(Debug)]
pub(super) struct Queue<T> {
    now: BinaryHeap<Due<T>>,
    near: Vec<Vec<Due<T>>>,
    far: BinaryHeap<Due<T>>,
    /// Number of the bucket that `now` holds; `near` holds the ones after it.
    bucket: u64,
    in_near: usize,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Self {
            now: BinaryHeap::new(),
            near: (0..BUCKETS).map(|_| Vec::new()).collect(),
            far: BinaryHeap::new(),
            bucket: 0,
            in_near: 0,
        }
    }

    pub(super) fn push(&mut self, due: Due<T>) {
        let bucket = due.key.time.0 / BUCKET;
        if bucket <= self.bucket {
            self.now.push(due);
        } else if bucket < self.bucket + BUCKETS {
            self.near[(bucket % BUCKETS) as usize].push(due);
            self.in_near += 1;
        } else {
            self.far.push(due);
        }
    }

    /// When the first is due.
    pub(super) fn next(&mut self) -> Option<Time> {
        self.turn();
        self.now.peek().map(|due| due.key.time)
    }

    /// Takes the first that is due before `end`.
    pub(super) fn pop_before(&mut self, end: Time) -> Option<Due<T>> {
        if self.next()? < end {
            self.now.pop()
        } else {
            None
        }
    }

    /// Turns to the next bucket that holds anything, when this one is used up.
    fn turn(&mut self) {
        while self.now.is_empty() {
            if self.in_near == 0 {
                let Some(first) = self.far.peek() else { return };
                self.bucket = first.key.time.0 / BUCKET;
            } else {
                self.bucket += 1;
                let bucket = &mut self.near[(self.bucket % BUCKETS) as usize];
                self.in_near -= bucket.len();
                let taken = std::mem::take(bucket);
                self.now = BinaryHeap::from(taken);
            }
            while self
                .far
                .peek()
                .is_some_and(|due| due.key.time.0 / BUCKET < self.bucket + BUCKETS)
            {
                if let Some(due) = self.far.pop() {
                    self.push(due);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn everything_comes_out_once_and_in_order(
            times in proptest::collection::vec(0_u64..400_000_000, 1..300),
            later in proptest::collection::vec(0_u64..300_000_000, 300),
        ) {
            let mut queue = Queue::new();
            let mut number = 0;
            let mut push = |queue: &mut Queue<u64>, time| {
                number += 1;
                queue.push(Due { key: Key { time: Time(time), cause: 0, number }, what: time });
            };
            for time in &times {
                push(&mut queue, *time);
            }
            let (mut last, mut seen) = (None, 0);
            let mut later = later.into_iter().take(times.len());
            while let Some(due) = queue.pop_before(Time(u64::MAX)) {
                prop_assert!(last.is_none_or(|last| last < due.key));
                last = Some(due.key);
                seen += 1;
                if let Some(after) = later.next() {
                    push(&mut queue, due.what + after);
                }
            }
            prop_assert_eq!(seen, 2 * times.len());
        }
    }
}
