//! Keeping the pools as they should be: anchors, outbound picks from the memory, rotation, healing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crypto::PeerId;
use rand::RngExt as _;
use rand::seq::SliceRandom as _;

use super::configured::{self, Configured};
use super::idle::Idle;
use super::{Code, Link, Neighbors};
use crate::action::{Event, Target};
use crate::config::Config;
use crate::cx::Cx;
use crate::input::{Lane, LinkId};
use crate::peers::{Book, DialPurpose};
use crate::rules::Rule;
use crate::sampling::View;
use crate::wire::{Message, Purpose};

/// How often seeds and archive are tried for ever, so that partitions heal by themselves: once in this range. A guess.
pub(super) const HEAL: (Duration, Duration) = (Duration::from_secs(600), Duration::from_secs(1200));
/// How often the archive is tried while the node is alone or sees far fewer groups than it once knew. A guess.
const HEAL_ALONE: Duration = Duration::from_secs(2);
/// Archived peers dialled at a time while alone. A guess.
const HEAL_ALONE_DIALS: usize = 4;
/// Between two looks at the outbound pool while it is not full.
const FILL: Duration = Duration::from_millis(250);
/// A dial that nobody has answered for so long probably stays unanswered, and is not waited for: somebody else is dialled too. Three
/// round trips around the earth. A guess.
const DOUBTFUL: Duration = Duration::from_secs(1);
/// Where many are gone, whoever has been proven within this time is probably there. A guess: the time in which a silent link is noticed.
const RECENT: Duration = Duration::from_secs(20);
/// Most dials not waited for any more, as a multiple of the outbound neighbors there should be. A guess.
const DOUBTFUL_DIALS: usize = 2;
/// Between two outbound neighbors that were chosen while the node was young and are exchanged when it is not. A guess: all of them within
/// seconds, one after the other.
const RENEWAL: (Duration, Duration) = (Duration::from_millis(200), Duration::from_millis(600));
/// How long a peer that refused to be a neighbor is left alone. A guess.
const AVOID: Duration = Duration::from_secs(60);
/// Peers remembered as refusing; the one that is free soonest is forgotten first.
const MAX_AVOIDED: usize = 256;
/// Anchors kept over a restart (Heilman et al. 2015, countermeasure 5).
const ANCHORS: usize = 2;
/// How often the anchors are chosen anew.
const ANCHOR_PERIOD: Duration = Duration::from_secs(60);
/// How soon after the start, or after the first neighbor, they are chosen first.
const ANCHOR_SOON: Duration = Duration::from_secs(5);

/// Deadlines and retries.
#[derive(Debug)]
pub(super) struct Upkeep {
    wake: Instant,
    pub(super) configured: Vec<Configured>,
    anchors: Vec<(PeerId, SocketAddr)>,
    last_anchors: Vec<(PeerId, SocketAddr)>,
    avoided: BTreeMap<PeerId, Instant>,
    next_rotation: Instant,
    next_renewal: Instant,
    next_heal: Instant,
    next_anchors: Instant,
    pub(super) idle: Idle,
    was_alone: bool,
    /// When the last neighbor was lost, once there had been any.
    isolated: Option<Instant>,
}

impl Upkeep {
    pub(super) fn new(anchors: &[(PeerId, SocketAddr)], cx: &mut Cx<'_>) -> Self {
        let now = cx.now.mono;
        Self {
            wake: now,
            configured: configured::of(cx),
            anchors: anchors.to_vec(),
            last_anchors: anchors.to_vec(),
            avoided: BTreeMap::new(),
            next_rotation: now + between(cx, cx.config.neighbors.rotation),
            next_renewal: now,
            next_heal: now + HEAL_ALONE,
            next_anchors: now + ANCHOR_SOON,
            idle: Idle::default(),
            was_alone: false,
            isolated: None,
        }
    }

    /// Something changed: look again at once.
    pub(super) fn wake(&mut self, cx: &Cx<'_>) {
        self.wake_at(cx.now.mono);
    }

    /// Look again no later than this.
    pub(super) fn wake_at(&mut self, at: Instant) {
        self.wake = self.wake.min(at);
    }

    /// Looks at a link that has just opened when it has been idle for so long.
    pub(super) fn watch_idle(&mut self, link: LinkId, idle: Duration, now: Instant) {
        self.idle.watch(link, idle, now);
    }

    pub(super) fn note_neighbor(&mut self, cx: &Cx<'_>) {
        self.next_anchors = self.next_anchors.min(cx.now.mono + ANCHOR_SOON);
        self.wake_at(self.next_anchors);
        if self.isolated.is_some() {
            self.wake(cx);
        }
    }

    /// The peer does not want to be our neighbor now.
    pub(super) fn refused(&mut self, peer: &PeerId, cx: &Cx<'_>) {
        self.avoid_for(*peer, Duration::ZERO, cx.now.mono);
        self.wake(cx);
    }

    /// Does not ask the peer to be a neighbor for a while, at least as long as it asked for.
    /// The peer is not avoided any more.
    pub(super) fn welcome(&mut self, peer: &PeerId) {
        self.avoided.remove(peer);
    }

    pub(super) fn avoid_for(&mut self, peer: PeerId, asked: Duration, now: Instant) {
        self.avoided.insert(peer, now + AVOID.max(asked));
        if self.avoided.len() > MAX_AVOIDED {
            let first = self
                .avoided
                .iter()
                .min_by_key(|(_, until)| **until)
                .map(|(peer, _)| *peer);
            first.and_then(|peer| self.avoided.remove(&peer));
        }
    }
}

impl Neighbors {
    /// Runs what is due; cheap when nothing is.
    pub fn on_timeout(&mut self, view: &View, book: &mut Book, cx: &mut Cx<'_>) {
        self.own.on_timeout(cx);
        let now = cx.now.mono;
        if self.upkeep.idle.first().is_some_and(|at| at <= now) {
            self.close_idle_visits(book, cx);
        }
        if self.first_answer().is_some_and(|at| at <= now) {
            self.expire_greetings(book, cx);
            self.upkeep.wake(cx);
        }
        if now < self.upkeep.wake {
            return;
        }
        self.upkeep.wake = now + Duration::from_secs(60);
        self.expire_pings(book, cx);
        if !self.leaving {
            self.advertise(cx);
            let alone = self.note_alone(cx);
            self.dial_configured(alone, book, cx);
            self.dial_anchors(book, cx);
            self.fill_outbound(view, book, cx);
            self.heal(alone, view, book, cx);
            self.renew(view, book, cx);
            self.rotate(view, book, cx);
            self.choose_anchors(book, cx);
        }
        self.schedule();
    }

    /// Notes whether there is any neighbor, and tells when that changes.
    fn note_alone(&mut self, cx: &mut Cx<'_>) -> bool {
        let now = cx.now.mono;
        let alone = self.links.neighbors().next().is_none();
        if alone && !self.upkeep.was_alone {
            cx.stats.neighbors.alone += 1;
            self.upkeep.next_heal = self.upkeep.next_heal.min(now + HEAL_ALONE);
            if cx.stats.neighbors.neighbors_up > 0 {
                self.upkeep.isolated = Some(now);
                cx.emit(Event::Isolated);
            }
        }
        if !alone && let Some(since) = self.upkeep.isolated.take() {
            let after = now.saturating_duration_since(since);
            cx.emit(Event::Rejoined { after });
        }
        self.upkeep.was_alone = alone;
        alone
    }

    /// Sets the next look at everything whose deadline is known.
    fn schedule(&mut self) {
        let deadlines = [
            self.upkeep.next_rotation,
            self.upkeep.next_heal,
            self.upkeep.next_anchors,
        ];
        if let Some(earliest) = deadlines.into_iter().min() {
            self.upkeep.wake_at(earliest);
        }
    }

    /// The earliest deadline.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        [
            Some(self.own.next_timeout()),
            Some(self.upkeep.wake),
            self.upkeep.idle.first(),
            self.first_answer(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// When a greeting or a request that is under way has taken too long. They are few.
    fn first_answer(&self) -> Option<Instant> {
        let greetings = self.greetings.values().map(|greeting| greeting.deadline);
        greetings.chain(self.requests.values().copied()).min()
    }

    /// An address once known is kept until there is another.
    pub(super) fn advertise(&mut self, cx: &mut Cx<'_>) {
        let observed = self.clock.observed();
        let addrs = self.own_address.advertised(&cx.config.external, observed);
        if !addrs.is_empty() {
            self.own.set_addrs(&addrs, cx);
        }
    }

    fn dial_anchors(&mut self, book: &mut Book, cx: &mut Cx<'_>) {
        for (peer, addr) in std::mem::take(&mut self.upkeep.anchors) {
            if !self.links.is_neighbor(&peer) {
                // An anchor that cannot be dialled now is still in the archive.
                let _ = book.try_dial(peer, Target::Addr(addr), DialPurpose::Anchor, cx);
            }
        }
    }

    /// Outbound neighbors are drawn from the memory only, from groups not yet represented while there is a choice.
    fn fill_outbound(&mut self, view: &View, book: &mut Book, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        let have = self.links.outbound_neighbors();
        if have >= cx.config.neighbors.outbound {
            return;
        }
        let config = &cx.config.neighbors;
        let (dials, hopeful) = book.dialing_neighbors(now.checked_sub(DOUBTFUL).unwrap_or(now));
        let doubtful = (dials - hopeful).min(config.outbound * DOUBTFUL_DIALS);
        let coming = dials - doubtful + self.requests.len() + self.greeting_neighbors();
        let mut want = config.outbound.saturating_sub(have + coming);
        if !cx.rules.hold(Rule::SeparatePools) {
            let taken = self.links.neighbors().count() + coming;
            want = want.min((config.outbound + config.inbound).saturating_sub(taken));
        }
        // By then what is under way, or begins now, may have become doubtful.
        self.upkeep.wake_at(now + DOUBTFUL);
        if want == 0 {
            return;
        }
        self.upkeep.avoided.retain(|_, until| *until > now);
        let mut groups: BTreeSet<_> = self
            .links
            .neighbors()
            .filter(|(_, link)| link.outbound)
            .map(|(_, link)| book.group_of(link.addr).wide)
            .collect();
        let mut candidates: Vec<(PeerId, SocketAddr)> = view
            .peers()
            .filter(|(peer, _)| {
                !self.links.is_neighbor(peer)
                    && !self.upkeep.avoided.contains_key(peer)
                    && !book.is_dialing_neighbor(peer)
                    && !self
                        .greetings
                        .keys()
                        .any(|id| self.links.get(*id).is_some_and(|link| link.peer == *peer))
            })
            .collect();
        candidates.shuffle(cx.rng);
        // Who did not answer the last time comes last; and where that is many, who answered a moment ago comes first.
        let many = book.failing() * 4 > view.len();
        candidates.sort_by_key(|(peer, _)| {
            let answered = book.proven_at(peer);
            let recently = answered.is_some_and(|at| now.saturating_duration_since(at) < RECENT);
            (book.failures_of(peer) > 0, many && !recently)
        });
        let mut wanted = want;
        for fresh_groups_only in [true, false] {
            candidates.retain(|(peer, addr)| {
                if wanted == 0 || (fresh_groups_only && groups.contains(&book.group_of(*addr).wide))
                {
                    return true;
                }
                if self.ask(peer, *addr, book, cx) {
                    groups.insert(book.group_of(*addr).wide);
                    wanted -= 1;
                }
                false
            });
        }
        if wanted > 0 {
            self.upkeep.wake_at(now + FILL);
        }
    }

    fn greeting_neighbors(&self) -> usize {
        let asking = |id: &LinkId| {
            self.links
                .get(*id)
                .is_some_and(|link| link.outbound && link.kind == Purpose::Neighbor)
        };
        self.greetings.keys().filter(|id| asking(id)).count()
    }

    /// Asks a peer to become an outbound neighbor: over the link we dialled, else by a dial.
    pub(super) fn ask(
        &mut self,
        peer: &PeerId,
        addr: SocketAddr,
        book: &mut Book,
        cx: &mut Cx<'_>,
    ) -> bool {
        if let Some((id, _)) = self.links.outbound_to(peer) {
            if self.requests.contains_key(&id)
                || self.overdue.contains(&id)
                || !cx.send(id, Lane::Control, &Message::NeighborRequest)
            {
                return false;
            }
            self.requests
                .insert(id, cx.now.mono + cx.config.neighbors.greeting_timeout);
            return true;
        }
        book.try_dial(*peer, Target::Addr(addr), DialPurpose::Neighbor, cx)
            .is_ok()
    }

    /// Back to the archive: quickly when alone or when the memory spans far fewer groups than the archive knows, slowly for ever.
    fn heal(&mut self, alone: bool, view: &View, book: &mut Book, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        if now < self.upkeep.next_heal {
            return;
        }
        let narrowed = view.group_count() * 2 < book.archived_groups();
        let dials = if !cx.rules.hold(Rule::Healing) {
            0
        } else if alone || narrowed {
            HEAL_ALONE_DIALS
        } else {
            1
        };
        for _ in 0..dials {
            let Some((peer, addr)) = book.archived(cx) else {
                break;
            };
            if peer != cx.me() && self.links.to_peer(&peer).is_none() {
                // A refusal here is the dial budget: the next round comes.
                let _ = book.try_dial(peer, Target::Addr(addr), DialPurpose::Archive, cx);
            }
        }
        self.upkeep.next_heal = now
            + if alone || narrowed {
                HEAL_ALONE
            } else {
                between(cx, HEAL)
            };
    }

    /// Exchanges the outbound neighbors that were chosen while the node was young, as soon as it is not: its memory held then whom it had
    /// heard of first, and a node whose first contacts were mostly hostile would keep hostile neighbors only for hours.
    fn renew(&mut self, view: &View, book: &mut Book, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        if now < self.upkeep.next_renewal {
            return;
        }
        let Some(id) = self.young_choice(view, cx.config) else {
            return;
        };
        if !self.may_exchange(view, cx.config) {
            return;
        }
        self.upkeep.next_renewal = now + between(cx, RENEWAL);
        self.upkeep.wake_at(self.upkeep.next_renewal);
        self.give_up(id, book, cx);
    }

    /// Whether neighbors that were chosen while the node was young are still to be exchanged.
    pub(crate) fn is_renewing(&self, view: &View, config: &Config) -> bool {
        self.young_choice(view, config).is_some() && self.has_replacement(view)
    }

    fn young_choice(&self, view: &View, config: &Config) -> Option<LinkId> {
        let settled = view.settled()?;
        let mut outbound = self.exchangeable(config);
        let young = outbound.find(|(_, link)| link.neighbor_since.is_some_and(|at| at < settled));
        young.map(|(id, _)| id)
    }

    /// The outbound neighbors but for those that are to be kept whatever happens.
    pub(super) fn exchangeable<'a>(
        &'a self,
        config: &'a Config,
    ) -> impl Iterator<Item = (LinkId, &'a Link)> {
        self.links.neighbors().filter(|(_, link)| {
            link.outbound && !config.persistent.iter().any(|seed| seed.peer == link.peer)
        })
    }

    /// Whether the pool is full, and somebody is there to take the place of one.
    fn may_exchange(&self, view: &View, config: &Config) -> bool {
        self.links.outbound_neighbors() >= config.neighbors.outbound && self.has_replacement(view)
    }

    fn has_replacement(&self, view: &View) -> bool {
        let mut members = view.peers();
        members.any(|(peer, _)| self.links.to_peer(&peer).is_none())
    }

    pub(super) fn give_up(&mut self, id: LinkId, book: &mut Book, cx: &mut Cx<'_>) {
        cx.stats.neighbors.rotated += 1;
        if let Some(peer) = self.links.get(id).map(|link| link.peer) {
            self.upkeep.avoid_for(peer, Duration::ZERO, cx.now.mono);
        }
        self.close(id, Code::Rotated, book, cx);
    }

    /// Gives up the least useful of the older half of the outbound neighbors, so that no set of links is for ever.
    fn rotate(&mut self, view: &View, book: &mut Book, cx: &mut Cx<'_>) {
        if cx.now.mono < self.upkeep.next_rotation {
            return;
        }
        self.upkeep.next_rotation = cx.now.mono + between(cx, cx.config.neighbors.rotation);
        if !self.may_exchange(view, cx.config) {
            return;
        }
        let outbound = self.exchangeable(cx.config);
        let mut outbound: Vec<_> = outbound
            .map(|(id, link)| (link.neighbor_since, link.usefulness, id))
            .collect();
        outbound.sort_unstable();
        outbound.truncate(outbound.len().div_ceil(2));
        let worst = outbound
            .into_iter()
            .min_by_key(|(since, usefulness, _)| (*usefulness, *since));
        if let Some((_, _, id)) = worst {
            self.give_up(id, book, cx);
        }
        // Usefulness is of late: what was earned longer ago counts half.
        let ids: Vec<LinkId> = self.links.neighbors().map(|(id, _)| id).collect();
        for id in ids {
            self.links.update(id, |link| link.usefulness /= 2);
        }
    }

    fn choose_anchors(&mut self, book: &mut Book, cx: &mut Cx<'_>) {
        if cx.now.mono < self.upkeep.next_anchors {
            return;
        }
        self.upkeep.next_anchors = cx.now.mono + ANCHOR_PERIOD;
        let mut oldest: Vec<_> = self
            .links
            .neighbors()
            .filter(|(_, link)| link.outbound)
            .collect();
        oldest.sort_by_key(|(id, link)| (link.neighbor_since, *id));
        let anchors: Vec<(PeerId, SocketAddr)> = oldest
            .iter()
            .take(ANCHORS)
            .map(|(_, link)| (link.peer, link.addr))
            .collect();
        if !anchors.is_empty() && anchors != self.upkeep.last_anchors {
            self.upkeep.last_anchors.clone_from(&anchors);
            book.set_anchors(anchors, cx);
        }
    }
}

pub(super) fn between(cx: &mut Cx<'_>, range: (Duration, Duration)) -> Duration {
    range.0 + (range.1.saturating_sub(range.0)).mul_f64(cx.rng.random_range(0.0..1.0))
}
