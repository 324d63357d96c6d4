//! The honest graph is connected, once the network has had time to settle.

use std::collections::BTreeMap;
use std::time::Duration;

use crypto::PeerId;

use super::{Found, Moment};
use crate::sim::scenario::Scenario;
use crate::sim::watch::{join, root};
use crate::sim::world::{Host, Time, World};

const NAME: &str = "connected";

/// How long a node may take to be part of the network after it started, or moved again, or others around it died: 20 s until a dead
/// connection is noticed (the transport's idle timeout), then a configured seed is tried again at most 60 s after its last failure,
/// which took 5 s to be one (the transport's dial timeout), and as long for the greeting: 90 s. With a third as much again for the
/// exchange that follows and the dials to what it brings.
pub(in crate::sim) const SETTLE: Duration = Duration::from_secs(120);

/// How long a network that was split may take to be one again. Nodes that lost touch with a seed reach it within 65 s, as above,
/// and nodes whose outbound pool is not full link to what they find. Where both parts were large enough to fill all outbound pools
/// by themselves, no link to the other part is wanted until one is rotated out: every node does that at random times 10 to 15 min
/// apart, and the memory from which it draws the next one knows both parts again by then.
pub(in crate::sim) const HEAL: Duration = Duration::from_secs(900 + 65 + 35);

/// More than this part of the honest nodes gone, or stood still, within [`SETTLE`] is a catastrophe that takes time to recover from.
const CATASTROPHE: f64 = 0.1;

/// Whether something was later than `span` ago.
fn recent(at: Option<Time>, span: Duration, now: Time) -> bool {
    at.is_some_and(|at| at.after(span) > now)
}

/// Whether the network has had the time it needs.
fn is_settled(world: &World, scenario: &Scenario) -> bool {
    let now = world.time();
    if world.is_split() || recent(world.healed_at(), HEAL, now) {
        return false;
    }
    let honest = || world.hosts().filter(|host| !host.who().hostile);
    let upset = honest().filter(|host| {
        recent(host.died_at(), SETTLE, now)
            || host.stalled_until().is_some()
            || recent(host.woke_at(), SETTLE, now)
    });
    let up = honest().filter(|host| host.player().is_some()).count();
    // Who starts where no seed is up may know nobody.
    let served =
        scenario.seeds == 0 || (0..scenario.seeds).any(|seed| is_due(world.host(seed), now));
    served && upset.count() as f64 <= CATASTROPHE * up as f64
}

/// Whether a host has had the time it needs.
fn is_due(host: &Host, now: Time) -> bool {
    host.is_honest()
        && host.node().is_some()
        && host.stalled_until().is_none()
        && !recent(Some(host.started_at()), SETTLE, now)
        && !recent(host.woke_at(), SETTLE, now)
}

pub(super) fn check(
    world: &World,
    scenario: &Scenario,
    ids: &BTreeMap<PeerId, usize>,
    found: &mut Found,
) {
    if !is_settled(world, scenario) {
        return;
    }
    let mut parent: Vec<usize> = (0..world.len()).collect();
    for host in world.hosts().filter(|host| host.is_honest()) {
        let Some(node) = host.node() else { continue };
        for (_, link) in node.rooms().links.neighbors() {
            if let Some(other) = ids.get(&link.peer)
                && world.host(*other).is_honest()
            {
                join(&mut parent, host.index() as usize, *other);
            }
        }
    }
    let now = world.time();
    let mut parts: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
    for host in world.hosts().filter(|host| is_due(host, now)) {
        let part = root(&mut parent, host.index() as usize);
        parts.entry(part).or_default().push(host.index());
    }
    let mut parts: Vec<Vec<u32>> = parts.into_values().collect();
    parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
    let all: usize = parts.iter().map(Vec::len).sum();
    let cut_off: Vec<u32> = parts.into_iter().skip(1).flatten().collect();
    if let Some(first) = cut_off.first() {
        let moment = Moment {
            host: *first,
            at: now,
            now: world.now(),
        };
        let some: Vec<String> = cut_off.iter().take(8).map(u32::to_string).collect();
        let what = format!(
            "{} of {all} honest nodes are cut off from the largest part: {}{}",
            cut_off.len(),
            some.join(", "),
            if cut_off.len() > 8 { ", ..." } else { "" }
        );
        found.add(&moment, NAME, what);
    }
}
