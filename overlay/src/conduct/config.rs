//! Rates and ban times.

use std::time::Duration;

use super::AuthorPolicy;
use crate::config::ConfigError;
use crate::neighbors::Code;

/// What one link may send of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// At once, after a pause.
    pub burst: u64,
    /// In the long run, each second.
    pub per_sec: u64,
}

/// Settings of this room. All rates are for one link, and guesses with a wide margin over what the protocol's own
/// periods and saturated loopback links lead to; what is beyond them is dropped and counted, never queued.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who may publish. Default: everyone.
    pub authors: AuthorPolicy,
    /// Pings, probes, looks and their answers, frames. Default 32, then 8/s: probes are seconds apart, and a node whose neighbors die all
    /// at once asks each of the living for a few looks.
    pub liveness: Rate,
    /// Requests to become neighbors and their answers, frames. Default 8, then 1/s: one a link is the rule.
    pub neighbor: Rate,
    /// Exchange requests and replies, frames. Default 32, then 8/s: two nodes alone exchange four times a second while
    /// young. `sampling` answers those who call too often with an empty list long before.
    pub exchange: Rate,
    /// Announcements, bytes of frames. Default 1 MiB, then 1 MiB/s: 130,000 ids a second.
    pub announce: Rate,
    /// Grafts, prunes, wants and cancels, frames. Default 4,096, then 2,048/s: a young tree sends one for each duplicate within a round
    /// trip.
    pub tree: Rate,
    /// Reconciliation, fetches and their refusals, frames. Default 1,024, then 512/s: 130,000 ids a second.
    pub repair: Rate,
    /// Frames of unknown tags. Default 256, then 64/s.
    pub unknown: Rate,
    /// Dropped frames of any kind that a link gets away with; beyond it the link is closed as a flood. Default 10,000,
    /// then 100/s: a dropped frame costs next to nothing, a lost honest neighbor much.
    pub excess: Rate,
    /// Most bans held. Default 4,096.
    pub max_bans: usize,
    /// Most soft refusals remembered. Default 4,096.
    pub max_soft: usize,
    /// Ban after a bad signature (the sender should have checked it). Default 10 min.
    pub ban_bad_signature: Duration,
    /// Ban after bytes that make no message. Default 10 min.
    pub ban_malformed: Duration,
    /// Ban after a breach of protocol. Default 5 min.
    pub ban_protocol: Duration,
    /// Ban after a flood. Default 2 min.
    pub ban_flood: Duration,
}

impl Default for Config {
    fn default() -> Self {
        const fn rate(burst: u64, per_sec: u64) -> Rate {
            Rate { burst, per_sec }
        }
        const fn minutes(minutes: u64) -> Duration {
            Duration::from_secs(60 * minutes)
        }
        Self {
            authors: AuthorPolicy::Open,
            liveness: rate(32, 8),
            neighbor: rate(8, 1),
            exchange: rate(32, 8),
            announce: rate(1 << 20, 1 << 20),
            tree: rate(4096, 2048),
            repair: rate(1024, 512),
            unknown: rate(256, 64),
            excess: rate(10_000, 100),
            max_bans: 4096,
            max_soft: 4096,
            ban_bad_signature: minutes(10),
            ban_malformed: minutes(10),
            ban_protocol: minutes(5),
            ban_flood: minutes(2),
        }
    }
}

impl Config {
    /// How long a peer is banned whose link is closed with this code; `None` = not at all.
    #[must_use]
    pub const fn ban_for(&self, code: Code) -> Option<Duration> {
        match code {
            Code::BadSignature => Some(self.ban_bad_signature),
            Code::Malformed => Some(self.ban_malformed),
            Code::Protocol => Some(self.ban_protocol),
            Code::Flood => Some(self.ban_flood),
            _ => None,
        }
    }

    /// Refuses rates under which no node could work.
    ///
    /// # Errors
    /// Names the key and what is allowed.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let largest = crate::wire::max_len(crate::wire::tag::ANNOUNCE) as u64;
        for (key, rate, least) in [
            ("conduct.liveness", self.liveness, 2),
            ("conduct.neighbor", self.neighbor, 2),
            ("conduct.exchange", self.exchange, 2),
            ("conduct.announce", self.announce, largest),
            ("conduct.tree", self.tree, 2),
            ("conduct.repair", self.repair, 2),
            ("conduct.unknown", self.unknown, 0),
            ("conduct.excess", self.excess, 0),
        ] {
            if rate.burst < least {
                return Err(ConfigError {
                    key,
                    problem: format!("the burst is {}, it must be at least {least}", rate.burst),
                });
            }
        }
        Ok(())
    }
}
