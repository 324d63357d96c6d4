//! quinn, tuned: the defaults let one connection pin 244 MiB; these settings keep it near 1 MiB.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crypto::{Identity, NetworkId};
use overlay::config::AddressPreset;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    AckFrequencyConfig, ClientConfig, EndpointConfig, ServerConfig, TimeSource, TransportConfig,
    VarInt,
};
use quinn_proto::HashedConnectionIdGenerator;
use quinn_proto::crypto::{CryptoError, HmacKey};
use rand::Rng as _;
use tokio::time::Instant;

/// A handshake that takes longer is given up: quinn itself has no handshake timer.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection on which nothing arrives for so long is dead. Nothing is sent to keep it alive: visits are short, and neighbors that have
/// nothing to say probe each other every few seconds, which keeps a NAT's mapping alive too.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// Datagrams that wait to be sent, or read, bytes: a few hundred probes. A full buffer drops the oldest.
const DATAGRAMS: usize = 16 * 1024;
/// One long-lived stream per lane, and one too many, so that a peer which opens it is caught instead of left waiting.
const UNI_STREAMS: u32 = 5;
/// A lane that nobody reads holds this much at the receiver; also the limit of what one lane has under way. quinn cannot widen
/// it later, so before the greeting the connection's window does the limiting.
const STREAM_WINDOW: u32 = 256 * 1024;
/// All lanes together before the greeting: a hello is small, and whoever sends it is a stranger.
const FIRST_WINDOW: u32 = 64 * 1024;
/// All lanes together after the greeting. As much as the four lanes' windows, so that a lane which stands still never takes
/// another one's share.
pub(crate) const OPEN_WINDOW: u32 = 4 * STREAM_WINDOW;
/// Bytes written but not yet acknowledged, all lanes together; as [`OPEN_WINDOW`], for the same reason.
const SEND_WINDOW: u64 = OPEN_WINDOW as u64;
/// Attempts that wait to be looked at, for all addresses.
const MAX_INCOMING: usize = 256;
/// What one such attempt may buffer, and all of them, bytes.
const INCOMING_BUFFER: u64 = 16 * 1024;
const INCOMING_BUFFERS: u64 = 4 * 1024 * 1024;
/// Packets that the other end may receive before it must acknowledge at once, instead of every second one; after 25 ms it
/// does in any case, and a gap in their numbers is reported without delay (draft-ietf-quic-ack-frequency). A tree link carries
/// a packet now and then in one direction, and half of all datagrams would be acknowledgements. A guess, measured.
const ACK_AFTER: u32 = 4;
/// Payload of a UDP datagram that fits an Ethernet frame under IPv4 and IPv6, bytes; taken for granted where the network is
/// one's own. On the open internet packets have the 1,200 bytes that QUIC demands of every path: probing for more costs
/// each short visit some kilobytes and gains 2 % on a long link.
const ETHERNET_PAYLOAD: u16 = 1452;

/// Why the transport's configuration could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TuningError {
    #[error(transparent)]
    Certificate(#[from] certs::ConfigError),
    #[error("the TLS configuration has no cipher suite for QUIC")]
    NoInitialSuite(#[from] quinn::crypto::rustls::NoInitialCipherSuite),
}

/// How this node dials.
pub(crate) fn client_config(
    identity: &Identity,
    network: &NetworkId,
    preset: AddressPreset,
) -> Result<ClientConfig, TuningError> {
    let tls = certs::client_config(identity, network)?;
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    config.transport_config(Arc::new(transport_config(preset)));
    Ok(config)
}

/// How this node accepts.
pub(crate) fn server_config(
    identity: &Identity,
    network: &NetworkId,
    preset: AddressPreset,
) -> Result<ServerConfig, TuningError> {
    let tls = certs::server_config(identity, network)?;
    let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    config
        .transport_config(Arc::new(transport_config(preset)))
        // A peer that changes its address reconnects: limits count by address.
        .migration(false)
        .time_source(Arc::new(Monotonic(Instant::now())))
        .max_incoming(MAX_INCOMING)
        .incoming_buffer_size(INCOMING_BUFFER)
        .incoming_buffer_size_total(INCOMING_BUFFERS);
    Ok(config)
}

fn transport_config(preset: AddressPreset) -> TransportConfig {
    let mut acks = AckFrequencyConfig::default();
    acks.ack_eliciting_threshold(VarInt::from_u32(ACK_AFTER));
    let mut config = TransportConfig::default();
    config
        .ack_frequency_config(Some(acks))
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(UNI_STREAMS))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(FIRST_WINDOW))
        .send_window(SEND_WINDOW)
        .datagram_receive_buffer_size(Some(DATAGRAMS))
        .datagram_send_buffer_size(DATAGRAMS)
        .max_idle_timeout(IDLE_TIMEOUT.try_into().ok())
        .mtu_discovery_config(None)
        .allow_spin(false);
    if preset != AddressPreset::Wan {
        config.initial_mtu(ETHERNET_PAYLOAD);
    }
    config
}

/// The endpoint's keys come from the identity, so that a restarted node still resets the connections it no longer knows,
/// and peers need not wait for their idle timeout. An identity held elsewhere gives random keys.
pub(crate) fn endpoint_config(identity: &Identity, rng_seed: Option<[u8; 32]>) -> EndpointConfig {
    let key = |purpose: &str| {
        identity.derive_key(purpose).unwrap_or_else(|| {
            let mut key = [0; 32];
            rand::rng().fill_bytes(&mut key);
            key
        })
    };
    let cid = key("quic connection ids");
    let cid = u64::from_le_bytes([
        cid[0], cid[1], cid[2], cid[3], cid[4], cid[5], cid[6], cid[7],
    ]);
    let mut config = EndpointConfig::new(Arc::new(ResetKey(key("quic stateless reset"))));
    config
        .cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(cid)))
        .rng_seed(rng_seed);
    config
}

/// The time in retry tokens, which no other process reads: a wall clock may jump.
struct Monotonic(Instant);

impl TimeSource for Monotonic {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.0.elapsed()
    }
}

/// Makes stateless reset tokens: keyed BLAKE3.
struct ResetKey([u8; 32]);

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        blake3::Hasher::new_keyed(&self.0)
            .update(data)
            .finalize_xof()
            .fill(signature_out);
    }

    fn signature_len(&self) -> usize {
        32
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        let expected = blake3::keyed_hash(&self.0, data);
        // `Hash` compares in constant time.
        match <[u8; 32]>::try_from(signature) {
            Ok(signature) if expected == signature => Ok(()),
            _ => Err(CryptoError),
        }
    }
}
