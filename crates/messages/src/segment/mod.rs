//! Segments: immutable files of one bucket and one shard, of one app or of several small ones.
//!
//! The long form, with a worked example and what a crash may leave: `docs/format/segment.md`.
//!
//! Rows are sorted by app, conversation and id, so a page of a conversation lies in few blocks.
//!
//! # Format, version 2
//!
//! ```text
//! offset   size  what
//!      0     72  header: magic "TIDESEG1" 8, version 2, shard 2, app 4 (all ones: shared), generation 8, store id 16,
//!                bucket start 8, bucket end 8, zeros 12, crc32 4
//!     72      …  blocks, each a section of columns (see `columns`)
//!      …      …  id pages, each a section (see `ids`)
//!      …      …  the index, a section (see `index`)
//!      …      …  the footer, a section: bincode of `SegmentMeta` with a file length of 0
//!    -24     24  trailer: offset of the footer 8, its length 4, crc32 4, magic 8
//!
//! section:  raw length 4, stored length 4, crc32 4, zstd frame
//! ```
//!
//! Integers are little-endian. Every checksum is seeded with store id, shard, generation and offset, and covers the
//! lengths, so a section that is whole but in the wrong place is refused. A raw length is bounded before anything is
//! allocated, and bounds what is unpacked.
//!
//! Version 2 adds attachments to blocks, see `columns`; all else is as in version 1, and both are read. The header's
//! version tells programs that know only version 1 to leave the file alone; blocks are read without it.
//!
//! A reader takes the offsets of the parts from the manifest; the footer repeats them so that the file can be checked
//! and understood without the rest of the store.
//!
//! | after a crash while writing | what opening the store finds |
//! |---|---|
//! | before the rename is durable | a file under a temporary name, or none: swept |
//! | after it, before the manifest change | a whole file that nobody names: swept, its messages are in the log |
//! | after the manifest change | the segment |

mod block;
mod cache;
mod columns;
mod format;
mod ids;
mod index;
mod salvage;
mod scan;
mod verify;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tidestore_disk::{FileCache, FileExt, Seal};

use crate::error::{Error, Result};
use crate::types::{AppId, Conversation, Message, MessageId};

pub use block::Block;
pub use cache::{BlockCache, CacheBytes, CacheUse};
pub(crate) use cache::{Budget, Share};
pub use format::{AppShare, Bucket, Owner, SegmentHead, SegmentMeta, SegmentOptions, StoreId};
pub use index::{Bounds, Run, locator_hash as conversation_hash};
pub use salvage::{LostRun, Salvage, identify, meta_of_header};
pub use scan::SegmentScan;
pub use verify::{SegmentReport, inspect};
pub use writer::SegmentWriter;

/// The decoders of parts, for [`fuzzing`](crate::fuzzing).
pub(crate) mod parts {
    pub(crate) use super::format::{BLOCK_RAW_MAX, SECTION_RAW_MAX, open_section};
    pub(crate) use super::ids::IdPage;
    pub(crate) use super::index::Index;
}

use cache::{Cached, Key, Part};
use format::open_section;
use ids::IdPage;
use index::{Index, locator_hash};

/// Whether a read may touch the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Io {
    /// Only what is in memory; otherwise [`Lookup::WouldBlock`].
    CachedOnly,
    /// Whatever it takes.
    Allowed,
}

/// The answer of a read that may not touch the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup<T> {
    /// Here it is.
    Ready(T),
    /// It is not in memory: ask again where reading may block.
    WouldBlock,
}

impl<T> Lookup<T> {
    /// What is ready.
    pub fn ready(self) -> Option<T> {
        match self {
            Self::Ready(value) => Some(value),
            Self::WouldBlock => None,
        }
    }
}

/// Unwraps what is ready; hands [`Lookup::WouldBlock`] to the caller.
macro_rules! ready {
    ($lookup:expr) => {
        match $lookup {
            $crate::segment::Lookup::Ready(value) => value,
            $crate::segment::Lookup::WouldBlock => return Ok($crate::segment::Lookup::WouldBlock),
        }
    };
}
pub(crate) use ready;

/// A written segment. Opening one reads nothing. Index, blocks and id pages go through the cache.
#[derive(Clone, Debug)]
pub struct Segment {
    files: Arc<FileCache>,
    blocks: Arc<BlockCache>,
    path: PathBuf,
    store: StoreId,
    seal: Seal,
    meta: Arc<SegmentMeta>,
}

impl Segment {
    /// Makes a reader of a segment that the manifest names.
    pub fn open(
        files: Arc<FileCache>,
        blocks: Arc<BlockCache>,
        path: &Path,
        store: StoreId,
        meta: &SegmentMeta,
    ) -> Self {
        let seal = format::seal(store, meta.shard, meta.generation);
        let (path, meta) = (path.to_owned(), Arc::new(meta.clone()));
        Self {
            files,
            blocks,
            path,
            store,
            seal,
            meta,
        }
    }

    /// Where a conversation's messages are; `None` if it has none here.
    ///
    /// # Errors
    ///
    /// [`Corruption`](crate::ErrorKind::Corruption) with file and offset if a part is damaged.
    pub fn run(
        &self,
        app: AppId,
        conversation: &Conversation,
        io: Io,
    ) -> Result<Lookup<Option<Run>>> {
        let index = ready!(self.index(io)?);
        let hash = locator_hash(self.store, app, conversation);
        let mut candidates = index.located(hash);
        let (first, second) = (candidates.next().copied(), candidates.next().copied());
        let Some(second) = second else {
            return Ok(Lookup::Ready(first));
        };
        // Two conversations with one hash: their blocks say which is which.
        for run in first.into_iter().chain([second]).chain(candidates.copied()) {
            let block = ready!(self.block(run.first_block, io)?);
            if !block.rows(app, conversation).is_empty() {
                return Ok(Lookup::Ready(Some(run)));
            }
        }
        Ok(Lookup::Ready(None))
    }

    /// Which ids and numbers a block holds.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn bounds(&self, block: u32, io: Io) -> Result<Lookup<Bounds>> {
        let index = ready!(self.index(io)?);
        Ok(Lookup::Ready(self.entry(&index, block)?.bounds))
    }

    /// A decoded block.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn block(&self, number: u32, io: Io) -> Result<Lookup<Arc<Block>>> {
        let part = self.part(Part::Block(number), io, || {
            let index = self.load_index()?;
            self.load_block(&index, number)
                .map(|block| Cached::Block(Arc::new(block)))
        })?;
        match ready!(part) {
            Cached::Block(block) => Ok(Lookup::Ready(block)),
            Cached::Ids(_) => Ok(Lookup::WouldBlock),
        }
    }

    /// Finds a message by its id alone.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn find(
        &self,
        app: AppId,
        id: MessageId,
        io: Io,
    ) -> Result<Lookup<Option<(AppId, Conversation, Message)>>> {
        let index = ready!(self.index(io)?);
        let of_app = index.blocks_of(app);
        let mut damage = None;
        for page in index.pages_between(id, id) {
            let page = ready!(self.ids(&index, page, io)?);
            // Other apps may have the same id; their blocks are not asked, so that their damage stays theirs.
            for number in page
                .blocks_of(id)
                .filter(|block| of_app.contains(&(*block as usize)))
            {
                let block = match self.block(number, io) {
                    Ok(block) => ready!(block),
                    Err(error) => {
                        damage.get_or_insert(error);
                        continue;
                    }
                };
                if let Some((conversation, message)) = block.find(app, id) {
                    return Ok(Lookup::Ready(Some((app, conversation, message))));
                }
            }
        }
        damage.map_or(Ok(Lookup::Ready(None)), Err)
    }

    /// The largest id of an app in `[low, high]`.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn max_id_between(
        &self,
        app: AppId,
        low: MessageId,
        high: MessageId,
    ) -> Result<Option<MessageId>> {
        let alone = match self.meta.owner {
            Owner::App(owner) if owner != app => return Ok(None),
            Owner::App(_) => true,
            Owner::Shared => false,
        };
        let index = self.load_index()?;
        let of_app = index.blocks_of(app);
        for page in index.pages_between(low, high).rev() {
            let Lookup::Ready(page) = self.ids(&index, page, Io::Allowed)? else {
                continue;
            };
            let within = page.entries.iter().rev().filter(|(id, block)| {
                (low..=high).contains(id) && of_app.contains(&(*block as usize))
            });
            for (id, block) in within {
                if alone || self.load_cached(*block)?.find(app, *id).is_some() {
                    return Ok(Some(*id));
                }
            }
        }
        Ok(None)
    }

    /// Counts an app's messages, and the bytes of their contents, from an id on. Reads nothing if all or none are
    /// counted, otherwise every block that may hold any.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn count(&self, app: AppId, from: MessageId) -> Result<(u64, u64)> {
        let Some(share) = self.meta.share(app).filter(|share| share.max_id >= from) else {
            return Ok((0, 0));
        };
        if share.min_id >= from {
            return Ok((share.messages, share.body_bytes));
        }
        let index = self.load_index()?;
        let (mut messages, mut bytes) = (0, 0);
        let range = index.blocks_of(app);
        for (number, entry) in (0_u32..)
            .zip(&index.blocks)
            .skip(range.start)
            .take(range.len())
        {
            if entry.bounds.max_id < from {
                continue;
            }
            let block = self.load_block(&index, number)?;
            for (_, _, rows) in block.runs().filter(|(run_app, ..)| *run_app == app) {
                for row in block.rows.get(rows).unwrap_or_default() {
                    if row.id >= from {
                        messages += 1;
                        bytes += u64::from(row.body.1) + u64::from(row.ext.1);
                    }
                }
            }
        }
        Ok((messages, bytes))
    }

    /// Reads every row in order, past the cache.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn scan(&self) -> Result<SegmentScan> {
        SegmentScan::start(self)
    }

    /// What the manifest says of it.
    pub fn meta(&self) -> &SegmentMeta {
        &self.meta
    }

    fn index(&self, io: Io) -> Result<Lookup<Arc<Index>>> {
        let (shard, generation) = (self.meta.shard, self.meta.generation);
        match io {
            Io::CachedOnly => Ok(self
                .blocks
                .index(shard, generation)
                .map_or(Lookup::WouldBlock, Lookup::Ready)),
            Io::Allowed => self.load_index().map(Lookup::Ready),
        }
    }

    fn load_index(&self) -> Result<Arc<Index>> {
        let (shard, generation) = (self.meta.shard, self.meta.generation);
        let load = || self.read_index();
        self.blocks.index_or_load(shard, generation, load)
    }

    /// The index for one pass over all of the segment: it does not push out those that readers need.
    fn passing_index(&self) -> Result<Arc<Index>> {
        let cached = self.blocks.index(self.meta.shard, self.meta.generation);
        cached.map_or_else(|| self.read_index().map(Arc::new), Ok)
    }

    fn read_index(&self) -> Result<Index> {
        let (from, end) = (self.meta.index_offset, self.meta.footer_offset);
        if !self.meta.is_plausible() {
            return Err(self.corrupt(from, "the manifest's offsets do not follow each other"));
        }
        let raw = self.section(from, end - from, format::SECTION_RAW_MAX)?;
        let index = Index::decode(&raw, self.meta.bucket.start, self.meta.ids_offset, from)
            .map_err(|error| Error::malformed(&self.path, from, &error))?;
        if index.blocks.len() != self.meta.blocks as usize {
            return Err(self.corrupt(from, "the index has not the blocks that the manifest says"));
        }
        Ok(index)
    }

    fn load_cached(&self, number: u32) -> Result<Arc<Block>> {
        let block = self.block(number, Io::Allowed)?.ready();
        block.ok_or_else(|| self.corrupt(self.meta.index_offset, "there is no such block"))
    }

    fn ids(&self, index: &Index, number: usize, io: Io) -> Result<Lookup<Arc<IdPage>>> {
        let Some(entry) = index.id_pages.get(number).copied() else {
            return Ok(Lookup::Ready(Arc::default()));
        };
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        let part = self.part(Part::Ids(number), io, || {
            let raw = self.section(entry.offset, entry.stored_len.into(), format::BLOCK_RAW_MAX)?;
            let page = IdPage::decode(&raw, entry.first_id, self.meta.shard)
                .map_err(|error| Error::malformed(&self.path, entry.offset, &error))?;
            Ok(Cached::Ids(Arc::new(page)))
        })?;
        match ready!(part) {
            Cached::Ids(page) => Ok(Lookup::Ready(page)),
            Cached::Block(_) => Ok(Lookup::WouldBlock),
        }
    }

    fn part(
        &self,
        part: Part,
        io: Io,
        load: impl FnOnce() -> Result<Cached>,
    ) -> Result<Lookup<Cached>> {
        let key = Key {
            shard: self.meta.shard,
            generation: self.meta.generation,
            part,
        };
        match io {
            Io::CachedOnly => Ok(self
                .blocks
                .get(&key)
                .map_or(Lookup::WouldBlock, Lookup::Ready)),
            Io::Allowed => self.blocks.get_or_load(&key, load).map(Lookup::Ready),
        }
    }

    fn load_block(&self, index: &Index, number: u32) -> Result<Block> {
        let entry = self.entry(index, number)?;
        let raw = self.section(entry.offset, entry.stored_len.into(), format::BLOCK_RAW_MAX)?;
        self.decode_block(entry, raw)
    }

    fn decode_block(&self, entry: &index::BlockEntry, raw: Vec<u8>) -> Result<Block> {
        let block = columns::decode(Bytes::from(raw), self.meta.bucket.start, self.meta.shard)
            .map_err(|error| Error::malformed(&self.path, entry.offset, &error))?;
        if block.rows.len() != entry.rows as usize {
            return Err(self.corrupt(
                entry.offset,
                "the block has not the rows that the index says",
            ));
        }
        Ok(block)
    }

    fn entry<'a>(&self, index: &'a Index, number: u32) -> Result<&'a index::BlockEntry> {
        let entry = index.blocks.get(number as usize);
        entry.ok_or_else(|| self.corrupt(self.meta.index_offset, "there is no such block"))
    }

    fn section(&self, offset: u64, len: u64, raw_max: usize) -> Result<Vec<u8>> {
        let bytes = self.stored(offset, len)?;
        open_section(&bytes, &self.seal, offset, &self.path, raw_max)
    }

    fn stored(&self, offset: u64, len: u64) -> Result<Vec<u8>> {
        let file = self.files.open(&self.path)?;
        // A manifest that is wrong must not make anybody allocate what the file cannot hold.
        if offset
            .checked_add(len)
            .is_none_or(|end| end > self.meta.file_len)
        {
            return Err(self.corrupt(offset, "a section reaches beyond the file"));
        }
        let len = usize::try_from(len)
            .ok()
            .filter(|len| *len <= format::SECTION_RAW_MAX + format::SECTION_HEAD_LEN)
            .ok_or_else(|| self.corrupt(offset, "a section is too long"))?;
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, offset, &self.path)?;
        Ok(bytes)
    }

    fn corrupt(&self, offset: u64, detail: &str) -> Error {
        Error::corruption(&self.path, offset, detail)
    }
}

#[cfg(test)]
mod tests;
