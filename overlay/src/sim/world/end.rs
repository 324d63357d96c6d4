//! One end of a connection: what is on its way from here, and what it costs.

use std::net::SocketAddr;

use bytes::Bytes;
use crypto::PeerId;

use super::ground::{ACK, KEEP_ALIVE, PACKET, PACKET_OVERHEAD};
use super::time::Time;
use crate::input::{Lane, LinkId};

/// One end of a connection.
#[derive(Debug)]
pub(super) struct End {
    /// The host at the other end, and its name for the connection.
    pub(super) host: u32,
    pub(super) far: LinkId,
    pub(super) peer: PeerId,
    pub(super) addr: SocketAddr,
    pub(super) dialed: bool,
    /// The core has been told of it.
    pub(super) announced: bool,
    /// The core has closed it and sends nothing more on it.
    pub(super) closing: bool,
    /// When the last frame of each lane arrives: streams are in order.
    pub(super) arrives: [Time; 5],
    /// Bytes that count against each lane's capacity.
    pub(super) used: [usize; 5],
    /// Lanes whose drain is under way, one bit each.
    pub(super) draining: u8,
    /// Frames that wait for a split to end.
    pub(super) held: Vec<(Lane, Bytes)>,
    /// When something was last sent, and how full the packet of that moment is.
    sent_at: Time,
    packet: usize,
    unacknowledged: u32,
}

impl End {
    pub(super) fn new(
        host: u32,
        far: LinkId,
        peer: PeerId,
        addr: SocketAddr,
        dialed: bool,
        now: Time,
    ) -> Self {
        Self {
            host,
            far,
            peer,
            addr,
            dialed,
            announced: false,
            closing: false,
            arrives: [now; 5],
            used: [0; 5],
            draining: 0,
            held: Vec::new(),
            sent_at: now,
            packet: PACKET,
            unacknowledged: 0,
        }
    }

    /// What a frame of so many bytes costs on the wire: (sent from here, acknowledgements sent back). Frames of one moment share
    /// packets; the other end acknowledges every fourth packet, or the lone one after a pause.
    pub(super) fn cost(&mut self, len: usize, now: Time) -> (usize, usize) {
        let (pings, pongs) = self.keep_alives(now);
        if self.sent_at != now {
            self.packet = PACKET;
            // After a pause the last packets have been acknowledged by timer.
            self.unacknowledged = 0;
        }
        self.sent_at = now;
        let mut packets = 0;
        let mut rest = len + 4;
        while rest > PACKET - self.packet.min(PACKET) {
            rest -= PACKET - self.packet.min(PACKET);
            self.packet = 0;
            packets += 1;
        }
        self.packet += rest;
        let mut acks = usize::from(packets > 0 && self.unacknowledged == 0);
        self.unacknowledged += packets;
        acks += (self.unacknowledged / 4) as usize;
        self.unacknowledged = self.unacknowledged % 4 + u32::from(self.unacknowledged >= 4);
        (
            len + 4 + packets as usize * PACKET_OVERHEAD + pings,
            acks * ACK + pongs,
        )
    }

    /// What keeping the connection alive has cost since it last carried anything, (sent, sent back); only its dialler pays it.
    pub(super) fn keep_alives(&mut self, now: Time) -> (usize, usize) {
        if !self.dialed {
            return (0, 0);
        }
        let idle = now.0.saturating_sub(self.sent_at.0);
        let times = idle / KEEP_ALIVE.as_micros() as u64;
        self.sent_at = Time(self.sent_at.0 + times * KEEP_ALIVE.as_micros() as u64);
        let times = times as usize;
        (times * (ACK + 1), times * ACK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end() -> End {
        let peer = crypto::Identity::from_seed(&[1; 32]).id();
        End::new(
            1,
            LinkId(1),
            peer,
            ([127, 0, 0, 1], 1).into(),
            true,
            Time(0),
        )
    }

    #[test]
    fn frames_of_one_moment_share_a_packet() {
        let mut end = end();
        let (first, ack) = end.cost(100, Time(5));
        assert_eq!((first, ack), (104 + PACKET_OVERHEAD, ACK));
        assert_eq!(end.cost(100, Time(5)), (104, 0));
        let (later, _) = end.cost(100, Time(6));
        assert_eq!(later, 104 + PACKET_OVERHEAD);
    }

    #[test]
    fn a_large_frame_takes_many_packets() {
        let mut end = end();
        let (bytes, acks) = end.cost(10 * PACKET, Time(5));
        assert_eq!(bytes, 10 * PACKET + 4 + 11 * PACKET_OVERHEAD);
        assert_eq!(acks, 3 * ACK);
    }

    #[test]
    fn an_idle_connection_is_kept_alive_by_its_dialler() {
        let mut end = end();
        assert_eq!(end.keep_alives(Time(20_000_000)), (2 * (ACK + 1), 2 * ACK));
        assert_eq!(end.keep_alives(Time(20_000_000)), (0, 0));
        assert_eq!(end.keep_alives(Time(21_000_000)).0, ACK + 1);
    }
}
