//! The seen set: every decided message of the window, ordered by date.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::wire::Point;

/// What is remembered about a decided message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fact {
    /// Number of its author in the table of authors; 0 = not tracked.
    pub(super) author: u64,
    /// Its sequence number.
    pub(super) seq: u64,
    /// What it takes in the log; 0 = not in the log.
    pub(super) bytes: u32,
    /// Displaced from an equivocating pair: seen, but no part of what nodes compare, since others may never see it.
    pub(super) hidden: bool,
}

/// All decided messages between the low edge and now: about 100 bytes each, and as much again in the table of authors.
///
/// The low edge only rises; points below it are gone logically at once, physically in slices.
#[derive(Debug, Default)]
pub struct Decided {
    points: BTreeMap<Point, Fact>,
    low_edge_ms: u64,
    logged: usize,
    bytes: u64,
}

impl Decided {
    /// An empty set.
    pub(super) fn new(low_edge_ms: u64) -> Self {
        Self {
            low_edge_ms,
            ..Self::default()
        }
    }

    /// Whether the message with this date and id has been decided.
    #[must_use]
    pub fn contains(&self, point: &Point) -> bool {
        self.points.contains_key(point)
    }

    /// Whether the message with this date and id is in the log, so that it can be served.
    #[must_use]
    pub fn is_logged(&self, point: &Point) -> bool {
        self.points.get(point).is_some_and(|fact| fact.bytes > 0)
    }

    /// Nothing dated below this is known or taken, milliseconds since the Unix epoch.
    #[must_use]
    pub fn low_edge_ms(&self) -> u64 {
        self.low_edge_ms
    }

    /// Number of decided messages, those not yet swept below the edge included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// Whether nothing is decided.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// Messages in the log.
    #[must_use]
    pub fn logged(&self) -> usize {
        self.logged
    }

    /// Bytes in the log, by the retention's count.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The points from `from` up to `to` (exclusive) that nodes compare, ascending.
    pub fn range(&self, from: Point, to: Point) -> impl Iterator<Item = Point> {
        let to = to.max(from);
        self.points
            .range((Bound::Included(from), Bound::Excluded(to.max(from))))
            .filter(|(_, fact)| !fact.hidden)
            .map(|(point, _)| *point)
    }

    /// The point with `n` newer ones above it; `None` if there are not that many.
    #[must_use]
    pub fn nth_newest(&self, n: usize) -> Option<Point> {
        self.points.keys().rev().nth(n).copied()
    }

    pub(super) fn nth_oldest(&self, n: usize) -> Option<Point> {
        self.points.keys().nth(n).copied()
    }

    pub(super) fn insert(&mut self, point: Point, fact: Fact) {
        let old = self.points.insert(point, fact);
        self.account(old, -1);
        self.account(Some(fact), 1);
    }

    /// Takes a message out of the log; it stays decided. Returns what it took.
    pub(super) fn unlog(&mut self, point: &Point, hide: bool) -> u32 {
        let Some(fact) = self.points.get_mut(point) else {
            return 0;
        };
        let old = *fact;
        fact.bytes = 0;
        fact.hidden |= hide;
        self.account(Some(old), -1);
        old.bytes
    }

    /// Raises the edge; a lower one changes nothing.
    pub(super) fn raise(&mut self, low_edge_ms: u64) {
        self.low_edge_ms = self.low_edge_ms.max(low_edge_ms);
    }

    /// Whether something lies below the edge.
    pub(super) fn sweepable(&self) -> bool {
        self.points
            .first_key_value()
            .is_some_and(|(point, _)| point.unix_ms < self.low_edge_ms)
    }

    /// Removes and returns the oldest point if it lies below the edge.
    pub(super) fn sweep(&mut self) -> Option<(Point, Fact)> {
        if !self.sweepable() {
            return None;
        }
        let (point, fact) = self.points.pop_first()?;
        self.account(Some(fact), -1);
        Some((point, fact))
    }

    fn account(&mut self, fact: Option<Fact>, sign: i8) {
        let Some(bytes) = fact.map(|fact| fact.bytes).filter(|bytes| *bytes > 0) else {
            return;
        };
        if sign > 0 {
            self.logged += 1;
            self.bytes += u64::from(bytes);
        } else {
            self.logged -= 1;
            self.bytes -= u64::from(bytes);
        }
    }
}
