//! Reading a whole segment in order.

use std::ops::Range;
use std::sync::Arc;

use crate::error::Result;
use crate::segment::Segment;
use crate::segment::block::Block;
use crate::segment::format::{BLOCK_RAW_MAX, open_section};
use crate::segment::index::Index;
use crate::types::{AppId, Conversation, Message};

/// Every row of a segment in order. Blocks do not enter the cache: who merges or exports must not push out what
/// readers need.
#[derive(Debug)]
pub struct SegmentScan {
    segment: Segment,
    index: Arc<Index>,
    next_block: u32,
    block: Option<Position>,
    /// Stored bytes that were read ahead, and where in the file they begin.
    piece: (u64, Vec<u8>),
}

/// Bytes read at once.
const PIECE_LEN: u64 = 1 << 20;

#[derive(Debug)]
struct Position {
    block: Block,
    run: usize,
    rows: Range<usize>,
}

impl SegmentScan {
    pub(crate) fn start(segment: &Segment) -> Result<Self> {
        let index = segment.passing_index()?;
        Ok(Self {
            segment: segment.clone(),
            index,
            next_block: 0,
            block: None,
            piece: (0, Vec::new()),
        })
    }

    fn step(&mut self) -> Result<Option<(AppId, Conversation, Message)>> {
        loop {
            if let Some(row) = self.block.as_mut().and_then(Position::next) {
                return Ok(Some(row));
            }
            if self.next_block as usize >= self.index.blocks.len() {
                return Ok(None);
            }
            let block = self.load(self.next_block);
            // A damaged block is reported once; whoever goes on gets the rows behind it.
            self.next_block += 1;
            let block = block?;
            self.block = Some(Position {
                block,
                run: 0,
                rows: 0..0,
            });
        }
    }
}

impl SegmentScan {
    fn load(&mut self, number: u32) -> Result<Block> {
        let entry = *self.segment.entry(&self.index, number)?;
        let (offset, len) = (entry.offset, u64::from(entry.stored_len));
        if self.ahead(offset, entry.stored_len).is_none() {
            let left = self.segment.meta.ids_offset.saturating_sub(offset);
            let most = PIECE_LEN.min(left).max(len);
            let piece = self.segment.stored(offset, most);
            // What cannot be read further on must not cost this block.
            let piece = piece.or_else(|_| self.segment.stored(offset, len))?;
            self.piece = (offset, piece);
        }
        let bytes = self.ahead(offset, entry.stored_len).unwrap_or_default();
        let (seal, path) = (&self.segment.seal, &self.segment.path);
        let raw = open_section(bytes, seal, entry.offset, path, BLOCK_RAW_MAX)?;
        self.segment.decode_block(&entry, raw)
    }

    fn ahead(&self, offset: u64, len: u32) -> Option<&[u8]> {
        let (start, bytes) = &self.piece;
        let at = usize::try_from(offset.checked_sub(*start)?).ok()?;
        bytes.get(at..)?.get(..len as usize)
    }
}

impl Position {
    fn next(&mut self) -> Option<(AppId, Conversation, Message)> {
        loop {
            if let Some(row) = self.rows.next() {
                let run = self.block.runs.get(self.run - 1)?;
                return Some((run.app, run.conversation.clone(), self.block.message(row)));
            }
            let run = self.block.runs.get(self.run)?;
            self.rows = run.start as usize..run.end as usize;
            self.run += 1;
        }
    }
}

impl Iterator for SegmentScan {
    type Item = Result<(AppId, Conversation, Message)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}
