//! The node's own signed record.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crypto::{SignError, Signed, Verified};

use crate::action::Row;
use crate::cx::Cx;
use crate::wire::{PeerRecord, RECORD_REISSUE_S};

/// Issues the own record: anew every 30 minutes, and whenever the addresses change.
#[derive(Debug)]
pub struct Own {
    record: Verified<PeerRecord>,
    reissue_at: Instant,
}

impl Own {
    /// Signs the first record of this run. `persisted_version` is the highest version ever signed by this identity, as far as
    /// its store knows.
    ///
    /// # Errors
    /// The holder of the key does not sign.
    pub fn new(
        addrs: &[SocketAddr],
        persisted_version: u64,
        cx: &mut Cx<'_>,
    ) -> Result<Self, SignError> {
        let record = issue(addrs, persisted_version, cx)?;
        Ok(Self {
            record,
            reissue_at: reissue_at(cx),
        })
    }

    /// The current record.
    #[must_use]
    pub fn record(&self) -> &Verified<PeerRecord> {
        &self.record
    }

    /// The current record with its signature, as it travels.
    #[must_use]
    pub fn signed(&self) -> Signed<PeerRecord> {
        self.record.signed().clone()
    }

    /// When the next record is due.
    #[must_use]
    pub fn next_timeout(&self) -> Instant {
        self.reissue_at
    }

    /// Issues a new record if one is due. A signer that fails is asked again a minute later; the old record serves on.
    pub fn on_timeout(&mut self, cx: &mut Cx<'_>) {
        if cx.now.mono >= self.reissue_at {
            let addrs: Vec<SocketAddr> = self.record.addrs().map(|(_, addr)| addr).collect();
            self.reissue(&addrs, cx);
        }
    }

    /// Takes over a change of addresses at once.
    pub fn set_addrs(&mut self, addrs: &[SocketAddr], cx: &mut Cx<'_>) {
        let current: Vec<SocketAddr> = self.record.addrs().map(|(_, addr)| addr).collect();
        if current != addrs {
            self.reissue(addrs, cx);
        }
    }

    fn reissue(&mut self, addrs: &[SocketAddr], cx: &mut Cx<'_>) {
        match issue(addrs, self.record.version, cx) {
            Ok(record) => {
                self.record = record;
                self.reissue_at = reissue_at(cx);
            }
            Err(error) => {
                tracing::warn!(%error, "the own record was not re-issued");
                cx.stats.peers.own_record_not_signed += 1;
                self.reissue_at = cx.now.mono + Duration::from_secs(60);
            }
        }
    }
}

fn reissue_at(cx: &Cx<'_>) -> Instant {
    cx.now.mono + Duration::from_secs(RECORD_REISSUE_S)
}

/// The version rises by itself with the clock, and by one where the clock went back.
fn issue(
    addrs: &[SocketAddr],
    last_version: u64,
    cx: &mut Cx<'_>,
) -> Result<Verified<PeerRecord>, SignError> {
    let mut record = PeerRecord {
        id: cx.me().to_bytes(),
        version: cx.now.unix_ms.max(last_version.saturating_add(1)),
        issued_unix_s: cx.now.unix_ms / 1000,
        ipv4: None,
        ipv6: None,
        roles: 0,
    };
    for addr in addrs {
        match addr.ip() {
            IpAddr::V4(ip) => record.ipv4 = record.ipv4.or(Some((ip, addr.port()))),
            IpAddr::V6(ip) => record.ipv6 = record.ipv6.or(Some((ip, addr.port()))),
        }
    }
    let version = record.version;
    let signed = Signed::sign(record, cx.identity, cx.network)?;
    cx.persist(Row::RecordVersion { version });
    Ok(signed)
}
