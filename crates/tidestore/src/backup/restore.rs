//! Making a data directory out of a backup.

use std::collections::{BTreeSet, HashMap};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidestore_disk::{Disk, Env, Millis, atomic_replace};

use crate::apps::{AppRecord, UndoRecord};
use crate::backup::entries::{damaged, each, read_some};
use crate::backup::load::Loader;
use crate::backup::manifest::Manifest;
use crate::backup::place::BackupPlace;
use crate::backup::sink::{self, Hashing, write_file};
use crate::backup::{Copied, RestoreReport};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{self, RESTORING};
use crate::guard::millis;
use crate::options::Options;
use crate::record::Event;
use crate::store::{Purpose, Store, blocking};

/// Restores a backup, opens the store, verifies and closes it.
pub(crate) async fn restore(
    source: BackupPlace,
    env: Env,
    options: Options,
) -> Result<RestoreReport> {
    options.check()?;
    let options = Options {
        background: false,
        ..options
    };
    let (place, opened) = (env.clone(), options.clone());
    let (mut report, store) = blocking(move || {
        let report = unpack(&source, &place, &opened)?;
        // Not by the usual door, which refuses a restore that is not done.
        let store = Store::open_blocking(place, opened, Purpose::Use)?;
        Ok((report, store))
    })
    .await?;
    report.verified = store.verify().await?;
    let (restored, clock) = (store.clone(), env.clock.wall());
    report.raised = blocking(move || raise_floors(&restored, clock)).await?;
    store.close().await?;
    drop(store);
    blocking(move || {
        sink::remove(&*env.disk, Path::new(RESTORING))?;
        Ok(env.disk.sync_dir(Path::new(""))?)
    })
    .await?;
    let Some(problem) = report.verified.problems.first() else {
        return Ok(report);
    };
    let text = format!(
        "every file is as the backup says, but the store had {} problems when it was made, the first in {}: {}; \
         the data directory can be opened",
        report.verified.problems.len(),
        problem.path.display(),
        problem.detail
    );
    Err(Error::new(ErrorKind::Corruption, text))
}

/// What a restore writes at the top of a data directory.
const OURS: [&str; 7] = [
    "STORE",
    "STORE.tmp",
    "log",
    "views",
    "apps",
    "shared",
    "receipts",
];

/// Fills an empty directory with all that a store consists of.
fn unpack(source: &BackupPlace, env: &Env, options: &Options) -> Result<RestoreReport> {
    check_empty(&env.disk)?;
    let _lock = env.disk.lock(Path::new("LOCK"))?;
    let place = BackupPlace::on(Arc::clone(&env.disk), "");
    // What an earlier attempt left; then nothing can be opened here before all is done.
    sink::clear(&place, &OURS)?;
    sink::clear(&place, &[RESTORING])?;
    env.disk.create_dir_all(Path::new(RESTORING))?;
    let done = fill(source, env, options);
    if done.is_err() {
        let cleared = sink::clear(&place, &OURS).and_then(|()| sink::clear(&place, &[RESTORING]));
        if let Err(error) = cleared {
            tracing::warn!(%error, "what was begun of a restore could not be removed");
        }
    }
    done
}

/// Refuses a directory that holds anything but a restore that was cut short.
fn check_empty(disk: &Arc<dyn Disk>) -> Result<()> {
    let entries = disk.list(Path::new(""))?;
    if entries.iter().any(|entry| entry.name == RESTORING) {
        return Ok(());
    }
    let harmless = ["LOCK", "lost+found"];
    let stranger = entries
        .iter()
        .find(|entry| !harmless.contains(&entry.name.as_str()));
    stranger.map_or(Ok(()), |entry| {
        let text = format!(
            "the directory holds {:?}: a restore goes into an empty one",
            entry.name
        );
        Err(Error::new(ErrorKind::Occupied, text))
    })
}

fn fill(source: &BackupPlace, env: &Env, options: &Options) -> Result<RestoreReport> {
    let mut unpacking = Unpacking::new(&env.disk);
    let manifest = each(source, &mut |path, bytes| unpacking.file(path, bytes))?;
    let files = unpacking.compare(&manifest)?;
    let parts = Path::new(RESTORING);
    let store = format::decode(&unpacking.store)?;
    if store.id != manifest.store || usize::from(store.shards) != manifest.head.logs.len() {
        return Err(damaged(
            Path::new("data/STORE"),
            "it is not that of the backup",
        ));
    }
    let loader = Loader::new(&env.disk, parts, &store, options, &manifest);
    let (mut rows, mut batches) = (0, 0);
    for (shard, log) in (0_u16..).zip(&manifest.head.logs) {
        rows += loader.tables(shard)?;
        batches += loader.log(shard, *log)?;
    }
    if rows != manifest.head.rows {
        let text = format!("{rows} rows were loaded of {}", manifest.head.rows);
        return Err(damaged(Path::new("rows"), &text));
    }
    unpacking.make_durable()?;
    atomic_replace(&*env.disk, Path::new("STORE"), &unpacking.store)?;
    for name in ["rows", "log"] {
        sink::remove(&*env.disk, &parts.join(name))?;
    }
    Ok(RestoreReport {
        moment: manifest.head.moment,
        app: manifest.head.app,
        files,
        rows,
        batches,
        ..RestoreReport::default()
    })
}

/// Files on their way out of a backup.
struct Unpacking<'a> {
    disk: &'a Arc<dyn Disk>,
    /// Length and hash of what came.
    came: HashMap<PathBuf, (u64, [u8; 32])>,
    /// Directories with entries that are not durable yet.
    dirs: BTreeSet<PathBuf>,
    store: Vec<u8>,
}

impl<'a> Unpacking<'a> {
    fn new(disk: &'a Arc<dyn Disk>) -> Self {
        Self {
            disk,
            came: HashMap::new(),
            dirs: BTreeSet::new(),
            store: Vec::new(),
        }
    }

    fn file(&mut self, path: &Path, bytes: &mut dyn Read) -> Result<()> {
        if self.came.contains_key(path) {
            return Err(damaged(path, "the backup holds it twice"));
        }
        let mut from = Hashing {
            from: bytes,
            hasher: blake3::Hasher::new(),
            read: 0,
        };
        if path == Path::new("data/STORE") {
            self.store = read_some(&mut from, 4_096).map_err(sink::io)?;
        } else {
            let target =
                target(path).ok_or_else(|| damaged(path, "no file of a backup has such a path"))?;
            let dir = target.parent().unwrap_or(Path::new(""));
            if !self.dirs.contains(dir) {
                self.disk.create_dir_all(dir)?;
                self.dirs.insert(dir.to_owned());
            }
            write_file(&**self.disk, &target, &mut from)?;
        }
        let came = (from.read, *from.hasher.finalize().as_bytes());
        self.came.insert(path.to_owned(), came);
        Ok(())
    }

    /// Compares what came with what the manifest says.
    fn compare(&self, manifest: &Manifest) -> Result<Copied> {
        let mut files = Copied::default();
        for entry in &manifest.files {
            let path = entry.path();
            let Some((len, hash)) = self.came.get(&path) else {
                return Err(damaged(&path, "the file is missing"));
            };
            if *len != entry.len {
                let text = format!("the file has {len} bytes, the backup says {}", entry.len);
                return Err(damaged(&path, &text));
            }
            if *hash != entry.hash {
                return Err(damaged(
                    &path,
                    "the bytes are not those that were backed up",
                ));
            }
            files.add(*len);
        }
        if self.came.len() as u64 == files.files {
            return Ok(files);
        }
        let text = "the backup holds files that it does not speak of";
        Err(damaged(Path::new(super::manifest::NAME), text))
    }

    fn make_durable(&self) -> Result<()> {
        for dir in &self.dirs {
            // Those of the parts are not needed any more.
            if !dir.starts_with(RESTORING) {
                self.disk.sync_dir(dir)?;
            }
        }
        Ok(())
    }
}

/// Where a file of a backup goes in a data directory.
fn target(path: &Path) -> Option<PathBuf> {
    if let Ok(data) = path.strip_prefix("data") {
        let known = ["apps", "shared", "receipts"];
        return known
            .iter()
            .any(|dir| data.starts_with(dir) && data != Path::new(dir))
            .then(|| data.to_owned());
    }
    let is_part = path.starts_with("rows") || path.starts_with("log");
    is_part.then(|| Path::new(RESTORING).join(path))
}

/// Raises the floors of all apps to what the clock says, if the store does not trust it: what expired since the backup was
/// made must not be seen again while somebody thinks about the clock. Files stay for the grace time of a downgrade, within
/// which an undo brings everything back.
fn raise_floors(store: &Store, wall: Millis) -> Result<Vec<String>> {
    if store.clock_alarm().is_none() {
        return Ok(Vec::new());
    }
    let inner = &store.inner;
    let grace = millis(inner.options.downgrade_grace);
    let mut raised = Vec::new();
    for record in inner.registry.all() {
        if record.floor_at(wall) <= record.floor {
            continue;
        }
        let id = tidestore_messages::AppId(record.id);
        let home = inner.shards.home(&record.key);
        home.decide_own(Box::new(move |shard| {
            let record = shard.registry.by_id(id);
            Ok(record.map(|record| Event::App(with_floor(&record, wall, grace))))
        }))?;
        raised.push(record.key.clone());
    }
    Ok(raised)
}

fn with_floor(record: &AppRecord, wall: Millis, grace: Millis) -> AppRecord {
    let until = wall.saturating_add(grace);
    let before = record.undo.clone().unwrap_or_else(|| UndoRecord {
        terms: record.terms.clone(),
        floor: record.floor,
        until,
    });
    AppRecord {
        floor: record.floor_at(wall),
        undo: Some(UndoRecord {
            until: until.max(before.until),
            ..before
        }),
        ..record.clone()
    }
}
