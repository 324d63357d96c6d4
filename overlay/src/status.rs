//! How the node is, in plain values for the driver to publish.

use std::net::SocketAddr;
use std::time::Duration;

use crypto::PeerId;

use crate::config::Config;
use crate::detector::Detector;
use crate::input::{LinkId, Now};
use crate::messages::Messages;
use crate::neighbors::{Down, Neighbors};
use crate::peers::Book;
use crate::sampling::Sampling;

/// One open link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerInfo {
    /// The connection; there may be two with one peer for a while, one dialled from each end.
    pub link: LinkId,
    /// Who.
    pub peer: PeerId,
    /// Where.
    pub addr: SocketAddr,
    /// Whether we dialled.
    pub outbound: bool,
    /// A kept neighbor, or a short visit.
    pub neighbor: bool,
    /// How long the connection has been up.
    pub age: Duration,
    /// How long nothing has come from it.
    pub silent: Duration,
    /// A neighbor that has answered neither of two probes: it is given up unless it is heard soon.
    pub suspected: bool,
    /// Smoothed round trip.
    pub rtt: Duration,
    /// Its clock minus ours at the greeting, milliseconds.
    pub clock_offset_ms: i64,
    /// New messages that came first from it, a credit halved at each rotation.
    pub first_deliveries: u64,
    /// How long ago, and why, the last neighbor link with it ended, if that is still known.
    pub last_ending: Option<(Duration, Down)>,
}

/// All open links, neighbors first.
pub(crate) fn peers(neighbors: &Neighbors, detector: &Detector, now: Now) -> Vec<PeerInfo> {
    let ending = |peer| {
        let (at, why) = neighbors.last_ending(peer)?;
        Some((now.mono.saturating_duration_since(at), why))
    };
    let mut peers: Vec<PeerInfo> = neighbors
        .links()
        .iter()
        .filter(|(_, link)| link.is_open())
        .map(|(id, link)| PeerInfo {
            link: id,
            peer: link.peer,
            addr: link.addr,
            outbound: link.outbound,
            neighbor: link.is_neighbor(),
            age: now.mono.saturating_duration_since(link.since),
            silent: now.mono.saturating_duration_since(link.last_in),
            suspected: detector.is_suspected(id),
            rtt: link.rtt,
            clock_offset_ms: link.clock_offset_ms,
            first_deliveries: link.usefulness,
            last_ending: ending(&link.peer),
        })
        .collect();
    peers.sort_by_key(|info| (!info.neighbor, info.peer));
    peers
}

/// The node at a glance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// Outbound neighbors.
    pub neighbors_outbound: usize,
    /// Inbound neighbors.
    pub neighbors_inbound: usize,
    /// Connections of any kind.
    pub links: usize,
    /// Distinct peers in the memory.
    pub view: usize,
    /// Slots of the memory that hold a peer.
    pub slots_filled: usize,
    /// Records heard but not proven.
    pub heard: usize,
    /// Records proven.
    pub proven: usize,
    /// Peers in the archive.
    pub archived: usize,
    /// Estimate of how many dialable identities the network has.
    pub network_size: Option<f64>,
    /// The fast start is still on, or the neighbors chosen meanwhile are still being exchanged.
    pub young: bool,
    /// Our clock minus the median of our outbound neighbors' clocks, milliseconds.
    pub clock_offset_ms: Option<i64>,
    /// The address most outbound peers see us at.
    pub observed: Option<SocketAddr>,
    /// The addresses in our own record.
    pub advertised: Vec<SocketAddr>,
    /// Messages in the log.
    pub messages: usize,
    /// Bytes of the log.
    pub message_bytes: u64,
    /// Nothing dated before this is accepted, milliseconds since the Unix epoch.
    pub low_edge_ms: u64,
    /// Publishing has stopped because someone else signs with our key.
    pub cloned: bool,
}

impl Status {
    pub(crate) fn new(
        neighbors: &Neighbors,
        sampling: &Sampling,
        book: &Book,
        messages: &Messages,
        config: &Config,
    ) -> Self {
        let links = neighbors.links();
        Self {
            neighbors_outbound: links.neighbors().filter(|(_, link)| link.outbound).count(),
            neighbors_inbound: links.neighbors().filter(|(_, link)| !link.outbound).count(),
            links: links.len(),
            view: sampling.view().peers().count(),
            slots_filled: sampling.view().memory().filled(),
            heard: book.heard_len(),
            proven: book.proven_len(),
            archived: book.archived_len(),
            network_size: sampling.size_estimate(),
            young: sampling.is_young() || neighbors.is_renewing(sampling.view(), config),
            clock_offset_ms: neighbors.clock_offset_ms(),
            observed: neighbors.observed(),
            advertised: neighbors
                .own()
                .record()
                .addrs()
                .map(|(_, addr)| addr)
                .collect(),
            messages: messages.decided().logged(),
            message_bytes: messages.decided().bytes(),
            low_edge_ms: messages.low_edge_ms(),
            cloned: messages.is_cloned(),
        }
    }
}
