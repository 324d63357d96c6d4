//! How large is the network? The least hash of all proven ids, under many secret keys, tells.

use crypto::PeerId;
use rand::Rng;

use super::draw::Seed;
use crate::peers::Marks;

/// For each of `m` seeds the proven peer whose id comes out lowest.
///
/// The least of `n` uniform hashes, turned into an exponential variable, has rate `n`; from `m` of them the unbiased estimate
/// is `(m - 1) / sum` (Baquero, Almeida, Menezes, Jesus 2012, "Extrema propagation"), with a relative standard deviation of
/// `1 / sqrt(m - 2)`: 6 % for 256. It is flat over ids, deaf to prefixes. Since an id counts only while it is proven, no
/// liar can raise it by naming peers that do not answer, nor lower it by keeping silent about others.
pub(super) struct Census {
    seeds: Vec<Seed>,
    least: Vec<Option<(u64, PeerId)>>,
    vacant: usize,
}

impl std::fmt::Debug for Census {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Census").finish_non_exhaustive()
    }
}

impl Census {
    pub(super) fn new(seeds: usize, rng: &mut impl Rng) -> Self {
        Self {
            seeds: (0..seeds).map(|_| Seed::new(rng)).collect(),
            least: vec![None; seeds],
            vacant: seeds,
        }
    }

    /// Whether this id, were it proven, would be the least under some seed.
    pub(super) fn would_count(&self, marks: &Marks) -> bool {
        let [.., id] = marks.0;
        let mut places = self.least.iter().zip(&self.seeds);
        places.any(|(least, seed)| least.is_none_or(|(least, _)| seed.of(id) < least))
    }

    pub(super) fn offer(&mut self, peer: &PeerId, marks: &Marks) {
        let [.., id] = marks.0;
        for (least, seed) in self.least.iter_mut().zip(&self.seeds) {
            let hash = seed.of(id);
            if least.is_none_or(|(least, _)| hash < least) {
                self.vacant -= usize::from(least.is_none());
                *least = Some((hash, *peer));
            }
        }
    }

    pub(super) fn remove(&mut self, peer: &PeerId) {
        for least in &mut self.least {
            if least.is_some_and(|(_, holder)| holder == *peer) {
                *least = None;
                self.vacant += 1;
            }
        }
    }

    pub(super) fn has_vacant(&self) -> bool {
        self.vacant > 0
    }

    /// Those whose ids are counted.
    pub(super) fn holders(&self) -> impl Iterator<Item = PeerId> {
        self.least.iter().flatten().map(|(_, peer)| *peer)
    }

    /// Estimated number of dialable peers, this node not counted. `None` before anybody is proven.
    pub(super) fn estimate(&self) -> Option<f64> {
        let sum: f64 = self
            .least
            .iter()
            .flatten()
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
        let mut census = Census::new(256, &mut rng);
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
            let mut census = Census::new(256, &mut rng);
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
