//! What a scenario publishes: who, when, and what is wrong with the keys that say so.

use rand::RngExt as _;
use rand::seq::SliceRandom as _;
use serde::{Deserialize, Serialize};

use crate::messages::MAX_PAYLOAD;
use crate::sim::scenario::{Adversary, Player, Scenario, ScenarioError};
use crate::sim::world::Time;
use crate::sim::world::streams::{Purpose, WORLD, stream};

/// After the last message of a warm-up, so long passes before measuring begins, seconds: long enough for what is under way to arrive.
const SETTLE_S: f64 = 3.0;
/// A run goes on for at least so long after the last message, seconds: as long as repair leaves out what is new, and a period.
pub const DRAIN_S: f64 = 10.0;
/// Most messages of one run.
const MAX_MESSAGES: f64 = 1e6;

/// Who publishes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Authors {
    /// `author_count` nodes, at random, that have published `warm_messages` each before measuring begins; each message is from another
    /// one of them.
    #[default]
    Warm,
    /// A node that has published nothing before, for each message.
    Cold,
    /// Any node for each message.
    Random,
}

/// A message to be published.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::sim) struct Planned {
    /// When.
    pub(in crate::sim) at: Time,
    /// At which host.
    pub(in crate::sim) author: usize,
}

/// Everything that is to be published.
#[derive(Clone, Debug, Default)]
pub(in crate::sim) struct Plan {
    /// In the order of time.
    pub(in crate::sim) messages: Vec<Planned>,
    /// What is published from then on is measured.
    pub(in crate::sim) measured_from: Time,
}

impl Plan {
    /// The plan of a scenario that publishes.
    pub(in crate::sim) fn new(scenario: &Scenario, seed: u64) -> Self {
        let mut rng = stream(seed, WORLD, Purpose::Load);
        let honest = scenario.nodes - scenario.hostile();
        let mut nodes: Vec<usize> = (0..honest).collect();
        nodes.shuffle(&mut rng);
        let mut times = |from: f64, count: usize, span: f64| {
            let mut times: Vec<f64> = (0..count)
                .map(|_| from + span * rng.random::<f64>())
                .collect();
            times.sort_unstable_by(f64::total_cmp);
            times
        };
        let measured = measured_from_s(scenario);
        let warm = times(
            scenario.publish_at_s,
            warming(scenario),
            warming_s(scenario),
        );
        let count = (scenario.rate * scenario.publish_for_s).round() as usize;
        let window = times(measured, count, scenario.publish_for_s);
        let mut draw = |number: usize| match scenario.authors {
            Authors::Warm => nodes[number % scenario.author_count],
            Authors::Cold => nodes[number],
            Authors::Random => nodes[rng.random_range(0..honest)],
        };
        let planned = |at: f64, author| Planned {
            at: Time::from_seconds(at),
            author,
        };
        let mut messages: Vec<Planned> = Vec::with_capacity(warm.len() + count);
        for (number, at) in warm.into_iter().chain(window).enumerate() {
            messages.push(planned(at, draw(number)));
        }
        Self {
            messages,
            measured_from: Time::from_seconds(measured),
        }
    }
}

/// Messages of the warm-up.
fn warming(scenario: &Scenario) -> usize {
    match scenario.authors {
        Authors::Warm => scenario.author_count * scenario.warm_messages,
        Authors::Cold | Authors::Random => 0,
    }
}

fn warming_s(scenario: &Scenario) -> f64 {
    warming(scenario) as f64 / scenario.rate
}

fn measured_from_s(scenario: &Scenario) -> f64 {
    match warming(scenario) {
        0 => scenario.publish_at_s,
        _ => scenario.publish_at_s + warming_s(scenario) + SETTLE_S,
    }
}

/// Checks the keys that say what is published.
///
/// # Errors
/// The first key out of range.
pub(in crate::sim) fn check(scenario: &Scenario) -> Result<(), ScenarioError> {
    let wrong = |key, problem: String| Err(ScenarioError { key, problem });
    let attack = scenario.adversary.is_on_messages();
    if scenario.payload == 0 {
        if attack {
            let problem = "this adversary attacks messages: set payload to their bytes".to_owned();
            return wrong("adversary", problem);
        }
        return Ok(());
    }
    if scenario.payload > MAX_PAYLOAD {
        let problem = format!("0 to {MAX_PAYLOAD} bytes, the most that a node publishes at once");
        return wrong("payload", problem);
    }
    if scenario.player != Player::Overlay {
        let problem = "0 where player is not overlay: the others publish nothing".to_owned();
        return wrong("payload", problem);
    }
    for (key, value, least, most) in [
        ("rate", scenario.rate, 0.01, 1e5),
        ("publish_at_s", scenario.publish_at_s, 0.0, 1e6),
        ("publish_for_s", scenario.publish_for_s, 0.01, 1e6),
    ] {
        if !(least..=most).contains(&value) {
            return wrong(key, format!("{least} to {most}"));
        }
    }
    let honest = scenario.nodes - scenario.hostile();
    let measured = scenario.rate * scenario.publish_for_s;
    match scenario.authors {
        Authors::Warm if !(1..=honest).contains(&scenario.author_count) => {
            let problem = format!("1 to {honest}, the honest nodes");
            return wrong("author_count", problem);
        }
        Authors::Cold if measured.round() > honest as f64 => {
            let problem = format!(
                "at most {:.2} here: cold authors publish once, and {honest} honest nodes are not enough for {measured} messages",
                honest as f64 / scenario.rate
            );
            return wrong("publish_for_s", problem);
        }
        _ => {}
    }
    let all = measured + scenario.author_count as f64 * scenario.warm_messages as f64;
    if !(1.0..=MAX_MESSAGES).contains(&measured.round()) || all > MAX_MESSAGES {
        let problem = format!("with rate, 1 to {MAX_MESSAGES} messages, the warm-up included");
        return wrong("publish_for_s", problem);
    }
    let least = measured_from_s(scenario) + scenario.publish_for_s + DRAIN_S;
    if scenario.duration_s < least {
        let problem = format!("at least {least}: {DRAIN_S} seconds after the last message");
        return wrong("duration_s", problem);
    }
    Ok(())
}

impl Adversary {
    /// Whether it attacks the spreading of messages and keeps to the rules of membership.
    #[must_use]
    pub const fn is_on_messages(self) -> bool {
        matches!(self, Self::Silent | Self::Bait | Self::Leech)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    fn scenario() -> Scenario {
        Scenario {
            nodes: 50,
            byzantine: 0.2,
            payload: 100,
            rate: 10.0,
            publish_at_s: 5.0,
            publish_for_s: 3.0,
            author_count: 4,
            warm_messages: 10,
            duration_s: 40.0,
            ..Scenario::default()
        }
    }

    fn wrong(change: impl FnOnce(&mut Scenario)) -> String {
        let mut scenario = scenario();
        change(&mut scenario);
        check(&scenario).expect_err("out of range").to_string()
    }

    #[test]
    fn warm_authors_have_published_before() {
        assert_eq!(check(&scenario()), Ok(()));
        let plan = Plan::new(&scenario(), 1);
        assert_eq!(plan.messages.len(), 40 + 30);
        assert_eq!(plan.measured_from, Time::from_seconds(5.0 + 4.0 + SETTLE_S));
        let (warm, measured): (Vec<&Planned>, Vec<&Planned>) = plan
            .messages
            .iter()
            .partition(|message| message.at < plan.measured_from);
        assert_eq!((warm.len(), measured.len()), (40, 30));
        assert!(plan.messages.is_sorted_by_key(|message| message.at));
        let mut count: BTreeMap<usize, usize> = BTreeMap::new();
        for message in warm {
            *count.entry(message.author).or_default() += 1;
        }
        assert_eq!(count.values().copied().collect::<Vec<_>>(), [10; 4]);
        assert!(
            measured
                .iter()
                .all(|message| count.contains_key(&message.author))
        );
        assert!(count.keys().all(|author| *author < 40), "honest ones only");
    }

    #[test]
    fn cold_authors_publish_once() {
        let mut scenario = scenario();
        scenario.authors = Authors::Cold;
        let plan = Plan::new(&scenario, 1);
        let authors: BTreeSet<usize> = plan.messages.iter().map(|it| it.author).collect();
        assert_eq!(authors.len(), 30);
        assert_eq!(plan.measured_from, Time::from_seconds(5.0));
        assert_ne!(Plan::new(&scenario, 2).messages, plan.messages);
    }

    #[test]
    fn what_is_out_of_range_is_named_with_what_would_do() {
        let text = wrong(|it| it.payload = MAX_PAYLOAD + 1);
        assert_eq!(
            text,
            format!("payload: 0 to {MAX_PAYLOAD} bytes, the most that a node publishes at once")
        );
        let text = wrong(|it| it.duration_s = 24.0);
        assert_eq!(
            text,
            "duration_s: at least 25: 10 seconds after the last message"
        );
        assert!(wrong(|it| it.author_count = 41).starts_with("author_count: 1 to 40"));
        let text = wrong(|it| {
            it.authors = Authors::Cold;
            it.rate = 20.0;
        });
        assert!(
            text.starts_with("publish_for_s: at most 2.00 here"),
            "{text}"
        );
        let text = wrong(|it| {
            it.payload = 0;
            it.adversary = Adversary::Bait;
        });
        assert!(text.starts_with("adversary: "), "{text}");
        assert!(wrong(|it| it.rate = 0.0).starts_with("rate: "));
        assert!(wrong(|it| it.player = Player::Cyclon).starts_with("payload: 0 where"));
        let text = wrong(|it| {
            it.publish_for_s = 1e6;
            it.duration_s = 1e7;
        });
        assert!(text.starts_with("publish_for_s: with rate"), "{text}");
    }
}
