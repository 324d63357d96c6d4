//! The configuration of the core: one section per room.

use std::net::SocketAddr;

use crypto::PeerId;

use crate::action::Target;
use crate::messages::{MAX_BODY, MAX_INLINE};

/// What kind of network the addresses belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum AddressPreset {
    /// One machine or a test: special-use addresses are allowed, no prefix groups, up to 256 peers an address.
    Local,
    /// A private network: private addresses are allowed; looser caps than `Wan`.
    Lan,
    /// The open internet: special-use addresses are refused, prefix groups and caps apply.
    #[default]
    Wan,
}

/// A configured peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seed {
    /// The only key accepted there.
    pub peer: PeerId,
    /// Where it is dialled.
    pub target: Target,
}

/// Everything that can be set; every section has defaults that suit an open network.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Which addresses are taken, and the caps per address and group.
    pub addresses: AddressPreset,
    /// Where others can dial this node, at most one address per family; empty = learn it from what peers observe.
    pub external: Vec<SocketAddr>,
    /// Asked for their lists, then left.
    pub seeds: Vec<Seed>,
    /// Kept as neighbors, redialled for ever.
    pub persistent: Vec<Seed>,
    /// Book, archive, dial budgets.
    pub peers: crate::peers::Config,
    /// Slots, periods, list lengths.
    pub sampling: crate::sampling::Config,
    /// Pools and rotation.
    pub neighbors: crate::neighbors::Config,
    /// Timers of the failure detector.
    pub detector: crate::detector::Config,
    /// Eager and lazy links, delays, caps.
    pub broadcast: crate::broadcast::Config,
    /// Memory, caps and budgets of large messages' bodies.
    pub bodies: crate::bodies::Config,
    /// Window, retention, validators, caps.
    pub messages: crate::messages::Config,
    /// Periods and budgets of reconciliation.
    pub repair: crate::repair::Config,
    /// Rates, bans, who may publish.
    pub conduct: crate::conduct::Config,
}

/// Links that a node has at least beyond its outbound neighbors, for visits and inbound links.
pub const SPARE_LINKS: usize = 8;

impl Config {
    /// Checks every setting against its range.
    ///
    /// # Errors
    /// The first setting out of range.
    pub fn check(&self) -> Result<(), ConfigError> {
        let wrong = |key, problem: &str| {
            Err(ConfigError {
                key,
                problem: problem.to_owned(),
            })
        };
        let n = &self.neighbors;
        if !(1..=64).contains(&n.outbound) {
            return wrong("outbound", "the number of outbound neighbors is 1 to 64");
        }
        if n.max_links < n.outbound.saturating_add(SPARE_LINKS) {
            return wrong(
                "max_links",
                "at least 8 more than the outbound neighbors, for visits and inbound links",
            );
        }
        if n.rotation.0 > n.rotation.1 {
            return wrong("rotation", "the shortest time must not exceed the longest");
        }
        for ipv4 in [true, false] {
            if self
                .external
                .iter()
                .filter(|addr| addr.is_ipv4() == ipv4)
                .count()
                > 1
            {
                return wrong("external", "at most one address per family");
            }
        }
        if self
            .external
            .iter()
            .any(|addr| addr.port() == 0 || addr.ip().is_unspecified())
        {
            return wrong(
                "external",
                "an address that others can dial: not 0.0.0.0 or [::], and not port 0",
            );
        }
        let m = &self.messages;
        if !(MAX_INLINE..=MAX_BODY).contains(&m.max_body) {
            return wrong("max_body", "the longest body taken is 48 KiB to 32 MiB");
        }
        if m.inline > MAX_INLINE {
            return wrong("inline", "at most 48 KiB fit a frame with the header");
        }
        self.detector.validate()?;
        self.conduct.validate()
    }
}

/// Why a configuration is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct ConfigError {
    /// The key, as in the configuration file.
    pub key: &'static str,
    /// What is wrong and what is allowed.
    pub problem: String,
}
