//! Drawing from distributions, in whole numbers so that every machine draws the same.

use rand::RngCore;
use rand_chacha::ChaCha8Rng;

/// The generator behind everything: fast, and the same on every machine.
pub(crate) type Rng = ChaCha8Rng;

/// A number below `len`, each equally likely; 0 if `len` is 0.
pub(crate) fn below(rng: &mut Rng, len: usize) -> usize {
    scale(rng.next_u32(), len)
}

/// A number below `len`, the small ones far more often: word lists stand in order of use.
pub(crate) fn skewed_below(rng: &mut Rng, len: usize) -> usize {
    let uniform = u64::from(rng.next_u32());
    let squared = (uniform * uniform) >> 32;
    scale(u32::try_from(squared).unwrap_or(u32::MAX), len)
}

/// True in `percent` of 100 cases.
pub(crate) fn chance(rng: &mut Rng, percent: u32) -> bool {
    scale(rng.next_u32(), 10_000) < usize::try_from(percent).unwrap_or(0) * 100
}

/// A number in `[0, 1)`.
pub(crate) fn unit(rng: &mut Rng) -> f64 {
    f64::from(rng.next_u32()) / (f64::from(u32::MAX) + 1.0)
}

/// A draw from the exponential distribution with mean 1.
pub(crate) fn exponential(rng: &mut Rng) -> f64 {
    -(1.0 - unit(rng)).ln()
}

/// Rounds a number that is known to be positive and small.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float to integer cast saturates, which is what is wanted at the edges"
)]
pub(crate) fn round(number: f64) -> u64 {
    number.round() as u64
}

/// A count as a float; counts here are far below 2^52.
#[expect(clippy::cast_precision_loss, reason = "counts here are far below 2^52")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

fn scale(uniform: u32, len: usize) -> usize {
    let product = u64::from(uniform) * (len as u64);
    usize::try_from(product >> 32).unwrap_or(0)
}

/// Numbers `0..len` with given weights.
#[derive(Clone, Debug)]
pub(crate) struct Weighted {
    /// Upper ends of the shares, rising to `u32::MAX`.
    ends: Vec<u32>,
}

impl Weighted {
    pub(crate) fn new(weights: &[f64]) -> Self {
        let total: f64 = weights.iter().sum();
        let mut sum = 0.0;
        let ends = weights.iter().map(|weight| {
            sum += weight;
            u32::try_from(round(sum / total * f64::from(u32::MAX))).unwrap_or(u32::MAX)
        });
        Self {
            ends: ends.collect(),
        }
    }

    /// The number that is drawn; 0 if there are none.
    pub(crate) fn draw(&self, rng: &mut Rng) -> usize {
        let uniform = rng.next_u32();
        let found = self.ends.partition_point(|end| *end < uniform);
        found.min(self.ends.len().saturating_sub(1))
    }
}

/// Weights that fall with the rank to the power of `exponent`.
pub(crate) fn zipf(len: usize, exponent: f64) -> impl Iterator<Item = f64> {
    (1..=len as u64).map(move |rank| float(rank).powf(-exponent))
}
