//! What a peer may make us send: what it has earned, and a floor that everybody has.

use std::time::Instant;

use super::TokenBucket;

/// Bytes that may be served to one link on its request.
#[derive(Clone, Debug)]
pub struct Budget {
    earned: u64,
    max_earned: u64,
    floor: TokenBucket,
}

impl Budget {
    /// Nothing earned; the floor is `burst` bytes at once and `per_sec` each second. Earnings are kept up to `max_earned`.
    #[must_use]
    pub fn new(burst: u64, per_sec: u64, max_earned: u64, now: Instant) -> Self {
        Self {
            earned: 0,
            max_earned,
            floor: TokenBucket::new(burst, per_sec, now),
        }
    }

    /// Adds to what was earned.
    pub fn earn(&mut self, bytes: u64) {
        self.earned = self.earned.saturating_add(bytes).min(self.max_earned);
    }

    /// Pays from what was earned, else from the floor; returns whether one of them sufficed.
    pub fn pay(&mut self, bytes: u64, now: Instant) -> bool {
        if let Some(rest) = self.earned.checked_sub(bytes) {
            self.earned = rest;
            return true;
        }
        self.floor.take(bytes, now)
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any origin of time will do")]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_earned_is_paid_first_and_bounded() {
        let start = Instant::now();
        let mut budget = Budget::new(100, 10, 500, start);
        budget.earn(10_000);
        assert!(budget.pay(500, start), "no more is kept");
        assert!(budget.pay(100, start), "the floor");
        assert!(!budget.pay(1, start));
        let later = start + Duration::from_secs(5);
        assert!(budget.pay(50, later) && !budget.pay(1, later));
    }
}
