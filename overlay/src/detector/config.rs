//! Timers of the detector.

use std::time::Duration;

use crate::config::ConfigError;

/// Settings of this room. With the defaults a neighbor that dies is given up 1.8 s after the probe that it did not
/// answer, over a path that is short, steady and loses nothing; 12 s where the round trip is a second, and 5.4 s where much is lost.
#[derive(Clone, Debug)]
pub struct Config {
    /// A neighbor from which nothing came for so long is probed. A guess: what a probe and its answer cost, 190 bytes on the wire, comes
    /// to some 50 bytes a second and link.
    pub idle: Duration,
    /// How long an answer may take at least and at most, before it is stretched by the node's own health; between them the link's
    /// history decides. A guess: the least is more than the delay of an acknowledgement and a hiccup of a scheduler, the most is less than
    /// what a retransmission takes on a bad path.
    pub patience: (Duration, Duration),
    /// Neighbors that are asked to probe a silent one: k of SWIM (Das et al. 2002, section 3.1).
    pub helpers: usize,
    /// Probes after a neighbor is suspected, before it is given up: where nothing is lost, and where much is. In between the losses of late
    /// decide. Guesses: with half of all packets lost in bursts of half a second a fixed 4 led to 15 mistakes in 50 observer hours and 16 to
    /// none (scenario `mistakes`); 4 keeps the mean time until a death is noticed below 4 s (scenario `detect`).
    pub last_probes: (u8, u8),
}

impl Default for Config {
    fn default() -> Self {
        Self {
            idle: Duration::from_millis(3500),
            patience: (Duration::from_millis(300), Duration::from_secs(2)),
            helpers: 3,
            last_probes: (4, 16),
        }
    }
}

impl Config {
    /// Refuses timers under which no link could live.
    ///
    /// # Errors
    /// Names the key and what is allowed.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let wrong = |key, problem: &str| {
            Err(ConfigError {
                key,
                problem: problem.to_owned(),
            })
        };
        if self.idle < Duration::from_millis(500) || self.idle > Duration::from_secs(10) {
            // The transport gives a silent connection up after 20 s.
            return wrong("detector.idle", "it is 0.5 to 10 s");
        }
        if self.patience.0.is_zero() || self.patience.0 > self.patience.1 {
            return wrong(
                "detector.patience",
                "the least is more than nothing, and the most is no less",
            );
        }
        if self.helpers > 8 {
            return wrong("detector.helpers", "it is 0 to 8");
        }
        let (least, most) = self.last_probes;
        if least == 0 || least > most || most > 32 {
            return wrong(
                "detector.last_probes",
                "both are 1 to 32, and the second is no less than the first",
            );
        }
        Ok(())
    }
}
