//! Loss that comes in bursts: the channel of Gilbert (1960) and Elliott (1963), in continuous time.

use rand::{Rng, RngExt as _};

use super::time::Time;
use crate::sim::scenario::Scenario;

/// How bursts are on every path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bursts {
    /// Probability that a packet is lost in one.
    loss: f64,
    /// Their mean length, and the mean time between two, microseconds.
    bad_us: f64,
    good_us: f64,
}

impl Bursts {
    pub(super) fn new(scenario: &Scenario) -> Self {
        Self {
            loss: scenario.burst_loss,
            bad_us: scenario.burst_s * 1e6,
            good_us: scenario.burst_every_s * 1e6,
        }
    }
}

/// One direction of one path.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Weather {
    bad: bool,
    until: Time,
}

impl Weather {
    /// The probability that a packet is lost that leaves now.
    pub(super) fn loss(&mut self, bursts: &Bursts, now: Time, rng: &mut impl Rng) -> f64 {
        if bursts.loss <= 0.0 {
            return 0.0;
        }
        while self.until <= now {
            let first = self.until == Time::default();
            let share = bursts.bad_us / (bursts.bad_us + bursts.good_us);
            self.bad = if first {
                rng.random_bool(share)
            } else {
                !self.bad
            };
            let mean = if self.bad {
                bursts.bad_us
            } else {
                bursts.good_us
            };
            let drawn: f64 = rng.random_range(f64::MIN_POSITIVE..1.0);
            let begun = if first { now } else { self.until };
            self.until = Time(begun.0 + (-drawn.ln() * mean) as u64 + 1);
        }
        if self.bad { bursts.loss } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::ChaCha12Rng;

    use super::*;

    #[test]
    fn bursts_have_their_length_and_their_share() {
        let bursts = Bursts {
            loss: 0.5,
            bad_us: 500_000.0,
            good_us: 9_500_000.0,
        };
        let mut rng = ChaCha12Rng::seed_from_u64(1);
        let (mut bad, mut begun, mut before) = (0_u32, 0_u32, false);
        let mut weather = Weather::default();
        for step in 1..=1_000_000_u64 {
            let now = weather.loss(&bursts, Time(step * 10_000), &mut rng) > 0.0;
            bad += u32::from(now);
            begun += u32::from(now && !before);
            before = now;
        }
        let (share, length) = (
            f64::from(bad) / 1e6,
            f64::from(bad) / f64::from(begun) / 100.0,
        );
        assert!((share - 0.05).abs() < 0.01, "{share}");
        assert!((length - 0.5).abs() < 0.1, "{length}");
    }
}
