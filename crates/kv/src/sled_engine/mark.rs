//! The mark of the last flush, by which lost flushes are noticed.
//!
//! The long form, with a worked example and what a crash may leave: `docs/format/tables-place.md`.
//!
//! sled takes damage in its log for the torn end of it: it opens without an error, and what was
//! behind the damage is gone, though it had been flushed. So each flush has a number, which goes
//! into the tree before sled flushes, and into the file `flushed` after. A tree whose number is
//! below the one of the file has lost something.
//!
//! | crash … | tree | file | at open |
//! |---|---|---|---|
//! | before sled's flush is durable | n - 1 | n - 1 | fine |
//! | after it, before the file is replaced | n | n - 1 | fine |
//! | after that | n | n | fine |
//! | never, but sled lost batches | below n | n | corruption |
//!
//! The file, little-endian:
//!
//! | offset | bytes | meaning |
//! |---|---|---|
//! | 0 | 8 | `TIDEKVSF` |
//! | 8 | 1 | version, now 1 |
//! | 9 | 7 | zero |
//! | 16 | 8 | the number, from 1 |
//! | 24 | 4 | CRC-32 of bytes 0 to 23; in its place in every version |

use std::path::{Path, PathBuf};

use tidestore_disk::{self as disk, Disk, atomic_replace, read_small};

use crate::{Error, ErrorKind, Result};

/// The key of the number in the tree: every entry's key begins with its table, so none is empty.
pub(super) const KEY: &[u8] = b"";

const FILE: &str = "flushed";
const MAGIC: [u8; 8] = *b"TIDEKVSF";
const VERSION: u8 = 1;
const BYTES: usize = 28;

fn path_in(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

/// Writes the number of a flush that is durable.
pub(super) fn write(disk: &dyn Disk, dir: &Path, number: u64) -> Result<()> {
    Ok(atomic_replace(disk, &path_in(dir), &encode(number))?)
}

/// Reads the number of the last flush; 0 if there was none.
///
/// # Errors
///
/// [`ErrorKind::Corruption`] if the file is damaged, [`ErrorKind::Unsupported`] if a later version wrote it.
#[doc(hidden)]
pub fn read(disk: &dyn Disk, dir: &Path) -> Result<u64> {
    let path = path_in(dir);
    match read_small(disk, &path, BYTES) {
        Ok(bytes) => decode(&bytes, &path),
        Err(error) if error.kind() == disk::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// Reads the number out of the tree; 0 if there is none.
pub(super) fn of_tree(tree: &sled::Db, dir: &Path) -> Result<u64> {
    let context = || format!("read the flush number in sled directory {}", dir.display());
    let found = tree
        .get(KEY)
        .map_err(|error| super::sled_error(error, context()))?;
    let Some(found) = found else { return Ok(0) };
    let bytes = <[u8; 8]>::try_from(found.as_ref()).map_err(|_| {
        let context = format!("{}: {} bytes, expected 8", context(), found.len());
        Error::new(ErrorKind::Corruption, context)
    })?;
    Ok(u64::from_le_bytes(bytes))
}

fn encode(number: u64) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    bytes[0..8].copy_from_slice(&MAGIC);
    bytes[8] = VERSION;
    bytes[16..24].copy_from_slice(&number.to_le_bytes());
    let checksum = crc32fast::hash(&bytes[..24]);
    bytes[24..28].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8], path: &Path) -> Result<u64> {
    let damaged = || {
        let detail = "this is not an intact mark of the last flush";
        Error::from(disk::Error::corruption(path, 0, detail))
    };
    let fields = <&[u8; BYTES]>::try_from(bytes).map_err(|_| damaged())?;
    let checksum = crc32fast::hash(&fields[..24]);
    if fields[0..8] != MAGIC || fields[24..28] != checksum.to_le_bytes() {
        return Err(damaged());
    }
    if fields[8] != VERSION || fields[9..16] != [0; 7] {
        let context = format!("file {}: version {}, known is 1", path.display(), fields[8]);
        return Err(Error::new(ErrorKind::Unsupported, context));
    }
    let mut number = [0; 8];
    number.copy_from_slice(&fields[16..24]);
    Ok(u64::from_le_bytes(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_read_back_and_every_flipped_bit_and_cut_is_refused() {
        let path = Path::new("flushed");
        let intact = encode(0x0102_0304_0506_0708);
        assert_eq!(decode(&intact, path).unwrap(), 0x0102_0304_0506_0708);
        for position in 0..BYTES {
            for bit in 0..8 {
                let mut bytes = intact;
                bytes[position] ^= 1 << bit;
                let error = decode(&bytes, path).unwrap_err();
                assert_eq!(
                    error.kind(),
                    ErrorKind::Corruption,
                    "byte {position} bit {bit}"
                );
            }
            assert!(
                decode(&intact[..position], path).is_err(),
                "cut to {position} bytes"
            );
        }
    }
}
