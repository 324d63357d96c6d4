//! How evenly nodes are known: in-degrees against those of a random graph.

use super::fit::{histogram, total_variation_to_binomial};
use super::stats::{mean, population_variance};

/// In-degrees of a graph in which each node chose its out-links.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InDegrees {
    /// Mean, which is also the mean out-degree.
    pub mean: f64,
    /// Standard deviation.
    pub deviation: f64,
    /// Largest.
    pub max: u32,
    /// Nodes that nobody knows.
    pub unknown: u64,
    /// Variance over that of Binomial(N-1, mean/(N-1)), which a random graph has: 1 for uniform and independent choices, below 1 more even.
    pub variance_ratio: f64,
    /// Total variation distance to that binomial.
    pub total_variation: f64,
    /// Share of nodes within 5 % of `out_links`: the figure of Voulgaris, Gavidia, van Steen, "Cyclon" (2005), §5.
    pub in_band: f64,
}

impl InDegrees {
    /// Of `nodes` nodes with the in-degrees given; several snapshots of one graph may be put behind each other. `out_links` is how many
    /// links a node means to have. `None` of fewer than two nodes or no links.
    #[must_use]
    pub fn of(in_degrees: &[u32], nodes: u64, out_links: f64) -> Option<Self> {
        let values: Vec<f64> = in_degrees.iter().map(|degree| f64::from(*degree)).collect();
        let mean = mean(&values)?;
        if nodes < 2 || mean <= 0.0 {
            return None;
        }
        let variance = population_variance(&values)?;
        let p = (mean / (nodes - 1) as f64).min(1.0);
        let binomial = (nodes - 1) as f64 * p * (1.0 - p);
        let near = |value: &&f64| (*value - out_links).abs() <= 0.05 * out_links + 1e-9;
        Some(Self {
            mean,
            deviation: variance.sqrt(),
            max: in_degrees.iter().copied().max()?,
            unknown: in_degrees.iter().filter(|degree| **degree == 0).count() as u64,
            variance_ratio: variance / binomial,
            total_variation: total_variation_to_binomial(&histogram(in_degrees), nodes - 1, p)?,
            in_band: values.iter().filter(near).count() as f64 / values.len() as f64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;
    use rand::rngs::ChaCha12Rng;
    use rand::seq::index::sample;

    #[test]
    fn a_random_graph_is_a_random_graph() {
        let (nodes, links) = (2_000, 20);
        let mut rng = ChaCha12Rng::seed_from_u64(1);
        let mut degrees = vec![0u32; nodes];
        for me in 0..nodes {
            for at in sample(&mut rng, nodes - 1, links) {
                degrees[if at < me { at } else { at + 1 }] += 1;
            }
        }
        let found = InDegrees::of(&degrees, nodes as u64, links as f64).unwrap();
        assert_eq!(found.mean, 20.0);
        // The standard error of a variance ratio is sqrt(2/N) = .032.
        assert!((found.variance_ratio - 1.0).abs() < 0.13, "{found:?}");
        // Chance alone makes about sqrt(30/(2 pi 2000)) = .049.
        assert!(found.total_variation < 0.08, "{found:?}");
        // P(19 <= X <= 21) = .265.
        assert!((found.in_band - 0.265).abs() < 0.04, "{found:?}");
    }

    #[test]
    fn a_regular_graph_and_a_star_are_told_apart() {
        let regular = InDegrees::of(&[20; 500], 500, 20.0).unwrap();
        assert_eq!((regular.variance_ratio, regular.in_band), (0.0, 1.0));
        assert!(regular.total_variation > 0.8);
        let mut star = vec![0u32; 500];
        star[3] = 499;
        let star = InDegrees::of(&star, 500, 1.0).unwrap();
        assert!(star.variance_ratio > 400.0);
        assert_eq!((star.unknown, star.max), (499, 499));
    }

    #[test]
    fn of_nothing_there_is_no_figure() {
        assert_eq!(InDegrees::of(&[], 10, 3.0), None);
        assert_eq!(InDegrees::of(&[0, 0], 2, 1.0), None);
        assert_eq!(InDegrees::of(&[1], 1, 1.0), None);
    }
}
