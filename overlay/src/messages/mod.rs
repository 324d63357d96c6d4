//! What has arrived: seen ids, per-author order, the date window, equivocation, the log, delivery.

mod topic;

use bytes::Bytes;
use crypto::{MessageId, PeerId, Signed, Verified};

pub use topic::{BadTopic, MAX_TOPIC, Topic};

use crate::input::LinkId;
use crate::wire::MessageHeader;

/// Most entries in one message.
pub const MAX_ENTRIES: usize = 256;
/// Longest single payload, bytes.
pub const MAX_PAYLOAD: usize = 32 * 1024;
/// Longest body of one message (entries with their length prefixes), bytes; leaves room for the header in a 64 KiB frame.
pub const MAX_BODY: usize = 48 * 1024;

crate::stats::counters! {
    /// Arrivals, deliveries, duplicates, refusals.
    Counters {
        /// Messages appended to the log.
        appended,
        /// Entries delivered to the application.
        delivered,
    }
}

/// A message as the log keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMessage {
    /// Its id.
    pub id: MessageId,
    /// Cursor of its first entry.
    pub first_cursor: u64,
    /// The signed header.
    pub signed: Signed<MessageHeader>,
    /// The entries.
    pub entries: Vec<Bytes>,
    /// Delivered with the gap mark.
    pub gap: bool,
    /// One of two messages with the same author and sequence number.
    pub equivocation: bool,
}

/// Why a publish was refused. Nothing was signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// A payload is too large.
    #[error("the payload has {size} bytes, the limit is {max}")]
    TooLarge {
        /// Its size.
        size: usize,
        /// The limit.
        max: usize,
    },
    /// No payload, or too many for one message.
    #[error("a message carries 1 to {MAX_ENTRIES} payloads, not {0}")]
    Count(usize),
    /// The author policy of the network does not let us publish.
    #[error("this network's author policy does not admit the node's own key")]
    NotAdmitted,
    /// Our own validator says no.
    #[error("the validator of the topic refused the payload")]
    Invalid,
    /// Someone else signs with our key; see [`Event::CloneDetected`](crate::Event::CloneDetected).
    #[error(
        "another node signs with this node's key: publishing has stopped; give each node its own data directory"
    )]
    Cloned,
    /// The key's holder did not sign.
    #[error("the signer failed: {0}")]
    Signer(String),
    /// Too many publishes wait for the store.
    #[error("too many publishes wait for the store")]
    Busy,
    /// The node is shutting down.
    #[error("the node is shutting down")]
    Leaving,
}

/// A verified message on its way into the log, handed down by `broadcast` or `repair`.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Its id.
    pub id: MessageId,
    /// The verified header.
    pub header: Verified<MessageHeader>,
    /// The entries (their root has been checked against the header).
    pub entries: Vec<Bytes>,
    /// The frame it came in, to be forwarded as it is; `None` for our own until encoded.
    pub frame: Bytes,
    /// Who brought it; `None` = published here.
    pub from: Option<(LinkId, PeerId)>,
    /// Fetched by repair (dates down to the low edge are taken) rather than pushed live.
    pub repaired: bool,
}

/// Settings of this room.
#[derive(Clone, Debug, Default)]
pub struct Config {}

/// A message that has been decided in favour: to be passed on.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// Its id.
    pub id: MessageId,
    /// Its author.
    pub author: PeerId,
    /// Its signed date, milliseconds since the Unix epoch.
    pub published_unix_ms: u64,
    /// The frame to pass on as it is.
    pub frame: Bytes,
    /// Who brought it; `None` = published here.
    pub from: Option<LinkId>,
    /// Fetched by repair rather than pushed live.
    pub repaired: bool,
}
