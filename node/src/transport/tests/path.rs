//! Two ends of quinn's protocol with this node's settings, and a path between them in virtual time: nothing waits, and every run
//! puts the same bytes on the wire.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use crypto::{Identity, NetworkId};
use overlay::config::AddressPreset;
use quinn_proto::{
    Connection, ConnectionHandle, DatagramEvent, Dir, Endpoint, Event, StreamId, VarInt,
};

use crate::transport::framing::lane_number;
use crate::transport::tuning;
use overlay::Lane;

/// One way, about the mean of the simulator's 5 to 110 ms.
const DELAY: Duration = Duration::from_millis(50);
/// A datagram arrives at least so long after the one before it: an uplink of 10 Mbit/s.
const APART: Duration = Duration::from_millis(1);
/// Headers of IPv4 and UDP, bytes.
const HEADERS: usize = 28;

/// What an end sent, bytes with all headers, and in how many datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) bytes: usize,
    pub(super) datagrams: usize,
}

struct Side {
    addr: SocketAddr,
    endpoint: Endpoint,
    connection: Option<(ConnectionHandle, Connection)>,
    /// The control lane out, once it is open.
    lane: Option<StreamId>,
    /// Bytes that the lanes brought.
    received: usize,
    connected: bool,
    /// A datagram has come since the last look.
    probed: bool,
    sent: Sent,
    /// When the last datagram from here arrives.
    arrives: Instant,
}

/// The two ends, the dialler first.
pub(super) struct Path {
    now: Instant,
    sides: [Side; 2],
    /// What is under way, by arrival: to which end, and the datagram.
    under_way: BTreeMap<Instant, VecDeque<(usize, BytesMut)>>,
    /// The acceptor's machine is gone.
    pub(super) dead: bool,
}

/// Which end.
pub(super) const DIALLER: usize = 0;
pub(super) const ACCEPTOR: usize = 1;

impl Path {
    /// A path, and a dial that has just begun.
    pub(super) fn dial() -> Self {
        let network = NetworkId::from_name("cost");
        let identities = [1, 2].map(|seed| Identity::from_seed(&[seed; 32]));
        let now = Instant::now();
        let mut sides = [0, 1].map(|n: usize| {
            let identity = &identities[n];
            let seed = Some([u8::try_from(n).unwrap(); 32]);
            let endpoint = tuning::endpoint_config(identity, seed);
            let server = tuning::server_config(identity, &network, AddressPreset::Wan).unwrap();
            Side {
                addr: SocketAddr::from(([192, 0, 2, u8::try_from(n).unwrap() + 1], 4100)),
                endpoint: Endpoint::new(Arc::new(endpoint), Some(Arc::new(server)), false, None),
                connection: None,
                lane: None,
                received: 0,
                connected: false,
                probed: false,
                sent: Sent::default(),
                arrives: now,
            }
        });
        let client = tuning::client_config(&identities[0], &network, AddressPreset::Wan).unwrap();
        let to = sides[ACCEPTOR].addr;
        let name = certs::server_name(&identities[1].id());
        let dial = sides[DIALLER]
            .endpoint
            .connect(now, client, to, &name.to_str());
        sides[DIALLER].connection = Some(dial.unwrap());
        let mut path = Self {
            now,
            sides,
            under_way: BTreeMap::new(),
            dead: false,
        };
        path.drive();
        path
    }

    /// What both ends have sent so far.
    pub(super) fn sent(&self) -> [Sent; 2] {
        [self.sides[0].sent, self.sides[1].sent]
    }

    pub(super) fn connected(&self, side: usize) -> bool {
        self.sides[side].connected
    }

    pub(super) fn received(&self, side: usize) -> usize {
        self.sides[side].received
    }

    fn connection(&mut self, side: usize) -> &mut Connection {
        &mut self.sides[side].connection.as_mut().unwrap().1
    }

    /// Writes a frame of so many bytes to the control lane.
    pub(super) fn frame(&mut self, side: usize, len: usize) {
        let mut bytes = u32::try_from(len).unwrap().to_le_bytes().to_vec();
        bytes.resize(4 + len, 0x5a);
        if self.sides[side].lane.is_none() {
            let lane = self.connection(side).streams().open(Dir::Uni);
            self.sides[side].lane = lane;
            bytes.insert(0, lane_number(Lane::Control).unwrap());
        }
        let lane = self.sides[side].lane.unwrap();
        let written = self.connection(side).send_stream(lane).write(&bytes);
        assert_eq!(written.unwrap(), bytes.len());
        self.drive();
    }

    /// Sends a datagram of so many bytes.
    pub(super) fn datagram(&mut self, side: usize, len: usize) {
        let sent = self
            .connection(side)
            .datagrams()
            .send(Bytes::from(vec![0x5a; len]), true);
        sent.unwrap();
        self.drive();
    }

    /// Takes the datagrams that came to this end; whether there were any.
    pub(super) fn probed(&mut self, side: usize) -> bool {
        while self.connection(side).datagrams().recv().is_some() {}
        std::mem::take(&mut self.sides[side].probed)
    }

    /// The greeting is done at this end: it takes more at a time.
    pub(super) fn widen(&mut self, side: usize) {
        let window = VarInt::from_u32(tuning::OPEN_WINDOW);
        self.connection(side).set_receive_window(window);
        self.drive();
    }

    /// Closes the connection at this end.
    pub(super) fn close(&mut self, side: usize) {
        let now = self.now;
        self.connection(side)
            .close(now, VarInt::from_u32(3), Bytes::new());
        self.drive();
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, span: Duration) {
        let until = self.now + span;
        while self.step(until) {}
        self.now = until;
    }

    /// Lets time pass until this is so.
    pub(super) fn until(&mut self, what: &str, so: impl Fn(&Self) -> bool) {
        let until = self.now + Duration::from_secs(60);
        while !so(self) {
            assert!(self.step(until), "never: {what}");
        }
    }

    /// What is due next, if anything is before `until`.
    fn step(&mut self, until: Instant) -> bool {
        let timers = self
            .sides
            .iter_mut()
            .filter_map(|side| side.connection.as_mut()?.1.poll_timeout());
        let arrival = self.under_way.keys().next().copied();
        let Some(next) = timers.chain(arrival).min().filter(|next| *next <= until) else {
            return false;
        };
        self.now = self.now.max(next);
        for (to, datagram) in self.under_way.remove(&next).into_iter().flatten() {
            self.arrive(to, datagram);
        }
        let now = self.now;
        for side in &mut self.sides {
            if let Some((_, connection)) = &mut side.connection
                && connection.poll_timeout().is_some_and(|at| at <= now)
            {
                connection.handle_timeout(now);
            }
        }
        self.drive();
        true
    }

    fn arrive(&mut self, to: usize, datagram: BytesMut) {
        if self.dead && to == ACCEPTOR {
            return;
        }
        let from = self.sides[1 - to].addr;
        let side = &mut self.sides[to];
        let mut answer = Vec::new();
        let event = side
            .endpoint
            .handle(self.now, from, None, None, datagram, &mut answer);
        match event {
            Some(DatagramEvent::ConnectionEvent(_, event)) => {
                if let Some((_, connection)) = &mut side.connection {
                    connection.handle_event(event);
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) => {
                let accepted = side.endpoint.accept(incoming, self.now, &mut answer, None);
                side.connection = Some(accepted.expect("a good handshake"));
            }
            Some(DatagramEvent::Response(transmit)) => {
                answer.truncate(transmit.size);
                self.send(to, &answer);
            }
            None => {}
        }
    }

    fn send(&mut self, from: usize, datagram: &[u8]) {
        let side = &mut self.sides[from];
        side.sent.bytes += datagram.len() + HEADERS;
        side.sent.datagrams += 1;
        let at = (self.now + DELAY).max(side.arrives + APART);
        side.arrives = at;
        let arrivals = self.under_way.entry(at).or_default();
        arrivals.push_back((1 - from, BytesMut::from(datagram)));
    }

    /// Carries out all that the ends want to do now.
    fn drive(&mut self) {
        for from in [DIALLER, ACCEPTOR] {
            let now = self.now;
            let side = &mut self.sides[from];
            let Some((handle, connection)) = &mut side.connection else {
                continue;
            };
            let mut datagrams = Vec::new();
            loop {
                while let Some(event) = connection.poll_endpoint_events() {
                    if let Some(event) = side.endpoint.handle_event(*handle, event) {
                        connection.handle_event(event);
                    }
                }
                while let Some(event) = connection.poll() {
                    side.connected |= matches!(event, Event::Connected);
                    side.probed |= matches!(event, Event::DatagramReceived);
                }
                side.received += read(connection);
                let mut bytes = Vec::new();
                let Some(transmit) = connection.poll_transmit(now, 1, &mut bytes) else {
                    break;
                };
                bytes.truncate(transmit.size);
                datagrams.push(bytes);
            }
            for datagram in datagrams {
                self.send(from, &datagram);
            }
        }
    }
}

/// Reads what has arrived on the control lane; how many bytes that was.
fn read(connection: &mut Connection) -> usize {
    let side = connection.side();
    while connection.streams().accept(Dir::Uni).is_some() {}
    let lane = StreamId::new(!side, Dir::Uni, 0);
    let mut stream = connection.recv_stream(lane);
    let Ok(mut chunks) = stream.read(true) else {
        return 0;
    };
    let mut read = 0;
    while let Ok(Some(chunk)) = chunks.next(usize::MAX) {
        read += chunk.bytes.len();
    }
    let _ = chunks.finalize(); // `drive` sends what there is to send in any case
    read
}
