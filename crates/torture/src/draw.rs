//! Where chance comes from: a seed, or the bytes of a fuzzer.

use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A source of decisions. The same source gives the same decisions.
#[derive(Clone, Debug)]
pub(crate) struct Draw(Source);

#[derive(Clone, Debug)]
enum Source {
    Seed(Box<ChaCha8Rng>),
    Bytes { bytes: Vec<u8>, at: usize },
}

impl Draw {
    /// Never ends.
    pub(crate) fn from_seed(seed: u64) -> Self {
        Self(Source::Seed(Box::new(ChaCha8Rng::seed_from_u64(seed))))
    }

    /// Takes a byte or more for each decision; decides for the first choice once they are used up.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        let bytes = bytes.to_vec();
        Self(Source::Bytes { bytes, at: 0 })
    }

    /// Whether the bytes are used up. A seed never is.
    pub(crate) fn is_spent(&self) -> bool {
        match &self.0 {
            Source::Seed(_) => false,
            Source::Bytes { bytes, at } => at >= &bytes.len(),
        }
    }

    /// A number below `end`; 0 if that is 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        if end <= 1 {
            return 0;
        }
        let drawn = match &mut self.0 {
            Source::Seed(rng) => rng.next_u64(),
            Source::Bytes { bytes, at } => {
                // As few bytes as the range needs, so that a fuzzer's input goes a long way.
                let wanted = (u64::BITS - (end - 1).leading_zeros()).div_ceil(8);
                let mut drawn = 0;
                for _ in 0..wanted {
                    drawn = drawn << 8 | u64::from(bytes.get(*at).copied().unwrap_or_default());
                    *at += 1;
                }
                drawn
            }
        };
        drawn % end
    }

    /// An index below `end`; 0 if that is 0.
    pub(crate) fn index(&mut self, end: usize) -> usize {
        usize::try_from(self.below(end as u64)).unwrap_or_default()
    }

    /// True in so many cases of a hundred.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of some things; `None` if there are none.
    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.index(from.len()))
    }

    /// One of the names, each as often as the weight that stands beside it.
    pub(crate) fn weighted<T: Copy>(&mut self, choices: &[(u64, T)], otherwise: T) -> T {
        let mut at = self.below(choices.iter().map(|(weight, _)| weight).sum());
        for (weight, choice) in choices {
            if at < *weight {
                return *choice;
            }
            at -= weight;
        }
        otherwise
    }
}

/// Mixes numbers to a seed, so that rounds of one seed have nothing in common.
pub(crate) fn mix(a: u64, b: u64) -> u64 {
    let mut mixed = (a ^ b.rotate_left(32)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}
