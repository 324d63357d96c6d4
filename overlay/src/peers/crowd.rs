//! Counting by address and prefix group.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::address::host_of;
use super::{Caps, Group, Prefix};
use crate::config::AddressPreset;

/// How many entries of some collection share an address, a narrow group, a wide group. As large as the collection.
#[derive(Debug)]
pub(super) struct Crowd {
    preset: AddressPreset,
    caps: Caps,
    counts: BTreeMap<(u8, Prefix), usize>,
}

impl Crowd {
    pub(super) fn new(preset: AddressPreset, caps: Caps) -> Self {
        Self {
            preset,
            caps,
            counts: BTreeMap::new(),
        }
    }

    fn keys(&self, addr: SocketAddr) -> [((u8, Prefix), usize); 3] {
        let group = Group::of(addr.ip(), self.preset);
        [
            ((0, host_of(addr.ip())), self.caps.per_addr),
            ((1, group.narrow), self.caps.per_group),
            ((2, group.wide), self.caps.per_wide_group),
        ]
    }

    /// Whether one more fits under every cap.
    pub(super) fn admits(&self, addr: SocketAddr) -> bool {
        let count = |key| self.counts.get(&key).copied().unwrap_or(0);
        self.keys(addr)
            .into_iter()
            .all(|(key, cap)| count(key) < cap)
    }

    pub(super) fn add(&mut self, addr: SocketAddr) {
        for (key, _) in self.keys(addr) {
            *self.counts.entry(key).or_default() += 1;
        }
    }

    pub(super) fn remove(&mut self, addr: SocketAddr) {
        for (key, _) in self.keys(addr) {
            if let Some(count) = self.counts.get_mut(&key) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.counts.remove(&key);
                }
            }
        }
    }
}
