//! Which links to keep: the greeting, visits and neighbors, admission, rotation, healing.
//!
//! A connection starts in its *greeting*: the dialler says hello, the acceptor answers accept or refuse. Then it is open: a
//! *visit*, which closes when idle, or a *neighbor*, which is kept. Outbound neighbors are drawn from the memory
//! (`sampling`), inbound ones are a separate pool under one table of caps; neither pool can displace the other, so whoever fills the
//! inbound pool wins nothing in the outbound one (Heilman et al. 2015).

mod code;
mod links;

use std::net::SocketAddr;
use std::time::Duration;

use crypto::{PeerId, Verified};

pub use code::Code;
pub use links::{Link, Links, Phase};

use crate::input::{DialError, DialId, LinkId};
use crate::peers::DialPurpose;
use crate::wire::PeerRecord;

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
        /// Connections refused as duplicates of a live one.
        refused_duplicate,
        /// Connections refused for another reason (network, version, record, own key).
        refused_other,
        /// Our own dials that the other side refused.
        dials_refused,
        /// Greetings that were not finished in time.
        greeting_timeouts,
        /// Inbound neighbors evicted for a newcomer.
        evicted,
        /// Outbound neighbors rotated out.
        rotated,
        /// Visits closed because they were idle.
        visits_idled,
        /// Links closed because a ping was not answered.
        ping_timeouts,
        /// Times the node found itself alone and went back to seeds and archive.
        alone,
        /// Connections closed because a control frame found no room.
        stalled,
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
    /// How often neighbors are pinged for their round trip.
    pub ping_period: Duration,
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
            ping_period: Duration::from_secs(60),
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
