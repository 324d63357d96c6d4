//! The table of live connections: plain data, read by every room, written by `neighbors`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crypto::PeerId;

use crate::input::LinkId;
use crate::wire::Purpose;

/// How far a link has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// QUIC is up, hello or accept is outstanding.
    Greeting,
    /// Hello and accept are done.
    Open,
    /// Close was asked for; `Disconnected` is outstanding.
    Closing,
}

/// One live connection.
#[derive(Clone, Debug)]
pub struct Link {
    /// Authenticated identity of the other end.
    pub peer: PeerId,
    /// Remote address.
    pub addr: SocketAddr,
    /// Whether we dialled it.
    pub outbound: bool,
    /// How far it has come.
    pub phase: Phase,
    /// A kept neighbor, or a short visit.
    pub kind: Purpose,
    /// When the connection came up.
    pub since: Instant,
    /// When it became a neighbor.
    pub neighbor_since: Option<Instant>,
    /// Last frame received.
    pub last_in: Instant,
    /// Last frame that matters for idling out a visit (either direction).
    pub last_use: Instant,
    /// Round trip: the transport's at connect, then smoothed over pings.
    pub rtt: Duration,
    /// Key under which the peer wants ids announced to it (zero until hello or accept).
    pub announce_key: [u8; 16],
    /// Its clock minus ours at hello, milliseconds.
    pub clock_offset_ms: i64,
    /// What the peer calls our address.
    pub observed: Option<SocketAddr>,
    /// First deliveries of new messages through this link, a decaying credit (see `neighbors`).
    pub usefulness: u64,
}

impl Link {
    /// Hello and accept are done and the link is not closing.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// An open link that both ends keep.
    #[must_use]
    pub fn is_neighbor(&self) -> bool {
        self.is_open() && self.kind == Purpose::Neighbor
    }
}

/// All live connections. At most one open link per peer.
#[derive(Debug, Default)]
pub struct Links {
    pub(super) links: BTreeMap<LinkId, Link>,
    pub(super) open: BTreeMap<PeerId, LinkId>,
}

impl Links {
    /// The link with this id.
    #[must_use]
    pub fn get(&self, link: LinkId) -> Option<&Link> {
        self.links.get(&link)
    }

    /// The open link to a peer.
    #[must_use]
    pub fn to_peer(&self, peer: &PeerId) -> Option<(LinkId, &Link)> {
        let link = *self.open.get(peer)?;
        Some((link, self.links.get(&link)?))
    }

    /// All connections, in order of id.
    pub fn iter(&self) -> impl Iterator<Item = (LinkId, &Link)> {
        self.links.iter().map(|(id, link)| (*id, link))
    }

    /// All neighbors, in order of id.
    pub fn neighbors(&self) -> impl Iterator<Item = (LinkId, &Link)> {
        self.iter().filter(|(_, link)| link.is_neighbor())
    }

    /// Number of connections.
    #[must_use]
    pub fn len(&self) -> usize {
        self.links.len()
    }

    /// Whether there is no connection at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }
}
