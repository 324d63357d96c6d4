//! Who has announced one id, in the order of time: bounded, and with room for links that we dialled.

use super::slots::{Slot, Slots};

/// Links that announced an id. Of the places half are for links that we dialled: others are not drawn by us, and could come in any
/// number to announce first and never deliver.
#[derive(Clone, Debug, Default)]
pub(super) struct Announcers {
    order: Vec<Slot>,
    inbound: Slots,
}

impl Announcers {
    /// One more, where at most `max` are remembered; whether it is new and there was a place.
    pub(super) fn add(&mut self, slot: Slot, outbound: bool, max: usize) -> bool {
        let inbound = || self.iter().filter(|slot| self.inbound.has(*slot)).count();
        let full = self.order.len() >= max || !outbound && inbound() >= max.div_ceil(2);
        if full || self.order.contains(&slot) {
            return false;
        }
        self.order.push(slot);
        if !outbound {
            self.inbound.insert(slot);
        }
        true
    }

    /// Takes one out; whether it was there.
    pub(super) fn remove(&mut self, gone: Slot) -> bool {
        let before = self.order.len();
        self.order.retain(|slot| *slot != gone);
        self.inbound.remove(gone);
        self.order.len() < before
    }

    /// Whether there are none.
    pub(super) const fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Who was first.
    pub(super) fn first(&self) -> Option<Slot> {
        self.order.first().copied()
    }

    /// In the order of time.
    pub(super) fn iter(&self) -> impl Iterator<Item = Slot> {
        self.order.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inbound_links_take_half_of_the_places_at_most() {
        let mut announcers = Announcers::default();
        let taken: Vec<bool> = (0..4).map(|slot| announcers.add(slot, false, 6)).collect();
        assert_eq!(taken, [true, true, true, false]);
        assert!(!announcers.add(0, false, 6), "it is there");
        let taken: Vec<bool> = (4..8).map(|slot| announcers.add(slot, true, 6)).collect();
        assert_eq!(taken, [true, true, true, false]);
        assert_eq!(announcers.iter().collect::<Vec<_>>(), [0, 1, 2, 4, 5, 6]);
        assert!(announcers.remove(0) && !announcers.remove(0));
        assert_eq!(announcers.first(), Some(1));
        assert!(announcers.add(9, false, 6), "its place is free");
        assert!(!announcers.is_empty());
    }
}
