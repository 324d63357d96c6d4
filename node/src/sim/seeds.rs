//! Several seeds of one scenario, on several threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context as _, Result, anyhow};
use overlay::sim::{Outcome, Scenario};

use super::watch::Watch;
use super::world;

/// Runs each seed once, at most `threads` at a time; the outcomes come in the order of `seeds`.
///
/// # Errors
/// The first seed, in that order, that could not be run; seeds not yet begun are left out then.
pub(crate) fn run(
    scenario: &Scenario,
    seeds: &[u64],
    threads: usize,
    watch: &Watch,
) -> Result<Vec<Outcome>> {
    // Seeds run side by side; what is left is for the hosts of each world.
    let within = (threads / seeds.len().max(1)).max(1);
    let next = AtomicUsize::new(0);
    let results: Vec<Mutex<Option<Result<Outcome>>>> =
        seeds.iter().map(|_| Mutex::new(None)).collect();
    thread::scope(|scope| {
        for _ in 0..threads.clamp(1, seeds.len().max(1)) {
            scope.spawn(|| {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(seed) = seeds.get(place) else { break };
                    let result = one(scenario, *seed, place, within, watch);
                    if result.is_err() {
                        // Nobody begins another one.
                        next.store(seeds.len(), Ordering::Relaxed);
                    }
                    if let Ok(mut slot) = results[place].lock() {
                        *slot = Some(result);
                    }
                }
            });
        }
    });
    let mut outcomes = Vec::with_capacity(seeds.len());
    for slot in results {
        if let Ok(Some(result)) = slot.into_inner() {
            outcomes.push(result?);
        }
    }
    if outcomes.len() < seeds.len() {
        return Err(anyhow!("a seed was not run to its end"));
    }
    Ok(outcomes)
}

fn one(
    scenario: &Scenario,
    seed: u64,
    place: usize,
    threads: usize,
    watch: &Watch,
) -> Result<Outcome> {
    let mut progress = |progress| watch.progress(place, progress);
    let run = AssertUnwindSafe(|| world::run(scenario, seed, threads, &mut progress));
    let outcome = catch_unwind(run)
        .map_err(|_| anyhow!("the simulation panicked; the message above says where"))
        .and_then(|outcome| outcome)
        .with_context(|| format!("scenario {}, seed {seed}", scenario.name))?;
    watch.finished(place);
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::world::stand_in::BROKEN_FORCE;

    fn scenario() -> Scenario {
        Scenario {
            name: "t".to_owned(),
            nodes: 20,
            duration_s: 120.0,
            ..Scenario::default()
        }
    }

    #[test]
    fn outcomes_are_in_the_order_of_the_seeds_whatever_the_threads() {
        let seeds = [3, 1, 2, 9, 8];
        let one = run(&scenario(), &seeds, 1, &Watch::hidden()).unwrap();
        let many = run(&scenario(), &seeds, 4, &Watch::hidden()).unwrap();
        assert_eq!(one, many);
        assert_eq!(one.iter().map(|o| o.seed).collect::<Vec<_>>(), seeds);
    }

    #[test]
    fn a_seed_that_fails_is_named() {
        let scenario = Scenario {
            force: BROKEN_FORCE,
            ..scenario()
        };
        let error = run(&scenario, &[5, 6], 2, &Watch::hidden()).unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "scenario t, seed 5: seed 5 cannot be run"
        );
    }
}
