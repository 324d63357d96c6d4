//! Peers that hold a valid key and misbehave on the connection: raw QUIC against a node over loopback.
//!
//! Nothing here depends on how fast the machine is: every wait is for an event, and only a test that hangs fails by time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crypto::{Identity, NetworkId, Signed};
use overlay::action::Target;
use overlay::config::Seed;
use overlay::neighbors::Code;
use overlay::wire::{self, Hello, Message, PeerRecord, Purpose, WireAddr, tag};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{
    ClientConfig, Connection, ConnectionError, Endpoint, RecvStream, SendStream, TransportConfig,
    VarInt,
};
use vouchsafe::{AddressPreset, Builder, From, Handle, Item, Node, NodeStats};

/// Far beyond what any step takes on any machine.
const HANG: Duration = Duration::from_secs(240);
const NETWORK: &str = "hostile links";

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(HANG, future).await {
        Ok(value) => value,
        Err(_) => panic!("hung: {what}"),
    }
}

fn builder() -> Builder {
    Node::builder()
        .network(NETWORK)
        .in_memory()
        .preset(AddressPreset::Local)
}

async fn spawn(builder: Builder) -> Node {
    within("spawn", builder.spawn()).await.unwrap()
}

/// Until the counters say so.
async fn until(node: &Handle, what: &str, condition: impl Fn(&NodeStats) -> bool) {
    within(what, async {
        while !condition(&node.stats().await.unwrap()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// A peer made of quinn alone.
struct Raw {
    identity: Identity,
    endpoint: Endpoint,
    node: SocketAddr,
    id: crypto::PeerId,
    /// It takes datagrams.
    datagrams: bool,
}

fn network() -> NetworkId {
    NetworkId::from_name(NETWORK)
}

impl Raw {
    fn new(node: &Node, seed: u8) -> Self {
        Self {
            identity: Identity::from_seed(&[seed; 32]),
            endpoint: Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap(),
            node: node.local_addrs()[0],
            id: node.id(),
            datagrams: true,
        }
    }

    async fn connect(&self) -> Connection {
        let tls = certs::client_config(&self.identity, &network()).unwrap();
        let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
        if !self.datagrams {
            let mut transport = TransportConfig::default();
            transport.datagram_receive_buffer_size(None);
            config.transport_config(Arc::new(transport));
        }
        let name = certs::server_name(&self.id);
        let connecting = self
            .endpoint
            .connect_with(config, self.node, &name.to_str())
            .unwrap();
        within("handshake", connecting).await.unwrap()
    }

    /// A hello that asks to become a neighbor.
    fn hello(&self) -> Vec<u8> {
        let unix_ms = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_millis() as u64;
        let record = PeerRecord {
            id: self.identity.id().to_bytes(),
            version: unix_ms,
            issued_unix_s: unix_ms / 1000,
            ipv4: None,
            ipv6: None,
            roles: 0,
        };
        let record = Signed::sign(record, &self.identity, &network()).unwrap();
        frame(&wire::encode(&Message::Hello(Box::new(Hello {
            min_version: wire::VERSION,
            max_version: wire::VERSION,
            features: 0,
            network: *network().as_bytes(),
            purpose: Purpose::Neighbor,
            record: record.into_signed(),
            unix_ms,
            observed: WireAddr(self.node),
            announce_key: [1; 16],
        }))))
    }

    /// Connects and becomes a neighbor.
    async fn neighbor(&self) -> Neighbor {
        let connection = self.connect().await;
        let mut control = connection.open_uni().await.unwrap();
        control.write_all(&[1]).await.unwrap();
        control.write_all(&self.hello()).await.unwrap();
        let mut others = Vec::new();
        loop {
            let mut answers = within("a lane", connection.accept_uni()).await.unwrap();
            let mut lane = [0];
            within("a lane", answers.read_exact(&mut lane))
                .await
                .unwrap();
            if lane != [1] {
                others.push(answers);
                continue;
            }
            let mut head = [0; 6];
            within("accept", answers.read_exact(&mut head))
                .await
                .unwrap();
            assert_eq!(head[5], tag::ACCEPT);
            return Neighbor {
                connection,
                control,
                answers,
                _others: others,
            };
        }
    }
}

/// A link that is open.
struct Neighbor {
    connection: Connection,
    control: SendStream,
    answers: RecvStream,
    /// Kept, since dropping a stream tells the sender to stop.
    _others: Vec<RecvStream>,
}

fn frame(bytes: &[u8]) -> Vec<u8> {
    let mut frame = (bytes.len() as u32).to_le_bytes().to_vec();
    frame.extend(bytes);
    frame
}

/// The application code the node closed with.
async fn closed_with(connection: &Connection) -> Code {
    match within("close", connection.closed()).await {
        ConnectionError::ApplicationClosed(close) => {
            Code::from_u16(u16::try_from(close.error_code.into_inner()).unwrap())
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn lengths_that_no_frame_has_close_the_connection_before_anything_is_buffered() {
    let node = spawn(builder()).await;
    let raw = Raw::new(&node, 1);
    let too_long = wire::max_len(tag::PING) as u32 + 1;
    let mut a_long_ping = too_long.to_le_bytes().to_vec();
    a_long_ping.extend([wire::VERSION, tag::PING]);
    let cases = [u32::MAX.to_le_bytes().to_vec(), vec![0; 4], a_long_ping];
    for (i, bytes) in cases.iter().enumerate() {
        let connection = raw.connect().await;
        let mut control = connection.open_uni().await.unwrap();
        control.write_all(&[1]).await.unwrap();
        control.write_all(bytes).await.unwrap();
        assert_eq!(closed_with(&connection).await, Code::Malformed, "{bytes:?}");
        let stats = node.handle().stats().await.unwrap();
        assert_eq!(stats.transport.oversized_frames, i as u64 + 1);
    }
}

#[tokio::test]
async fn each_lane_has_one_stream_and_no_other_number_is_a_lane() {
    let node = spawn(builder()).await;
    let raw = Raw::new(&node, 1);
    for number in [0, 5, 255] {
        let connection = raw.connect().await;
        let mut stream = connection.open_uni().await.unwrap();
        stream.write_all(&[number]).await.unwrap();
        assert_eq!(closed_with(&connection).await, Code::Protocol);
    }
    let Neighbor { connection, .. } = &raw.neighbor().await;
    let mut second = connection.open_uni().await.unwrap();
    second.write_all(&[1]).await.unwrap();
    assert_eq!(closed_with(connection).await, Code::Protocol);
    // A lane that is refused.
    let mut link = raw.neighbor().await;
    link.answers.stop(VarInt::from_u32(0)).unwrap();
    link.control
        .write_all(&frame(&wire::encode(&Message::Ping(1))))
        .await
        .unwrap();
    assert_eq!(closed_with(&link.connection).await, Code::Protocol);
    // Opening and resetting streams gains no new ones.
    let connection = raw.connect().await;
    let mut stream = connection.open_uni().await.unwrap();
    let _ = stream.reset(VarInt::from_u32(0));
    assert_eq!(closed_with(&connection).await, Code::Protocol);
    let stats = node.handle().stats().await.unwrap();
    assert_eq!(stats.transport.bad_streams, 6);
}

#[tokio::test]
async fn streams_of_both_ends_are_not_offered() {
    let node = spawn(builder()).await;
    let Neighbor { connection, .. } = &Raw::new(&node, 1).neighbor().await;
    let bidirectional = tokio::time::timeout(Duration::from_millis(200), connection.open_bi());
    assert!(bidirectional.await.is_err());
}

#[tokio::test]
async fn a_probe_is_answered_by_datagram_and_nothing_else_travels_so() {
    let node = spawn(builder()).await;
    let raw = Raw::new(&node, 1);
    let link = raw.neighbor().await;
    let probe = wire::encode(&Message::Probe(7));
    link.connection.send_datagram(probe).unwrap();
    let answer = wire::encode(&Message::ProbeAck(7));
    within("an answer", async {
        // The node may have probes of its own.
        while link.connection.read_datagram().await.unwrap() != answer {}
    })
    .await;
    let frames: [(bytes::Bytes, Code); 3] = [
        (wire::encode(&Message::Ping(7)), Code::Protocol),
        (
            bytes::Bytes::from_static(&[1, tag::PROBE, 1, 1]),
            Code::Malformed,
        ),
        (bytes::Bytes::from_static(&[7]), Code::Malformed),
    ];
    for (seed, (datagram, code)) in (2..).zip(frames) {
        let link = Raw::new(&node, seed).neighbor().await;
        link.connection.send_datagram(datagram).unwrap();
        assert_eq!(closed_with(&link.connection).await, code);
    }
}

/// A flood of datagrams is dropped where it exceeds the rate, and then closes the link; the others do not notice.
#[tokio::test]
async fn a_flood_of_datagrams_costs_the_flooder_its_link() {
    let node = spawn(builder()).await;
    let link = Raw::new(&node, 1).neighbor().await;
    let handle = node.handle();
    let probe = wire::encode(&Message::Probe(7));
    let flood = async {
        while link.connection.close_reason().is_none() {
            for _ in 0..100 {
                let _ = link.connection.send_datagram(probe.clone());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    within("the end of the link", flood).await;
    assert_eq!(closed_with(&link.connection).await, Code::Flood);
    assert!(
        handle
            .stats()
            .await
            .unwrap()
            .core
            .conduct
            .over_rate_liveness
            > 0
    );
}

/// Who answers no probe is given up, and who answers on the control lane because it takes no datagrams is kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_neighbor_is_given_up_and_one_without_datagrams_is_kept() {
    let node = spawn(builder()).await;
    let handle = node.handle();
    let mut deaf = Raw::new(&node, 1);
    deaf.datagrams = false;
    let mut deaf = deaf.neighbor().await;
    let silent = Raw::new(&node, 2).neighbor().await;
    let answering = tokio::spawn(async move {
        let mut received = Vec::<u8>::new();
        loop {
            let chunk = deaf.answers.read_chunk(4096, true).await.unwrap().unwrap();
            received.extend(&chunk.bytes);
            // Somewhere in the rest of the accept and what follows it.
            let probe = |some: &[u8]| some[1..6] == [0, 0, 0, wire::VERSION, tag::PROBE];
            while let Some(at) = received.windows(6).position(probe) {
                let end = at + 4 + usize::from(received[at]);
                if received.len() < end {
                    break;
                }
                let bytes = received[at + 4..end].to_vec();
                received.drain(..end);
                if let Ok(Message::Probe(number)) = wire::decode(&bytes.into()) {
                    let answer = frame(&wire::encode(&Message::ProbeAck(number)));
                    deaf.control.write_all(&answer).await.unwrap();
                }
            }
        }
    });
    assert_eq!(closed_with(&silent.connection).await, Code::Failed);
    until(&handle, "two more rounds", |stats| {
        stats.core.detector.probed >= 4
    })
    .await;
    let stats = handle.stats().await.unwrap().core;
    assert_eq!(
        (stats.detector.failed, stats.neighbors.neighbors_down),
        (1, 1)
    );
    answering.abort();
}

/// Frames that dribble in byte by byte, on a lane of their own, hold up nobody and are still whole.
#[tokio::test]
async fn a_slow_stream_is_read_at_its_own_pace() {
    let node = spawn(builder()).await;
    let mut link = Raw::new(&node, 1).neighbor().await;
    // Somewhere in the rest of the accept and what follows it, the pong must come.
    let pong = wire::encode(&Message::Pong(77));
    let mut bulk = link.connection.open_uni().await.unwrap();
    bulk.write_all(&[4, 100, 0]).await.unwrap(); // half a length, for ever
    for byte in frame(&wire::encode(&Message::Ping(77))) {
        link.control.write_all(&[byte]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let mut received = Vec::<u8>::new();
    within("pong", async {
        while !received.windows(pong.len()).any(|some| some == &pong[..]) {
            let chunk = link.answers.read_chunk(4096, true).await.unwrap().unwrap();
            received.extend(&chunk.bytes);
        }
    })
    .await;
}

/// A neighbor that takes nothing does not delay what others get, and holds no more memory than its lanes and windows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_neighbor_costs_the_others_nothing() {
    let node = spawn(builder()).await;
    let _stalled = Raw::new(&node, 1).neighbor().await; // never read again
    let seed = Seed {
        peer: node.id(),
        target: Target::Addr(node.local_addrs()[0]),
    };
    let other = spawn(builder().seed(seed)).await;
    let handle = node.handle();
    until(&handle, "two neighbors", |stats| {
        stats.core.neighbors.neighbors_up >= 2
    })
    .await;
    let mut subscription = other.handle().subscribe("t", From::Start).await.unwrap();
    // Ten times what the stalled link can hold.
    let publishing = tokio::spawn(async move {
        for i in 0..5000_u32 {
            let mut payload = vec![0; 4096];
            payload[..4].copy_from_slice(&i.to_le_bytes());
            handle.publish("t", payload).await.unwrap();
        }
    });
    for i in 0..5000_u32 {
        match within("an entry", subscription.next()).await {
            Some(Item::Entry(entry)) => assert_eq!(entry.payload[..4], i.to_le_bytes()),
            other => panic!("{other:?}"),
        }
    }
    within("publishing", publishing).await.unwrap();
}

/// The other way round: a node that is flooded beyond what it takes in makes the flooder wait and drops nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flooding_neighbor_waits_and_others_get_through() {
    let node = spawn(builder()).await;
    let flooder = Raw::new(&node, 1).neighbor().await;
    let mut junk = flooder.connection.open_uni().await.unwrap();
    junk.write_all(&[3]).await.unwrap();
    let flood = tokio::spawn(async move {
        // Frames of an unknown tag are skipped after they were counted against the link's rate.
        let mut bytes = vec![9; 60_000];
        bytes[..2].copy_from_slice(&[wire::VERSION, 200]);
        let bytes = frame(&bytes);
        while junk.write_all(&bytes).await.is_ok() {}
    });
    let seed = Seed {
        peer: node.id(),
        target: Target::Addr(node.local_addrs()[0]),
    };
    let other = spawn(builder().seed(seed)).await;
    let mut subscription = other.handle().subscribe("t", From::Start).await.unwrap();
    until(&other.handle(), "a neighbor", |stats| {
        stats.core.neighbors.neighbors_up >= 1
    })
    .await;
    for i in 0..100 {
        node.handle().publish("t", i.to_string()).await.unwrap();
    }
    for i in 0..100 {
        match within("an entry", subscription.next()).await {
            Some(Item::Entry(entry)) => assert_eq!(entry.payload, i.to_string()),
            other => panic!("{other:?}"),
        }
    }
    flooder.connection.close(VarInt::from_u32(0), b"");
    let _ = flood.await;
}

/// Reason bytes are the peer's: whatever they are, they reach no log and no message.
#[tokio::test]
async fn a_peer_that_closes_with_a_nasty_reason_is_just_gone() {
    let node = spawn(builder()).await;
    let Neighbor { connection, .. } = &Raw::new(&node, 1).neighbor().await;
    let handle = node.handle();
    connection.close(VarInt::from_u32(12345), b"\x1b[2J\nfake log line");
    until(&handle, "the end of the link", |stats| {
        stats.core.neighbors.neighbors_down >= 1
    })
    .await;
    assert!(handle.peers().await.unwrap().is_empty());
}

#[tokio::test]
async fn whoever_connects_and_says_nothing_is_dropped() {
    let node = spawn(builder()).await;
    let connection = Raw::new(&node, 1).connect().await;
    assert_eq!(closed_with(&connection).await, Code::Timeout);
}

#[tokio::test]
async fn a_client_of_another_network_leaves_the_node_alive() {
    let node = spawn(builder()).await;
    let raw = Raw::new(&node, 1);
    let tls = certs::client_config(&raw.identity, &NetworkId::from_name("another")).unwrap();
    let config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let name = certs::server_name(&raw.id);
    for _ in 0..3 {
        let connecting = raw
            .endpoint
            .connect_with(config.clone(), raw.node, &name.to_str())
            .unwrap();
        assert!(within("refusal", connecting).await.is_err());
    }
    until(&node.handle(), "failed handshakes", |stats| {
        stats.transport.inbound_failed == 3
    })
    .await;
    raw.neighbor().await;
}
