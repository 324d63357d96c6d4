//! What a peer may cost us and what we think of it: token buckets, refusals, bans, the author policy.
//!
//! The buckets here are a ceiling far above what an honest peer needs, judged on tag and length before anything is decoded.
//! Finer budgets (how much is served, how often a list is handed out) belong to the rooms that do the work; the bytes of
//! gossip are limited by the driver at the link, before they come here.

mod authors;
mod config;
mod deadlines;
mod meter;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crypto::PeerId;

pub use authors::{AuthorPolicy, AuthorRule};
pub use config::{Config, Rate};

use crate::action::Row;
use crate::cx::Cx;
use crate::input::{LinkId, Now};
use crate::neighbors::Code;
use crate::peers::PeerRow;
use crate::restored::Restored;
use deadlines::Deadlines;
use meter::{Class, Meter};

crate::stats::counters! {
    /// Rate limits, bans.
    Counters {
        /// Pings and pongs dropped beyond a link's rate.
        over_rate_liveness,
        /// Requests and replies about being neighbors dropped beyond a link's rate.
        over_rate_neighbor,
        /// Exchange requests and replies dropped beyond a link's rate.
        over_rate_exchange,
        /// Announcements dropped beyond a link's rate.
        over_rate_announce,
        /// Grafts, prunes, wants and cancels dropped beyond a link's rate.
        over_rate_tree,
        /// Reconciliation and fetch frames dropped beyond a link's rate.
        over_rate_repair,
        /// Frames of unknown tags dropped beyond a link's rate.
        over_rate_unknown,
        /// Links found grossly beyond their rates.
        floods,
        /// Links that sent a second greeting.
        greeted_twice,
        /// Faults of peers, each of which closed a link.
        faults,
        /// Bans set, by fault or by command.
        bans,
        /// Bans that ended by time.
        bans_expired,
        /// Bans lifted by command.
        bans_lifted,
        /// Bans forgotten, or not recorded, because the memory was full.
        bans_evicted,
        /// Peers refused softly.
        soft_refusals,
        /// Soft refusals forgotten because the memory was full.
        soft_evicted,
    }
}

/// Meters of closed connections that are remembered, so that coming back does not refill them. When there are more, the one
/// closed longest ago is forgotten.
const MAX_PARKED: usize = 512;

/// Longest time a soft refusal asks for: what a `Refuse` on the wire may ask for.
pub const MAX_SOFT: Duration = Duration::from_secs(60 * 60);

/// What is to become of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Decode it.
    Pass,
    /// Forget it; it has been counted.
    Drop,
    /// The link has gone too far: close it with this code, and tell [`Conduct::fault`].
    Close(Code),
}

/// The meter of every link, the bans, and who was refused softly of late.
#[derive(Debug)]
pub struct Conduct {
    /// One entry for each connection there is; the driver caps connections.
    meters: BTreeMap<LinkId, (PeerId, Box<Meter>)>,
    /// The meter of the last connection of peers without one, while it has not refilled.
    parked: BTreeMap<PeerId, Box<Meter>>,
    /// The peers in `parked`, by when they closed (a running number).
    parked_order: Deadlines<u64>,
    closed: u64,
    /// Until when, milliseconds since the Unix epoch; `u64::MAX` = until unbanned.
    bans: Deadlines<u64>,
    soft: Deadlines<Instant>,
}

impl Conduct {
    /// Starts with the bans of the last run that have not ended.
    #[must_use]
    pub fn new(restored: &Restored, cx: &mut Cx<'_>) -> Self {
        let mut bans = Deadlines::new(cx.config.conduct.max_bans);
        for (peer, until) in &restored.bans {
            bans.restore(*peer, *until);
        }
        let mut conduct = Self {
            meters: BTreeMap::new(),
            parked: BTreeMap::new(),
            parked_order: Deadlines::new(MAX_PARKED),
            closed: 0,
            bans,
            soft: Deadlines::new(cx.config.conduct.max_soft),
        };
        conduct.clear_bans(cx);
        conduct
    }

    /// A connection came up: its meter starts, before the greeting. A peer that comes back finds the meter it left.
    pub fn opened(&mut self, link: LinkId, peer: PeerId, cx: &mut Cx<'_>) {
        self.parked_order.remove(&peer);
        let meter = match self.parked.remove(&peer) {
            Some(mut meter) => {
                meter.greeting_again(cx.now.mono);
                meter
            }
            None => Box::new(Meter::new(&cx.config.conduct, cx.now.mono)),
        };
        self.meters.insert(link, (peer, meter));
    }

    /// A connection is gone. A meter that has refilled is as good as a new one and not kept.
    pub fn closed(&mut self, link: LinkId, cx: &Cx<'_>) {
        let Some((peer, meter)) = self.meters.remove(&link) else {
            return;
        };
        while let Some((oldest, _)) = self.parked_order.first()
            && self
                .parked
                .get(&oldest)
                .is_none_or(|meter| meter.is_full(cx.now.mono))
        {
            self.parked_order.remove(&oldest);
            self.parked.remove(&oldest);
        }
        self.closed = self.closed.saturating_add(1);
        self.parked.insert(peer, meter);
        if let Some(forgotten) = self.parked_order.set(peer, self.closed) {
            self.parked.remove(&forgotten);
        }
    }

    /// Judges a frame by its tag and length, before it is decoded. Gossip, heads and chunks always pass; frames of links that never opened
    /// do not.
    pub fn on_frame(&mut self, link: LinkId, tag: u8, len: usize, cx: &mut Cx<'_>) -> Judgement {
        let Some((_, meter)) = self.meters.get_mut(&link) else {
            return Judgement::Close(Code::Protocol);
        };
        let Some(class) = Class::of(tag) else {
            return Judgement::Pass;
        };
        let counters = &mut cx.stats.conduct;
        if meter.take(class, len, cx.now.mono) {
            return Judgement::Pass;
        }
        let counter = match class {
            Class::Greeting => {
                counters.greeted_twice += 1;
                return Judgement::Close(Code::Protocol);
            }
            Class::Liveness => &mut counters.over_rate_liveness,
            Class::Neighbor => &mut counters.over_rate_neighbor,
            Class::Exchange => &mut counters.over_rate_exchange,
            Class::Announce => &mut counters.over_rate_announce,
            Class::Tree => &mut counters.over_rate_tree,
            Class::Repair => &mut counters.over_rate_repair,
            Class::Unknown => &mut counters.over_rate_unknown,
        };
        *counter += 1;
        if meter.forgive(cx.now.mono) {
            Judgement::Drop
        } else {
            counters.floods += 1;
            Judgement::Close(Code::Flood)
        }
    }

    /// A peer broke a rule, and its link is being closed with `code`: bans it for as long as [`Config::ban_for`] says. A
    /// longer ban that it already has stays.
    pub fn fault(&mut self, peer: &PeerId, code: Code, cx: &mut Cx<'_>) {
        cx.stats.conduct.faults += 1;
        if let Some(duration) = cx.config.conduct.ban_for(code) {
            let until = ends(cx.now, Some(duration));
            if self.bans.get(peer).is_none_or(|held| held < until) {
                self.set_ban(*peer, until, cx);
            }
        }
    }

    /// Whether the peer is banned at this time.
    #[must_use]
    pub fn is_banned(&self, peer: &PeerId, now: Now) -> bool {
        self.bans.get(peer).is_some_and(|until| now.unix_ms < until)
    }

    /// Bans a peer for this long (`None` = until unbanned), whatever ban it had before. Its links are the caller's to
    /// close. When [`Config::max_bans`] are held, the one that ends soonest, this one included, is forgotten.
    pub fn ban(&mut self, peer: PeerId, duration: Option<Duration>, cx: &mut Cx<'_>) {
        self.set_ban(peer, ends(cx.now, duration), cx);
    }

    /// Lifts a ban, if there is one.
    pub fn unban(&mut self, peer: &PeerId, cx: &mut Cx<'_>) {
        if self.bans.remove(peer) {
            cx.stats.conduct.bans_lifted += 1;
            cx.persist(Row::Peer(PeerRow::Unbanned(*peer)));
        }
    }

    /// All bans held, also those that have ended and wait to be cleared away: whom, until when (milliseconds since the Unix
    /// epoch; `u64::MAX` = until unbanned), the one that ends soonest first.
    pub fn bans(&self) -> impl Iterator<Item = (PeerId, u64)> {
        self.bans.iter()
    }

    /// Remembers that a peer was refused and told when to come back, at most [`MAX_SOFT`] later. No ban: until then it is
    /// merely refused without a look at its hello.
    pub fn refuse_softly(&mut self, peer: PeerId, wait: Duration, cx: &mut Cx<'_>) {
        let now = cx.now.mono;
        while self.soft.pop_until(&now).is_some() {}
        cx.stats.conduct.soft_refusals += 1;
        if let Some(until) = now.checked_add(wait.min(MAX_SOFT))
            && self.soft.set(peer, until).is_some()
        {
            cx.stats.conduct.soft_evicted += 1;
        }
    }

    /// How much longer a softly refused peer was asked to stay away; `None` = it may come.
    #[must_use]
    pub fn refused_softly(&self, peer: &PeerId, now: Now) -> Option<Duration> {
        let wait = self.soft.get(peer)?.saturating_duration_since(now.mono);
        (!wait.is_zero()).then_some(wait)
    }

    fn set_ban(&mut self, peer: PeerId, until_unix_ms: u64, cx: &mut Cx<'_>) {
        cx.stats.conduct.bans += 1;
        self.bans.restore(peer, until_unix_ms);
        cx.persist(Row::Peer(PeerRow::Banned {
            peer,
            until_unix_ms,
        }));
        self.clear_bans(cx);
    }

    /// Forgets the bans that have ended (each new ban is the occasion: until then they merely count no more), then those that
    /// end soonest while there are too many.
    fn clear_bans(&mut self, cx: &mut Cx<'_>) {
        while let Some(peer) = self.bans.pop_until(&cx.now.unix_ms) {
            cx.stats.conduct.bans_expired += 1;
            cx.persist(Row::Peer(PeerRow::Unbanned(peer)));
        }
        while let Some(peer) = self.bans.pop_excess() {
            cx.stats.conduct.bans_evicted += 1;
            cx.persist(Row::Peer(PeerRow::Unbanned(peer)));
        }
    }
}

/// When a ban that begins now ends, milliseconds since the Unix epoch.
fn ends(now: Now, duration: Option<Duration>) -> u64 {
    duration.map_or(u64::MAX, |duration| {
        let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        now.unix_ms.saturating_add(ms)
    })
}

#[cfg(test)]
mod tests;
