//! What the network costs: bytes on the wire, the headers of IPv4, UDP and QUIC included.
//!
//! The constants are measured: a test of the node's transport drives quinn with the node's own settings and certificates over a
//! path of virtual time and holds each of them, and a whole visit, to within 10 % of what crosses.

/// Payload of frames in one packet, bytes: 1,200 bytes of UDP payload, less QUIC's header and tag.
pub const PACKET: usize = 1160;
/// What each packet adds, bytes: IPv4 and UDP headers 28, QUIC short header 10 and tag 16, a stream frame's header 6 to 9.
pub const PACKET_OVERHEAD: usize = 62;
/// What each frame adds: its length.
pub const PREFIX: usize = 4;
/// Packets that an acknowledgement covers at most, as in the node's transport: the fourth is acknowledged at once, fewer by timer.
const ACKNOWLEDGED: u32 = 4;
/// An acknowledgement that travels alone, bytes.
pub const ACK: usize = 60;
/// What a datagram adds, bytes: as [`PACKET_OVERHEAD`], with the header of a datagram frame.
pub const DATAGRAM_OVERHEAD: usize = 57;
/// An acknowledgement that travels along with something else, bytes.
const ACK_ALONG: usize = 5;
/// What a handshake costs, bytes: sent by the dialler, and by the acceptor; both ends send a certificate, and what follows the
/// handshake by itself (its confirmation, further connection ids, acknowledgements) is included. Between what a path of 50 ms and what
/// the loopback device shows, which is 4 % and 10 % more.
pub const HANDSHAKE: (usize, usize) = (2_700, 1_660);
/// A dial that nothing answers, bytes: five first packets of 1,200 bytes, and headers, until it is given up after 5 s.
pub const SILENT_DIAL: usize = 5 * 1_228;
/// What closes a connection, bytes: sent by the end that closes it, and by the other.
pub const CLOSE: (usize, usize) = (65, 63);

/// How full the packet under way is, and what the other end has not acknowledged yet.
#[derive(Clone, Copy, Debug)]
pub struct Packets {
    filled: usize,
    unacknowledged: u32,
}

impl Default for Packets {
    fn default() -> Self {
        Self {
            filled: PACKET,
            unacknowledged: 0,
        }
    }
}

impl Packets {
    /// Time has passed: the packet under way has left, and the last ones have been acknowledged by timer.
    pub const fn pause(&mut self) {
        self.filled = PACKET;
        self.unacknowledged = 0;
    }

    /// What a frame of so many bytes costs on the wire: (sent, acknowledgements sent back). Frames of one moment share packets.
    pub fn add(&mut self, len: usize) -> (usize, usize) {
        let (mut packets, mut acks) = (0, 0);
        let mut rest = len + PREFIX;
        while rest > PACKET - self.filled.min(PACKET) {
            rest -= PACKET - self.filled.min(PACKET);
            self.filled = 0;
            packets += 1;
            acks += usize::from(self.unacknowledged == 0);
            self.unacknowledged = (self.unacknowledged + 1) % ACKNOWLEDGED;
        }
        self.filled += rest;
        (len + PREFIX + packets * PACKET_OVERHEAD, acks * ACK)
    }
}

/// What a frame that travels alone costs: (sent, acknowledgements sent back).
#[must_use]
pub fn lone_frame(len: usize) -> (usize, usize) {
    Packets::default().add(len)
}

/// What a datagram costs: (sent, acknowledgements sent back). One that is `answered` at once is acknowledged along with the answer, which
/// nothing answers.
#[must_use]
pub const fn datagram(len: usize, answered: bool) -> (usize, usize) {
    if answered {
        (len + DATAGRAM_OVERHEAD, 0)
    } else {
        (len + DATAGRAM_OVERHEAD + ACK_ALONG, ACK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_one_moment_share_a_packet() {
        let mut packets = Packets::default();
        assert_eq!(packets.add(100), (104 + PACKET_OVERHEAD, ACK));
        assert_eq!(packets.add(100), (104, 0));
        packets.pause();
        assert_eq!(packets.add(100).0, 104 + PACKET_OVERHEAD);
    }

    #[test]
    fn a_large_frame_takes_many_packets() {
        let (bytes, acks) = lone_frame(10 * PACKET);
        assert_eq!(bytes, 10 * PACKET + PREFIX + 11 * PACKET_OVERHEAD);
        assert_eq!(acks, 3 * ACK, "two for four packets each, one for the rest");
    }
}
