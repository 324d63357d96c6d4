//! Small data structures that take time and randomness as arguments. All are bounded, or hold what their owner bounds.

mod budget;
mod keyed;
mod smoothed;
mod token_bucket;

pub use budget::Budget;
pub use keyed::{KeyedHasher, KeyedMap, Keys, fold, reserve_one};
pub use smoothed::Smoothed;
pub use token_bucket::TokenBucket;
