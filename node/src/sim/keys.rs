//! The keys of a scenario: which there are, and whether a value fits one.

use overlay::sim::Scenario;
use toml::{Table, Value};

use super::Wrong;

/// The names of all keys that describe a world, in the order of the documentation.
pub(crate) fn known() -> Vec<String> {
    Table::try_from(Scenario::default())
        .map(|table| {
            table
                .keys()
                .filter(|key| !of_the_file(key))
                .cloned()
                .collect()
        })
        .unwrap_or_default()
}

/// Whether a key is said of a whole file and not of one of its worlds.
pub(super) fn of_the_file(key: &str) -> bool {
    matches!(key, "name" | "about")
}

/// Checks the type of one value; its range is checked when the scenario is complete.
///
/// # Errors
/// There is no such key, or the value is of another kind. `origin` says where it was written.
pub(super) fn check(origin: &str, key: &str, value: &Value) -> Result<(), Wrong> {
    let names = known();
    if !names.iter().any(|name| name == key) {
        return Err(unknown(origin, key, &names));
    }
    let one = Table::from_iter([(key.to_owned(), value.clone())]);
    match one.try_into::<Scenario>() {
        Ok(_) => Ok(()),
        Err(error) => Err(Wrong(format!(
            "{origin}: {key}: {}",
            error.message().trim_end_matches('\n')
        ))),
    }
}

/// The error for a key that is not among `names`.
pub(super) fn unknown(origin: &str, key: &str, names: &[String]) -> Wrong {
    let near = names
        .iter()
        .map(|name| (distance(name, key), name))
        .min()
        .filter(|(distance, _)| *distance <= 2);
    let hint = near.map_or_else(String::new, |(_, name)| format!(" (did you mean {name}?)"));
    Wrong(format!(
        "{origin}: {key}: no such key{hint}; the keys are {}",
        names.join(", ")
    ))
}

/// How many letters must be changed, added or taken away to make `a` into `b` (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let kept = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = kept.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_known_and_takes_its_default() {
        let table = Table::try_from(Scenario::default()).unwrap();
        assert!(known().len() > 30, "{:?}", known());
        for (key, value) in table.iter().filter(|(key, _)| !of_the_file(key)) {
            assert_eq!(check("here", key, value), Ok(()));
        }
    }

    #[test]
    fn an_unknown_key_is_named_with_what_is_allowed() {
        let text = check("a.toml", "nodez", &Value::Integer(1))
            .unwrap_err()
            .to_string();
        assert!(
            text.starts_with("a.toml: nodez: no such key (did you mean nodes?); the keys are "),
            "{text}"
        );
        assert!(text.contains("byzantine, "), "{text}");
        let text = check("a.toml", "velocity", &Value::Integer(1))
            .unwrap_err()
            .to_string();
        assert!(!text.contains("did you mean"), "{text}");
    }

    #[test]
    fn a_value_of_another_kind_is_refused_with_what_is_allowed() {
        for (key, value, want) in [
            ("nodes", Value::String("many".to_owned()), "usize"),
            ("nodes", Value::Integer(-1), "usize"),
            ("list", Value::Integer(256), "u8"),
            (
                "addresses",
                Value::String("steep".to_owned()),
                "`local`, `flat`, `zipf`",
            ),
            ("adversary", Value::String("floodd".to_owned()), "`flood`"),
        ] {
            let text = check("a.toml", key, &value).unwrap_err().to_string();
            assert!(text.starts_with(&format!("a.toml: {key}: ")), "{text}");
            assert!(text.contains(want), "{text}");
        }
        // All rules are named, in a list as well.
        let name = || Value::String("own-dail".to_owned());
        for value in [name(), Value::Array(vec![name()])] {
            let text = check("--set", "without", &value).unwrap_err().to_string();
            let start = "--set: without: unknown variant `own-dail`, expected one of `prefix-rank`, `own-dial`";
            assert!(text.starts_with(start), "{text}");
            assert!(text.ends_with("`rank-spares`"), "{text}");
        }
        let text = check("--set", "without", &Value::Integer(1)).unwrap_err();
        let want = "expected the name of a rule, or a list of them";
        assert!(text.to_string().contains(want), "{text}");
        let name = Value::String("own-dial".to_owned());
        assert_eq!(check("--set", "without", &name), Ok(()));
        let names = Value::Array(vec![name]);
        assert_eq!(check("--set", "without", &names), Ok(()));
        // A whole number is a number.
        assert_eq!(check("a.toml", "force", &Value::Integer(10)), Ok(()));
    }

    #[test]
    fn every_key_is_documented() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/SIMULATOR.md");
        let document = std::fs::read_to_string(path).unwrap();
        for key in known() {
            let rows = document.lines().filter(|line| line.starts_with("| `"));
            let named = rows.filter_map(|row| row.split(" | ").next());
            let mut named = named.chain(["`bars`"]);
            assert!(
                named.any(|names| names.contains(&format!("`{key}`"))),
                "docs/SIMULATOR.md does not describe {key}"
            );
        }
    }

    #[test]
    fn distances() {
        assert_eq!(distance("nodes", "nodes"), 0);
        assert_eq!(distance("nodes", "node"), 1);
        assert_eq!(distance("seeds", "sedes"), 2);
        assert_eq!(distance("", "abc"), 3);
    }
}
