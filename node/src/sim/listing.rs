//! What `sim list` tells about each scenario.

use serde::Serialize;

use super::description::{Choice, Description};
use super::summary::Verdict;
use super::{Wrong, numbers};

/// Node-seconds that a core simulates in a second: what 300 nodes, 30 % of them flooding, took for twenty minutes with a fast start, on a
/// slow core. Small and quiet worlds are faster, large ones with a fast start slower. The aim is 30,000.
const SPEED: f64 = 13_000.0;
/// What a core spends on a message at each node, with announcements over some twenty links, seconds: 300 nodes that publish 4 KiB took
/// 60 microseconds where the author is known and the message is one frame, 100 to 210 where it is not.
const MESSAGE_S: f64 = 100e-6;

/// A scenario in the list.
#[derive(Debug, Serialize)]
pub(crate) struct Entry {
    scenario: String,
    about: String,
    arms: Vec<ArmEntry>,
    /// What a suite spends on it, core-hours, by the guess above.
    core_hours: f64,
    quick_core_hours: f64,
}

#[derive(Debug, Serialize)]
struct ArmEntry {
    #[serde(skip_serializing_if = "Option::is_none")]
    arm: Option<String>,
    nodes: usize,
    duration_s: f64,
    /// Seeds that a suite runs.
    seeds: u32,
    must_reach: Vec<(String, String)>,
}

impl Entry {
    /// # Errors
    /// The scenario is wrong.
    pub(crate) fn new(description: &Description) -> Result<Self, Wrong> {
        let arms = description.arms_of_suite(false).into_iter().map(|arm| {
            let scenario = description.resolve(Choice {
                arm,
                ..Choice::default()
            })?;
            let must_reach = scenario.bars.iter().map(|bar| {
                let limits = bar.limits(scenario.byzantine);
                let must = Verdict::new(&bar.metric, limits, None).must();
                (bar.metric.clone(), must)
            });
            Ok(ArmEntry {
                arm: arm.map(str::to_owned),
                nodes: scenario.nodes,
                duration_s: scenario.duration_s,
                seeds: description.runs(arm, false),
                must_reach: must_reach.collect(),
            })
        });
        Ok(Self {
            scenario: description.name.clone(),
            about: description.about.clone(),
            arms: arms.collect::<Result<_, Wrong>>()?,
            core_hours: core_hours(description, false)?,
            quick_core_hours: core_hours(description, true)?,
        })
    }

    /// For a terminal so many columns wide.
    pub(crate) fn text(&self, columns: usize) -> Vec<String> {
        let mut lines = vec![self.scenario.clone()];
        for line in wrapped(&self.about, columns.saturating_sub(4).max(20)) {
            lines.push(format!("    {line}"));
        }
        for arm in &self.arms {
            let musts: Vec<String> = arm
                .must_reach
                .iter()
                .map(|(metric, must)| format!("{metric} {must}"))
                .collect();
            lines.push(format!(
                "    {:<14} {} nodes, {}, {}: {}",
                arm.arm.as_deref().unwrap_or("-"),
                numbers::grouped(arm.nodes as f64),
                numbers::span(arm.duration_s),
                numbers::count(arm.seeds as usize, "seed"),
                musts.join(", ")
            ));
        }
        lines.push(format!(
            "    cost about {} of one core, quick {}",
            numbers::span((self.core_hours * 3600.0).round()),
            numbers::span((self.quick_core_hours * 3600.0).round())
        ));
        lines
    }
}

fn core_hours(description: &Description, quick: bool) -> Result<f64, Wrong> {
    let mut seconds = 0.0;
    for arm in description.arms_of_suite(quick) {
        let scenario = description.resolve(Choice {
            arm,
            quick,
            settings: &[],
        })?;
        let runs = f64::from(description.runs(arm, quick));
        let each = scenario.duration_s / SPEED + scenario.messages() as f64 * MESSAGE_S;
        seconds += scenario.nodes as f64 * each * runs;
    }
    Ok(seconds / 3600.0)
}

/// Words in lines of at most so many letters, as far as words are not longer.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_tells_its_arms_bars_and_cost() {
        let description = crate::sim::library::open("byzantine").unwrap();
        let entry = Entry::new(&description).unwrap();
        let lines = entry.text(60);
        assert_eq!(lines[0], "byzantine");
        assert!(lines.iter().all(|line| !line.ends_with(' ')));
        let arm = lines.iter().find(|line| line.contains("f=0.4")).unwrap();
        assert_eq!(
            arm,
            "    f=0.4          1,000 nodes, 30 min, 20 seeds: share at most 0.43, out at most 0.42, isolated 0"
        );
        // 4 arms x 20 seeds x 1,000 nodes x half an hour at 2.3 minutes each.
        assert_eq!(
            lines.last().unwrap(),
            "    cost about 3 h 5 min of one core, quick 28 s"
        );
    }

    #[test]
    fn messages_cost_more_than_the_nodes_that_send_them() {
        let own = "nodes = 1000\nduration_s = 130\npayload = 100\nrate = 50\npublish_for_s = 20\n\
                   author_count = 10\nwarm_messages = 50\nruns = 2\nabout = \"a\"\nset_up = \"b\"\n";
        let description = Description::parse("t.toml", "t", own).unwrap();
        // 1,000 nodes, 1,500 messages and 130 s: 10 s and 150 s, twice.
        let hours = core_hours(&description, false).unwrap();
        assert!((hours * 3600.0 - 320.0).abs() < 1e-6, "{hours}");
        let silent = own.replace("payload = 100", "payload = 0");
        let description = Description::parse("t.toml", "t", &silent).unwrap();
        let hours = core_hours(&description, false).unwrap();
        assert!((hours * 3600.0 - 20.0).abs() < 1e-6, "{hours}");
    }

    #[test]
    fn words_are_wrapped() {
        assert_eq!(wrapped("a bb ccc dddd", 6), ["a bb", "ccc", "dddd"]);
        assert_eq!(wrapped("enormous a", 3), ["enormous", "a"]);
        assert!(wrapped("", 5).is_empty());
    }
}
