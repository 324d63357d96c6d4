//! Subscriptions: a topic's entries from the log and then live, without a gap or a duplicate in between, and an exact
//! account of what a slow reader missed.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crypto::{EntryId, PeerId};
use overlay::action::Delivery;
use overlay::messages::{BadTopic, StoredMessage, Topic};
use tokio::sync::{Notify, watch};

use crate::handle::{EvidenceError, Stopped};
use crate::sequence::{From, Order, Sequence};
use crate::snapshot::Counters;
use crate::store::{StoreError, StoreHandle, StoredEvidence};

/// Entries that may wait for one subscriber, by default. A guess: a tenth of a second of a very busy node.
pub(crate) const RING_ENTRIES: usize = 8192;
/// Bytes of entries that may wait for one subscriber, by default. A guess.
pub(crate) const RING_BYTES: usize = 8 * 1024 * 1024;
/// What an entry counts for beside its payload, bytes.
const ENTRY_OVERHEAD: usize = 256;
/// Messages and bytes read from the log at a time.
const PAGE_MESSAGES: usize = 256;
const PAGE_BYTES: usize = 1024 * 1024;

/// What a subscriber is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// The next entry.
    Entry(Delivery),
    /// The reader was too slow: entries were skipped. They are in the log: subscribe [`From::After`]`(resume)` to read them.
    Lagged {
        /// Exactly how many entries of this topic were skipped.
        missed: u64,
        /// Cursor of the last entry before the gap.
        resume: u64,
    },
}

/// Why a subscription was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// The topic is malformed.
    #[error("topic: {0}")]
    Topic(#[from] BadTopic),
    /// The node has been shut down.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Entries that wait for one reader.
#[derive(Debug)]
struct Ring {
    state: Mutex<RingState>,
    wake: Notify,
}

#[derive(Debug)]
struct RingState {
    entries: VecDeque<Delivery>,
    bytes: usize,
    /// Cursor of the last entry taken in, or where the ring was opened.
    last: u64,
    /// Entries skipped since `last`.
    missed: u64,
    closed: bool,
}

impl Ring {
    fn lock(&self) -> MutexGuard<'_, RingState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct Registry {
    rings: HashMap<Topic, Vec<Arc<Ring>>>,
    /// Cursor of the last entry handed out, on any topic.
    last_emitted: u64,
    closed: bool,
}

/// All subscriptions of one node: the driver feeds it, subscriptions read from it and from the log.
pub(crate) struct Subscribers {
    registry: Mutex<Registry>,
    /// Every entry up to this cursor can be read from the log (unless pruned since).
    durable: watch::Sender<u64>,
    /// Let go of when the node stops, so that its files are closed whoever still holds a handle.
    store: Mutex<Option<StoreHandle>>,
    max_entries: usize,
    max_bytes: usize,
    counters: Arc<Counters>,
}

impl fmt::Debug for Subscribers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscribers").finish_non_exhaustive()
    }
}

impl Subscribers {
    pub(crate) fn new(
        last_cursor: u64,
        store: StoreHandle,
        (max_entries, max_bytes): (usize, usize),
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            registry: Mutex::new(Registry {
                last_emitted: last_cursor,
                ..Registry::default()
            }),
            durable: watch::Sender::new(last_cursor),
            store: Mutex::new(Some(store)),
            max_entries,
            max_bytes,
            counters,
        }
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn subscribe(
        self: &Arc<Self>,
        topic: Topic,
        from: From,
        order: Order,
    ) -> Result<Subscription, SubscribeError> {
        let mut registry = self.registry();
        if registry.closed {
            return Err(Stopped.into());
        }
        let stage = match from {
            From::Now => Stage::Live(self.open(&mut registry, &topic)),
            From::Start => Stage::Log { next: 1 },
            From::After(cursor) => Stage::Log {
                next: cursor.saturating_add(1),
            },
        };
        drop(registry);
        Ok(Subscription {
            subscribers: self.clone(),
            topic,
            stage,
            page: VecDeque::new(),
            sequence: (order == Order::Sequence).then(Sequence::default),
            late: 0,
            failure: None,
        })
    }

    fn open(&self, registry: &mut Registry, topic: &Topic) -> Arc<Ring> {
        let ring = Arc::new(Ring {
            state: Mutex::new(RingState {
                entries: VecDeque::new(),
                bytes: 0,
                last: registry.last_emitted,
                missed: 0,
                closed: registry.closed,
            }),
            wake: Notify::new(),
        });
        let rings = registry.rings.entry(topic.clone()).or_default();
        rings.push(ring.clone());
        ring
    }

    fn close_ring(&self, topic: &Topic, ring: &Arc<Ring>) {
        let mut registry = self.registry();
        if let Some(rings) = registry.rings.get_mut(topic) {
            rings.retain(|other| !Arc::ptr_eq(other, ring));
            if rings.is_empty() {
                registry.rings.remove(topic);
            }
        }
    }

    /// Hands an entry to the live subscribers of its topic.
    pub(crate) fn deliver(&self, delivery: Delivery) {
        let mut registry = self.registry();
        registry.last_emitted = registry.last_emitted.max(delivery.cursor);
        let Some(rings) = registry.rings.get(&delivery.topic) else {
            return;
        };
        let size = delivery.payload.len() + ENTRY_OVERHEAD;
        for ring in rings {
            let mut state = ring.lock();
            if delivery.cursor <= state.last {
                continue; // the subscriber asked for what comes after a cursor that has not been reached
            }
            let full = state.entries.len() >= self.max_entries
                || (state.bytes + size > self.max_bytes && !state.entries.is_empty());
            // Once something was skipped, everything is until the reader has caught up: one gap, not many.
            if state.missed > 0 || full {
                state.missed += 1;
                Counters::hit(&self.counters.subscriber_lagged);
            } else {
                state.last = delivery.cursor;
                state.bytes += size;
                state.entries.push_back(delivery.clone());
            }
            drop(state);
            ring.wake.notify_one();
        }
    }

    /// Every entry up to `cursor` is in the log now.
    pub(crate) fn durable(&self, cursor: u64) {
        self.durable.send_if_modified(|durable| {
            let rises = cursor > *durable;
            *durable = cursor.max(*durable);
            rises
        });
    }

    /// Cursor up to which the log is durable.
    pub(crate) fn durable_cursor(&self) -> u64 {
        *self.durable.borrow()
    }

    /// Live subscriptions.
    pub(crate) fn count(&self) -> usize {
        self.registry().rings.values().map(Vec::len).sum()
    }

    /// Ends every subscription once it has read what waits for it.
    pub(crate) fn close(&self) {
        let mut registry = self.registry();
        registry.closed = true;
        for ring in registry.rings.values().flatten() {
            ring.lock().closed = true;
            ring.wake.notify_one();
        }
        drop(registry);
        drop(
            self.store
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        self.durable.send_modify(|durable| *durable = u64::MAX); // nobody waits for the store any more
    }

    fn store(&self) -> Option<StoreHandle> {
        let store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        store.clone()
    }

    /// A page of the log; empty once the node has stopped.
    async fn read_page(&self, next: u64) -> Result<Vec<StoredMessage>, StoreError> {
        match self.store() {
            Some(store) => store.read_log(next, PAGE_MESSAGES, PAGE_BYTES).await,
            None => Ok(Vec::new()),
        }
    }

    /// The proofs of equivocation in the store.
    pub(crate) async fn read_evidence(&self) -> Result<Vec<StoredEvidence>, EvidenceError> {
        let store = self.store().ok_or(Stopped)?;
        Ok(store.read_evidence().await?)
    }

    /// Cursor of the oldest entry in the log; 0 = the log is empty.
    pub(crate) async fn first_cursor(&self) -> u64 {
        let Some(store) = self.store() else { return 0 };
        match store.read_log(0, 1, 0).await {
            Ok(messages) => messages.first().map_or(0, |message| message.first_cursor),
            Err(_) => 0, // the node is stopping, and says so elsewhere
        }
    }
}

#[derive(Debug)]
enum Stage {
    /// Reading the log from cursor `next` on; not fed live yet.
    Log {
        next: u64,
    },
    /// Fed live with what comes after `boundary`, still reading the log from `next` up to it.
    Joining {
        ring: Arc<Ring>,
        boundary: u64,
        next: u64,
    },
    /// Fed live.
    Live(Arc<Ring>),
    Ended,
}

/// The entries of one topic; see [`Order`].
#[derive(Debug)]
pub struct Subscription {
    subscribers: Arc<Subscribers>,
    topic: Topic,
    stage: Stage,
    page: VecDeque<Delivery>,
    /// What each author has come to, if that matters.
    sequence: Option<Sequence>,
    late: u64,
    failure: Option<String>,
}

impl Subscription {
    /// The next item; `None` when the node has been shut down and everything has been read, or the log could not be
    /// read (see [`failure`](Self::failure)).
    ///
    /// Cancel-safe.
    pub async fn next(&mut self) -> Option<Item> {
        loop {
            let item = self.next_of_log().await?;
            if let (Item::Entry(entry), Some(sequence)) = (&item, &mut self.sequence)
                && !sequence.admits(entry)
            {
                self.late += 1;
                Counters::hit(&self.subscribers.counters.subscriber_late);
                continue;
            }
            return Some(item);
        }
    }

    /// The next item in the order of the log.
    async fn next_of_log(&mut self) -> Option<Item> {
        loop {
            if let Some(delivery) = self.page.pop_front() {
                return Some(Item::Entry(delivery));
            }
            match &self.stage {
                Stage::Live(ring) => return next_live(ring).await,
                Stage::Ended => return None,
                &Stage::Log { next } => self.read_on(next, u64::MAX).await,
                Stage::Joining { boundary, next, .. } => {
                    let (boundary, next) = (*boundary, *next);
                    let mut durable = self.subscribers.durable.subscribe();
                    // An error means that the sender is gone, which is when the node is: read what there is.
                    let _ = durable.wait_for(|durable| *durable >= boundary).await;
                    self.read_on(next, boundary).await;
                }
            }
        }
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    /// How many entries were left out because a later one of their author had been given: see [`Order::Sequence`].
    #[must_use]
    pub fn late(&self) -> u64 {
        self.late
    }

    /// Why the stream ended early, if it did.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Reads one page of the log from cursor `next` on, up to `boundary`, and moves to the next stage at its end.
    async fn read_on(&mut self, next: u64, boundary: u64) {
        let messages = match self.subscribers.read_page(next).await {
            Ok(messages) => messages,
            Err(problem) => {
                self.failure = Some(problem.to_string());
                self.end();
                return;
            }
        };
        // No await from here on, so that a dropped future never loses a page.
        let mut reached = next;
        for message in &messages {
            let entries = message.entries.len() as u64;
            reached = reached.max(message.first_cursor.saturating_add(entries));
            if message.signed.value.topic == self.topic {
                self.page.extend(
                    deliveries(message)
                        .into_iter()
                        .flatten()
                        .filter(|entry| entry.cursor >= next && entry.cursor <= boundary),
                );
            }
        }
        let finished = messages.is_empty() || reached > boundary;
        self.stage = match std::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Log { .. } if finished => self.join(next),
            Stage::Log { .. } => Stage::Log { next: reached },
            Stage::Joining { ring, boundary, .. } if finished => {
                let overflowed = ring.lock().missed > 0;
                if overflowed {
                    // It fell behind while it was still reading the log, so it simply reads on.
                    self.subscribers.close_ring(&self.topic, &ring);
                    Stage::Log { next: boundary + 1 }
                } else {
                    Stage::Live(ring)
                }
            }
            Stage::Joining { ring, boundary, .. } => Stage::Joining {
                ring,
                boundary,
                next: reached,
            },
            other => other,
        };
    }

    /// From the log's durable end to the live feed: whatever was handed out before the ring opened is still read from the log.
    fn join(&self, next: u64) -> Stage {
        let mut registry = self.subscribers.registry();
        let boundary = registry.last_emitted;
        let ring = self.subscribers.open(&mut registry, &self.topic);
        if registry.closed || boundary < next {
            // A cursor from the future (another node's, say) is taken at its word: nothing below it.
            ring.lock().last = boundary.max(next.saturating_sub(1));
            Stage::Live(ring)
        } else {
            Stage::Joining {
                ring,
                boundary,
                next,
            }
        }
    }

    fn end(&mut self) {
        match std::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Live(ring) | Stage::Joining { ring, .. } => {
                self.subscribers.close_ring(&self.topic, &ring);
            }
            Stage::Log { .. } | Stage::Ended => {}
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.end();
    }
}

async fn next_live(ring: &Ring) -> Option<Item> {
    loop {
        {
            let mut state = ring.lock();
            if let Some(delivery) = state.entries.pop_front() {
                state.bytes = state
                    .bytes
                    .saturating_sub(delivery.payload.len() + ENTRY_OVERHEAD);
                return Some(Item::Entry(delivery));
            }
            if state.missed > 0 {
                return Some(Item::Lagged {
                    missed: std::mem::take(&mut state.missed),
                    resume: state.last,
                });
            }
            if state.closed {
                return None;
            }
        }
        ring.wake.notified().await;
    }
}

/// The entries of a stored message; `None` if its author's key cannot be read, which only a damaged store can cause.
fn deliveries(message: &StoredMessage) -> Option<impl Iterator<Item = Delivery> + '_> {
    let header = &message.signed.value;
    let author = PeerId::from_bytes(&header.author).ok()?;
    Some(message.entries.iter().enumerate().map(move |(i, payload)| {
        let index = u32::try_from(i).unwrap_or(u32::MAX);
        Delivery {
            cursor: message.first_cursor.saturating_add(u64::from(index)),
            id: EntryId::of(&message.id, index),
            message: message.id,
            index,
            author,
            seq: header.seq,
            published_unix_ms: header.published_unix_ms,
            topic: header.topic.clone(),
            payload: payload.clone(),
            gap: message.gap,
            equivocation: message.equivocation,
        }
    }))
}
