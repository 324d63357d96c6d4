//! What a node knew when it last stopped, read from its store before the core starts.

use std::net::SocketAddr;

use crypto::{MessageId, PeerId};

use crate::peers::ArchiveEntry;

/// One message of the log, without its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestoredMessage {
    /// Its id.
    pub id: MessageId,
    /// Its author.
    pub author: PeerId,
    /// The author's sequence number.
    pub seq: u64,
    /// Its signed date, milliseconds since the Unix epoch.
    pub published_unix_ms: u64,
    /// Bytes it counts for in the retention (its row in the log).
    pub bytes: u32,
    /// Cursor of its first entry.
    pub first_cursor: u64,
    /// Number of entries.
    pub entries: u32,
    /// One of two messages with the same author and sequence number.
    pub equivocation: bool,
}

/// Durable state at start; `Default` is a node that never ran.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// First cursor that was never handed out (the last reservation); 0 at first, cursors start at 1.
    pub next_cursor: u64,
    /// First own sequence number never used (the last reservation); 0 at first. A run begins no lower than its clock in microseconds.
    pub next_seq: u64,
    /// Highest version of the own record ever signed.
    pub record_version: u64,
    /// The durable low edge of the window, milliseconds since the Unix epoch.
    pub low_edge_ms: u64,
    /// The log, in order of cursor.
    pub messages: Vec<RestoredMessage>,
    /// Ids decided without being in the log, with their dates.
    pub decided: Vec<(MessageId, u64)>,
    /// The archive.
    pub archive: Vec<ArchiveEntry>,
    /// The anchors, most trusted first.
    pub anchors: Vec<(PeerId, SocketAddr)>,
    /// Bans: whom, until when (milliseconds since the Unix epoch; `u64::MAX` = until unbanned).
    pub bans: Vec<(PeerId, u64)>,
}
