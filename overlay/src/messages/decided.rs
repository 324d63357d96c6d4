//! The seen set: every decided message of the window, ordered by date, and by author and sequence number.

use super::sorted::Sorted;
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

impl Fact {
    /// Whether it can be found by author and number: it has an author, or is in the log and may have to be pruned.
    fn is_placed(&self) -> bool {
        !self.hidden && (self.author > 0 || self.bytes > 0)
    }
}

/// Author, sequence number, first bytes of the id: up to two messages have the first two in common.
type Place = (u64, u64, u64);

/// All decided messages between the low edge and now: about 100 bytes each.
///
/// The low edge only rises; points below it are gone logically at once, physically in slices.
#[derive(Debug, Default)]
pub struct Decided {
    points: Sorted<Point, Fact>,
    /// The dates of the messages, by author; without those that were displaced, or never were of a tracked author or in the log.
    places: Sorted<Place, u64>,
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
        self.points.get(point).is_some()
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
        self.points
            .range_from(from)
            .take_while(move |(point, _)| *point < to)
            .filter(|(_, fact)| !fact.hidden)
            .map(|(point, _)| *point)
    }

    /// The point with `n` newer ones above it; `None` if there are not that many.
    #[must_use]
    pub fn nth_newest(&self, n: usize) -> Option<Point> {
        let before = self.points.len().checked_sub(n)?.checked_sub(1)?;
        self.nth_oldest(before)
    }

    pub(super) fn nth_oldest(&self, n: usize) -> Option<Point> {
        self.points.nth(n).map(|(point, _)| *point)
    }

    /// Adds a message that is not in the set.
    pub(super) fn insert(&mut self, point: Point, fact: Fact) {
        if let Some(old) = self.points.insert(point, fact) {
            self.unaccount(old);
        }
        if fact.bytes > 0 {
            self.logged += 1;
            self.bytes += u64::from(fact.bytes);
        }
        if fact.is_placed() {
            self.places.insert(place(&point, &fact), point.unix_ms);
        }
    }

    /// Takes a message out of the log; it stays decided. Returns what it took.
    pub(super) fn unlog(&mut self, point: &Point) -> u32 {
        let Some(fact) = self.points.get_mut(point) else {
            return 0;
        };
        let old = *fact;
        fact.bytes = 0;
        self.unaccount(old);
        old.bytes
    }

    /// Takes a message out of the log and out of what nodes compare; it stays decided. Returns what it took.
    pub(super) fn hide(&mut self, point: &Point) -> u32 {
        if let Some(fact) = self.points.get_mut(point) {
            fact.hidden = true;
            let place = place(point, fact);
            self.places.remove(&place);
        }
        self.unlog(point)
    }

    /// Whether a message of this author and number was decided.
    pub(super) fn has(&self, author: u64, seq: u64) -> bool {
        self.places
            .range_from((author, seq, 0))
            .next()
            .is_some_and(|((other, found, _), _)| (*other, *found) == (author, seq))
    }

    /// The messages of this author and number that were decided and not displaced.
    pub(super) fn versions(&self, author: u64, seq: u64) -> impl Iterator<Item = Point> {
        self.places
            .range_from((author, seq, 0))
            .take_while(move |((other, found, _), _)| (*other, *found) == (author, seq))
            .filter_map(|(place, unix_ms)| self.point(place, *unix_ms))
    }

    /// The logged message of this author with the least number from `from` on.
    pub(super) fn oldest_logged(&self, author: u64, from: u64) -> Option<(u64, Point)> {
        self.places
            .range_from((author, from, 0))
            .take_while(|((other, _, _), _)| *other == author)
            .filter_map(|(place, unix_ms)| Some((place.1, self.point(place, *unix_ms)?)))
            .find(|(_, point)| self.is_logged(point))
    }

    /// The whole point of a place.
    fn point(&self, (author, seq, prefix): &Place, unix_ms: u64) -> Option<Point> {
        let mut from = Point {
            unix_ms,
            id: [0; 32],
        };
        from.id[..8].copy_from_slice(&prefix.to_be_bytes());
        self.points
            .range_from(from)
            .take_while(|(point, _)| point.unix_ms == unix_ms && point.id[..8] == from.id[..8])
            .find(|(_, fact)| (fact.author, fact.seq) == (*author, *seq))
            .map(|(point, _)| *point)
    }

    /// Raises the edge; a lower one changes nothing.
    pub(super) fn raise(&mut self, low_edge_ms: u64) {
        self.low_edge_ms = self.low_edge_ms.max(low_edge_ms);
    }

    /// Whether something lies below the edge.
    pub(super) fn sweepable(&self) -> bool {
        self.points
            .first()
            .is_some_and(|(point, _)| point.unix_ms < self.low_edge_ms)
    }

    /// Removes and returns the oldest point if it lies below the edge.
    pub(super) fn sweep(&mut self) -> Option<Fact> {
        if !self.sweepable() {
            return None;
        }
        let (point, fact) = self.points.pop_first()?;
        self.unaccount(fact);
        if !fact.hidden {
            self.places.remove(&place(&point, &fact));
        }
        Some(fact)
    }

    fn unaccount(&mut self, fact: Fact) {
        if fact.bytes > 0 {
            self.logged -= 1;
            self.bytes -= u64::from(fact.bytes);
        }
    }
}

fn place(point: &Point, fact: &Fact) -> Place {
    let mut prefix = [0; 8];
    prefix.copy_from_slice(&point.id[..8]);
    (fact.author, fact.seq, u64::from_be_bytes(prefix))
}
