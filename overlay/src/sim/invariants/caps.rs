//! Caps are never exceeded.

use std::time::Duration;

use super::{Found, Moment};
use crate::config::Config;
use crate::neighbors::Phase;
use crate::overlay::Overlay;
use crate::peers::Caps;
use crate::wire::RECORD_VALID_S;

const NAME: &str = "caps";

/// What a node's configuration bounds, copied when the node starts.
#[derive(Clone, Debug)]
pub(in crate::sim) struct Bounds {
    pub(super) preset: crate::config::AddressPreset,
    /// Per address and group, of links, dials and records.
    pub(super) crowd: Caps,
    pub(super) proof_valid: Duration,
    pub(super) record_valid_s: u64,
    pub(super) rest_shortest: Duration,
    pub(super) outbound: usize,
    pub(super) inbound: usize,
    /// Connections that others opened.
    pub(super) links: usize,
    pub(super) heard: usize,
    pub(super) callers: usize,
    pub(super) sources: usize,
    pub(super) per_source: usize,
    pub(super) proven: usize,
    pub(super) archive: usize,
    pub(super) dials: usize,
    /// Within one second: what was saved up while young and later, and what comes in meanwhile.
    pub(super) dials_within_1s: usize,
    pub(super) resting: usize,
    pub(super) visits: usize,
    pub(super) bans: usize,
}

impl Bounds {
    pub(super) fn of(config: &Config) -> Self {
        let (peers, sampling, neighbors) = (&config.peers, &config.sampling, &config.neighbors);
        Self {
            preset: config.addresses,
            crowd: Caps::of(config.addresses),
            proof_valid: peers.proof_valid,
            record_valid_s: RECORD_VALID_S,
            rest_shortest: peers.rest_shortest,
            // Both anchors are dialled even where fewer links are wanted; persistent peers come on top.
            outbound: neighbors.outbound.max(2) + config.persistent.len(),
            inbound: neighbors.inbound,
            links: neighbors.max_links,
            heard: peers.heard,
            callers: peers.callers,
            sources: peers.sources,
            per_source: peers.per_source,
            proven: peers.proven,
            archive: peers.archive,
            dials: peers.in_flight,
            dials_within_1s: [peers.dials_per_s_young, peers.dials_per_s]
                .map(|rate| usize::try_from(rate.max(1) * 2).unwrap_or(usize::MAX))
                .into_iter()
                .fold(0, usize::saturating_add),
            resting: peers.resting,
            visits: sampling.parallel_opened.max(sampling.parallel),
            bans: config.conduct.max_bans,
        }
    }
}

fn compare(what: &str, size: usize, most: usize, moment: &Moment, found: &mut Found) {
    if size > most {
        found.add(moment, NAME, format!("{what}: {size}, at most {most}"));
    }
}

/// What is only to be read off.
pub(super) fn light(node: &Overlay, bounds: &Bounds, moment: &Moment, found: &mut Found) {
    let rooms = node.rooms();
    for (what, size, most) in [
        ("heard records", rooms.book.heard_len(), bounds.heard),
        ("proven peers", rooms.book.proven_len(), bounds.proven),
        ("archived peers", rooms.book.archived_len(), bounds.archive),
        ("dials under way", rooms.book.dialing_len(), bounds.dials),
        (
            "addresses at rest",
            rooms.book.resting_len(),
            bounds.resting,
        ),
        ("visits", rooms.sampling.visits_len(), bounds.visits),
    ] {
        compare(what, size, most, moment, found);
    }
}

/// What must be counted.
pub(super) fn full(node: &Overlay, bounds: &Bounds, moment: &Moment, found: &mut Found) {
    let rooms = node.rooms();
    let sizes = rooms.book.sizes();
    let (mut theirs, mut inbound, mut outbound) = (0, 0, 0);
    for (_, link) in rooms.links.iter() {
        theirs += usize::from(!link.outbound && link.phase != Phase::Closing);
        inbound += usize::from(!link.outbound && link.is_neighbor());
        outbound += usize::from(link.outbound && link.is_neighbor());
    }
    for (what, size, most) in [
        ("callers that wait", sizes.callers, bounds.callers),
        ("sources", sizes.sources, bounds.sources),
        (
            "candidates of one source",
            sizes.per_source,
            bounds.per_source,
        ),
        ("connections opened by others", theirs, bounds.links),
        ("inbound neighbors", inbound, bounds.inbound),
        ("outbound neighbors", outbound, bounds.outbound),
        ("bans", rooms.conduct.bans().count(), bounds.bans),
    ] {
        compare(what, size, most, moment, found);
    }
}
