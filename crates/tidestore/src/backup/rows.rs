//! Copying a shard's rows, page by page, while the store goes on.

use std::path::PathBuf;
use std::sync::Arc;

use tidestore_blobs::Stock;
use tidestore_disk::{Disk, Millis, SimDisk};
use tidestore_kv::{Table, codec, page_of, scan};
use tidestore_messages::{
    AppId, DayShare, Owner, ReceiptRunMeta, SegmentMeta, receipt_run_path, segment_path,
};

use crate::backup::app_filter::AppFilter;
use crate::backup::manifest::FileEntry;
use crate::backup::part::{Id, Kind, Part};
use crate::backup::sink::{Sink, put_bytes};
use crate::error::{Error, ErrorKind, Result};
use crate::guard::millis;
use crate::shard::Shard;
use crate::tables::{self, APPLIED, DAYS, FLUSHED, META, RECEIPTS, SEGMENTS};

/// What was learnt of a shard while its rows were copied.
#[derive(Debug)]
pub(crate) struct ShardRows {
    /// The first position whose batch the rows may lack.
    pub(crate) from: u64,
    pub(crate) stock: Stock,
    pub(crate) sealed: Vec<SealedFile>,
    /// In a backup of one app.
    pub(crate) filter: Option<AppFilter>,
    /// How many were copied.
    pub(crate) rows: u64,
}

/// A segment or receipt run to be copied.
#[derive(Debug)]
pub(crate) struct SealedFile {
    pub(crate) path: PathBuf,
    pub(crate) len: u64,
    /// Where it lies, if it was made for this backup.
    pub(crate) scratch: Option<Arc<dyn Disk>>,
}

/// Writes parts of one kind and shard.
pub(crate) struct Parts<'a> {
    pub(crate) sink: &'a mut dyn Sink,
    pub(crate) files: &'a mut Vec<FileEntry>,
    kind: Kind,
    id: Id,
    part: Part,
}

impl<'a> Parts<'a> {
    pub(crate) fn new(
        sink: &'a mut dyn Sink,
        files: &'a mut Vec<FileEntry>,
        kind: Kind,
        shard: &Shard,
    ) -> Self {
        let id = Id {
            store: shard.store.0,
            shard: shard.number,
            number: 1,
        };
        Self {
            sink,
            files,
            kind,
            id,
            part: Part::default(),
        }
    }

    pub(crate) fn row(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<()> {
        self.part.put_row(table.0, key, value);
        self.written()
    }

    pub(crate) fn batch(&mut self, position: u64, batch: &[u8]) -> Result<()> {
        self.part.put_batch(position, batch);
        self.written()
    }

    fn written(&mut self) -> Result<()> {
        if self.part.is_full() {
            self.finish()
        } else {
            Ok(())
        }
    }

    /// Writes what has gathered.
    pub(crate) fn finish(&mut self) -> Result<()> {
        if self.part.is_empty() {
            return Ok(());
        }
        let bytes = std::mem::take(&mut self.part).encode(self.kind, self.id)?;
        let path = self.kind.path(self.id.shard, self.id.number);
        self.files.push(put_bytes(self.sink, &path, &bytes)?);
        self.id.number += 1;
        Ok(())
    }
}

/// Copies the rows of a shard, of one app if `only` says so. No flush, merge or expiry may run meanwhile.
pub(crate) fn copy_rows(
    shard: &Shard,
    only: Option<AppId>,
    sink: &mut dyn Sink,
    files: &mut Vec<FileEntry>,
) -> Result<ShardRows> {
    // One page, so that these belong to one moment: the replay begins behind it, whatever is read later.
    let numbers = page_of(&*shard.engine, META, b"", None, false, 1_024)?;
    let number = |name: &str| {
        let row = numbers.iter().find(|(key, _)| key == name.as_bytes());
        let value = row.and_then(|(_, value)| value.first_chunk());
        value.map_or(0, |value| u64::from_le_bytes(*value))
    };
    let from = number(APPLIED).min(number(FLUSHED)) + 1;
    let mut parts = Parts::new(sink, files, Kind::Rows, shard);
    let mut rows = numbers.len() as u64;
    for (key, value) in &numbers {
        parts.row(META, key, value)?;
    }
    let filter = only.map(|app| AppFilter { app });
    let sealed = match only {
        Some(app) => {
            let own = own_files(shard, app, &mut parts)?;
            rows += own.rows;
            own.sealed
        }
        None => all_files(shard)?,
    };
    let mut stock = Stock::default();
    for table in (META.0 + 1..=u8::MAX).map(Table) {
        let mut failed = None;
        scan(&*shard.engine, table, b"", |key, value| {
            stock.read(table, key, value)?;
            let keeps = filter
                .as_ref()
                .is_none_or(|filter| filter.keeps(&stock, table, key));
            if keeps && failed.is_none() {
                rows += 1;
                failed = parts.row(table, key, value).err();
            }
            Ok(())
        })?;
        failed.map_or(Ok(()), Err)?;
    }
    parts.finish()?;
    Ok(ShardRows {
        from,
        stock,
        sealed,
        filter,
        rows,
    })
}

/// All sealed files of a shard whose apps exist.
fn all_files(shard: &Shard) -> Result<Vec<SealedFile>> {
    let segments = tables::rows::<SegmentMeta>(&*shard.engine, SEGMENTS)?;
    let segments = segments.iter().filter_map(|meta| {
        let path = segment_path(&*shard.registry, meta)?;
        Some(SealedFile::stored(path, meta.file_len))
    });
    let mut files: Vec<_> = segments.collect();
    for run in tables::rows::<ReceiptRunMeta>(&*shard.engine, RECEIPTS)? {
        let path = receipt_run_path(shard.number, run.generation);
        files.push(SealedFile::stored(path, run.file_len));
    }
    Ok(files)
}

impl SealedFile {
    fn stored(path: PathBuf, len: u64) -> Self {
        Self {
            path,
            len,
            scratch: None,
        }
    }
}

/// What one app has of a shard's sealed files.
#[derive(Default)]
struct Own {
    sealed: Vec<SealedFile>,
    rows: u64,
}

/// Finds the sealed files of one app, makes those that it shares with others its own, and writes their rows.
fn own_files(shard: &Shard, app: AppId, parts: &mut Parts<'_>) -> Result<Own> {
    // In memory: an app's share of such files is small, or it would have files of its own.
    let scratch: Arc<dyn Disk> = Arc::new(SimDisk::new());
    let mut own = Own::default();
    for meta in tables::rows::<SegmentMeta>(&*shard.engine, SEGMENTS)? {
        match meta.owner {
            Owner::App(owner) if owner == app => {
                let days = tables::days(&*shard.engine, meta.generation)?;
                own.segment(shard, parts, &meta, days.as_deref(), None)?;
            }
            Owner::Shared if meta.share(app).is_some() => {
                if let Some((meta, days)) = shard.view.extract(meta.generation, app, &scratch)? {
                    let shares = Some(days.shares.as_slice());
                    own.segment(shard, parts, &meta, shares, Some(&scratch))?;
                }
            }
            _ => {}
        }
    }
    if let Some(run) = shard.view.extract_receipts(app, since(shard), &scratch)? {
        own.sealed.push(SealedFile {
            path: receipt_run_path(shard.number, run.generation),
            len: run.file_len,
            scratch: Some(scratch),
        });
        own.row(parts, RECEIPTS, run.generation, &run)?;
    }
    Ok(own)
}

/// The time since which receipts are wanted.
fn since(shard: &Shard) -> Millis {
    let window = millis(shard.options.dedupe_window);
    shard.guard.now().saturating_sub(window)
}

impl Own {
    fn segment(
        &mut self,
        shard: &Shard,
        parts: &mut Parts<'_>,
        meta: &SegmentMeta,
        days: Option<&[DayShare]>,
        scratch: Option<&Arc<dyn Disk>>,
    ) -> Result<()> {
        let Some(path) = segment_path(&*shard.registry, meta) else {
            return Ok(());
        };
        self.sealed.push(SealedFile {
            path,
            len: meta.file_len,
            scratch: scratch.cloned(),
        });
        self.row(parts, SEGMENTS, meta.generation, meta)?;
        days.map_or(Ok(()), |days| {
            self.row(parts, DAYS, meta.generation, &days.to_vec())
        })
    }

    fn row<T: bincode::Encode>(
        &mut self,
        parts: &mut Parts<'_>,
        table: Table,
        generation: u64,
        row: &T,
    ) -> Result<()> {
        let value = codec::encode(row)
            .map_err(|error| Error::new(ErrorKind::Argument, error.to_string()))?;
        self.rows += 1;
        parts.row(table, &generation.to_be_bytes(), &value)
    }
}
