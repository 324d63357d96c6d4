//! What frames, calls and links cost on the wire: lengths from the codec itself, the rest from the simulator's measured prices.

use std::net::Ipv4Addr;
use std::ops::{Add, AddAssign, Mul};

use crypto::Signed;
use overlay::sim::world::cost::{CLOSE, HANDSHAKE, SILENT_DIAL, datagram, lone_frame};
use overlay::wire::{
    self, Accept, Bounded, ExchangeReply, ExchangeRequest, Hello, ListItem, Message, PeerRecord,
    Point, Purpose, Range, RangeContent, Reconcile, Refuse, RetryAfter, VERSION, WireAddr,
};
use serde::Serialize;

/// Bytes on the wire at one end, all headers included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Bytes {
    /// Sent.
    pub(crate) out: f64,
    /// Received.
    #[serde(rename = "in")]
    pub(crate) into: f64,
}

impl Bytes {
    /// The same as the other end sees it.
    pub(super) const fn mirrored(self) -> Self {
        Self {
            out: self.into,
            into: self.out,
        }
    }

    /// The direction that has more of it.
    pub(super) fn most(self) -> f64 {
        self.out.max(self.into)
    }
}

impl Add for Bytes {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            out: self.out + other.out,
            into: self.into + other.into,
        }
    }
}

impl AddAssign for Bytes {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Mul<f64> for Bytes {
    type Output = Self;
    fn mul(self, times: f64) -> Self {
        Self {
            out: self.out * times,
            into: self.into * times,
        }
    }
}

impl std::iter::Sum for Bytes {
    fn sum<I: Iterator<Item = Self>>(items: I) -> Self {
        items.fold(Self::default(), Add::add)
    }
}

/// A date like today's, so that numbers have the length that they have on the wire: 2026-01-01, milliseconds.
const TODAY_MS: u64 = 1_767_225_600_000;

/// The record of a node with an IPv4 address.
fn record() -> Signed<PeerRecord> {
    Signed {
        value: PeerRecord {
            id: [0xff; 32],
            version: TODAY_MS,
            issued_unix_s: TODAY_MS / 1000,
            ipv4: Some((Ipv4Addr::new(203, 0, 113, 1), 4100)),
            ipv6: None,
            roles: 0,
        },
        signature: [0xff; 64],
    }
}

fn list(records: usize) -> Bounded<ListItem, { wire::MAX_LIST }> {
    let item = ListItem {
        record: record(),
        proven: 1,
    };
    Bounded::truncated(vec![item; records])
}

/// A frame that travels alone, sent from here: its packets, and the acknowledgements that come back.
fn sent(message: &Message) -> Bytes {
    let (out, back) = lone_frame(wire::encode(message).len());
    Bytes {
        out: out as f64,
        into: back as f64,
    }
}

/// A list with a fractional mean length: the price is linear in it but for the last packet.
fn sent_mean(records: f64, message: impl Fn(usize) -> Message) -> Bytes {
    let records = records.clamp(0.0, wire::MAX_LIST as f64);
    let (least, part) = (records.floor(), records.fract());
    let price = |records: f64| sent(&message(records as usize));
    if part == 0.0 {
        return price(least);
    }
    price(least) * (1.0 - part) + price(least + 1.0) * part
}

fn handshake() -> Bytes {
    Bytes {
        out: HANDSHAKE.0 as f64,
        into: HANDSHAKE.1 as f64,
    }
}

fn close() -> Bytes {
    Bytes {
        out: CLOSE.0 as f64,
        into: CLOSE.1 as f64,
    }
}

fn observed() -> WireAddr {
    WireAddr((Ipv4Addr::new(203, 0, 113, 1), 4100).into())
}

fn hello() -> Message {
    Message::Hello(Box::new(Hello {
        min_version: VERSION,
        max_version: VERSION,
        features: 0,
        network: [0xff; 32],
        purpose: Purpose::Visit,
        record: record(),
        unix_ms: TODAY_MS,
        observed: observed(),
        announce_key: [0xff; 16],
    }))
}

fn accept() -> Message {
    Message::Accept(Box::new(Accept {
        version: VERSION,
        features: 0,
        purpose: Purpose::Visit,
        record: record(),
        unix_ms: TODAY_MS,
        observed: observed(),
        announce_key: [0xff; 16],
    }))
}

/// A dial that ends in accept, and its end: what a proof costs whoever dials. A visit is closed by its dialler before any keep-alive.
pub(super) fn proof() -> Bytes {
    handshake() + sent(&hello()) + sent(&accept()).mirrored() + close()
}

/// A dial that the other end refuses after the greeting; it closes.
pub(super) fn refused() -> Bytes {
    let refuse = Message::Refuse(Refuse {
        code: 1,
        retry_after: RetryAfter::from_secs(3),
    });
    handshake() + sent(&hello()) + sent(&refuse).mirrored() + close().mirrored()
}

/// A question with a pushed list and its answer, over a link that is there, seen by whoever asks.
pub(super) fn exchange(pushed: f64, answered: f64) -> Bytes {
    let request = |records| {
        Message::ExchangeRequest(Box::new(ExchangeRequest {
            record: record(),
            want: 32,
            list: list(records),
        }))
    };
    let reply = |records| {
        Message::ExchangeReply(Box::new(ExchangeReply {
            record: record(),
            list: list(records),
        }))
    };
    sent_mean(pushed, request) + sent_mean(answered, reply).mirrored()
}

/// A dial at an address where nobody answers.
pub(super) fn silent_dial() -> Bytes {
    Bytes {
        out: SILENT_DIAL as f64,
        into: 0.0,
    }
}

/// A probe and its answer, seen by whoever probes.
pub(super) fn probe() -> Bytes {
    let frame = wire::encode(&Message::Probe(u16::MAX)).len();
    let (question, _) = datagram(frame, true);
    let (answer, acknowledged) = datagram(frame, false);
    Bytes {
        out: (question + acknowledged) as f64,
        into: answer as f64,
    }
}

/// A reconciliation of two logs that are equal, seen by whoever begins: one fingerprint, and nothing to say to it.
pub(super) fn equal_logs() -> Bytes {
    let point = |id| Point {
        unix_ms: TODAY_MS,
        id: [id; 32],
    };
    let frame = |initiator, ranges| {
        Message::Reconcile(Box::new(Reconcile {
            session: u64::MAX,
            key: [0xff; 16],
            start: point(0),
            initiator,
            ranges: Bounded::truncated(ranges),
            low_edge_ms: TODAY_MS,
        }))
    };
    let all = Range {
        end: point(1),
        content: RangeContent::Fingerprint {
            count: 0,
            fingerprint: [0xff; 16],
        },
    };
    sent(&frame(true, vec![all])) + sent(&frame(false, Vec::new())).mirrored()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A visit in the simulator: its greeting, a question with its answer, and its end, to the byte.
    #[test]
    fn frames_have_the_length_of_the_codec() {
        let list = exchange(8.0, 32.0);
        let one_more = exchange(8.0, 33.0);
        // An id, a signature, an address, dates and flags; and which addresses are proven.
        let record = (32 + 64 + 8 + 11 + 1 + 1) as f64;
        let packet = overlay::sim::world::cost::PACKET_OVERHEAD as f64;
        let more = one_more.into - list.into;
        assert!(more >= record && more <= record + packet, "{more}");
        let middle = exchange(8.0, 32.5);
        assert!((middle.into - (list.into + one_more.into) / 2.0).abs() < 1e-9);
        assert_eq!(exchange(0.0, 1e9), exchange(0.0, wire::MAX_LIST as f64));
    }

    #[test]
    fn both_ends_see_the_same_bytes() {
        let proof = proof();
        assert_eq!(proof.mirrored().out, proof.into);
        assert!(proof.out > HANDSHAKE.0 as f64 && proof.into > HANDSHAKE.1 as f64);
        assert!(refused().out < proof.out);
        assert_eq!((proof + proof * 2.0).most(), 3.0 * proof.out);
    }
}
