//! Rows wait in memory before an engine gets them, all at once.
//!
//! What is written here is in the commit log already, and stays there until a flush of the tables. So nothing is gained
//! by handing each row to the engine at once, and much is lost: measured with sled, a change of five rows woke eight
//! threads and wrote two pieces of its own log. Rows that are written again and again, such as counters, reach the
//! engine once.
//!
//! Two maps lie over the engine: rows still being gathered, and rows on their way. Readers look through both.
//!
//! On a full disk rows go on gathering: the log has them and is trimmed only behind a flush. So a change that the log has
//! taken does not fail, and with it the shard, because its view finds no space. redb survives a full disk by itself; sled
//! takes nothing any more, is opened anew once there is space, and gets again what it was given since its last flush.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidestore_disk::Disk;
use tidestore_disk::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tidestore_disk::sync::{Mutex, RwLock};

use crate::batch::Op;
use crate::engine::open_plain;
use crate::place;
use crate::rebuild::{Rebuilt, copy, digest};
use crate::{
    Batch, Changes, Engine, EngineKind, Error, ErrorKind, KeyValue, Range, Result, Table, batch_of,
    layered,
};

/// At so many bytes a writer hands the rows on by itself, so that memory stays bounded.
const GATHERED_MAX: usize = 64 << 20;
/// On a full disk nothing more should be begun from here on: what is under way must still find room.
const CHOKED_BYTES: usize = GATHERED_MAX / 2;
/// So many bytes may gather while the disk is full.
const GATHERED_FULL_MAX: usize = 4 * GATHERED_MAX;
/// With less space than this, sled is not opened anew: it would only fail again.
const OPEN_BYTES_MIN: u64 = 4 << 20;
/// Files smaller than this are not worth a copy.
const COMPACT_BYTES_MIN: u64 = 16 << 20;
/// So few changed rows are no reason to look at all of them.
const ROWS_MIN: u64 = 10_000;
/// What a row costs in memory besides its bytes.
const ROW_OVERHEAD: usize = 96;

/// An engine that gets its rows in few, large batches.
#[derive(Debug)]
pub(crate) struct WriteBack {
    /// Readers hold it shared while they read, so that the files of an engine that was replaced can go.
    engine: RwLock<Arc<dyn Engine>>,
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
    /// Whether the engine failed last time. It is asked again before anything more is gathered: one that takes nothing
    /// any more must not be covered up.
    failed: AtomicBool,
    /// Held while rows are handed on, so that the batches keep their order. In it, what sled was given since its last
    /// flush.
    handing_on: Mutex<Changes>,
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
            engine: RwLock::new(engine),
            disk: Arc::clone(disk),
            dir: dir.to_owned(),
            compact_min: COMPACT_BYTES_MIN,
            in_doubt: AtomicBool::new(false),
            measured: Mutex::default(),
            handed_on: AtomicU64::new(0),
            layers: RwLock::default(),
            failed: AtomicBool::new(false),
            handing_on: Mutex::default(),
        }
    }

    /// Adds rows to those that wait; answers whether there are too many.
    fn gather(&self, batch: Batch) -> Result<bool> {
        let ops = batch.into_checked_ops()?;
        let mut layers = self.layers.write();
        for Op { table, key, value } in ops {
            let len = key.len() + value.as_ref().map_or(0, Vec::len);
            layers.bytes += len + ROW_OVERHEAD;
            layers.gathered.insert((table, key), value);
        }
        Ok(layers.bytes > GATHERED_MAX)
    }

    /// Whether the engine takes nothing for want of space only, and memory has room for more.
    fn is_short_of_space(&self, error: &Error) -> bool {
        error.kind() == ErrorKind::Full && self.layers.read().bytes < GATHERED_FULL_MAX
    }

    fn watched(&self, done: Result<()>) -> Result<()> {
        self.failed.store(done.is_err(), Ordering::Relaxed);
        done
    }

    /// Hands everything that was gathered to the engine.
    fn hand_all_on(&self) -> Result<()> {
        self.hand_all_on_in_turn(&mut self.handing_on.lock())
    }

    /// Asks the engine to change; once more after it was opened anew, if the disk was full and is not any more.
    fn change(&self, given: &Changes, change: impl Fn(&dyn Engine) -> Result<()>) -> Result<()> {
        let mut changed = change(&**self.engine.read());
        let is_full = |e: &Error| e.kind() == ErrorKind::Full && self.kind == EngineKind::Sled;
        if changed.as_ref().is_err_and(is_full) && self.has_space() {
            let opened = self.open_anew(given);
            changed = opened.and_then(|()| change(&**self.engine.read()));
        }
        self.watched(changed)
    }

    /// Remembers what sled would lose if it had to be opened anew.
    fn note_given(&self, given: &mut Changes, rows: &Changes) {
        if self.kind == EngineKind::Sled {
            let copies = rows.iter().map(|(place, row)| (place.clone(), row.clone()));
            given.extend(copies);
        }
    }

    /// Flushes the engine.
    fn flush_in_turn(&self, given: &mut Changes) -> Result<()> {
        self.change(given, Engine::flush)?;
        given.clear();
        Ok(())
    }

    fn has_space(&self) -> bool {
        let free = self.disk.free_bytes();
        free.is_none_or(|free| free >= OPEN_BYTES_MIN)
    }

    /// Closes the engine, opens its files again, and gives it what it may have lost. Readers wait.
    fn open_anew(&self, given: &Changes) -> Result<()> {
        let mut engine = self.engine.write();
        // First, so that nothing is written by two.
        *engine = Arc::new(Closed(self.dir.clone()));
        let place = place::find(&self.disk, &self.dir)?;
        let (kind, dir) = place.unwrap_or_else(|| (self.kind, self.dir.clone()));
        let opened = open_plain(kind, &self.disk, &dir)?;
        opened.write(batch_of(given))?;
        *engine = opened;
        Ok(())
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

    fn hand_all_on_in_turn(&self, given: &mut Changes) -> Result<()> {
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
            self.change(given, |engine| engine.write(batch_of(&leaving)))?;
            self.note_given(given, &leaving);
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
        self.engine.read().get(table, key)
    }

    fn range(&self, table: Table, range: Range) -> Result<Vec<KeyValue>> {
        // Held to the end: a page is one moment in time.
        let layers = self.layers.read();
        let over = [&layers.gathered, &*layers.leaving];
        layered::page(&**self.engine.read(), &over, table, &range)
    }

    fn write(&self, batch: Batch) -> Result<()> {
        if self.failed.load(Ordering::Relaxed) {
            // In turn: a copy that is being made must not miss it.
            let mut given = self.handing_on.lock();
            let rows = changes_of(batch.clone())?;
            let asked = self.hand_all_on_in_turn(&mut given);
            let asked = asked.and_then(|()| self.change(&given, |e| e.write(batch.clone())));
            return match asked {
                Err(error) if self.is_short_of_space(&error) => self.gather(batch).map(drop),
                Ok(()) => {
                    self.note_given(&mut given, &rows);
                    Ok(())
                }
                Err(error) => Err(error),
            };
        }
        if !self.gather(batch)? {
            return Ok(());
        }
        match self.hand_all_on() {
            Err(error) if self.is_short_of_space(&error) => Ok(()),
            handed_on => handed_on,
        }
    }

    fn flush(&self) -> Result<()> {
        let mut given = self.handing_on.lock();
        self.hand_all_on_in_turn(&mut given)?;
        self.flush_in_turn(&mut given)
    }

    fn waiting_bytes(&self) -> usize {
        self.layers.read().bytes
    }

    fn hand_on(&self) -> Result<()> {
        self.hand_all_on()
    }

    fn is_choked(&self) -> bool {
        self.failed.load(Ordering::Relaxed) && self.waiting_bytes() > CHOKED_BYTES
    }

    fn compact(&self, ratio: u64) -> Result<Option<Rebuilt>> {
        // Nothing reaches the engine meanwhile; what is written gathers in memory.
        let mut given = self.handing_on.lock();
        let files = self.engine.read().size_on_disk()?;
        let mut measured = self.measured.lock();
        // Looking at every row is paid for by as many that were changed since, or by the growth of the files.
        let is_due = files >= 2 * measured.files
            || self.handed_on.load(Ordering::Relaxed) >= measured.rows.max(ROWS_MIN);
        if files < self.compact_min || !is_due {
            return Ok(None);
        }
        let (rows, logical, _) = digest(&**self.engine.read())?;
        self.handed_on.store(0, Ordering::Relaxed);
        *measured = Measured { files, rows };
        if files <= ratio.saturating_mul(logical) {
            return Ok(None);
        }
        self.hand_all_on_in_turn(&mut given)?;
        self.flush_in_turn(&mut given)?;
        let from = Arc::clone(&self.engine.read());
        let copied = copy(&self.disk, &self.dir, &*from, self.kind, &mut |_| {})?;
        if let Err(error) = place::put(&self.disk, &self.dir, &copied.name) {
            // The name may be in place or not. Whatever was written to either would be lost if it is the other.
            self.in_doubt.store(true, Ordering::Relaxed);
            return Err(error);
        }
        // Waits for readers; from here on nobody sees the old files.
        drop(std::mem::replace(&mut *self.engine.write(), copied.engine));
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
        self.engine.read().size_on_disk()
    }

    fn kind(&self) -> EngineKind {
        self.kind
    }

    fn quarantined(&self) -> &[PathBuf] {
        &self.quarantined
    }
}

/// The rows of a batch; of two changes of one row, the later.
fn changes_of(batch: Batch) -> Result<Changes> {
    let ops = batch.into_checked_ops()?;
    Ok(ops
        .into_iter()
        .map(|op| ((op.table, op.key), op.value))
        .collect())
}

/// Stands where an engine was that is being opened anew, or could not be.
#[derive(Debug)]
struct Closed(PathBuf);

impl Closed {
    fn refuse<T>(&self) -> Result<T> {
        let context = format!(
            "tables {}: closed since the disk was full",
            self.0.display()
        );
        Err(Error::new(ErrorKind::Full, context))
    }
}

impl Engine for Closed {
    fn get(&self, _: Table, _: &[u8]) -> Result<Option<Vec<u8>>> {
        self.refuse()
    }

    fn range(&self, _: Table, _: Range) -> Result<Vec<KeyValue>> {
        self.refuse()
    }

    fn write(&self, _: Batch) -> Result<()> {
        self.refuse()
    }

    fn flush(&self) -> Result<()> {
        self.refuse()
    }

    fn size_on_disk(&self) -> Result<u64> {
        self.refuse()
    }

    fn kind(&self) -> EngineKind {
        EngineKind::Sled
    }
}
#[cfg(all(test, shuttle))]
mod schedules;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tidestore_disk::{Disk, Fault, SimDisk, Survival};

    use super::*;
    use crate::{MemoryEngine, RedbEngine, open};

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
}
