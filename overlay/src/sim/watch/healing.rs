//! After the last fault: until it was noticed, and until those who were left had their links again.

use super::starts::{Wanted, dialable, mutual};
use super::{join, root};
use crate::neighbors::Link;
use crate::sim::scenario::{Event, Happening, Scenario};
use crate::sim::world::{Host, World};

/// How far the network is after the last fault. Looked at once a second.
#[derive(Debug, Default)]
pub(super) struct Healing {
    /// Honest nodes that were up right after the fault and have not had all their outbound links since; `None` until then.
    short: Option<Vec<usize>>,
    /// Seconds from the fault until no link led to somebody who was gone.
    noticed: Option<f64>,
    /// Seconds from then until nobody was short of links and all hung together.
    healed: Option<f64>,
}

/// When the last thing was over that is not a join.
fn last_fault(scenario: &Scenario) -> Option<f64> {
    let faults = scenario
        .events
        .iter()
        .filter(|event| !matches!(event.what, Happening::Join { .. }));
    faults.map(Event::over_at_s).max_by(f64::total_cmp)
}

/// Neighbors that honest nodes still count and who are gone: they are down, have started anew since, or cannot be reached.
pub(super) fn dead_links(world: &World) -> u32 {
    let now = world.now().mono;
    let gone = |host: &Host, link: &Link| {
        let other = world.at(&link.addr).map(|index| world.host(index));
        other.is_none_or(|other| {
            let age = now.saturating_duration_since(link.since);
            other.player().is_none()
                || other.started_at().after(age) > world.time()
                || !world.connects(host.index(), other.index())
        })
    };
    let mut count = 0;
    for host in world.hosts().filter(|host| host.is_honest()) {
        let Some(node) = host.node() else { continue };
        let neighbors = node.rooms().links.neighbors();
        count += neighbors.filter(|(_, link)| gone(host, link)).count() as u32;
    }
    count
}

/// Whether all honest nodes hang together over links that both ends keep.
fn is_whole(world: &World) -> bool {
    let mut parent: Vec<usize> = (0..world.len()).collect();
    let up: Vec<usize> = world
        .hosts()
        .filter(|host| host.is_honest())
        .map(|host| host.index() as usize)
        .collect();
    for index in &up {
        let host = world.host(*index);
        let Some(node) = host.node() else { continue };
        for link in mutual(host, node.rooms().links, world) {
            if let Some(other) = world.at(&link.addr)
                && world.host(other).is_honest()
            {
                join(&mut parent, *index, other);
            }
        }
    }
    let roots: Vec<usize> = up.iter().map(|index| root(&mut parent, *index)).collect();
    roots.windows(2).all(|pair| pair[0] == pair[1])
}

impl Healing {
    /// A second has passed.
    pub(super) fn second(&mut self, world: &World, scenario: &Scenario) {
        let Some(fault) = last_fault(scenario) else {
            return;
        };
        let seconds = world.time().seconds();
        if seconds <= fault || self.healed.is_some() {
            return;
        }
        let short = self.short.get_or_insert_with(|| {
            let honest = world.hosts().filter(|host| host.node().is_some());
            let honest = honest.filter(|host| !host.who().hostile);
            honest.map(|host| host.index() as usize).collect()
        });
        let dialable = dialable(world);
        short.retain(|index| {
            let host = world.host(*index);
            host.node().is_some_and(|node| {
                !Wanted::of(node, dialable).is_met(host, node.rooms().links, world)
            })
        });
        if self.noticed.is_none() && dead_links(world) == 0 {
            self.noticed = Some(seconds - fault);
        }
        if let Some(noticed) = self.noticed
            && short.is_empty()
            && is_whole(world)
        {
            self.healed = Some(seconds - fault - noticed);
        }
    }

    /// Seconds until the last fault was noticed, and from then until it was mended; the rest of the run where that never was. `None` where
    /// there was no fault.
    pub(super) fn figures(&self, world: &World, scenario: &Scenario) -> Option<(f64, f64)> {
        let rest = world.time().seconds() - last_fault(scenario)?;
        // What has no links (a protocol for comparison) does not heal.
        self.short.as_ref().filter(|_| {
            let mut honest = world.hosts().filter(|host| host.is_honest());
            honest.any(|host| host.node().is_some())
        })?;
        // What was not even noticed is not mended either.
        let unhealed = rest - self.noticed.unwrap_or(0.0);
        Some((
            self.noticed.unwrap_or(rest),
            self.healed.unwrap_or(unhealed),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::{Outcome, run};

    fn crashed(duration_s: f64, events: Vec<Event>) -> Outcome {
        let scenario = Scenario {
            nodes: 24,
            duration_s,
            measure_every_s: 5.0,
            join_s: 2.0,
            events,
            ..Scenario::default()
        };
        run(&scenario, 1, 1, &mut |_| {}).unwrap()
    }

    #[test]
    fn who_stood_still_is_waited_for_from_when_it_wakes() {
        let asleep = Happening::Stall {
            fraction: 0.25,
            for_s: 60.0,
        };
        let outcome = crashed(150.0, vec![event(30.0, asleep.clone())]);
        let took = outcome.metrics["detect_seconds"] + outcome.metrics["heal_seconds"];
        assert!((1.0..45.0).contains(&took), "{took}");
        // It has not ended when the world does.
        let outcome = crashed(60.0, vec![event(30.0, asleep)]);
        assert!(!outcome.metrics.contains_key("heal_seconds"));
    }

    fn event(at_s: f64, what: Happening) -> Event {
        Event { at_s, what }
    }

    #[test]
    fn a_crash_is_noticed_and_then_mended() {
        let events = vec![event(30.0, Happening::Crash { fraction: 0.5 })];
        let outcome = crashed(150.0, events.clone());
        // Nobody tells: whoever answers no probe is given up.
        let noticed = outcome.metrics["detect_seconds"];
        assert!((5.0..=12.0).contains(&noticed), "{noticed}");
        let healed = outcome.metrics["heal_seconds"];
        assert!(healed < 60.0, "{healed}");
        assert_eq!(outcome.metrics["dead_links"], 0.0);
        // The run ends before anybody can have noticed.
        let outcome = crashed(33.0, events);
        assert_eq!(outcome.metrics["detect_seconds"], 3.0);
        assert_eq!(outcome.metrics["heal_seconds"], 3.0);
        assert!(outcome.metrics["dead_links"] > 20.0);
    }

    #[test]
    fn a_split_network_is_not_whole_until_it_is_one() {
        let groups = vec![0.5, 0.5];
        let split = |end: f64| {
            let one_way = false;
            let part = Happening::Partition {
                groups: groups.clone(),
                one_way,
            };
            vec![event(20.0, part), event(end, Happening::Heal)]
        };
        let outcome = crashed(300.0, split(100.0));
        assert_eq!(outcome.metrics["detect_seconds"], 1.0, "nobody is gone");
        let healed = outcome.metrics["heal_seconds"];
        assert!(healed < 180.0, "{healed}");
        // With the parting as the last event, it never is.
        let mut events = split(100.0);
        events.pop();
        let outcome = crashed(100.0, events);
        let noticed = outcome.metrics["detect_seconds"];
        assert!((5.0..=12.0).contains(&noticed), "{noticed}");
        assert_eq!(outcome.metrics["heal_seconds"], 80.0 - noticed);
    }

    #[test]
    fn without_faults_there_is_nothing_to_heal() {
        let join = Happening::Join {
            nodes: 1,
            over_s: 0.0,
        };
        let outcome = crashed(30.0, vec![event(10.0, join)]);
        assert!(!outcome.metrics.contains_key("heal_seconds"));
        assert!(!outcome.metrics.contains_key("detect_seconds"));
    }
}
