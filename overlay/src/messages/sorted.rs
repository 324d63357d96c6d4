//! A sorted map for a million small entries: short sorted runs, well filled.
//!
//! A `BTreeMap` that grows at its end leaves its nodes half empty and costs about twice its entries. Here entries lie in runs
//! of up to 512, found by binary search over the runs' first keys; what grows at an end, or at the end of any group of keys, leaves
//! full runs behind. An insertion in the middle moves at most one run (tens of kilobytes).

use std::collections::VecDeque;

/// Most entries in a run.
const RUN: usize = 512;

/// A map from `K` to `V` in the order of `K`.
#[derive(Debug)]
pub(super) struct Sorted<K, V> {
    /// Runs, none of them empty, each with a lower bound of its keys that is above all keys before it.
    runs: VecDeque<(K, Vec<(K, V)>)>,
    len: usize,
}

impl<K, V> Default for Sorted<K, V> {
    fn default() -> Self {
        Self {
            runs: VecDeque::new(),
            len: 0,
        }
    }
}

impl<K: Ord + Copy, V: Copy> Sorted<K, V> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The run that would hold the key.
    fn run_of(&self, key: &K) -> usize {
        self.runs
            .partition_point(|(first, _)| first <= key)
            .saturating_sub(1)
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        let (_, run) = self.runs.get(self.run_of(key))?;
        let at = run.binary_search_by(|(other, _)| other.cmp(key)).ok()?;
        Some(&run.get(at)?.1)
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let at = self.run_of(key);
        let (_, run) = self.runs.get_mut(at)?;
        let at = run.binary_search_by(|(other, _)| other.cmp(key)).ok()?;
        Some(&mut run.get_mut(at)?.1)
    }

    /// Inserts an entry; returns the value it replaces.
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let at = self.run_of(&key);
        let Some((first, run)) = self.runs.get_mut(at) else {
            self.runs.push_back((key, new_run(&[(key, value)])));
            self.len = 1;
            return None;
        };
        let place = match run.binary_search_by(|(other, _)| other.cmp(&key)) {
            Ok(place) => return Some(std::mem::replace(&mut run[place].1, value)),
            Err(place) => place,
        };
        self.len += 1;
        *first = key.min(*first);
        if run.len() < RUN {
            run.insert(place, (key, value));
            return None;
        }
        // Growth at the end of a group of keys leaves a full run behind.
        let cut = place.max(RUN / 2);
        let mut tail = new_run(&run[cut..]);
        run.truncate(cut);
        if place < cut {
            run.insert(place, (key, value));
        } else {
            tail.insert(place - cut, (key, value));
        }
        self.runs.insert(at + 1, (tail[0].0, tail));
        None
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let at = self.run_of(key);
        let (_, run) = self.runs.get_mut(at)?;
        let place = run.binary_search_by(|(other, _)| other.cmp(key)).ok()?;
        let (_, value) = run.remove(place);
        self.len -= 1;
        self.tidy(at);
        Some(value)
    }

    pub(super) fn first(&self) -> Option<&(K, V)> {
        self.runs.front()?.1.first()
    }

    pub(super) fn pop_first(&mut self) -> Option<(K, V)> {
        let (key, _) = *self.first()?;
        Some((key, self.remove(&key)?))
    }

    /// The entries from `from` on, ascending.
    pub(super) fn range_from(&self, from: K) -> impl Iterator<Item = &(K, V)> {
        let at = self.run_of(&from);
        let skip = self.runs.get(at).map_or(0, |(_, run)| {
            run.partition_point(|(other, _)| *other < from)
        });
        self.runs
            .range(at.min(self.runs.len())..)
            .flat_map(|(_, run)| run)
            .skip(skip)
    }

    /// The entry with `n` lesser ones.
    pub(super) fn nth(&self, mut n: usize) -> Option<&(K, V)> {
        for (_, run) in &self.runs {
            if n < run.len() {
                return run.get(n);
            }
            n -= run.len();
        }
        None
    }

    /// Drops a run that is empty, and merges one that is nearly so with its neighbor.
    fn tidy(&mut self, at: usize) {
        let len = |at: usize| self.runs.get(at).map(|(_, run)| run.len());
        let Some(own) = len(at) else {
            return;
        };
        if own == 0 {
            self.runs.remove(at);
        } else if own < RUN / 4 {
            // Not at the front, where whole runs vanish in turn.
            let left = if at > 1 { at - 1 } else { at };
            let pair = len(left).zip(len(left + 1));
            if left > 0
                && pair.is_some_and(|(a, b)| a + b <= RUN / 2)
                && let Some((_, right)) = self.runs.remove(left + 1)
            {
                self.runs[left].1.extend(right);
            }
        }
    }
}

/// A run with room to grow to its full length without being moved.
fn new_run<K: Copy, V: Copy>(entries: &[(K, V)]) -> Vec<(K, V)> {
    let mut run = Vec::with_capacity(RUN);
    run.extend_from_slice(entries);
    run
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn check(sorted: &Sorted<u32, u32>, model: &BTreeMap<u32, u32>) {
        assert_eq!(sorted.len(), model.len());
        assert!(sorted.runs.iter().all(|(first, run)| {
            !run.is_empty() && run.len() <= RUN && *first <= run[0].0 && run.capacity() == RUN
        }));
        let all = sorted.range_from(0).copied();
        assert!(all.eq(model.iter().map(|(key, value)| (*key, *value))));
    }

    #[test]
    fn growth_at_the_ends_of_groups_fills_the_runs() {
        let mut sorted = Sorted::default();
        for n in 0..20_000u32 {
            for group in 0..5 {
                sorted.insert(group * 1_000_000 + n, n);
            }
        }
        let runs = sorted.runs.len();
        assert!(runs * RUN < 140_000, "{runs} runs for 100,000 entries");
        // Nearly empty runs are merged.
        for n in 0..20_000 {
            for group in 0..5 {
                if n % 100 > 0 {
                    sorted.remove(&(group * 1_000_000 + n));
                }
            }
        }
        assert_eq!(sorted.len(), 1000);
        assert!(sorted.runs.len() < 20, "{}", sorted.runs.len());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn it_does_what_a_btree_map_does(
            steps in prop::collection::vec((0u8..8, 0u32..6000, 1u32..800), 1..60),
        ) {
            let (mut sorted, mut model) = (Sorted::default(), BTreeMap::new());
            for (step, key, n) in steps {
                match step {
                    0..3 => for i in 0..n {
                        let key = key + i;
                        prop_assert_eq!(sorted.insert(key, i), model.insert(key, i));
                    },
                    3 => for i in 0..n {
                        let key = (key * 7 + i * 613) % 6000;
                        prop_assert_eq!(sorted.insert(key, i), model.insert(key, i));
                    },
                    4 => for i in 0..n {
                        let key = (key + i * 3) % 6000;
                        prop_assert_eq!(sorted.remove(&key), model.remove(&key));
                    },
                    5 => for _ in 0..n {
                        prop_assert_eq!(sorted.pop_first(), model.pop_first());
                    },
                    6 => {
                        prop_assert_eq!(sorted.get(&key), model.get(&key));
                        prop_assert_eq!(sorted.get_mut(&key), model.get_mut(&key));
                        let nth = sorted.nth(n as usize).map(|(key, _)| key);
                        prop_assert_eq!(nth, model.keys().nth(n as usize));
                    }
                    _ => {
                        let tail = sorted.range_from(key).map(|(key, _)| key);
                        prop_assert!(tail.eq(model.range(key..).map(|(key, _)| key)));
                    }
                }
                check(&sorted, &model);
                prop_assert_eq!(sorted.first().map(|(key, _)| key), model.keys().next());
            }
        }
    }
}
