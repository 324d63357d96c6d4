//! Serving: who waits for chunks of which body, and sending them as they are here and as lane and budget allow.

use bytes::Bytes;
use crypto::{CHUNK_LEN, MessageId, chunk_count};

use super::part::Bodies;
use crate::action::{Action, Key, Row};
use crate::cx::{Cx, FRAME_OVERHEAD};
use crate::input::{Lane, LinkId, Token};
use crate::messages::Messages;
use crate::wire::{self, Cancel, Chunk, Message, Want, body_bytes, max_len, tag};

/// What a body that has to be read from the store costs of a link's budget, bytes: nobody asks for many in good faith that are
/// not there.
const LOAD_COST: u64 = 4096;

/// A whole body that somebody waits for.
#[derive(Debug)]
pub(super) struct Whole {
    /// `None` while it is read from the store, or waits to be.
    pub(super) body: Option<Bytes>,
    stored: bool,
}

/// Where a chunk to be sent is.
enum Source {
    Frame(Bytes, bool),
    /// Not here yet.
    Later,
    Nowhere,
}

impl Bodies {
    /// A peer subscribes to chunks.
    pub fn on_want(&mut self, link: LinkId, want: &Want, messages: &Messages, cx: &mut Cx<'_>) {
        cx.stats.bodies.wants_in += 1;
        let id = MessageId::from_bytes(want.id);
        if self.subscribe(link, id, want.from, want.to, messages, cx) {
            self.subscribed.push((link, id));
        }
    }

    /// A header went out with the promise that the body follows.
    pub(super) fn follow(
        &mut self,
        id: MessageId,
        link: LinkId,
        messages: &Messages,
        cx: &mut Cx<'_>,
    ) {
        cx.stats.bodies.follows += 1;
        self.subscribe(link, id, 0, u16::MAX, messages, cx);
    }

    fn subscribe(
        &mut self,
        link: LinkId,
        id: MessageId,
        from: u16,
        to: u16,
        messages: &Messages,
        cx: &mut Cx<'_>,
    ) -> bool {
        let max = cx.config.bodies.max_jobs;
        let known = self.wanted.contains_key(&id) || self.whole.contains_key(&id);
        let cached = if known {
            None
        } else {
            self.on_its_way(&id).or_else(|| messages.body(&id))
        };
        let busy = self.is_busy(link, &id, cached.as_ref().map(Bytes::len), cx);
        let Some(peer) = self.peers.get_mut(&link) else {
            return false;
        };
        if busy {
            Self::say_busy(link, &id, cx);
            return false;
        }
        if !known && cached.is_none() && !peer.stored.take(LOAD_COST, cx.now.mono) {
            cx.stats.bodies.over_budget += 1;
            return false;
        }
        if !peer.want(id, from, to, max) {
            cx.stats.bodies.not_served += 1;
            return false;
        }
        let links = self.subscribers.entry(id).or_default();
        links.entry(link).or_insert(cx.now.mono);
        if !known {
            if cached.is_none() {
                self.load_queue.push_back(id);
            }
            self.pin(id, cached, false, cx);
            self.load(cx);
        }
        self.pump(link, cx);
        true
    }

    /// A peer takes back a subscription.
    pub fn on_cancel(&mut self, link: LinkId, cancel: &Cancel, cx: &mut Cx<'_>) {
        cx.stats.bodies.cancels_in += 1;
        let id = MessageId::from_bytes(cancel.id);
        if let Some(peer) = self.peers.get_mut(&link) {
            peer.cancel(&id, cancel.from, cancel.to, cx.config.bodies.max_jobs);
            if peer.jobs.iter().all(|job| job.id != id) {
                self.unsubscribe(link, &id);
            }
        }
    }

    /// A link waits for nothing of a body any more; a whole body that nobody waits for is let go.
    pub(super) fn unsubscribe(&mut self, link: LinkId, id: &MessageId) {
        if let Some(links) = self.subscribers.get_mut(id) {
            links.remove(&link);
            if links.is_empty() {
                self.release(id);
            }
        }
    }

    /// Lets go of a body and of everybody who waits for it.
    pub(super) fn release(&mut self, id: &MessageId) {
        for link in self.subscribers.remove(id).unwrap_or_default().into_keys() {
            if let Some(peer) = self.peers.get_mut(&link) {
                peer.jobs.retain(|job| job.id != *id);
            }
        }
        if let Some(whole) = self.whole.remove(id) {
            self.whole_bytes -= whole.body.map_or(0, |body| body.len());
            self.whole_order.retain(|other| other != id);
            self.load_queue.retain(|other| other != id);
        }
    }

    /// Keeps a whole body for those who wait for it. When too much is kept, the oldest is let go: who waits asks others.
    pub(super) fn pin(
        &mut self,
        id: MessageId,
        body: Option<Bytes>,
        stored: bool,
        cx: &mut Cx<'_>,
    ) {
        let len = body.as_ref().map_or(0, Bytes::len);
        if let Some(old) = self.whole.insert(id, Whole { body, stored }) {
            self.whole_bytes -= old.body.map_or(0, |body| body.len());
        } else {
            self.whole_order.push_back(id);
        }
        self.whole_bytes += len;
        while self.whole_bytes > cx.config.bodies.pinned {
            let full = |other: &&MessageId| {
                **other != id && self.whole.get(other).is_some_and(|it| it.body.is_some())
            };
            let Some(oldest) = self.whole_order.iter().find(full).copied() else {
                return;
            };
            cx.stats.bodies.evicted += 1;
            self.release(&oldest);
        }
    }

    /// Reads bodies from the store, few at a time, and none while too much is kept already.
    fn load(&mut self, cx: &mut Cx<'_>) {
        while self.loads.len() < cx.config.bodies.max_loads
            && self.whole_bytes < cx.config.bodies.pinned
            && let Some(id) = self.load_queue.pop_front()
        {
            let token = cx.out.token();
            cx.stats.bodies.loads += 1;
            cx.out.push(Action::Load {
                token,
                key: Key::Message(id),
            });
            self.loads.insert(token, id);
        }
    }

    /// An answer of the store; returns whether it was to a question of this room.
    pub fn on_loaded(&mut self, token: Token, row: Option<&Row>, cx: &mut Cx<'_>) -> bool {
        let Some(id) = self.loads.remove(&token) else {
            return false;
        };
        let waited_for = self.whole.get(&id).is_some_and(|it| it.body.is_none());
        match row {
            Some(Row::Message(stored)) if waited_for => {
                let body = Bytes::from(body_bytes(&stored.entries));
                self.pin(id, Some(body), true, cx);
                self.feed(&id, cx);
            }
            _ if waited_for => {
                cx.stats.bodies.not_served += 1;
                self.release(&id);
            }
            _ => {} // nobody waits for it any more
        }
        self.load(cx);
        true
    }

    /// A lane has room again.
    pub fn on_room(&mut self, link: LinkId, lane: Lane, cx: &mut Cx<'_>) {
        if lane == Lane::Bulk {
            self.pump(link, cx);
            self.load(cx);
        }
    }

    /// Something of a body is here that was not before.
    pub(super) fn feed(&mut self, id: &MessageId, cx: &mut Cx<'_>) {
        let Some(links) = self.subscribers.get(id) else {
            return;
        };
        let links: Vec<LinkId> = links.keys().copied().collect();
        for link in links {
            self.pump(link, cx);
        }
    }

    /// Serves links whose budget allows more again.
    pub(super) fn wake(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        let due = |peer: &super::peer::Peer| peer.wake.is_some_and(|at| at <= now);
        let due: Vec<LinkId> = self
            .peers
            .iter()
            .filter(|(_, peer)| due(peer))
            .map(|(link, _)| *link)
            .collect();
        for link in due {
            self.pump(link, cx);
        }
        self.wake = self.peers.values().filter_map(|peer| peer.wake).min();
    }

    /// Sends a link what it waits for, as far as chunks, lane and budget allow.
    fn pump(&mut self, link: LinkId, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        let largest = max_len(tag::CHUNK) + FRAME_OVERHEAD;
        let mut at = 0;
        let mut ended = Vec::new();
        if let Some(peer) = self.peers.get_mut(&link) {
            peer.wake = None;
        }
        while let Some(job) = self
            .peers
            .get(&link)
            .and_then(|it| it.jobs.get(at))
            .copied()
        {
            if cx.out.room(link, Lane::Bulk) < largest {
                break; // on_room comes
            }
            let source = self.source(&job.id, usize::from(job.next));
            let Some(peer) = self.peers.get_mut(&link) else {
                break;
            };
            let (frame, stored) = match source {
                Source::Later => {
                    at += 1;
                    continue;
                }
                Source::Nowhere => {
                    peer.jobs.remove(at);
                    ended.push(job.id);
                    continue;
                }
                Source::Frame(frame, stored) => (frame, stored),
            };
            let size = frame.len() as u64;
            if stored && !peer.stored.take(size, now) {
                peer.wake = peer.stored.ready_at(size);
                self.wake = [self.wake, peer.wake].into_iter().flatten().min();
                break;
            }
            if !stored && !peer.budget.pay(size, now) {
                cx.stats.bodies.over_budget += 1;
                peer.jobs.remove(at);
                ended.push(job.id);
                continue;
            }
            cx.send_bytes(link, Lane::Bulk, frame);
            cx.stats.bodies.served += 1;
            cx.stats.bodies.served_bytes += size;
            self.moved = now;
            if job.next + 1 < job.to {
                peer.jobs[at].next += 1;
            } else {
                peer.jobs.remove(at);
                ended.push(job.id);
            }
        }
        for id in ended {
            let more = |peer: &super::peer::Peer| peer.jobs.iter().any(|job| job.id == id);
            if !self.peers.get(&link).is_some_and(more) {
                self.unsubscribe(link, &id);
            }
        }
    }

    /// The frame of a chunk.
    fn source(&self, id: &MessageId, index: usize) -> Source {
        if let Some(body) = self.wanted.get(id) {
            return match body.frame(index) {
                Some(frame) => Source::Frame(frame.clone(), false),
                None if index < body.manifest.len() => Source::Later,
                None => Source::Nowhere,
            };
        }
        let Some(whole) = self.whole.get(id) else {
            return Source::Nowhere;
        };
        let Some(body) = &whole.body else {
            return Source::Later;
        };
        if index >= chunk_count(body.len()) {
            return Source::Nowhere;
        }
        let start = index * CHUNK_LEN;
        let chunk = Chunk {
            id: id.to_bytes(),
            index: u16::try_from(index).unwrap_or(u16::MAX), // a body has at most MAX_CHUNKS
            bytes: body.slice(start..body.len().min(start + CHUNK_LEN)),
        };
        Source::Frame(wire::encode(&Message::Chunk(chunk)), whole.stored)
    }

    /// Whether bodies of our own would not pile up here: not while more than half of what may be kept for subscribers waits,
    /// unless nothing moves at all (then they wait for nobody).
    #[must_use]
    pub fn ready_to_publish(&self, now: std::time::Instant, pinned: usize) -> bool {
        let stuck = now.saturating_duration_since(self.moved) > std::time::Duration::from_secs(1);
        self.whole_bytes <= pinned / 2 || stuck
    }
}
