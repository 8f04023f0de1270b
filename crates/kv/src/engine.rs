//! The seam: what a view may ask of the tables it lives in.

use std::fmt::{self, Debug};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use tidestore_disk::Disk;

use crate::rebuild::Rebuilt;
use crate::write_back::WriteBack;
use crate::{Batch, Error, ErrorKind, MemoryEngine, RedbEngine, Result, SledEngine, place};

/// Ordered tables of byte strings, changed by atomic batches.
///
/// A batch is visible to every reader as soon as [`write`](Engine::write) returns and no reader
/// ever sees a part of one. After a crash a prefix of the batches is there: at least those
/// written before the last [`flush`](Engine::flush) that succeeded, and each one whole or not
/// at all.
pub trait Engine: Debug + Send + Sync + 'static {
    /// Reads the value of a key.
    ///
    /// # Errors
    ///
    /// What the engine reports about the bytes it reads; nothing changes.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>>;

    /// Reads one page of a table: the entries in the range, in key order or reversed, at most
    /// `limit` of them.
    ///
    /// A page is one moment in time. The next page starts at `Excluded(last key)` and may show
    /// what was written in between. A range whose start lies behind its end is empty.
    ///
    /// # Errors
    ///
    /// What the engine reports about the bytes it reads; nothing changes.
    fn range(&self, table: Table, range: Range) -> Result<Vec<KeyValue>>;

    /// As [`range`](Engine::range), but a row whose value is damaged is there with no value instead of failing the page:
    /// for saving what is left of damaged tables.
    ///
    /// # Errors
    ///
    /// As [`range`](Engine::range), for damage that hides which rows there are.
    #[doc(hidden)]
    fn range_damaged(&self, table: Table, range: Range) -> Result<Vec<SuspectRow>> {
        let rows = self.range(table, range)?;
        Ok(rows
            .into_iter()
            .map(|(key, value)| (key, Some(value)))
            .collect())
    }

    /// Applies a batch, all of it or nothing, over all tables.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Unsupported`]: a key is over [`KEY_BYTES_MAX`](crate::KEY_BYTES_MAX) or a
    ///   value over [`VALUE_BYTES_MAX`](crate::VALUE_BYTES_MAX); nothing was written.
    /// - [`ErrorKind::Io`], [`ErrorKind::Full`]: whether the batch is there is known only after
    ///   reopening; until then every write and flush is refused.
    fn write(&self, batch: Batch) -> Result<()>;

    /// Makes every batch durable that was written before the call.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] or [`ErrorKind::Full`]: nothing new may be taken as durable. What an
    /// engine does next is its own promise: see [`SledEngine`] and [`MemoryEngine`].
    fn flush(&self) -> Result<()>;

    /// How many bytes of rows wait in memory for the next flush.
    fn waiting_bytes(&self) -> usize {
        0
    }

    /// Takes rows out of memory before there are too many of them. For a thread that may wait: a writer that finds too many
    /// has to do it itself.
    ///
    /// # Errors
    ///
    /// As [`write`](Engine::write).
    fn hand_on(&self) -> Result<()> {
        Ok(())
    }

    /// Whether so much waits for space on a full disk that no further change should be begun. What is written nevertheless
    /// is taken for a while, and refused for good in the end.
    fn is_choked(&self) -> bool {
        false
    }

    /// Copies the tables into new files if the present ones are over `ratio` times as large as what is in them, and leaves
    /// the old ones. Readers and writers go on meanwhile. Says what it did; `None` if there was no need.
    ///
    /// Finding out costs a look at every row; that is done only each time the files have doubled.
    ///
    /// # Errors
    ///
    /// What the disk reports: the tables are then where they were.
    fn compact(&self, ratio: u64) -> Result<Option<Rebuilt>> {
        let _ = ratio;
        Ok(None)
    }

    /// How many bytes of disk the engine takes up, in allocated blocks.
    ///
    /// # Errors
    ///
    /// What the disk reports about the files.
    fn size_on_disk(&self) -> Result<u64>;

    /// Which engine this is.
    fn kind(&self) -> EngineKind;

    /// The files that stood in the way of opening and were set aside, where they lie now on the
    /// disk. Nothing of value was in them; an operator should hear of it.
    fn quarantined(&self) -> &[PathBuf] {
        &[]
    }
}

/// A key, and its value unless that is damaged.
pub type SuspectRow = (Vec<u8>, Option<Vec<u8>>);

/// A key and its value.
pub type KeyValue = (Vec<u8>, Vec<u8>);

/// Which table of an engine: a small number that the owner of the data assigns for good.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode,
)]
pub struct Table(pub u8);

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What [`Engine::range`] reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// The lowest key.
    pub start: Bound<Vec<u8>>,
    /// The highest key.
    pub end: Bound<Vec<u8>>,
    /// Whether the highest key comes first.
    pub reverse: bool,
    /// The most entries to return; 0 returns none.
    pub limit: usize,
}

impl Range {
    /// Whether no key can lie in it. The ordered maps below would panic on some of these.
    pub(crate) fn is_hollow(&self) -> bool {
        use Bound::{Excluded, Included};
        match (&self.start, &self.end) {
            (Included(start), Included(end)) => start > end,
            (Included(start) | Excluded(start), Included(end) | Excluded(end)) => start >= end,
            _ => false,
        }
    }
}

/// The bounds that hold exactly the keys which begin with `prefix`; the empty prefix holds all.
pub fn prefix_range(prefix: &[u8]) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    let start = Bound::Included(prefix.to_vec());
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return (start, Bound::Excluded(end));
        }
    }
    (start, Bound::Unbounded)
}

/// The engines there are. The name is written into the store, so that it opens with its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EngineKind {
    /// `sled`: files of its own, on a real disk only.
    Sled,
    /// `redb`: a copy-on-write B-tree in one file, on any disk.
    Redb,
    /// `memory`: a map that is written out whole at each flush; for simulation and tests.
    Memory,
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Sled => "sled",
            Self::Redb => "redb",
            Self::Memory => "memory",
        })
    }
}

impl FromStr for EngineKind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "sled" => Ok(Self::Sled),
            "redb" => Ok(Self::Redb),
            "memory" => Ok(Self::Memory),
            other => {
                let context =
                    format!("key-value engine {other:?}, known are sled, redb and memory");
                Err(Error::new(ErrorKind::Unsupported, context))
            }
        }
    }
}

/// Opens the tables in a directory of a disk, creating both if they are missing. Tables that are there open with the
/// engine that wrote them, whatever `kind` says: [`Engine::kind`] tells which.
///
/// What is written waits in memory, at most 64 MiB of it, until a flush: the caller has it in a log. Except with sled a full
/// disk only makes it wait longer: reads go on, a flush fails and may be tried again, and writes are taken until 64 MiB wait.
///
/// The caller holds the lock of the store: one directory must not be open twice.
///
/// # Errors
///
/// - [`ErrorKind::Unsupported`]: the engine needs files of its own and the disk has none
///   ([`Disk::native_path`]), or the files were written by a later version.
/// - [`ErrorKind::Corruption`]: the files are damaged; none was removed.
/// - [`ErrorKind::Io`], [`ErrorKind::Full`]: the disk failed.
pub fn open(kind: EngineKind, env_disk: &Arc<dyn Disk>, dir: &Path) -> Result<Arc<dyn Engine>> {
    let place = place::find(env_disk, dir)?;
    let (kind, found) = place.unwrap_or_else(|| (kind, dir.to_owned()));
    let engine = open_plain(kind, env_disk, &found)?;
    place::sweep(env_disk, dir, &found)?;
    Ok(Arc::new(WriteBack::new(engine, env_disk, dir)))
}

/// Opens the tables in exactly this directory, without rows waiting in memory.
pub(crate) fn open_plain(
    kind: EngineKind,
    disk: &Arc<dyn Disk>,
    dir: &Path,
) -> Result<Arc<dyn Engine>> {
    Ok(match kind {
        EngineKind::Sled => Arc::new(SledEngine::open(disk, dir)?),
        EngineKind::Redb => Arc::new(RedbEngine::open(disk, dir)?),
        EngineKind::Memory => Arc::new(MemoryEngine::open(disk, dir)?),
    })
}
