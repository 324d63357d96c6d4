//! The table of authors: their order, and the two messages kept for each sequence number.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use crypto::{MessageId, PeerId};

use super::decided::Decided;
use super::shares::Usage;
use crate::input::LinkId;
use crate::messages::Arrival;
use crate::wire::Point;

/// A message that waits for its author's previous one.
#[derive(Debug)]
struct Held {
    arrival: Arrival,
    fate: Fate,
    /// When to look again.
    until: Instant,
    since: Instant,
    /// The hole before it has been told of.
    told: bool,
}

#[derive(Debug)]
pub(super) struct Author {
    key: [u8; 32],
    /// Highest sequence number appended.
    last: u64,
    /// Highest sequence number that the low edge has passed.
    floor: u64,
    held: BTreeMap<(u64, MessageId), Held>,
    pub(super) usage: Usage,
    /// Whose quota it shares while it is fresh: the peer that brought its first message.
    pub(super) entry: Option<PeerId>,
    since: Instant,
    stamp: u64,
    /// No message of a lower sequence number is in the log (a hint for pruning).
    pub(super) prune_from: u64,
}

impl Author {
    fn new(key: [u8; 32], entry: Option<PeerId>, now: Instant, stamp: u64) -> Self {
        Self {
            key,
            last: 0,
            floor: 0,
            held: BTreeMap::new(),
            usage: Usage::default(),
            entry,
            since: now,
            stamp,
            prune_from: 0,
        }
    }
}

/// What becomes of a message when its turn comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is delivered.
    Deliver {
        /// Flagged as one of two with the same author and sequence number.
        equivocation: bool,
    },
    /// The application does not want it; it only keeps its place in its author's order.
    Drop,
}

/// What is to be appended now, in this order.
#[derive(Debug)]
pub(super) struct Release {
    pub(super) arrival: Arrival,
    pub(super) gap: bool,
    pub(super) fate: Fate,
}

/// How a message stands to those with the same author and sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The only one.
    Alone,
    /// The second one; the other is named.
    Second(Point),
    /// Of the three, it is among the two of least id; the one named is not.
    Displaces(Point),
    /// Two of lesser id are known.
    Surplus,
}

/// A message waits for an earlier one of its author that nobody has brought: who brought this one may have that one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    /// Who brought the message that waits.
    pub link: LinkId,
    /// Its place: the missing one is likely to lie before it.
    pub before: Point,
}

/// What is due for a message that waits.
#[derive(Debug)]
pub(super) enum Due {
    /// Its wait is over, and that of others with it.
    Over(Vec<Release>),
    /// It waits on, and nobody seems to be at work on the hole.
    Tell(Hole),
    /// It waits on, since what is missing may be on its way.
    Later,
}

/// Limits, copied from the configuration.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) hold: Duration,
    pub(super) hold_repairing: Duration,
    pub(super) per_author: usize,
    pub(super) held: usize,
    pub(super) held_bytes: usize,
    pub(super) authors: usize,
    pub(super) established_after: Duration,
}

/// All tracked authors. Numbers given to authors are never reused, so a number kept elsewhere outlives an eviction safely.
#[derive(Debug)]
pub(super) struct Authors {
    limits: Limits,
    numbers: BTreeMap<[u8; 32], u64>,
    pub(super) authors: BTreeMap<u64, Author>,
    /// Fresh ones first, then least recently heard of.
    eviction: BTreeSet<(bool, u64, u64)>,
    /// What fresh authors take, by the peer that brought them.
    pub(super) entries: BTreeMap<PeerId, Usage>,
    pub(super) established: usize,
    /// Authors that were evicted and whose messages are to leave the log: a flood of authors must not fill it with messages
    /// that belong to nobody.
    pub(super) doomed: VecDeque<u64>,
    deadlines: BTreeSet<(Instant, u64, u64, MessageId)>,
    held_bytes: usize,
    last_number: u64,
    stamp: u64,
}

impl Authors {
    pub(super) fn new(limits: Limits, now: Instant) -> Self {
        Self {
            limits,
            numbers: BTreeMap::new(),
            // Stands for all that are not tracked, so that what they have in the log can be pruned too.
            authors: BTreeMap::from([(0, Author::new([0; 32], None, now, 0))]),
            doomed: VecDeque::new(),
            eviction: BTreeSet::new(),
            entries: BTreeMap::new(),
            established: 0,
            deadlines: BTreeSet::new(),
            held_bytes: 0,
            last_number: 0,
            stamp: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    pub(super) fn number(&self, key: &[u8; 32]) -> Option<u64> {
        self.numbers.get(key).copied()
    }

    /// The number of an author, tracked from now on. `entry` = who brought it; `None` = established at once (ourselves,
    /// and authors of the restored log). Returns also what was still held for an author evicted to make room.
    pub(super) fn track(
        &mut self,
        key: &[u8; 32],
        entry: Option<PeerId>,
        now: Instant,
        decided: &Decided,
    ) -> (u64, Option<Vec<Release>>) {
        self.stamp += 1;
        if let Some(number) = self.number(key) {
            self.touch(number, now);
            return (number, None);
        }
        let evicted = (self.len() >= self.limits.authors.max(1)).then(|| self.evict(decided));
        self.last_number += 1;
        let number = self.last_number;
        self.numbers.insert(*key, number);
        match entry {
            Some(peer) => {
                self.entries.entry(peer).or_default();
            }
            None => self.established += 1,
        }
        self.eviction.insert((entry.is_none(), self.stamp, number));
        self.authors
            .insert(number, Author::new(*key, entry, now, self.stamp));
        (number, evicted)
    }

    fn touch(&mut self, number: u64, now: Instant) {
        let Some(author) = self.authors.get_mut(&number) else {
            return;
        };
        self.eviction
            .remove(&(author.entry.is_none(), author.stamp, number));
        author.stamp = self.stamp;
        let age = now.saturating_duration_since(author.since);
        if age >= self.limits.established_after
            && let Some(peer) = author.entry.take()
        {
            let usage = author.usage;
            self.established += 1;
            self.discharge(peer, usage);
        }
        let established = self.authors[&number].entry.is_none();
        self.eviction.insert((established, self.stamp, number));
    }

    /// Forgets the author heard of least recently, fresh ones first; what it held is released, what it has in the log goes.
    fn evict(&mut self, decided: &Decided) -> Vec<Release> {
        let Some((_, _, number)) = self.eviction.pop_first() else {
            return Vec::new();
        };
        let released = self.release(number, u64::MAX, decided);
        if let Some(author) = self.authors.remove(&number) {
            self.numbers.remove(&author.key);
            self.doomed.push_back(number);
            match author.entry {
                Some(peer) => self.discharge(peer, author.usage),
                None => self.established -= 1,
            }
        }
        released
    }

    /// How a message would stand to those known with its author and sequence number.
    pub(super) fn standing(
        &self,
        number: u64,
        seq: u64,
        id: &MessageId,
        decided: &Decided,
    ) -> Standing {
        let Some(author) = self.authors.get(&number) else {
            return Standing::Alone;
        };
        let held = author
            .held
            .range((seq, MessageId::from_bytes([0; 32]))..=(seq, MessageId::from_bytes([255; 32])))
            .map(|((_, id), held)| Point {
                unix_ms: held.arrival.header.published_unix_ms,
                id: id.to_bytes(),
            });
        let mut known: Vec<Point> = decided.versions(number, seq).chain(held).collect();
        known.sort_unstable_by_key(|point| point.id);
        match known[..] {
            [] => Standing::Alone,
            [one] => Standing::Second(one),
            [_, second, ..] if *id.as_bytes() < second.id => Standing::Displaces(second),
            _ => Standing::Surplus,
        }
    }

    /// Takes a held message back; returns whether it was held.
    pub(super) fn unhold(&mut self, number: u64, seq: u64, id: &MessageId) -> bool {
        let Some(author) = self.authors.get_mut(&number) else {
            return false;
        };
        let Some(held) = author.held.remove(&(seq, *id)) else {
            return false;
        };
        self.deadlines.remove(&(held.until, number, seq, *id));
        self.held_bytes -= held.arrival.cost();
        true
    }

    /// Whether the message can be appended now: its author's previous one is there, or is known to have been missed
    /// already. The answer is whether that leaves a gap.
    pub(super) fn in_order(
        &self,
        number: u64,
        seq: u64,
        prev: u64,
        decided: &Decided,
    ) -> Option<bool> {
        let Some(author) = self.authors.get(&number) else {
            return Some(prev != 0);
        };
        if prev <= author.floor || decided.has(number, prev) {
            Some(false)
        } else if seq <= author.last || prev <= author.last {
            Some(true)
        } else {
            None
        }
    }

    /// Lets a message wait for its author's previous one. Returns what must be appended now because too many wait.
    pub(super) fn hold(
        &mut self,
        number: u64,
        arrival: Arrival,
        fate: Fate,
        now: Instant,
        decided: &Decided,
    ) -> Vec<Release> {
        // Half the time for what is on its way anyhow, half for what is asked for then.
        let until = now + self.limits.hold / 2;
        let (seq, id) = (arrival.header.seq, arrival.id);
        let Some(author) = self.authors.get_mut(&number) else {
            return vec![Release {
                arrival,
                gap: true,
                fate,
            }];
        };
        self.held_bytes += arrival.cost();
        self.deadlines.insert((until, number, seq, id));
        author.held.insert(
            (seq, id),
            Held {
                arrival,
                fate,
                until,
                since: now,
                told: false,
            },
        );
        if author.held.len() > self.limits.per_author {
            let lowest = author.held.keys().next().map_or(0, |(seq, _)| *seq);
            return self.release(number, lowest, decided);
        }
        let mut released = Vec::new();
        while self.deadlines.len() > self.limits.held || self.held_bytes > self.limits.held_bytes {
            let Some((_, number, seq, _)) = self.deadlines.first().copied() else {
                break;
            };
            released.extend(self.release(number, seq, decided));
        }
        released
    }

    /// Everything of one author that waits with a sequence number up to `upto`, and what that makes ready after it.
    /// Returned in order; the caller must note each as appended before asking anything else.
    fn release(&mut self, number: u64, upto: u64, decided: &Decided) -> Vec<Release> {
        let mut released = Vec::new();
        let Some(author) = self.authors.get_mut(&number) else {
            return released;
        };
        // What is about to be appended counts as appended for what follows it.
        let mut last = author.last;
        let mut passed = BTreeSet::new();
        while let Some(entry) = author.held.first_entry() {
            let seq = entry.key().0;
            let prev = entry.get().arrival.header.prev_seq;
            let there = prev <= author.floor || passed.contains(&prev) || decided.has(number, prev);
            if !there && prev > last && seq > upto {
                break;
            }
            let (key, held) = entry.remove_entry();
            last = last.max(key.0);
            passed.insert(key.0);
            self.deadlines.remove(&(held.until, number, key.0, key.1));
            self.held_bytes -= held.arrival.cost();
            released.push(Release {
                arrival: held.arrival,
                gap: !there,
                fate: held.fate,
            });
        }
        released
    }

    /// What is ready after a message of this author was appended.
    pub(super) fn ready(&mut self, number: u64, decided: &Decided) -> Vec<Release> {
        self.release(number, 0, decided)
    }

    /// What is due for the message that has waited longest without a look. `sought` = the first place where repair is at work:
    /// while that lies before the message, what it waits for may be on its way.
    pub(super) fn due(
        &mut self,
        now: Instant,
        sought: impl FnOnce() -> Option<Point>,
        decided: &Decided,
    ) -> Option<Due> {
        let (due, number, seq, id) = self.deadlines.first().copied()?;
        if due > now {
            return None;
        }
        let Limits {
            hold,
            hold_repairing,
            ..
        } = self.limits;
        let held = self.authors.get_mut(&number)?.held.get_mut(&(seq, id))?;
        let place = held.arrival.point();
        let due = if !held.told {
            held.told = true;
            held.until = held.since + hold;
            let link = held.arrival.from.map(|(link, _)| link);
            link.map_or(Due::Later, |link| {
                let before = place;
                Due::Tell(Hole { link, before })
            })
        } else if now < held.since + hold_repairing && sought().is_some_and(|first| first < place) {
            let look = now + hold / 4;
            held.until = look.min(held.since + hold_repairing);
            Due::Later
        } else {
            return Some(Due::Over(self.release(number, seq, decided)));
        };
        self.deadlines.pop_first();
        self.deadlines.insert((held.until, number, seq, id));
        Some(due)
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        Some(self.deadlines.first()?.0)
    }

    /// Notes a decided message; `bytes` = what it takes in the log, 0 = not logged.
    pub(super) fn decided(&mut self, number: u64, seq: u64, bytes: u32) {
        if let Some(author) = self.authors.get_mut(&number) {
            author.last = author.last.max(seq);
            author.prune_from = author.prune_from.min(seq);
            self.charge(number, i64::from(bytes), 1);
        }
    }

    /// Forgets a message that the low edge has passed.
    pub(super) fn forget(&mut self, number: u64, seq: u64, bytes: u32) {
        if let Some(author) = self.authors.get_mut(&number) {
            author.floor = author.floor.max(seq);
            self.charge(number, -i64::from(bytes), -1);
        }
    }

    /// Notes that a message left the log but stays decided.
    pub(super) fn unlogged(&mut self, number: u64, bytes: u32) {
        self.charge(number, -i64::from(bytes), 0);
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> (usize, usize) {
        (self.deadlines.len(), self.held_bytes)
    }
}
