//! An in-memory UDP network in virtual time, for whole nodes over real QUIC.
//!
//! A [`Hub`] hands out sockets that quinn takes for UDP sockets. Every datagram passes one seeded
//! generator, which decides loss, delay and duplication, and one queue ordered by (time, number).
//! The clock is tokio's; under `start_paused(true)` on the current-thread runtime, minutes pass in
//! seconds, and one seed gives one packet trace. The trace holds lengths and times, not contents:
//! TLS keys stay random.
//!
//! tokio's timers have a granularity of one millisecond, so arrivals are handed over at whole
//! milliseconds after the start, within one of them in the order of their microsecond.
//!
//! What the network does not model: a rate limit (nothing waits for a link), and an operating
//! system that refuses to send.

mod socket;
mod trace;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use quinn::AsyncUdpSocket;
use quinn::udp::EcnCodepoint;
use rand::{RngExt, SeedableRng, rngs::ChaCha12Rng};
use tokio::sync::Notify;
use tokio::time::Instant;

use socket::HubSocket;
pub use trace::{Counts, Fate, Packet, Trace};

/// Datagrams that wait for a socket to be read; those that find it full are lost. Of the order of
/// what Linux keeps for a socket with the buffer it grants by default.
pub const RECEIVE_QUEUE: usize = 256;

/// What every datagram meets on its way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conditions {
    /// Probability that a datagram is lost, 0 to 1.
    pub loss: f64,
    /// The least delay.
    pub latency: Duration,
    /// The delay grows by a uniformly random time up to this; any jitter reorders.
    pub jitter: Duration,
    /// Probability that a datagram which is not lost arrives twice, each copy with a delay of its
    /// own, 0 to 1.
    pub duplication: f64,
}

impl Conditions {
    /// A network that only takes its time.
    #[must_use]
    pub const fn calm(latency: Duration) -> Self {
        Self {
            loss: 0.0,
            latency,
            jitter: Duration::ZERO,
            duplication: 0.0,
        }
    }

    /// 5 % loss, 40 to 60 ms of delay and thus much reordering, 2 % duplicates.
    #[must_use]
    pub const fn rough() -> Self {
        Self {
            loss: 0.05,
            latency: Duration::from_millis(40),
            jitter: Duration::from_millis(20),
            duplication: 0.02,
        }
    }
}

/// The network. Clones are the same network; it ends with the last clone and the last socket.
#[derive(Clone, Debug)]
pub struct Hub(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    net: Mutex<Net>,
    /// Told when the next arrival comes earlier than the pump believes, and when all is over.
    earlier: Arc<Notify>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.earlier.notify_one();
    }
}

/// A datagram on its way.
#[derive(Debug)]
struct Flight {
    sent_us: u64,
    from: SocketAddr,
    to: SocketAddr,
    ecn: Option<EcnCodepoint>,
    copy: bool,
    contents: Bytes,
}

/// A bound address.
#[derive(Debug)]
struct Port {
    /// Which binding of the address this is: what an unplugged socket does after a new one took
    /// its place concerns nobody.
    binding: u64,
    queue: VecDeque<Flight>,
    reader: Option<Waker>,
    stalled: bool,
}

#[derive(Debug)]
struct Net {
    start: Instant,
    rng: ChaCha12Rng,
    conditions: Conditions,
    ports: BTreeMap<SocketAddr, Port>,
    bindings: u64,
    /// On their way, by (arrival in microseconds after the start, number).
    flights: BTreeMap<(u64, u64), Flight>,
    flown: u64,
    /// Cut directed links.
    cut: BTreeSet<(IpAddr, IpAddr)>,
    trace: Trace,
}

impl Hub {
    /// A network whose chances all follow from `seed`.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn new(seed: u64, conditions: Conditions) -> Self {
        let shared = Arc::new(Shared {
            net: Mutex::new(Net {
                start: Instant::now(),
                rng: ChaCha12Rng::seed_from_u64(seed),
                conditions,
                ports: BTreeMap::new(),
                bindings: 0,
                flights: BTreeMap::new(),
                flown: 0,
                cut: BTreeSet::new(),
                trace: Trace::default(),
            }),
            earlier: Arc::new(Notify::new()),
        });
        tokio::spawn(pump(Arc::downgrade(&shared), Arc::clone(&shared.earlier)));
        Self(shared)
    }

    /// The address of host `n` (10.0.0.0/8, one host an address).
    #[must_use]
    pub fn addr(n: u16) -> SocketAddr {
        let [high, low] = n.to_be_bytes();
        SocketAddr::new(Ipv4Addr::new(10, 1, high, low).into(), 4100)
    }

    /// A socket at `addr`; port 0 takes the first free one from 49152 on.
    ///
    /// # Errors
    /// `AddrInUse`, while another socket is bound there.
    pub fn bind(&self, mut addr: SocketAddr) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let mut net = self.0.net();
        if addr.port() == 0 {
            let free = (49152..=u16::MAX)
                .find(|&port| !net.ports.contains_key(&SocketAddr::new(addr.ip(), port)));
            addr.set_port(free.ok_or(io::ErrorKind::AddrInUse)?);
        }
        if net.ports.contains_key(&addr) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        net.bindings += 1;
        let binding = net.bindings;
        net.ports.insert(
            addr,
            Port {
                binding,
                queue: VecDeque::new(),
                reader: None,
                stalled: false,
            },
        );
        Ok(Arc::new(HubSocket {
            hub: self.clone(),
            addr,
            binding,
        }))
    }

    /// Takes the socket at `addr` off the network, as when its process is killed: from now on it
    /// neither sends nor receives, and the address is free.
    pub fn unplug(&self, addr: SocketAddr) {
        self.0.net().ports.remove(&addr);
    }

    /// What datagrams sent from now on meet.
    pub fn set_conditions(&self, conditions: Conditions) {
        self.0.net().conditions = conditions;
    }

    /// Cuts the link between two hosts in both directions, for datagrams sent from now on.
    pub fn cut(&self, a: IpAddr, b: IpAddr) {
        let mut net = self.0.net();
        net.cut.insert((a, b));
        net.cut.insert((b, a));
    }

    /// Undoes [`cut`](Self::cut).
    pub fn mend(&self, a: IpAddr, b: IpAddr) {
        let mut net = self.0.net();
        net.cut.remove(&(a, b));
        net.cut.remove(&(b, a));
    }

    /// Cuts every link between a host of one side and a host of the other.
    pub fn part(&self, left: &[SocketAddr], right: &[SocketAddr]) {
        for a in left {
            for b in right {
                self.cut(a.ip(), b.ip());
            }
        }
    }

    /// Mends every cut link.
    pub fn mend_all(&self) {
        self.0.net().cut.clear();
    }

    /// While stalled, the socket at `addr` reads nothing: its queue fills and overflows. It sends
    /// as before.
    pub fn stall(&self, addr: SocketAddr, stalled: bool) {
        let reader = {
            let mut net = self.0.net();
            let Some(port) = net.ports.get_mut(&addr) else {
                return;
            };
            port.stalled = stalled;
            if stalled { None } else { port.reader.take() }
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Sends a datagram from any address, bound or not, as anyone on the real network can.
    pub fn inject(&self, from: SocketAddr, to: SocketAddr, contents: &[u8]) {
        let earlier = self.0.net().send(from, to, None, contents);
        if earlier {
            self.0.earlier.notify_one();
        }
    }

    /// Virtual microseconds since the network began.
    #[must_use]
    pub fn now_us(&self) -> u64 {
        self.0.net().now_us()
    }

    /// What became of the datagrams so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.0.net().trace.counts()
    }

    /// A copy of the packet trace so far.
    #[must_use]
    pub fn trace(&self) -> Trace {
        self.0.net().trace.clone()
    }
}

impl Shared {
    fn net(&self) -> MutexGuard<'_, Net> {
        // A test that panicked with the lock held has failed already.
        self.net.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Net {
    /// The port at `addr`, if it is still the one bound as `binding`.
    fn port(&mut self, addr: SocketAddr, binding: u64) -> Option<&mut Port> {
        self.ports
            .get_mut(&addr)
            .filter(|port| port.binding == binding)
    }

    fn now_us(&self) -> u64 {
        micros(self.start.elapsed())
    }

    /// Decides what becomes of one datagram. Whether the next arrival is now an earlier one.
    fn send(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        ecn: Option<EcnCodepoint>,
        contents: &[u8],
    ) -> bool {
        let sent_us = self.now_us();
        let before = self.next_us();
        let flight = Flight {
            sent_us,
            from,
            to,
            ecn,
            copy: false,
            contents: Bytes::copy_from_slice(contents),
        };
        if self.cut.contains(&(from.ip(), to.ip())) {
            self.record(&flight, Fate::Cut);
            return false;
        }
        if self.rng.random_bool(self.conditions.loss) {
            self.record(&flight, Fate::Lost);
            return false;
        }
        if self.rng.random_bool(self.conditions.duplication) {
            let copy = Flight {
                copy: true,
                contents: flight.contents.clone(),
                ..flight
            };
            self.launch(copy);
        }
        self.launch(flight);
        before.is_none() || self.next_us() < before
    }

    fn launch(&mut self, flight: Flight) {
        let jitter = self.rng.random_range(0..=micros(self.conditions.jitter));
        let due = flight.sent_us + micros(self.conditions.latency) + jitter;
        self.flown += 1;
        self.flights.insert((due, self.flown), flight);
    }

    fn next_us(&self) -> Option<u64> {
        self.flights.first_key_value().map(|(&(due, _), _)| due)
    }

    /// Hands over what is due; the readers to wake, in order of arrival.
    fn arrive(&mut self) -> Vec<Waker> {
        let now = self.now_us();
        let mut readers = Vec::new();
        while let Some(entry) = self.flights.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let flight = entry.remove();
            let fate = match self.ports.get_mut(&flight.to) {
                None => Fate::NoSocket,
                Some(port) if port.queue.len() >= RECEIVE_QUEUE => Fate::Overflowed,
                Some(_) => Fate::Delivered,
            };
            self.record(&flight, fate);
            if fate == Fate::Delivered
                && let Some(port) = self.ports.get_mut(&flight.to)
            {
                port.queue.push_back(flight);
                if !port.stalled {
                    readers.extend(port.reader.take());
                }
            }
        }
        readers
    }

    fn record(&mut self, flight: &Flight, fate: Fate) {
        let packet = Packet {
            sent_us: flight.sent_us,
            decided_us: self.now_us(),
            from: flight.from,
            to: flight.to,
            len: flight.contents.len(),
            copy: flight.copy,
            fate,
        };
        self.trace.push(packet);
    }
}

/// Sleeps to the next arrival and hands it over, until nobody has the network any more.
async fn pump(shared: Weak<Shared>, earlier: Arc<Notify>) {
    loop {
        let next = {
            let Some(shared) = shared.upgrade() else {
                return;
            };
            let mut net = shared.net();
            let readers = net.arrive();
            let next = net
                .next_us()
                .map(|us| net.start + Duration::from_micros(us));
            drop(net);
            for reader in readers {
                reader.wake();
            }
            next
        };
        // A notice given while nobody waits is kept, so none is missed.
        match next {
            Some(due) => {
                // Either way there is something to look at.
                let _ = tokio::time::timeout_at(due, earlier.notified()).await;
            }
            None => earlier.notified().await,
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
