//! What is predicted beside what simulated worlds measure, and what must hold of every answer.

use overlay::sim::scenario::Adversary;
use overlay::sim::{Outcome, Scenario};

use super::*;

pub(super) fn question(nodes: u32, byzantine: f64) -> Question {
    Question {
        nodes,
        byzantine,
        force: 10.0,
        churn: None,
        undialable: 0.0,
        crash: 0.8,
        budget: None,
    }
}

fn answered(question: &Question) -> Answer {
    answer(question).expect("a sound question")
}

fn value(answer: &Answer, key: &str) -> f64 {
    let row = answer.settings.iter().find(|row| row.key == key);
    row.and_then(|row| row.value.as_f64()).expect(key)
}

/// The world of a question, with the settings that are its answer's because they are the defaults.
fn simulated(question: &Question, duration_s: f64) -> Outcome {
    let scenario = Scenario {
        nodes: question.nodes as usize,
        byzantine: question.byzantine,
        adversary: Adversary::Flood,
        force: question.force,
        duration_s,
        measure_every_s: 10.0,
        ..Scenario::default()
    };
    overlay::sim::run(&scenario, 1, 1, &mut |_| {}).expect("a sound scenario")
}

fn compare(question: &Question, duration_s: f64) {
    let predicted = answered(question);
    assert!(predicted.settings.iter().all(|row| row.suffices));
    let measured = simulated(question, duration_s).metrics;
    let total = predicted.bytes_per_sec.total;
    for (name, bytes) in [("out", total.out), ("in", total.into)] {
        let seen = measured[&format!("bytes_{name}_per_node_per_sec")];
        let ratio = bytes / seen;
        assert!(
            (0.75..=1.25).contains(&ratio),
            "{name}: {bytes}, measured {seen}"
        );
    }
    let (share, seen) = (predicted.guarantees.share, measured["share"]);
    assert!(
        (share - seen).abs() <= 0.03,
        "share {share}, measured {seen}"
    );
}

/// Bytes to within 25 %, the share to within .03.
#[test]
fn a_quiet_world_measures_what_is_predicted() {
    compare(&question(100, 0.0), 200.0);
}

/// Long enough for hostile nodes to have the links that they keep.
#[test]
fn a_hostile_world_measures_what_is_predicted() {
    compare(&question(100, 0.2), 600.0);
}

#[test]
fn more_nodes_or_more_hostile_ones_never_need_less_memory() {
    let keys = [
        "sampling.slots",
        "sampling.list",
        "sampling.exchanges_per_reset",
        "neighbors.outbound",
        "neighbors.inbound",
    ];
    let needs = |nodes, byzantine| {
        let answer = answered(&question(nodes, byzantine));
        (answer.met, keys.map(|key| value(&answer, key)))
    };
    let sizes = [
        2, 10, 100, 1000, 3000, 10_000, 12_000, 20_000, 50_000, 100_000, 1_000_000,
    ];
    let parts = [0.0, 0.1, 0.2, 0.3, 0.4, 0.49];
    let grows = |less: (bool, [f64; 5]), more: (bool, [f64; 5]), case: &str| {
        // Where no settings are enough, the best there are need not be more in everything; of memory they are.
        let compared = if less.0 && more.0 { keys.len() } else { 1 };
        let pairs = less.1.into_iter().zip(more.1);
        for (key, (less, more)) in keys.iter().zip(pairs).take(compared) {
            assert!(more >= less, "{case}: {key} from {less} to {more}");
        }
    };
    let table: Vec<Vec<(bool, [f64; 5])>> = sizes
        .iter()
        .map(|nodes| parts.iter().map(|part| needs(*nodes, *part)).collect())
        .collect();
    for (row, nodes) in table.iter().zip(sizes) {
        for pair in row.windows(2) {
            grows(pair[0], pair[1], &format!("{nodes} nodes, more hostile"));
        }
    }
    for rows in table.windows(2) {
        for ((less, more), part) in rows[0].iter().zip(&rows[1]).zip(parts) {
            grows(*less, *more, &format!("{part} hostile, more nodes"));
        }
    }
    assert_eq!(table[3][2].1[0], 256.0, "a thousand nodes need no more");
    assert!(table[7][3].1[0] > 256.0, "twenty thousand do");
}

#[test]
fn bytes_grow_with_force_and_with_churn() {
    let mut last = 0.0;
    for force in [0.0, 1.0, 10.0, 100.0] {
        let asked = Question {
            force,
            ..question(1000, 0.2)
        };
        let bytes = answered(&asked).bytes_per_sec.total.most();
        assert!(bytes > last, "{force}: {bytes} after {last}");
        last = bytes;
    }
    let mut last = answered(&question(1000, 0.0)).bytes_per_sec.total.most();
    for minutes in [24 * 60, 120, 60] {
        let asked = Question {
            churn: Some(Duration::from_secs(minutes * 60)),
            ..question(1000, 0.0)
        };
        let answer = answered(&asked);
        let bytes = answer.bytes_per_sec.total.most();
        assert!(bytes > last, "{minutes}: {bytes} after {last}");
        assert!(answer.met && answer.guarantees.dead > 0.0, "{minutes}");
        last = bytes;
    }
}

/// Where nodes leave sooner than they are found out, a shorter period helps, up to where nothing does.
#[test]
fn churn_shortens_the_period_until_nothing_helps() {
    let at = |minutes: u64| {
        answered(&Question {
            churn: Some(Duration::from_secs(minutes * 60)),
            ..question(1000, 0.1)
        })
    };
    let period = |answer: &Answer| {
        let row = answer
            .settings
            .iter()
            .find(|row| row.key == "sampling.period");
        row.expect("a period").suffices
    };
    let (calm, brisk, wild) = (at(120), at(20), at(5));
    assert!(calm.met && period(&calm));
    assert!(brisk.met && !period(&brisk), "{:?}", brisk.goals);
    let missed = |name| wild.goals.iter().any(|goal| goal.name == name && !goal.met);
    assert!(!wild.met && missed("dead"), "{:?}", wild.goals);
}

#[test]
fn who_cannot_be_dialled_needs_more_links() {
    let nat = answered(&Question {
        undialable: 0.9,
        ..question(1000, 0.3)
    });
    assert!(value(&nat, "neighbors.outbound") > 10.0);
    // Each dialable node has the links of ten honest ones.
    assert!(value(&nat, "neighbors.inbound") > 128.0);
    assert!(nat.guarantees.cut_off <= 1e-4, "{}", nat.guarantees.cut_off);
}

#[test]
fn a_budget_is_kept_or_said_to_be_too_small() {
    let with = |budget| {
        answered(&Question {
            budget: Some(budget),
            ..question(1000, 0.1)
        })
    };
    let free = answered(&question(1000, 0.1)).bytes_per_sec.total.most();
    let small = with(100);
    assert!(!small.met);
    let missed: Vec<_> = small.goals.iter().filter(|goal| !goal.met).collect();
    assert_eq!(missed.len(), 1, "{missed:?}");
    assert_eq!(missed[0].name, "budget");
    let least = small
        .cheapest_bytes_per_sec
        .expect("settings that cost more");
    assert!(least < free, "{least}, by default {free}");
    let enough = with(least.ceil() as u64);
    assert!(enough.met && enough.cheapest_bytes_per_sec.is_none());
    let half = with(((least + free) / 2.0) as u64);
    let plenty = with(10 * free as u64);
    for (answer, budget) in [(&half, (least + free) / 2.0), (&plenty, 10.0 * free)] {
        assert!(answer.met);
        assert!(answer.bytes_per_sec.total.most() <= budget);
    }
    // What is there is spent on spreading news sooner.
    let known = |answer: &Answer| answer.guarantees.known_half_s;
    assert!(known(&enough) > known(&half) && known(&half) > known(&plenty));
}

/// At the edges of what may be asked every figure is a number.
#[test]
fn the_edges_have_answers() {
    let none = question(2, 0.0);
    for asked in [
        none.clone(),
        question(1_000_000, 0.499),
        question(3, 0.4),
        Question {
            force: 0.0,
            crash: 0.0,
            ..question(50, 0.3)
        },
        Question {
            force: 100.0,
            crash: 0.95,
            undialable: 0.9,
            churn: Some(Duration::from_secs(60)),
            budget: Some(1),
            ..question(5000, 0.4)
        },
        Question {
            churn: Some(Duration::from_secs(400 * 24 * 3600)),
            budget: Some(u64::MAX),
            ..none
        },
    ] {
        let answer = answered(&asked);
        numbers_are_sound(
            &serde_json::to_value(&answer).unwrap(),
            &format!("{asked:?}"),
        );
        assert_columns(&answer);
    }
}

fn numbers_are_sound(value: &serde_json::Value, path: &str) {
    use serde_json::Value::{Array, Null, Number, Object};
    match value {
        Null => {
            // What may be absent; anything else would be a figure that is no number.
            let absent = ["churn_s", "budget", "cheapest_bytes_per_sec"];
            assert!(absent.iter().any(|name| path.ends_with(name)), "{path}");
        }
        Number(number) => assert!(
            number.as_f64().is_some_and(|n| n >= 0.0),
            "{path}: {number}"
        ),
        Array(items) => items.iter().for_each(|item| numbers_are_sound(item, path)),
        Object(map) => map
            .iter()
            .for_each(|(key, item)| numbers_are_sound(item, &format!("{path}.{key}"))),
        _ => {}
    }
}

#[test]
fn what_is_out_of_range_is_named_with_what_is_allowed() {
    let fine = question(1000, 0.2);
    let wrong = |change: fn(&mut Question)| {
        let mut asked = fine.clone();
        change(&mut asked);
        answer(&asked).unwrap_err().to_string()
    };
    for (text, flag) in [
        (wrong(|q| q.nodes = 1), "--nodes 1: allowed: 2 to 1000000"),
        (wrong(|q| q.byzantine = 0.5), "--byzantine 0.5: allowed: "),
        (
            wrong(|q| q.byzantine = f64::NAN),
            "--byzantine NaN: allowed: ",
        ),
        (wrong(|q| q.force = 101.0), "--force 101: allowed: 0 to 100"),
        (
            wrong(|q| q.churn = Some(Duration::from_secs(59))),
            "--churn 59s: allowed: a mean stay of 1min or more, or none",
        ),
        (wrong(|q| q.undialable = 1.0), "--undialable 1: allowed: "),
        (wrong(|q| q.crash = -0.1), "--crash -0.1: allowed: "),
        (wrong(|q| q.budget = Some(0)), "--budget 0: allowed: "),
    ] {
        assert!(text.starts_with(flag), "{text}");
    }
}

fn keys(value: &serde_json::Value) -> Vec<&str> {
    let map = value.as_object().expect("an object");
    map.keys().map(String::as_str).collect()
}

/// Programs read this: names do not change.
#[test]
fn the_line_of_json_has_these_keys() {
    let answer = answered(&question(1000, 0.2));
    let text = serde_json::to_string(&answer).unwrap();
    assert!(!text.contains('\n'));
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        keys(&json).join(" "),
        "bytes_per_sec cheapest_bytes_per_sec check fast_start goals guarantees memory met question settings version"
    );
    assert_eq!(
        keys(&json["question"]).join(" "),
        "budget byzantine churn_s crash force nodes undialable"
    );
    assert_eq!(
        keys(&json["settings"][0]).join(" "),
        "default fixed key suffices value"
    );
    assert_eq!(
        keys(&json["bytes_per_sec"]).join(" "),
        "answered churn dials hostile links started total"
    );
    assert_eq!(keys(&json["bytes_per_sec"]["total"]).join(" "), "in out");
    assert_eq!(
        keys(&json["fast_start"]).join(" "),
        "bytes exchanges proofs seconds"
    );
    assert_eq!(keys(&json["memory"]).join(" "), "links_worst peers");
    assert_eq!(
        keys(&json["guarantees"]).join(" "),
        "cut_off cut_off_by_crash dead dead_leaves_s eclipsed independent_after_s known_half_s \
         largest_after_crash round_s sample_every_s share size_error torn_by_crash"
    );
    assert_eq!(keys(&json["goals"][0]).join(" "), "met most name value");
    let names = |list: &str, key: &str| {
        let items = json[list].as_array().unwrap().iter();
        let names = items.map(|item| item[key].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        names("settings", "key"),
        "neighbors.outbound neighbors.inbound limits.max_links sampling.slots sampling.list sampling.push \
         sampling.period sampling.exchanges_per_reset"
    );
    assert_eq!(
        names("goals", "name"),
        "share eclipsed cut_off torn_by_crash dead round_s"
    );
}

/// What is not fixed is a key of the node's own file, with the default that it has there.
#[test]
fn keys_and_defaults_are_those_of_the_file() {
    let text = vouchsafe::config::default_text("n", vouchsafe::AddressPreset::Wan);
    let answer = answered(&question(1000, 0.2));
    let mut section = String::new();
    let mut found = 0;
    for line in text.lines().map(|line| line.trim_start_matches('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            section = name.to_owned();
        }
        for row in answer.settings.iter().filter(|row| !row.fixed) {
            if let Some((name, default)) = line.split_once(" = ")
                && row.key == format!("{section}.{name}")
            {
                assert_eq!(row.default.to_string(), default, "{}", row.key);
                found += 1;
            }
        }
    }
    assert_eq!(found, 3, "{text}");
}

/// The commands describe worlds that can be run, and those of the question.
#[test]
fn the_commands_simulate_the_question() {
    let asked = Question {
        undialable: 0.25,
        churn: Some(Duration::from_secs(3600)),
        ..question(3000, 0.3)
    };
    let mut config = Config::default();
    config.sampling.period = Duration::from_millis(1500);
    config.sampling.slots = 320;
    let worlds = settings::worlds(&asked, &config).unwrap();
    for (name, settings) in &worlds {
        let choice = super::super::Choice {
            settings,
            ..Default::default()
        };
        let description = super::super::library::open(name).unwrap();
        let world = description.resolve(choice).unwrap();
        assert_eq!(world.nodes, 3700);
        assert_eq!(world.hostile(), 900);
        assert_eq!(world.adversary, Adversary::Flood);
        assert!((world.undialable - 0.25).abs() < 1e-9);
        assert!((world.joins_per_s - 2800.0 / 3600.0).abs() < 1e-6);
        assert_eq!((world.slots, world.period_s, world.force), (320, 1.5, 1.5));
        assert_eq!((world.outbound, world.inbound), (10, 128));
    }
    let [steady, crash] = settings::commands(&asked, &config).unwrap();
    assert!(steady.starts_with(
        "vouchsafe sim byzantine --nodes 3700 --byzantine 0.243243243 --set force=1.5 "
    ));
    assert!(
        crash.ends_with("--set 'events=[{ at_s = 60, what = { crash = { fraction = 0.8 } } }]'")
    );
}

fn assert_columns(answer: &Answer) {
    for line in text(answer) {
        assert!(line.chars().count() <= 100, "{line}");
        assert!(line.trim_end() == line, "{line:?}");
    }
}

#[test]
fn the_text_says_what_is_missed_and_what_to_do() {
    let answer = answered(&Question {
        churn: Some(Duration::from_secs(600)),
        undialable: 0.5,
        budget: Some(1000),
        ..question(20_000, 0.3)
    });
    assert_columns(&answer);
    let text = text(&answer).join("\n");
    for part in [
        "20,000 dialable nodes, 6,000 of them hostile",
        "honest nodes stay for 10 min",
        "  [neighbors]\n  outbound = ",
        "No settings meet every goal.",
        "raise --budget",
        "  vouchsafe sim byzantine --nodes 34000 ",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let calm = super::text(&answered(&question(1000, 0.0))).join("\n");
    assert!(calm.contains("\nEvery goal is met.\n"), "{calm}");
    assert!(
        calm.contains("  outbound = 10                          the default, which suffices\n")
    );
}
