//! The push-pull framework: M. Jelasity, S. Voulgaris, R. Guerraoui, A.-M. Kermarrec, M. van Steen, "Gossip-based Peer Sampling" (TOCS
//! 2007), §2, with its corners *blind* (H = S = 0), *healer* (H = c/2, S = 0) and *swapper* (H = 0, S = c/2).

use std::cmp::Reverse;

use rand::RngExt as _;
use rand::rngs::ChaCha12Rng;
use rand::seq::SliceRandom as _;

use super::{Entry, Shuffle};

/// What kind of node it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Entries in a view (c), 2 or more; the paper: 30.
    pub size: usize,
    /// How many of the oldest go when views are merged (H), at most c/2.
    pub healing: usize,
    /// How many of those just sent go (S), at most c/2 - H.
    pub swapping: usize,
    /// Whether the oldest entry is called (`tail`) and not one at random (`rand`).
    pub oldest: bool,
}

impl Kind {
    /// H = S = 0: what goes is drawn at random.
    #[must_use]
    pub fn blind(size: usize) -> Self {
        Self {
            size,
            healing: 0,
            swapping: 0,
            oldest: false,
        }
    }

    /// H = c/2: the oldest go. Newscast is of this kind.
    #[must_use]
    pub fn healer(size: usize) -> Self {
        Self {
            healing: size / 2,
            ..Self::blind(size)
        }
    }

    /// S = c/2: what was sent goes. Cyclon is near this kind.
    #[must_use]
    pub fn swapper(size: usize) -> Self {
        Self {
            swapping: size / 2,
            ..Self::blind(size)
        }
    }
}

/// A node of the framework, pushing and pulling: its view, what it sends and how it merges. Whoever runs it carries the lists.
#[derive(Clone, Debug)]
pub struct Framework {
    me: u32,
    kind: Kind,
    /// The order matters: what was sent last stands at the head.
    view: Vec<Entry>,
}

impl Framework {
    /// Node `me` that begins with `view`, of which itself, repeats and what does not fit are left out.
    #[must_use]
    pub fn new(me: u32, kind: Kind, view: impl IntoIterator<Item = u32>) -> Self {
        let mut node = Self {
            me,
            kind,
            view: Vec::with_capacity(kind.size + kind.size / 2),
        };
        for id in view {
            if node.view.len() < kind.size
                && id != me
                && node.view.iter().all(|known| known.id != id)
            {
                node.view.push(Entry { id, age: 0 });
            }
        }
        node
    }

    /// Whom it knows, at most c.
    #[must_use]
    pub fn view(&self) -> &[Entry] {
        &self.view
    }

    /// One round: chooses whom to call and what to send. The framework keeps an entry whose call fails: it goes by its age. `None` from
    /// an empty view.
    pub fn begin(&mut self, rng: &mut ChaCha12Rng) -> Option<Shuffle> {
        if self.view.is_empty() {
            return None;
        }
        let to = if self.kind.oldest {
            self.view.iter().max_by_key(|entry| entry.age)?.id
        } else {
            self.view[rng.random_range(0..self.view.len())].id
        };
        let list = self.list(rng);
        Some(Shuffle { to, list })
    }

    /// Answers the list of a caller, then merges it.
    pub fn answer(&mut self, list: &[Entry], rng: &mut ChaCha12Rng) -> Vec<Entry> {
        let reply = self.list(rng);
        self.merge(list, rng);
        self.grow_older();
        reply
    }

    /// Merges the answer to what it began; an empty one if there was none.
    pub fn finish(&mut self, reply: &[Entry], rng: &mut ChaCha12Rng) {
        self.merge(reply, rng);
        self.grow_older();
    }

    /// A fresh entry of itself and c/2 - 1 of the view, the H oldest only if need be.
    fn list(&mut self, rng: &mut ChaCha12Rng) -> Vec<Entry> {
        self.view.shuffle(rng);
        let mut by_age: Vec<usize> = (0..self.view.len()).collect();
        by_age.sort_by_key(|at| Reverse(self.view[*at].age));
        let mut old = vec![false; self.view.len()];
        for at in by_age.into_iter().take(self.kind.healing) {
            old[at] = true;
        }
        let entries = self.view.iter().zip(old);
        let (last, first): (Vec<_>, Vec<_>) = entries.partition(|(_, old)| *old);
        self.view = first.into_iter().chain(last).map(|(e, _)| *e).collect();
        let mut list = vec![Entry {
            id: self.me,
            age: 0,
        }];
        list.extend(
            self.view
                .iter()
                .take((self.kind.size / 2).saturating_sub(1)),
        );
        list
    }

    /// `select(c, H, S, received)` of the paper.
    fn merge(&mut self, received: &[Entry], rng: &mut ChaCha12Rng) {
        let Kind {
            size,
            healing,
            swapping,
            ..
        } = self.kind;
        // A list has at most c/2 entries.
        for entry in received.iter().take((size / 2).max(1)) {
            if entry.id == self.me {
                continue;
            }
            match self.view.iter_mut().find(|known| known.id == entry.id) {
                Some(known) => known.age = known.age.min(entry.age),
                None => self.view.push(*entry),
            }
        }
        let surplus = |view: &[Entry]| view.len().saturating_sub(size);
        for _ in 0..healing.min(surplus(&self.view)) {
            let oldest = (0..self.view.len()).max_by_key(|at| self.view[*at].age);
            if let Some(oldest) = oldest {
                self.view.remove(oldest);
            }
        }
        let head = swapping.min(surplus(&self.view));
        self.view.drain(..head);
        for _ in 0..surplus(&self.view) {
            let at = rng.random_range(0..self.view.len());
            self.view.remove(at);
        }
    }

    fn grow_older(&mut self) {
        for entry in &mut self.view {
            entry.age = entry.age.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng as _;

    fn ids(entries: &[Entry]) -> Vec<u32> {
        let mut ids: Vec<u32> = entries.iter().map(|entry| entry.id).collect();
        ids.sort_unstable();
        ids
    }

    fn rng(seed: u64) -> ChaCha12Rng {
        ChaCha12Rng::seed_from_u64(seed)
    }

    fn fresh(ids: impl IntoIterator<Item = u32>) -> Vec<Entry> {
        ids.into_iter().map(|id| Entry { id, age: 0 }).collect()
    }

    #[test]
    fn a_swapper_gives_away_what_it_sends() {
        let mut node = Framework::new(0, Kind::swapper(8), 1..=8);
        let reply = node.answer(&fresh([21, 22, 23, 24]), &mut rng(1));
        assert_eq!(reply.len(), 4);
        assert_eq!(reply[0], Entry { id: 0, age: 0 });
        let view = ids(node.view());
        assert!([21, 22, 23, 24].iter().all(|new| view.contains(new)));
        assert!(reply[1..].iter().all(|sent| !view.contains(&sent.id)));
    }

    #[test]
    fn a_healer_sends_the_young_and_drops_the_old() {
        let mut node = Framework::new(0, Kind::healer(8), 1..=8);
        for entry in &mut node.view {
            entry.age = 10 + entry.id;
        }
        let reply = node.answer(&fresh([21, 22, 23, 24]), &mut rng(1));
        assert!(reply[1..].iter().all(|sent| sent.id <= 4));
        assert_eq!(ids(node.view()), [1, 2, 3, 4, 21, 22, 23, 24]);
    }

    #[test]
    fn the_younger_of_two_entries_stays() {
        let mut node = Framework::new(0, Kind::blind(8), [5]);
        node.view[0].age = 9;
        node.finish(
            &[Entry { id: 5, age: 2 }, Entry { id: 0, age: 1 }],
            &mut rng(1),
        );
        assert_eq!(node.view(), [Entry { id: 5, age: 3 }], "and grows older");
        node.finish(&[Entry { id: 5, age: 7 }], &mut rng(1));
        assert_eq!(node.view(), [Entry { id: 5, age: 4 }]);
    }

    #[test]
    fn tail_calls_the_oldest_and_rand_anyone() {
        let tail = Kind {
            oldest: true,
            ..Kind::blind(8)
        };
        let mut node = Framework::new(0, tail, 1..=8);
        node.view[3].age = 4;
        assert_eq!(node.begin(&mut rng(1)).unwrap().to, 4);
        let mut node = Framework::new(0, Kind::blind(8), 1..=8);
        let mut rng = rng(2);
        let mut called: Vec<u32> = (0..200).map(|_| node.begin(&mut rng).unwrap().to).collect();
        called.sort_unstable();
        called.dedup();
        assert_eq!(called, [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(Framework::new(0, tail, []).begin(&mut rng), None);
    }

    proptest! {
        #[test]
        fn a_view_keeps_its_size_without_itself_and_without_repeats(
            size in 2usize..12,
            healing in 0usize..6,
            swapping in 0usize..6,
            oldest in any::<bool>(),
            start in proptest::collection::vec(0u32..20, 0..20),
            lists in proptest::collection::vec((any::<bool>(), proptest::collection::vec((0u32..20, 0u32..9), 0..20)), 0..20),
            seed in 0u64..1000,
        ) {
            let mut rng = rng(seed);
            let mut node = Framework::new(3, Kind { size, healing, swapping, oldest }, start);
            for (called, list) in lists {
                let list: Vec<Entry> = list.into_iter().map(|(id, age)| Entry { id, age }).collect();
                let before = node.view().len();
                if called {
                    prop_assert!(node.answer(&list, &mut rng).len() <= (size / 2).max(1));
                } else if let Some(shuffle) = node.begin(&mut rng) {
                    prop_assert!(shuffle.list.len() <= (size / 2).max(1) && shuffle.to != 3);
                    node.finish(&list, &mut rng);
                }
                let mut seen = ids(node.view());
                prop_assert!(seen.len() <= size && seen.len() >= before && !seen.contains(&3));
                seen.dedup();
                prop_assert_eq!(seen.len(), node.view().len());
            }
        }
    }
}
