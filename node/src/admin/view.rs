//! The JSON of the admin API: what a node says, in a form that does not change when the code inside does.

use std::borrow::Cow;
use std::net::SocketAddr;

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use crate::{Code, Delivery, Down, PeerInfo, Published, Status};

/// The answer to `GET /v1/status`; times are seconds or milliseconds as their names say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatusView {
    /// The node's id.
    pub id: String,
    /// Id of its network.
    pub network: String,
    /// Version of the program.
    pub version: String,
    /// Addresses it listens on.
    pub listen: Vec<SocketAddr>,
    /// Addresses it tells others to dial.
    pub advertised: Vec<SocketAddr>,
    /// How long it has been running.
    pub uptime_seconds: u64,
    /// Connections, visits included.
    pub links: usize,
    /// Neighbors that it dialled.
    pub neighbors_outbound: usize,
    /// Neighbors that dialled it.
    pub neighbors_inbound: usize,
    /// Signed records it holds of others.
    pub known_peers: usize,
    /// Distinct peers in its memory.
    pub memory_peers: usize,
    /// Peers proven once, kept for a restart or a partition.
    pub archived_peers: usize,
    /// Dials of configured seeds and persistent peers that came to nothing since the start.
    pub seed_failures: u64,
    /// Estimated number of dialable nodes; null while there is too little to tell.
    pub network_size: Option<f64>,
    /// The fast start is still on: the node is getting to know the network, or exchanging the neighbors that it chose meanwhile, which
    /// costs it many handshakes.
    pub fast_start: bool,
    /// Messages in the log.
    pub log_messages: usize,
    /// Bytes of the log.
    pub log_bytes: u64,
    /// Cursor of the oldest entry that can still be read; 0 = the log is empty.
    pub first_cursor: u64,
    /// Cursor of the newest entry; 0 = none yet.
    pub last_cursor: u64,
    /// Nothing dated before this is kept or taken.
    pub low_edge_unix_ms: u64,
    /// Own clock minus the neighbors' median; null while too few are known.
    pub clock_offset_ms: Option<i64>,
    /// Someone else signs with this node's key: publishing has stopped.
    pub cloned: bool,
    /// Proofs of equivocation that it keeps.
    pub evidence: u64,
    /// Open subscriptions.
    pub subscribers: usize,
}

impl StatusView {
    /// Of a status.
    #[must_use]
    pub fn of(status: &Status) -> Self {
        Self {
            id: status.id.to_string(),
            network: status.network.to_string(),
            version: status.version.to_owned(),
            listen: status.listen.clone(),
            advertised: status.advertised.clone(),
            uptime_seconds: status.uptime.as_secs(),
            links: status.links,
            neighbors_outbound: status.neighbors_outbound,
            neighbors_inbound: status.neighbors_inbound,
            known_peers: status.known_peers,
            memory_peers: status.memory_peers,
            archived_peers: status.archived_peers,
            seed_failures: status.seed_failures,
            network_size: status.network_size,
            fast_start: status.fast_start,
            log_messages: status.log_messages,
            log_bytes: status.log_bytes,
            first_cursor: status.first_cursor,
            last_cursor: status.last_cursor,
            low_edge_unix_ms: status.low_edge_ms,
            clock_offset_ms: status.clock_offset_ms,
            cloned: status.cloned,
            evidence: status.evidence,
            subscribers: status.subscribers,
        }
    }
}

/// One link in the answer to `GET /v1/peers`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeerView {
    /// Who.
    pub id: String,
    /// Where.
    pub address: SocketAddr,
    /// Whether this node dialled.
    pub outbound: bool,
    /// A kept neighbor, or a short visit.
    pub neighbor: bool,
    /// `neighbor`, `suspected` (a neighbor that has answered neither of two probes) or `visit`.
    pub state: Cow<'static, str>,
    /// Age of the connection.
    pub age_seconds: u64,
    /// How long nothing has come from it.
    pub silent_seconds: f64,
    /// What it is worth as a neighbor: new messages that came first from it, halved at each rotation.
    pub score: u64,
    /// Why the last neighbor link with it ended; null where that is not known.
    pub last_reason: Option<DownView>,
    /// Round trip, milliseconds.
    pub rtt_ms: f64,
    /// Its clock minus ours at the greeting.
    pub clock_offset_ms: i64,
    /// UDP payload bytes received.
    pub bytes_in: u64,
    /// UDP payload bytes sent.
    pub bytes_out: u64,
}

impl PeerView {
    /// Of a link.
    #[must_use]
    pub fn of(peer: &PeerInfo) -> Self {
        let state = match (peer.neighbor, peer.suspected) {
            (true, true) => "suspected",
            (true, false) => "neighbor",
            (false, _) => "visit",
        };
        Self {
            id: peer.peer.to_string(),
            address: peer.addr,
            outbound: peer.outbound,
            neighbor: peer.neighbor,
            state: state.into(),
            age_seconds: peer.age.as_secs(),
            silent_seconds: peer.silent.as_secs_f64(),
            score: peer.score,
            last_reason: peer.last_ending.map(|(ago, why)| DownView {
                seconds_ago: Some(ago.as_secs()),
                ..DownView::of(why)
            }),
            rtt_ms: (peer.rtt.as_secs_f64() * 1e6).round() / 1e3,
            clock_offset_ms: peer.clock_offset_ms,
            bytes_in: peer.bytes_in,
            bytes_out: peer.bytes_out,
        }
    }
}

/// Why a neighbor is one no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DownView {
    /// Who ended the link: `peer`, `this node` or `network`.
    pub by: Cow<'static, str>,
    /// The close code; null where nobody closed the link.
    pub code: Option<u16>,
    /// In words.
    pub reason: Cow<'static, str>,
    /// How long ago that was, in the list of peers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_ago: Option<u64>,
}

impl DownView {
    /// Of a reason.
    #[must_use]
    pub fn of(why: Down) -> Self {
        let by = match why {
            Down::ByPeer(_) => "peer",
            Down::ByUs(_) => "this node",
            Down::TimedOut | Down::Reset | Down::Transport => "network",
        };
        Self {
            by: by.into(),
            code: why.code().map(Code::to_u16),
            reason: why.text().into(),
            seconds_ago: None,
        }
    }
}

/// One published payload in the answer to `POST /v1/messages/{topic}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedView {
    /// Id of the entry.
    pub id: String,
    /// Id of the message that carries it.
    pub message: String,
    /// How many neighbors' lanes had taken it; 0 = it goes out when a neighbor appears.
    pub neighbors: usize,
}

impl PublishedView {
    /// Of a published payload.
    #[must_use]
    pub fn of(published: &Published) -> Self {
        Self {
            id: published.id.to_string(),
            message: published.message.to_string(),
            neighbors: published.neighbors,
        }
    }
}

/// One entry in the stream of `GET /v1/messages/{topic}`, and one line of `vouchsafe subscribe --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryView<'a> {
    /// Position in this node's log.
    pub cursor: u64,
    /// Id of the entry.
    pub id: Cow<'a, str>,
    /// Id of the message that carried it.
    pub message: Cow<'a, str>,
    /// Index within the message.
    pub index: u32,
    /// Who signed it.
    pub author: Cow<'a, str>,
    /// The author's sequence number of the message.
    pub seq: u64,
    /// The author's date, milliseconds since the Unix epoch.
    pub published_unix_ms: u64,
    /// The topic.
    pub topic: Cow<'a, str>,
    /// The payload.
    pub payload_base64: Cow<'a, str>,
    /// The author's previous message was not there when this one was appended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gap: bool,
    /// The author signed another message with the same sequence number.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub equivocation: bool,
}

impl<'a> EntryView<'a> {
    /// Of a delivered entry.
    #[must_use]
    pub fn of(entry: &'a Delivery) -> Self {
        Self {
            cursor: entry.cursor,
            id: entry.id.to_string().into(),
            message: entry.message.to_string().into(),
            index: entry.index,
            author: entry.author.to_string().into(),
            seq: entry.seq,
            published_unix_ms: entry.published_unix_ms,
            topic: entry.topic.as_str().into(),
            payload_base64: BASE64.encode(&entry.payload).into(),
            gap: entry.gap,
            equivocation: entry.equivocation,
        }
    }
}

/// The `lagged` event: the subscriber was behind, and entries went by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaggedView {
    /// How many entries of the topic, exactly.
    pub missed: u64,
    /// A subscription from this cursor gets them from the log.
    pub resume: u64,
}
