//! What a process of a suite does: one run, told on stdin, its progress and outcome as lines of JSON on stdout.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use overlay::sim::outcome::Progress;
use overlay::sim::{Outcome, Scenario};
use serde::{Deserialize, Serialize};

use crate::sim::world;

/// How often progress is told.
const PERIOD: Duration = Duration::from_millis(500);

/// What to run.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) scenario: Scenario,
    pub(super) seed: u64,
}

/// A line of what the process says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Said {
    Progress {
        simulated_s: f64,
        of_s: f64,
        events: u64,
        alive: usize,
    },
    Outcome(Box<Outcome>),
}

/// Reads an order, runs it, tells how it goes and what came of it.
///
/// # Errors
/// The order cannot be read or run, or nobody reads what is said.
pub(crate) fn serve(mut input: impl Read, mut output: impl Write) -> Result<()> {
    let mut text = String::new();
    input
        .read_to_string(&mut text)
        .context("cannot read what to run from stdin")?;
    let order: Order = serde_json::from_str(&text).context("stdin does not say what to run")?;
    let mut told: Option<Instant> = None;
    let mut progress = |progress: Progress| {
        if told.is_some_and(|told| told.elapsed() < PERIOD) {
            return;
        }
        told = Some(Instant::now());
        let line = Said::Progress {
            simulated_s: progress.simulated_s,
            of_s: progress.of_s,
            events: progress.events,
            alive: progress.alive,
        };
        if say(&mut output, &line).is_err() {
            // The suite is gone: nobody wants the rest.
            std::process::exit(1);
        }
    };
    // Runs of a suite are processes side by side.
    let outcome = world::run(&order.scenario, order.seed, 1, &mut progress)?;
    say(&mut output, &Said::Outcome(Box::new(outcome)))
}

fn say(output: &mut impl Write, line: &Said) -> Result<()> {
    let mut text = serde_json::to_vec(line).context("cannot write as JSON")?;
    text.push(b'\n');
    output
        .write_all(&text)
        .and_then(|()| output.flush())
        .context("cannot write to stdout")
}
