//! What two sets of message ids are compared by.

/// The fingerprint of a set of message ids under the key of a reconciliation session, built up one id at a time in any order.
///
/// Each id is hashed with BLAKE3 keyed with the session's key; the hashes are added as 256-bit numbers (after Meyer, "Range-Based
/// Set Reconciliation", 2023: addition rather than XOR, which forged sets cancel more easily), and the sum is hashed
/// again under the same key. The initiator draws the key anew for each session, so no author can choose ids whose
/// fingerprints collide.
#[derive(Clone, Debug)]
pub struct Fingerprint {
    key: [u8; 32],
    sum: [u64; 4],
    count: u32,
}

impl Fingerprint {
    /// The empty set.
    #[must_use]
    pub fn new(session_key: &[u8; 16]) -> Self {
        let mut key = [0; 32];
        key[..16].copy_from_slice(session_key);
        Self {
            key,
            sum: [0; 4],
            count: 0,
        }
    }

    /// Adds an id that is not in the set yet.
    pub fn add(&mut self, id: &[u8; 32]) {
        let hash = blake3::keyed_hash(&self.key, id);
        let mut carry = false;
        for (limb, bytes) in self.sum.iter_mut().zip(hash.as_bytes().as_chunks().0) {
            let (sum, over) = limb.overflowing_add(u64::from_le_bytes(*bytes));
            let (sum, over_by_carry) = sum.overflowing_add(u64::from(carry));
            *limb = sum;
            carry = over || over_by_carry;
        }
        self.count = self.count.saturating_add(1);
    }

    /// How many ids were added.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// The fingerprint, as it travels beside the count.
    #[must_use]
    pub fn finish(&self) -> [u8; 16] {
        let mut sum = [0; 32];
        for (bytes, limb) in sum.chunks_exact_mut(8).zip(self.sum) {
            bytes.copy_from_slice(&limb.to_le_bytes());
        }
        let hash = blake3::keyed_hash(&self.key, &sum);
        let mut fingerprint = [0; 16];
        fingerprint.copy_from_slice(&hash.as_bytes()[..16]);
        fingerprint
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of<'a>(key: &[u8; 16], ids: impl IntoIterator<Item = &'a [u8; 32]>) -> (u32, [u8; 16]) {
        let mut fingerprint = Fingerprint::new(key);
        for id in ids {
            fingerprint.add(id);
        }
        (fingerprint.count(), fingerprint.finish())
    }

    proptest! {
        #[test]
        fn order_does_not_matter_and_everything_else_does(
            ids in prop::collection::btree_set(any::<[u8; 32]>(), 1..30), key in any::<[u8; 16]>(), more in any::<[u8; 32]>(),
        ) {
            let all = of(&key, &ids);
            prop_assert_eq!(all, of(&key, ids.iter().rev()));
            prop_assert_ne!(all.1, of(&key, ids.iter().skip(1)).1);
            prop_assert_ne!(all.1, of(&key.map(|byte| byte ^ 1), &ids).1);
            if !ids.contains(&more) {
                prop_assert_ne!(all.1, of(&key, ids.iter().chain([&more])).1);
            }
        }
    }

    #[test]
    fn the_sum_carries_from_limb_to_limb() {
        let mut fingerprint = Fingerprint::new(&[0; 16]);
        fingerprint.sum = [u64::MAX; 4];
        fingerprint.add(&[1; 32]);
        let mut one_less = Fingerprint::new(&[0; 16]);
        one_less.add(&[1; 32]);
        // x + (2^256 - 1) = x - 1
        assert_eq!(fingerprint.sum[0], one_less.sum[0] - 1);
        assert_eq!(fingerprint.sum[1..], one_less.sum[1..]);
    }
}
