//! Copying tables into new files, of the same engine or another.

use std::path::Path;
use std::sync::Arc;

use tidestore_disk::Disk;

use crate::engine::open_plain;
use crate::{Batch, Engine, EngineKind, Error, ErrorKind, Result, Table, place, scan};

/// What a rebuild did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// Rows that were copied and compared.
    pub rows: u64,
    /// Bytes of their keys and values.
    pub logical_bytes: u64,
    /// Bytes of the files before.
    pub bytes_before: u64,
    /// Bytes of the files now.
    pub bytes_after: u64,
    /// The engine now.
    pub kind: EngineKind,
}

/// Copies the tables of a directory into a new engine, compares both row by row, and puts the copy in their place. A crash at
/// any moment leaves the old tables or the new ones.
///
/// The caller holds the lock of the store, and nobody has the tables open. `progress` is told how many rows are copied.
///
/// # Errors
///
/// What opening the tables and the disk report; [`ErrorKind::Corruption`] if the copy is not the same. The tables are then
/// as they were.
pub fn rebuild(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    to: EngineKind,
    progress: &mut dyn FnMut(u64),
) -> Result<Rebuilt> {
    let Some((kind, found)) = place::find(disk, dir)? else {
        let context = format!("there are no tables in {}", dir.display());
        return Err(Error::new(ErrorKind::Unsupported, context));
    };
    let from = open_plain(kind, disk, &found)?;
    place::sweep(disk, dir, &found)?;
    let copied = copy(disk, dir, &*from, to, progress)?;
    place::put(disk, dir, &copied.name)?;
    drop(copied.engine);
    drop(from);
    place::sweep(disk, dir, &dir.join(copied.name))?;
    Ok(copied.rebuilt)
}

/// A copy that is whole and durable, and not yet in the tables' place.
pub(crate) struct Copied {
    pub(crate) engine: Arc<dyn Engine>,
    /// Its subdirectory.
    pub(crate) name: String,
    pub(crate) rebuilt: Rebuilt,
}

/// Makes a copy and compares it; the tables stay where they are.
pub(crate) fn copy(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    from: &dyn Engine,
    kind: EngineKind,
    progress: &mut dyn FnMut(u64),
) -> Result<Copied> {
    let name = place::next_name(disk, dir, kind)?;
    let path = dir.join(&name);
    disk.create_dir_all(&path)?;
    let to = open_plain(kind, disk, &path)?;
    copy_rows(from, &*to, progress)?;
    to.flush()?;
    let (rows, logical_bytes, before) = digest(from)?;
    if digest(&*to)? != (rows, logical_bytes, before) {
        let context = format!(
            "the copy of the tables in {} is not the same",
            path.display()
        );
        return Err(Error::new(ErrorKind::Corruption, context));
    }
    disk.sync_dir(dir)?;
    let rebuilt = Rebuilt {
        rows,
        logical_bytes,
        bytes_before: from.size_on_disk()?,
        bytes_after: to.size_on_disk()?,
        kind,
    };
    Ok(Copied {
        engine: to,
        name,
        rebuilt,
    })
}

/// Rows copied by one batch: bounded in bytes too, as values may be large.
const BATCH_BYTES: usize = 1 << 20;

fn copy_rows(from: &dyn Engine, to: &dyn Engine, progress: &mut dyn FnMut(u64)) -> Result<()> {
    let (mut rows, mut bytes) = (0, 0);
    let mut batch = Batch::new();
    for table in (0..=u8::MAX).map(Table) {
        scan(from, table, b"", |key, value| {
            batch.put(table, key, value);
            rows += 1;
            bytes += key.len() + value.len();
            if bytes >= BATCH_BYTES {
                bytes = 0;
                progress(rows);
                to.write(std::mem::take(&mut batch))?;
            }
            Ok(())
        })?;
    }
    progress(rows);
    to.write(batch)
}

/// Rows, bytes of keys and values, and a checksum of all of it in order.
pub(crate) fn digest(engine: &dyn Engine) -> Result<(u64, u64, u32)> {
    let (mut rows, mut bytes) = (0, 0);
    let mut crc = crc32fast::Hasher::new();
    for table in (0..=u8::MAX).map(Table) {
        scan(engine, table, b"", |key, value| {
            rows += 1;
            bytes += (key.len() + value.len()) as u64;
            crc.update(&[table.0]);
            for part in [key, value] {
                crc.update(&(part.len() as u64).to_le_bytes());
                crc.update(part);
            }
            Ok(())
        })?;
    }
    Ok((rows, bytes, crc.finalize()))
}
