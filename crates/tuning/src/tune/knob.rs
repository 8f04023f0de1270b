//! The options that are tried, and their values.

use crate::knobs::Knobs;
use crate::spec::Wait;

/// One option, with the values that are tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Knob {
    /// Its name in [`Knobs`].
    pub name: &'static str,
    /// What is tried, the default among it, from small to large.
    pub values: Vec<u64>,
    default: u64,
}

/// All options that matter for a load of such durability.
pub fn all_knobs(durability: Wait) -> Vec<Knob> {
    let knob = |name, values: &[u64], default| Knob {
        name,
        values: values.to_vec(),
        default,
    };
    let mut all = vec![
        knob("shards", &[1, 2, 4, 8], 2),
        knob("block_bytes", &[16 << 10, 32 << 10, 64 << 10], 32 << 10),
        knob("compression_level", &[1, 3, 6, 9], 3),
        knob("memtable_bytes", &[8 << 20, 32 << 20, 128 << 20], 32 << 20),
        knob("cache_bytes", &[16 << 20, 64 << 20, 256 << 20], 64 << 20),
        knob("log_file_bytes", &[4 << 20, 16 << 20, 64 << 20], 16 << 20),
    ];
    if durability == Wait::Buffered {
        all.push(knob("buffered_delay_ms", &[10, 100, 1_000], 100));
    }
    all
}

impl Knob {
    /// The value that options have.
    pub fn get(&self, knobs: &Knobs) -> u64 {
        let found = match self.name {
            "shards" => knobs.shards.map(u64::from),
            "block_bytes" => knobs.block_bytes.map(|n| n as u64),
            "compression_level" => knobs.compression_level.and_then(|n| u64::try_from(n).ok()),
            "memtable_bytes" => knobs.memtable_bytes.map(|n| n as u64),
            "cache_bytes" => knobs.cache_bytes.map(|n| n as u64),
            "log_file_bytes" => knobs.log_file_bytes,
            _ => knobs.buffered_delay_ms,
        };
        found.unwrap_or(self.default)
    }

    /// The same options with another value of this one. The default is left out, so that it stays the default.
    pub fn set(&self, knobs: Knobs, value: u64) -> Knobs {
        let value = (value != self.default).then_some(value);
        let size = value.and_then(|n| usize::try_from(n).ok());
        match self.name {
            "shards" => Knobs {
                shards: value.and_then(|n| u16::try_from(n).ok()),
                ..knobs
            },
            "block_bytes" => Knobs {
                block_bytes: size,
                ..knobs
            },
            "compression_level" => Knobs {
                compression_level: value.and_then(|n| i32::try_from(n).ok()),
                ..knobs
            },
            "memtable_bytes" => Knobs {
                memtable_bytes: size,
                ..knobs
            },
            "cache_bytes" => Knobs {
                cache_bytes: size,
                ..knobs
            },
            "log_file_bytes" => Knobs {
                log_file_bytes: value,
                ..knobs
            },
            _ => Knobs {
                buffered_delay_ms: value,
                ..knobs
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use tidestore::Options;

    use super::*;

    #[test]
    fn every_knob_turns_its_option_and_no_other() {
        for knob in all_knobs(Wait::Buffered) {
            assert!(knob.values.contains(&knob.default), "{}", knob.name);
            let as_it_is = format!("{:?}", Options::default());
            for value in &knob.values {
                let turned = knob.set(Knobs::default(), *value);
                assert_eq!(knob.get(&turned), *value, "{}", knob.name);
                let options = format!("{:?}", turned.options());
                assert_eq!(options == as_it_is, *value == knob.default, "{}", knob.name);
                let back = knob.set(turned, knob.default);
                assert_eq!(back, Knobs::default(), "{}", knob.name);
            }
        }
    }
}
