//! Sessions of our own: with whom, over what, and where that leads.

use std::time::Duration;

use rand::RngExt as _;

use super::job::Job;
use super::part::Repair;
use super::peer::Peer;
use super::session::{Scope, Session, Turn, date};
use super::{FRESH_MS, HOLE_MS, LOW_MARGIN_MS};
use crate::cx::Cx;
use crate::input::LinkId;
use crate::messages::{Hole, Messages};
use crate::neighbors::Links;
use crate::wire::Point;

/// Every so many sessions over a large window compare all of it.
const FULL_EVERY: u64 = 8;

impl Repair {
    pub(super) fn schedule(&mut self, cx: &mut Cx<'_>) {
        let period = u64::try_from(cx.config.repair.period.as_millis()).unwrap_or(u64::MAX / 4);
        let jittered = cx
            .rng
            .random_range(period - period / 4..=period + period / 4);
        self.period_at = cx.now.mono + Duration::from_millis(jittered.max(1));
    }

    /// One session a period: in turn with a neighbor, and with the member of the memory that is visited next, so that who is
    /// surrounded by neighbors who hide something is not left with them. When nobody is visited soon, a neighbor serves.
    pub(super) fn start_periodic(&mut self, messages: &Messages, links: &Links, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        if now >= self.period_at {
            self.schedule(cx);
            self.periods += 1;
            let wait = if self.periods.is_multiple_of(2) {
                cx.config.repair.period / 4
            } else {
                Duration::ZERO
            };
            self.owed = Some(now + wait);
        }
        if self.owed.is_none_or(|until| now < until) {
            return;
        }
        self.owed = None;
        let neighbors = links.neighbors().count();
        if neighbors == 0 {
            return;
        }
        let chosen = cx.rng.random_range(0..neighbors);
        if let Some((link, _)) = links.neighbors().nth(chosen)
            && !self.starts.iter().any(|(other, _)| *other == link)
        {
            let scope = self.periodic_scope(messages, cx);
            self.starts.push_back((link, scope));
        }
    }

    fn periodic_scope(&self, messages: &Messages, cx: &Cx<'_>) -> Scope {
        let whole = self.periods.is_multiple_of(FULL_EVERY)
            || messages.decided().len() <= cx.config.repair.recent;
        if whole { Scope::Whole } else { Scope::Recent }
    }

    /// Whether the session of this period waits for a visit to a member of the memory.
    #[must_use]
    pub fn awaits_visit(&self) -> bool {
        self.owed.is_some()
    }

    /// We visit a member of the memory.
    pub fn on_visit(&mut self, link: LinkId, messages: &Messages, links: &Links, cx: &mut Cx<'_>) {
        if self.owed.take().is_none() {
            return;
        }
        cx.stats.repair.visited += 1;
        self.stirred = true;
        let scope = self.periodic_scope(messages, cx);
        self.starts.push_back((link, scope));
        self.start_sessions(messages, links, cx);
        self.work(messages, cx);
    }

    /// Starts what is waiting to be started, a few at once.
    pub(super) fn start_sessions(&mut self, messages: &Messages, links: &Links, cx: &mut Cx<'_>) {
        let mine = |peer: &&Peer| peer.session.as_ref().is_some_and(|session| session.mine);
        let mut running = self.peers.values().filter(mine).count();
        while running < cx.config.repair.max_sessions
            && let Some((link, scope)) = self.starts.pop_front()
        {
            if self.start(link, scope, messages, links, cx) {
                running += 1;
            }
        }
    }

    pub(super) fn start(
        &mut self,
        id: LinkId,
        scope: Scope,
        messages: &Messages,
        links: &Links,
        cx: &mut Cx<'_>,
    ) -> bool {
        let (Some(peer), Some(link)) = (self.peers.get_mut(&id), links.get(id)) else {
            return false;
        };
        if peer.session.is_some() || !link.is_open() {
            return false;
        }
        let decided = messages.decided();
        let edge = decided.low_edge_ms().max(peer.low_edge_ms);
        let mut low = date(edge.saturating_add(LOW_MARGIN_MS));
        match scope {
            Scope::Whole => low = peer.resume.take().map_or(low, |resume| resume.max(low)),
            Scope::Recent => {
                let newest = decided.nth_newest(cx.config.repair.recent);
                low = newest.map_or(low, |newest| newest.max(low));
            }
            Scope::Before(point) => {
                low = low.max(date(point.unix_ms.saturating_sub(HOLE_MS)));
            }
        }
        // The slower of both clocks, as far as the greeting told.
        let clock = cx
            .now
            .unix_ms
            .saturating_add_signed(link.clock_offset_ms.min(0));
        let high = match scope {
            // Whoever holds what comes after it may be asked for it at once.
            Scope::Before(point) => point,
            Scope::Whole | Scope::Recent => date(clock.saturating_sub(FRESH_MS)),
        };
        if low >= high {
            return false;
        }
        cx.stats.repair.sessions += 1;
        let key = cx.rng.random();
        peer.session = Some(Box::new(Session {
            id: cx.rng.random(),
            key,
            mine: true,
            low,
            high,
            turn: Turn::Work(Box::new(Job::open(&key, low, high)), true),
            since: cx.now.mono,
            frames: 0,
            futile: 0,
        }));
        self.jobs.push_back(id);
        self.watch_session(cx.now.mono);
        self.stirred = true;
        true
    }

    /// A message waits for an earlier one that nobody brought: whoever brought it is asked for what lies before it.
    pub fn on_hole(&mut self, hole: Hole, messages: &Messages, links: &Links, cx: &mut Cx<'_>) {
        let Some(peer) = self.peers.get_mut(&hole.link) else {
            return;
        };
        // A session that is under way shows what is missing as well, and its other end answers only so many.
        if peer.session.is_some() || !peer.holes.take(1, cx.now.mono) {
            return;
        }
        cx.stats.repair.holes += 1;
        self.stirred = true;
        self.starts
            .push_back((hole.link, Scope::Before(hole.before)));
        self.start_sessions(messages, links, cx);
        self.work(messages, cx);
    }

    /// The first place where something is being compared or fetched: what lies after it may come yet.
    #[must_use]
    pub fn sought(&self) -> Option<Point> {
        let compared = self
            .peers
            .values()
            .filter_map(|peer| Some(peer.session.as_ref()?.low));
        compared.chain(self.fetch.first()).min()
    }
}
