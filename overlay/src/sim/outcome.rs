//! What one run of a scenario measured.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What one run (one seed) measured. Names are stable: they appear in `--json` and in reports.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The seed of the run.
    pub seed: u64,
    /// Simulated seconds.
    pub simulated_s: f64,
    /// Events handled.
    pub events: u64,
    /// Hash over all that happened, lower-case hexadecimal: two runs of one scenario with one seed give the same.
    pub event_hash: String,
    /// Figures at the end of the run, by name.
    pub metrics: BTreeMap<String, f64>,
    /// Curves over simulated time: (seconds, value), times rising.
    pub series: BTreeMap<String, Vec<(f64, f64)>>,
    /// The nodes' own counters, mean over the honest nodes that are up at the end, named `room.counter`.
    pub counters: BTreeMap<String, f64>,
    /// What must never happen and did: when, at which node, what and by how much. The first hundred; the figure `violations` counts all.
    #[serde(default)]
    pub violations: Vec<String>,
    /// How many nodes had which value (in-degree, neighbors).
    pub histograms: BTreeMap<String, BTreeMap<u64, u64>>,
}

/// How far a run is, for whoever watches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Simulated seconds done.
    pub simulated_s: f64,
    /// Simulated seconds in all.
    pub of_s: f64,
    /// Events handled so far.
    pub events: u64,
    /// Nodes alive now.
    pub alive: usize,
}
