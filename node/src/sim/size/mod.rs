//! `vouchsafe sim size`: which settings a network of a given size, adversary and churn needs, what they cost, and what they guarantee.
//!
//! Everything is computed from stated formulas, nothing is simulated: `steady` says how a node settles, `share` which part the adversary
//! holds, `wire` what things cost on the wire, `traffic` what they cost together, `guarantees` what comes of it, `choose` which
//! settings reach it. The tests hold the predictions to worlds that are simulated.

mod choose;
mod guarantees;
mod settings;
mod share;
mod steady;
mod text;
mod traffic;
mod wire;

#[cfg(test)]
mod tests;

use std::time::Duration;

use overlay::Config;
use serde::{Serialize, Serializer};

use super::Wrong;
pub(crate) use guarantees::{Goal, Guarantees};
pub(crate) use settings::Row;
pub(crate) use text::text;
pub(crate) use traffic::{FastStart, Traffic};
pub(crate) use wire::Bytes;

/// What `--force` counts by: the period of honest nodes by default. An adversary does not slow down because others do.
const ROUND: Duration = Duration::from_secs(10);

/// What an operator asks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Question {
    /// Nodes that can be dialled, hostile ones included: 2 to 1,000,000.
    pub(crate) nodes: u32,
    /// Fraction of them that is hostile, 0 to below 0.5.
    pub(crate) byzantine: f64,
    /// Exchanges that a hostile node starts every 10 s, 0 to 100.
    pub(crate) force: f64,
    /// Mean length of an honest node's stay; `None` = nobody leaves.
    #[serde(rename = "churn_s", serialize_with = "seconds")]
    pub(crate) churn: Option<Duration>,
    /// Fraction of all honest nodes that cannot be dialled, 0 to 0.9; they come on top of `nodes`.
    pub(crate) undialable: f64,
    /// Fraction of the honest nodes that may die at the same moment, 0 to 0.95.
    pub(crate) crash: f64,
    /// Most bytes per second in either direction.
    pub(crate) budget: Option<u64>,
}

fn seconds<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.as_secs_f64()).serialize(serializer)
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Answer {
    pub(crate) question: Question,
    /// Whether every goal is met, the budget included.
    pub(crate) met: bool,
    pub(crate) settings: Vec<Row>,
    pub(crate) bytes_per_sec: Traffic,
    pub(crate) fast_start: FastStart,
    pub(crate) memory: Memory,
    pub(crate) guarantees: Guarantees,
    pub(crate) goals: Vec<Goal>,
    /// Where no settings meet all goals within the budget: what the cheapest cost that meet all of them, if there are any.
    pub(crate) cheapest_bytes_per_sec: Option<f64>,
    /// Commands that simulate these very settings: the steady state, and the crash.
    pub(crate) check: [String; 2],
    pub(crate) version: &'static str,
}

/// What a node keeps, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Memory {
    /// Proven peers and the archive, as their settings count them.
    pub(crate) peers: f64,
    /// Links at their worst, every buffer of every link full.
    pub(crate) links_worst: f64,
}

impl Question {
    /// Checks every part against its range.
    ///
    /// # Errors
    /// The first flag out of range, and what is allowed.
    pub(crate) fn check(&self) -> Result<(), Wrong> {
        let wrong = |flag: &str, value: String, allowed: &str| {
            Err(Wrong(format!("--{flag} {value}: allowed: {allowed}")))
        };
        if !(2..=1_000_000).contains(&self.nodes) {
            return wrong("nodes", self.nodes.to_string(), "2 to 1000000");
        }
        if !(0.0..0.5).contains(&self.byzantine) {
            return wrong(
                "byzantine",
                self.byzantine.to_string(),
                "a fraction of the nodes from 0 to below 0.5; no sample is fair where the hostile are as many as the honest",
            );
        }
        if !(0.0..=100.0).contains(&self.force) {
            return wrong(
                "force",
                self.force.to_string(),
                "0 to 100 exchanges every 10 s; beyond it the limits of those who are called decide, not the callers",
            );
        }
        if let Some(churn) = self.churn.filter(|churn| churn.as_secs() < 60) {
            return wrong(
                "churn",
                vouchsafe::config::show_duration(churn),
                "a mean stay of 1min or more, or none; who stays for less has not joined before it leaves",
            );
        }
        if !(0.0..=0.9).contains(&self.undialable) {
            return wrong(
                "undialable",
                self.undialable.to_string(),
                "a fraction of the honest nodes from 0 to 0.9",
            );
        }
        if !(0.0..=0.95).contains(&self.crash) {
            return wrong(
                "crash",
                self.crash.to_string(),
                "a fraction of the honest nodes from 0 to 0.95",
            );
        }
        if self.budget == Some(0) {
            return wrong("budget", "0".to_owned(), "1 byte per second or more");
        }
        Ok(())
    }

    /// Hostile nodes.
    fn hostile(&self) -> f64 {
        (f64::from(self.nodes) * self.byzantine).round()
    }

    /// Honest nodes that cannot be dialled.
    fn undialable_nodes(&self) -> f64 {
        let dialable = (f64::from(self.nodes) - self.hostile()).max(1.0);
        (dialable * self.undialable / (1.0 - self.undialable)).round()
    }

    /// Mean stay, seconds; infinite where nobody leaves.
    fn session_s(&self) -> f64 {
        self.churn.map_or(f64::INFINITY, |stay| stay.as_secs_f64())
    }
}

/// Finds the settings and says what comes of them.
///
/// # Errors
/// A part of the question is out of range.
pub(crate) fn answer(question: &Question) -> Result<Answer, Wrong> {
    question.check()?;
    let choice = choose::choose(question);
    let sizing = choice.sizing;
    Ok(Answer {
        met: sizing.goals.iter().all(|goal| goal.met),
        settings: settings::rows(&sizing.config),
        bytes_per_sec: sizing.traffic,
        fast_start: FastStart::new(&sizing.steady, &sizing.config),
        memory: memory(&sizing.config, &sizing),
        check: settings::commands(question, &sizing.config)?,
        guarantees: sizing.guarantees,
        goals: sizing.goals,
        cheapest_bytes_per_sec: choice.cheapest,
        question: question.clone(),
        version: super::line::VERSION,
    })
}

fn memory(config: &Config, sizing: &choose::Sizing) -> Memory {
    /// One proven and one archived peer, bytes, as the settings of their caps say.
    const PROVEN: f64 = 600.0;
    const ARCHIVED: f64 = 100.0;
    let archived = (config.peers.archive as f64).min(sizing.steady.others);
    let links = sizing.steady.outbound + sizing.steady.inbound + sizing.steady.intruding;
    Memory {
        peers: sizing.steady.proven * PROVEN + archived * ARCHIVED,
        links_worst: links * vouchsafe::Limits::MEMORY_PER_LINK as f64,
    }
}
