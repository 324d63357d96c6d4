//! The table of live connections: plain data, read by every room, written by `neighbors`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crypto::{PeerId, Signed};

use crate::input::LinkId;
use crate::wire::{PeerRecord, Purpose};

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
    /// Round trip: the transport's at connect, then smoothed over pings.
    pub rtt: Duration,
    /// Key under which the peer wants ids announced to it (zero until hello or accept).
    pub announce_key: [u8; 16],
    /// Its clock minus ours at hello, milliseconds.
    pub clock_offset_ms: i64,
    /// What the peer calls our address.
    pub observed: Option<SocketAddr>,
    /// The newest record that anybody with the peer's key has shown in a greeting while this link was there, with a good signature.
    pub newest: Option<Signed<PeerRecord>>,
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

/// All live connections. A peer has at most one open link in each direction, and is a neighbor over at most one of them.
#[derive(Debug, Default)]
pub struct Links {
    links: BTreeMap<LinkId, Link>,
    open: BTreeMap<PeerId, [Option<LinkId>; 2]>,
}

impl Links {
    /// The link with this id.
    #[must_use]
    pub fn get(&self, link: LinkId) -> Option<&Link> {
        self.links.get(&link)
    }

    /// The best open link to a peer: the one it is a neighbor over, else the one we dialled, else the one it dialled.
    #[must_use]
    pub fn to_peer(&self, peer: &PeerId) -> Option<(LinkId, &Link)> {
        let [inbound, outbound] = *self.open.get(peer)?;
        let outbound = outbound.and_then(|id| Some((id, self.links.get(&id)?)));
        let inbound = inbound.and_then(|id| Some((id, self.links.get(&id)?)));
        match (outbound, inbound) {
            (Some(out), Some(inb)) if inb.1.is_neighbor() && !out.1.is_neighbor() => Some(inb),
            (Some(out), _) => Some(out),
            (None, inb) => inb,
        }
    }

    /// The open link to a peer that we dialled.
    #[must_use]
    pub fn outbound_to(&self, peer: &PeerId) -> Option<(LinkId, &Link)> {
        let id = self.open.get(peer)?[1]?;
        Some((id, self.links.get(&id)?))
    }

    /// Whether the peer is a neighbor, over whichever link.
    #[must_use]
    pub fn is_neighbor(&self, peer: &PeerId) -> bool {
        self.to_peer(peer)
            .is_some_and(|(_, link)| link.is_neighbor())
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

    /// Adds a connection.
    pub(crate) fn insert(&mut self, id: LinkId, link: Link) {
        if link.is_open() {
            self.open.entry(link.peer).or_default()[usize::from(link.outbound)] = Some(id);
        }
        self.links.insert(id, link);
    }

    /// Removes a connection.
    pub(crate) fn remove(&mut self, id: LinkId) -> Option<Link> {
        let link = self.links.remove(&id)?;
        self.forget_open(id, &link.peer.clone(), link.outbound);
        Some(link)
    }

    /// Changes a connection, keeping the index of open links true.
    pub(crate) fn update<T>(
        &mut self,
        id: LinkId,
        change: impl FnOnce(&mut Link) -> T,
    ) -> Option<T> {
        let link = self.links.get_mut(&id)?;
        let result = change(link);
        let (peer, outbound, open) = (link.peer, link.outbound, link.is_open());
        if open {
            self.open.entry(peer).or_default()[usize::from(outbound)] = Some(id);
        } else {
            self.forget_open(id, &peer, outbound);
        }
        Some(result)
    }

    /// Notes a record that somebody with this key has shown, on all connections to it: two nodes may run with one key.
    pub(crate) fn note_shown(&mut self, peer: &PeerId, record: &Signed<PeerRecord>) {
        let of_peer = |link: &&mut Link| link.peer == *peer;
        let newest = self
            .links
            .values_mut()
            .filter(of_peer)
            .filter_map(|link| link.newest.take())
            .chain([record.clone()])
            .max_by_key(|record| record.value.version);
        for link in self.links.values_mut().filter(of_peer) {
            link.newest.clone_from(&newest);
        }
    }

    fn forget_open(&mut self, id: LinkId, peer: &PeerId, outbound: bool) {
        if let Some(pair) = self.open.get_mut(peer) {
            let slot = &mut pair[usize::from(outbound)];
            if *slot == Some(id) {
                *slot = None;
            }
            if *pair == [None, None] {
                self.open.remove(peer);
            }
        }
    }
}
