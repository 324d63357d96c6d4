//! The messages of wire v1, as types. Every sequence is bounded in its type; ids are raw bytes, checked as keys where they
//! are used. Layout and limits are written down in `docs/PROTOCOL.md`.

use std::time::Duration;

use bytes::Bytes;
use crypto::{Manifest, MessageId, Signed};
use serde::{Deserialize, Serialize};

use super::bounded::Bounded;
use super::header::MessageHeader;
use super::record::{PeerRecord, WireAddr};

/// Most records in an exchange list.
pub const MAX_LIST: usize = 64;
/// Most short ids in one announcement.
pub const MAX_ANNOUNCE: usize = 256;
/// Most message ids in one fetch.
pub const MAX_FETCH: usize = 256;
/// Most ranges in one reconciliation message.
pub const MAX_RANGES: usize = 128;
/// Most ids listed in one reconciliation message, over all of its ranges.
pub const MAX_RANGE_IDS: usize = 1024;

/// Most chunks of one body.
pub const MAX_CHUNKS: usize = crypto::chunk_count(crate::messages::MAX_BODY);
/// Most cells in the sketches of one reconciliation message.
pub const MAX_CELLS: usize = 1152;
/// Most short ids asked for in one range.
pub const MAX_WANTED: usize = 1152;

/// A short message id: first 8 bytes of BLAKE3 keyed with the *receiver's* announce key over the message id.
pub type ShortId = [u8; 8];

/// What the dialler wants the connection for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Short: an exchange, a check, a fetch.
    Visit,
    /// To be kept: a neighbor.
    Neighbor,
}

/// First frame of the dialler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Lowest wire version spoken.
    pub min_version: u8,
    /// Highest wire version spoken.
    pub max_version: u8,
    /// Feature bits; unknown ones are ignored.
    pub features: u64,
    /// The whole network id.
    pub network: [u8; 32],
    /// What the connection is for.
    pub purpose: Purpose,
    /// The dialler's own signed record.
    pub record: Signed<PeerRecord>,
    /// The dialler's clock, milliseconds since the Unix epoch.
    pub unix_ms: u64,
    /// The acceptor's address as the dialler sees it.
    pub observed: WireAddr,
    /// Key under which the dialler wants message ids announced to it.
    pub announce_key: [u8; 16],
}

/// The acceptor's yes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accept {
    /// The wire version chosen.
    pub version: u8,
    /// Feature bits in common.
    pub features: u64,
    /// The purpose granted: a `Neighbor` may be granted as a `Visit` only.
    pub purpose: Purpose,
    /// The acceptor's own signed record.
    pub record: Signed<PeerRecord>,
    /// The acceptor's clock, milliseconds since the Unix epoch.
    pub unix_ms: u64,
    /// The dialler's address as the acceptor sees it.
    pub observed: WireAddr,
    /// Key under which the acceptor wants message ids announced to it.
    pub announce_key: [u8; 16],
}

/// The acceptor's no; the connection closes after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refuse {
    /// A [`Code`](crate::neighbors::Code).
    pub code: u16,
    /// Do not come back before.
    pub retry_after: RetryAfter,
}

/// How long a refused dialler stays away: whole seconds on the wire, at most [`RetryAfter::LONGEST`] whatever the number there,
/// so that nobody can send us away for longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryAfter(u16);

impl RetryAfter {
    /// The most that is honoured (1 h): as long as an address rests that never answers.
    pub const LONGEST: Duration = Duration::from_secs(3600);

    /// From a number of seconds. What is more than an hour goes out as it is and counts as an hour at both ends.
    #[must_use]
    pub const fn from_secs(seconds: u16) -> Self {
        Self(seconds)
    }

    /// The time to wait, 0 to [`Self::LONGEST`].
    #[must_use]
    pub fn duration(self) -> Duration {
        Duration::from_secs(self.0.into()).min(Self::LONGEST)
    }
}

/// One record of an exchange list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListItem {
    /// The signed record.
    pub record: Signed<PeerRecord>,
    /// Which of its addresses the sender has proved: bit 0 = IPv4, bit 1 = IPv6; at least one. None for a record without an address: the
    /// word of a peer that has left.
    pub proven: u8,
}

/// Push: the caller's short list (its own record travelled in its hello, or here when the link is older).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeRequest {
    /// The caller's current record.
    pub record: Signed<PeerRecord>,
    /// How many records the caller takes at most.
    pub want: u8,
    /// The caller's short list.
    pub list: Bounded<ListItem, MAX_LIST>,
}

/// Pull: proven records of the acceptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeReply {
    /// The acceptor's current record.
    pub record: Signed<PeerRecord>,
    /// Its list; empty when the caller calls too often.
    pub list: Bounded<ListItem, MAX_LIST>,
}

/// A message with its entries, as its author signed it. `count`, `body_len` and `body_root` of the header do not travel:
/// the receiver computes them from the entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gossip {
    /// The signed header.
    pub signed: Signed<MessageHeader>,
    /// 1 to [`MAX_ENTRIES`](crate::messages::MAX_ENTRIES) payloads.
    pub entries: Vec<Bytes>,
}

/// The header of a large message, as its author signed it; the body is asked for with [`Want`]. `body_root` does not travel:
/// the receiver merges it from the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The signed header.
    pub signed: Signed<MessageHeader>,
    /// The hashes of the body's chunks; they merge to the header's root.
    pub manifest: Manifest,
    /// How many nodes passed it on, each adding one: not signed, a hint. Who asks several neighbors for parts of a body asks
    /// such that had it in fewer steps, so that nobody waits in a circle.
    pub hops: u8,
    /// The sender sends the whole body too, without being asked: the receiver has asked for the author's earlier ones.
    pub follows: bool,
}

/// "Send me these chunks as you have them": those of `from..to` of the body of a message, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Want {
    /// Full id of the message.
    pub id: [u8; 32],
    /// The first chunk.
    pub from: u16,
    /// After the last chunk; above `from`.
    pub to: u16,
}

/// "Send me none of these chunks": takes back what a [`Want`] or a following [`Head`] covers of `from..to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    /// Full id of the message.
    pub id: [u8; 32],
    /// The first chunk.
    pub from: u16,
    /// After the last chunk; above `from`.
    pub to: u16,
}

/// One chunk of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Full id of the message, so that the frame is the same for every receiver.
    pub id: [u8; 32],
    /// Which chunk, from 0.
    pub index: u16,
    /// Its bytes, 1 to [`CHUNK_LEN`](crypto::CHUNK_LEN).
    pub bytes: Bytes,
}

/// "I have these, their bodies included": as [`Announce`], of large messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Have {
    /// The ids.
    pub ids: Bounded<ShortId, MAX_ANNOUNCE>,
}

/// "I have some chunks of these, and pass on what comes": as [`Have`], of bulk that is under way to the sender.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The ids.
    pub ids: Bounded<ShortId, MAX_ANNOUNCE>,
}

/// "I send you nothing of this body now": the answer to a [`Want`], or to what a graft of bulk would bring, of one too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Busy {
    /// Full id of the message.
    pub id: [u8; 32],
}

/// "I have these": short ids under the receiver's announce key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announce {
    /// The ids.
    pub ids: Bounded<ShortId, MAX_ANNOUNCE>,
}

/// What a graft or prune is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Branch {
    /// Authors without a state of their own.
    Default,
    /// This author's messages.
    Author([u8; 32]),
    /// The bodies of this author's bulk: they are sent as they come, whoever brings their heads.
    Bulk([u8; 32]),
}

/// "Push to me": the listed announced messages now, and from now on everything of the branch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Graft {
    /// The branch to push from now on; with `None` only the listed messages are asked for.
    pub branch: Option<Branch>,
    /// Announced messages to send now (short ids under the *sender of this graft*'s announce key). With ids
    /// given and no branch, the authors of these messages become eager too unless `once`.
    pub ids: Bounded<ShortId, MAX_ANNOUNCE>,
    /// Send the listed messages but change nothing else.
    pub once: bool,
}

/// "Do not push this to me; announce it."
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prune {
    /// The branch.
    pub branch: Branch,
}

/// A point in the order that reconciliation works on: (date, id).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Point {
    /// Signed date, milliseconds since the Unix epoch.
    pub unix_ms: u64,
    /// Message id.
    pub id: [u8; 32],
}

/// What the sender knows of one range: from the previous range's end (or the session's low end) up to `end`, exclusive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// First point after the range.
    pub end: Point,
    /// Its content.
    pub content: RangeContent,
}

/// Content of a range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RangeContent {
    /// Nothing to say: equal, or settled.
    Skip,
    /// Number of ids and their fingerprint under the session's key.
    Fingerprint {
        /// How many ids the sender has in the range.
        count: u32,
        /// First 16 bytes of the keyed hash over the sum of the ids' keyed hashes and their count; see `docs/PROTOCOL.md`.
        fingerprint: [u8; 16],
    },
    /// All ids the sender has in the range.
    Ids {
        /// The ids, strictly ascending and within the range; decoding checks it.
        ids: Bounded<Point, MAX_RANGE_IDS>,
        /// Whether the other side should answer with the ids the sender lacks.
        answer: bool,
    },
    /// All ids the sender has in the range, summed up in cells; see `docs/PROTOCOL.md`.
    Sketch {
        /// 72, 288 or 1152 of them.
        cells: Bounded<Cell, MAX_CELLS>,
    },
    /// What a sketch of the receiver told: all that either end lacks.
    Found {
        /// Ids the receiver lacks, strictly ascending and within the range; decoding checks it.
        ids: Bounded<Point, MAX_RANGE_IDS>,
        /// Short ids, under the session's key, of what the sender lacks, to be answered with the whole ids; strictly
        /// ascending.
        wanted: Bounded<[u8; 8], MAX_WANTED>,
    },
}

/// One cell of a sketch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// Number of ids in it, modulo 2^32.
    pub count: u32,
    /// Their short ids, XORed.
    pub sum: [u8; 8],
    /// A hash of each of their short ids, XORed.
    pub check: [u8; 4],
}

/// One step of a reconciliation session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconcile {
    /// The session, chosen by its initiator; unique per link.
    pub session: u64,
    /// Key of the fingerprints, chosen by the initiator, fresh for each session.
    pub key: [u8; 16],
    /// Where the first range begins.
    pub start: Point,
    /// True in frames of the initiator.
    pub initiator: bool,
    /// The ranges, adjacent, their ends strictly ascending from `start`; decoding checks it.
    pub ranges: Bounded<Range, MAX_RANGES>,
    /// The sender's low edge, milliseconds since the Unix epoch; nothing below it is wanted or served.
    pub low_edge_ms: u64,
}

/// "Send me these messages" (each answered with [`Message::Gossip`] or [`Message::Head`] on the bulk lane).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetch {
    /// Full ids.
    pub ids: Bounded<[u8; 32], MAX_FETCH>,
}

/// "These of your fetch I do not have (any more), or will not serve now."
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchMissing {
    /// Full ids.
    pub ids: Bounded<[u8; 32], MAX_FETCH>,
}

/// "Nothing comes to me from this peer: if it is a neighbor of yours, probe it, and say so if something comes from it."
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// Comes back in `Seen`.
    pub number: u16,
    /// Whom.
    pub target: [u8; 32],
}

/// Everything that travels between two nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Tag 1.
    Hello(Box<Hello>),
    /// Tag 2.
    Accept(Box<Accept>),
    /// Tag 3.
    Refuse(Refuse),
    /// Tag 4: are you there? Answered by `Pong` with the same number.
    Ping(u64),
    /// Tag 5.
    Pong(u64),
    /// Tag 6: the dialler of a visit, or either end of a link, asks to become neighbors.
    NeighborRequest,
    /// Tag 7: the answer; `None` = yes, else the refusal code.
    NeighborReply(Option<u16>),
    /// Tag 8.
    ExchangeRequest(Box<ExchangeRequest>),
    /// Tag 9.
    ExchangeReply(Box<ExchangeReply>),
    /// Tag 10: are you there? Answered at once by `ProbeAck` with the same number, over the lane it came by.
    Probe(u16),
    /// Tag 11.
    ProbeAck(u16),
    /// Tag 12: "probe this peer for me".
    Look(Look),
    /// Tag 13: "something has come from the peer of your look since you asked", with the look's number.
    Seen(u16),
    /// Tag 14: the sender leaves the network. Its own record, without an address.
    Leave(Box<Signed<PeerRecord>>),
    /// Tag 16.
    Gossip(Box<Gossip>),
    /// Tag 17.
    Announce(Announce),
    /// Tag 18.
    Graft(Graft),
    /// Tag 19.
    Prune(Prune),
    /// Tag 20.
    Head(Box<Head>),
    /// Tag 21.
    Have(Have),
    /// Tag 22.
    Want(Want),
    /// Tag 23.
    Cancel(Cancel),
    /// Tag 24.
    Reconcile(Box<Reconcile>),
    /// Tag 25.
    Fetch(Fetch),
    /// Tag 26.
    FetchMissing(FetchMissing),
    /// Tag 27.
    Chunk(Chunk),
    /// Tag 28.
    Part(Part),
    /// Tag 29.
    Busy(Busy),
}

/// The short form of a message id for a receiver.
#[must_use]
pub fn short_id(announce_key: &[u8; 16], id: &MessageId) -> ShortId {
    let mut key = [0; 32];
    key[..16].copy_from_slice(announce_key);
    let hash = blake3::keyed_hash(&key, id.as_bytes());
    let mut short = [0; 8];
    short.copy_from_slice(&hash.as_bytes()[..8]);
    short
}
