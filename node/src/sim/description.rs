//! A scenario file: one world, its arms (variants of it), and what a table of results says about them.

use std::collections::{BTreeMap, BTreeSet};

use overlay::sim::Scenario;
use serde::Deserialize;
use toml::{Table, Value};

use super::setting::{Setting, quoted};
use super::{Wrong, keys};

/// Runs of an arm when the file does not say.
const RUNS: u32 = 20;
/// Runs of an arm in a quick suite when the file does not say.
const QUICK_RUNS: u32 = 2;
/// The most runs of one arm.
pub(crate) const MAX_RUNS: u32 = 10_000;
/// Length of names, which become names of files.
const MAX_NAME: usize = 40;

/// What a scenario file says.
#[derive(Clone, Debug)]
pub(crate) struct Description {
    /// Where it is from, as errors say it.
    pub(crate) origin: String,
    pub(crate) name: String,
    pub(crate) about: String,
    /// The set-up in a few words, for the table of results.
    pub(crate) set_up: String,
    /// What was published or measured elsewhere.
    pub(crate) published: String,
    /// Figures that the table of results shows though they have no bar.
    pub(crate) also: Vec<String>,
    /// In the order of the file; empty = the world itself is the only one.
    pub(crate) arms: Vec<Arm>,
    pub(crate) differences: Vec<Difference>,
    runs: Option<u32>,
    keys: Table,
    quick: Quick,
}

/// A variant of the world.
#[derive(Clone, Debug)]
pub(crate) struct Arm {
    pub(crate) name: String,
    pub(crate) set_up: Option<String>,
    pub(crate) published: Option<String>,
    runs: Option<u32>,
    keys: Table,
}

/// Two arms must not differ by more than so much in a figure; compared seed by seed.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Difference {
    pub(crate) metric: String,
    pub(crate) between: (String, String),
    pub(crate) most: f64,
}

/// The small version of the world: what changes, and which arms are run.
#[derive(Clone, Debug, Default)]
struct Quick {
    runs: Option<u32>,
    arms: Option<Vec<String>>,
    keys: Table,
}

/// Which world of a file, and what is changed in it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Choice<'a> {
    /// A variant; without one, the world itself.
    pub(crate) arm: Option<&'a str>,
    pub(crate) quick: bool,
    /// Later ones win.
    pub(crate) settings: &'a [Setting],
}

/// The keys of a file that do not describe the world.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Own {
    name: Option<String>,
    about: String,
    set_up: String,
    published: String,
    also: Vec<String>,
    runs: Option<u32>,
    arms: Vec<Table>,
    differences: Vec<Difference>,
    quick: Table,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnOfArm {
    name: String,
    set_up: Option<String>,
    published: Option<String>,
    runs: Option<u32>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct OwnOfQuick {
    runs: Option<u32>,
    arms: Option<Vec<String>>,
}

const OWN: [&str; 9] = [
    "name",
    "about",
    "set_up",
    "published",
    "also",
    "runs",
    "arms",
    "differences",
    "quick",
];
const OWN_OF_ARM: [&str; 4] = ["name", "set_up", "published", "runs"];
const OWN_OF_QUICK: [&str; 2] = ["runs", "arms"];

impl Description {
    /// Reads a file. `origin` names it in errors, `stem` is its name if it does not give one.
    ///
    /// # Errors
    /// What is wrong, where, and what is allowed.
    pub(crate) fn parse(origin: &str, stem: &str, text: &str) -> Result<Self, Wrong> {
        let table: Table = text.parse().map_err(|error: toml::de::Error| {
            let line = error.span().map_or(1, |span| {
                text[..span.start.min(text.len())].lines().count().max(1)
            });
            let message = error.message().trim_end().replace('\n', ", ");
            Wrong(format!("{origin}: line {line}: {message}"))
        })?;
        let (own, keys) = split::<Own>(origin, table, &OWN)?;
        let arms = own
            .arms
            .into_iter()
            .map(|table| Arm::new(origin, table))
            .collect::<Result<Vec<_>, _>>()?;
        let label = format!("{origin}: [quick]");
        let (quick, quick_keys) = split::<OwnOfQuick>(&label, own.quick, &OWN_OF_QUICK)?;
        let description = Self {
            origin: origin.to_owned(),
            name: own.name.unwrap_or_else(|| stem.to_owned()),
            about: own.about,
            set_up: own.set_up,
            published: own.published,
            also: own.also,
            arms,
            differences: own.differences,
            runs: own.runs,
            keys,
            quick: Quick {
                runs: quick.runs,
                arms: quick.arms,
                keys: quick_keys,
            },
        };
        description.check()?;
        Ok(description)
    }

    /// Everything a file says is right, whichever part of it is used now.
    fn check(&self) -> Result<(), Wrong> {
        let wrong = |text: String| Err(Wrong(format!("{}: {text}", self.origin)));
        name_is_fit(&self.name).map_err(|problem| {
            Wrong(format!("{}: name {:?}: {problem}", self.origin, self.name))
        })?;
        let mut names = BTreeSet::new();
        for arm in &self.arms {
            if !names.insert(arm.name.as_str()) {
                return wrong(format!("two arms are called {}", arm.name));
            }
        }
        let quick = self.quick.arms.iter().flatten();
        let compared = self
            .differences
            .iter()
            .flat_map(|difference| [&difference.between.0, &difference.between.1]);
        for name in quick.chain(compared) {
            if !names.contains(name.as_str()) {
                return wrong(format!("{name}: {}", self.no_such_arm()));
            }
        }
        if self
            .differences
            .iter()
            .any(|d| d.most.is_nan() || d.most < 0.0)
        {
            return wrong("differences: most is 0 or more".to_owned());
        }
        let runs = self.arms.iter().map(|arm| arm.runs);
        for runs in runs.chain([self.runs, self.quick.runs]).flatten() {
            if !(1..=MAX_RUNS).contains(&runs) {
                return wrong(format!("runs: 1 to {MAX_RUNS}"));
            }
        }
        for quick in [false, true] {
            let arms = self.arms.iter().map(|arm| Some(arm.name.as_str()));
            for arm in arms.chain([None]) {
                self.resolve(Choice {
                    arm,
                    quick,
                    settings: &[],
                })?;
            }
        }
        Ok(())
    }

    /// The arms a suite runs: `None` is the world itself, where there are no arms.
    pub(crate) fn arms_of_suite(&self, quick: bool) -> Vec<Option<&str>> {
        let all: Vec<&str> = match &self.quick.arms {
            Some(arms) if quick => arms.iter().map(String::as_str).collect(),
            _ => self.arms.iter().map(|arm| arm.name.as_str()).collect(),
        };
        if all.is_empty() {
            return vec![None];
        }
        all.into_iter().map(Some).collect()
    }

    /// How many seeds a suite runs of an arm.
    pub(crate) fn runs(&self, arm: Option<&str>, quick: bool) -> u32 {
        if quick {
            return self.quick.runs.unwrap_or(QUICK_RUNS);
        }
        arm.and_then(|name| self.arm(name)?.runs)
            .or(self.runs)
            .unwrap_or(RUNS)
    }

    pub(crate) fn arm(&self, name: &str) -> Option<&Arm> {
        self.arms.iter().find(|arm| arm.name == name)
    }

    fn no_such_arm(&self) -> String {
        let names: Vec<&str> = self.arms.iter().map(|arm| arm.name.as_str()).collect();
        if names.is_empty() {
            "no such arm; the scenario has none".to_owned()
        } else {
            format!("no such arm; the arms are {}", names.join(", "))
        }
    }

    /// The world that was chosen, complete and checked.
    ///
    /// # Errors
    /// Where the value came from, its key, and what is allowed.
    pub(crate) fn resolve(&self, choice: Choice<'_>) -> Result<Scenario, Wrong> {
        let mut merged = Merged::default();
        merged.layer(&self.origin, &self.keys)?;
        if let Some(name) = choice.arm {
            let arm = self
                .arm(name)
                .ok_or_else(|| Wrong(format!("{}: {name}: {}", self.origin, self.no_such_arm())))?;
            merged.layer(&format!("{}: arm {name}", self.origin), &arm.keys)?;
        }
        if choice.quick {
            merged.layer(&format!("{}: [quick]", self.origin), &self.quick.keys)?;
        }
        for setting in choice.settings {
            merged.set(&setting.text(), &setting.key, &setting.value)?;
        }
        let mut scenario = merged.scenario(&self.origin)?;
        scenario.name.clone_from(&self.name);
        scenario.about.clone_from(&self.about);
        Ok(scenario)
    }
}

/// The command line that runs a choice of a scenario's worlds with `seeds` seeds from `first` on.
pub(crate) fn command(scenario: &str, choice: Choice<'_>, (first, seeds): (u64, usize)) -> String {
    let mut words = vec!["vouchsafe sim".to_owned(), quoted(scenario)];
    if let Some(arm) = choice.arm {
        words.extend(["--arm".to_owned(), quoted(arm)]);
    }
    if choice.quick {
        words.push("--quick".to_owned());
    }
    words.extend(choice.settings.iter().flat_map(Setting::words));
    if first != 1 {
        words.push(format!("--seed {first}"));
    }
    if seeds != 1 {
        words.push(format!("--seeds {seeds}"));
    }
    words.join(" ")
}

impl Arm {
    fn new(origin: &str, table: Table) -> Result<Self, Wrong> {
        let label = match table.get("name").and_then(Value::as_str) {
            Some(name) => format!("{origin}: arm {name}"),
            None => format!("{origin}: an arm"),
        };
        let (own, keys) = split::<OwnOfArm>(&label, table, &OWN_OF_ARM)?;
        name_is_fit(&own.name).map_err(|problem| Wrong(format!("{label}: name: {problem}")))?;
        Ok(Self {
            name: own.name,
            set_up: own.set_up,
            published: own.published,
            runs: own.runs,
            keys,
        })
    }
}

/// Keys from several places, each with where it was last set.
#[derive(Default)]
struct Merged {
    table: Table,
    set_by: BTreeMap<String, String>,
}

impl Merged {
    fn layer(&mut self, label: &str, keys: &Table) -> Result<(), Wrong> {
        keys.iter()
            .try_for_each(|(key, value)| self.set(label, key, value))
    }

    fn set(&mut self, label: &str, key: &str, value: &Value) -> Result<(), Wrong> {
        if keys::of_the_file(key) {
            return Err(Wrong(format!(
                "{label}: {key} is of the file, not of one of its worlds"
            )));
        }
        keys::check(label, key, value)?;
        self.table.insert(key.to_owned(), value.clone());
        self.set_by.insert(key.to_owned(), label.to_owned());
        Ok(())
    }

    fn scenario(self, origin: &str) -> Result<Scenario, Wrong> {
        let scenario: Scenario = self.table.try_into().map_err(|error: toml::de::Error| {
            Wrong(format!("{origin}: {}", error.message().trim_end()))
        })?;
        scenario.check().map_err(|error| {
            let by = self.set_by.get(error.key).map_or(origin, String::as_str);
            Wrong(format!("{by}: {}: allowed: {}", error.key, error.problem))
        })?;
        Ok(scenario)
    }
}

/// Takes the keys `own` out of a table, reads them, and returns the others.
fn split<T: serde::de::DeserializeOwned>(
    origin: &str,
    mut table: Table,
    own: &[&str],
) -> Result<(T, Table), Wrong> {
    let taken: Table = own
        .iter()
        .filter_map(|key| table.remove_entry(*key))
        .collect();
    let read = taken.try_into::<T>().map_err(|error| {
        // The error names the key within the value, if it lies deeper.
        Wrong(format!(
            "{origin}: {}",
            error.to_string().trim_end().replace('\n', " ")
        ))
    })?;
    Ok((read, table))
}

fn name_is_fit(name: &str) -> Result<(), String> {
    let fit = |c: char| c.is_ascii_alphanumeric() || "=._%+-".contains(c);
    if (1..=MAX_NAME).contains(&name.len())
        && name.chars().all(fit)
        && !name.starts_with(['.', '-'])
    {
        return Ok(());
    }
    Err(format!(
        "1 to {MAX_NAME} letters, digits and = . _ % + -, not beginning with . or -"
    ))
}

#[cfg(test)]
mod tests;
