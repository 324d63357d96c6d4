//! Whole nodes on one in-memory network, in virtual time, with a ledger of what was published and
//! what arrived where.
//!
//! Node `n` has address [`Hub::addr`]`(n)`, a key and a random seed that follow from the run's
//! seed and `n`, and one subscriber that notes all it is given.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use overlay::action::Target;
use overlay::config::Seed;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use vouchsafe::{
    AddressPreset, Builder, Delivery, EntryId, From, Handle, Identity, Item, Node, PeerId, Status,
};

use crate::hub::{Conditions, Hub};
use crate::virtual_time::unix_clock;

/// The topic of everything.
pub const TOPIC: &str = "news";

/// Runs the nodes and keeps the books.
#[derive(Debug)]
pub struct Village {
    /// The network under them.
    pub hub: Hub,
    seed: u64,
    outbound: usize,
    unix_clock: Arc<dyn UnixClock>,
    houses: BTreeMap<u16, House>,
    ledger: Arc<Mutex<Ledger>>,
}

/// A clock that can be shown in debug output (as nothing).
trait UnixClock: Fn() -> u64 + Send + Sync {}
impl<F: Fn() -> u64 + Send + Sync> UnixClock for F {}

impl std::fmt::Debug for dyn UnixClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("clock")
    }
}

#[derive(Debug)]
struct House {
    node: Option<Node>,
    reader: JoinHandle<()>,
    arrivals: Arc<Mutex<Vec<Arrival>>>,
    lives: u8,
}

/// What a subscriber was given, and when.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Virtual time.
    pub at: Instant,
    /// The entry.
    pub entry: Delivery,
}

#[derive(Debug, Default)]
struct Ledger {
    /// Every entry whose publish was acknowledged, with its text and when it was handed in.
    published: BTreeMap<EntryId, Published>,
    /// Next number of each author.
    next: BTreeMap<PeerId, u64>,
}

#[derive(Clone, Debug)]
struct Published {
    author: PeerId,
    number: u64,
    at: Instant,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A test that panicked with the lock held has failed already.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Village {
    /// An empty village whose nodes keep `outbound` neighbors each; everything random in it follows
    /// from `seed`.
    #[must_use]
    pub fn new(seed: u64, conditions: Conditions, outbound: usize) -> Self {
        Self {
            hub: Hub::new(seed, conditions),
            seed,
            outbound,
            unix_clock: Arc::new(unix_clock()),
            houses: BTreeMap::new(),
            ledger: Arc::default(),
        }
    }

    /// A village where nodes 1 to `count` start together; all but the first know only the first.
    pub async fn founded(seed: u64, conditions: Conditions, outbound: usize, count: u16) -> Self {
        let mut village = Self::new(seed, conditions, outbound);
        for n in 1..=count {
            village.start(n, |builder| builder).await;
        }
        village
    }

    /// The key of node `n`.
    #[must_use]
    pub fn identity(&self, n: u16) -> Identity {
        Identity::from_seed(&self.bytes(n, 0, b"key"))
    }

    /// Node `n` as a seed.
    #[must_use]
    pub fn seed_of(&self, n: u16) -> Seed {
        Seed {
            peer: self.identity(n).id(),
            target: Target::Addr(Hub::addr(n)),
        }
    }

    fn bytes(&self, n: u16, life: u8, what: &[u8]) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&self.seed.to_be_bytes());
        bytes[8..10].copy_from_slice(&n.to_be_bytes());
        bytes[10] = life;
        bytes[16..16 + what.len()].copy_from_slice(what);
        bytes
    }

    /// Starts node `n` (again). Its only seed is node 1, unless `change` says otherwise.
    ///
    /// # Panics
    /// When the node does not start.
    pub async fn start(&mut self, n: u16, change: impl FnOnce(Builder) -> Builder) {
        let lives = self.houses.get(&n).map_or(0, |house| house.lives);
        let hub = self.hub.clone();
        let clock = self.unix_clock.clone();
        let outbound = self.outbound;
        let mut builder = Node::builder()
            .network("virtual village")
            .identity(self.identity(n))
            .in_memory()
            .preset(AddressPreset::Local)
            .core(move |core| core.neighbors.outbound = outbound)
            .listen(Hub::addr(n))
            .external(Hub::addr(n))
            .sockets(move |addr| hub.bind(addr))
            .seed_rng(self.bytes(n, lives, b"rng"))
            .unix_clock(move || clock());
        if n != 1 {
            builder = builder.seed(self.seed_of(1));
        }
        let node = change(builder).spawn().await.expect("the node starts");
        let arrivals: Arc<Mutex<Vec<Arrival>>> = Arc::default();
        let mut news = node
            .handle()
            .subscribe(TOPIC, From::Start)
            .await
            .expect("a running node");
        let notes = arrivals.clone();
        let reader = tokio::spawn(async move {
            while let Some(item) = news.next().await {
                match item {
                    Item::Entry(entry) => lock(&notes).push(Arrival {
                        at: Instant::now(),
                        entry,
                    }),
                    Item::Lagged { missed, .. } => panic!("the reader lags by {missed}"),
                }
            }
        });
        let house = House {
            node: Some(node),
            reader,
            arrivals,
            lives: lives + 1,
        };
        self.houses.insert(n, house);
    }

    /// Kills node `n`: its socket is gone at once, and so is what it held in memory.
    pub fn kill(&mut self, n: u16) {
        self.hub.unplug(Hub::addr(n));
        if let Some(house) = self.houses.get_mut(&n) {
            house.reader.abort();
            house.node = None;
        }
    }

    /// Node `n` leaves gracefully.
    pub async fn stop(&mut self, n: u16) {
        let node = self.houses.get_mut(&n).and_then(|house| house.node.take());
        if let Some(node) = node {
            node.shutdown().await;
        }
    }

    /// The numbers of the nodes that run.
    #[must_use]
    pub fn running(&self) -> Vec<u16> {
        let running = self.houses.iter().filter(|(_, house)| house.node.is_some());
        running.map(|(&n, _)| n).collect()
    }

    /// The addresses of some nodes.
    #[must_use]
    pub fn addrs(numbers: impl IntoIterator<Item = u16>) -> Vec<SocketAddr> {
        numbers.into_iter().map(Hub::addr).collect()
    }

    /// The handle of node `n`.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn handle(&self, n: u16) -> Handle {
        let node = self.houses.get(&n).and_then(|house| house.node.as_ref());
        node.expect("the node runs").handle()
    }

    /// Node `n` at this moment.
    ///
    /// # Panics
    /// When it does not run.
    pub async fn status(&self, n: u16) -> Status {
        self.handle(n).status().await.expect("the node runs")
    }

    /// One value of a counter of node `n`.
    ///
    /// # Panics
    /// When it does not run, or there is no such counter.
    pub async fn counter(&self, n: u16, room: &str, name: &str) -> u64 {
        let stats = self.handle(n).stats().await.expect("the node runs");
        let mut found = None;
        stats.each(|a, b, value| {
            if (a, b) == (room, name) {
                found = Some(value);
            }
        });
        found.expect("a counter of that name")
    }

    /// Every counter of every node that is not 0, one line a node: for a failure's message.
    pub async fn counters(&self) -> String {
        let mut text = String::new();
        for n in self.running() {
            let Ok(stats) = self.handle(n).stats().await else {
                continue;
            };
            let _ = write!(text, "node {n}:");
            stats.each(|room, name, value| {
                if value != 0 {
                    let _ = write!(text, " {room}.{name}={value}");
                }
            });
            text.push('\n');
        }
        text
    }

    /// Waits until every node has at least `links` neighbors (or as many as there are others).
    ///
    /// # Panics
    /// When that takes longer than `limit`, in virtual time.
    pub async fn settled(&self, links: usize, limit: Duration) -> Duration {
        let start = Instant::now();
        loop {
            let mut missing = Vec::new();
            let numbers = self.running();
            let wanted = links.min(numbers.len() - 1);
            for &n in &numbers {
                let status = self.status(n).await;
                if status.neighbors_inbound + status.neighbors_outbound < wanted {
                    missing.push(n);
                }
            }
            if missing.is_empty() {
                return start.elapsed();
            }
            if start.elapsed() > limit {
                let counters = self.counters().await;
                panic!(
                    "after {limit:?} nodes {missing:?} have fewer than {wanted} neighbors\n{counters}"
                );
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Publishes `count` texts of `size` bytes at node `n`, `every` so often; the task ends with
    /// the last acknowledgement. One publisher a node at a time, or the numbers get mixed up.
    pub fn publisher(&self, n: u16, count: u32, every: Duration, size: usize) -> JoinHandle<()> {
        let (node, ledger) = (self.handle(n), self.ledger.clone());
        tokio::spawn(async move {
            for i in 0..count {
                if i > 0 {
                    sleep(every).await;
                }
                publish(&node, &ledger, size).await;
            }
        })
    }

    /// Publishes one short text at node `n`.
    pub async fn publish(&self, n: u16) {
        publish(&self.handle(n), &self.ledger, 32).await;
    }

    /// How many entries have been published.
    #[must_use]
    pub fn published(&self) -> usize {
        lock(&self.ledger).published.len()
    }

    /// What the subscriber of node `n` was given so far.
    #[must_use]
    pub fn arrivals(&self, n: u16) -> Vec<Arrival> {
        self.houses
            .get(&n)
            .map(|house| lock(&house.arrivals).clone())
            .unwrap_or_default()
    }

    /// From publish to arrival at node `n`, for every entry that it has and that was published
    /// since `from`; ascending.
    #[must_use]
    pub fn latencies(&self, n: u16, from: Instant) -> Vec<Duration> {
        let ledger = lock(&self.ledger);
        let mut latencies: Vec<Duration> = self
            .arrivals(n)
            .iter()
            .filter_map(|arrival| Some((arrival.at, ledger.published.get(&arrival.entry.id)?)))
            .filter(|(_, published)| published.at >= from)
            .map(|(at, published)| at.duration_since(published.at))
            .collect();
        latencies.sort();
        latencies
    }

    /// Waits until everything published so far has arrived at every running node, exactly once,
    /// and checks [`check_order`](Self::check_order). No publisher may be at work any more.
    ///
    /// # Panics
    /// When something is still missing after `limit` of virtual time, or out of order.
    pub async fn delivered(&self, limit: Duration) -> Duration {
        let start = Instant::now();
        loop {
            let published = self.published();
            let lagging = self
                .running()
                .into_iter()
                .any(|n| lock(&self.houses[&n].arrivals).len() < published);
            if !lagging {
                break;
            }
            if start.elapsed() > limit {
                let missing = self.missing();
                let counters = self.counters().await;
                panic!("after {limit:?} not everything has arrived:\n{missing}\n{counters}");
            }
            sleep(Duration::from_millis(100)).await;
        }
        let took = start.elapsed();
        self.check_order();
        let published = self.published();
        for n in self.running() {
            assert_eq!(self.arrivals(n).len(), published, "at node {n}");
        }
        took
    }

    /// What has not arrived, one line a node.
    fn missing(&self) -> String {
        let ledger = lock(&self.ledger);
        let mut text = String::new();
        for n in self.running() {
            let have: BTreeSet<EntryId> = self.arrivals(n).iter().map(|a| a.entry.id).collect();
            let missing: Vec<String> = ledger
                .published
                .iter()
                .filter(|(id, _)| !have.contains(id))
                .map(|(_, p)| format!("{}#{}", p.author.short(), p.number))
                .collect();
            if !missing.is_empty() {
                let _ = writeln!(
                    text,
                    "node {n} misses {} of {}: {:?}",
                    missing.len(),
                    ledger.published.len(),
                    &missing[..missing.len().min(10)]
                );
            }
        }
        text
    }

    /// Checks that every running node was given each published entry exactly once, with the right
    /// author and text, each author's in order and without a gap, and nothing else.
    ///
    /// # Panics
    /// When not.
    pub fn check_order(&self) {
        let ledger = lock(&self.ledger);
        for n in self.running() {
            // The number each author comes to next.
            let mut next: BTreeMap<PeerId, u64> = BTreeMap::new();
            let mut cursor = 0;
            for Arrival { entry, .. } in self.arrivals(n) {
                let published = ledger.published.get(&entry.id);
                let published =
                    published.unwrap_or_else(|| panic!("node {n}: {entry:?} is nobody's"));
                assert_eq!(entry.author, published.author, "node {n}: {entry:?}");
                let text = text(&published.author, published.number);
                assert!(
                    entry.payload.starts_with(text.as_bytes()),
                    "node {n}: {entry:?} is not {text}"
                );
                assert!(
                    entry.cursor > cursor,
                    "node {n}: a cursor went back: {entry:?}"
                );
                assert!(!entry.equivocation, "node {n}: {entry:?}");
                assert!(!entry.gap, "node {n}: {entry:?}");
                cursor = entry.cursor;
                let next = next.entry(entry.author).or_default();
                assert_eq!(
                    published.number, *next,
                    "node {n}: out of order or twice: {entry:?}"
                );
                *next += 1;
            }
        }
    }
}

impl Drop for Village {
    fn drop(&mut self) {
        for house in self.houses.values() {
            house.reader.abort();
        }
    }
}

fn text(author: &PeerId, number: u64) -> String {
    format!("{number} by {author};")
}

async fn publish(node: &Handle, ledger: &Mutex<Ledger>, size: usize) {
    let author = node.id();
    let number = {
        let mut ledger = lock(ledger);
        let next = ledger.next.entry(author).or_default();
        *next += 1;
        *next - 1
    };
    let mut payload = text(&author, number).into_bytes();
    payload.resize(payload.len().max(size), b'.');
    let at = Instant::now();
    let published = timeout(Duration::from_secs(60), node.publish(TOPIC, payload)).await;
    let published = published
        .expect("a publish is acknowledged within a minute")
        .expect("a valid publish");
    let entry = Published { author, number, at };
    let old = lock(ledger).published.insert(published.id, entry);
    assert!(old.is_none(), "an entry id was given out twice");
}
