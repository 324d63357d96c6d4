//! The table of live connections: plain data, read by every room, written by `neighbors`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crypto::{PeerId, Verified};

use crate::config::AddressPreset;
use crate::input::LinkId;
use crate::peers::{Group, Prefix};
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
    /// Our own address on it, as far as the driver knows.
    pub local: Option<SocketAddr>,
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
    pub newest: Option<Verified<PeerRecord>>,
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

/// What the indices of the table say of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Standing {
    open: bool,
    neighbor: bool,
    /// It was dialled by the other end and is not closing.
    guest: bool,
}

impl Standing {
    const NONE: Self = Self {
        open: false,
        neighbor: false,
        guest: false,
    };

    fn of(link: &Link) -> Self {
        Self {
            open: link.is_open(),
            neighbor: link.is_neighbor(),
            guest: !link.outbound && link.phase != Phase::Closing,
        }
    }
}

/// All live connections. A peer has at most one open link in each direction, and is a neighbor over at most one of them.
/// Beside the table there are indices of it, each as large as the table at most.
#[derive(Debug, Default)]
pub struct Links {
    links: BTreeMap<LinkId, Link>,
    of_peers: BTreeSet<(PeerId, LinkId)>,
    open: BTreeMap<PeerId, [Option<LinkId>; 2]>,
    neighbors: BTreeSet<LinkId>,
    /// Neighbors that we dialled.
    outbound: usize,
    /// Links that others dialled and that are not closing, by address and by narrow group.
    guests: BTreeMap<IpAddr, usize>,
    guest_groups: BTreeMap<Prefix, usize>,
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
        let neighbors = self.neighbors.iter();
        neighbors.filter_map(|id| Some((*id, self.links.get(id)?)))
    }

    /// Number of neighbors that we dialled.
    #[must_use]
    pub fn outbound_neighbors(&self) -> usize {
        self.outbound
    }

    /// All connections to a peer, in order of id.
    pub fn of_peer(&self, peer: &PeerId) -> impl Iterator<Item = (LinkId, &Link)> + use<'_> {
        let all = (*peer, LinkId(0))..=(*peer, LinkId(u64::MAX));
        let ids = self.of_peers.range(all);
        ids.filter_map(|(_, id)| Some((*id, self.links.get(id)?)))
    }

    /// How many links others dialled from this address, and from its /24 or /48, without those that are closing.
    #[must_use]
    pub fn guests_from(&self, ip: IpAddr) -> (usize, usize) {
        let count = self.guests.get(&ip).copied();
        let in_group = self.guest_groups.get(&narrow(ip)).copied();
        (count.unwrap_or(0), in_group.unwrap_or(0))
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
        self.remove(id);
        self.of_peers.insert((link.peer, id));
        self.stand(id, &link, Standing::NONE, Standing::of(&link));
        self.links.insert(id, link);
    }

    /// Removes a connection.
    pub(crate) fn remove(&mut self, id: LinkId) -> Option<Link> {
        let link = self.links.remove(&id)?;
        self.of_peers.remove(&(link.peer, id));
        self.stand(id, &link, Standing::of(&link), Standing::NONE);
        Some(link)
    }

    /// Notes that a frame arrived. Returns whether the link is an open visit.
    pub(crate) fn touch(&mut self, id: LinkId, now: Instant) -> bool {
        let Some(link) = self.links.get_mut(&id) else {
            return false;
        };
        link.last_in = now;
        link.is_open() && link.kind == Purpose::Visit
    }

    /// Changes a connection, keeping the indices true. Peer, address and direction stay.
    pub(crate) fn update<T>(
        &mut self,
        id: LinkId,
        change: impl FnOnce(&mut Link) -> T,
    ) -> Option<T> {
        let link = self.links.get_mut(&id)?;
        let before = Standing::of(link);
        let result = change(link);
        let after = Standing::of(link);
        if before != after {
            let link = link.clone();
            self.stand(id, &link, before, after);
        }
        Some(result)
    }

    /// Notes a record that somebody with this key has shown, on all connections to it: two nodes may run with one key.
    pub(crate) fn note_shown(&mut self, peer: &PeerId, record: &Verified<PeerRecord>) {
        let ids: Vec<LinkId> = self.of_peer(peer).map(|(id, _)| id).collect();
        let newest = ids
            .iter()
            .filter_map(|id| self.links.get(id)?.newest.clone())
            .filter(|newest| newest.version > record.version)
            .max_by_key(|newest| newest.version)
            .unwrap_or_else(|| record.clone());
        for id in ids {
            if let Some(link) = self.links.get_mut(&id) {
                link.newest = Some(newest.clone());
            }
        }
    }

    fn stand(&mut self, id: LinkId, link: &Link, before: Standing, after: Standing) {
        if after.open {
            self.open.entry(link.peer).or_default()[usize::from(link.outbound)] = Some(id);
        } else if before.open {
            self.forget_open(id, &link.peer, link.outbound);
        }
        if after.neighbor != before.neighbor {
            if after.neighbor {
                self.neighbors.insert(id);
                self.outbound += usize::from(link.outbound);
            } else {
                self.neighbors.remove(&id);
                self.outbound -= usize::from(link.outbound);
            }
        }
        if after.guest != before.guest {
            let ip = link.addr.ip();
            count(&mut self.guests, ip, after.guest);
            count(&mut self.guest_groups, narrow(ip), after.guest);
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

    #[cfg(test)]
    pub(crate) fn check(&self) {
        let mut fresh = Self::default();
        for (id, link) in &self.links {
            fresh.insert(*id, link.clone());
        }
        assert_eq!(self.of_peers, fresh.of_peers);
        assert_eq!(self.open, fresh.open);
        assert_eq!(self.neighbors, fresh.neighbors);
        assert_eq!(self.outbound, fresh.outbound);
        assert_eq!(self.guests, fresh.guests);
        assert_eq!(self.guest_groups, fresh.guest_groups);
    }
}

/// The narrow group, also where groups mean nothing: then no cap is on it.
fn narrow(ip: IpAddr) -> Prefix {
    Group::of(ip, AddressPreset::Wan).narrow
}

fn count<K: Ord>(counts: &mut BTreeMap<K, usize>, key: K, more: bool) {
    if more {
        *counts.entry(key).or_default() += 1;
    } else if let Some(count) = counts.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&key);
        }
    }
}
