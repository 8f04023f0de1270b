//! Opening compares the manifest with the files that are there.
//!
//! A segment that no manifest names was left by a flush or merge that did not finish, or outlived its removal by a
//! crash: it is deleted, which is safe because its messages are in the log or in another segment, or have expired; and
//! the opening has just made sure that tables and log belong together, and that the tables are whole. Everything that is
//! not one of our names, or whose header does not say that it is what its name says, is left alone and reported: a segment
//! that was renamed, or one of another store, is not ours to delete. A file that is named and missing is reported, unless
//! it had expired; the rest of the store is served.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidestore_blobs::index::{self, NamedVolume};
use tidestore_disk::{Disk, EntryKind, OpenMode, decode_name};
use tidestore_messages::{StoreId, is_receipt_run, receipt_run_path, receipts_dir, segment_path};

use crate::apps::Registry;
use crate::error::Result;
use crate::repair::MARKER;
use crate::shard::{Shard, views_dir};

/// Compares files and manifests of all shards; returns what an operator should hear of. With `keeps` nothing is deleted.
pub(crate) fn sweep(
    disk: &Arc<dyn Disk>,
    registry: &Registry,
    shards: &[Arc<Shard>],
    keeps: bool,
) -> Result<Swept> {
    let mut sweep = Sweep {
        disk,
        tables: shards.iter().map(|shard| views_dir(shard.number)).collect(),
        are_tables_whole: None,
        store: shards.first().map(|shard| shard.store).unwrap_or_default(),
        named: HashSet::new(),
        volumes: Vec::new(),
        found: HashSet::new(),
        notices: vec![],
        unnamed: keeps.then(Vec::new),
    };
    for shard in shards {
        let manifest = shard.view.manifest();
        let segments = manifest
            .segments
            .iter()
            .filter_map(|meta| segment_path(registry, meta));
        sweep.named.extend(segments);
        let receipts = manifest.receipts.iter();
        let volumes = index::volumes(&*shard.engine, registry, shard.number)?;
        sweep.named.extend(volumes.iter().map(|v| v.path.clone()));
        sweep
            .volumes
            .extend(volumes.into_iter().map(|v| (Arc::clone(shard), v)));
        sweep
            .named
            .extend(receipts.map(|run| receipt_run_path(shard.number, run.generation)));
    }
    sweep.root()?;
    for app in sweep.dirs(Path::new("apps"))? {
        let known = app
            .file_name()
            .and_then(|name| decode_name(&name.to_string_lossy()));
        if known.is_none() {
            sweep.stranger(&app);
            continue;
        }
        sweep.buckets(&app.join("messages"), is_segment)?;
        sweep.buckets(&app.join("blobs"), is_volume)?;
    }
    sweep.buckets(&Path::new("shared").join("messages"), is_segment)?;
    for shard in shards {
        let dir = receipts_dir(shard.number);
        sweep.files(&dir, |name| is_numbered(name, &["rcp", "tmp"], 1))?;
    }
    for shard in shards {
        let expirable = shard.view.expirable().into_iter();
        let gone: Vec<_> = expirable
            .filter(|e| !sweep.found.contains(&e.path))
            .collect();
        // Unlinked on a full disk or a broken shard, before the record that says so.
        shard.forget(&gone.iter().map(|e| e.meta.generation).collect::<Vec<_>>())?;
        for expired in &gone {
            sweep.named.remove(&expired.path);
        }
    }
    for (shard, volume) in &sweep.volumes {
        if !sweep.found.contains(&volume.path) && shard.is_gone_early(&**disk, volume) {
            sweep.named.remove(&volume.path);
        }
    }
    for path in sweep.named.difference(&sweep.found) {
        let path = path.display();
        sweep
            .notices
            .push(format!("{path} is missing: what it held is lost"));
    }
    sweep.notices.sort();
    Ok(Swept {
        notices: sweep.notices,
        unnamed: sweep.unnamed.unwrap_or_default(),
    })
}

/// Names at the top of a data directory.
const ROOT: [&str; 9] = [
    "LOCK",
    "STORE",
    "STORE.tmp",
    "log",
    "views",
    "apps",
    "shared",
    "receipts",
    MARKER,
];

struct Sweep<'a> {
    disk: &'a Arc<dyn Disk>,
    store: StoreId,
    named: HashSet<PathBuf>,
    volumes: Vec<(Arc<Shard>, NamedVolume)>,
    found: HashSet<PathBuf>,
    notices: Vec<String>,
    /// Where the tables are that name files, and whether all of their pages are as they were written, once that was asked.
    tables: Vec<PathBuf>,
    are_tables_whole: Option<bool>,
    /// Files with our names that nobody names, where they are to stay.
    unnamed: Option<Vec<PathBuf>>,
}

/// What comparing files and manifests found.
#[derive(Debug, Default)]
pub(crate) struct Swept {
    /// What an operator should hear of.
    pub(crate) notices: Vec<String>,
    /// Files with our names that nobody names, if they were to stay.
    pub(crate) unnamed: Vec<PathBuf>,
}

impl Sweep<'_> {
    fn root(&mut self) -> Result<()> {
        for entry in self.disk.list(Path::new(""))? {
            let known = ROOT.contains(&entry.name.as_str());
            if !known && entry.name != "quarantine" && entry.name != crate::format::RESTORING {
                self.stranger(Path::new(&entry.name));
            }
        }
        Ok(())
    }

    fn buckets(&mut self, dir: &Path, is_ours: impl Fn(&str) -> bool) -> Result<()> {
        for bucket in self.dirs(dir)? {
            self.files(&bucket, &is_ours)?;
            // Fails while the bucket holds files, which is as it should be.
            drop(self.disk.remove_dir(&bucket));
        }
        Ok(())
    }

    /// Deletes files with our names that nobody names, and reports the others.
    fn files(&mut self, dir: &Path, is_ours: impl Fn(&str) -> bool) -> Result<()> {
        for entry in list(self.disk, dir)? {
            let path = dir.join(&entry.name);
            if entry.kind == EntryKind::File && self.named.contains(&path) {
                self.found.insert(path);
            } else if entry.kind == EntryKind::File && is_ours(&entry.name) {
                if let Some(unnamed) = &mut self.unnamed {
                    unnamed.push(path);
                } else if !self.is_what_it_says(&path, &entry.name)? {
                    let path = path.display();
                    let text = format!("{path} is not the file that its name says; left alone");
                    self.notices.push(text);
                } else if entry.name.contains(".tmp") || self.are_tables_whole() {
                    self.disk.remove_file(&path)?;
                } else {
                    let path = path.display();
                    let text = format!(
                        "{path} is named by no table, but the tables are damaged; left alone"
                    );
                    self.notices.push(text);
                }
            } else {
                self.stranger(&path);
            }
        }
        Ok(())
    }

    /// Whether the tables may be believed when they do not name a file. redb shows what it can of a damaged file and does not
    /// say that rows are missing. Reads all pages, so it is asked only if there is something to delete, which is after a crash.
    fn are_tables_whole(&mut self) -> bool {
        if let Some(whole) = self.are_tables_whole {
            return whole;
        }
        let is_whole = |dir: &PathBuf| {
            // Those that were never flushed are not there yet: all of their rows were just made from the log.
            tidestore_kv::files_of(self.disk, dir, None).is_ok_and(|files| files.is_empty())
                || tidestore_kv::check(self.disk, dir)
                    .is_ok_and(|problems| problems.iter().all(|problem| problem.is_unknown))
        };
        let whole = self.tables.iter().all(is_whole);
        self.are_tables_whole = Some(whole);
        whole
    }

    /// Whether a file that nobody names is of this store, and the one that its name says. What was never finished is.
    fn is_what_it_says(&self, path: &Path, name: &str) -> Result<bool> {
        if name.contains(".tmp") {
            return Ok(true);
        }
        let Some((shard, number)) = numbers(name) else {
            return Ok(false);
        };
        if name.contains(".rcp") {
            return Ok(is_receipt_run(self.disk, path, self.store, number)?);
        }
        let mut header = [0; OWNER_BYTES];
        let read = read_first(self.disk, path, &mut header)?;
        // A volume is written in place: what a crash leaves of its first block is nothing or all of the header.
        if name.contains(".vol") && (read < header.len() || header == [0; OWNER_BYTES]) {
            return Ok(true);
        }
        let magic = if name.contains(".vol") {
            b"TIDEVOL1"
        } else {
            b"TIDESEG1"
        };
        let of_shard = u16::from_le_bytes([header[10], header[11]]);
        Ok(header.starts_with(magic)
            && shard.is_none_or(|shard| shard == u64::from(of_shard))
            && header[16..24] == number.to_le_bytes()
            && header[24..] == self.store.0)
    }

    fn dirs(&mut self, dir: &Path) -> Result<Vec<PathBuf>> {
        let mut dirs = Vec::new();
        for entry in list(self.disk, dir)? {
            let path = dir.join(&entry.name);
            match entry.kind {
                EntryKind::Dir => dirs.push(path),
                EntryKind::File | EntryKind::Other => self.stranger(&path),
            }
        }
        Ok(dirs)
    }

    fn stranger(&mut self, path: &Path) {
        self.notices.push(format!(
            "{} is not one of the store's files; left alone",
            path.display()
        ));
    }
}

/// What segments and volumes begin with alike: magic 8, version 2, shard 2, app 4, number 8, store id 16.
const OWNER_BYTES: usize = 40;

fn read_first(disk: &Arc<dyn Disk>, path: &Path, bytes: &mut [u8]) -> Result<usize> {
    let file = disk.open(path, OpenMode::Read)?;
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, done as u64)? {
            0 => break,
            read => done += read,
        }
    }
    Ok(done)
}

/// Shard and number in a name, or the number alone.
fn numbers(name: &str) -> Option<(Option<u64>, u64)> {
    let stem = name.split('.').next()?;
    match stem.split_once('-') {
        Some((shard, number)) => Some((Some(shard.parse().ok()?), number.parse().ok()?)),
        None => Some((None, stem.parse().ok()?)),
    }
}

fn list(disk: &Arc<dyn Disk>, dir: &Path) -> Result<Vec<tidestore_disk::Entry>> {
    match disk.list(dir) {
        Ok(entries) => Ok(entries),
        Err(error) if error.kind() == tidestore_disk::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// Whether a name is that of a segment.
fn is_segment(name: &str) -> bool {
    is_numbered(name, &["seg", "tmp"], 2)
}

/// Whether a name is that of a volume.
fn is_volume(name: &str) -> bool {
    is_numbered(name, &["vol"], 1) || is_numbered(name, &["vol"], 2)
}

/// Whether a name is `NUMBER[-NUMBER].EXTENSION[.tmp]` with so many numbers.
fn is_numbered(name: &str, extensions: &[&str], numbers: usize) -> bool {
    let mut parts = name.split('.');
    let stem = parts.next().unwrap_or_default();
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let known = parts.clone().count() > 0 && parts.all(|part| extensions.contains(&part));
    known && stem.split('-').count() == numbers && stem.split('-').all(digits)
}

/// Removes the directories that a deleted app has left empty. Never a file: an app with the same key may have been
/// created meanwhile, and its segments lie there too.
pub(crate) fn remove_app_dir(disk: &Arc<dyn Disk>, dir: &Path) -> Result<()> {
    for part in ["messages", "blobs"] {
        let part = dir.join(part);
        for bucket in list(disk, &part)? {
            drop(disk.remove_dir(&part.join(bucket.name)));
        }
        drop(disk.remove_dir(&part));
    }
    drop(disk.remove_dir(dir));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{is_segment, is_volume};

    #[test]
    fn only_names_that_the_store_gives_are_its_own() {
        let seg = is_segment;
        assert!(seg("00-0000000001.seg") && seg("00-0000000001.seg.tmp"));
        for foreign in [
            "00.seg",
            "notes.txt",
            "00-1.seg.bak",
            ".seg",
            "a-1.seg",
            "00-0000000001",
        ] {
            assert!(!seg(foreign), "{foreign}");
        }
        assert!(is_volume("00-00000000000000000001.vol") && is_volume("00000000000000000001.vol"));
        assert!(!is_volume("00000000000000000001.seg") && !is_volume("x.vol"));
    }
}
