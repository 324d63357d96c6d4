//! The classics of gossip, for comparison: published results are reproduced with them before ours are believed.
//!
//! Nothing here is part of a node. The shuffling protocols ([`cyclon`], [`framework`]) are plain state without a world; [`ideal`] runs them,
//! and ranked slots, in synchronous rounds without loss or delay; [`figures`] puts what comes out beside what was published. In a
//! simulated world they are players on the node's own wire: `shuffler` runs the shuffling protocols, `naive_cap` ranked slots with an obvious
//! limit on callers. [`in_world`] has their figures there, with the node beside them; [`attacks`] shows of each attack of the simulator which of them it breaks.

pub mod attacks;
pub mod cyclon;
mod descriptors;
pub mod figures;
pub mod framework;
pub mod ideal;
pub mod in_world;
mod naive_cap;
pub mod rumour;
mod shuffler;

pub(super) use naive_cap::NaiveCap;
pub(super) use shuffler::{Rules, Shuffler};

use rand::Rng as _;
use rand::rngs::ChaCha12Rng;

/// What a shuffling protocol knows of another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whom it names.
    pub id: u32,
    /// How many rounds ago that node made it.
    pub age: u32,
}

/// What a node begins a shuffle with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shuffle {
    /// Whom to send it to.
    pub to: u32,
    /// What to send.
    pub list: Vec<Entry>,
}

/// One of `nodes` (2 or more) other than `me`, each with the same chance to within `nodes`/2^32: a multiplication and a shift, since rumours
/// draw by the million.
fn other_than(me: u32, nodes: u32, rng: &mut ChaCha12Rng) -> u32 {
    let drawn = ((u64::from(rng.next_u32()) * u64::from(nodes - 1)) >> 32) as u32;
    if drawn < me { drawn } else { drawn + 1 }
}
