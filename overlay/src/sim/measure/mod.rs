//! What is computed from a world: pure functions over numbers and graphs, without a world.
