//! When visits are looked at for having been idle.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::input::LinkId;

/// At most one time for each open link. A look may come too early: what arrives meanwhile moves nothing here.
#[derive(Debug, Default)]
pub(super) struct Idle {
    at: BTreeMap<LinkId, Instant>,
    order: BTreeSet<(Instant, LinkId)>,
}

impl Idle {
    /// Looks at a link at this time.
    pub(super) fn set(&mut self, link: LinkId, at: Instant) {
        self.remove(link);
        self.at.insert(link, at);
        self.order.insert((at, link));
    }

    pub(super) fn remove(&mut self, link: LinkId) {
        if let Some(at) = self.at.remove(&link) {
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
