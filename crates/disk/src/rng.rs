//! A small seeded generator for simulation: the same seed gives the same numbers for ever.

/// The splitmix64 generator: a counter stepped by an odd constant, scrambled by two
/// multiplications.
#[derive(Clone, Debug)]
pub(crate) struct SplitMix {
    state: u64,
}

impl SplitMix {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number in `0..=max`.
    pub(crate) fn up_to(&mut self, max: usize) -> usize {
        let choices = max as u64 + 1;
        usize::try_from(self.next() % choices).unwrap_or(max)
    }

    /// True in `percent` of a hundred cases.
    pub(crate) fn percent(&mut self, percent: u32) -> bool {
        self.next() % 100 < u64::from(percent)
    }
}
