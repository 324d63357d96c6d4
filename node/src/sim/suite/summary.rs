//! `summary.json`: the figures of all arms, as `--json` prints each.

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::plan::{Part, Plan};
use crate::sim::line::{Line, VERSION};
use crate::sim::summary::{Run, Summary};

/// The name of the file.
pub(crate) const SUMMARY: &str = "summary.json";

/// One line for each arm that has any outcome.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SuiteSummary {
    pub(crate) version: String,
    pub(crate) quick: bool,
    pub(crate) arms: Vec<Line>,
}

impl SuiteSummary {
    pub(super) fn new(plan: &Plan, runs: &[(&Part, Run, Summary)]) -> Result<Self> {
        let arms = runs.iter().map(|(_, run, summary)| Line::new(run, summary));
        Ok(Self {
            version: VERSION.to_owned(),
            quick: plan.quick,
            arms: arms.collect::<Result<_>>()?,
        })
    }

    pub(super) fn json(&self) -> Result<String> {
        let mut text = serde_json::to_string_pretty(self).context("cannot write as JSON")?;
        text.push('\n');
        Ok(text)
    }
}
