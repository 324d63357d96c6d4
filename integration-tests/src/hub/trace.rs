//! What became of every datagram.

use std::fmt::{self, Write as _};
use std::net::SocketAddr;

/// Packets whose details a trace keeps; the hash and the counts go on beyond. About 200 MB.
const KEPT: usize = 2_000_000;

/// What became of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// Arrived in the receive queue of a socket.
    Delivered,
    /// Lost by chance.
    Lost,
    /// Sent into a cut link.
    Cut,
    /// Arrived where the receive queue was full.
    Overflowed,
    /// Arrived at an address with no socket.
    NoSocket,
}

/// One datagram, from the moment its fate was decided.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// Virtual microseconds after the network's start when it was sent.
    pub sent_us: u64,
    /// And when its fate was decided: at once, or at arrival.
    pub decided_us: u64,
    /// Source.
    pub from: SocketAddr,
    /// Destination.
    pub to: SocketAddr,
    /// Bytes of UDP payload.
    pub len: usize,
    /// Whether it is the network's duplicate of another.
    pub copy: bool,
    /// What became of it.
    pub fate: Fate,
}

impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            sent_us,
            decided_us,
            from,
            to,
            len,
            copy,
            fate,
        } = self;
        let copy = if *copy { " copy" } else { "" };
        write!(
            f,
            "{sent_us}..{decided_us} {from}>{to} {len}{copy} {fate:?}"
        )
    }
}

/// How many datagrams met each fate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// See [`Fate::Delivered`].
    pub delivered: u64,
    /// See [`Fate::Lost`].
    pub lost: u64,
    /// See [`Fate::Cut`].
    pub cut: u64,
    /// See [`Fate::Overflowed`].
    pub overflowed: u64,
    /// See [`Fate::NoSocket`].
    pub no_socket: u64,
    /// Copies made by the network, whatever became of them.
    pub copies: u64,
    /// Bytes of UDP payload of all of them.
    pub bytes: u64,
}

/// All decisions of the network so far, in order.
#[derive(Clone)]
pub struct Trace {
    packets: Vec<Packet>,
    counts: Counts,
    hash: u64,
}

impl Default for Trace {
    fn default() -> Self {
        Self {
            packets: Vec::new(),
            counts: Counts::default(),
            hash: FNV_OFFSET,
        }
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace")
            .field("hash", &format_args!("{:016x}", self.hash))
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

impl Trace {
    pub(super) fn push(&mut self, packet: Packet) {
        let count = match packet.fate {
            Fate::Delivered => &mut self.counts.delivered,
            Fate::Lost => &mut self.counts.lost,
            Fate::Cut => &mut self.counts.cut,
            Fate::Overflowed => &mut self.counts.overflowed,
            Fate::NoSocket => &mut self.counts.no_socket,
        };
        *count += 1;
        self.counts.copies += u64::from(packet.copy);
        self.counts.bytes += packet.len as u64;
        // The text form is one line a packet and says everything.
        let mut line = Fnv(self.hash);
        // Cannot fail: the hasher takes everything.
        let _ = writeln!(line, "{packet:?}");
        self.hash = line.0;
        if self.packets.len() < KEPT {
            self.packets.push(packet);
        }
    }

    /// The first packets (2,000,000 at most), in the order of their decisions.
    #[must_use]
    pub fn packets(&self) -> &[Packet] {
        &self.packets
    }

    /// What became of all of them.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// A hash of all packets: time, source, destination, length and fate, in order (FNV-1a).
    #[must_use]
    pub const fn hash(&self) -> u64 {
        self.hash
    }

    /// Fails where two runs part, showing what led there.
    ///
    /// # Panics
    /// When they differ.
    #[track_caller]
    pub fn assert_same(&self, other: &Self) {
        if self.hash == other.hash {
            return;
        }
        let same = self
            .packets
            .iter()
            .zip(&other.packets)
            .take_while(|(a, b)| a == b)
            .count();
        let context = |packets: &[Packet]| {
            let shown = same.saturating_sub(8)..packets.len().min(same + 4);
            format!("{:#?}", &packets[shown])
        };
        panic!(
            "two runs differ from packet {same} of {} and {}:\n{}\n{}",
            self.packets.len(),
            other.packets.len(),
            context(&self.packets),
            context(&other.packets),
        );
    }
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

struct Fnv(u64);

impl fmt::Write for Fnv {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
        }
        Ok(())
    }
}
