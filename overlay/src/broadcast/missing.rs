//! What neighbors announced and nobody has pushed yet: when to ask for it, and whom.
//! When is `pace.rs`'s to say; this file keeps the lists.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::Config;
use super::announcers::Announcers;
use super::pace::Pace;
use super::slots::{MAX_SLOTS, Slot, Slots};
use crate::wire::ShortId;

/// How often an overdue answer is waited for again because its link is busy delivering.
const BUSY_WAITS: u8 = 3;
/// Open asks to one link, and to one that broke its promises.
const ASKS_PER_LINK: u32 = 512;
const ASKS_DEMOTED: u32 = 8;
/// How long an id waits that only such links announced, when they have their share of asks.
const DISTRUST_WAIT: Duration = Duration::from_millis(500);
/// Overdue or given-up asks remembered, to recognise their late answers.
const LATE: usize = 4096;
/// Ids looked at in one step.
const STEP: usize = 1024;
/// This many missing at once, none asked for yet, is a backlog; it is taken to last for a while after.
const BACKLOG: usize = 64;
const BACKLOG_LASTS: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug)]
struct Ask {
    slot: Slot,
    at: Instant,
    once: bool,
    /// To a link that broke its promises: outside the window, so that bait takes no room from others.
    demoted: bool,
}

#[derive(Clone, Debug)]
struct Miss {
    first: Instant,
    announcers: Announcers,
    tried: Slots,
    asks: Vec<Ask>,
    /// Key of its entry in `waiting`, once it was asked for.
    due: Option<Instant>,
    /// Since when a link must have delivered to count as busy.
    checked: Instant,
    misses: u8,
    rounds: u8,
    waits: u8,
}

/// What is known of a link at the moment of asking.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    /// Its round trip.
    pub(super) rtt: Duration,
    /// It announced what it did not deliver.
    pub(super) demoted: bool,
    /// It has delivered something before.
    pub(super) gave: bool,
    /// When it last delivered a whole message.
    pub(super) active: Instant,
}

/// What became of an announced id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// The first announcement.
    New,
    /// One more announcer.
    More,
    /// Not remembered: a cap is reached.
    Full,
}

/// What had been known of a message that has arrived.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found {
    /// Who had announced it.
    pub(super) announcers: Slots,
    /// Who announced it first, and when.
    pub(super) first: Option<(Slot, Instant)>,
    /// The link that brought it had been asked; `true` = for this once.
    pub(super) answered: Option<bool>,
    /// Another link had been asked: needlessly.
    pub(super) needless: bool,
}

/// What is to be done now.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// Whom to ask for what.
    pub(super) asks: Vec<(Slot, ShortId)>,
    /// The asks are for this once only: what is late may just be queued.
    pub(super) once: bool,
    /// Links whose answer is overdue, one entry per ask.
    pub(super) broken: Vec<Slot>,
    /// Ids given up.
    pub(super) abandoned: u64,
}

/// The ids announced and not yet here. See the head of this file.
#[derive(Debug)]
pub(super) struct Missing {
    map: BTreeMap<ShortId, Miss>,
    /// Not asked for yet, in order of announcement.
    fresh: BTreeSet<(Instant, ShortId)>,
    /// Asked for (or put off), by the time of the next look.
    waiting: BTreeSet<(Instant, ShortId)>,
    late: BTreeMap<(ShortId, Slot), bool>,
    listed: Vec<u32>,
    open: Vec<u32>,
    open_total: u32,
    pace: Pace,
    backlog_at: Option<Instant>,
    look: Option<Instant>,
}

impl Default for Missing {
    fn default() -> Self {
        Self {
            map: BTreeMap::new(),
            fresh: BTreeSet::new(),
            waiting: BTreeSet::new(),
            late: BTreeMap::new(),
            listed: vec![0; MAX_SLOTS],
            open: vec![0; MAX_SLOTS],
            open_total: 0,
            pace: Pace::default(),
            backlog_at: None,
            look: None,
        }
    }
}

impl Missing {
    /// Number of ids missing.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.map.len()
    }

    /// Late because of queues rather than of somebody's failure, as far as can be told.
    pub(super) fn backlogged(&self, now: Instant) -> bool {
        let lately = |at: Instant| now.saturating_duration_since(at) < BACKLOG_LASTS;
        self.backlog_at.is_some_and(lately) || self.pace.was_hasty(now)
    }

    /// Whether it is missing.
    pub(super) fn has(&self, short: &ShortId) -> bool {
        self.map.contains_key(short)
    }

    /// A neighbor announced an id that is not here. `share` is how many ids one link may keep on the list.
    #[expect(clippy::too_many_arguments, reason = "the facts of one announcement")]
    pub(super) fn heard(
        &mut self,
        short: ShortId,
        slot: Slot,
        outbound: bool,
        rtt: Duration,
        share: usize,
        now: Instant,
        config: &Config,
    ) -> Heard {
        let listed = &mut self.listed[usize::from(slot)];
        if *listed as usize >= share {
            return Heard::Full;
        }
        if let Some(miss) = self.map.get_mut(&short) {
            if !miss.announcers.add(slot, outbound, config.announcers) {
                return Heard::Full;
            }
            *listed += 1;
            return Heard::More;
        }
        if self.map.len() >= config.missing {
            return Heard::Full;
        }
        *listed += 1;
        let mut announcers = Announcers::default();
        announcers.add(slot, outbound, config.announcers);
        let miss = Miss {
            first: now,
            announcers,
            tried: Slots::default(),
            asks: Vec::new(),
            due: None,
            checked: now,
            misses: 0,
            rounds: 0,
            waits: 0,
        };
        self.map.insert(short, miss);
        self.fresh.insert((now, short));
        if self.fresh.len() >= BACKLOG {
            self.backlog_at = Some(now);
        }
        if self.look.is_none() {
            self.look = Some(now + self.pace.delay(rtt, config));
        }
        Heard::New
    }

    /// The first whole copy has come from `from` (`None` = not from a neighbor).
    pub(super) fn arrived(&mut self, short: &ShortId, from: Option<Slot>, now: Instant) -> Found {
        let Some(miss) = self.take(short) else {
            self.pace.pushed(now, now);
            return Found::default();
        };
        let mut found = Found {
            first: miss.announcers.first().map(|slot| (slot, miss.first)),
            ..Found::default()
        };
        for slot in miss.announcers.iter() {
            found.announcers.insert(slot);
        }
        let mut asked = false;
        for ask in &miss.asks {
            asked = true;
            if Some(ask.slot) == from {
                found.answered = Some(ask.once);
                self.pace.answered(now.saturating_duration_since(ask.at));
            } else {
                found.needless = true;
                self.remember_late(*short, ask.slot, ask.once);
            }
        }
        if let Some(slot) = from
            && found.answered.is_none()
        {
            // An answer that was given up comes after all.
            found.answered = self.late.remove(&(*short, slot));
        }
        if found.answered.is_some() {
            found.needless = false; // two were asked: that is not the push coming late
            self.pace.useful(miss.first, now);
        } else {
            self.pace.pushed(miss.first, now);
            if asked {
                self.pace.needless(now);
            }
        }
        found
    }

    /// One more copy has come: was it asked for? `Some(once)` if so.
    pub(super) fn late_answer(&mut self, short: &ShortId, slot: Slot) -> Option<bool> {
        self.late.remove(&(*short, slot))
    }

    /// A message was asked for although its push was on the way.
    pub(super) fn was_needless(&mut self, now: Instant) {
        self.pace.needless(now);
    }

    fn remember_late(&mut self, short: ShortId, slot: Slot, once: bool) {
        if self.late.len() >= LATE {
            self.late.pop_first(); // any: ids are hashes
        }
        self.late.insert((short, slot), once);
    }

    fn take(&mut self, short: &ShortId) -> Option<Miss> {
        let miss = self.map.remove(short)?;
        match miss.due {
            Some(due) => self.waiting.remove(&(due, *short)),
            None => self.fresh.remove(&(miss.first, *short)),
        };
        for slot in miss.announcers.iter() {
            let listed = &mut self.listed[usize::from(slot)];
            *listed = listed.saturating_sub(1);
        }
        for ask in &miss.asks {
            self.close(*ask);
        }
        Some(miss)
    }

    fn close(&mut self, ask: Ask) {
        let open = &mut self.open[usize::from(ask.slot)];
        *open = open.saturating_sub(1);
        if !ask.demoted {
            self.open_total = self.open_total.saturating_sub(1);
        }
    }

    /// A link is gone: it has announced nothing and owes nothing.
    pub(super) fn forget(&mut self, slot: Slot, now: Instant) {
        let announced = |(_, miss): &(&ShortId, &Miss)| miss.announcers.iter().any(|it| it == slot);
        let touched = self.map.iter().filter(announced);
        let touched: Vec<ShortId> = touched.map(|(short, _)| *short).collect();
        for short in touched {
            let Some(mut miss) = self.take(&short) else {
                continue;
            };
            miss.announcers.remove(slot);
            if miss.announcers.is_empty() {
                continue;
            }
            let before = miss.asks.len();
            miss.asks.retain(|ask| ask.slot != slot);
            for announcer in miss.announcers.iter() {
                self.listed[usize::from(announcer)] += 1;
            }
            for ask in &miss.asks {
                self.open[usize::from(ask.slot)] += 1;
                self.open_total += u32::from(!ask.demoted);
            }
            if before > 0 && miss.asks.is_empty() {
                miss.due = Some(now); // ask another at once
            }
            match miss.due {
                Some(due) => self.waiting.insert((due, short)),
                None => self.fresh.insert((miss.first, short)),
            };
            self.map.insert(short, miss);
        }
        self.late.retain(|(_, who), _| *who != slot);
    }

    /// When to look again.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let waiting = self.waiting.first().map(|(at, _)| *at);
        match (waiting, self.look) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// What is to be asked for now, and of whom. `standing` = `None` for a link that is gone.
    pub(super) fn take_due(
        &mut self,
        now: Instant,
        standing: impl Fn(Slot) -> Option<Standing>,
        config: &Config,
    ) -> Due {
        let mut due = Due {
            once: self.backlogged(now),
            ..Due::default()
        };
        self.take_overdue(now, &standing, config, &mut due);
        if self.look.is_some_and(|at| at <= now) {
            self.look = self.take_fresh(now, &standing, config, &mut due);
        }
        due
    }

    fn take_overdue(
        &mut self,
        now: Instant,
        standing: &impl Fn(Slot) -> Option<Standing>,
        config: &Config,
        due: &mut Due,
    ) {
        for _ in 0..STEP {
            let Some(&(at, short)) = self.waiting.first() else {
                return;
            };
            if at > now {
                return;
            }
            self.waiting.pop_first();
            let Some(miss) = self.map.get_mut(&short) else {
                continue;
            };
            let busy = |ask: &Ask| standing(ask.slot).is_some_and(|it| it.active > miss.checked);
            if miss.waits < BUSY_WAITS && miss.asks.iter().any(busy) {
                miss.waits += 1;
                miss.checked = now;
                let again = now + self.pace.answer_wait(Duration::ZERO);
                miss.due = Some(again);
                self.waiting.insert((again, short));
                continue;
            }
            let asks = std::mem::take(&mut miss.asks);
            if !asks.is_empty() {
                miss.misses = miss.misses.saturating_add(1);
            }
            for ask in asks {
                due.broken.push(ask.slot);
                self.close(ask);
                self.remember_late(short, ask.slot, ask.once);
            }
            self.ask(short, now, standing, config, due);
        }
    }

    fn take_fresh(
        &mut self,
        now: Instant,
        standing: &impl Fn(Slot) -> Option<Standing>,
        config: &Config,
        due: &mut Due,
    ) -> Option<Instant> {
        for _ in 0..STEP {
            let &(first, short) = self.fresh.first()?;
            let announcer = self
                .map
                .get(&short)
                .and_then(|miss| miss.announcers.first());
            let rtt = announcer.and_then(standing).map(|it| it.rtt);
            let it_is_time = self
                .pace
                .ask_at(first, rtt.unwrap_or_default(), now, config);
            if it_is_time > now {
                return Some(it_is_time);
            }
            if self.open_total >= self.pace.window() {
                return Some(now + config.ask_floor / 2);
            }
            self.fresh.pop_first();
            self.ask(short, now, standing, config, due);
        }
        Some(now)
    }

    /// Asks the next announcer: one that has not been asked in this round, rather one that keeps its promises, and of these rather one
    /// that has delivered before: who only announces, and is always first to, is asked after all others.
    fn ask(
        &mut self,
        short: ShortId,
        now: Instant,
        standing: &impl Fn(Slot) -> Option<Standing>,
        config: &Config,
        due: &mut Due,
    ) {
        let Some(miss) = self.map.get_mut(&short) else {
            return;
        };
        let mut wait = Duration::ZERO;
        let wanted = if miss.misses >= 2 { 2 } else { 1 };
        let mut window_full = false;
        let mut distrusted = false;
        for (demoted, gave) in [(false, true), (false, false), (true, true), (true, false)] {
            for slot in miss.announcers.iter() {
                let Some(it) = standing(slot) else { continue };
                let turn = it.demoted == demoted && it.gave == gave;
                if miss.asks.len() >= wanted || !turn || miss.tried.has(slot) {
                    continue;
                }
                let open = &mut self.open[usize::from(slot)];
                if demoted && *open >= ASKS_DEMOTED {
                    distrusted = true;
                    continue;
                }
                if !demoted && (*open >= ASKS_PER_LINK || self.open_total >= self.pace.window()) {
                    window_full = true;
                    continue;
                }
                *open += 1;
                self.open_total += u32::from(!demoted);
                miss.tried.insert(slot);
                miss.asks.push(Ask {
                    slot,
                    at: now,
                    once: due.once,
                    demoted,
                });
                due.asks.push((slot, short));
                let bound = self.pace.answer_wait(it.rtt * 2 + config.ask_floor);
                wait = wait.max(bound * (1 << miss.misses.min(2)));
            }
        }
        if miss.asks.is_empty() {
            wait = if window_full {
                config.ask_floor
            } else {
                miss.rounds += 1;
                miss.tried = Slots::default();
                if distrusted {
                    DISTRUST_WAIT
                } else {
                    config.ask_floor
                }
            };
            if miss.rounds >= config.ask_rounds {
                miss.due = None;
                let first = miss.first;
                self.fresh.insert((first, short)); // where `take` looks for it
                self.take(&short);
                due.abandoned += 1;
                return;
            }
        }
        miss.checked = now;
        miss.due = Some(now + wait);
        self.waiting.insert((now + wait, short));
    }
}
