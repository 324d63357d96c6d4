use overlay::sim::scenario::Adversary;

use super::*;

const FILE: &str = r#"
about = "For the tests."
nodes = 100
byzantine = 0.1
adversary = "flood"
runs = 7
bars = [{ metric = "share", above_byzantine = 0.02 }]

[[arms]]
name = "f=0.3"
byzantine = 0.3
runs = 3
bars = [{ metric = "share", most = 0.4 }]

[[arms]]
name = "lie"
adversary = "lie"
set_up = "liars"

[[differences]]
metric = "share"
between = ["f=0.3", "lie"]
most = 0.5

[quick]
runs = 1
arms = ["lie"]
nodes = 20
"#;

fn parse(text: &str) -> Result<Description, Wrong> {
    Description::parse("t.toml", "t", text)
}

fn error(text: &str) -> String {
    parse(text).expect_err("it is wrong").to_string()
}

fn settings(texts: &[&str]) -> Vec<Setting> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn without_an_arm_it_is_the_files_own_world() {
    let description = parse(FILE).unwrap();
    let scenario = description.resolve(Choice::default()).unwrap();
    assert_eq!(scenario.name, "t");
    assert_eq!(scenario.about, "For the tests.");
    assert_eq!((scenario.nodes, scenario.byzantine), (100, 0.1));
    assert_eq!(scenario.adversary, Adversary::Flood);
    assert_eq!(
        scenario.bars[0].limits(scenario.byzantine).1,
        Some(0.12000000000000001)
    );
    assert_eq!(description.runs(None, false), 7);
}

#[test]
fn an_arm_changes_what_it_names_and_nothing_else() {
    let description = parse(FILE).unwrap();
    let base = description.resolve(Choice::default()).unwrap();
    let arm = |name| {
        description
            .resolve(Choice {
                arm: Some(name),
                ..Choice::default()
            })
            .unwrap()
    };
    let mut expected = base.clone();
    expected.adversary = Adversary::Lie;
    assert_eq!(arm("lie"), expected);
    assert_eq!(arm("f=0.3").byzantine, 0.3);
    assert_eq!(arm("f=0.3").bars.len(), 1);
    assert_eq!(arm("f=0.3").bars[0].most, Some(0.4));
    assert_eq!(description.runs(Some("f=0.3"), false), 3);
    assert_eq!(description.runs(Some("lie"), false), 7);
    assert_eq!(
        description.arm("lie").unwrap().set_up.as_deref(),
        Some("liars")
    );
}

#[test]
fn the_quick_version_and_the_command_line_come_last_in_that_order() {
    let description = parse(FILE).unwrap();
    let quick = Choice {
        arm: Some("lie"),
        quick: true,
        settings: &[],
    };
    assert_eq!(description.resolve(quick).unwrap().nodes, 20);
    assert_eq!(description.runs(Some("lie"), true), 1);
    assert_eq!(description.arms_of_suite(true), [Some("lie")]);
    assert_eq!(
        description.arms_of_suite(false),
        [Some("f=0.3"), Some("lie")]
    );
    let settings = settings(&["nodes=33", "byzantine=0.2", "nodes=30", "adversary=invent"]);
    let scenario = description
        .resolve(Choice {
            settings: &settings,
            ..quick
        })
        .unwrap();
    assert_eq!((scenario.nodes, scenario.byzantine), (30, 0.2));
    assert_eq!(scenario.adversary, Adversary::Invent);
}

#[test]
fn errors_name_the_place_the_key_and_what_is_allowed() {
    for (text, want) in [
        (
            "nodez = 3",
            "t.toml: nodez: no such key (did you mean nodes?)",
        ),
        (
            "nodes = \"many\"",
            "t.toml: nodes: invalid type: string \"many\", expected usize",
        ),
        ("nodes = 1", "t.toml: nodes: allowed: 2 to 1000000"),
        (
            "delay_ms = [9, 5]",
            "t.toml: delay_ms: allowed: two numbers from 1 to 10000",
        ),
        ("runs = 0", "t.toml: runs: 1 to 10000"),
        ("runs = -1", "t.toml: "),
        ("name = \"a/b\"", "t.toml: name \"a/b\": 1 to 40 letters"),
        ("name = \"..\"", "t.toml: name \"..\": "),
        (
            "[[arms]]\nnodes = 5",
            "t.toml: an arm: missing field `name`",
        ),
        (
            "[[arms]]\nname = \"a\"\nnodez = 5",
            "t.toml: arm a: nodez: no such key",
        ),
        (
            "[[arms]]\nname = \"a\"\nbyzantine = 2",
            "t.toml: arm a: byzantine: allowed: a fraction",
        ),
        (
            "[[arms]]\nname = \"a b\"",
            "t.toml: arm a b: name: 1 to 40 letters",
        ),
        (
            "[[arms]]\nname = \"a\"\n[[arms]]\nname = \"a\"",
            "t.toml: two arms are called a",
        ),
        (
            "[quick]\narms = [\"b\"]",
            "t.toml: b: no such arm; the scenario has none",
        ),
        (
            "[quick]\nnodes = 1",
            "t.toml: [quick]: nodes: allowed: 2 to 1000000",
        ),
        (
            "[quick]\nname = \"x\"",
            "t.toml: [quick]: name is of the file",
        ),
        (
            "[[arms]]\nname = \"a\"\n[[differences]]\nmetric = \"share\"\nbetween = [\"a\", \"b\"]\nmost = 1.0",
            "t.toml: b: no such arm; the arms are a",
        ),
        (
            "[[arms]]\nname = \"a\"\n[[differences]]\nmetric = \"share\"\nbetween = [\"a\", \"a\"]\nmost = -1.0",
            "t.toml: differences: most is 0 or more",
        ),
        (
            "bars = [{ metric = \"share\", mosst = 1.0 }]",
            "t.toml: bars: unknown field `mosst`",
        ),
        (
            "bars = [{ metric = \"share\" }]",
            "t.toml: bars: allowed: a bar has a limit",
        ),
        ("nodes = 5 6", "t.toml: line 1: "),
    ] {
        let found = error(text);
        assert!(
            found.starts_with(want),
            "{text:?}\n  gave {found}\n  want {want}"
        );
        assert!(!found.contains('\n'), "{found:?}");
    }
}

#[test]
fn errors_of_the_command_line_name_the_flag() {
    let description = parse(FILE).unwrap();
    for (flag, want) in [
        ("nodes=1", "--set nodes=1: nodes: allowed: 2 to 1000000"),
        ("nodez=1", "--set nodez=1: nodez: no such key"),
        (
            "adversary=floood",
            "--set adversary=floood: adversary: unknown variant `floood`",
        ),
        ("name=x", "--set name=x: name is of the file"),
        ("runs=3", "--set runs=3: runs: no such key"),
    ] {
        let settings = settings(&[flag]);
        let found = description
            .resolve(Choice {
                settings: &settings,
                ..Choice::default()
            })
            .unwrap_err()
            .to_string();
        assert!(found.starts_with(want), "{found}");
    }
    let settings = [Setting::of("nodes", 1, "--nodes")];
    let found = description
        .resolve(Choice {
            settings: &settings,
            ..Choice::default()
        })
        .unwrap_err();
    assert_eq!(found.0, "--nodes 1: nodes: allowed: 2 to 1000000");
    let found = description
        .resolve(Choice {
            arm: Some("f=.3"),
            ..Choice::default()
        })
        .unwrap_err();
    assert_eq!(
        found.0,
        "t.toml: f=.3: no such arm; the arms are f=0.3, lie"
    );
}

#[test]
fn the_command_does_it_again() {
    let settings = settings(&["nodes=33", "events=[{ at_s = 1 }]"]);
    let choice = Choice {
        arm: Some("f=0.3"),
        quick: true,
        settings: &settings,
    };
    assert_eq!(
        command("my file.toml", choice, (4, 20)),
        "vouchsafe sim 'my file.toml' --arm f=0.3 --quick --set nodes=33 --set 'events=[{ at_s = 1 }]' --seed 4 --seeds 20"
    );
    assert_eq!(
        command("nat", Choice::default(), (1, 1)),
        "vouchsafe sim nat"
    );
}
