//! The caches of decoded parts, bounded in bytes, shared by all segments of a store.
//!
//! Indexes have a cache of their own: one index may be larger than hundreds of blocks, and a page of history that pushed
//! out an index would cost the next one a read of megabytes.

use std::hash::Hash;
use std::sync::Arc;
use tidestore_disk::sync::atomic::{AtomicU64, Ordering};

use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

use crate::error::Result;
use crate::segment::block::Block;
use crate::segment::ids::IdPage;
use crate::segment::index::Index;

/// Decoded blocks and id pages, indexes, and what is kept of receipt runs. Concurrent reads of one cold part are one read.
#[derive(Debug)]
pub struct BlockCache {
    parts: Cache<Key, Cached, ByMemory>,
    indexes: Cache<(u16, u64), Arc<Index>, ByMemory>,
    prefixes: Arc<Budget>,
}

/// How many bytes each of the caches may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheBytes {
    /// Decoded blocks and id pages.
    pub blocks: usize,
    /// Indexes of segments. One that is larger than this by itself is read anew each time.
    pub indexes: usize,
    /// Prefixes of receipts. A run that finds no room is searched on the disk.
    pub prefixes: usize,
}

/// What a cache did and holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheUse {
    /// Bytes that are cached now.
    pub bytes: u64,
    /// Look-ups that found what they wanted.
    pub hits: u64,
    /// Look-ups that did not.
    pub misses: u64,
}

/// Bytes that are given out up to a bound.
#[derive(Debug)]
pub(crate) struct Budget {
    max: u64,
    used: AtomicU64,
}

/// A share of a budget, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Budget {
    /// Takes a share, if there is as much left.
    pub(crate) fn take(self: &Arc<Self>, bytes: u64) -> Option<Share> {
        let add = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= self.max);
        let taken = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        taken.ok().map(|_| Share {
            budget: Arc::clone(self),
            bytes,
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
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

impl Weighter<(u16, u64), Arc<Index>> for ByMemory {
    fn weight(&self, _: &(u16, u64), index: &Arc<Index>) -> u64 {
        index.memory() + 64
    }
}

impl BlockCache {
    /// Makes a cache that holds at most so many bytes of blocks, and as many of indexes and of prefixes.
    pub fn new(bytes: usize) -> Self {
        Self::bounded(CacheBytes {
            blocks: bytes,
            indexes: bytes,
            prefixes: bytes,
        })
    }

    /// Makes caches that hold at most so many bytes.
    pub fn bounded(bytes: CacheBytes) -> Self {
        let expected = bytes.blocks / (32 << 10) + 16;
        let hasher = DefaultHashBuilder::default();
        let lifecycle = quick_cache::sync::DefaultLifecycle::default();
        // One shard: otherwise an index could have only a part of the room.
        let options = OptionsBuilder::new()
            .shards(1)
            .estimated_items_capacity(1_024)
            .weight_capacity(bytes.indexes as u64)
            .build();
        let parts = Cache::with(
            expected,
            bytes.blocks as u64,
            ByMemory,
            hasher.clone(),
            lifecycle,
        );
        let lifecycle = quick_cache::sync::DefaultLifecycle::default();
        // All that has to be given is given, so the second way is never gone.
        let indexes = match options {
            Ok(options) => Cache::with_options(options, ByMemory, hasher, lifecycle),
            Err(_) => Cache::with(16, bytes.indexes as u64, ByMemory, hasher, lifecycle),
        };
        Self {
            parts,
            indexes,
            prefixes: Arc::new(Budget {
                max: bytes.prefixes as u64,
                used: AtomicU64::new(0),
            }),
        }
    }

    /// Bytes of blocks and id pages that are cached now.
    pub fn bytes(&self) -> u64 {
        self.parts.weight()
    }

    /// What the cache of blocks and id pages did and holds.
    pub fn blocks(&self) -> CacheUse {
        CacheUse {
            bytes: self.parts.weight(),
            hits: self.parts.hits(),
            misses: self.parts.misses(),
        }
    }

    /// What the cache of indexes did and holds.
    pub fn indexes(&self) -> CacheUse {
        CacheUse {
            bytes: self.indexes.weight(),
            hits: self.indexes.hits(),
            misses: self.indexes.misses(),
        }
    }

    /// Bytes of prefixes of receipts that are in memory now.
    pub fn prefix_bytes(&self) -> u64 {
        self.prefixes.used.load(Ordering::Relaxed)
    }

    pub(crate) fn prefixes(&self) -> &Arc<Budget> {
        &self.prefixes
    }

    pub(crate) fn index(&self, shard: u16, generation: u64) -> Option<Arc<Index>> {
        self.indexes.get(&(shard, generation))
    }

    /// Takes an index from the cache or loads it; whoever asks meanwhile waits for the same load.
    pub(crate) fn index_or_load(
        &self,
        shard: u16,
        generation: u64,
        load: impl FnOnce() -> Result<Index>,
    ) -> Result<Arc<Index>> {
        let load = || load().map(Arc::new);
        loaded(&self.indexes, &(shard, generation), load)
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
        loaded(&self.parts, key, load)
    }
}

/// Takes what is cached, or loads it once for all who ask.
#[cfg(not(shuttle))]
fn loaded<K: Hash + Eq + Clone, V: Clone>(
    cache: &Cache<K, V, ByMemory>,
    key: &K,
    load: impl FnOnce() -> Result<V>,
) -> Result<V>
where
    ByMemory: Weighter<K, V>,
{
    cache.get_or_insert_with(key, load)
}

/// Waiting for somebody else's load is a wait that the scheduler does not see, so under it everybody loads.
#[cfg(shuttle)]
fn loaded<K: Hash + Eq + Clone, V: Clone>(
    cache: &Cache<K, V, ByMemory>,
    key: &K,
    load: impl FnOnce() -> Result<V>,
) -> Result<V>
where
    ByMemory: Weighter<K, V>,
{
    if let Some(cached) = cache.get(key) {
        return Ok(cached);
    }
    let value = load()?;
    cache.insert(key.clone(), value.clone());
    Ok(value)
}
