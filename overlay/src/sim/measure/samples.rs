//! Whether streams of samples are uniform and independent.
//!
//! A stream is the ids that one node was given, in order. The tests are those of Jelasity, Voulgaris, Guerraoui, Kermarrec and van
//! Steen, "Gossip-based Peer Sampling" (TOCS 2007), §4, put so that their significance is exact.

use std::collections::BTreeMap;

use super::fit::{ChiSquare, binomial_two_sided, chi_square_uniform};

/// How often samples a number of places apart are the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lag {
    /// Places apart.
    pub lag: usize,
    /// Pairs compared, over all streams.
    pub pairs: u64,
    /// Pairs that were equal.
    pub equal: u64,
    /// Pairs that would be equal by chance.
    pub expected: f64,
    /// Correlation of the indicators "is node i": 0 none, 1 always the same, slightly negative where repeats are avoided.
    pub correlation: f64,
    /// Two-sided probability of a count as far from chance as this one. It is exact for independent uniform samples: the comparisons of
    /// one lag form paths, so that they are independent of each other and the count is Binomial(`pairs`, chance). Where shorter lags are
    /// correlated, equal pairs come in clumps: then both counts are divided by M. Bartlett's factor (1946), 1 + 2 (sum of the squares of
    /// the correlations at shorter lags).
    pub p: f64,
}

/// Compares samples 1 to `up_to` places apart in each stream, where two independent samples are equal with probability `chance`: 1/N for N
/// nodes drawn evenly, [`coincidence`] in general. Lags that no stream is long enough for are left out.
#[must_use]
pub fn autocorrelation(streams: &[Vec<u32>], chance: f64, up_to: usize) -> Vec<Lag> {
    let chance = chance.clamp(0.0, 1.0 - 1e-9);
    let mut lags = Vec::new();
    let mut clumps = 1.0;
    for lag in 1..=up_to {
        let (mut pairs, mut equal) = (0u64, 0u64);
        for stream in streams.iter().filter(|stream| stream.len() > lag) {
            pairs += (stream.len() - lag) as u64;
            equal += stream
                .iter()
                .zip(&stream[lag..])
                .filter(|(early, late)| early == late)
                .count() as u64;
        }
        if pairs == 0 {
            break;
        }
        let correlation = (equal as f64 / pairs as f64 - chance) / (1.0 - chance);
        let independent = |count: u64| (count as f64 / clumps).round() as u64;
        lags.push(Lag {
            lag,
            pairs,
            equal,
            expected: pairs as f64 * chance,
            correlation,
            p: binomial_two_sided(independent(pairs), chance, independent(equal)),
        });
        clumps += 2.0 * correlation * correlation;
    }
    lags
}

/// The longest lag whose correlation is not chance, 0 if there is none: from there on samples are as good as independent. Each lag is
/// tested at `level` over the number of lags, so that `level` (0.01, say) is the probability of any false alarm.
#[must_use]
pub fn correlation_time(lags: &[Lag], level: f64) -> usize {
    let each = level / lags.len().max(1) as f64;
    lags.iter()
        .filter(|lag| lag.p < each)
        .map(|lag| lag.lag)
        .max()
        .unwrap_or(0)
}

/// The correlation that is left at lags where there should be none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Remembered {
    /// The correlation that is farthest from 0, without its sign.
    pub most: f64,
    /// How probable a lag as far from chance as the worst one is, if there is no correlation at any: the least `p` times the number of lags
    /// (Bonferroni), at most 1.
    pub p: f64,
    /// The lag whose correlation is `most`.
    pub lag: usize,
}

/// What is left at lags above `beyond`. Only lags that expect 5 equal pairs or more count, as in a chi-square test: then what chance alone
/// makes of a correlation has a standard deviation (M. S. Bartlett 1946) of at most `chance` / sqrt 5. `None` where no lag is left.
#[must_use]
pub fn remembered(lags: &[Lag], beyond: usize) -> Option<Remembered> {
    let judged = || {
        lags.iter()
            .filter(|lag| lag.lag > beyond && lag.expected >= 5.0)
    };
    let worst = judged().max_by(|a, b| a.correlation.abs().total_cmp(&b.correlation.abs()))?;
    let least = judged().map(|lag| lag.p).fold(1.0, f64::min);
    Some(Remembered {
        most: worst.correlation.abs(),
        p: (least * judged().count() as f64).min(1.0),
        lag: worst.lag,
    })
}

/// The probability that two independent draws are equal, estimated without bias from counts by node; `None` of fewer than two draws.
#[must_use]
pub fn coincidence(counts: &[u64]) -> Option<f64> {
    let total: u64 = counts.iter().sum();
    let pairs = |count: u64| count as f64 * (count as f64 - 1.0);
    (total >= 2).then(|| counts.iter().copied().map(pairs).sum::<f64>() / pairs(total))
}

/// How uniform pooled streams are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Uniformity {
    /// Samples in all streams.
    pub samples: u64,
    /// Longest lag at which samples of one stream are correlated, of those looked at.
    pub correlation_time: usize,
    /// How many samples carry the information of one independent one, 1 or more: 1 + 2 (sum of the correlations up to the correlation
    /// time).
    pub inflation: f64,
    /// `samples` over `inflation`.
    pub effective_samples: f64,
    /// Chi-square of the counts as if all samples were independent.
    pub plain: ChiSquare,
    /// Chi-square with the statistic divided by `inflation`: the first-order correction of J. N. K. Rao and A. J. Scott (1981) for samples
    /// that come in clumps. This is the test to pass.
    pub corrected: ChiSquare,
}

/// Pools the streams over bins 0 to `nodes` - 1 and tests them against all bins alike. `up_to` is the longest lag looked at for
/// correlation. `None` where there are no samples, fewer than two bins, or a sample out of range.
///
/// Samples of different streams are taken as independent of each other; about 5 effective samples a bin are needed for the test to mean
/// what it says.
#[must_use]
pub fn uniformity(streams: &[Vec<u32>], nodes: u32, up_to: usize) -> Option<Uniformity> {
    let counts = counts(streams, nodes)?;
    let plain = chi_square_uniform(&counts)?;
    let samples: u64 = counts.iter().sum();
    let lags = autocorrelation(streams, 1.0 / f64::from(nodes.max(2)), up_to);
    let correlation_time = correlation_time(&lags, 0.01);
    let clumps: f64 = lags[..correlation_time]
        .iter()
        .map(|lag| lag.correlation * lag.pairs as f64 / samples as f64)
        .sum();
    let inflation = (1.0 + 2.0 * clumps).max(1.0);
    Some(Uniformity {
        samples,
        correlation_time,
        inflation,
        effective_samples: samples as f64 / inflation,
        plain,
        corrected: ChiSquare::new(plain.statistic / inflation, plain.degrees),
    })
}

/// How often each of `nodes` nodes was sampled; `None` where a sample is out of range.
#[must_use]
pub fn counts(streams: &[Vec<u32>], nodes: u32) -> Option<Vec<u64>> {
    let mut counts = vec![0u64; nodes as usize];
    for sample in streams.iter().flatten() {
        *counts.get_mut(*sample as usize)? += 1;
    }
    Some(counts)
}

/// What a group of nodes has of the samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroupShare {
    /// Nodes in the group.
    pub nodes: u64,
    /// Samples that named one of them.
    pub samples: u64,
    /// `samples` over all samples.
    pub share: f64,
    /// What the group would have if all nodes were alike: `nodes` over all nodes.
    pub by_nodes: f64,
}

/// Samples by group (an address prefix, say), from counts by node and the group of each node; `None` where the two differ in length or
/// there are no samples.
#[must_use]
pub fn group_shares(counts: &[u64], group_of: &[u32]) -> Option<BTreeMap<u32, GroupShare>> {
    let total: u64 = counts.iter().sum();
    if counts.len() != group_of.len() || total == 0 {
        return None;
    }
    let mut sums: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    for (count, group) in counts.iter().zip(group_of) {
        let (nodes, samples) = sums.entry(*group).or_default();
        *nodes += 1;
        *samples += count;
    }
    Some(
        sums.into_iter()
            .map(|(group, (nodes, samples))| {
                let share = GroupShare {
                    nodes,
                    samples,
                    share: samples as f64 / total as f64,
                    by_nodes: nodes as f64 / counts.len() as f64,
                };
                (group, share)
            })
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand::rngs::ChaCha12Rng;

    fn independent(streams: usize, length: usize, nodes: u32, seed: u64) -> Vec<Vec<u32>> {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        (0..streams)
            .map(|_| (0..length).map(|_| rng.random_range(0..nodes)).collect())
            .collect()
    }

    /// Each sample is given out `times` times in a row.
    fn stuttering(streams: usize, length: usize, nodes: u32, times: usize) -> Vec<Vec<u32>> {
        independent(streams, length / times, nodes, 9)
            .into_iter()
            .map(|stream| stream.into_iter().flat_map(|id| vec![id; times]).collect())
            .collect()
    }

    #[test]
    fn independent_streams_pass() {
        let streams = independent(40, 500, 200, 1);
        let lags = autocorrelation(&streams, 0.005, 20);
        assert_eq!(lags.len(), 20);
        assert_eq!(correlation_time(&lags, 0.01), 0);
        let found = uniformity(&streams, 200, 20).unwrap();
        assert_eq!((found.samples, found.inflation), (20_000, 1.0));
        assert!((0.001..0.999).contains(&found.corrected.p), "{found:?}");
    }

    #[test]
    fn counts_of_equal_pairs_are_exact() {
        let lags = autocorrelation(&[vec![1, 2, 1, 2, 1], vec![3, 3]], 0.25, 9);
        let equal: Vec<(usize, u64, u64)> =
            lags.iter().map(|l| (l.lag, l.pairs, l.equal)).collect();
        assert_eq!(equal, [(1, 5, 1), (2, 3, 3), (3, 2, 0), (4, 1, 1)]);
        assert_eq!(lags[1].expected, 0.75);
        assert_eq!(lags[1].correlation, 1.0);
    }

    #[test]
    fn a_stutter_is_found_with_its_length_and_corrected_for() {
        let streams = stuttering(40, 1_000, 200, 4);
        let lags = autocorrelation(&streams, 0.005, 12);
        assert_eq!(correlation_time(&lags, 0.01), 3);
        // One apart: three in four are equal, two apart one in two.
        assert!((lags[0].correlation - 0.75).abs() < 0.01);
        assert!((lags[1].correlation - 0.50).abs() < 0.01);
        let found = uniformity(&streams, 200, 12).unwrap();
        assert!((found.inflation - 4.0).abs() < 0.1, "{found:?}");
        assert!(found.plain.p < 1e-6, "clumps look uneven to the plain test");
        assert!((0.001..0.999).contains(&found.corrected.p), "{found:?}");
    }

    #[test]
    fn avoiding_repeats_is_found_too() {
        // A walk that never stays: equal one apart never, though chance makes 1 in 5.
        let mut rng = ChaCha12Rng::seed_from_u64(3);
        let mut at = 0u32;
        let stream: Vec<u32> = (0..500)
            .map(|_| {
                at = (at + rng.random_range(1..5)) % 5;
                at
            })
            .collect();
        let lags = autocorrelation(&[stream], 0.2, 1);
        assert!(lags[0].p < 1e-6 && lags[0].correlation < 0.0);
    }

    #[test]
    fn what_is_remembered_longer_than_said_is_found() {
        let streams = stuttering(40, 1_000, 200, 4);
        let lags = autocorrelation(&streams, 0.005, 12);
        let short = remembered(&lags, 2).unwrap();
        assert_eq!(short.lag, 3);
        assert!((short.most - 0.25).abs() < 0.01 && short.p < 1e-6);
        let rest = remembered(&lags, 3).unwrap();
        // Deviation .005 / sqrt(200) = .00035 alone, several times that after clumps of 4.
        assert!(rest.most < 0.005 && rest.p > 0.001, "{rest:?}");
        assert_eq!(remembered(&lags, 12), None);
        // 40 streams of 20 samples expect four equal pairs at most: too few to tell.
        let few = autocorrelation(&independent(40, 20, 200, 1), 0.005, 12);
        assert_eq!(remembered(&few, 0), None);
    }

    #[test]
    fn coincidences_of_uneven_draws_are_no_memory() {
        assert_eq!(coincidence(&[3, 1]), Some(0.5));
        assert_eq!(coincidence(&[1, 0]), None);
        // One node in ten is drawn nine times in ten.
        let mut rng = ChaCha12Rng::seed_from_u64(8);
        let mut draw = || rng.random_range(0..90_u32).saturating_sub(80);
        let streams: Vec<Vec<u32>> = (0..40)
            .map(|_| (0..200).map(|_| draw()).collect())
            .collect();
        let chance = coincidence(&counts(&streams, 10).unwrap()).unwrap();
        assert!((chance - 0.81).abs() < 0.02, "{chance}");
        let lags = autocorrelation(&streams, 0.5, 20);
        assert!(remembered(&lags, 0).unwrap().p < 1e-6, "taken for even");
        let lags = autocorrelation(&streams, chance, 20);
        assert!(remembered(&lags, 0).unwrap().p > 0.001);
    }

    #[test]
    fn an_uneven_source_fails() {
        let mut streams = independent(40, 500, 200, 4);
        for (at, sample) in streams.iter_mut().flatten().enumerate() {
            // One node takes over one sample in a hundred: three times its share.
            if at % 100 == 0 {
                *sample = 17;
            }
        }
        assert!(uniformity(&streams, 200, 20).unwrap().corrected.p < 0.001);
    }

    #[test]
    fn what_cannot_be_judged_gives_nothing() {
        assert_eq!(uniformity(&[vec![0, 5]], 5, 3), None, "out of range");
        assert_eq!(uniformity(&[], 5, 3), None);
        assert_eq!(autocorrelation(&[vec![1]], 0.2, 3), []);
        assert_eq!(group_shares(&[1, 2], &[0]), None);
        assert_eq!(group_shares(&[0, 0], &[0, 1]), None);
    }

    #[test]
    fn shares_are_those_of_the_groups() {
        let shares = group_shares(&[10, 30, 20, 40], &[7, 7, 2, 7]).unwrap();
        assert_eq!(shares[&7].samples, 80);
        assert_eq!((shares[&7].share, shares[&7].by_nodes), (0.8, 0.75));
        assert_eq!((shares[&2].share, shares[&2].nodes), (0.2, 1));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn shares_add_up_to_one(rows in proptest::collection::vec((0u64..50, 0u32..6), 1..60)) {
            let (counts, groups): (Vec<u64>, Vec<u32>) = rows.into_iter().unzip();
            if let Some(shares) = group_shares(&counts, &groups) {
                prop_assert!((shares.values().map(|s| s.share).sum::<f64>() - 1.0).abs() < 1e-9);
                prop_assert!((shares.values().map(|s| s.by_nodes).sum::<f64>() - 1.0).abs() < 1e-9);
            }
        }

        #[test]
        fn no_stream_breaks_the_tests(streams in proptest::collection::vec(proptest::collection::vec(0u32..9, 0..30), 0..6), up_to in 0usize..40) {
            for lag in autocorrelation(&streams, 1.0 / 9.0, up_to) {
                prop_assert!((0.0..=1.0).contains(&lag.p) && lag.correlation <= 1.0 + 1e-12);
                prop_assert!(lag.equal <= lag.pairs);
            }
            if let Some(found) = uniformity(&streams, 9, up_to) {
                prop_assert!(found.inflation >= 1.0 && found.effective_samples <= found.samples as f64);
            }
        }
    }
}
