//! One end of a connection: what is on its way from here, and what it costs.

use std::net::SocketAddr;

use bytes::Bytes;
use crypto::PeerId;

use super::cost::{Packets, datagram};
use super::time::Time;
use super::weather::Weather;
use crate::input::{Lane, LinkId};
use crate::wire::tag::PROBE;
use crate::wire::tag_of;

/// One end of a connection.
#[derive(Debug)]
pub(super) struct End {
    /// The host at the other end, and its name for the connection.
    pub(super) host: u32,
    pub(super) far: LinkId,
    pub(super) peer: PeerId,
    pub(super) addr: SocketAddr,
    /// The core has been told of it.
    pub(super) announced: bool,
    /// Nothing passes any more: the machine at one end has another address now.
    pub(super) lost: bool,
    /// The core has closed it and sends nothing more on it.
    pub(super) closing: bool,
    /// When the last frame of each lane arrives: streams are in order.
    pub(super) arrives: [Time; 5],
    /// Bytes that count against each lane's capacity.
    pub(super) used: [usize; 5],
    /// Of these, and of what has left since, bytes that the core took in since it last heard how much room there is.
    pub(super) unreported: [usize; 5],
    /// Lanes whose drain is under way, one bit each.
    pub(super) draining: u8,
    /// Frames that wait for a split to end.
    pub(super) held: Vec<(Lane, Bytes)>,
    /// When something was last sent.
    sent_at: Time,
    packets: Packets,
    pub(super) weather: Weather,
}

impl End {
    pub(super) fn new(host: u32, far: LinkId, peer: PeerId, addr: SocketAddr, now: Time) -> Self {
        Self {
            host,
            far,
            peer,
            addr,
            announced: false,
            lost: false,
            closing: false,
            arrives: [now; 5],
            used: [0; 5],
            unreported: [0; 5],
            draining: 0,
            held: Vec::new(),
            sent_at: now,
            packets: Packets::default(),
            weather: Weather::default(),
        }
    }

    /// What a frame costs on the wire: (sent from here, sent back).
    pub(super) fn cost(&mut self, lane: Lane, frame: &[u8], now: Time) -> (usize, usize) {
        if lane == Lane::Datagram {
            return datagram(frame.len(), tag_of(frame) == Some(PROBE));
        }
        if self.sent_at != now {
            self.packets.pause();
        }
        self.sent_at = now;
        self.packets.add(frame.len())
    }
}

#[cfg(test)]
mod tests {
    use super::super::cost::{PREFIX, lone_frame};
    use super::*;

    fn end() -> End {
        let peer = crypto::Identity::from_seed(&[1; 32]).id();
        End::new(1, LinkId(1), peer, ([127, 0, 0, 1], 1).into(), Time(0))
    }

    #[test]
    fn frames_of_one_moment_share_a_packet() {
        let mut end = end();
        let mut cost = |at| end.cost(Lane::Control, &[0; 100], Time(at));
        let first = cost(5);
        assert_eq!(first, lone_frame(100));
        assert_eq!(cost(5), (100 + PREFIX, 0));
        assert_eq!(cost(6), first);
    }
}
