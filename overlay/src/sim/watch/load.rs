//! What nodes have to do: exchanges, dials, and what they turn away.

use super::{Moment, Watch};
use crate::sim::world::{Host, Player, World};
use crate::stats::Stats;

/// What a node has done since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Work {
    starts: u32,
    /// Exchanges that it began.
    begun: u64,
    /// Of these, answered ones.
    answered: u64,
    /// Calls of others that it answered with a list.
    served: u64,
    /// Calls and connections of others that it refused because a limit was reached.
    turned_away: u64,
    dials: u64,
    /// Dials that nothing answered.
    in_vain: u64,
}

impl Work {
    fn of(host: &Host) -> Self {
        let own = match host.player() {
            Some(Player::Node(node)) => Self::counted(node.stats()),
            Some(other) => Self {
                answered: other.answered(),
                ..Self::default()
            },
            None => Self::default(),
        };
        Self {
            starts: host.starts(),
            ..own
        }
    }

    fn counted(stats: &Stats) -> Self {
        let (sampling, neighbors) = (&stats.sampling, &stats.neighbors);
        Self {
            starts: 0,
            begun: sampling.exchanges,
            answered: sampling.answered,
            served: sampling.calls,
            turned_away: sampling.calls_refused
                + neighbors.refused_full
                + neighbors.refused_early
                + stats.conduct.over_rate_exchange,
            dials: stats.peers.dials,
            in_vain: stats.peers.dials_dead,
        }
    }

    /// What was done since `before`. A node that starts anew counts anew.
    fn since(self, before: Self) -> Self {
        if self.starts != before.starts {
            return self;
        }
        Self {
            starts: self.starts,
            begun: self.begun.saturating_sub(before.begun),
            answered: self.answered.saturating_sub(before.answered),
            served: self.served.saturating_sub(before.served),
            turned_away: self.turned_away.saturating_sub(before.turned_away),
            dials: self.dials.saturating_sub(before.dials),
            in_vain: self.in_vain.saturating_sub(before.in_vain),
        }
    }

    /// Whether more than one in a hundred who came were turned away.
    const fn is_overloaded(self) -> bool {
        100 * self.turned_away > self.served + self.turned_away
    }
}

/// What all hosts had done at two moments.
#[derive(Debug, Default)]
pub(super) struct Load {
    last: Vec<Work>,
    /// At the first moment after a quarter of the run; nobody is judged by how it bore the beginning.
    settled: Option<Vec<Work>>,
}

impl Watch {
    /// What honest nodes did since the last moment; `done` is the part of the run that is over.
    pub(super) fn work(&mut self, world: &World, seconds: f64, done: f64, moment: &mut Moment) {
        let span = (seconds - self.last_s).max(1e-9);
        let load = &mut self.load;
        load.last.resize(world.len(), Work::default());
        let mut all = Work::default();
        let (mut honest, mut nodes, mut overloaded, mut most) = (0_u32, 0_u32, 0_u32, 0);
        for host in world.hosts().filter(|host| !host.who().hostile) {
            let index = host.index() as usize;
            let now = Work::of(host);
            let did = now.since(std::mem::replace(&mut load.last[index], now));
            all.begun += did.begun;
            all.answered += did.answered;
            all.dials += did.dials;
            all.in_vain += did.in_vain;
            honest += u32::from(host.is_honest());
            if host.node().is_some() {
                nodes += 1;
                most = most.max(did.begun + did.served);
                let settled = load.settled.as_ref();
                let before = settled.map(|then| then.get(index).copied().unwrap_or_default());
                let burdened = before.is_some_and(|before| now.since(before).is_overloaded());
                overloaded += u32::from(burdened);
            }
        }
        let mean = |count: u64| count as f64 / f64::from(honest.max(1)) / span;
        let values = &mut moment.values;
        values.insert("answered_per_sec", mean(all.answered));
        if nodes > 0 {
            values.insert("exchanges_per_sec", mean(all.begun));
            values.insert("exchanges_per_sec_max", most as f64 / span);
            values.insert("dials_per_sec", mean(all.dials));
            values.insert("dials_in_vain_per_sec", mean(all.in_vain));
        }
        if load.settled.is_some() {
            values.insert("overloaded", overloaded.into());
        } else if done >= 0.25 {
            load.settled = Some(load.last.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::run;
    use crate::sim::scenario::{Adversary, Event, Happening, Scenario};

    #[test]
    fn work_is_what_was_added_and_a_new_start_counts_anew() {
        let before = Work {
            starts: 1,
            begun: 10,
            served: 7,
            ..Work::default()
        };
        let now = Work {
            begun: 14,
            served: 9,
            turned_away: 1,
            ..before
        };
        let did = now.since(before);
        assert_eq!((did.begun, did.served, did.turned_away), (4, 2, 1));
        let again = Work {
            starts: 2,
            begun: 3,
            ..Work::default()
        };
        assert_eq!(again.since(now), again);
    }

    #[test]
    fn more_than_one_in_a_hundred_is_too_many() {
        let work = |served, turned_away| Work {
            served,
            turned_away,
            ..Work::default()
        };
        assert!(!work(0, 0).is_overloaded());
        assert!(!work(99, 1).is_overloaded());
        assert!(work(98, 1).is_overloaded());
        assert!(work(0, 1).is_overloaded());
    }

    #[test]
    fn every_reason_to_turn_somebody_away_counts() {
        let mut stats = Stats::default();
        stats.sampling.calls_refused = 1;
        stats.neighbors.refused_full = 2;
        stats.neighbors.refused_early = 4;
        stats.conduct.over_rate_exchange = 8;
        stats.sampling.exchanges = 16;
        stats.sampling.calls = 32;
        let work = Work::counted(&stats);
        assert_eq!((work.turned_away, work.begun, work.served), (15, 16, 32));
    }

    fn world() -> Scenario {
        Scenario {
            nodes: 16,
            duration_s: 120.0,
            measure_every_s: 20.0,
            join_s: 2.0,
            period_s: 2.0,
            ..Scenario::default()
        }
    }

    #[test]
    fn nodes_do_what_their_period_says_and_bear_it() {
        let outcome = run(&world(), 1, 1, &mut |_| {}).unwrap();
        let mean = outcome.metrics["exchanges_per_sec"];
        assert!((0.45..0.55).contains(&mean), "one in two seconds: {mean}");
        // It calls as often as it is called, on average; the busiest somewhat more.
        let most = outcome.metrics["exchanges_per_sec_max"];
        assert!((2.0 * mean..4.0 * mean).contains(&most), "{most}");
        assert!(outcome.metrics["dials_per_sec"] > 0.0);
        assert_eq!(outcome.metrics["overloaded"], 0.0);
    }

    /// Nobody is dialled who said goodbye, but by those whom the word has not reached yet; who just stops is dialled by everybody who knew it.
    #[test]
    fn a_goodbye_saves_others_dials_in_vain() {
        let in_vain = |what: Happening| {
            let scenario = Scenario {
                nodes: 40,
                duration_s: 300.0,
                period_s: 0.0,
                events: vec![Event { at_s: 60.0, what }],
                ..world()
            };
            let outcome = run(&scenario, 1, 1, &mut |_| {}).unwrap();
            outcome.counters["peers.dials_dead"]
        };
        let crashed = in_vain(Happening::Crash { fraction: 0.25 });
        let left = in_vain(Happening::Leave { fraction: 0.25 });
        assert!(
            crashed > 5.0 && left < crashed / 10.0,
            "{left} of {crashed}"
        );
    }

    #[test]
    fn who_is_flooded_turns_callers_away() {
        let scenario = Scenario {
            byzantine: 0.25,
            adversary: Adversary::Flood,
            force: 300.0,
            ..world()
        };
        let outcome = run(&scenario, 1, 1, &mut |_| {}).unwrap();
        assert_eq!(outcome.metrics["overloaded"], 12.0, "all honest nodes");
    }
}
