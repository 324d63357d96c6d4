//! Where a subscription begins and in what order it goes on; and entries in their authors' sequence, whatever comes late.

use std::collections::HashMap;

use crypto::PeerId;
use overlay::action::Delivery;

/// Authors whose last number is remembered for sure; up to twice as many are. A guess: as many as the core tracks.
const AUTHORS: usize = 65_536;

/// Where a subscription begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// With what arrives from now on.
    Now,
    /// With the oldest entry in the log.
    Start,
    /// With the first entry whose cursor is greater than this one.
    After(u64),
}

/// In what order a subscription gives its entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// As they stand in the node's log, every one of them: in their author's sequence, but for what came too late to be waited
    /// for. The entry after such a hole is marked ([`Delivery::gap`]), and what was missing follows when it comes.
    #[default]
    Log,
    /// Each author's numbers only rise: what comes after a later entry of its author is left out and counted
    /// ([`Subscription::late`](crate::Subscription::late)); it is in the log. Of two messages with one number the first in the
    /// log is given. Holds within one subscription, for the 65,536 authors heard of last.
    Sequence,
}

/// What each author has come to: two generations, the older of which is forgotten when the younger is full.
#[derive(Debug)]
pub(crate) struct Sequence {
    /// Size of a generation.
    most: usize,
    young: HashMap<PeerId, (u64, u32)>,
    old: HashMap<PeerId, (u64, u32)>,
}

impl Default for Sequence {
    fn default() -> Self {
        Self::of(AUTHORS)
    }
}

impl Sequence {
    fn of(most: usize) -> Self {
        Self {
            most,
            young: HashMap::new(),
            old: HashMap::new(),
        }
    }

    /// Whether the entry comes after all before it of its author; it is the last one then.
    pub(crate) fn admits(&mut self, entry: &Delivery) -> bool {
        let place = (entry.seq, entry.index);
        let author = &entry.author;
        let last = self.young.get(author).or_else(|| self.old.get(author));
        if last.is_some_and(|last| *last >= place) {
            return false;
        }
        self.young.insert(*author, place);
        if self.young.len() >= self.most {
            self.old = std::mem::take(&mut self.young);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use crypto::{EntryId, Identity, MessageId};

    fn entry(author: u32, seq: u64, index: u32) -> Delivery {
        let mut seed = [1; 32];
        seed[..4].copy_from_slice(&author.to_be_bytes());
        let message = MessageId::from_bytes([0; 32]);
        Delivery {
            cursor: 1,
            id: EntryId::of(&message, index),
            message,
            index,
            author: Identity::from_seed(&seed).id(),
            seq,
            published_unix_ms: 0,
            topic: "t".parse().unwrap(),
            payload: Bytes::new(),
            gap: false,
            equivocation: false,
        }
    }

    #[test]
    fn numbers_only_rise_for_each_author() {
        let mut sequence = Sequence::default();
        let mut admits = |author, seq, index| sequence.admits(&entry(author, seq, index));
        assert!(admits(1, 5, 0) && admits(1, 5, 1) && admits(1, 8, 0));
        assert!(!admits(1, 6, 0), "late");
        assert!(!admits(1, 8, 0), "another message with that number");
        assert!(admits(2, 6, 0), "another author");
        assert!(admits(1, 9, 3) && !admits(1, 9, 2));
    }

    #[test]
    fn authors_are_bounded_and_the_latest_are_remembered() {
        let mut sequence = Sequence::of(10);
        for author in 0..35 {
            assert!(sequence.admits(&entry(author, 5, 0)));
            assert!(sequence.young.len() < 10 && sequence.old.len() <= 10);
        }
        for author in 25..35 {
            assert!(!sequence.admits(&entry(author, 4, 0)), "{author}");
        }
        assert!(sequence.admits(&entry(0, 4, 0)), "forgotten");
    }
}
