//! `vouchsafe sim suite`

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use overlay::sim::Scenario;

use crate::cli::out;
use crate::sim::suite::{self, Options, Plan, Selection};
use crate::sim::{self, Folder};

/// Run all scenarios with all arms and seeds, each run in a process of its own, and make the table of results
///
/// Every finished run is a file below DIR, so that a suite that was stopped, or a run that was killed, costs only what was
/// under way: --resume runs what is missing. DIR then holds index.html, a report for each arm, table.md and summary.json (for
/// `vouchsafe sim compare`).
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vouchsafe sim suite --quick                            every scenario in small, in minutes
  vouchsafe sim suite --resume --jobs 2 --results docs/RESULTS.md
  vouchsafe sim suite --only byzantine --only mine.toml --seeds 40 --out two

The table goes to stdout as Markdown. --results puts it into a document, between the lines
<!-- sim suite: begin --> and <!-- sim suite: end -->; with --quick, between
<!-- sim suite --quick: begin --> and <!-- sim suite --quick: end -->.")]
pub(super) struct Suite {
    /// Where results are kept
    #[arg(long, value_name = "DIR", default_value = "sim-suite")]
    out: PathBuf,
    /// Go on with what is in DIR: runs that are done with the same parameters and version are not run again
    #[arg(long)]
    resume: bool,
    /// Runs at the same time [default: the number of cores]
    #[arg(long, value_name = "J", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// Only this scenario, or the file at this path; may be given again
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Small versions of few arms with few seeds
    #[arg(long)]
    quick: bool,
    /// Seeds of each arm, instead of what its scenario says
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..=i64::from(sim::MAX_RUNS)))]
    seeds: Option<u32>,
    /// The first seed
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Replace the table of this document
    #[arg(long, value_name = "FILE", conflicts_with = "only")]
    results: Option<PathBuf>,
    /// One line of JSON for each arm instead of the table
    #[arg(long)]
    json: bool,
    /// Fail when a bar is missed
    #[arg(long)]
    check: bool,
}

impl Suite {
    pub(super) fn run(self) -> Result<()> {
        let plan = Plan::new(&Selection {
            only: self.only,
            quick: self.quick,
            seeds: self.seeds,
            first_seed: self.seed,
        })?;
        // What cannot be written at the end is known at the beginning.
        if let Some(path) = &self.results {
            replaced(path, "", self.quick)?;
        }
        let folder = Folder::prepare(&self.out)?;
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        let launch = || {
            let mut command = Command::new(&program);
            command.args(["sim", "worker"]);
            command
        };
        let runner = |scenario: &Scenario, seed, progress: &mut dyn FnMut(_)| {
            suite::run_child(&launch, scenario, seed, progress)
        };
        let tell = |line: &str| {
            // Whoever does not read this has the results in the directory all the same.
            let _ = writeln!(io::stderr(), "{}", out::printable(line));
        };
        let options = Options {
            resume: self.resume,
            jobs: self.jobs.map_or_else(sim::cores, usize::from),
        };
        let finished = suite::run(&plan, options, &folder, &runner, &tell)?;
        let table = finished.table.markdown();
        if self.json {
            for line in &finished.summary.arms {
                out::line(line.json()?)?;
            }
        } else {
            out::bytes(table.as_bytes())?;
        }
        if let Some(path) = &self.results {
            let document = replaced(path, &table, self.quick)?;
            Folder::write_beside(path, document.as_bytes())?;
        }
        tell(&format!(
            "{} of {} runs done, {} of {} bars met; {}",
            finished.done,
            finished.of,
            finished.table.bars() - finished.missed.len(),
            finished.table.bars(),
            folder.path().join("index.html").display()
        ));
        if !finished.failures.is_empty() {
            bail!(
                "{} of {} runs failed, the first: {}; --resume runs them again",
                finished.failures.len(),
                finished.of,
                finished.failures[0]
            );
        }
        if !finished.unmeasured.is_empty() {
            bail!(sim::nothing_measured(&finished.unmeasured.join(", ")));
        }
        if self.check && !finished.missed.is_empty() {
            bail!("missed {}", finished.missed.join(", "));
        }
        Ok(())
    }
}

/// The document with another table.
fn replaced(path: &Path, table: &str, quick: bool) -> Result<String> {
    let shown = path.display();
    let document = fs::read_to_string(path).with_context(|| format!("{shown}: cannot be read"))?;
    suite::replace_table(&document, table, quick)
        .map_err(|needs| anyhow::anyhow!("{shown}: {needs}"))
}
