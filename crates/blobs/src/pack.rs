//! Chunks: compressed if that is worth it, stored as they are otherwise.

use tidestore_disk::{Seal, checksum};
use tidestore_kv::codec::Malformed;

use crate::error::{Error, ErrorKind, Result};
use crate::format::{CHUNK_BYTES, Chunk};
use crate::media;

/// zstd level of chunks. Attachments that compress at all (text, bitmaps, raw sound) gain most of it at the lowest.
const LEVEL: i32 = 1;

/// Turns contents into chunks.
pub(crate) struct Packer {
    compressor: Option<zstd::bulk::Compressor<'static>>,
}

impl std::fmt::Debug for Packer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packer").finish_non_exhaustive()
    }
}

impl Packer {
    pub(crate) fn new(media_type: &str) -> Result<Self> {
        let compressor = (!media::is_compressed(media_type))
            .then(|| zstd::bulk::Compressor::new(LEVEL))
            .transpose()
            .map_err(|error| Error::new(ErrorKind::Io, format!("zstd: {error}")))?;
        Ok(Self { compressor })
    }

    /// Whether compression is tried at all; otherwise chunks are stored as they are.
    pub(crate) fn tries(&self) -> bool {
        self.compressor.is_some()
    }

    /// Appends one chunk as it is to be stored. The checksum is still missing: it depends on the place.
    pub(crate) fn pack(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Chunk {
        let packed = self
            .compressor
            .as_mut()
            .and_then(|compressor| compressor.compress(raw).ok())
            .filter(|packed| packed.len() <= raw.len() - raw.len() / 8);
        let compressed = packed.is_some();
        let stored = packed.as_deref().unwrap_or(raw);
        out.extend_from_slice(stored);
        if !compressed {
            // What does not shrink at once will hardly shrink later, and trying is the dearest part of an upload.
            self.compressor = None;
        }
        Chunk {
            compressed,
            ..Chunk::plain(stored)
        }
    }
}

/// Checks a chunk that was read at an offset of a volume, and appends what it holds.
pub(crate) fn unpack(
    chunk: &Chunk,
    stored: &[u8],
    raw_len: usize,
    seal: &Seal,
    offset: u64,
    out: &mut Vec<u8>,
) -> Result<(), Malformed> {
    check(chunk, stored, seal, offset)?;
    if !chunk.compressed {
        out.extend_from_slice(stored);
        return Ok(());
    }
    let raw = zstd::bulk::decompress(stored, raw_len.min(CHUNK_BYTES))
        .map_err(|error| Malformed(format!("a chunk cannot be unpacked: {error}")))?;
    if raw.len() != raw_len {
        return Err(Malformed(format!(
            "a chunk of {raw_len} bytes unpacks to {}",
            raw.len()
        )));
    }
    out.extend_from_slice(&raw);
    Ok(())
}

/// Compares a chunk with its checksum.
pub(crate) fn check(
    chunk: &Chunk,
    stored: &[u8],
    seal: &Seal,
    offset: u64,
) -> Result<(), Malformed> {
    if checksum(seal, offset, &[stored]) == chunk.checksum {
        Ok(())
    } else {
        Err(Malformed::new("the checksum of a chunk is wrong"))
    }
}
