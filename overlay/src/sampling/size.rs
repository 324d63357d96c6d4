//! How large is the network? The least hash of all proven ids, under many secret keys, tells.

use crypto::PeerId;

use super::draw::Seed;
use crate::peers::Marks;

/// For each of `m` seeds the proven peer whose id comes out lowest.
///
/// The least of `n` uniform hashes, turned into an exponential variable, has rate `n`; from `m` of them the unbiased estimate
/// is `(m - 1) / sum` (Baquero, Almeida, Menezes, Jesus 2012, "Extrema propagation"), with a relative standard deviation of
/// `1 / sqrt(m - 2)`: 6 % for 256. It is flat over ids, deaf to prefixes. Since an id counts only while it is proven, no
/// liar can raise it by naming peers that do not answer, nor lower it by keeping silent about others.
#[derive(Clone)]
pub(super) struct Census {
    seeds: Vec<Seed>,
    /// What the least makes of each seed; the highest number where nobody is.
    least: Vec<u64>,
    holders: Vec<Option<PeerId>>,
    vacant: usize,
}

impl std::fmt::Debug for Census {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Census").finish_non_exhaustive()
    }
}

impl Census {
    /// Under the seeds that the slots begin with: where all share a prefix, who is least here holds the slot there, and nobody has to
    /// be proven for the census alone.
    pub(super) fn new(seeds: &[Seed]) -> Self {
        Self {
            seeds: seeds.to_vec(),
            least: vec![u64::MAX; seeds.len()],
            holders: vec![None; seeds.len()],
            vacant: seeds.len(),
        }
    }

    /// Whether this id, were it proven, would be the least under some seed.
    pub(super) fn would_count(&self, marks: &Marks) -> bool {
        let [.., id] = marks.0;
        let mut places = self.least.iter().zip(&self.seeds);
        self.vacant > 0 || places.any(|(least, seed)| seed.of(id) < *least)
    }

    pub(super) fn offer(&mut self, peer: &PeerId, marks: &Marks) {
        let [.., id] = marks.0;
        for (index, (least, seed)) in self.least.iter_mut().zip(&self.seeds).enumerate() {
            let hash = seed.of(id);
            if hash < *least {
                *least = hash;
                let before = self.holders[index].replace(*peer);
                self.vacant -= usize::from(before.is_none());
            }
        }
    }

    pub(super) fn remove(&mut self, peer: &PeerId) {
        for (least, holder) in self.least.iter_mut().zip(&mut self.holders) {
            if *holder == Some(*peer) {
                *holder = None;
                *least = u64::MAX;
                self.vacant += 1;
            }
        }
    }

    pub(super) fn has_vacant(&self) -> bool {
        self.vacant > 0
    }

    /// Those whose ids are counted.
    pub(super) fn holders(&self) -> impl Iterator<Item = PeerId> {
        self.holders.iter().flatten().copied()
    }

    /// Estimated number of dialable peers, this node not counted. `None` before anybody is proven.
    pub(super) fn estimate(&self) -> Option<f64> {
        let places = self.least.iter().zip(&self.holders);
        let sum: f64 = places
            .filter(|(_, holder)| holder.is_some())
            .map(|(hash, _)| {
                // Uniform in (0, 1), then exponential.
                let uniform = (*hash as f64 + 0.5) / (u64::MAX as f64 * (1.0 + f64::EPSILON) + 1.0);
                -(1.0 - uniform).ln()
            })
            .sum();
        let filled = self.least.len() - self.vacant;
        (filled >= 2 && sum > 0.0).then(|| (filled - 1) as f64 / sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AddressPreset;
    use crate::peers::Marker;
    use crate::testing::peer;
    use rand::SeedableRng as _;

    #[test]
    fn the_estimate_follows_the_number_of_ids_up_and_down() {
        let mut rng = rand::rngs::ChaCha12Rng::seed_from_u64(5);
        let seeds: Vec<Seed> = (0..256).map(|_| Seed::new(&mut rng)).collect();
        let mut census = Census::new(&seeds);
        assert_eq!(census.estimate(), None);
        let marker = Marker::new(&mut rng);
        let marks =
            |peer: &PeerId| marker.marks(peer.as_bytes(), [1, 1, 1, 1].into(), AddressPreset::Wan);
        let peers: Vec<PeerId> = (0..1000).map(peer).collect();
        for (count, peer) in peers.iter().enumerate() {
            let would = census.would_count(&marks(peer));
            let before: Vec<PeerId> = census.holders().collect();
            census.offer(peer, &marks(peer));
            assert_eq!(would, before != census.holders().collect::<Vec<_>>());
            let count = count + 1;
            if [1, 2, 10, 100, 1000].contains(&count) {
                let estimate = census.estimate().unwrap();
                // Four standard deviations.
                assert!(
                    (estimate / count as f64 - 1.0).abs() < 0.25,
                    "{count} {estimate}"
                );
            }
        }
        for gone in &peers[100..] {
            census.remove(gone);
        }
        assert!(census.has_vacant());
        for left in &peers[..100] {
            census.offer(left, &marks(left));
        }
        let estimate = census.estimate().unwrap();
        assert!((75.0..125.0).contains(&estimate), "{estimate}");
    }

    #[test]
    fn the_estimate_is_right_in_the_mean() {
        let mut rng = rand::rngs::ChaCha12Rng::seed_from_u64(6);
        let peers: Vec<PeerId> = (0..200).map(peer).collect();
        let estimates = (0..100).map(|_| {
            let marker = Marker::new(&mut rng);
            let seeds: Vec<Seed> = (0..256).map(|_| Seed::new(&mut rng)).collect();
            let mut census = Census::new(&seeds);
            for peer in &peers {
                let ip = [1, 1, 1, 1].into();
                census.offer(
                    peer,
                    &marker.marks(peer.as_bytes(), ip, AddressPreset::Local),
                );
            }
            census.estimate().unwrap()
        });
        let mean = estimates.sum::<f64>() / 100.0;
        // Four standard deviations of 200 * 6.3 % / 10.
        assert!((195.0..205.0).contains(&mean), "{mean}");
    }
}
