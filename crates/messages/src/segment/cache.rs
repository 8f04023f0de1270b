//! The cache of decoded parts, bounded in bytes, shared by all segments of a store.

use std::sync::Arc;

use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Weighter};

use crate::error::Result;
use crate::segment::block::Block;
use crate::segment::ids::IdPage;

/// Decoded blocks and id pages. Concurrent reads of one cold part are one read.
#[derive(Debug)]
pub struct BlockCache {
    parts: Cache<Key, Cached, ByMemory>,
}

/// Which part of which file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) shard: u16,
    pub(crate) generation: u64,
    pub(crate) part: Part,
}

/// A part of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    Block(u32),
    Ids(u32),
}

/// A decoded part.
#[derive(Clone, Debug)]
pub(crate) enum Cached {
    Block(Arc<Block>),
    Ids(Arc<IdPage>),
}

#[derive(Clone, Copy, Debug)]
struct ByMemory;

impl Weighter<Key, Cached> for ByMemory {
    fn weight(&self, _: &Key, cached: &Cached) -> u64 {
        let memory = match cached {
            Cached::Block(block) => block.memory(),
            Cached::Ids(page) => page.memory(),
        };
        memory + 64
    }
}

impl BlockCache {
    /// Makes a cache that holds at most so many bytes.
    pub fn new(bytes: usize) -> Self {
        let capacity = bytes as u64;
        let expected = bytes / (32 << 10) + 16;
        let hasher = DefaultHashBuilder::default();
        let lifecycle = quick_cache::sync::DefaultLifecycle::default();
        Self {
            parts: Cache::with(expected, capacity, ByMemory, hasher, lifecycle),
        }
    }

    /// Bytes that are cached now.
    pub fn bytes(&self) -> u64 {
        self.parts.weight()
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Cached> {
        self.parts.get(key)
    }

    /// Takes a part from the cache or loads it; whoever asks meanwhile waits for the same load.
    pub(crate) fn get_or_load(
        &self,
        key: &Key,
        load: impl FnOnce() -> Result<Cached>,
    ) -> Result<Cached> {
        #[cfg(not(shuttle))]
        return self.parts.get_or_insert_with(key, load);
        // Waiting for somebody else's load is a wait that the scheduler does not see, so here everybody loads.
        #[cfg(shuttle)]
        {
            if let Some(cached) = self.get(key) {
                return Ok(cached);
            }
            let cached = load()?;
            self.parts.insert(*key, cached.clone());
            Ok(cached)
        }
    }
}
