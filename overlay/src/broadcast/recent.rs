//! The latest messages, numbered in order of arrival: who has each, so that nobody is sent or told of one twice.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use crypto::MessageId;

use super::slots::{Slot, Slots};
use crate::wire::ShortId;

/// One message of late.
#[derive(Clone, Debug)]
pub(super) struct Recent {
    /// Its id.
    pub(super) id: MessageId,
    /// Its short id under our own announce key.
    pub(super) short: ShortId,
    /// Its author.
    pub(super) author: [u8; 32],
    /// When the first copy came, or when it was accepted here.
    pub(super) at: Instant,
    /// Neighbors that sent or announced it.
    pub(super) shown: Slots,
    /// Neighbors that it was pushed to, or is owed to.
    pub(super) sent: Slots,
    /// Who brought the first copy.
    pub(super) first: Option<Slot>,
    /// The first copy came because we had asked for it.
    pub(super) asked: bool,
    /// It may be passed on.
    pub(super) accepted: bool,
    /// Published here.
    pub(super) own: bool,
    /// Its body travels apart.
    pub(super) large: bool,
    /// Its body is bulk.
    pub(super) bulk: bool,
    /// The body is here.
    pub(super) whole: bool,
    /// In how many steps its head came here.
    pub(super) hops: u8,
    /// Neighbors that have the body, get it from us, or were told that it is here.
    pub(super) served: Slots,
}

/// A ring of the latest messages. When full, the oldest is forgotten: a late announcement of it then costs one duplicate.
#[derive(Debug, Default)]
pub(super) struct RecentTable {
    ring: VecDeque<Recent>,
    base: u64,
    by_short: BTreeMap<ShortId, u64>,
}

impl RecentTable {
    /// Puts a message in, or returns the number it has.
    pub(super) fn insert(
        &mut self,
        short: ShortId,
        id: MessageId,
        author: [u8; 32],
        at: Instant,
        max: usize,
    ) -> u64 {
        if let Some(number) = self.by_short.get(&short) {
            return *number;
        }
        while self.ring.len() >= max.max(1) {
            if let Some(old) = self.ring.pop_front() {
                self.by_short.remove(&old.short);
                self.base += 1;
            }
        }
        let number = self.next();
        self.by_short.insert(short, number);
        self.ring.push_back(Recent {
            id,
            short,
            author,
            at,
            shown: Slots::default(),
            sent: Slots::default(),
            first: None,
            asked: false,
            accepted: false,
            own: false,
            large: false,
            bulk: false,
            whole: false,
            hops: 0,
            served: Slots::default(),
        });
        number
    }

    /// The number of a message by its short id under our own key.
    pub(super) fn number(&self, short: &ShortId) -> Option<u64> {
        self.by_short.get(short).copied()
    }

    /// A message by number; `None` once it is forgotten.
    pub(super) fn get(&self, number: u64) -> Option<&Recent> {
        let index = number.checked_sub(self.base)?;
        self.ring.get(usize::try_from(index).ok()?)
    }

    /// A message by number; `None` once it is forgotten.
    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut Recent> {
        let index = number.checked_sub(self.base)?;
        self.ring.get_mut(usize::try_from(index).ok()?)
    }

    /// The number the next message gets.
    pub(super) fn next(&self) -> u64 {
        self.base + self.ring.len() as u64
    }

    /// The number of the oldest message kept.
    pub(super) const fn base(&self) -> u64 {
        self.base
    }

    /// Forgets a link that is gone.
    pub(super) fn forget(&mut self, slot: Slot) {
        for recent in &mut self.ring {
            recent.shown.remove(slot);
            recent.sent.remove(slot);
            recent.served.remove(slot);
            if recent.first == Some(slot) {
                recent.first = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    #[test]
    fn the_ring_forgets_the_oldest_and_keeps_numbers() {
        let at = Bench::new(0).now.mono;
        let mut table = RecentTable::default();
        for n in 0..20_u8 {
            let number = table.insert([n; 8], MessageId::from_bytes([n; 32]), [n; 32], at, 8);
            assert_eq!(number, u64::from(n));
            assert_eq!(
                table.insert([n; 8], MessageId::from_bytes([n; 32]), [n; 32], at, 8),
                number
            );
        }
        assert_eq!((table.base(), table.next()), (12, 20));
        assert!(table.get(11).is_none() && table.number(&[11; 8]).is_none());
        assert!(table.get(20).is_none());
        assert_eq!(table.get(12).map(|recent| recent.short), Some([12; 8]));
        assert_eq!(table.number(&[19; 8]), Some(19));
        table.get_mut(19).expect("kept").shown.insert(5);
        table.get_mut(19).expect("kept").first = Some(5);
        table.forget(5);
        let kept = table.get(19).expect("kept");
        assert!(!kept.shown.has(5) && kept.first.is_none());
    }
}
