//! Small worlds that publish.

use crate::sim::outcome::Outcome;
use crate::sim::run;
use crate::sim::scenario::{Adversary, Authors, Event, Happening, Scenario, Start};

/// 24 nodes, five authors, fifty messages measured.
fn world() -> Scenario {
    Scenario {
        nodes: 24,
        start: Start::Warm,
        duration_s: 28.0,
        measure_every_s: 14.0,
        payload: 1000,
        rate: 10.0,
        publish_at_s: 5.0,
        publish_for_s: 5.0,
        author_count: 5,
        warm_messages: 10,
        slots: 32,
        ..Scenario::default()
    }
}

fn outcome(scenario: &Scenario, threads: usize) -> Outcome {
    run(scenario, 1, threads, &mut |_| {}).expect("a sound scenario")
}

#[test]
fn messages_reach_everybody_near_one_copy_and_near_a_flood() {
    let found = outcome(&world(), 1);
    let figure = |name: &str| found.metrics[name];
    assert_eq!(found.violations, Vec::<String>::new());
    assert_eq!((figure("coverage"), figure("published")), (1.0, 50.0));
    assert_eq!(
        (figure("undelivered"), figure("publish_refused")),
        (0.0, 0.0)
    );
    assert!(
        (1.0..1.2).contains(&figure("copies")),
        "{}",
        figure("copies")
    );
    assert!((figure("redundancy") - figure("copies") + 1.0).abs() < 1e-12);
    // Nobody is faster than a flood, but for jitter.
    assert!((0.9..2.0).contains(&figure("p50_vs_flood")));
    assert!((0.9..3.0).contains(&figure("p99_vs_flood")));
    // Header and signature come on top of the payload, announcements on top of that, packets on top of all.
    let parts = ["announce_ratio", "control_ratio", "repair_ratio"];
    let other: f64 = parts.iter().map(|name| figure(name)).sum();
    let bytes = figure("bytes_ratio");
    assert!(bytes > 1.1 * figure("upload_ratio") + other, "{bytes}");
    assert!(figure("wire_ratio") > bytes);
    assert!((1.0..9.0).contains(&figure("hops_mean_last")));
    assert!(figure("hops_max") >= figure("hops_mean_last"));
    let counted: u64 = found.histograms["delivery_ms"].values().sum();
    assert_eq!(counted, 23 * 50);
    assert_eq!(found.histograms["flood_ms"].values().sum::<u64>(), 23 * 50);
    assert!(!found.metrics.contains_key("p99_vs_tree"));
    // The same on two threads.
    let again = outcome(&world(), 2);
    assert_eq!(again.event_hash, found.event_hash);
    assert_eq!(again.metrics, found.metrics);
}

/// Nodes stand still while messages spread, and more of those who have them are gone when they go on.
#[test]
fn whoever_comes_late_is_waited_for_though_others_have_left() {
    let event = |at_s, what| Event { at_s, what };
    let (fraction, for_s) = (0.15, 6.0);
    let scenario = Scenario {
        events: vec![
            event(12.5, Happening::Stall { fraction, for_s }),
            event(15.5, Happening::Crash { fraction: 0.3 }),
        ],
        ..world()
    };
    let found = outcome(&scenario, 1);
    let late = found.metrics["p99_ms"];
    assert!(late > 2_000.0, "nobody was late: {late} ms");
    assert_eq!(found.metrics["undelivered"], 0.0);
}

#[test]
fn cold_authors_cost_further_copies() {
    let scenario = Scenario {
        authors: Authors::Cold,
        publish_for_s: 2.4,
        ..world()
    };
    let cold = outcome(&scenario, 1);
    assert_eq!(cold.metrics["published"], 24.0);
    assert_eq!(cold.metrics["coverage"], 1.0);
    assert!(cold.metrics["copies"] > 1.2, "{}", cold.metrics["copies"]);
}

#[test]
fn a_narrow_uplink_is_measured_against_a_tree() {
    let scenario = Scenario {
        nodes: 12,
        payload: 8000,
        rate: 2.0,
        publish_for_s: 5.0,
        author_count: 1,
        warm_messages: 5,
        // 8 kB take 80 ms.
        uplink: 100_000,
        ..world()
    };
    let found = outcome(&scenario, 1);
    assert_eq!(found.metrics["coverage"], 1.0);
    // Of twelve nodes at most two have it after 80 ms, four after 160, eight after 240: the last after four copies and the way.
    let tree_ms = found.metrics["p99_ms"] / found.metrics["p99_vs_tree"];
    assert!((320.0..1500.0).contains(&tree_ms), "{tree_ms}");
    assert!(found.metrics["p99_vs_tree"] > 0.8);
}

/// The body of a message above the inline limit comes apart from its header, and is counted all the same.
#[test]
fn chunks_are_copies_and_heads_are_not() {
    let scenario = Scenario {
        payload: 70_000,
        rate: 4.0,
        author_count: 2,
        warm_messages: 5,
        ..world()
    };
    let found = outcome(&scenario, 1);
    let figure = |name: &str| found.metrics[name];
    assert_eq!((figure("coverage"), figure("published")), (1.0, 20.0));
    let copies = figure("copies");
    // The length of the payload is part of the body, and there are three chunks.
    assert!((1.0 + 4.0 / 70_000.0..1.05).contains(&copies), "{copies}");
    assert!(figure("upload_ratio") >= copies);
    // A head with three hashes takes more than 200 bytes, and most nodes get one or a few.
    let heads = figure("head_ratio") * 70_000.0;
    assert!((200.0..2000.0).contains(&heads), "{heads}");
    assert!(figure("control_ratio") > 0.0);
    assert!((1.0..9.0).contains(&figure("hops_mean_last")));
    assert!(figure("p99_vs_flood") >= 0.9);
    // The same when it travels in one frame, but for the head.
    let scenario = Scenario {
        payload: 40_000,
        inline: 48 * 1024,
        ..scenario
    };
    let inline = outcome(&scenario, 1);
    assert_eq!(inline.metrics["coverage"], 1.0);
    assert_eq!(inline.metrics["head_ratio"], 0.0);
    assert!((1.0..1.2).contains(&inline.metrics["copies"]));
}

/// What leeches do to a node that gives whoever asks: the honest ones carry many times what they need.
#[test]
fn leeches_multiply_what_honest_nodes_upload() {
    let quiet = Scenario {
        byzantine: 0.5,
        ..world()
    };
    let attacked = Scenario {
        adversary: Adversary::Leech,
        ..quiet.clone()
    };
    let (quiet, attacked) = (outcome(&quiet, 1), outcome(&attacked, 1));
    // Without an attack the hostile half passes on its share.
    assert!(quiet.metrics["upload_ratio"] < 3.0);
    assert!(attacked.metrics["upload_ratio"] > 2.0 * quiet.metrics["upload_ratio"]);
    assert!(attacked.metrics["hostile_copies"] > 3.0);
    assert!(quiet.metrics["hostile_copies"] < 1.2);
    assert_eq!(attacked.metrics["coverage"], 1.0);
}

/// Baits are hostile, and yet in membership they are as good as any: nobody is cut off and nothing that must not happen does.
#[test]
fn who_attacks_messages_keeps_to_the_rules_of_membership() {
    for adversary in [Adversary::Silent, Adversary::Bait, Adversary::Leech] {
        let scenario = Scenario {
            byzantine: 0.3,
            adversary,
            // From the middle of the load on.
            attack_at_s: 15.0,
            ..world()
        };
        let found = outcome(&scenario, 1);
        assert_eq!(found.violations, Vec::<String>::new(), "{adversary:?}");
        assert_eq!(found.metrics["largest_component"], 1.0);
        assert!(found.metrics["share"] < 0.35, "{}", found.metrics["share"]);
    }
}
