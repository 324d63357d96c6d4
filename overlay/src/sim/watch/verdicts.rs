//! How well nodes know who of their neighbors is alive: how soon the dead are given up, and how often the living are.

use std::collections::BTreeMap;

use crypto::PeerId;

use crate::sim::world::{Host, Time, Verdict, Word, World};

/// The normal quantile of a one-sided bound of 95 %.
const NORMAL_95: f64 = 1.645;

/// What came of all verdicts so far.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    /// From the death of each neighbor to the end of the link, seconds.
    noticed: Vec<f64>,
    /// Living neighbors that were given up: by nodes that were never at fault, and by those that were.
    failed: [u64; 2],
    /// Living neighbors that were suspected, likewise.
    suspected: [u64; 2],
    /// Neighbors at fault that nodes without fault gave up.
    failed_faulty: u64,
    /// When a node without fault began to suspect a living neighbor without fault.
    since: BTreeMap<(u32, PeerId), Time>,
    /// How long such suspicions lasted that ended well, seconds in all, and how many those were.
    lasted: (f64, u64),
    /// Hours that nodes without fault observed their neighbors.
    hours: f64,
    last: Time,
}

fn dead_since(host: &Host, at: Time) -> Option<Time> {
    let died = host.died_at().filter(|died| *died <= at)?;
    let again = host.player().is_some() && host.started_at() > died && host.started_at() <= at;
    (!again).then_some(died)
}

impl Verdicts {
    /// Takes in what was said since the last moment.
    pub(super) fn moment(&mut self, world: &mut World, ids: &BTreeMap<PeerId, usize>) {
        for index in 0..world.len() {
            for verdict in world.take_verdicts(index) {
                let Some(other) = ids.get(&verdict.peer).copied() else {
                    continue;
                };
                let pair = [index, other].map(|host| u32::try_from(host).unwrap_or(u32::MAX));
                // Nobody is wrong about whom it cannot reach. (A split that came or went in the meantime counts as it is now.)
                if world.connects(pair[0], pair[1]) || verdict.word == Word::Down {
                    self.judge(&verdict, world.host(index), world.host(other));
                }
            }
        }
        let span = (world.time().seconds() - self.last.seconds()) / 3600.0;
        let observers = world
            .hosts()
            .filter(|host| host.is_honest() && host.node().is_some() && !host.was_faulty());
        self.hours += observers.count() as f64 * span;
        self.last = world.time();
    }

    fn judge(&mut self, verdict: &Verdict, observer: &Host, other: &Host) {
        let (at, whom) = (verdict.at, (observer.index(), verdict.peer));
        if let Some(died) = dead_since(other, at) {
            if verdict.word == Word::Down {
                self.noticed.push(at.seconds() - died.seconds());
            }
            return;
        }
        // A hostile neighbor may answer or not.
        if other.who().hostile {
            return;
        }
        let by = usize::from(observer.was_faulty());
        if other.was_faulty() {
            self.failed_faulty += u64::from(verdict.word == Word::Failed && by == 0);
            return;
        }
        match verdict.word {
            Word::Suspected => {
                self.suspected[by] += 1;
                if by == 0 {
                    self.since.insert(whom, at);
                }
            }
            Word::Recovered => {
                if let Some(since) = self.since.remove(&whom) {
                    self.lasted.0 += at.seconds() - since.seconds();
                    self.lasted.1 += 1;
                }
            }
            Word::Failed => self.failed[by] += 1,
            Word::Down => {
                self.since.remove(&whom);
            }
        }
    }

    /// The figures at the end. Dead neighbors that nobody has noticed count with the time until now.
    pub(super) fn figures(
        mut self,
        world: &World,
        ids: &BTreeMap<PeerId, usize>,
    ) -> Vec<(&'static str, f64)> {
        for host in world.hosts().filter(|host| host.is_honest()) {
            let Some(node) = host.node() else { continue };
            for (_, link) in node.rooms().links.neighbors() {
                let other = ids.get(&link.peer).map(|index| world.host(*index));
                if let Some(died) = other.and_then(|other| dead_since(other, world.time())) {
                    self.noticed.push(world.time().seconds() - died.seconds());
                }
            }
        }
        let mut figures = Vec::new();
        if !self.noticed.is_empty() {
            self.noticed.sort_by(f64::total_cmp);
            let count = self.noticed.len();
            let mean = self.noticed.iter().sum::<f64>() / count as f64;
            let p99 = self.noticed[(count * 99).div_ceil(100) - 1];
            figures.push(("noticed_mean_s", mean));
            figures.push(("noticed_p99_s", p99));
            figures.push(("noticed", count as f64));
        }
        if self.hours > 0.0 {
            let per = |count: f64| count / self.hours;
            let failed = self.failed[0] as f64;
            figures.push(("observer_hours", self.hours));
            figures.push(("false_failed", failed));
            figures.push(("false_failed_per_1000h", per(failed) * 1000.0));
            figures.push((
                "false_failed_per_1000h_upper",
                per(upper_95(self.failed[0])) * 1000.0,
            ));
            figures.push(("false_failed_by_faulty", self.failed[1] as f64));
            figures.push(("false_suspected_per_h", per(self.suspected[0] as f64)));
            figures.push(("false_suspected_by_faulty", self.suspected[1] as f64));
            figures.push(("failed_faulty", self.failed_faulty as f64));
            let (seconds, times) = self.lasted;
            figures.push(("mistake_s", seconds / (times.max(1)) as f64));
        }
        figures
    }
}

/// The upper end of a one-sided 95 % interval of a Poisson mean of which so many events were seen (Wilson and Hilferty's approximation of
/// the chi-square quantile; the exact value for none, 3.00, is 2.2 % below it).
fn upper_95(events: u64) -> f64 {
    let next = events as f64 + 1.0;
    let root = 1.0 - 1.0 / (9.0 * next) + NORMAL_95 / (3.0 * next.sqrt());
    next * root.powi(3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::Outcome;
    use crate::sim::run;
    use crate::sim::scenario::{Adversary, Event, Happening, Scenario};

    fn watched(change: impl FnOnce(&mut Scenario)) -> Outcome {
        let mut scenario = Scenario {
            nodes: 24,
            duration_s: 90.0,
            measure_every_s: 5.0,
            join_s: 2.0,
            ..Scenario::default()
        };
        change(&mut scenario);
        run(&scenario, 1, 1, &mut |_| {}).unwrap()
    }

    fn happens(what: Happening) -> Vec<Event> {
        vec![Event { at_s: 60.0, what }]
    }

    #[test]
    fn the_bound_is_that_of_the_tables() {
        // Upper 95 % limits of a Poisson mean (Garwood 1936).
        for (events, limit) in [(0, 3.00), (1, 4.74), (5, 10.51), (20, 29.06)] {
            let off = (upper_95(events) - limit).abs() / limit;
            assert!(off < 0.025, "{events}: {}", upper_95(events));
        }
    }

    #[test]
    fn the_dead_are_noticed_and_nobody_else() {
        let crash = happens(Happening::Crash { fraction: 0.25 });
        let outcome = watched(|scenario| scenario.events = crash);
        let figure = |name: &str| outcome.metrics[name];
        assert!(figure("noticed") > 30.0);
        assert!(
            figure("noticed_mean_s") < 4.5,
            "{}",
            figure("noticed_mean_s")
        );
        assert!(figure("noticed_p99_s") < 10.0);
        assert_eq!(figure("false_failed"), 0.0);
        let hours = figure("observer_hours");
        // 24 nodes for a minute and 18 for half of one.
        assert!((hours - (24.0 + 9.0) / 60.0).abs() < 0.02, "{hours}");
    }

    #[test]
    fn whoever_loses_most_of_what_it_sends_is_given_up_and_gives_up_nobody() {
        let lossy = happens(Happening::Lossy {
            fraction: 0.2,
            loss: 0.99,
        });
        let outcome = watched(|scenario| scenario.events = lossy);
        assert!(outcome.metrics["failed_faulty"] > 5.0);
        assert_eq!(outcome.metrics["false_failed"], 0.0);
        assert_eq!(outcome.metrics["false_failed_by_faulty"], 0.0);
    }

    #[test]
    fn lies_about_the_living_and_the_dead_change_nothing() {
        let outcome = watched(|scenario| {
            scenario.nodes = 32;
            scenario.byzantine = 0.3;
            scenario.adversary = Adversary::Accuse;
            // Later than the four minutes in which a node takes any loss for much.
            scenario.duration_s = 320.0;
            scenario.events = vec![Event {
                at_s: 290.0,
                what: Happening::Crash { fraction: 0.25 },
            }];
        });
        assert!(outcome.metrics["noticed"] > 20.0);
        assert!(outcome.metrics["noticed_p99_s"] < 2.0 * 5.6);
        assert_eq!(outcome.metrics["false_failed"], 0.0);
        let alibis = outcome.counters["detector.alibis"];
        assert!(alibis > 0.0, "some helpers were liars");
        assert!(outcome.counters["detector.looks_taken"] > 0.0);
    }
}
