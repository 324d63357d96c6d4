//! Ranked slots in idealised rounds: A. Auvolat, Y.-D. Bromberg, D. Frey, D. Mvondo, F. Taïani, "BASALT: A Rock-Solid Byzantine-Tolerant Peer
//! Sampling for Very Large Decentralized Networks" (Middleware 2023, arXiv 2102.04063), §3, with ranks over ids alone.
//!
//! Each node holds v slots, each with a secret seed and the peer of least rank under it among all it heard of. In a round it pulls the view
//! of the peer of the slot with fewest hits, and pushes its own view to the next such. Slots are reset in turn: their peer is given
//! out as a sample, and the new seed ranks the view anew.

use rand::rngs::ChaCha12Rng;
use rand::seq::index::sample;
use rand::{RngExt as _, SeedableRng as _};

/// A network to run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setting {
    /// All nodes, 2 or more.
    pub nodes: u32,
    /// How many of them are hostile, not all: the first ones. They answer and push views of hostile nodes only.
    pub hostile: u32,
    /// Slots of a node (v), 1 or more.
    pub slots: usize,
    /// Views that a hostile node pushes in a round, each to any node (F).
    pub force: u32,
    /// Resets a round (rho), on average.
    pub resets: f64,
    /// Slots reset together (k), every k/rho rounds.
    pub batch: usize,
    /// Whether the slot with fewest hits is used next, and not one at random.
    pub hits: bool,
    /// Nodes that a node has heard of before the first round.
    pub contacts: usize,
    /// Fraction of the contacts that is hostile, 0 to 1; `None`: they are drawn from all nodes alike.
    pub poisoned: Option<f64>,
}

impl Setting {
    /// The setting of the paper's simulations with `slots` slots: one reset a round, in batches of 10 as its authors' example has it, as many
    /// uniform contacts as slots, force 10.
    #[must_use]
    pub fn published(nodes: u32, hostile: u32, slots: usize) -> Self {
        Self {
            nodes,
            hostile,
            slots,
            force: 10,
            resets: 1.0,
            batch: 10,
            hits: true,
            contacts: slots,
            poisoned: None,
        }
    }
}

/// How a network stands after a round.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Standing {
    /// Mean share of the slots of honest nodes that hold a hostile peer.
    pub view: f64,
    /// Share of hostile peers among the samples that honest nodes gave out in this round; `None` if none was given out.
    pub emitted: Option<f64>,
    /// Honest nodes all of whose slots hold hostile peers.
    pub isolated: u32,
}

/// An honest node. What belongs to a slot lies in four lists, so that hits are counted over several slots at once.
#[derive(Debug)]
struct Node {
    me: u32,
    seeds: Vec<u64>,
    /// Rank of the peer of each slot.
    ranks: Vec<u64>,
    peers: Vec<u32>,
    hits: Vec<u32>,
    /// Slots reset so far; the one reset next is this modulo v.
    resets: u32,
    /// For each id, 1 + `resets` when it was last ranked; 0 for never.
    ranked: Vec<u32>,
}

/// Rank of an id under a seed: two rounds of multiply and shift (the finaliser of splitmix64, G. Steele et al. 2014). The model needs an even
/// spread, not secrecy.
fn rank(seed: u64, id: u32) -> u64 {
    let mut x = seed ^ u64::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

impl Node {
    fn new(me: u32, setting: &Setting, rng: &mut ChaCha12Rng) -> Self {
        let slots = setting.slots.max(1);
        Self {
            me,
            seeds: (0..slots).map(|_| rng.random()).collect(),
            ranks: vec![u64::MAX; slots],
            peers: vec![me; slots],
            hits: vec![1; slots],
            resets: 0,
            ranked: vec![0; setting.nodes as usize],
        }
    }

    /// Hears of a peer: a hit for slots that hold it, and theirs it becomes where it ranks lower. A slot that has ranked it since its last
    /// reset has nothing to learn, and slots are reset in turn, so only those reset since the id was last ranked are looked at.
    fn hear(&mut self, id: u32) {
        if id == self.me {
            return;
        }
        for (hits, peer) in self.hits.iter_mut().zip(&self.peers) {
            *hits = hits.wrapping_add(u32::from(*peer == id));
        }
        let size = self.peers.len();
        let last = self.ranked[id as usize];
        let fresh = if last == 0 {
            size
        } else {
            ((self.resets + 1 - last) as usize).min(size)
        };
        self.ranked[id as usize] = self.resets + 1;
        for back in 1..=fresh {
            let at = (self.resets as usize + size - back) % size;
            let rank = rank(self.seeds[at], id);
            if rank < self.ranks[at] {
                self.ranks[at] = rank;
                self.hits[at] = 1;
                self.peers[at] = id;
            }
        }
    }

    /// The peer to turn to next.
    fn turn_to(&mut self, by_hits: bool, rng: &mut ChaCha12Rng) -> u32 {
        let at = if by_hits {
            let fewest = self.hits.iter().enumerate().min_by_key(|(_, hits)| **hits);
            fewest.map_or(0, |(at, _)| at)
        } else {
            rng.random_range(0..self.hits.len())
        };
        self.hits[at] = self.hits[at].wrapping_add(1);
        self.peers[at]
    }

    /// Gives out the peer of the next slot and begins it anew with the best of the view.
    fn reset(&mut self, rng: &mut ChaCha12Rng) -> u32 {
        let at = self.resets as usize % self.peers.len();
        self.resets += 1;
        let sample = self.peers[at];
        let seed = rng.random();
        let known = self.peers.iter().filter(|peer| **peer != self.me);
        let best = known.map(|peer| (rank(seed, *peer), *peer)).min();
        let (rank, peer) = best.unwrap_or((u64::MAX, self.me));
        self.seeds[at] = seed;
        self.ranks[at] = rank;
        self.peers[at] = peer;
        self.hits[at] = 1;
        sample
    }
}

/// A network of ranked slots in idealised rounds. Costs 4 bytes for each pair of nodes.
#[derive(Debug)]
pub struct Ranked {
    setting: Setting,
    honest: Vec<Node>,
    rounds: u64,
    honest_draws: ChaCha12Rng,
    hostile_draws: ChaCha12Rng,
}

impl Ranked {
    /// Before the first round. Honest and hostile nodes draw from streams of their own.
    #[must_use]
    pub fn new(setting: Setting, seed: u64) -> Self {
        let mut honest_draws = ChaCha12Rng::seed_from_u64(seed);
        let nodes = setting.nodes.max(2);
        let setting = Setting {
            nodes,
            hostile: setting.hostile.min(nodes - 1),
            ..setting
        };
        let (n, f) = (setting.nodes as usize, setting.hostile as usize);
        let honest = (setting.hostile..setting.nodes)
            .map(|me| {
                let mut node = Node::new(me, &setting, &mut honest_draws);
                let contacts = setting.contacts;
                let mut meet = |from: usize, many: usize, count: usize| {
                    for at in sample(&mut honest_draws, many, count.min(many)) {
                        node.hear((from + at) as u32);
                    }
                };
                if let Some(poisoned) = setting.poisoned {
                    let hostile = (contacts as f64 * poisoned).round() as usize;
                    meet(0, f, hostile);
                    meet(f, n - f, contacts.saturating_sub(hostile));
                } else {
                    meet(0, n, contacts);
                }
                node
            })
            .collect();
        Self {
            setting,
            honest,
            rounds: 0,
            honest_draws,
            hostile_draws: ChaCha12Rng::seed_from_u64(!seed),
        }
    }

    /// One round: due resets, then all pulls and pushes, with the views as they are in between.
    pub fn round(&mut self) -> Standing {
        let emitted = self.reset_due();
        let views: Vec<Vec<u32>> = self.honest.iter().map(|node| node.peers.clone()).collect();
        let f = self.setting.hostile;
        let mut pulls = Vec::with_capacity(self.honest.len());
        let mut pushes: Vec<Vec<u32>> = vec![Vec::new(); self.honest.len()];
        for node in &mut self.honest {
            pulls.push(node.turn_to(self.setting.hits, &mut self.honest_draws));
            let to = node.turn_to(self.setting.hits, &mut self.honest_draws);
            if to >= f && to != node.me {
                pushes[(to - f) as usize].push(node.me);
            }
        }
        for hostile in 0..f {
            for _ in 0..self.setting.force {
                let to = self.hostile_draws.random_range(0..self.setting.nodes);
                if to >= f {
                    pushes[(to - f) as usize].push(hostile);
                }
            }
        }
        for at in 0..self.honest.len() {
            for from in std::iter::once(pulls[at]).chain(pushes[at].iter().copied()) {
                if from == self.honest[at].me {
                    continue;
                }
                if from >= f {
                    for id in &views[(from - f) as usize] {
                        self.honest[at].hear(*id);
                    }
                } else {
                    let length = self.setting.slots.min(f as usize);
                    for id in sample(&mut self.hostile_draws, f as usize, length) {
                        self.honest[at].hear(id as u32);
                    }
                }
                self.honest[at].hear(from);
            }
        }
        self.rounds += 1;
        Standing {
            emitted,
            ..self.standing()
        }
    }

    fn reset_due(&mut self) -> Option<f64> {
        let batch = self.setting.batch.max(1);
        let (mut hostile, mut all) = (0u32, 0u32);
        for (at, node) in self.honest.iter_mut().enumerate() {
            // Nodes take turns, so that not all reset in the same round.
            let due = |round: u64| {
                ((round as f64 + at as f64) * self.setting.resets / batch as f64).floor()
            };
            let batches = (due(self.rounds + 1) - due(self.rounds)) as usize;
            for _ in 0..batches * batch {
                let sample = node.reset(&mut self.honest_draws);
                all += 1;
                hostile += u32::from(sample < self.setting.hostile);
            }
        }
        (all > 0).then(|| f64::from(hostile) / f64::from(all))
    }

    /// How it stands now; `emitted` is `None`.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let (mut sum, mut isolated) = (0.0, 0);
        for node in &self.honest {
            let hostile = node.peers.iter().filter(|id| **id < self.setting.hostile);
            let hostile = hostile.count();
            sum += hostile as f64 / node.peers.len() as f64;
            isolated += u32::from(hostile == node.peers.len());
        }
        Standing {
            view: sum / self.honest.len().max(1) as f64,
            emitted: None,
            isolated,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Mean of the last quarter of `rounds` rounds: view, emitted, and the isolated at the end.
    fn run(setting: Setting, rounds: u32, seed: u64) -> (f64, f64, u32) {
        let mut network = Ranked::new(setting, seed);
        let (mut view, mut emitted, mut times) = (0.0, 0.0, 0.0);
        let mut isolated = 0;
        for round in 0..rounds {
            let standing = network.round();
            isolated = standing.isolated;
            if let (true, Some(share)) = (round >= rounds - rounds / 4, standing.emitted) {
                view += standing.view;
                emitted += share;
                times += 1.0;
            }
        }
        (view / times, emitted / times, isolated)
    }

    #[test]
    fn samples_have_the_adversary_at_its_share() {
        let (view, emitted, isolated) = run(Setting::published(150, 30, 30), 60, 1);
        assert!((emitted - 0.2).abs() < 0.03, "emitted {emitted}");
        assert!((0.2..0.28).contains(&view), "view {view}");
        assert_eq!(isolated, 0);
    }

    #[test]
    fn shouting_louder_does_not_help() {
        let quiet = Setting {
            force: 1,
            ..Setting::published(150, 15, 30)
        };
        let loud = Setting { force: 30, ..quiet };
        let (quiet, loud) = (run(quiet, 30, 2), run(loud, 30, 2));
        assert!((loud.0 - quiet.0).abs() <= 0.03, "{quiet:?} {loud:?}");
    }

    #[test]
    fn few_slots_are_eclipsed() {
        // The model can fail: 10 slots against three hostile nodes in ten that push ten views each.
        let (view, _, isolated) = run(Setting::published(300, 90, 10), 80, 3);
        assert!(view > 0.95 && isolated > 150, "{view} {isolated}");
    }

    #[test]
    fn counting_hits_is_worth_its_while() {
        let with = Setting::published(150, 45, 20);
        let without = Setting {
            hits: false,
            ..with
        };
        let (with, without) = (run(with, 60, 4), run(without, 60, 4));
        assert!(without.0 > with.0 + 0.05, "{with:?} {without:?}");
    }

    #[test]
    fn poisoned_contacts_isolate_where_honest_ones_do_not() {
        let half = Setting {
            poisoned: Some(0.5),
            ..Setting::published(150, 30, 30)
        };
        let all = Setting {
            poisoned: Some(1.0),
            ..half
        };
        assert_eq!(run(half, 30, 5).2, 0);
        assert_eq!(run(all, 30, 5).2, 120);
    }

    #[test]
    fn one_seed_one_run() {
        let setting = Setting::published(100, 20, 20);
        assert_eq!(run(setting, 20, 6), run(setting, 20, 6));
        assert_ne!(run(setting, 20, 6), run(setting, 20, 7));
    }

    #[test]
    fn resets_keep_their_pace() {
        for (resets, batch) in [(1.0, 10), (0.2, 1), (2.0, 5)] {
            let setting = Setting {
                resets,
                batch,
                ..Setting::published(50, 0, 20)
            };
            let mut network = Ranked::new(setting, 1);
            for _ in 0..100 {
                network.round();
            }
            for node in &network.honest {
                let expected = 100.0 * resets;
                assert!((f64::from(node.resets) - expected).abs() <= batch as f64);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        /// The algorithm as the paper has it, every slot looking at every id, against the one that skips what cannot matter.
        #[test]
        fn what_is_skipped_makes_no_difference(
            slots in 1usize..9,
            steps in proptest::collection::vec(prop_oneof![8 => (0u32..30).prop_map(Some), 1 => Just(None)], 0..200),
            seed in 0u64..1000,
        ) {
            let setting = Setting { slots, ..Setting::published(30, 0, slots) };
            let mut draws = ChaCha12Rng::seed_from_u64(seed);
            let mut node = Node::new(3, &setting, &mut draws);
            let mut plain: Vec<(u64, u32, u32)> = node.seeds.iter().map(|seed| (*seed, 3, 1)).collect();
            let mut at = 0;
            for step in steps {
                if let Some(id) = step {
                    node.hear(id);
                    if id == 3 {
                        continue;
                    }
                    for (seed, peer, hits) in &mut plain {
                        if *peer == id {
                            *hits += 1;
                        } else if *peer == 3 || rank(*seed, id) < rank(*seed, *peer) {
                            (*peer, *hits) = (id, 1);
                        }
                    }
                } else {
                    prop_assert_eq!(node.reset(&mut draws), plain[at].1);
                    let seed = node.seeds[at];
                    let best = plain.iter().map(|slot| slot.1).filter(|peer| *peer != 3).min_by_key(|peer| rank(seed, *peer));
                    plain[at] = (seed, best.unwrap_or(3), 1);
                    at = (at + 1) % slots;
                }
                let held: Vec<(u64, u32, u32)> = (0..slots).map(|at| (node.seeds[at], node.peers[at], node.hits[at])).collect();
                prop_assert_eq!(&held, &plain);
            }
        }
    }
}
