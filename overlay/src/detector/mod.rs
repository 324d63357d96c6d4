//! Who of the neighbors is there, and who is gone: a failure detector after SWIM (Das, Gupta and Motivala 2002) with the local health of
//! Lifeguard (Dadgar, Phillips and Currey 2018) and deadlines from each link's own history (RFC 6298).
//!
//! ```text
//! heard --3.5 s of silence--> probed --no answer--> probed by stream, and by 3 helpers --no answer--> suspected
//!   ^                            |                                 |                                      |
//!   +------- any frame ----------+------------- any frame ---------+------------- any frame --------------+
//!                                                                  suspected --4 to 16 more probes unanswered--> failed
//! ```
//! Every frame over the authenticated link proves that its peer lives, so there is nothing that could be forged to refute a suspicion,
//! and nothing that others say of somebody counts: a look of a neighbor makes us probe by ourselves, and what a helper saw puts the
//! verdict off once. The state is kept for neighbors only; visits end when they are idle.

mod config;
mod health;
mod looks;
mod losses;
mod part;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crypto::PeerId;

pub use config::Config;

use crate::collections::Smoothed;
use crate::input::LinkId;

crate::stats::counters! {
    /// Probes, suspicions, verdicts.
    Counters {
        /// Silent neighbors that were probed.
        probed,
        /// Probes that were not answered in time.
        unanswered,
        /// Neighbors that answered neither of two probes.
        suspected,
        /// Suspected neighbors that were heard again.
        recovered,
        /// Suspected neighbors that answered no probe: given up.
        failed,
        /// Looks asked of helpers.
        looks_asked,
        /// Looks taken for others: the peer is a neighbor, and was probed.
        looks_taken,
        /// Looks not taken: the peer is no neighbor, or too many are under way.
        looks_refused,
        /// Looks answered: the peer was heard.
        looks_answered,
        /// Verdicts put off because a helper had heard the suspect.
        alibis,
        /// Answers of helpers to looks that were not asked, or not any more.
        stray_alibis,
        /// Times the node ran so late that it listened before it judged anybody.
        late,
    }
}

/// The part. At most one watch for each neighbor.
#[derive(Debug, Default)]
pub struct Detector {
    watches: BTreeMap<LinkId, Watch>,
    /// When to look at each.
    due: BTreeSet<(Instant, LinkId)>,
    /// Neighbors that have a probe to answer. Every frame is looked up here, and mostly there are none.
    probed: BTreeSet<LinkId>,
    looks: looks::Looks,
    health: health::Health,
    losses: losses::Losses,
    failed: Vec<LinkId>,
    number: u16,
}

/// What is known of one neighbor.
#[derive(Debug)]
struct Watch {
    peer: PeerId,
    at: Instant,
    /// The round trips of probes.
    answer: Smoothed,
    /// Whoever of both ends probed last lets the other one begin the next time: else both would probe whenever a link falls silent.
    begun_here: bool,
    /// When it last answered a later probe than the first.
    lost: Option<Instant>,
    /// We dialled it.
    chosen: bool,
    /// The probes of the last round that were not answered yet: numbers, and when each was sent. As many as a round has at most.
    asked: Vec<(u16, Instant)>,
    round: Option<Round>,
}

/// From a first probe to an answer, or to the verdict.
#[derive(Debug)]
struct Round {
    /// Probes sent, the first included.
    probes: u8,
    /// The number of the helpers' looks.
    look: u16,
    helpers: Vec<LinkId>,
    suspected: bool,
    /// A helper has heard the suspect.
    alibi: bool,
    /// The verdict was put off for that.
    put_off: bool,
}

impl Detector {
    /// Whether a neighbor has answered neither of two probes.
    #[must_use]
    pub fn is_suspected(&self, link: LinkId) -> bool {
        let round = self.watches.get(&link).and_then(|it| it.round.as_ref());
        round.is_some_and(|round| round.suspected)
    }

    /// Takes the links whose peers are to be given up.
    pub fn take_failed(&mut self) -> Vec<LinkId> {
        std::mem::take(&mut self.failed)
    }

    /// When to look next.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    fn set_due(&mut self, link: LinkId, at: Instant) {
        if let Some(watch) = self.watches.get_mut(&link) {
            self.due.remove(&(watch.at, link));
            watch.at = at;
            self.due.insert((at, link));
        }
    }

    /// How many probes a suspected neighbor gets, between these two numbers, by how much is lost.
    fn last_probes(&self, watch: &Watch, (least, most): (u8, u8), now: Instant) -> u8 {
        let lossy = |watch: &&Watch| losses::lately(watch.lost, now);
        if lossy(&watch) {
            return most;
        }
        let count = self.watches.values().filter(lossy).count();
        let part = self.losses.part(count, self.watches.len(), now);
        least + (f64::from(most - least) * part).round() as u8
    }

    /// How long an answer of this neighbor may take.
    fn patience(&self, link: LinkId, rtt: Duration, now: Instant, config: &Config) -> Duration {
        let (least, most) = config.patience;
        let usual = self.watches.get(&link).map(|watch| watch.answer.bound());
        usual.unwrap_or_default().max(rtt * 2).clamp(least, most) * self.health.stretch(now)
    }
}
