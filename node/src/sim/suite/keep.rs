//! Finished runs, each in a file, so that nothing is done twice.

use anyhow::{Context as _, Result};
use overlay::sim::{Outcome, Scenario};
use serde::{Deserialize, Serialize};

use super::plan::Part;
use crate::sim::line::VERSION;
use crate::sim::report::Folder;

/// The directory of the results.
const RUNS: &str = "runs";

/// Results below a directory: `runs/SCENARIO/ARM/seed-N.json`.
#[derive(Debug)]
pub(super) struct Keep<'a> {
    folder: &'a Folder,
}

/// What is known of a run.
#[derive(Debug)]
pub(super) enum Kept {
    None,
    /// Done, with the same version and the same world.
    Same(Box<Outcome>),
    /// Something is there that does not count, and why.
    Other(String),
}

#[derive(Serialize)]
struct Written<'a> {
    version: &'a str,
    scenario: Scenario,
    outcome: &'a Outcome,
}

#[derive(Deserialize)]
struct Read {
    version: String,
    scenario: Scenario,
    outcome: Outcome,
}

impl<'a> Keep<'a> {
    pub(super) fn new(folder: &'a Folder) -> Self {
        Self { folder }
    }

    /// Whether any suite has begun here.
    pub(super) fn is_begun(&self) -> bool {
        self.folder.path().join(RUNS).exists()
    }

    /// # Errors
    /// A file is there and cannot be read.
    pub(super) fn load(&self, part: &Part, seed: u64) -> Result<Kept> {
        let name = format!("{}/{}", directory(part), file(seed));
        let Some(text) = self.folder.read(&name)? else {
            return Ok(Kept::None);
        };
        let read: Read = match serde_json::from_str(&text) {
            Ok(read) => read,
            Err(error) => return Ok(Kept::Other(format!("{name} is damaged: {error}"))),
        };
        Ok(if read.version != VERSION {
            Kept::Other(format!("done by version {}", read.version))
        } else if read.scenario != world(&part.scenario) || read.outcome.seed != seed {
            Kept::Other("done with other parameters".to_owned())
        } else {
            Kept::Same(Box::new(read.outcome))
        })
    }

    /// # Errors
    /// The file cannot be written; nothing of it is there then.
    pub(super) fn store(&self, part: &Part, outcome: &Outcome) -> Result<()> {
        let written = Written {
            version: VERSION,
            scenario: world(&part.scenario),
            outcome,
        };
        let json = serde_json::to_vec(&written).context("cannot write the outcome as JSON")?;
        let folder = self.folder.below(&directory(part))?;
        folder.write(&[(file(outcome.seed), json)])
    }
}

fn directory(part: &Part) -> String {
    format!("{RUNS}/{}", part.directory())
}

fn file(seed: u64) -> String {
    format!("seed-{seed}.json")
}

/// What decides the outcome: a scenario without what is only said about it.
fn world(scenario: &Scenario) -> Scenario {
    Scenario {
        about: String::new(),
        bars: Vec::new(),
        ..scenario.clone()
    }
}
