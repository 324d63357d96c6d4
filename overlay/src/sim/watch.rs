//! What is measured of a world while it runs.

mod views;

use std::collections::{BTreeMap, BTreeSet};

use crypto::PeerId;
use rand::rngs::ChaCha12Rng;

use super::invariants::Checker;
use super::measure::{fit, stats};
use super::outcome::Outcome;
use super::scenario::{Happening, Scenario};
use super::world::streams::{Purpose, WORLD, stream};
use super::world::{Host, Player, World};

/// Figures of one moment.
#[derive(Clone, Debug, Default)]
struct Moment {
    values: BTreeMap<&'static str, f64>,
}

/// Takes figures as time passes.
#[derive(Debug)]
pub(super) struct Watch {
    ids: BTreeMap<PeerId, usize>,
    victims: BTreeSet<usize>,
    outcome: Outcome,
    /// Wire bytes at the last moment: (sent, received) of each host.
    traffic: Vec<(u64, u64)>,
    /// Dials that had arrived at each victim at the last moment: (all, astray).
    dialed: BTreeMap<usize, (u64, u64)>,
    /// Exchanges answered at the last moment, of each host.
    answered: Vec<u64>,
    last_s: f64,
    /// For draws from the views of those who emit no samples.
    draws: ChaCha12Rng,
    /// Samples emitted to honest nodes, and those of them that are hostile, in the last quarter of the run.
    samples: (u64, u64),
    /// Samples emitted to each node after the first quarter of the run, in order, as numbers of hosts.
    streams: Vec<Vec<u32>>,
}

impl Watch {
    pub(super) fn new(seed: u64, victims: BTreeSet<usize>) -> Self {
        Self {
            ids: BTreeMap::new(),
            victims,
            outcome: Outcome {
                seed,
                ..Outcome::default()
            },
            traffic: Vec::new(),
            dialed: BTreeMap::new(),
            answered: Vec::new(),
            last_s: 0.0,
            draws: stream(seed, WORLD, Purpose::Measure),
            samples: (0, 0),
            streams: Vec::new(),
        }
    }

    /// Which host has which id, as of the last figures.
    pub(super) const fn ids(&self) -> &BTreeMap<PeerId, usize> {
        &self.ids
    }

    /// Takes the figures of this moment.
    pub(super) fn measure(&mut self, world: &mut World, scenario: &Scenario) {
        if self.ids.len() != world.len() {
            self.ids = world.index_of_ids();
        }
        let seconds = world.time().seconds();
        let mut moment = Moment::default();
        self.views(world, &mut moment);
        self.estimates(world, &mut moment);
        self.emitted(world, seconds / scenario.duration_s, &mut moment);
        self.bytes(world, seconds, &mut moment);
        self.dials(world, seconds, &mut moment);
        self.answers(world, seconds, &mut moment);
        self.links(world, &mut moment);
        for (name, value) in moment.values {
            self.outcome
                .series
                .entry(name.to_owned())
                .or_default()
                .push((seconds, value));
        }
        self.last_s = seconds;
    }

    fn emitted(&mut self, world: &mut World, done: f64, moment: &mut Moment) {
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

    fn bytes(&mut self, world: &World, seconds: f64, moment: &mut Moment) {
        self.traffic.resize(world.len(), (0, 0));
        let span = (seconds - self.last_s).max(1e-9);
        let (mut sent, mut received, mut most, mut nodes) = (0, 0, 0, 0);
        for host in world.hosts().filter(|host| !host.who().hostile) {
            let now = (host.traffic().out, host.traffic().into);
            let before = std::mem::replace(&mut self.traffic[host.index() as usize], now);
            if host.is_honest() {
                let (out, into) = (now.0 - before.0, now.1 - before.1);
                sent += out;
                received += into;
                most = most.max(out.max(into));
                nodes += 1;
            }
        }
        let mean = |bytes: u64| bytes as f64 / f64::from(nodes.max(1)) / span;
        let values = &mut moment.values;
        values.insert("bytes_out_per_node_per_sec", mean(sent));
        values.insert("bytes_in_per_node_per_sec", mean(received));
        values.insert("bytes_per_node_per_sec", mean(sent).max(mean(received)));
        values.insert("bytes_per_sec_max", most as f64 / span);
    }

    fn links(&mut self, world: &World, moment: &mut Moment) {
        let mut parent: Vec<usize> = (0..world.len()).collect();
        let mut links = 0;
        let mut least = u64::MAX;
        let mut nodes = 0;
        let mut degrees: BTreeMap<u64, u64> = BTreeMap::new();
        for host in world.hosts().filter(|host| host.is_honest()) {
            let Some(node) = host.node() else { continue };
            nodes += 1;
            let rooms = node.rooms();
            let mut degree = 0;
            for (_, link) in rooms.links.neighbors() {
                degree += 1;
                if let Some(other) = self.ids.get(&link.peer)
                    && world.host(*other).is_honest()
                {
                    join(&mut parent, host.index() as usize, *other);
                }
            }
            links += degree;
            least = least.min(degree);
            *degrees.entry(degree).or_default() += 1;
        }
        if nodes == 0 {
            return;
        }
        let mut sizes: BTreeMap<usize, usize> = BTreeMap::new();
        for host in world.hosts().filter(|host| host.is_honest()) {
            *sizes
                .entry(root(&mut parent, host.index() as usize))
                .or_default() += 1;
        }
        let largest = sizes.values().copied().max().unwrap_or(0);
        let values = &mut moment.values;
        values.insert("links_min", least as f64);
        values.insert("links", links as f64 / f64::from(nodes));
        values.insert("largest_component", largest as f64 / f64::from(nodes));
        self.outcome
            .histograms
            .insert("neighbors".to_owned(), degrees);
    }

    /// How even the samples of all nodes together are over the nodes that can be dialled, and how their memories are spread.
    fn uniformity(&mut self, world: &World) {
        let dialable = |host: &Host| host.player().is_some() && !host.who().undialable;
        let bins: Vec<usize> = world
            .hosts()
            .filter(|host| dialable(host))
            .map(|host| host.index() as usize)
            .collect();
        let mut counts = vec![0_u64; world.len()];
        for peer in self.streams.iter().flatten() {
            counts[*peer as usize] += 1;
        }
        let observed: Vec<u64> = bins.iter().map(|index| counts[*index]).collect();
        // Below five expected a bin the statistic means little.
        if observed.iter().sum::<u64>() >= 5 * observed.len() as u64
            && let Some(fit) = fit::chi_square_uniform(&observed)
        {
            self.outcome
                .metrics
                .insert("chi_square_p".to_owned(), fit.p);
        }
        let mut degrees = vec![0.0; world.len()];
        let (mut members, mut nodes) = (0.0, 0.0);
        for host in world.hosts().filter(|host| host.is_honest()) {
            nodes += 1.0;
            for known in host.player().map(Player::view).unwrap_or_default() {
                if let Some(other) = self.ids.get(&known.peer) {
                    degrees[*other] += 1.0;
                    members += 1.0;
                }
            }
        }
        let of: Vec<f64> = bins.iter().map(|index| degrees[*index]).collect();
        let others = bins.len() as f64 - 1.0;
        // Each node picks its members among all others: a binomial in-degree.
        let p = if nodes > 0.0 && others > 0.0 {
            (members / nodes / others).min(1.0)
        } else {
            return;
        };
        let binomial = nodes * p * (1.0 - p);
        if binomial > 0.0
            && let Some(variance) = stats::population_variance(&of)
        {
            self.outcome
                .metrics
                .insert("in_degree_variance_ratio".to_owned(), variance / binomial);
        }
    }

    /// From the last fault until all honest nodes hang together again with outbound links, as seen at the measured moments; the
    /// length of the run if they never do. `None` without faults.
    fn heal_seconds(&self, scenario: &Scenario) -> Option<f64> {
        let from = scenario
            .events
            .iter()
            .filter(|event| !matches!(event.what, Happening::Join { .. }))
            .map(|event| event.at_s)
            .max_by(f64::total_cmp)?;
        let whole = self.outcome.series.get("largest_component")?;
        let least = self.outcome.series.get("links_min")?;
        let healed = whole
            .iter()
            .zip(least)
            .find(|((at, whole), (_, least))| *at > from && *whole >= 1.0 && *least >= 1.0);
        Some(healed.map_or(scenario.duration_s, |((at, _), _)| *at - from))
    }

    /// The outcome: figures of the last moment, or means over the last quarter for rates.
    pub(super) fn finish(
        mut self,
        world: &World,
        scenario: &Scenario,
        checker: &Checker,
    ) -> Outcome {
        let from = 0.75 * scenario.duration_s;
        for (name, curve) in &self.outcome.series {
            let late: Vec<f64> = curve
                .iter()
                .filter(|(at, _)| *at > from)
                .map(|(_, value)| *value)
                .collect();
            let value = if name.ends_with("_per_sec") || name == "bytes_per_sec_max" {
                late.iter().sum::<f64>() / late.len().max(1) as f64
            } else {
                curve.last().map_or(0.0, |(_, value)| *value)
            };
            self.outcome.metrics.insert(name.clone(), value);
        }
        self.uniformity(world);
        if let Some(shares) = self.outcome.series.get("share") {
            let peak = shares
                .iter()
                .filter(|(at, _)| *at >= scenario.attack_at_s)
                .fold(0.0, |most: f64, (_, share)| most.max(*share));
            self.outcome.metrics.insert("share_peak".to_owned(), peak);
        }
        if let Some(seconds) = self.heal_seconds(scenario) {
            self.outcome
                .metrics
                .insert("heal_seconds".to_owned(), seconds);
        }
        let (all, bad) = self.samples;
        if all > 0 {
            self.outcome
                .metrics
                .insert("out".to_owned(), bad as f64 / all as f64);
        }
        let (mut nodes, mut counters) = (0, BTreeMap::<String, f64>::new());
        for node in world
            .hosts()
            .filter(|host| host.is_honest())
            .filter_map(Host::node)
        {
            nodes += 1;
            node.stats().each(|room, name, value| {
                *counters.entry(format!("{room}.{name}")).or_default() += value as f64;
            });
        }
        for value in counters.values_mut() {
            *value /= f64::from(nodes);
        }
        self.outcome.counters = counters;
        self.outcome
            .metrics
            .insert("violations".to_owned(), checker.count() as f64);
        self.outcome.violations = checker
            .described()
            .iter()
            .map(ToString::to_string)
            .collect();
        self.outcome.simulated_s = world.time().seconds();
        self.outcome.events = world.events();
        self.outcome.event_hash = world.event_hash();
        self.outcome
    }
}

/// The root of a node in a forest of parts.
pub(super) fn root(parent: &mut [usize], mut node: usize) -> usize {
    while parent[node] != node {
        parent[node] = parent[parent[node]];
        node = parent[node];
    }
    node
}

/// Makes the parts of two nodes one.
pub(super) fn join(parent: &mut [usize], a: usize, b: usize) {
    let (a, b) = (root(parent, a), root(parent, b));
    parent[a] = b;
}
