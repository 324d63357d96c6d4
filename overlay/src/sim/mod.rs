//! The simulator: thousands of the very [`Overlay`](crate::Overlay) that runs in a node, codec included, in virtual time.
//!
//! A [`Scenario`] says what world to make and what happens in it; running it with a seed gives an [`Outcome`]. Everything random
//! comes from streams named by (seed, node, purpose), so a run repeats exactly, and switching one thing on does not shift the draws
//! of another.

pub mod classic;
pub mod measure;
pub mod outcome;
pub mod scenario;

pub use outcome::Outcome;
pub use scenario::{Scenario, ScenarioError};
