//! The index section: which block holds what.
//!
//! ```text
//! blocks                          count, then columns: stored length, rows, app of the first row from the block
//!                                 before, smallest id from the bucket's start, largest id from it, smallest seq, largest from it
//! locator                         count, then columns: hash from the one before, first block, last from it,
//!                                 messages, smallest seq, largest from it
//! id pages                        count, then columns: stored length, first id from the page before
//! ```
//!
//! Blocks lie one behind the other from the end of the header, id pages behind them; so lengths are enough. The locator
//! is sorted by a keyed hash of (app, conversation): a search that finds nothing is all the filter a segment needs.

use siphasher::sip::SipHasher13;
use tidestore_disk::Millis;

use crate::codec::{Malformed, Reader, put_varint};
use crate::segment::format::{BLOCK_RAW_MAX, HEADER_LEN, SECTION_HEAD_LEN, StoreId};
use crate::types::{AppId, Conversation, MessageId, Seq};

/// No block has more rows: each takes up at least eight bytes before compression.
const ROWS_MAX: u32 = 1 << 20;
const _: () = assert!(ROWS_MAX as usize == BLOCK_RAW_MAX / 8);

/// Where blocks, conversations and ids are.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Index {
    pub(crate) blocks: Vec<BlockEntry>,
    pub(crate) locator: Vec<Located>,
    pub(crate) id_pages: Vec<IdPageEntry>,
}

/// One block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockEntry {
    pub(crate) offset: u64,
    pub(crate) stored_len: u32,
    pub(crate) rows: u32,
    /// App of the first row: where an app's blocks begin and end in a shared segment.
    pub(crate) first_app: AppId,
    pub(crate) bounds: Bounds,
}

/// Which ids and numbers a block holds, over all of its conversations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Smallest id.
    pub min_id: MessageId,
    /// Largest id.
    pub max_id: MessageId,
    /// Smallest seq.
    pub min_seq: Seq,
    /// Largest seq.
    pub max_seq: Seq,
}

/// One conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Located {
    pub(crate) hash: u64,
    pub(crate) run: Run,
}

/// Where a conversation's messages are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first block that holds some.
    pub first_block: u32,
    /// The last one.
    pub last_block: u32,
    /// How many there are.
    pub messages: u64,
    /// Smallest seq.
    pub first_seq: Seq,
    /// Largest seq.
    pub last_seq: Seq,
}

/// One page of the id index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IdPageEntry {
    pub(crate) offset: u64,
    pub(crate) stored_len: u32,
    pub(crate) first_id: MessageId,
}

/// Hashes what the locator is searched by; keyed, so that nobody outside can make names collide.
pub fn locator_hash(store: StoreId, app: AppId, conversation: &Conversation) -> u64 {
    use std::hash::Hasher;
    let mut hasher = SipHasher13::new_with_key(&store.0);
    hasher.write(&app.0.to_le_bytes());
    hasher.write(conversation.as_str().as_bytes());
    hasher.finish()
}

impl Bounds {
    pub(crate) fn of(id: MessageId, seq: Seq) -> Self {
        Self {
            min_id: id,
            max_id: id,
            min_seq: seq,
            max_seq: seq,
        }
    }

    pub(crate) fn widen(&mut self, id: MessageId, seq: Seq) {
        self.min_id = self.min_id.min(id);
        self.max_id = self.max_id.max(id);
        self.min_seq = self.min_seq.min(seq);
        self.max_seq = self.max_seq.max(seq);
    }
}

impl Index {
    /// Memory that it takes up, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        let bytes = size_of_val(self.blocks.as_slice())
            + size_of_val(self.locator.as_slice())
            + size_of_val(self.id_pages.as_slice());
        bytes as u64
    }

    pub(crate) fn encode(&self, bucket_start: Millis) -> Vec<u8> {
        let base = MessageId::first_at(bucket_start).0;
        let mut out = Vec::new();
        let blocks = &self.blocks;
        put_varint(&mut out, blocks.len() as u64);
        put_column(&mut out, blocks, |block| block.stored_len.into());
        put_column(&mut out, blocks, |block| block.rows.into());
        let mut previous = 0;
        put_column(&mut out, blocks, |block| {
            let app = block.first_app.0;
            (app - std::mem::replace(&mut previous, app)).into()
        });
        put_column(&mut out, blocks, |block| {
            block.bounds.min_id.0.wrapping_sub(base)
        });
        put_column(&mut out, blocks, |b| {
            b.bounds.max_id.0.wrapping_sub(b.bounds.min_id.0)
        });
        put_column(&mut out, blocks, |block| block.bounds.min_seq.0);
        put_column(&mut out, blocks, |b| {
            b.bounds.max_seq.0.wrapping_sub(b.bounds.min_seq.0)
        });
        let locator = &self.locator;
        put_varint(&mut out, locator.len() as u64);
        let mut previous = 0;
        put_column(&mut out, locator, |entry| {
            entry
                .hash
                .wrapping_sub(std::mem::replace(&mut previous, entry.hash))
        });
        put_column(&mut out, locator, |entry| entry.run.first_block.into());
        put_column(&mut out, locator, |e| {
            (e.run.last_block - e.run.first_block).into()
        });
        put_column(&mut out, locator, |entry| entry.run.messages);
        put_column(&mut out, locator, |entry| entry.run.first_seq.0);
        put_column(&mut out, locator, |e| {
            e.run.last_seq.0.wrapping_sub(e.run.first_seq.0)
        });
        let pages = &self.id_pages;
        put_varint(&mut out, pages.len() as u64);
        put_column(&mut out, pages, |page| page.stored_len.into());
        let mut previous = base;
        put_column(&mut out, pages, |page| {
            page.first_id
                .0
                .wrapping_sub(std::mem::replace(&mut previous, page.first_id.0))
        });
        out
    }

    /// Decodes the section and checks that its lengths fill exactly the file's parts.
    pub(crate) fn decode(
        raw: &[u8],
        bucket_start: Millis,
        ids_offset: u64,
        index_offset: u64,
    ) -> Result<Self, Malformed> {
        let base = MessageId::first_at(bucket_start).0;
        let mut reader = Reader::new(raw);
        let blocks = read_blocks(&mut reader, base, ids_offset)?;
        let locator = read_locator(&mut reader, &blocks)?;
        let id_pages = read_id_pages(&mut reader, base, ids_offset, index_offset)?;
        reader.finish()?;
        Ok(Self {
            blocks,
            locator,
            id_pages,
        })
    }

    /// Every run that may be a conversation's: those with its hash, nearly always one.
    pub(crate) fn located(&self, hash: u64) -> impl Iterator<Item = &Run> {
        let first = self.locator.partition_point(|entry| entry.hash < hash);
        let same = self
            .locator
            .iter()
            .skip(first)
            .take_while(move |entry| entry.hash == hash);
        same.map(|entry| &entry.run)
    }

    /// The blocks that may hold rows of an app: all of them unless apps share the segment.
    pub(crate) fn blocks_of(&self, app: AppId) -> std::ops::Range<usize> {
        let first = self
            .blocks
            .partition_point(|block| block.first_app < app)
            .saturating_sub(1);
        let end = self.blocks.partition_point(|block| block.first_app <= app);
        first..end.max(first)
    }

    /// The pages whose ids may reach into `[low, high]`.
    pub(crate) fn pages_between(&self, low: MessageId, high: MessageId) -> std::ops::Range<usize> {
        // Equal ids of two apps may stand on both sides of a page's edge.
        let first = self
            .id_pages
            .partition_point(|page| page.first_id < low)
            .saturating_sub(1);
        let end = self.id_pages.partition_point(|page| page.first_id <= high);
        first..end.max(first)
    }
}

fn put_column<T>(out: &mut Vec<u8>, items: &[T], mut number: impl FnMut(&T) -> u64) {
    for item in items {
        put_varint(out, number(item));
    }
}

fn read_blocks(
    reader: &mut Reader<'_>,
    base: u64,
    ids_offset: u64,
) -> Result<Vec<BlockEntry>, Malformed> {
    let count = section_count(reader, HEADER_LEN as u64, ids_offset)?;
    let stored = offsets(reader, count, HEADER_LEN as u64, ids_offset)?;
    let rows = reader.column(count)?;
    let apps = first_apps(reader, count)?;
    let (min_ids, ids) = (reader.column(count)?, reader.column(count)?);
    let (min_seqs, seqs) = (reader.column(count)?, reader.column(count)?);
    let numbers = rows
        .iter()
        .zip(apps)
        .zip(min_ids.iter().zip(&ids))
        .zip(min_seqs.iter().zip(&seqs));
    stored
        .into_iter()
        .zip(numbers)
        .map(
            |((offset, stored_len), (((rows, first_app), (min_id, ids)), (min_seq, seqs)))| {
                let min_id = base.wrapping_add(*min_id);
                let rows = u32::try_from(*rows).ok().filter(|rows| *rows <= ROWS_MAX);
                let rows = rows.ok_or_else(|| Malformed::new("a block is too long"))?;
                let bounds = Bounds {
                    min_id: MessageId(min_id),
                    max_id: MessageId(min_id.wrapping_add(*ids)),
                    min_seq: Seq(*min_seq),
                    max_seq: Seq(min_seq.wrapping_add(*seqs)),
                };
                Ok(BlockEntry {
                    offset,
                    stored_len,
                    rows,
                    first_app,
                    bounds,
                })
            },
        )
        .collect()
}

fn first_apps(reader: &mut Reader<'_>, count: usize) -> Result<Vec<AppId>, Malformed> {
    let mut app = 0_u64;
    let apps = reader.column(count)?.into_iter().map(|step| {
        app = app.saturating_add(step);
        u32::try_from(app)
            .map(AppId)
            .map_err(|_| Malformed::new("an app's number is too large"))
    });
    apps.collect()
}

fn read_locator(reader: &mut Reader<'_>, blocks: &[BlockEntry]) -> Result<Vec<Located>, Malformed> {
    let rows: u64 = blocks.iter().map(|block| u64::from(block.rows)).sum();
    let count = reader.count()?;
    if count as u64 > rows {
        return Err(Malformed::new("there are more conversations than rows"));
    }
    let hashes = reader.column(count)?;
    let (firsts, lasts) = (reader.column(count)?, reader.column(count)?);
    let messages = reader.column(count)?;
    let (first_seqs, last_seqs) = (reader.column(count)?, reader.column(count)?);
    let mut hash = 0_u64;
    let numbers = firsts
        .iter()
        .zip(&lasts)
        .zip(first_seqs.iter().zip(&last_seqs));
    hashes
        .iter()
        .zip(messages)
        .zip(numbers)
        .map(
            |((step, messages), ((first, last), (first_seq, last_seq)))| {
                hash = hash.wrapping_add(*step);
                let last_block = first
                    .checked_add(*last)
                    .filter(|last| *last < blocks.len() as u64);
                let bad = || Malformed::new("a conversation lies in blocks that are not there");
                let block = |number: u64| u32::try_from(number).map_err(|_| bad());
                let run = Run {
                    first_block: block(*first)?,
                    last_block: block(last_block.ok_or_else(bad)?)?,
                    messages,
                    first_seq: Seq(*first_seq),
                    last_seq: Seq(first_seq.wrapping_add(*last_seq)),
                };
                Ok(Located { hash, run })
            },
        )
        .collect()
}

fn read_id_pages(
    reader: &mut Reader<'_>,
    base: u64,
    start: u64,
    end: u64,
) -> Result<Vec<IdPageEntry>, Malformed> {
    let count = section_count(reader, start, end)?;
    let stored = offsets(reader, count, start, end)?;
    let steps = reader.column(count)?;
    let mut first = base;
    let page = |((offset, stored_len), step): ((u64, u32), u64)| {
        first = first.wrapping_add(step);
        IdPageEntry {
            offset,
            stored_len,
            first_id: MessageId(first),
        }
    };
    Ok(stored.into_iter().zip(steps).map(page).collect())
}

/// A count of sections that lie side by side from `start` to `end`. An index unpacks to far more bytes than its file has,
/// so it is the file that bounds how many there are: each takes up at least its head.
fn section_count(reader: &mut Reader<'_>, start: u64, end: u64) -> Result<usize, Malformed> {
    let count = reader.count()?;
    let most = end.saturating_sub(start) / SECTION_HEAD_LEN as u64;
    if count as u64 > most {
        return Err(Malformed::new(
            "there are more sections than the file can hold",
        ));
    }
    Ok(count)
}

/// Turns a column of lengths into offsets from `start`; they must end exactly at `end`.
fn offsets(
    reader: &mut Reader<'_>,
    count: usize,
    start: u64,
    end: u64,
) -> Result<Vec<(u64, u32)>, Malformed> {
    let bad = || Malformed::new("lengths do not add up to the file's parts");
    let mut offset = start;
    let mut list = Vec::with_capacity(count);
    for len in reader.column(count)? {
        let len = u32::try_from(len).map_err(|_| bad())?;
        list.push((offset, len));
        offset = offset.checked_add(len.into()).ok_or_else(bad)?;
    }
    if offset == end { Ok(list) } else { Err(bad()) }
}
