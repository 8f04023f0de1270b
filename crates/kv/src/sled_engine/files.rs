//! The files of sled's directory, seen through the disk: which are its own, syncing, measuring.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tidestore_disk::{self as disk, Disk, Entry, EntryKind, OpenMode};

use crate::{Error, ErrorKind, Result};

/// sled's log, which holds all small pages.
pub(super) const LOG: &str = "db";
const CONF: &str = "conf";
const BLOBS: &str = "blobs";
const SNAP: &str = "snap.";
/// sled gives a snapshot this ending until it is complete.
const UNFINISHED: &str = ".generating";

/// Refuses a directory where one of the names that sled opens is a link or device.
///
/// sled opens its files by itself, so the disk cannot refuse to follow them.
pub(super) fn refuse_links(disk: &dyn Disk, dir: &Path) -> Result<()> {
    for entry in disk.list(dir)? {
        let expected = match entry.name.as_str() {
            LOG | CONF => EntryKind::File,
            BLOBS => EntryKind::Dir,
            name if name.starts_with(SNAP) => EntryKind::File,
            _ => continue,
        };
        if entry.kind != expected {
            let path = dir.join(&entry.name);
            let context = format!(
                "file {}: {:?}, not {expected:?}",
                path.display(),
                entry.kind
            );
            return Err(Error::new(ErrorKind::Unsupported, context));
        }
    }
    Ok(())
}

/// Moves snapshots out of sled's way, the unfinished ones or all; returns where they lie now.
pub(super) fn quarantine_snapshots(
    disk: &dyn Disk,
    dir: &Path,
    unfinished_only: bool,
) -> Result<Vec<PathBuf>> {
    let is_wanted = |entry: &Entry| {
        entry.kind == EntryKind::File
            && entry.name.starts_with(SNAP)
            && (!unfinished_only || entry.name.ends_with(UNFINISHED))
    };
    let found: Vec<Entry> = disk.list(dir)?.into_iter().filter(is_wanted).collect();
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let quarantine = dir.parent().unwrap_or(Path::new("")).join("quarantine");
    disk.create_dir_all(&quarantine)?;
    let mut taken: BTreeSet<String> = disk
        .list(&quarantine)?
        .into_iter()
        .map(|entry| entry.name)
        .collect();
    let mut moved = Vec::new();
    for entry in found {
        // Shards share the quarantine, and one snapshot may go wrong twice: no file there may be
        // replaced by another.
        let shard = dir.file_name().unwrap_or_default().to_string_lossy();
        let base = format!("{shard}-{}", entry.name);
        let name = (1..=taken.len() + 1)
            .map(|n| {
                if n == 1 {
                    base.clone()
                } else {
                    format!("{base}-{n}")
                }
            })
            .find(|name| !taken.contains(name))
            .unwrap_or_default();
        disk.rename(&dir.join(&entry.name), &quarantine.join(&name))?;
        moved.push(quarantine.join(&name));
        taken.insert(name);
    }
    disk.sync_dir(&quarantine)?;
    disk.sync_dir(dir)?;
    Ok(moved)
}

/// Makes the files of large pages durable that are not in `synced` yet, and puts them there.
pub(super) fn sync_blobs(disk: &dyn Disk, dir: &Path, synced: &mut BTreeSet<String>) -> Result<()> {
    let blobs = dir.join(BLOBS);
    let mut present = BTreeSet::new();
    let mut is_new = false;
    for entry in disk.list(&blobs)? {
        if entry.kind != EntryKind::File {
            continue;
        }
        if !synced.contains(&entry.name) {
            match disk.open(&blobs.join(&entry.name), OpenMode::Write) {
                Ok(file) => file.sync_data()?,
                // sled removes a page that it no longer needs at any time.
                Err(error) if error.kind() == disk::ErrorKind::NotFound => continue,
                Err(error) => return Err(error.into()),
            }
            is_new = true;
        }
        present.insert(entry.name);
    }
    if is_new {
        disk.sync_dir(&blobs)?;
    }
    *synced = present;
    Ok(())
}

/// Adds up what the directory and its `blobs` take on disk, in bytes.
pub(super) fn allocated(disk: &dyn Disk, dir: &Path) -> Result<u64> {
    let mut bytes = 0;
    for dir in [dir.to_owned(), dir.join(BLOBS)] {
        for entry in disk.list(&dir)? {
            if entry.kind != EntryKind::File {
                continue;
            }
            match disk.metadata(&dir.join(&entry.name)) {
                Ok(metadata) => bytes += metadata.allocated,
                Err(error) if error.kind() == disk::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(bytes)
}
