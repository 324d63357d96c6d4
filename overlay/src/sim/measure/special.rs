//! The special functions that tests of significance need.
//!
//! Prefactors come in the saddle-point form of C. Loader, "Fast and Accurate Computation of Binomial Probabilities" (2000), so that
//! nothing is lost to cancellation where a statistic has 100,000 bins or a stream a million samples.

use std::f64::consts::{LN_2, PI};

/// Half of ln(2 pi).
const HALF_LN_TWO_PI: f64 = 0.918_938_533_204_672_7;

/// Terms after which a series or a continued fraction is given up. Both need about as many as the square root of the larger
/// parameter times a small factor, so this suffices to parameters of 10^10.
const MAX_TERMS: usize = 1_000_000;

/// ln Gamma(x) for x > 0: Stirling's series from 10 upwards, the recurrence below.
#[must_use]
pub fn ln_gamma(x: f64) -> f64 {
    if x.is_nan() || x <= 0.0 {
        return f64::NAN;
    }
    // Shifting x up by at most 10 costs one logarithm of a product.
    let (mut shifted, mut product) = (x, 1.0);
    while shifted < 10.0 {
        product *= shifted;
        shifted += 1.0;
    }
    (shifted - 0.5) * shifted.ln() - shifted + HALF_LN_TWO_PI + stirling_series(shifted)
        - product.ln()
}

/// The series that Stirling's formula for ln Gamma(x) leaves out; 10^-14 exact from 10 upwards.
fn stirling_series(x: f64) -> f64 {
    let square = 1.0 / (x * x);
    (1.0 / 12.0
        - square
            * (1.0 / 360.0
                - square
                    * (1.0 / 1260.0
                        - square
                            * (1.0 / 1680.0
                                - square
                                    * (1.0 / 1188.0
                                        - square * (691.0 / 360_360.0 - square / 156.0))))))
        / x
}

/// ln n! - ln(sqrt(2 pi n) (n/e)^n) for real n > 0.
fn stirling_error(n: f64) -> f64 {
    if n >= 10.0 {
        stirling_series(n)
    } else {
        ln_gamma(n + 1.0) - (n + 0.5) * n.ln() + n - HALF_LN_TWO_PI
    }
}

/// x ln(x/m) + m - x without cancellation near x = m, for x >= 0 and m > 0.
fn deviance(x: f64, m: f64) -> f64 {
    if x <= 0.0 {
        return m;
    }
    let difference = x - m;
    if difference.abs() < 0.1 * (x + m) {
        // With v = (x-m)/(x+m): ln(x/m) = 2 atanh(v), as a series.
        let v = difference / (x + m);
        let square = v * v;
        let mut sum = difference * v;
        let mut term = 2.0 * x * v;
        let mut odd = 3.0;
        loop {
            term *= square;
            let next = sum + term / odd;
            if next == sum {
                return next;
            }
            sum = next;
            odd += 2.0;
        }
    }
    x * (x / m).ln() + m - x
}

/// m^x e^-m / Gamma(x+1): the Poisson probability, for real x >= 0.
fn poisson_density(x: f64, m: f64) -> f64 {
    if m <= 0.0 {
        return if x == 0.0 { 1.0 } else { 0.0 };
    }
    if x == 0.0 {
        return (-m).exp();
    }
    (-stirling_error(x) - deviance(x, m)).exp() / (2.0 * PI * x).sqrt()
}

/// The regularised lower incomplete gamma function P(a, x), for a > 0 and x >= 0; NaN outside.
#[must_use]
pub fn gamma_p(a: f64, x: f64) -> f64 {
    gamma_pair(a, x).0
}

/// The regularised upper incomplete gamma function Q(a, x) = 1 - P(a, x), exact in its own tail.
#[must_use]
pub fn gamma_q(a: f64, x: f64) -> f64 {
    gamma_pair(a, x).1
}

/// P(a, x) by its series below a+1, Q(a, x) by Legendre's continued fraction above.
fn gamma_pair(a: f64, x: f64) -> (f64, f64) {
    if a.is_nan() || x.is_nan() || a <= 0.0 || x < 0.0 {
        return (f64::NAN, f64::NAN);
    }
    if x == 0.0 {
        return (0.0, 1.0);
    }
    if x.is_infinite() {
        return (1.0, 0.0);
    }
    let density = poisson_density(a, x);
    if x < a + 1.0 {
        let (mut sum, mut term, mut over) = (1.0, 1.0, a);
        for _ in 0..MAX_TERMS {
            over += 1.0;
            term *= x / over;
            sum += term;
            if term < sum * (f64::EPSILON / 4.0) {
                break;
            }
        }
        let p = (density * sum).min(1.0);
        (p, 1.0 - p)
    } else {
        let fraction = continued_fraction(|i| {
            let i = i as f64;
            (-i * (i - a), x + 2.0 * i + 1.0 - a)
        });
        let q = (density * a / fraction).min(1.0);
        (1.0 - q, q)
    }
}

/// b(0) + a(1) / (b(1) + a(2) / (b(2) + ...)) by the modified method of Lentz; `term(i)` gives (a(i), b(i)).
fn continued_fraction(term: impl Fn(usize) -> (f64, f64)) -> f64 {
    const TINY: f64 = 1e-300;
    let away = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut value = away(term(0).1);
    let (mut c, mut d) = (value, 0.0);
    for i in 1..MAX_TERMS {
        let (a, b) = term(i);
        d = 1.0 / away(b + a * d);
        c = away(b + a / c);
        let factor = c * d;
        value *= factor;
        if (factor - 1.0).abs() < f64::EPSILON {
            break;
        }
    }
    value
}

/// C(n, k) p^k (1-p)^(n-k) for real 0 <= k <= n; `q` is 1-p.
pub(super) fn binomial_density(k: f64, n: f64, p: f64, q: f64) -> f64 {
    if p <= 0.0 {
        return if k == 0.0 { 1.0 } else { 0.0 };
    }
    if q <= 0.0 {
        return if k == n { 1.0 } else { 0.0 };
    }
    if k == 0.0 {
        return (n * (-p).ln_1p()).exp();
    }
    if k == n {
        return (n * (-q).ln_1p()).exp();
    }
    let rest = n - k;
    let exponent = stirling_error(n)
        - stirling_error(k)
        - stirling_error(rest)
        - deviance(k, n * p)
        - deviance(rest, n * q);
    exponent.exp() * (n / (2.0 * PI * k * rest)).sqrt()
}

/// The regularised incomplete beta function I_x(a, b) for a, b > 0 and 0 <= x <= 1; NaN outside.
#[must_use]
pub fn beta_i(a: f64, b: f64, x: f64) -> f64 {
    beta_pair(a, b, x).0
}

/// (I_x(a, b), 1 - I_x(a, b)), each exact in its own tail.
pub(super) fn beta_pair(a: f64, b: f64, x: f64) -> (f64, f64) {
    if a.is_nan() || b.is_nan() || a <= 0.0 || b <= 0.0 || !(0.0..=1.0).contains(&x) {
        return (f64::NAN, f64::NAN);
    }
    if x == 0.0 {
        return (0.0, 1.0);
    }
    if x == 1.0 {
        return (1.0, 0.0);
    }
    // The fraction converges fast below the mean.
    if x <= (a + 1.0) / (a + b + 2.0) {
        let lower = beta_below(a, b, x, 1.0 - x);
        (lower, 1.0 - lower)
    } else {
        let upper = beta_below(b, a, 1.0 - x, x);
        (1.0 - upper, upper)
    }
}

fn beta_below(a: f64, b: f64, x: f64, y: f64) -> f64 {
    // x^a y^b Gamma(a+b) / (Gamma(a) Gamma(b)), over a.
    let front = binomial_density(a, a + b, x, y) * b / (a + b);
    let fraction = continued_fraction(|i| {
        let numerator = if i == 0 {
            0.0
        } else {
            let m = (i / 2) as f64;
            if i % 2 == 0 {
                m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m))
            } else {
                -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0))
            }
        };
        (numerator, 1.0)
    });
    (front / fraction).min(1.0)
}

/// Probability that a standard normal variable exceeds `z`.
#[must_use]
pub fn normal_tail(z: f64) -> f64 {
    if z < 0.0 {
        1.0 - normal_tail(-z)
    } else {
        0.5 * gamma_q(0.5, z * z / 2.0)
    }
}

/// The z that a standard normal variable exceeds with probability `tail`, for 0 < tail < 1; NaN outside.
#[must_use]
pub fn normal_quantile(tail: f64) -> f64 {
    if tail.is_nan() || tail <= 0.0 || tail >= 1.0 {
        return f64::NAN;
    }
    if tail > 0.5 {
        return -normal_quantile(1.0 - tail);
    }
    // The tail at z is at most exp(-z^2/2)/2.
    let most = (-2.0 * (tail.ln() + LN_2)).max(0.0).sqrt();
    bisect(0.0, most, |z| normal_tail(z) > tail)
}

/// The t that a variable with Student's distribution exceeds with probability `tail`, for 0 < tail < 1; NaN outside.
#[must_use]
pub fn student_quantile(degrees: f64, tail: f64) -> f64 {
    if degrees.is_nan() || degrees <= 0.0 || tail.is_nan() || tail <= 0.0 || tail >= 1.0 {
        return f64::NAN;
    }
    if tail > 0.5 {
        return -student_quantile(degrees, 1.0 - tail);
    }
    let upper = |t: f64| 0.5 * beta_pair(degrees / 2.0, 0.5, degrees / (degrees + t * t)).0;
    let mut most = 1.0;
    while upper(most) > tail && most < 1e300 {
        most *= 2.0;
    }
    bisect(0.0, most, |t| upper(t) > tail)
}

/// Where `below` turns from true to false between `low` and `high`.
fn bisect(mut low: f64, mut high: f64, below: impl Fn(f64) -> bool) -> f64 {
    loop {
        let middle = low + (high - low) / 2.0;
        if middle <= low || middle >= high {
            return middle;
        }
        if below(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn close(measured: f64, exact: f64, relative: f64) {
        assert!(
            (measured - exact).abs() <= relative * exact.abs(),
            "{measured} against {exact}: {:e} off",
            (measured - exact) / exact
        );
    }

    // The exact values were computed with 40 digits.

    #[test]
    fn the_gamma_function_at_known_points() {
        for (x, exact) in [
            (0.1, 2.252_712_651_734_206),
            (0.5, 0.572_364_942_924_700_1),
            (1.5, -0.120_782_237_635_245_22),
            (3.0, LN_2),
            (10.0, 12.801_827_480_081_47),
            (100.5, 361.435_540_467_777_6),
            (1e6, 12_815_504.569_147_612),
        ] {
            close(ln_gamma(x), exact, 1e-13);
        }
        assert!(ln_gamma(1.0).abs() < 1e-14 && ln_gamma(2.0).abs() < 1e-14);
    }

    #[test]
    fn the_incomplete_gamma_function_at_known_points() {
        for (a, x, p, q) in [
            (0.5, 0.1, 0.345_279_153_981_423, 0.654_720_846_018_577),
            (0.5, 4.5, 0.997_300_203_936_739_8, 0.002_699_796_063_260_189),
            (1.0, 2.0, 0.864_664_716_763_387_3, 0.135_335_283_236_612_7),
            (2.5, 2.5, 0.584_119_813_004_492_1, 0.415_880_186_995_507_9),
            (5.0, 1.0, 0.003_659_846_827_343_712, 0.996_340_153_172_656_3),
            (5.0, 20.0, 0.999_983_055_256_07, 1.694_474_393_006_738_4e-5),
            (10.0, 10.0, 0.542_070_285_528_147_8, 0.457_929_714_471_852_2),
            (50.0, 40.0, 0.070_335_066_659_394_95, 0.929_664_933_340_605),
            (50.0, 75.0, 0.999_096_067_957_646, 9.039_320_423_540_091e-4),
            (
                499.5,
                520.0,
                0.821_175_834_569_605,
                0.178_824_165_430_394_98,
            ),
            (
                499.5,
                450.0,
                0.011_378_812_916_581_109,
                0.988_621_187_083_419,
            ),
            (
                4_999.5,
                5_100.0,
                0.921_707_104_784_618_4,
                0.078_292_895_215_381_57,
            ),
            (
                49_999.5,
                50_500.0,
                0.987_205_052_271_596_7,
                0.012_794_947_728_403_34,
            ),
            (
                49_999.5,
                49_000.0,
                3.420_666_002_517_636e-6,
                0.999_996_579_333_997_5,
            ),
        ] {
            close(gamma_p(a, x), p, 1e-10);
            close(gamma_q(a, x), q, 1e-10);
        }
        close(gamma_q(0.5, 50.0), 1.523_970_604_832_105e-23, 1e-10);
    }

    #[test]
    fn the_incomplete_beta_function_at_known_points() {
        for (a, b, x, exact) in [
            (0.5, 0.5, 0.3, 0.369_010_119_565_545_4),
            (2.0, 3.0, 0.4, 0.5248),
            (10.0, 1.0, 0.9, 0.348_678_440_1),
            (30.5, 70.2, 0.25, 0.121_435_332_384_492_17),
            (1000.0, 2000.0, 0.34, 0.781_215_091_160_642_7),
            (5.0, 1e6, 4e-6, 0.371_166_190_695_154_7),
            (50_000.0, 50_001.0, 0.503, 0.971_319_555_960_049_2),
        ] {
            close(beta_i(a, b, x), exact, 1e-10);
        }
    }

    #[test]
    fn normal_and_student_at_known_points() {
        for (z, tail) in [
            (0.5, 0.308_537_538_725_986_9),
            (1.96, 0.024_997_895_148_220_435),
            (3.0, 0.001_349_898_031_630_094_5),
            (6.0, 9.865_876_450_376_98e-10),
        ] {
            close(normal_tail(z), tail, 1e-10);
            close(normal_quantile(tail), z, 1e-9);
            close(normal_quantile(1.0 - tail), -z, 1e-6);
        }
        for (degrees, t) in [
            (1.0, 12.706_204_736_174_7),
            (2.0, 4.302_652_729_749_46),
            (5.0, 2.570_581_835_636_32),
            (19.0, 2.093_024_054_408_31),
            (100.0, 1.983_971_518_523_55),
        ] {
            close(student_quantile(degrees, 0.025), t, 1e-10);
        }
    }

    #[test]
    fn outside_their_ranges_they_say_so() {
        for value in [
            gamma_p(0.0, 1.0),
            gamma_q(1.0, -1.0),
            beta_i(0.0, 1.0, 0.5),
            beta_i(1.0, 1.0, 1.5),
            ln_gamma(-1.0),
            normal_quantile(0.0),
            student_quantile(0.0, 0.5),
        ] {
            assert!(value.is_nan());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn the_recurrence_of_the_incomplete_gamma_function_holds(a in 0.2f64..2000.0, factor in 0.5f64..1.6) {
            let x = a * factor;
            // P(a+1, x) = P(a, x) - x^a e^-x / Gamma(a+1)
            let step = poisson_density(a, x);
            prop_assert!((gamma_p(a + 1.0, x) - gamma_p(a, x) + step).abs() < 1e-11);
            prop_assert!((gamma_p(a, x) + gamma_q(a, x) - 1.0).abs() < 1e-12);
        }

        #[test]
        fn the_incomplete_beta_function_is_symmetric_and_rising(a in 0.3f64..500.0, b in 0.3f64..500.0, x in 0.001f64..0.998) {
            prop_assert!((beta_i(a, b, x) + beta_i(b, a, 1.0 - x) - 1.0).abs() < 1e-11);
            prop_assert!(beta_i(a, b, x + 0.001) >= beta_i(a, b, x) - 1e-14);
        }
    }
}
