//! What we know of peers we are not linked to: the book of signed records, heard or proven, the archive, and the budget of dials.

mod own;

use std::net::SocketAddr;

use crypto::PeerId;

pub use own::Own;

crate::stats::counters! {
    /// Dials, records, candidates.
    Counters {
        /// Dials asked for.
        dials,
        /// The key's holder did not sign a new own record; the old one serves on.
        own_record_not_signed,
    }
}

/// What a dial is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DialPurpose {
    /// A configured seed: ask and leave.
    Seed,
    /// A configured peer to keep as a neighbor.
    Persistent,
    /// A long-lived neighbor of the last run.
    Anchor,
    /// A peer of the archive.
    Archive,
    /// To prove a heard record (feelers and the dial-back of callers included).
    Candidate,
    /// A push-pull exchange with a member of the memory.
    Exchange,
    /// To become an outbound neighbor.
    Neighbor,
    /// To reconcile messages with a member of the memory.
    Repair,
}

/// A change to what is kept about peers across restarts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerRow {
    /// Proven at this address at this time; replaces an earlier row of the same peer.
    Archived(ArchiveEntry),
    /// Evicted from the archive.
    Unarchived(PeerId),
    /// The anchors, most trusted first (at most 2); replaces the earlier list.
    Anchors(Vec<(PeerId, SocketAddr)>),
    /// Banned until this date (milliseconds since the Unix epoch; `u64::MAX` = until unbanned).
    Banned {
        /// Whom.
        peer: PeerId,
        /// Until when.
        until_unix_ms: u64,
    },
    /// The ban is over.
    Unbanned(PeerId),
}

/// One peer that was proven once. Never expires by time, never handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchiveEntry {
    /// Who.
    pub peer: PeerId,
    /// Where.
    pub addr: SocketAddr,
    /// When our own dial last ended in accept, milliseconds since the Unix epoch.
    pub proven_unix_ms: u64,
}

/// Settings of this room.
#[derive(Clone, Debug, Default)]
pub struct Config {}
