//! Latencies in constant memory, to within 1 %.

use std::time::Duration;

/// Exact below this many microseconds, then so many steps to each doubling.
const STEPS: usize = 128;
/// Doublings beyond the exact range: up to about four hours.
const DOUBLINGS: usize = 27;

/// Counts durations in buckets whose width is at most 1/128 of their value.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: vec![0; STEPS * (DOUBLINGS + 1)],
            count: 0,
            max: Duration::ZERO,
        }
    }
}

impl Histogram {
    pub(super) fn add(&mut self, value: Duration) {
        let micros = usize::try_from(value.as_micros()).unwrap_or(usize::MAX);
        let bucket = bucket_of(micros).min(self.buckets.len() - 1);
        self.buckets[bucket] += 1;
        self.count += 1;
        self.max = self.max.max(value);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    pub(super) fn max_ms(&self) -> f64 {
        self.max.as_secs_f64() * 1e3
    }

    /// The value that a fraction `q` of all does not exceed, milliseconds; 0 when there is none.
    pub(super) fn quantile_ms(&self, q: f64) -> f64 {
        let rank = ((self.count as f64 * q).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return (middle_of(bucket) as f64 / 1e3).min(self.max_ms());
            }
        }
        0.0
    }
}

fn bucket_of(micros: usize) -> usize {
    let doubling = (micros / STEPS)
        .checked_ilog2()
        .map_or(0, |log| log as usize + 1);
    if doubling == 0 {
        return micros;
    }
    // Within the doubling [STEPS << (d-1), STEPS << d) there are STEPS steps.
    let base = STEPS << (doubling - 1);
    doubling * STEPS + (micros - base) / (base / STEPS)
}

fn middle_of(bucket: usize) -> usize {
    let (doubling, step) = (bucket / STEPS, bucket % STEPS);
    if doubling == 0 {
        return step;
    }
    let width = 1 << (doubling - 1);
    (STEPS << (doubling - 1)) + step * width + width / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_lie_end_to_end() {
        let mut last = 0;
        for micros in 0..200_000 {
            let bucket = bucket_of(micros);
            assert!(bucket == last || bucket == last + 1, "{micros}");
            last = bucket;
            let middle = middle_of(bucket);
            assert!(
                middle.abs_diff(micros) * STEPS <= micros.max(STEPS),
                "{micros} {middle}"
            );
        }
    }

    #[test]
    fn quantiles_are_within_one_percent() {
        let mut histogram = Histogram::default();
        for ms in 1..=1000 {
            histogram.add(Duration::from_millis(ms));
        }
        for (q, want) in [(0.5, 500.0), (0.9, 900.0), (0.99, 990.0), (1.0, 1000.0)] {
            let found = histogram.quantile_ms(q);
            assert!((found - want).abs() <= want / 100.0, "{q}: {found}");
        }
        assert!((histogram.max_ms() - 1000.0).abs() < 1e-9);
    }

    #[test]
    fn extremes_fit() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile_ms(0.5), 0.0);
        histogram.add(Duration::MAX);
        histogram.add(Duration::ZERO);
        let mut other = Histogram::default();
        other.merge(&histogram);
        assert_eq!(other.quantile_ms(0.5), 0.0);
        assert!(other.quantile_ms(1.0) > 1e6);
    }
}
