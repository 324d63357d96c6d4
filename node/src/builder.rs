//! The description of a node, and its start.

mod start;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use crypto::{Identity, NetworkId};
use overlay::conduct::AuthorPolicy;
use overlay::config::{AddressPreset, ConfigError, Seed};
use overlay::input::Verdict;
use overlay::messages::Topic;
use overlay::wire::MessageHeader;

use crate::data_dir::DataDirError;
use crate::node::Node;
use crate::store::StoreError;
use crate::subscription::{RING_BYTES, RING_ENTRIES};

/// What a node may use at most. `None` = no ceiling beyond the defaults of its parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes per second sent to peers, over all links (stream payload; QUIC and UDP headers come on top).
    pub max_upload: Option<u64>,
    /// Bytes per second taken from peers, over all links (stream payload).
    pub max_download: Option<u64>,
    /// Bytes of memory to aim at: buffers, caches and the number of links are scaled to fit
    /// (half for links at their worst, 3.4 MB each; the rest for caches and the seen set). At least 64 MiB.
    pub max_memory: Option<u64>,
    /// Connections, visits and greetings included.
    pub max_links: Option<usize>,
    /// Bytes of one payload, published here or by others: messages with a longer one are neither taken nor passed on. 64 KiB to
    /// 31 MiB; 16 MiB unless set. Nodes of one network should agree on it.
    pub max_payload: Option<usize>,
}

impl Limits {
    /// What one link can take at worst, bytes: received but not read (1 MiB), sent but not acknowledged (1 MiB), lanes (0.9 MiB),
    /// inbox (0.3 MiB).
    pub const MEMORY_PER_LINK: u64 = 3_400_000;
}

/// An application's check of the messages of one topic.
pub(crate) type Validator = Arc<dyn Fn(MessageHeader, Vec<Bytes>) -> Answer + Send + Sync>;
/// What becomes a verdict.
pub(crate) type Answer = Pin<Box<dyn Future<Output = Verdict> + Send>>;
/// Makes the UDP socket for a listen address.
pub(crate) type Sockets =
    Arc<dyn Fn(SocketAddr) -> io::Result<Arc<dyn quinn::AsyncUdpSocket>> + Send + Sync>;
/// Milliseconds since the Unix epoch.
pub(crate) type UnixClock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Where a node keeps what must survive it.
#[derive(Clone, Debug)]
pub(crate) enum Storage {
    Memory,
    DataDir(PathBuf),
}

/// Why a node did not start. The message names the file, address or setting and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// No network was named.
    #[error("no network: name one with Builder::network")]
    NoNetwork,
    /// Neither a data directory nor memory was chosen.
    #[error("no store: choose Builder::data_dir or Builder::in_memory")]
    NoStore,
    /// Called outside a tokio runtime, and none was given.
    #[error("no tokio runtime: call spawn inside one, or give one with Builder::runtime")]
    NoRuntime,
    /// A listen address cannot be bound.
    #[error(
        "cannot listen on {addr}: {source}; choose another port (0 picks a free one) or stop what uses it"
    )]
    Bind {
        /// The address.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// A setting is out of range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The TLS certificate cannot be made from the identity.
    #[error("the certificate: {0}")]
    Certificate(String),
}

/// Describes a node; [`spawn`](Self::spawn) starts it.
pub struct Builder {
    pub(crate) network: Option<NetworkId>,
    pub(crate) identity: Option<Identity>,
    pub(crate) storage: Option<Storage>,
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) config: overlay::Config,
    pub(crate) validators: HashMap<Topic, Validator>,
    pub(crate) limits: Limits,
    pub(crate) subscriber_buffer: (usize, usize),
    pub(crate) sockets: Option<Sockets>,
    pub(crate) seed_rng: Option<[u8; 32]>,
    pub(crate) unix_clock: Option<UnixClock>,
    pub(crate) runtime: Option<tokio::runtime::Handle>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("network", &self.network)
            .field("identity", &self.identity)
            .field("storage", &self.storage)
            .field("listen", &self.listen)
            .field("config", &self.config)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            network: None,
            identity: None,
            storage: None,
            listen: Vec::new(),
            config: overlay::Config::default(),
            validators: HashMap::new(),
            limits: Limits::default(),
            subscriber_buffer: (RING_ENTRIES, RING_BYTES),
            sockets: None,
            seed_rng: None,
            unix_clock: None,
            runtime: None,
        }
    }

    /// The network, by name. Required (or [`network_id`](Self::network_id)).
    #[must_use]
    pub fn network(self, name: &str) -> Self {
        self.network_id(NetworkId::from_name(name))
    }

    /// The network, by id.
    #[must_use]
    pub fn network_id(mut self, network: NetworkId) -> Self {
        self.network = Some(network);
        self
    }

    /// The node's key, held here or elsewhere ([`Identity::external`]). Without one the data directory's `node.key` is used
    /// (made when missing), or a fresh key with a store in memory.
    #[must_use]
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Keeps the log and everything else that must survive in this directory (made when missing), which no other node may
    /// use at the same time.
    #[must_use]
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.storage = Some(Storage::DataDir(path.into()));
        self
    }

    /// Keeps everything in memory: a restart forgets it. A node that keeps its identity over such restarts relies on its clock for
    /// sequence numbers that it never used before.
    #[must_use]
    pub fn in_memory(mut self) -> Self {
        self.storage = Some(Storage::Memory);
        self
    }

    /// Listens on this address; may be called several times, port 0 picks a free one. Dials leave from the same sockets.
    /// Without any the node listens on a free port of all IPv4 addresses (of 127.0.0.1 with the `Local` preset).
    #[must_use]
    pub fn listen(mut self, addr: SocketAddr) -> Self {
        self.listen.push(addr);
        self
    }

    /// An address at which others can dial this node; at most one for each family. Without any it is the listen address or
    /// the one that the machine sends from, if others can dial that as it is; else the node learns it from what its peers observe.
    #[must_use]
    pub fn external(mut self, addr: SocketAddr) -> Self {
        self.config.external.push(addr);
        self
    }

    /// A peer to ask for others at the start, and whenever the node finds itself alone.
    #[must_use]
    pub fn seed(mut self, peer: impl Into<Seed>) -> Self {
        self.config.seeds.push(peer.into());
        self
    }

    /// A peer to keep as a neighbor, redialled for ever.
    #[must_use]
    pub fn persistent(mut self, peer: impl Into<Seed>) -> Self {
        self.config.persistent.push(peer.into());
        self
    }

    /// What kind of network the addresses belong to; the default is the open internet.
    #[must_use]
    pub fn preset(mut self, preset: AddressPreset) -> Self {
        self.config.addresses = preset;
        self
    }

    /// Who may publish in this network; all its nodes must agree. The default is everybody.
    #[must_use]
    pub fn author_policy(mut self, policy: AuthorPolicy) -> Self {
        self.config.conduct.authors = policy;
        self
    }

    /// Checks every message of a topic, own ones included, before it is delivered or passed on; nobody hears of it sooner. The
    /// check may take its time: up to 32 run at once for a topic, and 256 wait or run (both guesses). It must not block its
    /// thread; long computations belong in `tokio::task::spawn_blocking`.
    ///
    /// `Ignore` costs nobody anything. `Reject` must mean: invalid for every honest node whatever its state; it costs the link
    /// that the message came by. An answer later than two seconds (`verdict_deadline` of [`overlay::messages::Config`]), a panic, and
    /// no place in the queue count as no answer: the message is let go, and asked about again when it comes again, at the latest
    /// with repair; an own one is refused.
    ///
    /// ```
    /// # use vouchsafe::{Node, Topic, Verdict};
    /// # let topic: Topic = "prices".parse()?;
    /// let builder = Node::builder().validator(topic, |_header, entries| async move {
    ///     if entries.iter().all(|entry| entry.len() == 8) {
    ///         Verdict::Accept
    ///     } else {
    ///         Verdict::Reject
    ///     }
    /// });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn validator<F>(
        mut self,
        topic: Topic,
        check: impl Fn(MessageHeader, Vec<Bytes>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Verdict> + Send + 'static,
    {
        let check = move |header, entries| -> Answer { Box::pin(check(header, entries)) };
        self.validators.insert(topic, Arc::new(check));
        self
    }

    /// Changes the protocol's settings; see [`overlay::Config`].
    #[must_use]
    pub fn core(mut self, change: impl FnOnce(&mut overlay::Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Ceilings.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How many entries, and bytes of them, may wait for one subscriber before it lags (default 8,192 and 8 MiB).
    #[must_use]
    pub fn subscriber_buffer(mut self, entries: usize, bytes: usize) -> Self {
        self.subscriber_buffer = (entries.max(1), bytes);
        self
    }

    /// Makes the UDP sockets some other way, such as in memory.
    #[must_use]
    pub fn sockets(
        mut self,
        make: impl Fn(SocketAddr) -> io::Result<Arc<dyn quinn::AsyncUdpSocket>> + Send + Sync + 'static,
    ) -> Self {
        self.sockets = Some(Arc::new(make));
        self
    }

    /// Seeds the node's random generators, so that a run in virtual time repeats exactly. Never in a real network: who
    /// knows the seed can predict whom the node samples.
    #[must_use]
    pub fn seed_rng(mut self, seed: [u8; 32]) -> Self {
        self.seed_rng = Some(seed);
        self
    }

    /// Another wall clock than the system's: milliseconds since the Unix epoch.
    #[must_use]
    pub fn unix_clock(mut self, clock: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        self.unix_clock = Some(Arc::new(clock));
        self
    }

    /// Runs the node's tasks on this runtime instead of the current one.
    #[must_use]
    pub fn runtime(mut self, runtime: tokio::runtime::Handle) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Starts the node: it listens and begins to join. Returns as soon as it does, before it has any neighbor.
    ///
    /// # Errors
    /// See [`SpawnError`].
    pub async fn spawn(self) -> Result<Node, SpawnError> {
        let Some(runtime) = self
            .runtime
            .clone()
            .or_else(|| tokio::runtime::Handle::try_current().ok())
        else {
            return Err(SpawnError::NoRuntime);
        };
        let started = runtime.spawn(start::start(self));
        started.await.unwrap_or_else(|error| {
            if error.is_panic() {
                std::panic::resume_unwind(error.into_panic());
            }
            Err(SpawnError::NoRuntime)
        })
    }
}
