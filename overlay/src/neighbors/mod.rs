//! Which links to keep: the greeting, visits and neighbors, admission, rotation, healing.
//!
//! A connection starts in its *greeting*: the dialler says hello, the acceptor answers accept or refuse. Then it is open: a
//! *visit*, which closes when idle, or a *neighbor*, which is kept. Outbound neighbors are drawn from the memory
//! (`sampling`), inbound ones are a separate pool under one table of caps (`admission`); neither pool can displace the other, so whoever fills the
//! inbound pool wins nothing in the outbound one (Heilman et al. 2015).

mod admission;
mod bridge;
mod clock;
mod code;
mod configured;
mod dials;
mod endings;
mod greeting;
mod idle;
mod links;
mod own_address;
mod pings;
mod upkeep;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crypto::{PeerId, Verified};
use rand::RngExt as _;

pub use code::{Code, Down};
pub use links::{Link, Links, Phase};

use crate::action::Event;
use crate::cx::Cx;
use crate::input::{DialError, DialId, Lane, LinkId, Lost};
use crate::peers::{Book, DialPurpose, Own};
use crate::rules::Rule;
use crate::wire::{Message, PeerRecord, Purpose};

crate::stats::counters! {
    /// Links, admissions, evictions.
    Counters {
        /// Connections that came up.
        connected,
        /// Connections that became open links (hello and accept done).
        opened,
        /// Links that became neighbors.
        neighbors_up,
        /// Neighbors lost or given up.
        neighbors_down,
        /// Inbound connections refused because no slot was free for their address, group or in total.
        refused_full,
        /// Connections refused because the peer is banned.
        refused_banned,
        /// Connections of peers that came back sooner than their refusal said.
        refused_early,
        /// Connections refused as duplicates of a live one.
        refused_duplicate,
        /// Connections refused for another reason (network, version, record).
        refused_other,
        /// Connections of somebody else who holds our key.
        refused_own_key,
        /// Our own dials that the other side refused.
        dials_refused,
        /// Greetings that were not finished in time.
        greeting_timeouts,
        /// Inbound neighbors evicted for a newcomer.
        evicted,
        /// Outbound neighbors rotated out.
        rotated,
        /// Links made to lead to those who were lost at once, as when a network was parted.
        bridged,
        /// Visits closed because they were idle.
        visits_idled,
        /// Links closed because a ping was not answered.
        ping_timeouts,
        /// Times the node found itself alone and went back to seeds and archive.
        alone,
        /// Connections closed because a control frame found no room.
        stalled,
        /// Dials of configured seeds and persistent peers that came to nothing.
        seed_failures,
    }
}

/// Settings of this room.
#[derive(Clone, Debug)]
pub struct Config {
    /// Outbound neighbors to keep (RF). 10 covers 10,000 nodes of which 30 % are silent with an expected 1e-4 isolated
    /// honest node (the coverage law of Murmur/Contagion, DISC 2019, evaluated for undirected links).
    pub outbound: usize,
    /// Most inbound neighbors. Several times the outbound number, since nodes behind NAT can only dial.
    pub inbound: usize,
    /// Most connections of any kind, visits and greetings included.
    pub max_links: usize,
    /// From QUIC handshake to the end of the greeting. A guess: three round trips of a very slow link.
    pub greeting_timeout: Duration,
    /// A visit that carried no frame for so long is closed by its dialler (and after three times that by the other end). A guess.
    pub visit_idle: Duration,
    /// One outbound neighbor is rotated out at random intervals in this range.
    pub rotation: (Duration, Duration),
    /// How long a peer has to answer a ping that checks whether an older connection of it still lives.
    pub ping_timeout: Duration,
    /// Distinct outbound groups whose clocks must be known before our own is judged against their median.
    pub clock_quorum: usize,
    /// How far our clock may be from that median.
    pub clock_tolerance: Duration,
    /// Distinct outbound groups that must see us at one address before we advertise it, when none is configured.
    pub observed_quorum: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            outbound: 10,
            inbound: 128,
            max_links: 512,
            greeting_timeout: Duration::from_secs(5),
            visit_idle: Duration::from_secs(3),
            rotation: (Duration::from_secs(600), Duration::from_secs(900)),
            ping_timeout: Duration::from_secs(2),
            clock_quorum: 5,
            clock_tolerance: Duration::from_secs(30),
            observed_quorum: 3,
        }
    }
}

/// A fact about links, handed down once per step to `sampling`, `broadcast` and `repair`.
#[derive(Clone, Debug)]
pub enum Change {
    /// A greeting succeeded: frames may flow. For an outbound link the peer has just been proven at `addr`.
    Opened {
        /// The link.
        link: LinkId,
        /// The peer.
        peer: PeerId,
        /// The remote address.
        addr: SocketAddr,
        /// The peer's current record.
        record: Verified<PeerRecord>,
        /// Our dial and what it was for; `None` = inbound.
        dial: Option<(DialId, DialPurpose)>,
    },
    /// An open link became a neighbor (always after its `Opened`).
    NeighborUp {
        /// The link.
        link: LinkId,
        /// The peer.
        peer: PeerId,
    },
    /// A neighbor is one no more (always before its `Closed`).
    NeighborDown {
        /// The link.
        link: LinkId,
        /// The peer.
        peer: PeerId,
        /// Why.
        why: Down,
    },
    /// An open link is gone.
    Closed {
        /// The link.
        link: LinkId,
        /// The peer.
        peer: PeerId,
    },
    /// A dial of ours came to nothing: no connection, a refusal, or no accept in time.
    DialFailed {
        /// The dial.
        dial: DialId,
        /// What it was for.
        purpose: DialPurpose,
        /// The peer.
        peer: PeerId,
        /// The address, when it was one.
        addr: Option<SocketAddr>,
        /// Why; `Err(code)` = the peer answered and refused.
        reason: Result<DialError, Code>,
    },
}

/// The part: the greeting of every connection and the upkeep of both pools.
#[derive(Debug)]
pub struct Neighbors {
    links: Links,
    own: Own,
    changes: Vec<Change>,
    greetings: BTreeMap<LinkId, greeting::Greeting>,
    /// Links on which we asked to become neighbors, and until when the answer may take.
    requests: BTreeMap<LinkId, Instant>,
    /// Links on which the answer is overdue: it is not waited for any more, but may come.
    overdue: BTreeSet<LinkId>,
    pings: pings::Pings,
    clock: clock::ClockWatch,
    own_address: own_address::OwnAddress,
    endings: endings::Endings,
    bridge: bridge::Bridge,
    upkeep: upkeep::Upkeep,
    /// Secret that decides which groups are protected from eviction.
    eviction_key: [u8; 32],
    leaving: bool,
    /// Somebody who holds our key called in this step.
    clone_seen: bool,
}

impl Neighbors {
    /// A node without links.
    #[must_use]
    pub fn new(own: Own, anchors: &[(PeerId, SocketAddr)], cx: &mut Cx<'_>) -> Self {
        Self {
            links: Links::default(),
            own,
            changes: Vec::new(),
            greetings: BTreeMap::new(),
            requests: BTreeMap::new(),
            overdue: BTreeSet::new(),
            pings: pings::Pings::default(),
            clock: clock::ClockWatch::default(),
            own_address: own_address::OwnAddress::default(),
            endings: endings::Endings::default(),
            bridge: bridge::Bridge::default(),
            upkeep: upkeep::Upkeep::new(anchors, cx),
            eviction_key: cx.rng.random(),
            leaving: false,
            clone_seen: false,
        }
    }

    /// Whether somebody who holds our key called in this step: we never dial our own id, so another node runs with it.
    pub fn take_clone_seen(&mut self) -> bool {
        std::mem::take(&mut self.clone_seen)
    }

    /// The table of connections.
    #[must_use]
    pub fn links(&self) -> &Links {
        &self.links
    }

    /// When and why the last neighbor link with a peer ended, if that is not too long ago.
    #[must_use]
    pub fn last_ending(&self, peer: &PeerId) -> Option<(Instant, Down)> {
        self.endings.of(peer)
    }

    /// The own record.
    #[must_use]
    pub fn own(&self) -> &Own {
        &self.own
    }

    /// Our clock minus the median of our outbound neighbors' clocks, milliseconds, once enough groups are known.
    #[must_use]
    pub fn clock_offset_ms(&self) -> Option<i64> {
        self.clock.offset_ms()
    }

    /// The address most outbound peers see us at.
    #[must_use]
    pub fn observed(&self) -> Option<SocketAddr> {
        self.clock.observed()
    }

    /// Another connection that somebody opened from this address, as the last one was.
    #[cfg(all(test, feature = "sim"))]
    pub(crate) fn plant_link(&mut self, n: u8, addr: SocketAddr) {
        let like = self.links.iter().last().map(|(_, link)| link.clone());
        let mut link = like.expect("there is a link");
        link.peer = crypto::Identity::from_seed(&[n; 32]).id();
        link.addr = addr;
        link.outbound = false;
        link.kind = Purpose::Visit;
        self.links.insert(LinkId(u64::MAX - u64::from(n)), link);
    }

    /// Takes the facts of this step.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// A frame arrived on a link: it is alive and in use.
    pub fn touched(&mut self, link: LinkId, now: Instant) {
        if self.links.touch(link, now) {
            self.upkeep.idle.again(link, now);
        }
    }

    /// A round trip over a link was measured.
    pub fn measured(&mut self, link: LinkId, rtt: Duration) {
        // RFC 6298 smoothing: 7/8 of the old value.
        self.links
            .update(link, |link| link.rtt = (link.rtt * 7 + rtt) / 8);
    }

    /// A neighbor is dead, as far as can be told. It is not asked to be one again for a while, but welcome when it calls.
    pub fn failed(&mut self, link: LinkId, book: &mut Book, cx: &mut Cx<'_>) {
        if let Some(peer) = self.links.get(link).map(|link| link.peer) {
            self.upkeep.avoid_for(peer, Duration::ZERO, cx.now.mono);
        }
        self.close(link, Code::Failed, book, cx);
    }

    /// Credits a link with first deliveries of new messages.
    pub fn credit(&mut self, link: LinkId, first_deliveries: u32) {
        self.links.update(link, |link| {
            link.usefulness = link.usefulness.saturating_add(u64::from(first_deliveries))
        });
    }

    /// A connection ended.
    pub fn on_disconnected(&mut self, id: LinkId, reason: &Lost, book: &mut Book, cx: &mut Cx<'_>) {
        cx.out.forget(id);
        self.requests.remove(&id);
        self.overdue.remove(&id);
        self.pings.remove(&id);
        if let Some(greeting) = self.greetings.remove(&id) {
            let code = match reason {
                Lost::ClosedByPeer(code) => {
                    Err(Code::from_u16(u16::try_from(*code).unwrap_or(u16::MAX)))
                }
                _ => Ok(DialError::Handshake),
            };
            self.greeting_failed(greeting, code, book, cx);
        }
        self.drop_link(id, Down::of(reason), cx);
        self.links.remove(id);
    }

    /// Marks a link as closing: it carries nothing more, and what was on it is reported.
    fn drop_link(&mut self, id: LinkId, why: Down, cx: &mut Cx<'_>) {
        let Some(link) = self.links.get(id) else {
            return;
        };
        let (peer, was_open, was_neighbor) = (link.peer, link.is_open(), link.is_neighbor());
        self.links.update(id, |link| link.phase = Phase::Closing);
        self.upkeep.idle.remove(id);
        if was_neighbor {
            self.neighbor_down(id, peer, why, cx);
        }
        if was_open {
            self.changes.push(Change::Closed { link: id, peer });
        }
    }

    /// Closes a link for a reason. Idempotent.
    pub fn close(&mut self, id: LinkId, code: Code, book: &mut Book, cx: &mut Cx<'_>) {
        if self
            .links
            .get(id)
            .is_none_or(|link| link.phase == Phase::Closing)
        {
            return;
        }
        self.requests.remove(&id);
        self.overdue.remove(&id);
        self.pings.remove(&id);
        if let Some(greeting) = self.greetings.remove(&id) {
            self.greeting_failed(greeting, Err(code), book, cx);
        }
        self.drop_link(id, Down::ByUs(code), cx);
        cx.close(id, code);
    }

    /// Closes every link of a peer, for a ban.
    pub fn close_peer(&mut self, peer: &PeerId, code: Code, book: &mut Book, cx: &mut Cx<'_>) {
        let ids: Vec<LinkId> = self.links.of_peer(peer).map(|(id, _)| id).collect();
        for id in ids {
            self.close(id, code, book, cx);
        }
    }

    /// Says goodbye on every link; from now on nobody is dialled or admitted.
    pub fn leave(&mut self, book: &mut Book, cx: &mut Cx<'_>) {
        self.leaving = true;
        let word = self
            .own
            .leave(cx)
            .map(|record| Message::Leave(Box::new(record)));
        let links: Vec<(LinkId, bool)> = self
            .links
            .iter()
            .map(|(id, link)| (id, link.is_open()))
            .collect();
        for (id, open) in links {
            if let Some(word) = word.as_ref().filter(|_| open) {
                // Where the lane is full the goodbye alone must do.
                cx.send(id, Lane::Control, word);
            }
            self.close(id, Code::Goodbye, book, cx);
        }
    }

    fn neighbor_up(&mut self, id: LinkId, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        let Some((peer, addr, outbound)) = self.links.update(id, |link| {
            link.kind = Purpose::Neighbor;
            link.neighbor_since = Some(now);
            (link.peer, link.addr, link.outbound)
        }) else {
            return;
        };
        cx.stats.neighbors.neighbors_up += 1;
        self.upkeep.note_neighbor(cx);
        self.changes.push(Change::NeighborUp { link: id, peer });
        cx.emit(Event::NeighborUp {
            peer,
            addr,
            outbound,
        });
    }

    fn neighbor_down(&mut self, id: LinkId, peer: PeerId, why: Down, cx: &mut Cx<'_>) {
        cx.stats.neighbors.neighbors_down += 1;
        self.upkeep.wake(cx);
        self.endings.note(peer, why, cx.now.mono);
        if cx.rules.hold(Rule::Bridge) {
            let left = self.links.neighbors().count();
            self.bridge.note(peer, why, left, cx.now.mono);
        }
        self.changes.push(Change::NeighborDown {
            link: id,
            peer,
            why,
        });
        cx.emit(Event::NeighborDown { peer, why });
    }

    #[cfg(test)]
    fn check(&self) {
        self.links.check();
        let open = self.links.iter().filter(|(_, link)| link.is_open());
        assert!(self.upkeep.idle.len() <= open.count());
    }
}
