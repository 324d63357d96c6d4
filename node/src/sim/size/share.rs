//! Which part of the slots the adversary holds.
//!
//! A slot holds the peer of least rank among all that this node has seen since the slot's seed (BASALT: Auvolat, Bromberg, Frey, Mvondo,
//! Taiani, Middleware 2023), so each of those seen with the same chance. Hostile nodes see to it that all of them are seen; an honest
//! node is seen when a list or its own call names it. With a fraction `s` of the honest nodes seen, the adversary holds
//! `f / (f + (1 - f) s)`. What follows is derived from that and from nothing else; it reproduces the figures of ranked memories in
//! idealised rounds to within .02 (the tests), and needs no constant of its own.

/// What decides how much of the network a slot has seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sight {
    /// Part of the dialable nodes that is hostile.
    pub(super) byzantine: f64,
    /// How often a second lists would name a given honest node, if lists came from honest nodes only and named no others.
    pub(super) named: f64,
    /// How often a second a given honest node calls by itself.
    pub(super) calls: f64,
    /// Time from one seed of a slot to the next, seconds.
    pub(super) life: f64,
    /// Part of the network that is proven already when a slot gets its seed.
    pub(super) known: f64,
    /// Mean stay of an honest node, seconds; infinite where nobody leaves.
    pub(super) session: f64,
    /// For so long after its start nobody's lists name a node, seconds.
    pub(super) late: f64,
}

/// Steps of the mean over a slot's age, and of the fixed point; both are far beyond what the result shows.
const AGES: u32 = 64;
const ROUNDS: u32 = 200;
const EXACT: f64 = 1e-9;

impl Sight {
    /// The part of the honest nodes that a slot of this age has seen, when lists name honest nodes at `rate` a second.
    ///
    /// A node is seen with rate `rate` for as long as both it and the seed are there, and it is known at all; its own age is exponential
    /// with the mean stay, whatever part of it is over.
    fn seen(&self, age: f64, rate: f64) -> f64 {
        let missed = if self.session.is_finite() {
            let ends = self.session.recip();
            let both = (-(rate + ends) * age).exp();
            ends / (rate + ends) * (1.0 - both) + both
        } else {
            (-rate * age).exp()
        };
        (1.0 - (1.0 - self.known) * missed) * (-self.late / self.session).exp()
    }

    /// The mean over all ages of a slot, when a part `share` of those who answer is hostile: it names hostile nodes only, and so does
    /// that part of every honest list.
    fn held(&self, share: f64) -> f64 {
        let honest = (1.0 - share).powi(2);
        let rate = self.named * honest + self.calls;
        let f = self.byzantine;
        let at = |step: u32| {
            let age = self.life * (f64::from(step) + 0.5) / f64::from(AGES);
            f / (f + (1.0 - f) * self.seen(age, rate)).max(f64::MIN_POSITIVE)
        };
        (0..AGES).map(at).sum::<f64>() / f64::from(AGES)
    }

    /// The adversary's share of a memory that has settled: the least fixed point, from which more liars make more liars.
    pub(super) fn share(&self) -> f64 {
        if self.byzantine <= 0.0 {
            return 0.0;
        }
        let mut share = self.byzantine;
        for _ in 0..ROUNDS {
            let before = share;
            share = self.held(before).min(1.0);
            if (share - before).abs() < EXACT {
                break;
            }
        }
        share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ranked memories of `slots`, lists of `list`, one exchange a round and `per_reset` rounds a reset among 1,000 nodes.
    fn idealised(byzantine: f64, slots: f64, list: f64, per_reset: f64) -> f64 {
        let honest = 1000.0 * (1.0 - byzantine);
        let distinct = 1000.0 * (1.0 - (1.0_f64 - 1.0 / 1000.0).powf(slots));
        Sight {
            byzantine,
            named: list / honest,
            calls: 1.0 / 1000.0,
            life: slots * per_reset,
            known: distinct / 1000.0,
            session: f64::INFINITY,
            late: 0.0,
        }
        .share()
    }

    /// Measured in idealised rounds, with ten calls a round of every hostile node: slots, list, rounds a reset, share.
    #[test]
    fn the_figures_of_idealised_rounds_come_out() {
        for (byzantine, slots, list, per_reset, measured) in [
            (0.3, 200.0, 20.0, 5.0, 0.314),
            (0.3, 200.0, 10.0, 5.0, 0.339),
            (0.3, 100.0, 20.0, 5.0, 0.346),
            (0.3, 400.0, 20.0, 5.0, 0.304),
            (0.4, 200.0, 20.0, 5.0, 0.420),
            (0.3, 200.0, 20.0, 2.0, 0.340),
        ] {
            let share = idealised(byzantine, slots, list, per_reset);
            assert!(
                (share - measured).abs() < 0.02,
                "{slots} {list} {per_reset}: {share}, measured {measured}"
            );
        }
    }

    /// Few slots that are reset after each exchange: there more liars make more liars, and the memory is lost.
    #[test]
    fn a_small_memory_that_is_reset_quickly_collapses() {
        assert!(idealised(0.3, 50.0, 50.0, 1.0) > 0.5);
        assert!(idealised(0.3, 30.0, 20.0, 1.0) > 0.6);
    }

    #[test]
    fn nobody_hostile_nothing_held() {
        assert_eq!(idealised(0.0, 200.0, 20.0, 5.0), 0.0);
    }

    #[test]
    fn short_stays_hide_the_honest() {
        let mut sight = Sight {
            byzantine: 0.2,
            named: 0.003,
            calls: 0.0001,
            life: 12_800.0,
            known: 0.2,
            session: f64::INFINITY,
            late: 300.0,
        };
        let still = sight.share();
        sight.session = 1e9;
        assert!((sight.share() - still).abs() < 1e-3);
        sight.session = 600.0;
        let short = sight.share();
        assert!(short > still + 0.02);
        sight.late = 600.0;
        assert!(sight.share() > short + 0.02);
    }
}
