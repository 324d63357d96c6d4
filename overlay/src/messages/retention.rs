//! The window: a low edge that only rises, and a log bounded in bytes and messages.

use std::time::{Duration, Instant};

use crypto::MessageId;

use super::part::Messages;
use crate::action::Row;
use crate::cx::Cx;
use crate::messages::LIVE_MARGIN_MS;
use crate::wire::Point;

/// How often the edge follows the clock.
const EDGE_EVERY: Duration = Duration::from_secs(60);
/// An edge that passed nothing is written down this often, milliseconds.
const EDGE_STORED_EVERY_MS: u64 = 3_600_000;
/// The edge never rises above this long ago, milliseconds: live gossip needs its margin, and a minute to work in.
const SHORTEST_WINDOW_MS: u64 = LIVE_MARGIN_MS + 60_000;
/// Most ids swept or messages pruned in one step (about a millisecond).
const SLICE: usize = 4096;
/// Between two slices.
const PAUSE: Duration = Duration::from_millis(1);

impl Messages {
    /// Raises the edge and prunes the log, a slice at a time.
    pub(super) fn retain(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now;
        if now.mono >= self.edge_check {
            self.edge_check = now.mono + EDGE_EVERY;
            let retention = u64::try_from(self.config.retention.as_millis()).unwrap_or(u64::MAX);
            self.raise(now.unix_ms.saturating_sub(retention), cx);
        }
        if now.mono < self.squeeze_check || !self.is_over() {
            return;
        }
        self.squeeze_check = now.mono + PAUSE;
        self.sweep(cx);
        let doomed = self.authors.prune_doomed(SLICE, &mut self.decided);
        self.forget(&doomed, cx);
        self.prune(cx);
        if self.decided.len() > self.config.max_decided && !self.decided.sweepable() {
            // The seen set is full: only the edge can make room, nothing above it is ever forgotten.
            let aim = self.config.max_decided - self.config.max_decided / 64;
            if self.squeeze(self.decided.len().saturating_sub(aim), cx) {
                cx.stats.messages.squeezed += 1;
            } else {
                self.squeeze_check = now.mono + Duration::from_secs(1);
            }
        }
    }

    pub(super) fn next_retention(&self) -> Option<Instant> {
        let edge = self.edge_check;
        Some(if self.is_over() {
            edge.min(self.squeeze_check)
        } else {
            edge
        })
    }

    fn is_over(&self) -> bool {
        self.decided.sweepable()
            || !self.authors.doomed.is_empty()
            || self.decided.len() > self.config.max_decided
            || self.log_is_over() && self.ready.is_empty()
    }

    fn log_is_over(&self) -> bool {
        self.decided.bytes() > self.config.max_bytes
            || self.decided.logged() > self.config.max_messages
    }

    /// Raises the edge; it is written down when it passed something, and now and then.
    fn raise(&mut self, low_edge_ms: u64, cx: &mut Cx<'_>) {
        self.decided.raise(low_edge_ms);
        let edge = self.decided.low_edge_ms();
        let stale = edge >= self.stored_edge_ms.saturating_add(EDGE_STORED_EVERY_MS);
        if edge > self.stored_edge_ms && (stale || self.decided.sweepable()) {
            self.stored_edge_ms = edge;
            cx.persist(Row::Forget {
                low_edge_ms: edge,
                pruned: Vec::new(),
            });
        }
    }

    /// Raises the edge so that about `excess` ids fall below it, as far as the shortest window allows.
    fn squeeze(&mut self, excess: usize, cx: &mut Cx<'_>) -> bool {
        let Some(point) = self.decided.nth_oldest(excess) else {
            return false;
        };
        let highest = cx.now.unix_ms.saturating_sub(SHORTEST_WINDOW_MS);
        let before = self.decided.low_edge_ms();
        self.raise(point.unix_ms.saturating_add(1).min(highest), cx);
        self.decided.low_edge_ms() > before
    }

    fn sweep(&mut self, cx: &mut Cx<'_>) {
        for _ in 0..SLICE {
            let Some(fact) = self.decided.sweep() else {
                return;
            };
            cx.stats.messages.forgotten += 1;
            self.authors.forget(fact.author, fact.seq, fact.bytes);
        }
    }

    /// Shortens the log: whoever takes most loses their oldest first. What is pruned stays seen.
    fn prune(&mut self, cx: &mut Cx<'_>) {
        if !self.log_is_over() || !self.ready.is_empty() {
            return;
        }
        let aim = self.config.max_bytes - self.config.max_bytes / 64;
        let excess = if self.decided.bytes() > self.config.max_bytes {
            self.decided.bytes() - aim
        } else {
            0
        };
        let count = if self.decided.logged() > self.config.max_messages {
            self.decided.logged() - (self.config.max_messages - self.config.max_messages / 64)
        } else {
            0
        };
        let pruned = self.authors.prune(excess, count, SLICE, &mut self.decided);
        if pruned.is_empty() && !self.squeeze(SLICE, cx) {
            self.squeeze_check = cx.now.mono + Duration::from_secs(1);
        }
        self.forget(&pruned, cx);
    }

    /// Tells the store what left the log.
    fn forget(&mut self, pruned: &[Point], cx: &mut Cx<'_>) {
        if pruned.is_empty() {
            return;
        }
        cx.stats.messages.pruned += pruned.len() as u64;
        self.stored_edge_ms = self.stored_edge_ms.max(self.decided.low_edge_ms());
        cx.persist(Row::Forget {
            low_edge_ms: self.stored_edge_ms,
            pruned: pruned
                .iter()
                .map(|point| MessageId::from_bytes(point.id))
                .collect(),
        });
    }
}
