//! Making a backup, step by step.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidestore_blobs::Span;
use tidestore_disk::{Millis, read_small};
use tidestore_messages::AppId;

use crate::apps::{AppRecord, app_dir};
use crate::backup::base::Base;
use crate::backup::cut::{Cut, Kept, cut};
use crate::backup::files::{Copier, data_path};
use crate::backup::logs::copy_log;
use crate::backup::manifest::{FileEntry, Head, Manifest};
use crate::backup::place::BackupTarget;
use crate::backup::rows::{ShardRows, copy_rows};
use crate::backup::sink::{self, Sink, put_bytes};
use crate::backup::{BackupOptions, BackupReport};
use crate::error::Result;
use crate::store::{Inner, unknown_app};

/// Makes a backup; on an error nothing of it stays.
pub(crate) fn take(
    inner: &Inner,
    target: BackupTarget,
    options: &BackupOptions,
) -> Result<BackupReport> {
    let _turn = inner.backing_up.lock();
    let app = match &options.app {
        Some(key) => Some(inner.registry.by_key(key).ok_or_else(|| unknown_app(key))?),
        None => None,
    };
    let of_app = app.as_ref().map(|app| app.key.as_str());
    let base = options.base.as_ref();
    let base = base
        .map(|base| Base::open(base, inner.file.id, of_app))
        .transpose()?;
    let mut sink = sink::open(target.resolve(&inner.env.disk)?)?;
    let mut backup = Backup {
        inner,
        app: app.as_deref(),
        sink: &mut *sink,
        files: Vec::new(),
        report: BackupReport::default(),
    };
    let done = backup.run(base.as_ref());
    let report = std::mem::take(&mut backup.report);
    if done.is_err() {
        sink.discard();
    }
    done.map(|()| report)
}

/// A backup in the making.
struct Backup<'a> {
    inner: &'a Inner,
    app: Option<&'a AppRecord>,
    sink: &'a mut dyn Sink,
    files: Vec<FileEntry>,
    report: BackupReport,
}

/// A shard's rows and log are in the backup.
struct Seen {
    shards: Vec<ShardRows>,
    cut: Cut,
}

impl Backup<'_> {
    fn run(&mut self, base: Option<&Base>) -> Result<()> {
        for shard in &self.inner.shards.list {
            shard.flush()?;
        }
        let _kept = Kept::all(self.inner)?;
        let seen = self.rows_and_logs()?;
        self.copy_files(&seen, base)?;
        let store = read_small(&*self.inner.env.disk, Path::new("STORE"), 4_096)?;
        let entry = put_bytes(self.sink, &data_path(Path::new("STORE")), &store)?;
        self.files.push(entry);
        self.report.sum(&self.files);
        let ends = seen.shards.iter().zip(&seen.cut.ends);
        let manifest = Manifest {
            store: self.inner.file.id,
            head: Head {
                moment: seen.cut.moment,
                app: self.app.map(|app| app.key.clone()),
                logs: ends.map(|(shard, end)| (shard.from, *end)).collect(),
                rows: self.report.rows,
            },
            files: std::mem::take(&mut self.files),
        };
        self.sink.finish(&manifest.encode()?)
    }

    /// Copies rows, makes the cut, and copies the logs up to it. Nobody flushes, merges or expires meanwhile.
    fn rows_and_logs(&mut self) -> Result<Seen> {
        let list = &self.inner.shards.list;
        let locks = list
            .iter()
            .map(|shard| (shard.flushing.lock(), shard.tidying.lock()));
        let locks: Vec<_> = locks.collect();
        let only = self.app.map(|app| AppId(app.id));
        let mut shards = Vec::new();
        for shard in list {
            let rows = copy_rows(shard, only, self.sink, &mut self.files)?;
            self.report.rows += rows.rows;
            shards.push(rows);
        }
        let cut = cut(self.inner)?;
        for ((shard, rows), end) in list.iter().zip(&mut shards).zip(&cut.ends) {
            let batches = copy_log(shard, rows, *end, self.sink, &mut self.files)?;
            self.report.batches += batches;
        }
        drop(locks);
        self.report.moment = cut.moment;
        self.report.pause = cut.pause;
        Ok(Seen { shards, cut })
    }

    fn copy_files(&mut self, seen: &Seen, base: Option<&Base>) -> Result<()> {
        let apps = AppsThen::of(&seen.cut.apps);
        let only = self.app.map(|app| AppId(app.id));
        let mut copier = Copier {
            disk: &self.inner.env.disk,
            sink: self.sink,
            base,
            files: &mut self.files,
            report: &mut self.report,
        };
        for (shard, rows) in (0_u16..).zip(&seen.shards) {
            for file in &rows.sealed {
                copier.sealed(file)?;
            }
            for volume in rows.stock.volumes(&apps, shard, only) {
                copier.growing(&volume.path, volume.len, volume.mark)?;
            }
        }
        Ok(())
    }
}

/// The apps of the cut: one that is deleted while its files are copied is still in the backup.
#[derive(Debug)]
struct AppsThen(HashMap<u32, PathBuf>);

impl AppsThen {
    fn of(apps: &[Arc<AppRecord>]) -> Self {
        let dirs = apps
            .iter()
            .filter_map(|app| Some((app.id, app_dir(&app.key)?)));
        Self(dirs.collect())
    }
}

impl tidestore_blobs::Apps for AppsThen {
    fn dir(&self, app: AppId) -> Option<PathBuf> {
        self.0.get(&app.0).cloned()
    }

    fn bucket(&self, _: AppId, _: Millis) -> Span {
        Span { start: 0, end: 0 }
    }

    fn floor(&self, _: AppId) -> Millis {
        0
    }

    fn physical_floor(&self, _: AppId) -> Millis {
        0
    }
}
