//! Receiving: a subscriber at every node that checks off what it is given.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use vouchsafe::{Delivery, From, Handle, Item, PeerId, Subscription, Topic};

use super::Options;
use super::histogram::Histogram;
use super::nodes::Network;
use super::publish;

/// What an entry was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    /// Another node's message, for the first time.
    Foreign,
    /// The node's own message, for the first time.
    Own,
    /// Anything else.
    Bad,
}

/// One node's tally.
#[derive(Debug)]
struct Tally {
    me: PeerId,
    /// Who publishes: the message with index `i` must come from the one at `i % len`.
    publishers: Arc<[PeerId]>,
    /// One bit an index.
    seen: Vec<u64>,
    delivered: u64,
    own: u64,
    duplicates: u64,
    wrong: u64,
    lagged: u64,
    latency: Histogram,
    last: Duration,
}

impl Tally {
    fn new(me: PeerId, publishers: Arc<[PeerId]>) -> Self {
        Self {
            me,
            publishers,
            seen: Vec::new(),
            delivered: 0,
            own: 0,
            duplicates: 0,
            wrong: 0,
            lagged: 0,
            latency: Histogram::default(),
            last: Duration::ZERO,
        }
    }

    /// Checks an entry off.
    fn take(&mut self, entry: &Delivery, now: Duration, limit: u64) -> Taken {
        let Some((index, date)) = publish::read(&entry.payload).filter(|(index, _)| *index < limit)
        else {
            self.wrong += 1;
            return Taken::Bad;
        };
        let len = self.publishers.len() as u64;
        let author = usize::try_from(index % len)
            .ok()
            .and_then(|place| self.publishers.get(place));
        let Some(word) = usize::try_from(index / 64)
            .ok()
            .filter(|_| author == Some(&entry.author))
        else {
            self.wrong += 1;
            return Taken::Bad;
        };
        if word >= self.seen.len() {
            self.seen.resize(word + 1, 0);
        }
        let bit = 1 << (index % 64);
        if self.seen[word] & bit != 0 {
            self.duplicates += 1;
            return Taken::Bad;
        }
        self.seen[word] |= bit;
        self.last = now;
        if entry.author == self.me {
            self.own += 1;
            return Taken::Own;
        }
        self.delivered += 1;
        self.latency.add(now.saturating_sub(date));
        Taken::Foreign
    }
}

/// All subscribers.
#[derive(Debug)]
pub(super) struct Receivers {
    tasks: Vec<JoinHandle<Result<Tally>>>,
    progress: Arc<Progress>,
    stop: CancellationToken,
    nodes: u64,
}

/// What all subscribers together have had so far: only to know when to stop, and to show.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Entries at nodes other than their publisher.
    pub(super) delivered: AtomicU64,
    /// Entries at their publisher.
    own: AtomicU64,
}

/// All tallies together.
#[derive(Debug, Default)]
pub(super) struct Received {
    pub(super) delivered: u64,
    pub(super) duplicates: u64,
    pub(super) wrong: u64,
    pub(super) own_missing: u64,
    pub(super) lagged: u64,
    pub(super) latency: Histogram,
    pub(super) last: Duration,
}

/// Most indices a run without a number of messages may use.
const MAX_INDEX: u64 = 100_000_000;
/// After the last delivery, how long to listen on for what must not come: duplicates.
const LISTEN_ON: Duration = Duration::from_millis(200);

impl Receivers {
    /// Subscribes at every node; `clock` is the one that dates the payloads.
    pub(super) async fn start(
        network: &Network,
        topic: &Topic,
        options: &Options,
        clock: Instant,
    ) -> Result<Self> {
        let handles: Vec<Handle> = network.handles().collect();
        let publishers: Arc<[PeerId]> = publish::publishers(options)
            .iter()
            .map(|node| handles[*node].id())
            .collect();
        let (progress, stop) = (Arc::new(Progress::default()), CancellationToken::new());
        let limit = options.messages.min(MAX_INDEX);
        let (mut tasks, nodes) = (Vec::new(), handles.len() as u64);
        for handle in handles {
            let subscription = handle.subscribe(topic, From::Now).await?;
            let tally = Tally::new(handle.id(), publishers.clone());
            let receiver = Receiver {
                handle,
                subscription,
                tally,
                clock,
                limit,
                progress: progress.clone(),
            };
            tasks.push(tokio::spawn(receiver.run(stop.clone())));
        }
        Ok(Self {
            tasks,
            progress,
            stop,
            nodes,
        })
    }

    pub(super) fn progress(&self) -> Arc<Progress> {
        self.progress.clone()
    }

    /// Waits until every node has had every one of `total` messages, or nothing has come for `patience`.
    pub(super) async fn all_delivered(&self, total: u64, patience: Duration) {
        let want = (total * (self.nodes - 1), total);
        let (mut last, mut since) = ((0, 0), Instant::now());
        loop {
            let had = (
                self.progress.delivered.load(Ordering::Relaxed),
                self.progress.own.load(Ordering::Relaxed),
            );
            if had >= want && had.1 >= want.1 || since.elapsed() > patience {
                return;
            }
            if had != last {
                (last, since) = (had, Instant::now());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Ends the subscriptions a moment later and adds up what they had.
    pub(super) async fn finish(self, total: u64) -> Result<Received> {
        tokio::time::sleep(LISTEN_ON).await;
        self.stop.cancel();
        let (mut sum, mut own) = (Received::default(), 0);
        for task in self.tasks {
            let tally = task.await??;
            sum.delivered += tally.delivered;
            sum.duplicates += tally.duplicates;
            sum.wrong += tally.wrong;
            sum.lagged += tally.lagged;
            sum.latency.merge(&tally.latency);
            sum.last = sum.last.max(tally.last);
            own += tally.own;
        }
        sum.own_missing = total.saturating_sub(own);
        Ok(sum)
    }
}

struct Receiver {
    handle: Handle,
    subscription: Subscription,
    tally: Tally,
    clock: Instant,
    limit: u64,
    progress: Arc<Progress>,
}

impl Receiver {
    async fn run(mut self, stop: CancellationToken) -> Result<Tally> {
        loop {
            let item = tokio::select! {
                () = stop.cancelled() => return Ok(self.tally),
                item = self.subscription.next() => item,
            };
            match item {
                Some(Item::Entry(entry)) => {
                    let now = self.clock.elapsed();
                    match self.tally.take(&entry, now, self.limit) {
                        Taken::Foreign => self.progress.delivered.fetch_add(1, Ordering::Relaxed),
                        Taken::Own => self.progress.own.fetch_add(1, Ordering::Relaxed),
                        Taken::Bad => 0,
                    };
                }
                // Slower than the network: the log has what went by.
                Some(Item::Lagged { resume, .. }) => {
                    self.tally.lagged += 1;
                    let topic = self.subscription.topic().clone();
                    self.subscription = self.handle.subscribe(topic, From::After(resume)).await?;
                }
                None => bail!(
                    "node {} stopped: {}",
                    self.handle.id().short(),
                    self.subscription.failure().unwrap_or("no reason")
                ),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use vouchsafe::{EntryId, Identity, MessageId};

    use super::*;

    fn entry(author: PeerId, index: u64) -> Delivery {
        let mut payload = index.to_le_bytes().to_vec();
        payload.extend(1_000_000_u64.to_le_bytes());
        Delivery {
            cursor: 1,
            id: EntryId::from_bytes([0; 32]),
            message: MessageId::from_bytes([0; 32]),
            index: 0,
            author,
            seq: 1,
            published_unix_ms: 0,
            topic: "devnet".parse().unwrap(),
            payload: Bytes::from(payload),
            gap: false,
            equivocation: false,
        }
    }

    #[test]
    fn every_kind_of_fault_is_told_apart() {
        let [a, b, me] = [1, 2, 3].map(|n| Identity::from_seed(&[n; 32]).id());
        let mut tally = Tally::new(me, [a, b, me].into());
        let now = Duration::from_millis(3);
        assert_eq!(tally.take(&entry(a, 0), now, 200), Taken::Foreign);
        assert_eq!(tally.take(&entry(b, 199), now, 200), Taken::Foreign);
        assert_eq!(tally.take(&entry(me, 2), now, 200), Taken::Own);
        assert_eq!(tally.take(&entry(a, 0), now, 200), Taken::Bad, "twice");
        assert_eq!(
            tally.take(&entry(a, 1), now, 200),
            Taken::Bad,
            "another's message"
        );
        assert_eq!(
            tally.take(&entry(a, 201), now, 200),
            Taken::Bad,
            "never published"
        );
        let mut cut = entry(a, 3);
        cut.payload.truncate(9);
        assert_eq!(tally.take(&cut, now, 200), Taken::Bad, "unreadable");
        assert_eq!(
            (tally.delivered, tally.own, tally.duplicates, tally.wrong),
            (2, 1, 1, 3)
        );
        assert!((tally.latency.quantile_ms(1.0) - 2.0).abs() < 0.02);
    }
}
