//! `vouchsafe sim compare`

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;

use crate::cli::out;
use crate::sim::compare;

/// What changed between two reports or two suites, figure by figure
///
/// Each side is a report.json, a suite's summary.json, a file with a line of --json, or a directory with one of them.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vouchsafe sim compare before/ after/
  vouchsafe sim compare baseline.json sim-suite --check
  vouchsafe sim compare baseline.json sim-suite --worse

`more than by chance`: the 95 % intervals of the two sides do not touch.
`worse than tolerated`: docs/SIMULATOR.md says what is tolerated of which figure.")]
pub(super) struct Compare {
    /// What to compare with
    #[arg(value_name = "BASELINE")]
    baseline: PathBuf,
    /// What is compared
    #[arg(value_name = "NEW")]
    new: PathBuf,
    /// Every figure, not only the few that matter most
    #[arg(long)]
    all: bool,
    /// One line of JSON for each figure
    #[arg(long)]
    json: bool,
    /// Fail when a figure changed more than by chance
    #[arg(long)]
    check: bool,
    /// Fail when a figure got worse than is tolerated, is not measured any more, or is of another world
    #[arg(long)]
    worse: bool,
}

impl Compare {
    pub(super) fn run(self) -> Result<()> {
        let changes = compare::compare(
            &compare::read(&self.baseline)?,
            &compare::read(&self.new)?,
            self.all,
        );
        if self.json {
            for change in &changes {
                out::line(serde_json::to_string(change)?)?;
            }
        } else {
            out::lines(compare::text(&changes))?;
        }
        let apart = changes.iter().filter(|change| change.is_apart()).count();
        if self.check && apart > 0 {
            bail!("{apart} figures changed more than by chance");
        }
        let objections = compare::objections(&changes);
        if self.worse && !objections.is_empty() {
            bail!("{}", objections.join("; "));
        }
        Ok(())
    }
}
