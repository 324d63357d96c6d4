//! How much is lost of late, as the first probes of the living tell: where much is, the silent get more time.
//!
//! A link on which something was lost tells of itself. Of the others they tell together, since on a single one too few probes are sent to
//! know before it matters: as soon as something was lost on more than a third of the links, and all of it once it was on half of them. So a
//! third of the neighbors can pretend to lose what they like, and only they themselves are given more time for it. For its first four
//! minutes a node cannot wait for so much, and takes any loss for much.

use std::time::{Duration, Instant};

/// A link lost something if it did within this time, in which each end of a silent link begins 34 rounds. A guess, after half
/// of it was too little (13 mistakes in 750 observer hours of scenario `mistakes`): where half of all packets are lost for half a second in
/// every ten, by computation three of four links lose something in this time, and two of four in half of it.
const LATELY: Duration = Duration::from_secs(240);
/// Shares of links that lost something: nothing is concluded below the first, and all above the second. Guesses, but for the third of
/// liars that a node is made to bear.
const LINKS: (f64, f64) = (1.0 / 3.0, 0.5);
/// What share of lost first probes is much for a young node. A guess.
const MUCH: f64 = 0.01;
/// What one round counts for: a network is known by its last hundred rounds, which take half a minute with 20 neighbors.
const WEIGHT: f64 = 1.0 / 64.0;

/// What all links together tell.
#[derive(Debug)]
pub(super) struct Losses {
    share: f64,
    /// The first neighbor of this run.
    since: Option<Instant>,
}

impl Default for Losses {
    /// Half careful until more is known.
    fn default() -> Self {
        Self {
            share: MUCH / 2.0,
            since: None,
        }
    }
}

/// Whether a link lost something lately, by when it last did.
pub(super) fn lately(lost: Option<Instant>, now: Instant) -> bool {
    lost.is_some_and(|at| now.saturating_duration_since(at) < LATELY)
}

impl Losses {
    /// There is a neighbor.
    pub(super) fn begin(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// A neighbor answered, the first probe or a later one.
    pub(super) fn answered(&mut self, first: bool) {
        let lost = if first { 0.0 } else { 1.0 };
        self.share += (lost - self.share) * WEIGHT;
    }

    /// 0 to 1: how much is lost, where `lossy` of all `links` lost something lately.
    pub(super) fn part(&self, lossy: usize, links: usize, now: Instant) -> f64 {
        let young = self
            .since
            .is_none_or(|since| now.saturating_duration_since(since) < LATELY);
        if young {
            return (self.share / MUCH).min(1.0);
        }
        let (least, most) = LINKS;
        let share = lossy as f64 / links.max(1) as f64;
        ((share - least) / (most - least)).clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    #[test]
    fn a_young_node_takes_any_loss_for_much() {
        let now = Bench::new(1).now.mono;
        let mut losses = Losses::default();
        losses.begin(now);
        let part = |losses: &Losses| losses.part(0, 20, now + LATELY / 2);
        assert_eq!(part(&losses), 0.5, "nothing is known yet");
        for _ in 0..500 {
            losses.answered(true);
        }
        assert!(part(&losses) < 0.01);
        losses.answered(false);
        assert_eq!(part(&losses), 1.0);
    }

    #[test]
    fn later_a_third_of_the_neighbors_may_pretend_what_they_like() {
        let now = Bench::new(1).now.mono;
        let mut losses = Losses::default();
        losses.begin(now);
        for _ in 0..500 {
            losses.answered(false);
        }
        let part = |lossy, links| losses.part(lossy, links, now + LATELY);
        assert_eq!(part(0, 0), 0.0);
        assert_eq!(part(6, 20), 0.0);
        assert!((0.2..0.8).contains(&part(8, 20)));
        assert_eq!(part(10, 20), 1.0);
        assert_eq!(part(1, 1), 1.0);
    }
}
