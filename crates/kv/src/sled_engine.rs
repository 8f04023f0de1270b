//! The engine on sled: one tree, whose keys begin with the table.
//!
//! # Promises
//!
//! sled applies a batch to one tree atomically, so one tree holds all tables. It keeps its own
//! files, so it needs a disk with a [`native_path`](Disk::native_path).
//!
//! sled's own flush hands its bytes to the device but asks neither for the growth of the file
//! nor for the device's cache to be made durable (it calls `sync_file_range`), and it never syncs
//! the files of its directory `blobs`, where large pages go. [`flush`](Engine::flush) therefore
//! syncs both through the disk, after sled is done.
//!
//! # What goes wrong below
//!
//! - With too little space for what is to be written, sled is not asked: the write is refused as [`ErrorKind::Full`].
//! - A failed write or flush latches: every later write and flush is refused, reads go on. sled
//!   may have kept half of its structures, and a sync that failed must not be tried again.
//!   Reopening does not heal that: the page cache may show what the device never got. The owner
//!   rebuilds the tables, by copy or from the commit log.
//! - A panic inside sled becomes an error, here and when the tree is dropped.
//! - A damaged file `snap.*`, which is only a shortcut for recovery, keeps sled from opening. It
//!   is moved to the directory `quarantine` beside the tables and sled reads its whole log.
//! - Damage in sled's log looks to sled like the end of it: it opens without an error, and without
//!   batches that had been flushed. A mark of each flush ([`mark`]) turns that into an error.
//! - One lock inside sled is shared by all its trees in the process: while one applies a batch,
//!   readers of the others wait. Batches should therefore stay small.

mod files;
mod mark;
mod opening;

#[doc(hidden)]
pub use mark::read as flush_number;

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use tidestore_disk::{Disk, File};

use crate::batch::Op;
use crate::{Batch, Engine, EngineKind, Error, ErrorKind, KeyValue, Range, Result, Table};

/// The tables of one directory, in sled; see [`EngineKind::Sled`].
///
/// After a failed [`write`](Engine::write) or [`flush`](Engine::flush) every further one is
/// refused with the first error's kind until the engine is opened anew; reads go on. Dropping it
/// releases the directory.
pub struct SledEngine {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// `Some` until the engine is dropped.
    tree: Option<sled::Db>,
    quarantined: Vec<PathBuf>,
    /// Held shared by readers and exclusively by a batch, so that a page is one moment in time:
    /// sled's iterator alone would show a batch that is applied while it runs in part.
    gate: RwLock<Gate>,
    /// Why writes are refused.
    failed: Mutex<Option<ErrorKind>>,
    synced: Mutex<Synced>,
}

/// What changes together with the tree.
#[derive(Debug)]
struct Gate {
    /// Whether a batch was applied since the last flush began. True at first: what sled finds after
    /// a kill may lie in the page cache only.
    is_dirty: bool,
}

/// What [`Engine::flush`] knows about the files.
#[derive(Debug)]
struct Synced {
    /// Kept open from the start, so that a failed write-back is reported to this handle.
    log: Arc<dyn File>,
    /// The files in `blobs` that are durable already; sled writes each once.
    blobs: BTreeSet<String>,
    /// The number of the last flush; see [`mark`].
    flushes: u64,
}

impl SledEngine {
    /// Opens the tables in a directory, creating it if it is missing.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Unsupported`]: the disk has no native path, one of sled's files is a
    ///   symbolic link or device, or the files were written with other parameters.
    /// - [`ErrorKind::Corruption`]: sled cannot read its files, even without `snap.*`, or has lost
    ///   batches that were flushed; snapshots lie in the directory `quarantine` beside `dir`.
    /// - [`ErrorKind::Io`], [`ErrorKind::Full`]: the disk failed, or another engine holds `dir`.
    pub fn open(disk: &Arc<dyn Disk>, dir: &Path) -> Result<Self> {
        let opened = opening::open(disk.as_ref(), dir)?;
        Ok(Self {
            disk: Arc::clone(disk),
            dir: dir.to_owned(),
            tree: Some(opened.tree),
            quarantined: opened.quarantined,
            gate: RwLock::new(Gate { is_dirty: true }),
            failed: Mutex::new(None),
            synced: Mutex::new(Synced {
                log: opened.log,
                blobs: BTreeSet::new(),
                flushes: opened.flushes,
            }),
        })
    }

    /// Runs a call into sled, whose panics become errors.
    fn ask<T>(&self, what: &str, call: impl FnOnce(&sled::Db) -> sled::Result<T>) -> Result<T> {
        let context = || format!("{what} in sled directory {}", self.dir.display());
        let Some(tree) = &self.tree else {
            return Err(Error::new(ErrorKind::Io, context()));
        };
        match catch_unwind(AssertUnwindSafe(|| call(tree))) {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(sled_error(error, context())),
            Err(_) => Err(panicked(context())),
        }
    }

    /// Refuses once something failed, and remembers that `change` did.
    fn latch<T>(&self, change: impl FnOnce() -> Result<T>) -> Result<T> {
        if let Some(kind) = *self.failed.lock() {
            let context = format!(
                "sled directory {}: refused since an earlier write or flush failed; reopen",
                self.dir.display()
            );
            return Err(Error::new(kind, context));
        }
        let result = change();
        if let Err(error) = &result {
            self.failed.lock().get_or_insert(error.kind());
        }
        result
    }
}

/// What sled needs besides the rows themselves: a segment, and pages that it writes anew.
const ROOM_BYTES: u64 = 1 << 20;

impl SledEngine {
    /// Refuses what would not fit: sled does not survive a full disk.
    fn check_room(&self, bytes: u64) -> Result<()> {
        let need = bytes.saturating_mul(2).saturating_add(ROOM_BYTES);
        match self.disk.free_bytes() {
            Some(free) if free < need => {
                let dir = self.dir.display();
                let context = format!("sled directory {dir}: {free} bytes are free, {need} needed");
                Err(Error::new(ErrorKind::Full, context))
            }
            _ => Ok(()),
        }
    }
}

impl Engine for SledEngine {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let value = self.ask("get", |tree| tree.get(place(table, key)))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn range(&self, table: Table, range: Range) -> Result<Vec<KeyValue>> {
        if range.is_hollow() {
            return Ok(Vec::new());
        }
        let start = match &range.start {
            Bound::Included(key) => Bound::Included(place(table, key)),
            Bound::Excluded(key) => Bound::Excluded(place(table, key)),
            Bound::Unbounded => Bound::Included(vec![table.0]),
        };
        let end = match (&range.end, table.0.checked_add(1)) {
            (Bound::Included(key), _) => Bound::Included(place(table, key)),
            (Bound::Excluded(key), _) => Bound::Excluded(place(table, key)),
            (Bound::Unbounded, Some(next)) => Bound::Excluded(vec![next]),
            (Bound::Unbounded, None) => Bound::Unbounded,
        };
        let _moment = self.gate.read();
        self.ask("range", |tree| {
            let entries = tree.range((start, end));
            let copy = |entry: sled::Result<(sled::IVec, sled::IVec)>| {
                let (key, value) = entry?;
                Ok((key.get(1..).unwrap_or_default().to_vec(), value.to_vec()))
            };
            if range.reverse {
                entries.rev().take(range.limit).map(copy).collect()
            } else {
                entries.take(range.limit).map(copy).collect()
            }
        })
    }

    fn write(&self, batch: Batch) -> Result<()> {
        let ops = batch.into_checked_ops()?;
        if ops.is_empty() {
            return Ok(());
        }
        let len = |op: &Op| op.key.len() + op.value.as_ref().map_or(0, Vec::len);
        self.check_room(ops.iter().map(len).sum::<usize>() as u64)?;
        let mut changes = sled::Batch::default();
        for op in ops {
            let place = place(op.table, &op.key);
            match op.value {
                Some(value) => changes.insert(place, value),
                None => changes.remove(place),
            }
        }
        let mut gate = self.gate.write();
        gate.is_dirty = true;
        self.latch(|| self.ask("write", |tree| tree.apply_batch(changes)))
    }

    fn flush(&self) -> Result<()> {
        let mut synced = self.synced.lock();
        if self.gate.read().is_dirty {
            self.check_room(0)?;
        }
        self.latch(|| {
            let number = synced.flushes + 1;
            {
                let mut gate = self.gate.write();
                if !std::mem::take(&mut gate.is_dirty) {
                    return Ok(());
                }
                self.ask("flush", |tree| {
                    tree.insert(mark::KEY, &number.to_le_bytes())
                })?;
            }
            self.ask("flush", |tree| tree.flush())?;
            files::sync_blobs(self.disk.as_ref(), &self.dir, &mut synced.blobs)?;
            // Whatever the reason: what it was to make durable may be gone, and opening anew would not show it.
            let flushed = synced.log.sync_data().map_err(Error::from);
            flushed.map_err(|error| {
                let context = format!("flush of sled directory {}", self.dir.display());
                Error::new(ErrorKind::Io, context).with_source(error)
            })?;
            mark::write(self.disk.as_ref(), &self.dir, number)?;
            synced.flushes = number;
            Ok(())
        })
    }

    fn size_on_disk(&self) -> Result<u64> {
        files::allocated(self.disk.as_ref(), &self.dir)
    }

    fn kind(&self) -> EngineKind {
        EngineKind::Sled
    }

    fn quarantined(&self) -> &[PathBuf] {
        &self.quarantined
    }
}

impl fmt::Debug for SledEngine {
    /// Names the directory; sled's own output would be every entry of the tree.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SledEngine")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

impl Drop for SledEngine {
    fn drop(&mut self) {
        // sled syncs once more when it goes and panics if that fails; nobody waits for that sync.
        let tree = self.tree.take();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(tree)));
    }
}

/// Where an entry lies in the tree.
fn place(table: Table, key: &[u8]) -> Vec<u8> {
    let mut place = Vec::with_capacity(1 + key.len());
    place.push(table.0);
    place.extend_from_slice(key);
    place
}

/// What a panic of sled means: it found its own structures broken.
fn panicked(context: String) -> Error {
    Error::new(ErrorKind::Corruption, context + ": sled panicked")
}

fn sled_error(error: sled::Error, context: String) -> Error {
    use std::io::ErrorKind as Cause;
    let kind = match &error {
        sled::Error::Corruption { .. } | sled::Error::CollectionNotFound(_) => {
            ErrorKind::Corruption
        }
        sled::Error::Unsupported(_) => ErrorKind::Unsupported,
        sled::Error::ReportableBug(_) => ErrorKind::Io,
        sled::Error::Io(error) => match error.kind() {
            Cause::StorageFull | Cause::QuotaExceeded | Cause::FileTooLarge => ErrorKind::Full,
            Cause::UnexpectedEof | Cause::InvalidData => ErrorKind::Corruption,
            _ => ErrorKind::Io,
        },
    };
    Error::new(kind, context).with_source(error)
}
