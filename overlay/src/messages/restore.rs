//! What the room remembers across a restart.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::authors::{Authors, Limits};
use super::decided::{Decided, Fact};
use super::part::Messages;
use super::publish::Publishes;
use super::recent::Recent;
use super::reserve::Reservation;
use super::verdicts::Verdicts;
use crate::cx::Cx;
use crate::input::Now;
use crate::restored::Restored;
use crate::wire::Point;

impl Messages {
    /// The room as it was when the node last stopped; asks the store for its first reservations.
    #[must_use]
    pub fn new(restored: &Restored, cx: &mut Cx<'_>) -> Self {
        let (config, me, now) = (&cx.config.messages, cx.me(), cx.now);
        let retention = u64::try_from(config.retention.as_millis()).unwrap_or(u64::MAX);
        let edge = restored
            .low_edge_ms
            .max(now.unix_ms.saturating_sub(retention));
        let next_cursor = restored
            .messages
            .iter()
            .map(|message| {
                message
                    .first_cursor
                    .saturating_add(u64::from(message.entries))
            })
            .fold(restored.next_cursor.max(1), u64::max);
        let own_last = restored
            .messages
            .iter()
            .filter(|message| message.author == me)
            .map(|message| message.seq)
            .max()
            .unwrap_or(0);
        // The clock keeps a node whose store is lost, or older than it was, from using a number twice: a run that begins at its
        // start in microseconds cannot outrun the clock, since no node signs a million messages a second.
        let first_seq = restored
            .next_seq
            .max(own_last.saturating_add(1))
            .max(now.unix_ms.saturating_mul(1000))
            .max(1);
        let limits = Limits {
            hold: config.hold,
            hold_repairing: config.hold_repairing,
            per_author: config.max_held_per_author,
            held: config.max_held,
            held_bytes: config.max_held_bytes,
            authors: config.max_authors,
            established_after: config.established_after,
        };
        let mut messages = Self {
            me,
            decided: Decided::new(edge),
            authors: Authors::new(limits, now.mono),
            pending: BTreeSet::new(),
            verdicts: Verdicts::new(
                config.max_verdicts,
                config.max_verdict_bytes,
                config.verdict_deadline,
            ),
            recent: Recent::new(
                config.recent_bytes,
                config.recent_body_bytes,
                config.recent_time,
            ),
            cursors: Reservation::new(next_cursor, config.reserve),
            ready: VecDeque::new(),
            ready_bytes: 0,
            publishes: Publishes::new(Reservation::new(first_seq, config.reserve), own_last),
            accepted: Vec::new(),
            proofs: BTreeMap::new(),
            holes: Vec::new(),
            rejected: Vec::new(),
            first_seq,
            started: now,
            cloned: false,
            leaving: false,
            edge_check: now.mono,
            squeeze_check: now.mono,
            stored_edge_ms: restored.low_edge_ms,
            config: config.clone(),
        };
        messages.restore(restored, now);
        messages.reserve(cx);
        messages
    }

    fn restore(&mut self, restored: &Restored, now: Now) {
        for message in &restored.messages {
            let point = Point {
                unix_ms: message.published_unix_ms,
                id: message.id.to_bytes(),
            };
            if point.unix_ms < self.decided.low_edge_ms() || self.decided.contains(&point) {
                continue;
            }
            let (author, _) =
                self.authors
                    .track(message.author.as_bytes(), None, now.mono, &self.decided);
            let fact = Fact {
                author,
                seq: message.seq,
                bytes: message.bytes.max(1),
                hidden: false,
            };
            self.decided.insert(point, fact);
            self.authors.decided(author, fact.seq, fact.bytes);
        }
        for (id, unix_ms) in &restored.decided {
            let point = Point {
                unix_ms: *unix_ms,
                id: id.to_bytes(),
            };
            if point.unix_ms >= self.decided.low_edge_ms() && !self.decided.contains(&point) {
                let fact = Fact {
                    author: 0,
                    seq: 0,
                    bytes: 0,
                    hidden: false,
                };
                self.decided.insert(point, fact);
            }
        }
    }
}
