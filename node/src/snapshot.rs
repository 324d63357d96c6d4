//! What a running node says about itself.

use overlay::neighbors::Down;
use std::net::SocketAddr;
use std::time::Duration;

use crypto::{NetworkId, PeerId};

/// A node at one moment; see [`Handle::status`](crate::Handle::status).
#[derive(Clone, Debug)]
pub struct Status {
    /// The node's id.
    pub id: PeerId,
    /// The network it belongs to.
    pub network: NetworkId,
    /// Version of the program.
    pub version: &'static str,
    /// Addresses it listens on.
    pub listen: Vec<SocketAddr>,
    /// Addresses it tells others to dial; empty while it has none (behind NAT, or not observed yet).
    pub advertised: Vec<SocketAddr>,
    /// How long it has been running.
    pub uptime: Duration,
    /// Connections, visits and greetings included.
    pub links: usize,
    /// Neighbors that it dialled.
    pub neighbors_outbound: usize,
    /// Neighbors that dialled it.
    pub neighbors_inbound: usize,
    /// Signed records in its book, heard or proven.
    pub known_peers: usize,
    /// Distinct peers in the slots of its memory.
    pub memory_peers: usize,
    /// Peers proven once, kept for a restart or a partition.
    pub archived_peers: usize,
    /// Dials of configured seeds and persistent peers that came to nothing since the start.
    pub seed_failures: u64,
    /// Estimated number of dialable nodes in the network; `None` while there is too little to tell.
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
    /// Cursor of the newest durable entry; 0 = none yet.
    pub last_cursor: u64,
    /// Nothing dated before this is kept or taken, milliseconds since the Unix epoch.
    pub low_edge_ms: u64,
    /// Own clock minus the median of the outbound neighbors' clocks, milliseconds; `None` while too few are known.
    pub clock_offset_ms: Option<i64>,
    /// Someone else signs with this node's key: publishing has stopped.
    pub cloned: bool,
    /// Proofs of equivocation that are kept.
    pub evidence: u64,
    /// Open subscriptions.
    pub subscribers: usize,
}

/// One link of a node; see [`Handle::peers`](crate::Handle::peers).
#[derive(Clone, Debug)]
pub struct PeerInfo {
    /// Authenticated identity of the other end.
    pub peer: PeerId,
    /// Its address.
    pub addr: SocketAddr,
    /// Whether this node dialled.
    pub outbound: bool,
    /// A kept neighbor, or a short visit.
    pub neighbor: bool,
    /// Age of the connection.
    pub age: Duration,
    /// Round trip.
    pub rtt: Duration,
    /// How long nothing has come from it.
    pub silent: Duration,
    /// A neighbor that has answered neither of two probes: it is given up unless it is heard soon.
    pub suspected: bool,
    /// What it is worth as a neighbor: new messages that came first from it, halved at each rotation. The outbound neighbor that has been
    /// one for long and is worth least is rotated out.
    pub score: u64,
    /// How long ago, and why, the last neighbor link with it ended, if that is still known.
    pub last_ending: Option<(Duration, Down)>,
    /// Its clock minus ours at the greeting, milliseconds.
    pub clock_offset_ms: i64,
    /// UDP payload bytes received on the connection.
    pub bytes_in: u64,
    /// UDP payload bytes sent on the connection.
    pub bytes_out: u64,
}

/// Every counter of a node.
#[derive(Clone, Debug, Default)]
pub struct NodeStats {
    /// The protocol's counters.
    pub core: overlay::Stats,
    /// The transport's and driver's counters.
    pub transport: TransportStats,
}

impl NodeStats {
    /// Calls `each` with room, counter name and value of every counter.
    pub fn each(&self, mut each: impl FnMut(&'static str, &'static str, u64)) {
        self.core.each(&mut each);
        self.transport
            .each(|name, value| each("transport", name, value));
    }
}

macro_rules! transport_counters {
    ($($(#[$meta:meta])* $field:ident,)*) => {
        /// What the transport and the driver counted.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct TransportStats { $($(#[$meta])* pub $field: u64,)* }

        impl TransportStats {
            /// Calls `each` with the name and value of every counter.
            pub fn each(&self, mut each: impl FnMut(&'static str, u64)) { $(each(stringify!($field), self.$field);)* }
        }

        /// The live counters behind [`TransportStats`], shared by all tasks of one node.
        #[derive(Debug, Default)]
        pub(crate) struct Counters { $($(#[$meta])* pub(crate) $field: std::sync::atomic::AtomicU64,)* }

        impl Counters {
            pub(crate) fn read(&self) -> TransportStats {
                TransportStats { $($field: self.$field.load(std::sync::atomic::Ordering::Relaxed),)* }
            }
        }
    };
}

transport_counters! {
    /// UDP datagrams received.
    udp_datagrams_in,
    /// UDP payload bytes received.
    udp_bytes_in,
    /// UDP datagrams sent.
    udp_datagrams_out,
    /// UDP payload bytes sent.
    udp_bytes_out,
    /// Inbound handshakes that were let in.
    inbound_tried,
    /// Inbound handshakes that led to a connection.
    inbound_connected,
    /// Inbound handshakes that failed (certificate, network, transport).
    inbound_failed,
    /// Handshakes, inbound or outbound, that were not finished in time.
    handshake_timeouts,
    /// Inbound attempts sent back with a retry token because many handshakes were in flight.
    inbound_retried,
    /// Inbound attempts turned away because their address or group had too many connections.
    inbound_over_share,
    /// Inbound attempts turned away because their address or group came too often.
    inbound_over_rate,
    /// Inbound attempts turned away because the node had too many handshakes in flight or links.
    inbound_full,
    /// Dials tried.
    dials,
    /// Dials that came to nothing.
    dials_failed,
    /// Dials not tried because too many were in flight.
    dials_busy,
    /// Frames dropped because their lane was full or their link gone.
    sends_dropped,
    /// Connections closed because of a frame longer than its type may be, or without a tag.
    oversized_frames,
    /// Connections closed because of a second stream for one lane, a finished lane, or no lane's number.
    bad_streams,
    /// Times a reader waited for room in the inbox.
    inbox_waits,
    /// Datagrams dropped because the link's share of the inbox was full.
    datagrams_dropped,
    /// Entries not handed to a subscriber because it was behind.
    subscriber_lagged,
    /// Entries left out for a subscriber in sequence because a later one of their author had been given.
    subscriber_late,
    /// Messages without a verdict because too many of their topic waited for one.
    validations_skipped,
    /// Messages without a verdict because the application's validator took too long.
    validations_late,
    /// Messages without a verdict because the application's validator panicked.
    validations_panicked,
    /// Rows that the store could not write.
    store_failures,
}

impl Counters {
    /// Adds one.
    pub(crate) fn hit(counter: &std::sync::atomic::AtomicU64) {
        Self::add(counter, 1);
    }

    /// Adds `n`.
    pub(crate) fn add(counter: &std::sync::atomic::AtomicU64, n: u64) {
        counter.fetch_add(n, std::sync::atomic::Ordering::Relaxed);
    }
}
