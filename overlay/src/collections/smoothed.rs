//! A time that is usual, and how far one may be off.

use std::time::Duration;

/// A mean and a deviation after RFC 6298, in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Smoothed {
    mean: u64,
    dev: u64,
}

impl Smoothed {
    /// Nothing measured yet: a mean of 0 and this deviation.
    #[must_use]
    pub const fn new(dev: Duration) -> Self {
        Self {
            mean: 0,
            dev: dev.as_micros() as u64,
        }
    }

    /// Takes a measurement.
    pub fn sample(&mut self, value: Duration) {
        // One outlier must not stretch everything: a value counts as at most twice what is usual so far.
        let usual = 2 * (self.mean + 4 * self.dev) + 20_000;
        let value = u64::try_from(value.as_micros()).map_or(usual, |value| value.min(usual));
        let value = value.min(60_000_000);
        self.dev = (3 * self.dev + self.mean.abs_diff(value)) / 4;
        self.mean = (7 * self.mean + value) / 8;
    }

    /// What is hardly ever exceeded: the mean and four deviations.
    #[must_use]
    pub const fn bound(&self) -> Duration {
        Duration::from_micros(self.mean + 4 * self.dev)
    }
}
