//! What messages are measured against, on the very links of the moment: a flood, where every node sends each message to all its
//! neighbors at once and nothing takes time but the way; and, where uplinks are narrow, a tree of whole copies.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use crypto::PeerId;

use crate::sim::world::World;

/// Not reached.
pub(super) const NEVER: u32 = u32::MAX;

/// The links between honest nodes that are up, with their one-way delays.
#[derive(Debug, Default)]
pub(super) struct Graph {
    /// Where each node's neighbors begin in `to`; one more at the end.
    first: Vec<u32>,
    /// Neighbor and delay in microseconds, the nearest first.
    to: Vec<(u32, u32)>,
}

impl Graph {
    /// The links of a world as both ends count them now.
    pub(super) fn of(world: &World, ids: &BTreeMap<PeerId, u32>) -> Self {
        let neighbors = |index: usize| -> Vec<u32> {
            let host = world.host(index);
            let node = host.node().filter(|_| !host.who().hostile);
            let links = node.map(|node| node.rooms().links);
            let mut all: Vec<u32> = links
                .into_iter()
                .flat_map(|links| links.neighbors())
                .filter_map(|(_, link)| ids.get(&link.peer).copied())
                .collect();
            all.sort_unstable();
            all.dedup();
            all
        };
        let lists: Vec<Vec<u32>> = (0..world.len()).map(neighbors).collect();
        let both = |a: u32, b: u32| lists[b as usize].binary_search(&a).is_ok();
        Self::new(lists.len(), |a| {
            let of = lists[a as usize].iter().copied();
            of.filter(|b| both(a, *b))
                .map(|b| (b, world.base_delay_us(a, b)))
                .collect()
        })
    }

    fn new(nodes: usize, neighbors: impl Fn(u32) -> Vec<(u32, u32)>) -> Self {
        let mut graph = Self {
            first: vec![0],
            to: Vec::new(),
        };
        for node in 0..u32::try_from(nodes).unwrap_or(u32::MAX) {
            let mut of = neighbors(node);
            of.sort_unstable_by_key(|(to, delay)| (*delay, *to));
            graph.to.append(&mut of);
            graph
                .first
                .push(u32::try_from(graph.to.len()).unwrap_or(u32::MAX));
        }
        graph
    }

    fn of_node(&self, node: u32) -> &[(u32, u32)] {
        let at = |node: usize| self.first.get(node).copied().unwrap_or(0) as usize;
        self.to
            .get(at(node as usize)..at(node as usize + 1))
            .unwrap_or_default()
    }

    fn len(&self) -> usize {
        self.first.len().saturating_sub(1)
    }

    /// When a flood that starts at `from` reaches each node, microseconds (Dijkstra 1959).
    pub(super) fn flood(&self, from: u32) -> Vec<u32> {
        let mut at = vec![NEVER; self.len()];
        let Some(start) = at.get_mut(from as usize) else {
            return at;
        };
        *start = 0;
        let mut next = BinaryHeap::from([Reverse((0_u32, from))]);
        while let Some(Reverse((time, node))) = next.pop() {
            if time > at[node as usize] {
                continue;
            }
            for (to, delay) in self.of_node(node) {
                let time = time.saturating_add(*delay);
                if time < at[*to as usize] {
                    at[*to as usize] = time;
                    next.push(Reverse((time, *to)));
                }
            }
        }
        at
    }

    /// When the last node has its copy, microseconds, where each copy takes its sender `send_us`, one after the other, and is passed on
    /// when it is complete: of all copies that could be sent, the one that would arrive first is sent next. (The best of all such trees
    /// is hard to find; this greedy one is the usual stand-in.)
    pub(super) fn tree(&self, from: u32, send_us: u32) -> u32 {
        let mut has = vec![false; self.len()];
        let Some(start) = has.get_mut(from as usize) else {
            return 0;
        };
        *start = true;
        // When a node's uplink is free, and how many of its neighbors it is done with.
        let mut free = vec![(0_u32, 0_usize); self.len()];
        let mut next = BinaryHeap::new();
        let offer =
            |node: u32, has: &[bool], free: &mut [(u32, usize)], next: &mut BinaryHeap<_>| {
                let (at, done) = &mut free[node as usize];
                let of = self.of_node(node);
                while of.get(*done).is_some_and(|(to, _)| has[*to as usize]) {
                    *done += 1;
                }
                if let Some((to, delay)) = of.get(*done) {
                    let arrives = at.saturating_add(send_us).saturating_add(*delay);
                    next.push(Reverse((arrives, node, *to)));
                }
            };
        offer(from, &has, &mut free, &mut next);
        let mut last = 0;
        while let Some(Reverse((at, node, to))) = next.pop() {
            if !std::mem::replace(&mut has[to as usize], true) {
                last = at;
                free[to as usize].0 = at;
                free[node as usize].0 = free[node as usize].0.saturating_add(send_us);
                offer(to, &has, &mut free, &mut next);
            }
            offer(node, &has, &mut free, &mut next);
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(nodes: usize, edges: &[(u32, u32, u32)]) -> Graph {
        Graph::new(nodes, |node| {
            let mut of = Vec::new();
            for (a, b, delay) in edges {
                if *a == node {
                    of.push((*b, *delay));
                } else if *b == node {
                    of.push((*a, *delay));
                }
            }
            of
        })
    }

    #[test]
    fn a_flood_takes_the_fastest_way() {
        let graph = graph(5, &[(0, 1, 10), (1, 2, 10), (0, 2, 50), (2, 3, 1)]);
        assert_eq!(graph.flood(0), [0, 10, 20, 21, NEVER]);
        assert_eq!(graph.flood(3), [21, 11, 1, 0, NEVER]);
        assert_eq!(graph.flood(9), [NEVER; 5]);
    }

    #[test]
    fn a_tree_sends_one_copy_after_the_other() {
        // A star: the third copy leaves after the first two.
        let star = graph(4, &[(0, 1, 1), (0, 2, 1), (0, 3, 1)]);
        assert_eq!(star.tree(0, 100), 301);
        assert_eq!(star.tree(1, 100), 101 + 201);
        // Whoever has it helps: of four nodes that all know each other two are served at once.
        let all = graph(
            4,
            &[
                (0, 1, 1),
                (0, 2, 1),
                (0, 3, 1),
                (1, 2, 1),
                (1, 3, 1),
                (2, 3, 1),
            ],
        );
        assert_eq!(all.tree(0, 100), 202);
        assert_eq!(all.tree(0, 0), 1);
        assert_eq!(graph(2, &[]).tree(0, 5), 0);
    }
}
