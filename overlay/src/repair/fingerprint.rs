//! Fingerprints of sets of message ids.

use super::sketch::Short;
use crate::wire::Point;

/// The key of a session, as BLAKE3 wants it: the 16 bytes that travel, then 16 zero bytes.
#[must_use]
pub(super) fn session_key(key: &[u8; 16]) -> [u8; 32] {
    let mut long = [0; 32];
    long[..16].copy_from_slice(key);
    long
}

/// A set of ids, summed up: the sum modulo 2^256 of the ids' keyed hashes, and their number. Sums add, so that a range's
/// sum is that of its parts. Unlike an XOR, a sum cannot be steered by linear algebra; unlike an unkeyed one, not at all
/// by an author who does not know the session's key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    limbs: [u64; 4],
    pub(super) count: u32,
}

impl Sum {
    /// Of one id.
    pub(super) fn of_id(key: &[u8; 32], point: &Point) -> Self {
        let hash = blake3::keyed_hash(key, &point.id);
        let mut limbs = [0; 4];
        for (limb, bytes) in limbs.iter_mut().zip(hash.as_bytes().chunks_exact(8)) {
            let mut word = [0; 8];
            word.copy_from_slice(bytes);
            *limb = u64::from_le_bytes(word);
        }
        Self { limbs, count: 1 }
    }

    /// The short id, of the sum of one id.
    pub(super) const fn short(&self) -> Short {
        self.limbs[0]
    }

    /// Adds a disjoint set.
    pub(super) fn add(&mut self, other: &Self) {
        let mut carry = false;
        for (limb, more) in self.limbs.iter_mut().zip(other.limbs) {
            let (sum, over) = limb.overflowing_add(more);
            let (sum, over_carry) = sum.overflowing_add(u64::from(carry));
            *limb = sum;
            carry = over || over_carry;
        }
        self.count = self.count.saturating_add(other.count);
    }

    /// The first 16 bytes of BLAKE3, keyed, over the sum (little endian) and the count (u32, little endian).
    pub(super) fn fingerprint(&self, key: &[u8; 32]) -> [u8; 16] {
        let mut bytes = [0; 36];
        for (chunk, limb) in bytes.chunks_exact_mut(8).zip(self.limbs) {
            chunk.copy_from_slice(&limb.to_le_bytes());
        }
        bytes[32..].copy_from_slice(&self.count.to_le_bytes());
        let mut short = [0; 16];
        short.copy_from_slice(&blake3::keyed_hash(key, &bytes).as_bytes()[..16]);
        short
    }
}

/// Most parts kept while a range is walked; twice the parts a range is split into.
const MAX_PARTS: usize = 32;

/// A range cut into 17 to 32 parts of equal size in one walk, without knowing its size beforehand: when 32 parts are full,
/// neighbors are merged and the parts hold twice as many.
#[derive(Debug)]
pub(super) struct Parts {
    parts: Vec<(Point, Sum)>,
    size: u32,
}

impl Parts {
    pub(super) fn new() -> Self {
        Self {
            parts: Vec::with_capacity(MAX_PARTS),
            size: 1,
        }
    }

    /// Adds the next point, ascending, with the sum of its id.
    pub(super) fn push(&mut self, point: Point, one: &Sum) {
        let full = self
            .parts
            .last()
            .is_none_or(|(_, sum)| sum.count >= self.size);
        if full {
            if self.parts.len() == MAX_PARTS {
                self.halve();
            }
            self.parts.push((point, Sum::default()));
        }
        if let Some((_, sum)) = self.parts.last_mut() {
            sum.add(one);
        }
    }

    /// Merges parts two by two.
    fn halve(&mut self) {
        self.size = self.size.saturating_mul(2);
        self.parts = self
            .parts
            .chunks(2)
            .map(|pair| {
                let (first, mut sum) = pair[0];
                if let Some((_, more)) = pair.get(1) {
                    sum.add(more);
                }
                (first, sum)
            })
            .collect();
    }

    /// The sum of all.
    pub(super) fn total(&self) -> Sum {
        let mut total = Sum::default();
        for (_, sum) in &self.parts {
            total.add(sum);
        }
        total
    }

    /// The points themselves, when there are at most 32.
    pub(super) fn points(&self) -> Option<Vec<Point>> {
        (self.size == 1).then(|| self.parts.iter().map(|(first, _)| *first).collect())
    }

    /// At most 16 parts: the first point of each and its sum.
    pub(super) fn split(mut self) -> Vec<(Point, Sum)> {
        if self.parts.len() > MAX_PARTS / 2 {
            self.halve();
        }
        self.parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(n: u64) -> Point {
        Point {
            unix_ms: n,
            id: *blake3::hash(&n.to_le_bytes()).as_bytes(),
        }
    }

    #[test]
    fn parts_cover_the_range_in_order_whatever_its_size() {
        let key = session_key(&[3; 16]);
        for n in [0u64, 1, 16, 17, 32, 33, 64, 65, 1000] {
            let mut parts = Parts::new();
            let mut all = Sum::default();
            for i in 0..n {
                let one = Sum::of_id(&key, &point(i));
                parts.push(point(i), &one);
                all.add(&one);
            }
            assert_eq!(parts.total(), all);
            assert_eq!(parts.points().is_some(), n <= 32, "{n}");
            let split = parts.split();
            assert!(split.len() <= 16, "{n} gives {}", split.len());
            assert!(n < 9 || split.len() > 8, "{n} gives {}", split.len());
            let mut at = 0;
            for (first, sum) in split {
                assert_eq!(first, point(at));
                at += u64::from(sum.count);
            }
            assert_eq!(at, n);
        }
    }

    #[test]
    fn the_order_of_adding_does_not_matter_but_key_and_count_do() {
        let key = session_key(&[3; 16]);
        let sum = |ids: &[u64]| {
            let mut sum = Sum::default();
            ids.iter()
                .for_each(|id| sum.add(&Sum::of_id(&key, &point(*id))));
            sum
        };
        assert_eq!(sum(&[1, 2, 3]), sum(&[3, 1, 2]));
        assert_ne!(
            sum(&[1, 2]).fingerprint(&key),
            sum(&[1, 3]).fingerprint(&key)
        );
        let other = session_key(&[4; 16]);
        assert_ne!(sum(&[1]).fingerprint(&key), sum(&[1]).fingerprint(&other));
        let empty = Sum {
            count: 1,
            ..sum(&[])
        };
        assert_ne!(sum(&[]).fingerprint(&key), empty.fingerprint(&key));
    }

    #[test]
    fn carries_cross_all_limbs() {
        let mut sum = Sum {
            limbs: [u64::MAX; 4],
            count: u32::MAX,
        };
        sum.add(&Sum {
            limbs: [1, 0, 0, 0],
            count: 1,
        });
        assert_eq!(sum.limbs, [0; 4]);
        assert_eq!(sum.count, u32::MAX);
    }

    #[test]
    fn the_document_has_these_fingerprints() {
        let key = session_key(b"the session key!");
        let message = crate::wire::golden::vector("message-id");
        let (mut sum, mut wrong) = (Sum::default(), Vec::new());
        for (name, next) in [
            ("fingerprint-0", message.try_into().unwrap()),
            ("fingerprint-1", [0xff; 32]),
            ("fingerprint-2", [0; 32]),
        ] {
            let found = sum.fingerprint(&key);
            if crate::wire::golden::vector(name) != found {
                wrong.push(format!("{name} is {:032x}", u128::from_be_bytes(found)));
            }
            let next = Point {
                unix_ms: 0,
                id: next,
            };
            sum.add(&Sum::of_id(&key, &next));
        }
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}
