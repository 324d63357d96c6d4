//! A ceiling on bytes per second, shared by any number of tasks.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What may go at once after a pause, as time at the full rate. A guess: half a second smooths a burst of publishes.
const BURST: Duration = Duration::from_millis(500);

/// Lets bytes through at a rate; whoever comes too early waits, in the order of arrival (the generic cell rate algorithm).
#[derive(Debug)]
pub(crate) struct Bandwidth {
    /// Bytes per second.
    rate: u64,
    /// When everything let through so far has been paid for.
    paid_at: Mutex<Instant>,
}

impl Bandwidth {
    /// A ceiling of `rate` bytes per second, at least 1.
    pub(crate) fn new(rate: u64) -> Self {
        Self {
            rate: rate.max(1),
            paid_at: Mutex::new(Instant::now()),
        }
    }

    /// Counts `bytes` and waits until they are within the rate. A dropped future has counted them all the same.
    pub(crate) async fn take(&self, bytes: usize) {
        let wait = self.count(bytes, Instant::now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    /// Counts `bytes` that go at once; whoever comes next waits for them as well.
    pub(crate) fn charge(&self, bytes: usize) {
        self.count(bytes, Instant::now());
    }

    fn count(&self, bytes: usize, now: Instant) -> Duration {
        let nanos = (bytes as u64).saturating_mul(1_000_000_000) / self.rate;
        let mut paid_at = self.paid_at.lock().unwrap_or_else(PoisonError::into_inner);
        let start = (*paid_at).max(now);
        *paid_at = start
            .checked_add(Duration::from_nanos(nanos))
            .unwrap_or(start);
        paid_at.saturating_duration_since(now).saturating_sub(BURST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_and_then_the_rate_holds() {
        let ceiling = Bandwidth::new(1000);
        let begun = Instant::now();
        ceiling.take(500).await;
        assert_eq!(
            begun.elapsed(),
            Duration::ZERO,
            "half a second's worth at once"
        );
        for _ in 0..10 {
            ceiling.take(100).await;
        }
        assert!(begun.elapsed() >= Duration::from_millis(1000));
        assert!(begun.elapsed() < Duration::from_millis(1020));
    }

    #[tokio::test(start_paused = true)]
    async fn what_goes_at_once_is_paid_for_by_the_rest() {
        let ceiling = Bandwidth::new(1000);
        let begun = Instant::now();
        ceiling.charge(2000);
        assert_eq!(begun.elapsed(), Duration::ZERO);
        ceiling.take(1).await;
        assert!(begun.elapsed() >= Duration::from_millis(1500));
    }

    #[tokio::test(start_paused = true)]
    async fn time_without_traffic_is_not_saved_up() {
        let ceiling = Bandwidth::new(1000);
        tokio::time::sleep(Duration::from_secs(60)).await;
        let begun = Instant::now();
        ceiling.take(1500).await;
        assert!(begun.elapsed() >= Duration::from_millis(1000));
    }

    #[tokio::test(start_paused = true)]
    async fn extreme_numbers_do_not_overflow() {
        let ceiling = Bandwidth::new(0);
        let now = Instant::now();
        assert!(ceiling.count(usize::MAX, now) > Duration::ZERO);
        assert!(ceiling.count(usize::MAX, now) > Duration::ZERO);
    }
}
