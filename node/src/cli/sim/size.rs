//! `vouchsafe sim size`

use std::time::Duration;

use anyhow::Result;
use clap::Args;

use crate::cli::out;
use crate::sim::size::{self, Question};

/// Which memory, lists, links and period a network needs, what they cost, and what they guarantee
///
/// Computed from formulas in an instant, nothing is simulated; the answer ends with the command that
/// does simulate it. Defaults are kept where they suffice.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vouchsafe sim size --nodes 1000 --byzantine 0.2
  vouchsafe sim size --nodes 50000 --byzantine 0.3 --churn 2h --undialable 0.5
  vouchsafe sim size --nodes 1000 --byzantine 0.1 --budget 2kB
  vouchsafe sim size --nodes 1000 --json

Exit status: 1 when no settings meet every goal (within the budget); what is best is shown all the
same. docs/SIMULATOR.md has the goals, the formulas and what they leave out.")]
pub(super) struct Size {
    /// Nodes that can be dialled, hostile ones included: 2 to 1000000
    #[arg(long, value_name = "N")]
    nodes: u32,
    /// Fraction of them that is hostile, 0 to below 0.5
    #[arg(long, value_name = "F", default_value_t = 0.0)]
    byzantine: f64,
    /// Exchanges that a hostile node starts every 10 s, 0 to 100
    #[arg(long, value_name = "X", default_value_t = 10.0)]
    force: f64,
    /// Mean stay of an honest node, 1min or more, as in 30min, 1h, 2d; or none: nobody leaves
    #[arg(long, value_name = "TIME", default_value = "none", value_parser = churn)]
    churn: Churn,
    /// Fraction of the honest nodes that cannot be dialled, 0 to 0.9; they come on top of N
    #[arg(long, value_name = "F", default_value_t = 0.0)]
    undialable: f64,
    /// Fraction of the honest nodes that may die at the same moment, 0 to 0.95
    #[arg(long, value_name = "F", default_value_t = 0.8)]
    crash: f64,
    /// Most bytes per second in either direction, as in 1500B, 2kB
    #[arg(long, value_name = "SIZE", value_parser = budget)]
    budget: Option<u64>,
    /// One line of JSON instead
    #[arg(long)]
    json: bool,
}

/// How long nodes stay; a type of its own, since the parser takes an `Option` for a flag that may be left out.
#[derive(Clone, Copy, Debug)]
struct Churn(Option<Duration>);

fn churn(text: &str) -> Result<Churn, String> {
    if text == "none" {
        return Ok(Churn(None));
    }
    let time = vouchsafe::config::parse_duration(text);
    time.map(|time| Churn(Some(time)))
        .map_err(|problem| format!("{problem}; or none"))
}

fn budget(text: &str) -> Result<u64, String> {
    vouchsafe::config::parse_size(text.strip_suffix("/s").unwrap_or(text))
}

impl Size {
    pub(super) fn run(self) -> Result<()> {
        let answer = size::answer(&Question {
            nodes: self.nodes,
            byzantine: self.byzantine,
            force: self.force,
            churn: self.churn.0,
            undialable: self.undialable,
            crash: self.crash,
            budget: self.budget,
        })?;
        if self.json {
            out::line(serde_json::to_string(&answer)?)?;
        } else {
            out::lines(size::text(&answer))?;
        }
        if !answer.met {
            let missed = answer.goals.iter().filter(|goal| !goal.met);
            let names: Vec<&str> = missed.map(|goal| goal.name).collect();
            anyhow::bail!("no settings meet every goal: {}", names.join(", "));
        }
        Ok(())
    }
}
