//! How slow this node itself is, by the local health multiplier of Lifeguard (Dadgar, Phillips and Currey 2018, section IV.A).
//!
//! A node that does not get to run judges the living by answers that it has not read yet. So whoever wakes up late listens before it
//! judges, and has more patience for a while.

use std::time::{Duration, Instant};

/// The highest score (S of Lifeguard, where it is 8 too).
pub(super) const MOST: u32 = 8;
/// Later than this, and the node did not get to run. A guess: well above what timers of a busy machine are late by.
const LATE: Duration = Duration::from_millis(100);
/// A point is forgotten after this long. A guess: the time that two suspicions take.
const FORGET: Duration = Duration::from_secs(4);

/// A score of 0 (well) to 8, by which timers are stretched.
#[derive(Debug, Default)]
pub(super) struct Health {
    score: u32,
    /// When the score was last true; it has fallen since.
    at: Option<Instant>,
}

impl Health {
    /// What timers are to be multiplied by: 1 to 9.
    pub(super) fn stretch(&self, now: Instant) -> u32 {
        1 + self.score(now)
    }

    pub(super) fn score(&self, now: Instant) -> u32 {
        let since = self
            .at
            .map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let forgotten = since.as_millis() / FORGET.as_millis();
        self.score
            .saturating_sub(u32::try_from(forgotten).unwrap_or(MOST))
    }

    /// The node runs this much later than it had wanted to. Returns whether that is too late to judge anybody now.
    pub(super) fn late(&mut self, by: Duration, now: Instant) -> bool {
        if by < LATE {
            return false;
        }
        // A pause is as bad as it is long: a point for each tenth of a second.
        let points = u32::try_from(by.as_millis() / LATE.as_millis()).unwrap_or(MOST);
        self.worse(points, now);
        true
    }

    /// A peer took us for dead, and we are not.
    pub(super) fn taken_for_dead(&mut self, now: Instant) {
        self.worse(1, now);
    }

    fn worse(&mut self, points: u32, now: Instant) {
        self.score = (self.score(now) + points.min(MOST)).min(MOST);
        self.at = Some(now);
    }
}
