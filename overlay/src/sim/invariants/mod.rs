//! What must hold in every run whatever happens in it, checked while it runs: one file each.
//!
//! A [`Guard`] watches one honest host: what it does at every step, how large things have become every few steps, and everything
//! every few hundred steps and at each measured moment. It runs with its host, on whatever thread that is, knows nobody else, and
//! goes by what the host was configured with when it started. What takes more than one host to see is for the [`Checker`].

mod admission;
mod bans;
mod caps;
mod connected;
mod dials;
mod memory;
mod numbers;
mod pools;
mod resets;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use crypto::PeerId;

use super::scenario::Scenario;
use super::world::{Time, World};
use crate::action::Action;
use crate::input::{Input, Now};
use crate::overlay::Overlay;

pub(in crate::sim) use caps::Bounds;

/// Steps of a host between two looks at what costs next to nothing to look at.
const LIGHT_EVERY: u32 = 32;
/// Steps of a host between two looks at everything.
const FULL_EVERY: u32 = 1024;
/// Violations of one host that are described between two measured moments; all are counted.
const MAX_OF_HOST: usize = 4;
/// Violations of a run that are described; all are counted.
const MAX_OF_RUN: usize = 100;
/// Peers that one host has held to be at fault since the last measured moment; more are of no use.
const MAX_ACCUSED: usize = 64;

/// Something that must never happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sim) struct Violation {
    /// When it was seen.
    pub(in crate::sim) at: Time,
    /// At which host.
    pub(in crate::sim) host: u32,
    /// Which invariant: the name of its file.
    pub(in crate::sim) invariant: &'static str,
    /// What is wrong, and by how much.
    pub(in crate::sim) what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, host) = (self.at.seconds(), self.host);
        write!(
            f,
            "{at:.6} s, node {host}, {}: {}",
            self.invariant, self.what
        )
    }
}

/// A step of a host.
#[derive(Clone, Copy, Debug)]
pub(in crate::sim) struct Moment {
    pub(in crate::sim) host: u32,
    pub(in crate::sim) at: Time,
    pub(in crate::sim) now: Now,
}

/// Violations in the order in which they were seen.
#[derive(Debug, Default)]
struct Found {
    described: Vec<Violation>,
    count: u64,
}

impl Found {
    fn add(&mut self, moment: &Moment, invariant: &'static str, what: String) {
        self.count += 1;
        if self.described.len() < MAX_OF_HOST {
            self.described.push(Violation {
                at: moment.at,
                host: moment.host,
                invariant,
                what,
            });
        }
    }
}

/// What a host says of another one.
#[derive(Clone, Copy, Debug)]
enum Accusation {
    /// It banned it.
    Banned,
    /// It holds two messages with one number under its signature.
    Equivocated,
}

/// Watches one honest host.
#[derive(Debug, Default)]
pub(in crate::sim) struct Guard {
    /// `None` while there is no node of ours.
    bounds: Option<Box<Bounds>>,
    steps: u32,
    last: Option<Moment>,
    resets: resets::Seen,
    dials: dials::Seen,
    numbers: numbers::Seen,
    accused: Vec<(Moment, Accusation, PeerId)>,
    found: Found,
}

impl Guard {
    /// The host starts, with this node if it is one of ours. What it promised before it started again still holds.
    pub(in crate::sim) fn begin(&mut self, node: Option<&Overlay>) {
        self.bounds = node.map(|node| Box::new(Bounds::of(node.rooms().config)));
        self.resets = resets::Seen::default();
        self.dials = dials::Seen::default();
        self.last = None;
    }

    /// The node is about to be told something.
    pub(in crate::sim) fn told(&mut self, input: &Input, moment: &Moment) {
        if self.bounds.is_some() {
            self.dials.told(input, moment.now.mono);
        }
    }

    /// The node, after a step, wants this done.
    pub(in crate::sim) fn did(&mut self, action: &Action, node: &Overlay, moment: &Moment) {
        let Some(bounds) = &self.bounds else { return };
        pools::closing(action, node, moment, &mut self.found);
        self.dials
            .did(action, node, bounds, moment, &mut self.found);
        self.numbers.did(action, moment, &mut self.found);
        let accused = bans::accused(action).or_else(|| numbers::accused(action));
        if let Some((accusation, peer)) = accused
            && self.accused.len() < MAX_ACCUSED
        {
            self.accused.push((*moment, accusation, peer));
        }
    }

    /// A step is over and everything that came of it was taken.
    pub(in crate::sim) fn after(&mut self, node: &Overlay, moment: &Moment) {
        self.last = Some(*moment);
        self.steps = self.steps.wrapping_add(1);
        if self.steps.is_multiple_of(FULL_EVERY) {
            self.look(node);
        } else if self.steps.is_multiple_of(LIGHT_EVERY)
            && let Some(bounds) = &self.bounds
        {
            caps::light(node, bounds, moment, &mut self.found);
        }
    }

    /// Looks at everything, as it was after the last step.
    pub(in crate::sim) fn look(&mut self, node: &Overlay) {
        let (Some(bounds), Some(moment)) = (&self.bounds, &self.last) else {
            return;
        };
        let found = &mut self.found;
        memory::check(node, bounds, moment, found);
        caps::light(node, bounds, moment, found);
        caps::full(node, bounds, moment, found);
        admission::check(node, bounds, moment, found);
        self.resets.check(node, moment, found);
    }

    #[cfg(test)]
    fn bounds_mut(&mut self) -> &mut Bounds {
        self.bounds.as_mut().expect("a node of ours runs here")
    }
}

/// Gathers what the guards found and sees what takes more than one host to see.
#[derive(Debug, Default)]
pub(in crate::sim) struct Checker {
    described: Vec<Violation>,
    count: u64,
}

impl Checker {
    /// Looks at all hosts; `ids` says which host has which id.
    pub(in crate::sim) fn inspect(
        &mut self,
        world: &mut World,
        scenario: &Scenario,
        ids: &BTreeMap<PeerId, usize>,
    ) {
        let mut found = Found::default();
        for index in 0..world.len() {
            let guard = world.guard_of(index);
            self.count += std::mem::take(&mut guard.found.count);
            let described = std::mem::take(&mut guard.found.described);
            let accused = std::mem::take(&mut guard.accused);
            self.describe(described);
            for (moment, accusation, peer) in accused {
                let other = ids.get(&peer).map(|other| world.host(*other));
                if let Some(other) = other.filter(|other| !other.who().hostile) {
                    match accusation {
                        Accusation::Banned => bans::judge(&moment, other, &mut found),
                        Accusation::Equivocated => numbers::judge(&moment, other, &mut found),
                    }
                }
            }
            self.count += std::mem::take(&mut found.count);
            self.describe(std::mem::take(&mut found.described));
        }
        connected::check(world, scenario, ids, &mut found);
        self.count += found.count;
        self.describe(found.described);
    }

    fn describe(&mut self, violations: Vec<Violation>) {
        let room = MAX_OF_RUN - self.described.len();
        self.described.extend(violations.into_iter().take(room));
    }

    /// The violations described, in the order in which they were gathered.
    pub(in crate::sim) fn described(&self) -> &[Violation] {
        &self.described
    }

    /// How many violations there were.
    pub(in crate::sim) const fn count(&self) -> u64 {
        self.count
    }
}
