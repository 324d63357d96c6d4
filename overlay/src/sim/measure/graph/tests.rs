use std::collections::BTreeSet;

use proptest::prelude::*;
use rand::SeedableRng as _;

use super::*;

fn rng() -> ChaCha12Rng {
    ChaCha12Rng::seed_from_u64(7)
}

/// Each node knows `links` others at random.
fn random(nodes: usize, links: usize) -> Digraph {
    let mut rng = rng();
    let lists: Vec<Vec<u32>> = (0..nodes)
        .map(|_| {
            let drawn = sample(&mut rng, nodes, links);
            drawn.iter().map(|at| at as u32).collect()
        })
        .collect();
    Digraph::new(&lists).unwrap()
}

fn ring(nodes: u32) -> Digraph {
    let lists: Vec<Vec<u32>> = (0..nodes).map(|at| vec![(at + 1) % nodes]).collect();
    Digraph::new(&lists).unwrap()
}

#[test]
fn links_to_oneself_and_repeats_do_not_count() {
    let graph = Digraph::new(&[vec![1, 0, 1, 2], vec![], vec![0]]).unwrap();
    assert_eq!((graph.nodes(), graph.links()), (3, 3));
    assert_eq!(graph.in_degrees(), [1, 1, 1]);
    let undirected = graph.undirected();
    assert_eq!(undirected.neighbours(0), [1, 2]);
    assert_eq!(
        undirected.neighbours(2),
        [0],
        "known both ways, once a neighbour"
    );
}

#[test]
fn a_link_to_nowhere_is_refused() {
    let error = Digraph::new(&[vec![1], vec![2]]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "node 1 has a link to 2, but there are only 2 nodes"
    );
}

#[test]
fn the_empty_graph_has_figures_too() {
    let graph = Digraph::new(&[]).unwrap();
    assert_eq!(graph.largest_strong_component(), 0);
    let undirected = graph.undirected();
    assert_eq!(undirected.components(), Components::default());
    assert_eq!(undirected.paths(3, &mut rng()), Paths::default());
    assert_eq!(undirected.clustering(5, &mut rng()), 0.0);
    assert_eq!(undirected.after_removing(0.5, &mut rng()).nodes, 0);
}

#[test]
fn a_ring_is_what_it_is() {
    let graph = ring(100);
    assert_eq!(graph.largest_strong_component(), 100);
    let undirected = graph.undirected();
    assert_eq!(undirected.components().largest, 100);
    let paths = undirected.paths(5, &mut rng());
    // From each node: 1, 1, 2, 2, .. 49, 49, 50.
    assert_eq!(paths.longest, 50);
    assert!((paths.mean - 2_500.0 / 99.0).abs() < 1e-12);
    assert_eq!(undirected.clustering(100, &mut rng()), 0.0);
}

#[test]
fn a_chain_is_connected_but_not_strongly() {
    let lists: Vec<Vec<u32>> = (0..50)
        .map(|at| if at < 49 { vec![at + 1] } else { vec![] })
        .collect();
    let graph = Digraph::new(&lists).unwrap();
    assert_eq!(graph.largest_strong_component(), 1);
    assert_eq!(graph.undirected().components().count, 1);
}

#[test]
fn a_long_chain_does_not_exhaust_the_stack() {
    let nodes = 200_000;
    let graph = ring(nodes);
    assert_eq!(graph.largest_strong_component(), nodes as usize);
    assert_eq!(graph.undirected().paths(1, &mut rng()).longest, nodes / 2);
}

#[test]
fn components_are_counted_by_size() {
    // A triangle, a pair, and a node alone.
    let graph = Digraph::new(&[vec![1], vec![2], vec![0], vec![4], vec![], vec![]]).unwrap();
    let found = graph.undirected().components();
    assert_eq!((found.nodes, found.count), (6, 3));
    assert_eq!((found.largest, found.second, found.outside()), (3, 2, 3));
    assert_eq!(graph.undirected().paths(40, &mut rng()).longest, 1);
    assert!(graph.undirected().paths(40, &mut rng()).unreached > 0);
    let without = graph.undirected().components_among(|node| node != 0);
    assert_eq!((without.nodes, without.largest, without.second), (5, 2, 2));
}

#[test]
fn clustering_of_a_clique_and_of_a_lattice() {
    let clique: Vec<Vec<u32>> = (0..6u32)
        .map(|me| (0..6).filter(|o| *o != me).collect())
        .collect();
    let clique = Digraph::new(&clique).unwrap().undirected();
    assert_eq!(clique.clustering(6, &mut rng()), 1.0);
    // Neighbours up to k/2 = 3 places away on either side: 3(k-2)/(4(k-1)) with k = 6.
    let lattice: Vec<Vec<u32>> = (0..60u32)
        .map(|me| (1..4).map(|d| (me + d) % 60).collect())
        .collect();
    let lattice = Digraph::new(&lattice).unwrap().undirected();
    assert!((lattice.clustering(60, &mut rng()) - 0.6).abs() < 1e-12);
    assert!(
        (lattice.clustering(20, &mut rng()) - 0.6).abs() < 1e-12,
        "drawn nodes are alike here"
    );
}

#[test]
fn a_random_graph_has_the_figures_of_one() {
    let (nodes, links) = (3_000, 10);
    let graph = random(nodes, links);
    assert_eq!(graph.largest_strong_component(), nodes);
    let undirected = graph.undirected();
    assert_eq!(undirected.components().outside(), 0);
    // Two neighbours know each other with probability 2c/N.
    let chance = 2.0 * links as f64 / nodes as f64;
    let clustering = undirected.clustering(nodes, &mut rng());
    assert!(
        (clustering - chance).abs() < 0.15 * chance,
        "{clustering} against {chance}"
    );
    // About ln N / ln 2c hops.
    let mean = undirected.paths(8, &mut rng()).mean;
    assert!((2.6..3.1).contains(&mean), "{mean}");
}

#[test]
fn removing_nodes_leaves_what_percolation_says() {
    let undirected = random(3_000, 10).undirected();
    let half = undirected.after_removing(0.5, &mut rng());
    assert_eq!((half.nodes, half.outside()), (1_500, half.outside()));
    assert!(half.outside() < 5, "20 neighbours each, 10 left: {half:?}");
    // One neighbour left on average: no giant component.
    let most = undirected.after_removing(0.96, &mut rng());
    assert_eq!(most.nodes, 120);
    assert!(most.largest < 60, "{most:?}");
    assert_eq!(undirected.after_removing(1.0, &mut rng()).nodes, 0);
}

/// Whether each of two nodes can reach the other, by closure: the slow way.
fn strong_by_closure(lists: &[Vec<u32>]) -> usize {
    let reach: Vec<BTreeSet<usize>> = (0..lists.len())
        .map(|root| {
            let mut seen = BTreeSet::from([root]);
            let mut open = vec![root];
            while let Some(at) = open.pop() {
                for &to in &lists[at] {
                    if seen.insert(to as usize) {
                        open.push(to as usize);
                    }
                }
            }
            seen
        })
        .collect();
    (0..lists.len())
        .map(|me| {
            reach[me]
                .iter()
                .filter(|other| reach[**other].contains(&me))
                .count()
        })
        .max()
        .unwrap_or(0)
}

fn lists() -> impl Strategy<Value = Vec<Vec<u32>>> {
    (1u32..24).prop_flat_map(|nodes| {
        proptest::collection::vec(
            proptest::collection::vec(0..nodes, 0..4),
            nodes as usize..=nodes as usize,
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn strong_components_are_those_of_the_closure(lists in lists()) {
        let graph = Digraph::new(&lists).unwrap();
        prop_assert_eq!(graph.largest_strong_component(), strong_by_closure(&lists));
    }

    #[test]
    fn figures_of_any_graph_are_consistent(lists in lists()) {
        let graph = Digraph::new(&lists).unwrap();
        let undirected = graph.undirected();
        let found = undirected.components();
        prop_assert_eq!(found.nodes, lists.len());
        prop_assert!(found.largest >= found.second && found.largest >= graph.largest_strong_component());
        for node in 0..lists.len() as u32 {
            for near in undirected.neighbours(node) {
                prop_assert!(undirected.neighbours(*near).contains(&node));
            }
        }
        prop_assert!((0.0..=1.0).contains(&undirected.clustering(lists.len(), &mut rng())));
        prop_assert_eq!(undirected.paths(4, &mut rng()).unreached == 0, found.count == 1);
    }
}
