//! The token buckets of one link.

use std::time::Instant;

use super::{Config, Rate};
use crate::collections::TokenBucket;
use crate::wire::tag;

/// Kinds of frames that share a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Greeting,
    Liveness,
    Neighbor,
    Exchange,
    Announce,
    Tree,
    Repair,
    Unknown,
}

impl Class {
    /// The class of a tag; `None` = not limited here.
    pub(super) const fn of(tag: u8) -> Option<Self> {
        Some(match tag {
            tag::HELLO | tag::ACCEPT | tag::REFUSE => Self::Greeting,
            tag::PING | tag::PONG | tag::PROBE..=tag::SEEN => Self::Liveness,
            tag::NEIGHBOR_REQUEST | tag::NEIGHBOR_REPLY => Self::Neighbor,
            tag::EXCHANGE_REQUEST | tag::EXCHANGE_REPLY | tag::LEAVE => Self::Exchange,
            tag::ANNOUNCE | tag::HAVE | tag::PART => Self::Announce,
            tag::GRAFT | tag::PRUNE | tag::WANT | tag::CANCEL | tag::BUSY => Self::Tree,
            tag::RECONCILE | tag::FETCH | tag::FETCH_MISSING => Self::Repair,
            tag::GOSSIP | tag::HEAD | tag::CHUNK => return None,
            _ => Self::Unknown,
        })
    }
}

#[derive(Debug)]
pub(super) struct Meter {
    /// By class.
    buckets: [TokenBucket; 8],
    excess: TokenBucket,
}

impl Meter {
    pub(super) fn new(config: &Config, now: Instant) -> Self {
        let bucket = |rate: Rate| TokenBucket::new(rate.burst, rate.per_sec, now);
        Self {
            buckets: [
                // A hello, or the answer to one, and never another.
                TokenBucket::new(1, 0, now),
                bucket(config.liveness),
                bucket(config.neighbor),
                bucket(config.exchange),
                bucket(config.announce),
                bucket(config.tree),
                bucket(config.repair),
                bucket(config.unknown),
            ],
            excess: bucket(config.excess),
        }
    }

    /// The meter of the peer's next connection: as it was left, but for the greeting.
    pub(super) fn greeting_again(&mut self, now: Instant) {
        self.buckets[Class::Greeting as usize] = TokenBucket::new(1, 0, now);
    }

    /// Whether a new meter would say the same, the greeting aside.
    pub(super) fn is_full(&self, now: Instant) -> bool {
        let refilling = &self.buckets[Class::Greeting as usize + 1..];
        refilling
            .iter()
            .chain([&self.excess])
            .all(|bucket| bucket.is_full(now))
    }

    /// Pays for a frame; returns whether there was enough.
    pub(super) fn take(&mut self, class: Class, len: usize, now: Instant) -> bool {
        let price = if class == Class::Announce {
            len as u64
        } else {
            1
        };
        self.buckets[class as usize].take(price, now)
    }

    /// Pays for a dropped frame; returns whether there was enough.
    pub(super) fn forgive(&mut self, now: Instant) -> bool {
        self.excess.take(1, now)
    }
}
