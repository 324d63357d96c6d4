//! The view: ranked slots, push-pull exchange, the sample stream.
//!
//! [`Memory`] holds the slots. [`Sampling`] keeps it fresh: at random intervals around a period it visits the member whose proof is
//! oldest, pushes its own record and a short list, and pulls a list. What is in that list and would win a slot is dialled, and
//! enters when it has been proven. A caller is dialled back before it is believed; its list only makes candidates. Half of the list that it gets are
//! those who entered the memory last, so that newcomers become known soon.

mod callers;
mod draw;
mod exchange;
mod leave;
mod memory;
mod recheck;
mod serve;
mod size;
mod view;
#[cfg(feature = "sim")]
mod warm;
mod young;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crypto::{PeerId, Verified};
use rand::RngExt as _;

pub use callers::{LISTS, SHORTEST};
pub use memory::Memory;
pub use view::View;

use crate::action::Target;
use crate::cx::Cx;
use crate::input::{DialId, LinkId};
use crate::neighbors::Links;
use crate::peers::{Book, DialPurpose, DialRefused};
use crate::rules::Rule;
use crate::wire::PeerRecord;
use young::Young;

crate::stats::counters! {
    /// Exchanges, resets, slots.
    Counters {
        /// Exchanges started (asked).
        exchanges,
        /// Exchanges answered.
        answered,
        /// Exchanges answered with an empty list.
        answered_empty,
        /// Answered exchanges whose list held nothing for the memory.
        barren,
        /// Visits whose dial failed or whose link closed before the answer.
        visits_failed,
        /// Visits not answered in time.
        visits_timed_out,
        /// Visits not begun because the lane or the dial budget had no room.
        visits_refused,
        /// Records pulled in lists.
        pulled,
        /// Of these, records that would win a slot.
        pulled_winners,
        /// Records dropped because they repeat another of the same list.
        repeated,
        /// Calls answered with a list.
        calls,
        /// Calls answered with an empty list because the caller, or all callers, came too often.
        calls_refused,
        /// Calls answered with a shorter list than was asked for, because callers came too often.
        calls_rationed,
        /// Callers left out by the reservoir.
        callers_left_out,
        /// Callers not dialled back because they would win no slot.
        callers_ranked_out,
        /// Records of callers' lists taken as candidates.
        pushed,
        /// Records of callers' lists dropped for want of room.
        pushed_over_room,
        /// Candidates of the fast start dropped undialled, because others heard of meanwhile would win their slots.
        outranked,
        /// Slots reset; each emitted a sample.
        resets,
        /// Slots won by proven peers.
        slots_won,
        /// Times the fast start began anew.
        young_again,
        /// Dials that keep a proof of the census fresh.
        census_renewals,
        /// Dials to members whose last dial failed, or who did not answer.
        rechecks,
        /// Records under our own key that we never issued.
        clone_records,
    }
}

/// However many dials have failed, looks for members that may be dead are at least this far apart. A guess.
const SOONEST_RECHECK: Duration = Duration::from_secs(1);

/// Spares dialled for a slot that falls empty, at most: where half of them are dead, seven times in eight one lives. With more the slots were
/// no fairer in simulations.
const SPARES: usize = 3;

/// Settings of this room. The defaults are those of the simulations in BASALT's style with 1,000 to 10,000 nodes of which up to 30 %
/// lie; numbers without a source are guesses.
#[derive(Clone, Debug)]
pub struct Config {
    /// Slots of the memory (m). Memory is free where bandwidth is not: with 200 and lists of 20, a fifth of liars gets about a
    /// fifth of the slots; with 50 and whole lists it can get all.
    pub slots: usize,
    /// Records asked for in a list; at most 64.
    pub list: u8,
    /// Records asked for while young.
    pub list_young: u8,
    /// Records pushed with a call, and taken from one.
    pub push: usize,
    /// Mean time between exchanges; each wait is uniform between half and one and a half of it: unpredictable, but with a bound,
    /// so that every proof is renewed in time (Poisson arrivals have no bound).
    pub period: Duration,
    /// The same while young; stretched by as much again for each answered exchange in a row that brought nothing new.
    pub fast_period: Duration,
    /// Visits under way at a time while young; later a quarter of it.
    pub parallel: usize,
    /// Visits under way at a time in all while young, those on links that just opened included.
    pub parallel_opened: usize,
    /// The fast start ends when this many answered exchanges ...
    pub settle_answers: usize,
    /// ... together brought fewer peers that were proven and won a slot than this. With 16 lists of 64 a yield of 2 means that about 99 % of
    /// a thousand peers have been heard of; the rest comes with time. A few barren answers, or a third of them from liars, end nothing.
    pub settle_won: u32,
    /// The fast start lasts at least so long from its first exchange, so that a crowd of joiners finds each other.
    pub young_least: Duration,
    /// The fast start lasts at most so long, whatever others feed us.
    pub young_most: Duration,
    /// It begins anew, when an exchange brings much that is new, at most once in this time.
    pub young_again: Duration,
    /// A visit must be answered within this time of its start.
    pub visit_timeout: Duration,
    /// Answered exchanges per reset of a slot: never below 5 (0.2 resets per exchange), since faster sampling lets liars take the
    /// memory over.
    pub exchanges_per_reset: u32,
    /// Callers believed (dialled back) per window.
    pub believed: usize,
    /// The window while young or in a tiny network.
    pub window_young: Duration,
    /// The window later.
    pub window: Duration,
    /// A network of fewer known peers counts as tiny: no quotas per group, and quick dials.
    pub tiny: usize,
    /// Time between feelers: dials to heard records that would win no slot now. Bitcoin's is 2 minutes.
    pub feeler: (Duration, Duration),
    /// Time between looks for members that may be dead, and for a proof of the census to renew; shorter where many dials failed.
    pub recheck: Duration,
    /// Members that may be dead dialled at each look; more where many dials failed.
    pub rechecks: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            slots: 256,
            list: 32,
            list_young: 64,
            push: 8,
            period: Duration::from_secs(10),
            fast_period: Duration::from_millis(250),
            parallel: 4,
            parallel_opened: 4,
            settle_answers: 16,
            settle_won: 2,
            young_least: Duration::from_secs(2),
            young_most: Duration::from_secs(300),
            young_again: Duration::from_secs(600),
            visit_timeout: Duration::from_secs(12),
            exchanges_per_reset: 5,
            believed: 16,
            window_young: Duration::from_millis(100),
            window: Duration::from_secs(10),
            tiny: 64,
            feeler: (Duration::from_secs(30), Duration::from_secs(120)),
            recheck: Duration::from_secs(20),
            rechecks: 4,
        }
    }
}

/// How far a visit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Dialing(DialId),
    Asked(LinkId),
}

/// A visit under way.
#[derive(Clone, Copy, Debug)]
struct Visit {
    stage: Stage,
    deadline: Instant,
}

/// The part: exchanges, resets, candidates.
#[derive(Debug)]
pub struct Sampling {
    view: View,
    callers: callers::Callers,
    /// At most `parallel_opened`, one per peer.
    visits: BTreeMap<PeerId, Visit>,
    /// Requests without a reply yet, and how many records each asked for; as many as there are links.
    asked: BTreeMap<LinkId, u8>,
    young: Option<Young>,
    was_young: Option<Instant>,
    next_exchange: Option<Instant>,
    next_pump: Option<Instant>,
    next_feeler: Instant,
    next_recheck: Instant,
    exchanges: u64,
    resets: u64,
    credit: u32,
    /// A record under our own key that we never issued came in this step.
    clone_seen: bool,
}

impl Sampling {
    /// An empty memory at the start of its fast start.
    #[must_use]
    pub fn new(cx: &mut Cx<'_>) -> Self {
        let now = cx.now.mono;
        let view = View::new(cx.config.sampling.slots, cx.config.addresses, cx.rng);
        Self {
            young: Some(Young::new(&view.memory)),
            view,
            callers: callers::Callers::new(now, cx.rng),
            visits: BTreeMap::new(),
            asked: BTreeMap::new(),
            was_young: None,
            next_exchange: None,
            next_pump: None,
            next_feeler: now + cx.config.sampling.feeler.0,
            next_recheck: now + cx.config.sampling.recheck,
            exchanges: 0,
            resets: 0,
            credit: 0,
            clone_seen: false,
        }
    }

    /// Whether this step brought a record under our own key that we never issued: another node runs with it.
    pub fn take_clone_seen(&mut self) -> bool {
        std::mem::take(&mut self.clone_seen)
    }

    /// The memory and the samples, to be read.
    #[must_use]
    pub const fn view(&self) -> &View {
        &self.view
    }

    /// `n` distinct random peers; see [`View::sample`].
    #[must_use]
    pub fn sample(&self, n: usize, rng: &mut impl rand::Rng) -> Vec<PeerId> {
        self.view.sample(n, rng)
    }

    /// See [`View::size_estimate`].
    #[must_use]
    pub fn size_estimate(&self) -> Option<f64> {
        self.view.size_estimate()
    }

    /// Whether the fast start is still on.
    #[must_use]
    pub const fn is_young(&self) -> bool {
        self.young.is_some()
    }

    /// The earliest deadline.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        let exchange = self.next_exchange.filter(|_| !self.view.is_empty());
        let feeler = (!self.is_young()).then_some(self.next_feeler);
        let recheck = (!self.view.is_empty()).then_some(self.next_recheck);
        self.visits
            .values()
            .map(|visit| visit.deadline)
            .chain(
                [
                    exchange,
                    feeler,
                    recheck,
                    self.next_pump,
                    self.callers.closes(),
                ]
                .into_iter()
                .flatten(),
            )
            .min()
    }

    /// Runs what is due. `own` is this node's current record. Cheap when nothing is due.
    pub fn on_timeout(
        &mut self,
        own: &Verified<PeerRecord>,
        book: &mut Book,
        links: &Links,
        cx: &mut Cx<'_>,
    ) {
        let now = cx.now.mono;
        book.expire(cx);
        self.absorb(book, cx);
        self.expire_visits(book, cx);
        if self.callers.closes().is_some_and(|closes| closes <= now) {
            self.believe_callers(book, cx);
            self.pump(book, cx);
        }
        if self.next_exchange.is_some_and(|at| at <= now) && !self.view.is_empty() {
            let heard = links.iter().map(|(_, link)| link.last_in).max();
            heard.into_iter().for_each(|at| book.in_touch(at));
            self.visit_members(own, book, links, cx);
        }
        if self.next_pump.is_some_and(|at| at <= now) {
            self.pump(book, cx);
        }
        if !self.is_young() && self.next_feeler <= now {
            let (least, most) = cx.config.sampling.feeler;
            self.next_feeler = now + cx.rng.random_range(least..=most.max(least));
            self.dial_candidate(true, book, cx);
        }
        if self.next_recheck <= now && !self.view.is_empty() {
            // Sooner again, the more dials have failed; never sooner than there are dials to spend.
            let eighths = u32::try_from(book.failing() / 8).unwrap_or(u32::MAX);
            let wait = cx.config.sampling.recheck / eighths.saturating_add(1);
            self.next_recheck = now + wait.max(SOONEST_RECHECK.min(cx.config.sampling.recheck));
            self.recheck(book, links, cx);
            self.renew_census(book, cx);
        }
        self.age(book, cx);
    }

    /// Brings the memory in line with the book: who was proven is offered, who is proven no more goes. Cheap when nothing has changed.
    fn absorb(&mut self, book: &mut Book, cx: &mut Cx<'_>) {
        let had = !self.view.is_empty();
        for peer in book.take_touched() {
            match book.proven_marks(&peer) {
                Some((addr, marks)) => {
                    if self
                        .view
                        .memory
                        .addr_of(&peer)
                        .is_some_and(|old| old != addr)
                    {
                        self.view.memory.remove(&peer);
                    }
                    let won = self.view.memory.offer(peer, addr, &marks);
                    cx.stats.sampling.slots_won += won as u64;
                    if let Some(young) = &mut self.young {
                        young.proven(peer, addr, &marks, won);
                    }
                }
                None => self.view.forget(&peer),
            }
        }
        if self.view.memory.needs_refill() && book.proven_len() > 0 {
            self.refill(book, cx);
        }
        if self.view.is_empty() {
            self.next_exchange = None;
            if had {
                self.begin_again(cx);
            }
        } else if self.next_exchange.is_none() {
            self.next_exchange = Some(self.next_tick(cx));
        }
        let quick = self.is_young() || book.proven_len() < cx.config.sampling.tiny;
        book.set_young(quick);
    }

    /// Gives empty slots to the proven peers of least rank. Of those only heard of, the first that would win a slot from them are dialled
    /// next: among the proven alone are mostly those that have been here long, and liars stay longest.
    fn refill(&mut self, book: &mut Book, cx: &Cx<'_>) {
        let vacant = self.view.memory.refill(book.proven_peers());
        if !vacant.is_empty() && !self.is_young() && cx.rules.hold(Rule::RankSpares) {
            let memory = &self.view.memory;
            for peer in memory.winners(&vacant, SPARES, book.spares()) {
                if book.promote(peer.as_bytes()) {
                    self.next_pump = Some(cx.now.mono);
                }
            }
        }
    }

    /// Dials candidates as far as caps and budgets go; the rest waits for the next dial that ends, or for the rate.
    fn pump(&mut self, book: &mut Book, cx: &mut Cx<'_>) {
        self.next_pump = None;
        // In a tiny network every record counts; else what would win no slot waits for a feeler.
        let spares = self.is_young() && book.proven_len() < cx.config.sampling.tiny;
        while !book.candidates_busy() && self.dial_candidate(spares, book, cx) {}
    }

    /// Dials one candidate; false when there is none or the rate is used up.
    fn dial_candidate(&mut self, spares: bool, book: &mut Book, cx: &mut Cx<'_>) -> bool {
        let Some((peer, addr)) = book.next_candidate(spares, cx) else {
            return false;
        };
        if !spares
            && self
                .young
                .as_ref()
                .is_some_and(|young| !young.hopes_for(&peer))
        {
            cx.stats.sampling.outranked += 1;
            book.drop_candidate(&peer);
            return true;
        }
        match book.try_dial(peer, Target::Addr(addr), DialPurpose::Candidate, cx) {
            // Whoever dials it already will settle it.
            Ok(_) | Err(DialRefused::AlreadyDialing) => true,
            Err(DialRefused::Rate(at)) => {
                book.put_back(&peer);
                self.next_pump = Some(at);
                false
            }
            Err(DialRefused::InFlight) => {
                book.put_back(&peer);
                self.next_pump = Some(cx.now.mono + cx.config.sampling.fast_period);
                false
            }
            Err(_) => {
                book.drop_candidate(&peer);
                true
            }
        }
    }

    /// A list has been answered: now and then one slot is reset and gives out its peer as a sample.
    fn answered(&mut self, book: &mut Book, cx: &mut Cx<'_>) {
        self.exchanges += 1;
        if self.is_young() {
            return;
        }
        let slow = cx.rules.hold(Rule::SlowReset);
        let price = if slow {
            cx.config.sampling.exchanges_per_reset.max(5)
        } else {
            1
        };
        self.credit = (self.credit + 1).min(price);
        if self.credit < price {
            return;
        }
        self.credit = 0;
        if let Some(peer) = self.view.memory.reset_oldest(cx.rng) {
            self.resets += 1;
            cx.stats.sampling.resets += 1;
            self.view.emit(peer);
            self.refill(book, cx);
        }
        debug_assert!(
            !slow || self.resets * 5 <= self.exchanges,
            "at most 0.2 resets per exchange"
        );
    }
}
