//! Runs what is missing, several at a time, the most costly first.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Result, anyhow};
use overlay::sim::Outcome;

use super::keep::Keep;
use super::plan::{Part, Plan};
use super::{Runner, watch};
use crate::sim::watch::Task;

/// One missing run: places in the plan.
#[derive(Clone, Copy, Debug)]
struct Job {
    part: usize,
    seed: usize,
}

/// Fills the empty places of `outcomes`, keeping each as soon as it is done. Returns which runs failed, and why.
///
/// # Errors
/// A result cannot be kept.
pub(super) fn fill(
    plan: &Plan,
    outcomes: &mut [Vec<Option<Outcome>>],
    jobs: usize,
    keep: &Keep<'_>,
    runner: &Runner<'_>,
    tell: &(dyn Fn(&str) + Sync),
) -> Result<Vec<String>> {
    let missing = missing(plan, outcomes);
    let tasks: Vec<Task> = missing
        .iter()
        .map(|job| task(&plan.parts[job.part]))
        .collect();
    let watch = watch(&tasks);
    let (next, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let results: Mutex<Vec<(Job, Result<Outcome>)>> = Mutex::new(Vec::new());
    let cannot_keep: Mutex<Option<anyhow::Error>> = Mutex::new(None);
    thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, missing.len().max(1)) {
            scope.spawn(|| {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = missing.get(place) else { break };
                    let part = &plan.parts[job.part];
                    let seed = part.seeds[job.seed];
                    let mut progress = |progress| watch.progress(place, progress);
                    let result = runner(&part.scenario, seed, &mut progress);
                    watch.finished(place);
                    let stored = match &result {
                        Ok(outcome) => keep.store(part, outcome),
                        Err(_) => Ok(()),
                    };
                    let number = ended.fetch_add(1, Ordering::Relaxed) + 1;
                    let title = format!("{} seed {seed}", part.title());
                    match &result {
                        Ok(_) if watch.is_visible() => {}
                        Ok(_) => tell(&format!("{number} of {}: {title}", missing.len())),
                        Err(error) => watch.suspend(|| tell(&format!("{title} failed: {error:#}"))),
                    }
                    if let Err(error) = stored {
                        // A suite that cannot keep anything does not go on.
                        next.store(missing.len(), Ordering::Relaxed);
                        if let Ok(mut slot) = cannot_keep.lock() {
                            slot.get_or_insert(error);
                        }
                    }
                    if let Ok(mut results) = results.lock() {
                        results.push((*job, result));
                    }
                }
            });
        }
    });
    watch.close();
    if let Ok(Some(error)) = cannot_keep.into_inner() {
        return Err(error);
    }
    let mut results = results
        .into_inner()
        .map_err(|_| anyhow!("a run ended without its result"))?;
    results.sort_by_key(|(job, _)| (job.part, job.seed));
    let mut failures = Vec::new();
    for (job, result) in results {
        let part = &plan.parts[job.part];
        match result {
            Ok(outcome) => outcomes[job.part][job.seed] = Some(outcome),
            Err(error) => failures.push(format!(
                "{} seed {}: {error:#}",
                part.title(),
                part.seeds[job.seed]
            )),
        }
    }
    Ok(failures)
}

/// The most costly first, so that the last ones to end are short.
fn missing(plan: &Plan, outcomes: &[Vec<Option<Outcome>>]) -> Vec<Job> {
    let mut jobs: Vec<Job> = Vec::new();
    for (part, kept) in outcomes.iter().enumerate() {
        let empty = kept.iter().enumerate().filter(|(_, kept)| kept.is_none());
        jobs.extend(empty.map(|(seed, _)| Job { part, seed }));
    }
    let cost = |job: &Job| {
        let task = task(&plan.parts[job.part]);
        task.duration_s * task.weight
    };
    jobs.sort_by(|a, b| cost(b).total_cmp(&cost(a)));
    jobs
}

fn task(part: &Part) -> Task {
    Task {
        duration_s: part.scenario.duration_s,
        weight: part.scenario.nodes as f64,
    }
}
