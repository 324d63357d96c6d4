//! Who takes part: keys, addresses, first contacts and settings of every node, each from its own stream.

use std::net::{Ipv4Addr, SocketAddr};

use crypto::Identity;
use rand::Rng;
use rand::RngExt as _;

use super::scenario::{Addresses, HostileAddresses, Scenario, Start};
use super::world::streams::{Purpose, WORLD, seed_of, stream};
use super::world::{Who, World};
use crate::action::Target;
use crate::config::{AddressPreset, Config, Seed};

/// First octets that hold no special-use block.
const OCTETS: [(u8, u8); 8] = [
    (1, 9),
    (11, 99),
    (101, 126),
    (128, 168),
    (170, 171),
    (173, 191),
    (193, 197),
    (199, 202),
];
/// First octets that the skewed distribution uses.
const SKEWED: usize = 120;
const PORT: u16 = 4100;

fn first_octets() -> Vec<u8> {
    OCTETS.iter().flat_map(|(from, to)| *from..=*to).collect()
}

/// Who takes part in one run of a scenario.
#[derive(Debug)]
pub struct Cast<'a> {
    scenario: &'a Scenario,
    seed: u64,
    octets: Vec<u8>,
}

impl<'a> Cast<'a> {
    /// The cast of a scenario.
    #[must_use]
    pub fn new(scenario: &'a Scenario, seed: u64) -> Self {
        Self {
            scenario,
            seed,
            octets: first_octets(),
        }
    }

    /// Node number `index`.
    #[must_use]
    pub fn who(&self, index: usize, hostile: bool) -> Who {
        let number = u32::try_from(index).unwrap_or(u32::MAX);
        let mut nat = stream(self.seed, number, Purpose::Nat);
        let draw: f64 = nat.random();
        let undialable =
            !hostile && index >= self.scenario.seeds && draw < self.scenario.undialable;
        Who {
            identity: Identity::from_seed(&seed_of(self.seed, number, Purpose::Key)),
            addr: self.address(index, hostile),
            hostile,
            undialable,
        }
    }

    fn address(&self, index: usize, hostile: bool) -> SocketAddr {
        let number = u32::try_from(index).unwrap_or(u32::MAX);
        let mut rng = stream(self.seed, number, Purpose::Address);
        let [_, b, c, d] = number.to_be_bytes();
        if self.scenario.addresses == Addresses::Local {
            return (Ipv4Addr::new(10, b, c, d), PORT).into();
        }
        // The last bytes come from the number, so that no two nodes share an address.
        let port = PORT + u16::from(b);
        if hostile {
            match self.scenario.hostile_addresses {
                HostileAddresses::AsHonest => {}
                HostileAddresses::OneSlash24 => {
                    let port = 1024 + (number >> 8) as u16;
                    return (Ipv4Addr::new(66, 6, 6, d), port).into();
                }
                HostileAddresses::OneSlash16 => {
                    return (Ipv4Addr::new(66, 6, c, d), port).into();
                }
                HostileAddresses::LargestAs => {
                    // 5,739 blocks in 24 first octets, as the largest operator of the study behind BASALT's table.
                    let block: u16 = rng.random_range(0..5739);
                    let first = self.octets[usize::from(block % 24) * self.octets.len() / 24];
                    return (Ipv4Addr::new(first, (block / 24) as u8, c, d), port).into();
                }
            }
        }
        match self.scenario.addresses {
            Addresses::Flat => {
                let count = even_part(self.scenario.nodes, self.octets.len()) as u32;
                let first = self.octets[(number % count) as usize];
                let second = (number / count % 256) as u8;
                (Ipv4Addr::new(first, second, c, d), port).into()
            }
            _ => {
                let first = self.octets[zipf(SKEWED, &mut rng)];
                let second = zipf(256, &mut rng) as u8;
                (Ipv4Addr::new(first, second, c, d), port).into()
            }
        }
    }

    /// The settings of a node; `world` knows the hosts it may know at first.
    #[must_use]
    pub fn config(&self, index: usize, world: &World) -> Config {
        let scenario = self.scenario;
        let who = world.host(index).who();
        let mut config = Config {
            addresses: match scenario.addresses {
                Addresses::Local => AddressPreset::Local,
                Addresses::Flat | Addresses::Zipf => AddressPreset::Wan,
            },
            external: if who.undialable || !self.scenario.addresses_known {
                Vec::new()
            } else {
                vec![who.addr]
            },
            seeds: self
                .contacts(index)
                .into_iter()
                .map(|contact| {
                    let who = world.host(contact).who();
                    Seed {
                        peer: who.identity.id(),
                        target: Target::Addr(who.addr),
                    }
                })
                .collect(),
            ..Config::default()
        };
        let sampling = &mut config.sampling;
        let set = |value: usize, target: &mut usize| {
            if value > 0 {
                *target = value;
            }
        };
        set(scenario.slots, &mut sampling.slots);
        set(scenario.push, &mut sampling.push);
        if scenario.list > 0 {
            sampling.list = scenario.list;
        }
        if scenario.list_young > 0 {
            sampling.list_young = scenario.list_young;
        }
        if scenario.exchanges_per_reset > 0 {
            sampling.exchanges_per_reset = scenario.exchanges_per_reset;
        }
        if scenario.period_s > 0.0 {
            sampling.period = std::time::Duration::from_secs_f64(scenario.period_s);
        }
        set(scenario.proven, &mut config.peers.proven);
        set(scenario.heard, &mut config.peers.heard);
        set(scenario.archive, &mut config.peers.archive);
        set(scenario.outbound, &mut config.neighbors.outbound);
        set(scenario.inbound, &mut config.neighbors.inbound);
        set(scenario.inline, &mut config.messages.inline);
        config
    }

    /// Whom a node knows at first, but for those that start warm: the seeds that started before it, or a draw of which a part is hostile.
    pub(super) fn contacts(&self, index: usize) -> Vec<usize> {
        let scenario = self.scenario;
        if scenario.start == Start::Warm && index < scenario.nodes {
            return Vec::new();
        }
        if scenario.poisoned <= 0.0 || index < scenario.seeds {
            return (0..scenario.seeds.min(index.max(1)))
                .filter(|seed| *seed != index)
                .collect();
        }
        let number = u32::try_from(index).unwrap_or(u32::MAX);
        let mut rng = stream(self.seed, number, Purpose::Life);
        let honest = scenario.nodes - scenario.hostile();
        let mut contacts = Vec::new();
        // A bounded number of draws; a tiny world may have fewer contacts to give.
        for _ in 0..scenario.contacts * 16 {
            if contacts.len() >= scenario.contacts {
                break;
            }
            let contact = if rng.random::<f64>() < scenario.poisoned && honest < scenario.nodes {
                rng.random_range(honest..scenario.nodes)
            } else {
                rng.random_range(0..honest)
            };
            if contact != index && !contacts.contains(&contact) {
                contacts.push(contact);
            }
        }
        contacts
    }

    /// The order in which nodes start: the seeds first, then all others, hostile ones among them.
    #[must_use]
    pub fn start_order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (self.scenario.seeds..self.scenario.nodes).collect();
        let mut rng = stream(self.seed, WORLD, Purpose::Life);
        for at in (1..order.len()).rev() {
            order.swap(at, rng.random_range(0..=at));
        }
        let mut all: Vec<usize> = (0..self.scenario.seeds).collect();
        all.append(&mut order);
        all
    }
}

/// How many of `most` first octets hold the same number of nodes each, at most 256: as many as there are, so that no prefix has more nodes than
/// another and the rank, which compares prefixes first, prefers nobody. `most` where no number of them does.
fn even_part(nodes: usize, most: usize) -> usize {
    let even = |count: &usize| nodes.is_multiple_of(*count) && nodes / count <= 256;
    (1..=most).rev().find(even).unwrap_or(most)
}

/// A number below `n` under Zipf's law with exponent 1.
fn zipf(n: usize, rng: &mut impl Rng) -> usize {
    let total: f64 = (1..=n).map(|rank| 1.0 / rank as f64).sum();
    let mut draw = rng.random::<f64>() * total;
    for rank in 1..=n {
        draw -= 1.0 / rank as f64;
        if draw <= 0.0 {
            return rank - 1;
        }
    }
    n - 1
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Nodes by first octet, and by the first two.
    fn prefixes(scenario: &Scenario) -> (BTreeMap<u8, usize>, usize) {
        let cast = Cast::new(scenario, 1);
        let (mut first, mut both) = (BTreeMap::new(), BTreeMap::new());
        for index in 0..scenario.nodes {
            let SocketAddr::V4(addr) = cast.who(index, false).addr else {
                panic!("an IPv4 address");
            };
            let [a, b, ..] = addr.ip().octets();
            *first.entry(a).or_default() += 1;
            *both.entry((a, b)).or_insert(0) += 1;
        }
        (first, both.len())
    }

    #[test]
    fn flat_prefixes_have_as_many_nodes_each() {
        for (nodes, groups) in [(150, 150), (300, 150), (1000, 125), (10_000, 125)] {
            let scenario = Scenario {
                nodes,
                addresses: Addresses::Flat,
                ..Scenario::default()
            };
            let (first, both) = prefixes(&scenario);
            assert_eq!(first.len(), groups);
            assert!(first.values().all(|of| *of == nodes / groups), "{nodes}");
            assert_eq!(both, nodes, "a /16 for each");
        }
        // 997 is prime, and more than one first octet holds.
        assert_eq!(even_part(997, 195), 195);
    }
}
