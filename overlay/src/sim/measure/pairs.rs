//! Whether the views of different nodes are independent of each other: how often two ids stand in one view together.

/// How often pairs of ids are shared between views.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairTest {
    /// Times that two views hold the same pair of ids, over all views two by two.
    pub shared: f64,
    /// What it would be if each view were a uniform subset of its size, independent of the others.
    pub expected: f64,
    /// Standard deviations that `shared` is above `expected`; beyond 4 either way is no chance.
    pub z: f64,
}

/// Counts the pairs of ids that views share. `views[v]` is the view of node `v`: distinct ids below `views.len()`, without `v`.
/// `None` where fewer than two views hold a pair, an id is out of range, or there are fewer than 8 nodes.
///
/// The mean over pairs of the probability to stand together, c(c-1)/((N-1)(N-2)), follows from the size of the views alone and so
/// says nothing. What does say something is how *unevenly* pairs occur, and the sum over pairs of (times seen choose 2), which is `shared`,
/// is that. The expectation and variance below are exact for one pair of views; different pairs of views are uncorrelated, since the
/// overlap with a uniform subset depends on the size of the other alone.
///
/// Costs 8 bytes and a share of a sort for each pair of ids in each view.
#[must_use]
pub fn pair_test(views: &[Vec<u32>]) -> Option<PairTest> {
    let nodes = views.len() as u64;
    if nodes < 8 || views.iter().flatten().any(|id| u64::from(*id) >= nodes) {
        return None;
    }
    let mut keys = Vec::with_capacity(
        views
            .iter()
            .map(|view| view.len() * view.len().saturating_sub(1) / 2)
            .sum(),
    );
    for view in views {
        for (at, one) in view.iter().enumerate() {
            for other in &view[at + 1..] {
                keys.push(u64::from(*one.min(other)) * nodes + u64::from(*one.max(other)));
            }
        }
    }
    keys.sort_unstable();
    let shared: f64 = keys
        .chunk_by(|a, b| a == b)
        .map(|same| choose(same.len() as f64, 2))
        .sum();

    let mut sizes: Vec<(f64, f64)> = Vec::new();
    let mut sorted: Vec<usize> = views.iter().map(Vec::len).collect();
    sorted.sort_unstable();
    for same in sorted.chunk_by(|a, b| a == b) {
        sizes.push((same[0] as f64, same.len() as f64));
    }
    let (mut expected, mut variance) = (0.0, 0.0);
    for (at, (one, many)) in sizes.iter().enumerate() {
        for (other, more) in &sizes[at..] {
            let times = if one == other {
                choose(*many, 2)
            } else {
                many * more
            };
            let (mean, spread) = overlap(*one, *other, nodes as f64);
            expected += times * mean;
            variance += times * spread;
        }
    }
    (variance > 0.0).then(|| PairTest {
        shared,
        expected,
        z: (shared - expected) / variance.sqrt(),
    })
}

/// Mean and variance of the number of pairs of ids in both of two views of sizes `a` and `b`, each a uniform subset of the other
/// `nodes` - 1 nodes.
fn overlap(a: f64, b: f64, nodes: f64) -> (f64, f64) {
    // Neither owner can be in both, so what overlaps is among the other nodes - 2.
    let others = nodes - 2.0;
    let (mut first, mut second) = (0.0, 0.0);
    for (names_b, chance_b) in either(a / (nodes - 1.0)) {
        for (names_a, chance_a) in either(b / (nodes - 1.0)) {
            // Factorial moments of the hypergeometric distribution: E[C(H, j)] = C(a, j) C(b, j) / C(others, j), and
            // C(H, 2)^2 = C(H, 2) + 6 C(H, 3) + 6 C(H, 4).
            let moment = |j| choose(a - names_b, j) * choose(b - names_a, j) / choose(others, j);
            let chance = chance_a * chance_b;
            first += chance * moment(2);
            second += chance * (moment(2) + 6.0 * moment(3) + 6.0 * moment(4));
        }
    }
    (first, second - first * first)
}

fn either(chance: f64) -> [(f64, f64); 2] {
    [(1.0, chance), (0.0, 1.0 - chance)]
}

/// n over j; 0 where j is larger.
fn choose(n: f64, j: u32) -> f64 {
    (0..j)
        .map(|i| (n - f64::from(i)).max(0.0) / f64::from(i + 1))
        .product()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;
    use rand::rngs::ChaCha12Rng;
    use rand::seq::index::sample;

    fn uniform(nodes: usize, sizes: impl Fn(usize) -> usize, seed: u64) -> Vec<Vec<u32>> {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        (0..nodes)
            .map(|me| {
                sample(&mut rng, nodes - 1, sizes(me))
                    .iter()
                    .map(|at| (if at < me { at } else { at + 1 }) as u32)
                    .collect()
            })
            .collect()
    }

    #[test]
    fn independent_views_are_within_chance_on_average_and_in_spread() {
        let runs = 60;
        let z: Vec<f64> = (0..runs)
            .map(|seed| {
                let views = uniform(120, |me| if me % 3 == 0 { 6 } else { 12 }, seed);
                pair_test(&views).unwrap().z
            })
            .collect();
        let mean = z.iter().sum::<f64>() / runs as f64;
        let variance = z.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / (runs - 1) as f64;
        assert!(mean.abs() < 4.0 / (runs as f64).sqrt(), "mean {mean}");
        assert!((0.5..1.8).contains(&variance), "variance {variance}");
    }

    #[test]
    fn views_that_copy_each_other_are_found() {
        let mut views = uniform(200, |_| 12, 1);
        // Every other node hands four of its ids to the next: about 100 times 6 pairs, where chance has a deviation of about 100.
        for at in (0..198).step_by(2) {
            let copied: Vec<u32> = views[at]
                .iter()
                .copied()
                .filter(|id| *id != at as u32 + 1 && !views[at + 1].contains(id))
                .take(4)
                .collect();
            views[at + 1].splice(0..copied.len(), copied);
        }
        let found = pair_test(&views).unwrap();
        assert!(found.z > 4.0, "{found:?}");
        assert!(found.shared > found.expected);
    }

    #[test]
    fn the_count_is_exact() {
        // Nodes 0, 1 and 2 share the pair (5, 6): three times two views; 0 and 1 share (5, 7) and (6, 7) as well.
        let mut views = vec![vec![5, 6, 7], vec![7, 6, 5], vec![6, 5]];
        views.resize(8, Vec::new());
        assert_eq!(pair_test(&views).unwrap().shared, 5.0);
    }

    #[test]
    fn what_cannot_be_judged_gives_nothing() {
        assert_eq!(pair_test(&vec![vec![1, 2]; 5]), None, "too few");
        assert_eq!(pair_test(&vec![vec![1, 9]; 8]), None, "out of range");
        assert_eq!(pair_test(&vec![vec![1]; 8]), None, "no pairs");
    }
}
