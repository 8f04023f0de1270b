//! Rows wait in memory before an engine gets them, all at once.
//!
//! What is written here is in the commit log already, and stays there until a flush of the tables. So nothing is gained
//! by handing each row to the engine at once, and much is lost: measured with sled, a change of five rows woke eight
//! threads and wrote two pieces of its own log. Rows that are written again and again, such as counters, reach the
//! engine once.
//!
//! Two maps lie over the engine: rows still being gathered, and rows on their way. Readers look through both.

use std::ops::Bound;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};

use crate::batch::Op;
use crate::{Batch, Changes, Engine, EngineKind, KeyValue, Range, Result, Table, batch_of};

/// A key and what stands under it.
type Row<'a> = (&'a Vec<u8>, &'a Option<Vec<u8>>);

/// At so many bytes a writer hands the rows on by itself, so that memory stays bounded.
const GATHERED_MAX: usize = 64 << 20;
/// What a row costs in memory besides its bytes.
const ROW_OVERHEAD: usize = 96;

/// An engine that gets its rows in few, large batches.
#[derive(Debug)]
pub(crate) struct WriteBack {
    engine: Arc<dyn Engine>,
    layers: RwLock<Layers>,
    /// Whether the engine failed last time. It is asked again before anything more is gathered: one that takes nothing
    /// any more must not be covered up.
    failed: AtomicBool,
    /// Held while rows are handed on, so that the batches keep their order.
    handing_on: Mutex<()>,
}

#[derive(Debug, Default)]
struct Layers {
    gathered: Changes,
    bytes: usize,
    /// Rows that the engine is just getting. They are older than those that are gathered.
    leaving: Arc<Changes>,
}

impl WriteBack {
    pub(crate) fn new(engine: Arc<dyn Engine>) -> Self {
        Self {
            engine,
            layers: RwLock::default(),
            failed: AtomicBool::new(false),
            handing_on: Mutex::default(),
        }
    }

    fn watched(&self, done: Result<()>) -> Result<()> {
        self.failed.store(done.is_err(), Ordering::Relaxed);
        done
    }

    /// Hands everything that was gathered to the engine.
    fn hand_all_on(&self) -> Result<()> {
        let _turn = self.handing_on.lock();
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
            self.watched(self.engine.write(batch_of(&leaving)))?;
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
        self.engine.get(table, key)
    }

    fn range(&self, table: Table, range: Range) -> Result<Vec<KeyValue>> {
        let mut found = Vec::new();
        if range.limit == 0 || range.is_hollow() {
            return Ok(found);
        }
        // Held to the end: a page is one moment in time.
        let layers = self.layers.read();
        let mut rest = range.clone();
        loop {
            let page = self.engine.range(table, rest.clone())?;
            let covered = covered(&rest, &page);
            let next = page.last().map(|(key, _)| key.clone());
            let done = page.len() < rest.limit;
            merge(&layers, table, &covered, page, range.limit, &mut found);
            match next {
                Some(last) if !done && found.len() < range.limit => rest = behind(rest, last),
                _ => return Ok(found),
            }
        }
    }

    fn write(&self, batch: Batch) -> Result<()> {
        if self.failed.load(Ordering::Relaxed) {
            self.hand_all_on()?;
            return self.watched(self.engine.write(batch));
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
        self.hand_all_on()?;
        self.watched(self.engine.flush())
    }

    fn waiting_bytes(&self) -> usize {
        self.layers.read().bytes
    }

    fn hand_on(&self) -> Result<()> {
        self.hand_all_on()
    }

    fn size_on_disk(&self) -> Result<u64> {
        self.engine.size_on_disk()
    }

    fn kind(&self) -> EngineKind {
        self.engine.kind()
    }

    fn quarantined(&self) -> &[PathBuf] {
        self.engine.quarantined()
    }
}

/// The part of a range of which a page of the engine says everything.
fn covered(range: &Range, page: &[KeyValue]) -> Range {
    let mut covered = range.clone();
    if let Some((last, _)) = page.last().filter(|_| page.len() >= range.limit) {
        let bound = Bound::Included(last.clone());
        if range.reverse {
            covered.start = bound;
        } else {
            covered.end = bound;
        }
    }
    covered
}

/// What is left of a range behind its last key.
fn behind(mut range: Range, last: Vec<u8>) -> Range {
    if range.reverse {
        range.end = Bound::Excluded(last);
    } else {
        range.start = Bound::Excluded(last);
    }
    range
}

/// Merges the layers over a page, in the order of the range, until there are enough rows.
fn merge(
    layers: &Layers,
    table: Table,
    range: &Range,
    page: Vec<KeyValue>,
    limit: usize,
    found: &mut Vec<KeyValue>,
) {
    let mut gathered = below(&layers.gathered, table, range).peekable();
    let mut leaving = below(&layers.leaving, table, range).peekable();
    let mut page = page.into_iter().peekable();
    while found.len() < limit {
        let heads = [
            gathered.peek().map(|row| row.0.clone()),
            leaving.peek().map(|row| row.0.clone()),
            page.peek().map(|row| row.0.clone()),
        ];
        let heads = heads.into_iter().flatten();
        let key = if range.reverse {
            heads.max()
        } else {
            heads.min()
        };
        let Some(key) = key else { return };
        // The upper layer's row counts; the others are passed over.
        let upper = gathered
            .next_if(|row| *row.0 == key)
            .map(|row| row.1.clone());
        let middle = leaving
            .next_if(|row| *row.0 == key)
            .map(|row| row.1.clone());
        let lower = page.next_if(|row| row.0 == key).map(|row| Some(row.1));
        if let Some(value) = upper.or(middle).or(lower).flatten() {
            found.push((key, value));
        }
    }
}

/// The rows of a layer that lie in a range, in its order.
fn below<'a>(
    rows: &'a Changes,
    table: Table,
    range: &Range,
) -> Box<dyn Iterator<Item = Row<'a>> + 'a> {
    let place = |key: &Vec<u8>| (table, key.clone());
    let start = match &range.start {
        Bound::Included(key) => Bound::Included(place(key)),
        Bound::Excluded(key) => Bound::Excluded(place(key)),
        Bound::Unbounded => Bound::Included((table, Vec::new())),
    };
    let end = match &range.end {
        Bound::Included(key) => Bound::Included(place(key)),
        Bound::Excluded(key) => Bound::Excluded(place(key)),
        Bound::Unbounded => table.0.checked_add(1).map_or(Bound::Unbounded, |next| {
            Bound::Excluded((Table(next), Vec::new()))
        }),
    };
    if range.is_hollow() {
        return Box::new(std::iter::empty());
    }
    let rows = rows
        .range((start, end))
        .map(|((_, key), value)| (key, value));
    if range.reverse {
        Box::new(rows.rev())
    } else {
        Box::new(rows)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tidestore_disk::{Disk, SimDisk};

    use super::*;
    use crate::{Error, ErrorKind, MemoryEngine};

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
        let engine = WriteBack::new(Arc::clone(&flaky) as Arc<dyn Engine>);
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
}
