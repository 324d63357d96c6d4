//! The node's own signed record.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crypto::{SignError, Signed, Verified};

use crate::action::Row;
use crate::cx::Cx;
use crate::wire::{PeerRecord, RECORD_AHEAD_S, RECORD_REISSUE_S};

/// Issues the own record: anew every 30 minutes, and whenever the addresses change.
#[derive(Debug)]
pub struct Own {
    record: Verified<PeerRecord>,
    reissue_at: Instant,
    retry_at: Instant,
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
            retry_at: cx.now.mono,
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

    /// Issues a new record if one is due, by either clock: the wall clock alone moves on while a machine sleeps. A signer that
    /// fails is asked again a minute later; the old record serves on.
    pub fn on_timeout(&mut self, cx: &mut Cx<'_>) {
        let unix_s = cx.now.unix_ms / 1000;
        let age = unix_s.saturating_sub(self.record.issued_unix_s);
        let jumped =
            age > RECORD_REISSUE_S + 60 || self.record.issued_unix_s > unix_s + RECORD_AHEAD_S;
        if cx.now.mono >= self.reissue_at || (jumped && cx.now.mono >= self.retry_at) {
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

    /// The last word of a node that leaves: a record without an address. `None` where there was no address to take back, or nobody signs it.
    pub fn leave(&mut self, cx: &mut Cx<'_>) -> Option<Signed<PeerRecord>> {
        self.record.addrs().next()?;
        self.set_addrs(&[], cx);
        self.record.addrs().next().is_none().then(|| self.signed())
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
                self.retry_at = cx.now.mono + Duration::from_secs(60);
                self.reissue_at = self.retry_at;
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
            IpAddr::V4(ip) => record.ipv4 = record.ipv4.or_else(|| Some((ip, addr.port()))),
            IpAddr::V6(ip) => record.ipv6 = record.ipv6.or_else(|| Some((ip, addr.port()))),
        }
    }
    let version = record.version;
    let signed = Signed::sign(record, cx.identity, cx.network)?;
    cx.persist(Row::RecordVersion { version });
    Ok(signed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn the_version_rises_with_the_clock_and_past_what_was_persisted() {
        let mut bench = Bench::new(1);
        let unix_ms = bench.now.unix_ms;
        let own = Own::new(&[addr(1)], unix_ms + 500, &mut bench.cx()).expect("signs");
        assert_eq!(own.record().version, unix_ms + 501);
        assert_eq!(
            bench.rows(),
            [Row::RecordVersion {
                version: unix_ms + 501
            }]
        );
    }

    #[test]
    fn it_is_reissued_after_half_an_hour_on_change_and_when_the_wall_clock_jumps() {
        let mut bench = Bench::new(1);
        let mut own = Own::new(&[addr(1)], 0, &mut bench.cx()).expect("signs");
        let first = own.record().version;
        bench.advance(Duration::from_secs(60));
        own.on_timeout(&mut bench.cx());
        assert_eq!(own.record().version, first);
        own.set_addrs(&[addr(2)], &mut bench.cx());
        let second = own.record().version;
        assert!(second > first);
        assert_eq!(own.record().addrs().next(), Some((1, addr(2))));
        bench.now.unix_ms += 8 * 24 * 3_600_000;
        own.on_timeout(&mut bench.cx());
        let third = own.record().version;
        assert!(third > second, "a machine that slept signs anew at once");
        bench.now.unix_ms -= 24 * 3_600_000;
        own.on_timeout(&mut bench.cx());
        assert_eq!(
            own.record().version,
            third + 1,
            "a clock that went back does not lower the version"
        );
        bench.advance(Duration::from_secs(RECORD_REISSUE_S));
        own.on_timeout(&mut bench.cx());
        assert!(own.record().version > third + 1);
    }
}
