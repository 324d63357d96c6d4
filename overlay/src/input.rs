//! What comes in through the one door: [`Overlay::handle`](crate::Overlay::handle).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crypto::PeerId;

use crate::action::Row;
use crate::messages::Topic;

/// The time of a step: `mono` for deadlines, `unix_ms` only for signed dates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Monotonic clock; every deadline is kept on it.
    pub mono: Instant,
    /// Wall clock, milliseconds since the Unix epoch; it may jump.
    pub unix_ms: u64,
}

/// Names one QUIC connection for as long as the process lives; given out by the driver, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// Names one dial; given out by the core in [`Action::Dial`](crate::Action::Dial), never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DialId(pub u64);

/// Ties an answer to its question across the edge (a row to its commit, a command to its result).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// How a frame travels: what it needs, not what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Unreliable, unordered, at most 1,200 bytes.
    Datagram,
    /// Hello, exchanges, tree control: small, first, and never dropped while the link lives.
    Control,
    /// Messages published by this node.
    Own,
    /// Messages of others passed on.
    Forwarded,
    /// Catch-up traffic.
    Bulk,
}

impl Lane {
    /// All lanes that are streams, in order of priority (first = most urgent).
    pub const STREAMS: [Self; 4] = [Self::Control, Self::Own, Self::Forwarded, Self::Bulk];

    /// Bytes of frames that may wait in this lane of one link, in the driver, before it counts as full.
    /// A guess that holds a few of the largest frames (64 KiB) each.
    #[must_use]
    pub const fn capacity(self) -> usize {
        match self {
            Self::Datagram => 16 * 1024,
            Self::Control => 128 * 1024,
            Self::Own | Self::Forwarded | Self::Bulk => 256 * 1024,
        }
    }
}

/// Why a connection ended, as the driver saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The peer closed it with this application code (reason bytes are never kept).
    ClosedByPeer(u32),
    /// We closed it, by [`Action::Close`](crate::Action::Close) or at shutdown.
    ClosedByUs,
    /// Nothing arrived for the idle timeout.
    TimedOut,
    /// The peer restarted and no longer knows the connection.
    Reset,
    /// Any transport error.
    Transport,
}

/// Why a dial came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialError {
    /// The name did not resolve, or the address family has no socket here.
    NoAddress,
    /// No answer within the handshake deadline, or the network refused it.
    Unreachable,
    /// Somebody else's key answers there.
    WrongIdentity,
    /// The node there belongs to another network or speaks another protocol version (ALPN).
    WrongNetwork,
    /// The handshake failed in some other way.
    Handshake,
    /// The driver is at a limit of its own and did not try.
    Busy,
}

/// The application's word on a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Deliver it and pass it on.
    Accept,
    /// Neither deliver nor pass on; nobody is to blame.
    Ignore,
    /// Invalid for every honest node whatever its state.
    Reject,
}

/// A request of the local application.
#[derive(Clone, Debug)]
pub enum Command {
    /// Sign and spread these payloads as the entries of one message. Answered by
    /// [`Event::Published`](crate::Event::Published) with the same token.
    Publish {
        /// Comes back in the answer.
        token: Token,
        /// The topic of all entries.
        topic: Topic,
        /// 1 to [`MAX_ENTRIES`](crate::messages::MAX_ENTRIES) payloads.
        payloads: Vec<Bytes>,
    },
    /// Refuse this peer: close its links and admit it no more.
    Ban {
        /// Whom.
        peer: PeerId,
        /// How long; `None` = until unbanned.
        duration: Option<Duration>,
    },
    /// Lift a ban.
    Unban {
        /// Whose.
        peer: PeerId,
    },
    /// Say goodbye to all neighbors and close every link; nothing new is dialled or admitted after it.
    Leave,
}

/// Everything the core can be told.
#[derive(Clone, Debug)]
pub enum Input {
    /// A QUIC handshake finished; the peer holds the key `peer`. It counts as connected only after hello and accept.
    Connected {
        /// The new connection.
        link: LinkId,
        /// Its authenticated identity.
        peer: PeerId,
        /// The remote address, canonical (IPv4-mapped IPv6 is unmapped).
        addr: SocketAddr,
        /// Our own address on this connection as this machine knows it, canonical, with the port that we listen on; `None` where it cannot be
        /// told. What the peer says does not count here.
        local: Option<SocketAddr>,
        /// Our dial, or `None` when the peer dialled us.
        dialed: Option<DialId>,
        /// Round trip as the transport measured it so far.
        rtt: Duration,
    },
    /// A connection ended; no more frames of it follow.
    Disconnected {
        /// Which.
        link: LinkId,
        /// Why.
        reason: Lost,
    },
    /// A dial ended without a connection.
    DialFailed {
        /// Which.
        dial: DialId,
        /// Why.
        reason: DialError,
    },
    /// One whole frame arrived (version, tag and body, without the length prefix).
    Frame {
        /// On which connection.
        link: LinkId,
        /// On which lane.
        lane: Lane,
        /// Its bytes.
        bytes: Bytes,
    },
    /// A lane drained to below half its capacity, or refused a frame: this much room is free now.
    Lane {
        /// Of which connection.
        link: LinkId,
        /// Which lane.
        lane: Lane,
        /// Bytes free.
        free_bytes: usize,
    },
    /// The row sent with this token, and every row before it, is durable.
    Persisted {
        /// The token of [`Action::Persist`](crate::Action::Persist).
        token: Token,
    },
    /// The answer to [`Action::Load`](crate::Action::Load).
    Loaded {
        /// Its token.
        token: Token,
        /// The row, or `None` when the store no longer has it.
        row: Option<Row>,
    },
    /// The application's answer to [`Event::Validate`](crate::Event::Validate).
    Verdict {
        /// Its token.
        token: Token,
        /// The answer.
        verdict: Verdict,
    },
    /// The local application wants something.
    Command(Command),
    /// Time passed; due deadlines run on every input, so this only wakes.
    Timeout,
}
