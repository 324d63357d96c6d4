//! Hashing under a secret, for maps whose keys others choose.

use std::hash::{BuildHasher, Hasher};

use indexmap::IndexMap;
use rand::{Rng, RngExt as _};

/// A map with look-ups in constant time under a secret hash. Its order depends only on the operations done, never on the secret, so a
/// run repeats exactly. Its owner bounds it.
pub type KeyedMap<K, V> = IndexMap<K, V, Keys>;

/// The secret of a hash. Whoever does not know it cannot choose keys that collide: two different keys of the same length share a hash
/// with a chance of about 2^-63 for each 16 bytes, over the choice of the secret.
#[derive(Clone)]
pub struct Keys([u64; 2]);

impl std::fmt::Debug for Keys {
    /// Leaves the secret out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

impl Keys {
    /// A fresh secret.
    #[must_use]
    pub fn new(rng: &mut impl Rng) -> Self {
        Self(rng.random())
    }
}

impl BuildHasher for Keys {
    type Hasher = KeyedHasher;

    fn build_hasher(&self) -> KeyedHasher {
        KeyedHasher {
            state: self.0[0],
            key: self.0[1],
        }
    }
}

/// One hash under way: each 16 bytes are multiplied into the state.
#[derive(Debug)]
pub struct KeyedHasher {
    state: u64,
    key: u64,
}

impl Hasher for KeyedHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(16) {
            let mut words = [0; 16];
            words[..chunk.len()].copy_from_slice(chunk);
            let word = u128::from_le_bytes(words);
            self.state = fold(self.state ^ word as u64, self.key ^ (word >> 64) as u64);
        }
    }

    fn write_u8(&mut self, number: u8) {
        self.write_u64(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        self.state = fold(self.state ^ number, self.key);
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn finish(&self) -> u64 {
        fold(self.state, self.key)
    }
}

/// The product of two numbers, its upper half laid over the lower: every bit of the result depends on every bit of both.
#[must_use]
pub const fn fold(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    (product >> 64) as u64 ^ product as u64
}

/// Makes room for one more in a map of many large values: by a quarter, not by doubling, since half of what doubling sets aside stays
/// empty.
pub fn reserve_one<K, V>(map: &mut KeyedMap<K, V>)
where
    K: std::hash::Hash + Eq,
{
    if map.len() == map.capacity() {
        map.reserve_exact(map.len() / 4 + 4);
    }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher as _;

    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn keys_that_differ_in_a_bit_spread_evenly() {
        let mut rng = rand::rngs::ChaCha12Rng::seed_from_u64(1);
        let keys = Keys::new(&mut rng);
        let mut buckets = [0_u32; 64];
        let base: [u8; 32] = rng.random();
        for number in 0..64_u32 * 64 {
            let mut id = base;
            id[8..12].copy_from_slice(&number.to_le_bytes());
            buckets[(keys.hash_one(id) >> 58) as usize] += 1;
        }
        let chi: f64 = buckets
            .iter()
            .map(|count| (f64::from(*count) - 64.0).powi(2) / 64.0)
            .sum();
        // 63 degrees of freedom: 63 in the mean, standard deviation 11.2.
        assert!((30.0..110.0).contains(&chi), "{chi}");
    }

    #[test]
    fn another_secret_gives_another_hash_and_the_same_order() {
        let mut rng = rand::rngs::ChaCha12Rng::seed_from_u64(2);
        let (a, b) = (Keys::new(&mut rng), Keys::new(&mut rng));
        assert_ne!(a.hash_one([7_u8; 32]), b.hash_one([7_u8; 32]));
        let ordered = |keys: Keys| {
            let mut map: KeyedMap<u64, ()> = KeyedMap::with_hasher(keys);
            for n in 0..1000 {
                reserve_one(&mut map);
                map.insert(n * 7 % 501, ());
                map.swap_remove(&(n * 5 % 301));
            }
            assert!(map.capacity() < map.len() * 2 + 16);
            map.into_keys().collect::<Vec<_>>()
        };
        assert_eq!(ordered(a), ordered(b));
    }
}
