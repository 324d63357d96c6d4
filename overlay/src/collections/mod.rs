//! Small data structures that take time and randomness as arguments. All are bounded, or hold what their owner bounds.

mod indexed_set;
mod token_bucket;

pub use indexed_set::IndexedSet;
pub use token_bucket::TokenBucket;
