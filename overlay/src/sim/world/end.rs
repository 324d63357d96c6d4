//! One end of a connection: what is on its way from here, and what it costs.

use std::net::SocketAddr;

use bytes::Bytes;
use crypto::PeerId;

use super::cost::{ACK, KEEP_ALIVE, PING, Packets};
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
    /// Of these, and of what has left since, bytes that the core took in since it last heard how much room there is.
    pub(super) unreported: [usize; 5],
    /// Lanes whose drain is under way, one bit each.
    pub(super) draining: u8,
    /// Frames that wait for a split to end.
    pub(super) held: Vec<(Lane, Bytes)>,
    /// When something was last sent.
    sent_at: Time,
    packets: Packets,
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
            unreported: [0; 5],
            draining: 0,
            held: Vec::new(),
            sent_at: now,
            packets: Packets::default(),
        }
    }

    /// What a frame of so many bytes costs on the wire, what kept the connection alive until now included: (sent from here, sent
    /// back).
    pub(super) fn cost(&mut self, len: usize, now: Time) -> (usize, usize) {
        let (pings, pongs) = self.keep_alives(now);
        if self.sent_at != now {
            self.packets.pause();
        }
        self.sent_at = now;
        let (out, back) = self.packets.add(len);
        (out + pings, back + pongs)
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
        (times * PING, times * ACK)
    }
}

#[cfg(test)]
mod tests {
    use super::super::cost::{PREFIX, lone_frame};
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
        let first = end.cost(100, Time(5));
        assert_eq!(first, lone_frame(100));
        assert_eq!(end.cost(100, Time(5)), (100 + PREFIX, 0));
        assert_eq!(end.cost(100, Time(6)), first);
    }

    #[test]
    fn an_idle_connection_is_kept_alive_by_its_dialler() {
        let mut end = end();
        assert_eq!(end.keep_alives(Time(20_000_000)), (2 * PING, 2 * ACK));
        assert_eq!(end.keep_alives(Time(20_000_000)), (0, 0));
        assert_eq!(end.keep_alives(Time(21_000_000)).0, PING);
    }
}
