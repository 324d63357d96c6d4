//! What is missing here, who listed it, and asking for it: oldest first, spread over links, each id from one link at a time.

use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::time::{Duration, Instant};

use crypto::MessageId;

use crate::cx::{Cx, FRAME_OVERHEAD};
use crate::input::{Lane, LinkId};
use crate::messages::{Arrival, Messages};
use crate::repair::Config;
use crate::wire::{self, Bounded, Fetch as FetchFrame, MAX_FETCH, Message, Point};

/// Most links remembered as holders of one missing message.
const MAX_HOLDERS: usize = 4;
/// Most ids remembered per link that it lists but does not serve.
const MAX_ABSENT: usize = 4096;
/// How long they are remembered.
const ABSENT_TIME: Duration = Duration::from_secs(300);
/// A message asked for may take this long at most, even from a link that sends others.
const HARD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long received messages wait for older ones that are still on their way.
const REORDER: Duration = Duration::from_secs(1);
/// Most bytes that wait so.
const REORDER_BYTES: usize = 8 * 1024 * 1024;
/// Most wants looked at in one go.
const SCAN: usize = 4096;

/// A missing message.
#[derive(Debug, Default)]
struct Want {
    /// Who listed it, and whether it was asked for it before.
    holders: Vec<(LinkId, bool)>,
    asked: Option<LinkId>,
}

#[derive(Debug)]
struct Holder {
    asked: BTreeMap<Point, Instant>,
    /// When it last sent something it owed, or was first asked.
    progress: Instant,
    /// Listed wants.
    listed: usize,
    absent: BTreeSet<[u8; 32]>,
    absent_since: Instant,
}

/// The table of missing messages. Capped in all and per link; what finds no room is found again in a later session.
#[derive(Debug)]
pub(super) struct Fetch {
    wants: BTreeMap<Point, Want>,
    by_id: BTreeMap<[u8; 32], Point>,
    unasked: BTreeSet<Point>,
    links: BTreeMap<LinkId, Holder>,
    in_flight: usize,
    /// Something changed that may allow asking.
    dirty: bool,
    arrived: BTreeMap<Point, Arrival>,
    arrived_bytes: usize,
    blocked_since: Option<Instant>,
    arrivals: Vec<Arrival>,
    timeout: Duration,
}

impl Fetch {
    pub(super) fn new(timeout: Duration) -> Self {
        Self {
            wants: BTreeMap::new(),
            by_id: BTreeMap::new(),
            unasked: BTreeSet::new(),
            links: BTreeMap::new(),
            in_flight: 0,
            dirty: false,
            arrived: BTreeMap::new(),
            arrived_bytes: 0,
            blocked_since: None,
            arrivals: Vec::new(),
            timeout,
        }
    }

    /// A link is gone; returns whether it had listed anything.
    pub(super) fn closed(&mut self, link: LinkId) -> bool {
        let known = self.links.contains_key(&link);
        if known {
            self.forsake(link);
            self.links.remove(&link);
        }
        known
    }

    /// Whether a whole frame of ids listed by this link would find room.
    pub(super) fn has_room(&self, link: LinkId, config: &Config) -> bool {
        let frame = wire::MAX_RANGE_IDS;
        self.wants.len() + frame <= config.max_wants
            && self
                .links
                .get(&link)
                .is_none_or(|holder| holder.listed + frame <= config.max_wants_per_link)
    }

    /// Notes that an open link listed a message that is missing here.
    pub(super) fn want(&mut self, point: Point, link: LinkId, cx: &mut Cx<'_>) {
        let config = &cx.config.repair;
        let now = cx.now.mono;
        let holder = self.links.entry(link).or_insert_with(|| Holder {
            asked: BTreeMap::new(),
            progress: now,
            listed: 0,
            absent: BTreeSet::new(),
            absent_since: now,
        });
        if holder.absent_since + ABSENT_TIME <= cx.now.mono {
            holder.absent.clear();
            holder.absent_since = cx.now.mono;
        }
        if holder.absent.contains(&point.id) || self.arrived.contains_key(&point) {
            return;
        }
        let full = self.wants.len() >= config.max_wants;
        let want = match self.wants.entry(point) {
            btree_map::Entry::Occupied(entry) => entry.into_mut(),
            btree_map::Entry::Vacant(_) if full || self.by_id.contains_key(&point.id) => {
                cx.stats.repair.wants_full += u64::from(full);
                return;
            }
            btree_map::Entry::Vacant(entry) => {
                self.by_id.insert(point.id, point);
                self.unasked.insert(point);
                entry.insert(Want::default())
            }
        };
        if want.holders.iter().any(|(other, _)| *other == link) {
            return;
        }
        if holder.listed < config.max_wants_per_link && want.holders.len() < MAX_HOLDERS {
            want.holders.push((link, false));
            holder.listed += 1;
            cx.stats.repair.missing += 1;
            self.dirty = true;
        } else if want.holders.is_empty() {
            cx.stats.repair.wants_full += 1;
            self.remove(&point);
        }
    }

    /// Forgets a missing message.
    fn remove(&mut self, point: &Point) {
        let Some(want) = self.wants.remove(point) else {
            return;
        };
        self.by_id.remove(&point.id);
        self.unasked.remove(point);
        for (link, _) in want.holders {
            if let Some(holder) = self.links.get_mut(&link) {
                holder.listed = holder.listed.saturating_sub(1);
                if want.asked == Some(link) && holder.asked.remove(point).is_some() {
                    self.in_flight -= 1;
                }
            }
        }
        self.dirty = true;
    }

    /// A link will not give us this message: ask another, or give up.
    fn refused(&mut self, link: LinkId, point: &Point) {
        let Some(want) = self.wants.get_mut(point) else {
            return;
        };
        let before = want.holders.len();
        want.holders.retain(|(other, _)| *other != link);
        if let Some(holder) = self.links.get_mut(&link) {
            if want.holders.len() < before {
                holder.listed = holder.listed.saturating_sub(1);
            }
            if want.asked == Some(link) {
                want.asked = None;
                if holder.asked.remove(point).is_some() {
                    self.in_flight -= 1;
                }
                self.unasked.insert(*point);
            }
        }
        if want.holders.is_empty() {
            self.remove(point);
        }
        self.dirty = true;
    }

    /// Asks a link for nothing more of what it listed.
    fn forsake(&mut self, link: LinkId) {
        let listed: Vec<Point> = self
            .wants
            .iter()
            .filter(|(_, want)| want.holders.iter().any(|(other, _)| *other == link))
            .map(|(point, _)| *point)
            .collect();
        for point in listed {
            self.refused(link, &point);
        }
    }

    /// Whether a message was asked of this link; notes that the link delivers.
    pub(super) fn is_asked(&mut self, link: LinkId, id: &MessageId, now: Instant) -> bool {
        let asked = self
            .by_id
            .get(id.as_bytes())
            .and_then(|point| self.wants.get(point))
            .is_some_and(|want| want.holders.contains(&(link, true)));
        if asked && let Some(holder) = self.links.get_mut(&link) {
            holder.progress = now;
        }
        asked
    }

    /// A message is no longer missing, or not wanted.
    pub(super) fn settled(&mut self, id: &MessageId) {
        if let Some(point) = self.by_id.get(id.as_bytes()).copied() {
            self.remove(&point);
        }
    }

    /// A link does not have a message that it listed, or serves one that we refuse: remembered, so that it is not asked for
    /// again after each session.
    pub(super) fn absent(&mut self, link: LinkId, id: &MessageId, now: Instant) {
        let Some(point) = self.by_id.get(id.as_bytes()).copied() else {
            return;
        };
        let Some(holder) = self.links.get_mut(&link) else {
            return;
        };
        if holder.asked.contains_key(&point) {
            holder.progress = now;
            if holder.absent.len() < MAX_ABSENT {
                holder.absent.insert(point.id);
            }
            self.refused(link, &point);
        }
    }

    /// A message asked for has come, verified.
    pub(super) fn arrived(&mut self, arrival: Arrival, now: Instant) {
        self.settled(&arrival.id);
        self.arrived_bytes += arrival.cost();
        self.arrived.insert(arrival.point(), arrival);
        self.blocked_since.get_or_insert(now);
    }

    /// Releases what came, oldest first, so that authors' orders are kept although several links serve.
    pub(super) fn release(&mut self, cx: &mut Cx<'_>) {
        let late = |since: Option<Instant>| since.is_some_and(|at| at + REORDER <= cx.now.mono);
        while let Some((point, _)) = self.arrived.first_key_value() {
            let blocked = self
                .wants
                .first_key_value()
                .is_some_and(|(older, _)| older < point);
            if blocked {
                if !late(self.blocked_since) && self.arrived_bytes <= REORDER_BYTES {
                    return;
                }
                cx.stats.repair.out_of_order += 1;
            }
            if let Some((_, arrival)) = self.arrived.pop_first() {
                self.arrived_bytes -= arrival.cost();
                self.arrivals.push(arrival);
            }
        }
        self.blocked_since = None;
    }

    pub(super) fn take_arrivals(&mut self) -> Vec<Arrival> {
        std::mem::take(&mut self.arrivals)
    }

    /// The first place of what is missing, or has come and waits for what is missing before it.
    pub(super) fn first(&self) -> Option<Point> {
        let missing = self.wants.first_key_value().map(|(point, _)| *point);
        let come = self.arrived.first_key_value().map(|(point, _)| *point);
        missing.into_iter().chain(come).min()
    }

    /// A lane has room again.
    pub(super) fn on_room(&mut self) {
        self.dirty = true;
    }

    /// Asks elsewhere for what links owe for too long.
    pub(super) fn expire(&mut self, cx: &mut Cx<'_>) {
        if self.in_flight == 0 {
            return;
        }
        let (now, timeout) = (cx.now.mono, self.timeout);
        let mut silent = Vec::new();
        let mut lost = Vec::new();
        for (link, holder) in &self.links {
            let Some(oldest) = holder.asked.values().min() else {
                continue;
            };
            if holder.progress.max(*oldest) + timeout <= now {
                silent.push(*link);
            } else if *oldest + HARD_TIMEOUT <= now {
                let old = holder
                    .asked
                    .iter()
                    .filter(|(_, at)| **at + HARD_TIMEOUT <= now);
                lost.extend(old.map(|(point, _)| (*link, *point)));
            }
        }
        for link in silent {
            cx.stats.repair.fetch_timeouts += self.owed(link) as u64;
            self.forsake(link);
        }
        for (link, point) in lost {
            cx.stats.repair.fetch_timeouts += 1;
            self.refused(link, &point);
        }
    }

    fn owed(&self, link: LinkId) -> usize {
        self.links.get(&link).map_or(0, |holder| holder.asked.len())
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let blocked = self.blocked_since.map(|at| at + REORDER);
        if self.in_flight == 0 {
            return blocked;
        }
        let owed = self.links.values().filter_map(|holder| {
            let oldest = *holder.asked.values().min()?;
            let silent = holder.progress.max(oldest) + self.timeout;
            Some(silent.min(oldest + HARD_TIMEOUT))
        });
        owed.chain(blocked).min()
    }

    /// Asks for what is missing, as far as the caps allow.
    pub(super) fn ask(&mut self, messages: &Messages, cx: &mut Cx<'_>) {
        if !std::mem::take(&mut self.dirty) || self.unasked.is_empty() {
            return;
        }
        let config = &cx.config.repair;
        let mut free = config.max_in_flight.saturating_sub(self.in_flight);
        // A link is asked again when it has delivered half, so that frames stay few.
        let cap = config.max_in_flight_per_link.min(MAX_FETCH);
        let mut batches: BTreeMap<LinkId, Vec<Point>> = BTreeMap::new();
        let mut spare: BTreeMap<LinkId, usize> = BTreeMap::new();
        let frame = MAX_FETCH * 32 + 8 + FRAME_OVERHEAD;
        for (link, holder) in &self.links {
            if holder.asked.len() <= cap / 2 && cx.out.room(*link, Lane::Bulk) >= frame {
                spare.insert(*link, cap - holder.asked.len());
            }
        }
        let mut known = Vec::new();
        for point in self.unasked.iter().take(SCAN) {
            if free == 0 || spare.is_empty() {
                break;
            }
            if messages.knows(point) {
                known.push(*point);
                continue;
            }
            let Some(want) = self.wants.get(point) else {
                continue;
            };
            let best = want
                .holders
                .iter()
                .filter_map(|(link, _)| Some((*spare.get(link)?, *link)))
                .max_by_key(|(spare, link)| (*spare, std::cmp::Reverse(*link)));
            if let Some((left, link)) = best {
                batches.entry(link).or_default().push(*point);
                free -= 1;
                if left == 1 {
                    spare.remove(&link);
                } else {
                    spare.insert(link, left - 1);
                }
            }
        }
        for point in known {
            self.remove(&point);
        }
        for (link, points) in batches {
            self.send(link, &points, cx);
        }
    }

    fn send(&mut self, link: LinkId, points: &[Point], cx: &mut Cx<'_>) {
        let Some(holder) = self.links.get_mut(&link) else {
            return;
        };
        let ids = points.iter().map(|point| point.id).collect();
        let frame = Message::Fetch(FetchFrame {
            ids: Bounded::truncated(ids),
        });
        if !cx.send(link, Lane::Bulk, &frame) {
            return;
        }
        cx.stats.repair.fetched += points.len() as u64;
        if holder.asked.is_empty() {
            holder.progress = cx.now.mono;
        }
        for point in points {
            holder.asked.insert(*point, cx.now.mono);
            self.unasked.remove(point);
            self.in_flight += 1;
            if let Some(want) = self.wants.get_mut(point) {
                want.asked = Some(link);
                for (other, before) in &mut want.holders {
                    *before |= *other == link;
                }
            }
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.wants.len()
    }

    #[cfg(test)]
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }
}
