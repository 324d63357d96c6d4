//! Frames on their way out of one link: a queue for each lane, bounded in bytes.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use overlay::Lane;
use overlay::cx::FRAME_OVERHEAD;
use tokio::sync::Notify;

/// Most frames, and bytes (beyond the first frame), that leave in one write. Gathering 64 frames brings the system calls of
/// a delivery down to 0.05; the bytes are few, so that what is urgent is never far behind.
const BATCH_FRAMES: usize = 64;
const BATCH_BYTES: usize = 64 * 1024;

/// The outgoing frames of one lane of one link.
#[derive(Debug)]
pub(crate) struct LaneQueue {
    pub(crate) lane: Lane,
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct State {
    frames: VecDeque<Bytes>,
    bytes: usize,
    /// Bytes taken in since the core last heard how much room there is.
    unreported: usize,
    /// A frame was refused since then.
    refused: bool,
    /// A report is on its way.
    reporting: bool,
    /// No more frames will come.
    closed: bool,
}

/// What the writer took out.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) frames: Vec<Bytes>,
    /// The core should hear how much room there is now.
    pub(crate) report: bool,
}

impl LaneQueue {
    pub(crate) fn new(lane: Lane) -> Self {
        Self {
            lane,
            state: Mutex::default(),
            wake: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a frame if there is room for it; returns whether it did.
    pub(crate) fn push(&self, frame: Bytes) -> bool {
        let mut state = self.lock();
        let size = frame.len() + FRAME_OVERHEAD;
        if state.closed || state.bytes + size > self.lane.capacity() {
            state.refused = true;
            return false;
        }
        state.bytes += size;
        state.unreported += size;
        state.frames.push_back(frame);
        let first = state.frames.len() == 1;
        drop(state);
        if first {
            self.wake.notify_one();
        }
        true
    }

    /// The next frames to write; waits for some. `None` once the queue is closed and empty.
    pub(crate) async fn batch(&self) -> Option<Batch> {
        loop {
            {
                let mut state = self.lock();
                if !state.frames.is_empty() {
                    return Some(self.take(&mut state));
                }
                if state.closed {
                    return None;
                }
            }
            self.wake.notified().await;
        }
    }

    fn take(&self, state: &mut State) -> Batch {
        let mut frames = Vec::with_capacity(state.frames.len().min(BATCH_FRAMES));
        let mut bytes = 0;
        while frames.len() < BATCH_FRAMES {
            let Some(next) = state.frames.front() else {
                break;
            };
            let size = next.len() + FRAME_OVERHEAD;
            if bytes > 0 && bytes + size > BATCH_BYTES {
                break;
            }
            bytes += size;
            frames.extend(state.frames.pop_front());
        }
        state.bytes -= bytes;
        // The core's own account only falls; it hears of the room once there is enough news: below half, and either it was
        // refused something or its account is off by a quarter.
        let capacity = self.lane.capacity();
        let report = !state.reporting
            && state.bytes < capacity / 2
            && (state.refused || state.unreported >= capacity / 4);
        state.reporting |= report;
        Batch { frames, report }
    }

    /// How much room there is, for the core's account.
    pub(crate) fn report(&self) -> usize {
        let mut state = self.lock();
        state.reporting = false;
        state.refused = false;
        state.unreported = state.bytes;
        self.lane.capacity() - state.bytes
    }

    /// No more frames are taken; those queued are still written.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(len: usize) -> Bytes {
        vec![0; len].into()
    }

    /// The next batch, which must be there already.
    fn now(queue: &LaneQueue) -> Batch {
        let mut state = queue.lock();
        assert!(!state.frames.is_empty());
        queue.take(&mut state)
    }

    #[test]
    fn a_full_lane_refuses_and_reports_when_it_has_drained_below_half() {
        let queue = LaneQueue::new(Lane::Own);
        let (mut taken, size) = (0, 16 * 1024 - FRAME_OVERHEAD);
        while queue.push(frame(size)) {
            taken += 1;
        }
        assert_eq!(taken * 16 * 1024, Lane::Own.capacity());
        let mut reports = 0;
        let mut left = taken;
        while left > 0 {
            let batch = now(&queue);
            left -= batch.frames.len();
            if batch.report {
                reports += 1;
                assert!(left * 16 * 1024 < Lane::Own.capacity() / 2);
            }
        }
        assert_eq!(reports, 1, "coalesced until the driver has looked");
        assert_eq!(queue.report(), Lane::Own.capacity());
        assert!(queue.push(frame(size)));
        assert!(!now(&queue).report, "nothing new to tell");
    }

    #[test]
    fn a_trickle_is_reported_before_the_core_s_account_runs_dry() {
        let queue = LaneQueue::new(Lane::Control);
        let mut account = Lane::Control.capacity();
        for _ in 0..10_000 {
            let size = 100;
            assert!(account >= size + FRAME_OVERHEAD);
            account -= size + FRAME_OVERHEAD;
            assert!(queue.push(frame(size)));
            if now(&queue).report {
                account = queue.report();
            }
        }
    }

    #[test]
    fn batches_are_bounded_in_frames_and_bytes() {
        let queue = LaneQueue::new(Lane::Bulk);
        for _ in 0..100 {
            assert!(queue.push(frame(10)));
        }
        assert_eq!(now(&queue).frames.len(), 64);
        assert_eq!(now(&queue).frames.len(), 36);
        for _ in 0..3 {
            assert!(queue.push(frame(60_000)));
        }
        assert_eq!(now(&queue).frames.len(), 1);
        assert!(queue.push(frame(100)));
        assert_eq!(now(&queue).frames.len(), 1);
        assert_eq!(now(&queue).frames.len(), 2);
    }

    #[tokio::test]
    async fn a_closed_lane_takes_nothing_and_gives_what_it_has() {
        let queue = LaneQueue::new(Lane::Own);
        assert!(queue.push(frame(10)));
        queue.close();
        assert!(!queue.push(frame(10)));
        assert_eq!(queue.batch().await.unwrap().frames.len(), 1);
        assert!(queue.batch().await.is_none());
    }
}
