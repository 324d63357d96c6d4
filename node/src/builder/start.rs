//! From the description to the running node.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crypto::{Identity, NetworkId};
use overlay::config::AddressPreset;
use overlay::messages::{ENTRY_PREFIX, MAX_ENTRIES};
use overlay::peers::is_taken;
use overlay::{Now, Overlay, Restored};
use rand::Rng as _;
use tokio::sync::{broadcast, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Builder, Limits, SpawnError, Storage, UnixClock};
use crate::data_dir::{DataDir, DataDirLock};
use crate::driver::{Driver, Ports, Publisher, Validators};
use crate::handle::{Handle, Shared};
use crate::node::Node;
use crate::snapshot::Counters;
use crate::store::task::{Mode, Options};
use crate::store::{DEFAULT_CACHE, Store, StoreTask};
use crate::subscription::Subscribers;
use crate::transport::inbox::{Event, Inbox};
use crate::transport::{Bandwidth, Setup, Transport, TransportError, link};

/// Payloads that may wait to be signed; beyond it `publish` waits.
const PUBLISH_QUEUE: usize = 1024;
/// Questions that may wait for the driver.
const REQUEST_QUEUE: usize = 64;
/// Events that may wait for one listener before it misses some.
const EVENT_QUEUE: usize = 1024;
/// Bytes per second taken from one peer: far above what a link of a home or a small server carries, so it only stops floods
/// on fast local networks. A guess.
const LINK_DOWNLOAD: u64 = 64 * 1024 * 1024;
/// Least memory that can be asked for.
const MIN_MEMORY: u64 = 64 * 1024 * 1024;

/// Starts the node on the current runtime.
pub(super) async fn start(builder: Builder) -> Result<Node, SpawnError> {
    let network = builder.network.ok_or(SpawnError::NoNetwork)?;
    let storage = builder.storage.clone().ok_or(SpawnError::NoStore)?;
    let mut config = builder.config.clone();
    let cache = apply_limits(&builder.limits, &mut config);
    config
        .messages
        .validated_topics
        .extend(builder.validators.keys().cloned());
    config.check()?;
    let listen = match &builder.listen[..] {
        [] if config.addresses == AddressPreset::Local => {
            vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))]
        }
        [] => vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))],
        some => some.to_vec(),
    };
    let opened = open(storage.clone(), builder.identity.clone(), network, cache).await?;
    let seed = builder.seed_rng.unwrap_or_else(|| {
        let mut seed = [0; 32];
        rand::rng().fill_bytes(&mut seed);
        seed
    });
    let unix_clock = builder.unix_clock.clone().unwrap_or_else(system_clock);
    let last_cursor = last_cursor(&opened.restored);
    let preset = config.addresses;
    let max_links = config.neighbors.max_links;
    let verdict_deadline = config.messages.verdict_deadline;

    let counters = Arc::new(Counters::default());
    let inbox = Arc::new(Inbox::new(counters.clone()));
    let (stop, halt) = (CancellationToken::new(), CancellationToken::new());
    let ceiling = |rate: Option<u64>| rate.map(|rate| Arc::new(Bandwidth::new(rate)));
    let transport = Transport::start(
        Setup {
            identity: &opened.identity,
            network: &network,
            preset,
            listen: &listen,
            max_links,
            sockets: builder.sockets.clone(),
            rng_seed: builder.seed_rng,
        },
        link::Shared {
            inbox: inbox.clone(),
            counters: counters.clone(),
            upload: ceiling(builder.limits.max_upload),
            download: ceiling(builder.limits.max_download),
            link_download: LINK_DOWNLOAD,
            tasks: TaskTracker::new(),
        },
        halt.clone(),
    )?;
    advertise(&mut config, transport.local_addrs());
    let max_payload = config.messages.max_payload();
    let now = Now {
        mono: Instant::now().into_std(),
        unix_ms: unix_clock(),
    };
    let overlay = Overlay::new(
        opened.identity.clone(),
        network,
        config,
        seed,
        now,
        opened.restored,
    );
    let overlay = match overlay {
        Ok(overlay) => overlay,
        Err(error) => {
            halt.cancel(); // nobody is accepted any more
            return Err(error.into());
        }
    };
    let options = match &storage {
        Storage::Memory => Options {
            pace: Duration::ZERO, // no disk to spare
            ..Options::new(Mode::Inline)
        },
        Storage::DataDir(_) => Options::new(Mode::Threads),
    };
    let store_task = StoreTask::start(opened.store, options, {
        let inbox = inbox.clone();
        move |event| inbox.event(Event::Store(Box::new(event)))
    })?;
    let store = store_task.handle();
    let subscribers = Arc::new(Subscribers::new(
        last_cursor,
        store.clone(),
        builder.subscriber_buffer,
        counters,
    ));
    let (publishes, publish_queue) = mpsc::channel(PUBLISH_QUEUE);
    let (requests, request_queue) = mpsc::channel(REQUEST_QUEUE);
    let events = broadcast::Sender::new(EVENT_QUEUE);
    let handle = Handle(Arc::new(Shared {
        id: opened.identity.id(),
        network,
        local_addrs: transport.local_addrs().to_vec(),
        max_payload,
        publishes,
        requests,
        events: events.downgrade(),
        subscribers: subscribers.clone(),
        stop: stop.clone(),
        stopped: CancellationToken::new(),
        failure: Arc::new(OnceLock::new()),
    }));
    let validated = builder.validators.keys().cloned().collect();
    let validators = Validators::start(builder.validators, verdict_deadline, &transport.shared);
    let driver = Driver {
        overlay,
        network,
        ports: Ports::new(
            transport,
            store,
            subscribers,
            events,
            Publisher::new(publish_queue, validated),
            validators,
        ),
        requests: request_queue,
        store_task,
        unix_clock,
        started: Instant::now(),
        stop,
        halt,
        stopped: handle.0.stopped.clone(),
        failure: handle.0.failure.clone(),
        lock: opened.lock,
        work: Vec::new(),
    };
    tokio::spawn(driver.run());
    Ok(Node { handle })
}

struct Opened {
    identity: Identity,
    store: Store,
    restored: Restored,
    lock: Option<DataDirLock>,
}

async fn open(
    storage: Storage,
    identity: Option<Identity>,
    network: NetworkId,
    cache: usize,
) -> Result<Opened, SpawnError> {
    match storage {
        Storage::Memory => Ok(Opened {
            identity: identity.unwrap_or_else(Identity::generate),
            store: Store::in_memory(),
            restored: Restored::default(),
            lock: None,
        }),
        Storage::DataDir(dir) => {
            let opening =
                tokio::task::spawn_blocking(move || open_dir(&dir, identity, &network, cache));
            opening.await.unwrap_or(Err(SpawnError::NoRuntime))
        }
    }
}

fn open_dir(
    dir: &Path,
    identity: Option<Identity>,
    network: &NetworkId,
    cache: usize,
) -> Result<Opened, SpawnError> {
    let dir = DataDir::create(dir)?;
    let lock = dir.lock()?;
    let identity = match identity {
        Some(identity) => identity,
        None => dir.identity_or_new()?,
    };
    let (store, restored) = Store::open(&dir.store_path(), network, cache)?;
    Ok(Opened {
        identity,
        store,
        restored,
        lock: Some(lock),
    })
}

/// A listen address that others can dial as it is needs no configuring; for the families that have none the node finds its
/// address out while it runs.
fn advertise(config: &mut overlay::Config, local_addrs: &[SocketAddr]) {
    for addr in local_addrs {
        let of_family = |other: &SocketAddr| other.is_ipv4() == addr.is_ipv4();
        if is_taken(*addr, config.addresses) && !config.external.iter().any(of_family) {
            config.external.push(*addr);
        }
    }
}

fn last_cursor(restored: &Restored) -> u64 {
    restored.messages.last().map_or(0, |message| {
        message
            .first_cursor
            .saturating_add(u64::from(message.entries))
            .saturating_sub(1)
    })
}

fn system_clock() -> UnixClock {
    Arc::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        // A clock before 1970 is as wrong as one at 1970.
        let unix_ms = since.map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        });
        unix_ms.saturating_add(crate::faults::clock_offset_ms())
    })
}

/// Fits the configuration to the ceilings; returns the store's cache, bytes.
fn apply_limits(limits: &Limits, config: &mut overlay::Config) -> usize {
    if let Some(max_links) = limits.max_links {
        config.neighbors.max_links = max_links;
    }
    if let Some(max_payload) = limits.max_payload {
        config.messages.max_body = max_payload.saturating_add(MAX_ENTRIES * ENTRY_PREFIX);
    }
    let Some(memory) = limits.max_memory else {
        return DEFAULT_CACHE;
    };
    let memory = memory.max(MIN_MEMORY);
    let part = |share: u64| usize::try_from(memory / share).unwrap_or(usize::MAX);
    // Half for links at their worst, a sixteenth each for what else can grow, an eighth for the seen set.
    let links = usize::try_from(memory / 2 / Limits::MEMORY_PER_LINK).unwrap_or(usize::MAX);
    // A node does not do with fewer than these; they seldom are all at their worst at once.
    let links = links.max(
        config
            .neighbors
            .outbound
            .saturating_add(overlay::config::SPARE_LINKS),
    );
    config.neighbors.max_links = config.neighbors.max_links.min(links);
    let messages = &mut config.messages;
    messages.recent_bytes = messages.recent_bytes.min(part(16));
    messages.recent_body_bytes = messages.recent_body_bytes.min(part(16));
    let bodies = &mut config.bodies;
    bodies.memory = bodies.memory.min(part(16));
    bodies.pinned = bodies.pinned.min(part(16));
    bodies.head_bytes = bodies.head_bytes.min(part(64));
    messages.max_held_bytes = messages.max_held_bytes.min(part(16));
    messages.max_verdict_bytes = messages.max_verdict_bytes.min(part(16));
    messages.max_publish_bytes = messages.max_publish_bytes.min(part(16));
    messages.max_decided = messages.max_decided.min(part(8 * 200));
    DEFAULT_CACHE.min(part(16))
}

impl From<TransportError> for SpawnError {
    fn from(error: TransportError) -> Self {
        match error {
            TransportError::Bind { addr, source } => Self::Bind { addr, source },
            TransportError::Tuning(error) => Self::Certificate(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_memory_that_may_be_asked_for_leaves_a_sound_configuration() {
        for memory in [0, MIN_MEMORY, 96 << 20, 128 << 20, 1 << 30, u64::MAX] {
            let limits = Limits {
                max_memory: Some(memory),
                ..Limits::default()
            };
            let mut config = overlay::Config::default();
            let cache = apply_limits(&limits, &mut config);
            config.check().unwrap();
            assert!(cache <= DEFAULT_CACHE);
            let links = config.neighbors.max_links;
            assert!((18..=512).contains(&links), "{memory}: {links}");
        }
        let mut config = overlay::Config::default();
        apply_limits(
            &Limits {
                max_memory: Some(MIN_MEMORY),
                ..Limits::default()
            },
            &mut config,
        );
        assert_eq!(config.neighbors.max_links, 18, "what it cannot do without");
    }
}
