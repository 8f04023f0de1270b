//! The file `NEWEST`: which log file is the newest one.
//!
//! A file that is missing between two others is a gap in the chain of positions, and opening refuses. Nothing in the chain
//! tells of one that is missing at its end: the log would open without the batches in it. So the number of the newest file
//! stands in a file of its own, which is replaced as a whole after a new log file has its name and before it takes a batch.
//!
//! | a crash or failure came … | `NEWEST` says | newest file | opening |
//! |---|---|---|---|
//! | before the log file had its name | n - 1 | n - 1 | goes on |
//! | before `NEWEST` was replaced | n - 1 | n, without batches | goes on |
//! | a failure or a full disk, which did not let it be replaced | below n | n | goes on; the next log file writes it |
//! | after that | n | n | goes on |
//! | never, but file n is not there | n | below n | refuses: batches that were acknowledged may be missing |
//! | never, but `NEWEST` is damaged | ? | any | goes on and says so; the next log file writes it anew |
//!
//! A log that was written before there was such a file has none, and opens.
//!
//! # Format, version 1
//!
//! ```text
//! offset  size  what
//!      0     8  magic "TIDELOGN"
//!      8     2  version, 1
//!     10     2  shard
//!     12     4  zero
//!     16     8  number of the newest log file
//!     24     4  crc32 of the first 24 bytes, seeded with the store's id
//! ```
//!
//! Integers are little-endian.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidestore_disk::{
    Disk, ErrorKind as DiskErrorKind, Seal, atomic_replace, checksum, read_small,
};

use crate::error::{Error, Result};
use crate::format::{Identity, file_name};
use crate::salvage::identify;

/// The name of the file.
pub(crate) const NEWEST: &str = "NEWEST";
/// What it is called while it is being written.
pub(crate) const NEWEST_UNFINISHED: &str = "NEWEST.tmp";
const MAGIC: &[u8; 8] = b"TIDELOGN";
const VERSION: u16 = 1;
const LEN: usize = 28;
const KIND: u32 = u32::from_le_bytes(*b"LOGN");

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Newest {
    /// There is none.
    Unknown,
    /// It is there and cannot be believed.
    Damaged,
    /// The number of the newest log file.
    File(u64),
}

/// Where it is.
pub(crate) fn path(dir: &Path) -> PathBuf {
    dir.join(NEWEST)
}

/// Reads which log file is the newest.
pub(crate) fn read(disk: &dyn Disk, dir: &Path, identity: Identity) -> Result<Newest> {
    match read_small(disk, &path(dir), LEN) {
        Ok(bytes) => Ok(decode(&bytes, identity).map_or(Newest::Damaged, Newest::File)),
        Err(error) if error.kind() == DiskErrorKind::NotFound => Ok(Newest::Unknown),
        Err(error) if error.kind() == DiskErrorKind::Corruption => Ok(Newest::Damaged),
        Err(error) => Err(error.into()),
    }
}

/// Reads the number of the newest log file by itself: store and shard are those of the log file that it names.
///
/// # Errors
///
/// [`Corruption`](crate::ErrorKind::Corruption) if it is damaged, or there is no such log file beside it.
pub fn inspect_newest(disk: &Arc<dyn Disk>, path: &Path) -> Result<(u16, u64)> {
    let bytes = read_small(&**disk, path, LEN)?;
    let damaged = || Error::corruption(path, 0, "it does not name the newest log file");
    let number = bytes.get(16..24).and_then(|number| number.first_chunk());
    let number = u64::from_le_bytes(*number.ok_or_else(damaged)?);
    let (store, shard) = identify(disk, &path.with_file_name(file_name(number)))?;
    let newest = decode(&bytes, Identity { store, shard }).ok_or_else(damaged)?;
    Ok((shard, newest))
}

/// Writes that a log file is the newest.
pub(crate) fn write(
    disk: &dyn Disk,
    dir: &Path,
    identity: Identity,
    generation: u64,
) -> Result<()> {
    Ok(atomic_replace(
        disk,
        &path(dir),
        &encode(identity, generation),
    )?)
}

fn encode(identity: Identity, generation: u64) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&identity.shard.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&generation.to_le_bytes());
    let crc = checksum(&seal(identity), 0, &[&bytes]);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

/// The number, if these are the bytes of such a file of this shard. There is nothing else in them that could differ.
fn decode(bytes: &[u8], identity: Identity) -> Option<u64> {
    let number = bytes.get(16..24)?.first_chunk().copied()?;
    let generation = u64::from_le_bytes(number);
    (bytes == encode(identity, generation)).then_some(generation)
}

fn seal(identity: Identity) -> Seal {
    Seal {
        store: identity.store,
        kind: KIND,
        generation: identity.shard.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: Identity = Identity {
        store: *b"0123456789abcdef",
        shard: 3,
    };

    #[test]
    fn version_1_is_written_byte_for_byte() {
        let bytes = encode(IDENTITY, 0x0102);
        let mut expected =
            b"TIDELOGN\x01\x00\x03\x00\x00\x00\x00\x00\x02\x01\x00\x00\x00\x00\x00\x00".to_vec();
        expected.extend_from_slice(&0x0a87_9798_u32.to_le_bytes());
        assert_eq!(bytes, expected);
    }

    #[test]
    fn a_flipped_bit_or_a_cut_is_noticed_and_so_is_another_shard() {
        let bytes = encode(IDENTITY, 7);
        assert_eq!(decode(&bytes, IDENTITY), Some(7));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&flipped, IDENTITY), None, "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert_eq!(decode(&bytes[..len], IDENTITY), None, "{len} bytes");
        }
        let other = Identity {
            shard: 4,
            ..IDENTITY
        };
        assert_eq!(decode(&bytes, other), None);
    }
}
