//! Whom to let in: the one table of caps that dialler, listener and exchange consult, and who must go for a newcomer.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::{Code, Link, Neighbors};
use crate::cx::Cx;
use crate::input::LinkId;
use crate::peers::{Book, Prefix};
use crate::rules::Rule;

/// Inbound neighbors protected for their group (chosen by a secret hash), their round trip, and their usefulness. Bitcoin Core's
/// eviction protects 4, 8 and 4 in the same way, then half of the rest by age.
const PROTECT_GROUPS: usize = 4;
const PROTECT_RTT: usize = 8;
const PROTECT_USEFUL: usize = 4;

impl Neighbors {
    /// Whether a new inbound connection finds no room: by address, by group, or in total.
    pub(super) fn no_room_for(
        &self,
        id: LinkId,
        addr: SocketAddr,
        book: &Book,
        cx: &Cx<'_>,
    ) -> Option<Code> {
        if self.links.len() > cx.config.neighbors.max_links {
            return Some(Code::Full);
        }
        // The newcomer is in the table already, and counted.
        let own = usize::from(self.links.get(id).is_some_and(|link| !link.outbound));
        let (from_addr, from_group) = self.links.guests_from(addr.ip());
        let caps = book.caps();
        let full = from_addr.saturating_sub(own) >= caps.per_addr
            || from_group.saturating_sub(own) >= caps.per_group;
        full.then_some(Code::Full)
    }

    /// Makes room in the inbound pool, by eviction where that is allowed. True when there is none.
    pub(super) fn no_inbound_slot(
        &mut self,
        id: LinkId,
        addr: SocketAddr,
        book: &mut Book,
        cx: &mut Cx<'_>,
    ) -> bool {
        let apart = cx.rules.hold(Rule::SeparatePools);
        let pool: Vec<(LinkId, Link)> = self
            .links
            .neighbors()
            .filter(|(other, link)| !(link.outbound && apart) && *other != id)
            .map(|(id, link)| (id, link.clone()))
            .collect();
        let config = &cx.config.neighbors;
        let more = if apart { 0 } else { config.outbound };
        if pool.len() < config.inbound + more {
            return false;
        }
        let Some(victim) = choose_victim(&pool, &self.eviction_key, book, addr) else {
            return true;
        };
        cx.stats.neighbors.evicted += 1;
        self.close(victim, Code::Evicted, book, cx);
        false
    }
}

/// The youngest member of the largest group, after the protected ones are set aside. `None` when the newcomer's own group is
/// at least as crowded as that one: letting it in would win nothing.
fn choose_victim(
    pool: &[(LinkId, Link)],
    key: &[u8; 32],
    book: &Book,
    newcomer: SocketAddr,
) -> Option<LinkId> {
    let group = |addr: SocketAddr| book.group_of(addr).wide;
    let keyed = |link: &Link| *blake3::keyed_hash(key, &group(link.addr).bytes()).as_bytes();
    let mut rest: Vec<&(LinkId, Link)> = pool.iter().collect();
    rest.sort_by_key(|(_, link)| keyed(link));
    rest.drain(..PROTECT_GROUPS.min(rest.len()));
    rest.sort_by_key(|(_, link)| link.rtt);
    rest.drain(..PROTECT_RTT.min(rest.len()));
    rest.sort_by_key(|(_, link)| std::cmp::Reverse(link.usefulness));
    rest.drain(..PROTECT_USEFUL.min(rest.len()));
    rest.sort_by_key(|(_, link)| link.neighbor_since);
    rest.drain(..rest.len() / 2);

    let mut groups: BTreeMap<Prefix, Vec<&(LinkId, Link)>> = BTreeMap::new();
    for entry in rest {
        groups.entry(group(entry.1.addr)).or_default().push(entry);
    }
    let (largest, members) = groups
        .into_iter()
        .max_by_key(|(_, members)| members.len())?;
    let of_newcomer = pool
        .iter()
        .filter(|(_, link)| group(link.addr) == group(newcomer))
        .count();
    let of_largest = pool
        .iter()
        .filter(|(_, link)| group(link.addr) == largest)
        .count();
    if of_newcomer >= of_largest {
        return None;
    }
    members
        .into_iter()
        .max_by_key(|(_, link)| link.neighbor_since)
        .map(|(id, _)| *id)
}
