//! Cursors as texts that callers keep: opaque, and of no use for another list.
//!
//! # Format, version 1
//!
//! base64url of: version (1), crc32 of what the cursor is of, its length, and all that stands here (4), then the place.

use data_encoding::BASE64URL_NOPAD;

use crate::error::{Error, ErrorKind, Result};

const VERSION: u8 = 1;
const HEAD: usize = 5;
/// 64 shards of eight bytes, in base64, and room.
const TEXT_MAX: usize = 1_024;

/// Writes a cursor; `of` says of which list.
pub(crate) fn encode(of: &[&str], place: &[u8]) -> String {
    let mut bytes = vec![VERSION];
    bytes.extend_from_slice(&sum(of, place).to_le_bytes());
    bytes.extend_from_slice(place);
    BASE64URL_NOPAD.encode(&bytes)
}

/// Reads the place back.
///
/// # Errors
///
/// [`ErrorKind::Cursor`] if it is made up, or of another list.
pub(crate) fn decode(of: &[&str], text: &str) -> Result<Vec<u8>> {
    let bytes = Some(text)
        .filter(|text| text.len() <= TEXT_MAX)
        .and_then(|text| BASE64URL_NOPAD.decode(text.as_bytes()).ok())
        .ok_or_else(refused)?;
    let (head, place) = bytes.split_at_checked(HEAD).ok_or_else(refused)?;
    let mut expected = vec![VERSION];
    expected.extend_from_slice(&sum(of, place).to_le_bytes());
    if head != expected {
        return Err(refused());
    }
    Ok(place.to_vec())
}

/// What a cursor is answered that does not fit.
pub(crate) fn refused() -> Error {
    let text = "the cursor is not of this list; start from its beginning";
    Error::new(ErrorKind::Cursor, text)
}

fn sum(of: &[&str], place: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    for part in of {
        sum.update(&(part.len() as u64).to_le_bytes());
        sum.update(part.as_bytes());
    }
    sum.update(&(place.len() as u64).to_le_bytes());
    sum.update(place);
    sum.finalize()
}
