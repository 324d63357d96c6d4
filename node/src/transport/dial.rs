//! Connections that this node opens.

use std::net::SocketAddr;
use std::time::Duration;

use certs::Refusal;
use crypto::PeerId;
use overlay::DialId;
use overlay::action::Target;
use overlay::input::DialError;
use quinn::{ClientConfig, ConnectionError, Endpoint, TransportErrorCode};
use tokio::time::timeout;

use super::tuning::HANDSHAKE_TIMEOUT;
use super::{Arrived, Transport, brief, peer_of};
use crate::snapshot::Counters;
use crate::transport::inbox::Event;
use crate::transport::link::Place;

/// Dials under way at a time. The core keeps to the same number while it is young and to far fewer later.
const MAX_DIALS: usize = 64;
/// How long a name may take to be resolved.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Addresses of one name that are tried, one after the other.
const MAX_ADDRS: usize = 3;

impl Transport {
    /// Dials in a task of its own; `Arrived` or `DialFailed` reports to the inbox.
    pub(crate) fn dial(&self, dial: DialId, peer: PeerId, target: Target) {
        let inbox = self.shared.inbox.clone();
        let counters = self.shared.counters.clone();
        let (Ok(permit), Some(slot)) = (
            self.dials.clone().try_acquire_owned(),
            self.limiter.dialled(),
        ) else {
            Counters::hit(&counters.dials_busy);
            inbox.event(Event::DialFailed(dial, DialError::Busy));
            return;
        };
        Counters::hit(&counters.dials);
        let (endpoints, config) = (self.endpoints.clone(), self.client.clone());
        let stop = self.stop.clone();
        self.shared.tasks.spawn(async move {
            let result = tokio::select! {
                biased;
                () = stop.cancelled() => Err(DialError::Busy),
                result = connect(&endpoints, &config, peer, &target, &counters) => result,
            };
            drop(permit);
            match result {
                Ok((connection, addr)) => inbox.event(Event::Arrived(Box::new(Arrived {
                    connection,
                    peer,
                    addr,
                    dialed: Some(dial),
                    place: Place::Outbound { _slot: slot },
                }))),
                Err(error) => {
                    tracing::debug!(peer = %peer.short(), ?target, ?error, "a dial came to nothing");
                    Counters::hit(&counters.dials_failed);
                    inbox.event(Event::DialFailed(dial, error));
                }
            }
        });
    }

    /// How many dials may be under way.
    pub(crate) const fn max_dials() -> usize {
        MAX_DIALS
    }
}

async fn connect(
    endpoints: &[Endpoint],
    config: &ClientConfig,
    peer: PeerId,
    target: &Target,
    counters: &Counters,
) -> Result<(quinn::Connection, SocketAddr), DialError> {
    let addrs = match target {
        Target::Addr(addr) => vec![*addr],
        Target::Name(name) => resolve(name).await?,
    };
    let name = certs::server_name(&peer);
    let mut result = Err(DialError::NoAddress);
    for addr in addrs.into_iter().take(MAX_ADDRS) {
        let Some(endpoint) = endpoint_for(endpoints, addr) else {
            continue;
        };
        let connecting = match endpoint.connect_with(config.clone(), addr, &name.to_str()) {
            Ok(connecting) => connecting,
            Err(error) => {
                tracing::debug!(%addr, ?error, "an address cannot be dialled");
                result = Err(DialError::NoAddress);
                continue;
            }
        };
        match timeout(HANDSHAKE_TIMEOUT, connecting).await {
            Ok(Ok(connection)) => {
                // The verifier has compared already; this is the same fact read from the connection.
                if peer_of(&connection) != Some(peer) {
                    result = Err(DialError::WrongIdentity);
                    continue;
                }
                return Ok((connection, addr));
            }
            Ok(Err(error)) => {
                tracing::debug!(%addr, error = brief(&error), "a handshake failed");
                result = Err(dial_error(&error));
            }
            Err(_) => {
                Counters::hit(&counters.handshake_timeouts);
                result = Err(DialError::Unreachable);
            }
        }
    }
    result
}

/// Resolves `host:port` anew.
async fn resolve(name: &str) -> Result<Vec<SocketAddr>, DialError> {
    if let Ok(addr) = name.parse() {
        return Ok(vec![addr]);
    }
    match timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host(name)).await {
        Ok(Ok(addrs)) => Ok(addrs.collect()),
        Ok(Err(_)) | Err(_) => Err(DialError::NoAddress),
    }
}

/// A dial leaves from the socket of its family.
fn endpoint_for(endpoints: &[Endpoint], addr: SocketAddr) -> Option<&Endpoint> {
    let of_family = |endpoint: &&Endpoint| {
        let local = endpoint.local_addr();
        local.is_ok_and(|local| {
            local.is_ipv4() == addr.is_ipv4()
                // A socket on loopback reaches loopback only, and the other way round it is better not to try.
                && (!local.ip().is_loopback() || addr.ip().is_loopback())
        })
    };
    endpoints.iter().find(of_family)
}

fn dial_error(error: &ConnectionError) -> DialError {
    match error {
        // Our own refusal, with our own words.
        ConnectionError::TransportError(error) => match Refusal::name_in(&error.reason) {
            Some("wrong-peer") => DialError::WrongIdentity,
            Some("other-network") => DialError::WrongNetwork,
            _ => DialError::Handshake,
        },
        ConnectionError::ConnectionClosed(close) => match alert(close.error_code) {
            // Nobody is asked to believe it: the dial failed either way.
            Some(NO_APPLICATION_PROTOCOL) => DialError::WrongNetwork,
            Some(_) => DialError::Handshake,
            None => DialError::Unreachable,
        },
        ConnectionError::TimedOut | ConnectionError::Reset => DialError::Unreachable,
        _ => DialError::Handshake,
    }
}

/// TLS alert 120 (RFC 7301 §3.2).
const NO_APPLICATION_PROTOCOL: u8 = 120;

/// The TLS alert in a close (RFC 9001 §4.8), if it is one.
fn alert(code: TransportErrorCode) -> Option<u8> {
    let code = u64::from(code);
    (code >> 8 == 1).then_some((code & 0xff) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_are_the_low_byte_of_crypto_errors_only() {
        assert_eq!(alert(TransportErrorCode::crypto(120)), Some(120));
        assert_eq!(alert(TransportErrorCode::CONNECTION_REFUSED), None);
    }

    #[tokio::test]
    async fn an_address_needs_no_resolver_and_nonsense_is_no_address() {
        assert_eq!(
            resolve("[::1]:4100").await,
            Ok(vec!["[::1]:4100".parse().unwrap()])
        );
        assert_eq!(resolve("no port here").await, Err(DialError::NoAddress));
    }
}
