//! What is computed from a world: pure functions over numbers and graphs, without a world.

pub mod degrees;
pub mod fit;
pub mod graph;
pub mod pairs;
pub mod samples;
pub mod special;
pub mod stats;
