//! The Vouchsafe protocol as a state machine without I/O.
//!
//! [`Overlay`] takes inputs (`handle`), hands out actions (`poll_action`), and says when it wants to
//! be woken (`next_timeout`). It has no socket, thread, clock or global randomness: time and
//! randomness are arguments, so the same code runs under real QUIC and in a simulation.
//!
//! The contract of the run loop: after every [`Overlay::handle`], drain [`Overlay::poll_action`] to
//! `None` before the next `handle`.

pub mod action;
pub mod bodies;
pub mod broadcast;
pub mod collections;
pub mod conduct;
pub mod config;
pub mod cx;
pub mod detector;
pub mod input;
pub mod messages;
pub mod neighbors;
pub mod overlay;
pub mod peers;
pub mod repair;
pub mod restored;
pub mod rules;
pub mod sampling;
#[cfg(feature = "sim")]
pub mod sim;
pub mod stats;
pub mod status;
#[cfg(test)]
pub(crate) mod testing;
pub mod wire;

pub use action::{Action, Event, Key, Row};
pub use config::Config;
pub use cx::{Cx, Outbox};
pub use input::{Command, DialId, Input, Lane, LinkId, Now, Token};
pub use overlay::Overlay;
pub use restored::{Restored, RestoredMessage};
pub use stats::Stats;
pub use status::{PeerInfo, Status};
