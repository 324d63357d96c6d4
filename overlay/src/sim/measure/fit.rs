//! Whether counts look as a distribution says: Pearson's chi-square, the binomial distribution, total variation.

use std::collections::BTreeMap;

use super::special::{beta_pair, binomial_density, gamma_q};

/// Pearson's statistic and what it says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChiSquare {
    /// Sum over bins of (observed - expected)^2 / expected.
    pub statistic: f64,
    /// Degrees of freedom: bins less one.
    pub degrees: f64,
    /// Probability of a statistic at least as large if the expectation is right. Very small: the counts are uneven. Very close to 1: they
    /// are more even than chance makes them.
    pub p: f64,
}

impl ChiSquare {
    pub(super) fn new(statistic: f64, degrees: f64) -> Self {
        Self {
            statistic,
            degrees,
            p: gamma_q(degrees / 2.0, statistic / 2.0),
        }
    }
}

/// Counts against expected counts, bin by bin; `None` where their numbers differ, there are fewer than two bins or an expectation is
/// not above 0. The distribution of the statistic is only known well where about 5 or more are expected in each bin.
#[must_use]
pub fn chi_square(observed: &[u64], expected: &[f64]) -> Option<ChiSquare> {
    if observed.len() != expected.len()
        || observed.len() < 2
        || expected.iter().any(|e| e.is_nan() || *e <= 0.0)
    {
        return None;
    }
    let statistic = observed
        .iter()
        .zip(expected)
        .map(|(o, e)| (*o as f64 - e).powi(2) / e)
        .sum();
    Some(ChiSquare::new(statistic, (observed.len() - 1) as f64))
}

/// Counts against all bins alike; `None` of fewer than two bins or no counts.
#[must_use]
pub fn chi_square_uniform(observed: &[u64]) -> Option<ChiSquare> {
    let total: u64 = observed.iter().sum();
    let each = total as f64 / observed.len().max(1) as f64;
    chi_square(observed, &vec![each; observed.len()])
}

/// Probability of exactly `k` successes in `n` trials with probability `p` (0 to 1) each.
#[must_use]
pub fn binomial_pmf(n: u64, p: f64, k: u64) -> f64 {
    if k > n {
        return 0.0;
    }
    binomial_density(k as f64, n as f64, p, 1.0 - p)
}

/// Probability of at most `k` successes in `n` trials.
#[must_use]
pub fn binomial_cdf(n: u64, p: f64, k: u64) -> f64 {
    if k >= n {
        return 1.0;
    }
    beta_pair(k as f64 + 1.0, (n - k) as f64, p).1
}

/// Probability of `k` or more successes in `n` trials.
#[must_use]
pub fn binomial_tail(n: u64, p: f64, k: u64) -> f64 {
    if k == 0 {
        return 1.0;
    }
    if k > n {
        return 0.0;
    }
    beta_pair(k as f64, (n - k) as f64 + 1.0, p).0
}

/// Twice the smaller tail at `k`, at most 1: the two-sided significance of `k` successes in `n` trials.
#[must_use]
pub fn binomial_two_sided(n: u64, p: f64, k: u64) -> f64 {
    (2.0 * binomial_cdf(n, p, k).min(binomial_tail(n, p, k))).min(1.0)
}

/// Half the sum of differences between a histogram (value to how many have it) and Binomial(n, p): 0 the same, 1 disjoint. `None` of an
/// empty histogram.
///
/// A finite sample of the binomial itself does not give 0: about sqrt(support / (2 pi samples)).
#[must_use]
pub fn total_variation_to_binomial(histogram: &BTreeMap<u64, u64>, n: u64, p: f64) -> Option<f64> {
    let total: u64 = histogram.values().sum();
    if total == 0 {
        return None;
    }
    // Where the histogram has nothing, the difference is the probability itself: so only its bins are visited.
    let (mut differences, mut covered) = (0.0, 0.0);
    for (value, count) in histogram {
        let expected = binomial_pmf(n, p, *value);
        covered += expected;
        differences += (*count as f64 / total as f64 - expected).abs();
    }
    Some(0.5 * (differences + (1.0 - covered).max(0.0)))
}

/// How many have which value.
#[must_use]
pub fn histogram(values: &[u32]) -> BTreeMap<u64, u64> {
    let mut counts = BTreeMap::new();
    for value in values {
        *counts.entry(u64::from(*value)).or_insert(0) += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand::rngs::ChaCha12Rng;

    fn close(measured: f64, exact: f64) {
        assert!(
            (measured - exact).abs() <= 1e-10 * exact,
            "{measured} against {exact}"
        );
    }

    // The exact values were computed with 40 digits.

    #[test]
    fn significance_at_known_points() {
        close(ChiSquare::new(3.841_458_820_694_124, 1.0).p, 0.05);
        close(
            ChiSquare::new(1_073.642_8, 999.0).p,
            0.049_999_671_550_212_24,
        );
        close(ChiSquare::new(10.0, 10.0).p, 0.440_493_285_065_212_4);
        // A die thrown 60 times, worked out by hand: (25+4+4+4+9+0)/10.
        let die = chi_square_uniform(&[5, 8, 12, 8, 13, 14]).unwrap();
        assert!((die.statistic - 6.2).abs() < 1e-12);
        assert_eq!(die.degrees, 5.0);
    }

    #[test]
    fn what_cannot_be_tested_gives_nothing() {
        assert_eq!(chi_square(&[1, 2], &[1.0]), None);
        assert_eq!(chi_square(&[1, 2], &[3.0, 0.0]), None);
        assert_eq!(chi_square_uniform(&[7]), None);
        assert_eq!(chi_square_uniform(&[0, 0]), None);
        assert_eq!(total_variation_to_binomial(&BTreeMap::new(), 3, 0.5), None);
    }

    #[test]
    fn the_binomial_at_known_points() {
        close(binomial_pmf(10, 0.2, 3), 0.201_326_592);
        close(binomial_pmf(1_000, 0.03, 30), 0.073_748_997_834_264_74);
        close(binomial_pmf(1_000, 0.03, 0), 5.911_997_833_620_089e-14);
        close(binomial_pmf(999, 20.0 / 999.0, 20), 0.089_737_985_601_752_3);
        close(
            binomial_pmf(1_000_000, 1e-6, 5),
            0.003_065_645_148_627_909_6,
        );
        close(
            binomial_pmf(100_000, 0.5, 50_200),
            0.001_133_720_339_298_455_6,
        );
        close(
            binomial_tail(100_000, 0.5, 50_300),
            0.029_098_676_555_096_87,
        );
        close(binomial_tail(1_000, 0.03, 45), 0.005_559_033_343_866_463);
        close(binomial_tail(1_000_000, 1e-6, 5), 0.003_659_823_834_902_27);
        assert_eq!(binomial_pmf(3, 0.5, 4), 0.0);
        assert_eq!(
            (binomial_pmf(3, 0.0, 0), binomial_pmf(3, 1.0, 3)),
            (1.0, 1.0)
        );
    }

    #[test]
    fn total_variation_is_nil_for_the_same_and_one_for_what_cannot_be() {
        let scale = 1e15;
        let same: BTreeMap<u64, u64> = (0..=20)
            .map(|k| (k, (binomial_pmf(20, 0.3, k) * scale) as u64))
            .collect();
        assert!(total_variation_to_binomial(&same, 20, 0.3).unwrap() < 1e-9);
        let never = BTreeMap::from([(21, 5)]);
        assert!((total_variation_to_binomial(&never, 20, 0.3).unwrap() - 1.0).abs() < 1e-12);
        // All at 0 against a fair coin thrown once.
        let half = BTreeMap::from([(0, 9)]);
        assert!((total_variation_to_binomial(&half, 1, 0.5).unwrap() - 0.5).abs() < 1e-12);
    }

    #[test]
    fn a_fair_source_passes_and_a_loaded_one_fails() {
        let mut rng = ChaCha12Rng::seed_from_u64(1);
        let mut counts = [0u64; 50];
        for _ in 0..5_000 {
            counts[rng.random_range(0..50)] += 1;
        }
        let fair = chi_square_uniform(&counts).unwrap();
        assert!((0.001..0.999).contains(&fair.p), "{fair:?}");
        counts[7] += 100;
        assert!(chi_square_uniform(&counts).unwrap().p < 0.001);
        assert!(
            chi_square_uniform(&[100; 50]).unwrap().p > 0.999,
            "too even"
        );
    }

    #[test]
    fn significance_is_itself_uniform() {
        // The share of fair experiments with p below a level is that level.
        let mut rng = ChaCha12Rng::seed_from_u64(2);
        let (runs, mut below) = (400, 0u64);
        for _ in 0..runs {
            let mut counts = [0u64; 10];
            for _ in 0..200 {
                counts[rng.random_range(0..10)] += 1;
            }
            below += u64::from(chi_square_uniform(&counts).unwrap().p < 0.1);
        }
        assert!(
            binomial_two_sided(runs, 0.1, below) > 0.001,
            "{below} of {runs} below 0.1"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn the_cdf_is_the_sum_of_the_pmf(n in 1u64..300, p in 0.001f64..0.999, part in 0.0f64..=1.0) {
            let k = (n as f64 * part) as u64;
            let sum: f64 = (0..=k).map(|k| binomial_pmf(n, p, k)).sum();
            prop_assert!((binomial_cdf(n, p, k) - sum).abs() < 1e-11);
            prop_assert!((binomial_cdf(n, p, k) + binomial_tail(n, p, k + 1) - 1.0).abs() < 1e-11);
        }

        #[test]
        fn total_variation_lies_between_nil_and_one(values in proptest::collection::vec(0u32..60, 1..80), n in 1u64..60, p in 0.0f64..=1.0) {
            let distance = total_variation_to_binomial(&histogram(&values), n, p).unwrap();
            prop_assert!((0.0..=1.0 + 1e-9).contains(&distance));
        }
    }
}
