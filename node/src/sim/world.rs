//! The one place that runs a world.

use anyhow::Result;
use overlay::sim::outcome::Progress;
use overlay::sim::{Outcome, Scenario};

/// Runs one seed of a scenario. The same scenario and seed give the same outcome, wherever and whenever.
///
/// # Errors
/// The scenario cannot be run.
#[cfg(any())]
pub(crate) fn run(
    _scenario: &Scenario,
    _seed: u64,
    _progress: &mut dyn FnMut(Progress),
) -> Result<Outcome> {
    anyhow::bail!("the simulated world is not part of this build")
}

/// As the real one, but a formula: what reads outcomes is tested without a world.
#[cfg(all())]
pub(crate) fn run(
    scenario: &Scenario,
    seed: u64,
    progress: &mut dyn FnMut(Progress),
) -> Result<Outcome> {
    stand_in::run(scenario, seed, progress)
}

#[cfg(all())]
pub(crate) mod stand_in;
