//! The one place that runs a world.

use anyhow::Result;
use overlay::sim::outcome::Progress;
use overlay::sim::{Outcome, Scenario};

/// Runs one seed of a scenario. The same scenario and seed give the same outcome, wherever and whenever.
///
/// # Errors
/// The scenario cannot be run.
#[cfg(not(test))]
pub(crate) fn run(
    scenario: &Scenario,
    seed: u64,
    progress: &mut dyn FnMut(Progress),
) -> Result<Outcome> {
    // Seeds run side by side, so each world has one thread.
    Ok(overlay::sim::run(scenario, seed, 1, progress)?)
}

/// As the real one, but a formula: what reads outcomes is tested without a world.
#[cfg(test)]
pub(crate) fn run(
    scenario: &Scenario,
    seed: u64,
    progress: &mut dyn FnMut(Progress),
) -> Result<Outcome> {
    stand_in::run(scenario, seed, progress)
}

#[cfg(test)]
pub(crate) mod stand_in;
