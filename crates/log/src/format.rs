//! The structures of a log file, shared by the log, its recovery and offline inspection.
//!
//! The long form, with a worked example and what a crash may leave: `docs/format/commit-log.md`.
//!
//! # Format, version 1
//!
//! ```text
//! file header, 64 bytes
//! offset  size  what
//!      0     8  magic "TIDELOG1"
//!      8     2  version, 1
//!     10     2  shard
//!     12     4  zero
//!     16     8  generation: the number in the file's name
//!     24    16  store id
//!     40     8  first position: that of the first frame, and one behind the last frame of the file before
//!     48    12  zeros
//!     60     4  crc32 of the first 60 bytes
//!
//! frame, at a multiple of 8
//!      0     4  stored length
//!      4     4  raw length; the payload is one zstd frame if it differs from the stored length
//!      8     8  position
//!     16     8  durable: every position up to this one was synced before this frame was written
//!     24     4  crc32 of the payload
//!     28     4  crc32 of the 28 bytes before
//!     32     …  payload, then zeros up to the next multiple of 8
//! ```
//!
//! Integers are little-endian. Checksums are seeded with store id, generation and offset: a frame of an earlier life of
//! a recycled file, of another file or at another place is no frame. Zeros are no frame either.

use std::path::Path;

use tidestore_disk::{Seal, checksum};

use crate::error::{Error, Result};

pub(crate) const MAGIC: &[u8; 8] = b"TIDELOG1";
pub(crate) const VERSION: u16 = 1;
pub(crate) const HEADER_LEN: u64 = 64;
pub(crate) const FRAME_HEAD_LEN: usize = 32;
/// Largest batch, before compression.
pub(crate) const BATCH_BYTES_MAX: usize = 64 << 20;
const KIND: u32 = u32::from_le_bytes(*b"LOG1");

/// What every file of one shard's log has in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) store: [u8; 16],
    pub(crate) shard: u16,
}

/// The header of a log file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileHeader {
    pub(crate) identity: Identity,
    pub(crate) generation: u64,
    pub(crate) first_position: u64,
}

impl FileHeader {
    /// What the checksums of the file's frames are seeded with. Generations are counted per shard; with the shard in
    /// the upper bits no two files of a store agree.
    pub(crate) fn seal(&self) -> Seal {
        let generation = self.generation ^ u64::from(self.identity.shard) << 48;
        Seal {
            store: self.identity.store,
            kind: KIND,
            generation,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.identity.shard.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.generation.to_le_bytes());
        bytes.extend_from_slice(&self.identity.store);
        bytes.extend_from_slice(&self.first_position.to_le_bytes());
        bytes.extend_from_slice(&[0; 12]);
        let crc = checksum(&self.seal(), 0, &[&bytes]);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8], path: &Path) -> Result<Self> {
        let bad = |detail: String| Err(Error::corruption(path, 0, detail));
        if bytes.len() < HEADER_LEN_USIZE || !bytes.starts_with(MAGIC) {
            return bad("the file does not begin as a log file does".to_owned());
        }
        let version = u16::from_le_bytes(array(bytes, 8));
        if version != VERSION {
            return bad(format!("log version {version} is not known"));
        }
        let header = Self {
            identity: Identity {
                store: array(bytes, 24),
                shard: u16::from_le_bytes(array(bytes, 10)),
            },
            generation: le_u64(bytes, 16),
            first_position: le_u64(bytes, 40),
        };
        let covered = bytes.get(..HEADER_LEN_USIZE - 4).unwrap_or_default();
        let (expected, found) = (checksum(&header.seal(), 0, &[covered]), le_u32(bytes, 60));
        if expected != found {
            return bad(format!(
                "header checksum {found:08x}, expected {expected:08x}"
            ));
        }
        Ok(header)
    }
}

const HEADER_LEN_USIZE: usize = 64;

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHead {
    pub(crate) stored_len: u32,
    pub(crate) raw_len: u32,
    pub(crate) position: u64,
    pub(crate) durable: u64,
    pub(crate) payload_crc: u32,
}

impl FrameHead {
    /// Bytes that the frame takes up in the file.
    pub(crate) fn frame_len(&self) -> u64 {
        padded(FRAME_HEAD_LEN as u64 + u64::from(self.stored_len))
    }

    /// Reads a head; `None` if these bytes are none for this place.
    pub(crate) fn decode(bytes: &[u8], seal: &Seal, offset: u64) -> Option<Self> {
        let covered = bytes.get(..28)?;
        let crc = bytes.get(28..FRAME_HEAD_LEN)?;
        if checksum(seal, offset, &[covered]) != le_u32(crc, 0) {
            return None;
        }
        let head = Self {
            stored_len: le_u32(bytes, 0),
            raw_len: le_u32(bytes, 4),
            position: le_u64(bytes, 8),
            durable: le_u64(bytes, 16),
            payload_crc: le_u32(bytes, 24),
        };
        let bounded = head.raw_len as usize <= BATCH_BYTES_MAX && head.stored_len <= head.raw_len;
        bounded.then_some(head)
    }

    /// Checks and unpacks the payload; `None` if it is not what was written.
    pub(crate) fn open(&self, payload: &[u8], seal: &Seal, offset: u64) -> Option<Vec<u8>> {
        if payload.len() != self.stored_len as usize
            || checksum(seal, offset + FRAME_HEAD_LEN as u64, &[payload]) != self.payload_crc
        {
            return None;
        }
        let raw_len = self.raw_len as usize;
        if raw_len == payload.len() {
            return Some(payload.to_vec());
        }
        // The buffer bounds what comes out, whatever the compressed bytes claim.
        let raw = zstd::bulk::decompress(payload, raw_len).ok()?;
        (raw.len() == raw_len).then_some(raw)
    }
}

/// Appends a frame that will stand at `offset`. Lengths were bounded before.
pub(crate) fn put_frame(
    out: &mut Vec<u8>,
    seal: &Seal,
    offset: u64,
    (position, durable): (u64, u64),
    raw_len: u32,
    payload: &[u8],
) {
    let start = out.len();
    let stored_len = u32::try_from(payload.len()).unwrap_or(raw_len);
    out.extend_from_slice(&stored_len.to_le_bytes());
    out.extend_from_slice(&raw_len.to_le_bytes());
    out.extend_from_slice(&position.to_le_bytes());
    out.extend_from_slice(&durable.to_le_bytes());
    let crc = checksum(seal, offset + FRAME_HEAD_LEN as u64, &[payload]);
    out.extend_from_slice(&crc.to_le_bytes());
    let crc = checksum(seal, offset, &[out.get(start..).unwrap_or_default()]);
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(payload);
    out.resize(out.len().next_multiple_of(8), 0);
}

/// Decodes one frame at the start of `bytes`, which stands at `offset`; the batch and the frame's length. For fuzzing.
#[doc(hidden)]
pub fn decode_frame(bytes: &[u8], seal: &Seal, offset: u64) -> Option<(Vec<u8>, u64)> {
    let head = FrameHead::decode(bytes, seal, offset)?;
    let end = FRAME_HEAD_LEN.checked_add(head.stored_len as usize)?;
    let raw = head.open(bytes.get(FRAME_HEAD_LEN..end)?, seal, offset)?;
    Some((raw, head.frame_len()))
}

pub(crate) fn padded(len: u64) -> u64 {
    len.next_multiple_of(8)
}

/// The name of a file by its generation.
pub(crate) fn file_name(generation: u64) -> String {
    format!("{generation:08}.log")
}

/// The name of a file that waits to be used again.
pub(crate) fn spare_name(generation: u64) -> String {
    format!("spare-{generation:08}.log")
}

/// The generation in a file's name.
pub(crate) fn parse_name(name: &str) -> Option<(u64, bool)> {
    let stem = name.strip_suffix(".log")?;
    let (digits, spare) = match stem.strip_prefix("spare-") {
        Some(digits) => (digits, true),
        None => (stem, false),
    };
    let generation = digits.parse().ok()?;
    let canonical = if spare {
        spare_name(generation)
    } else {
        file_name(generation)
    };
    (canonical == name).then_some((generation, spare))
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .copied()
        .unwrap_or([0; N])
}

fn le_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

fn le_u64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}
