//! An engine for simulation and tests: a map in memory, written out whole at each flush.
//!
//! # Promises
//!
//! A flush replaces the file `snapshot` as one step (temporary file, sync, rename, sync of the
//! directory), so a crash leaves the state of some flush: whole batches, in order, and at least
//! those of the last flush that succeeded. A flush that fails leaves the last one in place, and
//! may be tried again: it writes a new file, so no failed sync is ever repeated.
//!
//! # The file `snapshot`
//!
//! All numbers are little-endian. Every version keeps the 40 bytes of the header.
//!
//! | offset | bytes | meaning |
//! |---|---|---|
//! | 0 | 8 | `TIDEKVMS` |
//! | 8 | 1 | version, now 1 |
//! | 9 | 7 | zero |
//! | 16 | 8 | number of entries |
//! | 24 | 8 | bytes of the body; the file ends with it |
//! | 32 | 4 | CRC-32 of the body, seeded with nothing |
//! | 36 | 4 | CRC-32 of bytes 0 to 35 |
//! | 40 | | the body: entries, ascending by table and key, no key twice |
//!
//! An entry is its table (1 byte), the length of the key (2), the length of the value (4), the
//! key, the value. The key `k` with the value `v` in table 1 makes this file:
//!
//! ```text
//! 00  54 49 44 45 4b 56 4d 53  01 00 00 00 00 00 00 00
//! 10  01 00 00 00 00 00 00 00  09 00 00 00 00 00 00 00
//! 20  b3 b5 eb c9 be 31 42 13  01 01 00 01 00 00 00 6b
//! 30  76
//! ```
//!
//! The header checksum is examined before the version, so that a damaged version is reported as
//! damage and only an intact one as [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported).

mod snapshot;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidestore_disk::sync::{Mutex, RwLock};
use tidestore_disk::{self as disk, Disk, TEMPORARY_SUFFIX, atomic_replace};

use crate::{Batch, Engine, EngineKind, KeyValue, Range, Result, Table};

/// The entries of all tables, by table and key.
type Map = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

const SNAPSHOT: &str = "snapshot";

/// The tables of one directory, in memory; see [`EngineKind::Memory`].
///
/// A failed [`flush`](Engine::flush) leaves the last good one in place and may be tried again.
pub struct MemoryEngine {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    state: RwLock<State>,
    /// The change that the snapshot on disk holds; `None` until this engine has written one, since
    /// the one that was read may not be durable under its name. Held while one is written, so that
    /// an older snapshot never replaces a newer one.
    flushed: Mutex<Option<u64>>,
}

struct State {
    map: Map,
    /// Counts the batches since opening.
    change: u64,
}

impl MemoryEngine {
    /// Reads the snapshot in a directory; without one the tables are empty.
    ///
    /// # Errors
    ///
    /// [`Corruption`](crate::ErrorKind::Corruption) names the offset of the damage,
    /// [`Unsupported`](crate::ErrorKind::Unsupported) a snapshot of a later version; what the
    /// disk reports. The file stays as it is.
    pub fn open(disk: &Arc<dyn Disk>, dir: &Path) -> Result<Self> {
        disk.create_dir_all(dir)?;
        let path = dir.join(SNAPSHOT);
        // A crash in the middle of a flush leaves a part of a snapshot that nothing refers to.
        match disk.remove_file(&dir.join(format!("{SNAPSHOT}{TEMPORARY_SUFFIX}"))) {
            Err(error) if error.kind() != disk::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let map = snapshot::read(disk.as_ref(), &path)?.unwrap_or_default();
        Ok(Self {
            disk: Arc::clone(disk),
            path,
            state: RwLock::new(State { map, change: 0 }),
            flushed: Mutex::new(None),
        })
    }
}

impl fmt::Debug for MemoryEngine {
    /// Names the file, not the entries.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryEngine")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Engine for MemoryEngine {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.state.read().map.get(&(table, key.to_vec())).cloned())
    }

    fn range(&self, table: Table, range: Range) -> Result<Vec<KeyValue>> {
        if range.is_hollow() {
            return Ok(Vec::new());
        }
        let start = match range.start {
            Bound::Included(key) => Bound::Included((table, key)),
            Bound::Excluded(key) => Bound::Excluded((table, key)),
            Bound::Unbounded => Bound::Included((table, Vec::new())),
        };
        let end = match (range.end, table.0.checked_add(1)) {
            (Bound::Included(key), _) => Bound::Included((table, key)),
            (Bound::Excluded(key), _) => Bound::Excluded((table, key)),
            (Bound::Unbounded, Some(next)) => Bound::Excluded((Table(next), Vec::new())),
            (Bound::Unbounded, None) => Bound::Unbounded,
        };
        let state = self.state.read();
        let entries = state.map.range((start, end));
        let copy = |((_, key), value): (&(Table, Vec<u8>), &Vec<u8>)| (key.clone(), value.clone());
        Ok(if range.reverse {
            entries.rev().take(range.limit).map(copy).collect()
        } else {
            entries.take(range.limit).map(copy).collect()
        })
    }

    fn write(&self, batch: Batch) -> Result<()> {
        let ops = batch.into_checked_ops()?;
        let mut state = self.state.write();
        for op in ops {
            match op.value {
                Some(value) => state.map.insert((op.table, op.key), value),
                None => state.map.remove(&(op.table, op.key)),
            };
        }
        state.change += 1;
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        let mut flushed = self.flushed.lock();
        let (bytes, change) = {
            let state = self.state.read();
            if Some(state.change) == *flushed {
                return Ok(());
            }
            (snapshot::encode(&state.map, &self.path)?, state.change)
        };
        atomic_replace(self.disk.as_ref(), &self.path, &bytes)?;
        *flushed = Some(change);
        Ok(())
    }

    fn size_on_disk(&self) -> Result<u64> {
        match self.disk.metadata(&self.path) {
            Ok(metadata) => Ok(metadata.allocated),
            Err(error) if error.kind() == disk::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    fn kind(&self) -> EngineKind {
        EngineKind::Memory
    }
}
