//! Everything from outside that a store needs, in one value.

use std::path::Path;
use std::sync::Arc;

use crate::{
    Clock, Disk, Entropy, OsEntropy, RealClock, RealDisk, Result, SimClock, SimDisk, SimEntropy,
};

/// A disk, a clock and a source of randomness. Clones share them.
#[derive(Clone, Debug)]
pub struct Env {
    /// Where the files are.
    pub disk: Arc<dyn Disk>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where random bytes come from.
    pub entropy: Arc<dyn Entropy>,
}

impl Env {
    /// The machine itself, with files below `root`, which is created if it is missing.
    ///
    /// # Errors
    ///
    /// Those of [`RealDisk::create`].
    pub fn real(root: &Path) -> Result<Self> {
        Ok(Self::on(RealDisk::create(root)?))
    }

    /// The machine itself, with files below `root`, which must exist.
    ///
    /// # Errors
    ///
    /// Those of [`RealDisk::open`].
    pub fn existing(root: &Path) -> Result<Self> {
        Ok(Self::on(RealDisk::open(root)?))
    }

    /// A simulation: the same arguments and calls give the same results.
    pub fn sim(disk: SimDisk, clock: SimClock, seed: u64) -> Self {
        let entropy = Arc::new(SimEntropy::new(seed));
        Self {
            disk: Arc::new(disk),
            clock: Arc::new(clock),
            entropy,
        }
    }

    fn on(disk: RealDisk) -> Self {
        Self {
            disk: Arc::new(disk),
            clock: Arc::new(RealClock),
            entropy: Arc::new(OsEntropy),
        }
    }
}
