//! A cheap random function for each slot.

use rand::{Rng, RngExt as _};

use crate::collections::fold;

/// The secret seed of a random function on marks.
///
/// A mark is already as good as random to whoever does not know this node's secret (see [`Marks`](crate::peers::Marks)), and so is
/// a seed. What is left to do is to make of one mark a different number under each seed, evenly spread and for two seeds
/// independent: nobody outside ever sees mark, seed or number, only who is least. Two rounds of a multiplication folded to its own width
/// do that for a hundredth of what a keyed hash costs. The tests below hold it to it, also for seeds and marks that are anything but random.
#[derive(Clone, Copy)]
pub(super) struct Seed([u64; 2]);

impl Seed {
    /// A fresh seed.
    pub(super) fn new(rng: &mut impl Rng) -> Self {
        Self(rng.random())
    }

    /// What the seed makes of a mark.
    pub(super) const fn of(&self, mark: u64) -> u64 {
        // Bits of the golden ratio and of pi, so that a small seed is no small factor.
        let [a, b] = self.0;
        let once = fold(mark ^ a, b ^ 0x9e37_79b9_7f4a_7c15);
        fold(once ^ b, a ^ 0x2437_54c7_13ac_2dd5 ^ 0x8000_0000_0000_0001)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::ChaCha12Rng;

    use super::*;

    const PEERS: usize = 16;

    fn winner(seed: &Seed, marks: &[u64]) -> usize {
        let least = (0..marks.len()).min_by_key(|n| seed.of(marks[*n]));
        least.unwrap()
    }

    fn chi_square(counts: &[u32]) -> f64 {
        let mean = counts.iter().sum::<u32>() as f64 / counts.len() as f64;
        let square = |count: &u32| (f64::from(*count) - mean).powi(2) / mean;
        counts.iter().map(square).sum()
    }

    /// Random seeds; and seeds that differ in a few low bits only, as no node draws them.
    fn seeds(random: bool, count: u64) -> Vec<Seed> {
        let mut rng = ChaCha12Rng::seed_from_u64(1);
        let base: [u64; 2] = rng.random();
        (0..count)
            .map(|n| {
                if random {
                    Seed::new(&mut rng)
                } else {
                    Seed([base[0] + n, base[1] + (n & 7)])
                }
            })
            .collect()
    }

    fn marks(random: bool) -> Vec<u64> {
        let mut rng = ChaCha12Rng::seed_from_u64(2);
        let mark = |n: u64| if random { rng.random() } else { n };
        (0..PEERS as u64).map(mark).collect()
    }

    /// Each peer wins as many slots as any other (chi-square, 15 degrees of freedom: mean 15, standard deviation 5.5), and who wins one
    /// slot says nothing about who wins the next (255 degrees of freedom: mean 255, standard deviation 22.6).
    #[test]
    fn wins_are_even_and_slots_independent() {
        for (random_seeds, random_marks) in
            [(true, true), (true, false), (false, true), (false, false)]
        {
            let seeds = seeds(random_seeds, 1 << 15);
            let marks = marks(random_marks);
            let won: Vec<usize> = seeds.iter().map(|seed| winner(seed, &marks)).collect();
            let mut single = [0; PEERS];
            let mut pairs = [0; PEERS * PEERS];
            for pair in won.chunks(2) {
                single[pair[0]] += 1;
                single[pair[1]] += 1;
                pairs[pair[0] * PEERS + pair[1]] += 1;
            }
            let (single, pairs) = (chi_square(&single), chi_square(&pairs));
            let case = format!("{random_seeds} {random_marks}: {single} {pairs}");
            assert!((2.0..37.0).contains(&single), "{case}");
            assert!((165.0..345.0).contains(&pairs), "{case}");
        }
    }

    /// The order of two peers under one seed says nothing about their order under another, and neither does their distance.
    #[test]
    fn numbers_are_spread_evenly_down_to_their_least() {
        let seeds = seeds(true, 1 << 15);
        for mark in [0, 1, u64::MAX, 0x1234_5678_9abc_def0] {
            // The top six bits, and those of numbers below 2^58: what decides among many peers.
            let (mut top, mut low) = ([0; 64], [0; 16]);
            for (n, seed) in seeds.iter().enumerate() {
                for near in 0..4 {
                    let number = seed.of(mark ^ (near << (n % 60)));
                    top[(number >> 58) as usize] += 1;
                    if number >> 58 == 0 {
                        low[(number >> 54) as usize] += 1;
                    }
                }
            }
            let (top, low) = (chi_square(&top), chi_square(&low));
            assert!((25.0..125.0).contains(&top), "{mark:x}: {top}");
            assert!((2.0..45.0).contains(&low), "{mark:x}: {low}");
        }
    }

    #[test]
    fn one_bit_of_a_mark_changes_half_the_bits() {
        let mut changed = 0;
        for (n, seed) in seeds(true, 4096).iter().enumerate() {
            let mark = (n as u64).wrapping_mul(0x1357_9bdf_0246_8ace);
            changed += (seed.of(mark) ^ seed.of(mark ^ 1 << (n % 64))).count_ones();
        }
        let mean = f64::from(changed) / 4096.0;
        assert!((31.5..32.5).contains(&mean), "{mean}");
    }
}
