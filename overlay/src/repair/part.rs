//! The part itself: when to reconcile, with whom, and how much work a step may be.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::FRESH_MS;
use super::fetch::Fetch;
use super::job::{Answer, Job, asks};
use super::peer::Peer;
use super::serve::Serve;
use super::session::{FIRST_ANSWER, Scope, Session, Turn, date};
use crate::action::Row;
use crate::bodies::News;
use crate::collections::TokenBucket;
use crate::cx::Cx;
use crate::input::{Lane, LinkId, Token};
use crate::messages::{AHEAD_MS, Arrival, Messages};
use crate::neighbors::{Change, Code, Links};
use crate::wire::{self, Bounded, Fetch as FetchFrame, FetchMissing, Message, Reconcile};

/// Between two slices of work.
const PAUSE: Duration = Duration::from_millis(1);
/// Between two looks at sessions that wait for room in the table of missing messages.
const WAIT: Duration = Duration::from_millis(50);
/// Sessions that a link may open at once, and the time that gives one back.
const OPENS: u64 = 4;
const OPEN_EVERY: Duration = Duration::from_secs(5);
/// Of these, ours for holes in authors' orders: half as many, so that others are answered too.
const HOLES: u64 = 2;
/// A new neighbor is compared with again after this long, for what was too fresh the first time.
const FOLLOW_UP: Duration = Duration::from_millis(FRESH_MS + 2_000);

/// Keeps nodes equal: finds out what is missing at either end of a link, and fetches what is missing here.
#[derive(Debug)]
pub struct Repair {
    pub(super) peers: BTreeMap<LinkId, Peer>,
    /// Links to start a session with, and over what.
    pub(super) starts: VecDeque<(LinkId, Scope)>,
    /// New neighbors to be compared with once more, in order of time; at most one entry a link.
    follow_ups: VecDeque<(Instant, LinkId)>,
    /// Links whose session has work for us, first come, first served.
    pub(super) jobs: VecDeque<LinkId>,
    jobs_at: Instant,
    pub(super) period_at: Instant,
    pub(super) periods: u64,
    /// Until then the session of this period waits for a visit to somebody who is no neighbor.
    pub(super) owed: Option<Instant>,
    session_timeout: Duration,
    /// Something came in since the last look, so that `due` may be late.
    pub(super) stirred: bool,
    due: Option<Instant>,
    /// No session expires before this.
    sessions_at: Option<Instant>,
    pub(super) fetch: Fetch,
    serve: Serve,
    pub(super) news: Vec<News>,
}

impl Repair {
    /// Starts with nothing under way.
    #[must_use]
    pub fn new(cx: &mut Cx<'_>) -> Self {
        let mut repair = Self {
            peers: BTreeMap::new(),
            starts: VecDeque::new(),
            follow_ups: VecDeque::new(),
            jobs: VecDeque::new(),
            jobs_at: cx.now.mono,
            period_at: cx.now.mono,
            periods: 0,
            owed: None,
            session_timeout: cx.config.repair.session_timeout,
            stirred: true,
            due: None,
            sessions_at: None,
            fetch: Fetch::new(cx.config.repair.fetch_timeout),
            serve: Serve::new(),
            news: Vec::new(),
        };
        repair.schedule(cx);
        repair
    }

    /// Follows the links: a session with each new neighbor, started by the end that dialled (when the other one may not have
    /// read the accept yet, frames on other lanes could overtake it), and another one some seconds later.
    pub fn on_change(
        &mut self,
        change: &Change,
        messages: &Messages,
        links: &Links,
        cx: &mut Cx<'_>,
    ) {
        match change {
            // Nothing is due for a link that has just opened.
            Change::Opened { link, peer, .. } => {
                self.peers.insert(
                    *link,
                    Peer {
                        peer: *peer,
                        session: None,
                        opens: TokenBucket::per(OPENS, 1, OPEN_EVERY, cx.now.mono),
                        holes: TokenBucket::per(HOLES, 1, OPEN_EVERY * 2, cx.now.mono),
                        low_edge_ms: 0,
                        resume: None,
                    },
                );
            }
            Change::NeighborUp { link, .. } => {
                self.stirred = true;
                if links.get(*link).is_some_and(|link| link.outbound) {
                    self.starts.push_back((*link, Scope::Whole));
                    self.follow_ups.retain(|(_, other)| other != link);
                    self.follow_ups.push_back((cx.now.mono + FOLLOW_UP, *link));
                    self.start_sessions(messages, links, cx);
                    self.work(messages, cx);
                }
            }
            Change::Closed { link, .. } => {
                // Only what was under way makes room for something else by its end.
                let session = self.peers.remove(link).and_then(|peer| peer.session);
                let owed = self.fetch.closed(*link);
                let served = self.serve.closed(*link);
                self.stirred |= session.is_some() || owed || served;
                self.starts.retain(|(other, _)| other != link);
                self.follow_ups.retain(|(_, other)| other != link);
                self.jobs.retain(|other| other != link);
            }
            Change::NeighborDown { .. } | Change::DialFailed { .. } => {}
        }
    }

    /// A step of a session.
    ///
    /// # Errors
    /// Never yet; a frame out of place is dropped and counted, since sessions of both ends may cross.
    pub fn on_reconcile(
        &mut self,
        link: LinkId,
        frame: Reconcile,
        messages: &Messages,
        _links: &Links,
        cx: &mut Cx<'_>,
    ) -> Result<(), Code> {
        self.stirred = true;
        let me = cx.me();
        let Some(peer) = self.peers.get_mut(&link) else {
            cx.stats.repair.stray += 1;
            return Ok(());
        };
        peer.low_edge_ms = frame.low_edge_ms;
        match &mut peer.session {
            Some(session) if session.id == frame.session && session.mine != frame.initiator => {
                if !matches!(session.turn, Turn::Theirs) || session.key != frame.key {
                    cx.stats.repair.stray += 1;
                    return Ok(());
                }
                if session.mine && session.frames == 1 && frame.ranges.is_empty() {
                    cx.stats.repair.sessions_equal += 1;
                }
                session.since = cx.now.mono;
                session.turn = Turn::Received(Box::new(frame));
            }
            // Both ends began at once: the session of the lesser id stands.
            Some(session) if session.mine && (!frame.initiator || me < peer.peer) => {
                cx.stats.repair.stray += 1;
                return Ok(());
            }
            _ if !frame.initiator => {
                cx.stats.repair.stray += 1;
                return Ok(());
            }
            _ => {
                if !peer.opens.take(1, cx.now.mono) {
                    cx.stats.repair.sessions_refused += 1;
                    return Ok(());
                }
                cx.stats.repair.sessions_answered += 1;
                // Who looks for what lies before something fresh says so by its range.
                let theirs = frame.ranges.last().map_or(frame.start, |range| range.end);
                let settled = date(cx.now.unix_ms.saturating_sub(FRESH_MS / 2));
                let ahead = date(cx.now.unix_ms.saturating_add(AHEAD_MS));
                peer.session = Some(Box::new(Session {
                    id: frame.session,
                    key: frame.key,
                    mine: false,
                    low: date(messages.low_edge_ms()),
                    high: settled.max(theirs.min(ahead)),
                    turn: Turn::Received(Box::new(frame)),
                    since: cx.now.mono,
                    frames: 0,
                    futile: 0,
                }));
            }
        }
        self.watch_session(cx.now.mono);
        if !self.jobs.contains(&link) {
            self.jobs.push_back(link);
        }
        self.work(messages, cx);
        Ok(())
    }

    /// Works on the sessions whose turn is ours, a slice a millisecond.
    pub(super) fn work(&mut self, messages: &Messages, cx: &mut Cx<'_>) {
        if cx.now.mono < self.jobs_at {
            return;
        }
        let slice = cx.config.repair.slice.max(1);
        let mut budget = slice;
        let mut blocked = 0;
        while budget > 0 && blocked < self.jobs.len() {
            let Some(link) = self.jobs.pop_front() else {
                break;
            };
            let Some(peer) = self.peers.get_mut(&link) else {
                continue;
            };
            let Some(session) = &mut peer.session else {
                continue;
            };
            if let Turn::Received(frame) = &session.turn {
                if !self.fetch.has_room(link, &cx.config.repair) {
                    self.jobs.push_back(link);
                    blocked += 1;
                    continue;
                }
                let job = Job::answer(frame, session.low, session.high, messages);
                session.turn = Turn::Work(Box::new(job), asks(&frame.ranges));
            }
            let Turn::Work(job, _) = &mut session.turn else {
                continue;
            };
            if job.step(messages.decided(), &mut budget) {
                self.answer(link, messages, cx);
                blocked = 0;
            } else {
                self.jobs.push_front(link);
            }
        }
        cx.stats.repair.walked += (slice - budget) as u64;
        self.jobs_at = cx.now.mono + if budget == 0 { PAUSE } else { Duration::ZERO };
        if blocked > 0 {
            self.jobs_at = cx.now.mono + WAIT;
        }
    }

    /// The answer of a link's session is ready.
    fn answer(&mut self, link: LinkId, messages: &Messages, cx: &mut Cx<'_>) {
        let Some(peer) = self.peers.get_mut(&link) else {
            return;
        };
        let Some(mut session) = peer.session.take() else {
            return;
        };
        let Turn::Work(job, asked) = std::mem::replace(&mut session.turn, Turn::Theirs) else {
            return;
        };
        let answer = job.finish();
        match answer.solved {
            Some(true) => cx.stats.repair.sketches_solved += 1,
            Some(false) => cx.stats.repair.sketches_failed += 1,
            None => {}
        }
        cx.stats.repair.listed += answer.listed as u64;
        let news = answer.listed > 0 || !answer.missing.is_empty();
        for point in &answer.missing {
            self.fetch.want(*point, link, cx);
        }
        if !asked {
            return;
        }
        session.futile = if news { 0 } else { session.futile + 1 };
        if session.frames >= cx.config.repair.max_frames
            || session.futile > cx.config.repair.max_futile
        {
            cx.stats.repair.sessions_cut += 1;
            peer.resume = Some(answer.start);
            return;
        }
        let ends = !answer.asks();
        let bytes = frame(&session, answer, messages.low_edge_ms());
        session.frames += 1;
        session.since = cx.now.mono;
        session.turn = Turn::Send(bytes, ends);
        peer.session = Some(session);
        peer.send(link, cx);
    }

    /// Somebody asks for messages.
    ///
    /// # Errors
    /// Never yet; what is beyond the queue is refused by [`FetchMissing`].
    pub fn on_fetch(
        &mut self,
        link: LinkId,
        fetch: FetchFrame,
        messages: &Messages,
        cx: &mut Cx<'_>,
    ) -> Result<(), Code> {
        self.stirred = true;
        self.serve.asked(link, fetch.ids.into_vec(), messages, cx);
        Ok(())
    }

    /// Somebody does not have what it listed, or will not serve it.
    ///
    /// # Errors
    /// Never yet; ids that were not asked for are ignored.
    pub fn on_fetch_missing(
        &mut self,
        link: LinkId,
        missing: FetchMissing,
        _links: &Links,
        cx: &mut Cx<'_>,
    ) -> Result<(), Code> {
        self.stirred = true;
        for id in missing.ids.iter() {
            cx.stats.repair.fetch_missing += 1;
            self.fetch
                .absent(link, &crypto::MessageId::from_bytes(*id), cx.now.mono);
        }
        Ok(())
    }

    /// What is to be told to `bodies`.
    pub fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// An answer of the store.
    pub fn on_loaded(&mut self, token: Token, row: Option<Row>, cx: &mut Cx<'_>) {
        self.stirred = true;
        self.serve.on_loaded(token, row, cx);
    }

    /// A lane has room again.
    pub fn on_room(&mut self, link: LinkId, lane: Lane, messages: &Messages, cx: &mut Cx<'_>) {
        self.stirred = true;
        if lane != Lane::Bulk {
            return;
        }
        if let Some(peer) = self.peers.get_mut(&link) {
            peer.send(link, cx);
        }
        self.fetch.on_room();
        self.serve.pump(link, messages, cx);
    }

    /// Runs what is due; cheap when nothing is.
    pub fn on_timeout(&mut self, messages: &Messages, links: &Links, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        if !self.stirred && self.due.is_none_or(|due| now < due) {
            return;
        }
        self.run_due(messages, links, cx);
        self.stirred = false;
        self.due = self.first_due();
    }

    fn run_due(&mut self, messages: &Messages, links: &Links, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        self.start_periodic(messages, links, cx);
        while let Some((due, link)) = self.follow_ups.front().copied()
            && due <= now
        {
            self.follow_ups.pop_front();
            let busy = |peer: &Peer| peer.session.is_some();
            if self.peers.get(&link).is_some_and(busy) {
                self.follow_ups.push_back((now + FOLLOW_UP, link));
            } else {
                self.starts.push_back((link, Scope::Whole));
            }
        }
        if self.sessions_at.is_some_and(|at| at <= now) {
            self.expire_sessions(cx);
        }
        if !self.starts.is_empty() {
            self.start_sessions(messages, links, cx);
        }
        self.work(messages, cx);
        self.fetch.expire(cx);
        self.fetch.ask(messages, cx);
        self.fetch.release(cx);
        self.serve.pump_due(messages, cx);
    }

    fn expire_sessions(&mut self, cx: &mut Cx<'_>) {
        let timeout = self.session_timeout;
        self.sessions_at = None;
        for peer in self.peers.values_mut() {
            let Some(expires) = peer
                .session
                .as_ref()
                .map(|session| session.expires(timeout))
            else {
                continue;
            };
            if expires.is_some_and(|at| at <= cx.now.mono) {
                cx.stats.repair.sessions_cut += 1;
                peer.session = None;
            } else {
                // One that we are at work on does not expire now, but may later.
                let look = expires.unwrap_or_else(|| cx.now.mono + FIRST_ANSWER.min(timeout));
                self.sessions_at = Some(self.sessions_at.map_or(look, |at| at.min(look)));
            }
        }
    }

    /// A session began: it is looked at before it can expire.
    pub(super) fn watch_session(&mut self, now: Instant) {
        let look = now + FIRST_ANSWER.min(self.session_timeout);
        self.sessions_at = Some(self.sessions_at.map_or(look, |at| at.min(look)));
    }

    /// When [`on_timeout`](Self::on_timeout) has something to do next.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        if self.stirred {
            self.first_due()
        } else {
            self.due
        }
    }

    /// Looks through everything that is under way.
    fn first_due(&self) -> Option<Instant> {
        [
            Some(self.period_at),
            self.owed,
            self.follow_ups.front().map(|(due, _)| *due),
            (!self.jobs.is_empty()).then_some(self.jobs_at),
            self.sessions_at,
            self.fetch.next_timeout(),
            self.serve.next_timeout(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Whether no session is under way.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.jobs.is_empty() && self.peers.values().all(|peer| peer.session.is_none())
    }

    /// Messages fetched and verified since the last call, in the order in which they are to be appended.
    pub fn take_arrivals(&mut self) -> Vec<Arrival> {
        self.fetch.take_arrivals()
    }
}

fn frame(session: &Session, answer: Answer, low_edge_ms: u64) -> Bytes {
    wire::encode(&Message::Reconcile(Box::new(Reconcile {
        session: session.id,
        key: session.key,
        start: answer.start,
        initiator: session.mine,
        ranges: Bounded::truncated(answer.ranges),
        low_edge_ms,
    })))
}
