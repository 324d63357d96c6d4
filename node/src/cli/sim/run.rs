//! `vouchsafe sim SCENARIO`

use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;

use crate::cli::out;
use crate::sim::{self, Choice, Folder, Line, Setting, Summary, Task, Watch, Wrong, library};

/// A scenario and how to run it.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// A scenario by its name (see `vouchsafe sim list`), or the path of a scenario file
    #[arg(value_name = "SCENARIO")]
    scenario: String,
    /// One of the scenario's arms; without it, the world that the scenario begins with
    #[arg(long, value_name = "NAME")]
    arm: Option<String>,
    /// The scenario's small version
    #[arg(long)]
    quick: bool,
    /// Nodes in all, hostile ones included (--set nodes=N)
    #[arg(long, value_name = "N")]
    nodes: Option<u32>,
    /// Fraction of the nodes that are hostile, 0 to 0.9 (--set byzantine=F)
    #[arg(long, value_name = "F")]
    byzantine: Option<f64>,
    /// Any key of the scenario; later ones win
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<Setting>,
    /// The first seed
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// How many seeds: S, S+1, ..
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(sim::MAX_RUNS)))]
    seeds: u32,
    /// Threads: for seeds side by side, and, where there are fewer seeds, for the nodes of each world [default: the number of cores]
    #[arg(long, value_name = "T", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Write a report into this directory: report.html, report.json, plots as SVG and PNG, tables as CSV
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// One line of JSON instead of the summary
    #[arg(long)]
    json: bool,
    /// Fail when a bar is missed
    #[arg(long)]
    check: bool,
}

impl Run {
    pub(super) fn run(self) -> Result<()> {
        let description = library::open(&self.scenario)?;
        let settings = self.all_settings();
        let choice = Choice {
            arm: self.arm.as_deref(),
            quick: self.quick,
            settings: &settings,
        };
        let scenario = description.resolve(choice)?;
        let seeds = self.seeds()?;
        let folder = self.out.as_deref().map(Folder::prepare).transpose()?;
        let task = Task {
            duration_s: scenario.duration_s,
            weight: 1.0,
        };
        let watch = Watch::start(&scenario.name, &vec![task; seeds.len()]);
        let outcomes = sim::seeds::run(&scenario, &seeds, self.threads(), &watch);
        watch.close();
        let run = sim::Run {
            scenario,
            arm: self.arm.clone(),
            outcomes: outcomes?,
            command: sim::command(&self.scenario, choice, (self.seed, seeds.len())),
        };
        for outcome in &run.outcomes {
            for violation in &outcome.violations {
                // A reader of stderr that is gone does not stop the run.
                let _ = writeln!(io::stderr(), "seed {}: {violation}", outcome.seed);
            }
        }
        let summary = Summary::new(&run);
        // What took long to find out is told before anything else can go wrong.
        if self.json {
            out::line(Line::new(&run, &summary)?.json()?)?;
        } else {
            out::lines(summary.text(&run))?;
        }
        if let Some(folder) = &folder {
            let files = sim::report::write(folder, &run, &summary)?.len();
            if !self.json {
                let page = folder.path().join("report.html");
                out::line(format!(
                    "\nwrote {} and {} more files",
                    page.display(),
                    files - 1
                ))?;
            }
        }
        let missed = summary.missed();
        if self.check && !missed.is_empty() {
            bail!("{}: missed {}", run.title(), missed.join(", "));
        }
        Ok(())
    }

    /// The flags with names of their own, then the others, which win.
    fn all_settings(&self) -> Vec<Setting> {
        let nodes = self
            .nodes
            .map(|n| Setting::of("nodes", i64::from(n), "--nodes"));
        let byzantine = self
            .byzantine
            .map(|f| Setting::of("byzantine", f, "--byzantine"));
        nodes
            .into_iter()
            .chain(byzantine)
            .chain(self.settings.iter().cloned())
            .collect()
    }

    fn seeds(&self) -> Result<Vec<u64>, Wrong> {
        let last = self.seed.checked_add(u64::from(self.seeds) - 1);
        last.map(|last| (self.seed..=last).collect())
            .ok_or_else(|| Wrong("--seed: the last seed would not fit 64 bits".to_owned()))
    }

    fn threads(&self) -> usize {
        self.threads.map_or_else(sim::cores, usize::from)
    }
}
