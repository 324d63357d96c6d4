//! The one place that runs a world.

use anyhow::Result;
use overlay::sim::outcome::Progress;
use overlay::sim::{Outcome, Scenario};

/// Runs one seed of a scenario, its hosts spread over so many threads. The same scenario and seed give the same outcome, wherever, whenever and on however many threads.
///
/// # Errors
/// The scenario cannot be run.
#[cfg(not(test))]
pub(crate) fn run(
    scenario: &Scenario,
    seed: u64,
    threads: usize,
    progress: &mut dyn FnMut(Progress),
) -> Result<Outcome> {
    Ok(overlay::sim::run(scenario, seed, threads, progress)?)
}

/// As the real one, but a formula: what reads outcomes is tested without a world.
#[cfg(test)]
pub(crate) fn run(
    scenario: &Scenario,
    seed: u64,
    threads: usize,
    progress: &mut dyn FnMut(Progress),
) -> Result<Outcome> {
    stand_in::run(scenario, seed, threads, progress)
}

#[cfg(test)]
pub(crate) mod stand_in;
