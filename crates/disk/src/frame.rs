//! Checksummed frames: how small files and logs tell their own bytes from damage.
//!
//! | offset | bytes | type | meaning |
//! |---|---|---|---|
//! | 0 | 4 | u32, little-endian | length of the payload |
//! | 4 | 4 | u32, little-endian | checksum |
//! | 8 | length | bytes | payload |
//!
//! The checksum is CRC-32 (IEEE) over, in this order: the store's id (16 bytes), the kind of file
//! (u32), its generation (u64), the offset of the frame in the file (u64), the length (u32), the
//! payload. A valid frame of another store, file, generation or place is therefore refused. A sum
//! of 0 is stored as `0xffff_ffff`, so that a zeroed sector never passes for an empty frame.

use std::fmt;
use std::ops::Range;

use crc32fast::Hasher;

/// The bytes of a frame before its payload.
pub const FRAME_HEADER_BYTES: usize = 8;

/// What a checksum is bound to besides the bytes it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    /// The id of the store.
    pub store: [u8; 16],
    /// What the file is; each kind of file has a number of its own.
    pub kind: u32,
    /// Which of the files of that kind, or which life of a recycled one.
    pub generation: u64,
}

/// Sums up the parts, as if they were one, for a place in a file. Never 0.
pub fn checksum(seal: &Seal, offset: u64, parts: &[&[u8]]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&seal.store);
    hasher.update(&seal.kind.to_le_bytes());
    hasher.update(&seal.generation.to_le_bytes());
    hasher.update(&offset.to_le_bytes());
    for part in parts {
        hasher.update(part);
    }
    match hasher.finalize() {
        0 => u32::MAX,
        sum => sum,
    }
}

/// Appends a frame that will stand at `offset` of its file, and returns the offset after it.
///
/// # Errors
///
/// [`FrameError::TooLong`] if the payload is 4 GiB or longer; nothing was appended.
pub fn encode_frame(
    out: &mut Vec<u8>,
    seal: &Seal,
    offset: u64,
    payload: &[u8],
) -> Result<u64, FrameError> {
    let too_long = FrameError::TooLong {
        len: payload.len() as u64,
        max: u64::from(u32::MAX),
    };
    let len = u32::try_from(payload.len())
        .map_err(|_| too_long)?
        .to_le_bytes();
    out.extend_from_slice(&len);
    out.extend_from_slice(&checksum(seal, offset, &[&len, payload]).to_le_bytes());
    out.extend_from_slice(payload);
    Ok(offset.saturating_add((FRAME_HEADER_BYTES + payload.len()) as u64))
}

/// Checks the frame at the start of `buf`, which stands at `offset` of its file.
///
/// Returns where in `buf` the payload lies, and the offset in the file after the frame. Allocates
/// nothing.
///
/// # Errors
///
/// - [`FrameError::Truncated`]: `buf` ends before the frame does.
/// - [`FrameError::TooLong`]: the frame claims more than `len_max` bytes of payload.
/// - [`FrameError::Checksum`]: these are not the bytes that were written here.
pub fn decode_frame(
    buf: &[u8],
    seal: &Seal,
    offset: u64,
    len_max: u32,
) -> Result<(Range<usize>, u64), FrameError> {
    let truncated = |needed| FrameError::Truncated {
        needed,
        available: buf.len() as u64,
    };
    let (len, rest) = buf
        .split_first_chunk()
        .ok_or(truncated(FRAME_HEADER_BYTES as u64))?;
    let (found, rest) = rest
        .split_first_chunk()
        .ok_or(truncated(FRAME_HEADER_BYTES as u64))?;
    let payload_len = u32::from_le_bytes(*len);
    if payload_len > len_max {
        return Err(FrameError::TooLong {
            len: payload_len.into(),
            max: len_max.into(),
        });
    }
    let frame_len = u64::from(payload_len) + FRAME_HEADER_BYTES as u64;
    let payload = usize::try_from(payload_len)
        .ok()
        .and_then(|len| rest.get(..len));
    let payload = payload.ok_or(truncated(frame_len))?;
    let expected = checksum(seal, offset, &[len, payload]);
    let found = u32::from_le_bytes(*found);
    if expected != found {
        return Err(FrameError::Checksum { expected, found });
    }
    let range = FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + payload.len();
    Ok((range, offset.saturating_add(frame_len)))
}

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// The bytes end before the frame does.
    Truncated {
        /// How many bytes the frame has, as far as is known.
        needed: u64,
        /// How many there are.
        available: u64,
    },
    /// The payload is longer than is allowed here.
    TooLong {
        /// The length that was claimed.
        len: u64,
        /// The limit.
        max: u64,
    },
    /// The bytes are not those that were written for this place.
    Checksum {
        /// The sum of the bytes found, for this place.
        expected: u32,
        /// The sum stored with them.
        found: u32,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { needed, available } => {
                write!(
                    f,
                    "a frame of at least {needed} bytes is cut off after {available}"
                )
            }
            Self::TooLong { len, max } => {
                write!(f, "a frame claims a payload of {len} bytes, limit {max}")
            }
            Self::Checksum { expected, found } => {
                write!(
                    f,
                    "checksum {found:#010x} of a frame, expected {expected:#010x}"
                )
            }
        }
    }
}

impl std::error::Error for FrameError {}

#[cfg(test)]
mod tests;
