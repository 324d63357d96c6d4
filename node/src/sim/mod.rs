//! The simulator's commands: scenarios to read, seeds to run, figures to judge, reports to write.
//!
//! The world itself is [`overlay::sim`]; what is here only describes worlds and reads what was measured in them.

mod curves;
mod description;
mod keys;
mod library;
mod line;
mod numbers;
mod plot;
mod report;
mod seeds;
mod setting;
mod stats;
mod summary;
mod watch;
mod words;
mod world;

/// Something the user wrote is wrong: a key, a value, a name. It says where, and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Wrong(pub(crate) String);
