//! The file `STORE`: what a data directory is.
//!
//! The long form, with a worked example and what a crash may leave: `docs/format/store.md`.
//!
//! # Format, version 1
//!
//! One checksummed frame (see `tidestore-disk`) behind a fixed head, so that the version can be read before anything
//! else is understood:
//!
//! ```text
//! offset  size  what
//!      0     8  magic "TIDESTOR"
//!      8     4  format version of the whole data directory, 1
//!     12    16  store id: random, part of every checksum in the directory
//!     28     8  when the store was created, milliseconds
//!     36     2  number of shards
//!     38     2  key-value engine of new tables: 1 sled, 2 memory, 3 redb
//!     40     4  crc32 of the first 40 bytes, seeded with the store id
//! ```

use std::path::Path;
use std::sync::Arc;

use tidestore_disk::{Disk, EntryKind, Env, Millis, Seal, atomic_replace, checksum, read_small};
use tidestore_kv::EngineKind;
use tidestore_messages::{MessageId, codec::le_u16, codec::le_u32, codec::le_u64};

use crate::error::{Error, ErrorKind, Result};
use crate::options::Options;

/// The version of the data directory that this code writes and reads.
pub const FORMAT_VERSION: u32 = 1;

/// What a data directory says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreFile {
    /// The store's random identity.
    pub id: [u8; 16],
    /// When the store was created.
    pub created: Millis,
    /// Number of shards.
    pub shards: u16,
    /// Where the views live.
    pub engine: EngineKind,
}

const PATH: &str = "STORE";
const MAGIC: &[u8; 8] = b"TIDESTOR";
const LEN: usize = 44;
const KIND: u32 = u32::from_le_bytes(*b"STOR");

/// Reads `STORE`, or makes a new store in an empty directory.
///
/// # Errors
///
/// - [`ErrorKind::NotAStore`]: the directory holds other files, or a store whose `STORE` is missing.
/// - [`ErrorKind::Format`]: a later version wrote it.
/// - [`ErrorKind::Corruption`]: `STORE` is damaged.
pub(crate) fn open_or_create(env: &Env, options: &Options) -> Result<StoreFile> {
    match read_small(&*env.disk, Path::new(PATH), 4_096) {
        Ok(bytes) => decode(&bytes),
        Err(error) if error.kind() == tidestore_disk::ErrorKind::NotFound => create(env, options),
        Err(error) => Err(error.into()),
    }
}

fn create(env: &Env, options: &Options) -> Result<StoreFile> {
    let mut id = [0; 16];
    env.entropy.fill(&mut id)?;
    let store = StoreFile {
        id,
        created: env.clock.wall(),
        shards: options.shards,
        engine: options.engine,
    };
    write(env, &store)?;
    Ok(store)
}

/// Writes `STORE` anew.
pub(crate) fn write(env: &Env, store: &StoreFile) -> Result<()> {
    Ok(atomic_replace(
        &*env.disk,
        Path::new(PATH),
        &encode(store)?,
    )?)
}

/// Reads the `STORE` of a store that exists.
///
/// # Errors
///
/// As [`open_or_create`]; [`ErrorKind::NotAStore`] if there is none.
pub(crate) fn read(env: &Env) -> Result<StoreFile> {
    match read_small(&*env.disk, Path::new(PATH), 4_096) {
        Ok(bytes) => decode(&bytes),
        Err(error) if error.kind() == tidestore_disk::ErrorKind::NotFound => {
            let text = "there is no STORE file: the directory holds no store";
            Err(Error::new(ErrorKind::NotAStore, text))
        }
        Err(error) => Err(error.into()),
    }
}

/// The directory that a restore keeps in its data directory until it is done.
pub(crate) const RESTORING: &str = "RESTORING";

/// Refuses a directory into which a restore has not come to its end: it may lack anything.
pub(crate) fn refuse_unfinished(disk: &Arc<dyn Disk>) -> Result<()> {
    match disk.metadata(Path::new(RESTORING)) {
        Err(error) if error.kind() == tidestore_disk::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
        Ok(_) => {
            let text =
                "a restore into this directory did not come to its end: restore into it once more";
            Err(Error::new(ErrorKind::NotAStore, text))
        }
    }
}

/// Refuses a directory without `STORE` that holds something else.
///
/// A new store is made only where nothing of anybody else can be in the way. What a creation that was cut short
/// left, and what operating systems sprinkle about, does not count.
pub(crate) fn refuse_strangers(disk: &Arc<dyn Disk>) -> Result<()> {
    let entries = disk.list(Path::new(""))?;
    if entries.iter().any(|entry| entry.name == PATH) {
        return Ok(());
    }
    let harmless = ["LOCK", "STORE.tmp", "lost+found"];
    let stranger = entries.iter().find(|entry| {
        let harmless = harmless.contains(&entry.name.as_str()) || entry.name.starts_with('.');
        !harmless || entry.kind == EntryKind::Other
    });
    match stranger {
        None => Ok(()),
        Some(entry) => {
            let text = format!(
                "the directory holds {:?} but no STORE file: it is no data directory, or a part of it is missing; \
                 name an empty directory to create a store",
                entry.name
            );
            Err(Error::new(ErrorKind::NotAStore, text))
        }
    }
}

fn encode(store: &StoreFile) -> Result<Vec<u8>> {
    let engine: u16 = match store.engine {
        EngineKind::Sled => 1,
        EngineKind::Memory => 2,
        EngineKind::Redb => 3,
        other => {
            let text = format!("the engine {other} has no number in this format");
            return Err(Error::new(ErrorKind::Argument, text));
        }
    };
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    bytes.extend_from_slice(&store.id);
    bytes.extend_from_slice(&store.created.to_le_bytes());
    bytes.extend_from_slice(&store.shards.to_le_bytes());
    bytes.extend_from_slice(&engine.to_le_bytes());
    let crc = checksum(&seal(store.id), 0, &[&bytes]);
    bytes.extend_from_slice(&crc.to_le_bytes());
    Ok(bytes)
}

/// Decodes the contents of `STORE`.
pub(crate) fn decode(bytes: &[u8]) -> Result<StoreFile> {
    if !bytes.starts_with(MAGIC) || bytes.len() < 12 {
        let text = "STORE does not begin as a store's does: the directory is not a data directory";
        return Err(Error::new(ErrorKind::NotAStore, text));
    }
    let version = le_u32(bytes, 8);
    if version != FORMAT_VERSION {
        let text = format!(
            "the data directory has format version {version}, this program reads version {FORMAT_VERSION}; \
             open it with the program that wrote it"
        );
        return Err(Error::new(ErrorKind::Format, text));
    }
    let damaged = |detail: &str| {
        let error = tidestore_disk::Error::corruption(Path::new(PATH), 0, detail);
        Err(Error::from(error))
    };
    let Some(id) = bytes
        .get(12..28)
        .and_then(|id| <[u8; 16]>::try_from(id).ok())
    else {
        return damaged("the file is cut short");
    };
    if bytes.len() != LEN {
        return damaged("the file has not the length of its version");
    }
    let head = bytes.get(..LEN - 4).unwrap_or_default();
    if checksum(&seal(id), 0, &[head]) != le_u32(bytes, LEN - 4) {
        return damaged("the checksum does not match");
    }
    let engine = match le_u16(bytes, 38) {
        1 => EngineKind::Sled,
        2 => EngineKind::Memory,
        3 => EngineKind::Redb,
        _ => return damaged("the key-value engine is not known"),
    };
    let shards = le_u16(bytes, 36);
    if shards == 0 || shards > MessageId::SHARDS_MAX {
        return damaged("the number of shards is not possible");
    }
    Ok(StoreFile {
        id,
        created: le_u64(bytes, 28),
        shards,
        engine,
    })
}

fn seal(store: [u8; 16]) -> Seal {
    Seal {
        store,
        kind: KIND,
        generation: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> StoreFile {
        StoreFile {
            id: *b"0123456789abcdef",
            created: 1_700_000_000_000,
            shards: 2,
            engine: EngineKind::Sled,
        }
    }

    #[test]
    fn version_1_is_written_byte_for_byte() {
        let head = [
            &b"TIDESTOR"[..],
            &[1, 0, 0, 0],
            b"0123456789abcdef",
            &[0x00, 0x68, 0xe5, 0xcf, 0x8b, 0x01, 0, 0],
            &[2, 0, 1, 0],
        ];
        assert_eq!(encode(&example()).unwrap()[..40], head.concat());
        assert_eq!(decode(&encode(&example()).unwrap()).unwrap(), example());
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_refused() {
        let bytes = encode(&example()).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&damaged).is_err(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(decode(&bytes[..len]).is_err(), "length {len}");
        }
    }

    #[test]
    fn a_later_version_is_named_as_such() {
        let mut bytes = encode(&example()).unwrap();
        bytes[8] = 9;
        assert_eq!(*decode(&bytes).unwrap_err().kind(), ErrorKind::Format);
    }
}
