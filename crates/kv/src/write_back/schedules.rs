//! Rows that wait, are handed on, flushed and moved by copy, under a scheduler. See `tests/concurrency/README.md`.

use std::path::Path;

use tidestore_disk::sync::{explore, thread};
use tidestore_disk::{SimDisk, Survival};

use super::*;
use crate::{MemoryEngine, open, prefix_range};

const T: Table = Table(1);
const DIR: &str = "views/t";
/// Two rows that one batch always gives the same value: whoever sees them differ has seen half a batch.
const PAIR: [&str; 2] = ["a", "b"];
/// The value that the last batch gives them.
const LAST: u64 = 4;

fn number(value: Option<Vec<u8>>) -> u64 {
    value.map_or(0, |bytes| {
        u64::from_le_bytes(bytes.try_into().expect("eight bytes"))
    })
}

/// Refuses one write, as a disk that is full for a moment.
#[derive(Debug)]
struct FullOnce {
    inner: MemoryEngine,
    full: AtomicBool,
}

impl Engine for FullOnce {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.inner.get(table, key)
    }
    fn range(&self, table: Table, range: Range) -> Result<Vec<KeyValue>> {
        self.inner.range(table, range)
    }
    fn write(&self, batch: Batch) -> Result<()> {
        if self.full.swap(false, Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Full, "no space"));
        }
        self.inner.write(batch)
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

struct World {
    disk: SimDisk,
    tables: Arc<WriteBack>,
}

impl World {
    fn new(full: bool) -> Self {
        let disk = SimDisk::new();
        let arc: Arc<dyn Disk> = Arc::new(disk.clone());
        let inner = MemoryEngine::open(&arc, Path::new(DIR)).unwrap();
        let full = AtomicBool::new(full);
        let mut tables = WriteBack::new(Arc::new(FullOnce { inner, full }), &arc, Path::new(DIR));
        tables.compact_min = 0;
        Self {
            disk,
            tables: Arc::new(tables),
        }
    }

    fn thread(&self, work: impl Fn(&WriteBack) + Send + 'static) -> thread::JoinHandle<()> {
        let tables = Arc::clone(&self.tables);
        thread::spawn("kv".to_owned(), move || work(&tables)).unwrap()
    }

    /// Gives the pair one value after the other, each time until the engine takes it.
    fn writer(&self) -> thread::JoinHandle<()> {
        self.thread(|tables| {
            for value in 1..=LAST {
                let batch = || {
                    let mut batch = Batch::new();
                    PAIR.iter()
                        .for_each(|key| batch.put(T, *key, value.to_le_bytes()));
                    batch.put(T, format!("row {value}"), value.to_le_bytes());
                    batch
                };
                while tables.write(batch()).is_err() {}
            }
        })
    }

    /// Reads row by row: what was seen once is not taken back.
    fn getter(&self) -> thread::JoinHandle<()> {
        self.thread(|tables| {
            let mut seen = 0;
            for turn in 0..4 {
                let key = PAIR[turn % 2].as_bytes();
                let value = number(tables.get(T, key).unwrap());
                assert!(value >= seen, "{value} after {seen}");
                seen = value;
            }
        })
    }

    /// Reads pages: each is one moment, and they follow each other.
    fn pager(&self) -> thread::JoinHandle<()> {
        self.thread(|tables| {
            let mut seen = 0;
            for _ in 0..3 {
                let (start, end) = prefix_range(b"");
                let range = Range {
                    start,
                    end,
                    reverse: false,
                    limit: 100,
                };
                let page = tables.range(T, range).unwrap();
                let value = page.first().map_or(0, |row| number(Some(row.1.clone())));
                assert!(value >= seen, "{value} after {seen}");
                seen = value;
                let rows = if value == 0 { 0 } else { 2 + value };
                assert_eq!(page.len() as u64, rows, "half a batch: {page:?}");
                assert!(
                    page.iter()
                        .take(2)
                        .all(|row| number(Some(row.1.clone())) == value)
                );
            }
        })
    }

    /// Everything is in the engine, and after a flush on the disk.
    fn check(self) {
        // The disk may only now be full, for once.
        while self.tables.flush().is_err() {}
        let crashed: Arc<dyn Disk> = Arc::new(self.disk.crash(1, Survival::NONE));
        let found = open(EngineKind::Memory, &crashed, Path::new(DIR)).unwrap();
        for engine in [&**self.tables.engine.read(), &*found] {
            for key in PAIR {
                assert_eq!(number(engine.get(T, key.as_bytes()).unwrap()), LAST);
            }
            for value in 1..=LAST {
                let row = engine.get(T, format!("row {value}").as_bytes()).unwrap();
                assert_eq!(number(row), value);
            }
        }
        assert!(self.tables.layers.read().leaving.is_empty());
    }
}

fn join(threads: impl IntoIterator<Item = thread::JoinHandle<()>>) {
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn rows_that_are_handed_on_are_seen_all_the_time_and_whole() {
    explore(2_000, || {
        let world = World::new(false);
        let handing = world.thread(|tables| tables.hand_on().unwrap());
        let flushing = world.thread(|tables| {
            tables.flush().unwrap();
            tables.flush().unwrap();
        });
        join([
            world.writer(),
            world.getter(),
            world.pager(),
            handing,
            flushing,
        ]);
        world.check();
    });
}

#[test]
fn an_engine_that_refuses_once_gets_everything_later_and_in_order() {
    explore(2_000, || {
        let world = World::new(true);
        let handing = world.thread(|tables| drop(tables.hand_on()));
        let flushing = world.thread(|tables| {
            drop(tables.flush());
            drop(tables.flush());
        });
        join([
            world.writer(),
            world.getter(),
            world.pager(),
            handing,
            flushing,
        ]);
        world.check();
    });
}

/// The whole tables are copied and put in place of the old ones while everybody goes on.
#[test]
fn tables_that_are_moved_by_copy_lose_nothing_and_are_seen_all_the_time() {
    explore(1_000, || {
        let world = World::new(false);
        let compacting = world.thread(|tables| {
            for _ in 0..2 {
                tables.flush().unwrap();
                // The files count as far too large each time.
                *tables.measured.lock() = Measured::default();
                tables.compact(0).unwrap();
            }
        });
        join([world.writer(), world.getter(), world.pager(), compacting]);
        world.check();
    });
}
