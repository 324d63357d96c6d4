//! What is known of each author's tree at this node: who supplies us, and what each neighbor asked of us.

use std::collections::BTreeMap;
use std::time::Instant;

use super::slots::{Slot, Slots};

/// A link that was earlier than the supplier, time after time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Challenger {
    /// Which.
    pub(super) slot: Slot,
    /// How often in a row.
    pub(super) wins: u8,
    /// Since when.
    pub(super) since: Instant,
}

/// The state of one author.
#[derive(Clone, Debug, Default)]
pub(super) struct Author {
    /// The link credited with bringing this author's messages; `None` = whoever is next.
    pub(super) supplier: Option<Slot>,
    /// Who was earlier than the supplier lately.
    pub(super) challenger: Option<Challenger>,
    /// How often in a row a message had to be asked for although there was a supplier.
    pub(super) failures: u8,
    /// When the supplier was last exchanged for a faster one.
    pub(super) switched: Option<Instant>,
    /// Neighbors that do not want this author pushed.
    pub(super) out_pruned: Slots,
    /// Neighbors that asked for this author although they are not eager by default.
    pub(super) out_grafted: Slots,
    /// Neighbors that the bodies of this author's large messages are sent to without being asked.
    pub(super) out_follow: Slots,
    /// Neighbors that bulk of this author is sent to without being asked.
    pub(super) out_bulk: Slots,
    /// Who sends us this author's bulk without being asked.
    pub(super) feeder: Option<Slot>,
    /// Neighbors that we told not to push this author.
    pub(super) in_pruned: Slots,
    /// Number of the author's latest message in the table of recent messages.
    pub(super) last: u64,
    used: u64,
}

/// Authors by key, bounded. When it is full, the sixteenth part that was idle longest is forgotten: those authors are fresh again,
/// which costs some duplicates and nothing else. Only messages that have been verified make an entry, never a graft or prune.
#[derive(Debug, Default)]
pub(super) struct Authors {
    map: BTreeMap<[u8; 32], Author>,
    clock: u64,
}

impl Authors {
    /// The state of an author whose verified message is at hand, made if need be; returns how many others were forgotten for it.
    pub(super) fn touch(&mut self, author: [u8; 32], max: usize) -> (&mut Author, usize) {
        let mut evicted = 0;
        if self.map.len() >= max && !self.map.contains_key(&author) {
            evicted = self.evict(max);
        }
        self.clock += 1;
        let state = self.map.entry(author).or_default();
        state.used = self.clock;
        (state, evicted)
    }

    fn evict(&mut self, max: usize) -> usize {
        let mut ages: Vec<u64> = self.map.values().map(|state| state.used).collect();
        let surplus = (self.map.len() + 1).saturating_sub(max) + max / 16;
        let nth = surplus.clamp(1, ages.len()) - 1;
        let (_, &mut limit, _) = ages.select_nth_unstable(nth);
        let before = self.map.len();
        self.map.retain(|_, state| state.used > limit);
        before - self.map.len()
    }

    /// The state of an author, if there is one.
    pub(super) fn get(&self, author: &[u8; 32]) -> Option<&Author> {
        self.map.get(author)
    }

    /// The state of an author, if there is one.
    pub(super) fn get_mut(&mut self, author: &[u8; 32]) -> Option<&mut Author> {
        self.map.get_mut(author)
    }

    /// Forgets a link that is gone; returns the authors it supplied, the most recently active first, at most `max`.
    pub(super) fn forget(&mut self, slot: Slot, max: usize) -> Vec<[u8; 32]> {
        let mut orphans = self.supplied_by(slot, max);
        for state in self.map.values_mut() {
            state.out_pruned.remove(slot);
            state.out_grafted.remove(slot);
            state.in_pruned.remove(slot);
            state.out_follow.remove(slot);
            state.out_bulk.remove(slot);
            if state.feeder == Some(slot) {
                state.feeder = None;
            }
            if state.challenger.is_some_and(|it| it.slot == slot) {
                state.challenger = None;
            }
            if state.supplier == Some(slot) {
                state.supplier = None;
            }
        }
        orphans.truncate(max);
        orphans
    }

    /// The authors a link supplies, the most recently active first, at most `max`.
    pub(super) fn supplied_by(&self, slot: Slot, max: usize) -> Vec<[u8; 32]> {
        let mut found: Vec<(u64, [u8; 32])> = self
            .map
            .iter()
            .filter(|(_, state)| state.supplier == Some(slot))
            .map(|(author, state)| (state.used, *author))
            .collect();
        found.sort_unstable_by(|a, b| b.cmp(a));
        found.truncate(max);
        found.into_iter().map(|(_, author)| author).collect()
    }

    /// Number of authors known.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.map.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn author(n: u32) -> [u8; 32] {
        let mut key = [0; 32];
        key[..4].copy_from_slice(&n.to_le_bytes());
        key
    }

    #[test]
    fn the_table_is_bounded_and_forgets_the_idle_first() {
        let mut authors = Authors::default();
        let mut evicted = 0;
        for n in 0..1000 {
            evicted += authors.touch(author(n), 64).1;
            authors.touch(author(0), 64);
            assert!(authors.len() <= 64);
        }
        assert_eq!(evicted, 1000 - authors.len());
        assert!(authors.get(&author(0)).is_some(), "the busy one stays");
        assert!(authors.get(&author(999)).is_some());
        assert!(authors.get(&author(1)).is_none());
    }

    #[test]
    fn a_link_that_is_gone_leaves_no_trace() {
        let mut authors = Authors::default();
        let since = crate::testing::Bench::new(0).now.mono;
        for n in 0..10 {
            let state = authors.touch(author(n), 64).0;
            state.supplier = Some(if n < 6 { 3 } else { 4 });
            state.out_pruned.insert(3);
            state.out_grafted.insert(3);
            state.in_pruned.insert(3);
            state.challenger = Some(Challenger {
                slot: 3,
                wins: 1,
                since,
            });
        }
        assert_eq!(
            authors.forget(3, 4),
            [author(5), author(4), author(3), author(2)]
        );
        for n in 0..10 {
            let state = authors.get(&author(n)).expect("kept");
            assert_eq!(state.supplier, (n >= 6).then_some(4));
            assert!(!state.out_pruned.has(3) && !state.out_grafted.has(3));
            assert!(!state.in_pruned.has(3) && state.challenger.is_none());
        }
    }
}
