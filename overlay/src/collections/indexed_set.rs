//! A set to draw from.

use std::hash::Hash;

use indexmap::IndexSet;
use rand::{Rng, RngExt as _};

/// A set with insertion, removal, lookup and a uniform random pick in constant time. Its order depends only on the
/// operations done, so a run repeats exactly. Its owner bounds it.
#[derive(Clone, Debug)]
pub struct IndexedSet<K> {
    keys: IndexSet<K>,
}

impl<K> Default for IndexedSet<K> {
    fn default() -> Self {
        Self {
            keys: IndexSet::new(),
        }
    }
}

impl<K: Hash + Eq> IndexedSet<K> {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a key; returns whether it is new.
    pub fn insert(&mut self, key: K) -> bool {
        self.keys.insert(key)
    }

    /// Removes a key; returns whether it was there. The last key takes its place in the order.
    pub fn remove(&mut self, key: &K) -> bool {
        self.keys.swap_remove(key)
    }

    /// Whether the key is there.
    #[must_use]
    pub fn contains(&self, key: &K) -> bool {
        self.keys.contains(key)
    }

    /// One key, each with the same chance; `None` from an empty set.
    pub fn random(&self, rng: &mut impl Rng) -> Option<&K> {
        if self.keys.is_empty() {
            return None;
        }
        self.keys.get_index(rng.random_range(0..self.keys.len()))
    }

    /// Removes and returns one key, each with the same chance.
    pub fn take_random(&mut self, rng: &mut impl Rng) -> Option<K> {
        if self.keys.is_empty() {
            return None;
        }
        self.keys
            .swap_remove_index(rng.random_range(0..self.keys.len()))
    }

    /// `n` distinct keys (all, if there are fewer), each subset with the same chance.
    pub fn sample(&self, n: usize, rng: &mut impl Rng) -> Vec<&K> {
        let n = n.min(self.keys.len());
        rand::seq::index::sample(rng, self.keys.len(), n)
            .into_iter()
            .filter_map(|index| self.keys.get_index(index))
            .collect()
    }

    /// All keys, in an order that depends only on the operations done.
    pub fn iter(&self) -> impl Iterator<Item = &K> {
        self.keys.iter()
    }

    /// Number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand::rngs::ChaCha12Rng;
    use std::collections::BTreeSet;

    #[test]
    fn picks_uniformly() {
        let mut rng = ChaCha12Rng::from_seed([3; 32]);
        let mut set = IndexedSet::new();
        for key in 0..12 {
            set.insert(key);
        }
        set.remove(&3);
        set.remove(&11);
        let mut hits = [0u32; 12];
        for _ in 0..10_000 {
            hits[*set.random(&mut rng).unwrap()] += 1;
        }
        assert_eq!((hits[3], hits[11]), (0, 0));
        // Chi-squared with 9 degrees of freedom; 27.9 is its 0.1 % point.
        let chi: f64 = (0..12)
            .filter(|key| *key != 3 && *key != 11)
            .map(|key| (f64::from(hits[key]) - 1000.0).powi(2) / 1000.0)
            .sum();
        assert!(chi < 27.9, "{hits:?}");
    }

    proptest! {
        #[test]
        fn behaves_as_a_set(
            steps in prop::collection::vec((0u8..4, 0u8..16), 0..200), seed in any::<[u8; 32]>(),
        ) {
            let mut rng = ChaCha12Rng::from_seed(seed);
            let mut set = IndexedSet::new();
            let mut model = BTreeSet::new();
            for (operation, key) in steps {
                match operation {
                    0 | 1 => prop_assert_eq!(set.insert(key), model.insert(key)),
                    2 => prop_assert_eq!(set.remove(&key), model.remove(&key)),
                    _ => match set.take_random(&mut rng) {
                        Some(taken) => prop_assert!(model.remove(&taken)),
                        None => prop_assert!(model.is_empty()),
                    },
                }
                prop_assert_eq!(set.len(), model.len());
                prop_assert_eq!(set.is_empty(), model.is_empty());
                prop_assert_eq!(set.iter().copied().collect::<BTreeSet<_>>(), model.clone());
                let picked = set.random(&mut rng);
                prop_assert_eq!(picked.is_some_and(|picked| model.contains(picked)), !model.is_empty());
                let sample: BTreeSet<u8> = set.sample(5, &mut rng).into_iter().copied().collect();
                prop_assert_eq!(sample.len(), model.len().min(5));
                prop_assert!(sample.is_subset(&model) && sample.iter().all(|key| set.contains(key)));
            }
        }
    }
}
