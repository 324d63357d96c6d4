//! One turn of a reconciliation: the other end's ranges in, ours out. Walks the set in slices.

use std::collections::{BTreeSet, VecDeque};

use super::fingerprint::{Parts, Sum, session_key};
use super::sketch::{Difference, Short, Sketch};
use crate::messages::{Decided, Messages};
use crate::wire::{
    Bounded, Cell, MAX_RANGE_IDS, MAX_RANGES, Point, Range, RangeContent, Reconcile,
};

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
    /// Split: the other end's fingerprint, if there is one, is known to differ.
    Split,
    /// Compare with the other end's fingerprint; where few ids seem to differ, a sketch tells them.
    Compare(u32, [u8; 16]),
    /// Sketch it, in so many cells.
    Draw(usize),
    /// Tell the differences from the other end's sketch.
    Solve(Vec<Cell>),
    /// Look up the ids behind these short ids, which the other end lacks, and ask for those that we lack; `None` = the other
    /// end knows what we lack.
    Pick(BTreeSet<Short>, Option<BTreeSet<Short>>),
    /// List what the other end, which has these, lacks.
    List(Vec<Point>),
}

/// Where the walk through the present range stands.
#[derive(Debug)]
enum Walk {
    Sums(Point, Parts, Vec<Sketch>),
    Picking(Point, Vec<Point>),
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
    solved: Option<bool>,
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
    /// Whether the other end's sketch, if it sent one, told all.
    pub(super) solved: Option<bool>,
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
        RangeContent::Sketch { .. } => true,
        RangeContent::Found { wanted, .. } => !wanted.is_empty(),
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
                    } else if !whole || *count == u32::MAX {
                        Task::Split
                    } else {
                        Task::Compare(*count, *fingerprint)
                    }
                }
                RangeContent::Sketch { cells } if whole && Sketch::is_size(cells.len()) => {
                    Task::Solve(cells.to_vec())
                }
                RangeContent::Sketch { .. } => Task::Split,
                RangeContent::Found { ids, wanted } => {
                    let inside = ids.iter().filter(|id| (start..end).contains(*id));
                    missing.extend(inside.filter(|id| !messages.knows(id)));
                    if wanted.is_empty() {
                        Task::Skip
                    } else {
                        let wanted = wanted.iter().map(|short| Short::from_le_bytes(*short));
                        Task::Pick(wanted.collect(), None)
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
            solved: None,
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
                Task::Open | Task::Split | Task::Compare(..) => {
                    let fresh = || Walk::Sums(start, Parts::new(), Vec::new());
                    self.walk.take().unwrap_or_else(fresh)
                }
                Task::Draw(size) => {
                    let fresh = || Walk::Sums(start, Parts::new(), vec![Sketch::new(*size)]);
                    self.walk.take().unwrap_or_else(fresh)
                }
                Task::Solve(cells) => {
                    let size = cells.len();
                    let sizes = [Some(size), Sketch::larger(size)].into_iter().flatten();
                    let fresh =
                        || Walk::Sums(start, Parts::new(), sizes.map(Sketch::new).collect());
                    self.walk.take().unwrap_or_else(fresh)
                }
                Task::Pick(..) => {
                    let fresh = || Walk::Picking(start, Vec::new());
                    self.walk.take().unwrap_or_else(fresh)
                }
                Task::List(_) => {
                    let fresh = || Walk::Listing(start, Vec::new());
                    self.walk.take().unwrap_or_else(fresh)
                }
            };
            match walk {
                Walk::Sums(mut at, mut parts, mut sketches) => {
                    for point in decided.range(at, end) {
                        if *budget == 0 {
                            self.walk = Some(Walk::Sums(at, parts, sketches));
                            return false;
                        }
                        *budget -= 1;
                        let one = Sum::of_id(&self.key, &point);
                        parts.push(point, &one);
                        sketches
                            .iter_mut()
                            .for_each(|sketch| sketch.add(one.short()));
                        at = after(point);
                    }
                    self.compared(start, end, parts, &sketches);
                }
                Walk::Picking(mut at, mut picked) => {
                    let Some((_, _, Task::Pick(wanted, _))) = self.tasks.front() else {
                        return true;
                    };
                    let (mut full, mut left) =
                        (None, wanted.len() - picked.len().min(wanted.len()));
                    for point in decided.range(at, end) {
                        if left == 0 {
                            break;
                        }
                        if *budget == 0 {
                            self.walk = Some(Walk::Picking(at, picked));
                            return false;
                        }
                        *budget -= 1;
                        at = after(point);
                        if !wanted.contains(&Sum::of_id(&self.key, &point).short()) {
                            continue;
                        }
                        if picked.len() == self.ids_left {
                            full = Some(point);
                            break;
                        }
                        picked.push(point);
                        left -= 1;
                    }
                    picked.retain(|point| decided.is_logged(point));
                    self.picked(start, end, picked, full);
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

    /// A range has been summed up, and sketched if the task asks for it.
    fn compared(&mut self, start: Point, end: Point, parts: Parts, sketches: &[Sketch]) {
        let Some((_, _, task)) = self.tasks.pop_front() else {
            return;
        };
        let total = parts.total();
        let fingerprint = total.fingerprint(&self.key);
        match task {
            Task::Compare(count, theirs) if (count, theirs) == (total.count, fingerprint) => {
                self.push(end, RangeContent::Skip);
            }
            Task::Compare(count, _) => {
                let size = Sketch::size_for(count.abs_diff(total.count));
                match size.filter(|size| self.sketch_helps(*size, total.count)) {
                    Some(size) => self.tasks.push_front((start, end, Task::Draw(size))),
                    None => self.split(start, end, parts),
                }
            }
            Task::Draw(_) => {
                for sketch in sketches {
                    self.push_sketch(end, sketch);
                }
            }
            Task::Solve(cells) => {
                let found = sketches.first().and_then(|mine| mine.difference(&cells));
                let solved = found.is_some();
                self.solved = Some(solved && self.solved.unwrap_or(true));
                if let Some(Difference { mine, theirs }) = found {
                    self.tasks
                        .push_front((start, end, Task::Pick(mine, Some(theirs))));
                    return;
                }
                let larger = sketches.get(1);
                match larger.filter(|larger| self.sketch_helps(larger.size(), total.count)) {
                    Some(larger) => self.push_sketch(end, larger),
                    None => self.split(start, end, parts),
                }
            }
            Task::Split => self.split(start, end, parts),
            // What is left of a session's tasks is not summed up, but for its first frame.
            Task::Open | Task::Skip | Task::Pick(..) | Task::List(_) => {
                let count = total.count;
                self.push(end, RangeContent::Fingerprint { count, fingerprint });
            }
        }
    }

    /// A range that differs: its ids, if they are few, or fingerprints of its parts.
    fn split(&mut self, start: Point, end: Point, parts: Parts) {
        if let Some(ids) = parts.points() {
            if ids.len() > self.ids_left {
                self.rest = Some(start);
                return;
            }
            self.ids_left -= ids.len();
            let ids = Bounded::truncated(ids);
            self.push(end, RangeContent::Ids { ids, answer: true });
            return;
        }
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

    /// Whether a sketch of this size fits into the frame, and is much shorter than a list of the ids would be.
    fn sketch_helps(&self, size: usize, count: u32) -> bool {
        self.ids_left * 2 > size && count as usize * 2 >= size * 3
    }

    fn push_sketch(&mut self, end: Point, sketch: &Sketch) {
        self.ids_left = self.ids_left.saturating_sub(sketch.size().div_ceil(2));
        let cells = Bounded::truncated(sketch.to_cells());
        self.push(end, RangeContent::Sketch { cells });
    }

    /// The ids behind short ids have been looked up, up to `full` when they would not fit.
    fn picked(&mut self, start: Point, end: Point, picked: Vec<Point>, full: Option<Point>) {
        let Some((_, _, Task::Pick(_, Some(wanted)))) = self.tasks.front_mut() else {
            return self.listed(start, end, picked, full);
        };
        let mut wanted: Vec<_> = std::mem::take(wanted)
            .into_iter()
            .map(Short::to_le_bytes)
            .collect();
        self.tasks.pop_front();
        let room = self.ids_left.checked_sub(picked.len());
        let Some(left) = room.and_then(|room| room.checked_sub(wanted.len().div_ceil(3))) else {
            // More than a frame can say at once.
            return self.tasks.push_front((start, end, Task::Split));
        };
        if full.is_some() {
            return self.tasks.push_front((start, end, Task::Split));
        }
        self.ids_left = left;
        self.listed += picked.len();
        wanted.sort_unstable();
        let (ids, wanted) = (Bounded::truncated(picked), Bounded::truncated(wanted));
        self.push(end, RangeContent::Found { ids, wanted });
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
            solved: self.solved,
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
