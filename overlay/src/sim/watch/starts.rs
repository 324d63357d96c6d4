//! How nodes come in: what a start costs, how long a join takes, how soon a newcomer is known, and what the seeds bear.

use std::collections::BTreeMap;

use super::Moment;
use super::streams::is_dialable;
use crate::Overlay;
use crate::neighbors::{Link, Links};
use crate::sim::measure::stats;
use crate::sim::scenario::{Scenario, Start};
use crate::sim::world::{Host, World};

/// A newcomer that is not in half its fair number of memories yet.
#[derive(Clone, Copy, Debug)]
struct Unknown {
    host: usize,
    /// Seconds since its start and its fraction of the fair number, when last looked at.
    before: (f64, f64),
}

/// Who is on the way in, and how it went for those who are in. Newcomers are the honest nodes that were not there at the beginning.
#[derive(Debug, Default)]
pub(super) struct Starts {
    /// Hosts that have been met.
    met: usize,
    /// Honest hosts whose first fast start is not over.
    young: Vec<usize>,
    /// What others sent in theirs, bytes.
    fast: Vec<f64>,
    /// Newcomers without all their outbound links.
    joining: Vec<usize>,
    /// How long the others took, seconds.
    joined: Vec<f64>,
    unknown: Vec<Unknown>,
    /// How long until the others were in half their fair number of memories, seconds.
    known: Vec<f64>,
    /// What each seed had sent a second ago, bytes.
    sent: Vec<u64>,
    /// The most that a seed sent in a second since the last moment.
    burst: Option<u64>,
    /// The same of all moments.
    most: u64,
}

/// What a node needs to be in: as many outbound links as it is configured to keep (RF).
///
/// Two nodes share one link, so that in a small world, of fewer than 4 RF nodes, not everybody can have so many. There half of a node's part
/// of all pairs is enough, whoever dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    links: usize,
    inbound_too: bool,
}

impl Wanted {
    fn new(outbound: usize, dialable: usize) -> Self {
        let part = dialable.saturating_sub(1) / 4;
        Self {
            links: outbound.min(part.max(1)),
            inbound_too: part < outbound,
        }
    }

    /// In a world in which so many nodes can be dialled.
    pub(super) fn of(node: &Overlay, dialable: usize) -> Self {
        Self::new(node.rooms().config.neighbors.outbound, dialable)
    }

    /// The moments at which a host's neighbors that count became its neighbors, if there are enough of them; seconds.
    fn moments(self, host: &Host, links: &Links, world: &World) -> Option<Vec<f64>> {
        let (now, seconds) = (world.now().mono, world.time().seconds());
        let counted = mutual(host, links, world).filter(|link| link.outbound || self.inbound_too);
        let moments: Vec<f64> = counted
            .filter_map(|link| Some(now.saturating_duration_since(link.neighbor_since?)))
            .map(|age| seconds - age.as_secs_f64())
            .collect();
        (moments.len() >= self.links).then_some(moments)
    }

    /// Whether a host has enough links that both ends keep.
    pub(super) fn is_met(self, host: &Host, links: &Links, world: &World) -> bool {
        self.moments(host, links, world).is_some()
    }

    /// Since when a host has had enough links, as far as those that it has now can tell; `None` while it has not.
    fn met_at(self, host: &Host, links: &Links, world: &World) -> Option<f64> {
        let mut moments = self.moments(host, links, world)?;
        moments.sort_by(f64::total_cmp);
        moments.get(self.links - 1).copied()
    }
}

/// How many hosts can be dialled.
pub(super) fn dialable(world: &World) -> usize {
    world.hosts().filter(|host| is_dialable(host)).count()
}

/// The neighbors of a node that it reaches and that have it as a neighbor too; hostile ones are taken at their word.
pub(super) fn mutual<'a>(
    host: &'a Host,
    links: &'a Links,
    world: &'a World,
) -> impl Iterator<Item = &'a Link> {
    let me = host.id();
    let keeps = move |link: &Link| {
        let other = world.at(&link.addr).map(|index| world.host(index));
        let reached = other.filter(|other| world.connects(host.index(), other.index()));
        reached.is_some_and(|other| match other.node() {
            Some(node) => {
                let back = node.rooms().links.to_peer(&me);
                back.is_some_and(|(_, back)| back.is_neighbor())
            }
            None => other.player().is_some(),
        })
    };
    let neighbors = links.neighbors().map(|(_, link)| link);
    neighbors.filter(move |link| keeps(link))
}

/// The probability that a memory holds a node, if each of its slots is a fair draw from `others` nodes.
fn fair_chance(slots: usize, others: usize) -> f64 {
    1.0 - (1.0 - 1.0 / others.max(1) as f64).powi(i32::try_from(slots).unwrap_or(i32::MAX))
}

/// When a value that rises from `before` to `now` (each a moment and a value) crosses `level`.
fn crossing(before: (f64, f64), now: (f64, f64), level: f64) -> f64 {
    let (rise, span) = (now.1 - before.1, now.0 - before.0);
    if rise <= 0.0 {
        return now.0;
    }
    before.0 + span * ((level - before.1) / rise).clamp(0.0, 1.0)
}

impl Starts {
    /// A second has passed. Looks at nobody but seeds, and who is on the way in.
    pub(super) fn second(&mut self, world: &World, scenario: &Scenario) {
        for index in self.met..world.len() {
            if world.host(index).who().hostile {
                continue;
            }
            // Who starts warm has no fast start.
            if scenario.start == Start::Cold || index >= scenario.nodes {
                self.young.push(index);
            }
            if index >= scenario.nodes {
                self.joining.push(index);
                self.unknown.push(Unknown {
                    host: index,
                    before: (0.0, 0.0),
                });
            }
        }
        self.met = world.len();
        self.sent.resize(scenario.seeds, 0);
        for (index, sent) in self.sent.iter_mut().enumerate() {
            let now = world.host(index).traffic().out;
            self.burst = self.burst.max(Some(now - *sent));
            *sent = now;
        }
        self.young.retain(|index| {
            let host = world.host(*index);
            if is_yet_to_start(host) {
                return true;
            }
            let Some(node) = host.node().filter(|_| host.starts() == 1) else {
                return false;
            };
            let young = node.rooms().sampling.is_young();
            if !young {
                self.fast.push(host.traffic().out as f64);
            }
            young
        });
        if self.joining.is_empty() {
            return;
        }
        let dialable = dialable(world);
        self.joining.retain(|index| {
            let host = world.host(*index);
            let Some(node) = host.node() else {
                return is_yet_to_start(host);
            };
            let wanted = Wanted::of(node, dialable);
            let Some(at) = wanted.met_at(host, node.rooms().links, world) else {
                return true;
            };
            self.joined
                .push((at - host.started_at().seconds()).max(0.0));
            false
        });
    }

    /// How well newcomers are known, where honest nodes' memories hold each host so often.
    pub(super) fn known(
        &mut self,
        world: &World,
        scenario: &Scenario,
        in_degrees: &[u64],
        moment: &mut Moment,
    ) {
        if world.len() == scenario.nodes {
            return;
        }
        let others = dialable(world).saturating_sub(1);
        let chance = |node: &Overlay| fair_chance(node.rooms().view.memory().slots(), others);
        let honest = world.hosts().filter(|host| host.is_honest());
        let fair: f64 = honest.filter_map(Host::node).map(chance).sum();
        if fair <= 0.0 {
            return;
        }
        let known = |index: usize| in_degrees[index] as f64 / fair;
        let newcomers = (scenario.nodes..world.len()).filter(|index| {
            let host = world.host(*index);
            host.is_honest() && is_dialable(host)
        });
        let all: Vec<f64> = newcomers.map(known).collect();
        if let Some(mean) = stats::mean(&all) {
            moment.values.insert("known", mean);
        }
        let seconds = world.time().seconds();
        let done = &mut self.known;
        self.unknown.retain_mut(|newcomer| {
            let host = world.host(newcomer.host);
            if is_yet_to_start(host) {
                return true;
            }
            if host.starts() > 1 || !is_dialable(host) {
                return false;
            }
            let now = (seconds - host.started_at().seconds(), known(newcomer.host));
            let before = std::mem::replace(&mut newcomer.before, now);
            if now.1 >= 0.5 {
                done.push(crossing(before, now, 0.5));
            }
            now.1 < 0.5
        });
    }

    /// What a seed sent in its worst second since the last moment.
    pub(super) fn seeds(&mut self, moment: &mut Moment) {
        if let Some(most) = self.burst.take() {
            self.most = self.most.max(most);
            moment.values.insert("seed_bytes_per_sec_max", most as f64);
        }
    }

    /// The figures of the whole run. Who has not come in has taken until now.
    pub(super) fn figures(&self, world: &World) -> BTreeMap<&'static str, f64> {
        let mut figures = BTreeMap::new();
        let now = world.time().seconds();
        let waited = |index: usize| {
            let host = world.host(index);
            (host.starts() == 1 && host.player().is_some())
                .then(|| now - host.started_at().seconds())
        };
        let waiting = self.joining.iter().filter_map(|index| waited(*index));
        let joins: Vec<f64> = self.joined.iter().copied().chain(waiting).collect();
        let waiting = self.unknown.iter().filter_map(|one| waited(one.host));
        let known: Vec<f64> = self.known.iter().copied().chain(waiting).collect();
        let most = joins.iter().copied().max_by(f64::total_cmp);
        for (name, value) in [
            ("fast_start_bytes", stats::mean(&self.fast)),
            ("join_seconds", stats::mean(&joins)),
            ("join_seconds_max", most),
            ("known_half_seconds", stats::mean(&known)),
            (
                "seed_bytes_per_sec_max",
                (self.most > 0).then_some(self.most as f64),
            ),
        ] {
            figures.extend(value.map(|value| (name, value)));
        }
        figures
    }
}

fn is_yet_to_start(host: &Host) -> bool {
    host.starts() == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::scenario::{Event, Happening};
    use crate::sim::{Outcome, run};

    #[test]
    fn in_a_small_world_half_of_the_pairs_are_enough() {
        let wanted = |links, inbound_too| Wanted { links, inbound_too };
        assert_eq!(Wanted::new(10, 1000), wanted(10, false));
        assert_eq!(Wanted::new(10, 41), wanted(10, false));
        assert_eq!(Wanted::new(10, 40), wanted(9, true));
        assert_eq!(Wanted::new(10, 9), wanted(2, true));
        assert_eq!(Wanted::new(10, 1), wanted(1, true));
    }

    #[test]
    fn a_level_is_crossed_between_two_looks() {
        assert_eq!(crossing((10.0, 0.25), (20.0, 0.75), 0.5), 15.0);
        assert_eq!(crossing((10.0, 0.5), (20.0, 0.75), 0.5), 10.0);
        assert_eq!(crossing((10.0, 0.6), (20.0, 0.6), 0.5), 20.0);
    }

    #[test]
    fn fair_slots_hold_what_independent_draws_hold() {
        assert_eq!(fair_chance(1, 4), 0.25);
        assert_eq!(fair_chance(2, 4), 0.4375);
        assert_eq!(fair_chance(5, 1), 1.0);
        assert!((fair_chance(256, 1000) - 0.226).abs() < 0.001);
    }

    /// Twelve nodes, and six that join them over three seconds at the thirtieth.
    fn joined_for(seconds: f64) -> Outcome {
        let nodes = 6;
        let scenario = Scenario {
            nodes: 12,
            slots: 8,
            seeds: 2,
            join_s: 2.0,
            duration_s: 30.0 + seconds,
            measure_every_s: 2.0,
            events: vec![Event {
                at_s: 30.0,
                what: Happening::Join { nodes, over_s: 3.0 },
            }],
            ..Scenario::default()
        };
        run(&scenario, 1, 1, &mut |_| {}).unwrap()
    }

    #[test]
    fn newcomers_come_in_and_become_known() {
        let outcome = joined_for(90.0);
        let figure = |name: &str| outcome.metrics[name];
        // A handshake, a question and a few more handshakes, none above a second.
        let (mean, most) = (figure("join_seconds"), figure("join_seconds_max"));
        assert!((0.1..10.0).contains(&mean) && mean <= most, "{mean} {most}");
        assert!(most < 20.0, "{most}");
        assert_eq!(figure("joined"), 18.0);
        let half = figure("known_half_seconds");
        assert!((0.1..60.0).contains(&half), "{half}");
        let curve = &outcome.series["known"];
        assert!(curve[0].0 >= 30.0 && curve[0].1 < 0.5, "{curve:?}");
        assert!((0.6..1.4).contains(&figure("known")), "{curve:?}");
    }

    #[test]
    fn who_is_not_in_yet_has_taken_until_now() {
        let outcome = joined_for(3.1);
        let most = outcome.metrics["join_seconds_max"];
        let half = outcome.metrics["known_half_seconds"];
        assert!((0.1..=3.1).contains(&most), "{most}");
        assert!((0.1..=3.1).contains(&half), "{half}");
    }

    #[test]
    fn a_start_costs_more_than_staying_and_seeds_bear_most_of_it() {
        let outcome = joined_for(90.0);
        let start = outcome.metrics["fast_start_bytes"];
        let stay = outcome.metrics["bytes_out_per_node_per_sec"];
        // Six handshakes at least, and not what it sends in the whole run.
        assert!(start > 6.0 * 2_000.0, "{start}");
        let all = &outcome.series["bytes_out_per_node_per_sec"];
        let all: f64 = all.iter().map(|(_, rate)| 2.0 * rate).sum();
        assert!(start < all, "{start} of {all}");
        // A second of a seed while all ask it, against one of any node later.
        assert!(outcome.metrics["seed_bytes_per_sec_max"] > 3.0 * stay);
        let curve = &outcome.series["seed_bytes_per_sec_max"];
        let most = curve.iter().map(|(_, most)| *most).fold(0.0, f64::max);
        assert_eq!(outcome.metrics["seed_bytes_per_sec_max"], most);
    }

    #[test]
    fn a_world_without_newcomers_says_nothing_of_joins() {
        let scenario = Scenario {
            nodes: 6,
            duration_s: 20.0,
            measure_every_s: 5.0,
            ..Scenario::default()
        };
        let outcome = run(&scenario, 1, 1, &mut |_| {}).unwrap();
        for name in ["join_seconds", "join_seconds_max", "known_half_seconds"] {
            assert!(!outcome.metrics.contains_key(name), "{name}");
        }
        assert!(!outcome.series.contains_key("known"));
        assert!(outcome.metrics["fast_start_bytes"] > 0.0);
        let warm = Scenario {
            start: Start::Warm,
            ..scenario
        };
        let outcome = run(&warm, 1, 1, &mut |_| {}).unwrap();
        assert!(!outcome.metrics.contains_key("fast_start_bytes"));
    }
}
