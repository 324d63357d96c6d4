//! Cyclon: S. Voulgaris, D. Gavidia, M. van Steen, "CYCLON: Inexpensive Membership Management for Unstructured P2P Overlays" (2005), §3,
//! enhanced shuffling.

use std::cmp::Reverse;

use rand::rngs::ChaCha12Rng;
use rand::seq::SliceRandom as _;

use super::{Entry, Shuffle};

/// When a node stops knowing an entry that it sends. The paper leaves it open, and published figures come from both readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// When another takes its place: until then a received copy is a repeat and is discarded.
    Kept,
    /// At once: a received copy is taken up like any other, and only where places are left over do sent entries return to them.
    Given,
}

/// A node of Cyclon: its view, what it sends and how it merges. Whoever runs it carries the lists.
#[derive(Clone, Debug)]
pub struct Cyclon {
    me: u32,
    size: usize,
    exchange: usize,
    sent: Sent,
    view: Vec<Entry>,
}

impl Cyclon {
    /// Node `me` with at most `size` entries (the paper: 20 to 50), of which it exchanges `exchange` (3 to 8) at a time; both at least 1.
    /// It begins with `view`, of which itself, repeats and what does not fit are left out.
    #[must_use]
    pub fn new(
        me: u32,
        size: usize,
        exchange: usize,
        sent: Sent,
        view: impl IntoIterator<Item = u32>,
    ) -> Self {
        let mut node = Self {
            me,
            size: size.max(1),
            exchange: exchange.clamp(1, size.max(1)),
            sent,
            view: Vec::with_capacity(size),
        };
        for id in view {
            if node.view.len() < node.size && id != me && !node.knows(id) {
                node.view.push(Entry { id, age: 0 });
            }
        }
        node
    }

    /// Whom it knows, at most `size`.
    #[must_use]
    pub fn view(&self) -> &[Entry] {
        &self.view
    }

    /// Forgets the entries that `keep` does not name.
    pub fn retain(&mut self, keep: impl Fn(u32) -> bool) {
        self.view.retain(|entry| keep(entry.id));
    }

    /// One round: every entry ages, the oldest is taken out to be called, and a fresh entry of this node goes there with others of the view.
    /// A call that fails needs nothing more: the dead entry is gone. `None` from an empty view.
    ///
    /// `prefer` is for an adversary that conforms and yet chooses: entries it names are sent first. Honest nodes prefer nothing.
    pub fn begin(
        &mut self,
        prefer: impl Fn(u32) -> bool,
        rng: &mut ChaCha12Rng,
    ) -> Option<Shuffle> {
        for entry in &mut self.view {
            entry.age = entry.age.saturating_add(1);
        }
        // `min_by_key` takes the first of equals.
        let oldest = (0..self.view.len()).min_by_key(|at| Reverse(self.view[*at].age))?;
        let to = self.view.remove(oldest).id;
        let mut list = vec![Entry {
            id: self.me,
            age: 0,
        }];
        list.extend(self.choose(self.exchange - 1, prefer, rng));
        Some(Shuffle { to, list })
    }

    /// Answers the list of a caller with entries of its own, then merges.
    pub fn answer(
        &mut self,
        list: &[Entry],
        prefer: impl Fn(u32) -> bool,
        rng: &mut ChaCha12Rng,
    ) -> Vec<Entry> {
        let reply = self.choose(self.exchange, prefer, rng);
        self.merge(list, &reply);
        reply
    }

    /// Merges the answer to what it began.
    pub fn finish(&mut self, shuffle: &Shuffle, reply: &[Entry]) {
        self.merge(reply, &shuffle.list);
    }

    fn choose(
        &self,
        count: usize,
        prefer: impl Fn(u32) -> bool,
        rng: &mut ChaCha12Rng,
    ) -> Vec<Entry> {
        let (mut chosen, mut others): (Vec<Entry>, Vec<Entry>) =
            self.view.iter().partition(|entry| prefer(entry.id));
        chosen.shuffle(rng);
        let missing = count.saturating_sub(chosen.len());
        let (drawn, _) = others.partial_shuffle(rng, missing);
        chosen.extend_from_slice(drawn);
        chosen.truncate(count);
        chosen
    }

    fn knows(&self, id: u32) -> bool {
        self.view.iter().any(|known| known.id == id)
    }

    /// Takes up what is new, at most as many as are exchanged: empty places first, then in place of what was sent.
    fn merge(&mut self, received: &[Entry], sent: &[Entry]) {
        let was_sent = |id: u32| sent.iter().any(|entry| entry.id == id);
        let mut new: Vec<Entry> = Vec::with_capacity(self.exchange);
        for entry in received.iter().take(self.exchange) {
            let counts = match self.sent {
                Sent::Kept => self.knows(entry.id),
                Sent::Given => self.knows(entry.id) && !was_sent(entry.id),
            };
            if entry.id != self.me && !counts && new.iter().all(|n| n.id != entry.id) {
                new.push(*entry);
            }
        }
        // A copy received of what was given takes its place.
        self.view
            .retain(|known| new.iter().all(|entry| entry.id != known.id));
        let mut surplus = (self.view.len() + new.len()).saturating_sub(self.size);
        for old in sent.iter().rev() {
            if surplus == 0 {
                break;
            }
            if let Some(place) = self.view.iter().position(|known| known.id == old.id) {
                self.view.remove(place);
                surplus -= 1;
            }
        }
        new.truncate(self.size.saturating_sub(self.view.len()));
        self.view.append(&mut new);
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

    #[test]
    fn the_oldest_is_called_and_leaves() {
        let mut node = Cyclon::new(0, 3, 2, Sent::Kept, [1, 2, 3]);
        node.view[1].age = 7;
        let shuffle = node.begin(|_| false, &mut rng(1)).unwrap();
        assert_eq!(shuffle.to, 2);
        assert_eq!(ids(&node.view), [1, 3]);
        assert_eq!(shuffle.list.len(), 2);
        assert_eq!(shuffle.list[0], Entry { id: 0, age: 0 });
        assert!(node.view.iter().all(|entry| entry.age == 1));
    }

    #[test]
    fn an_exchange_swaps_entries() {
        let mut caller = Cyclon::new(0, 3, 3, Sent::Kept, [9, 1, 2]);
        caller.view[0].age = 5;
        let mut called = Cyclon::new(9, 3, 3, Sent::Kept, [4, 5, 6]);
        let shuffle = caller.begin(|_| false, &mut rng(1)).unwrap();
        assert_eq!(shuffle.to, 9);
        let reply = called.answer(&shuffle.list, |_| false, &mut rng(2));
        caller.finish(&shuffle, &reply);
        assert_eq!(ids(&reply), [4, 5, 6]);
        assert_eq!(ids(called.view()), [0, 1, 2], "the caller is known now");
        assert_eq!(ids(caller.view()), [4, 5, 6]);
    }

    #[test]
    fn what_is_known_already_displaces_nothing() {
        let mut node = Cyclon::new(0, 3, 3, Sent::Kept, [1, 2, 3]);
        let known = [1, 2, 0].map(|id| Entry { id, age: 0 });
        node.answer(&known, |_| false, &mut rng(1));
        assert_eq!(ids(node.view()), [1, 2, 3]);
    }

    #[test]
    fn only_what_was_sent_is_displaced() {
        let mut node = Cyclon::new(0, 4, 2, Sent::Kept, [1, 2, 3, 4]);
        let reply = node.answer(
            &[8, 9].map(|id| Entry { id, age: 0 }),
            |_| false,
            &mut rng(1),
        );
        let view = ids(node.view());
        assert!(view.contains(&8) && view.contains(&9));
        assert!(reply.iter().all(|sent| !view.contains(&sent.id)));
    }

    #[test]
    fn a_long_list_counts_no_more_than_an_exchange() {
        let mut node = Cyclon::new(0, 4, 2, Sent::Kept, [1, 2, 3, 4]);
        let flood: Vec<Entry> = (10..50).map(|id| Entry { id, age: 0 }).collect();
        node.answer(&flood, |_| false, &mut rng(1));
        assert_eq!(node.view().iter().filter(|entry| entry.id >= 10).count(), 2);
    }

    #[test]
    fn the_preferred_go_first() {
        let mut node = Cyclon::new(0, 9, 4, Sent::Kept, 1..10);
        let reply = node.answer(&[], |id| id > 6, &mut rng(1));
        assert_eq!(reply.iter().filter(|entry| entry.id > 6).count(), 3);
        assert_eq!(reply.len(), 4);
    }

    #[test]
    fn a_copy_of_what_was_sent_counts_as_the_reading_says() {
        let copy = [Entry { id: 1, age: 0 }, Entry { id: 9, age: 0 }];
        for (sent, age) in [(Sent::Kept, 7), (Sent::Given, 0)] {
            let mut node = Cyclon::new(0, 3, 3, sent, [1, 2]);
            node.view[0].age = 7;
            node.answer(&copy, |_| false, &mut rng(1));
            assert_eq!(ids(node.view()), [1, 2, 9]);
            let one = node.view().iter().find(|entry| entry.id == 1);
            assert_eq!(one, Some(&Entry { id: 1, age }), "{sent:?}");
        }
    }

    #[test]
    fn nobody_known_nobody_called() {
        let mut node = Cyclon::new(0, 3, 2, Sent::Kept, [0]);
        assert!(node.view().is_empty(), "oneself does not count");
        assert_eq!(node.begin(|_| false, &mut rng(1)), None);
    }

    proptest! {
        #[test]
        fn a_view_keeps_its_size_without_itself_and_without_repeats(
            size in 1usize..12,
            exchange in 1usize..12,
            given in any::<bool>(),
            start in proptest::collection::vec(0u32..20, 0..20),
            lists in proptest::collection::vec((any::<bool>(), proptest::collection::vec((0u32..20, 0u32..9), 0..20)), 0..20),
            seed in 0u64..1000,
        ) {
            let mut rng = rng(seed);
            let mut node = Cyclon::new(3, size, exchange, if given { Sent::Given } else { Sent::Kept }, start);
            for (called, list) in lists {
                let list: Vec<Entry> = list.into_iter().map(|(id, age)| Entry { id, age }).collect();
                let before = node.view().len();
                if called {
                    prop_assert!(node.answer(&list, |_| false, &mut rng).len() <= exchange);
                    prop_assert!(node.view().len() >= before);
                } else if let Some(shuffle) = node.begin(|_| false, &mut rng) {
                    prop_assert!(shuffle.list.len() <= exchange.min(size) && shuffle.to != 3);
                    node.finish(&shuffle, &list);
                }
                let mut seen = ids(node.view());
                prop_assert!(seen.len() <= size && !seen.contains(&3));
                seen.dedup();
                prop_assert_eq!(seen.len(), node.view().len());
            }
        }
    }
}
