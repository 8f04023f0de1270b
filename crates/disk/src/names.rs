//! Names from outside as names of files: injective, and safe on filesystems that fold case.
//!
//! `a`-`z`, `0`-`9`, `_` and `-` stand for themselves, and so does `.` except in first place; every
//! other byte of the UTF-8 is written `%` and two lower-case hexadecimal digits. So `Org#App`
//! becomes `%4frg%23%41pp`. There is one encoding of each name, and no other is decoded.

use std::fmt;
use std::fmt::Write as _;

use crate::path::NAME_BYTES_MAX;

/// Encodes a name from outside as the name of a file or directory.
///
/// The result may end like any of the store's own file names (`a.tmp`): keep names from outside in
/// a directory of their own.
///
/// # Errors
///
/// [`NameError::Empty`], or [`NameError::TooLong`] if the encoded name would exceed 255 bytes;
/// bytes that must be escaped count three times.
pub fn encode_name(name: &str) -> Result<String, NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    let len = name
        .bytes()
        .enumerate()
        .map(|(i, byte)| if is_plain(i, byte) { 1 } else { 3 })
        .sum();
    if len > NAME_BYTES_MAX {
        return Err(NameError::TooLong {
            len,
            max: NAME_BYTES_MAX,
        });
    }
    let mut encoded = String::with_capacity(len);
    for (i, byte) in name.bytes().enumerate() {
        if is_plain(i, byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02x}");
        }
    }
    Ok(encoded)
}

/// Decodes what [`encode_name`] made; `None` for everything else, such as foreign files.
pub fn decode_name(encoded: &str) -> Option<String> {
    if encoded.len() > NAME_BYTES_MAX {
        return None;
    }
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => bytes.push(digit(rest.next()?)? << 4 | digit(rest.next()?)?),
            byte => bytes.push(byte),
        }
    }
    let name = String::from_utf8(bytes).ok()?;
    let is_canonical = encode_name(&name).is_ok_and(|again| again == encoded);
    is_canonical.then_some(name)
}

fn is_plain(index: usize, byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-') || (byte == b'.' && index > 0)
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

/// Why a name cannot be the name of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// The name is empty.
    Empty,
    /// The encoded name is too long for a filesystem.
    TooLong {
        /// The length of the encoded name, in bytes.
        len: usize,
        /// The limit.
        max: usize,
    },
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the name is empty"),
            Self::TooLong { len, max } => {
                write!(f, "the name takes {len} bytes as a file name, limit {max}")
            }
        }
    }
}

impl std::error::Error for NameError {}

#[cfg(test)]
mod tests;
