//! What was seen lately.

use std::hash::Hash;
use std::time::{Duration, Instant};

use indexmap::IndexSet;

/// Remembers keys for a while, in bounded memory.
///
/// Two generations: new keys go into the young one; when that is `keep` old, or holds half the capacity, it becomes the
/// old one and the old one is forgotten as a whole. A key is therefore remembered for `keep` at least and twice that at most,
/// unless more than half the capacity of newer keys came in the meantime.
#[derive(Clone, Debug)]
pub struct SeenSet<K> {
    young: IndexSet<K>,
    old: IndexSet<K>,
    half: usize,
    keep: Duration,
    /// When the young generation began.
    since: Instant,
}

impl<K: Hash + Eq> SeenSet<K> {
    /// Holds at most `capacity` keys (less than 2 counts as 2).
    #[must_use]
    pub fn new(capacity: usize, keep: Duration, now: Instant) -> Self {
        Self {
            young: IndexSet::new(),
            old: IndexSet::new(),
            half: (capacity / 2).max(1),
            keep,
            since: now,
        }
    }

    /// Remembers a key; returns whether it is new. A key seen again is not remembered any longer for it.
    pub fn insert(&mut self, key: K, now: Instant) -> bool {
        self.turn(now);
        if self.young.contains(&key) || self.old.contains(&key) {
            return false;
        }
        if self.young.len() >= self.half {
            self.old = std::mem::take(&mut self.young);
            self.since = now;
        }
        self.young.insert(key)
    }

    /// Whether the key is remembered.
    #[must_use]
    pub fn contains(&self, key: &K, now: Instant) -> bool {
        let age = now.saturating_duration_since(self.since);
        (age < self.keep.saturating_mul(2) && self.young.contains(key))
            || (age < self.keep && self.old.contains(key))
    }

    /// Forgets a key; returns whether it was held.
    pub fn remove(&mut self, key: &K) -> bool {
        self.young.swap_remove(key) || self.old.swap_remove(key)
    }

    /// Keys held, never more than the capacity.
    #[must_use]
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn turn(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.since);
        if age < self.keep {
            return;
        }
        self.old = std::mem::take(&mut self.young);
        if age < self.keep.saturating_mul(2) {
            self.since += self.keep; // when it was due, so that nothing lives longer for being asked late
        } else {
            self.old.clear();
            self.since = now;
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any origin of time will do")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEEP: Duration = Duration::from_secs(10);

    #[test]
    fn forgets_by_age() {
        let start = Instant::now();
        let mut seen = SeenSet::new(100, KEEP, start);
        assert!(seen.insert(1, start));
        assert!(!seen.insert(1, start + KEEP / 2));
        assert!(seen.contains(&1, start + KEEP));
        assert!(!seen.contains(&1, start + KEEP * 2));
        assert!(seen.insert(2, start + KEEP));
        assert!(!seen.insert(1, start + KEEP), "in the old generation");
        assert!(seen.insert(1, start + KEEP * 2), "forgotten");
        assert!(seen.insert(2, start + KEEP * 9), "a long pause forgets all");
        assert_eq!(seen.len(), 1);
    }

    #[test]
    fn a_flood_of_keys_stays_within_the_capacity() {
        let start = Instant::now();
        let mut seen = SeenSet::new(100, KEEP, start);
        for key in 0..1_000_000u32 {
            assert!(seen.insert(key, start));
            assert!(seen.len() <= 100);
        }
        for key in 1_000_000 - 50..1_000_000 {
            assert!(seen.contains(&key, start), "the last half is remembered");
        }
        assert!(!seen.contains(&0, start));
    }

    #[test]
    fn removed_is_forgotten() {
        let start = Instant::now();
        let mut seen = SeenSet::new(2, KEEP, start);
        seen.insert(1, start);
        seen.insert(2, start);
        assert!(seen.remove(&1) && seen.remove(&2) && !seen.remove(&2));
        assert!(seen.is_empty());
    }

    proptest! {
        #[test]
        fn within_capacity_nothing_young_is_forgotten(
            steps in prop::collection::vec((0u64..3_000, 0u8..20), 1..200),
        ) {
            let start = Instant::now();
            let mut now = start;
            let mut seen = SeenSet::new(40, KEEP, start);
            let mut last_new = [None::<Instant>; 20];
            for (ms, key) in steps {
                now += Duration::from_millis(ms);
                let slot = &mut last_new[usize::from(key)];
                let contained = seen.contains(&key, now);
                prop_assert_eq!(seen.insert(key, now), !contained);
                prop_assert!(seen.contains(&key, now));
                if contained {
                    let age = now - slot.unwrap();
                    prop_assert!(age < KEEP * 2);
                } else {
                    prop_assert!(slot.is_none_or(|then| now - then >= KEEP));
                    *slot = Some(now);
                }
                prop_assert!(seen.len() <= 40);
            }
        }
    }
}
