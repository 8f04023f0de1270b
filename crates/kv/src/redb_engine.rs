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
//! - A failed write or flush latches, as with sled: every later one is refused until the engine is opened anew, and so
//!   are reads. If the disk was only full, that may be done at once, see `write_back.rs`. A *sync* that finds the disk full
//!   counts as any other sync that fails: what it was to make durable may be gone.
//! - A panic inside redb becomes an error.

use std::fmt;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use redb::{Database, Durability, ReadableDatabase, StorageError, TableDefinition};
use tidestore_disk::{Disk, File, FileExt, OpenMode};

use crate::batch::Op;
use crate::{Batch, Engine, EngineKind, Error, ErrorKind, KeyValue, Range, Result, Table};

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
            Ok(file) => Self::open_file(disk, path, file),
            Err(error) if error.kind() == tidestore_disk::ErrorKind::NotFound => {
                Self::create(disk, dir, path)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Opens tables again whose disk was full. As `open`, but writes nothing that needs space.
    pub(crate) fn open_again(disk: &Arc<dyn Disk>, dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        let file = disk.open(&path, OpenMode::Write)?;
        Self::attach(disk, path, file)
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
        let engine = Self::open_file(disk, path, file)?;
        disk.rename(&unfinished, &engine.path)?;
        disk.sync_dir(dir)?;
        Ok(engine)
    }

    fn open_file(disk: &Arc<dyn Disk>, path: PathBuf, file: Arc<dyn File>) -> Result<Self> {
        let engine = Self::attach(disk, path, file)?;
        // The table exists from the start, and so does redb's shortcut for opening after a crash.
        engine.commit(Vec::new(), true)?;
        Ok(engine)
    }

    fn attach(disk: &Arc<dyn Disk>, path: PathBuf, file: Arc<dyn File>) -> Result<Self> {
        let backend = Backend {
            file,
            path: path.clone(),
        };
        let context = || format!("open {}", path.display());
        let opened = catch_unwind(AssertUnwindSafe(|| {
            Database::builder()
                .set_cache_size(CACHE_BYTES)
                .create_with_backend(backend)
        }));
        let db = match opened {
            Ok(Ok(db)) => db,
            Ok(Err(error)) => return Err(redb_error(error.into(), context())),
            Err(_) => return Err(panicked(context())),
        };
        Ok(Self {
            disk: Arc::clone(disk),
            path,
            db: Some(db),
            state: Mutex::new(State {
                failed: None,
                is_dirty: false,
            }),
        })
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

    /// Refuses once something failed, and remembers that `change` did.
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
        if let Err(error) = &changed {
            state.failed = Some(error.kind());
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
        let checked = |(place, value): KeyValue| {
            let value = self.checked(&place, value)?;
            Ok((place.get(1..).unwrap_or_default().to_vec(), value))
        };
        rows.into_iter().map(checked).collect()
    }

    fn write(&self, batch: Batch) -> Result<()> {
        let ops = batch.into_checked_ops()?;
        if ops.is_empty() {
            return Ok(());
        }
        self.latch(|state| {
            state.is_dirty = true;
            self.commit(ops, false)
        })
    }

    fn flush(&self) -> Result<()> {
        self.latch(|state| {
            if state.is_dirty {
                self.commit(Vec::new(), true)?;
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

/// redb's file, on a disk.
#[derive(Debug)]
struct Backend {
    file: Arc<dyn File>,
    path: PathBuf,
}

impl redb::StorageBackend for Backend {
    fn len(&self) -> Result<u64, std::io::Error> {
        self.file.len().map_err(told)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), std::io::Error> {
        self.file
            .read_exact_at(out, offset, &self.path)
            .map_err(told)
    }

    fn set_len(&self, len: u64) -> Result<(), std::io::Error> {
        self.file.set_len(len).map_err(told)
    }

    fn sync_data(&self) -> Result<(), std::io::Error> {
        // Not as `told`: nobody may go on from here as if only space were missing.
        self.file.sync_data().map_err(std::io::Error::other)
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), std::io::Error> {
        self.file
            .write_all_at(data, offset, &self.path)
            .map_err(told)
    }
}

/// What the disk says, in the words that redb passes on.
fn told(error: tidestore_disk::Error) -> std::io::Error {
    use std::io::ErrorKind as Cause;
    let cause = match error.kind() {
        tidestore_disk::ErrorKind::Full => Cause::StorageFull,
        tidestore_disk::ErrorKind::Corruption => Cause::InvalidData,
        _ => Cause::Other,
    };
    std::io::Error::new(cause, error)
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
