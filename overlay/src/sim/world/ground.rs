//! What all hosts stand on: where they are, how packets travel between them, who cannot reach whom. Read by all, changed only
//! between windows.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crypto::{NetworkId, VerdictMemo};
use rand::Rng;
use rand::RngExt as _;

use super::time::Time;
use super::weather::Bursts;
use crate::input::Now;
use crate::sim::scenario::{Delays, Scenario};

/// Wall clock when every world begins: 2026-01-01T00:00:00Z.
pub const START_UNIX_MS: u64 = 1_767_225_600_000;
/// A handshake without an answer is given up after this long, as the node's transport does.
pub(super) const DIAL_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection on which nothing can arrive is dead after this long, as in the node's transport.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// Who cannot reach whom.
#[derive(Clone, Debug)]
pub(super) struct Split {
    pub(super) between: Between,
    /// Which split this is.
    pub(super) number: u32,
}

/// Between whom nothing passes.
#[derive(Clone, Debug)]
pub(super) enum Between {
    /// The group of each host: nothing passes from one to another; where it is one way, from group 0 to the others.
    Groups { group: Vec<u8>, one_way: bool },
    /// This share of all pairs, both ways.
    Pairs(f64),
}

/// How packets travel.
#[derive(Clone, Debug)]
pub(super) struct Paths {
    least_us: f64,
    span_us: f64,
    /// Delays are drawn for each pair, and have nothing to do with places.
    random: bool,
    jitter: f64,
    pub(super) loss: f64,
    pub(super) bursts: Bursts,
    pub(super) duplicate: f64,
    pub(super) reorder: f64,
    /// Bytes a second; 0 = no limit.
    pub(super) uplink: u64,
}

impl Paths {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let (least, most) = scenario.delay_ms;
        Self {
            least_us: least * 1e3,
            span_us: (most - least) * 1e3,
            random: scenario.delays == Delays::Random,
            jitter: scenario.jitter,
            loss: scenario.loss,
            bursts: Bursts::new(scenario),
            duplicate: scenario.duplicate,
            reorder: scenario.reorder,
            uplink: scenario.uplink,
        }
    }

    /// The shortest way between two hosts, microseconds: what one does cannot matter to another sooner.
    pub(super) fn lookahead_us(&self) -> u64 {
        (self.least_us as u64).max(1)
    }
}

/// A bijection of 64 bits whose output looks random (the finisher of splitmix64, Steele, Lea and Flood 2014).
const fn mix(mut word: u64) -> u64 {
    word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// The ground.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) seed: u64,
    pub(super) start: Instant,
    pub(super) network: NetworkId,
    pub(super) memo: Arc<VerdictMemo>,
    pub(super) paths: Paths,
    /// Places on a map whose edges meet, each coordinate 0 to 1.
    pub(super) places: Vec<(f32, f32)>,
    pub(super) directory: BTreeMap<SocketAddr, u32>,
    pub(super) split: Option<Split>,
}

impl Ground {
    pub(super) fn now(&self, time: Time) -> Now {
        Now {
            mono: self.start + time.duration(),
            unix_ms: START_UNIX_MS + time.0 / 1000,
        }
    }

    /// One-way delay without jitter, microseconds, the same both ways: grows with the distance on the map, unless delays are random.
    pub(super) fn base_delay_us(&self, from: u32, to: u32) -> f64 {
        if self.paths.random {
            return self.paths.least_us + self.paths.span_us * self.drawn(from, to, mix(self.seed));
        }
        let place = |host: u32| {
            self.places
                .get(host as usize)
                .copied()
                .unwrap_or((0.0, 0.0))
        };
        let (a, b) = (place(from), place(to));
        let along = |x: f32, y: f32| {
            let d = (x - y).abs();
            d.min(1.0 - d)
        };
        let distance = along(a.0, b.0).hypot(along(a.1, b.1)) * std::f32::consts::SQRT_2;
        self.paths.least_us + self.paths.span_us * f64::from(distance.min(1.0))
    }

    /// A number from 0 to 1 that belongs to a pair.
    fn drawn(&self, from: u32, to: u32, salt: u64) -> f64 {
        let pair = u64::from(from.min(to)) << 32 | u64::from(from.max(to));
        f64::from(mix(pair ^ salt) as u32) / f64::from(u32::MAX)
    }

    /// One-way delay of one packet, microseconds.
    pub(super) fn delay_us(&self, from: u32, to: u32, rng: &mut impl Rng) -> u64 {
        let base = self.base_delay_us(from, to);
        if self.paths.jitter <= 0.0 {
            return base as u64;
        }
        // Sum of uniforms: near enough to normal for jitter, and cheap.
        let normal: f64 = (0..4).map(|_| rng.random_range(-0.866..0.866)).sum();
        let delayed = base * (self.paths.jitter * normal).exp();
        delayed.max(self.paths.least_us) as u64
    }

    pub(super) fn round_trip(&self, a: u32, b: u32) -> Duration {
        Duration::from_micros((2.0 * self.base_delay_us(a, b)) as u64)
    }

    /// Whether packets from one host reach another.
    pub(super) fn reaches(&self, from: u32, to: u32) -> bool {
        let Some(split) = &self.split else {
            return true;
        };
        match &split.between {
            Between::Groups { group, one_way } => {
                let group = |host: u32| group.get(host as usize).copied().unwrap_or(0);
                let (a, b) = (group(from), group(to));
                a == b || (*one_way && a != 0)
            }
            Between::Pairs(share) => {
                let salt = mix(self.seed ^ u64::from(split.number) << 32);
                from == to || self.drawn(from, to, salt) >= *share
            }
        }
    }

    pub(super) fn split_number(&self) -> u32 {
        self.split.as_ref().map_or(0, |split| split.number)
    }
}
