//! Verifying a store that is not open, whether or not it would open. Nothing is changed: all that opening, replaying and
//! mending write stays in memory, on a disk laid over the real one.

use std::path::Path;
use std::sync::Arc;

use tidestore_disk::{Disk, Env, ErrorKind as DiskErrorKind, Lock, ShadowDisk, read_small};
use tidestore_kv::EngineKind;

use crate::error::{Error, ErrorKind, Result};
use crate::format::{self, StoreFile};
use crate::options::Options;
use crate::record::decode_batch;
use crate::repair::{MARKER, all_files};
use crate::shard::{log_dir, views_dir};
use crate::store::{Purpose, Store, blocking};
use crate::verify::{VerifyReport, verify};

impl Store {
    /// Verifies the store in a directory as [`verify`](Self::verify) does, and all that opening needs: `STORE`, every page
    /// and row of the tables, every batch of the logs. The store must not be open. It need not be one that opens: then
    /// every file is looked at by itself. Changes no byte, unless the tables are in sled, which cannot be read without being
    /// opened.
    ///
    /// Costs a read of everything that is stored, and memory for what a replay of the logs would write.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Locked`] if the store is open, [`ErrorKind::NotAStore`] for a directory of something else, and what the
    /// disk reports about directories. Damage is a [`Problem`](crate::Problem) of the report.
    pub async fn verify_dir(dir: impl AsRef<Path>) -> Result<VerifyReport> {
        let dir = dir.as_ref().to_owned();
        blocking(move || verify_env(&Env::existing(&dir)?)).await
    }

    /// As [`verify_dir`](Self::verify_dir), on a disk of the caller's choice.
    ///
    /// # Errors
    ///
    /// As [`verify_dir`](Self::verify_dir).
    pub async fn verify_env(env: Env) -> Result<VerifyReport> {
        blocking(move || verify_env(&env)).await
    }
}

fn verify_env(env: &Env) -> Result<VerifyReport> {
    let _lock = lock(&env.disk)?;
    look(env)
}

/// Takes the lock of a store, if there is one: a lock that is missing is not made.
pub(crate) fn lock(disk: &Arc<dyn Disk>) -> Result<Option<Box<dyn Lock>>> {
    match disk.metadata(Path::new("LOCK")) {
        Ok(_) => Ok(Some(disk.lock(Path::new("LOCK"))?)),
        Err(error) if error.kind() == DiskErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Looks at everything, from above if the store opens and file by file if it does not.
pub(crate) fn look(env: &Env) -> Result<VerifyReport> {
    let mut report = VerifyReport::default();
    let store = match read_small(&*env.disk, Path::new("STORE"), 4_096)
        .map_err(Error::from)
        .and_then(|bytes| format::decode(&bytes))
    {
        Ok(store) => Some(store),
        Err(error) if *error.kind() == ErrorKind::Format => return Err(error),
        Err(error) => {
            refuse_strangers(env)?;
            report.problem(Path::new("STORE"), error.to_string());
            None
        }
    };
    if env.disk.metadata(Path::new(MARKER)).is_ok() {
        let text = "a repair was cut short; the next one finishes it";
        report.problem(Path::new(MARKER), text.to_owned());
    }
    let mut opens = store.is_some();
    if let Some(store) = &store {
        for shard in 0..store.shards {
            // An engine that opens damaged tables may panic; that is caught, but nothing good comes of it.
            opens &= shard_basics(env, store.id, shard, &mut report)?;
        }
    }
    if opens {
        let mut over = env.clone();
        if !has_sled(env, store.as_ref()) {
            over.disk = Arc::new(ShadowDisk::new(Arc::clone(&env.disk)));
        }
        let options = Options {
            background: false,
            ..Options::default()
        };
        match Store::open_blocking(over, options, Purpose::Inspection) {
            Ok(opened) => {
                let found = verify(&opened.inner);
                opened.inner.abandon();
                match found {
                    Ok(found) => report.take_in(found),
                    Err(error) => {
                        report.problem(Path::new("views"), error.to_string());
                        opens = false;
                    }
                }
            }
            Err(error) => {
                let text = format!("the store does not open: {error}");
                report.problem(Path::new(""), text);
                opens = false;
            }
        }
    }
    if !opens {
        each_file(env, store.map(|store| store.id), &mut report)?;
    }
    Ok(report)
}

/// Whether tables are in sled: it opens files by itself, so there is no looking at them from above.
fn has_sled(env: &Env, store: Option<&StoreFile>) -> bool {
    let shards = store.map_or(0, |store| store.shards);
    (0..shards).any(|shard| {
        tidestore_kv::engine_of(&env.disk, &views_dir(shard)) == Some(EngineKind::Sled)
    })
}

/// A directory without anything of a store is none.
fn refuse_strangers(env: &Env) -> Result<()> {
    let ours = ["log", "views", "apps", "shared", "receipts", "STORE"];
    let entries = env.disk.list(Path::new(""))?;
    if entries
        .iter()
        .any(|entry| ours.contains(&entry.name.as_str()))
    {
        return Ok(());
    }
    let text = "the directory holds nothing of a store";
    Err(Error::new(ErrorKind::NotAStore, text))
}

/// Tables and log of a shard; says whether the tables are whole.
fn shard_basics(env: &Env, store: [u8; 16], shard: u16, report: &mut VerifyReport) -> Result<bool> {
    let log = tidestore_log::salvage(&env.disk, &log_dir(shard), store, shard)?;
    for damage in &log.damage {
        report.problem_at(&damage.path, Some(damage.offset), damage.detail.clone());
    }
    let positions: Vec<u64> = log.positions().collect();
    for position in positions {
        let Some(batch) = log.batch(position)? else {
            continue;
        };
        report.batches += 1;
        if let Err(error) = decode_batch(&batch)
            && let Some((path, offset)) = log.place(position)
        {
            let text = format!("batch {position}: {error}");
            report.problem_at(path, Some(offset), text);
        }
    }
    let is_new = log.files.is_empty()
        && tidestore_kv::engine_of(&env.disk, &views_dir(shard)).is_none()
        && !all_files(&env.disk, Path::new(""))?
            .iter()
            .any(|path| path.starts_with("apps") || path.starts_with("shared"));
    if is_new {
        return Ok(true);
    }
    let mut is_whole = true;
    for problem in tidestore_kv::check(&env.disk, &views_dir(shard))? {
        if problem.is_unknown {
            report
                .notices
                .push(format!("{}: {}", problem.path.display(), problem.detail));
        } else {
            is_whole = false;
            report.problem(&problem.path, problem.detail);
        }
    }
    Ok(is_whole)
}

/// Looks at every file that can be understood by itself.
fn each_file(env: &Env, store: Option<[u8; 16]>, report: &mut VerifyReport) -> Result<()> {
    let disk = &env.disk;
    for path in all_files(disk, Path::new(""))? {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("seg") => match tidestore_messages::inspect(disk, &path) {
                Ok(found) if store.is_some_and(|store| store != found.store.0) => {
                    report.problem(&path, "it is a segment of another store".to_owned());
                }
                Ok(found) => {
                    report.segments += 1;
                    report.messages += found.meta.messages;
                    report.bytes += found.meta.file_len;
                }
                Err(error) => {
                    let offset = error.disk().and_then(tidestore_disk::Error::offset);
                    report.problem_at(&path, offset, error.to_string());
                }
            },
            Some("vol") => match tidestore_blobs::inspect(disk, &path) {
                Ok(found) => {
                    report.volumes += 1;
                    report.contents += found.records.len() as u64;
                    for (offset, detail) in found.problems {
                        report.problem_at(&path, Some(offset), detail);
                    }
                }
                Err(error) => report.problem(&path, error.to_string()),
            },
            _ => {}
        }
    }
    Ok(())
}

impl VerifyReport {
    /// Adds what another look at the same store found.
    fn take_in(&mut self, other: Self) {
        let problems = std::mem::take(&mut self.problems);
        let (batches, notices) = (self.batches, std::mem::take(&mut self.notices));
        *self = other;
        self.batches += batches;
        self.notices.splice(0..0, notices);
        for problem in problems {
            self.problem_at(&problem.path, problem.offset, problem.detail);
        }
    }
}
