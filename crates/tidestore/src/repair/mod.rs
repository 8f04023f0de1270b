//! Repair of a store whose files are damaged.
//!
//! It goes in two steps. First what keeps the store from opening is mended behind its back: `STORE`, the tables, the logs.
//! Then the store is opened, and everything else is changed as the store itself changes it: by records of its logs, each
//! of which is done whole or not at all.
//!
//! | state after a crash | what the next repair finds |
//! |---|---|
//! | the marker, and nothing else | the damage as it was |
//! | new files that nothing names yet | the damage as it was; they are set aside |
//! | new tables or a new log in place, the old ones still there | tables and log that fit; what they replaced is set aside |
//! | a record that takes a damaged file out of the manifest, the file still there | a file that nobody names: set aside |
//!
//! While the marker `REPAIR` is there the store does not open otherwise: opening deletes files that nobody names, and here
//! these may be what is damaged and must be kept. What a repair that was cut short had to tell lies in the quarantine.

mod evidence;
mod identity;
mod log;
mod quarantine;
mod report;
mod segments;
mod tables;
mod volumes;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidestore_disk::{
    Disk, Env, ErrorKind as DiskErrorKind, ShadowDisk, atomic_replace, read_small,
};

use crate::error::{Error, ErrorKind, Result};
use crate::format::{self, StoreFile};
use crate::offline;
use crate::options::Options;
use crate::store::{Purpose, Store, blocking};
use crate::verify::verify;

pub(crate) use identity::all_files;
pub use report::{LostAttachment, LostMessages, Quarantined, RepairReport};

use quarantine::Quarantine;

/// The file that says that a repair is not done yet, and where it puts what is damaged.
pub(crate) const MARKER: &str = "REPAIR";

/// How a repair works.
#[derive(Clone, Debug, Default)]
pub struct RepairOptions {
    /// Change nothing and say what would be done. It costs memory for all that would be written.
    pub dry_run: bool,
    /// How new files are written, as when the store is opened.
    pub store: Options,
}

impl Store {
    /// Repairs the store in a directory: sets aside what is damaged, saves all the rest, and says to the message what is
    /// lost. The store must not be open. A repair that was cut short is finished by the next one.
    ///
    /// Costs a read of everything that is stored, twice if anything is damaged.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Locked`]: the store is open.
    /// - [`ErrorKind::NotAStore`]: nothing in the directory says which store it is of.
    /// - [`ErrorKind::Full`], [`ErrorKind::Io`]: the disk failed; nothing is lost that was not before, and the next repair
    ///   goes on.
    pub async fn repair(dir: impl AsRef<Path>, options: RepairOptions) -> Result<RepairReport> {
        let dir = dir.as_ref().to_owned();
        blocking(move || repair(&Env::existing(&dir)?, &options)).await
    }

    /// As [`repair`](Self::repair), on a disk and a clock of the caller's choice.
    ///
    /// # Errors
    ///
    /// As [`repair`](Self::repair).
    pub async fn repair_env(env: Env, options: RepairOptions) -> Result<RepairReport> {
        blocking(move || repair(&env, &options)).await
    }
}

/// Refuses to open a store whose repair is not done.
pub(crate) fn refuse_unfinished(disk: &Arc<dyn Disk>) -> Result<()> {
    match disk.metadata(Path::new(MARKER)) {
        Ok(_) => {
            let text = "a repair of this store was cut short; run `tidestore repair` again, which finishes it";
            Err(Error::new(ErrorKind::Corruption, text))
        }
        Err(error) if error.kind() == DiskErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// What the steps of a repair share.
#[derive(Debug)]
struct Work {
    env: Env,
    options: Options,
    store: StoreFile,
    quarantine: Quarantine,
    report: RepairReport,
}

impl Work {
    fn step(&mut self, text: impl Into<String>) {
        let text = text.into();
        tracing::info!(text, "repair");
        self.report.steps.push(text);
    }

    /// Writes down what is known by now, before something is changed that would hide it from the next repair.
    fn save_report(&mut self) -> Result<()> {
        self.report.quarantined = self.quarantine.moved.clone();
        let text = self.report.to_string();
        let path = self.quarantine.dir.join("report.txt");
        Ok(atomic_replace(&*self.env.disk, &path, text.as_bytes())?)
    }
}

fn repair(below: &Env, options: &RepairOptions) -> Result<RepairReport> {
    let _lock = offline::lock(&below.disk)?;
    let mut env = below.clone();
    if options.dry_run {
        env.disk = Arc::new(ShadowDisk::new(Arc::clone(&below.disk)));
    }
    let looked = offline::look(&env)?;
    let unfinished = marker(&env.disk)?;
    if looked.problems.is_empty() && unfinished.is_none() {
        return Ok(RepairReport {
            is_dry_run: options.dry_run,
            ..RepairReport::default()
        });
    }
    // Learned before anything is written: a directory of something else stays as it is.
    let (store, damage) = identity::identify(&env)?;
    let dir = match &unfinished {
        Some(dir) => dir.clone(),
        None => free_dir(&env),
    };
    let mut work = Work {
        options: Options {
            background: false,
            ..options.store.clone()
        },
        quarantine: Quarantine::new(&env.disk, dir.clone()),
        report: RepairReport {
            is_dry_run: options.dry_run,
            found: looked.problems,
            quarantine: Some(dir.clone()),
            ..RepairReport::default()
        },
        store,
        env,
    };
    begin(&mut work, unfinished.is_some())?;
    if let Some(damage) = damage {
        mend_store_file(&mut work, &damage)?;
    }
    tables::mend(&mut work)?;
    mend_opened(&mut work)?;
    work.report.quarantined = work.quarantine.moved.clone();
    work.save_report()?;
    work.env.disk.remove_file(Path::new(MARKER))?;
    work.env.disk.sync_dir(Path::new(""))?;
    Ok(work.report)
}

/// Where the repair that was cut short puts what is damaged; `None` if there was none.
fn marker(disk: &Arc<dyn Disk>) -> Result<Option<PathBuf>> {
    match read_small(&**disk, Path::new(MARKER), 4_096) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let dir = PathBuf::from(text.lines().next().unwrap_or_default());
            // Written by us, but it may be damaged as everything else.
            let is_ours = dir.starts_with("quarantine")
                && dir.iter().count() == 2
                && dir.iter().all(|name| name != "..");
            Ok(Some(if is_ours {
                dir
            } else {
                Path::new("quarantine").join("unnamed")
            }))
        }
        Err(error) if error.kind() == DiskErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A directory of the quarantine that nobody has, called after the time.
fn free_dir(env: &Env) -> PathBuf {
    let mut time = env.clock.wall();
    loop {
        let dir = Path::new("quarantine").join(format!("{time:013}"));
        if env.disk.metadata(&dir).is_err() {
            return dir;
        }
        time += 1;
    }
}

/// Sets the marker, and takes over what a repair that was cut short had to tell.
fn begin(work: &mut Work, is_again: bool) -> Result<()> {
    let dir = work.quarantine.dir.clone();
    work.env.disk.create_dir_all(&dir)?;
    let text = format!(
        "{}\nA repair of this store is not done. Run `tidestore repair` again, which finishes it.\n",
        dir.display()
    );
    atomic_replace(&*work.env.disk, Path::new(MARKER), text.as_bytes())?;
    if !is_again {
        return Ok(());
    }
    for number in 1.. {
        let old = dir.join(format!("report-{number}.txt"));
        if let Ok(bytes) = read_small(&*work.env.disk, &old, 64 << 20) {
            let text = String::from_utf8_lossy(&bytes);
            work.report.earlier.extend(text.lines().map(str::to_owned));
            continue;
        }
        let last = dir.join("report.txt");
        if let Ok(bytes) = read_small(&*work.env.disk, &last, 64 << 20) {
            let text = String::from_utf8_lossy(&bytes);
            work.report.earlier.extend(text.lines().map(str::to_owned));
            work.env.disk.rename(&last, &old)?;
            work.env.disk.sync_dir(&dir)?;
        }
        break;
    }
    Ok(())
}

fn mend_store_file(work: &mut Work, damage: &str) -> Result<()> {
    let store = &work.store;
    let text = format!(
        "STORE was written anew: {} shards, tables in {}, as the other files say",
        store.shards, store.engine
    );
    work.quarantine.set_aside(Path::new("STORE"), damage)?;
    format::write(&work.env, &work.store)?;
    work.step(text);
    Ok(())
}

/// Opens the store, mends what an open store can mend by itself, and verifies it.
fn mend_opened(work: &mut Work) -> Result<()> {
    segments::put_in_place(work)?;
    let opened = Store::open_blocking(work.env.clone(), work.options.clone(), Purpose::Inspection)?;
    let inner = Arc::clone(&opened.inner);
    // First of all: the numbers of files that were never named are given again.
    for path in &inner.unnamed {
        let why = "nothing names it: what it holds is elsewhere, or was removed";
        if path.extension().is_some_and(|extension| extension == "tmp") {
            // Never got its name, so it never was whole; and it is in the way of the next one.
            work.env.disk.remove_file(path)?;
        } else {
            work.quarantine.set_aside(path, why)?;
        }
    }
    // Every message in a segment and every row durable: what follows changes files and rows, never the log's messages.
    inner
        .shards
        .list
        .iter()
        .try_for_each(|shard| shard.flush())?;
    segments::mend(&inner, work)?;
    volumes::mend(&inner, work)?;
    tables::mend_counters(&inner, work)?;
    inner
        .shards
        .list
        .iter()
        .try_for_each(|shard| shard.flush())?;
    work.report.left = verify(&inner)?.problems;
    // What was mended while the store was open is no longer what opening found.
    work.report
        .left
        .retain(|problem| !problem.detail.ends_with("is missing: what it held is lost"));
    inner.close()
}
