//! Spreading messages, and the heads of large ones: eager push along a tree per author, announcements along the rest, graft on a miss.
//!
//! After Plumtree (Leitao, Pereira, Rodrigues, SRDS 2007), changed where its trees flap:
//!
//! * Supply is the receiver's choice. Each node asks 3 neighbors for everything (`Graft` of the default branch), and its first
//!   copy of an author's message credits the link that brought it as that author's *supplier*; other links that push the
//!   author are told not to (`Prune`). The supplier is never pruned, so a node cannot prune its last one.
//! * A supplier is exchanged when it fails (a message had to be asked for), goes down, or when another link was earlier by
//!   a margin three times in a row; a slower copy now and then changes nothing.
//! * Whoever gets no push gets an announcement, unless it has shown to have the message. What was announced and does not come
//!   is asked for after a delay that follows the link and the backlog (`missing.rs`): no fixed timer.
//! * An author's own messages go to all of its neighbors but those that pruned it, so that one silent neighbor censors nobody.
//! * Of a large message the head travels so, and is passed on before the body is here; the body is the business of `bodies`,
//!   which is told who has what. Once it is whole, neighbors are told (`Have`) that may lack it.
//! * A full lane makes the message *owed*: it goes out when there is room, unless the peer has shown to have it by then.

mod announcers;
mod authors;
mod copies;
mod edges;
mod heads;
mod missing;
mod pace;
mod push;
mod recent;
mod slots;
mod supply;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use crypto::MessageId;

use crate::bodies::{Has, News};
use crate::cx::Cx;
use crate::input::{Lane, LinkId};
use crate::messages::Arrival;
use crate::neighbors::{Change, Code, Links};
use crate::rules::Rule;
use crate::wire::{Announce, Bounded, Graft, MAX_ANNOUNCE, Message, ShortId, short_id};

use authors::Authors;
use edges::Edge;
use missing::{Heard, Missing, Standing};
pub use push::Frames;
use recent::RecentTable;
use slots::{Slot, SlotTable};

crate::stats::counters! {
    /// Copies, announcements, grafts, prunes.
    Counters {
        /// Whole messages received, duplicates included.
        copies,
        /// Whole messages received for the first time.
        first_copies,
        /// Whole messages received again.
        duplicates,
        /// Whole messages refused before their signature was checked (date, size, policy).
        refused,
        /// Whole messages whose signature is bad; each closes its link.
        bad_signatures,
        /// Whole messages and tree control from links that are no neighbors of the tree.
        strays,
        /// Ids announced to neighbors.
        announced,
        /// Of those, of large messages whose body is whole.
        announced_whole,
        /// Ids neighbors announced.
        heard,
        /// Announced ids that were not here.
        missing,
        /// Announcements not remembered because a cap was reached.
        missing_full,
        /// Ids asked for by graft.
        asked,
        /// Asks that were not answered in time.
        asks_overdue,
        /// Asks for what was on its way.
        asks_needless,
        /// Ids given up after all announcers failed; repair brings them.
        abandoned,
        /// Ids neighbors asked for.
        requested,
        /// Of those, sent or queued.
        served,
        /// Asked for, but not known (any more), not accepted, or sent already.
        not_served,
        /// Asked for beyond the link's budget.
        over_budget,
        /// Grafts and prunes about a branch sent.
        branches_out,
        /// Grafts and prunes about a branch received.
        branches_in,
        /// Grafts and prunes about an author of whom nothing is known; ignored.
        unknown_author,
        /// Prunes not repeated although the peer went on pushing.
        prunes_held,
        /// Grafts, prunes and announcements that the control lane did not take; each closes its link.
        control_full,
        /// Messages pushed at once.
        pushed,
        /// Messages that found the lane full and are owed.
        owed,
        /// Owed messages sent later.
        owed_sent,
        /// Owed messages that the peer got elsewhere.
        owed_needless,
        /// Owed messages whose bytes were not at hand any more.
        owed_gone,
        /// Messages announced instead of pushed because too much was owed.
        owed_full,
        /// Announcements not queued because too many waited.
        pending_full,
        /// Times a known author's supplier became another.
        supplier_changes,
        /// Of those, because another was faster.
        supplier_races,
        /// Times a supplier did not push what had to be asked for.
        supplier_failures,
        /// Default suppliers given up because they brought nothing.
        defaults_given_up,
        /// Authors forgotten because too many are active.
        authors_forgotten,
        /// Neighbors beyond what the tree can number.
        beyond_slots,
        /// Own messages no longer kept for neighbors to come; repair brings them.
        unsent_dropped,
    }
}

/// Settings of this room. All defaults not named otherwise are guesses checked in simulation.
#[derive(Clone, Debug)]
pub struct Config {
    /// Neighbors that are asked for everything, 1 or more. 3: the fan-in at which a random digraph of some thousand nodes is
    /// reached whole but for about e^-3 of it per hop, which announcements cover.
    pub default_suppliers: usize,
    /// Authors whose tree is remembered, 16 or more.
    pub authors: usize,
    /// Latest messages of which it is remembered who has them.
    pub recent: usize,
    /// Announced ids that may be missing at a time, over all links; each link gets an equal share.
    pub missing: usize,
    /// Of those, at most this many from one link.
    pub missing_per_link: usize,
    /// Announcers remembered for one id, of which half are links that we dialled, as far as there are such: so many that those who announce
    /// first and never deliver do not take all places.
    pub announcers: usize,
    /// Messages owed to one link on each lane while the lane is full.
    pub owed: usize,
    /// Messages waiting to be announced to one link.
    pub pending: usize,
    /// How long announcements are gathered for the links that are told soon: half of those that their peers have dialled, so that
    /// every node is told soon by some of the neighbors that it chose itself. Bodies that are there to be fetched are told soon to all.
    /// Longer costs time where a supplier fails, shorter costs a frame a message. Measured: `sim dissemination` and `devnet` with 25, 50
    /// and 100 ms for all, and with 25 and 50 beside 100, 200 and 400.
    pub announce_soon: Duration,
    /// How long they are gathered for all other links. By then most peers have told the same themselves.
    pub announce_late: Duration,
    /// Shortest wait between an announcement and asking for it.
    pub ask_floor: Duration,
    /// Longest such wait as far as it follows round trip and lag.
    pub ask_ceiling: Duration,
    /// How often all announcers of an id are asked before it is left to repair.
    pub ask_rounds: u8,
    /// By how much another link must be earlier, three times in a row, to become the supplier.
    pub race_margin: Duration,
    /// How long it must have been earlier, time after time: longer than a burst fills queues.
    pub race_lasts: Duration,
    /// An author's supplier is exchanged for a faster one at most once in this time.
    pub race_every: Duration,
    /// Bytes served on request that a link may take at first, without delivering anything.
    pub serve_burst: u64,
    /// Bytes served on request per second to a link that delivers nothing; one that delivers gets twice that on top.
    pub serve_rate: u64,
    /// Own messages owed to a link from which on it counts as backed up.
    pub own_high_water: usize,
    /// Own messages kept for neighbors to come.
    pub unsent: usize,
    /// Their bytes.
    pub unsent_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            default_suppliers: 3,
            authors: 4096,
            recent: 8192,
            missing: 16_384,
            missing_per_link: 4096,
            announcers: 24,
            owed: 4096,
            pending: 4096,
            announce_soon: Duration::from_millis(50),
            announce_late: Duration::from_millis(200),
            ask_floor: Duration::from_millis(20),
            ask_ceiling: Duration::from_secs(1),
            ask_rounds: 3,
            race_margin: Duration::from_millis(10),
            race_lasts: Duration::from_secs(1),
            race_every: Duration::from_secs(10),
            serve_burst: 4 * 1024 * 1024,
            serve_rate: 64 * 1024,
            own_high_water: 32,
            unsent: 1024,
            unsent_bytes: 4 * 1024 * 1024,
        }
    }
}

/// An own message that has reached too few neighbors so far.
#[derive(Debug)]
struct Unsent {
    id: MessageId,
    frame: Bytes,
    to: usize,
    since: Option<Instant>,
}

/// The part. See the head of this module.
#[derive(Debug, Default)]
pub struct Broadcast {
    edges: BTreeMap<LinkId, Edge>,
    slots: SlotTable,
    authors: Authors,
    recent: RecentTable,
    missing: Missing,
    /// When announcements go out next: to the links that are told late, and to those told soon.
    announce_at: [Option<Instant>; 2],
    unsent: VecDeque<Unsent>,
    unsent_bytes: usize,
    arrivals: Vec<Arrival>,
    news: Vec<News>,
    faults: Vec<(LinkId, Code)>,
    credits: BTreeMap<LinkId, u32>,
}

impl Broadcast {
    /// Nothing heard, nobody linked.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A fact about links.
    pub fn on_change(&mut self, change: &Change, links: &Links, cx: &mut Cx<'_>) {
        match change {
            Change::NeighborUp { link, .. } => self.link_up(*link, links, cx),
            Change::NeighborDown { link, .. } | Change::Closed { link, .. } => {
                self.link_down(*link, links, cx);
            }
            Change::Opened { .. } | Change::DialFailed { .. } => {}
        }
    }

    /// A neighbor has these messages.
    pub fn on_announce(
        &mut self,
        link: LinkId,
        announce: &Announce,
        links: &Links,
        cx: &mut Cx<'_>,
    ) {
        self.heard_of(link, &announce.ids, Has::Head, links, cx);
    }

    /// A neighbor has these messages; `has` = how much of large ones.
    fn heard_of(
        &mut self,
        link: LinkId,
        ids: &[ShortId],
        has: Has,
        links: &Links,
        cx: &mut Cx<'_>,
    ) {
        let config = &cx.config.broadcast;
        let now = cx.now.mono;
        let counters = &mut cx.stats.broadcast;
        let fair = config.missing / self.edges.len().max(1);
        let Some(edge) = self.edges.get(&link) else {
            counters.strays += 1;
            return;
        };
        let share = fair.min(config.missing_per_link).max(1);
        let rtt = links.get(link).map(|link| link.rtt).unwrap_or_default();
        for short in ids {
            counters.heard += 1;
            if let Some(number) = self.recent.number(short) {
                if let Some(recent) = self.recent.get_mut(number) {
                    recent.shown.insert(edge.slot);
                    if recent.large && !recent.whole {
                        self.news.push(heads::holder(recent.id, link, has));
                    }
                }
                continue;
            }
            if !cx.rules.hold(Rule::AskMissing) {
                continue;
            }
            let missing = &mut self.missing;
            match missing.heard(*short, edge.slot, edge.outbound, rtt, share, now, config) {
                Heard::New => counters.missing += 1,
                Heard::More => {}
                Heard::Full => counters.missing_full += 1,
            }
        }
    }

    /// Due deadlines: announcements that have been gathered, ids to ask for. Cheap when nothing is due.
    pub fn on_timeout(&mut self, links: &Links, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        for soon in [true, false] {
            let due = &mut self.announce_at[usize::from(soon)];
            if due.is_none_or(|at| at > now) {
                continue;
            }
            *due = None;
            let with_news: Vec<LinkId> = self
                .edges
                .iter()
                .filter(|(_, edge)| !edge.pending.is_empty() && edge.hurried == soon)
                .map(|(link, _)| *link)
                .collect();
            for link in with_news {
                self.announce(link, cx);
            }
        }
        if self.missing.next_timeout().is_some_and(|at| at <= now) {
            self.ask(links, cx);
        }
    }

    /// The earliest deadline.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        let [late, soon] = self.announce_at;
        let all = [late, soon, self.missing.next_timeout()];
        all.into_iter().flatten().min()
    }

    /// Verified messages on their way to `messages`.
    pub fn take_arrivals(&mut self) -> Vec<Arrival> {
        std::mem::take(&mut self.arrivals)
    }

    /// Links that did what no honest neighbor does, to be closed with this code.
    pub fn take_faults(&mut self) -> Vec<(LinkId, Code)> {
        std::mem::take(&mut self.faults)
    }

    /// How many messages each link was the first to bring, since the last call.
    pub fn take_credits(&mut self) -> Vec<(LinkId, u32)> {
        std::mem::take(&mut self.credits).into_iter().collect()
    }

    /// Whether there is room for messages of our own: not while more than half of the neighbors that take them from us are
    /// backed up. A neighbor whose lane has not moved for a second is stalled and does not count, so that it never blocks;
    /// without neighbors there is always room.
    #[must_use]
    pub fn ready_to_publish(&self, cx: &Cx<'_>) -> bool {
        let now = cx.now.mono;
        let me = cx.me();
        let own = self.authors.get(me.as_bytes());
        let mut taking = 0_usize;
        let mut backed_up = 0_usize;
        for edge in self.edges.values() {
            let pruned = own.is_some_and(|state| state.out_pruned.has(edge.slot));
            let waits = edge.owed_own.len() > cx.config.broadcast.own_high_water;
            let stalled = now.saturating_duration_since(edge.moved) > Duration::from_secs(1);
            if pruned && !waits || waits && stalled {
                continue;
            }
            taking += 1;
            backed_up += usize::from(waits);
        }
        backed_up * 2 <= taking
    }

    /// Asks for what is due.
    fn ask(&mut self, links: &Links, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        let (edges, slots) = (&self.edges, &self.slots);
        let rules = cx.rules;
        let standing = |slot: Slot| {
            let link = slots.link(slot)?;
            let edge = edges.get(&link)?;
            Some(Standing {
                rtt: links.get(link)?.rtt,
                demoted: edge.demoted(now, rules),
                gave: edge.gave || !rules.hold(Rule::KeptPromises),
                active: edge.active,
            })
        };
        let due = self.missing.take_due(now, standing, &cx.config.broadcast);
        let counters = &mut cx.stats.broadcast;
        counters.abandoned += due.abandoned;
        counters.asks_overdue += due.broken.len() as u64;
        counters.asked += due.asks.len() as u64;
        for slot in due.broken {
            if let Some(edge) = self.edge_mut(slot) {
                edge.broken.add(1, now);
            }
        }
        let mut by_slot: BTreeMap<Slot, Vec<ShortId>> = BTreeMap::new();
        for (slot, short) in due.asks {
            by_slot.entry(slot).or_default().push(short);
        }
        for (slot, shorts) in by_slot {
            let Some(link) = self.slots.link(slot) else {
                continue;
            };
            for ids in shorts.chunks(MAX_ANNOUNCE) {
                let graft = Graft {
                    branch: None,
                    ids: Bounded::truncated(ids.to_vec()),
                    once: due.once,
                };
                Self::control(link, &Message::Graft(graft), cx);
            }
        }
    }

    /// Sends tree control. Where it finds no room the two ends would disagree: the outbox notes the link as stalled and it is
    /// closed at the end of the step.
    fn control(link: LinkId, message: &Message, cx: &mut Cx<'_>) {
        if !cx.send(link, Lane::Control, message) {
            cx.stats.broadcast.control_full += 1;
        }
    }

    fn edge_mut(&mut self, slot: Slot) -> Option<&mut Edge> {
        let link = self.slots.link(slot)?;
        self.edges.get_mut(&link)
    }

    /// Our short form of an id.
    fn short(id: &MessageId, cx: &Cx<'_>) -> ShortId {
        short_id(cx.announce_key, id)
    }
}

#[cfg(test)]
mod tests;
