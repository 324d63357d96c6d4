//! The configuration of the core: one section per room.

use std::net::SocketAddr;

use crypto::PeerId;

use crate::action::Target;

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
    /// Eager and lazy links, delays, caps.
    pub broadcast: crate::broadcast::Config,
    /// Window, retention, validators, caps.
    pub messages: crate::messages::Config,
    /// Periods and budgets of reconciliation.
    pub repair: crate::repair::Config,
    /// Rates, bans, who may publish.
    pub conduct: crate::conduct::Config,
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
