//! The simulator's commands: scenarios to read, seeds to run, figures to judge, reports to write.
//!
//! The world itself is [`overlay::sim`]; what is here only describes worlds and reads what was measured in them.

pub(crate) mod classics;
pub(crate) mod compare;
mod curves;
mod description;
mod keys;
pub(crate) mod library;
mod line;
mod listing;
mod numbers;
mod plot;
pub(crate) mod report;
pub(crate) mod seeds;
mod setting;
pub(crate) mod size;
mod stats;
pub(crate) mod suite;
mod summary;
mod tolerance;
mod watch;
mod words;
mod world;

pub(crate) use description::{Choice, MAX_RUNS, command};
pub(crate) use line::Line;
pub(crate) use listing::Entry;
pub(crate) use report::Folder;
pub(crate) use setting::Setting;
pub(crate) use summary::{Run, Summary};
pub(crate) use watch::{Task, Watch};

/// Something the user wrote is wrong: a key, a value, a name. It says where, and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Wrong(pub(crate) String);

/// How many runs the machine does at the same time without one waiting for another.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
