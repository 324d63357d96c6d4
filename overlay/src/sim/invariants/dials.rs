//! Nobody dials one address more than the bound: what hearsay names has a budget per address and group, an address where nothing
//! answers is left alone for a while, one peer is dialled once at a time, and all dials within a second have a limit.
//!
//! So however many identities an attacker places at a victim's address, each honest node dials it at most
//! [`Caps::per_addr`](crate::peers::Caps) times a minute. Configured peers and anchors are exempt: nobody else names those.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crypto::PeerId;

use super::{Bounds, Found, Moment};
use crate::action::{Action, Target};
use crate::config::AddressPreset;
use crate::input::{DialError, DialId, Input};
use crate::overlay::Overlay;
use crate::peers::{DialPurpose, Group, Prefix, canonical, host_of};

const NAME: &str = "dials";
/// The budgets are for this time.
const WINDOW: Duration = Duration::from_secs(60);
/// The rate is held to account over this time.
const RATE_WINDOW: Duration = Duration::from_secs(1);
/// What is over is forgotten when there is more than this.
const SWEEP_ABOVE: usize = 64;

/// Dials of one start.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// When a budget's time began, and what was taken of it since.
    windows: BTreeMap<Prefix, (Instant, usize)>,
    /// When nothing answered there last.
    silent: BTreeMap<SocketAddr, Instant>,
    under_way: BTreeMap<DialId, (PeerId, Option<SocketAddr>)>,
    dialled: BTreeSet<PeerId>,
    /// Those of the last second that the rate is for.
    of_late: VecDeque<Instant>,
}

impl Seen {
    pub(super) fn told(&mut self, input: &Input, now: Instant) {
        let (dial, silent) = match input {
            Input::DialFailed { dial, reason } => (dial, *reason == DialError::Unreachable),
            Input::Connected {
                dialed: Some(dial), ..
            } => (dial, false),
            _ => return,
        };
        let Some((peer, addr)) = self.under_way.remove(dial) else {
            return;
        };
        self.dialled.remove(&peer);
        let Some(addr) = addr else { return };
        if silent {
            self.silent.insert(addr, now);
        } else {
            self.silent.remove(&addr);
        }
    }

    pub(super) fn did(
        &mut self,
        action: &Action,
        node: &Overlay,
        bounds: &Bounds,
        moment: &Moment,
        found: &mut Found,
    ) {
        let Action::Dial { dial, peer, target } = action else {
            return;
        };
        let addr = match target {
            Target::Addr(addr) => Some(canonical(*addr)),
            Target::Name(_) => None,
        };
        self.under_way.insert(*dial, (*peer, addr));
        if !self.dialled.insert(*peer) {
            let what = format!("{} is dialled twice at a time", peer.short());
            found.add(moment, NAME, what);
        }
        let (Some(addr), Some(purpose)) = (addr, node.rooms().book.dial_purpose(peer)) else {
            return;
        };
        let trusted = matches!(
            purpose,
            DialPurpose::Seed | DialPurpose::Persistent | DialPurpose::Anchor
        );
        if !trusted {
            self.check_rest(addr, bounds, moment, found);
            self.check_rate(bounds, moment, found);
        }
        if purpose == DialPurpose::Candidate {
            self.check_budget(addr, bounds, moment, found);
        }
    }

    fn check_rest(
        &mut self,
        addr: SocketAddr,
        bounds: &Bounds,
        moment: &Moment,
        found: &mut Found,
    ) {
        let (now, rest) = (moment.now.mono, bounds.rest_shortest);
        if self.silent.len() > SWEEP_ABOVE {
            self.silent
                .retain(|_, at| now.saturating_duration_since(*at) < rest);
        }
        let Some(at) = self.silent.get(&addr) else {
            return;
        };
        let after = now.saturating_duration_since(*at);
        if after < rest {
            let what =
                format!("{addr} is dialled {after:?} after nothing answered there, not {rest:?}");
            found.add(moment, NAME, what);
        }
    }

    fn check_rate(&mut self, bounds: &Bounds, moment: &Moment, found: &mut Found) {
        let (now, most) = (moment.now.mono, bounds.dials_within_1s);
        let past = |at: &Instant| now.saturating_duration_since(*at) >= RATE_WINDOW;
        while self.of_late.front().is_some_and(past) || self.of_late.len() > most {
            self.of_late.pop_front();
        }
        self.of_late.push_back(now);
        let dials = self.of_late.len();
        if dials > most {
            let what = format!("{dials} dials within a second, at most {most}");
            found.add(moment, NAME, what);
        }
    }

    fn check_budget(
        &mut self,
        addr: SocketAddr,
        bounds: &Bounds,
        moment: &Moment,
        found: &mut Found,
    ) {
        let (now, caps) = (moment.now.mono, bounds.crowd);
        let running = |start: Instant| now.saturating_duration_since(start) < WINDOW;
        if self.windows.len() > SWEEP_ABOVE {
            self.windows.retain(|_, (start, _)| running(*start));
        }
        let group = Group::of(addr.ip(), bounds.preset);
        let mut budgets = vec![(host_of(addr.ip()), caps.per_addr)];
        if bounds.preset != AddressPreset::Local {
            budgets.push((group.narrow, caps.per_group));
            budgets.push((group.wide, caps.per_wide_group));
        }
        for (prefix, most) in budgets {
            let window = self.windows.entry(prefix).or_insert((now, 0));
            if !running(window.0) {
                *window = (now, 0);
            }
            window.1 += 1;
            if window.1 > most {
                let what = format!(
                    "hearsay led to {} dials within a minute to {addr} or its group, at most {most}",
                    window.1
                );
                found.add(moment, NAME, what);
            }
        }
    }
}
