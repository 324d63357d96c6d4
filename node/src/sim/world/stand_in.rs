//! Numbers that look like those of a world, from a formula and a seed.

use std::collections::BTreeMap;

use anyhow::Result;
use overlay::sim::outcome::Progress;
use overlay::sim::{Outcome, Scenario};
use rand::rngs::ChaCha12Rng;
use rand::{RngExt as _, SeedableRng as _};

/// A scenario that forces a flood of 666 does not run.
pub(crate) const BROKEN_FORCE: f64 = 666.0;

pub(crate) fn run(
    scenario: &Scenario,
    seed: u64,
    _threads: usize,
    progress: &mut dyn FnMut(Progress),
) -> Result<Outcome> {
    scenario.check()?;
    if scenario.force == BROKEN_FORCE {
        anyhow::bail!("seed {seed} cannot be run");
    }
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    let f = scenario.byzantine;
    let mut outcome = Outcome {
        seed,
        simulated_s: scenario.duration_s,
        events: scenario.nodes as u64 * 1000,
        ..Outcome::default()
    };
    let level = rng.random_range(-0.004..0.010);
    let mut t = 0.0;
    while t <= scenario.duration_s {
        let young = (-t / (scenario.duration_s / 12.0)).exp();
        let noise = rng.random_range(-0.004..0.004);
        let mut put = |name: &str, value: f64| {
            outcome
                .series
                .entry(name.to_owned())
                .or_default()
                .push((t, value));
        };
        put("share", f + level + noise + (1.0 - f) * 0.6 * young);
        put("out", f + level + noise + (1.0 - f) * 0.5 * young);
        put(
            "bytes_per_node_per_sec",
            1500.0 + 9000.0 * young + 2e4 * noise,
        );
        put("isolated", (30.0 * young).floor());
        progress(Progress {
            simulated_s: t,
            of_s: scenario.duration_s,
            events: (t * 1000.0) as u64,
            alive: scenario.nodes,
        });
        t += scenario.measure_every_s;
    }
    for (name, mean, trials) in [("memory_indegree", 40.0, 200), ("neighbors", 20.0, 60)] {
        let counts: &mut BTreeMap<u64, u64> =
            outcome.histograms.entry(name.to_owned()).or_default();
        for _ in 0..scenario.nodes.min(2000) {
            let hits = (0..trials)
                .filter(|_| rng.random_bool(mean / f64::from(trials)))
                .count();
            *counts.entry(hits as u64).or_default() += 1;
        }
    }
    for (name, value) in [
        ("share", f + level),
        ("out", f + level / 2.0),
        ("isolated", 0.0),
        ("bytes_per_node_per_sec", 1500.0 + 1e4 * level),
        ("events_per_node", 1000.0),
    ] {
        outcome.metrics.insert(name.to_owned(), value);
    }
    outcome
        .counters
        .insert("sampling.exchanges".to_owned(), 360.0);
    let hash = blake3::hash(format!("{scenario:?} {seed}").as_bytes());
    outcome.event_hash = hash.to_hex().to_string();
    Ok(outcome)
}
