//! When visits have been idle for too long.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::{Code, Link, Neighbors};
use crate::cx::Cx;
use crate::input::LinkId;
use crate::peers::Book;
use crate::wire::Purpose;

/// At most one time for each open link.
#[derive(Debug, Default)]
pub(super) struct Idle {
    /// When to look, and how long after the last frame that is.
    at: BTreeMap<LinkId, (Instant, Duration)>,
    order: BTreeSet<(Instant, LinkId)>,
}

impl Idle {
    /// Looks at a link when nothing has come for so long.
    pub(super) fn watch(&mut self, link: LinkId, idle: Duration, now: Instant) {
        self.remove(link);
        self.at.insert(link, (now + idle, idle));
        self.order.insert((now + idle, link));
    }

    /// A frame came over a link that is watched.
    pub(super) fn again(&mut self, link: LinkId, now: Instant) {
        if let Some((at, idle)) = self.at.get_mut(&link)
            && *at < now + *idle
        {
            self.order.remove(&(*at, link));
            *at = now + *idle;
            self.order.insert((*at, link));
        }
    }

    /// Looks at a link at this time, whatever comes before.
    pub(super) fn put_off(&mut self, link: LinkId, until: Instant) {
        self.watch(link, Duration::ZERO, until);
    }

    pub(super) fn remove(&mut self, link: LinkId) {
        if let Some((at, _)) = self.at.remove(&link) {
            self.order.remove(&(at, link));
        }
    }

    /// When the first look is due.
    pub(super) fn first(&self) -> Option<Instant> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes out the links to look at now, in order of id.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<LinkId> {
        let mut due = Vec::new();
        while let Some((at, link)) = self.order.first().copied()
            && at <= now
        {
            self.remove(link);
            due.push(link);
        }
        due.sort_unstable();
        due
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.at.len(), self.order.len());
        self.at.len()
    }
}

impl Neighbors {
    /// Whoever dialled a visit closes it; the other end only if that one does not.
    pub(super) fn close_idle_visits(&mut self, book: &mut Book, cx: &mut Cx<'_>) {
        let (now, idle) = (cx.now.mono, cx.config.neighbors.visit_idle);
        for id in self.upkeep.idle.take_due(now) {
            let visit = |link: &&Link| link.is_open() && link.kind == Purpose::Visit;
            let Some(link) = self.links.get(id).filter(visit) else {
                // A neighbor stays one until it closes.
                continue;
            };
            let idle = if link.outbound { idle } else { idle * 3 };
            let asked = self.requests.get(&id).copied();
            let until = asked.map_or(link.last_in + idle, |answer| {
                answer.max(link.last_in + idle)
            });
            if until <= now {
                cx.stats.neighbors.visits_idled += 1;
                self.close(id, Code::Idle, book, cx);
            } else {
                self.upkeep.idle.put_off(id, until);
            }
        }
    }
}
