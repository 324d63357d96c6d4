//! Small numbers for neighbor links, and sets of them as bits, so that "who has it" costs 32 bytes a message.

use crate::input::LinkId;

/// Most neighbor links the tree works with; a neighbor beyond it is left to repair, and counted.
pub(super) const MAX_SLOTS: usize = 256;

/// The number of a neighbor link while it lives; free numbers are used again.
pub(super) type Slot = u8;

/// A set of neighbor links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Slots([u64; 4]);

impl Slots {
    const fn at(slot: Slot) -> (usize, u64) {
        ((slot >> 6) as usize, 1 << (slot & 63))
    }

    /// Whether the link is in the set.
    pub(super) const fn has(&self, slot: Slot) -> bool {
        let (word, bit) = Self::at(slot);
        self.0[word] & bit != 0
    }

    /// Adds a link; whether it was new.
    pub(super) const fn insert(&mut self, slot: Slot) -> bool {
        let (word, bit) = Self::at(slot);
        let new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        new
    }

    /// Takes a link out; whether it was there.
    pub(super) const fn remove(&mut self, slot: Slot) -> bool {
        let (word, bit) = Self::at(slot);
        let there = self.0[word] & bit != 0;
        self.0[word] &= !bit;
        there
    }
}

/// Which link holds which number.
#[derive(Debug, Default)]
pub(super) struct SlotTable(Vec<Option<LinkId>>);

impl SlotTable {
    /// Gives the link the lowest free number; `None` when all are taken.
    pub(super) fn take(&mut self, link: LinkId) -> Option<Slot> {
        let free = self.0.iter().position(Option::is_none);
        let index = free.unwrap_or(self.0.len());
        let slot = Slot::try_from(index).ok()?;
        if free.is_none() {
            self.0.push(None);
        }
        self.0[index] = Some(link);
        Some(slot)
    }

    /// Frees a number.
    pub(super) fn free(&mut self, slot: Slot) {
        if let Some(entry) = self.0.get_mut(usize::from(slot)) {
            *entry = None;
        }
    }

    /// The link with this number.
    pub(super) fn link(&self, slot: Slot) -> Option<LinkId> {
        *self.0.get(usize::from(slot))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in() {
        let mut set = Slots::default();
        for slot in [0, 1, 63, 64, 127, 128, 200, 255] {
            assert!(!set.has(slot));
            assert!(set.insert(slot));
            assert!(!set.insert(slot));
            assert!(set.has(slot));
        }
        assert!(set.remove(64));
        assert!(!set.remove(64));
        assert!(!set.has(64) && set.has(63) && set.has(128));
    }

    #[test]
    fn numbers_are_used_again_and_end_at_the_cap() {
        let mut table = SlotTable::default();
        for n in 0..MAX_SLOTS {
            assert_eq!(
                table.take(LinkId(n as u64)).map(usize::from),
                Some(n),
                "lowest free first"
            );
        }
        assert_eq!(table.take(LinkId(1000)), None);
        table.free(7);
        assert_eq!(table.link(7), None);
        assert_eq!(table.take(LinkId(1001)), Some(7));
        assert_eq!(table.link(7), Some(LinkId(1001)));
    }
}
