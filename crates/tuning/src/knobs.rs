//! The store's options that change how fast it is and how much it takes.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidestore::Options;

/// Options of a store; what is `None` is the default's. The meaning of each stands at [`Options`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Knobs {
    /// Shards of a new store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shards: Option<u16>,
    /// Bytes of a block before compression.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_bytes: Option<usize>,
    /// zstd level of blocks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression_level: Option<i32>,
    /// Bytes of a memtable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memtable_bytes: Option<usize>,
    /// Bytes for decoded blocks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_bytes: Option<usize>,
    /// Bytes of a commit log file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_file_bytes: Option<u64>,
    /// How long buffered appends wait for their flush, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buffered_delay_ms: Option<u64>,
}

impl Knobs {
    /// These options over the default ones.
    pub fn options(&self) -> Options {
        let mut options = Options::default();
        let Self {
            shards,
            block_bytes,
            compression_level,
            memtable_bytes,
            cache_bytes,
            log_file_bytes,
            buffered_delay_ms,
        } = *self;
        options.shards = shards.unwrap_or(options.shards);
        options.block_bytes = block_bytes.unwrap_or(options.block_bytes);
        options.compression_level = compression_level.unwrap_or(options.compression_level);
        options.memtable_bytes = memtable_bytes.unwrap_or(options.memtable_bytes);
        options.cache_bytes = cache_bytes.unwrap_or(options.cache_bytes);
        options.log_file_bytes = log_file_bytes.unwrap_or(options.log_file_bytes);
        if let Some(millis) = buffered_delay_ms {
            options.buffered_delay = Duration::from_millis(millis);
        }
        options
    }
}
