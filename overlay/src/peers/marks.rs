//! What a peer is ranked by: secret hashes of its prefixes and its id.

use std::net::IpAddr;

use rand::{Rng, RngExt as _};

use super::{Group, Prefix};
use crate::config::AddressPreset;

/// Hashes of the widest, wide and narrow prefix of an address and of the id at it, under this node's secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks(pub [u64; 4]);

/// The secret, drawn anew at each start. BLAKE3 keyed with it makes the marks of an id or a prefix as good as random to whoever does
/// not know it, so that what is computed from marks alone cannot be steered by choosing ids or addresses.
#[derive(Clone)]
pub struct Marker([u8; 32]);

impl std::fmt::Debug for Marker {
    /// Leaves the secret out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Marker").finish_non_exhaustive()
    }
}

impl Marker {
    /// A fresh secret.
    #[must_use]
    pub fn new(rng: &mut impl Rng) -> Self {
        Self(rng.random())
    }

    /// The marks of an id at an address. Where there are no groups the id alone decides, at the first level already.
    #[must_use]
    pub fn marks(&self, id: &[u8; 32], ip: IpAddr, preset: AddressPreset) -> Marks {
        let own = self.hash(id);
        if preset == AddressPreset::Local {
            return Marks([own; 4]);
        }
        let group = Group::of(ip, preset);
        let prefix = |level: u8, prefix: Prefix| {
            let mut input = [0; 11];
            input[0] = level;
            input[1..].copy_from_slice(&prefix.bytes());
            self.hash(&input)
        };
        Marks([
            prefix(0, group.widest),
            prefix(1, group.wide),
            prefix(2, group.narrow),
            own,
        ])
    }

    /// First 8 bytes of the keyed hash.
    fn hash(&self, input: &[u8]) -> u64 {
        let hash = blake3::keyed_hash(&self.0, input);
        let mut first = [0; 8];
        first.copy_from_slice(&hash.as_bytes()[..8]);
        u64::from_le_bytes(first)
    }
}
