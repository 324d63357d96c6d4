//! A neighbor that accepts and never reads, over real QUIC in virtual time: it costs the other four nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crypto::{Identity, NetworkId, Signed};
use overlay::wire::{self, Bounded, Branch, Graft, Hello, Message, PeerRecord, Purpose, WireAddr};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, Endpoint, EndpointConfig, SendStream, TokioRuntime};
use tokio::time::{Instant, sleep};
use vouchsafe_integration_tests::hub::{Conditions, Hub};
use vouchsafe_integration_tests::village::Village;
use vouchsafe_integration_tests::virtual_time::{in_virtual_time, unix_clock};

const LATENCY: Duration = Duration::from_millis(20);
const MESSAGES: u32 = 1200;

/// A peer that says hello as a neighbor, opens its end, and then neither reads nor writes its streams. It answers probes, so that it is
/// not taken for dead.
struct Deaf {
    connection: Connection,
    _control: SendStream,
}

impl Deaf {
    async fn neighbor_of(hub: &Hub, node: crypto::PeerId, n: u16) -> Self {
        let identity = Identity::from_seed(&[99; 32]);
        let network = NetworkId::from_name("virtual village");
        let tls = certs::client_config(&identity, &network).expect("a client configuration");
        let mut client =
            ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).expect("TLS 1.3")));
        let mut transport = quinn::TransportConfig::default();
        // As a node's: the default would take in all there is.
        transport.stream_receive_window(quinn::VarInt::from_u32(256 * 1024));
        client.transport_config(Arc::new(transport));
        let mut config = EndpointConfig::default();
        config.rng_seed(Some([99; 32]));
        let socket = hub.bind(Hub::addr(99)).expect("a free address");
        let endpoint =
            Endpoint::new_with_abstract_socket(config, None, socket, Arc::new(TokioRuntime))
                .expect("an endpoint");
        let name = certs::server_name(&node);
        let connection = endpoint
            .connect_with(client, Hub::addr(n), &name.to_str())
            .expect("a dial")
            .await
            .expect("a connection");
        let unix_ms = unix_clock()();
        let record = PeerRecord {
            id: identity.id().to_bytes(),
            version: unix_ms,
            issued_unix_s: unix_ms / 1000,
            ipv4: None,
            ipv6: None,
            roles: 0,
        };
        let record = Signed::sign(record, &identity, &network).expect("its own record");
        let hello = wire::encode(&Message::Hello(Box::new(Hello {
            min_version: wire::VERSION,
            max_version: wire::VERSION,
            features: 0,
            network: *network.as_bytes(),
            purpose: Purpose::Neighbor,
            record: record.into_signed(),
            unix_ms,
            observed: WireAddr(Hub::addr(n)),
            announce_key: [1; 16],
        })));
        let mut control = connection.open_uni().await.expect("a stream");
        // It asks for everything to be pushed, which it then does not read.
        let graft = wire::encode(&Message::Graft(Graft {
            branch: Some(Branch::Default),
            ids: Bounded::default(),
            once: false,
        }));
        let mut bytes = vec![1];
        for frame in [hello, graft] {
            let length = u32::try_from(frame.len()).expect("a short frame");
            bytes.extend(length.to_le_bytes());
            bytes.extend(frame);
        }
        control.write_all(&bytes).await.expect("they go out");
        let probed = connection.clone();
        tokio::spawn(async move {
            while let Ok(datagram) = probed.read_datagram().await {
                if let Ok(Message::Probe(number)) = wire::decode(&datagram) {
                    let answer = wire::encode(&Message::ProbeAck(number));
                    // It fails when the connection is gone, as the next read does.
                    let _ = probed.send_datagram(answer);
                }
            }
        });
        Self {
            connection,
            _control: control,
        }
    }
}

/// What came of a run.
#[derive(Debug)]
struct Run {
    /// At each of the four: how long each message took, ascending.
    latencies: BTreeMap<u16, Vec<Duration>>,
    /// From the first publish to the last acknowledgement.
    publishing: Duration,
    /// Messages that found a lane of the publisher full.
    owed: u64,
}

async fn run(deaf: bool) -> Run {
    let village = Village::founded(21, Conditions::calm(LATENCY), 4, 5).await;
    village.settled(4, Duration::from_secs(60)).await;
    sleep(Duration::from_secs(20)).await;
    let status = village.status(1).await;
    let before = status.neighbors_inbound + status.neighbors_outbound;
    let mut peer = None;
    if deaf {
        let hub = &village.hub;
        peer = Some(Deaf::neighbor_of(hub, village.identity(1).id(), 1).await);
        sleep(Duration::from_secs(1)).await;
        let status = village.status(1).await;
        let now = status.neighbors_inbound + status.neighbors_outbound;
        assert_eq!(now, before + 1, "it is a neighbor");
    } else {
        sleep(Duration::from_secs(1) + LATENCY * 4).await;
    }
    let start = Instant::now();
    // 4 KiB every 10 ms: the windows of one link are full after a fraction of a second.
    village
        .publisher(1, MESSAGES, Duration::from_millis(3), 1000)
        .await
        .expect("a publisher");
    let publishing = start.elapsed();
    if let Some(peer) = &peer {
        assert!(
            peer.connection.close_reason().is_none(),
            "it was linked all the time"
        );
    }
    sleep(Duration::from_secs(2)).await;
    Run {
        latencies: (2..=5).map(|n| (n, village.latencies(n, start))).collect(),
        publishing,
        owed: village.counter(1, "broadcast", "owed").await,
    }
}

#[test]
fn a_neighbor_that_never_reads_costs_the_other_four_nothing() {
    let without = in_virtual_time(run(false));
    let with = in_virtual_time(run(true));
    println!("owed {} and {}", without.owed, with.owed);
    assert!(with.owed > 0, "its lanes were never full");
    assert_eq!(without.owed, 0);
    for (n, latencies) in &with.latencies {
        let calm = &without.latencies[n];
        assert_eq!(latencies.len(), MESSAGES as usize, "node {n}");
        assert_eq!(calm.len(), MESSAGES as usize, "node {n}");
        let at = |all: &[Duration], share: usize| all[(all.len() - 1) * share / 100];
        println!(
            "node {n}: median {:?} and {:?}, last {:?} and {:?}",
            at(calm, 50),
            at(latencies, 50),
            at(calm, 100),
            at(latencies, 100)
        );
        for share in [50, 99, 100] {
            assert!(
                at(latencies, share) <= at(calm, share) + LATENCY / 4,
                "node {n}, {share} %: {:?}, without it {:?}",
                at(latencies, share),
                at(calm, share)
            );
        }
    }
    println!(
        "publishing took {:?} and {:?}",
        without.publishing, with.publishing
    );
    assert!(with.publishing <= without.publishing + LATENCY);
}
