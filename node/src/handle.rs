//! The handle: what an application does with a running node.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use crypto::{EntryId, MessageId, NetworkId, PeerId};
use overlay::action::SeedFailure;
use overlay::messages::{BadTopic, Evidence, PublishError as CoreError, Topic};
use overlay::neighbors::Down;
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::evidence::KeptEvidence;
use crate::sequence::{From, Order};
use crate::snapshot::{NodeStats, PeerInfo, Status};
use crate::store::StoreError;
use crate::subscription::{SubscribeError, Subscription};

/// The node has been shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the node is not running")]
pub struct Stopped;

/// Why a publish was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The topic is malformed.
    #[error("topic: {0}")]
    Topic(#[from] BadTopic),
    /// The payload is too large, not admitted, or the node cannot publish.
    #[error(transparent)]
    Refused(#[from] CoreError),
    /// The node's store cannot write. The payload may or may not reach others; it is not in the own log.
    #[error("the store cannot write: {0}")]
    Store(String),
    /// The node has been shut down.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Why the evidence cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// The node's store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A row of the store is no evidence.
    #[error("table `evidence` of the store: {0}")]
    Damaged(String),
    /// The node has been shut down.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// A published payload, durable in the node's own log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// Id of the payload; what a subscriber sees as the entry's id.
    pub id: EntryId,
    /// Id of the message that carries it.
    pub message: MessageId,
    /// How many neighbors' lanes had taken the message when it was durable. Others get it as their lanes drain, or as they appear;
    /// 0 = all do.
    pub neighbors: usize,
}

/// A topic, or text to be checked as one.
pub trait IntoTopic {
    /// The topic.
    ///
    /// # Errors
    /// The text is empty, too long, or has a character that is not allowed.
    fn into_topic(self) -> Result<Topic, BadTopic>;
}

impl IntoTopic for Topic {
    fn into_topic(self) -> Result<Topic, BadTopic> {
        Ok(self)
    }
}

impl IntoTopic for &Topic {
    fn into_topic(self) -> Result<Topic, BadTopic> {
        Ok(self.clone())
    }
}

impl IntoTopic for &str {
    fn into_topic(self) -> Result<Topic, BadTopic> {
        self.parse()
    }
}

impl IntoTopic for &String {
    fn into_topic(self) -> Result<Topic, BadTopic> {
        self.parse()
    }
}

/// News about the node itself; see [`Handle::events`].
#[derive(Clone, Debug)]
pub enum NodeEvent {
    /// A link became a neighbor.
    NeighborUp {
        /// Who.
        peer: PeerId,
        /// Where.
        addr: SocketAddr,
        /// Whether this node dialled.
        outbound: bool,
    },
    /// A neighbor is gone.
    NeighborDown {
        /// Who.
        peer: PeerId,
        /// Why.
        why: Down,
    },
    /// A neighbor is silent and has answered neither probe: it is probed further, and believed dead if it stays silent.
    Suspected {
        /// Who.
        peer: PeerId,
        /// Since its last frame.
        silent: Duration,
    },
    /// A suspected neighbor has answered no probe: its link is closed. [`NodeEvent::NeighborDown`] follows.
    Failed {
        /// Who.
        peer: PeerId,
        /// Since its last frame.
        silent: Duration,
        /// Another neighbor says that it heard from it meanwhile: it is the path to this node that is broken, or that neighbor lies.
        alive_elsewhere: bool,
    },
    /// A suspected neighbor is heard again.
    Recovered {
        /// Who.
        peer: PeerId,
        /// How long nothing had come from it.
        silent: Duration,
    },
    /// The last neighbor is gone.
    Isolated,
    /// There is a neighbor again after [`NodeEvent::Isolated`].
    Rejoined {
        /// How long there was none.
        after: Duration,
    },
    /// A configured seed or persistent peer could not be reached; it is tried again.
    SeedFailed {
        /// Who.
        peer: PeerId,
        /// Where, as configured.
        target: String,
        /// Why.
        reason: SeedFailure,
        /// Until the next attempt.
        retry_in: Duration,
    },
    /// The clock is far from the median of the neighbors' clocks.
    ClockSkew {
        /// Ours minus the median, milliseconds.
        offset_ms: i64,
    },
    /// Someone else signs with this node's key: a copied data directory or a restored backup. Publishing has stopped.
    CloneDetected,
    /// An author signed two messages with one sequence number.
    Equivocation {
        /// The two headers with their signatures: proof for anyone. It is kept; see [`Handle::evidence`].
        evidence: Box<Evidence>,
    },
    /// The store cannot write: the disk is full or failing. The text names file and remedy.
    StoreFailed {
        /// What happened.
        problem: String,
    },
    /// This stream fell behind; so many events were dropped.
    Lagged {
        /// How many.
        missed: u64,
    },
}

/// The events of a node from the moment of [`Handle::events`] on.
#[derive(Debug)]
pub struct EventStream(pub(crate) broadcast::Receiver<NodeEvent>);

impl EventStream {
    /// The next event; `None` when the node has been shut down.
    ///
    /// Cancel-safe.
    pub async fn next(&mut self) -> Option<NodeEvent> {
        match self.0.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(NodeEvent::Lagged { missed }),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

/// A payload waiting to be signed.
#[derive(Debug)]
pub(crate) struct PublishRequest {
    pub(crate) topic: Topic,
    pub(crate) payload: Bytes,
    pub(crate) answer: oneshot::Sender<Result<Published, PublishError>>,
}

/// A question to the driver.
#[derive(Debug)]
pub(crate) enum Request {
    Status(oneshot::Sender<Status>),
    Peers(oneshot::Sender<Vec<PeerInfo>>),
    Stats(oneshot::Sender<NodeStats>),
    Sample(usize, oneshot::Sender<Vec<PeerId>>),
    Ban(PeerId, Option<Duration>, oneshot::Sender<()>),
    Unban(PeerId, oneshot::Sender<()>),
}

/// What all clones of a handle share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) id: PeerId,
    pub(crate) network: NetworkId,
    pub(crate) local_addrs: Vec<SocketAddr>,
    /// Longest payload that the node takes, bytes.
    pub(crate) max_payload: usize,
    /// Bounded: a full queue is the back-pressure that `publish` feels.
    pub(crate) publishes: mpsc::Sender<PublishRequest>,
    pub(crate) requests: mpsc::Sender<Request>,
    pub(crate) events: broadcast::WeakSender<NodeEvent>,
    pub(crate) subscribers: Arc<crate::subscription::Subscribers>,
    pub(crate) stop: tokio_util::sync::CancellationToken,
    /// Cancelled when everything has been flushed and closed.
    pub(crate) stopped: tokio_util::sync::CancellationToken,
    /// Why the node stopped by itself.
    pub(crate) failure: Arc<OnceLock<String>>,
}

/// A handle to a running node: cheap to clone, usable from any task. The node runs until
/// [`shutdown`](Self::shutdown), or until its [`Node`](crate::Node) is dropped.
#[derive(Clone, Debug)]
pub struct Handle(pub(crate) Arc<Shared>);

impl Handle {
    /// The node's id.
    #[must_use]
    pub fn id(&self) -> PeerId {
        self.0.id
    }

    /// The network it belongs to.
    #[must_use]
    pub fn network(&self) -> NetworkId {
        self.0.network
    }

    /// The addresses it listens on, with the ports that were picked.
    #[must_use]
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.0.local_addrs
    }

    /// Signs a payload, makes it durable and spreads it to every node of the network. Resolves once it is durable in the
    /// own log; without a neighbor it goes out when one appears. Waits while the node is busy (back-pressure). Payloads that
    /// wait at the same time on one topic may share a message and its signature.
    ///
    /// # Errors
    /// See [`PublishError`]; a malformed topic or an oversized payload is refused at once and signs nothing.
    pub async fn publish(
        &self,
        topic: impl IntoTopic,
        payload: impl Into<Bytes>,
    ) -> Result<Published, PublishError> {
        let topic = topic.into_topic()?;
        let payload = payload.into();
        self.check_size(&payload)?;
        self.queue(topic, payload)
            .await?
            .await
            .map_err(|_| Stopped)?
    }

    /// Publishes payloads on one topic, in this order, as few messages as possible. One result for each payload.
    pub async fn publish_many(
        &self,
        topic: impl IntoTopic,
        payloads: Vec<Bytes>,
    ) -> Vec<Result<Published, PublishError>> {
        let topic = match topic.into_topic() {
            Ok(topic) => topic,
            Err(bad) => return payloads.iter().map(|_| Err(bad.clone().into())).collect(),
        };
        let mut answers = Vec::with_capacity(payloads.len());
        for payload in payloads {
            answers.push(match self.check_size(&payload) {
                Ok(()) => self.queue(topic.clone(), payload).await.map_err(Into::into),
                Err(refused) => Err(refused.into()),
            });
        }
        let mut results = Vec::with_capacity(answers.len());
        for answer in answers {
            results.push(match answer {
                Ok(answer) => answer.await.unwrap_or_else(|_| Err(Stopped.into())),
                Err(refused) => Err(refused),
            });
        }
        results
    }

    async fn queue(
        &self,
        topic: Topic,
        payload: Bytes,
    ) -> Result<oneshot::Receiver<Result<Published, PublishError>>, Stopped> {
        let (answer, receiver) = oneshot::channel();
        let request = PublishRequest {
            topic,
            payload,
            answer,
        };
        self.0.publishes.send(request).await.map_err(|_| Stopped)?;
        Ok(receiver)
    }

    /// Subscribes to a topic, in the order of the log ([`Order::Log`]). An entry gets into the log once, verified; a subscription
    /// gives it at most once: exactly once unless it falls behind, and then it says how many it missed.
    ///
    /// # Errors
    /// The topic is malformed, or the node has been shut down.
    pub async fn subscribe(
        &self,
        topic: impl IntoTopic,
        from: From,
    ) -> Result<Subscription, SubscribeError> {
        self.subscribe_in(topic, from, Order::Log).await
    }

    /// As [`subscribe`](Self::subscribe), in an order of choice.
    ///
    /// # Errors
    /// The topic is malformed, or the node has been shut down.
    #[expect(
        clippy::unused_async,
        reason = "leaves room for a round trip to the driver without breaking callers"
    )]
    pub async fn subscribe_in(
        &self,
        topic: impl IntoTopic,
        from: From,
        order: Order,
    ) -> Result<Subscription, SubscribeError> {
        let topic = topic.into_topic()?;
        self.0.subscribers.subscribe(topic, from, order)
    }

    /// Up to `n` distinct peers, a fair random sample of the network; fewer while the node knows fewer. Samples of one node
    /// that lie close in time are not independent of each other.
    ///
    /// # Errors
    /// The node has been shut down.
    pub async fn sample(&self, n: usize) -> Result<Vec<PeerId>, Stopped> {
        self.ask(|answer| Request::Sample(n, answer)).await
    }

    /// The node's links.
    ///
    /// # Errors
    /// The node has been shut down.
    pub async fn peers(&self) -> Result<Vec<PeerInfo>, Stopped> {
        self.ask(Request::Peers).await
    }

    /// The node at this moment.
    ///
    /// # Errors
    /// The node has been shut down.
    pub async fn status(&self) -> Result<Status, Stopped> {
        let mut status = self.ask(Request::Status).await?;
        status.first_cursor = self.0.subscribers.first_cursor().await;
        Ok(status)
    }

    /// Every counter.
    ///
    /// # Errors
    /// The node has been shut down.
    pub async fn stats(&self) -> Result<NodeStats, Stopped> {
        self.ask(Request::Stats).await
    }

    /// The proofs of equivocation that the node has found and kept, oldest first; see
    /// [`evidence`](crate::evidence) for what to do with them.
    ///
    /// # Errors
    /// The node has been shut down, or its store cannot be read.
    pub async fn evidence(&self) -> Result<Vec<KeptEvidence>, EvidenceError> {
        let stored = self.0.subscribers.read_evidence().await?;
        let kept = stored
            .into_iter()
            .map(|stored| KeptEvidence::of(stored, &self.0.network));
        kept.collect()
    }

    /// News about the node itself, from now on.
    #[must_use]
    pub fn events(&self) -> EventStream {
        match self.0.events.upgrade() {
            Some(events) => EventStream(events.subscribe()),
            None => EventStream(broadcast::channel(1).1), // stopped: the stream ends at once
        }
    }

    /// Refuses a peer: closes its links and admits it no more, for `duration` or until unbanned. Kept across restarts.
    ///
    /// # Errors
    /// The node has been shut down.
    pub async fn ban(&self, peer: PeerId, duration: Option<Duration>) -> Result<(), Stopped> {
        self.ask(|answer| Request::Ban(peer, duration, answer))
            .await
    }

    /// Lifts a ban.
    ///
    /// # Errors
    /// The node has been shut down.
    pub async fn unban(&self, peer: PeerId) -> Result<(), Stopped> {
        self.ask(|answer| Request::Unban(peer, answer)).await
    }

    /// Leaves gracefully: says goodbye, flushes what is queued and the store, closes the sockets; within about three
    /// seconds. Returns when done; calling it twice is fine.
    pub async fn shutdown(&self) {
        self.0.stop.cancel();
        self.0.stopped.cancelled().await;
    }

    /// Why the node stopped by itself, if it did: its store failed. Names file and remedy.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.0.failure.get().map(String::as_str)
    }

    async fn ask<T>(
        &self,
        question: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<T, Stopped> {
        let (answer, receiver) = oneshot::channel();
        self.0
            .requests
            .send(question(answer))
            .await
            .map_err(|_| Stopped)?;
        receiver.await.map_err(|_| Stopped)
    }

    fn check_size(&self, payload: &Bytes) -> Result<(), CoreError> {
        let (size, max) = (payload.len(), self.0.max_payload);
        if size > max {
            return Err(CoreError::TooLarge { size, max });
        }
        Ok(())
    }
}
