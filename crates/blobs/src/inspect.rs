//! Looking into one volume without its store.

use std::path::Path;
use std::sync::Arc;

use tidestore_disk::{Disk, FileCache, FileExt, OpenMode};

use crate::content::{Content, Location};
use crate::error::{Error, Result};
use crate::format::{self, BLOCK_BYTES, RecordHead, VolumeHead, blocks_of};

/// What stands in a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeReport {
    /// The header.
    pub head: VolumeHead,
    /// Records that are whole, by offset. The tables alone know which of them attachments still have.
    pub records: Vec<FoundRecord>,
    /// Bytes of blocks that hold nothing but zeros: punched out, or never written.
    pub empty: u64,
    /// Damage, with its offset.
    pub problems: Vec<(u64, String)>,
}

/// One record of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundRecord {
    /// Where it begins.
    pub offset: u64,
    /// Bytes that it takes up.
    pub record: u64,
    /// What it says of itself.
    pub head: RecordHead,
}

/// Reads a volume from front to back and checks every checksum.
///
/// Blocks that begin no record are passed over one by one: a record that is looked for in this way is one only if its
/// checksum, which covers store, volume and offset, says so. A content that looks like a record is none.
///
/// # Errors
///
/// [`crate::ErrorKind::Corruption`] if the header is no header, or what the disk reports.
pub fn inspect(disk: &Arc<dyn Disk>, path: &Path) -> Result<VolumeReport> {
    let file = disk.open(path, OpenMode::Read)?;
    let len = file.len()?;
    let block = usize::try_from(BLOCK_BYTES).unwrap_or_default();
    let read = |offset: u64| {
        let mut bytes = vec![0; block];
        let rest = usize::try_from(len - offset).unwrap_or(usize::MAX);
        bytes.truncate(rest);
        file.read_exact_at(&mut bytes, offset, path).map(|()| bytes)
    };
    let head = VolumeHead::decode(&read(0)?).map_err(|error| Error::corruption(path, 0, error))?;
    let seal = format::seal(head.store, head.number);
    let files = FileCache::new(Arc::clone(disk), 1);
    let mut report = VolumeReport {
        head,
        records: Vec::new(),
        empty: 0,
        problems: Vec::new(),
    };
    let mut offset = BLOCK_BYTES;
    while offset < len {
        let bytes = read(offset)?;
        if bytes.iter().all(|byte| *byte == 0) {
            report.empty += bytes.len() as u64;
            offset += BLOCK_BYTES;
            continue;
        }
        match RecordHead::decode(&bytes, &seal, offset) {
            Ok(head) => {
                let record = u64::from(head.data_at) + head.stored();
                let at = Location {
                    path: path.to_owned(),
                    volume: report.head.number,
                    offset,
                    record,
                };
                if let Err(error) = check_chunks(&files, report.head.store, at) {
                    report.problems.push((offset, error.to_string()));
                }
                report.records.push(FoundRecord {
                    offset,
                    record,
                    head,
                });
                offset += blocks_of(record);
            }
            Err(error) => {
                report.problems.push((offset, error.to_string()));
                offset += BLOCK_BYTES;
            }
        }
    }
    Ok(report)
}

/// Compares all chunks with their checksums, and the content with its hash.
fn check_chunks(files: &FileCache, store: [u8; 16], at: Location) -> Result<()> {
    let (path, offset) = (at.path.clone(), at.offset);
    let content = Content::open(files, store, at)?
        .ok_or_else(|| Error::corruption(&path, 0, "the file is missing"))?;
    let mut hasher = blake3::Hasher::new();
    for index in 0..content.head().chunks.len() {
        hasher.update(&content.chunks(index..index + 1)?);
    }
    if *hasher.finalize().as_bytes() == content.head().hash {
        Ok(())
    } else {
        Err(Error::corruption(
            &path,
            offset,
            "the content has another hash",
        ))
    }
}
