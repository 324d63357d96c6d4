//! A budget that refills with time.

use std::time::{Duration, Instant};

/// A token bucket: starts full, refills steadily, never holds more than its capacity.
///
/// Over any span of `t` seconds it gives out at most `capacity + rate * t` tokens. The arithmetic is exact (no rounding
/// error adds up, however often it is asked) and saturating. A clock that stands still or goes back refills nothing.
#[derive(Clone, Debug)]
pub struct TokenBucket {
    /// Parts held: one token is as many parts as its period has nanoseconds.
    parts: u128,
    capacity: u64,
    /// Tokens per period.
    rate: u64,
    /// Nanoseconds of the period, at least 1.
    period: u64,
    refilled: Instant,
}

impl TokenBucket {
    /// A full bucket of `capacity` tokens that gains `per_sec` tokens a second; 0 = never.
    #[must_use]
    pub fn new(capacity: u64, per_sec: u64, now: Instant) -> Self {
        Self::per(capacity, per_sec, Duration::from_secs(1), now)
    }

    /// A full bucket of `capacity` tokens that gains `rate` tokens every `period` (at least a nanosecond), steadily. For
    /// rates below one a second.
    #[must_use]
    pub fn per(capacity: u64, rate: u64, period: Duration, now: Instant) -> Self {
        let period = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX).max(1);
        Self {
            parts: u128::from(capacity) * u128::from(period),
            capacity,
            rate,
            period,
            refilled: now,
        }
    }

    /// Takes `n` tokens, all or none; returns whether it did. More than the capacity is never to be had.
    pub fn take(&mut self, n: u64, now: Instant) -> bool {
        self.parts = self.parts_at(now);
        self.refilled = self.refilled.max(now);
        match self.parts.checked_sub(self.price(n)) {
            Some(rest) => {
                self.parts = rest;
                true
            }
            None => false,
        }
    }

    /// Whole tokens to be had at `now`.
    #[must_use]
    pub fn available(&self, now: Instant) -> u64 {
        u64::try_from(self.parts_at(now) / u128::from(self.period)).unwrap_or(u64::MAX)
    }

    /// Whether nothing is missing at `now`.
    #[must_use]
    pub fn is_full(&self, now: Instant) -> bool {
        self.parts_at(now) == self.price(self.capacity)
    }

    /// When `n` tokens will be there if none are taken before; in the past when they are there already, `None` when they
    /// never will be.
    #[must_use]
    pub fn ready_at(&self, n: u64) -> Option<Instant> {
        if n > self.capacity {
            return None;
        }
        let missing = self.price(n).saturating_sub(self.parts);
        if missing == 0 {
            return Some(self.refilled);
        }
        if self.rate == 0 {
            return None;
        }
        let nanos = u64::try_from(missing.div_ceil(u128::from(self.rate))).ok()?;
        self.refilled.checked_add(Duration::from_nanos(nanos))
    }

    fn price(&self, n: u64) -> u128 {
        u128::from(n) * u128::from(self.period)
    }

    fn parts_at(&self, now: Instant) -> u128 {
        let nanos = now.saturating_duration_since(self.refilled).as_nanos();
        nanos
            .saturating_mul(u128::from(self.rate))
            .saturating_add(self.parts)
            .min(self.price(self.capacity))
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any origin of time will do")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn gives_its_capacity_then_its_rate() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(3, 2, start);
        assert!(bucket.is_full(start));
        assert!(bucket.take(3, start));
        assert!(!bucket.take(1, start));
        assert!(!bucket.is_full(start + Duration::from_millis(1499)));
        assert!(bucket.is_full(start + Duration::from_millis(1500)));
        assert_eq!(bucket.ready_at(1), Some(start + Duration::from_millis(500)));
        assert!(!bucket.take(1, start + Duration::from_millis(499)));
        assert!(bucket.take(1, start + Duration::from_millis(500)));
        assert_eq!(bucket.available(start + Duration::from_secs(3600)), 3);
        assert!(!bucket.take(4, start + Duration::from_secs(3600)));
        assert_eq!(bucket.ready_at(4), None);
    }

    #[test]
    fn slow_rates_lose_nothing_to_rounding() {
        let start = Instant::now();
        let mut bucket = TokenBucket::per(1, 1, Duration::from_secs(10), start);
        assert!(bucket.take(1, start));
        for ms in (0..9_999).step_by(7) {
            assert!(!bucket.take(1, start + Duration::from_millis(ms)));
        }
        assert!(bucket.take(1, start + Duration::from_secs(10)));
    }

    #[test]
    fn extremes_neither_panic_nor_overflow() {
        let start = Instant::now();
        let far = start + Duration::from_secs(1 << 33);
        let mut bucket = TokenBucket::per(u64::MAX, u64::MAX, Duration::MAX, start);
        assert!(bucket.take(u64::MAX, start));
        assert!(!bucket.take(1, start));
        assert!(bucket.take(1, far));
        let mut never = TokenBucket::new(1, 0, start);
        assert!(never.take(1, start));
        assert!(!never.take(1, far));
        assert_eq!(never.ready_at(1), None);
        let mut back = TokenBucket::new(1, 1, far);
        assert!(back.take(1, start), "the clock went back");
        assert!(!back.take(1, start));
    }

    proptest! {
        #[test]
        fn never_gives_more_than_capacity_and_rate(
            capacity in 0u64..50,
            rate in 0u64..50,
            steps in prop::collection::vec((0u64..2_000, 0u64..20), 1..100),
        ) {
            let start = Instant::now();
            let (mut now, mut given) = (start, 0);
            let mut bucket = TokenBucket::new(capacity, rate, start);
            for (ms, n) in steps {
                now += Duration::from_millis(ms);
                let available = bucket.available(now);
                let ready = bucket.ready_at(n).is_some_and(|at| at <= now);
                prop_assert_eq!(available >= n, ready);
                let took = bucket.take(n, now);
                prop_assert_eq!(took, available >= n);
                if took {
                    given += n;
                    prop_assert_eq!(bucket.available(now), available - n);
                }
                let most = u128::from(capacity) * 1000 + u128::from(rate) * (now - start).as_millis();
                prop_assert!(u128::from(given) * 1000 <= most);
            }
        }
    }
}
