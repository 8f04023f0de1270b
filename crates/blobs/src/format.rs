//! The format of volumes, version 1: files that hold the contents of attachments.
//!
//! The long form, with a worked example and what a crash may leave: `docs/format/volume.md`.
//!
//! ```text
//! block 0   header: magic "TIDEVOL1" 8, version 2, shard 2, app 4, number 8, store id 16, bucket start 8,
//!           bucket end 8, crc32 4, zeros to 4,096
//! then      records, each beginning at a multiple of 4,096:
//!
//! record:    0   4  magic "BLB1"
//!            4   4  crc32 of the rest of the head
//!            8   4  length of the content
//!           12   4  length of its chunks as they are stored
//!           16   4  where the first chunk lies, from the start of the record
//!           20   2  number of chunks
//!           22   2  zeros
//!           24  32  BLAKE3 of the content
//!           56   8  for each chunk: stored length 4 (bit 31: compressed with zstd), crc32 of the stored bytes 4
//!            …   …  chunks, one behind the other; each holds 65,536 bytes of the content, the last one the rest
//! ```
//!
//! Integers are little-endian. Every checksum is seeded with store id, volume number and offset, so a valid record in
//! the wrong place is no record. A chunk that compression does not shorten by an eighth is stored as it is.
//!
//! A record is padded with zeros to whole blocks. Records begin at block boundaries for two reasons: one can be punched out without touching its neighbours, and
//! writing one never rewrites a sector of another that was acknowledged before.
//!
//! A large content has a volume of its own. It is written as it streams in, header and head last, so the head has a
//! block to itself.
//!
//! Which records are alive stands in the tables, never in the volume: recovery scans no volume.
//!
//! | after a crash while writing | what opening the store finds |
//! |---|---|
//! | before the change of the tables is in the log | bytes behind the length that the tables know: cut off; or a volume that nobody names: deleted |
//! | after it | the record, durable before |

use std::fmt;

use tidestore_disk::{Millis, PUNCH_BYTES, Seal, checksum};
use tidestore_kv::codec::Malformed;
use tidestore_plan::{AppId, Limit};

use crate::attachment::ContentHash;

/// Bytes of content in a chunk: what a range read costs at least, and what a checksum covers.
pub const CHUNK_BYTES: usize = 64 << 10;

/// What records are aligned to, and what the header takes up.
pub(crate) const BLOCK_BYTES: u64 = PUNCH_BYTES;

/// The largest content that any record may claim to hold.
const CONTENT_MAX: u64 = Limit::Attachment.max();

const HEAD_BYTES: usize = 56;
const ENTRY_BYTES: usize = 8;
const COMPRESSED: u32 = 1 << 31;
const VOLUME_MAGIC: [u8; 8] = *b"TIDEVOL1";
const RECORD_MAGIC: [u8; 4] = *b"BLB1";
const VERSION: u16 = 1;
const HEADER_BYTES: usize = 60;
const KIND: u32 = u32::from_le_bytes(*b"VOL1");

/// What the checksums of a volume are bound to.
pub(crate) fn seal(store: [u8; 16], number: u64) -> Seal {
    Seal {
        store,
        kind: KIND,
        generation: number,
    }
}

/// A range of time whose attachments share volumes: from the first millisecond to the first behind it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode,
)]
pub struct Span {
    /// The first millisecond.
    pub start: Millis,
    /// The first millisecond behind it.
    pub end: Millis,
}

/// What a volume says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VolumeHead {
    /// The store.
    pub store: [u8; 16],
    /// The app whose attachments it holds.
    pub app: AppId,
    /// The shard that keeps its rows.
    pub shard: u16,
    /// Its number, used once in a store.
    pub number: u64,
    /// When its attachments came in.
    pub bucket: Span,
}

impl VolumeHead {
    /// The first block of the file.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(4_096);
        out.extend_from_slice(&VOLUME_MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.shard.to_le_bytes());
        out.extend_from_slice(&self.app.0.to_le_bytes());
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&self.store);
        out.extend_from_slice(&self.bucket.start.to_le_bytes());
        out.extend_from_slice(&self.bucket.end.to_le_bytes());
        let sum = checksum(&seal(self.store, self.number), 0, &[&out]);
        out.extend_from_slice(&sum.to_le_bytes());
        out.resize(4_096, 0);
        out
    }

    /// Reads the first bytes of a file.
    ///
    /// # Errors
    ///
    /// [`Malformed`] says what is wrong with them.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let header = bytes
            .get(..HEADER_BYTES)
            .ok_or_else(|| Malformed::new("the header is cut short"))?;
        let mut fields = Fields(header);
        if fields.take() != VOLUME_MAGIC {
            return Err(Malformed::new("this is no volume"));
        }
        let version = u16::from_le_bytes(fields.take());
        let head = Self {
            shard: u16::from_le_bytes(fields.take()),
            app: AppId(u32::from_le_bytes(fields.take())),
            number: u64::from_le_bytes(fields.take()),
            store: fields.take(),
            bucket: Span {
                start: u64::from_le_bytes(fields.take()),
                end: u64::from_le_bytes(fields.take()),
            },
        };
        let found = u32::from_le_bytes(fields.take());
        let summed = header.get(..HEADER_BYTES - 4).unwrap_or_default();
        if checksum(&seal(head.store, head.number), 0, &[summed]) != found {
            return Err(Malformed::new("the header's checksum is wrong"));
        }
        if version == VERSION {
            Ok(head)
        } else {
            Err(Malformed(format!(
                "version {version}; this program reads version 1"
            )))
        }
    }
}

/// One chunk as the head of its record lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Bytes as stored.
    pub stored: u32,
    /// Whether they are a zstd frame.
    pub compressed: bool,
    /// Checksum of the stored bytes.
    pub checksum: u32,
}

impl Chunk {
    /// A chunk that is stored as it is; the checksum is still missing.
    pub(crate) fn plain(stored: &[u8]) -> Self {
        Self {
            stored: u32::try_from(stored.len()).unwrap_or(u32::MAX),
            compressed: false,
            checksum: 0,
        }
    }
}

/// The head of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordHead {
    /// Bytes of the content.
    pub length: u32,
    /// Where the first chunk lies, from the start of the record.
    pub data_at: u32,
    /// Hash of the content.
    pub hash: ContentHash,
    /// The chunks, in order.
    pub chunks: Vec<Chunk>,
}

/// How many chunks a content has.
pub(crate) const fn chunks_of(length: u64) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "contents are bounded by 10 MB"
    )]
    let length = length as usize;
    length.div_ceil(CHUNK_BYTES)
}

/// Bytes of the head of a record with so many chunks.
pub(crate) const fn head_bytes(chunks: usize) -> usize {
    HEAD_BYTES + chunks * ENTRY_BYTES
}

/// Bytes that a record with so many bytes takes up in its volume.
pub(crate) fn blocks_of(bytes: u64) -> u64 {
    bytes.next_multiple_of(BLOCK_BYTES)
}

impl RecordHead {
    /// Bytes of all chunks as stored.
    pub fn stored(&self) -> u64 {
        self.chunks
            .iter()
            .map(|chunk| u64::from(chunk.stored))
            .sum()
    }

    /// Where each chunk lies, from the start of the record.
    pub fn offsets(&self) -> impl Iterator<Item = (u64, &Chunk)> {
        let mut at = u64::from(self.data_at);
        self.chunks.iter().map(move |chunk| {
            let start = at;
            at += u64::from(chunk.stored);
            (start, chunk)
        })
    }

    /// Bytes of content in a chunk.
    pub fn raw_len(&self, chunk: usize) -> usize {
        let length = usize::try_from(self.length).unwrap_or(usize::MAX);
        length
            .saturating_sub(chunk.saturating_mul(CHUNK_BYTES))
            .min(CHUNK_BYTES)
    }

    /// The head as it stands at an offset of a volume.
    pub fn encode(&self, seal: &Seal, offset: u64) -> Vec<u8> {
        let mut out = Vec::with_capacity(head_bytes(self.chunks.len()));
        out.extend_from_slice(&RECORD_MAGIC);
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.length.to_le_bytes());
        let stored = u32::try_from(self.stored()).unwrap_or(u32::MAX);
        out.extend_from_slice(&stored.to_le_bytes());
        out.extend_from_slice(&self.data_at.to_le_bytes());
        let count = u16::try_from(self.chunks.len()).unwrap_or(u16::MAX);
        out.extend_from_slice(&count.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&self.hash);
        for chunk in &self.chunks {
            let flag = if chunk.compressed { COMPRESSED } else { 0 };
            out.extend_from_slice(&(chunk.stored | flag).to_le_bytes());
            out.extend_from_slice(&chunk.checksum.to_le_bytes());
        }
        let sum = checksum(seal, offset, &[out.get(8..).unwrap_or_default()]);
        if let Some(place) = out.get_mut(4..8) {
            place.copy_from_slice(&sum.to_le_bytes());
        }
        out
    }

    /// Reads the head of the record at an offset of a volume. `bytes` may go on behind it.
    ///
    /// # Errors
    ///
    /// [`Malformed`] says what is wrong; nothing is allocated from a number that was not checked.
    pub fn decode(bytes: &[u8], seal: &Seal, offset: u64) -> Result<Self, Malformed> {
        let short = || Malformed::new("the head of a record is cut short");
        let mut fields = Fields(bytes.get(..HEAD_BYTES).ok_or_else(short)?);
        if fields.take() != RECORD_MAGIC {
            return Err(Malformed::new("no record begins here"));
        }
        let found = u32::from_le_bytes(fields.take());
        let length = u32::from_le_bytes(fields.take());
        let stored = u32::from_le_bytes(fields.take());
        let data_at = u32::from_le_bytes(fields.take());
        let count = usize::from(u16::from_le_bytes(fields.take()));
        fields.take::<2>();
        let hash = fields.take();
        let summed = bytes.get(8..head_bytes(count)).ok_or_else(short)?;
        if checksum(seal, offset, &[summed]) != found {
            return Err(Malformed::new("the checksum of a record's head is wrong"));
        }
        if u64::from(length) > CONTENT_MAX || count != chunks_of(length.into()) {
            return Err(Malformed(format!(
                "a record of {length} bytes in {count} chunks"
            )));
        }
        let is_placed = u64::from(data_at) >= head_bytes(count) as u64;
        if !is_placed || u64::from(data_at) > BLOCK_BYTES {
            return Err(Malformed(format!(
                "a record whose chunks begin at {data_at}"
            )));
        }
        let mut fields = Fields(summed.get(HEAD_BYTES - 8..).unwrap_or_default());
        let chunk = |_| {
            let (stored, checksum) = (u32::from_le_bytes(fields.take()), fields.take());
            Chunk {
                stored: stored & !COMPRESSED,
                compressed: stored & COMPRESSED != 0,
                checksum: u32::from_le_bytes(checksum),
            }
        };
        let head = Self {
            length,
            data_at,
            hash,
            chunks: (0..count).map(chunk).collect(),
        };
        head.check_chunks()?;
        if head.stored() == u64::from(stored) {
            Ok(head)
        } else {
            Err(Malformed::new("the chunks of a record do not add up"))
        }
    }

    fn check_chunks(&self) -> Result<(), Malformed> {
        for (index, chunk) in self.chunks.iter().enumerate() {
            let (stored, raw) = (chunk.stored as usize, self.raw_len(index));
            if stored > raw || !chunk.compressed && stored != raw {
                return Err(Malformed(format!(
                    "a chunk of {raw} bytes is stored in {stored}"
                )));
            }
        }
        Ok(())
    }
}

impl fmt::Display for VolumeHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "volume {} of app {}, shard {}",
            self.number, self.app.0, self.shard
        )
    }
}

/// Takes fields of fixed width from the front; zeros behind the end.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        match self.0.split_first_chunk() {
            Some((field, rest)) => {
                self.0 = rest;
                *field
            }
            None => [0; N],
        }
    }
}

#[cfg(test)]
mod tests;
