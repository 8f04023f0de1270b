//! What the suites share: a place where an engine lives, and the model it is compared with.

#![allow(dead_code, reason = "each suite uses its part")]

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use tempfile::TempDir;
use tidestore_disk::{Disk, RealDisk, SimDisk};
use tidestore_kv::{Batch, Engine, EngineKind, KeyValue, Range, Result, Table, open};

pub(crate) const DIR: &str = "views/shard-00";

/// One disk on which an engine is opened again and again.
pub(crate) struct House {
    pub(crate) kind: EngineKind,
    pub(crate) disk: Arc<dyn Disk>,
    /// Removed when the house goes.
    pub(crate) root: Option<TempDir>,
}

impl House {
    pub(crate) fn new(kind: EngineKind) -> Self {
        match kind {
            EngineKind::Sled | EngineKind::Redb => {
                let root = tempfile::tempdir().unwrap();
                let disk = Arc::new(RealDisk::open(root.path()).unwrap());
                Self {
                    kind,
                    disk,
                    root: Some(root),
                }
            }
            _ => Self {
                kind,
                disk: Arc::new(SimDisk::new()),
                root: None,
            },
        }
    }

    pub(crate) fn open(&self) -> Arc<dyn Engine> {
        open(self.kind, &self.disk, Path::new(DIR)).unwrap()
    }
}

/// The obviously right engine.
pub(crate) type Model = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

/// One change: table, key, and the value or `None` to delete.
pub(crate) type Change = (u8, Vec<u8>, Option<Vec<u8>>);

pub(crate) fn batch_of(changes: &[Change]) -> Batch {
    let mut batch = Batch::new();
    for (table, key, value) in changes {
        match value {
            Some(value) => batch.put(Table(*table), key.clone(), value.clone()),
            None => batch.delete(Table(*table), key.clone()),
        }
    }
    batch
}

pub(crate) fn apply(model: &mut Model, changes: &[Change]) {
    for (table, key, value) in changes {
        let place = (Table(*table), key.clone());
        match value {
            Some(value) => model.insert(place, value.clone()),
            None => model.remove(&place),
        };
    }
}

/// Everything in an engine, read in small pages as callers do.
pub(crate) fn contents(engine: &dyn Engine, tables: &[u8]) -> Model {
    try_contents(engine, tables).unwrap()
}

pub(crate) fn try_contents(engine: &dyn Engine, tables: &[u8]) -> Result<Model> {
    let mut found = Model::new();
    for &table in tables {
        let mut start = Bound::Unbounded;
        loop {
            let range = Range {
                start,
                end: Bound::Unbounded,
                reverse: false,
                limit: 3,
            };
            let page = engine.range(Table(table), range)?;
            let Some((last, _)) = page.last() else { break };
            start = Bound::Excluded(last.clone());
            found.extend(
                page.into_iter()
                    .map(|(key, value)| ((Table(table), key), value)),
            );
        }
    }
    Ok(found)
}

/// What a page of the model holds.
pub(crate) fn model_range(model: &Model, table: Table, range: &Range) -> Vec<KeyValue> {
    let inside = |key: &Vec<u8>| {
        let above = match &range.start {
            Bound::Included(start) => key >= start,
            Bound::Excluded(start) => key > start,
            Bound::Unbounded => true,
        };
        let below = match &range.end {
            Bound::Included(end) => key <= end,
            Bound::Excluded(end) => key < end,
            Bound::Unbounded => true,
        };
        above && below
    };
    let mut all: Vec<KeyValue> = model
        .iter()
        .filter(|((of, key), _)| *of == table && inside(key))
        .map(|((_, key), value)| (key.clone(), value.clone()))
        .collect();
    if range.reverse {
        all.reverse();
    }
    all.truncate(range.limit);
    all
}

/// The tables that random batches touch: neighbours, and both ends.
pub(crate) const TABLES: [u8; 4] = [0, 1, 254, 255];

pub(crate) fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(vec![0, 1, b'a', 254, 255]), 0..4)
}

pub(crate) fn change() -> impl Strategy<Value = Change> {
    let value = prop::collection::vec(any::<u8>(), 0..40);
    (
        prop::sample::select(TABLES.to_vec()),
        key(),
        prop::option::weighted(0.7, value),
    )
}

/// A configuration that keeps the seeds of failures beside the test, to be run first next time.
pub(crate) fn seeds_beside(source: &'static str, cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        source_file: Some(source),
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("seeds"))),
        ..ProptestConfig::default()
    }
}
