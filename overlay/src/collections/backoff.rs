//! How long to wait before the next attempt.

use std::time::Duration;

use rand::{Rng, RngExt as _};

/// Waits that double from `min` up to `max`, each a random quarter shorter or longer, so that nodes that failed together do
/// not come back together. (Doubling with jitter as in Brooker, "Exponential Backoff and Jitter", 2015; a quarter is a guess
/// that keeps logs readable.)
#[derive(Clone, Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    /// The first wait is about `min`, the longest about `max` (`min` counts when it is the longer one).
    #[must_use]
    pub fn new(min: Duration, max: Duration) -> Self {
        Self {
            min,
            max: max.max(min),
            failures: 0,
        }
    }

    /// Another attempt failed: how long to wait now. Between 3/4 of `min` and 5/4 of `max`.
    pub fn next_wait(&mut self, rng: &mut impl Rng) -> Duration {
        let factor = 1u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        self.failures = self.failures.saturating_add(1);
        let step = self.min.saturating_mul(factor).min(self.max);
        let spread = u64::try_from((step / 4).as_nanos()).unwrap_or(u64::MAX / 2);
        let jitter = rng.random_range(0..=spread.saturating_mul(2));
        (step - step / 4).saturating_add(Duration::from_nanos(jitter))
    }

    /// An attempt succeeded: the next wait is about `min` again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Waits given since the last success.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand::rngs::ChaCha12Rng;

    #[test]
    fn doubles_up_to_the_longest_and_starts_again() {
        let mut rng = ChaCha12Rng::from_seed([1; 32]);
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            let wait = backoff.next_wait(&mut rng).as_millis();
            assert!((seconds * 750..=seconds * 1250).contains(&wait), "{wait}");
        }
        assert_eq!(backoff.failures(), 8);
        backoff.reset();
        assert!(backoff.next_wait(&mut rng) <= Duration::from_millis(1250));
    }

    #[test]
    fn two_nodes_do_not_wait_alike() {
        let waits = [1, 2].map(|seed| {
            Backoff::new(Duration::from_secs(1), Duration::from_secs(60))
                .next_wait(&mut ChaCha12Rng::from_seed([seed; 32]))
        });
        assert_ne!(waits[0], waits[1]);
    }

    proptest! {
        #[test]
        fn any_bounds_and_any_number_of_failures_are_safe(
            min in any::<Duration>(), max in any::<Duration>(), failures in any::<u32>(), seed in any::<[u8; 32]>(),
        ) {
            let mut backoff = Backoff::new(min, max);
            backoff.failures = failures;
            let wait = backoff.next_wait(&mut ChaCha12Rng::from_seed(seed));
            prop_assert!(wait >= min - min / 4);
            let longest = min.max(max);
            prop_assert!(wait <= longest.saturating_add(longest / 4));
        }
    }
}
