//! `report.json`: what `--json` prints, and every seed beside it.

use anyhow::{Context as _, Result};
use overlay::sim::Outcome;
use serde::{Deserialize, Serialize};

use super::Folder;
use crate::sim::line::Line;
use crate::sim::summary::{Run, Summary};

/// The name of the file.
pub(crate) const REPORT: &str = "report.json";

#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    line: Line,
    about: &'a str,
    command: &'a str,
    bars: Vec<BarReached<'a>>,
    /// One for each seed.
    runs: &'a [Outcome],
    /// All files of the report.
    files: &'a [String],
}

/// A bar and whether it is met.
#[derive(Serialize)]
struct BarReached<'a> {
    metric: &'a str,
    least: Option<f64>,
    most: Option<f64>,
    reached: Option<f64>,
    met: bool,
    judgement: &'static str,
}

/// The text of the file.
pub(super) fn report(run: &Run, summary: &Summary, files: &[String]) -> Result<String> {
    let bars = summary.verdicts.iter().map(|verdict| BarReached {
        metric: &verdict.metric,
        least: verdict.least,
        most: verdict.most,
        reached: verdict.figure.map(|figure| figure.estimate.mean),
        met: verdict.is_met(),
        judgement: verdict.judgement.word(),
    });
    let report = Report {
        line: Line::new(run, summary)?,
        about: &run.scenario.about,
        command: &run.command,
        bars: bars.collect(),
        runs: &run.outcomes,
        files,
    };
    let mut text =
        serde_json::to_string_pretty(&report).context("cannot write the report as JSON")?;
    text.push('\n');
    Ok(text)
}

/// The files of the report that is in a directory, as far as they are names of files in it.
pub(super) fn files_of_earlier(folder: &Folder) -> Vec<String> {
    #[derive(Deserialize)]
    struct Earlier {
        files: Vec<String>,
    }
    let text = folder.read(REPORT).ok().flatten().unwrap_or_default();
    let earlier: Option<Earlier> = serde_json::from_str(&text).ok();
    earlier
        .map_or_else(Vec::new, |earlier| earlier.files)
        .into_iter()
        .filter(|name| !name.contains(['/', '\\']) && !name.starts_with('.'))
        .collect()
}
