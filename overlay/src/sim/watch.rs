//! What is measured of a world while it runs.

mod healing;
mod load;
mod starts;
mod streams;
mod verdicts;
mod views;

use std::collections::{BTreeMap, BTreeSet};

use crypto::PeerId;
use rand::rngs::ChaCha12Rng;

use super::invariants::Checker;
use super::outcome::Outcome;
use super::scenario::Scenario;
use super::world::streams::{Purpose, WORLD, stream};
use super::world::{Host, World};

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
    load: load::Load,
    starts: starts::Starts,
    healing: healing::Healing,
    verdicts: verdicts::Verdicts,
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
            load: load::Load::default(),
            starts: starts::Starts::default(),
            healing: healing::Healing::default(),
            verdicts: verdicts::Verdicts::default(),
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

    /// Looks at what a moment comes too late for; once a second.
    pub(super) fn second(&mut self, world: &World, scenario: &Scenario) {
        self.starts.second(world, scenario);
        self.healing.second(world, scenario);
    }

    /// Takes the figures of this moment.
    pub(super) fn measure(&mut self, world: &mut World, scenario: &Scenario) {
        if self.ids.len() != world.len() {
            self.ids = world.index_of_ids();
        }
        self.verdicts.moment(world, &self.ids);
        let seconds = world.time().seconds();
        let done = seconds / scenario.duration_s;
        let mut moment = Moment::default();
        let in_degrees = self.views(world, &mut moment);
        self.starts.known(world, scenario, &in_degrees, &mut moment);
        self.starts.seeds(&mut moment);
        self.estimates(world, &mut moment);
        self.emitted(world, done, &mut moment);
        self.bytes(world, seconds, &mut moment);
        self.dials(world, seconds, &mut moment);
        self.work(world, seconds, done, &mut moment);
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
        let (mut nodes, mut whole) = (0, 0_u32);
        let mut degrees: BTreeMap<u64, u64> = BTreeMap::new();
        let dialable = starts::dialable(world);
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
            let wanted = starts::Wanted::of(node, dialable);
            whole += u32::from(wanted.is_met(host, rooms.links, world));
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
        // Both ends of a link send on it, and both count it.
        let out = values.get("bytes_out_per_node_per_sec").copied();
        let per_link = out.unwrap_or_default() * 2.0 * f64::from(nodes) / (links.max(1)) as f64;
        values.insert("bytes_per_link_per_sec", per_link);
        values.insert("joined", whole.into());
        values.insert("dead_links", healing::dead_links(world).into());
        values.insert("largest_component", largest as f64 / f64::from(nodes));
        self.outcome
            .histograms
            .insert("neighbors".to_owned(), degrees);
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
            let value = if name.contains("_per_sec") {
                late.iter().sum::<f64>() / late.len().max(1) as f64
            } else {
                curve.last().map_or(0.0, |(_, value)| *value)
            };
            self.outcome.metrics.insert(name.clone(), value);
        }
        let mut figures = self.evenness(world, scenario);
        figures.extend(self.starts.figures(world));
        let verdicts = std::mem::take(&mut self.verdicts);
        figures.extend(verdicts.figures(world, &self.ids));
        if let Some((noticed, healed)) = self.healing.figures(world, scenario) {
            figures.insert("detect_seconds", noticed);
            figures.insert("heal_seconds", healed);
        }
        let events = world.events() as f64 / world.len().max(1) as f64;
        figures.insert("events_per_node", events);
        let figures = figures
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value));
        self.outcome.metrics.extend(figures);
        if let Some(shares) = self.outcome.series.get("share") {
            let peak = shares
                .iter()
                .filter(|(at, _)| *at >= scenario.attack_at_s)
                .fold(0.0, |most: f64, (_, share)| most.max(*share));
            self.outcome.metrics.insert("share_peak".to_owned(), peak);
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
