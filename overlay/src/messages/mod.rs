//! What has arrived: seen ids, per-author order, the date window, equivocation, the log, delivery.
//!
//! A message comes in through [`admit`] (cheap checks first, then the signature), is handed to
//! [`Messages::on_arrival`], waits there for the application's verdict where its topic asks for one, is passed on at once
//! when accepted, and is appended to the log in its author's order. Only *decided* messages (delivered, ignored,
//! rejected, pruned) are in the [`Decided`] set that `repair` compares with other nodes; what waits for a verdict or for
//! its author's earlier message is in capped maps beside it.

mod admit;
mod authors;
mod decided;
mod equivocation;
mod evidence;
mod part;
mod publish;
mod recent;
mod reserve;
mod restore;
mod retention;
mod shares;
mod sorted;
#[cfg(test)]
mod tests;
mod topic;
mod verdicts;

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use crypto::{MessageId, PeerId, Signed, Verified};

pub use admit::{Admission, Refused, admit};
pub use authors::Hole;
pub use decided::Decided;
pub use evidence::{Evidence, NotEvidence};
pub use part::Messages;
pub(crate) use publish::packed;
pub use topic::{BadTopic, MAX_TOPIC, Topic};

use crate::input::LinkId;
use crate::wire::{MessageHeader, Point};

/// Most entries in one message.
pub const MAX_ENTRIES: usize = 256;
/// Longest body (entries with their length prefixes) that the protocol allows, bytes; what a node takes is
/// [`Config::max_body`]. The hashes of its chunks must fit a frame.
pub const MAX_BODY: usize = 32 * 1024 * 1024;
/// Longest single payload that a node takes unless told otherwise, bytes ([`Config::max_body`]).
pub const DEFAULT_MAX_PAYLOAD: usize = 16 * 1024 * 1024;
/// Longest single payload that the protocol allows, bytes: alone in the longest body.
pub const MAX_PAYLOAD: usize = MAX_BODY - ENTRY_PREFIX;
/// What an entry takes in a body beside its bytes.
pub const ENTRY_PREFIX: usize = 4;
/// Longest body that may travel in one frame with its header, bytes; leaves room for the header in a 64 KiB frame.
pub const MAX_INLINE: usize = 48 * 1024;

/// What a message costs in the retention beside its body: header, signature, ids, indexes, bytes.
pub(crate) const ROW_OVERHEAD: u32 = 256;
/// Live gossip must be dated at least this far above the low edge, milliseconds, so that two nodes whose edges differ a
/// little do not disagree about a message.
pub const LIVE_MARGIN_MS: u64 = 120_000;
/// Nothing is taken that is dated further than this in the future, milliseconds.
pub const AHEAD_MS: u64 = 60_000;

crate::stats::counters! {
    /// Arrivals, deliveries, duplicates, refusals.
    Counters {
        /// Copies of a message that is decided or waiting already.
        duplicates,
        /// Refused: dated below the low edge (for live gossip: or less than 120 s above it).
        too_old,
        /// Refused: dated more than 60 s in the future.
        too_new,
        /// Refused: a sequence number of 0, or one that is not above the previous one's.
        bad_header,
        /// Refused: the author policy does not admit the author.
        not_admitted,
        /// Refused: the body is longer than this node takes.
        too_large,
        /// Refused: a third message with one (author, sequence number).
        surplus,
        /// Refused: the seen set is full and the author (or the link, for fresh authors) holds more than its share.
        over_share,
        /// Refused: messages wait for the store to reserve cursors, and there are too many of them.
        stalled,
        /// Messages whose signature did not verify.
        bad_signatures,
        /// Messages whose signed body is not made of entries, which is their author's fault; decided, and given to nobody.
        bad_bodies,
        /// Messages verified and accepted, our own included.
        accepted,
        /// Messages appended to the log.
        appended,
        /// Entries delivered to the application.
        delivered,
        /// Messages that waited for their author's earlier message.
        held,
        /// Looks at such a message that let it wait on, since repair was at work on older ones.
        waited_on,
        /// Messages appended although their author's previous message was not there.
        gaps,
        /// Messages appended before their time because too many waited.
        held_overflow,
        /// Messages given to the application's validator.
        validated,
        /// Verdicts: ignore.
        ignored,
        /// Verdicts: reject.
        rejected,
        /// Validations without an answer in time; the message is taken again when it comes again.
        undecided,
        /// Messages dropped because too many wait for a verdict; taken again when they come again.
        verdicts_full,
        /// Pairs of messages with one (author, sequence number).
        equivocations,
        /// Messages displaced from such a pair by one of a lesser id.
        displaced,
        /// Pairs handed out as evidence, and to the store.
        evidence,
        /// Equivocations without evidence: the first message is no longer in the log, or too many are being read.
        unproven,
        /// Messages removed from the log by count, bytes or fairness.
        pruned,
        /// Ids that the low edge passed.
        forgotten,
        /// Rises of the low edge because the seen set was full.
        squeezed,
        /// Authors forgotten because too many are tracked.
        authors_evicted,
        /// Own messages signed.
        signed,
        /// Publishes refused, for any reason.
        publish_refused,
        /// Messages under our key that we never signed.
        clones,
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
    /// Our own validator says no, or nothing in time.
    #[error("the validator of the topic refused the payload, or gave no verdict in time")]
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
    /// The entries (their root has been checked against the header). Of a large message none while its body is on its way,
    /// nor when the body turns out not to be made of entries.
    pub entries: Vec<Bytes>,
    /// The whole body, which the entries are parts of, if it travels apart from its header.
    pub body: Option<Bytes>,
    /// The frame it came in (of a large message: its head), to be passed on as it is.
    pub frame: Bytes,
    /// Who brought it; `None` = published here.
    pub from: Option<(LinkId, PeerId)>,
    /// Fetched by repair (dates down to the low edge are taken) rather than pushed live.
    pub repaired: bool,
}

/// Where a message stands in the order that nodes reconcile on: its date, then its id.
#[must_use]
pub fn point_of(header: &MessageHeader, id: &MessageId) -> Point {
    Point {
        unix_ms: header.published_unix_ms,
        id: id.to_bytes(),
    }
}

impl Arrival {
    /// Its place in the order that nodes reconcile on.
    #[must_use]
    pub fn point(&self) -> Point {
        point_of(&self.header, &self.id)
    }

    /// About how many bytes of memory it takes.
    #[must_use]
    pub fn cost(&self) -> usize {
        let body = self.body.as_ref().map_or(0, Bytes::len);
        self.frame.len() + body + ROW_OVERHEAD as usize
    }
}

/// Whether a message of so many entries and bytes of body travels in one frame with its header. A single entry does up to
/// `inline` bytes ([`Config::inline`]); several, up to [`MAX_INLINE`]: an author with payloads waiting is a busy one, to whom
/// every node has settled on one supplier.
#[must_use]
pub fn is_inline(count: usize, body_len: usize, inline: usize) -> bool {
    body_len <= MAX_INLINE && (body_len <= inline || count > 1)
}

/// Settings of this room. The numbers of the window are the protocol's; the caps are guesses that bound memory on a small
/// machine (about 64 MiB with everything full but the seen set).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Longest body of one entry that travels in one frame with its header, bytes (1 KiB, a guess until the simulation of
    /// dissemination settles it; at most [`MAX_INLINE`]). What is longer goes header first.
    pub inline: usize,
    /// Longest body taken and published, bytes: 16 MiB of payload and the lengths of 256 entries; at most [`MAX_BODY`].
    pub max_body: usize,
    /// How long a message is kept, by its date (24 h).
    pub retention: Duration,
    /// Most bytes in the log (256 MiB).
    pub max_bytes: u64,
    /// Most messages in the log (1,000,000).
    pub max_messages: usize,
    /// Most ids in the seen set, pruned ones included (1,500,000; about 100 bytes each). When it is full the low edge
    /// rises, but never above the last three minutes; beyond that, whoever holds more than a fair share is refused.
    pub max_decided: usize,
    /// Topics that have a validator: their messages wait for the application's verdict.
    pub validated_topics: BTreeSet<Topic>,
    /// How long a verdict may take (2 s).
    pub verdict_deadline: Duration,
    /// Most messages waiting for a verdict (1,024).
    pub max_verdicts: usize,
    /// Most bytes waiting for a verdict (8 MiB); one message may be larger.
    pub max_verdict_bytes: usize,
    /// How long a message waits for its author's previous one (2 s). Halfway, repair asks whoever brought it.
    pub hold: Duration,
    /// How long it waits while repair is at work on messages older than it (30 s, as long as a message may take that repair has
    /// asked for). A guess; it bounds what a peer can delay that lists messages and serves none.
    pub hold_repairing: Duration,
    /// Most messages of one author that wait (512; with `max_held` for all it is about a second of a busy author).
    pub max_held_per_author: usize,
    /// Most messages that wait, over all authors (4,096).
    pub max_held: usize,
    /// Most bytes that wait, over all authors (16 MiB).
    pub max_held_bytes: usize,
    /// Most authors whose order is tracked (65,536). Beyond it the one heard of least recently is forgotten, fresh ones
    /// first: its messages leave the log, and its next one may wait for `hold` and be marked as a gap.
    pub max_authors: usize,
    /// An author is fresh, and shares the quota of the link it came in by, until it has been known this long (10 min).
    pub established_after: Duration,
    /// Most bytes of frames kept for grafts and fetches (16 MiB).
    pub recent_bytes: usize,
    /// Most bytes of bodies kept, apart from their headers, for those who ask for them (48 MiB, at least one).
    pub recent_body_bytes: usize,
    /// How long both are kept (60 s).
    pub recent_time: Duration,
    /// Most publishes that wait for a verdict or for the store (4,096).
    pub max_publishes: usize,
    /// Most bytes of payload in them (48 MiB); one message may be larger.
    pub max_publish_bytes: usize,
    /// Cursors and own sequence numbers reserved in one go (4,096), at least [`MAX_ENTRIES`].
    pub reserve: u64,
}

impl Config {
    /// Longest single payload that this node takes, bytes.
    #[must_use]
    pub const fn max_payload(&self) -> usize {
        self.max_body.saturating_sub(MAX_ENTRIES * ENTRY_PREFIX)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            inline: 1024,
            max_body: DEFAULT_MAX_PAYLOAD + MAX_ENTRIES * ENTRY_PREFIX,
            retention: Duration::from_secs(24 * 60 * 60),
            max_bytes: 256 * 1024 * 1024,
            max_messages: 1_000_000,
            max_decided: 1_500_000,
            validated_topics: BTreeSet::new(),
            verdict_deadline: Duration::from_secs(2),
            max_verdicts: 1024,
            max_verdict_bytes: 8 * 1024 * 1024,
            hold: Duration::from_secs(2),
            hold_repairing: Duration::from_secs(30),
            max_held_per_author: 512,
            max_held: 4096,
            max_held_bytes: 16 * 1024 * 1024,
            max_authors: 65_536,
            established_after: Duration::from_secs(600),
            recent_bytes: 16 * 1024 * 1024,
            recent_body_bytes: 48 * 1024 * 1024,
            recent_time: Duration::from_secs(60),
            max_publishes: 4096,
            max_publish_bytes: 48 * 1024 * 1024,
            reserve: 4096,
        }
    }
}

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
    /// Length of its body, if that travels apart from the frame.
    pub body_len: Option<usize>,
    /// Who brought it; `None` = published here.
    pub from: Option<LinkId>,
    /// Fetched by repair rather than pushed live.
    pub repaired: bool,
}
