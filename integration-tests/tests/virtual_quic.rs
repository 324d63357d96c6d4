//! QUIC alone over the in-memory network: it works, its faults happen, and runs repeat exactly.
//! That they do is a property of quinn's insides, not a promise, so it is tested.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use crypto::{Identity, NetworkId, PeerId};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{Connection, Endpoint, EndpointConfig, TokioRuntime, TransportConfig};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use vouchsafe_integration_tests::hub::{Conditions, Hub, RECEIVE_QUEUE, Trace};
use vouchsafe_integration_tests::virtual_time::in_virtual_time;

/// A host: an endpoint that dials and accepts, with a key.
#[derive(Clone)]
struct Host {
    endpoint: Endpoint,
    id: PeerId,
    addr: SocketAddr,
}

impl Host {
    fn new(hub: &Hub, n: u8) -> Self {
        let identity = Identity::from_seed(&[n; 32]);
        let network = NetworkId::from_name("virtual quic");
        let server = certs::server_config(&identity, &network).expect("a server configuration");
        let client = certs::client_config(&identity, &network).expect("a client configuration");
        let mut transport = TransportConfig::default();
        transport.keep_alive_interval(Some(Duration::from_secs(5)));
        let transport = Arc::new(transport);
        let mut server = quinn::ServerConfig::with_crypto(Arc::new(
            QuicServerConfig::try_from(server).expect("TLS 1.3"),
        ));
        server.transport_config(Arc::clone(&transport));
        let mut client = quinn::ClientConfig::new(Arc::new(
            QuicClientConfig::try_from(client).expect("TLS 1.3"),
        ));
        client.transport_config(transport);
        let mut config = EndpointConfig::default();
        config.rng_seed(Some([n; 32]));
        let addr = Hub::addr(n.into());
        let socket = hub.bind(addr).expect("a free address");
        let mut endpoint = Endpoint::new_with_abstract_socket(
            config,
            Some(server),
            socket,
            Arc::new(TokioRuntime),
        )
        .expect("an endpoint");
        endpoint.set_default_client_config(client);
        Self {
            endpoint,
            id: identity.id(),
            addr,
        }
    }

    async fn dial(&self, other: &Self) -> Connection {
        let name = certs::server_name(&other.id).to_str().into_owned();
        let connecting = self.endpoint.connect(other.addr, &name);
        connecting
            .expect("a valid dial")
            .await
            .expect("a connection")
    }

    /// Accepts for ever, and sends back what each stream brings.
    async fn echo(self) {
        while let Some(incoming) = self.endpoint.accept().await {
            tokio::spawn(async move {
                let Ok(connection) = incoming.await else {
                    return;
                };
                while let Ok((mut send, mut recv)) = connection.accept_bi().await {
                    tokio::spawn(async move {
                        let bytes = recv.read_to_end(usize::MAX).await.expect("a whole stream");
                        send.write_all(&bytes).await.expect("an open stream");
                        send.finish().expect("an open stream");
                    });
                }
            });
        }
    }
}

/// Sends `bytes` and returns what comes back.
async fn ask(connection: &Connection, bytes: &[u8]) -> Vec<u8> {
    let (mut send, mut recv) = connection.open_bi().await.expect("an open connection");
    send.write_all(bytes).await.expect("an open stream");
    send.finish().expect("an open stream");
    recv.read_to_end(usize::MAX).await.expect("a whole stream")
}

/// Six hosts, all dialling all others with higher numbers, talk for a virtual minute.
fn talk(seed: u64) -> Trace {
    in_virtual_time(async {
        let hub = Hub::new(seed, Conditions::rough());
        let hosts: Vec<Host> = (1..=6).map(|n| Host::new(&hub, n)).collect();
        for host in &hosts {
            tokio::spawn(host.clone().echo());
        }
        let mut talks = JoinSet::new();
        for (n, host) in hosts.iter().enumerate() {
            for other in &hosts[n + 1..] {
                let (host, other) = (host.clone(), other.clone());
                talks.spawn(async move {
                    let connection = host.dial(&other).await;
                    for round in 0..6_u8 {
                        let bytes = vec![round; 1 + usize::from(round) * 5_000];
                        assert_eq!(ask(&connection, &bytes).await, bytes);
                        sleep(Duration::from_secs(10)).await;
                    }
                });
            }
        }
        while let Some(talk) = talks.join_next().await {
            talk.expect("a talk went wrong");
        }
        hub.trace()
    })
}

#[test]
fn one_seed_one_trace() {
    let first = talk(7);
    let counts = first.counts();
    let all = counts.delivered + counts.lost;
    assert!(
        all > 2_000,
        "too little traffic to say anything: {counts:?}"
    );
    let percent_lost = 100 * counts.lost / all;
    assert!((3..=7).contains(&percent_lost), "{counts:?}");
    let percent_copies = 100 * counts.copies / all;
    assert!((1..=3).contains(&percent_copies), "{counts:?}");
    let packets = first.packets();
    assert!(
        packets.windows(2).any(|pair| pair[0].from == pair[1].from
            && pair[0].to == pair[1].to
            && pair[0].sent_us > pair[1].sent_us),
        "nothing was reordered"
    );
    talk(7).assert_same(&first);
    assert_ne!(talk(8).hash(), first.hash());
}

#[test]
fn the_network_adds_its_latency_and_no_more() {
    in_virtual_time(async {
        let hub = Hub::new(1, Conditions::calm(Duration::from_millis(40)));
        let (a, b) = (Host::new(&hub, 1), Host::new(&hub, 2));
        tokio::spawn(b.clone().echo());
        let connection = a.dial(&b).await;
        let start = Instant::now();
        assert_eq!(ask(&connection, b"ping").await, b"ping");
        let rtt = start.elapsed().as_millis();
        assert!(
            (80..=85).contains(&rtt),
            "{rtt} ms for a round trip of 80 ms"
        );
        assert_eq!(hub.counts().lost + hub.counts().copies, 0);
    });
}

#[test]
fn a_cut_link_carries_nothing_and_a_mended_one_everything() {
    in_virtual_time(async {
        let hub = Hub::new(1, Conditions::calm(Duration::from_millis(10)));
        let hosts = [Host::new(&hub, 1), Host::new(&hub, 2), Host::new(&hub, 3)];
        for host in &hosts {
            tokio::spawn(host.clone().echo());
        }
        let [a, b, c] = &hosts;
        let to_b = a.dial(b).await;
        let to_c = a.dial(c).await;
        hub.cut(a.addr.ip(), b.addr.ip());
        let before = hub.counts();
        let lost = timeout(Duration::from_secs(8), ask(&to_b, b"anyone?")).await;
        assert!(lost.is_err(), "an answer through a cut link");
        assert_eq!(ask(&to_c, b"and you?").await, b"and you?");
        assert!(hub.counts().cut > before.cut);
        hub.mend(b.addr.ip(), a.addr.ip());
        assert_eq!(ask(&to_b, b"now?").await, b"now?");
    });
}

#[test]
fn a_stalled_socket_overflows_and_recovers_and_troubles_nobody_else() {
    in_virtual_time(async {
        let hub = Hub::new(1, Conditions::calm(Duration::from_millis(10)));
        let hosts = [Host::new(&hub, 1), Host::new(&hub, 2), Host::new(&hub, 3)];
        for host in &hosts {
            tokio::spawn(host.clone().echo());
        }
        let [a, b, c] = &hosts;
        let to_b = a.dial(b).await;
        let to_c = a.dial(c).await;
        hub.stall(b.addr, true);
        // QUIC would slow down; the network itself takes anything.
        for _ in 0..RECEIVE_QUEUE + 100 {
            hub.inject(Hub::addr(9), b.addr, &[0; 1_000]);
        }
        to_b.send_datagram(Bytes::from_static(b"in vain"))
            .expect("room for a datagram");
        let start = Instant::now();
        assert_eq!(ask(&to_c, b"quick").await, b"quick");
        assert!(start.elapsed() < Duration::from_millis(30));
        assert!(hub.counts().overflowed >= 100, "{:?}", hub.counts());
        hub.stall(b.addr, false);
        assert_eq!(ask(&to_b, b"awake?").await, b"awake?");
    });
}

#[test]
fn an_unplugged_socket_is_dead_and_its_address_free() {
    in_virtual_time(async {
        let hub = Hub::new(1, Conditions::calm(Duration::from_millis(10)));
        let (a, b) = (Host::new(&hub, 1), Host::new(&hub, 2));
        tokio::spawn(b.clone().echo());
        let old = a.dial(&b).await;
        assert!(hub.bind(b.addr).is_err(), "two sockets at one address");
        hub.unplug(b.addr);
        let silence = timeout(Duration::from_secs(5), ask(&old, b"anyone?")).await;
        assert!(silence.is_err(), "an unplugged host answered");
        assert!(hub.counts().no_socket > 0);
        let again = Host::new(&hub, 2);
        tokio::spawn(again.clone().echo());
        let new = a.dial(&again).await;
        assert_eq!(ask(&new, b"back?").await, b"back?");
        // The old socket's end concerns the new one's address no more.
        drop(b);
        sleep(Duration::from_secs(60)).await;
        assert_eq!(ask(&new, b"still?").await, b"still?");
    });
}
