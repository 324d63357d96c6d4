//! The part itself: what is wanted, the memory for it, and what comes in.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use crypto::MessageId;

use super::assembly::{Ask, Body};
use super::early::Early;
use super::memory::Usage;
use super::peer::Peer;
use super::serve::Whole;
use super::{Brought, Has, Holding, News, Wanted};
use crate::collections::Smoothed;
use crate::cx::Cx;
use crate::input::{LinkId, Token};
use crate::messages::{Arrival, Messages};
use crate::neighbors::{Change, Code, Links};
use crate::wire::{self, Chunk, Point};

/// All bodies on their way, in and out. See the head of this room.
#[derive(Debug)]
pub struct Bodies {
    pub(super) wanted: BTreeMap<MessageId, Body>,
    pub(super) peers: BTreeMap<LinkId, Peer>,
    pub(super) authors: BTreeMap<[u8; 32], Usage>,
    pub(super) head_bytes: usize,
    pub(super) reserved: usize,
    /// Bodies that wait for memory, the oldest first.
    pub(super) queue: BTreeSet<(Instant, MessageId)>,
    pub(super) due: BTreeSet<(Instant, MessageId)>,
    /// From asking to the first chunk.
    pub(super) answer: Smoothed,
    /// Who waits for chunks of a body, and since when.
    pub(super) subscribers: BTreeMap<MessageId, BTreeMap<LinkId, Instant>>,
    /// Whole bodies that somebody waits for.
    pub(super) whole: BTreeMap<MessageId, Whole>,
    pub(super) whole_order: VecDeque<MessageId>,
    pub(super) whole_bytes: usize,
    pub(super) loads: BTreeMap<Token, MessageId>,
    pub(super) load_queue: VecDeque<MessageId>,
    pub(super) early: Early,
    /// When something was last sent.
    pub(super) moved: Instant,
    /// No link's `wake` is earlier.
    pub(super) wake: Option<Instant>,
    arrivals: Vec<Arrival>,
    faults: Vec<(LinkId, Code)>,
    pub(super) subscribed: Vec<(LinkId, MessageId)>,
    brought: Vec<Brought>,
}

impl Bodies {
    /// Nothing under way.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            wanted: BTreeMap::new(),
            peers: BTreeMap::new(),
            authors: BTreeMap::new(),
            head_bytes: 0,
            reserved: 0,
            queue: BTreeSet::new(),
            due: BTreeSet::new(),
            answer: Smoothed::new(Duration::from_millis(60)),
            subscribers: BTreeMap::new(),
            whole: BTreeMap::new(),
            whole_order: VecDeque::new(),
            whole_bytes: 0,
            loads: BTreeMap::new(),
            load_queue: VecDeque::new(),
            early: Early::default(),
            moved: now,
            wake: None,
            arrivals: Vec::new(),
            faults: Vec::new(),
            subscribed: Vec::new(),
            brought: Vec::new(),
        }
    }

    /// The head of a message whose body is on its way, as it came.
    #[must_use]
    pub fn head(&self, id: &MessageId) -> Option<Bytes> {
        let body = self.wanted.get(id)?;
        Some(body.arrival.frame.clone())
    }

    /// Whether the header is here and the body on its way.
    #[must_use]
    pub fn has(&self, id: &MessageId) -> bool {
        self.wanted.contains_key(id)
    }

    /// The first place in the order of messages that a body under way has: what lies after it may wait for it.
    #[must_use]
    pub fn sought(&self) -> Option<Point> {
        let coming = self.wanted.values().filter(|body| body.active);
        coming.map(|body| body.arrival.point()).min()
    }

    /// A fact about links.
    pub fn on_change(&mut self, change: &Change, links: &Links, cx: &mut Cx<'_>) {
        match change {
            Change::Opened { link, .. } => {
                let peer = Peer::new(&cx.config.bodies, cx.now.mono);
                self.peers.insert(*link, peer);
            }
            Change::Closed { link, .. } => self.closed(*link, links, cx),
            Change::NeighborUp { .. } | Change::NeighborDown { .. } | Change::DialFailed { .. } => {
            }
        }
    }

    fn closed(&mut self, link: LinkId, links: &Links, cx: &mut Cx<'_>) {
        let Some(peer) = self.peers.remove(&link) else {
            return;
        };
        self.early.forget(link);
        let ids: BTreeSet<MessageId> = peer.jobs.iter().map(|job| job.id).collect();
        for id in ids {
            self.unsubscribe(link, &id);
        }
        let mut touched = Vec::new();
        for (id, body) in &mut self.wanted {
            if body.forget(link) {
                touched.push(*id);
            }
        }
        for id in touched {
            self.attend(id, links, cx);
        }
        self.activate(links, cx);
    }

    /// Every link may have one more copy of so many bytes.
    fn credit(&mut self, len: usize) {
        for peer in self.peers.values_mut() {
            peer.budget.earn(len as u64);
        }
    }

    /// Takes what `broadcast` or `repair` has to tell.
    pub fn on_news(&mut self, news: News, messages: &Messages, links: &Links, cx: &mut Cx<'_>) {
        match news {
            News::Wanted(wanted) => self.want(*wanted, links, cx),
            News::Holder(holding) => self.holds(&holding, links, cx),
            News::Published { len } => self.credit(len),
            News::Follow { id, link } => self.follow(id, link, messages, cx),
        }
        self.activate(links, cx);
    }

    /// A header whose body is to be had.
    fn want(&mut self, wanted: Wanted, links: &Links, cx: &mut Cx<'_>) {
        let (holding, config) = (wanted.holding, &cx.config.bodies);
        let (id, now) = (holding.id, cx.now.mono);
        if self.wanted.contains_key(&id) {
            self.holds(&holding, links, cx);
            return;
        }
        let (len, feeder) = (wanted.manifest.body_len(), wanted.feeder);
        let bulk = config.copies_at_once(len).is_some();
        let body = Body::new(wanted, bulk, now);
        let author = body.arrival.header.author;
        let brought = self.peers.get(&holding.link).map_or(0, |it| it.brought);
        let usage = self.authors.get(&author).copied().unwrap_or_default();
        if self.wanted.len() >= config.max_wanted
            || usage.wanted >= config.max_per_author
            || brought >= config.max_per_link
            || self.head_bytes + body.head_cost() > config.head_bytes
        {
            cx.stats.bodies.wanted_full += 1;
            if holding.follows {
                self.cancel(holding.link, &id, 0..usize::from(u16::MAX), cx);
            }
            return;
        }
        cx.stats.bodies.wanted += 1;
        self.head_bytes += body.head_cost();
        self.authors.entry(author).or_default().wanted += 1;
        if let Some(peer) = self.peers.get_mut(&holding.link) {
            peer.brought += 1;
        }
        self.due.insert((body.due, id));
        let waits = (body.since, id);
        self.wanted.insert(id, body);
        self.queue.insert(waits);
        self.activate(links, cx);
        if !self.wanted.get(&id).is_some_and(|body| body.active) {
            cx.stats.bodies.waited += 1;
        }
        if let Some(link) = feeder {
            let fed = Holding {
                id,
                link,
                has: Has::Head,
                hops: None,
                follows: true,
            };
            self.holds(&fed, links, cx);
        }
        self.holds(&holding, links, cx);
    }

    /// A link has the header, or the body, of a large message.
    fn holds(&mut self, holding: &Holding, links: &Links, cx: &mut Cx<'_>) {
        let max = cx.config.bodies.max_holders;
        let now = cx.now.mono;
        let known = self.peers.contains_key(&holding.link);
        let Some(body) = self.wanted.get_mut(&holding.id).filter(|_| known) else {
            if holding.follows {
                self.cancel(holding.link, &holding.id, 0..usize::from(u16::MAX), cx);
            }
            return;
        };
        body.note(holding, max);
        if !holding.follows {
            self.attend(holding.id, links, cx);
            self.split(holding, links, cx);
            return;
        }
        // It sends all of it. What is not here and nobody is at work on may come from it; the rest it need not send.
        let all = 0..body.manifest.len();
        let free = body.active.then(|| body.uncovered()).flatten();
        let early = self.early.take(holding.link, &holding.id);
        let Some(free) = free else {
            self.cancel(holding.link, &holding.id, all, cx);
            return;
        };
        let rtt = links.get(holding.link).map(|link| link.rtt);
        let usual = self.patience(rtt.unwrap_or_default(), 0);
        if let Some(body) = self.wanted.get_mut(&holding.id) {
            let look = now + usual.max(body.patience());
            let mut ask = Ask::new(holding.link, free.clone(), now, look);
            ask.under_way = true;
            body.asks.push(ask);
            if let Some(holder) = body.holder(holding.link) {
                holder.tried = holder.tried.saturating_add(1);
            }
        }
        for rest in [all.start..free.start, free.end..all.end] {
            if !rest.is_empty() {
                self.cancel(holding.link, &holding.id, rest, cx);
            }
        }
        self.attend(holding.id, links, cx);
        for (chunk, frame) in early {
            cx.stats.bodies.early += 1;
            self.on_chunk(holding.link, chunk, frame, links, cx);
        }
    }

    /// A chunk came.
    pub fn on_chunk(
        &mut self,
        link: LinkId,
        chunk: Chunk,
        frame: Bytes,
        links: &Links,
        cx: &mut Cx<'_>,
    ) {
        let now = cx.now.mono;
        let (id, index) = (MessageId::from_bytes(chunk.id), usize::from(chunk.index));
        if !self.peers.contains_key(&link) {
            cx.stats.bodies.unasked += 1;
            return;
        }
        if !self.wanted.contains_key(&id) {
            for (link, size) in self.early.push(link, chunk, frame, now) {
                self.unasked(link, size, cx);
            }
            return;
        }
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        let body = self.wanted.get_mut(&id).filter(|body| body.active);
        let ask = body.as_ref().and_then(|body| {
            let covers = |ask: &Ask| ask.link == link && ask.chunks.contains(&index);
            body.asks.iter().position(covers)
        });
        let missing = body.filter(|body| body.frame(index).is_none());
        if ask.is_none() || missing.is_none() {
            let counters = &mut cx.stats.bodies;
            match missing.is_none() && ask.is_some() {
                true => counters.duplicates += 1,
                false => counters.unasked += 1,
            }
            if !peer.unasked.take(frame.len() as u64, now) {
                self.faults.push((link, Code::Flood));
                return;
            }
        }
        let Some(body) = missing else {
            return;
        };
        if !body.manifest.check(index, &chunk.bytes) {
            cx.stats.bodies.bad_chunks += 1;
            self.faults.push((link, Code::BadSignature));
            return;
        }
        cx.stats.bodies.chunks += 1;
        cx.stats.bodies.chunk_bytes += chunk.bytes.len() as u64;
        peer.active = now;
        peer.budget.earn(2 * frame.len() as u64);
        let first = body.bulk && body.is_empty();
        body.put(index, frame, now);
        if let Some(holder) = body.holder(link) {
            holder.brought = holder.brought.saturating_add(1);
        }
        let mut needless = Vec::new();
        if let Some(at) = ask {
            let rtt = links.get(link).map(|link| link.rtt).unwrap_or_default();
            let least = body.patience();
            let ask = &mut body.asks[at];
            if ask.brought == 0 {
                self.answer.sample(now.saturating_duration_since(ask.at));
                peer.kept();
            }
            ask.under_way = true;
            ask.brought = ask.brought.saturating_add(1);
            ask.late = false;
            // Four times the pace so far, on a slow link.
            let pace = now.saturating_duration_since(ask.at) / ask.brought;
            let usual = patience(&self.answer, rtt, 0).max((pace * 4).min(PATIENCE_MAX));
            ask.look = now + usual.max(least);
            // Whoever else was asked for the same need not send it.
            let range = ask.chunks.clone();
            let same = |it: &Ask| {
                it.link != link && it.chunks.start < range.end && it.chunks.end > range.start
            };
            needless.extend(body.asks.extract_if(.., |it| same(it)));
            if body.missing(range).is_none() {
                body.asks
                    .retain(|it| it.link != link || !it.chunks.contains(&index));
            }
        }
        let complete = body.is_complete();
        for other in &needless {
            self.cancel(other.link, &id, other.chunks.clone(), cx);
        }
        if complete {
            self.complete(id, link, cx);
            self.activate(links, cx);
        } else if !needless.is_empty() {
            self.attend(id, links, cx);
        }
        if first {
            self.tell_part(&id, links, cx);
        }
        self.feed(&id, cx);
    }

    /// A chunk was not asked for, or not for long enough.
    fn unasked(&mut self, link: LinkId, size: usize, cx: &mut Cx<'_>) {
        cx.stats.bodies.unasked += 1;
        let peer = self.peers.get_mut(&link);
        if peer.is_some_and(|peer| !peer.unasked.take(size as u64, cx.now.mono)) {
            self.faults.push((link, Code::Flood));
        }
    }

    /// The last chunk of a body came.
    fn complete(&mut self, id: MessageId, by: LinkId, cx: &mut Cx<'_>) {
        let Some(mut body) = self.remove(&id) else {
            return;
        };
        cx.stats.bodies.completed += 1;
        for ask in &body.asks {
            self.cancel(ask.link, &id, ask.chunks.clone(), cx);
        }
        let most = body.holders.iter().max_by_key(|it| it.brought);
        let by = most.filter(|_| body.bulk).map_or(by, |it| it.link);
        let bytes = body.assemble();
        self.credit(bytes.len());
        if self.subscribers.contains_key(&id) {
            self.pin(id, Some(bytes.clone()), false, cx);
        }
        let mut arrival = body.arrival;
        // What is not made of entries is its author's fault; `messages` sees to it.
        arrival.entries = wire::entries_of(&bytes, arrival.header.count).unwrap_or_default();
        arrival.body = Some(bytes);
        self.brought.push(Brought {
            id,
            author: arrival.header.author,
            by,
            bulk: body.bulk,
            late: body
                .holders
                .iter()
                .filter(|it| it.late && it.link != by)
                .map(|it| it.link)
                .collect(),
        });
        self.arrivals.push(arrival);
    }

    /// Runs what is due; cheap when nothing is.
    pub fn on_timeout(&mut self, links: &Links, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        while let Some((at, id)) = self.due.first().copied()
            && at <= now
        {
            self.attend(id, links, cx);
        }
        self.activate(links, cx);
        while let Some((link, size)) = self.early.expire(now) {
            self.unasked(link, size, cx);
        }
        if self.wake.is_some_and(|at| at <= now) {
            self.wake(cx);
        }
    }

    /// The earliest deadline.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        let due = self.due.first().map(|(at, _)| *at);
        [due, self.wake, self.early.next_timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whole messages on their way to `messages`.
    pub fn take_arrivals(&mut self) -> Vec<Arrival> {
        std::mem::take(&mut self.arrivals)
    }

    /// A body that became whole in this step, and that `messages` does not know yet.
    pub(super) fn on_its_way(&self, id: &MessageId) -> Option<Bytes> {
        let arrival = self.arrivals.iter().find(|arrival| arrival.id == *id)?;
        arrival.body.clone()
    }

    /// Links that did what no honest neighbor does, to be closed with this code.
    pub fn take_faults(&mut self) -> Vec<(LinkId, Code)> {
        std::mem::take(&mut self.faults)
    }

    /// Who subscribed to which body since the last call.
    pub fn take_subscribed(&mut self) -> Vec<(LinkId, MessageId)> {
        std::mem::take(&mut self.subscribed)
    }

    /// Who brought the bodies that became whole since the last call.
    pub fn take_brought(&mut self) -> Vec<Brought> {
        std::mem::take(&mut self.brought)
    }

    /// How long to wait for a link of this round trip that was asked so often before.
    pub(super) fn patience(&self, rtt: Duration, tried: u8) -> Duration {
        patience(&self.answer, rtt, tried)
    }

    #[cfg(test)]
    pub(super) const fn memory(&self) -> (usize, usize, usize) {
        (self.reserved, self.head_bytes, self.whole_bytes)
    }
}

/// Bounds of the wait before the first doubling.
pub(super) const PATIENCE_MIN: Duration = Duration::from_millis(60);
const PATIENCE_MAX: Duration = Duration::from_secs(2);

pub(super) fn patience(answer: &Smoothed, rtt: Duration, tried: u8) -> Duration {
    let usual = answer
        .bound()
        .max(rtt * 2)
        .clamp(PATIENCE_MIN, PATIENCE_MAX);
    usual * (1 << tried.min(3))
}

/// A range of chunks as it travels.
pub(super) fn span(chunks: &std::ops::Range<usize>) -> Option<(u16, u16)> {
    let from = u16::try_from(chunks.start).ok()?;
    let to = u16::try_from(chunks.end).ok()?;
    (from < to).then_some((from, to))
}
