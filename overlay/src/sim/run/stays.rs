//! How long nodes stay, and how long it is until the next one comes.

use rand::RngExt as _;

/// An exponential draw with this mean.
pub(super) fn exponential(mean: f64, rng: &mut impl rand::Rng) -> f64 {
    -mean * (1.0 - rng.random::<f64>()).ln()
}

/// What is left of the stay of somebody who is there at a random moment, where one stay has followed the other for long.
pub(super) fn rest_of_stay(mean: f64, shape: f64, rng: &mut impl rand::Rng) -> f64 {
    let mut ahead = 50.0 * mean;
    while ahead > 0.0 {
        ahead -= weibull(mean, shape, rng);
    }
    -ahead
}

/// A Weibull draw with this mean and shape.
pub(super) fn weibull(mean: f64, shape: f64, rng: &mut impl rand::Rng) -> f64 {
    let scale = mean / gamma(1.0 + 1.0 / shape);
    scale * (-(1.0 - rng.random::<f64>()).ln()).powf(1.0 / shape)
}

/// The gamma function for arguments of at least 1 (Lanczos, g = 5, 6 terms; relative error below 1e-9).
fn gamma(x: f64) -> f64 {
    const C: [f64; 6] = [
        76.180_091_729_471_46,
        -86.505_320_329_416_77,
        24.014_098_240_830_91,
        -1.231_739_572_450_155,
        0.120_865_097_386_617_9e-2,
        -0.539_523_938_495_3e-5,
    ];
    let y = x - 1.0;
    let base = y + 5.5;
    let mut series = 1.000_000_000_190_015;
    for (n, c) in C.iter().enumerate() {
        series += c / (y + 1.0 + n as f64);
    }
    ((y + 0.5) * base.ln() - base).exp() * 2.506_628_274_631_000_5 * series
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::ChaCha12Rng;

    use super::*;

    #[test]
    fn gamma_of_known_arguments() {
        for (x, value) in [
            (1.0, 1.0),
            (2.0, 1.0),
            (3.0, 2.0),
            (5.0, 24.0),
            (1.5, 0.886_226_925_452_758),
        ] {
            assert!((gamma(x) / value - 1.0).abs() < 1e-8, "{x}: {}", gamma(x));
        }
    }

    /// The inspection paradox: who is there at a random moment is there for longer, by E[X^2] / 2 E[X] still; for shape 0.5, 3 times the mean.
    #[test]
    fn those_who_are_there_stay_for_longer_than_those_who_come() {
        let mut rng = ChaCha12Rng::seed_from_u64(1);
        let count = 20_000;
        let mut mean = |draw: &dyn Fn(&mut ChaCha12Rng) -> f64| {
            (0..count).map(|_| draw(&mut rng)).sum::<f64>() / f64::from(count)
        };
        let fresh = mean(&|rng| weibull(60.0, 0.5, rng));
        let rest = mean(&|rng| rest_of_stay(60.0, 0.5, rng));
        assert!((fresh / 60.0 - 1.0).abs() < 0.1, "{fresh}");
        assert!((rest / 180.0 - 1.0).abs() < 0.1, "{rest}");
    }
}
