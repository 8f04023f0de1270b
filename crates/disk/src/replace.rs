//! Small files that are replaced as a whole: manifest, store header, marks.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{Disk, Error, ErrorKind, File, FileExt, OpenMode, Result};

/// What a temporary file is called after: the name it will have, and this.
pub const TEMPORARY_SUFFIX: &str = ".tmp";

/// Replaces a small file, or creates it: after a crash it holds all of the old bytes or all of the
/// new ones, and once this returns, the new ones.
///
/// The bytes go to a file of the same name with [`TEMPORARY_SUFFIX`], which is synced, renamed, and
/// made durable in its directory. A leftover of an earlier attempt is removed, never reused: its
/// sync may have failed.
///
/// # Errors
///
/// What the disk reports. If the last step failed, the file holds the new bytes, but a crash may
/// bring the old ones back; before that, it holds the old ones.
pub fn atomic_replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = temporary_path(path)?;
    let file = create_afresh(disk, &temporary)?;
    let written = file
        .write_all_at(bytes, 0, &temporary)
        .and_then(|()| file.sync_data())
        .and_then(|()| disk.rename(&temporary, path));
    if let Err(error) = written {
        // A full disk needs the space back; a leftover that cannot be removed is swept later.
        drop(file);
        let _ = disk.remove_file(&temporary);
        return Err(error);
    }
    disk.sync_dir(path.parent().unwrap_or(Path::new("")))
}

/// Reads a whole small file.
///
/// # Errors
///
/// [`ErrorKind::NotFound`], or [`ErrorKind::Corruption`] if it is longer than `len_max` bytes;
/// nothing is allocated then.
pub fn read_small(disk: &dyn Disk, path: &Path, len_max: usize) -> Result<Vec<u8>> {
    let file = disk.open(path, OpenMode::Read)?;
    let found = file.len()?;
    let len = usize::try_from(found)
        .ok()
        .filter(|len| *len <= len_max)
        .ok_or_else(|| {
            let detail = format!("the file has {found} bytes, limit {len_max}");
            Error::corruption(path, len_max as u64, detail)
        })?;
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, 0, path)?;
    Ok(bytes)
}

fn temporary_path(path: &Path) -> Result<PathBuf> {
    let Some(name) = path.file_name() else {
        return Err(Error::new(ErrorKind::Refused, "replace", path));
    };
    let mut temporary = OsString::from(name);
    temporary.push(TEMPORARY_SUFFIX);
    Ok(path.with_file_name(temporary))
}

fn create_afresh(disk: &dyn Disk, path: &Path) -> Result<Arc<dyn File>> {
    match disk.open(path, OpenMode::CreateNew) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            disk.remove_file(path)?;
            disk.open(path, OpenMode::CreateNew)
        }
        result => result,
    }
}

#[cfg(test)]
mod tests;
