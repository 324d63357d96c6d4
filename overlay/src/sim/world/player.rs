//! Who sits at a host: the node itself, or somebody else who speaks through the same two doors.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::time::Instant;

use crypto::PeerId;

use crate::action::Action;
use crate::input::{Input, Now};
use crate::overlay::Overlay;

/// A peer that a player knows, as a measurement sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Whom.
    pub peer: PeerId,
    /// Where it would be dialled.
    pub addr: SocketAddr,
    /// How many slots of the view it holds, 1 or more.
    pub slots: usize,
    /// When the record behind it was issued, seconds since the Unix epoch; `None` for a first contact whose record has not come yet.
    pub issued_unix_s: Option<u64>,
}

/// Somebody who is no node of ours but speaks the wire: a hostile node, or one that runs another algorithm.
pub trait Actor: Debug + Send + Sync {
    /// As [`Overlay::handle`].
    fn handle(&mut self, now: Now, input: Input);
    /// As [`Overlay::poll_action`].
    fn poll_action(&mut self) -> Option<Action>;
    /// As [`Overlay::next_timeout`].
    fn next_timeout(&self) -> Option<Instant>;
    /// The node that does most of its work, if one does.
    fn core(&self) -> Option<&Overlay> {
        None
    }
    /// Whom it has in its view.
    fn view(&self) -> Vec<Known> {
        self.core().map(Player::view_of).unwrap_or_default()
    }
    /// Exchanges that it started and that were answered.
    fn answered(&self) -> u64 {
        self.core().map_or(0, |core| core.stats().sampling.answered)
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

    /// The memory of a node.
    pub(in crate::sim) fn view_of(overlay: &Overlay) -> Vec<Known> {
        let rooms = overlay.rooms();
        let memory = rooms.view.memory();
        let known = |(peer, addr)| Known {
            peer,
            addr,
            slots: memory.slots_of(&peer),
            issued_unix_s: rooms
                .book
                .record_of(&peer)
                .map(|record| record.issued_unix_s),
        };
        memory.members().map(known).collect()
    }

    /// Whom it has in its view, or memory.
    #[must_use]
    pub fn view(&self) -> Vec<Known> {
        match self {
            Self::Node(overlay) => Self::view_of(overlay),
            Self::Other(actor) => actor.view(),
        }
    }

    /// Exchanges that it started and that were answered, since its start.
    #[must_use]
    pub fn answered(&self) -> u64 {
        match self {
            Self::Node(overlay) => overlay.stats().sampling.answered,
            Self::Other(actor) => actor.answered(),
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        match self {
            Self::Node(overlay) => overlay.next_timeout(),
            Self::Other(actor) => actor.next_timeout(),
        }
    }
}
