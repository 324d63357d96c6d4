//! The simulator: thousands of the very [`Overlay`](crate::Overlay) that runs in a node, codec included, in virtual time.
//!
//! A [`Scenario`] says what world to make and what happens in it; running it with a seed gives an [`Outcome`]. Everything random
//! comes from streams named by (seed, node, purpose), so a run repeats exactly, and switching one thing on does not shift the draws
//! of another.

pub mod adversary;
mod bar;
pub mod cast;
pub mod classic;
mod crowd;
#[cfg(test)]
mod forgery;
mod happening;
mod invariants;
pub mod measure;
pub mod outcome;
mod roles;
mod run;
pub mod scenario;
pub mod spread;
mod talk;
mod watch;
pub mod world;

pub use outcome::{Outcome, Progress};
pub use run::run;
pub use scenario::{Scenario, ScenarioError};
