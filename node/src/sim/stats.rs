//! Means over seeds and how sure they are.

use rand::rngs::ChaCha12Rng;
use rand::{RngExt as _, SeedableRng as _};

/// Resamples of a bootstrap: the ends of a 95 % interval rest on 50 of them each.
const RESAMPLES: usize = 2000;
/// The share of resamples below and above the interval.
const TAIL: f64 = 0.025;

/// A mean and the interval that holds the true one with 95 % confidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Estimate {
    pub(crate) mean: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// Bootstraps means of a certain number of values: the percentile method, with the same resamples at every call, so that the same
/// values give the same interval.
#[derive(Debug)]
pub(crate) struct Bootstrap {
    /// One row of places for each resample.
    places: Vec<u32>,
    values: usize,
}

impl Bootstrap {
    /// For `values` values.
    pub(crate) fn new(values: usize) -> Self {
        let mut rng = ChaCha12Rng::seed_from_u64(values as u64);
        let places = if values < 2 {
            Vec::new()
        } else {
            let most = u32::try_from(values).unwrap_or(u32::MAX);
            (0..RESAMPLES * values)
                .map(|_| rng.random_range(0..most))
                .collect()
        };
        Self { places, values }
    }

    /// The mean of as many values as the bootstrap was made for, with its interval; one value has no width.
    ///
    /// # Panics
    /// The number of values is another.
    pub(crate) fn estimate(&self, values: &[f64]) -> Estimate {
        assert_eq!(values.len(), self.values, "made for another number");
        let mean = mean(values);
        if values.len() < 2 {
            return Estimate {
                mean,
                low: mean,
                high: mean,
            };
        }
        let mut means: Vec<f64> = self
            .places
            .chunks_exact(self.values)
            .map(|row| row.iter().map(|place| values[*place as usize]).sum::<f64>())
            .map(|sum| sum / self.values as f64)
            .collect();
        means.sort_by(f64::total_cmp);
        Estimate {
            mean,
            low: quantile(&means, TAIL),
            high: quantile(&means, 1.0 - TAIL),
        }
    }
}

/// The mean of values with its interval.
pub(crate) fn estimate(values: &[f64]) -> Estimate {
    Bootstrap::new(values.len()).estimate(values)
}

/// The arithmetic mean; not a number when there is nothing.
pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The value that a fraction `q` of sorted values does not exceed, between neighbors in proportion.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let at = q * (sorted.len() - 1) as f64;
    let (below, part) = (at.floor() as usize, at.fract());
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * part
}

/// Probability of `hits` in `trials` with probability `p` each.
pub(crate) fn binomial(trials: u64, p: f64, hits: u64) -> f64 {
    if hits > trials {
        return 0.0;
    }
    if p <= 0.0 || p >= 1.0 {
        let certain = if p <= 0.0 { 0 } else { trials };
        return f64::from(u8::from(hits == certain));
    }
    let (n, k) = (trials as f64, hits as f64);
    let log = ln_factorial(trials) - ln_factorial(hits) - ln_factorial(trials - hits)
        + k * p.ln()
        + (n - k) * (-p).ln_1p();
    log.exp()
}

/// ln n!: exact sums for small n, Stirling's series above.
fn ln_factorial(n: u64) -> f64 {
    if n < 64 {
        return (2..=n).map(|k| (k as f64).ln()).sum();
    }
    let n = n as f64;
    n * n.ln() - n + 0.5 * (std::f64::consts::TAU * n).ln() + 1.0 / (12.0 * n)
        - 1.0 / (360.0 * n * n * n)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of known mean and spread: the interval is mean +- 1.96 s / sqrt(n), with s over n as the bootstrap has it.
    #[test]
    fn the_interval_has_the_width_of_the_theory() {
        let values: Vec<f64> = (0..100).map(f64::from).collect();
        let found = estimate(&values);
        let spread = (values.iter().map(|v| (v - 49.5) * (v - 49.5)).sum::<f64>() / 100.0).sqrt();
        let half = 1.96 * spread / 10.0;
        assert!((found.mean - 49.5).abs() < 1e-9);
        assert!(
            (found.low - (49.5 - half)).abs() < 0.05 * half * 2.0,
            "{found:?} {half}"
        );
        assert!(
            (found.high - (49.5 + half)).abs() < 0.05 * half * 2.0,
            "{found:?} {half}"
        );
    }

    #[test]
    fn the_interval_holds_the_true_mean_about_nineteen_times_in_twenty() {
        let mut rng = ChaCha12Rng::seed_from_u64(7);
        let bootstrap = Bootstrap::new(20);
        let trials = 300;
        let held = (0..trials)
            .filter(|_| {
                // Twelve uniform draws: nearly normal, mean 6.
                let values: Vec<f64> = (0..20)
                    .map(|_| (0..12).map(|_| rng.random_range(0.0..1.0)).sum())
                    .collect();
                let found = bootstrap.estimate(&values);
                (found.low..=found.high).contains(&6.0)
            })
            .count();
        // The percentile method is a little narrow at twenty values: 92 to 93 %.
        let fraction = held as f64 / f64::from(trials);
        assert!((0.89..=0.97).contains(&fraction), "{fraction}");
    }

    #[test]
    fn the_same_values_give_the_same_interval() {
        let values = [0.3, 0.31, 0.29, 0.33];
        assert_eq!(estimate(&values), estimate(&values));
        assert_eq!(
            estimate(&[0.5]),
            Estimate {
                mean: 0.5,
                low: 0.5,
                high: 0.5
            }
        );
        let same = estimate(&[2.0; 20]);
        assert_eq!((same.low, same.high), (2.0, 2.0));
    }

    #[test]
    fn binomial_probabilities() {
        assert!((binomial(4, 0.5, 2) - 0.375).abs() < 1e-12);
        assert!((binomial(10, 0.1, 0) - 0.9f64.powi(10)).abs() < 1e-12);
        let sum: f64 = (0..=1000).map(|k| binomial(1000, 0.04, k)).sum();
        assert!((sum - 1.0).abs() < 1e-9, "{sum}");
        assert_eq!(binomial(5, 0.0, 0), 1.0);
        assert_eq!(binomial(5, 1.0, 5), 1.0);
        assert_eq!(binomial(5, 1.0, 4), 0.0);
        assert_eq!(binomial(5, 0.5, 6), 0.0);
    }

    #[test]
    fn quantiles_lie_between_neighbors() {
        assert_eq!(quantile(&[1.0, 2.0, 3.0], 0.5), 2.0);
        assert_eq!(quantile(&[1.0, 2.0], 0.25), 1.25);
        assert_eq!(quantile(&[4.0], 0.975), 4.0);
    }
}
