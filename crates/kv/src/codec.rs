//! How values of tables and log events become bytes: bincode with variable-length integers.
//!
//! The bytes were checked for length and checksum before they come here. Decoding never allocates from a number that
//! it has not compared with a limit, which depends on how many bytes there are, and bytes that are left over are an error.

use std::fmt;

use bincode::config::{self, Configuration, Limit, LittleEndian, Varint};

/// Largest value that bincode may encode or decode, in bytes.
const LIMIT: usize = 32 << 20;

/// No value takes up so many times the bytes in memory that it was encoded in. The widest are lists of pairs of texts: 48
/// bytes each, of which two may be stored.
const GROWTH: usize = 32;

/// Limits for short values. bincode takes them as types, so there are only a few.
const SHORT: usize = 16 << 10;
const MIDDLE: usize = 512 << 10;

const fn config<const MOST: usize>() -> Configuration<LittleEndian, Varint, Limit<MOST>> {
    config::standard().with_limit::<MOST>()
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
    bincode::encode_to_vec(value, config::<LIMIT>()).map_err(|error| Malformed(error.to_string()))
}

/// Decodes a value that takes up all of the bytes.
///
/// # Errors
///
/// [`Malformed`] if the bytes are no such value, or if some are left over.
pub fn decode<T: bincode::Decode<()>>(bytes: &[u8]) -> Result<T, Malformed> {
    // bincode allocates what a length claims before it finds that the bytes are not there; so a short value may claim little.
    let most = bytes.len().saturating_mul(GROWTH);
    let decoded = if most <= SHORT {
        bincode::decode_from_slice(bytes, config::<SHORT>())
    } else if most <= MIDDLE {
        bincode::decode_from_slice(bytes, config::<MIDDLE>())
    } else {
        bincode::decode_from_slice(bytes, config::<LIMIT>())
    };
    let (value, consumed) = decoded.map_err(|error| Malformed(error.to_string()))?;
    // bincode itself ignores what follows; here it would mean that somebody else wrote this.
    if consumed == bytes.len() {
        Ok(value)
    } else {
        Err(Malformed::new("bytes are left over"))
    }
}

/// Decodes a value and encodes it again: for checks that know nothing but the table of a row, and for fuzzing.
///
/// # Errors
///
/// [`Malformed`] if the bytes are no such value.
#[doc(hidden)]
pub fn recode<T: bincode::Encode + bincode::Decode<()>>(
    bytes: &[u8],
) -> Result<Vec<u8>, Malformed> {
    encode(&decode::<T>(bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_every_size_come_back() {
        // Lists of the shortest texts take up the most memory for their bytes.
        let counts = [
            0, 1, 250, 251, 340, 341, 342, 5_000, 10_922, 10_923, 100_000,
        ];
        // Miri would take half an hour for the long ones.
        let longest = if cfg!(miri) { 400 } else { usize::MAX };
        for count in counts.into_iter().filter(|count| *count <= longest) {
            let pairs = vec![(String::new(), String::new()); count];
            let bytes = encode(&pairs).unwrap();
            assert_eq!(
                decode::<Vec<(String, String)>>(&bytes),
                Ok(pairs),
                "{count}"
            );
        }
    }

    #[test]
    fn left_over_bytes_are_refused() {
        let mut bytes = encode(&7_u64).unwrap();
        bytes.push(0);
        assert!(decode::<u64>(&bytes).is_err());
    }
}
