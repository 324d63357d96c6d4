//! Peers with a deadline each, in bounded memory.

use std::collections::{BTreeMap, BTreeSet};

use crypto::PeerId;

/// At most `capacity` peers, each until some time; when it is full the one that ends soonest goes. All operations take
/// logarithmic time.
#[derive(Debug)]
pub(super) struct Deadlines<T> {
    until: BTreeMap<PeerId, T>,
    order: BTreeSet<(T, PeerId)>,
    capacity: usize,
}

impl<T: Ord + Copy> Deadlines<T> {
    pub(super) const fn new(capacity: usize) -> Self {
        Self {
            until: BTreeMap::new(),
            order: BTreeSet::new(),
            capacity,
        }
    }

    /// Sets the deadline of a peer. Returns the one that had to go for it, which may be this very peer.
    pub(super) fn set(&mut self, peer: PeerId, until: T) -> Option<PeerId> {
        self.restore(peer, until);
        self.pop_excess()
    }

    /// As `set`, but lets the capacity be exceeded; to be followed by `pop_excess` until it returns `None`.
    pub(super) fn restore(&mut self, peer: PeerId, until: T) {
        self.remove(&peer);
        self.until.insert(peer, until);
        self.order.insert((until, peer));
    }

    pub(super) fn get(&self, peer: &PeerId) -> Option<T> {
        self.until.get(peer).copied()
    }

    pub(super) fn remove(&mut self, peer: &PeerId) -> bool {
        let Some(until) = self.until.remove(peer) else {
            return false;
        };
        self.order.remove(&(until, *peer));
        true
    }

    /// Removes and returns one whose deadline is not after `now`.
    pub(super) fn pop_until(&mut self, now: &T) -> Option<PeerId> {
        let (until, peer) = *self.order.first()?;
        (until <= *now).then(|| {
            self.remove(&peer);
            peer
        })
    }

    /// Removes and returns the one that ends soonest, if there are more than the capacity.
    pub(super) fn pop_excess(&mut self) -> Option<PeerId> {
        if self.until.len() <= self.capacity {
            return None;
        }
        let (_, peer) = self.order.pop_first()?;
        self.until.remove(&peer);
        Some(peer)
    }

    /// The one that ends soonest.
    pub(super) fn first(&self) -> Option<(PeerId, T)> {
        self.order.first().map(|(until, peer)| (*peer, *until))
    }

    /// All, the one that ends soonest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (PeerId, T)> {
        self.order.iter().map(|(until, peer)| (*peer, *until))
    }
}
