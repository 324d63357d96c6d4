//! Why links to peers have ended, for people who ask.

use std::collections::BTreeMap;
use std::time::Instant;

use crypto::PeerId;

use super::Down;

/// Peers remembered; whose link ended first is forgotten first. A guess: all neighbors, twice.
const MAX_ENDINGS: usize = 256;

/// The last end of a neighbor link with each of the latest peers.
#[derive(Debug, Default)]
pub(super) struct Endings(BTreeMap<PeerId, (Instant, Down)>);

impl Endings {
    pub(super) fn note(&mut self, peer: PeerId, why: Down, now: Instant) {
        self.0.insert(peer, (now, why));
        if self.0.len() > MAX_ENDINGS {
            let first = self.0.iter().min_by_key(|(_, (at, _))| *at);
            let first = first.map(|(peer, _)| *peer);
            first.and_then(|peer| self.0.remove(&peer));
        }
    }

    pub(super) fn of(&self, peer: &PeerId) -> Option<(Instant, Down)> {
        self.0.get(peer).copied()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::{Bench, peer};

    #[test]
    fn the_latest_are_remembered() {
        let now = Bench::new(1).now.mono;
        let mut endings = Endings::default();
        for n in 0..1000_u32 {
            let at = now + Duration::from_secs(n.into());
            endings.note(peer(n), Down::TimedOut, at);
            assert!(endings.0.len() <= MAX_ENDINGS);
        }
        assert_eq!(endings.of(&peer(1)), None);
        endings.note(peer(999), Down::Reset, now);
        assert_eq!(endings.of(&peer(999)), Some((now, Down::Reset)));
    }
}
