//! The engine on redb: a copy-on-write B-tree in one file.
//!
//! # Promises
//!
//! A batch is one transaction of redb. It is committed without a sync; a flush commits with one, in two phases and with the
//! state of redb's allocator, so that opening after a crash need not walk the tree. redb's file goes through the [`Disk`],
//! so a simulated one can be crashed under it.
//!
//! # Values
//!
//! redb looks at its own checksums only when it repairs a file. So a value ends with a CRC-32 over table, key and value
//! (4 bytes, little-endian), and reading one that does not fit is [`ErrorKind::Corruption`].
//!
//! Damage in the head of a page can still hide rows without an error. Who must notice that counts again: see the recounts
//! of the views.
//!
//! # What goes wrong below
//!
//! - On a full disk, what redb writes waits in memory, see [`backend`]: reads go on, writes and flushes are refused as
//!   [`ErrorKind::Full`] without asking redb, and once there is space everything goes on.
//! - Any other failed write or flush latches, as with sled: every later one is refused until the engine is opened anew.
//! - A panic inside redb becomes an error.

mod backend;

use std::fmt;
use std::ops::{Bound, RangeBounds};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use redb::{Database, Durability, ReadableDatabase, StorageError, TableDefinition};
use tidestore_disk::{Disk, File, OpenMode};

use self::backend::{Backend, RedbFile};
use crate::batch::Op;
use crate::{
    Batch, Engine, EngineKind, Error, ErrorKind, KeyValue, Range, Result, SuspectRow, Table,
};

/// The file in the engine's directory.
pub(crate) const FILE: &str = "tables.redb";

/// Its name until it is whole.
const UNFINISHED: &str = "tables.redb.new";

/// One tree for all tables, whose keys begin with the table.
const TREE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("rows");

/// The memory for pages, in bytes; as sled's.
const CACHE_BYTES: usize = 64 << 20;
/// A row as redb shows it.
type Found<'a> = Result<
    (
        redb::AccessGuard<'a, &'static [u8]>,
        redb::AccessGuard<'a, &'static [u8]>,
    ),
    StorageError,
>;
/// What a value ends with.
const CRC_BYTES: usize = 4;

/// The tables of one directory, in redb; see [`EngineKind::Redb`].
pub struct RedbEngine {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    file: Arc<RedbFile>,
    /// `Some` until the engine is dropped.
    db: Option<Database>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Why writes are refused.
    failed: Option<ErrorKind>,
    /// Whether something was committed since the last flush.
    is_dirty: bool,
}

impl RedbEngine {
    /// Opens the tables in a directory, creating it if it is missing.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Corruption`]: redb cannot read its file; it stays as it is.
    /// - [`ErrorKind::Unsupported`]: a later version of redb wrote it.
    /// - [`ErrorKind::Io`], [`ErrorKind::Full`]: the disk failed.
    pub fn open(disk: &Arc<dyn Disk>, dir: &Path) -> Result<Self> {
        disk.create_dir_all(dir)?;
        let path = dir.join(FILE);
        match disk.open(&path, OpenMode::Write) {
            Ok(file) => Self::open_file(disk, path, file, false),
            Err(error) if error.kind() == tidestore_disk::ErrorKind::NotFound => {
                Self::create(disk, dir, path)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Opens tables that are there, and compares the checksum of every page first: reads the whole file.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); [`ErrorKind::Corruption`] for any page that is not as it was written.
    pub(crate) fn open_checked(disk: &Arc<dyn Disk>, dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        let file = disk.open(&path, OpenMode::Write)?;
        Self::open_file(disk, path, file, true)
    }

    /// Makes the file under another name first: redb refuses one that it was not done with.
    fn create(disk: &Arc<dyn Disk>, dir: &Path, path: PathBuf) -> Result<Self> {
        let unfinished = dir.join(UNFINISHED);
        match disk.remove_file(&unfinished) {
            Err(error) if error.kind() != tidestore_disk::ErrorKind::NotFound => {
                return Err(error.into());
            }
            _ => {}
        }
        let file = disk.open(&unfinished, OpenMode::CreateNew)?;
        let engine = Self::open_file(disk, path, file, false)?;
        disk.rename(&unfinished, &engine.path)?;
        disk.sync_dir(dir)?;
        Ok(engine)
    }

    fn open_file(
        disk: &Arc<dyn Disk>,
        path: PathBuf,
        file: Arc<dyn File>,
        is_checked: bool,
    ) -> Result<Self> {
        let file = RedbFile::new(file, path.clone());
        let backend = Backend(Arc::clone(&file));
        let context = || format!("open {}", path.display());
        let opened = catch_unwind(AssertUnwindSafe(|| {
            Database::builder()
                .set_cache_size(CACHE_BYTES)
                .set_check_integrity_on_open(is_checked)
                .create_with_backend(backend)
        }));
        let db = match opened {
            Ok(Ok(db)) => db,
            Ok(Err(error)) => return Err(redb_error(error.into(), context())),
            Err(_) => return Err(panicked(context())),
        };
        let engine = Self {
            disk: Arc::clone(disk),
            path,
            file,
            db: Some(db),
            state: Mutex::new(State {
                failed: None,
                is_dirty: false,
            }),
        };
        // The table exists from the start, and so does redb's shortcut for opening after a crash.
        engine.commit(Vec::new(), true)?;
        Ok(engine)
    }

    /// Runs a call into redb, whose panics become errors.
    fn ask<T>(&self, call: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T> {
        let context = || format!("tables {}", self.path.display());
        let Some(db) = &self.db else {
            return Err(Error::new(ErrorKind::Io, context()));
        };
        match catch_unwind(AssertUnwindSafe(|| call(db))) {
            Ok(answer) => answer.map_err(|error| redb_error(error, context())),
            Err(_) => Err(panicked(context())),
        }
    }

    fn commit(&self, ops: Vec<Op>, is_durable: bool) -> Result<()> {
        self.ask(|db| {
            let mut change = db.begin_write()?;
            let durability = if is_durable {
                Durability::Immediate
            } else {
                Durability::None
            };
            change.set_durability(durability)?;
            change.set_quick_repair(is_durable);
            {
                let mut tree = change.open_table(TREE)?;
                for Op { table, key, value } in ops {
                    let place = place(table, &key);
                    match value {
                        Some(mut value) => {
                            let crc = checksum(&place, &value);
                            value.extend_from_slice(&crc.to_le_bytes());
                            tree.insert(place.as_slice(), value.as_slice())?;
                        }
                        None => drop(tree.remove(place.as_slice())?),
                    }
                }
            }
            Ok(change.commit()?)
        })
    }

    /// Refuses once something failed, and remembers that `change` did, unless it was for want of space: redb was told
    /// nothing of that.
    fn latch(&self, change: impl FnOnce(&mut State) -> Result<()>) -> Result<()> {
        let mut state = self.state.lock();
        if let Some(kind) = state.failed {
            let context = format!(
                "tables {}: refused since an earlier write or flush failed; reopen",
                self.path.display()
            );
            return Err(Error::new(kind, context));
        }
        let changed = change(&mut state);
        match &changed {
            Err(error) if error.kind() != ErrorKind::Full => state.failed = Some(error.kind()),
            _ => {}
        }
        changed
    }
}

impl Engine for RedbEngine {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let place = place(table, key);
        let found = self.ask(|db| {
            let tree = db.begin_read()?.open_table(TREE)?;
            let found = tree.get(place.as_slice())?;
            Ok(found.map(|value| value.value().to_vec()))
        })?;
        found.map(|value| self.checked(&place, value)).transpose()
    }

    fn range(&self, table: Table, range: Range) -> Result<Vec<KeyValue>> {
        let checked = |(place, value): KeyValue| {
            let value = self.checked(&place, value)?;
            Ok((place.get(1..).unwrap_or_default().to_vec(), value))
        };
        self.stored(table, &range)?
            .into_iter()
            .map(checked)
            .collect()
    }

    fn range_damaged(&self, table: Table, range: Range) -> Result<Vec<SuspectRow>> {
        let told = |(place, value): KeyValue| {
            let value = self.checked(&place, value).ok();
            (place.get(1..).unwrap_or_default().to_vec(), value)
        };
        Ok(self.stored(table, &range)?.into_iter().map(told).collect())
    }

    fn write(&self, batch: Batch) -> Result<()> {
        let ops = batch.into_checked_ops()?;
        if ops.is_empty() {
            return Ok(());
        }
        self.latch(|state| {
            // Otherwise everything written on a full disk would wait in memory.
            self.file.catch_up()?;
            state.is_dirty = true;
            self.commit(ops, false)
        })
    }

    fn flush(&self) -> Result<()> {
        self.latch(|state| {
            self.file.catch_up()?;
            if state.is_dirty {
                self.commit(Vec::new(), true)?;
                // Only now is it as durable as redb was told.
                self.file.catch_up()?;
                state.is_dirty = false;
            }
            Ok(())
        })
    }

    fn size_on_disk(&self) -> Result<u64> {
        Ok(self.disk.metadata(&self.path)?.allocated)
    }

    fn kind(&self) -> EngineKind {
        EngineKind::Redb
    }
}

impl RedbEngine {
    /// Rows as redb has them: places with values that end with their checksum.
    fn stored(&self, table: Table, range: &Range) -> Result<Vec<KeyValue>> {
        if range.limit == 0 || range.is_hollow() {
            return Ok(Vec::new());
        }
        let bound = |bound: &Bound<Vec<u8>>, open: Bound<Vec<u8>>| match bound {
            Bound::Included(key) => Bound::Included(place(table, key)),
            Bound::Excluded(key) => Bound::Excluded(place(table, key)),
            Bound::Unbounded => open,
        };
        let start = bound(&range.start, Bound::Included(vec![table.0]));
        let next = table.0.checked_add(1);
        let last = next.map_or(Bound::Unbounded, |next| Bound::Excluded(vec![next]));
        let end = bound(&range.end, last);
        let rows = self.ask(|db| {
            let tree = db.begin_read()?.open_table(TREE)?;
            let bounds = (
                start.as_ref().map(Vec::as_slice),
                end.as_ref().map(Vec::as_slice),
            );
            let rows = tree.range::<&[u8]>(bounds)?;
            let copy = |row: Found<'_>| {
                let (key, value) = row?;
                Ok((key.value().to_vec(), value.value().to_vec()))
            };
            if range.reverse {
                rows.rev().take(range.limit).map(copy).collect()
            } else {
                rows.take(range.limit)
                    .map(copy)
                    .collect::<Result<Vec<_>, redb::Error>>()
            }
        })?;
        self.check_order(&rows, (&start, &end), range.reverse)?;
        Ok(rows)
    }

    /// A value without its checksum, if that fits.
    fn checked(&self, place: &[u8], mut value: Vec<u8>) -> Result<Vec<u8>> {
        let len = value.len().checked_sub(CRC_BYTES);
        let crc = len.and_then(|len| value.get(len..)?.try_into().ok());
        let (Some(len), Some(crc)) = (len, crc.map(u32::from_le_bytes)) else {
            return Err(self.damaged(place));
        };
        value.truncate(len);
        if checksum(place, &value) != crc {
            return Err(self.damaged(place));
        }
        Ok(value)
    }

    /// Whether rows lie in the range that was asked for and follow each other. In a damaged tree they may not, without an
    /// error of redb; and whoever goes on behind the last row of a page would never come to an end.
    fn check_order(
        &self,
        rows: &[KeyValue],
        (start, end): (&Bound<Vec<u8>>, &Bound<Vec<u8>>),
        reverse: bool,
    ) -> Result<()> {
        let follows = |pair: &[KeyValue]| match pair {
            [(one, _), (two, _)] if reverse => one > two,
            [(one, _), (two, _)] => one < two,
            _ => true,
        };
        let is_in = |(place, _): &KeyValue| (start.as_ref(), end.as_ref()).contains(place);
        // Rows that follow each other lie between the first and the last.
        let ends = [rows.first(), rows.last()];
        let are_in = ends.into_iter().flatten().all(is_in);
        if are_in && rows.windows(2).all(follows) {
            return Ok(());
        }
        let path = self.path.display();
        let context = format!("tables {path}: rows are not where they belong");
        Err(Error::new(ErrorKind::Corruption, context))
    }

    fn damaged(&self, place: &[u8]) -> Error {
        let (path, row) = (self.path.display(), place.escape_ascii());
        let context = format!("tables {path}: the checksum of row {row} does not fit");
        Error::new(ErrorKind::Corruption, context)
    }
}

impl fmt::Debug for RedbEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbEngine")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Drop for RedbEngine {
    fn drop(&mut self) {
        // redb writes once more when it goes; nobody waits for that.
        let db = self.db.take();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(db)));
    }
}

/// Where an entry lies in the tree.
fn place(table: Table, key: &[u8]) -> Vec<u8> {
    let mut place = Vec::with_capacity(1 + key.len());
    place.push(table.0);
    place.extend_from_slice(key);
    place
}

fn checksum(place: &[u8], value: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&(place.len() as u64).to_le_bytes());
    crc.update(place);
    crc.update(value);
    crc.finalize()
}

fn panicked(context: String) -> Error {
    Error::new(ErrorKind::Corruption, context + ": redb panicked")
}

fn redb_error(error: redb::Error, context: String) -> Error {
    use std::io::ErrorKind as Cause;
    let kind = match &error {
        redb::Error::Corrupted(_) | redb::Error::RepairAborted => ErrorKind::Corruption,
        redb::Error::UpgradeRequired(_) => ErrorKind::Unsupported,
        redb::Error::Io(error) => match error.kind() {
            Cause::StorageFull | Cause::QuotaExceeded | Cause::FileTooLarge => ErrorKind::Full,
            Cause::InvalidData | Cause::UnexpectedEof => ErrorKind::Corruption,
            _ => ErrorKind::Io,
        },
        _ => ErrorKind::Io,
    };
    Error::new(kind, context).with_source(error)
}
