//! What is kept of each neighbor link: who wants what over it, what it is owed, and how far its word is good.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::recent::RecentTable;
use super::slots::Slot;
use crate::collections::Budget;
use crate::input::Lane;
use crate::rules::{Rule, Rules};
use crate::wire::{ShortId, short_id};

/// How many of the latest messages a peer may ask for by short id. A guess: some seconds of the highest rates.
const ASKABLE: u64 = 4096;
/// Most bytes of credit for serving that a link can earn by delivering.
const EARNED_MAX: u64 = 16 * 1024 * 1024;
/// Broken promises that make a link distrusted.
const DISTRUST: u32 = 2;

/// Points that fade: one is lost every 20 s.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fading {
    points: u32,
    at: Instant,
}

impl Fading {
    const EVERY: Duration = Duration::from_secs(20);
    const MAX: u32 = 64;

    const fn new(now: Instant) -> Self {
        Self { points: 0, at: now }
    }

    /// The points left.
    pub(super) fn get(&self, now: Instant) -> u32 {
        let periods = now.saturating_duration_since(self.at).as_secs() / Self::EVERY.as_secs();
        self.points
            .saturating_sub(u32::try_from(periods).unwrap_or(u32::MAX))
    }

    /// Adds points.
    pub(super) fn add(&mut self, points: u32, now: Instant) {
        let left = self.get(now);
        if left == 0 || left != self.points {
            self.at = now;
        }
        self.points = (left + points).min(Self::MAX);
    }

    /// Takes a point back.
    pub(super) fn forgive(&mut self) {
        self.points = self.points.saturating_sub(1);
    }
}

/// The state of one neighbor link.
#[derive(Debug)]
pub(super) struct Edge {
    /// Its number in the sets.
    pub(super) slot: Slot,
    /// Key under which the peer wants ids announced.
    pub(super) key: [u8; 16],
    /// We dialled it.
    pub(super) outbound: bool,
    /// Something in `pending` is to go out soon.
    pub(super) hurried: bool,
    /// The peer asked for everything it has said nothing else about.
    pub(super) out_default: bool,
    /// We asked the peer for everything we have said nothing else about.
    pub(super) in_default: bool,
    /// How often in a row no default supplier brought a fresh author's message, this one included.
    pub(super) idle_default: u8,
    /// Numbers of own messages that found the lane full.
    pub(super) owed_own: VecDeque<u64>,
    /// Numbers of others' messages that found the lane full.
    pub(super) owed_forwarded: VecDeque<u64>,
    /// When a lane of this link last took something that was owed, or was not full.
    pub(super) moved: Instant,
    /// Numbers of messages to be announced.
    pub(super) pending: Vec<u64>,
    /// When it last delivered a whole message.
    pub(super) active: Instant,
    /// It has delivered a whole message.
    pub(super) gave: bool,
    /// Before this, a prune it ignores is not repeated.
    pub(super) prune_again: Instant,
    /// Announcements honoured.
    pub(super) kept: Fading,
    /// Announcements not honoured, pushes that failed.
    pub(super) broken: Fading,
    budget: Budget,
    index: BTreeMap<ShortId, u64>,
    indexed: u64,
}

impl Edge {
    /// A new link: lazy both ways.
    pub(super) fn new(
        slot: Slot,
        key: [u8; 16],
        outbound: bool,
        serve_burst: u64,
        serve_rate: u64,
        now: Instant,
    ) -> Self {
        Self {
            slot,
            key,
            outbound,
            hurried: false,
            out_default: false,
            in_default: false,
            idle_default: 0,
            owed_own: VecDeque::new(),
            owed_forwarded: VecDeque::new(),
            moved: now,
            pending: Vec::new(),
            active: now,
            gave: false,
            prune_again: now,
            kept: Fading::new(now),
            broken: Fading::new(now),
            budget: Budget::new(serve_burst, serve_rate, EARNED_MAX, now),
            index: BTreeMap::new(),
            indexed: 0,
        }
    }

    /// What is announced to it goes out soon: it is one of those that the peer dialled, and every other one of them.
    pub(super) const fn soon(&self) -> bool {
        !self.outbound && self.slot.is_multiple_of(2)
    }

    /// What waits for a lane.
    pub(super) const fn owed(&mut self, lane: Lane) -> &mut VecDeque<u64> {
        match lane {
            Lane::Own => &mut self.owed_own,
            _ => &mut self.owed_forwarded,
        }
    }

    /// It announced or promised what it did not deliver, and that is not made up for by what it did.
    pub(super) fn demoted(&self, now: Instant, rules: Rules) -> bool {
        let broken = self.broken.get(now);
        rules.hold(Rule::KeptPromises) && broken >= DISTRUST && broken > self.kept.get(now) / 4
    }

    /// It delivered a whole message of `len` bytes.
    pub(super) fn delivered(&mut self, len: usize, now: Instant) {
        self.active = now;
        self.budget.earn(2 * len as u64);
        self.gave = true;
    }

    /// Pays for serving `len` bytes that the peer asked for: from what it earned by delivering (twice as much), else from the
    /// floor that every link has.
    pub(super) fn pay(&mut self, len: usize, now: Instant) -> bool {
        self.budget.pay(len as u64, now)
    }

    /// The number of the message that the peer calls `short`. The index under the peer's key is made when the peer first asks,
    /// since most never do.
    pub(super) fn find(&mut self, short: &ShortId, recent: &RecentTable) -> Option<u64> {
        let next = recent.next();
        let oldest = recent.base().max(next.saturating_sub(ASKABLE));
        for number in self.indexed.max(oldest)..next {
            if let Some(message) = recent.get(number) {
                self.index.insert(short_id(&self.key, &message.id), number);
            }
        }
        self.indexed = next;
        if self.index.len() as u64 > 2 * ASKABLE {
            self.index.retain(|_, number| *number >= oldest);
        }
        self.index.get(short).copied()
    }
}

#[cfg(test)]
mod tests {
    use crypto::MessageId;

    use super::*;
    use crate::testing::Bench;

    fn edge(now: Instant) -> Edge {
        Edge::new(0, [9; 16], true, 1000, 100, now)
    }

    #[test]
    fn trust_is_lost_by_two_broken_promises_and_comes_back_with_time() {
        let start = Bench::new(0).now.mono;
        let mut edge = edge(start);
        edge.broken.add(1, start);
        assert!(!edge.demoted(start, Rules::ALL));
        edge.broken.add(1, start);
        assert!(edge.demoted(start, Rules::ALL));
        assert!(!edge.demoted(start + Duration::from_secs(40), Rules::ALL));
        edge.kept.add(8, start);
        assert!(
            !edge.demoted(start, Rules::ALL),
            "kept promises weigh against broken ones"
        );
        for _ in 0..1000 {
            edge.broken.add(1, start);
        }
        assert_eq!(edge.broken.get(start), Fading::MAX);
        edge.broken.forgive();
        assert_eq!(edge.broken.get(start), Fading::MAX - 1);
    }

    #[test]
    fn serving_is_paid_for() {
        let start = Bench::new(0).now.mono;
        let mut edge = edge(start);
        assert!(edge.pay(1000, start), "the burst that a joining peer needs");
        assert!(!edge.pay(1, start));
        edge.delivered(300, start);
        assert!(edge.pay(600, start), "twice what it delivered");
        assert!(!edge.pay(1, start));
        let later = start + Duration::from_secs(5);
        assert!(edge.pay(500, later) && !edge.pay(1, later), "the floor");
    }

    #[test]
    fn the_index_of_what_a_peer_may_ask_for_is_bounded() {
        let start = Bench::new(0).now.mono;
        let mut edge = edge(start);
        let mut recent = RecentTable::default();
        let id = |n: u32| {
            let mut id = [0; 32];
            id[..4].copy_from_slice(&n.to_le_bytes());
            MessageId::from_bytes(id)
        };
        for n in 0..20_000_u32 {
            let mut short = [0; 8];
            short[..4].copy_from_slice(&n.to_le_bytes());
            recent.insert(short, id(n), [0; 32], start, 100_000);
            if n % 1000 == 0 {
                assert_eq!(
                    edge.find(&short_id(&[9; 16], &id(n)), &recent),
                    Some(u64::from(n))
                );
                assert!(edge.index.len() as u64 <= 2 * ASKABLE + 1);
            }
        }
        assert_eq!(edge.find(&short_id(&[9; 16], &id(3)), &recent), None);
        assert_eq!(edge.find(&[1; 8], &recent), None);
    }
}
