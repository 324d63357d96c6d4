//! The scenarios that come with the program, and those that users write.

use std::fs;
use std::path::Path;

use super::Wrong;
use super::description::Description;

/// In the order of the table of results.
const BUILT_IN: [(&str, &str); 23] = [
    ("uniformity", include_str!("scenarios/uniformity.toml")),
    ("skewed", include_str!("scenarios/skewed.toml")),
    ("nat", include_str!("scenarios/nat.toml")),
    ("byzantine", include_str!("scenarios/byzantine.toml")),
    ("force", include_str!("scenarios/force.toml")),
    ("targeted", include_str!("scenarios/targeted.toml")),
    ("poisoned", include_str!("scenarios/poisoned.toml")),
    ("sybils", include_str!("scenarios/sybils.toml")),
    ("delayed", include_str!("scenarios/delayed.toml")),
    ("chaos", include_str!("scenarios/chaos.toml")),
    ("scale", include_str!("scenarios/scale.toml")),
    ("crash", include_str!("scenarios/crash.toml")),
    (
        "size-estimate",
        include_str!("scenarios/size-estimate.toml"),
    ),
    ("flash-join", include_str!("scenarios/flash-join.toml")),
    ("detect", include_str!("scenarios/detect.toml")),
    ("mistakes", include_str!("scenarios/mistakes.toml")),
    ("idle", include_str!("scenarios/idle.toml")),
    ("heal", include_str!("scenarios/heal.toml")),
    ("leave", include_str!("scenarios/leave.toml")),
    ("churn", include_str!("scenarios/churn.toml")),
    (
        "dissemination",
        include_str!("scenarios/dissemination.toml"),
    ),
    (
        "dissemination-large",
        include_str!("scenarios/dissemination-large.toml"),
    ),
    (
        "dissemination-lan",
        include_str!("scenarios/dissemination-lan.toml"),
    ),
];

/// A scenario file larger than this is none.
const MAX_BYTES: u64 = 1 << 20;

/// The names of the scenarios that come with the program.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    BUILT_IN.iter().map(|(name, _)| *name)
}

/// All scenarios that come with the program.
///
/// # Errors
/// One of them is wrong, which the tests rule out.
pub(crate) fn built_in() -> Result<Vec<Description>, Wrong> {
    names().map(open).collect()
}

/// Opens a scenario by its name, or a file by its path.
///
/// # Errors
/// There is none, or what it says is wrong.
pub(crate) fn open(name: &str) -> Result<Description, Wrong> {
    if let Some((name, text)) = BUILT_IN.iter().find(|(built_in, _)| *built_in == name) {
        return Description::parse(&format!("scenario {name}"), name, text);
    }
    let path = Path::new(name);
    if !path.exists() && !name.contains(['/', '\\']) && path.extension().is_none() {
        let names: Vec<&str> = names().collect();
        return Err(Wrong(format!(
            "{name}: no such scenario and no such file; the scenarios are {}",
            names.join(", ")
        )));
    }
    let cannot =
        |problem: &dyn std::fmt::Display| Wrong(format!("{name}: cannot be read: {problem}"));
    let meta = fs::metadata(path).map_err(|error| cannot(&error))?;
    if !meta.is_file() || meta.len() > MAX_BYTES {
        return Err(cannot(&format!(
            "expected a file of at most {MAX_BYTES} bytes"
        )));
    }
    let text = fs::read_to_string(path).map_err(|error| cannot(&error))?;
    let stem = path
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned())
        .unwrap_or_default();
    Description::parse(name, &stem, &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of the table, in its order.
    #[test]
    fn the_scenarios_are_all_there_and_right() {
        let all = built_in().unwrap();
        assert_eq!(
            names().collect::<Vec<_>>(),
            [
                "uniformity",
                "skewed",
                "nat",
                "byzantine",
                "force",
                "targeted",
                "poisoned",
                "sybils",
                "delayed",
                "chaos",
                "scale",
                "crash",
                "size-estimate",
                "flash-join",
                "detect",
                "mistakes",
                "idle",
                "heal",
                "leave",
                "churn",
                "dissemination",
                "dissemination-large",
                "dissemination-lan"
            ]
        );
        for (description, name) in all.iter().zip(names()) {
            assert_eq!(description.name, name);
            assert!(
                description.about.len() > 40,
                "{name}: {:?}",
                description.about
            );
            assert!(!description.set_up.is_empty(), "{name} has no set_up");
            assert!(!description.published.is_empty(), "{name} has no published");
        }
    }

    #[test]
    fn every_scenario_has_something_to_reach_and_a_small_version() {
        for description in built_in().unwrap() {
            let cost = |quick: bool| -> f64 {
                description
                    .arms_of_suite(quick)
                    .into_iter()
                    .map(|arm| {
                        let choice = super::super::description::Choice {
                            arm,
                            quick,
                            settings: &[],
                        };
                        let scenario = description.resolve(choice).unwrap();
                        assert!(
                            !scenario.bars.is_empty() || !description.differences.is_empty(),
                            "{} {arm:?}",
                            description.name
                        );
                        scenario.nodes as f64
                            * scenario.duration_s
                            * f64::from(description.runs(arm, quick))
                    })
                    .sum()
            };
            assert!(
                cost(true) * 10.0 < cost(false),
                "{}: {} is not quick",
                description.name,
                cost(true)
            );
        }
    }

    #[test]
    fn what_is_not_there_is_named() {
        let text = open("dance").unwrap_err().to_string();
        assert!(text.starts_with("dance: no such scenario") && text.contains("flash-join"));
        let text = open("no/such/file.toml").unwrap_err().to_string();
        assert!(
            text.starts_with("no/such/file.toml: cannot be read: "),
            "{text}"
        );
        let dir = tempfile::tempdir().unwrap();
        let text = open(&dir.path().display().to_string())
            .unwrap_err()
            .to_string();
        assert!(text.contains("expected a file"), "{text}");
    }

    #[test]
    fn a_file_is_opened_by_its_path_and_named_after_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mine.toml");
        fs::write(&path, "about = \"a test\"\nnodes = 50\n").unwrap();
        let description = open(&path.display().to_string()).unwrap();
        assert_eq!(description.name, "mine");
        assert_eq!(description.resolve(Default::default()).unwrap().nodes, 50);
        fs::write(&path, "nodes = 50\n\nnodez = 3\n").unwrap();
        let text = open(&path.display().to_string()).unwrap_err().to_string();
        assert!(text.contains("mine.toml: nodez: no such key"), "{text}");
        fs::write(&path, "nodes = 50\n\nlinks = = 3\n").unwrap();
        let text = open(&path.display().to_string()).unwrap_err().to_string();
        assert!(text.contains("mine.toml: line 3: "), "{text}");
    }
}
