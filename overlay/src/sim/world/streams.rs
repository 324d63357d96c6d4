//! Streams of random numbers, each named by (seed, node, purpose): drawing from one never shifts another.

use rand::SeedableRng as _;
use rand::rngs::ChaCha12Rng;

/// What a stream is for. Those of the adversary are apart from those of honest nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A node's key.
    Key,
    /// The random choices of a node's core; one stream a start.
    Core(u32),
    /// Where on the map a node is.
    Place,
    /// A node's address.
    Address,
    /// Delay, loss, duplication of what a node sends.
    Path,
    /// When a node starts, how long it stays, whom it knows at first.
    Life,
    /// Whether a node can be dialled.
    Nat,
    /// What happens to the world: who crashes, who stalls.
    Fate,
    /// The members of a memory that is full from the start.
    Warm,
    /// Draws of measurements (roots of searches, and the like).
    Measure,
    /// Messages published by the scenario.
    Load,
    /// A hostile node's choices.
    Hostile,
    /// Keys and addresses that the adversary makes up.
    Invented,
}

impl Purpose {
    fn bytes(self) -> [u8; 8] {
        let (kind, number): (u32, u32) = match self {
            Self::Key => (1, 0),
            Self::Core(start) => (2, start),
            Self::Place => (3, 0),
            Self::Address => (4, 0),
            Self::Path => (5, 0),
            Self::Life => (6, 0),
            Self::Nat => (7, 0),
            Self::Fate => (8, 0),
            Self::Measure => (9, 0),
            Self::Load => (10, 0),
            Self::Warm => (11, 0),
            Self::Hostile => (64, 0),
            Self::Invented => (65, 0),
        };
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&kind.to_le_bytes());
        bytes[4..].copy_from_slice(&number.to_le_bytes());
        bytes
    }
}

/// A node that is no node: for streams of the world as a whole.
pub const WORLD: u32 = u32::MAX;

/// 32 bytes to seed a generator with.
#[must_use]
pub fn seed_of(seed: u64, node: u32, purpose: Purpose) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("vouchsafe 2026 simulator streams");
    hasher.update(&seed.to_le_bytes());
    hasher.update(&node.to_le_bytes());
    hasher.update(&purpose.bytes());
    *hasher.finalize().as_bytes()
}

/// A stream from its beginning.
#[must_use]
pub fn stream(seed: u64, node: u32, purpose: Purpose) -> ChaCha12Rng {
    ChaCha12Rng::from_seed(seed_of(seed, node, purpose))
}
