//! How values of tables and log events become bytes: bincode with variable-length integers.
//!
//! The bytes were checked for length and checksum before they come here. Decoding never allocates from a number that
//! it has not compared with the limit, and bytes that are left over are an error.

use std::fmt;

use bincode::config::{self, Configuration, Limit, LittleEndian, Varint};

/// Largest value that bincode may encode or decode, in bytes.
const LIMIT: usize = 32 << 20;

fn config() -> Configuration<LittleEndian, Varint, Limit<LIMIT>> {
    config::standard().with_limit::<LIMIT>()
}

/// Bytes that are not what a decoder expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(pub String);

impl Malformed {
    /// Says what is wrong.
    pub fn new(detail: &str) -> Self {
        Self(detail.to_owned())
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Malformed {}

/// Encodes a value.
///
/// # Errors
///
/// [`Malformed`] if it is larger than 32 MiB.
pub fn encode<T: bincode::Encode>(value: &T) -> Result<Vec<u8>, Malformed> {
    bincode::encode_to_vec(value, config()).map_err(|error| Malformed(error.to_string()))
}

/// Decodes a value that takes up all of the bytes.
///
/// # Errors
///
/// [`Malformed`] if the bytes are no such value, or if some are left over.
pub fn decode<T: bincode::Decode<()>>(bytes: &[u8]) -> Result<T, Malformed> {
    let (value, consumed) = bincode::decode_from_slice(bytes, config())
        .map_err(|error| Malformed(error.to_string()))?;
    // bincode itself ignores what follows; here it would mean that somebody else wrote this.
    if consumed == bytes.len() {
        Ok(value)
    } else {
        Err(Malformed::new("bytes are left over"))
    }
}

/// Checks that bytes are a value of a type, and that the value is the same once it is written again. For checks that
/// know nothing but the table of a row, and for fuzzing.
///
/// # Errors
///
/// [`Malformed`] if the bytes are no such value, or one that this program would write and then read differently.
#[doc(hidden)]
pub fn check<T: bincode::Encode + bincode::Decode<()>>(bytes: &[u8]) -> Result<(), Malformed> {
    let written = encode(&decode::<T>(bytes)?)?;
    if encode(&decode::<T>(&written)?)? == written {
        Ok(())
    } else {
        Err(Malformed::new("the value changes when it is written"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn left_over_bytes_are_refused() {
        let mut bytes = encode(&7_u64).unwrap();
        bytes.push(0);
        assert!(decode::<u64>(&bytes).is_err());
    }
}
