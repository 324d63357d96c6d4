//! Peers by the prefix they share, for picks that are fair over prefixes.

use crypto::PeerId;
use rand::{Rng, RngExt as _};

use super::Prefix;
use crate::collections::{KeyedMap, Keys};

/// The members of each prefix. As large as the collection it belongs to; its order depends only on the operations done.
#[derive(Debug)]
pub(super) struct Groups {
    members: KeyedMap<Prefix, Vec<PeerId>>,
}

impl Groups {
    pub(super) fn new(rng: &mut impl Rng) -> Self {
        Self {
            members: KeyedMap::with_hasher(Keys::new(rng)),
        }
    }

    /// Number of prefixes.
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// Adds a peer that is not there.
    pub(super) fn insert(&mut self, prefix: Prefix, peer: PeerId) {
        let members = self
            .members
            .entry(prefix)
            // Most prefixes of a large network have one member.
            .or_insert_with(|| Vec::with_capacity(1));
        members.push(peer);
    }

    pub(super) fn remove(&mut self, prefix: &Prefix, peer: &PeerId) {
        let Some(members) = self.members.get_mut(prefix) else {
            return;
        };
        if let Some(at) = members.iter().position(|other| other == peer) {
            members.swap_remove(at);
        }
        if members.is_empty() {
            self.members.swap_remove(prefix);
        }
    }

    /// A random peer: first a prefix, then a peer in it.
    pub(super) fn pick(&self, rng: &mut impl Rng) -> Option<PeerId> {
        if self.members.is_empty() {
            return None;
        }
        let nth = rng.random_range(0..self.members.len());
        let (_, members) = self.members.get_index(nth)?;
        members.get(rng.random_range(0..members.len())).copied()
    }

    /// The members of a prefix that has the most.
    pub(super) fn largest(&self) -> &[PeerId] {
        let largest = self.members.values().max_by_key(|members| members.len());
        largest.map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::SeedableRng as _;

    use super::*;
    use crate::config::AddressPreset;
    use crate::peers::Group;
    use crate::testing::peer;

    #[test]
    fn picks_are_fair_over_prefixes_then_over_peers() {
        let mut rng = rand::rngs::ChaCha12Rng::seed_from_u64(1);
        let mut groups = Groups::new(&mut rng);
        let prefix = |n: u8| Group::of([20, n, 0, 1].into(), AddressPreset::Wan).wide;
        assert_eq!(groups.pick(&mut rng), None);
        // Nine in one prefix, one each in three others, and some that come and go.
        for n in 0..9 {
            groups.insert(prefix(0), peer(n));
        }
        for n in 1..4 {
            groups.insert(prefix(n), peer(10 + u32::from(n)));
            groups.insert(prefix(n), peer(20 + u32::from(n)));
            groups.insert(prefix(100 + n), peer(30 + u32::from(n)));
        }
        for n in 1..4 {
            groups.remove(&prefix(n), &peer(20 + u32::from(n)));
            groups.remove(&prefix(100 + n), &peer(30 + u32::from(n)));
        }
        groups.remove(&prefix(99), &peer(1));
        assert_eq!((groups.len(), groups.largest().len()), (4, 9));
        let mut picked: BTreeMap<PeerId, u32> = BTreeMap::new();
        for _ in 0..3600 {
            *picked.entry(groups.pick(&mut rng).unwrap()).or_default() += 1;
        }
        assert_eq!(picked.len(), 12);
        // Four standard deviations of 900 and of 100.
        for n in 1..4 {
            assert!((796..1004).contains(&picked[&peer(10 + n)]), "{picked:?}");
        }
        for n in 0..9 {
            assert!((60..140).contains(&picked[&peer(n)]), "{picked:?}");
        }
    }
}
