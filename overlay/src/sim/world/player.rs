//! Who sits at a host: the node itself, or somebody else who speaks through the same two doors.

use std::fmt::Debug;
use std::time::Instant;

use crypto::PeerId;

use crate::action::Action;
use crate::input::{Input, Now};
use crate::overlay::Overlay;

/// Somebody who is no node of ours but speaks the wire: a hostile node, or one that runs another algorithm.
pub trait Actor: Debug + Send {
    /// As [`Overlay::handle`].
    fn handle(&mut self, now: Now, input: Input);
    /// As [`Overlay::poll_action`].
    fn poll_action(&mut self) -> Option<Action>;
    /// As [`Overlay::next_timeout`].
    fn next_timeout(&self) -> Option<Instant>;
    /// Whom it would name as its view, for measurements.
    fn view(&self) -> Vec<PeerId> {
        Vec::new()
    }
    /// To look inside, for whoever made it.
    fn as_any(&mut self) -> &mut dyn std::any::Any;
}

/// Who sits at a host.
#[derive(Debug)]
pub enum Player {
    /// The node that also runs in the daemon.
    Node(Box<Overlay>),
    /// Somebody else.
    Other(Box<dyn Actor>),
}

impl Player {
    pub(super) fn handle(&mut self, now: Now, input: Input) {
        match self {
            Self::Node(overlay) => overlay.handle(now, input),
            Self::Other(actor) => actor.handle(now, input),
        }
    }

    pub(super) fn poll_action(&mut self) -> Option<Action> {
        match self {
            Self::Node(overlay) => overlay.poll_action(),
            Self::Other(actor) => actor.poll_action(),
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        match self {
            Self::Node(overlay) => overlay.next_timeout(),
            Self::Other(actor) => actor.next_timeout(),
        }
    }
}
