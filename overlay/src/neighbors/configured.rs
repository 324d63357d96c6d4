//! Seeds and persistent peers: when each is dialled, for ever.

use std::time::{Duration, Instant};

use crypto::PeerId;
use rand::RngExt as _;

use super::upkeep::{HEAL, Upkeep, between};
use super::{Code, Neighbors};
use crate::action::{Event, SeedFailure};
use crate::config::Seed;
use crate::cx::Cx;
use crate::input::DialError;
use crate::peers::{Book, DialPurpose, Dialing};
use crate::rules::Rule;

/// First and longest wait before a configured peer is dialled again after a failure. A guess.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How often a reached seed is asked again while the node has no neighbor. A guess.
const ASK_AGAIN_ALONE: Duration = Duration::from_secs(3);
/// Longer than any simulation.
const NEVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A configured peer and when it is due.
#[derive(Debug)]
pub(super) struct Configured {
    seed: Seed,
    purpose: DialPurpose,
    next: Instant,
    /// It asked not to be dialled before.
    not_before: Instant,
    failures: u32,
    in_flight: bool,
}

/// The persistent peers and seeds of the configuration, all due at once.
pub(super) fn of(cx: &Cx<'_>) -> Vec<Configured> {
    let (me, now) = (cx.me(), cx.now.mono);
    let seeds = cx.config.seeds.iter().map(|seed| (seed, DialPurpose::Seed));
    let persistent = cx
        .config
        .persistent
        .iter()
        .map(|seed| (seed, DialPurpose::Persistent));
    persistent
        .chain(seeds)
        .filter(|(seed, _)| seed.peer != me)
        .map(|(seed, purpose)| Configured {
            seed: seed.clone(),
            purpose,
            next: now,
            not_before: now,
            failures: 0,
            in_flight: false,
        })
        .collect()
}

impl Upkeep {
    pub(super) fn dial_succeeded(
        &mut self,
        peer: &PeerId,
        purpose: Option<DialPurpose>,
        cx: &mut Cx<'_>,
    ) {
        for entry in self
            .configured
            .iter_mut()
            .filter(|entry| entry.seed.peer == *peer)
        {
            entry.failures = 0;
            entry.in_flight &= purpose != Some(entry.purpose);
            let pause = if entry.purpose == DialPurpose::Seed {
                between(cx, HEAL)
            } else {
                RETRY.0
            };
            entry.next = cx.now.mono + pause;
            entry.not_before = cx.now.mono;
            if entry.purpose == DialPurpose::Seed && !cx.rules.hold(Rule::Healing) {
                entry.not_before += NEVER;
            }
        }
        self.wake(cx);
    }

    /// A dial came to nothing. A configured peer is left alone for our own back-off, or for as long as it `asked` (with `asked` zero:
    /// it did not), if that is longer.
    pub(super) fn dial_failed(
        &mut self,
        dialing: &Dialing,
        reason: &Result<DialError, Code>,
        asked: Duration,
        cx: &mut Cx<'_>,
    ) {
        let now = cx.now.mono;
        if matches!(reason, Err(Code::Full | Code::Busy | Code::Duplicate)) {
            self.avoid_for(dialing.peer, asked, now);
        }
        // One peer may be configured both as a seed and as a persistent peer: what it asks for counts for both.
        for entry in self
            .configured
            .iter_mut()
            .filter(|entry| entry.seed.peer == dialing.peer && entry.seed.target == dialing.target)
        {
            entry.not_before = entry.not_before.max(now + asked);
            if !entry.in_flight || entry.purpose != dialing.purpose {
                continue;
            }
            entry.in_flight = false;
            entry.failures = entry.failures.saturating_add(1);
            let wait = RETRY
                .0
                .saturating_mul(1 << entry.failures.min(6))
                .min(RETRY.1);
            let wait = wait
                .mul_f64(cx.rng.random_range(0.5..1.0))
                .max(entry.not_before.saturating_duration_since(now));
            entry.next = now + wait;
            if *reason != Err(Code::Duplicate) {
                let reason = match reason {
                    Ok(error) => SeedFailure::Dial(error.clone()),
                    Err(code) => SeedFailure::Refused(code.to_u16()),
                };
                cx.stats.neighbors.seed_failures += 1;
                cx.emit(Event::SeedFailed {
                    peer: dialing.peer,
                    target: dialing.target.clone(),
                    reason,
                    retry_in_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                });
            }
        }
        self.wake(cx);
    }
}

impl Neighbors {
    /// Dials the configured peers that are due. Seeds are asked quickly while the node is alone, slowly otherwise, and for ever.
    pub(super) fn dial_configured(&mut self, alone: bool, book: &mut Book, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        for index in 0..self.upkeep.configured.len() {
            let entry = &self.upkeep.configured[index];
            let (peer, target, purpose) =
                (entry.seed.peer, entry.seed.target.clone(), entry.purpose);
            let mut next = entry.next;
            if entry.in_flight {
                continue;
            }
            if alone && entry.failures == 0 && purpose == DialPurpose::Seed {
                next = next.min(now + ASK_AGAIN_ALONE);
            }
            next = next.max(entry.not_before);
            let served = match purpose {
                DialPurpose::Persistent => self.links.is_neighbor(&peer),
                _ => self.links.to_peer(&peer).is_some(),
            };
            if served {
                next = next.max(now + RETRY.0);
            } else if next <= now {
                next = match book.try_dial(peer, target, purpose, cx) {
                    Ok(_) => {
                        self.upkeep.configured[index].in_flight = true;
                        continue;
                    }
                    Err(_) => now + RETRY.0,
                };
            }
            self.upkeep.configured[index].next = next;
            self.upkeep.wake_at(next);
        }
    }
}
