//! What the seeds of one world measured together, and whether that reaches its bars.

use std::collections::BTreeMap;

use overlay::sim::scenario::Bar;
use overlay::sim::{Outcome, Scenario};

use super::numbers;
use super::stats::{self, Estimate};
use super::words;

/// Some seeds of one world.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) scenario: Scenario,
    /// The variant of the scenario, if it is one.
    pub(crate) arm: Option<String>,
    /// One for each seed, at least one.
    pub(crate) outcomes: Vec<Outcome>,
    /// The command line that does it again.
    pub(crate) command: String,
}

/// A figure over the seeds that measured it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Figure {
    pub(crate) estimate: Estimate,
    /// The least and the most of any seed.
    pub(crate) least: f64,
    pub(crate) most: f64,
    pub(crate) seeds: usize,
}

/// Whether a figure reaches its bar. What counts is its mean over the seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    Met,
    /// Met by the mean, but its interval reaches beyond the bar.
    Close,
    Missed,
    /// No seed measured it, which is no better than missed.
    NotMeasured,
}

/// A bar and what was reached.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    pub(crate) metric: String,
    pub(crate) least: Option<f64>,
    pub(crate) most: Option<f64>,
    pub(crate) figure: Option<Figure>,
    pub(crate) judgement: Judgement,
}

/// All figures of a run, and its verdicts.
#[derive(Clone, Debug)]
pub(crate) struct Summary {
    pub(crate) figures: BTreeMap<String, Figure>,
    /// In the order of the scenario's bars.
    pub(crate) verdicts: Vec<Verdict>,
}

impl Run {
    /// The scenario's name and the arm's.
    pub(crate) fn title(&self) -> String {
        title(&self.scenario.name, self.arm.as_deref())
    }

    pub(crate) fn seeds(&self) -> Vec<u64> {
        self.outcomes.iter().map(|outcome| outcome.seed).collect()
    }

    /// The hash of the only seed, or one over the hashes of all.
    pub(crate) fn event_hash(&self) -> String {
        if let [only] = self.outcomes.as_slice() {
            return only.event_hash.clone();
        }
        let mut hasher = blake3::Hasher::new();
        for outcome in &self.outcomes {
            hasher.update(format!("{} {}\n", outcome.seed, outcome.event_hash).as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    /// The world in a line: who, what, how long, how often.
    pub(crate) fn set_up(&self) -> String {
        let scenario = &self.scenario;
        let mut parts = vec![numbers::count(scenario.nodes, "node")];
        if scenario.hostile() > 0 {
            parts.push(format!(
                "{} of them hostile ({})",
                numbers::grouped(scenario.hostile() as f64),
                keyword(&scenario.adversary)
            ));
        }
        parts.push(format!("{} simulated", numbers::span(scenario.duration_s)));
        parts.push(numbers::count(self.outcomes.len(), "seed"));
        parts.join(", ")
    }
}

/// Why a run that did not measure what has a bar is an error, and what to do about it.
pub(crate) fn nothing_measured(what: &str) -> String {
    format!(
        "{what}: has a bar, and nothing measured it; docs/RESULTS.md says what each figure needs (correct the name, or run longer or with \
         more nodes), or leave the bar out (--set bars=[])"
    )
}

/// A scenario's name with that of an arm.
pub(crate) fn title(scenario: &str, arm: Option<&str>) -> String {
    match arm {
        Some(arm) => format!("{scenario} {arm}"),
        None => scenario.to_owned(),
    }
}

/// How a choice is written in a scenario file.
fn keyword(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => text,
        other => format!("{other:?}"),
    }
}

impl Figure {
    /// Of what the seeds measured; what is no number does not count. `None` when nothing is left.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let values: Vec<f64> = values.into_iter().filter(|v| v.is_finite()).collect();
        if values.is_empty() {
            return None;
        }
        Some(Self {
            estimate: stats::estimate(&values),
            least: values.iter().copied().fold(f64::INFINITY, f64::min),
            most: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            seeds: values.len(),
        })
    }
}

impl Verdict {
    /// Judges a figure by limits that it must keep.
    pub(crate) fn new(
        metric: &str,
        (least, most): (Option<f64>, Option<f64>),
        figure: Option<Figure>,
    ) -> Self {
        // A limit is itself allowed, and so is what arithmetic adds to it in the last digits.
        let keeps = |value: f64| {
            least.is_none_or(|least| value >= least - slack(least))
                && most.is_none_or(|most| value <= most + slack(most))
        };
        let judgement = match figure {
            None => Judgement::NotMeasured,
            Some(Figure { estimate, .. }) if !keeps(estimate.mean) => Judgement::Missed,
            Some(Figure { estimate, .. }) if keeps(estimate.low) && keeps(estimate.high) => {
                Judgement::Met
            }
            Some(_) => Judgement::Close,
        };
        Self {
            metric: metric.to_owned(),
            least,
            most,
            figure,
            judgement,
        }
    }

    fn of(bar: &Bar, scenario: &Scenario, figures: &BTreeMap<String, Figure>) -> Self {
        let limits = bar.limits(scenario.byzantine);
        Self::new(&bar.metric, limits, figures.get(&bar.metric).copied())
    }

    pub(crate) fn is_met(&self) -> bool {
        matches!(self.judgement, Judgement::Met | Judgement::Close)
    }

    /// `at most 0.32`, `0.9 to 1.1`.
    pub(crate) fn must(&self) -> String {
        let unit = words::of(&self.metric).unit;
        match (self.least, self.most) {
            (Some(least), Some(most)) if least == most => format!("exactly {}", unit.show(most)),
            (Some(least), Some(most)) => {
                format!("{} to {}", numbers::figure(least), unit.show(most))
            }
            (Some(least), None) => format!("at least {}", unit.show(least)),
            (None, Some(0.0)) => "0".to_owned(),
            (None, Some(most)) => format!("at most {}", unit.show(most)),
            (None, None) => "-".to_owned(),
        }
    }
}

fn slack(limit: f64) -> f64 {
    limit.abs() * 1e-9
}

impl Judgement {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Close => "met, within its interval",
            Self::Missed => "missed",
            Self::NotMeasured => "not measured",
        }
    }
}

impl Summary {
    pub(crate) fn new(run: &Run) -> Self {
        let mut values: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for (name, value) in run.outcomes.iter().flat_map(|outcome| &outcome.metrics) {
            values.entry(name).or_default().push(*value);
        }
        let figures: BTreeMap<String, Figure> = values
            .into_iter()
            .filter_map(|(name, values)| Some((name.to_owned(), Figure::of(values)?)))
            .collect();
        let verdicts = run
            .scenario
            .bars
            .iter()
            .map(|bar| Verdict::of(bar, &run.scenario, &figures))
            .collect();
        Self { figures, verdicts }
    }

    /// The names of all figures, those with a bar first, then as [`words::order`] has them.
    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.figures.keys().map(String::as_str).collect();
        let bar = |name: &str| self.verdicts.iter().position(|v| v.metric == name);
        names.sort_by_key(|name| (bar(name).unwrap_or(usize::MAX), words::order(name)));
        names
    }

    /// The bars that are missed, as `share 0.35 (at most 0.32)`.
    pub(crate) fn missed(&self) -> Vec<String> {
        let missed = self.verdicts.iter().filter(|verdict| !verdict.is_met());
        missed
            .map(|verdict| {
                let reached = verdict.figure.map_or_else(
                    || Judgement::NotMeasured.word().to_owned(),
                    |figure| numbers::figure(figure.estimate.mean),
                );
                format!("{} {reached} ({})", verdict.metric, verdict.must())
            })
            .collect()
    }

    /// Figures that have a bar and that no seed measured.
    pub(crate) fn unmeasured(&self) -> Vec<String> {
        let unmeasured = self.verdicts.iter().filter(|v| v.figure.is_none());
        unmeasured.map(|v| v.metric.clone()).collect()
    }

    /// `2 of 3 bars met`.
    pub(crate) fn tally(&self) -> String {
        let met = self.verdicts.iter().filter(|v| v.is_met()).count();
        format!(
            "{met} of {} met",
            numbers::count(self.verdicts.len(), "bar")
        )
    }

    /// For a terminal: one line a figure.
    pub(crate) fn text(&self, run: &Run) -> Vec<String> {
        let mut rows =
            vec![["figure", "mean", "95 % interval", "must reach", ""].map(str::to_owned)];
        let names = self.names();
        let unmeasured = self.verdicts.iter().filter(|v| v.figure.is_none());
        let all = names
            .into_iter()
            .chain(unmeasured.map(|v| v.metric.as_str()));
        for name in all {
            let unit = words::of(name).unit;
            let (mean, interval) = match self.figures.get(name) {
                None => ("-".to_owned(), String::new()),
                Some(figure) => (unit.show(figure.estimate.mean), interval(figure)),
            };
            let verdict = self.verdicts.iter().find(|v| v.metric == name);
            rows.push([
                name.to_owned(),
                mean,
                interval,
                verdict.map_or_else(String::new, Verdict::must),
                verdict.map_or("", |v| v.judgement.word()).to_owned(),
            ]);
        }
        let mut lines = vec![format!("{}: {}", run.title(), run.set_up()), String::new()];
        lines.extend(table(&rows));
        if !self.verdicts.is_empty() {
            lines.push(String::new());
            lines.push(self.tally());
        }
        lines
    }
}

/// `0.312 to 0.316`, or that there is none.
pub(crate) fn interval(figure: &Figure) -> String {
    if figure.seeds < 2 {
        return "one seed".to_owned();
    }
    let Estimate { low, high, .. } = figure.estimate;
    format!("{} to {}", numbers::figure(low), numbers::figure(high))
}

/// Rows in columns, two blanks apart and two from the edge.
pub(crate) fn table<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    rows.iter()
        .map(|row| {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(widths) {
                line.push_str(&format!("  {cell:width$}"));
            }
            line.trim_end().to_owned()
        })
        .collect()
}

#[cfg(test)]
pub(crate) mod tests;
