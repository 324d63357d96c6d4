use std::collections::BTreeSet;
use std::fs;

use super::*;
use crate::sim::summary::tests::a_run;

fn write_to(dir: &std::path::Path, run: &Run) -> Result<Vec<String>> {
    let folder = Folder::prepare(dir)?;
    write(&folder, run, &Summary::new(run))
}

/// Pictures take their time: a run with two of them.
fn a_small_run(seeds: &[u64]) -> Run {
    let mut run = a_run(seeds);
    for outcome in &mut run.outcomes {
        outcome.series.retain(|name, _| name == "isolated");
        outcome.histograms.retain(|name, _| name == "neighbors");
    }
    run
}

fn files(dir: &std::path::Path) -> BTreeSet<String> {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect()
}

#[test]
fn a_report_is_complete() {
    let dir = tempfile::tempdir().unwrap();
    let run = a_run(&[1, 2, 3]);
    let names: BTreeSet<String> = write_to(dir.path(), &run).unwrap().into_iter().collect();
    assert_eq!(files(dir.path()), names);
    for name in [
        "report.json",
        "report.html",
        "metrics.csv",
        "counters.csv",
        "series.csv",
        "series-intervals.csv",
        "histograms.csv",
        "share.svg",
        "share.png",
        "bytes-per-node-per-sec.svg",
        "memory-indegree-distribution.svg",
        "memory-indegree-distribution.png",
    ] {
        assert!(names.contains(name), "{name} is not in {names:?}");
        assert!(
            dir.path().join(name).metadata().unwrap().len() > 20,
            "{name} is empty"
        );
    }
    let json = fs::read_to_string(dir.path().join("report.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["runs"].as_array().unwrap().len(), 3);
    assert_eq!(json["runs"][2]["seed"], 3);
    assert_eq!(json["params"]["byzantine"], 0.3);
    assert_eq!(json["bars"][0]["metric"], "share");
    assert_eq!(json["bars"][0]["met"], true);
    assert_eq!(json["bars"][3]["reached"], serde_json::Value::Null);
    assert_eq!(json["bars"][3]["met"], false);
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn the_same_run_gives_the_same_bytes() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let run = a_small_run(&[1, 2]);
    for dir in &dirs {
        write_to(dir.path(), &run).unwrap();
    }
    for name in files(dirs[0].path()) {
        let [a, b] = [0, 1].map(|n: usize| fs::read(dirs[n].path().join(&name)).unwrap());
        assert!(a == b, "{name} differs");
    }
}

#[test]
fn the_page_needs_nothing_else_and_says_what_is_missed() {
    let mut run = a_run(&[1, 2, 3]);
    run.scenario.about = "<b>bold</b> & bare".to_owned();
    let summary = Summary::new(&run);
    let page = html::report(&run, &summary, &[]);
    assert!(page.contains("&lt;b&gt;bold&lt;/b&gt; &amp; bare"));
    for (word, times) in [
        ("2 of 4 bars met", 1),
        ("<article class=\"card\">", 4),
        ("not measured", 1),
        ("<p class=\"must\">must reach: at most 0.32</p>", 1),
        (run.command.as_str(), 1),
        ("run 3 times", 1),
        ("sampling.exchanges", 1),
    ] {
        assert_eq!(page.matches(word).count(), times, "{word}");
    }
    for outside in ["http:", "https:", "<script", "<link", "@import", "url("] {
        let page = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!page.contains(outside), "{outside}");
    }
    let one = a_run(&[1]);
    assert!(html::report(&one, &Summary::new(&one), &[]).contains("--seeds 20"));
}

#[test]
fn plots_of_an_earlier_run_do_not_stay() {
    let dir = tempfile::tempdir().unwrap();
    let mut run = a_small_run(&[1]);
    write_to(dir.path(), &run).unwrap();
    fs::write(dir.path().join("mine.txt"), "a note").unwrap();
    assert!(files(dir.path()).contains("isolated.png"));
    run.outcomes[0].series.remove("isolated");
    write_to(dir.path(), &run).unwrap();
    let left = files(dir.path());
    assert!(
        !left.contains("isolated.png") && !left.contains("isolated.svg"),
        "{left:?}"
    );
    assert!(left.contains("mine.txt") && left.contains("neighbors-distribution.png"));
}

#[test]
fn a_failed_report_leaves_what_was_there() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("isolated.svg")).unwrap();
    let error = write_to(dir.path(), &a_small_run(&[1])).unwrap_err();
    assert!(format!("{error:#}").contains("isolated.svg"), "{error:#}");
    assert_eq!(
        files(dir.path()),
        BTreeSet::from(["isolated.svg".to_owned()])
    );
}

/// A report claims no file outside its directory.
#[test]
fn an_earlier_report_cannot_name_other_places() {
    let dir = tempfile::tempdir().unwrap();
    let below = dir.path().join("out");
    fs::create_dir(&below).unwrap();
    fs::write(dir.path().join("precious"), "").unwrap();
    fs::write(
        below.join("report.json"),
        "{\"files\":[\"../precious\",\".hidden\"]}",
    )
    .unwrap();
    write_to(&below, &a_small_run(&[1])).unwrap();
    assert!(dir.path().join("precious").exists());
}
