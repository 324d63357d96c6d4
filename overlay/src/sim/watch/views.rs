//! What honest nodes know of others, true and untrue, and what that costs.

use std::collections::BTreeMap;

use crypto::PeerId;
use rand::RngExt as _;
use rand::rngs::ChaCha12Rng;

use super::{Moment, Watch};
use crate::sim::measure::stats;
use crate::sim::world::{Known, Player, START_UNIX_MS, World};
use crate::wire::RECORD_VALID_S;

/// Draws from a view that stand for the samples of a player who emits none, at each measured moment.
const DRAWS: usize = 4;

/// A few random peers of a view, each slot with the same chance.
pub(super) fn draw(view: &[Known], rng: &mut ChaCha12Rng) -> Vec<PeerId> {
    let slots: usize = view.iter().map(|known| known.slots).sum();
    if slots == 0 {
        return Vec::new();
    }
    let one = |rng: &mut ChaCha12Rng| {
        let mut at = rng.random_range(0..slots);
        let found = view.iter().find(|known| match at.checked_sub(known.slots) {
            Some(rest) => {
                at = rest;
                false
            }
            None => true,
        });
        found.map(|known| known.peer)
    };
    (0..DRAWS).filter_map(|_| one(rng)).collect()
}

/// Slots of a view, by what is true of the peers in them.
#[derive(Clone, Copy, Debug, Default)]
struct Slots {
    all: usize,
    /// The peer is up.
    alive: usize,
    /// It is up and hostile.
    hostile: usize,
    /// Nobody of this name is up.
    dead: usize,
    /// The record is out of date, or names an address at which the peer is not.
    stale: usize,
}

impl Slots {
    fn add(&mut self, other: &Self) {
        self.all += other.all;
        self.alive += other.alive;
        self.hostile += other.hostile;
        self.dead += other.dead;
        self.stale += other.stale;
    }

    fn share(&self) -> f64 {
        self.hostile as f64 / self.alive.max(1) as f64
    }
}

impl Watch {
    /// Who is in the views of honest nodes.
    pub(super) fn views(&mut self, world: &World, moment: &mut Moment) {
        let mut total = Slots::default();
        let (mut nodes, mut isolated, mut victims_isolated) = (0_u32, 0_u32, 0_u32);
        let mut victim_most: f64 = 0.0;
        let mut in_degrees = vec![0_u64; world.len()];
        for host in world.hosts().filter(|host| host.is_honest()) {
            let view = host.player().map(Player::view).unwrap_or_default();
            nodes += 1;
            let slots = self.look(&view, world, &mut in_degrees);
            total.add(&slots);
            let links = host.node().map(|node| node.rooms().links);
            let honest_link = links.is_none_or(|links| {
                links.neighbors().any(|(_, link)| {
                    let other = self.ids.get(&link.peer).map(|index| world.host(*index));
                    link.outbound && other.is_some_and(|other| !other.who().hostile)
                })
            });
            let alone = slots.alive == slots.hostile || !honest_link;
            isolated += u32::from(alone);
            if self.victims.contains(&(host.index() as usize)) {
                victim_most = victim_most.max(slots.share());
                victims_isolated += u32::from(alone);
            }
        }
        let part = |count: usize| count as f64 / total.all.max(1) as f64;
        let values = &mut moment.values;
        values.insert("share", total.share());
        values.insert("dead", part(total.dead));
        values.insert("stale", part(total.stale));
        values.insert("slots_filled", total.all as f64 / f64::from(nodes.max(1)));
        values.insert("isolated", isolated.into());
        values.insert("alive", nodes.into());
        if !self.victims.is_empty() {
            values.insert("victim_share_max", victim_most);
            values.insert("victims_isolated", victims_isolated.into());
        }
        let mut histogram: BTreeMap<u64, u64> = BTreeMap::new();
        for host in world.hosts().filter(|host| host.is_honest()) {
            *histogram
                .entry(in_degrees[host.index() as usize])
                .or_default() += 1;
        }
        self.outcome
            .histograms
            .insert("memory_indegree".to_owned(), histogram);
    }

    /// Who is in one view; counts them into the in-degrees.
    fn look(&self, view: &[Known], world: &World, in_degrees: &mut [u64]) -> Slots {
        let unix_s = (START_UNIX_MS + world.time().0 / 1000) / 1000;
        let mut found = Slots::default();
        for known in view {
            let slots = known.slots;
            found.all += slots;
            let index = self.ids.get(&known.peer).copied();
            if let Some(index) = index {
                in_degrees[index] += 1;
            }
            let up = index
                .map(|index| world.host(index))
                .filter(|host| host.player().is_some());
            let Some(host) = up else {
                found.dead += slots;
                continue;
            };
            found.alive += slots;
            found.hostile += if host.who().hostile { slots } else { 0 };
            let expired = known
                .issued_unix_s
                .is_some_and(|issued| issued + RECORD_VALID_S < unix_s);
            let moved = known.addr != host.who().addr;
            found.stale += if expired || moved { slots } else { 0 };
        }
        found
    }

    /// What nodes believe of the size of the network.
    pub(super) fn estimates(&self, world: &World, moment: &mut Moment) {
        let dialable = world
            .hosts()
            .filter(|host| host.player().is_some() && !host.who().undialable)
            .count()
            .saturating_sub(1);
        let nodes = world.hosts().filter(|host| host.is_honest());
        let sizes: Vec<f64> = nodes
            .filter_map(|host| host.node()?.rooms().view.size_estimate())
            .map(|size| size / dialable.max(1) as f64)
            .collect();
        if let Some(middle) = stats::quantile(&sizes, 0.5) {
            moment.values.insert("size_ratio", middle);
        }
        let errors: Vec<f64> = sizes.iter().map(|ratio| (ratio - 1.0).abs()).collect();
        if let Some(most) = stats::quantile(&errors, 0.95) {
            moment.values.insert("size_error_p95", most);
        }
    }

    /// Dials that arrive at the victims.
    pub(super) fn dials(&mut self, world: &World, seconds: f64, moment: &mut Moment) {
        if self.victims.is_empty() {
            return;
        }
        let span = (seconds - self.last_s).max(1e-9);
        let (mut all, mut astray) = (0, 0);
        for victim in &self.victims {
            let dialed = world.host(*victim).dialed();
            let now = (dialed.all, dialed.astray);
            let before = self.dialed.insert(*victim, now).unwrap_or_default();
            all += now.0 - before.0;
            astray += now.1 - before.1;
        }
        let each = |dials: u64| dials as f64 / self.victims.len() as f64 / span;
        moment.values.insert("victim_dials_per_sec", each(all));
        moment
            .values
            .insert("victim_stray_dials_per_sec", each(astray));
    }

    /// Exchanges of honest nodes that were answered.
    pub(super) fn answers(&mut self, world: &World, seconds: f64, moment: &mut Moment) {
        self.answered.resize(world.len(), 0);
        let span = (seconds - self.last_s).max(1e-9);
        let (mut all, mut nodes) = (0, 0_u32);
        for host in world.hosts().filter(|host| !host.who().hostile) {
            let now = host.player().map_or(0, Player::answered);
            let before = std::mem::replace(&mut self.answered[host.index() as usize], now);
            // A node that starts anew counts anew.
            all += now.saturating_sub(before);
            nodes += u32::from(host.is_honest());
        }
        let mean = all as f64 / f64::from(nodes.max(1)) / span;
        moment.values.insert("answered_per_sec", mean);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crypto::Identity;
    use rand::SeedableRng as _;

    #[test]
    fn draws_follow_the_slots() {
        let known = |n: u8, slots| Known {
            peer: Identity::from_seed(&[n; 32]).id(),
            addr: "10.0.0.1:1".parse().unwrap(),
            slots,
            issued_unix_s: None,
        };
        let view = [known(1, 1), known(2, 9)];
        let mut rng = ChaCha12Rng::seed_from_u64(1);
        let drawn: Vec<PeerId> = (0..500).flat_map(|_| draw(&view, &mut rng)).collect();
        let first = drawn.iter().filter(|peer| **peer == view[0].peer).count();
        // 2,000 draws with one chance in ten: 200 with a deviation of 13.
        assert!((130..270).contains(&first), "{first}");
        assert!(draw(&[], &mut rng).is_empty());
    }
}
