//! What an overlay is as a graph: components, clustering, path lengths, and what is left of it when nodes go.
//!
//! The figures are those of Jelasity et al., "Gossip-based Peer Sampling" (TOCS 2007), §5: in-degrees of the directed graph, the rest of
//! the undirected graph under it. Everything is iterative and linear in nodes and links unless it says otherwise.

use rand::RngExt as _;
use rand::rngs::ChaCha12Rng;
use rand::seq::index::sample;

/// Why lists are no graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// A link leads to a node that is not there.
    #[error("node {from} has a link to {to}, but there are only {nodes} nodes")]
    OutOfRange {
        /// Whose link.
        from: usize,
        /// Where to.
        to: u32,
        /// Nodes in the graph.
        nodes: usize,
    },
    /// Nodes are numbered by 32 bits.
    #[error("{0} nodes are more than the 4294967295 that can be numbered")]
    TooMany(usize),
}

/// The links of all nodes behind each other.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Lists {
    /// Where the links of each node begin, and at the end how many there are.
    starts: Vec<usize>,
    targets: Vec<u32>,
}

impl Lists {
    fn nodes(&self) -> usize {
        self.starts.len() - 1
    }

    fn of(&self, node: u32) -> &[u32] {
        let at = node as usize;
        &self.targets[self.starts[at]..self.starts[at + 1]]
    }

    /// Sorts the links of each node and keeps one of each.
    fn tidy(starts: &[usize], mut targets: Vec<u32>) -> Self {
        let mut kept = 0;
        let mut tidy_starts = Vec::with_capacity(starts.len());
        tidy_starts.push(0);
        for ends in starts.windows(2) {
            targets[ends[0]..ends[1]].sort_unstable();
            let first = kept;
            for at in ends[0]..ends[1] {
                let target = targets[at];
                if kept == first || targets[kept - 1] != target {
                    targets[kept] = target;
                    kept += 1;
                }
            }
            tidy_starts.push(kept);
        }
        targets.truncate(kept);
        Self {
            starts: tidy_starts,
            targets,
        }
    }
}

/// A directed graph: who knows whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digraph {
    out: Lists,
}

impl Digraph {
    /// From the out-links of each node. Links of a node to itself and repeated links are left out.
    ///
    /// # Errors
    /// A link to a node that is not there.
    pub fn new(lists: &[Vec<u32>]) -> Result<Self, GraphError> {
        let nodes = lists.len();
        if u32::try_from(nodes).is_err() {
            return Err(GraphError::TooMany(nodes));
        }
        let mut starts = Vec::with_capacity(nodes + 1);
        let mut targets = Vec::with_capacity(lists.iter().map(Vec::len).sum());
        starts.push(0);
        for (from, list) in lists.iter().enumerate() {
            for &to in list {
                if to as usize >= nodes {
                    return Err(GraphError::OutOfRange { from, to, nodes });
                }
                if to as usize != from {
                    targets.push(to);
                }
            }
            starts.push(targets.len());
        }
        Ok(Self {
            out: Lists::tidy(&starts, targets),
        })
    }

    /// How many nodes.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.out.nodes()
    }

    /// How many links.
    #[must_use]
    pub fn links(&self) -> usize {
        self.out.targets.len()
    }

    /// By how many nodes each node is known.
    #[must_use]
    pub fn in_degrees(&self) -> Vec<u32> {
        let mut degrees = vec![0u32; self.nodes()];
        for target in &self.out.targets {
            degrees[*target as usize] += 1;
        }
        degrees
    }

    /// The graph without directions: two nodes are neighbours if either knows the other.
    #[must_use]
    pub fn undirected(&self) -> Undirected {
        let nodes = self.nodes();
        let mut starts = vec![0usize; nodes + 1];
        for (at, degree) in self.in_degrees().into_iter().enumerate() {
            let both = degree as usize + self.out.of(at as u32).len();
            starts[at + 1] = starts[at] + both;
        }
        let mut targets = vec![0u32; starts[nodes]];
        let mut ends = starts.clone();
        let mut put = |from: u32, to: u32| {
            targets[ends[from as usize]] = to;
            ends[from as usize] += 1;
        };
        for from in 0..nodes as u32 {
            for &to in self.out.of(from) {
                put(from, to);
                put(to, from);
            }
        }
        Undirected {
            near: Lists::tidy(&starts, targets),
        }
    }

    /// Nodes in the largest set in which each can reach each along the links (R. Tarjan 1972).
    #[must_use]
    pub fn largest_strong_component(&self) -> usize {
        const UNSEEN: u32 = u32::MAX;
        let nodes = self.nodes();
        let mut order = vec![UNSEEN; nodes];
        // Lowest order reachable; UNSEEN again once the component is complete.
        let mut low = vec![UNSEEN; nodes];
        let mut open: Vec<u32> = Vec::new();
        let mut path: Vec<(u32, usize)> = Vec::new();
        let (mut next, mut largest) = (0u32, 0);
        for root in 0..nodes as u32 {
            if order[root as usize] != UNSEEN {
                continue;
            }
            path.push((root, 0));
            while let Some((node, done)) = path.last_mut() {
                let at = *node as usize;
                // New: with a link looked at, `done` is above 0, and without links it is left at once.
                if *done == 0 {
                    order[at] = next;
                    low[at] = next;
                    next += 1;
                    open.push(*node);
                }
                let Some(&to) = self.out.of(*node).get(*done) else {
                    let node = *node;
                    path.pop();
                    if low[at] == order[at] {
                        let before = open.len();
                        while let Some(member) = open.pop() {
                            low[member as usize] = UNSEEN;
                            if member == node {
                                break;
                            }
                        }
                        largest = largest.max(before - open.len());
                    } else if let Some((parent, _)) = path.last() {
                        let parent = *parent as usize;
                        low[parent] = low[parent].min(low[at]);
                    }
                    continue;
                };
                *done += 1;
                if order[to as usize] == UNSEEN {
                    path.push((to, 0));
                } else if low[to as usize] != UNSEEN {
                    low[at] = low[at].min(order[to as usize]);
                }
            }
        }
        largest
    }
}

/// An undirected graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undirected {
    near: Lists,
}

/// What a graph falls into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Components {
    /// Nodes looked at.
    pub nodes: usize,
    /// Components.
    pub count: usize,
    /// Nodes in the largest.
    pub largest: usize,
    /// Nodes in the second largest, 0 if there is one only.
    pub second: usize,
}

impl Components {
    /// Nodes that are not in the largest component.
    #[must_use]
    pub fn outside(&self) -> usize {
        self.nodes - self.largest
    }
}

/// How far apart nodes are.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Paths {
    /// Mean number of hops from the roots to all nodes they reach; 0 if none.
    pub mean: f64,
    /// Longest of them.
    pub longest: u32,
    /// Pairs of a root and a node that it does not reach.
    pub unreached: u64,
}

impl Undirected {
    /// How many nodes.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.near.nodes()
    }

    /// The neighbours of a node, ascending. Panics where there is no such node.
    #[must_use]
    pub fn neighbours(&self, node: u32) -> &[u32] {
        self.near.of(node)
    }

    /// Its components.
    #[must_use]
    pub fn components(&self) -> Components {
        self.components_among(|_| true)
    }

    /// The components of what is left when only the nodes that `keep` names stay.
    #[must_use]
    pub fn components_among(&self, keep: impl Fn(u32) -> bool) -> Components {
        let mut found = Components::default();
        let mut seen: Vec<bool> = (0..self.nodes() as u32).map(|node| !keep(node)).collect();
        let mut queue = Vec::new();
        for root in 0..self.nodes() as u32 {
            if seen[root as usize] {
                continue;
            }
            seen[root as usize] = true;
            queue.clear();
            queue.push(root);
            let mut at = 0;
            while at < queue.len() {
                for &near in self.near.of(queue[at]) {
                    if !seen[near as usize] {
                        seen[near as usize] = true;
                        queue.push(near);
                    }
                }
                at += 1;
            }
            found.count += 1;
            found.nodes += queue.len();
            if queue.len() > found.largest {
                found.second = found.largest;
                found.largest = queue.len();
            } else {
                found.second = found.second.max(queue.len());
            }
        }
        found
    }

    /// The components after a fraction (0 to 1) of the nodes, drawn at random, has gone.
    #[must_use]
    pub fn after_removing(&self, fraction: f64, rng: &mut ChaCha12Rng) -> Components {
        let gone = ((self.nodes() as f64 * fraction).round() as usize).min(self.nodes());
        let mut keep = vec![true; self.nodes()];
        for at in sample(rng, self.nodes(), gone) {
            keep[at] = false;
        }
        self.components_among(|node| keep[node as usize])
    }

    /// Mean over nodes of (links between neighbours) / (pairs of neighbours), 0 for a node with fewer than two (D. Watts, S. Strogatz
    /// 1998). Over `nodes` nodes drawn at random, or all if there are not more. Costs the square of the degree for each.
    #[must_use]
    pub fn clustering(&self, nodes: usize, rng: &mut ChaCha12Rng) -> f64 {
        if self.nodes() == 0 || nodes == 0 {
            return 0.0;
        }
        let mut is_near = vec![false; self.nodes()];
        let mut share = |node: u32| {
            let near = self.near.of(node);
            if near.len() < 2 {
                return 0.0;
            }
            for other in near {
                is_near[*other as usize] = true;
            }
            let twice: usize = near
                .iter()
                .map(|other| {
                    let theirs = self.near.of(*other);
                    theirs.iter().filter(|n| is_near[**n as usize]).count()
                })
                .sum();
            for other in near {
                is_near[*other as usize] = false;
            }
            twice as f64 / (near.len() * (near.len() - 1)) as f64
        };
        if nodes >= self.nodes() {
            (0..self.nodes() as u32).map(share).sum::<f64>() / self.nodes() as f64
        } else {
            let drawn = sample(rng, self.nodes(), nodes);
            drawn.iter().map(|at| share(at as u32)).sum::<f64>() / nodes as f64
        }
    }

    /// Path lengths from `roots` roots, drawn at random with replacement, by breadth-first search.
    #[must_use]
    pub fn paths(&self, roots: usize, rng: &mut ChaCha12Rng) -> Paths {
        const UNSEEN: u32 = u32::MAX;
        let mut found = Paths::default();
        let (mut sum, mut pairs) = (0u64, 0u64);
        if self.nodes() == 0 {
            return found;
        }
        let mut hops = vec![UNSEEN; self.nodes()];
        let mut queue: Vec<u32> = Vec::with_capacity(self.nodes());
        for _ in 0..roots {
            hops.fill(UNSEEN);
            queue.clear();
            let root = rng.random_range(0..self.nodes() as u32);
            hops[root as usize] = 0;
            queue.push(root);
            let mut at = 0;
            while at < queue.len() {
                let next = hops[queue[at] as usize] + 1;
                for &near in self.near.of(queue[at]) {
                    if hops[near as usize] == UNSEEN {
                        hops[near as usize] = next;
                        sum += u64::from(next);
                        found.longest = found.longest.max(next);
                        queue.push(near);
                    }
                }
                at += 1;
            }
            pairs += queue.len() as u64 - 1;
            found.unreached += (self.nodes() - queue.len()) as u64;
        }
        if pairs > 0 {
            found.mean = sum as f64 / pairs as f64;
        }
        found
    }
}

#[cfg(test)]
mod tests;
