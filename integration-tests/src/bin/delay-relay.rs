//! Passes UDP packets on after a fixed time, both ways, addresses unchanged: a long line between a host and its router.
//!
//! `delay-relay MILLISECONDS`, run in a network namespace whose routing delivers the packets of others to it (see `lab`). Its raw
//! sockets need the right to make them there.

use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// Most packets on their way; what comes on top is lost, as on any line.
const ON_THE_WAY: usize = 20_000;
/// The longest IPv4 packet.
const LONGEST: usize = 65_535;
/// `IPPROTO_RAW`: what is sent has its IP header already.
const WITH_HEADER: i32 = 255;
const HEADER: usize = 20;
const UDP_HEADER: usize = 8;

fn main() -> anyhow::Result<()> {
    let delay = std::env::args()
        .nth(1)
        .and_then(|ms| ms.parse().ok())
        .map(Duration::from_millis)
        .context("usage: delay-relay MILLISECONDS")?;
    let mut from = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP))
        .context("a raw socket to read from")?;
    let to = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(WITH_HEADER)))
        .context("a raw socket to write to")?;
    let (line, end) = mpsc::sync_channel::<(Instant, Vec<u8>)>(ON_THE_WAY);
    std::thread::spawn(move || {
        for (due, packet) in end {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if let Some(destination) = destination(&packet) {
                // No route any more, or too long for it: lost, as on any line.
                let _ = to.send_to(&packet, &destination);
            }
        }
    });
    println!("ready");
    let mut buffer = vec![0; LONGEST];
    loop {
        let length = from.read(&mut buffer).context("reading a packet")?;
        let mut packet = buffer[..length].to_vec();
        without_checksum(&mut packet);
        let _ = line.try_send((Instant::now() + delay, packet)); // a full line loses packets
    }
}

fn header_length(packet: &[u8]) -> Option<usize> {
    let length = usize::from(packet.first()? & 0xf) * 4;
    (length >= HEADER && packet.len() >= length + UDP_HEADER).then_some(length)
}

/// Between namespaces the kernel leaves the sum for a network card to fill in, and none will. IPv4 does without it.
fn without_checksum(packet: &mut [u8]) {
    if let Some(header) = header_length(packet) {
        packet[header + 6..header + 8].fill(0);
    }
}

fn destination(packet: &[u8]) -> Option<SockAddr> {
    header_length(packet)?;
    let octets: [u8; 4] = packet[16..20].try_into().ok()?;
    let address = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::from(octets), 0));
    Some(address.into())
}
