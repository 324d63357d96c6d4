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
    counts: BTreeMap<Prefix, u32>,
}

impl Crowd {
    pub(super) fn new(preset: AddressPreset, caps: Caps) -> Self {
        Self {
            preset,
            caps,
            counts: BTreeMap::new(),
        }
    }

    /// What an address counts under. The lengths of the three differ, so they never meet; where there are no groups there is only one.
    fn keys(&self, addr: SocketAddr) -> impl Iterator<Item = (Prefix, usize)> + use<> {
        let group = Group::of(addr.ip(), self.preset);
        let grouped = self.preset != AddressPreset::Local;
        [
            Some((host_of(addr.ip()), self.caps.per_addr)),
            grouped.then_some((group.narrow, self.caps.per_group)),
            grouped.then_some((group.wide, self.caps.per_wide_group)),
        ]
        .into_iter()
        .flatten()
    }

    /// Whether one more fits under every cap.
    pub(super) fn admits(&self, addr: SocketAddr) -> bool {
        let count = |key| self.counts.get(&key).map_or(0, |count| *count as usize);
        self.keys(addr).all(|(key, cap)| count(key) < cap)
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
