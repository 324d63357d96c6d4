//! The samples that nodes give out: whom they name, how evenly, and whether a stream remembers what it named before.

use std::collections::BTreeMap;

use super::{Moment, Watch, views};
use crate::config::AddressPreset;
use crate::peers::{Group, Prefix};
use crate::sim::measure::{fit, samples, stats};
use crate::sim::scenario::{Addresses, Scenario};
use crate::sim::world::{Host, Player, World};

/// Figures by name.
type Figures = BTreeMap<&'static str, f64>;

/// Whom a sample may name: it is up and can be dialled.
pub(super) fn is_dialable(host: &Host) -> bool {
    host.player().is_some() && !host.who().undialable
}

impl Watch {
    /// Takes the samples given out since the last moment.
    pub(super) fn emitted(&mut self, world: &mut World, done: f64, moment: &mut Moment) {
        self.streams.resize(world.len(), Vec::new());
        let (mut all, mut bad) = (0, 0);
        for index in 0..world.len() {
            if world.host(index).who().hostile {
                continue;
            }
            let samples = match world.player_mut(index) {
                Some(Player::Node(node)) => node.take_emitted(),
                Some(other) => views::draw(&other.view(), &mut self.draws),
                None => continue,
            };
            for peer in samples {
                all += 1;
                let other = self.ids.get(&peer).map(|index| world.host(*index));
                bad += u64::from(other.is_none_or(|other| other.who().hostile));
                if let Some(other) = other.filter(|_| done > 0.25) {
                    self.streams[index].push(other.index());
                }
            }
        }
        if done >= 0.75 {
            self.samples.0 += all;
            self.samples.1 += bad;
        }
        if all > 0 {
            moment.values.insert("out", bad as f64 / all as f64);
        }
    }

    /// How even the samples of all nodes together are over the nodes that can be dialled, how their memories are spread, and what a
    /// stream remembers.
    pub(super) fn evenness(&self, world: &World, scenario: &Scenario) -> Figures {
        let bins: Vec<usize> = world
            .hosts()
            .filter(|host| is_dialable(host))
            .map(|host| host.index() as usize)
            .collect();
        let mut counts = vec![0_u64; world.len()];
        for peer in self.streams.iter().flatten() {
            counts[*peer as usize] += 1;
        }
        let mut figures = Figures::new();
        let observed: Vec<u64> = bins.iter().map(|index| counts[*index]).collect();
        // Below five expected a bin the statistic means little.
        if observed.iter().sum::<u64>() >= 5 * observed.len() as u64
            && let Some(fit) = fit::chi_square_uniform(&observed)
        {
            figures.insert("chi_square_p", fit.p);
        }
        if scenario.addresses != Addresses::Local {
            let prefix = |index: &usize| {
                let addr = world.host(*index).who().addr;
                Group::of(addr.ip(), AddressPreset::Wan).widest
            };
            let prefixes: Vec<Prefix> = bins.iter().map(prefix).collect();
            figures.extend(groups(&observed, &prefixes));
        }
        figures.extend(memory(&self.streams, &counts));
        figures.extend(self.in_degrees(world, &bins));
        figures
    }

    /// How evenly the nodes of `bins` are held by memories.
    fn in_degrees(&self, world: &World, bins: &[usize]) -> Figures {
        let mut degrees = vec![0.0; world.len()];
        let mut nodes = 0.0;
        for host in world.hosts().filter(|host| host.is_honest()) {
            nodes += 1.0;
            for known in host.player().map(Player::view).unwrap_or_default() {
                if let Some(other) = self.ids.get(&known.peer) {
                    degrees[*other] += 1.0;
                }
            }
        }
        let members: f64 = degrees.iter().sum();
        let of: Vec<f64> = bins.iter().map(|index| degrees[*index]).collect();
        spread(&of, members, nodes)
    }
}

/// The in-degrees `of` the nodes that can be dialled, where `nodes` memories hold `members` entries in all.
fn spread(of: &[f64], members: f64, nodes: f64) -> Figures {
    let mut figures = Figures::new();
    if let Some(mean) = stats::mean(of).filter(|mean| *mean > 0.0) {
        let most = of.iter().copied().fold(0.0, f64::max);
        figures.insert("in_degree_max_ratio", most / mean);
    }
    let others = of.len() as f64 - 1.0;
    if nodes <= 0.0 || others <= 0.0 {
        return figures;
    }
    // Each node picks its members among all others: a binomial in-degree.
    let p = (members / nodes / others).min(1.0);
    let binomial = nodes * p * (1.0 - p);
    if binomial > 0.0
        && let Some(variance) = stats::population_variance(of)
    {
        figures.insert("in_degree_variance_ratio", variance / binomial);
    }
    figures
}

/// The largest share of the samples that a widest prefix has, and what the rank prescribes: it compares widest prefixes first, so each that
/// has anybody wins as many slots as any other, however many nodes are in it.
fn groups(counts: &[u64], prefixes: &[Prefix]) -> Figures {
    let mut numbers = BTreeMap::new();
    for prefix in prefixes {
        let next = numbers.len() as u32;
        numbers.entry(*prefix).or_insert(next);
    }
    let group_of: Vec<u32> = prefixes.iter().map(|prefix| numbers[prefix]).collect();
    let Some(shares) = samples::group_shares(counts, &group_of) else {
        return Figures::new();
    };
    let most = shares.values().map(|group| group.share).fold(0.0, f64::max);
    Figures::from([
        ("group_share_max", most),
        ("group_share_fair", 1.0 / shares.len() as f64),
    ])
}

/// What streams remember. Each sample comes from a slot with a seed of its own, so that already the next one should know nothing of it.
fn memory(streams: &[Vec<u32>], counts: &[u64]) -> Figures {
    let longest = streams.iter().map(Vec::len).max().unwrap_or(0);
    let Some(chance) = samples::coincidence(counts).filter(|_| longest > 1) else {
        return Figures::new();
    };
    let lags = samples::autocorrelation(streams, chance, longest - 1);
    let Some(left) = samples::remembered(&lags, 0) else {
        return Figures::new();
    };
    Figures::from([
        ("autocorrelation_max", left.most),
        ("autocorrelation_p", left.p),
    ])
}

#[cfg(test)]
mod tests {
    use rand::rngs::ChaCha12Rng;
    use rand::{RngExt as _, SeedableRng as _};

    use super::*;
    use crate::sim::run;

    fn prefix(first: u8, second: u8) -> Prefix {
        Group::of([first, second, 0, 1].into(), AddressPreset::Wan).widest
    }

    #[test]
    fn the_largest_group_stands_beside_a_fair_one() {
        let prefixes = [prefix(20, 1), prefix(30, 1), prefix(20, 2), prefix(40, 1)];
        let found = groups(&[10, 40, 20, 30], &prefixes);
        assert_eq!(found["group_share_max"], 0.4);
        assert_eq!(found["group_share_fair"], 1.0 / 3.0);
        assert_eq!(groups(&[0; 4], &prefixes), Figures::new());
    }

    #[test]
    fn the_hottest_node_is_measured_by_the_mean() {
        let found = spread(&[2.0, 6.0, 4.0], 12.0, 4.0);
        assert_eq!(found["in_degree_max_ratio"], 1.5);
        // p = 12 / 4 / 2 is 1 at most: no binomial to compare with.
        assert!(!found.contains_key("in_degree_variance_ratio"));
        let found = spread(&[2.0, 4.0, 3.0], 9.0, 6.0);
        let binomial = 6.0 * 0.75 * 0.25;
        let ratio = found["in_degree_variance_ratio"];
        assert!((ratio - 2.0 / 3.0 / binomial).abs() < 1e-12, "{ratio}");
        assert_eq!(spread(&[0.0; 3], 0.0, 4.0), Figures::new());
    }

    #[test]
    fn a_stream_that_repeats_itself_is_found() {
        let mut rng = ChaCha12Rng::seed_from_u64(5);
        let mut streams: Vec<Vec<u32>> = (0..50)
            .map(|_| (0..100).map(|_| rng.random_range(0..50)).collect())
            .collect();
        let count = |streams: &[Vec<u32>]| samples::counts(streams, 50).unwrap();
        let fair = memory(&streams, &count(&streams));
        assert!(fair["autocorrelation_p"] > 0.001, "{fair:?}");
        assert!(fair["autocorrelation_max"] < 0.05, "{fair:?}");
        // One sample in five is that of thirty samples ago.
        for stream in &mut streams {
            for at in (30..100).step_by(5) {
                stream[at] = stream[at - 30];
            }
        }
        let found = memory(&streams, &count(&streams));
        assert!(
            (found["autocorrelation_max"] - 0.2).abs() < 0.05,
            "{found:?}"
        );
        assert!(found["autocorrelation_p"] < 1e-6, "{found:?}");
        assert_eq!(memory(&[vec![1], vec![]], &[0, 1]), Figures::new());
    }

    #[test]
    fn a_small_world_tells_all_of_it() {
        let scenario = Scenario {
            nodes: 16,
            addresses: Addresses::Zipf,
            duration_s: 200.0,
            measure_every_s: 50.0,
            join_s: 2.0,
            period_s: 1.0,
            slots: 16,
            ..Scenario::default()
        };
        let outcome = run(&scenario, 1, 1, &mut |_| {}).unwrap();
        let figure = |name: &str| outcome.metrics[name];
        let (most, fair) = (figure("group_share_max"), figure("group_share_fair"));
        assert!((1.0..3.0).contains(&(most / fair)), "{most} of {fair}");
        assert!((1.0..3.0).contains(&figure("in_degree_max_ratio")));
        assert!(figure("autocorrelation_max") < 0.2);
        assert!(figure("autocorrelation_p") > 1e-4);
        let flat = Scenario {
            addresses: Addresses::Local,
            duration_s: 60.0,
            ..scenario
        };
        let outcome = run(&flat, 1, 1, &mut |_| {}).unwrap();
        assert!(!outcome.metrics.contains_key("group_share_max"));
    }
}
