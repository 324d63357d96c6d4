//! What a sizing guarantees, each figure with its formula and what it must reach.

use overlay::Config;
use serde::Serialize;

use super::Question;
use super::steady::Steady;
use super::traffic::known_half;

/// What the adversary's share may exceed its part of the network by: what the scenarios of the simulator ask at most. A guess.
pub(crate) const SHARE_ABOVE: f64 = 0.03;
/// Expected honest nodes whose links are all hostile: what the default of `neighbors.outbound` was chosen for.
pub(crate) const CUT_OFF: f64 = 1e-4;
/// The same for memories, and the chance that survivors of a crash are not one network. A guess.
pub(crate) const RARE: f64 = 1e-6;
/// Part of a memory that may name nodes which are gone. A guess: above it every other visit or more begins with a dial that hangs.
pub(crate) const DEAD: f64 = 1.0 / 3.0;
/// Part of the time that a proof lasts in which every member must have been visited: visits come at random moments.
const IN_TIME: f64 = 0.95;

/// A figure that must be reached.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Goal {
    pub(crate) name: &'static str,
    pub(crate) value: f64,
    /// It must not exceed this.
    pub(crate) most: f64,
    pub(crate) met: bool,
}

/// What must hold, and what is only told.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Guarantees {
    /// The adversary's share of the memory and of samples.
    pub(crate) share: f64,
    /// Expected honest nodes with a memory of hostile nodes only.
    pub(crate) eclipsed: f64,
    /// Expected honest nodes without a link to an honest node, at any moment.
    pub(crate) cut_off: f64,
    /// The same right after the crash, before anybody has noticed.
    pub(crate) cut_off_by_crash: f64,
    /// Part of the survivors in the largest part over the links that are left.
    pub(crate) largest_after_crash: f64,
    /// Chance that the survivors' memories do not make one network, so that links cannot grow together again.
    pub(crate) torn_by_crash: f64,
    /// From a node's start until it is known to half as many as is its fair number, seconds.
    pub(crate) known_half_s: f64,
    /// From a node's end until it has left the memories, mean, seconds.
    pub(crate) dead_leaves_s: f64,
    /// Part of the memory that names nodes which are gone.
    pub(crate) dead: f64,
    /// Time between two samples of the stream, seconds.
    pub(crate) sample_every_s: f64,
    /// After this time samples are independent of earlier ones, seconds.
    pub(crate) independent_after_s: f64,
    /// Time in which every member is visited once, seconds.
    pub(crate) round_s: f64,
    /// Relative standard deviation of the estimate of the network's size.
    pub(crate) size_error: f64,
}

impl Guarantees {
    pub(super) fn new(question: &Question, steady: &Steady, config: &Config) -> Self {
        let links = steady.outbound;
        let lost = Steady::links_lost(question.session_s());
        // An outbound link is worth nothing when it leads to a hostile node or to one that is gone; of the links of other honest nodes, as
        // many as of independent throws arrive here: a Poisson number.
        let bad = 1.0 - (1.0 - steady.share) * (1.0 - lost);
        let cut_off = unlinked(steady, links, bad, steady.callers() * (1.0 - lost));
        let left = (1.0 - question.crash) * (1.0 - lost);
        let bad_after = 1.0 - (1.0 - steady.share) * left;
        let cut_off_by_crash =
            unlinked(steady, links, bad_after, steady.callers() * left) * (1.0 - question.crash);
        let degree = 2.0 * links * (1.0 - steady.share) * left;

        // A random graph in which each node knows a few dozen others is in parts only where single nodes are alone (Fenner and Frieze
        // 1982): all members of theirs are hostile, gone, or among the dead.
        let survivors = steady.honest() * (1.0 - question.crash);
        let useful = (1.0 - steady.share) * (1.0 - steady.dead) * (1.0 - question.crash);
        let alone = if survivors < 2.0 {
            0.0
        } else {
            survivors * none_of(steady.members, steady.others, useful)
        };
        let slots = config.sampling.slots as f64;
        Self {
            share: steady.share,
            eclipsed: steady.honest() * steady.share.powf(slots),
            cut_off,
            cut_off_by_crash,
            largest_after_crash: giant(degree),
            torn_by_crash: alone.min(1.0),
            known_half_s: known_half(steady, config),
            dead_leaves_s: steady.leaves,
            dead: steady.dead,
            sample_every_s: steady.resets.recip(),
            independent_after_s: steady.slot_life,
            round_s: steady.members / steady.visits,
            size_error: (slots - 2.0).max(1.0).sqrt().recip(),
        }
    }

    /// The figures that must be reached.
    pub(super) fn goals(&self, question: &Question, config: &Config) -> [Goal; 6] {
        let valid = config.peers.proof_valid.as_secs_f64();
        let goal = |name, value: f64, most: f64| Goal {
            name,
            value,
            most,
            met: value <= most,
        };
        [
            goal("share", self.share, question.byzantine + SHARE_ABOVE),
            goal("eclipsed", self.eclipsed, RARE),
            goal("cut_off", self.cut_off, CUT_OFF),
            goal("torn_by_crash", self.torn_by_crash, RARE),
            goal("dead", self.dead, DEAD),
            goal("round_s", self.round_s, IN_TIME * valid),
        ]
    }
}

/// Expected honest nodes whose `links` outbound links are all bad and whom no good inbound link reaches, `inbound` of which are
/// expected for each outbound one: the full-coverage law of undirected links, `H (mu e^-(1-mu))^RF` (Murmur, DISC 2019; for links of
/// which a part is missing mu grows by as much), with a node's own links drawn without replacement, which counts in small networks. Nobody links to those who cannot be dialled.
fn unlinked(steady: &Steady, links: f64, bad: f64, inbound: f64) -> f64 {
    let outbound = none_of(links, steady.others, 1.0 - bad);
    steady.dialable * outbound * (-inbound * links).exp() + steady.undialable * outbound
}

/// The chance that none of so many distinct draws among `of` is one of the useful part.
fn none_of(draws: f64, of: f64, useful: f64) -> f64 {
    let useful = useful * of;
    let draws = draws.round() as u32;
    (0..draws)
        .map(|drawn| (1.0 - useful / (of - f64::from(drawn)).max(1.0)).max(0.0))
        .product()
}

/// The part of a random graph of this mean degree that hangs together: the greatest root of `g = 1 - e^(-d g)` (Erdos and Renyi 1960).
fn giant(degree: f64) -> f64 {
    (0..200).fold(1.0, |part: f64, _| 1.0 - (-degree * part).exp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::size::tests::question;

    fn steady(nodes: u32, byzantine: f64) -> Steady {
        Steady::new(&question(nodes, byzantine), &Config::default())
    }

    /// The published point of the full-coverage law: 20,000 nodes, a fifth silent, nine links each; and the number for which the
    /// default of outbound links was chosen.
    #[test]
    fn the_coverage_law_is_the_published_one() {
        let expected = unlinked(&steady(20_000, 0.2), 9.0, 0.2, 0.8);
        let published: f64 = 16_000.0 * (0.2 * (-0.8_f64).exp()).powi(9);
        assert!((expected / published - 1.0).abs() < 0.02, "{expected}");
        assert!((expected - 6.1e-6).abs() < 0.2e-6, "{expected}");
        let ten = unlinked(&steady(10_000, 0.3), 10.0, 0.3, 0.7);
        assert!((0.2e-4..CUT_OFF).contains(&ten), "{ten}");
    }

    #[test]
    fn nobody_links_to_those_who_cannot_be_dialled() {
        let mut nat = question(1000, 0.3);
        nat.undialable = 0.5;
        let nat = Steady::new(&nat, &Config::default());
        let alone = unlinked(&nat, 10.0, 0.3, nat.callers());
        assert!(alone > 700.0 * 0.3_f64.powi(10) * 0.85, "{alone}");
    }

    #[test]
    fn draws_without_replacement_end() {
        // Of 9 others 2 are useful: all nine cannot miss them, seven can in one of 36 ways.
        assert_eq!(none_of(9.0, 9.0, 2.0 / 9.0), 0.0);
        assert!((none_of(7.0, 9.0, 2.0 / 9.0) - 1.0 / 36.0).abs() < 1e-12);
        assert_eq!(none_of(5.0, 9.0, 0.0), 1.0);
        assert!((none_of(10.0, 1e9, 0.5) - 0.5_f64.powi(10)).abs() < 1e-9);
    }

    #[test]
    fn a_random_graph_falls_apart_below_one_link_each() {
        assert!(giant(0.9) < 0.01);
        assert!((giant(2.0) - 0.7968).abs() < 1e-3);
        assert!(giant(20.0) > 0.999_999);
    }
}
