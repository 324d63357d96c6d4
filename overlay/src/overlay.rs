//! The switchboard: one door in, one door out, and the order in which facts go down.
//!
//! ```text
//! handle(now, input):  frame -> decode -> exactly one part      (or a fact of the driver -> its part)
//!                      due timers of every part
//!                      settle: neighbors --Change--> detector, sampling, broadcast, repair, bodies
//!                              broadcast, repair --News--> bodies; all three --Arrival--> messages --Accepted--> broadcast, --Hole--> repair
//! ```
//! Parts never call each other; what one must know of another it reads through `&` arguments or gets as a fact in `settle`.

use std::time::Instant;

use bytes::Bytes;
use crypto::{Identity, KeyCache, NetworkId, PeerId};
use rand::rngs::ChaCha12Rng;
use rand::{RngExt as _, SeedableRng as _};

use crate::action::Action;
use crate::bodies::Bodies;
use crate::broadcast::Broadcast;
use crate::conduct::{Conduct, Judgement};
use crate::config::{Config, ConfigError};
use crate::cx::{Cx, Outbox};
use crate::detector::Detector;
use crate::input::{Command, Input, Lane, LinkId, Now};
use crate::messages::Messages;
use crate::neighbors::{Code, Neighbors, Phase};
use crate::peers::{Book, Own};
use crate::repair::Repair;
use crate::restored::Restored;
use crate::rules::Rules;
use crate::sampling::Sampling;
use crate::stats::Stats;
use crate::status::{PeerInfo, Status};
use crate::wire::{self, DecodeError, Message};

#[cfg(feature = "sim")]
mod rooms;
mod settle;
#[cfg(feature = "sim")]
pub use rooms::Rooms;

/// Checked keys kept: enough for every author and peer of a large network to be checked once.
const KEY_CACHE: usize = 16_384;

/// The protocol of one node. See the crate's documentation for the run loop.
#[derive(Debug)]
pub struct Overlay {
    env: Env,
    parts: Parts,
}

/// What every part may use through [`Cx`].
#[derive(Debug)]
struct Env {
    identity: Identity,
    network: NetworkId,
    config: Config,
    rng: ChaCha12Rng,
    out: Outbox,
    stats: Stats,
    keys: KeyCache,
    announce_key: [u8; 16],
    rules: Rules,
}

impl Env {
    fn cx(&mut self, now: Now) -> Cx<'_> {
        Cx {
            now,
            rng: &mut self.rng,
            out: &mut self.out,
            stats: &mut self.stats,
            config: &self.config,
            keys: &mut self.keys,
            identity: &self.identity,
            network: &self.network,
            announce_key: &self.announce_key,
            rules: self.rules,
        }
    }
}

/// The parts, one per room.
#[derive(Debug)]
struct Parts {
    conduct: Conduct,
    book: Book,
    neighbors: Neighbors,
    detector: Detector,
    sampling: Sampling,
    broadcast: Broadcast,
    bodies: Bodies,
    repair: Repair,
    messages: Messages,
}

impl Overlay {
    /// A node that has just started, with what its store remembers. `seed` makes every random choice repeat; give it 32 bytes of
    /// the operating system's randomness.
    ///
    /// # Errors
    /// A setting out of its range, or a key whose holder does not sign the node's own record.
    pub fn new(
        identity: Identity,
        network: NetworkId,
        config: Config,
        seed: [u8; 32],
        now: Now,
        restored: Restored,
    ) -> Result<Self, ConfigError> {
        Self::under(Rules::ALL, identity, network, config, seed, now, restored)
    }

    /// As [`Overlay::new`]; only a simulation can make `rules` anything but all of them.
    pub(crate) fn under(
        rules: Rules,
        identity: Identity,
        network: NetworkId,
        config: Config,
        seed: [u8; 32],
        now: Now,
        restored: Restored,
    ) -> Result<Self, ConfigError> {
        config.check()?;
        let mut rng = ChaCha12Rng::from_seed(seed);
        let announce_key = rng.random();
        let mut env = Env {
            identity,
            network,
            config,
            rng,
            out: Outbox::default(),
            stats: Stats::default(),
            keys: KeyCache::new(KEY_CACHE),
            announce_key,
            rules,
        };
        let mut cx = env.cx(now);
        let external = cx.config.external.clone();
        let own =
            Own::new(&external, restored.record_version, &mut cx).map_err(|error| ConfigError {
                key: "node.key",
                problem: format!("the key does not sign: {error}"),
            })?;
        let conduct = Conduct::new(&restored, &mut cx);
        let book = Book::new(&restored, &mut cx);
        let neighbors = Neighbors::new(own, &restored.anchors, &mut cx);
        let sampling = Sampling::new(&mut cx);
        let broadcast = Broadcast::new();
        let bodies = Bodies::new(now.mono);
        let repair = Repair::new(&mut cx);
        let messages = Messages::new(&restored, &mut cx);
        Ok(Self {
            env,
            parts: Parts {
                conduct,
                book,
                neighbors,
                detector: Detector::default(),
                sampling,
                broadcast,
                bodies,
                repair,
                messages,
            },
        })
    }

    /// Takes one input. Never fails and never waits; due deadlines of all parts run as well.
    pub fn handle(&mut self, now: Now, input: Input) {
        let mut cx = self.env.cx(now);
        self.parts.input(input, &mut cx);
        self.parts.timeouts(&mut cx);
        self.parts.settle(&mut cx);
    }

    /// Takes the next finished action; call it until `None` after every [`Self::handle`].
    pub fn poll_action(&mut self) -> Option<Action> {
        self.env.out.pop()
    }

    /// When [`Self::handle`] wants to be called with [`Input::Timeout`] at the latest.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        let parts = &self.parts;
        [
            parts.neighbors.next_timeout(),
            parts.detector.next_timeout(),
            parts.sampling.next_timeout(),
            parts.broadcast.next_timeout(),
            parts.bodies.next_timeout(),
            parts.repair.next_timeout(),
            parts.messages.next_timeout(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// What happened so far.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.env.stats
    }

    /// Who we are.
    #[must_use]
    pub fn id(&self) -> PeerId {
        self.env.identity.id()
    }

    /// Whether a publish would be passed on without queueing up here: false while most neighbors' lanes are full.
    #[must_use]
    pub fn ready_to_publish(&mut self, now: Now) -> bool {
        self.parts.messages.ready_to_publish()
            && self.parts.broadcast.ready_to_publish(&self.env.cx(now))
            && (self.parts.bodies).ready_to_publish(now.mono, self.env.config.bodies.pinned)
    }

    /// Up to `n` distinct random peers of the network; see [`Sampling::sample`] for how independent they are.
    pub fn sample(&mut self, n: usize) -> Vec<PeerId> {
        self.parts.sampling.sample(n, &mut self.env.rng)
    }

    /// All open links, neighbors first.
    #[must_use]
    pub fn peers(&self, now: Now) -> Vec<PeerInfo> {
        crate::status::peers(&self.parts.neighbors, &self.parts.detector, now)
    }

    /// How the node is.
    #[must_use]
    pub fn status(&self) -> Status {
        let parts = &self.parts;
        Status::new(
            &parts.neighbors,
            &parts.sampling,
            &parts.book,
            &parts.messages,
            &self.env.config,
        )
    }
}

impl Parts {
    fn input(&mut self, input: Input, cx: &mut Cx<'_>) {
        match input {
            Input::Frame { link, lane, bytes } => self.frame(link, lane, bytes, cx),
            Input::Lane {
                link,
                lane,
                free_bytes,
            } => {
                cx.out.set_room(link, lane, free_bytes);
                let (messages, bodies) = (&self.messages, &self.bodies);
                let frames = |id: &_| messages.frame(id).or_else(|| bodies.head(id));
                self.broadcast.on_room(link, lane, &frames, cx);
                self.repair.on_room(link, lane, &self.messages, cx);
                self.bodies.on_room(link, lane, cx);
            }
            Input::Connected {
                link,
                peer,
                addr,
                local,
                dialed,
                rtt,
            } => {
                self.conduct.opened(link, peer, cx);
                self.neighbors.on_connected(
                    link,
                    peer,
                    addr,
                    local,
                    dialed,
                    rtt,
                    &mut self.book,
                    &self.conduct,
                    cx,
                );
            }
            Input::Disconnected { link, reason } => {
                self.neighbors
                    .on_disconnected(link, &reason, &mut self.book, cx);
                self.conduct.closed(link, cx);
            }
            Input::DialFailed { dial, reason } => {
                self.neighbors
                    .on_dial_failed(dial, reason, &mut self.book, cx)
            }
            Input::Persisted { token } => self.messages.on_persisted(token, cx),
            Input::Loaded { token, row } => {
                if !self.messages.on_loaded(token, row.as_ref(), cx)
                    && !self.bodies.on_loaded(token, row.as_ref(), cx)
                {
                    self.repair.on_loaded(token, row, cx);
                }
            }
            Input::Verdict { token, verdict } => self.messages.on_verdict(token, verdict, cx),
            Input::Command(command) => self.command(command, cx),
            Input::Timeout => {}
        }
    }

    fn command(&mut self, command: Command, cx: &mut Cx<'_>) {
        match command {
            Command::Publish {
                token,
                topic,
                payloads,
            } => self.messages.publish(token, topic, payloads, cx),
            Command::Ban { peer, duration } => {
                self.conduct.ban(peer, duration, cx);
                self.neighbors
                    .close_peer(&peer, Code::Banned, &mut self.book, cx);
            }
            Command::Unban { peer } => self.conduct.unban(&peer, cx),
            Command::Leave => {
                self.messages.leave(cx);
                self.neighbors.leave(&mut self.book, cx);
            }
        }
    }

    /// One frame: rate, decode, then exactly one part.
    fn frame(&mut self, id: LinkId, lane: Lane, bytes: Bytes, cx: &mut Cx<'_>) {
        let Some(link) = self.neighbors.links().get(id) else {
            return;
        };
        let (peer, phase, outbound) = (link.peer, link.phase, link.outbound);
        let silent = cx.now.mono.saturating_duration_since(link.last_in);
        if phase == Phase::Closing {
            return;
        }
        cx.stats.wire.frames_in += 1;
        cx.stats.wire.bytes_in += bytes.len() as u64;
        match wire::tag_of(&bytes).map_or(Judgement::Pass, |tag| {
            self.conduct.on_frame(id, tag, bytes.len(), cx)
        }) {
            Judgement::Pass => {}
            Judgement::Drop => return,
            Judgement::Close(code) => return self.fault(id, &peer, code, cx),
        }
        let message = match wire::decode(&bytes) {
            Ok(message) => message,
            Err(DecodeError::UnknownTag(_)) => {
                cx.stats.wire.unknown_tag += 1;
                return;
            }
            Err(error) => {
                cx.stats.wire.malformed += 1;
                tracing::debug!(peer = %peer.short(), %error, "a frame that makes no message");
                return self.fault(id, &peer, Code::Malformed, cx);
            }
        };
        let greeting = matches!(
            message,
            Message::Hello(_) | Message::Accept(_) | Message::Refuse(_)
        );
        if !greeting && phase == Phase::Greeting && outbound && lane != Lane::Control {
            // Lanes are not ordered among themselves: it overtook the accept.
            cx.stats.wire.early += 1;
            return;
        }
        if greeting != (phase == Phase::Greeting)
            || wire::tag_of(&bytes).is_none_or(|tag| !wire::lane_allowed(tag, lane))
        {
            return self.fault(id, &peer, Code::Protocol, cx);
        }
        self.neighbors.touched(id, cx.now.mono);
        self.detector.on_frame(id, silent, cx);
        if let Err(code) = self.message(id, &peer, lane, message, bytes, cx) {
            self.fault(id, &peer, code, cx);
        }
    }

    fn message(
        &mut self,
        id: LinkId,
        peer: &PeerId,
        lane: Lane,
        message: Message,
        frame: Bytes,
        cx: &mut Cx<'_>,
    ) -> Result<(), Code> {
        let Self {
            conduct,
            book,
            neighbors,
            detector,
            sampling,
            broadcast,
            bodies,
            repair,
            messages,
            ..
        } = self;
        match message {
            Message::Hello(hello) => neighbors.on_hello(id, &hello, book, conduct, cx)?,
            Message::Accept(accept) => neighbors.on_accept(id, &accept, book, cx)?,
            Message::Refuse(refuse) => neighbors.on_refuse(id, refuse, book, cx)?,
            Message::Ping(nonce) => neighbors.on_ping(id, nonce, cx),
            Message::Pong(nonce) => neighbors.on_pong(id, nonce, cx),
            Message::Probe(number) => detector.on_probe(id, lane, number, cx),
            Message::ProbeAck(number) => {
                if let Some(rtt) = detector.on_probe_ack(id, number, cx) {
                    neighbors.measured(id, rtt);
                }
            }
            Message::Look(look) => detector.on_look(id, look, neighbors.links(), cx),
            Message::Seen(number) => detector.on_seen(id, number, cx),
            Message::NeighborRequest => neighbors.on_neighbor_request(id, book, cx),
            Message::NeighborReply(refused) => {
                neighbors.on_neighbor_reply(id, refused, book, cx)?
            }
            Message::ExchangeRequest(request) => {
                let own = neighbors.own().record();
                sampling.on_request(id, *request, own, book, neighbors.links(), cx)?;
            }
            Message::ExchangeReply(reply) => {
                let own = neighbors.own().record().clone();
                sampling.on_reply(id, *reply, &own, book, neighbors.links(), cx)?
            }
            Message::Leave(record) => sampling.on_leave(peer, *record, book, cx)?,
            Message::Gossip(gossip) if lane == Lane::Bulk => {
                repair.on_gossip(id, *peer, *gossip, frame, messages, cx)?
            }
            Message::Gossip(gossip) => {
                broadcast.on_gossip(id, *gossip, frame, neighbors.links(), messages, cx)
            }
            Message::Head(head) if lane == Lane::Bulk => {
                repair.on_head(id, *peer, *head, frame, messages, cx)?
            }
            Message::Head(head) => {
                let links = neighbors.links();
                broadcast.on_head(id, *head, frame, links, messages, bodies, cx)
            }
            Message::Announce(announce) => {
                broadcast.on_announce(id, &announce, neighbors.links(), cx)
            }
            Message::Have(have) => broadcast.on_have(id, &have, neighbors.links(), cx),
            Message::Want(want) => bodies.on_want(id, &want, messages, cx),
            Message::Cancel(cancel) => bodies.on_cancel(id, &cancel, cx),
            Message::Busy(busy) => bodies.on_busy(id, &busy, neighbors.links(), cx),
            Message::Part(part) => broadcast.on_part(id, &part, neighbors.links(), cx),
            Message::Chunk(chunk) => bodies.on_chunk(id, chunk, frame, neighbors.links(), cx),
            Message::Graft(graft) => {
                let frames = |id: &_| messages.frame(id).or_else(|| bodies.head(id));
                broadcast.on_graft(id, &graft, &frames, cx)
            }
            Message::Prune(prune) => broadcast.on_prune(id, &prune, cx),
            Message::Reconcile(reconcile) => {
                repair.on_reconcile(id, *reconcile, messages, neighbors.links(), cx)?
            }
            Message::Fetch(fetch) => repair.on_fetch(id, fetch, messages, cx)?,
            Message::FetchMissing(missing) => {
                repair.on_fetch_missing(id, missing, neighbors.links(), cx)?
            }
        }
        Ok(())
    }

    /// A peer broke a rule: its link closes, and for the graver faults its key is banned for a while.
    fn fault(&mut self, id: LinkId, peer: &PeerId, code: Code, cx: &mut Cx<'_>) {
        self.conduct.fault(peer, code, cx);
        self.neighbors.close(id, code, &mut self.book, cx);
    }

    fn timeouts(&mut self, cx: &mut Cx<'_>) {
        self.neighbors
            .on_timeout(self.sampling.view(), &mut self.book, cx);
        self.detector.on_timeout(self.neighbors.links(), cx);
        for failed in self.detector.take_failed() {
            self.neighbors.failed(failed, &mut self.book, cx);
        }
        let own = self.neighbors.own().record();
        self.sampling
            .on_timeout(own, &mut self.book, self.neighbors.links(), cx);
        self.broadcast.on_timeout(self.neighbors.links(), cx);
        self.bodies.on_timeout(self.neighbors.links(), cx);
        self.repair
            .on_timeout(&self.messages, self.neighbors.links(), cx);
        let sought = || {
            let places = [self.repair.sought(), self.bodies.sought()];
            places.into_iter().flatten().min()
        };
        self.messages.on_timeout(&sought, cx);
    }
}
