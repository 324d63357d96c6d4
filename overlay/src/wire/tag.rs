//! The second byte of a frame: what it is, how long it may be, where it may travel.

use super::MAX_FRAME;
use super::message::{MAX_ANNOUNCE, MAX_CHUNKS, MAX_FETCH, MAX_LIST, MAX_RANGE_IDS, MAX_RANGES};
use crate::input::Lane;
use crate::messages::{MAX_INLINE, MAX_TOPIC};

/// [`Message::Hello`](super::Message::Hello).
pub const HELLO: u8 = 1;
/// [`Message::Accept`](super::Message::Accept).
pub const ACCEPT: u8 = 2;
/// [`Message::Refuse`](super::Message::Refuse).
pub const REFUSE: u8 = 3;
/// [`Message::Ping`](super::Message::Ping).
pub const PING: u8 = 4;
/// [`Message::Pong`](super::Message::Pong).
pub const PONG: u8 = 5;
/// [`Message::NeighborRequest`](super::Message::NeighborRequest).
pub const NEIGHBOR_REQUEST: u8 = 6;
/// [`Message::NeighborReply`](super::Message::NeighborReply).
pub const NEIGHBOR_REPLY: u8 = 7;
/// [`Message::ExchangeRequest`](super::Message::ExchangeRequest).
pub const EXCHANGE_REQUEST: u8 = 8;
/// [`Message::ExchangeReply`](super::Message::ExchangeReply).
pub const EXCHANGE_REPLY: u8 = 9;
/// [`Message::Probe`](super::Message::Probe).
pub const PROBE: u8 = 10;
/// [`Message::ProbeAck`](super::Message::ProbeAck).
pub const PROBE_ACK: u8 = 11;
/// [`Message::Look`](super::Message::Look).
pub const LOOK: u8 = 12;
/// [`Message::Seen`](super::Message::Seen).
pub const SEEN: u8 = 13;
/// [`Message::Leave`](super::Message::Leave).
pub const LEAVE: u8 = 14;
/// [`Message::Gossip`](super::Message::Gossip).
pub const GOSSIP: u8 = 16;
/// [`Message::Announce`](super::Message::Announce).
pub const ANNOUNCE: u8 = 17;
/// [`Message::Graft`](super::Message::Graft).
pub const GRAFT: u8 = 18;
/// [`Message::Prune`](super::Message::Prune).
pub const PRUNE: u8 = 19;
/// [`Message::Head`](super::Message::Head).
pub const HEAD: u8 = 20;
/// [`Message::Have`](super::Message::Have).
pub const HAVE: u8 = 21;
/// [`Message::Want`](super::Message::Want).
pub const WANT: u8 = 22;
/// [`Message::Cancel`](super::Message::Cancel).
pub const CANCEL: u8 = 23;
/// [`Message::Reconcile`](super::Message::Reconcile).
pub const RECONCILE: u8 = 24;
/// [`Message::Fetch`](super::Message::Fetch).
pub const FETCH: u8 = 25;
/// [`Message::FetchMissing`](super::Message::FetchMissing).
pub const FETCH_MISSING: u8 = 26;
/// [`Message::Chunk`](super::Message::Chunk).
pub const CHUNK: u8 = 27;
/// [`Message::Part`](super::Message::Part).
pub const PART: u8 = 28;
/// [`Message::Busy`](super::Message::Busy).
pub const BUSY: u8 = 29;

/// Every tag of wire v1.
pub const ALL: [u8; 28] = [
    HELLO,
    ACCEPT,
    REFUSE,
    PING,
    PONG,
    NEIGHBOR_REQUEST,
    NEIGHBOR_REPLY,
    EXCHANGE_REQUEST,
    EXCHANGE_REPLY,
    PROBE,
    PROBE_ACK,
    LOOK,
    SEEN,
    LEAVE,
    GOSSIP,
    ANNOUNCE,
    GRAFT,
    PRUNE,
    HEAD,
    HAVE,
    WANT,
    CANCEL,
    RECONCILE,
    FETCH,
    FETCH_MISSING,
    CHUNK,
    PART,
    BUSY,
];

/// Version and tag.
const START: usize = 2;
/// Longest variable-length integers of 16, 32 and 64 bits (7 bits a byte).
const VAR16: usize = 3;
const VAR32: usize = 5;
const VAR64: usize = 10;
const ADDR: usize = 1 + 16 + VAR16;
const RECORD: usize = 32 + VAR64 + VAR64 + (1 + 4 + VAR16) + (1 + 16 + VAR16) + VAR32 + 64;
const LIST: usize = 1 + MAX_LIST * (RECORD + 1);
const POINT: usize = VAR64 + 32;
/// The header of a message, as far as it always travels, and its signature.
const HEADER: usize = 32 + VAR64 + VAR64 + VAR64 + (1 + MAX_TOPIC) + 64;
/// The longest content of a range, but for the ids themselves.
const CONTENT: usize = 1 + VAR32 + 16;

/// Whether a frame with this tag spreads messages or repairs logs; all others are about membership. Tags from here up are kept for it.
#[cfg(feature = "sim")]
pub(crate) const fn is_dissemination(tag: u8) -> bool {
    tag >= GOSSIP
}

/// Longest frame with this tag, bytes (version and tag included): exactly what the largest valid message takes, but for
/// gossip, heads, wants and reconciliation, where it is a few bytes more. An unknown tag may take [`MAX_FRAME`].
#[must_use]
pub const fn max_len(tag: u8) -> usize {
    START
        + match tag {
            HELLO => 1 + 1 + VAR64 + 32 + 1 + RECORD + VAR64 + ADDR + 16,
            ACCEPT => 1 + VAR64 + 1 + RECORD + VAR64 + ADDR + 16,
            REFUSE => VAR16 + VAR16,
            PING | PONG => VAR64,
            NEIGHBOR_REQUEST => 0,
            NEIGHBOR_REPLY => 1 + VAR16,
            EXCHANGE_REQUEST => RECORD + 1 + LIST,
            EXCHANGE_REPLY => RECORD + LIST,
            PROBE | PROBE_ACK | SEEN => VAR16,
            LOOK => VAR16 + 32,
            LEAVE => RECORD - (4 + VAR16) - (16 + VAR16),
            // The length of an entry takes at most 3 bytes here and 4 in the body.
            GOSSIP => HEADER + 2 + MAX_INLINE,
            HEAD => HEADER + VAR16 + VAR32 + VAR16 + MAX_CHUNKS * 32 + 1 + 1,
            ANNOUNCE | HAVE | PART => 2 + MAX_ANNOUNCE * 8,
            GRAFT => (1 + 1 + 32) + (2 + MAX_ANNOUNCE * 8) + 1,
            PRUNE => 1 + 32,
            BUSY => 32,
            WANT | CANCEL => 32 + VAR16 + VAR16,
            CHUNK => 32 + VAR16 + VAR16 + crypto::CHUNK_LEN,
            RECONCILE => {
                VAR64
                    + 16
                    + POINT
                    + 1
                    + 2
                    + MAX_RANGES * (POINT + CONTENT)
                    + MAX_RANGE_IDS * POINT
                    + VAR64
            }
            FETCH | FETCH_MISSING => 2 + MAX_FETCH * 32,
            _ => MAX_FRAME - START,
        }
}

/// Whether a frame with this tag may travel on this lane: gossip and heads on `Own`, `Forwarded` and `Bulk`; chunks,
/// reconciliation and fetches on `Bulk`; probes and what belongs to them as datagrams or on `Control`; all else on `Control`.
/// Unknown tags may travel anywhere, as they are skipped.
#[must_use]
pub const fn lane_allowed(tag: u8, lane: Lane) -> bool {
    match tag {
        GOSSIP | HEAD => matches!(lane, Lane::Own | Lane::Forwarded | Lane::Bulk),
        RECONCILE | FETCH | FETCH_MISSING | CHUNK => matches!(lane, Lane::Bulk),
        PROBE..=SEEN => matches!(lane, Lane::Datagram | Lane::Control),
        HELLO..=EXCHANGE_REPLY | LEAVE | ANNOUNCE..=PRUNE | HAVE..=CANCEL | PART | BUSY => {
            matches!(lane, Lane::Control)
        }
        _ => true,
    }
}

const _: () = assert!(max_len(GOSSIP) <= MAX_FRAME && max_len(HEAD) <= MAX_FRAME);
const _: () = assert!(MAX_CHUNKS <= u16::MAX as usize);
