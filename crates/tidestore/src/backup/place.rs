//! Where backups go and come from.

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidestore_disk::{Disk, EntryKind, Env, RealDisk};

use crate::error::{Error, ErrorKind, Result};

/// A path on a disk: of a backup's directory or archive.
#[derive(Clone, Debug)]
pub struct BackupPlace {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) path: PathBuf,
}

impl BackupPlace {
    /// A path on a disk of the caller's choice.
    pub fn on(disk: Arc<dyn Disk>, path: impl Into<PathBuf>) -> Self {
        Self {
            disk,
            path: path.into(),
        }
    }

    /// A directory or file that exists on this machine.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotABackup`] if there is nothing, [`ErrorKind::Io`].
    pub fn path(path: &Path) -> Result<Self> {
        let open = |dir: &Path| {
            RealDisk::open(dir).map_err(|error| match error.kind() {
                tidestore_disk::ErrorKind::NotFound => nothing(path).with_source(error),
                _ => error.into(),
            })
        };
        match open(path) {
            Ok(disk) => Ok(Self::on(Arc::new(disk), "")),
            Err(missing) if *missing.kind() == ErrorKind::NotABackup => Err(missing),
            // A file: its name in its directory.
            Err(error) => {
                let (dir, name) = split(path).ok_or(error)?;
                Ok(Self::on(Arc::new(open(&dir)?), name))
            }
        }
    }

    pub(crate) fn join(&self, path: &Path) -> PathBuf {
        self.path.join(path)
    }

    /// Whether it is a directory.
    pub(crate) fn is_dir(&self) -> Result<bool> {
        match self.disk.metadata(&self.path) {
            Ok(metadata) => Ok(metadata.kind == EntryKind::Dir),
            Err(error) if error.kind() == tidestore_disk::ErrorKind::NotFound => {
                Err(nothing(&self.path).with_source(error))
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn nothing(path: &Path) -> Error {
    let text = format!("there is no backup at {}", path.display());
    Error::new(ErrorKind::NotABackup, text)
}

/// Directory and name of a file.
fn split(path: &Path) -> Option<(PathBuf, PathBuf)> {
    let name = path.file_name()?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    Some((dir.unwrap_or(Path::new(".")).to_owned(), name.into()))
}

/// Where a backup goes.
#[derive(Debug)]
pub struct BackupTarget(Kind);

enum Kind {
    NativeDirectory(PathBuf),
    NativeArchive(PathBuf),
    Opened(Opened),
}

/// A target whose disk is known.
pub(crate) enum Opened {
    Directory(BackupPlace),
    Archive(BackupPlace),
    Stream(Box<dyn Write + Send>),
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NativeDirectory(path)
            | Self::Opened(Opened::Directory(BackupPlace { path, .. })) => {
                f.debug_tuple("Directory").field(path).finish()
            }
            Self::NativeArchive(path) | Self::Opened(Opened::Archive(BackupPlace { path, .. })) => {
                f.debug_tuple("Archive").field(path).finish()
            }
            Self::Opened(Opened::Stream(_)) => f.debug_tuple("Stream").finish_non_exhaustive(),
        }
    }
}

impl BackupTarget {
    /// A directory of this machine, which must be empty or missing, or hold a backup that did not come to its end.
    pub fn directory(path: impl Into<PathBuf>) -> Self {
        Self(Kind::NativeDirectory(path.into()))
    }

    /// An archive in a file of this machine, which must not exist; its directory must.
    pub fn archive(path: impl Into<PathBuf>) -> Self {
        Self(Kind::NativeArchive(path.into()))
    }

    /// A directory on a disk of the caller's choice.
    pub fn directory_on(place: BackupPlace) -> Self {
        Self(Kind::Opened(Opened::Directory(place)))
    }

    /// An archive on a disk of the caller's choice.
    pub fn archive_on(place: BackupPlace) -> Self {
        Self(Kind::Opened(Opened::Archive(place)))
    }

    /// An archive that is written into a stream. Whoever reads it has to keep it only if the backup succeeded.
    pub fn stream(stream: impl Write + Send + 'static) -> Self {
        Self(Kind::Opened(Opened::Stream(Box::new(stream))))
    }

    /// Opens the disk of a target, making its directory. Refuses a place inside the data directory before: an opening would
    /// report it, and a backup would hold itself.
    pub(crate) fn resolve(self, data: &Arc<dyn Disk>) -> Result<Opened> {
        match self.0 {
            Kind::Opened(opened) => Ok(opened),
            Kind::NativeDirectory(path) => {
                check_outside(&path, data)?;
                let disk = Env::real(&path)?.disk;
                Ok(Opened::Directory(BackupPlace::on(disk, "")))
            }
            Kind::NativeArchive(path) => {
                let (dir, name) = split(&path).ok_or_else(|| {
                    let text = format!("{} names no file", path.display());
                    Error::new(ErrorKind::Argument, text)
                })?;
                check_outside(&dir, data)?;
                let disk = Env::existing(&dir)?.disk;
                Ok(Opened::Archive(BackupPlace::on(disk, name)))
            }
        }
    }
}

fn check_outside(target: &Path, data: &Arc<dyn Disk>) -> Result<()> {
    let root = data.native_path(Path::new(""));
    let root = root.and_then(|root| root.canonicalize().ok());
    // What is there of the target already: it may be reached through links.
    let there = std::path::absolute(target).ok();
    let there = there.and_then(|path| path.ancestors().find_map(|path| path.canonicalize().ok()));
    match (root, there) {
        (Some(root), Some(there)) if there.starts_with(&root) => {
            let text = format!(
                "{} lies in the data directory; name a place outside of it",
                target.display()
            );
            Err(Error::new(ErrorKind::Occupied, text))
        }
        _ => Ok(()),
    }
}
