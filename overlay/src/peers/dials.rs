//! Dials: how many, how often, and to whom. A dial is a weapon: an address that somebody else named gets a budget, since one
//! dial to a silent victim is some 10 kB of traffic.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crypto::PeerId;

use super::address::host_of;
use super::{Caps, Config, DialPurpose, Group, Prefix};
use crate::action::Target;
use crate::collections::TokenBucket;
use crate::config::AddressPreset;
use crate::input::DialId;

/// A dial under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialing {
    /// Whose key must answer.
    pub peer: PeerId,
    /// Where, as it was asked for.
    pub target: Target,
    /// The address, unless the target is a name.
    pub addr: Option<SocketAddr>,
    /// What it is for.
    pub purpose: DialPurpose,
    /// When it began.
    pub since: Instant,
}

/// Why a dial was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DialRefused {
    /// The peer is this node.
    #[error("the peer is this node itself")]
    Myself,
    /// The address is one of this node's own.
    #[error("the address is this node's own")]
    OwnAddress,
    /// A special-use address that the preset does not take.
    #[error("the address is of a special-use block")]
    SpecialUse,
    /// A dial to this peer is under way.
    #[error("the peer is being dialled already")]
    AlreadyDialing,
    /// Too many dials are under way.
    #[error("too many dials are under way")]
    InFlight,
    /// Too many dials of late; there is room again at this time.
    #[error("too many dials of late")]
    Rate(Instant),
    /// Hearsay sent us to this address or group too often of late.
    #[error("too many dials to this address or group of late")]
    Budget,
    /// Nothing answered there; it rests until this time.
    #[error("nothing answered there a short time ago")]
    Resting(Instant),
}

/// Dials on hearsay per minute: to one address, one /24, one /16. Guesses near go-libp2p's 0.2/s per address.
const HEARSAY_WINDOW: Duration = Duration::from_secs(60);
/// What a dial on hearsay costs its address on top if somebody else is there. A guess: two such dials use up the eight of a minute.
const ASTRAY: usize = 3;
/// Keys of hearsay windows kept; when full of running windows, hearsay is not dialled.
const MAX_WINDOWS: usize = 8192;
/// Own addresses remembered; the oldest is forgotten first.
const MAX_OWN: usize = 8;

#[derive(Clone, Copy, Debug)]
struct Resting {
    until: Instant,
    forget: Instant,
    wait: Duration,
}

/// Everything about dials: under way, budgets, addresses at rest, own addresses.
#[derive(Debug)]
pub(super) struct Dials {
    under_way: BTreeMap<DialId, Dialing>,
    by_peer: BTreeMap<PeerId, DialId>,
    /// While young, and later.
    rates: [TokenBucket; 2],
    young: bool,
    windows: BTreeMap<Prefix, (Instant, usize)>,
    resting: BTreeMap<(SocketAddr, Option<PeerId>), Resting>,
    own: Vec<SocketAddr>,
}

impl Dials {
    pub(super) fn new(config: &Config, now: Instant) -> Self {
        Self {
            under_way: BTreeMap::new(),
            by_peer: BTreeMap::new(),
            rates: [config.dials_per_s_young, config.dials_per_s]
                .map(|rate| TokenBucket::new(rate.max(1), rate.max(1), now)),
            young: true,
            windows: BTreeMap::new(),
            resting: BTreeMap::new(),
            own: Vec::new(),
        }
    }

    pub(super) fn set_young(&mut self, young: bool) {
        self.young = young;
    }

    pub(super) fn begin(&mut self, id: DialId, dialing: Dialing) {
        self.by_peer.insert(dialing.peer, id);
        self.under_way.insert(id, dialing);
    }

    pub(super) fn end(&mut self, id: DialId) -> Option<Dialing> {
        let dialing = self.under_way.remove(&id)?;
        self.by_peer.remove(&dialing.peer);
        Some(dialing)
    }

    pub(super) fn to_peer(&self, peer: &PeerId) -> Option<&Dialing> {
        self.under_way.get(self.by_peer.get(peer)?)
    }

    pub(super) fn len(&self) -> usize {
        self.under_way.len()
    }

    pub(super) fn under_way(&self) -> impl Iterator<Item = &Dialing> {
        self.under_way.values()
    }

    /// Takes one dial from the total rate, or says when there is one again.
    pub(super) fn take_rate(&mut self, now: Instant) -> Result<(), Instant> {
        let bucket = &mut self.rates[usize::from(!self.young)];
        if bucket.take(1, now) {
            Ok(())
        } else {
            Err(bucket
                .ready_at(1)
                .unwrap_or(now)
                .max(now + Duration::from_millis(1)))
        }
    }

    /// Counts a dial on hearsay against its address and groups; false when one of them is used up.
    pub(super) fn take_hearsay(
        &mut self,
        ip: IpAddr,
        preset: AddressPreset,
        caps: &Caps,
        now: Instant,
    ) -> bool {
        if preset == AddressPreset::Local {
            return true;
        }
        let group = Group::of(ip, preset);
        let budgets = [
            (host_of(ip), caps.per_addr),
            (group.narrow, caps.per_group),
            (group.wide, caps.per_wide_group),
        ];
        let running = |start: Instant| now.saturating_duration_since(start) < HEARSAY_WINDOW;
        let used_up = budgets.iter().any(|(key, cap)| {
            self.windows
                .get(key)
                .is_some_and(|(start, count)| running(*start) && count >= cap)
        });
        if used_up {
            return false;
        }
        if self.windows.len() + budgets.len() > MAX_WINDOWS {
            self.windows.retain(|_, (start, _)| running(*start));
            if self.windows.len() + budgets.len() > MAX_WINDOWS {
                return false;
            }
        }
        for (key, _) in budgets {
            let window = self.windows.entry(key).or_insert((now, 0));
            if !running(window.0) {
                *window = (now, 0);
            }
            window.1 += 1;
        }
        true
    }

    /// Hearsay sent us to an address where somebody else is: that costs the address as much again as [`ASTRAY`] dials, so that made-up
    /// peers at a victim's address send us there the less. (It does not rest, or they would hide the victim from us.)
    pub(super) fn astray(&mut self, ip: IpAddr, now: Instant) {
        if let Some((start, count)) = self.windows.get_mut(&host_of(ip))
            && now.saturating_duration_since(*start) < HEARSAY_WINDOW
        {
            *count = count.saturating_add(ASTRAY);
        }
    }

    /// Until when the address (or this peer at this address) rests.
    pub(super) fn resting(&self, addr: SocketAddr, peer: &PeerId, now: Instant) -> Option<Instant> {
        let until = |key| self.resting.get(&key).map(|rest: &Resting| rest.until);
        until((addr, None))
            .max(until((addr, Some(*peer))))
            .filter(|until| *until > now)
    }

    /// Lays an address to rest after a failure, each time for twice as long; `escalate` = false keeps to the shortest rest.
    pub(super) fn rest(
        &mut self,
        addr: SocketAddr,
        peer: Option<PeerId>,
        escalate: bool,
        config: &Config,
        now: Instant,
    ) {
        let before = self
            .resting
            .get(&(addr, peer))
            .filter(|rest| rest.forget > now)
            .map(|rest| rest.wait);
        let wait = match before {
            Some(wait) if escalate => wait.saturating_mul(2).min(config.rest_longest),
            Some(wait) => wait,
            None => config.rest_shortest,
        };
        let until = now + wait;
        let forget = until + wait.max(config.rest_shortest) * 2;
        let rest = Resting {
            until,
            forget,
            wait,
        };
        self.keep((addr, peer), rest, config, now);
    }

    /// Lays a peer at an address to rest for as long as it asked, if it does not rest longer already; what the next failure costs
    /// stays our own affair.
    pub(super) fn rest_at_least(
        &mut self,
        addr: SocketAddr,
        peer: PeerId,
        asked: Duration,
        config: &Config,
        now: Instant,
    ) {
        let key = (addr, Some(peer));
        let until = now + asked;
        let mut rest = self.resting.get(&key).copied().unwrap_or(Resting {
            until,
            forget: until,
            wait: config.rest_shortest,
        });
        rest.until = rest.until.max(until);
        rest.forget = rest.forget.max(until);
        self.keep(key, rest, config, now);
    }

    /// Remembers a rest. At the cap those that are forgotten anyway go first, then the one that ends soonest.
    fn keep(
        &mut self,
        key: (SocketAddr, Option<PeerId>),
        rest: Resting,
        config: &Config,
        now: Instant,
    ) {
        if self.resting.len() >= config.resting.max(1) && !self.resting.contains_key(&key) {
            self.resting.retain(|_, rest| rest.forget > now);
            if self.resting.len() >= config.resting.max(1) {
                let soonest = self.resting.iter().min_by_key(|(_, rest)| rest.until);
                if let Some(key) = soonest.map(|(key, _)| *key) {
                    self.resting.remove(&key);
                }
            }
        }
        self.resting.insert(key, rest);
    }

    /// Something that is who it should be answered there.
    pub(super) fn rested(&mut self, addr: SocketAddr, peer: PeerId) {
        self.resting.remove(&(addr, None));
        self.resting.remove(&(addr, Some(peer)));
    }

    pub(super) fn resting_len(&self) -> usize {
        self.resting.len()
    }

    pub(super) fn note_own(&mut self, addr: SocketAddr) {
        if self.own.contains(&addr) {
            return;
        }
        if self.own.len() >= MAX_OWN {
            self.own.remove(0);
        }
        self.own.push(addr);
    }

    pub(super) fn is_own(&self, addr: SocketAddr) -> bool {
        self.own.contains(&addr)
    }
}
