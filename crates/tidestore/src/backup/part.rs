//! Rows and batches in portable files, some megabytes each: a backup does not depend on the files of a key-value engine
//! or of a log.
//!
//! # Format, version 1
//!
//! ```text
//! offset  size  what
//!      0     8  magic "TIDEROWS" or "TIDEBTCH"
//!      8     4  version, 1
//!     12     2  shard
//!     14     2  zero
//!     16     4  number of the part in its shard, from 1
//!     20     4  how many rows or batches
//!     24     4  length of the payload, before compression
//!     28     4  length as it is stored
//!     32     4  crc32 of the stored payload
//!     36     4  crc32 of the 36 bytes before
//!     40     …  payload: one zstd frame
//!
//! row       table (1)  key length (4)  value length (4)  key  value
//! batch     position (8)  length (4)  bytes, as `record` describes them
//! ```
//!
//! Integers are little-endian. Checksums are seeded with the store's id, the kind, the shard and the number: a part in the
//! place of another is none.

use std::path::{Path, PathBuf};

use tidestore_disk::{Seal, checksum};
use tidestore_messages::codec::{le_u16, le_u32, le_u64};

use crate::error::{Error, Result};

/// What a part holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Rows,
    Batches,
}

/// A part is closed at this size, before compression.
pub(crate) const PART_BYTES: usize = 4 << 20;
/// No part is larger before compression: one batch of the log at most, and what was gathered before it.
const RAW_MAX: usize = (64 << 20) + PART_BYTES + 64;
const VERSION: u32 = 1;
const HEAD_LEN: usize = 40;
const LEVEL: i32 = 3;

impl Kind {
    fn magic(self) -> &'static [u8; 8] {
        match self {
            Self::Rows => b"TIDEROWS",
            Self::Batches => b"TIDEBTCH",
        }
    }

    /// The path of a part.
    pub(crate) fn path(self, shard: u16, number: u32) -> PathBuf {
        let (dir, extension) = match self {
            Self::Rows => ("rows", "rows"),
            Self::Batches => ("log", "batches"),
        };
        let shard = Path::new(dir).join(format!("shard-{shard:02}"));
        shard.join(format!("{number:06}.{extension}"))
    }

    fn seal(self, id: Id) -> Seal {
        let kind = match self {
            Self::Rows => b"ROWS",
            Self::Batches => b"BTCH",
        };
        Seal {
            store: id.store,
            kind: u32::from_le_bytes(*kind),
            generation: u64::from(id.shard) << 32 | u64::from(id.number),
        }
    }
}

/// Which part it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Id {
    pub(crate) store: [u8; 16],
    pub(crate) shard: u16,
    pub(crate) number: u32,
}

/// A part in the making.
#[derive(Clone, Debug, Default)]
pub(crate) struct Part {
    raw: Vec<u8>,
    count: u32,
}

impl Part {
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn is_full(&self) -> bool {
        self.raw.len() >= PART_BYTES
    }

    pub(crate) fn put_row(&mut self, table: u8, key: &[u8], value: &[u8]) {
        let len = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
        self.raw.push(table);
        self.raw.extend_from_slice(&len(key));
        self.raw.extend_from_slice(&len(value));
        self.raw.extend_from_slice(key);
        self.raw.extend_from_slice(value);
        self.count += 1;
    }

    pub(crate) fn put_batch(&mut self, position: u64, batch: &[u8]) {
        let len = u32::try_from(batch.len()).unwrap_or(u32::MAX);
        self.raw.extend_from_slice(&position.to_le_bytes());
        self.raw.extend_from_slice(&len.to_le_bytes());
        self.raw.extend_from_slice(batch);
        self.count += 1;
    }

    /// The bytes of the file.
    pub(crate) fn encode(&self, kind: Kind, id: Id) -> Result<Vec<u8>> {
        let payload = zstd::bulk::compress(&self.raw, LEVEL).map_err(crate::backup::sink::io)?;
        let seal = kind.seal(id);
        let len = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
        let mut bytes = kind.magic().to_vec();
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&id.shard.to_le_bytes());
        bytes.extend_from_slice(&[0; 2]);
        bytes.extend_from_slice(&id.number.to_le_bytes());
        bytes.extend_from_slice(&self.count.to_le_bytes());
        bytes.extend_from_slice(&len(&self.raw));
        bytes.extend_from_slice(&len(&payload));
        let crc = checksum(&seal, HEAD_LEN as u64, &[&payload]);
        bytes.extend_from_slice(&crc.to_le_bytes());
        let crc = checksum(&seal, 0, &[&bytes]);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes.extend_from_slice(&payload);
        Ok(bytes)
    }
}

/// The payload of a part, unpacked, with the number of its rows or batches.
#[derive(Debug)]
pub(crate) struct Unpacked {
    raw: Vec<u8>,
    count: u32,
}

/// One row: table, key, value.
pub(crate) type Row<'a> = (u8, &'a [u8], &'a [u8]);

impl Unpacked {
    /// Checks and unpacks a part. `path` names it in errors.
    pub(crate) fn decode(kind: Kind, id: Id, path: &Path, bytes: &[u8]) -> Result<Self> {
        let damaged =
            |detail: &str| Error::from(tidestore_disk::Error::corruption(path, 0, detail));
        let seal = kind.seal(id);
        let covered = bytes
            .get(..36)
            .ok_or_else(|| damaged("the part is cut short"))?;
        let payload = bytes.get(HEAD_LEN..).unwrap_or_default();
        let raw_len = le_u32(bytes, 24) as usize;
        let is_it = bytes.starts_with(kind.magic())
            && le_u32(bytes, 8) == VERSION
            && checksum(&seal, 0, &[covered]) == le_u32(bytes, 36)
            && le_u16(bytes, 12) == id.shard
            && le_u32(bytes, 16) == id.number
            && le_u32(bytes, 28) as usize == payload.len()
            && checksum(&seal, HEAD_LEN as u64, &[payload]) == le_u32(bytes, 32);
        if !is_it || raw_len > RAW_MAX {
            return Err(damaged(
                "this is not the part that its name says, or it is damaged",
            ));
        }
        let raw = zstd::bulk::decompress(payload, raw_len).ok();
        let raw = raw.filter(|raw| raw.len() == raw_len);
        let raw = raw.ok_or_else(|| damaged("the part cannot be unpacked"))?;
        let count = le_u32(bytes, 20);
        Ok(Self { raw, count })
    }

    /// Shows every row; false if the bytes are not so many rows.
    pub(crate) fn rows(&self, mut visit: impl FnMut(Row<'_>) -> Result<()>) -> Result<bool> {
        let (mut rest, mut count) = (self.raw.as_slice(), 0);
        while let Some((table, behind)) = rest.split_first() {
            let lens = (le_u32(behind, 0) as usize, le_u32(behind, 4) as usize);
            let parts = behind.get(8..).and_then(|behind| {
                let (key, behind) = behind.split_at_checked(lens.0)?;
                let (value, behind) = behind.split_at_checked(lens.1)?;
                Some((key, value, behind))
            });
            let Some((key, value, behind)) = parts else {
                return Ok(false);
            };
            visit((*table, key, value))?;
            (rest, count) = (behind, count + 1);
        }
        Ok(count == self.count)
    }

    /// Shows every batch with its position; false if the bytes are not so many batches.
    pub(crate) fn batches(&self, mut visit: impl FnMut(u64, &[u8]) -> Result<()>) -> Result<bool> {
        let (mut rest, mut count) = (self.raw.as_slice(), 0);
        while !rest.is_empty() {
            let (position, len) = (le_u64(rest, 0), le_u32(rest, 8) as usize);
            let parts = rest
                .get(12..)
                .and_then(|behind| behind.split_at_checked(len));
            let Some((batch, behind)) = parts else {
                return Ok(false);
            };
            visit(position, batch)?;
            (rest, count) = (behind, count + 1);
        }
        Ok(count == self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: Id = Id {
        store: *b"0123456789abcdef",
        shard: 3,
        number: 7,
    };

    fn example() -> Vec<u8> {
        let mut part = Part::default();
        part.put_row(1, b"key", b"value");
        part.put_row(20, b"", b"");
        part.encode(Kind::Rows, ID).unwrap()
    }

    fn decode(bytes: &[u8], id: Id) -> Result<Unpacked> {
        Unpacked::decode(Kind::Rows, id, Path::new("part"), bytes)
    }

    #[test]
    fn rows_and_batches_come_back_in_order() {
        let mut seen = Vec::new();
        let whole = decode(&example(), ID).unwrap().rows(|(table, key, value)| {
            seen.push((table, key.to_vec(), value.to_vec()));
            Ok(())
        });
        assert!(whole.unwrap());
        let expected = [
            (1, b"key".to_vec(), b"value".to_vec()),
            (20, vec![], vec![]),
        ];
        assert_eq!(seen, expected);

        let mut part = Part::default();
        part.put_batch(8, b"first");
        part.put_batch(9, b"second");
        let bytes = part.encode(Kind::Batches, ID).unwrap();
        let unpacked = Unpacked::decode(Kind::Batches, ID, Path::new("part"), &bytes).unwrap();
        let mut seen = Vec::new();
        let whole = unpacked.batches(|position, batch| {
            seen.push((position, batch.to_vec()));
            Ok(())
        });
        assert!(whole.unwrap());
        assert_eq!(seen, [(8, b"first".to_vec()), (9, b"second".to_vec())]);
    }

    #[test]
    fn damage_and_a_part_in_the_place_of_another_are_refused() {
        let bytes = example();
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&damaged, ID).is_err(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(decode(&bytes[..len], ID).is_err(), "length {len}");
        }
        assert!(decode(&bytes, Id { number: 8, ..ID }).is_err());
        assert!(decode(&bytes, Id { shard: 4, ..ID }).is_err());
        assert!(
            decode(
                &bytes,
                Id {
                    store: [0; 16],
                    ..ID
                }
            )
            .is_err()
        );
        assert!(Unpacked::decode(Kind::Batches, ID, Path::new("part"), &bytes).is_err());
    }
}
