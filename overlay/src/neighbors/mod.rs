//! Which links to keep: the greeting, visits and neighbors, admission, rotation, healing.

mod code;
mod links;

use std::net::SocketAddr;

use crypto::{PeerId, Verified};

pub use code::Code;
pub use links::{Link, Links, Phase};

use crate::input::{DialError, DialId, LinkId};
use crate::peers::DialPurpose;
use crate::wire::PeerRecord;

crate::stats::counters! {
    /// Links, admissions, evictions.
    Counters {
        /// Connections that came up.
        connected,
        /// Connections that became open links (hello and accept done).
        opened,
        /// Links that became neighbors.
        neighbors_up,
        /// Neighbors lost or given up.
        neighbors_down,
    }
}

/// A fact about links, handed down once per step to `sampling`, `broadcast` and `repair`.
#[derive(Clone, Debug)]
pub enum Change {
    /// A greeting succeeded: frames may flow. For an outbound link the peer has just been proven at `addr`.
    Opened {
        /// The link.
        link: LinkId,
        /// The peer.
        peer: PeerId,
        /// The remote address.
        addr: SocketAddr,
        /// The peer's current record.
        record: Verified<PeerRecord>,
        /// Our dial and what it was for; `None` = inbound.
        dial: Option<(DialId, DialPurpose)>,
    },
    /// An open link became a neighbor (always after its `Opened`).
    NeighborUp {
        /// The link.
        link: LinkId,
        /// The peer.
        peer: PeerId,
    },
    /// A neighbor is one no more (always before its `Closed`).
    NeighborDown {
        /// The link.
        link: LinkId,
        /// The peer.
        peer: PeerId,
    },
    /// An open link is gone.
    Closed {
        /// The link.
        link: LinkId,
        /// The peer.
        peer: PeerId,
    },
    /// A dial of ours came to nothing: no connection, a refusal, or no accept in time.
    DialFailed {
        /// The dial.
        dial: DialId,
        /// What it was for.
        purpose: DialPurpose,
        /// The peer.
        peer: PeerId,
        /// The address, when it was one.
        addr: Option<SocketAddr>,
        /// Why; `Err(code)` = the peer answered and refused.
        reason: Result<DialError, Code>,
    },
}

/// Settings of this room.
#[derive(Clone, Debug, Default)]
pub struct Config {}
