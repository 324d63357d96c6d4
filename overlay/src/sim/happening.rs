//! What can happen to a world, and when.

use serde::{Deserialize, Serialize};

use super::scenario::ScenarioError;

/// Something that happens at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// When, simulated seconds.
    pub at_s: f64,
    /// What, as in `what.crash.fraction = 0.8` or `what = "restart"`.
    pub what: Happening,
}

/// What can happen to a world.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Happening {
    /// A fraction of the honest nodes dies at once, without a word.
    Crash {
        /// 0 to 1.
        fraction: f64,
    },
    /// A fraction of the honest nodes says goodbye and stops.
    Leave {
        /// 0 to 1.
        fraction: f64,
    },
    /// A fraction of the honest nodes dies, each while its next rows are on their way to its disk: before they are on it, or after
    /// but before the node hears so, by chance.
    CrashInCommit {
        /// 0 to 1.
        fraction: f64,
    },
    /// Those that crashed start again with what they had stored.
    Restart,
    /// A fraction of the honest nodes stands still for a while.
    Stall {
        /// 0 to 1.
        fraction: f64,
        /// Seconds.
        for_s: f64,
    },
    /// A fraction of the honest nodes gets to run late for a while: what reaches them, and their own timers, are handled up to so much
    /// later.
    Slow {
        /// 0 to 1.
        fraction: f64,
        /// Seconds.
        for_s: f64,
        /// The most by which anything is late, seconds; all up to it is as likely.
        by_s: f64,
    },
    /// From now on, much of what a fraction of the honest nodes sends is lost; what they receive is not.
    Lossy {
        /// 0 to 1.
        fraction: f64,
        /// Probability, 0 to 0.99.
        loss: f64,
    },
    /// Nothing passes between a share of all pairs of nodes, both ways, until it heals.
    Outage {
        /// Of all pairs, 0 to 1.
        share: f64,
    },
    /// The network falls into groups that cannot reach each other.
    Partition {
        /// Size of each group as a fraction of all; they add up to 1.
        groups: Vec<f64>,
        /// Only from the first group to the others nothing passes.
        #[serde(default)]
        one_way: bool,
    },
    /// All seeds die at once, without a word, and do not come back.
    SeedsDie,
    /// The wall clocks of a fraction of the honest nodes jump.
    Clock {
        /// 0 to 1.
        fraction: f64,
        /// Seconds, forward or back.
        by_s: f64,
    },
    /// All clocks that jumped are put right.
    ClocksRight,
    /// A fraction of the honest nodes has another address from now on, and is not told.
    Move {
        /// 0 to 1.
        fraction: f64,
    },
    /// All partitions and outages end.
    Heal,
    /// So many new nodes join at once, spread over some seconds.
    Join {
        /// How many.
        nodes: usize,
        /// Over so many seconds.
        over_s: f64,
    },
}

impl Event {
    /// When it is over, if it ends by itself; else when it happens. Seconds.
    pub(super) fn over_at_s(&self) -> f64 {
        match self.what {
            Happening::Stall { for_s, .. } | Happening::Slow { for_s, .. } => self.at_s + for_s,
            _ => self.at_s,
        }
    }

    /// Checks every number against its range.
    pub(super) fn check(&self, duration_s: f64) -> Result<(), ScenarioError> {
        let wrong = |problem: &str| {
            Err(ScenarioError {
                key: "events",
                problem: problem.to_owned(),
            })
        };
        if !(0.0..=duration_s).contains(&self.at_s) {
            return wrong("at_s lies within the duration");
        }
        match &self.what {
            Happening::Crash { fraction }
            | Happening::Leave { fraction }
            | Happening::CrashInCommit { fraction }
            | Happening::Stall { fraction, .. }
            | Happening::Clock { fraction, .. }
            | Happening::Move { fraction }
            | Happening::Slow { fraction, .. }
            | Happening::Lossy { fraction, .. }
            | Happening::Outage { share: fraction }
                if !(0.0..=1.0).contains(fraction) =>
            {
                wrong("a fraction from 0 to 1")
            }
            Happening::Clock { by_s, .. } if !(-1e8..=1e8).contains(by_s) => {
                wrong("by_s from -100000000 to 100000000")
            }
            Happening::Slow { by_s, .. } if !(0.0..=60.0).contains(by_s) => {
                wrong("by_s from 0 to 60")
            }
            Happening::Lossy { loss, .. } if !(0.0..=0.99).contains(loss) => {
                wrong("loss from 0 to 0.99")
            }
            Happening::Stall { for_s, .. } | Happening::Slow { for_s, .. }
                if !(0.0..=1e6).contains(for_s) =>
            {
                wrong("for_s from 0 to 1000000")
            }
            Happening::Partition { groups, .. }
                if groups.len() < 2
                    || groups.iter().any(|part| !(0.0..=1.0).contains(part))
                    || (groups.iter().sum::<f64>() - 1.0).abs() > 1e-6 =>
            {
                wrong("groups are two or more fractions that add up to 1")
            }
            Happening::Join { nodes, over_s } if *nodes == 0 || !(0.0..=1e6).contains(over_s) => {
                wrong("a join has at least 1 node, over 0 to 1000000 seconds")
            }
            _ => Ok(()),
        }
    }
}
