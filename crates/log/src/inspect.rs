//! Looking into one log file, without the rest of the store.

use std::path::Path;
use std::sync::Arc;

use tidestore_disk::{Disk, OpenMode};

use crate::error::Result;
use crate::file::{LogFile, read_full};
use crate::format::{FileHeader, HEADER_LEN};

/// What a log file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogFileReport {
    /// The shard.
    pub shard: u16,
    /// The file's number.
    pub generation: u64,
    /// The position that the header says comes first.
    pub first_position: u64,
    /// The position of the last whole frame; one before the first if there is none.
    pub last_position: u64,
    /// Whole frames.
    pub batches: u64,
    /// Bytes of their batches.
    pub raw_bytes: u64,
    /// Bytes of the same as stored.
    pub stored_bytes: u64,
    /// Where the last whole frame ends.
    pub end: u64,
    /// Length of the file.
    pub file_len: u64,
}

impl LogFileReport {
    /// Names and values, for people.
    pub fn rows(&self) -> Vec<(String, String)> {
        let rows = [
            ("shard", u64::from(self.shard)),
            ("generation", self.generation),
            ("first position", self.first_position),
            ("last position", self.last_position),
            ("batches", self.batches),
            ("bytes of batches", self.raw_bytes),
            ("bytes of batches, stored", self.stored_bytes),
            ("end of the last whole batch", self.end),
            ("bytes of the file", self.file_len),
        ];
        rows.into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_string()))
            .collect()
    }
}

/// Reads a log file up to its last whole frame.
///
/// # Errors
///
/// [`Corruption`](crate::ErrorKind::Corruption) if the header is not that of a log file; what the disk reports.
pub fn inspect(disk: &Arc<dyn Disk>, path: &Path) -> Result<LogFileReport> {
    let file = disk.open(path, OpenMode::Read)?;
    let mut bytes = [0; 64];
    read_full(&*file, &mut bytes, 0)?;
    let header = FileHeader::decode(&bytes, path)?;
    let len = file.len()?;
    let last_position = header.first_position.saturating_sub(1);
    let mut file = LogFile {
        header,
        path: path.to_owned(),
        file,
        end: HEADER_LEN,
        last_position,
        len,
    };
    let mut report = LogFileReport {
        shard: header.identity.shard,
        generation: header.generation,
        first_position: header.first_position,
        file_len: len,
        ..LogFileReport::default()
    };
    while let Some(found) = file.frame_at(file.end)? {
        if found.head.position != file.last_position + 1 {
            break;
        }
        report.batches += 1;
        report.raw_bytes += u64::from(found.head.raw_len);
        report.stored_bytes += u64::from(found.head.stored_len);
        file.last_position += 1;
        file.end += found.head.frame_len();
    }
    report.last_position = file.last_position;
    report.end = file.end;
    Ok(report)
}
