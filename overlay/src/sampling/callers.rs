//! Who calls: soft limits on how often, and whom to believe when more call than can be dialled back.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crypto::{PeerId, Verified};
use rand::Rng;
use rand::RngExt as _;

use super::Config;
use crate::collections::TokenBucket;
use crate::peers::Group;
use crate::wire::{MAX_LIST, PeerRecord};

/// Callers whose pace is remembered; the one who called longest ago is forgotten first.
pub(super) const MAX_PACES: usize = 1024;
/// Calls one identity may save up. A guess: the fast start of a joiner who knows nobody else, for a few seconds.
const BURST: f64 = 16.0;
/// All answers: saved up, and per second. Guesses: at its shortest lists, a node that is called as often as that sends some 70 kB/s.
const ANSWERS: (u64, u64) = (256, 64);
/// Records given to callers, in lists as long as one's own: saved up, and per period of one's own. Where everybody keeps to the same
/// period a node is called as often as it calls; the second list is for nodes that cannot be dialled, who call and are never called.
/// Guesses both; what is saved up outlasts the fast start of a whole network.
pub const LISTS: (f64, f64) = (512.0, 2.0);
/// However often a node is called, a list has this many records, if it is asked for so many.
pub const SHORTEST: usize = 8;

/// A token bucket whose rate follows the number of known peers, or the settings.
#[derive(Clone, Copy, Debug)]
struct Pace {
    credit: f64,
    at: Instant,
}

impl Pace {
    fn earn(&mut self, capacity: f64, per_s: f64, now: Instant) {
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * per_s;
        self.credit = (self.credit + gained).min(capacity);
        self.at = self.at.max(now);
    }

    fn take(&mut self, capacity: f64, per_s: f64, now: Instant) -> bool {
        self.earn(capacity, per_s, now);
        let enough = self.credit >= 1.0;
        if enough {
            self.credit -= 1.0;
        }
        enough
    }
}

/// A uniform sample, without memory of order or repetition, of the distinct identities that call during a window, with a quota
/// per prefix group.
///
/// Each identity has a priority: the hash of its id under the window's secret. Keeping those of least priority is a uniform choice
/// over distinct identities, and calling twice changes nothing. Groups are chosen in the same way. The window holds at most
/// `believed` groups of at most `believed` callers.
pub(super) struct Callers {
    secret: [u8; 32],
    window: BTreeMap<u64, BTreeMap<u64, Verified<PeerRecord>>>,
    closes: Option<Instant>,
    paces: BTreeMap<PeerId, Pace>,
    answers: TokenBucket,
    /// Records that may be given, in lists.
    lists: Pace,
}

impl std::fmt::Debug for Callers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Callers")
            .field("groups", &self.window.len())
            .field("paces", &self.paces.len())
            .finish_non_exhaustive()
    }
}

impl Callers {
    pub(super) fn new(now: Instant, rng: &mut impl Rng) -> Self {
        Self {
            secret: rng.random(),
            window: BTreeMap::new(),
            closes: None,
            paces: BTreeMap::new(),
            answers: TokenBucket::new(ANSWERS.0, ANSWERS.1, now),
            lists: Pace {
                credit: LISTS.0,
                at: now,
            },
        }
    }

    /// How many of the records that a caller wants it gets. Full lists while less than three quarters of what was saved up are spent;
    /// then none longer than the rest allows, so that whoever wants most is cut first: a flood of calls draws few more bytes than
    /// honest callers do, costs those who want less least, and still nobody goes away empty.
    pub(super) fn ration(&mut self, want: usize, config: &Config, now: Instant) -> usize {
        let per_s = LISTS.1 / config.period.as_secs_f64().max(1e-3);
        self.lists.earn(LISTS.0, per_s, now);
        let part = (self.lists.credit * 4.0 / LISTS.0).min(1.0);
        let longest = (MAX_LIST as f64 * part) as usize;
        let given = want.min(longest.max(SHORTEST));
        self.lists.credit -= given as f64 / f64::from(config.list.max(1));
        self.lists.credit = self.lists.credit.max(0.0);
        given
    }

    /// Whether a call is answered with a list. The fewer peers we know, the more often each may call: a member of a network of
    /// `known` is visited in turn, every `known / 4` fast periods by a young caller, and no one needs more than every other
    /// period later.
    pub(super) fn admit(
        &mut self,
        peer: PeerId,
        known: usize,
        config: &Config,
        now: Instant,
    ) -> bool {
        let known = u32::try_from(known.max(4) / 4).unwrap_or(u32::MAX);
        let interval = config
            .fast_period
            .saturating_mul(known)
            .min(config.period * 2)
            .max(Duration::from_millis(1));
        let fresh = Pace {
            credit: BURST,
            at: now,
        };
        let pace = self.paces.entry(peer).or_insert(fresh);
        let admitted =
            pace.take(BURST, interval.as_secs_f64().recip(), now) && self.answers.take(1, now);
        if self.paces.len() > MAX_PACES {
            let longest_ago = self.paces.iter().filter(|(other, _)| **other != peer);
            let longest_ago = longest_ago
                .min_by_key(|(_, pace)| pace.at)
                .map(|(peer, _)| *peer);
            if let Some(longest_ago) = longest_ago {
                self.paces.remove(&longest_ago);
            }
        }
        admitted
    }

    fn priority(&self, bytes: &[u8]) -> u64 {
        let hash = blake3::keyed_hash(&self.secret, bytes);
        let mut first = [0; 8];
        first.copy_from_slice(&hash.as_bytes()[..8]);
        u64::from_le_bytes(first)
    }

    /// Notes a caller who wants to be believed, from an address of `group`; `quota` per group, `believed` in all. Returns how many
    /// callers lost their place by it (itself included).
    pub(super) fn note(
        &mut self,
        record: Verified<PeerRecord>,
        group: &Group,
        quota: usize,
        believed: usize,
        closes: Instant,
    ) -> usize {
        self.closes.get_or_insert(closes);
        let group_priority = self.priority(&group.wide.bytes());
        let priority = self.priority(record.signer().as_bytes());
        let callers = self.window.entry(group_priority).or_default();
        callers.insert(priority, record);
        let mut lost = 0;
        while callers.len() > quota.max(1) {
            callers.pop_last();
            lost += 1;
        }
        while self.window.len() > believed.max(1) {
            lost += self
                .window
                .pop_last()
                .map_or(0, |(_, callers)| callers.len());
        }
        lost
    }

    /// When the window closes; `None` while nobody has called.
    pub(super) const fn closes(&self) -> Option<Instant> {
        self.closes
    }

    /// Closes the window: at most `believed` distinct callers, in turn over the groups; and how many were left out.
    pub(super) fn draw(
        &mut self,
        believed: usize,
        rng: &mut impl Rng,
    ) -> (Vec<Verified<PeerRecord>>, usize) {
        self.secret = rng.random();
        self.closes = None;
        let mut queues: Vec<_> = std::mem::take(&mut self.window)
            .into_values()
            .map(BTreeMap::into_values)
            .collect();
        let mut drawn: BTreeMap<PeerId, Verified<PeerRecord>> = BTreeMap::new();
        let mut order = Vec::new();
        let mut left_out = 0;
        while !queues.is_empty() {
            queues.retain_mut(|queue| {
                let Some(record) = queue.next() else {
                    return false;
                };
                if order.len() >= believed {
                    left_out += 1;
                } else if drawn.insert(record.signer(), record.clone()).is_none() {
                    order.push(record.signer());
                }
                true
            });
        }
        let records = order.iter().filter_map(|peer| drawn.remove(peer)).collect();
        (records, left_out)
    }

    #[cfg(test)]
    pub(super) fn paces_len(&self) -> usize {
        self.paces.len()
    }
}
