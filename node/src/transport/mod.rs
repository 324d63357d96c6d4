//! QUIC: sockets, limits on who may connect, links with their lanes. Knows frames as bytes and nothing of what they mean.

mod accept;
mod bandwidth;
mod dial;
mod framing;
pub(crate) mod inbox;
mod lanes;
mod limiter;
pub(crate) mod link;
mod socket;
mod tuning;

#[cfg(all(test, feature = "sim"))]
mod tests;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use certs::Refusal;
use crypto::{Identity, NetworkId, PeerId};
use overlay::DialId;
use overlay::config::AddressPreset;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, TokioRuntime, VarInt};
use rustls::pki_types::CertificateDer;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub(crate) use bandwidth::Bandwidth;
pub use socket::bind;
pub(crate) use tuning::TuningError;

use crate::builder::Sockets;
use limiter::{Limiter, Shares};
use link::{Place, Shared};

/// A connection whose handshake is done.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) connection: Connection,
    pub(crate) peer: PeerId,
    /// Canonical remote address.
    pub(crate) addr: SocketAddr,
    pub(crate) dialed: Option<DialId>,
    pub(crate) place: Place,
}

/// How the transport is set up.
pub(crate) struct Setup<'a> {
    pub(crate) identity: &'a Identity,
    pub(crate) network: &'a NetworkId,
    pub(crate) preset: AddressPreset,
    pub(crate) listen: &'a [SocketAddr],
    pub(crate) max_links: usize,
    pub(crate) sockets: Option<Sockets>,
    pub(crate) rng_seed: Option<[u8; 32]>,
}

/// Why the transport cannot start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransportError {
    #[error(transparent)]
    Tuning(#[from] TuningError),
    #[error("cannot listen on {addr}: {source}")]
    Bind { addr: SocketAddr, source: io::Error },
}

/// The endpoints of a node: one UDP socket for each listen address, used to dial and to accept.
#[derive(Clone, Debug)]
pub(crate) struct Transport {
    endpoints: Arc<[Endpoint]>,
    sockets: Arc<[Arc<socket::Counted>]>,
    local_addrs: Vec<SocketAddr>,
    client: ClientConfig,
    limiter: Limiter,
    dials: Arc<Semaphore>,
    pub(crate) shared: Shared,
    /// Cancelled when nothing new may begin.
    stop: CancellationToken,
}

impl Transport {
    /// Binds the sockets and begins to accept. Must be called within the runtime.
    pub(crate) fn start(
        setup: Setup<'_>,
        shared: Shared,
        stop: CancellationToken,
    ) -> Result<Self, TransportError> {
        let server = tuning::server_config(setup.identity, setup.network, setup.preset)?;
        let client = tuning::client_config(setup.identity, setup.network, setup.preset)?;
        let mut endpoints = Vec::new();
        let mut sockets = Vec::new();
        let mut local_addrs = Vec::new();
        for (i, addr) in setup.listen.iter().copied().enumerate() {
            let failed = |source| TransportError::Bind { addr, source };
            let socket = match &setup.sockets {
                Some(make) => make(addr),
                None => bind(addr),
            };
            let counted =
                |socket| socket::Counted::new(socket, shared.counters.clone()).map(Arc::new);
            let socket = socket.and_then(counted).map_err(failed)?;
            // Each endpoint draws from its own generator.
            let rng_seed = setup.rng_seed.map(|mut seed| {
                seed[31] ^= u8::try_from(i).unwrap_or(u8::MAX);
                seed
            });
            let endpoint = Endpoint::new_with_abstract_socket(
                tuning::endpoint_config(setup.identity, rng_seed),
                Some(server.clone()),
                socket.clone(),
                Arc::new(TokioRuntime),
            )
            .map_err(failed)?;
            local_addrs.push(endpoint.local_addr().map_err(failed)?);
            endpoints.push(endpoint);
            sockets.push(socket);
        }
        let transport = Self {
            endpoints: endpoints.into(),
            sockets: sockets.into(),
            local_addrs,
            client,
            limiter: Limiter::new(Shares::of(setup.preset), setup.max_links),
            dials: Arc::new(Semaphore::new(Self::max_dials())),
            shared,
            stop,
        };
        for endpoint in transport.endpoints.iter() {
            let accept = transport.clone().accept(endpoint.clone());
            transport.shared.tasks.spawn(accept);
        }
        Ok(transport)
    }

    /// The addresses it listens on.
    pub(crate) fn local_addrs(&self) -> &[SocketAddr] {
        &self.local_addrs
    }

    /// Our own address on the way to a peer, with the port listened on: the listen address, or where that is all of the machine's, the one
    /// that the system would send from. Nothing is sent.
    pub(crate) fn own_end(&self, peer: SocketAddr) -> Option<SocketAddr> {
        let of_family = |addr: &&SocketAddr| addr.is_ipv4() == peer.is_ipv4();
        let listen = self.local_addrs.iter().find(of_family)?;
        if !listen.ip().is_unspecified() {
            return Some(*listen);
        }
        let way = UdpSocket::bind(SocketAddr::new(listen.ip(), 0)).ok()?;
        way.connect(peer).ok()?;
        let ip = way.local_addr().ok()?.ip();
        Some(SocketAddr::new(ip.to_canonical(), listen.port()))
    }

    /// Closes every connection that is left, waits, at most `patience`, until the peers have been told, and closes the
    /// sockets.
    pub(crate) async fn close(&self, code: u32, patience: Duration) {
        for endpoint in self.endpoints.iter() {
            endpoint.close(VarInt::from_u32(code), b"");
        }
        let idle = async {
            for endpoint in self.endpoints.iter() {
                endpoint.wait_idle().await;
            }
        };
        let _ = tokio::time::timeout(patience, idle).await; // beyond it the peers find out by themselves
        for socket in self.sockets.iter() {
            socket.close();
        }
    }
}

/// What ended a connection or a handshake, for logs. A peer's own words are never repeated, only its codes.
fn brief(error: &ConnectionError) -> String {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            format!("the peer closed with {}", close.error_code)
        }
        ConnectionError::ConnectionClosed(close) => {
            format!("the peer ended it: {}", close.error_code)
        }
        ConnectionError::TransportError(error) => match Refusal::name_in(&error.reason) {
            Some(name) => format!("refused: {name}"),
            None => format!("{}", error.code),
        },
        other => other.to_string(),
    }
}

/// Whose key the other end of a connection holds.
fn peer_of(connection: &Connection) -> Option<PeerId> {
    let identity = connection.peer_identity()?;
    let certificates = identity.downcast_ref::<Vec<CertificateDer<'static>>>()?;
    certs::peer_at_other_end(certificates).ok()
}
