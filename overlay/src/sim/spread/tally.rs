//! What became of each message, added up.

use std::collections::BTreeMap;

use super::flood::NEVER;
use crate::sim::world::Time;

/// Width of a bin of latencies, microseconds.
const BIN_US: u32 = 100;
/// Bins up to 60 s; what took longer is in the last.
const BINS: usize = 600_000;
/// Width of a bin of the distributions in a report, milliseconds.
const COARSE_MS: u64 = 5;

/// A message on its way.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) author: u32,
    pub(super) signed: Time,
    /// Of each host: who brought the first copy and when, microseconds after it was signed.
    copies: Vec<(u32, u32)>,
    /// Of each host: when the application got it, microseconds after it was signed.
    delivered: Vec<u32>,
}

impl Message {
    pub(super) fn new(author: u32, signed: Time, hosts: usize) -> Self {
        Self {
            author,
            signed,
            copies: vec![(NEVER, NEVER); hosts],
            delivered: vec![NEVER; hosts],
        }
    }

    fn age(&self, at: Time) -> u32 {
        let age = at.0.saturating_sub(self.signed.0);
        u32::try_from(age).unwrap_or(NEVER - 1).min(NEVER - 1)
    }

    /// A copy came to a host.
    pub(super) fn copy(&mut self, host: u32, from: u32, at: Time) {
        let age = self.age(at);
        if let Some(copy) = self.copies.get_mut(host as usize)
            && age < copy.1
        {
            *copy = (from, age);
        }
    }

    /// A host's application got it.
    pub(super) fn deliver(&mut self, host: u32, at: Time) {
        let age = self.age(at);
        if let Some(delivered) = self.delivered.get_mut(host as usize)
            && *delivered == NEVER
        {
            *delivered = age;
        }
    }

    /// Whether a host's application has it.
    pub(super) fn is_at(&self, host: u32) -> bool {
        let delivered = self.delivered.get(host as usize);
        delivered.is_some_and(|at| *at != NEVER)
    }

    /// How many links it crossed to each host on the way by which it first came; 0 = none is known.
    fn hops(&self) -> Vec<u32> {
        let mut hops = vec![0; self.copies.len()];
        let arrived = |host: &usize| self.copies[*host].1 != NEVER && *host != self.author as usize;
        let mut order: Vec<usize> = (0..self.copies.len()).filter(arrived).collect();
        order.sort_unstable_by_key(|host| self.copies[*host].1);
        for host in order {
            let from = self.copies[host].0;
            let before = hops.get(from as usize).copied().unwrap_or(0);
            if before > 0 || from == self.author {
                hops[host] = before + 1;
            }
        }
        hops
    }
}

/// Latencies in bins of 0.1 ms.
#[derive(Debug, Default)]
struct Latencies {
    bins: Vec<u64>,
    count: u64,
}

impl Latencies {
    fn add(&mut self, us: u32) {
        self.bins.resize(BINS, 0);
        self.bins[((us / BIN_US) as usize).min(BINS - 1)] += 1;
        self.count += 1;
    }

    /// The latency within which this part of them lies, milliseconds.
    fn quantile(&self, part: f64) -> Option<f64> {
        let rank = ((self.count as f64 * part).ceil() as u64).max(1);
        let mut seen = 0;
        let bin = self.bins.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        Some((bin as f64 + 0.5) * f64::from(BIN_US) / 1e3)
    }

    /// How many lie in each span of [`COARSE_MS`].
    fn coarse(&self) -> BTreeMap<u64, u64> {
        let mut coarse = BTreeMap::new();
        for (bin, count) in self
            .bins
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
        {
            let ms = bin as u64 * u64::from(BIN_US) / 1000;
            *coarse.entry(ms / COARSE_MS * COARSE_MS).or_default() += count;
        }
        coarse
    }
}

/// Figures by name.
pub(super) type Figures = BTreeMap<&'static str, f64>;

/// Sums over messages that are done with.
#[derive(Debug, Default)]
pub(super) struct Tally {
    messages: u64,
    expected: u64,
    delivered: u64,
    latencies: Latencies,
    floods: Latencies,
    /// Of each message, microseconds until the last node had it: in truth, in a flood, in a tree.
    last: Vec<u32>,
    flood_last: Vec<u32>,
    tree_last: Vec<u32>,
    hops_max: u32,
    hops_last: u64,
}

impl Tally {
    /// A message begins: a flood would reach the hosts at these times, a tree the last of them at that.
    pub(super) fn begin(&mut self, author: u32, flood: &[u32], tree: Option<u32>) {
        let reached = flood.iter().enumerate();
        let reached = reached.filter(|(host, at)| **at != NEVER && *host != author as usize);
        let mut last = 0;
        for (_, at) in reached {
            self.floods.add(*at);
            last = last.max(*at);
        }
        self.flood_last.push(last);
        self.tree_last.extend(tree);
    }

    /// A message is done with; `expected` says of each host whether it had to get it.
    pub(super) fn end(&mut self, message: &Message, expected: &[bool]) {
        self.messages += 1;
        let mut last = 0;
        for (host, at) in message.delivered.iter().enumerate() {
            if host == message.author as usize || !expected.get(host).is_some_and(|it| *it) {
                continue;
            }
            self.expected += 1;
            if *at != NEVER {
                self.delivered += 1;
                self.latencies.add(*at);
                last = last.max(*at);
            }
        }
        self.last.push(last);
        let most = message.hops().into_iter().max().unwrap_or(0);
        self.hops_max = self.hops_max.max(most);
        self.hops_last += u64::from(most);
    }

    /// Deliveries that were counted.
    pub(super) const fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Messages that were counted.
    pub(super) const fn messages(&self) -> u64 {
        self.messages
    }

    /// The figures of messages and deliveries.
    pub(super) fn figures(&self) -> Figures {
        let mut figures = Figures::from([
            ("published", self.messages as f64),
            ("undelivered", (self.expected - self.delivered) as f64),
            ("hops_max", f64::from(self.hops_max)),
        ]);
        if self.expected > 0 {
            figures.insert("coverage", self.delivered as f64 / self.expected as f64);
        }
        if self.messages > 0 {
            let messages = self.messages as f64;
            figures.insert("hops_mean_last", self.hops_last as f64 / messages);
            let sum: f64 = self.last.iter().map(|us| f64::from(*us)).sum();
            figures.insert("last_ms", sum / messages / 1e3);
        }
        let mut put = |name, value: Option<f64>| {
            if let Some(value) = value {
                figures.insert(name, value);
            }
        };
        let ratio = |a: Option<f64>, b: Option<f64>| Some(a? / b.filter(|b| *b > 0.0)?);
        let (p50, flood_p50) = (self.latencies.quantile(0.5), self.floods.quantile(0.5));
        let (p99, flood_p99) = (quantile(&self.last, 0.99), quantile(&self.flood_last, 0.99));
        put("p50_ms", p50);
        put("p99_ms", p99);
        put("flood_p50_ms", flood_p50);
        put("flood_p99_ms", flood_p99);
        put("p50_vs_flood", ratio(p50, flood_p50));
        put("p99_vs_flood", ratio(p99, flood_p99));
        put("p99_vs_tree", ratio(p99, quantile(&self.tree_last, 0.99)));
        figures
    }

    /// How many nodes got a message how long after it was signed, in milliseconds: in truth, and in a flood.
    pub(super) fn distributions(&self) -> [(&'static str, BTreeMap<u64, u64>); 2] {
        [
            ("delivery_ms", self.latencies.coarse()),
            ("flood_ms", self.floods.coarse()),
        ]
    }
}

/// The value within which this part of them lies, milliseconds.
fn quantile(us: &[u32], part: f64) -> Option<f64> {
    let mut sorted = us.to_vec();
    sorted.sort_unstable();
    let rank = ((sorted.len() as f64 * part).ceil() as usize).max(1);
    sorted.get(rank - 1).map(|us| f64::from(*us) / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Signed by 0 at 1 s; 1 has it from 0, 2 from 1 (and later from 0), 3 from 2, 4 never.
    fn message() -> Message {
        let mut message = Message::new(0, Time(1_000_000), 5);
        for (host, from, ms) in [(2, 0, 70), (3, 2, 60), (1, 0, 20), (2, 1, 40)] {
            message.copy(host, from, Time(1_000_000 + ms * 1000));
        }
        for (host, ms) in [(0, 0), (1, 20), (2, 40), (3, 65)] {
            message.deliver(host, Time(1_000_000 + ms * 1000));
        }
        message
    }

    #[test]
    fn a_message_is_followed_from_host_to_host() {
        let message = message();
        assert_eq!(message.hops(), [0, 1, 2, 3, 0]);
        assert_eq!(
            [3, 4, 5].map(|host| message.is_at(host)),
            [true, false, false]
        );
        let mut tally = Tally::default();
        tally.begin(0, &[0, 10_000, 20_000, 30_000, 40_000], Some(80_000));
        tally.end(&message, &[true, true, true, true, true]);
        let figures = tally.figures();
        assert_eq!(figures["coverage"], 0.75);
        assert_eq!((figures["undelivered"], figures["published"]), (1.0, 1.0));
        assert_eq!((figures["hops_max"], figures["hops_mean_last"]), (3.0, 3.0));
        assert_eq!((figures["last_ms"], figures["p99_ms"]), (65.0, 65.0));
        assert_eq!((figures["p50_ms"], figures["flood_p50_ms"]), (40.05, 20.05));
        assert_eq!(figures["p99_vs_flood"], 65.0 / 40.0);
        assert_eq!(figures["p99_vs_tree"], 65.0 / 80.0);
        let [(_, delivery), (_, flood)] = tally.distributions();
        assert_eq!(delivery, BTreeMap::from([(20, 1), (40, 1), (65, 1)]));
        assert_eq!(flood.values().sum::<u64>(), 4);
    }

    #[test]
    fn who_was_not_there_all_the_time_is_not_counted() {
        let mut tally = Tally::default();
        tally.begin(0, &[0, 10, NEVER, 30, NEVER], None);
        tally.end(&message(), &[true, true, false, true, false]);
        let figures = tally.figures();
        assert_eq!(figures["coverage"], 1.0);
        assert_eq!(tally.delivered(), 2);
        assert!(!figures.contains_key("p99_vs_tree"));
        assert!(!Tally::default().figures().contains_key("coverage"));
    }
}
