//! The structures of a segment file, shared by writer, reader and offline checks.

use std::path::Path;

use bincode::{Decode, Encode};
use tidestore_disk::{Millis, Seal, checksum};

use crate::codec::{le_u16, le_u32, le_u64};
use crate::error::{Error, Result};
use crate::types::{AppId, MessageId};

/// The random identity of a store; part of every checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct StoreId(pub [u8; 16]);

/// A half-open range of time whose messages share files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Bucket {
    /// The first millisecond.
    pub start: Millis,
    /// The first millisecond behind it.
    pub end: Millis,
}

/// Whose messages a segment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum Owner {
    /// One app's.
    App(AppId),
    /// Several small apps', whose messages expire together.
    Shared,
}

/// What is fixed before the first row is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHead {
    /// The store.
    pub store: StoreId,
    /// The shard.
    pub shard: u16,
    /// The file's number, unique in its shard.
    pub generation: u64,
    /// Whose messages.
    pub owner: Owner,
    /// Of which time.
    pub bucket: Bucket,
}

/// What the manifest remembers of a segment, and what its footer repeats.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SegmentMeta {
    /// The shard.
    pub shard: u16,
    /// The file's number, unique in its shard.
    pub generation: u64,
    /// Whose messages.
    pub owner: Owner,
    /// Of which time.
    pub bucket: Bucket,
    /// Where the id pages begin, which is where the blocks end.
    pub ids_offset: u64,
    /// Where the index section begins.
    pub index_offset: u64,
    /// Where the footer begins.
    pub footer_offset: u64,
    /// Length of the file.
    pub file_len: u64,
    /// Number of blocks.
    pub blocks: u32,
    /// Number of messages.
    pub messages: u64,
    /// Bytes of bodies and extensions.
    pub body_bytes: u64,
    /// What each app has in it, by number.
    pub apps: Vec<AppShare>,
}

/// What one app has in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct AppShare {
    /// The app.
    pub app: AppId,
    /// Its messages.
    pub messages: u64,
    /// Bytes of their bodies and extensions.
    pub body_bytes: u64,
    /// Its smallest id.
    pub min_id: MessageId,
    /// Its largest id.
    pub max_id: MessageId,
}

impl SegmentMeta {
    /// What one app has in it.
    pub fn share(&self, app: AppId) -> Option<&AppShare> {
        let index = self
            .apps
            .binary_search_by_key(&app, |share| share.app)
            .ok()?;
        self.apps.get(index)
    }

    /// The smallest id in it; `None` if it is empty.
    pub fn min_id(&self) -> Option<MessageId> {
        self.apps.iter().map(|share| share.min_id).min()
    }

    /// The largest id in it; `None` if it is empty.
    pub fn max_id(&self) -> Option<MessageId> {
        self.apps.iter().map(|share| share.max_id).max()
    }

    /// Whether the offsets follow each other inside the file; checked before anything is read by them.
    pub(crate) fn is_plausible(&self) -> bool {
        HEADER_LEN as u64 <= self.ids_offset
            && self.ids_offset <= self.index_offset
            && self.index_offset <= self.footer_offset
            && self
                .footer_offset
                .checked_add(TRAILER_LEN as u64)
                .is_some_and(|e| e <= self.file_len)
            && self.file_len <= FILE_LEN_MAX
    }
}

/// How segments are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentOptions {
    /// A block is closed when its rows reach this size before compression, in bytes.
    pub block_bytes: usize,
    /// zstd level.
    pub level: i32,
}

impl Default for SegmentOptions {
    fn default() -> Self {
        Self {
            block_bytes: 32 << 10,
            level: 3,
        }
    }
}

pub(crate) const MAGIC: &[u8; 8] = b"TIDESEG1";
/// The version that is written. Those before it are read too; blocks say by themselves what they hold.
pub(crate) const VERSION: u16 = 2;
const VERSION_FIRST: u16 = 1;
pub(crate) const HEADER_LEN: usize = 72;
pub(crate) const SECTION_HEAD_LEN: usize = 12;
pub(crate) const TRAILER_LEN: usize = 24;
/// Largest block or id page before compression.
pub(crate) const BLOCK_RAW_MAX: usize = 8 << 20;
/// Largest index or footer before compression; an index of a million conversations takes about a third of it.
pub(crate) const SECTION_RAW_MAX: usize = 64 << 20;
/// Offsets beyond this are damage, not a file.
const FILE_LEN_MAX: u64 = 1 << 44;
const KIND: u32 = u32::from_le_bytes(*b"SEG1");
/// Stands for an app's number in the header of a shared segment.
const SHARED: u32 = u32::MAX;

/// What a segment's checksums are seeded with.
pub(crate) fn seal(store: StoreId, shard: u16, generation: u64) -> Seal {
    // Generations are counted per shard; with the shard in the upper bits no two files of a store agree.
    Seal {
        store: store.0,
        kind: KIND,
        generation: generation ^ u64::from(shard) << 48,
    }
}

impl SegmentHead {
    pub(crate) fn seal(&self) -> Seal {
        seal(self.store, self.shard, self.generation)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let app = match self.owner {
            Owner::App(app) => app.0,
            Owner::Shared => SHARED,
        };
        let mut bytes = Vec::with_capacity(HEADER_LEN);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.shard.to_le_bytes());
        bytes.extend_from_slice(&app.to_le_bytes());
        bytes.extend_from_slice(&self.generation.to_le_bytes());
        bytes.extend_from_slice(&self.store.0);
        bytes.extend_from_slice(&self.bucket.start.to_le_bytes());
        bytes.extend_from_slice(&self.bucket.end.to_le_bytes());
        bytes.resize(HEADER_LEN - 4, 0);
        let crc = checksum(&self.seal(), 0, &[&bytes]);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Decodes a header; the store's id is taken from it, so the caller compares.
    pub(crate) fn decode(bytes: &[u8], path: &Path) -> Result<Self> {
        let bad = |detail: String| Err(Error::corruption(path, 0, detail));
        if !bytes.starts_with(MAGIC) || bytes.len() < HEADER_LEN {
            return bad("the file does not begin as a segment does".to_owned());
        }
        if !(VERSION_FIRST..=VERSION).contains(&le_u16(bytes, 8)) {
            return bad(format!("segment version {} is not known", le_u16(bytes, 8)));
        }
        let mut store = [0; 16];
        store.copy_from_slice(bytes.get(24..40).unwrap_or(&[0; 16]));
        let app = le_u32(bytes, 12);
        let head = Self {
            store: StoreId(store),
            shard: le_u16(bytes, 10),
            generation: le_u64(bytes, 16),
            owner: if app == SHARED {
                Owner::Shared
            } else {
                Owner::App(AppId(app))
            },
            bucket: Bucket {
                start: le_u64(bytes, 40),
                end: le_u64(bytes, 48),
            },
        };
        let covered = bytes.get(..HEADER_LEN - 4).unwrap_or_default();
        let expected = checksum(&head.seal(), 0, &[covered]);
        let found = le_u32(bytes, HEADER_LEN - 4);
        if expected != found {
            return bad(format!(
                "header checksum {found:08x}, expected {expected:08x}"
            ));
        }
        Ok(head)
    }
}

/// Compresses a section and appends it with its head; `offset` is where the head will stand in the file.
pub(crate) fn put_section(
    out: &mut Vec<u8>,
    compressor: &mut zstd::bulk::Compressor<'_>,
    seal: &Seal,
    offset: u64,
    raw: &[u8],
    raw_max: usize,
) -> Result<u32> {
    // A reader refuses what is larger, so it must not be written either.
    if raw.len() > raw_max {
        return Err(Error::too_large(format!(
            "a section of {} bytes; at most {raw_max} are allowed",
            raw.len()
        )));
    }
    let stored = compressor
        .compress(raw)
        .map_err(|error| Error::refused(format!("a section cannot be compressed: {error}")))?;
    let too_large = |_| Error::too_large(format!("a section of {} bytes is too large", raw.len()));
    let raw_len = u32::try_from(raw.len()).map_err(too_large)?.to_le_bytes();
    let stored_len = u32::try_from(stored.len()).map_err(too_large)?;
    let crc = checksum(
        seal,
        offset,
        &[&raw_len, &stored_len.to_le_bytes(), &stored],
    );
    out.extend_from_slice(&raw_len);
    out.extend_from_slice(&stored_len.to_le_bytes());
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&stored);
    u32::try_from(stored.len() + SECTION_HEAD_LEN).map_err(too_large)
}

/// Checks and decompresses a section that takes up all of `bytes`.
pub(crate) fn open_section(
    bytes: &[u8],
    seal: &Seal,
    offset: u64,
    path: &Path,
    raw_max: usize,
) -> Result<Vec<u8>> {
    let bad = |detail: String| Err(Error::corruption(path, offset, detail));
    let Some((head, stored)) = bytes.split_at_checked(SECTION_HEAD_LEN) else {
        return bad("a section is cut short".to_owned());
    };
    let (raw_len, stored_len) = (le_u32(head, 0) as usize, le_u32(head, 4) as usize);
    if stored_len != stored.len() || raw_len > raw_max {
        return bad(format!(
            "a section says {stored_len} of {} bytes and {raw_len} when unpacked",
            stored.len()
        ));
    }
    let (lens, crc) = head.split_at(8);
    let (expected, found) = (checksum(seal, offset, &[lens, stored]), le_u32(crc, 0));
    if expected != found {
        return bad(format!(
            "section checksum {found:08x}, expected {expected:08x}"
        ));
    }
    // The buffer bounds what comes out, whatever the compressed bytes claim.
    match zstd::bulk::decompress(stored, raw_len) {
        Ok(raw) if raw.len() == raw_len => Ok(raw),
        Ok(raw) => bad(format!(
            "a section unpacks to {} bytes, not {raw_len}",
            raw.len()
        )),
        Err(error) => bad(format!("a section cannot be unpacked: {error}")),
    }
}
