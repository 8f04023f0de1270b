//! Copying the files that rows name.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidestore_disk::{Disk, FileExt, OpenMode};

use crate::backup::base::Base;
use crate::backup::manifest::FileEntry;
use crate::backup::rows::SealedFile;
use crate::backup::sink::{Hashing, Sink, put_hashed, reader};
use crate::backup::{BackupReport, Copied};
use crate::error::{Error, Result};

/// Copies or links files into a backup.
pub(crate) struct Copier<'a> {
    pub(crate) disk: &'a Arc<dyn Disk>,
    pub(crate) sink: &'a mut dyn Sink,
    pub(crate) base: Option<&'a Base>,
    pub(crate) files: &'a mut Vec<FileEntry>,
    pub(crate) report: &'a mut BackupReport,
}

/// The path of a data directory's file in a backup.
pub(crate) fn data_path(path: &Path) -> PathBuf {
    Path::new("data").join(path)
}

impl Copier<'_> {
    /// Takes a file that never changes: from the base, as a link to the data directory's own, or as a copy.
    pub(crate) fn sealed(&mut self, file: &SealedFile) -> Result<()> {
        let disk = file.scratch.as_ref().unwrap_or(self.disk);
        let disk = Arc::clone(disk);
        let Some(len) = self.len_of(&*disk, &file.path, |found| found == file.len, file.len)?
        else {
            return Ok(());
        };
        let mark = Some(sample(&*disk, &file.path, len)?);
        if self.reuse(&file.path, len, mark)? {
            return Ok(());
        }
        let path = data_path(&file.path);
        let entry = if self.sink.link(&*disk, &file.path, &path)? {
            self.report.linked.add(len);
            hash(&*disk, &file.path, &path, len)?
        } else {
            self.report.copied.add(len);
            let mut from = reader(&*disk, &file.path, len)?;
            put_hashed(self.sink, &path, len, &mut from)?
        };
        self.files.push(FileEntry { mark, ..entry });
        Ok(())
    }

    /// Takes the first so many bytes of a file that changes. Never as a link: what is punched out of it or written to it
    /// later would change the backup.
    pub(crate) fn growing(&mut self, path: &Path, len: u64, mark: Option<[u8; 32]>) -> Result<()> {
        let disk = Arc::clone(self.disk);
        let Some(len) = self.len_of(&*disk, path, |found| found >= len, len)? else {
            return Ok(());
        };
        if self.reuse(path, len, mark)? {
            return Ok(());
        }
        let mut from = reader(&*disk, path, len)?;
        let entry = put_hashed(self.sink, &data_path(path), len, &mut from)?;
        self.report.copied.add(len);
        self.files.push(FileEntry { mark, ..entry });
        Ok(())
    }

    /// How much of a file to take. What is damaged is taken as it is and told of, and what is missing is told of: a store
    /// with damage needs a backup more than others.
    fn len_of(
        &mut self,
        disk: &dyn Disk,
        path: &Path,
        is_whole: impl Fn(u64) -> bool,
        len: u64,
    ) -> Result<Option<u64>> {
        let (found, detail) = match disk.metadata(path) {
            Ok(metadata) if is_whole(metadata.len) => return Ok(Some(len)),
            Ok(metadata) => {
                let detail = format!("has {} bytes, not {len}", metadata.len);
                (Some(metadata.len), detail)
            }
            Err(error) if error.kind() == tidestore_disk::ErrorKind::NotFound => {
                (None, "is missing".to_owned())
            }
            Err(error) => return Err(error.into()),
        };
        self.report
            .damaged
            .push(format!("{} {detail}", path.display()));
        Ok(found)
    }

    fn reuse(&mut self, path: &Path, len: u64, mark: Option<[u8; 32]>) -> Result<bool> {
        let Some(base) = self.base else {
            return Ok(false);
        };
        let Some(entry) = base.link(self.sink, &data_path(path), len, mark)? else {
            return Ok(false);
        };
        self.report.reused.add(len);
        self.files.push(entry);
        Ok(true)
    }
}

impl Copied {
    fn more(self, other: Self) -> Self {
        Self {
            files: self.files + other.files,
            bytes: self.bytes + other.bytes,
        }
    }
}

impl BackupReport {
    /// Adds up what was done to files.
    pub(crate) fn sum(&mut self, parts: &[FileEntry]) {
        let done = self.copied.more(self.linked).more(self.reused);
        let bytes: u64 = parts.iter().map(|file| file.len).sum();
        let all = Copied {
            files: parts.len() as u64,
            bytes,
        };
        // Parts and STORE are written too.
        self.copied.files += all.files - done.files;
        self.copied.bytes += all.bytes - done.bytes;
        self.all = all;
    }
}

const SAMPLE: u64 = 4_096;

/// What tells a sealed file from another of the same name, without reading all of it: its length, and its first and last
/// bytes, which hold the checksums of the parts between. Two stores that grew out of one backup give the same names.
fn sample(disk: &dyn Disk, path: &Path, len: u64) -> Result<[u8; 32]> {
    let file = disk.open(path, OpenMode::Read)?;
    let mut hasher = blake3::Hasher::new();
    hasher.update(&len.to_le_bytes());
    let piece = usize::try_from(len.min(SAMPLE)).unwrap_or_default();
    let mut bytes = vec![0; piece];
    for offset in [0, len - piece as u64] {
        file.read_exact_at(&mut bytes, offset, path)?;
        hasher.update(&bytes);
    }
    Ok(*hasher.finalize().as_bytes())
}

/// Reads a file that was linked, for the manifest.
fn hash(disk: &dyn Disk, from: &Path, path: &Path, len: u64) -> Result<FileEntry> {
    let mut from = reader(disk, from, len)?;
    let mut from = Hashing {
        from: &mut from,
        hasher: blake3::Hasher::new(),
        read: 0,
    };
    let read = std::io::copy(&mut from, &mut std::io::sink()).map_err(super::sink::io)?;
    if read != len {
        return Err(damaged(path, "the file is shorter than the manifest says"));
    }
    Ok(FileEntry {
        path: path.to_string_lossy().into_owned(),
        len,
        hash: *from.hasher.finalize().as_bytes(),
        mark: None,
    })
}

fn damaged(path: &Path, detail: &str) -> Error {
    tidestore_disk::Error::corruption(path, 0, detail).into()
}
