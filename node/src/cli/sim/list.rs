//! `vouchsafe sim list`

use anyhow::Result;
use clap::Args;

use crate::cli::out;
use crate::sim::{Entry, library};

/// The scenarios: what each is about, its arms, what they must reach, and about what a suite spends on it
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  vouchsafe sim list

The cost is a guess: the simulator's aim is a thousand nodes for an hour in two minutes of a core.")]
pub(super) struct List {
    /// One line of JSON for each scenario
    #[arg(long)]
    json: bool,
}

/// Columns of the text.
const COLUMNS: usize = 100;

impl List {
    pub(super) fn run(self) -> Result<()> {
        for description in library::built_in()? {
            let entry = Entry::new(&description)?;
            if self.json {
                out::line(serde_json::to_string(&entry)?)?;
            } else {
                out::lines(entry.text(COLUMNS))?;
            }
        }
        Ok(())
    }
}
