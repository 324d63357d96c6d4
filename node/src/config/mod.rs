//! The settings of a node: flags, then `VOUCHSAFE_*` environment variables, then `config.toml`, then defaults.
//!
//! One list (`settings`) names every setting with its text for `config.toml`, its default and its check; the file, the
//! environment and the commented file that `init` writes all come from it, so they cannot drift apart.

mod check;
mod file;
mod peer_addr;
mod settings;
mod template;
mod units;

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use crypto::PeerId;
use overlay::conduct::AuthorPolicy;
use overlay::config::AddressPreset;
use overlay::messages::DEFAULT_MAX_PAYLOAD;

pub use check::{check, load};
pub use peer_addr::{BadHostPort, BadPeerAddr, HostPort, PeerAddr};
pub use template::{default_text, preset_name};
pub use units::{parse_duration, parse_size, show_duration, show_size};

use crate::Limits;

/// The prefix of the environment variables.
pub const ENV_PREFIX: &str = "VOUCHSAFE_";

/// Everything that can be set for a node, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeConfig {
    /// Name of the network.
    pub network: String,
    /// What kind of network the addresses belong to.
    pub preset: AddressPreset,
    /// UDP addresses to listen on; port 0 picks a free one.
    pub listen: Vec<SocketAddr>,
    /// Where others can dial this node, when that differs from what they observe.
    pub external: Vec<HostPort>,
    /// Peers to ask for others.
    pub seeds: Vec<PeerAddr>,
    /// Peers to keep as neighbors.
    pub persistent: Vec<PeerAddr>,
    /// Loopback address of the admin API; port 0 picks a free one.
    pub admin: SocketAddr,
    /// How logs are written.
    pub log_format: LogFormat,
    /// What is logged: a level, or a list of `target=level` (the syntax of `tracing`'s `EnvFilter`).
    pub log_level: String,
    /// What the node may use at most.
    pub limits: Limits,
    /// Outbound neighbors to keep.
    pub outbound: usize,
    /// Most inbound neighbors.
    pub inbound: usize,
    /// How long messages are kept, as three limits of which the first one reached counts.
    pub retention: Retention,
    /// Who may publish in this network.
    pub authors: Authors,
}

/// What is kept of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// By signed date.
    pub age: Duration,
    /// Bytes of stored messages.
    pub bytes: u64,
    /// Number of messages.
    pub messages: u64,
}

impl Default for Retention {
    /// 24 h, 256 MiB, 1,000,000 messages. Guesses that fit a small machine.
    fn default() -> Self {
        Self {
            age: Duration::from_secs(24 * 60 * 60),
            bytes: 256 << 20,
            messages: 1_000_000,
        }
    }
}

/// Who may publish.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Authors {
    /// Everyone.
    #[default]
    Open,
    /// These keys only.
    AllowList(BTreeSet<PeerId>),
}

impl From<Authors> for AuthorPolicy {
    fn from(authors: Authors) -> Self {
        match authors {
            Authors::Open => Self::Open,
            Authors::AllowList(ids) => Self::AllowList(ids),
        }
    }
}

/// How logs are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!(
                "{text:?} is no log format: use \"text\" or \"json\""
            )),
        }
    }
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            network: "vouchsafe".to_owned(),
            preset: AddressPreset::Wan,
            listen: default_listen(AddressPreset::Wan),
            external: Vec::new(),
            seeds: Vec::new(),
            persistent: Vec::new(),
            admin: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0),
            log_format: LogFormat::Text,
            log_level: "info".to_owned(),
            limits: Limits {
                max_links: Some(512),
                max_payload: Some(DEFAULT_MAX_PAYLOAD),
                ..Limits::default()
            },
            outbound: 10,
            inbound: 128,
            retention: Retention::default(),
            authors: Authors::Open,
        }
    }
}

/// Where a node listens when nothing is said: port 4100 of every IPv4 address, or with the preset `local` a free port of
/// 127.0.0.1, so that any number of nodes start on one machine.
#[must_use]
pub fn default_listen(preset: AddressPreset) -> Vec<SocketAddr> {
    let addr: (IpAddr, u16) = match preset {
        AddressPreset::Local => (Ipv4Addr::LOCALHOST.into(), 0),
        AddressPreset::Lan | AddressPreset::Wan => (Ipv4Addr::UNSPECIFIED.into(), 4100),
    };
    vec![addr.into()]
}

/// What the command line said; `None` or empty = nothing. A list replaces that of the layers below.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--network`.
    pub network: Option<String>,
    /// `--local`.
    pub preset: Option<AddressPreset>,
    /// `--listen`.
    pub listen: Vec<SocketAddr>,
    /// `--external`.
    pub external: Vec<HostPort>,
    /// `--seed`.
    pub seeds: Vec<PeerAddr>,
    /// `--persistent`.
    pub persistent: Vec<PeerAddr>,
    /// `--admin`.
    pub admin: Option<SocketAddr>,
    /// `--log-format`.
    pub log_format: Option<LogFormat>,
}

/// A configuration, and what is odd about it though not wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The settings.
    pub config: NodeConfig,
    /// One line each, to be logged.
    pub warnings: Vec<String>,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The file; the line counts from 1, 0 = the file as a whole.
    File {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
    },
    /// An environment variable.
    Env(String),
    /// A flag.
    Flag(&'static str),
    /// Nothing was said.
    Default,
}

impl Origin {
    fn file(path: &Path, line: usize) -> Self {
        Self::File {
            path: path.to_path_buf(),
            line,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line: 0 } => write!(f, "{}", path.display()),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Env(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "{name}"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// One thing that is wrong with a configuration. The text says where, which key, what, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub origin: Origin,
    /// Which key, as in `limits.max_upload`; empty when it is the file as a whole.
    pub key: String,
    /// What is wrong and what would be right.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            write!(f, "{}: {}", self.origin, self.what)
        } else {
            write!(f, "{}: `{}`: {}", self.origin, self.key, self.what)
        }
    }
}

/// A configuration that is refused. The message is one line: the first problem and how many more there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(
    /// Everything that is wrong, never empty.
    pub Vec<Problem>,
);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.0.first() else {
            return f.write_str("the configuration is refused");
        };
        match self.0.len() - 1 {
            0 => write!(f, "{first}"),
            more => write!(
                f,
                "{first} ({more} more: `vouchsafe check-config` shows all)"
            ),
        }
    }
}

impl std::error::Error for ConfigErrors {}

impl NodeConfig {
    /// The network's id.
    #[must_use]
    pub fn network_id(&self) -> crypto::NetworkId {
        crypto::NetworkId::from_name(&self.network)
    }

    /// Sets what this configuration says about the core; addresses, seeds and limits are the builder's.
    pub fn apply_to(&self, core: &mut overlay::Config) {
        core.neighbors.outbound = self.outbound;
        core.neighbors.inbound = self.inbound;
        core.conduct.authors = self.authors.clone().into();
        core.messages.retention = self.retention.age;
        core.messages.max_bytes = self.retention.bytes;
        core.messages.max_messages = usize::try_from(self.retention.messages).unwrap_or(usize::MAX);
        // Room for what is decided without being kept, in the proportion of the defaults.
        let decided = core
            .messages
            .max_messages
            .saturating_add(core.messages.max_messages / 2);
        core.messages.max_decided = core.messages.max_decided.max(decided);
    }
}

#[cfg(test)]
mod tests;
