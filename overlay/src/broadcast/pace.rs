//! How long to wait for a push before asking, and how much to ask for at a time.
//!
//! Plumtree (Leitao, Pereira, Rodrigues, SRDS 2007) asks after a fixed time, so that a backlog, where everything is late, is
//! pulled a second time. Here an id is asked for when its time is up (round trip + usual lag + 4 deviations, as RFC 6298 does
//! for retransmission) *and* either ids announced well after it have arrived in the meantime, or nothing new arrives at all. The
//! first is the evidence that RACK (RFC 8985) uses, with its reordering window that grows when an ask turns out to be
//! needless. The number of open asks is a window that grows with useful answers and halves with needless asks.

use std::time::{Duration, Instant};

use super::Config;
use crate::collections::Smoothed;

const WINDOW_START: u32 = 64;
const WINDOW_MIN: u32 = 8;
const WINDOW_MAX: u32 = 1024;
const REORDER_MIN: Duration = Duration::from_millis(5);
const REORDER_MAX: Duration = Duration::from_secs(2);
/// After this long without a needless ask the reordering window halves.
const REORDER_CALM: Duration = Duration::from_secs(10);
/// Needless asks this close together count as one.
const ONE_MISTAKE: Duration = Duration::from_millis(20);
/// This long after a needless ask, what is late is taken to be queued.
const HASTY: Duration = Duration::from_secs(1);
/// Announced this long ago, an id is asked for however much else arrives.
const HARD_WAIT: Duration = Duration::from_secs(3);
/// Where nothing new has come for longer than is usual between two messages, what was under way has come, and a queue's length says nothing
/// any more. At least this, since messages of one burst come close together. A guess, measured with `devnet`.
const QUIET_MIN: Duration = Duration::from_millis(100);
/// Bounds of the wait for an answer before the first doubling.
const ANSWER_MIN: Duration = Duration::from_millis(40);
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// The state of the estimate. See the head of this file.
#[derive(Debug)]
pub(super) struct Pace {
    /// From an announcement to the push.
    lag: Smoothed,
    /// From an ask to its answer.
    answer: Smoothed,
    /// From one new message to the next.
    gap: Smoothed,
    reorder: Duration,
    window: u32,
    /// Time of announcement of the latest-announced message that has arrived.
    front: Option<Instant>,
    last_new: Option<Instant>,
    last_needless: Option<Instant>,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            lag: Smoothed::new(Duration::from_millis(10)),
            answer: Smoothed::new(Duration::from_millis(25)),
            gap: Smoothed::new(Duration::from_secs(1)),
            reorder: REORDER_MIN,
            window: WINDOW_START,
            front: None,
            last_new: None,
            last_needless: None,
        }
    }
}

impl Pace {
    /// How long to wait for a push after an announcement by a link of this round trip.
    pub(super) fn delay(&self, rtt: Duration, config: &Config) -> Duration {
        (rtt + self.lag.bound()).clamp(config.ask_floor, config.ask_ceiling)
    }

    /// When to ask for what was announced at `first`; up to `now` = now, later = look again then.
    pub(super) fn ask_at(
        &self,
        first: Instant,
        rtt: Duration,
        now: Instant,
        config: &Config,
    ) -> Instant {
        let delay = self.delay(rtt, config);
        if now < first + delay || now >= first + HARD_WAIT {
            return first + delay;
        }
        let ahead = first + self.reorder.max(delay);
        let overtaken = self.front.is_some_and(|front| front >= ahead);
        let quiet = delay.min(self.gap.bound().max(QUIET_MIN));
        let quiet_at = self.last_new.map_or(now, |at| at + quiet);
        if overtaken || now >= quiet_at {
            return now;
        }
        quiet_at.min(now + config.ask_floor)
    }

    /// How long to wait for an answer from a link that takes at least `least`.
    pub(super) fn answer_wait(&self, least: Duration) -> Duration {
        self.answer.bound().max(least).clamp(ANSWER_MIN, ANSWER_MAX)
    }

    /// How many asks may be open.
    pub(super) const fn window(&self) -> u32 {
        self.window
    }

    /// We asked for something needlessly just now.
    pub(super) fn was_hasty(&self, now: Instant) -> bool {
        let lately = |at: Instant| now.saturating_duration_since(at) < HASTY;
        self.last_needless.is_some_and(lately)
    }

    /// A message first announced at `first` was pushed.
    pub(super) fn pushed(&mut self, first: Instant, now: Instant) {
        self.lag.sample(now.saturating_duration_since(first));
        self.arrived(first, now);
    }

    /// An answer took this long.
    pub(super) fn answered(&mut self, time: Duration) {
        self.answer.sample(time);
    }

    /// A message first announced at `first` came because it was asked for.
    pub(super) fn useful(&mut self, first: Instant, now: Instant) {
        self.arrived(first, now);
        self.window = (self.window + 1).min(WINDOW_MAX);
        if let Some(at) = self.last_needless
            && now.saturating_duration_since(at) >= REORDER_CALM
        {
            self.reorder = (self.reorder / 2).max(REORDER_MIN);
            self.last_needless = (self.reorder > REORDER_MIN).then_some(now);
        }
    }

    fn arrived(&mut self, first: Instant, now: Instant) {
        if let Some(last) = self.last_new.replace(now) {
            self.gap.sample(now.saturating_duration_since(last));
        }
        self.front = self.front.max(Some(first));
    }

    /// A message was asked for although its push was on the way.
    pub(super) fn needless(&mut self, now: Instant) {
        let same = |at: Instant| now.saturating_duration_since(at) < ONE_MISTAKE;
        if !self.last_needless.is_some_and(same) {
            self.reorder = (self.reorder * 2).min(REORDER_MAX);
            self.window = (self.window / 2).max(WINDOW_MIN);
        }
        self.last_needless = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    const RTT: Duration = Duration::from_millis(20);

    /// After so many messages, announced every so many milliseconds and pushed so many after that.
    fn pushed(start: Instant, messages: u32, every: u64, lag: u64) -> Pace {
        let mut pace = Pace::default();
        for n in 0..messages {
            let first = start + Duration::from_millis(every) * n;
            pace.pushed(first, first + Duration::from_millis(lag));
        }
        pace
    }

    /// A queue in which messages come every 10 ms, each 800 ms after it was announced.
    #[test]
    fn what_a_queue_has_left_out_is_asked_for_when_it_has_run_dry() {
        let (config, rtt, start) = (Config::default(), RTT, Bench::new(0).now.mono);
        let ms = |ms: u64| start + Duration::from_millis(ms);
        let pace = pushed(start, 100, 10, 800);
        let last = 10 * 99 + 800;
        // Announced in the midst of it, and not here: by its lag alone it would be waited for until now.
        let first = ms(850);
        assert!(pace.delay(rtt, &config) >= Duration::from_millis(800));
        let now = ms(850 + 1000);
        let at = pace.ask_at(first, rtt, now, &config);
        assert!(at > now && at <= ms(last + 100), "{at:?}");
        let now = ms(last + 100);
        assert_eq!(pace.ask_at(first, rtt, now, &config), now);
    }

    /// Where a message comes now and then, silence says nothing.
    #[test]
    fn a_pause_between_messages_that_are_seldom_is_no_end() {
        let (config, rtt, start) = (Config::default(), RTT, Bench::new(0).now.mono);
        let ms = |ms: u64| start + Duration::from_millis(ms);
        let pace = pushed(start, 50, 2000, 900);
        let delay = pace.delay(rtt, &config);
        assert!(delay >= Duration::from_millis(900));
        let last = ms(2000 * 49 + 900);
        let first = last - Duration::from_millis(1);
        // A little after its lag is up, but not yet so long after the last message.
        let now = first + delay;
        let at = pace.ask_at(first, rtt, now, &config);
        assert!(at > now && at <= last + delay);
    }
}
