//! Changes in the making: rows as they will be, before anything is written.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use crate::codec::{self, Malformed};
use crate::{Batch, Engine, Error, ErrorKind, Range, Result, Table, prefix_range, scan};

/// Reads through to the tables, except for what it has changed itself.
///
/// What is decided about several rows, one after the other, sees what was decided before; all of it becomes one
/// [`Batch`] or is dropped. The tables must not change meanwhile.
#[derive(Debug)]
pub struct Overlay<'a> {
    engine: &'a dyn Engine,
    /// Changes that are on their way into the tables.
    below: Option<Arc<Changes>>,
    changes: Changes,
    /// Bytes of the keys and values that were put or deleted, overridden ones included.
    bytes: usize,
    /// During an [`attempt`](Overlay::attempt): what stood at the places it changed, to be put back.
    undo: Option<Vec<Undo>>,
}

/// A place, and what changes said of it before.
type Undo = ((Table, Vec<u8>), Option<Option<Vec<u8>>>);

/// Rows as they will be; `None` is one that will be gone.
pub type Changes = BTreeMap<(Table, Vec<u8>), Option<Vec<u8>>>;

impl<'a> Overlay<'a> {
    /// Starts without changes.
    pub fn new(engine: &'a dyn Engine) -> Self {
        Self::over(engine, None)
    }

    /// Starts on top of changes that are on their way into the tables and not there yet. [`get`](Self::get) and
    /// [`Rows`](crate::Rows) see those; [`keys`](Self::keys) and [`last_key`](Self::last_key) do not: who calls these has to
    /// wait for them.
    pub fn over(engine: &'a dyn Engine, below: Option<Arc<Changes>>) -> Self {
        Self {
            engine,
            below,
            changes: Changes::new(),
            bytes: 0,
            undo: None,
        }
    }

    /// Carries out a change that may find half-way that it is not possible: then nothing of it stays.
    ///
    /// # Errors
    ///
    /// What the change answers.
    pub fn attempt<T, E>(
        &mut self,
        change: impl FnOnce(&mut Self) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        let outer = self.undo.replace(Vec::new());
        let bytes = self.bytes;
        let done = change(self);
        let undo = std::mem::replace(&mut self.undo, outer).unwrap_or_default();
        if done.is_ok() {
            // An attempt around this one has to take it back as a whole.
            if let Some(outer) = &mut self.undo {
                outer.extend(undo);
            }
            return done;
        }
        self.bytes = bytes;
        for (place, before) in undo.into_iter().rev() {
            match before {
                Some(value) => drop(self.changes.insert(place, value)),
                None => drop(self.changes.remove(&place)),
            }
        }
        done
    }

    fn set(&mut self, place: (Table, Vec<u8>), value: Option<Vec<u8>>) {
        self.bytes += place.1.len() + value.as_ref().map_or(0, Vec::len);
        if let Some(undo) = &mut self.undo {
            undo.push((place.clone(), self.changes.get(&place).cloned()));
        }
        self.changes.insert(place, value);
    }

    /// Reads a row as it will be.
    ///
    /// # Errors
    ///
    /// What the engine reports; [`ErrorKind::Corruption`] if the row is no such value.
    pub fn get<T: bincode::Decode<()>>(&self, table: Table, key: &[u8]) -> Result<Option<T>> {
        let value = self.get_bytes(table, key)?;
        value
            .map(|value| decode_row(table, key, &value))
            .transpose()
    }

    /// Reads a row as it will be, without decoding it.
    ///
    /// # Errors
    ///
    /// What the engine reports.
    pub fn bytes_of(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.get_bytes(table, key)
    }

    pub(crate) fn get_bytes(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let place = (table, key.to_vec());
        let below = || self.below.as_ref().and_then(|below| below.get(&place));
        match self.changes.get(&place).or_else(below) {
            Some(changed) => Ok(changed.clone()),
            None => self.engine.get(table, key),
        }
    }

    pub(crate) fn engine(&self) -> &'a dyn Engine {
        self.engine
    }

    /// Its own changes, then those below.
    pub(crate) fn layers(&self) -> Vec<&Changes> {
        let below = self.below.as_deref();
        std::iter::once(&self.changes).chain(below).collect()
    }

    /// Bytes of what was put and deleted, overridden values included: what a record of the changes takes at most, but
    /// for its frame.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Sets a row.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] if the value is too large to be encoded.
    pub fn put<T: bincode::Encode>(
        &mut self,
        table: Table,
        key: impl Into<Vec<u8>>,
        row: &T,
    ) -> Result<()> {
        let value = codec::encode(row)
            .map_err(|error| Error::new(ErrorKind::Unsupported, error.to_string()))?;
        self.set((table, key.into()), Some(value));
        Ok(())
    }

    /// Sets a row whose value is bytes as they are.
    pub fn put_bytes(&mut self, table: Table, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.set((table, key.into()), Some(value.into()));
    }

    /// Removes a row; one that is not there is fine.
    pub fn delete(&mut self, table: Table, key: impl Into<Vec<u8>>) {
        self.set((table, key.into()), None);
    }

    /// All keys that begin with a prefix, in order. Costs memory for all of them.
    ///
    /// # Errors
    ///
    /// What the engine reports.
    pub fn keys(&self, table: Table, prefix: &[u8]) -> Result<Vec<Vec<u8>>> {
        let mut keys: BTreeMap<Vec<u8>, bool> = BTreeMap::new();
        scan(self.engine, table, prefix, |key, _| {
            keys.insert(key.to_vec(), true);
            Ok(())
        })?;
        for (key, value) in self.changes_below(table, prefix) {
            keys.insert(key.clone(), value.is_some());
        }
        let present = keys.into_iter().filter(|(_, present)| *present);
        Ok(present.map(|(key, _)| key).collect())
    }

    /// The last key that begins with a prefix.
    ///
    /// # Errors
    ///
    /// What the engine reports.
    pub fn last_key(&self, table: Table, prefix: &[u8]) -> Result<Option<Vec<u8>>> {
        let put = self
            .changes_below(table, prefix)
            .filter(|(_, value)| value.is_some());
        let put = put.last().map(|(key, _)| key.clone());
        let (start, mut end) = prefix_range(prefix);
        loop {
            let range = Range {
                start: start.clone(),
                end,
                reverse: true,
                limit: 16,
            };
            let page = self.engine.range(table, range)?;
            let Some((lowest, _)) = page.last() else {
                return Ok(put);
            };
            end = Bound::Excluded(lowest.clone());
            let is_there = |key: &Vec<u8>| !self.changes.contains_key(&(table, key.clone()));
            let kept = page.into_iter().map(|(key, _)| key).find(is_there);
            if kept.is_some() {
                return Ok(kept.max(put));
            }
        }
    }

    fn changes_below<'b>(
        &'b self,
        table: Table,
        prefix: &'b [u8],
    ) -> impl Iterator<Item = (&'b Vec<u8>, &'b Option<Vec<u8>>)> {
        self.changes
            .range((table, prefix.to_vec())..)
            .take_while(move |((t, key), _)| *t == table && key.starts_with(prefix))
            .map(|((_, key), value)| (key, value))
    }

    /// How many rows have changed.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether nothing has changed.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The changes as one batch, in the order of tables and keys.
    pub fn into_batch(self) -> Batch {
        batch_of(&self.changes)
    }

    /// The changes, for others to be made on top of them.
    pub fn into_changes(self) -> Changes {
        self.changes
    }
}

/// Changes as one batch, in the order of tables and keys.
pub fn batch_of(changes: &Changes) -> Batch {
    let mut batch = Batch::new();
    for ((table, key), value) in changes {
        match value {
            Some(value) => batch.put(*table, key.as_slice(), value.as_slice()),
            None => batch.delete(*table, key.as_slice()),
        }
    }
    batch
}

/// Decodes a row, and says which it is if it cannot be.
///
/// # Errors
///
/// [`ErrorKind::Corruption`] if the bytes are no such value.
pub fn decode_row<T: bincode::Decode<()>>(table: Table, key: &[u8], value: &[u8]) -> Result<T> {
    codec::decode(value).map_err(|Malformed(detail)| {
        let key = key.escape_ascii();
        let text = format!("the row {key} of table {table} is damaged: {detail}");
        Error::new(ErrorKind::Corruption, text)
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use tidestore_disk::{Disk, SimDisk};

    use super::*;
    use crate::{EngineKind, open};

    const T: Table = Table(1);

    #[test]
    fn changes_are_seen_before_they_are_written_and_not_by_others() {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
        let engine = open(EngineKind::Memory, &disk, Path::new("t")).unwrap();
        let mut first = Overlay::new(&*engine);
        for n in 0..5_u64 {
            first.put(T, [b'a', n.to_be_bytes()[7]], &n).unwrap();
        }
        assert_eq!(engine.get(T, b"a\x01").unwrap(), None);
        engine.write(first.into_batch()).unwrap();

        let mut second = Overlay::new(&*engine);
        second.delete(T, *b"a\x04");
        second.delete(T, *b"a\x01");
        second.put(T, *b"a\x02", &20_u64).unwrap();
        second.put(T, *b"b\x09", &9_u64).unwrap();
        assert_eq!(second.get::<u64>(T, b"a\x01").unwrap(), None);
        assert_eq!(second.get::<u64>(T, b"a\x02").unwrap(), Some(20));
        assert_eq!(second.get::<u64>(T, b"a\x03").unwrap(), Some(3));
        let keys = second.keys(T, b"a").unwrap();
        assert_eq!(keys, [*b"a\x00", *b"a\x02", *b"a\x03"]);
        assert_eq!(second.last_key(T, b"a").unwrap().unwrap(), *b"a\x03");
        assert_eq!(second.last_key(T, b"b").unwrap().unwrap(), *b"b\x09");
        assert_eq!(second.last_key(T, b"c").unwrap(), None);
        second.put(T, *b"a\x07", &7_u64).unwrap();
        assert_eq!(second.last_key(T, b"a").unwrap().unwrap(), *b"a\x07");
        assert_eq!(second.into_batch().len(), 5);
    }

    #[test]
    fn an_attempt_that_fails_leaves_nothing_and_one_inside_it_goes_with_it() {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
        let engine = open(EngineKind::Memory, &disk, Path::new("t")).unwrap();
        let mut rows = Overlay::new(&*engine);
        rows.put(T, *b"a", &1_u64).unwrap();
        let (before, bytes) = (rows.changes.clone(), rows.bytes());
        let failed: std::result::Result<(), &str> = rows.attempt(|rows| {
            rows.put(T, *b"a", &2_u64).unwrap();
            rows.attempt(|rows| -> std::result::Result<(), &str> {
                rows.put(T, *b"a", &3_u64).unwrap();
                rows.put(T, *b"b", &4_u64).unwrap();
                Ok(())
            })?;
            rows.delete(T, *b"a");
            Err("no")
        });
        assert_eq!(failed, Err("no"));
        assert_eq!((&rows.changes, rows.bytes()), (&before, bytes));

        let kept: std::result::Result<(), &str> = rows.attempt(|rows| {
            let inner: std::result::Result<(), &str> = rows.attempt(|rows| {
                rows.delete(T, *b"a");
                Err("only this")
            });
            assert!(inner.is_err());
            rows.put(T, *b"c", &5_u64).unwrap();
            Ok(())
        });
        assert!(kept.is_ok());
        assert_eq!(rows.get::<u64>(T, b"a").unwrap(), Some(1));
        assert_eq!(rows.get::<u64>(T, b"c").unwrap(), Some(5));
        let page = crate::page_of(&rows, T, b"", None, true, 1).unwrap();
        assert_eq!(page.first().unwrap().0, b"c");
    }
}
