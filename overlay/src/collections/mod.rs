//! Small data structures that take time and randomness as arguments. All are bounded, or hold what their owner bounds.

mod keyed;
mod token_bucket;

pub use keyed::{KeyedHasher, KeyedMap, Keys, fold, reserve_one};
pub use token_bucket::TokenBucket;
