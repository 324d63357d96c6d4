//! Curves and distributions over all seeds of a run.

use std::collections::{BTreeMap, BTreeSet};

use overlay::sim::Outcome;

use super::stats::{self, Bootstrap, Estimate};

/// The most bins a distribution is shown in.
const MAX_BINS: u64 = 60;

/// A series: its mean over the seeds at each moment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Curve {
    pub(crate) name: String,
    /// Simulated seconds, rising, and the figure.
    pub(crate) points: Vec<(f64, Estimate)>,
    pub(crate) seeds: usize,
}

/// A histogram: what fraction of the nodes lies in each bin, over the seeds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Distribution {
    pub(crate) name: String,
    pub(crate) bins: Vec<Bin>,
    /// Values in each bin.
    pub(crate) width: u64,
    /// The mean value of all nodes of all seeds.
    pub(crate) mean: f64,
    pub(crate) seeds: usize,
}

/// Values from `from` on, as many as the distribution's bins are wide.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bin {
    pub(crate) from: u64,
    pub(crate) fraction: Estimate,
    /// What independent fair draws would give, for an in-degree.
    pub(crate) binomial: Option<f64>,
}

/// One bootstrap for each number of values.
#[derive(Default)]
struct Bootstraps(BTreeMap<usize, Bootstrap>);

impl Bootstraps {
    fn estimate(&mut self, values: &[f64]) -> Estimate {
        let made = self.0.entry(values.len());
        made.or_insert_with(|| Bootstrap::new(values.len()))
            .estimate(values)
    }
}

/// All series, by name.
pub(crate) fn curves(outcomes: &[Outcome]) -> Vec<Curve> {
    let mut bootstraps = Bootstraps::default();
    let names: BTreeSet<&String> = outcomes.iter().flat_map(|o| o.series.keys()).collect();
    names
        .into_iter()
        .map(|name| {
            let all: Vec<&[(f64, f64)]> = outcomes
                .iter()
                .filter_map(|outcome| outcome.series.get(name))
                .map(Vec::as_slice)
                .collect();
            // Seeds of one scenario are measured at the same moments; one that was cut short has fewer.
            let longest = all.iter().rev().copied().max_by_key(|series| series.len());
            let points = longest
                .unwrap_or_default()
                .iter()
                .filter_map(|(time, _)| {
                    let values: Vec<f64> =
                        all.iter().filter_map(|series| at(series, *time)).collect();
                    (!values.is_empty()).then(|| (*time, bootstraps.estimate(&values)))
                })
                .collect();
            Curve {
                name: name.clone(),
                points,
                seeds: all.len(),
            }
        })
        .filter(|curve| !curve.points.is_empty())
        .collect()
}

/// The value of a series at a moment, between two measurements in proportion; none outside of them.
fn at(series: &[(f64, f64)], time: f64) -> Option<f64> {
    let after = series.partition_point(|(t, _)| *t < time);
    let (t1, v1) = *series.get(after)?;
    let value = if t1 <= time || after == 0 {
        (t1 <= time).then_some(v1)?
    } else {
        let (t0, v0) = series[after - 1];
        v0 + (v1 - v0) * (time - t0) / (t1 - t0)
    };
    value.is_finite().then_some(value)
}

/// All histograms, by name.
pub(crate) fn distributions(outcomes: &[Outcome]) -> Vec<Distribution> {
    let mut bootstraps = Bootstraps::default();
    let names: BTreeSet<&String> = outcomes.iter().flat_map(|o| o.histograms.keys()).collect();
    names
        .into_iter()
        .filter_map(|name| {
            let all: Vec<&BTreeMap<u64, u64>> = outcomes
                .iter()
                .filter_map(|outcome| outcome.histograms.get(name))
                .filter(|histogram| histogram.values().any(|count| *count > 0))
                .collect();
            distribution(name, &all, &mut bootstraps)
        })
        .collect()
}

fn distribution(
    name: &str,
    all: &[&BTreeMap<u64, u64>],
    bootstraps: &mut Bootstraps,
) -> Option<Distribution> {
    let used = || {
        all.iter()
            .flat_map(|histogram| histogram.iter())
            .filter(|(_, n)| **n > 0)
    };
    let least = used().map(|(value, _)| *value).min()?;
    let most = used().map(|(value, _)| *value).max()?;
    let nodes: f64 = used().map(|(_, count)| *count as f64).sum();
    let mean = used()
        .map(|(value, count)| *value as f64 * *count as f64)
        .sum::<f64>()
        / nodes;
    let width = bin_width(most - least);
    let first = least / width * width;
    let totals: Vec<f64> = all
        .iter()
        .map(|histogram| histogram.values().map(|count| *count as f64).sum())
        .collect();
    // Each of the other nodes has it or not.
    let others = ((nodes / all.len() as f64).round() as u64).saturating_sub(1);
    let binomial = |from: u64| {
        let p = mean / others as f64;
        let in_degree = name.contains("in_degree") || name.contains("indegree");
        let fair = in_degree && (0.0..=1.0).contains(&p);
        fair.then(|| {
            (from..from.saturating_add(width))
                .map(|hits| stats::binomial(others, p, hits))
                .sum()
        })
    };
    let bins = (first..=most)
        .step_by(usize::try_from(width).unwrap_or(usize::MAX))
        .map(|from| {
            let fractions: Vec<f64> = all
                .iter()
                .zip(&totals)
                .map(|(histogram, total)| {
                    let inside = histogram.range(from..from.saturating_add(width));
                    inside.map(|(_, count)| *count as f64).sum::<f64>() / total
                })
                .collect();
            Bin {
                from,
                fraction: bootstraps.estimate(&fractions),
                binomial: binomial(from),
            }
        })
        .collect();
    Some(Distribution {
        name: name.to_owned(),
        bins,
        width,
        mean,
        seeds: all.len(),
    })
}

/// 1, 2, 5, 10, 20 ..: the least that needs few enough bins.
fn bin_width(range: u64) -> u64 {
    let mut step = 1u64;
    loop {
        for factor in [1, 2, 5] {
            let width = step.saturating_mul(factor);
            // One more, since the first bin begins at a multiple.
            if range / width + 2 <= MAX_BINS || width == u64::MAX {
                return width;
            }
        }
        step = step.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(series: &[(f64, f64)], histogram: &[(u64, u64)]) -> Outcome {
        Outcome {
            series: BTreeMap::from([("s".to_owned(), series.to_vec())]),
            histograms: BTreeMap::from([(
                "in_degree".to_owned(),
                histogram.iter().copied().collect(),
            )]),
            ..Outcome::default()
        }
    }

    #[test]
    fn curves_are_means_at_each_moment() {
        let one = outcome(&[(0.0, 1.0), (10.0, 2.0), (20.0, 3.0)], &[]);
        // Measured at other moments, and cut short.
        let two = outcome(&[(0.0, 3.0), (5.0, f64::NAN), (10.0, 4.0)], &[]);
        let curves = curves(&[one, two]);
        let means: Vec<(f64, f64)> = curves[0].points.iter().map(|(t, e)| (*t, e.mean)).collect();
        assert_eq!(means, [(0.0, 2.0), (10.0, 3.0), (20.0, 3.0)]);
        assert_eq!(curves[0].points[0].1.low, 1.0);
        assert_eq!(curves[0].seeds, 2);
    }

    #[test]
    fn between_two_measurements_in_proportion() {
        let series = [(10.0, 1.0), (20.0, 2.0)];
        assert_eq!(at(&series, 15.0), Some(1.5));
        assert_eq!(at(&series, 10.0), Some(1.0));
        assert_eq!(at(&series, 20.0), Some(2.0));
        assert_eq!(at(&series, 9.0), None);
        assert_eq!(at(&series, 21.0), None);
        assert_eq!(at(&[], 1.0), None);
    }

    #[test]
    fn a_distribution_is_in_fractions_of_each_seed() {
        let one = outcome(&[], &[(3, 1), (5, 3)]);
        let two = outcome(&[], &[(3, 20), (4, 20)]);
        let found = &distributions(&[one, two])[0];
        assert_eq!((found.width, found.bins.len(), found.seeds), (1, 3, 2));
        let fractions: Vec<f64> = found.bins.iter().map(|bin| bin.fraction.mean).collect();
        assert_eq!(fractions, [0.375, 0.25, 0.375]);
        assert_eq!(found.bins[0].from, 3);
        assert!(found.bins[0].binomial.is_some());
    }

    #[test]
    fn wide_distributions_have_few_bins() {
        for most in [0, 1, 57, 58, 59, 60, 1000, 123_456, u64::MAX / 2] {
            let width = bin_width(most);
            assert!(most / width < MAX_BINS, "{most} {width}");
        }
        let found = distributions(&[outcome(&[], &[(7, 1), (1_000_003, 1)])]);
        let (first, last) = (found[0].bins[0], *found[0].bins.last().unwrap());
        assert!(first.from <= 7 && last.from <= 1_000_003);
        assert!(last.from + found[0].width > 1_000_003);
        let sum: f64 = found[0].bins.iter().map(|bin| bin.fraction.mean).sum();
        assert!((sum - 1.0).abs() < 1e-12);
    }

    /// Independent draws are binomial: bars and curve lie on each other.
    #[test]
    fn the_binomial_stands_beside_an_in_degree() {
        use rand::rngs::ChaCha12Rng;
        use rand::{RngExt as _, SeedableRng as _};
        let mut rng = ChaCha12Rng::seed_from_u64(3);
        let mut counts = BTreeMap::new();
        for _ in 0..400 {
            let hits = (0..399).filter(|_| rng.random_bool(0.05)).count() as u64;
            *counts.entry(hits).or_default() += 1;
        }
        let histogram: Vec<(u64, u64)> = counts.into_iter().collect();
        let found = &distributions(&[outcome(&[], &histogram)])[0];
        let apart: f64 = found
            .bins
            .iter()
            .map(|bin| (bin.fraction.mean - bin.binomial.unwrap()).abs())
            .sum();
        assert!(apart < 0.3, "{apart}");
    }

    #[test]
    fn nothing_gives_nothing() {
        assert!(curves(&[Outcome::default()]).is_empty());
        assert!(curves(&[outcome(&[], &[])]).is_empty());
        assert!(distributions(&[outcome(&[], &[(3, 0)])]).is_empty());
    }
}
