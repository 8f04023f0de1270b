//! Reading a backup: its files one after the other, the manifest last.

use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use tidestore_disk::{File, OpenMode, read_small};

use crate::backup::manifest::{self, Manifest};
use crate::backup::place::BackupPlace;
use crate::backup::sink;
use crate::error::{Error, ErrorKind, Result};

/// Reads the first bytes of a file in order.
#[derive(Debug)]
pub(crate) struct FileReader {
    file: Arc<dyn File>,
    at: u64,
    left: u64,
}

impl FileReader {
    pub(crate) fn new(file: Arc<dyn File>, len: u64) -> Self {
        Self {
            file,
            at: 0,
            left: len,
        }
    }
}

impl Read for FileReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = usize::try_from(self.left).map_or(buf.len(), |left| left.min(buf.len()));
        let buf = buf.get_mut(..len).unwrap_or_default();
        let read = self.file.read_at(buf, self.at).map_err(io::Error::other)?;
        self.at += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}

/// What is called with each file: its path in the backup, and its bytes.
pub(crate) type Visit<'a> = dyn FnMut(&Path, &mut dyn Read) -> Result<()> + 'a;

/// Shows every file of a backup but the manifest, and returns that. In a directory these are the files that the manifest
/// names, in an archive all that it holds.
pub(crate) fn each(place: &BackupPlace, visit: &mut Visit<'_>) -> Result<Manifest> {
    if place.is_dir()? {
        each_of_dir(place, visit)
    } else {
        each_of_archive(place, visit)
    }
}

/// Reads the manifest of a backup in a directory.
pub(crate) fn read_manifest(place: &BackupPlace) -> Result<Manifest> {
    let path = place.join(Path::new(manifest::NAME));
    match read_small(&*place.disk, &path, manifest::LEN_MAX) {
        Ok(bytes) => Manifest::decode(&path, &bytes),
        Err(error) if error.kind() == tidestore_disk::ErrorKind::NotFound => {
            let text = format!(
                "there is no file {}: this is no backup, or one that did not come to its end",
                manifest::NAME
            );
            Err(Error::new(ErrorKind::NotABackup, text).with_source(error))
        }
        Err(error) => Err(error.into()),
    }
}

fn each_of_dir(place: &BackupPlace, visit: &mut Visit<'_>) -> Result<Manifest> {
    let manifest = read_manifest(place)?;
    for entry in &manifest.files {
        let path = checked(&entry.path())?;
        let file = match place.disk.open(&place.join(&path), OpenMode::Read) {
            Err(error) if error.kind() == tidestore_disk::ErrorKind::NotFound => {
                return Err(damaged(&path, "the file is missing"));
            }
            file => file?,
        };
        let len = file.len()?;
        visit(&path, &mut FileReader::new(file, len))?;
    }
    Ok(manifest)
}

fn each_of_archive(place: &BackupPlace, visit: &mut Visit<'_>) -> Result<Manifest> {
    let file = place.disk.open(&place.path, OpenMode::Read)?;
    let len = file.len()?;
    let mut archive = tar::Archive::new(FileReader::new(file, len));
    // What cannot be read is damage of the archive, unless the disk failed.
    let broken = |error: io::Error| match sink::io(error) {
        error if matches!(error.kind(), ErrorKind::Io) && !is_of_disk(&error) => {
            damaged(&place.path, &error.to_string())
        }
        error if *error.kind() == ErrorKind::Corruption => damaged(&place.path, &error.to_string()),
        error => error,
    };
    let mut is_first = true;
    for entry in archive.entries().map_err(broken)? {
        let mut entry = match entry {
            Err(error) if is_first => {
                let text = format!("{} is no backup", place.path.display());
                return Err(Error::new(ErrorKind::NotABackup, text).with_source(broken(error)));
            }
            entry => entry.map_err(broken)?,
        };
        let path = entry.path().map_err(broken)?.into_owned();
        if std::mem::take(&mut is_first) {
            let bytes = read_some(&mut entry, 12).map_err(broken)?;
            manifest::check_version(&place.path, &bytes)?;
            continue;
        }
        let path = checked(&path)?;
        if entry.header().entry_type() != tar::EntryType::Regular {
            return Err(damaged(&path, "this is no file"));
        }
        if path == Path::new(manifest::NAME) {
            let bytes = read_some(&mut entry, manifest::LEN_MAX as u64).map_err(broken)?;
            return Manifest::decode(&place.path, &bytes);
        }
        visit(&path, &mut entry)?;
    }
    let text = format!(
        "{} has no {} at its end: it was cut short",
        place.path.display(),
        manifest::NAME
    );
    Err(Error::new(ErrorKind::NotABackup, text))
}

fn is_of_disk(error: &Error) -> bool {
    let source = std::error::Error::source(error);
    source.is_some_and(<dyn std::error::Error>::is::<tidestore_disk::Error>)
}

/// Reads all there is, but not more than a bound.
pub(crate) fn read_some(from: &mut dyn Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Refuses a path that leads anywhere but below the backup.
fn checked(path: &Path) -> Result<PathBuf> {
    let is_plain = |component| matches!(component, Component::Normal(_));
    if path.components().all(is_plain) && path.components().next().is_some() {
        return Ok(path.to_owned());
    }
    Err(damaged(path, "no file of a backup has such a path"))
}

pub(crate) fn damaged(path: &Path, detail: &str) -> Error {
    tidestore_disk::Error::corruption(path, 0, detail).into()
}
