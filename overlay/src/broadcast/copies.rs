//! What comes in whole: the first copy credits its link, later ones prune theirs.

use std::time::{Duration, Instant};

use bytes::Bytes;
use crypto::MessageId;

use super::Broadcast;
use super::authors::Challenger;
use super::missing::Found;
use super::slots::Slot;
use crate::cx::Cx;
use crate::input::LinkId;
use crate::messages::{Admission, Messages, admit};
use crate::neighbors::{Code, Links};
use crate::wire::{Branch, Gossip};

/// So many times in a row another link must be earlier to become the supplier.
const RACES: u8 = 3;
/// So many times in a row a push must be missing, while everything is late, before its supplier counts as failed; and one
/// that delivers other things meanwhile.
const FAILURES_IN_BACKLOG: u8 = 3;
const FAILURES_WHILE_BUSY: u8 = 16;
/// Having delivered this short a time ago, a link is busy.
const BUSY: Duration = Duration::from_millis(500);
/// A link that goes on pushing what it was told not to is told again after this long: it may have forgotten the author.
const PRUNE_AGAIN: Duration = Duration::from_secs(1);

/// What admission said of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Copied {
    /// Verified, and seen for the first time.
    First,
    /// Seen before.
    Again,
    /// Refused for what its header says; asking for it again would bring the same.
    Refused,
}

impl Broadcast {
    /// A whole message came live. What is verified and new goes to `messages`; a bad signature is the neighbor's fault, since it
    /// should have checked, and ends the link.
    pub fn on_gossip(
        &mut self,
        link: LinkId,
        gossip: Gossip,
        frame: Bytes,
        links: &Links,
        messages: &Messages,
        cx: &mut Cx<'_>,
    ) {
        let Some(peer) = links.get(link).map(|link| link.peer) else {
            return;
        };
        let header = gossip.signed.value.clone();
        let (author, len) = (header.author, frame.len());
        let Gossip { signed, entries } = gossip;
        let (id, copied) = match admit(signed, entries, frame, (link, peer), false, messages, cx) {
            Admission::Arrival(arrival) => {
                let id = arrival.id;
                self.arrivals.push(*arrival);
                (id, Copied::First)
            }
            Admission::Duplicate(id) => (id, Copied::Again),
            Admission::Refused(_) => (header.id(cx.network), Copied::Refused),
            Admission::BadSignature => {
                cx.stats.broadcast.copies += 1;
                cx.stats.broadcast.bad_signatures += 1;
                self.faults.push((link, Code::BadSignature));
                return;
            }
        };
        self.on_copy(link, id, author, len, copied, links, cx);
    }

    /// A whole message of `len` bytes came over a link and admission has spoken.
    #[expect(clippy::too_many_arguments, reason = "the facts of one copy")]
    pub(super) fn on_copy(
        &mut self,
        link: LinkId,
        id: MessageId,
        author: [u8; 32],
        len: usize,
        copied: Copied,
        links: &Links,
        cx: &mut Cx<'_>,
    ) {
        let now = cx.now.mono;
        let short = Self::short(&id, cx);
        let counters = &mut cx.stats.broadcast;
        counters.copies += 1;
        match copied {
            Copied::First => counters.first_copies += 1,
            Copied::Again => counters.duplicates += 1,
            Copied::Refused => counters.refused += 1,
        }
        let Some(edge) = self.edges.get_mut(&link) else {
            counters.strays += 1;
            if copied == Copied::First {
                self.missing.arrived(&short, None, now);
                self.enter(short, id, author, cx);
            }
            return;
        };
        edge.delivered(len, now);
        edge.idle_default = 0;
        let slot = edge.slot;
        if copied == Copied::Again && self.recent.number(&short).is_some() {
            self.duplicate(link, slot, &short, author, cx);
            return;
        }
        let found = self.missing.arrived(&short, Some(slot), now);
        if found.answered.is_some() {
            edge.kept.add(1, now);
        }
        if found.needless {
            cx.stats.broadcast.asks_needless += 1;
        }
        let number = self.enter(short, id, author, cx);
        if let Some(recent) = self.recent.get_mut(number) {
            recent.shown = found.announcers;
            recent.shown.insert(slot);
            recent.first = Some(slot);
            recent.asked = found.answered.is_some();
        }
        match copied {
            Copied::First => {
                *self.credits.entry(link).or_default() += 1;
                self.first(link, slot, number, author, found, links, cx);
            }
            // Older than what is remembered of messages: it still has its supplier.
            Copied::Again => self.prune(link, slot, author, cx),
            Copied::Refused => {}
        }
    }

    /// The first copy of a message: who gets the credit for its author?
    #[expect(clippy::too_many_arguments, reason = "the facts of one copy")]
    fn first(
        &mut self,
        link: LinkId,
        slot: Slot,
        number: u64,
        author: [u8; 32],
        found: Found,
        links: &Links,
        cx: &mut Cx<'_>,
    ) {
        let now = cx.now.mono;
        let config = &cx.config.broadcast;
        let backlogged = self.missing.backlogged(now);
        let fresh = self.authors.get(&author).is_none();
        let (state, forgotten) = self.authors.touch(author, config.authors);
        cx.stats.broadcast.authors_forgotten += forgotten as u64;
        state.last = number;
        let once = found.answered == Some(true);
        match state.supplier {
            None => {
                self.make_supplier(&author, slot, cx);
                if once {
                    self.graft_author(link, &author, cx);
                } else if let Some(state) = self.authors.get_mut(&author) {
                    state.in_pruned.remove(slot);
                }
                if fresh && found.answered.is_some() && !backlogged {
                    self.defaults_failed(number, links, cx);
                }
            }
            Some(old) if found.answered.is_some() => {
                // It had to be asked for: the supplier failed, unless everything is late.
                state.failures = state.failures.saturating_add(1);
                let failures = state.failures;
                let active = self.edge_mut(old).map(|edge| edge.active);
                let busy = active.is_some_and(|at| now.saturating_duration_since(at) < BUSY);
                let enough = if busy {
                    FAILURES_WHILE_BUSY
                } else {
                    FAILURES_IN_BACKLOG
                };
                if once && failures < enough {
                    return;
                }
                cx.stats.broadcast.supplier_failures += 1;
                if let Some(edge) = self.edge_mut(old) {
                    edge.broken.add(1, now);
                }
                if old != slot {
                    self.make_supplier(&author, slot, cx);
                    if once {
                        self.graft_author(link, &author, cx);
                        if let Some(old_link) = self.slots.link(old) {
                            // Its queue is long: what waits there need not be sent.
                            self.prune(old_link, old, author, cx);
                        }
                    } else if let Some(state) = self.authors.get_mut(&author) {
                        state.in_pruned.remove(slot);
                    }
                } else if failures >= 2 {
                    // It answers what it is asked for and pushes nothing: latency is what it costs us.
                    self.regraft(&author, Some(slot), links, cx);
                }
            }
            Some(old) if old == slot => {
                state.failures = 0;
                // On time. But was another so much earlier, time and again, that it should push instead?
                let rival = found.first.filter(|(rival, at)| {
                    *rival != slot && now.saturating_duration_since(*at) >= config.race_margin
                });
                let Some((rival, _)) = rival.filter(|_| !backlogged) else {
                    state.challenger = None;
                    return;
                };
                let (wins, since) = wins(&mut state.challenger, rival, now);
                let lately = |at| now.saturating_duration_since(at) < config.race_every;
                if wins < RACES
                    || now.saturating_duration_since(since) < config.race_lasts
                    || state.switched.is_some_and(lately)
                {
                    return;
                }
                state.switched = Some(now);
                cx.stats.broadcast.supplier_races += 1;
                self.make_supplier(&author, rival, cx);
                if let Some(rival) = self.slots.link(rival) {
                    self.graft_author(rival, &author, cx);
                }
            }
            // What was on its way when it was pruned.
            Some(_) if state.in_pruned.has(slot) => {}
            Some(_) => {
                // Two push; the other's copy, if it comes, decides in `duplicate`.
                if wins(&mut state.challenger, slot, now).0 >= RACES {
                    cx.stats.broadcast.supplier_races += 1;
                    self.make_supplier(&author, slot, cx);
                }
            }
        }
    }

    /// A further copy.
    fn duplicate(
        &mut self,
        link: LinkId,
        slot: Slot,
        short: &crate::wire::ShortId,
        author: [u8; 32],
        cx: &mut Cx<'_>,
    ) {
        let now = cx.now.mono;
        let Some(number) = self.recent.number(short) else {
            return;
        };
        let Some(recent) = self.recent.get_mut(number) else {
            return;
        };
        recent.shown.insert(slot);
        let (first, asked, at) = (recent.first, recent.asked, recent.at);
        let late = self.missing.late_answer(short, slot);
        if let (Some(_), Some(edge)) = (late, self.edge_mut(slot)) {
            edge.kept.add(1, now);
            edge.broken.forgive();
        }
        if late.is_none() && asked {
            // It was asked for, and now its push comes all the same: we were too early.
            if let Some(recent) = self.recent.get_mut(number) {
                recent.asked = false;
            }
            self.missing.was_needless(now);
            cx.stats.broadcast.asks_needless += 1;
            if let Some(edge) = self.edge_mut(slot) {
                edge.broken.forgive();
            }
        }
        if late == Some(true) {
            return; // it does not push this author
        }
        let supplier = self.authors.get(&author).and_then(|state| state.supplier);
        if supplier != Some(slot) {
            self.prune(link, slot, author, cx);
            return;
        }
        // The supplier came second to a link that pushes too. Unless it is slow, the other one is to stop.
        let margin: Duration = cx.config.broadcast.race_margin;
        let Some(first) = first.filter(|first| *first != slot && !asked) else {
            return;
        };
        if now.saturating_duration_since(at) < margin {
            if let Some(state) = self.authors.get_mut(&author) {
                state.challenger = None;
            }
            if let Some(other) = self.slots.link(first) {
                self.prune(other, first, author, cx);
            }
        }
    }

    /// Tells a link not to push an author; once, and again only if it seems to have forgotten.
    pub(super) fn prune(&mut self, link: LinkId, slot: Slot, author: [u8; 32], cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        let (state, forgotten) = self.authors.touch(author, cx.config.broadcast.authors);
        cx.stats.broadcast.authors_forgotten += forgotten as u64;
        if state.supplier.is_none() && author != *cx.me().as_bytes() || state.supplier == Some(slot)
        {
            return; // never the last supplier
        }
        let again = !state.in_pruned.insert(slot);
        let Some(edge) = self.edges.get_mut(&link) else {
            return;
        };
        if now >= edge.prune_again {
            edge.prune_again = now + PRUNE_AGAIN;
        } else if again {
            cx.stats.broadcast.prunes_held += 1;
            return;
        }
        Self::send_prune(link, Branch::Author(author), cx);
    }
}

/// Counts one more win of a link, in a row; how many, and since when.
fn wins(challenger: &mut Option<Challenger>, slot: Slot, now: Instant) -> (u8, Instant) {
    let before = challenger.filter(|it| it.slot == slot);
    let mut it = before.unwrap_or(Challenger {
        slot,
        wins: 0,
        since: now,
    });
    it.wins = it.wins.saturating_add(1);
    *challenger = Some(it);
    (it.wins, it.since)
}
