//! What a suite runs.

use std::collections::BTreeSet;

use overlay::sim::Scenario;

use crate::sim::description::{self, Choice, Description};
use crate::sim::{Wrong, library, summary};

/// Which scenarios, and how much of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    /// Names or paths; empty = all that come with the program.
    pub(crate) only: Vec<String>,
    pub(crate) quick: bool,
    /// Seeds of each arm, where not what the scenario says.
    pub(crate) seeds: Option<u32>,
    pub(crate) first_seed: u64,
}

/// Every arm of every scenario.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) descriptions: Vec<Description>,
    /// In the order of the descriptions and their arms.
    pub(super) parts: Vec<Part>,
    pub(crate) quick: bool,
}

/// One world and its seeds.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// Place of its description.
    pub(super) of: usize,
    pub(super) arm: Option<String>,
    pub(super) scenario: Scenario,
    pub(super) seeds: Vec<u64>,
    pub(super) command: String,
}

impl Plan {
    /// # Errors
    /// A scenario is not there, or is wrong, or two have one name.
    pub(crate) fn new(selection: &Selection) -> Result<Self, Wrong> {
        let opened: Vec<(String, Description)> = if selection.only.is_empty() {
            library::names()
                .map(|name| Ok((name.to_owned(), library::open(name)?)))
                .collect::<Result<_, Wrong>>()?
        } else {
            selection
                .only
                .iter()
                .map(|name| Ok((name.clone(), library::open(name)?)))
                .collect::<Result<_, Wrong>>()?
        };
        let mut names = BTreeSet::new();
        let mut parts = Vec::new();
        for (of, (path, description)) in opened.iter().enumerate() {
            if !names.insert(description.name.clone()) {
                return Err(Wrong(format!(
                    "{path}: two scenarios are called {}",
                    description.name
                )));
            }
            for arm in description.arms_of_suite(selection.quick) {
                parts.push(part(of, path, description, arm, selection)?);
            }
        }
        Ok(Self {
            descriptions: opened.into_iter().map(|(_, d)| d).collect(),
            parts,
            quick: selection.quick,
        })
    }
}

fn part(
    of: usize,
    path: &str,
    description: &Description,
    arm: Option<&str>,
    selection: &Selection,
) -> Result<Part, Wrong> {
    let choice = Choice {
        arm,
        quick: selection.quick,
        settings: &[],
    };
    let runs = selection
        .seeds
        .unwrap_or_else(|| description.runs(arm, selection.quick));
    let first = selection.first_seed;
    let last = first
        .checked_add(u64::from(runs) - 1)
        .ok_or_else(|| Wrong("--seed: the last seed would not fit 64 bits".to_owned()))?;
    Ok(Part {
        of,
        arm: arm.map(str::to_owned),
        scenario: description.resolve(choice)?,
        seeds: (first..=last).collect(),
        command: description::command(path, choice, (first, runs as usize)),
    })
}

impl Part {
    pub(super) fn title(&self) -> String {
        summary::title(&self.scenario.name, self.arm.as_deref())
    }

    /// `byzantine/f=0.1`: names of scenarios and arms are fit for files.
    pub(super) fn directory(&self) -> String {
        match &self.arm {
            Some(arm) => format!("{}/{arm}", self.scenario.name),
            None => self.scenario.name.clone(),
        }
    }

    pub(super) fn report_directory(&self) -> String {
        format!("reports/{}", self.directory())
    }
}
