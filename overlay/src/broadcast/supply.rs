//! Whom we ask for what: default suppliers, regrafting, and what peers ask of us about branches.

use std::time::Duration;

use rand::RngExt as _;

use super::Broadcast;
use super::edges::Edge;
use super::slots::Slot;
use crate::cx::Cx;
use crate::input::LinkId;
use crate::neighbors::Links;
use crate::wire::{Bounded, Branch, Graft, Message, Prune};

/// Authors regrafted at once when their supplier goes down; the others' next messages are announced and asked for.
const REGRAFTS: usize = 64;
/// What was accepted this short a time ago is announced to a new neighbor: it may have been on its way when the link came up,
/// and repair leaves out the last 5 s.
const CATCH_UP: Duration = Duration::from_secs(10);
const CATCH_UP_IDS: u64 = 1024;
/// A default supplier that brought nothing of so many fresh authors in a row, whose messages had to be asked for, is given up.
const IDLE_DEFAULT: u8 = 3;

impl Broadcast {
    /// A link became a neighbor: lazy both ways, told of the latest messages, given our own that nobody has, and asked for
    /// everything if we have too few suppliers.
    pub(super) fn link_up(&mut self, link: LinkId, links: &Links, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        let Some(row) = links.get(link) else { return };
        if self.edges.contains_key(&link) {
            return;
        }
        let Some(slot) = self.slots.take(link) else {
            cx.stats.broadcast.beyond_slots += 1;
            return;
        };
        let config = &cx.config.broadcast;
        let edge = Edge::new(
            slot,
            row.announce_key,
            row.outbound,
            config.serve_burst,
            config.serve_rate,
            now,
        );
        let outbound = row.outbound;
        self.edges.insert(link, edge);
        self.push_unsent(link, cx);
        let newest = self.recent.next();
        for number in newest.saturating_sub(CATCH_UP_IDS)..newest {
            let Some(recent) = self.recent.get(number) else {
                continue;
            };
            if recent.accepted && now.saturating_duration_since(recent.at) < CATCH_UP {
                self.queue_announcement(link, number, cx);
            }
        }
        // At once: what was under way on another link to this peer is lost if that one was given up for this.
        self.announce(link, cx);
        if outbound && self.edges.len() > cx.config.broadcast.default_suppliers {
            self.make_room_for_outbound(cx);
        }
        self.top_up(links, cx);
    }

    /// A neighbor is gone: its authors get another supplier at once.
    pub(super) fn link_down(&mut self, link: LinkId, links: &Links, cx: &mut Cx<'_>) {
        let Some(edge) = self.edges.remove(&link) else {
            return;
        };
        self.slots.free(edge.slot);
        self.credits.remove(&link);
        self.recent.forget(edge.slot);
        self.missing.forget(edge.slot, cx.now.mono);
        let orphans = self.authors.forget(edge.slot, REGRAFTS);
        self.top_up(links, cx);
        for author in orphans {
            self.regraft(&author, None, links, cx);
        }
    }

    /// Finds an author another supplier than `not`: a neighbor that had its last message, the nearest of them; if none is known,
    /// all default suppliers, of which the first to deliver stays.
    pub(super) fn regraft(
        &mut self,
        author: &[u8; 32],
        not: Option<Slot>,
        links: &Links,
        cx: &mut Cx<'_>,
    ) {
        let now = cx.now.mono;
        let Some(state) = self.authors.get(author) else {
            return;
        };
        let shown = self.recent.get(state.last).map(|recent| recent.shown);
        let rules = cx.rules;
        let had_it = self
            .edges
            .iter()
            .filter(|(_, edge)| shown.is_some_and(|shown| shown.has(edge.slot)))
            .filter(|(_, edge)| Some(edge.slot) != not)
            .min_by_key(|(link, edge)| {
                let rtt = links.get(**link).map(|link| link.rtt);
                (edge.demoted(now, rules), rtt.unwrap_or(Duration::MAX))
            });
        if let Some((link, edge)) = had_it {
            let (link, slot) = (*link, edge.slot);
            self.make_supplier(author, slot, cx);
            self.graft_author(link, author, cx);
            return;
        }
        let defaults: Vec<LinkId> = self
            .edges
            .iter()
            .filter(|(_, edge)| edge.in_default && Some(edge.slot) != not)
            .map(|(link, _)| *link)
            .collect();
        for link in defaults {
            self.graft_author(link, author, cx);
        }
    }

    /// Asks a neighbor for one author's messages.
    pub(super) fn graft_author(&mut self, link: LinkId, author: &[u8; 32], cx: &mut Cx<'_>) {
        let Some(edge) = self.edges.get(&link) else {
            return;
        };
        if let Some(state) = self.authors.get_mut(author) {
            state.in_pruned.remove(edge.slot);
        }
        Self::send_graft(link, Branch::Author(*author), cx);
    }

    /// Credits a link with an author.
    pub(super) fn make_supplier(&mut self, author: &[u8; 32], slot: Slot, cx: &mut Cx<'_>) {
        if let Some(state) = self.authors.get_mut(author) {
            if state.supplier.is_some_and(|old| old != slot) {
                cx.stats.broadcast.supplier_changes += 1;
            }
            state.supplier = Some(slot);
            state.challenger = None;
            state.failures = 0;
        }
    }

    pub(super) fn send_graft(link: LinkId, branch: Branch, cx: &mut Cx<'_>) {
        let graft = Graft {
            branch: Some(branch),
            ids: Bounded::default(),
            once: false,
        };
        cx.stats.broadcast.branches_out += 1;
        Self::control(link, &Message::Graft(graft), cx);
    }

    pub(super) fn send_prune(link: LinkId, branch: Branch, cx: &mut Cx<'_>) {
        cx.stats.broadcast.branches_out += 1;
        Self::control(link, &Message::Prune(Prune { branch }), cx);
    }

    /// Asks neighbors for everything until enough are. At least half of them are links that we dialled, as far as there are
    /// such; the first of those is the nearest one, the others are drawn at random: nearest ones only would supply each other
    /// in closed circles.
    pub(super) fn top_up(&mut self, links: &Links, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        let want = cx.config.broadcast.default_suppliers.max(1);
        let rules = cx.rules;
        loop {
            let have = self.edges.values().filter(|edge| edge.in_default);
            let (count, dialled) = have.fold((0, 0), |(count, dialled), edge| {
                (count + 1, dialled + usize::from(edge.outbound))
            });
            if count >= want {
                return;
            }
            let lazy = |outbound: bool, demoted: bool| -> Vec<LinkId> {
                let fits = |edge: &Edge| {
                    !edge.in_default
                        && (edge.outbound || !outbound)
                        && (demoted || !edge.demoted(now, rules))
                };
                let found = self.edges.iter().filter(|(_, edge)| fits(edge));
                found.map(|(link, _)| *link).collect()
            };
            let mut pool = lazy(dialled * 2 < want, false);
            if pool.is_empty() {
                pool = lazy(false, false);
            }
            if pool.is_empty() && count == 0 {
                pool = lazy(false, true); // better a doubtful one than none
            }
            let rtt = |link: &&LinkId| links.get(**link).map_or(Duration::MAX, |link| link.rtt);
            let pick = if dialled == 0 {
                pool.iter().min_by_key(rtt).copied()
            } else if pool.is_empty() {
                None
            } else {
                Some(pool[cx.rng.random_range(0..pool.len())])
            };
            let Some(link) = pick else { return };
            if let Some(edge) = self.edges.get_mut(&link) {
                edge.in_default = true;
                edge.idle_default = 0;
            }
            Self::send_graft(link, Branch::Default, cx);
        }
    }

    /// Where too few default suppliers are links that we dialled, gives one up that we did not dial. The authors it supplies
    /// keep it by name.
    fn make_room_for_outbound(&mut self, cx: &mut Cx<'_>) {
        let want = cx.config.broadcast.default_suppliers.max(1);
        let have = || self.edges.iter().filter(|(_, edge)| edge.in_default);
        let dialled = have().filter(|(_, edge)| edge.outbound).count();
        if have().count() < want || dialled * 2 >= want {
            return;
        }
        let inbound = have()
            .find(|(_, edge)| !edge.outbound)
            .map(|(link, _)| *link);
        let Some(link) = inbound else { return };
        if let Some(edge) = self.edges.get_mut(&link) {
            edge.in_default = false;
            let slot = edge.slot;
            for author in self.authors.supplied_by(slot, REGRAFTS) {
                self.graft_author(link, &author, cx);
            }
        }
        Self::send_prune(link, Branch::Default, cx);
    }

    /// A fresh author's message had to be asked for: no default supplier brought it.
    pub(super) fn defaults_failed(&mut self, number: u64, links: &Links, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        let shown = self.recent.get(number).map(|recent| recent.shown);
        let mut given_up = Vec::new();
        for (link, edge) in &mut self.edges {
            if !edge.in_default || shown.is_some_and(|shown| shown.has(edge.slot)) {
                continue;
            }
            edge.idle_default += 1;
            if edge.idle_default >= IDLE_DEFAULT {
                edge.in_default = false;
                edge.broken.add(2, now);
                given_up.push((*link, edge.slot));
            }
        }
        for (link, slot) in given_up {
            cx.stats.broadcast.defaults_given_up += 1;
            Self::send_prune(link, Branch::Default, cx);
            for author in self.authors.supplied_by(slot, REGRAFTS) {
                self.regraft(&author, Some(slot), links, cx);
            }
        }
        self.top_up(links, cx);
    }

    /// The peer wants a branch pushed.
    pub(super) fn branch_grafted(&mut self, link: LinkId, branch: &Branch, cx: &mut Cx<'_>) {
        cx.stats.broadcast.branches_in += 1;
        let Some(edge) = self.edges.get_mut(&link) else {
            cx.stats.broadcast.strays += 1;
            return;
        };
        match branch {
            Branch::Bulk(author) => match self.authors.get_mut(author) {
                Some(state) => {
                    state.out_bulk.insert(edge.slot);
                }
                None => cx.stats.broadcast.unknown_author += 1,
            },
            Branch::Default => edge.out_default = true,
            Branch::Author(author) => match self.authors.get_mut(author) {
                Some(state) => {
                    state.out_pruned.remove(edge.slot);
                    state.out_grafted.insert(edge.slot);
                    state.out_follow.insert(edge.slot);
                }
                None => cx.stats.broadcast.unknown_author += 1,
            },
        }
    }

    /// The peer does not want a branch pushed.
    pub fn on_prune(&mut self, link: LinkId, prune: &Prune, cx: &mut Cx<'_>) {
        cx.stats.broadcast.branches_in += 1;
        let Some(edge) = self.edges.get_mut(&link) else {
            cx.stats.broadcast.strays += 1;
            return;
        };
        match prune.branch {
            Branch::Bulk(author) => match self.authors.get_mut(&author) {
                Some(state) => {
                    state.out_bulk.remove(edge.slot);
                }
                None => cx.stats.broadcast.unknown_author += 1,
            },
            Branch::Default => edge.out_default = false,
            Branch::Author(author) => match self.authors.get_mut(&author) {
                Some(state) => {
                    state.out_pruned.insert(edge.slot);
                    state.out_grafted.remove(edge.slot);
                    state.out_follow.remove(edge.slot);
                }
                None => cx.stats.broadcast.unknown_author += 1,
            },
        }
    }
}
