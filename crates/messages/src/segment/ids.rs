//! The id index: a message's block by its id alone.
//!
//! All ids of the segment, sorted, in pages of 1,024. A page holds three columns: milliseconds from entry to entry,
//! low bits (lane in bit 0), and the number of the block. Where apps share a segment the same imported id may stand
//! there twice, for different blocks.

use crate::codec::{Malformed, Reader, put_varint};
use crate::segment::columns::{rotate, unrotate};
use crate::types::MessageId;

/// Entries of one page.
pub(crate) const PAGE_ENTRIES: usize = 1_024;

/// Ids with the blocks they lie in.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct IdPage {
    pub(crate) entries: Vec<(MessageId, u32)>,
}

impl IdPage {
    pub(crate) fn encode(entries: &[(MessageId, u32)]) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, entries.len() as u64);
        let mut previous = entries.first().map_or(0, |(id, _)| id.millis());
        for (id, _) in entries {
            put_varint(&mut out, id.millis() - previous);
            previous = id.millis();
        }
        for (id, _) in entries {
            put_varint(&mut out, rotate(*id));
        }
        for (_, block) in entries {
            put_varint(&mut out, (*block).into());
        }
        out
    }

    pub(crate) fn decode(raw: &[u8], first: MessageId, shard: u16) -> Result<Self, Malformed> {
        let mut reader = Reader::new(raw);
        let count = reader.count()?;
        let (times, lows) = (reader.column(count)?, reader.column(count)?);
        let blocks = reader.column(count)?;
        reader.finish()?;
        let mut time = first.millis();
        let entries = times
            .iter()
            .zip(lows)
            .zip(blocks)
            .map(|((step, low), block)| {
                time = time
                    .checked_add(*step)
                    .ok_or_else(|| Malformed::new("a time overflows"))?;
                let block = u32::try_from(block).map_err(|_| Malformed::new("no such block"))?;
                Ok((unrotate(low, time, shard)?, block))
            });
        let entries: Vec<_> = entries.collect::<Result<_, Malformed>>()?;
        // Pages are searched; one that is out of order would hide ids.
        if !entries.is_sorted() {
            return Err(Malformed::new("ids of a page do not rise"));
        }
        Ok(Self { entries })
    }

    /// The blocks in which an id lies.
    pub(crate) fn blocks_of(&self, id: MessageId) -> impl Iterator<Item = u32> {
        let first = self.entries.partition_point(|(entry, _)| *entry < id);
        let same = self
            .entries
            .iter()
            .skip(first)
            .take_while(move |(entry, _)| *entry == id);
        same.map(|(_, block)| *block)
    }

    pub(crate) fn memory(&self) -> u64 {
        (self.entries.len() * size_of::<(MessageId, u32)>()) as u64
    }
}
