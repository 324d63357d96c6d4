use super::*;
use crate::sim::seeds;
use crate::sim::watch::Watch;

/// A run of the stand-in: two bars that are met, one that is missed, one that nobody measures.
pub(crate) fn a_run(seeds: &[u64]) -> Run {
    let bar = |metric: &str| Bar {
        metric: metric.to_owned(),
        ..Bar::default()
    };
    let scenario = Scenario {
        name: "byzantine".to_owned(),
        about: "For the tests.".to_owned(),
        nodes: 100,
        byzantine: 0.3,
        duration_s: 3600.0,
        measure_every_s: 60.0,
        adversary: overlay::sim::scenario::Adversary::Flood,
        force: 10.0,
        bars: vec![
            Bar {
                above_byzantine: Some(0.02),
                ..bar("share")
            },
            Bar {
                most: Some(0.0),
                ..bar("isolated")
            },
            Bar {
                most: Some(1000.0),
                ..bar("bytes_per_node_per_sec")
            },
            Bar {
                least: Some(8.0),
                ..bar("links_min")
            },
        ],
        ..Scenario::default()
    };
    let outcomes = seeds::run(&scenario, seeds, 2, &Watch::hidden()).unwrap();
    Run {
        scenario,
        arm: Some("f=0.3".to_owned()),
        outcomes,
        command: "vouchsafe sim byzantine --arm f=0.3 --seed 1 --seeds 5".to_owned(),
    }
}

fn judge(limits: (Option<f64>, Option<f64>), values: &[f64]) -> Judgement {
    Verdict::new("share", limits, Figure::of(values.iter().copied())).judgement
}

#[test]
fn a_bar_is_met_missed_or_close() {
    assert_eq!(judge((None, Some(0.3)), &[0.1, 0.2]), Judgement::Met);
    assert_eq!(judge((None, Some(0.3)), &[0.5, 0.2]), Judgement::Missed);
    assert_eq!(judge((None, Some(0.3)), &[0.35, 0.2]), Judgement::Close);
    assert_eq!(
        judge((Some(0.9), Some(1.1)), &[0.8, 0.8]),
        Judgement::Missed
    );
    assert_eq!(judge((Some(0.9), Some(1.1)), &[1.0, 1.0]), Judgement::Met);
    assert_eq!(judge((None, Some(0.0)), &[0.0, 0.0]), Judgement::Met);
    assert_eq!(judge((None, Some(0.0)), &[0.0, 1.0]), Judgement::Missed);
    assert_eq!(judge((None, Some(0.3)), &[]), Judgement::NotMeasured);
    assert_eq!(
        judge((None, Some(0.3)), &[f64::NAN]),
        Judgement::NotMeasured
    );
    // The limit itself, as arithmetic has it.
    assert_eq!(judge((None, Some(0.1 + 0.2)), &[0.3]), Judgement::Met);
    assert_eq!(judge((None, Some(0.3)), &[0.1 + 0.2]), Judgement::Met);
}

#[test]
fn figures_are_over_the_seeds_that_have_them() {
    let mut run = a_run(&[1, 2, 3]);
    run.outcomes[1].metrics.remove("out");
    run.outcomes[2].metrics.insert("share".to_owned(), f64::NAN);
    let summary = Summary::new(&run);
    assert_eq!(summary.figures["out"].seeds, 2);
    assert_eq!(summary.figures["share"].seeds, 2);
    let shares = [0, 1].map(|n: usize| run.outcomes[n].metrics["share"]);
    assert_eq!(summary.figures["share"].estimate.mean, stats::mean(&shares));
    assert_eq!(summary.figures["share"].most, shares[0].max(shares[1]));
}

#[test]
fn the_summary_shows_bars_first_and_what_is_missed() {
    let run = a_run(&[1, 2, 3, 4, 5]);
    let summary = Summary::new(&run);
    let lines = summary.text(&run);
    assert_eq!(
        lines[0],
        "byzantine f=0.3: 100 nodes, 30 of them hostile (flood), 1 h simulated, 5 seeds"
    );
    let row = |name: &str| {
        lines
            .iter()
            .position(|line| line.trim_start().starts_with(name))
            .unwrap_or_else(|| panic!("{name} is not in {lines:#?}"))
    };
    assert!(row("share") < row("isolated") && row("isolated") < row("out"));
    assert!(lines[row("share")].contains("at most 0.32") && lines[row("share")].ends_with("  met"));
    assert!(lines[row("bytes_per")].ends_with("missed"), "{lines:#?}");
    assert!(
        lines[row("links_min")].ends_with("not measured"),
        "{lines:#?}"
    );
    assert_eq!(lines.last().unwrap(), "2 of 4 bars met");
    let missed = summary.missed();
    assert_eq!(missed.len(), 2);
    assert!(
        missed[0].starts_with("bytes_per_node_per_sec 1,5"),
        "{missed:?}"
    );
    assert_eq!(missed[1], "links_min not measured (at least 8)");
    assert_eq!(summary.unmeasured(), ["links_min"]);
}

#[test]
fn the_hash_of_many_depends_on_each() {
    let run = a_run(&[1, 2]);
    let one = Run {
        outcomes: run.outcomes[..1].to_vec(),
        ..run.clone()
    };
    assert_eq!(one.event_hash(), run.outcomes[0].event_hash);
    let hash = run.event_hash();
    assert_eq!(hash.len(), 64);
    let mut other = run.clone();
    other.outcomes[1].event_hash.replace_range(..1, "x");
    assert_ne!(other.event_hash(), hash);
}
