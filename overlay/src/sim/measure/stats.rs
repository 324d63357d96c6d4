//! Means, spreads and intervals of a list of numbers.

use super::special::{normal_quantile, student_quantile};

/// A two-sided interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Arithmetic mean; `None` of nothing.
#[must_use]
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Variance of a population all of whose values are given (divided by their number); `None` of nothing.
#[must_use]
pub fn population_variance(values: &[f64]) -> Option<f64> {
    let mean = mean(values)?;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some(squares / values.len() as f64)
}

/// Unbiased estimate of the variance from a sample (divided by one less than their number); `None` of fewer than two.
#[must_use]
pub fn sample_variance(values: &[f64]) -> Option<f64> {
    if values.len() < 2 {
        return None;
    }
    let n = values.len() as f64;
    population_variance(values).map(|variance| variance * n / (n - 1.0))
}

/// The value below which a fraction `at` (0 to 1) of the values lies, interpolated linearly between neighbours; `None` of nothing,
/// of a fraction out of range, or where a value is not a number.
#[must_use]
pub fn quantile(values: &[f64], at: f64) -> Option<f64> {
    if values.is_empty() || !(0.0..=1.0).contains(&at) || values.iter().any(|v| v.is_nan()) {
        return None;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let position = at * (sorted.len() - 1) as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    let part = position - below as f64;
    Some(sorted[below] * (1.0 - part) + sorted[above] * part)
}

/// The interval that holds the mean of what `values` are drawn from with probability `confidence` (0 to 1), by Student's
/// distribution; `None` of fewer than two values. For runs of one scenario with different seeds.
#[must_use]
pub fn mean_interval(values: &[f64], confidence: f64) -> Option<Interval> {
    let mean = mean(values)?;
    let n = values.len() as f64;
    let error = (sample_variance(values)? / n).sqrt();
    let half = student_quantile(n - 1.0, (1.0 - confidence) / 2.0) * error;
    half.is_finite().then_some(Interval {
        low: mean - half,
        high: mean + half,
    })
}

/// The interval of E. B. Wilson (1927) for the probability of what happened `successes` times in `trials`; `None` of no trials or more
/// successes than trials. Unlike the plain normal interval it is of use at 0 of n.
#[must_use]
pub fn wilson(successes: u64, trials: u64, confidence: f64) -> Option<Interval> {
    if trials == 0 || successes > trials {
        return None;
    }
    let z = normal_quantile((1.0 - confidence) / 2.0);
    if z.is_nan() {
        return None;
    }
    let n = trials as f64;
    let share = successes as f64 / n;
    let scale = 1.0 + z * z / n;
    let centre = (share + z * z / (2.0 * n)) / scale;
    let half = z * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt() / scale;
    Some(Interval {
        low: (centre - half).max(0.0),
        high: (centre + half).min(1.0),
    })
}

/// The fairness index of R. Jain (1984): 1 where all have the same, 1/n where one has all; `None` of nothing or of nothing but zeroes.
#[must_use]
pub fn jain(values: &[f64]) -> Option<f64> {
    let sum: f64 = values.iter().sum();
    let squares: f64 = values.iter().map(|value| value * value).sum();
    (squares > 0.0).then(|| sum * sum / (values.len() as f64 * squares))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn of_a_list_worked_out_by_hand() {
        let values = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0];
        assert_eq!(mean(&values), Some(5.0));
        assert_eq!(population_variance(&values), Some(4.0));
        assert_eq!(sample_variance(&values), Some(32.0 / 7.0));
        assert_eq!(quantile(&values, 0.5), Some(4.5));
        assert_eq!(quantile(&values, 0.0), Some(2.0));
        assert_eq!(quantile(&values, 1.0), Some(9.0));
        assert_eq!(jain(&[3.0, 3.0, 3.0]), Some(1.0));
        assert_eq!(jain(&[1.0, 0.0, 0.0, 0.0]), Some(0.25));
    }

    #[test]
    fn of_too_little_there_is_no_figure() {
        assert_eq!(mean(&[]), None);
        assert_eq!(sample_variance(&[1.0]), None);
        assert_eq!(mean_interval(&[1.0], 0.95), None);
        assert_eq!(quantile(&[1.0], 1.5), None);
        assert_eq!(quantile(&[f64::NAN], 0.5), None);
        assert_eq!(wilson(0, 0, 0.95), None);
        assert_eq!(wilson(2, 1, 0.95), None);
        assert_eq!(wilson(1, 2, 1.0), None);
        assert_eq!(jain(&[0.0]), None);
    }

    #[test]
    fn intervals_at_known_points() {
        // t(4 degrees, 97.5 %) = 2.776445, standard error sqrt(2.5/5).
        let interval = mean_interval(&[1.0, 2.0, 3.0, 4.0, 5.0], 0.95).unwrap();
        assert!((interval.high - 3.0 - 2.776_445_105 * 0.5f64.sqrt()).abs() < 1e-6);
        assert!((interval.low + interval.high - 6.0).abs() < 1e-12);
        // 0 of 10: from 0 to z^2/(10+z^2).
        let interval = wilson(0, 10, 0.95).unwrap();
        assert_eq!(interval.low, 0.0);
        assert!((interval.high - 3.841_458_821 / 13.841_458_821).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn a_quantile_lies_among_the_values_and_rises(values in proptest::collection::vec(-1e6f64..1e6, 1..40), a in 0.0f64..1.0, b in 0.0f64..1.0) {
            let (low, high) = (quantile(&values, a.min(b)).unwrap(), quantile(&values, a.max(b)).unwrap());
            prop_assert!(low <= high + 1e-9);
            prop_assert!(quantile(&values, 0.0).unwrap() <= low && high <= quantile(&values, 1.0).unwrap());
        }

        #[test]
        fn wilson_holds_the_share_itself(trials in 1u64..10_000, part in 0.0f64..=1.0) {
            let successes = (trials as f64 * part) as u64;
            let share = successes as f64 / trials as f64;
            let interval = wilson(successes, trials, 0.95).unwrap();
            prop_assert!(interval.low <= share + 1e-12 && share <= interval.high + 1e-12);
        }

        #[test]
        fn fairness_lies_between_one_for_all_and_one_for_one(values in proptest::collection::vec(0.001f64..1e3, 1..40)) {
            let index = jain(&values).unwrap();
            prop_assert!(index <= 1.0 + 1e-12 && index >= 1.0 / values.len() as f64 - 1e-12);
        }
    }
}
