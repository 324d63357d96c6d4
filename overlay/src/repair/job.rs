//! One turn of a reconciliation: the other end's ranges in, ours out. Walks the set in slices.

use std::collections::VecDeque;

use super::fingerprint::{Parts, session_key};
use crate::messages::{Decided, Messages};
use crate::wire::{Bounded, MAX_RANGE_IDS, MAX_RANGES, Point, Range, RangeContent, Reconcile};

/// Stands for "more than one can say": never equal to any fingerprint, so that the range is looked at again.
const UNKNOWN: RangeContent = RangeContent::Fingerprint {
    count: u32::MAX,
    fingerprint: [0; 16],
};
/// Most ranges that one range is answered with.
const MAX_SPLIT: usize = 16;

/// What to do with a range.
#[derive(Debug)]
enum Task {
    /// Nothing.
    Skip,
    /// Say what it holds, as one fingerprint: the first frame of a session.
    Open,
    /// Compare with the other end's fingerprint; `None` = known to differ.
    Compare(Option<(u32, [u8; 16])>),
    /// List what the other end, which has these, lacks.
    List(Vec<Point>),
}

/// Where the walk through the present range stands.
#[derive(Debug)]
enum Walk {
    Sums(Point, Parts),
    Listing(Point, Vec<Point>),
}

/// The answer to a frame, in the making.
#[derive(Debug)]
pub(super) struct Job {
    key: [u8; 32],
    tasks: VecDeque<(Point, Point, Task)>,
    walk: Option<Walk>,
    start: Point,
    end: Point,
    out: Vec<Range>,
    ids_left: usize,
    /// From here on there was no room to answer: the rest is to be looked at again next time.
    rest: Option<Point>,
    missing: Vec<Point>,
    listed: usize,
}

/// The finished answer.
#[derive(Debug)]
pub(super) struct Answer {
    /// Where its first range begins.
    pub(super) start: Point,
    /// The ranges; none = nothing to say.
    pub(super) ranges: Vec<Range>,
    /// Ids that the other end has and we do not know.
    pub(super) missing: Vec<Point>,
    /// Ids listed for the other end because it lacks them.
    pub(super) listed: usize,
}

impl Answer {
    /// Whether the other end is to answer.
    pub(super) fn asks(&self) -> bool {
        asks(&self.ranges)
    }
}

/// Whether ranges ask for an answer.
pub(super) fn asks(ranges: &[Range]) -> bool {
    ranges.iter().any(|range| match &range.content {
        RangeContent::Skip => false,
        RangeContent::Fingerprint { .. } => true,
        RangeContent::Ids { answer, .. } => *answer,
    })
}

impl Job {
    /// The first frame of a session over `low..high`.
    pub(super) fn open(key: &[u8; 16], low: Point, high: Point) -> Self {
        Self::new(key, low, high, [(low, high, Task::Open)].into())
    }

    /// The answer to a frame. Of its ranges only what lies in `low..high` is looked at: the other end may not know where
    /// our window ends.
    pub(super) fn answer(frame: &Reconcile, low: Point, high: Point, messages: &Messages) -> Self {
        let mut tasks = VecDeque::with_capacity(frame.ranges.len());
        let mut missing = Vec::new();
        let mut from = frame.start;
        for range in frame.ranges.iter() {
            let (start, end) = (from.max(low), range.end.min(high));
            let whole = start == from && end == range.end;
            from = range.end;
            if start >= end {
                continue;
            }
            let task = match &range.content {
                RangeContent::Skip => Task::Skip,
                RangeContent::Fingerprint { count, fingerprint } => {
                    if *count == 0 {
                        Task::List(Vec::new())
                    } else {
                        let known = whole && *count != u32::MAX;
                        Task::Compare(known.then_some((*count, *fingerprint)))
                    }
                }
                RangeContent::Ids { ids, answer } => {
                    let inside = ids.iter().filter(|id| (start..end).contains(*id));
                    missing.extend(inside.filter(|id| !messages.knows(id)));
                    if *answer {
                        Task::List(ids.to_vec())
                    } else {
                        Task::Skip
                    }
                }
            };
            tasks.push_back((start, end, task));
        }
        let mut job = Self::new(&frame.key, low, high, tasks);
        job.missing = missing;
        job
    }

    fn new(key: &[u8; 16], low: Point, high: Point, tasks: VecDeque<(Point, Point, Task)>) -> Self {
        Self {
            key: session_key(key),
            start: tasks.front().map_or(low, |(start, _, _)| *start),
            end: tasks.back().map_or(high, |(_, end, _)| *end),
            tasks,
            walk: None,
            out: Vec::new(),
            ids_left: MAX_RANGE_IDS,
            rest: None,
            missing: Vec::new(),
            listed: 0,
        }
    }

    /// Works on, walking at most `budget` ids, which it lowers. Returns whether all is done.
    pub(super) fn step(&mut self, decided: &Decided, budget: &mut usize) -> bool {
        while let Some((start, end, task)) = self.tasks.front() {
            let (start, end) = (*start, *end);
            if self.rest.is_some() || !self.has_room() {
                self.rest.get_or_insert(start);
                return true;
            }
            let walk = match task {
                Task::Skip => {
                    self.push(end, RangeContent::Skip);
                    self.tasks.pop_front();
                    continue;
                }
                Task::Open | Task::Compare(_) => {
                    let fresh = || Walk::Sums(start, Parts::new());
                    self.walk.take().unwrap_or_else(fresh)
                }
                Task::List(_) => {
                    let fresh = || Walk::Listing(start, Vec::new());
                    self.walk.take().unwrap_or_else(fresh)
                }
            };
            match walk {
                Walk::Sums(mut at, mut parts) => {
                    for point in decided.range(at, end) {
                        if *budget == 0 {
                            self.walk = Some(Walk::Sums(at, parts));
                            return false;
                        }
                        *budget -= 1;
                        parts.push(&self.key, point);
                        at = after(point);
                    }
                    self.compared(start, end, parts);
                }
                Walk::Listing(mut at, mut listing) => {
                    let Some((_, _, Task::List(theirs))) = self.tasks.front() else {
                        return true;
                    };
                    let mut full = None;
                    for point in decided.range(at, end) {
                        if *budget == 0 {
                            self.walk = Some(Walk::Listing(at, listing));
                            return false;
                        }
                        *budget -= 1;
                        at = after(point);
                        if theirs.binary_search(&point).is_err() && decided.is_logged(&point) {
                            if listing.len() == self.ids_left {
                                full = Some(point);
                                break;
                            }
                            listing.push(point);
                        }
                    }
                    self.listed(start, end, listing, full);
                }
            }
        }
        true
    }

    /// Room for one more split range, and for the rest after it.
    fn has_room(&self) -> bool {
        self.out.len() + MAX_SPLIT < MAX_RANGES
    }

    /// A range has been summed up.
    fn compared(&mut self, start: Point, end: Point, parts: Parts) {
        let Some((_, _, task)) = self.tasks.pop_front() else {
            return;
        };
        let total = parts.total();
        let content = RangeContent::Fingerprint {
            count: total.count,
            fingerprint: total.fingerprint(&self.key),
        };
        if let Task::Compare(theirs) = task {
            let equal = theirs.is_some_and(|(count, fingerprint)| {
                content == RangeContent::Fingerprint { count, fingerprint }
            });
            if equal {
                self.push(end, RangeContent::Skip);
            } else if let Some(ids) = parts.points() {
                if ids.len() > self.ids_left {
                    self.rest = Some(start);
                    return;
                }
                self.ids_left -= ids.len();
                self.push(
                    end,
                    RangeContent::Ids {
                        ids: Bounded::truncated(ids),
                        answer: true,
                    },
                );
            } else {
                let split = parts.split();
                let ends = split
                    .iter()
                    .skip(1)
                    .map(|(first, _)| *first)
                    .chain([end])
                    .collect::<Vec<_>>();
                for ((_, sum), end) in split.iter().zip(ends) {
                    self.push(
                        end,
                        RangeContent::Fingerprint {
                            count: sum.count,
                            fingerprint: sum.fingerprint(&self.key),
                        },
                    );
                }
            }
        } else {
            self.push(end, content);
        }
    }

    /// A range has been searched for what the other end lacks, up to `full` when the ids would not fit.
    fn listed(&mut self, start: Point, end: Point, listing: Vec<Point>, full: Option<Point>) {
        self.tasks.pop_front();
        self.ids_left -= listing.len();
        self.listed += listing.len();
        let end = full.unwrap_or(end);
        if end > start {
            let content = if listing.is_empty() {
                RangeContent::Skip
            } else {
                RangeContent::Ids {
                    ids: Bounded::truncated(listing),
                    answer: false,
                }
            };
            self.push(end, content);
        }
        self.rest = full;
    }

    fn push(&mut self, end: Point, content: RangeContent) {
        if content == RangeContent::Skip
            && let Some(last) = self.out.last_mut()
            && last.content == RangeContent::Skip
        {
            last.end = end;
            return;
        }
        self.out.push(Range { end, content });
    }

    /// The answer, when all is done. Ranges that are settled at either end are left out.
    pub(super) fn finish(mut self) -> Answer {
        if let Some(rest) = self.rest
            && rest < self.end
        {
            self.push(self.end, UNKNOWN);
        }
        if let Some(first) = self.out.first()
            && first.content == RangeContent::Skip
        {
            self.start = first.end;
            self.out.remove(0);
        }
        if self
            .out
            .last()
            .is_some_and(|last| last.content == RangeContent::Skip)
        {
            self.out.pop();
        }
        Answer {
            start: self.start,
            ranges: self.out,
            missing: self.missing,
            listed: self.listed,
        }
    }
}

/// The least point above this one.
fn after(point: Point) -> Point {
    let mut next = point;
    for byte in next.id.iter_mut().rev() {
        let (sum, over) = byte.overflowing_add(1);
        *byte = sum;
        if !over {
            return next;
        }
    }
    next.unix_ms = next.unix_ms.saturating_add(1);
    next
}
