//! How large is the network? The least hash of all proven ids, under many secret keys, tells.

use crypto::PeerId;
use rand::Rng;
use rand::RngExt as _;

/// For each of `m` keys the proven peer whose id hashes lowest.
///
/// The least of `n` uniform hashes, turned into an exponential variable, has rate `n`; from `m` of them the unbiased estimate
/// is `(m - 1) / sum` (Baquero, Almeida, Menezes, Jesus 2012, "Extrema propagation"), with a relative standard deviation of
/// `1 / sqrt(m - 2)`: 6 % for 256. It is flat over ids, deaf to prefixes. Since an id counts only while it is proven, no
/// liar can raise it by naming peers that do not answer, nor lower it by keeping silent about others.
///
/// The hashes of an id under all keys are one BLAKE3 output stream under one secret, so one id costs about 2 us.
pub(super) struct Census {
    secret: [u8; 32],
    least: Vec<Option<(u64, PeerId)>>,
    vacant: usize,
}

impl std::fmt::Debug for Census {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Census").finish_non_exhaustive()
    }
}

impl Census {
    pub(super) fn new(keys: usize, rng: &mut impl Rng) -> Self {
        Self {
            secret: rng.random(),
            least: vec![None; keys],
            vacant: keys,
        }
    }

    fn hashes(&self, id: &[u8; 32]) -> impl Iterator<Item = u64> + use<> {
        let mut reader = blake3::Hasher::new_keyed(&self.secret)
            .update(id)
            .finalize_xof();
        let (mut block, mut at) = ([0; 64], 64);
        std::iter::from_fn(move || {
            if at == block.len() {
                reader.fill(&mut block);
                at = 0;
            }
            let mut eight = [0; 8];
            eight.copy_from_slice(&block[at..at + 8]);
            at += 8;
            Some(u64::from_le_bytes(eight))
        })
    }

    /// Whether this id, were it proven, would be the least under some key.
    pub(super) fn would_count(&self, id: &[u8; 32]) -> bool {
        self.least
            .iter()
            .zip(self.hashes(id))
            .any(|(least, hash)| least.is_none_or(|(least, _)| hash < least))
    }

    pub(super) fn offer(&mut self, peer: &PeerId) {
        let hashes = self.hashes(peer.as_bytes());
        for (least, hash) in self.least.iter_mut().zip(hashes) {
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
    use rand::SeedableRng as _;

    #[test]
    fn the_estimate_follows_the_number_of_ids_up_and_down() {
        let mut rng = rand::rngs::ChaCha12Rng::seed_from_u64(5);
        let mut census = Census::new(256, &mut rng);
        assert_eq!(census.estimate(), None);
        let peers: Vec<PeerId> = (0..1000_u32)
            .map(|n| {
                let mut seed = [0; 32];
                seed[..4].copy_from_slice(&n.to_le_bytes());
                crypto::Identity::from_seed(&seed).id()
            })
            .collect();
        for (count, peer) in peers.iter().enumerate() {
            let would = census.would_count(peer.as_bytes());
            let before: Vec<PeerId> = census.holders().collect();
            census.offer(peer);
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
            census.offer(left);
        }
        let estimate = census.estimate().unwrap();
        assert!((75.0..125.0).contains(&estimate), "{estimate}");
    }
}
