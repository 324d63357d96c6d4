//! Small data structures that take time and randomness as arguments. All are bounded, or hold what their owner bounds.

mod backoff;
mod indexed_set;
mod seen_set;
mod token_bucket;

pub use backoff::Backoff;
pub use indexed_set::IndexedSet;
pub use seen_set::SeenSet;
pub use token_bucket::TokenBucket;
