//! The nodes: their start, their joining, their end.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use overlay::action::Target;
use overlay::config::Seed;
use rand::Rng as _;
use rand::SeedableRng as _;
use rand::rngs::ChaCha12Rng;
use tokio::task::JoinSet;
use vouchsafe::{AddressPreset, Handle, Identity, Node, PeerId, Status};

use super::Options;
use super::show::Show;
use super::socket::{self, Sent};

/// Neighbors every node must have before the join counts as done (fewer in a smaller network).
const JOINED_NEIGHBORS: usize = 3;
/// A network that has not joined by then does not.
const JOIN_DEADLINE: Duration = Duration::from_secs(60);
/// A fast start ends by itself after five minutes.
const SETTLE_DEADLINE: Duration = Duration::from_secs(330);
/// All nodes. What they share is this process.
#[derive(Debug)]
pub(super) struct Network {
    nodes: Vec<Node>,
    sent: Vec<Arc<Sent>>,
    started: Instant,
}

/// How large the nodes' views are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Views {
    /// Distinct peers in the memory: least, median, most.
    pub(super) memory: [usize; 3],
    /// Neighbors: least, median, most.
    pub(super) neighbors: [usize; 3],
}

/// Counters of all nodes, added up.
#[derive(Clone, Debug, Default)]
pub(super) struct Counters(BTreeMap<(&'static str, &'static str), u64>);

impl Counters {
    /// A counter; 0 when there is none of that name.
    pub(super) fn get(&self, room: &str, name: &str) -> u64 {
        self.0
            .iter()
            .find(|((r, n), _)| *r == room && *n == name)
            .map_or(0, |(_, value)| *value)
    }
}

impl Network {
    /// Starts the first node, then all others at once.
    pub(super) async fn start(options: &Options) -> Result<Self> {
        // The process id keeps two devnets on one machine apart.
        let name = format!("devnet-{}-{}", std::process::id(), options.seed);
        let mut rng = ChaCha12Rng::seed_from_u64(options.seed);
        let mut sent = Vec::new();
        let mut describe = |seed: Option<Seed>| {
            let (mut key, mut random) = ([0; 32], [0; 32]);
            rng.fill_bytes(&mut key);
            rng.fill_bytes(&mut random);
            let counter = Arc::new(Sent::default());
            sent.push(counter.clone());
            let mut builder = Node::builder()
                .network(&name)
                .identity(Identity::from_seed(&key))
                .in_memory()
                .preset(AddressPreset::Local)
                .listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
                .seed_rng(random)
                .sockets(move |addr| socket::counting(addr, &counter));
            if let Some(links) = options.links {
                builder = builder.core(|config| config.neighbors.outbound = links);
            }
            match seed {
                Some(seed) => builder.seed(seed),
                None => builder,
            }
        };
        let first = describe(None).spawn().await.context("the first node")?;
        let addr = *first
            .local_addrs()
            .first()
            .context("the first node listens nowhere")?;
        let seed = Seed {
            peer: first.id(),
            target: Target::Addr(addr),
        };
        let started = Instant::now();
        let others: Vec<_> = (1..options.nodes)
            .map(|_| tokio::spawn(describe(Some(seed.clone())).spawn()))
            .collect();
        let mut nodes = vec![first];
        for (index, other) in others.into_iter().enumerate() {
            nodes.push(
                other
                    .await?
                    .with_context(|| format!("node {}", index + 1))?,
            );
        }
        Ok(Self {
            nodes,
            sent,
            started,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn handles(&self) -> impl Iterator<Item = Handle> + '_ {
        self.nodes.iter().map(Node::handle)
    }

    pub(super) fn bytes_sent(&self) -> u64 {
        self.total(|sent| &sent.bytes)
    }

    pub(super) fn datagrams_sent(&self) -> u64 {
        self.total(|sent| &sent.datagrams)
    }

    fn total(&self, which: impl Fn(&Sent) -> &AtomicU64) -> u64 {
        self.sent
            .iter()
            .map(|sent| which(sent).load(Ordering::Relaxed))
            .sum()
    }

    /// Waits until every node has enough neighbors, each of which says the same, and all hang together.
    pub(super) async fn joined(&self, show: &Show) -> Result<Duration> {
        let enough = JOINED_NEIGHBORS.min(self.len() - 1);
        loop {
            let statuses = self.statuses().await?;
            let enough_of = |s: &&Status| s.neighbors_outbound + s.neighbors_inbound >= enough;
            let ready = statuses.iter().filter(enough_of).count();
            let elapsed = self.started.elapsed();
            show.joined(ready);
            if ready == self.len() {
                let links = self.links().await?;
                if links.values().all(|of| of.len() >= enough) && reachable(&links) == self.len() {
                    return Ok(elapsed);
                }
            }
            if elapsed > JOIN_DEADLINE {
                bail!(
                    "only {ready} of {} nodes have {enough} neighbors after {} s: is this machine overloaded, or UDP on 127.0.0.1 filtered?",
                    self.len(),
                    JOIN_DEADLINE.as_secs()
                );
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until no node is in its fast start any more: until then most of the work is handshakes. Returns the time since the start.
    pub(super) async fn settled(&self, show: &Show) -> Result<Duration> {
        show.stage("waiting for the fast starts to end");
        loop {
            let statuses = self.statuses().await?;
            let settled = statuses.iter().filter(|s| !s.fast_start).count();
            let elapsed = self.started.elapsed();
            show.joined(settled);
            if settled == self.len() {
                return Ok(elapsed);
            }
            if elapsed > SETTLE_DEADLINE {
                bail!(
                    "only {settled} of {} nodes have ended their fast start after {} s: is this machine overloaded?",
                    self.len(),
                    SETTLE_DEADLINE.as_secs()
                );
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The status of every node. All are asked at once: a node that is busy joining takes a while to answer, and sixty of them one
    /// after the other take longer than to join.
    async fn statuses(&self) -> Result<Vec<Status>> {
        let asked = self
            .handles()
            .map(|handle| async move { handle.status().await });
        let asked: JoinSet<_> = asked.collect();
        let statuses = asked.join_all().await.into_iter();
        Ok(statuses.collect::<Result<_, _>>()?)
    }

    /// Who is whose neighbor, counting only links on which both ends agree.
    async fn links(&self) -> Result<BTreeMap<PeerId, BTreeSet<PeerId>>> {
        let asked = self
            .handles()
            .map(|handle| async move { (handle.id(), handle.peers().await) });
        let asked: JoinSet<_> = asked.collect();
        let mut claimed = BTreeMap::new();
        for (id, peers) in asked.join_all().await {
            let neighbors = peers?.into_iter().filter(|peer| peer.neighbor);
            claimed.insert(id, neighbors.map(|peer| peer.peer).collect());
        }
        Ok(mutual(&claimed))
    }

    /// The counters of all nodes.
    pub(super) async fn counters(&self) -> Result<Counters> {
        let mut counters = Counters::default();
        for handle in self.handles() {
            handle
                .stats()
                .await?
                .each(|room, name, value| *counters.0.entry((room, name)).or_default() += value);
        }
        Ok(counters)
    }

    pub(super) async fn views(&self) -> Result<Views> {
        let (mut memory, mut neighbors) = (Vec::new(), Vec::new());
        for status in self.statuses().await? {
            memory.push(status.memory_peers);
            neighbors.push(status.neighbors_outbound + status.neighbors_inbound);
        }
        Ok(Views {
            memory: spread(memory),
            neighbors: spread(neighbors),
        })
    }

    /// Stops all nodes, all at once.
    pub(super) async fn stop(self) {
        let stopping: Vec<_> = self
            .nodes
            .into_iter()
            .map(|node| tokio::spawn(node.shutdown()))
            .collect();
        for node in stopping {
            let _ = node.await;
        }
    }
}

/// Least, median and most.
fn spread(mut values: Vec<usize>) -> [usize; 3] {
    values.sort_unstable();
    let at = |index: usize| values.get(index).copied().unwrap_or(0);
    [
        at(0),
        at(values.len() / 2),
        at(values.len().saturating_sub(1)),
    ]
}

fn mutual(claimed: &BTreeMap<PeerId, BTreeSet<PeerId>>) -> BTreeMap<PeerId, BTreeSet<PeerId>> {
    let agreed = |a: &PeerId, b: &PeerId| claimed.get(b).is_some_and(|of| of.contains(a));
    claimed
        .iter()
        .map(|(a, of)| (*a, of.iter().copied().filter(|b| agreed(a, b)).collect()))
        .collect()
}

/// How many nodes one of them reaches over links.
fn reachable(links: &BTreeMap<PeerId, BTreeSet<PeerId>>) -> usize {
    let mut seen = BTreeSet::new();
    let mut open: Vec<PeerId> = links.keys().next().copied().into_iter().collect();
    while let Some(peer) = open.pop() {
        if seen.insert(peer) {
            open.extend(links.get(&peer).into_iter().flatten());
        }
    }
    seen.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(claims: &[(u8, &[u8])]) -> BTreeMap<PeerId, BTreeSet<PeerId>> {
        let id = |n: u8| Identity::from_seed(&[n; 32]).id();
        claims
            .iter()
            .map(|(a, of)| (id(*a), of.iter().map(|b| id(*b)).collect()))
            .collect()
    }

    #[test]
    fn a_link_counts_when_both_ends_say_so() {
        let claimed = links(&[(1, &[2, 3]), (2, &[1]), (3, &[])]);
        assert_eq!(mutual(&claimed), links(&[(1, &[2]), (2, &[1]), (3, &[])]));
    }

    #[test]
    fn a_split_network_has_not_joined() {
        assert_eq!(
            reachable(&links(&[(1, &[2]), (2, &[1]), (3, &[4]), (4, &[3])])),
            2
        );
        assert_eq!(reachable(&links(&[(1, &[2]), (2, &[1, 3]), (3, &[2])])), 3);
    }

    #[test]
    fn the_spread_of_a_few() {
        assert_eq!(spread(vec![5, 1, 3]), [1, 3, 5]);
        assert_eq!(spread(vec![]), [0, 0, 0]);
    }
}
