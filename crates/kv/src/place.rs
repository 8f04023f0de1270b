//! Where in their directory the tables are.
//!
//! The long form, with a worked example and what a crash may leave: `docs/format/tables-place.md`.
//!
//! New tables lie in the directory itself. A copy of them lies in a subdirectory, such as `redb-000002`, which the file
//! `CURRENT` names once the copy is whole and durable. So a crash while a copy is made or put in place leaves the old tables
//! or the new ones, and what is left over is known by its name.
//!
//! `CURRENT` is one line of text: version, name, and crc32 in hexadecimal of what stands before it:
//!
//! ```text
//! 1 redb-000002 8d3a51c0
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidestore_disk::{self as disk, Disk, EntryKind, atomic_replace, read_small};

use crate::{EngineKind, Error, ErrorKind, Result, redb_engine};

/// The file that names the subdirectory of the tables.
pub const CURRENT: &str = "CURRENT";
const LEN_MAX: usize = 128;

/// Finds the tables and their engine; `None` if there are none yet.
pub(crate) fn find(disk: &Arc<dyn Disk>, dir: &Path) -> Result<Option<(EngineKind, PathBuf)>> {
    if let Some(name) = current(disk, dir)? {
        let kind = kind_of(&name).ok_or_else(|| damaged(dir, "names no tables"))?;
        // Opening would make new ones there, and sweep what may be all that is left.
        if let Err(error) = disk.metadata(&dir.join(&name)) {
            let missing = error.kind() == disk::ErrorKind::NotFound;
            return Err(if missing {
                damaged(dir, "names tables that are not there")
            } else {
                error.into()
            });
        }
        return Ok(Some((kind, dir.join(name))));
    }
    let entries = match disk.list(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == disk::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let has = |name: &str| entries.iter().any(|entry| entry.name == name);
    let kind = if has(redb_engine::FILE) {
        Some(EngineKind::Redb)
    } else if has("db") || has("conf") {
        Some(EngineKind::Sled)
    } else if has("snapshot") {
        Some(EngineKind::Memory)
    } else {
        None
    };
    Ok(kind.map(|kind| (kind, dir.to_owned())))
}

/// The name of a new subdirectory for tables.
pub(crate) fn next_name(disk: &Arc<dyn Disk>, dir: &Path, kind: EngineKind) -> Result<String> {
    let numbers = disk.list(dir)?.into_iter();
    let numbers = numbers.filter_map(|entry| number_of(&entry.name));
    Ok(format!("{kind}-{:06}", numbers.max().unwrap_or(0) + 1))
}

/// Makes a subdirectory the place of the tables.
pub(crate) fn put(disk: &Arc<dyn Disk>, dir: &Path, name: &str) -> Result<()> {
    let text = format!("1 {name}");
    let line = format!("{text} {:08x}\n", crc32fast::hash(text.as_bytes()));
    Ok(atomic_replace(
        &**disk,
        &dir.join(CURRENT),
        line.as_bytes(),
    )?)
}

/// Removes what is left of copies that did not become the tables, and of tables that a copy has replaced.
pub(crate) fn sweep(disk: &Arc<dyn Disk>, dir: &Path, found: &Path) -> Result<()> {
    let is_moved = found != dir;
    for entry in disk.list(dir)? {
        let path = dir.join(&entry.name);
        if path == found {
            continue;
        }
        let name = entry.name.as_str();
        let is_old_file = matches!(name, "db" | "conf" | "flushed" | "snapshot")
            || name == redb_engine::FILE
            || name.starts_with("snap.");
        let is_copy = number_of(name).is_some();
        match entry.kind {
            EntryKind::Dir if is_copy || is_moved && name == "blobs" => remove_dir(disk, &path)?,
            EntryKind::File if is_moved && is_old_file => disk.remove_file(&path)?,
            _ => {}
        }
    }
    Ok(())
}

fn remove_dir(disk: &Arc<dyn Disk>, dir: &Path) -> Result<()> {
    for entry in disk.list(dir)? {
        let path = dir.join(&entry.name);
        match entry.kind {
            EntryKind::Dir => remove_dir(disk, &path)?,
            _ => disk.remove_file(&path)?,
        }
    }
    Ok(disk.remove_dir(dir)?)
}

pub(crate) fn current(disk: &Arc<dyn Disk>, dir: &Path) -> Result<Option<String>> {
    let bytes = match read_small(&**disk, &dir.join(CURRENT), LEN_MAX) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == disk::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let line = String::from_utf8(bytes).map_err(|_| damaged(dir, "is not text"))?;
    let (text, crc) = line
        .strip_suffix('\n')
        .and_then(|line| line.rsplit_once(' '))
        .ok_or_else(|| damaged(dir, "is cut short"))?;
    let (version, name) = text.split_once(' ').unwrap_or((text, ""));
    if version != "1" {
        let context = format!("{}: a later version wrote it", dir.join(CURRENT).display());
        return Err(Error::new(ErrorKind::Unsupported, context));
    }
    if crc != format!("{:08x}", crc32fast::hash(text.as_bytes())) {
        return Err(damaged(dir, "does not fit its checksum"));
    }
    Ok(Some(name.to_owned()))
}

pub(crate) fn kind_of(name: &str) -> Option<EngineKind> {
    number_of(name)?;
    name.split_once('-')?.0.parse().ok()
}

/// The number of a subdirectory of tables, by its name.
pub(crate) fn number_of(name: &str) -> Option<u32> {
    let (kind, number) = name.split_once('-')?;
    kind.parse::<EngineKind>().ok()?;
    number.parse().ok().filter(|_| number.len() == 6)
}

fn damaged(dir: &Path, detail: &str) -> Error {
    let context = format!("{} {detail}", dir.join(CURRENT).display());
    Error::new(ErrorKind::Corruption, context)
}
