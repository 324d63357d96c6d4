//! One reconciliation with one link, and whose turn it is.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::job::Job;
use crate::wire::{Point, Reconcile};

/// A session whose first frame has no answer after this long is given up.
pub(super) const FIRST_ANSWER: Duration = Duration::from_secs(10);

/// What a session of ours compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// The window, but for what is fresh.
    Whole,
    /// Of that, the newest part.
    Recent,
    /// Some minutes up to a message whose author's previous one is missing.
    Before(Point),
}

/// Whose turn it is.
#[derive(Debug)]
pub(super) enum Turn {
    /// The other end's.
    Theirs,
    /// Ours: this frame is to be answered when the table of missing messages has room.
    Received(Box<Reconcile>),
    /// Ours: the answer is in the making; the flag tells whether the frame asked for one.
    Work(Box<Job>, bool),
    /// Ours: the answer waits for room in the lane; the flag tells whether it ends the session.
    Send(Bytes, bool),
}

/// A session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: u64,
    pub(super) key: [u8; 16],
    /// We began it.
    pub(super) mine: bool,
    /// What we look at.
    pub(super) low: Point,
    pub(super) high: Point,
    pub(super) turn: Turn,
    /// The last frame, in or out.
    pub(super) since: Instant,
    /// Frames we sent.
    pub(super) frames: u32,
    /// Frames in a row that brought nothing new.
    pub(super) futile: u32,
}

impl Session {
    /// When it is given up; while the work is ours, never.
    pub(super) fn expires(&self, timeout: Duration) -> Option<Instant> {
        match self.turn {
            Turn::Theirs if self.frames <= 1 => Some(self.since + timeout.min(FIRST_ANSWER)),
            Turn::Theirs | Turn::Send(..) => Some(self.since + timeout),
            Turn::Received(_) | Turn::Work(..) => None,
        }
    }
}

/// The point before all of this date.
pub(super) const fn date(unix_ms: u64) -> Point {
    Point {
        unix_ms,
        id: [0; 32],
    }
}
