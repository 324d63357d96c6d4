//! Memory for bodies: reserved before a body is asked for, given to the authors with least in reserve first, then to the oldest.

use std::time::Instant;

use crypto::MessageId;

use super::Config;
use super::assembly::Body;
use super::part::Bodies;
use crate::cx::Cx;
use crate::neighbors::Links;

/// Bodies that wait for memory looked at when there is some.
const QUEUE_SCAN: usize = 256;

/// What an author has under way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    pub(super) wanted: usize,
    pub(super) reserved: usize,
}

impl Bodies {
    /// Takes a body off the list of what is wanted.
    pub(super) fn remove(&mut self, id: &MessageId) -> Option<Body> {
        let body = self.wanted.remove(id)?;
        self.early.close(*id);
        self.due.remove(&(body.due, *id));
        self.queue.remove(&(body.since, *id));
        self.head_bytes -= body.head_cost();
        let author = body.arrival.header.author;
        if let Some(usage) = self.authors.get_mut(&author) {
            usage.wanted -= 1;
            if body.active {
                usage.reserved -= body.len();
            }
            if usage.wanted == 0 {
                self.authors.remove(&author);
            }
        }
        if body.active {
            self.reserved -= body.len();
        }
        let from = body.arrival.from.map(|(link, _)| link);
        if let Some(peer) = from.and_then(|link| self.peers.get_mut(&link)) {
            peer.brought = peer.brought.saturating_sub(1);
        }
        Some(body)
    }

    /// Gives the memory of a body of which nothing came to others, if some wait; returns whether it did.
    pub(super) fn yield_memory(&mut self, body: &mut Body, id: MessageId, now: Instant) -> bool {
        if self.queue.is_empty() || !body.active || !body.is_empty() {
            return false;
        }
        self.reserved -= body.len();
        if let Some(usage) = self.authors.get_mut(&body.arrival.header.author) {
            usage.reserved -= body.len();
        }
        body.deactivate(now);
        self.queue.insert((now, id));
        true
    }

    /// Gives memory to bodies that wait for it: of the authors with least in reserve, then the oldest.
    pub(super) fn activate(&mut self, links: &Links, cx: &mut Cx<'_>) {
        while let Some(id) = self.next_to_activate(&cx.config.bodies) {
            let Some(body) = self.wanted.get_mut(&id) else {
                return;
            };
            self.queue.remove(&(body.since, id));
            body.activate();
            body.progress = cx.now.mono;
            self.reserved += body.len();
            let author = body.arrival.header.author;
            self.authors.entry(author).or_default().reserved += body.len();
            if !body.holders.is_empty() {
                self.attend(id, links, cx);
            }
        }
    }

    fn next_to_activate(&self, config: &Config) -> Option<MessageId> {
        // An eighth is for bodies of one chunk, which do not wait behind large ones.
        let fits = |body: &Body| {
            let single = body.manifest.len() == 1;
            let most = config.memory - if single { 0 } else { config.memory / 8 };
            self.reserved + body.len() <= most || self.reserved == 0
        };
        let reserved = |body: &Body| {
            let author = self.authors.get(&body.arrival.header.author);
            author.map_or(0, |usage| usage.reserved)
        };
        let waiting = self.queue.iter().take(QUEUE_SCAN);
        let waiting = waiting.filter_map(|(_, id)| Some((id, self.wanted.get(id)?)));
        let (single, large): (Vec<_>, Vec<_>) =
            waiting.partition(|(_, body)| body.manifest.len() == 1);
        for kind in [single, large] {
            // The first of those with least; nobody overtakes it by being smaller.
            let first = kind.iter().min_by_key(|(_, body)| reserved(body));
            if let Some((id, body)) = first
                && fits(body)
            {
                return Some(**id);
            }
        }
        None
    }
}
