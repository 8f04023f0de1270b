//! Rows wait in memory before an engine gets them, all at once.
//!
//! What is written here is in the commit log already, and stays there until a flush of the tables. So nothing is gained
//! by handing each row to the engine at once, and much is lost: measured with sled, a change of five rows woke eight
//! threads and wrote two pieces of its own log. Rows that are written again and again, such as counters, reach the
//! engine once.
//!
//! Two maps lie over the engine: rows still being gathered, and rows on their way. Readers look through both.
//!
//! Rows on their way stay in memory until the engine has flushed them. So a full disk is no end: redb, which takes nothing
//! more and shows nothing any more after a write that failed, is opened anew, and the rows wait until there is space. A
//! flush that failed for any other reason is final: see `Backend` in `redb_engine.rs`. sled, which has its own files and a
//! lock on them, is not opened anew: there a full disk is final until the store is reopened.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidestore_disk::Disk;
use tidestore_disk::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tidestore_disk::sync::{Mutex, RwLock};

use crate::batch::Op;
use crate::place;
use crate::rebuild::{Rebuilt, copy, digest};
use crate::{
    Batch, Changes, Engine, EngineKind, Error, ErrorKind, KeyValue, Range, RedbEngine, Result,
    Table, batch_of, layered,
};

/// At so many bytes a writer hands the rows on by itself, so that memory stays bounded.
const GATHERED_MAX: usize = 64 << 20;
/// On a full disk nothing more should be gathered from here on: what is under way must still find room.
const CHOKED_BYTES: usize = GATHERED_MAX / 2;
/// Files smaller than this are not worth a copy.
const COMPACT_BYTES_MIN: u64 = 16 << 20;
/// So few changed rows are no reason to look at all of them.
const ROWS_MIN: u64 = 10_000;
/// What a row costs in memory besides its bytes.
const ROW_OVERHEAD: usize = 96;

/// An engine that gets its rows in few, large batches.
#[derive(Debug)]
pub(crate) struct WriteBack {
    /// Readers hold it shared while they read, so that the files of an engine that was replaced can go. `None` while it
    /// cannot be opened anew after a full disk.
    engine: RwLock<Option<Arc<dyn Engine>>>,
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// What was found when all rows were last looked at.
    measured: Mutex<Measured>,
    /// Rows handed on since then.
    handed_on: AtomicU64,
    /// Files smaller than this are not worth a copy.
    compact_min: u64,
    /// Whether it is not known which files the next opening will take for the tables.
    in_doubt: AtomicBool,
    kind: EngineKind,
    quarantined: Vec<PathBuf>,
    layers: RwLock<Layers>,
    /// Why the engine failed last time. Unless the disk was full it is asked again before anything more is gathered: one
    /// that takes nothing any more must not be covered up.
    failed: Mutex<Option<ErrorKind>>,
    /// Held while rows are handed on, so that the batches keep their order.
    handing_on: Mutex<()>,
}

/// Bytes of the files, and rows in them.
#[derive(Clone, Copy, Debug, Default)]
struct Measured {
    files: u64,
    rows: u64,
}

#[derive(Debug, Default)]
struct Layers {
    gathered: Changes,
    bytes: usize,
    /// Rows that the engine is just getting. They are older than those that are gathered.
    leaving: Arc<Changes>,
}

impl WriteBack {
    pub(crate) fn new(engine: Arc<dyn Engine>, disk: &Arc<dyn Disk>, dir: &Path) -> Self {
        Self {
            kind: engine.kind(),
            quarantined: engine.quarantined().to_vec(),
            engine: RwLock::new(Some(engine)),
            disk: Arc::clone(disk),
            dir: dir.to_owned(),
            compact_min: COMPACT_BYTES_MIN,
            in_doubt: AtomicBool::new(false),
            measured: Mutex::default(),
            handed_on: AtomicU64::new(0),
            layers: RwLock::default(),
            failed: Mutex::default(),
            handing_on: Mutex::default(),
        }
    }

    fn watched(&self, done: Result<()>) -> Result<()> {
        *self.failed.lock() = done.as_ref().err().map(Error::kind);
        done
    }

    /// Uses the engine, which stays in its place meanwhile.
    fn with<T>(&self, ask: impl FnOnce(&Arc<dyn Engine>) -> Result<T>) -> Result<T> {
        match &*self.engine.read() {
            Some(engine) => ask(engine),
            None => {
                let dir = self.dir.display();
                let context = format!("tables {dir}: they cannot be opened while the disk is full");
                Err(Error::new(ErrorKind::Full, context))
            }
        }
    }

    /// Asks the engine; once more if it was just failing and being opened anew.
    fn ask<T>(&self, ask: impl Fn(&dyn Engine) -> Result<T>) -> Result<T> {
        let answer = self.with(|engine| ask(&**engine));
        match answer {
            Err(error) if self.opens_anew() && error.kind() != ErrorKind::Corruption => {
                let _turn = self.handing_on.lock();
                self.open_if_closed();
                self.with(|engine| ask(&**engine))
            }
            answer => answer,
        }
    }

    /// Whether the engine can be opened anew under its readers: it holds no lock of its own, and what it did not flush
    /// is here.
    fn opens_anew(&self) -> bool {
        self.kind == EngineKind::Redb
    }

    /// Closes the engine and opens its files again.
    fn open_anew(&self) {
        let mut engine = self.engine.write();
        // First, so that nothing is written by two.
        drop(engine.take());
        let opened = place::find(&self.disk, &self.dir).and_then(|place| {
            let (_, dir) = place.unwrap_or_else(|| (self.kind, self.dir.clone()));
            RedbEngine::open_again(&self.disk, &dir)
        });
        // If that fails it is tried again by whoever comes next.
        *engine = opened.ok().map(|opened| Arc::new(opened) as _);
    }

    fn open_if_closed(&self) {
        let is_closed = self.engine.read().is_none();
        if is_closed {
            self.open_anew();
        }
    }

    /// Gives rows to the engine, durably: what it loses when it is opened anew must be here.
    fn give(&self, rows: &Changes) -> Result<()> {
        self.open_if_closed();
        let given = self.with(|engine| {
            engine.write(batch_of(rows))?;
            engine.flush()
        });
        let is_full = given.as_ref().is_err_and(|e| e.kind() == ErrorKind::Full);
        if is_full && self.opens_anew() {
            self.open_anew();
        }
        self.watched(given)
    }

    /// Hands everything that was gathered to the engine.
    fn hand_all_on(&self) -> Result<()> {
        let _turn = self.handing_on.lock();
        self.hand_all_on_in_turn()
    }

    /// Refuses once it is not known where the tables are; opening them anew finds out.
    fn check_place(&self) -> Result<()> {
        if !self.in_doubt.load(Ordering::Relaxed) {
            return Ok(());
        }
        let context = format!(
            "tables {}: refused since a copy could not be put in their place; reopen",
            self.dir.display()
        );
        Err(Error::new(ErrorKind::Io, context))
    }

    fn hand_all_on_in_turn(&self) -> Result<()> {
        self.check_place()?;
        loop {
            let leaving = {
                let mut layers = self.layers.write();
                if layers.leaving.is_empty() {
                    layers.bytes = 0;
                    layers.leaving = Arc::new(std::mem::take(&mut layers.gathered));
                }
                // Otherwise the last attempt failed: those come first, and the others behind them.
                Arc::clone(&layers.leaving)
            };
            if leaving.is_empty() {
                return Ok(());
            }
            self.give(&leaving)?;
            self.handed_on
                .fetch_add(leaving.len() as u64, Ordering::Relaxed);
            self.layers.write().leaving = Arc::default();
        }
    }
}

impl Engine for WriteBack {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let place = (table, key.to_vec());
        {
            let layers = self.layers.read();
            let row = layers.gathered.get(&place);
            if let Some(row) = row.or_else(|| layers.leaving.get(&place)) {
                return Ok(row.clone());
            }
        }
        // Rows leave the upper layer only after the engine has them, so nothing can slip through between the two.
        self.ask(|engine| engine.get(table, key))
    }

    fn range(&self, table: Table, range: Range) -> Result<Vec<KeyValue>> {
        self.ask(|engine| {
            // Held to the end: a page is one moment in time.
            let layers = self.layers.read();
            let over = [&layers.gathered, &*layers.leaving];
            layered::page(engine, &over, table, &range)
        })
    }

    fn write(&self, batch: Batch) -> Result<()> {
        let failed = *self.failed.lock();
        // A full disk is over once there is space; until then the log is not trimmed, and what waits is bounded.
        let may_wait = failed == Some(ErrorKind::Full) && self.kind != EngineKind::Sled;
        if failed.is_some() && !may_wait {
            // In turn: a copy that is being made must not miss it.
            let _turn = self.handing_on.lock();
            self.hand_all_on_in_turn()?;
            return self.watched(self.with(|engine| engine.write(batch)));
        }
        let ops = batch.into_checked_ops()?;
        let is_full = {
            let mut layers = self.layers.write();
            for Op { table, key, value } in ops {
                let len = key.len() + value.as_ref().map_or(0, Vec::len);
                layers.bytes += len + ROW_OVERHEAD;
                layers.gathered.insert((table, key), value);
            }
            layers.bytes > GATHERED_MAX
        };
        if is_full { self.hand_all_on() } else { Ok(()) }
    }

    fn flush(&self) -> Result<()> {
        let _turn = self.handing_on.lock();
        self.hand_all_on_in_turn()?;
        self.watched(self.with(|engine| engine.flush()))
    }

    fn waiting_bytes(&self) -> usize {
        self.layers.read().bytes
    }

    fn hand_on(&self) -> Result<()> {
        self.hand_all_on()
    }

    fn is_choked(&self) -> bool {
        *self.failed.lock() == Some(ErrorKind::Full) && self.waiting_bytes() > CHOKED_BYTES
    }

    fn compact(&self, ratio: u64) -> Result<Option<Rebuilt>> {
        // Nothing reaches the engine meanwhile; what is written gathers in memory.
        let _turn = self.handing_on.lock();
        let files = self.with(|engine| engine.size_on_disk())?;
        let mut measured = self.measured.lock();
        // Looking at every row is paid for by as many that were changed since, or by the growth of the files.
        let is_due = files >= 2 * measured.files
            || self.handed_on.load(Ordering::Relaxed) >= measured.rows.max(ROWS_MIN);
        if files < self.compact_min || !is_due {
            return Ok(None);
        }
        let (rows, logical, _) = self.with(|engine| digest(&**engine))?;
        self.handed_on.store(0, Ordering::Relaxed);
        *measured = Measured { files, rows };
        if files <= ratio.saturating_mul(logical) {
            return Ok(None);
        }
        self.hand_all_on_in_turn()?;
        self.watched(self.with(|engine| engine.flush()))?;
        let from = self.with(|engine| Ok(Arc::clone(engine)))?;
        let copied = copy(&self.disk, &self.dir, &*from, self.kind, &mut |_| {})?;
        if let Err(error) = place::put(&self.disk, &self.dir, &copied.name) {
            // The name may be in place or not. Whatever was written to either would be lost if it is the other.
            self.in_doubt.store(true, Ordering::Relaxed);
            return Err(error);
        }
        // Waits for readers; from here on nobody sees the old files.
        drop(self.engine.write().replace(copied.engine));
        drop(from);
        measured.files = copied.rebuilt.bytes_after;
        // What stays is swept at the next opening.
        drop(place::sweep(
            &self.disk,
            &self.dir,
            &self.dir.join(copied.name),
        ));
        Ok(Some(copied.rebuilt))
    }

    fn size_on_disk(&self) -> Result<u64> {
        self.ask(Engine::size_on_disk)
    }

    fn kind(&self) -> EngineKind {
        self.kind
    }

    fn quarantined(&self) -> &[PathBuf] {
        &self.quarantined
    }
}

#[cfg(all(test, shuttle))]
mod schedules;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tidestore_disk::{Disk, Fault, SimDisk, Survival};

    use super::*;
    use crate::{MemoryEngine, open};

    const T: Table = Table(1);

    /// Refuses its first write.
    #[derive(Debug)]
    struct Flaky {
        inner: MemoryEngine,
        refused: AtomicBool,
    }

    impl Engine for Flaky {
        fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
            self.inner.get(table, key)
        }
        fn range(&self, table: Table, range: Range) -> Result<Vec<KeyValue>> {
            self.inner.range(table, range)
        }
        fn write(&self, batch: Batch) -> Result<()> {
            if self.refused.swap(true, Ordering::Relaxed) {
                return self.inner.write(batch);
            }
            Err(Error::new(ErrorKind::Full, "no space"))
        }
        fn flush(&self) -> Result<()> {
            self.inner.flush()
        }
        fn size_on_disk(&self) -> Result<u64> {
            self.inner.size_on_disk()
        }
        fn kind(&self) -> EngineKind {
            self.inner.kind()
        }
    }

    fn put(engine: &dyn Engine, key: &str) {
        let mut batch = Batch::new();
        batch.put(T, key, "value");
        engine.write(batch).unwrap();
    }

    #[test]
    fn a_flush_after_a_refused_one_hands_on_what_came_before_and_after() {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
        let inner = MemoryEngine::open(&disk, Path::new("t")).unwrap();
        let flaky = Arc::new(Flaky {
            inner,
            refused: AtomicBool::new(false),
        });
        let inner = Arc::clone(&flaky) as Arc<dyn Engine>;
        let engine = WriteBack::new(inner, &disk, Path::new("t"));
        put(&engine, "before");
        assert_eq!(engine.flush().unwrap_err().kind(), ErrorKind::Full);
        assert!(engine.get(T, b"before").unwrap().is_some());
        // Gathered beside those that wait, as if written while they were on their way.
        let row = ((T, b"beside".to_vec()), Some(b"value".to_vec()));
        engine.layers.write().gathered.extend([row]);
        engine.flush().unwrap();
        assert!(flaky.get(T, b"beside").unwrap().is_some());
        put(&engine, "after");
        engine.flush().unwrap();
        for key in ["before", "beside", "after"] {
            assert!(flaky.get(T, key.as_bytes()).unwrap().is_some(), "{key}");
        }
    }

    /// A disk that is full at any size: rows can be read, wait, and reach the same tables once there is space. Before, redb
    /// refused reads and writes alike until the tables were opened anew, and the shard took no more changes.
    #[test]
    fn a_full_disk_makes_rows_wait_and_hides_none() {
        let dir = Path::new("views/t");
        for kind in [EngineKind::Redb, EngineKind::Memory] {
            let mut filled = 0;
            for step in 0..60 {
                let disk = SimDisk::new();
                let arc = Arc::new(disk.clone()) as Arc<dyn Disk>;
                let engine = open(kind, &arc, dir).unwrap();
                disk.set_space(Some(disk.total_bytes() + step * 40_000));
                let mut expected = Vec::new();
                for n in 0..40 {
                    let mut batch = Batch::new();
                    let key = format!("k{n:02}");
                    batch.put(T, key.as_bytes(), vec![7; 50_000]);
                    engine.write(batch).unwrap();
                    expected.push(key);
                    if engine.flush().is_err() {
                        filled += 1;
                    }
                    assert_eq!(rows(&*engine), expected, "{kind}, step {step}");
                    assert!(engine.get(T, b"k00").unwrap().is_some());
                }
                disk.set_space(None);
                engine.flush().unwrap();
                drop(engine);
                let crashed = Arc::new(disk.crash(step, Survival::NONE)) as Arc<dyn Disk>;
                let found = open(kind, &crashed, dir).unwrap();
                assert_eq!(rows(&*found), expected, "{kind}, step {step}");
            }
            assert!(filled > 10, "{kind}: the disk was full {filled} times");
        }
    }

    /// A sync that finds the disk full is a failed sync all the same.
    #[test]
    fn a_sync_that_finds_no_space_is_final() {
        let dir = Path::new("views/t");
        let disk = SimDisk::new();
        let arc = Arc::new(disk.clone()) as Arc<dyn Disk>;
        let engine = open(EngineKind::Redb, &arc, dir).unwrap();
        put(&*engine, "k");
        disk.fail_matching(tidestore_disk::OpKind::Sync, 1, Fault::NoSpace);
        assert_eq!(engine.flush().unwrap_err().kind(), ErrorKind::Io);
        let mut batch = Batch::new();
        batch.put(T, "later", "value");
        engine.write(batch).unwrap_err();
        engine.flush().unwrap_err();
        assert_eq!(disk.repeated_syncs(), [] as [PathBuf; 0]);
    }

    fn rows(engine: &dyn Engine) -> Vec<String> {
        let page = crate::page_of(engine, T, b"", None, false, 1_000).unwrap();
        let name = |(key, _): KeyValue| String::from_utf8(key).unwrap();
        page.into_iter().map(name).collect()
    }

    /// Whatever goes wrong while tables are being copied, at whatever operation: what is acknowledged afterwards is there when
    /// they are opened again, and so is all from before.
    #[test]
    fn a_copy_that_fails_or_is_cut_short_costs_nothing() {
        let dir = Path::new("views/t");
        let arc = |disk: &SimDisk| Arc::new(disk.clone()) as Arc<dyn Disk>;
        let mut outcomes = [0; 3];
        for k in 1.. {
            let disk = SimDisk::new();
            let inner = Arc::new(RedbEngine::open(&arc(&disk), dir).unwrap());
            let mut engine = WriteBack::new(inner, &arc(&disk), dir);
            engine.compact_min = 0;
            (0..30).for_each(|n| put(&engine, &format!("k{n:02}")));
            engine.flush().unwrap();
            let before = rows(&engine);
            if k % 2 == 0 {
                disk.crash_at(k / 2);
            } else {
                disk.fail_at(k / 2, Fault::Eio);
            }
            let operations = disk.operations();
            let copied = engine.compact(0);
            let used = disk.operations() - operations;
            let mut batch = Batch::new();
            batch.put(T, "later", "value");
            let later = engine.write(batch).and_then(|()| engine.flush());
            outcomes[match (&copied, &later) {
                (Ok(_), _) => 0,
                (Err(_), Ok(())) => 1,
                (Err(_), Err(_)) => 2,
            }] += 1;
            drop(engine);
            disk.clear_faults();
            for survival in [Survival::NONE, Survival::ALL] {
                let found = open(EngineKind::Redb, &arc(&disk.crash(k, survival)), dir).unwrap();
                let mut found = rows(&*found);
                let has_later = found.last().is_some_and(|last| last == "later");
                assert!(
                    later.is_err() || has_later,
                    "{k}: an acknowledged row is gone"
                );
                found.retain(|name| name != "later");
                assert_eq!(found, before, "{k}");
            }
            if copied.is_ok() && used < k / 2 {
                break;
            }
        }
        assert!(outcomes.iter().all(|count| *count > 0), "{outcomes:?}");
    }
}
