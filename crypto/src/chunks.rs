//! Long bodies in pieces that are checked one by one.
//!
//! The root of a body is its plain BLAKE3 hash, and BLAKE3 is itself a tree: the chaining values of its aligned subtrees of
//! [`CHUNK_LEN`] bytes are a *manifest* that merges to the root. Who has the manifest of a root checks any chunk by itself,
//! whoever sends it and in whatever order.

use std::ops::Range;

use blake3::hazmat::{self, ChainingValue, HasherExt as _, Mode};
use blake3::{CHUNK_LEN as LEAF_LEN, Hasher};

/// Bytes of every chunk but the last: a subtree of 32 leaves of BLAKE3. A guess between the price of a frame and how soon a
/// chunk can be passed on; must be a power of two times 1,024.
pub const CHUNK_LEN: usize = 32 * 1024;

const _: () = assert!(CHUNK_LEN.is_power_of_two() && CHUNK_LEN >= LEAF_LEN);

/// How many chunks a body of this length has; none if it is empty.
pub const fn chunk_count(len: usize) -> usize {
    len.div_ceil(CHUNK_LEN)
}

/// The hashes of a body's chunks: of a body of one chunk its root, else the chaining values whose merge is the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    len: usize,
    hashes: Vec<[u8; 32]>,
}

impl Manifest {
    /// Of a body at hand, which must not be empty: `None` if it is.
    pub fn of(body: &[u8]) -> Option<Self> {
        let single = body.len() <= CHUNK_LEN;
        let hashes = body
            .chunks(CHUNK_LEN)
            .zip(0u64..)
            .map(|(chunk, index)| hash(chunk, index, single))
            .collect();
        Self::new(body.len(), hashes)
    }

    /// From the hashes that somebody names for a body of `len` bytes, 1 or more. `None` if their number does not fit. Whether
    /// they are right shows when [`root`](Self::root) is compared, or signed.
    pub fn new(len: usize, hashes: Vec<[u8; 32]>) -> Option<Self> {
        (len > 0 && hashes.len() == chunk_count(len)).then_some(Self { len, hashes })
    }

    /// Length of the body, bytes.
    pub const fn body_len(&self) -> usize {
        self.len
    }

    /// The hashes, in order.
    pub fn hashes(&self) -> &[[u8; 32]] {
        &self.hashes
    }

    /// Number of chunks, 1 or more.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// The root: BLAKE3 of the whole body if the hashes are those of its chunks.
    pub fn root(&self) -> [u8; 32] {
        match &self.hashes[..] {
            [root] => *root,
            hashes => {
                let (left, right) = halves(hashes);
                *hazmat::merge_subtrees_root(&left, &right, Mode::Hash).as_bytes()
            }
        }
    }

    /// Where a chunk lies in the body; `None` if there is none of this index.
    pub fn range(&self, index: usize) -> Option<Range<usize>> {
        let start = index.checked_mul(CHUNK_LEN)?;
        (start < self.len).then(|| start..self.len.min(start + CHUNK_LEN))
    }

    /// Whether these are the bytes of the chunk with this index.
    pub fn check(&self, index: usize, chunk: &[u8]) -> bool {
        let fits = |range: Range<usize>| range.len() == chunk.len();
        match (self.range(index).is_some_and(fits), self.hashes.get(index)) {
            (true, Some(expected)) => {
                hash(chunk, index as u64, self.hashes.len() == 1) == *expected
            }
            _ => false,
        }
    }
}

fn hash(chunk: &[u8], index: u64, single: bool) -> [u8; 32] {
    if single {
        return *blake3::hash(chunk).as_bytes();
    }
    Hasher::new()
        .set_input_offset(index * CHUNK_LEN as u64)
        .update(chunk)
        .finalize_non_root()
}

/// The chaining values of both children of a node over two or more chunks: the left one has as many chunks as the largest
/// power of two below their number.
fn halves(hashes: &[[u8; 32]]) -> (ChainingValue, ChainingValue) {
    let left = (hashes.len() / 2 + hashes.len() % 2).next_power_of_two();
    let (left, right) = hashes.split_at(left);
    (merged(left), merged(right))
}

fn merged(hashes: &[[u8; 32]]) -> ChainingValue {
    match hashes {
        [one] => *one,
        many => {
            let (left, right) = halves(many);
            hazmat::merge_subtrees_non_root(&left, &right, Mode::Hash)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn body(len: usize, seed: u8) -> Vec<u8> {
        let mut bytes = vec![0; len];
        Hasher::new()
            .update(&[seed])
            .finalize_xof()
            .fill(&mut bytes);
        bytes
    }

    #[test]
    fn the_root_is_the_plain_hash_at_every_boundary() {
        let mut lengths = vec![1, 1023, 1024, 1025];
        for chunks in [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64] {
            let len: usize = chunks * CHUNK_LEN;
            lengths.extend([len - 1, len, len + 1, len + 1024, len + 1025]);
        }
        for len in lengths {
            let body = body(len, 1);
            let manifest = Manifest::of(&body).unwrap();
            assert_eq!(manifest.root(), crate::body_root(&body), "{len}");
            assert_eq!(manifest.len(), chunk_count(len));
            let whole = (0..manifest.len()).filter_map(|index| manifest.range(index));
            let joined: Vec<u8> = whole.flat_map(|range| body[range].to_vec()).collect();
            assert_eq!(joined, body);
            assert_eq!(manifest.range(manifest.len()), None);
        }
        assert_eq!(Manifest::of(&[]), None);
    }

    #[test]
    fn a_number_of_hashes_that_does_not_fit_is_no_manifest() {
        for (len, hashes) in [
            (0, 0),
            (0, 1),
            (1, 0),
            (1, 2),
            (CHUNK_LEN, 2),
            (CHUNK_LEN + 1, 1),
            (3 * CHUNK_LEN, 4),
        ] {
            assert_eq!(Manifest::new(len, vec![[1; 32]; hashes]), None, "{len}");
        }
        let manifest = Manifest::new(CHUNK_LEN + 1, vec![[1; 32]; 2]).unwrap();
        assert!(!manifest.check(usize::MAX, &[]));
        assert!(!manifest.check(usize::MAX / CHUNK_LEN, &[]));
        assert!(!manifest.check(2, &[0]));
        assert!(!manifest.check(1, &[]));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn chunks_are_taken_in_any_order_and_no_other_bytes_are(
            len in 1..6 * CHUNK_LEN,
            seed: u8,
            at: prop::sample::Index,
            flip: prop::sample::Index,
            bit in 0u8..8,
        ) {
            let body = body(len, seed);
            let made = Manifest::of(&body).unwrap();
            // As a receiver has it: the length and the hashes, compared with a signed root.
            let manifest = Manifest::new(len, made.hashes().to_vec()).unwrap();
            prop_assert_eq!(manifest.root(), crate::body_root(&body));
            let index = at.index(manifest.len());
            let range = manifest.range(index).unwrap();
            let mut chunk = body[range].to_vec();
            prop_assert!(manifest.check(index, &chunk));
            for other in (0..manifest.len()).filter(|other| *other != index) {
                prop_assert!(!manifest.check(other, &chunk), "in another place");
            }
            let byte = flip.index(chunk.len());
            chunk[byte] ^= 1 << bit;
            prop_assert!(!manifest.check(index, &chunk), "one bit");
            chunk[byte] ^= 1 << bit;
            chunk.push(0);
            prop_assert!(!manifest.check(index, &chunk), "longer");
            chunk.truncate(chunk.len() - 2);
            prop_assert!(!manifest.check(index, &chunk), "shorter");
        }

        #[test]
        fn other_hashes_make_another_root(
            len in 1..40 * CHUNK_LEN,
            at: prop::sample::Index,
            bit in 0usize..256,
        ) {
            let hashes: Vec<[u8; 32]> = (0..chunk_count(len)).map(|n| [n as u8; 32]).collect();
            let root = Manifest::new(len, hashes.clone()).unwrap().root();
            let mut changed = hashes;
            let index = at.index(changed.len());
            changed[index][bit / 8] ^= 1 << (bit % 8);
            prop_assert_ne!(Manifest::new(len, changed).unwrap().root(), root);
        }
    }
}
