//! The caps per address and group hold whatever the source: for connections that others opened, and for proven peers.

use std::net::IpAddr;

use super::{Bounds, Found, Moment};
use crate::neighbors::Phase;
use crate::overlay::Overlay;
use crate::peers::{Group, Prefix, host_of};

const NAME: &str = "admission";

pub(super) fn check(node: &Overlay, bounds: &Bounds, moment: &Moment, found: &mut Found) {
    let rooms = node.rooms();
    let links = rooms
        .links
        .iter()
        .filter(|(_, link)| !link.outbound && link.phase != Phase::Closing)
        .map(|(_, link)| link.addr.ip());
    crowd("connections", links.collect(), bounds, moment, found);
    // Fewer than the least cap are never too many.
    if rooms.book.proven_len() > bounds.crowd.per_addr {
        let proven = rooms.book.proven_peers().map(|(_, addr, _)| addr.ip());
        crowd("proven peers", proven.collect(), bounds, moment, found);
    }
}

/// The prefix of an address at some level.
type PrefixOf<'a> = &'a dyn Fn(&IpAddr) -> Prefix;

fn crowd(what: &str, ips: Vec<IpAddr>, bounds: &Bounds, moment: &Moment, found: &mut Found) {
    let caps = bounds.crowd;
    if ips.len() <= caps.per_addr {
        return;
    }
    let group = |ip: &IpAddr| Group::of(*ip, bounds.preset);
    let levels: [(&str, usize, PrefixOf<'_>); 3] = [
        ("address", caps.per_addr, &|ip| host_of(*ip)),
        ("narrow group", caps.per_group, &|ip| group(ip).narrow),
        ("wide group", caps.per_wide_group, &|ip| group(ip).wide),
    ];
    for (level, most, prefix) in levels {
        if ips.len() <= most {
            continue;
        }
        let mut prefixes: Vec<Prefix> = ips.iter().map(prefix).collect();
        prefixes.sort_unstable();
        let crowd = prefixes.chunk_by(|a, b| a == b).max_by_key(|run| run.len());
        let largest = crowd.map_or(0, <[Prefix]>::len);
        if largest > most {
            let what = format!("{what} of one {level}: {largest}, at most {most}");
            found.add(moment, NAME, what);
        }
    }
}
