//! All scenarios with all their arms and seeds: each run in a process of its own, each result kept, and one table of them all.

mod child;
mod keep;
mod plan;
mod pool;
mod summary;
mod table;
mod worker;

use anyhow::{Result, bail};
use overlay::sim::outcome::Progress;
use overlay::sim::{Outcome, Scenario};

use super::report::{self, Folder};
use super::summary::{Run, Summary};
use super::watch::Watch;

pub(crate) use child::run as run_child;
pub(crate) use plan::{Plan, Selection};
pub(crate) use summary::{SUMMARY, SuiteSummary};
pub(crate) use table::{Rows, replace_table};
pub(crate) use worker::serve;

use keep::{Keep, Kept};
use plan::Part;

/// Runs one seed of a world, telling how far it is: in another process, in the program.
pub(crate) type Runner<'a> =
    dyn Fn(&Scenario, u64, &mut dyn FnMut(Progress)) -> Result<Outcome> + Sync + 'a;

/// How a suite is run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// Keep what an earlier suite has done in the same directory.
    pub(crate) resume: bool,
    /// Runs at the same time.
    pub(crate) jobs: usize,
}

/// What came of a suite.
#[derive(Debug)]
pub(crate) struct Finished {
    /// Runs that are done, earlier ones included, and all that there are.
    pub(crate) done: usize,
    pub(crate) of: usize,
    /// Runs that failed, and why.
    pub(crate) failures: Vec<String>,
    /// Bars that are missed, each with its scenario.
    pub(crate) missed: Vec<String>,
    /// Figures that have a bar and that nothing measured, each with its scenario.
    pub(crate) unmeasured: Vec<String>,
    pub(crate) table: Rows,
    pub(crate) summary: SuiteSummary,
}

/// Runs what is missing of a plan, then writes the reports, the summary and the table into the directory.
///
/// # Errors
/// The directory cannot be written, or holds another suite and is not to be resumed. A run that fails is no error here.
pub(crate) fn run(
    plan: &Plan,
    options: Options,
    folder: &Folder,
    runner: &Runner<'_>,
    tell: &(dyn Fn(&str) + Sync),
) -> Result<Finished> {
    let keep = Keep::new(folder);
    if !options.resume && keep.is_begun() {
        bail!(
            "{}: holds the results of an earlier suite; --resume goes on with it, another --out begins anew",
            folder.path().display()
        );
    }
    let mut outcomes: Vec<Vec<Option<Outcome>>> = Vec::new();
    for part in &plan.parts {
        let mut kept = Vec::new();
        for seed in &part.seeds {
            kept.push(match keep.load(part, *seed)? {
                Kept::Same(outcome) => Some(*outcome),
                Kept::None => None,
                Kept::Other(why) => {
                    tell(&format!("{} seed {seed}: runs again: {why}", part.title()));
                    None
                }
            });
        }
        outcomes.push(kept);
    }
    let of: usize = outcomes.iter().map(Vec::len).sum();
    let already = outcomes.iter().flatten().flatten().count();
    if options.resume {
        tell(&format!("{already} of {of} runs are done"));
    }
    let failures = pool::fill(plan, &mut outcomes, options.jobs, &keep, runner, tell)?;
    finish(plan, outcomes, failures, folder)
}

fn finish(
    plan: &Plan,
    outcomes: Vec<Vec<Option<Outcome>>>,
    failures: Vec<String>,
    folder: &Folder,
) -> Result<Finished> {
    let of: usize = outcomes.iter().map(Vec::len).sum();
    let done = outcomes.iter().flatten().flatten().count();
    let mut runs: Vec<(&Part, Run, Summary)> = Vec::new();
    for (part, outcomes) in plan.parts.iter().zip(outcomes) {
        let outcomes: Vec<Outcome> = outcomes.into_iter().flatten().collect();
        if outcomes.is_empty() {
            continue;
        }
        let run = Run {
            scenario: part.scenario.clone(),
            arm: part.arm.clone(),
            outcomes,
            command: part.command.clone(),
        };
        let summary = Summary::new(&run);
        report::write(&folder.below(&part.report_directory())?, &run, &summary)?;
        runs.push((part, run, summary));
    }
    let table = Rows::new(plan, &runs);
    let summary = SuiteSummary::new(plan, &runs)?;
    let (missed, unmeasured) = (table.missed(), table.unmeasured());
    let failed = &failures;
    folder.write(&[
        (SUMMARY.to_owned(), summary.json()?.into_bytes()),
        ("table.md".to_owned(), table.markdown().into_bytes()),
        (
            "index.html".to_owned(),
            table.page(plan, (done, of), failed).into_bytes(),
        ),
    ])?;
    Ok(Finished {
        done,
        of,
        failures,
        missed,
        unmeasured,
        table,
        summary,
    })
}

/// The bar over all runs of a plan that are not done yet.
fn watch(tasks: &[super::watch::Task]) -> Watch {
    Watch::start("suite", tasks)
}

#[cfg(test)]
mod tests;
