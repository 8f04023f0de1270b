//! The file `BACKUP`: what a backup consists of. It is written when all the rest is durable, so a backup without it is
//! none.
//!
//! # Format, version 1
//!
//! ```text
//! offset  size  what
//!      0     8  magic "TIDEBKUP"
//!      8     4  version of the backup's format, 1
//!     12    16  store id
//!     28     8  length of the body
//!     36     4  crc32 of the 36 bytes before, seeded with the store id
//!     40    32  BLAKE3 of the body
//!     72     …  body: entries, each length (4) and bincode; the first is a Head, the others are Files
//! ```
//!
//! Integers are little-endian. Magic and version are read before anything else is understood; a later version is refused.
//! The checksum covers everything before the body, BLAKE3 the body, and the body the length and BLAKE3 of every other file.

use std::path::{Path, PathBuf};

use bincode::{Decode, Encode};
use tidestore_disk::{Millis, Seal, checksum};
use tidestore_kv::codec;
use tidestore_messages::codec::{le_u32, le_u64};

use crate::error::{Error, ErrorKind, Result};

/// The name of the manifest.
pub(crate) const NAME: &str = "BACKUP";
/// The name of the first file of an archive: magic and version.
pub(crate) const VERSION_NAME: &str = "VERSION";
/// The version of backups that this code writes and reads.
pub(crate) const VERSION: u32 = 1;
/// No manifest is larger, in bytes: it lists some millions of files.
pub(crate) const LEN_MAX: usize = 1 << 30;

const MAGIC: &[u8; 8] = b"TIDEBKUP";
const KIND: u32 = u32::from_le_bytes(*b"BKUP");
const HEAD_LEN: usize = 72;

/// What a backup consists of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) store: [u8; 16],
    pub(crate) head: Head,
    pub(crate) files: Vec<FileEntry>,
}

/// What is said of the whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Head {
    /// The moment of the cut.
    pub(crate) moment: Millis,
    /// The key of the app, if it is alone.
    pub(crate) app: Option<String>,
    /// Of each shard: the first position of its batches, and the last.
    pub(crate) logs: Vec<(u64, u64)>,
    pub(crate) rows: u64,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct FileEntry {
    /// Path in the backup, with `/` between names.
    pub(crate) path: String,
    pub(crate) len: u64,
    /// BLAKE3 of its bytes.
    pub(crate) hash: [u8; 32],
    /// What must be the same for a later backup to link it instead of copying; `None` if it may not.
    pub(crate) mark: Option<[u8; 32]>,
}

/// The first bytes of manifest and archive.
pub(crate) fn version_bytes() -> Vec<u8> {
    [&MAGIC[..], &VERSION.to_le_bytes()].concat()
}

/// Makes sure that bytes begin as those of a backup do that this code can read.
pub(crate) fn check_version(path: &Path, bytes: &[u8]) -> Result<()> {
    let path = path.display();
    if !bytes.starts_with(MAGIC) || bytes.len() < 12 {
        let text = format!("{path} does not begin as that of a backup does");
        return Err(Error::new(ErrorKind::NotABackup, text));
    }
    let version = le_u32(bytes, 8);
    if version == VERSION {
        return Ok(());
    }
    let text = format!(
        "{path} has backup version {version}, this program reads version {VERSION}; \
         restore it with the program that wrote it"
    );
    Err(Error::new(ErrorKind::Format, text))
}

impl Manifest {
    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        put(&mut body, &self.head)?;
        self.files
            .iter()
            .try_for_each(|file| put(&mut body, file))?;
        let mut bytes = version_bytes();
        bytes.extend_from_slice(&self.store);
        bytes.extend_from_slice(&(body.len() as u64).to_le_bytes());
        let crc = checksum(&seal(self.store), 0, &[&bytes]);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes.extend_from_slice(blake3::hash(&body).as_bytes());
        bytes.extend_from_slice(&body);
        Ok(bytes)
    }

    /// Reads a manifest; `path` names it in errors.
    pub(crate) fn decode(path: &Path, bytes: &[u8]) -> Result<Self> {
        check_version(path, bytes)?;
        let damaged =
            |detail: &str| Error::from(tidestore_disk::Error::corruption(path, 0, detail));
        let store: [u8; 16] = array(bytes, 12).ok_or_else(|| damaged("the file is cut short"))?;
        let covered = bytes.get(..36).unwrap_or_default();
        if checksum(&seal(store), 0, &[covered]) != le_u32(bytes, 36) {
            return Err(damaged("the checksum does not match"));
        }
        let body = bytes.get(HEAD_LEN..).unwrap_or_default();
        let hash: Option<[u8; 32]> = array(bytes, 40);
        if body.len() as u64 != le_u64(bytes, 28)
            || hash.is_none_or(|hash| blake3::hash(body) != hash)
        {
            return Err(damaged("the body is damaged or cut short"));
        }
        let mut rest = body;
        let head = take(&mut rest).ok_or_else(|| damaged("the head is damaged"))?;
        let mut files = Vec::new();
        while !rest.is_empty() {
            files.push(take(&mut rest).ok_or_else(|| damaged("the list of files is damaged"))?);
        }
        Ok(Self { store, head, files })
    }
}

impl FileEntry {
    pub(crate) fn path(&self) -> PathBuf {
        PathBuf::from(&self.path)
    }
}

fn put<T: Encode>(body: &mut Vec<u8>, value: &T) -> Result<()> {
    let too_large = |text: String| Error::new(ErrorKind::Argument, text);
    let bytes = codec::encode(value).map_err(|error| too_large(error.to_string()))?;
    let len = u32::try_from(bytes.len()).map_err(|error| too_large(error.to_string()))?;
    body.extend_from_slice(&len.to_le_bytes());
    body.extend_from_slice(&bytes);
    Ok(())
}

fn take<T: Decode<()>>(rest: &mut &[u8]) -> Option<T> {
    let (len, behind) = rest.split_first_chunk::<4>()?;
    let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
    let (bytes, behind) = behind.split_at_checked(len)?;
    *rest = behind;
    codec::decode(bytes).ok()
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
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

    fn example() -> Manifest {
        Manifest {
            store: *b"0123456789abcdef",
            head: Head {
                moment: 1_767_225_600_000,
                app: None,
                logs: vec![(8, 9)],
                rows: 3,
            },
            files: vec![FileEntry {
                path: "data/STORE".to_owned(),
                len: 44,
                hash: [7; 32],
                mark: None,
            }],
        }
    }

    fn hex(bytes: &[u8]) -> String {
        data_encoding::HEXLOWER.encode(bytes)
    }

    /// The example of `docs/format/backup.md`.
    #[test]
    fn version_1_is_written_byte_for_byte() {
        let bytes = example().encode().unwrap();
        let head = "54494445424b555001000000303132333435363738396162636465664300000000000000";
        assert_eq!(hex(&bytes[..36]), head);
        assert_eq!(bytes[40..72], *blake3::hash(&bytes[72..]).as_bytes());
        let body = "0e000000fd00a8da769b0100000001080903\
                    2d000000\
                    0a646174612f53544f52452c\
                    070707070707070707070707070707070707070707070707070707070707070700";
        assert_eq!(hex(&bytes[72..]), body);
        assert_eq!(
            Manifest::decode(Path::new("BACKUP"), &bytes).unwrap(),
            example()
        );
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_refused() {
        let bytes = example().encode().unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(
                Manifest::decode(Path::new("BACKUP"), &damaged).is_err(),
                "bit {bit}"
            );
        }
        for len in 0..bytes.len() {
            assert!(
                Manifest::decode(Path::new("BACKUP"), &bytes[..len]).is_err(),
                "length {len}"
            );
        }
    }

    #[test]
    fn a_later_version_is_named_as_such() {
        let mut bytes = example().encode().unwrap();
        bytes[8] = 2;
        let error = Manifest::decode(Path::new("BACKUP"), &bytes).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Format);
    }
}
