//! What changed between two reports, or two suites.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use overlay::sim::Scenario;
use serde::Serialize;
use serde_json::{Map, Value};

use super::line::Line;
use super::report::REPORT;
use super::suite::{SUMMARY, SuiteSummary};
use super::{numbers, summary, tolerance, words};

/// What a short table shows; a report may have any of them.
const SHORT: [&str; 17] = [
    "violations",
    "share",
    "out",
    "isolated",
    "victim_share_max",
    "share_peak",
    "chi_square_p",
    "in_degree_variance_ratio",
    "links_min",
    "slots_filled",
    "largest_component",
    "heal_seconds",
    "join_seconds",
    "join_seconds_max",
    "size_error_p95",
    "bytes_per_node_per_sec",
    "fast_start_bytes",
];

/// A world: scenario and arm.
type World = (String, Option<String>);

/// One figure of one world, before and now.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Change {
    scenario: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    arm: Option<String>,
    metric: String,
    baseline: Option<f64>,
    new: Option<f64>,
    difference: Option<f64>,
    /// The intervals do not touch: more than other seeds would change.
    apart: bool,
    /// The worlds are not the same, so that the figures need not be.
    other_params: bool,
    /// Worse than is tolerated, or not measured any more.
    worse: bool,
}

/// Reads a report, a line of `--json`, a suite's summary, or a directory with one of them.
///
/// # Errors
/// It cannot be read, or is none of these.
pub(crate) fn read(path: &Path) -> Result<Vec<Line>> {
    let file = if path.is_dir() {
        let names = [SUMMARY, REPORT];
        let found = names
            .map(|name| path.join(name))
            .into_iter()
            .find(|file| file.is_file());
        found
            .with_context(|| format!("{}: holds neither {SUMMARY} nor {REPORT}", path.display()))?
    } else {
        path.to_path_buf()
    };
    let text =
        fs::read_to_string(&file).with_context(|| format!("{}: cannot be read", file.display()))?;
    if let Ok(suite) = serde_json::from_str::<SuiteSummary>(&text) {
        return Ok(suite.arms);
    }
    match serde_json::from_str::<Line>(&text) {
        Ok(line) => Ok(vec![line]),
        Err(error) => bail!(
            "{}: is no {REPORT}, no {SUMMARY} and no line of --json: {error}",
            file.display()
        ),
    }
}

/// The changes of all worlds of either side, in the order of the new one; `all` figures, or the few that matter most.
pub(crate) fn compare(baseline: &[Line], new: &[Line], all: bool) -> Vec<Change> {
    let before: BTreeMap<World, &Line> = baseline.iter().map(|line| (world(line), line)).collect();
    let now: BTreeMap<World, &Line> = new.iter().map(|line| (world(line), line)).collect();
    let gone = baseline
        .iter()
        .filter(|line| !now.contains_key(&world(line)));
    let mut changes = Vec::new();
    for line in new.iter().chain(gone) {
        let world = world(line);
        let (before, now) = (before.get(&world).copied(), now.get(&world).copied());
        let lines = || before.into_iter().chain(now);
        let names: BTreeSet<&String> = lines().flat_map(|line| line.metrics.keys()).collect();
        let mut names: Vec<&str> = names.into_iter().map(String::as_str).collect();
        names.retain(|name| all || SHORT.contains(name));
        names.sort_by_key(|name| words::order(name));
        let other_params = match (before, now) {
            (Some(before), Some(now)) => params(before) != params(now),
            _ => false,
        };
        for name in names {
            let value = |line: Option<&Line>| line?.metrics.get(name).copied();
            let interval = |line: Option<&Line>| line?.intervals.get(name).copied();
            let apart = match (interval(before), interval(now)) {
                (Some(a), Some(b)) => a.1 < b.0 || b.1 < a.0,
                _ => false,
            };
            let (old, new) = (value(before), value(now));
            let worse = tolerance::of(name).is_some_and(|tolerance| match (old, new) {
                (Some(old), Some(new)) => !other_params && tolerance.is_exceeded(old, new),
                (Some(_), None) => true,
                (None, _) => false,
            });
            changes.push(Change {
                scenario: world.0.clone(),
                arm: world.1.clone(),
                metric: name.to_owned(),
                baseline: old,
                new,
                difference: old.zip(new).map(|(old, new)| new - old),
                apart,
                other_params,
                worse,
            });
        }
    }
    changes
}

fn world(line: &Line) -> World {
    (line.scenario.clone(), line.arm.clone())
}

/// What decides the outcome. A key that was unknown when the line was written had its default.
fn params(line: &Line) -> Map<String, Value> {
    let defaults = serde_json::to_value(Scenario::default());
    let mut params = match defaults {
        Ok(Value::Object(defaults)) => defaults,
        _ => Map::new(),
    };
    params.extend(line.params.clone());
    params.retain(|key, _| !["name", "about", "bars"].contains(&key.as_str()));
    params
}

/// A table for a terminal or a log.
pub(crate) fn text(changes: &[Change]) -> Vec<String> {
    let mut rows =
        vec![["scenario", "figure", "baseline", "new", "difference", ""].map(str::to_owned)];
    let mut last = None;
    for change in changes {
        let unit = words::of(&change.metric).unit;
        let show = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |v| unit.show(v));
        let title = summary::title(&change.scenario, change.arm.as_deref());
        let first = last.as_ref() != Some(&title);
        rows.push([
            if first { title.clone() } else { String::new() },
            change.metric.clone(),
            show(change.baseline),
            show(change.new),
            change.difference_text(),
            change.note().to_owned(),
        ]);
        last = Some(title);
    }
    summary::table(&rows)
}

impl Change {
    fn difference_text(&self) -> String {
        match (self.difference, self.baseline) {
            (Some(0.0), _) => "same".to_owned(),
            (Some(difference), Some(baseline)) => {
                let sign = if difference > 0.0 { "+" } else { "" };
                let shown = numbers::figure(difference);
                if baseline == 0.0 {
                    return format!("{sign}{shown}");
                }
                let percent = difference / baseline.abs() * 100.0;
                format!("{sign}{shown} ({percent:+.1} %)")
            }
            _ => String::new(),
        }
    }

    fn note(&self) -> &'static str {
        match (self.baseline, self.new) {
            (None, _) => "new",
            (_, None) => "gone",
            _ if self.other_params => "other parameters",
            _ if self.worse => "worse than tolerated",
            _ if self.apart => "more than by chance",
            _ => "",
        }
    }

    /// Whether the figure changed more than other seeds would change it.
    pub(crate) fn is_apart(&self) -> bool {
        self.apart && !self.other_params
    }
}

/// What is against taking the new side in the place of the baseline: what got worse than is tolerated, and worlds that cannot be
/// compared. Empty = nothing.
pub(crate) fn objections(changes: &[Change]) -> Vec<String> {
    let mut objections = Vec::new();
    if !changes.iter().any(|change| change.difference.is_some()) {
        objections.push("the two sides have no figure in common".to_owned());
    }
    for change in changes {
        let title = summary::title(&change.scenario, change.arm.as_deref());
        let objection = if change.other_params {
            format!("{title} is another world than in the baseline: make the baseline anew")
        } else if change.worse {
            format!("{title}: {} {}", change.metric, change.note())
        } else {
            continue;
        };
        if objections.last() != Some(&objection) {
            objections.push(objection);
        }
    }
    objections
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::summary::Summary;
    use crate::sim::summary::tests::a_run;

    fn line(seeds: &[u64]) -> Line {
        let run = a_run(seeds);
        Line::new(&run, &Summary::new(&run)).unwrap()
    }

    fn set(line: &mut Line, metric: &str, mean: f64, interval: (f64, f64)) {
        line.metrics.insert(metric.to_owned(), mean);
        line.intervals.insert(metric.to_owned(), interval);
    }

    fn row<'a>(changes: &'a [Change], metric: &str) -> &'a Change {
        changes
            .iter()
            .find(|change| change.metric == metric)
            .unwrap()
    }

    #[test]
    fn what_changed_is_shown() {
        let (mut old, mut new) = (line(&[1, 2]), line(&[1, 2]));
        set(&mut old, "share", 0.30, (0.29, 0.31));
        set(&mut new, "share", 0.33, (0.32, 0.34));
        set(&mut old, "out", 0.30, (0.29, 0.31));
        set(&mut new, "out", 0.305, (0.295, 0.315));
        new.metrics.remove("isolated");
        let changes = compare(&[old], &[new], false);
        assert!(row(&changes, "share").is_apart() && !row(&changes, "out").is_apart());
        assert!((row(&changes, "share").difference.unwrap() - 0.03).abs() < 1e-12);
        let lines = text(&changes);
        assert!(
            lines[1].contains("byzantine f=0.3  share")
                && lines[1].ends_with("more than by chance")
        );
        assert!(lines[1].contains("+0.03 (+10.0 %)"), "{lines:#?}");
        assert!(
            lines[2].trim_start().starts_with("out") && lines[2].ends_with("(+1.7 %)"),
            "{lines:#?}"
        );
        assert!(
            lines
                .iter()
                .any(|line| line.contains("isolated") && line.ends_with("gone"))
        );
        assert!(
            lines
                .iter()
                .any(|line| line.contains("bytes_per") && line.ends_with("same"))
        );
        assert!(!lines.iter().any(|line| line.contains("events_per_node")));
    }

    #[test]
    fn all_figures_on_demand_and_worlds_of_one_side() {
        let (old, mut new) = (line(&[1]), line(&[1]));
        new.arm = Some("f=0.4".to_owned());
        let changes = compare(std::slice::from_ref(&old), &[new], true);
        assert_eq!(changes.len(), 10);
        assert!(
            changes
                .iter()
                .any(|change| change.metric == "events_per_node")
        );
        assert_eq!((changes[0].note(), changes[9].note()), ("new", "gone"));
        // Other parameters explain any difference.
        let mut other = old.clone();
        other.params.insert("nodes".to_owned(), 7.into());
        set(&mut other, "share", 0.9, (0.9, 0.9));
        let changes = compare(std::slice::from_ref(&old), &[other], false);
        assert_eq!(row(&changes, "share").note(), "other parameters");
        assert!(!row(&changes, "share").is_apart());
        // A key that did not exist yet had its default.
        let mut old = old.clone();
        old.params.remove("start");
        let changes = compare(&[old.clone()], &[line(&[1])], false);
        assert_eq!(row(&changes, "share").note(), "");
        let mut warm = old.clone();
        warm.params.insert("start".to_owned(), "warm".into());
        let changes = compare(&[old], &[warm], false);
        assert_eq!(row(&changes, "share").note(), "other parameters");
    }

    #[test]
    fn what_got_worse_is_objected_to() {
        let (old, mut new) = (line(&[1, 2]), line(&[1, 2]));
        let short = |old: &Line, new: &Line| {
            compare(std::slice::from_ref(old), std::slice::from_ref(new), false)
        };
        assert_eq!(objections(&short(&old, &new)), Vec::<String>::new());
        // Better, a little worse, and worse.
        let bytes = old.metrics["bytes_per_node_per_sec"];
        set(&mut new, "bytes_per_node_per_sec", bytes * 0.5, (0.0, 1.0));
        let share = old.metrics["share"];
        set(&mut new, "share", share + 0.02, (0.0, 1.0));
        assert_eq!(objections(&short(&old, &new)), Vec::<String>::new());
        set(&mut new, "share", share + 0.04, (0.0, 1.0));
        let changes = short(&old, &new);
        assert_eq!(
            objections(&changes),
            ["byzantine f=0.3: share worse than tolerated"]
        );
        assert_eq!(row(&changes, "share").note(), "worse than tolerated");
        // A figure that nobody measures any more cannot be trusted to be as good.
        new.metrics.remove("isolated");
        new.metrics.remove("share");
        assert_eq!(
            objections(&short(&old, &new)),
            [
                "byzantine f=0.3: share gone",
                "byzantine f=0.3: isolated gone"
            ]
        );
    }

    #[test]
    fn worlds_that_cannot_be_compared_are_objected_to() {
        let old = line(&[1]);
        let mut other = old.clone();
        other.params.insert("nodes".to_owned(), 7.into());
        let changes = compare(std::slice::from_ref(&old), &[other], false);
        assert_eq!(
            objections(&changes),
            ["byzantine f=0.3 is another world than in the baseline: make the baseline anew"]
        );
        let mut new = old.clone();
        new.arm = Some("f=0.4".to_owned());
        let objections = objections(&compare(&[old], &[new], false));
        assert_eq!(objections[0], "the two sides have no figure in common");
        assert!(objections.contains(&"byzantine f=0.3: share gone".to_owned()));
    }

    #[test]
    fn all_that_is_judged_is_shown() {
        for (name, _) in tolerance::JUDGED {
            assert!(SHORT.contains(&name), "{name} would fail unseen");
        }
    }

    #[test]
    fn reports_lines_and_suites_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        let one = line(&[1, 2]);
        fs::write(&path, one.json().unwrap()).unwrap();
        assert_eq!(read(&path).unwrap(), std::slice::from_ref(&one));
        let text = format!("{:#}", read(dir.path()).unwrap_err());
        assert!(
            text.ends_with("holds neither summary.json nor report.json"),
            "{text}"
        );
        let run = a_run(&[1, 2]);
        let folder = crate::sim::Folder::prepare(dir.path()).unwrap();
        crate::sim::report::write(&folder, &run, &Summary::new(&run)).unwrap();
        assert_eq!(read(dir.path()).unwrap(), [one]);
        fs::write(&path, "{}").unwrap();
        let text = format!("{:#}", read(&path).unwrap_err());
        assert!(text.contains("a.json: is no report.json"), "{text}");
        assert!(read(&dir.path().join("none.json")).is_err());
    }
}
