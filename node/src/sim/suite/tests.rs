use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::sim::world;

const FILE: &str = r#"
name = "small"
about = "For the tests | of suites."
set_up = "20 nodes"
published = "a|b"
nodes = 20
duration_s = 240
byzantine = 0.2
also = ["out"]
runs = 3
bars = [{ metric = "share", above_byzantine = 0.05 }]

[[arms]]
name = "one"

[[arms]]
name = "two%"
set_up = "30 nodes"
nodes = 30
bars = [{ metric = "bytes_per_node_per_sec", most = 10.0 }]

[[differences]]
metric = "share"
between = ["one", "two%"]
most = 0.01

[quick]
runs = 2
arms = ["one"]
"#;

fn plan_of(text: &str, quick: bool) -> Plan {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("small.toml");
    fs::write(&path, text).unwrap();
    Plan::new(&Selection {
        only: vec![path.display().to_string()],
        quick,
        seeds: None,
        first_seed: 1,
    })
    .unwrap()
}

/// A runner that counts, and fails where it is told to.
struct Counting {
    runs: AtomicUsize,
    fails: Option<u64>,
}

impl Counting {
    fn new(fails: Option<u64>) -> Self {
        Self {
            runs: AtomicUsize::new(0),
            fails,
        }
    }

    fn suite(&self, plan: &Plan, dir: &Path, resume: bool) -> Result<(Finished, Vec<String>)> {
        let runner = |scenario: &Scenario, seed, progress: &mut dyn FnMut(Progress)| {
            self.runs.fetch_add(1, Ordering::Relaxed);
            if self.fails == Some(seed) {
                bail!("the process ended with signal: 9 (SIGKILL)");
            }
            let mut outcome = world::run(scenario, seed, 1, progress)?;
            // Pictures take their time: one is enough.
            outcome.series.retain(|name, _| name == "isolated");
            outcome.histograms.clear();
            Ok(outcome)
        };
        let told = Mutex::new(Vec::new());
        let tell = |line: &str| told.lock().unwrap().push(line.to_owned());
        let options = Options { resume, jobs: 2 };
        let folder = Folder::prepare(dir)?;
        let finished = run(plan, options, &folder, &runner, &tell)?;
        Ok((finished, told.into_inner().unwrap()))
    }

    fn count(&self) -> usize {
        self.runs.load(Ordering::Relaxed)
    }
}

#[test]
fn a_suite_runs_everything_once_and_writes_it_all() {
    let dir = tempfile::tempdir().unwrap();
    let plan = plan_of(FILE, false);
    let counting = Counting::new(None);
    let (finished, told) = counting.suite(&plan, dir.path(), false).unwrap();
    assert_eq!((finished.done, finished.of, counting.count()), (6, 6, 6));
    assert!(finished.failures.is_empty());
    assert_eq!(finished.missed.len(), 1, "{:?}", finished.missed);
    assert!(finished.missed[0].starts_with("small two%: bytes_per_node_per_sec 1,"));
    assert_eq!(
        told.iter()
            .filter(|line| line.contains(" of 6: small "))
            .count(),
        6,
        "{told:?}"
    );
    for name in [
        "summary.json",
        "table.md",
        "index.html",
        "runs/small/one/seed-3.json",
        "runs/small/two%/seed-1.json",
        "reports/small/two%/report.html",
        "reports/small/one/isolated.png",
    ] {
        assert!(dir.path().join(name).is_file(), "{name}");
    }
    let page = fs::read_to_string(dir.path().join("index.html")).unwrap();
    assert!(page.contains("href=\"reports/small/two%25/report.html\""));
    assert!(page.contains("6 of 6 runs done") && page.contains("2 of 3 bars met"));
}

#[test]
fn what_is_done_with_the_same_parameters_is_not_done_again() {
    let dir = tempfile::tempdir().unwrap();
    let plan = plan_of(FILE, true);
    Counting::new(None).suite(&plan, dir.path(), false).unwrap();
    let again = Counting::new(None);
    let (finished, told) = again.suite(&plan, dir.path(), true).unwrap();
    assert_eq!((again.count(), finished.done), (0, 2));
    assert_eq!(told, ["2 of 2 runs are done"]);
    // Bars and words do not change what happens; a key does.
    let words = FILE
        .replace("For the tests", "For tests")
        .replace("0.05", "0.07");
    let again = Counting::new(None);
    again
        .suite(&plan_of(&words, true), dir.path(), true)
        .unwrap();
    assert_eq!(again.count(), 0);
    let other = FILE.replace("duration_s = 240", "duration_s = 300");
    let again = Counting::new(None);
    let (_, told) = again
        .suite(&plan_of(&other, true), dir.path(), true)
        .unwrap();
    assert_eq!(again.count(), 2);
    assert!(
        told[0].contains("small one seed 1: runs again: done with other parameters"),
        "{told:?}"
    );
    // A file that is damaged, or of another version.
    let kept = dir.path().join("runs/small/one/seed-1.json");
    let text = fs::read_to_string(&kept).unwrap();
    fs::write(&kept, &text[..text.len() / 2]).unwrap();
    let again = Counting::new(None);
    let (_, told) = again
        .suite(&plan_of(&other, true), dir.path(), true)
        .unwrap();
    assert_eq!(again.count(), 1);
    assert!(told[0].contains("seed-1.json is damaged"), "{told:?}");
    let old = fs::read_to_string(&kept)
        .unwrap()
        .replacen(env!("CARGO_PKG_VERSION"), "0.0.1", 1);
    fs::write(&kept, old).unwrap();
    let again = Counting::new(None);
    again
        .suite(&plan_of(&other, true), dir.path(), true)
        .unwrap();
    assert_eq!(again.count(), 1);
}

#[test]
fn another_suite_is_not_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let plan = plan_of(FILE, true);
    Counting::new(None).suite(&plan, dir.path(), false).unwrap();
    let error = Counting::new(None)
        .suite(&plan, dir.path(), false)
        .unwrap_err();
    assert!(
        format!("{error:#}").contains("--resume goes on with it"),
        "{error:#}"
    );
}

#[test]
fn a_run_that_fails_is_told_and_the_others_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let plan = plan_of(FILE, false);
    let (finished, told) = Counting::new(Some(2))
        .suite(&plan, dir.path(), false)
        .unwrap();
    assert_eq!((finished.done, finished.of), (4, 6));
    assert_eq!(finished.failures.len(), 2);
    assert_eq!(
        finished.failures[0],
        "small one seed 2: the process ended with signal: 9 (SIGKILL)"
    );
    assert!(
        told.iter()
            .any(|line| line.starts_with("small one seed 2 failed: "))
    );
    assert!(finished.table.markdown().contains("| 2 of 3 |"));
    let page = fs::read_to_string(dir.path().join("index.html")).unwrap();
    assert!(page.contains("Runs that failed") && page.contains("SIGKILL"));
    // Resumed, only what failed is run.
    let again = Counting::new(None);
    let (finished, told) = again.suite(&plan, dir.path(), true).unwrap();
    assert_eq!((again.count(), finished.done), (2, 6));
    assert_eq!(told[0], "4 of 6 runs are done");
}

#[test]
fn a_suite_that_went_wrong_and_was_resumed_is_as_one_that_did_not() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let plan = plan_of(FILE, true);
    Counting::new(None)
        .suite(&plan, dirs[0].path(), false)
        .unwrap();
    Counting::new(Some(1))
        .suite(&plan, dirs[1].path(), false)
        .unwrap();
    Counting::new(None)
        .suite(&plan, dirs[1].path(), true)
        .unwrap();
    for name in [
        "summary.json",
        "table.md",
        "index.html",
        "reports/small/one/report.json",
    ] {
        let [a, b] = [0, 1].map(|n: usize| fs::read_to_string(dirs[n].path().join(name)).unwrap());
        assert_eq!(a, b, "{name}");
    }
}

#[test]
fn a_suite_that_cannot_keep_its_results_ends() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("runs")).unwrap();
    fs::write(dir.path().join("runs/small"), "in the way").unwrap();
    let counting = Counting::new(None);
    let error = counting
        .suite(&plan_of(FILE, true), dir.path(), true)
        .unwrap_err();
    assert!(format!("{error:#}").contains("runs/small"), "{error:#}");
}

#[test]
fn the_table_has_a_row_for_each_arm_and_difference() {
    let dir = tempfile::tempdir().unwrap();
    let plan = plan_of(FILE, false);
    let (finished, _) = Counting::new(None).suite(&plan, dir.path(), false).unwrap();
    let table = finished.table.markdown();
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!(rows.len(), 5, "{table}");
    assert!(
        rows[2].starts_with("| small one | 20 nodes | `share` at most 0.25 | `share` 0.2"),
        "{table}"
    );
    assert!(
        rows[2].contains("<br>`out` 0.2") && rows[2].contains("| a\\|b |"),
        "{table}"
    );
    assert!(rows[3].starts_with("| small two% | 30 nodes | "), "{table}");
    assert!(rows[4].starts_with("| small two% against one | difference of the two | `share` -0.01 to 0.01 | `share` 0 [0, 0] met | 3 |"), "{table}");
    let columns = |row: &str| row.replace("\\|", "").matches('|').count();
    assert!(
        rows.iter().all(|row| columns(row) == columns(rows[0])),
        "{table}"
    );
}

#[test]
fn the_table_takes_the_place_of_the_old_one() {
    let document = "before\n<!-- sim suite: begin -->\nold\n<!-- sim suite: end -->\nbetween\n\
        <!-- sim suite --quick: begin -->\nsmall\n<!-- sim suite --quick: end -->\nafter\n";
    for (quick, old) in [(false, "old\n"), (true, "small\n")] {
        let new = replace_table(document, "| a |\n", quick).unwrap();
        assert_eq!(new, document.replace(old, "| a |\n"));
        assert_eq!(replace_table(&new, "| a |\n", quick).unwrap(), new);
    }
    for without in [
        "",
        "<!-- sim suite: begin -->",
        "<!-- sim suite: end -->\n<!-- sim suite: begin -->",
        "<!-- sim suite --quick: begin -->\n<!-- sim suite --quick: end -->",
    ] {
        assert!(
            replace_table(without, "x", false)
                .unwrap_err()
                .contains("<!-- sim suite: begin -->")
        );
    }
}

#[test]
fn a_plan_names_what_it_does_not_know() {
    let select = |only: &[&str]| {
        Plan::new(&Selection {
            only: only.iter().map(|name| (*name).to_owned()).collect(),
            quick: true,
            seeds: Some(1),
            first_seed: 1,
        })
    };
    assert!(
        select(&["nat", "byzantin"])
            .unwrap_err()
            .0
            .starts_with("byzantin: no such scenario")
    );
    assert!(
        select(&["nat", "nat"])
            .unwrap_err()
            .0
            .contains("two scenarios are called nat")
    );
    let plan = select(&[]).unwrap();
    assert_eq!(plan.descriptions.len(), 23);
    assert!(plan.parts.iter().all(|part| part.seeds == [1]));
}
