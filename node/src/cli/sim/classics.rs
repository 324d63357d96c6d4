//! `vouchsafe sim classics`

use anyhow::{Result, bail};
use clap::Args;

use crate::cli::out;
use crate::sim::classics;

/// Published algorithms measured beside what was published, and every attack on the baseline that it breaks
///
/// Before a claim about this node is believed, the same simulator has to reproduce what others found: in-degrees of Cyclon, the push-pull
/// framework's corners, ranked slots, rumours in rounds. And an attack that breaks nobody is none.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vouchsafe sim classics                        all of them, some minutes
  vouchsafe sim classics cyclon-degrees lie     two of them
  vouchsafe sim classics --seeds 5 --json")]
pub(super) struct Classics {
    /// Figures or attacks by name; all, if none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Seeds for each figure; networks of 10,000 nodes and more, and attacks, use one
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: u64,
    /// One line of JSON for each
    #[arg(long)]
    json: bool,
}

impl Classics {
    pub(super) fn run(self) -> Result<()> {
        let mut amiss = Vec::new();
        for item in classics::select(&self.names)? {
            if !self.json {
                out::line(format!("{}: {}", item.name(), item.about()))?;
            }
            let found = item.measure(self.seeds)?;
            if !found.holds() {
                amiss.push(item.name());
            }
            if self.json {
                out::line(serde_json::to_string(&found)?)?;
            } else {
                out::lines(found.text())?;
            }
        }
        if !amiss.is_empty() {
            bail!(
                "not as published, or not as it should be: {}",
                amiss.join(", ")
            );
        }
        Ok(())
    }
}
