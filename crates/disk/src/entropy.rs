//! Random bytes: the operating system's, or seeded ones in simulation.

use std::path::Path;

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::rng::SplitMix;
use crate::sync::Mutex;
use crate::{Entropy, Error, Result};

/// The operating system's generator (`getrandom`).
#[derive(Clone, Copy, Debug, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    fn fill(&self, mut buf: &mut [u8]) -> Result<()> {
        while !buf.is_empty() {
            match getrandom(&mut *buf, GetRandomFlags::empty()) {
                Ok(filled) => buf = buf.get_mut(filled..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(Error::io("getrandom", Path::new(""), errno.into())),
            }
        }
        Ok(())
    }
}

/// A seeded generator: the same seed and the same calls give the same bytes. Not for secrets.
#[derive(Debug)]
pub struct SimEntropy {
    generator: Mutex<SplitMix>,
}

impl SimEntropy {
    /// Starts the generator.
    pub fn new(seed: u64) -> Self {
        Self {
            generator: Mutex::new(SplitMix::new(seed)),
        }
    }
}

impl Entropy for SimEntropy {
    fn fill(&self, buf: &mut [u8]) -> Result<()> {
        let mut generator = self.generator.lock();
        for chunk in buf.chunks_mut(8) {
            let bytes = generator.next().to_le_bytes();
            chunk
                .iter_mut()
                .zip(bytes)
                .for_each(|(to, from)| *to = from);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(entropy: &dyn Entropy) -> [u8; 29] {
        let mut buf = [0; 29];
        entropy.fill(&mut buf).unwrap();
        buf
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
        assert_eq!(bytes(&SimEntropy::new(7)), bytes(&SimEntropy::new(7)));
        assert_ne!(bytes(&SimEntropy::new(7)), bytes(&SimEntropy::new(8)));
    }

    #[test]
    fn the_operating_system_gives_other_bytes_each_time() {
        assert_ne!(bytes(&OsEntropy), bytes(&OsEntropy));
    }
}
