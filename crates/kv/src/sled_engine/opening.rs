//! Opening sled: waiting for a predecessor's threads, and healing what blocks it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tidestore_disk::{Disk, File, OpenMode};

use super::{files, mark, panicked, sled_error};
use crate::{Error, ErrorKind, Result};

/// The memory for pages, in bytes. The views are small against the messages, which have their own
/// cache.
const CACHE_BYTES: u64 = 64 << 20;

/// How often, and how long apart, to try for a lock that threads of a dropped tree may still hold
/// in this process: five seconds in all. The lock of the store keeps other processes away.
const LOCK_ATTEMPTS: u32 = 500;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// What came of opening.
pub(super) struct Opened {
    pub(super) tree: sled::Db,
    pub(super) log: Arc<dyn File>,
    /// The number of the last flush.
    pub(super) flushes: u64,
    pub(super) quarantined: Vec<PathBuf>,
}

/// Opens sled in a directory, without its snapshots if they are in the way.
pub(super) fn open(disk: &dyn Disk, dir: &Path) -> Result<Opened> {
    let Some(native) = disk.native_path(dir) else {
        let context = format!(
            "sled directory {}: the disk has no native path",
            dir.display()
        );
        return Err(Error::new(ErrorKind::Unsupported, context));
    };
    disk.create_dir_all(dir)?;
    files::refuse_links(disk, dir)?;
    // A crash while sled writes a snapshot leaves it unfinished, under a name that sled would
    // take for the newest one.
    let mut quarantined = files::quarantine_snapshots(disk, dir, true)?;
    let tree = match attempt(&native, dir) {
        Err(error) if error.kind() == ErrorKind::Corruption => {
            let moved = files::quarantine_snapshots(disk, dir, false)?;
            if moved.is_empty() {
                return Err(error);
            }
            quarantined.extend(moved);
            attempt(&native, dir)?
        }
        other => other?,
    };
    let flushes = check_flushes(disk, dir, &tree)?;
    let log = disk.open(&dir.join(files::LOG), OpenMode::Write)?;
    disk.sync_dir(dir)?;
    Ok(Opened {
        tree,
        log,
        flushes,
        quarantined,
    })
}

/// Refuses a tree that lacks what was flushed; returns the number of the last flush.
fn check_flushes(disk: &dyn Disk, dir: &Path, tree: &sled::Db) -> Result<u64> {
    let expected = mark::read(disk, dir)?;
    let found =
        catch_unwind(AssertUnwindSafe(|| mark::of_tree(tree, dir))).unwrap_or_else(|_| {
            Err(panicked(format!(
                "read in sled directory {}",
                dir.display()
            )))
        })?;
    if found < expected {
        let context = format!(
            "sled directory {}: flush {expected} succeeded, the tree is at {found}",
            dir.display()
        );
        return Err(Error::new(ErrorKind::Corruption, context));
    }
    Ok(found)
}

/// Opens sled, as often as the lock of its log is held.
fn attempt(native: &Path, dir: &Path) -> Result<sled::Db> {
    let mut attempts = 0;
    loop {
        let context = || format!("open sled directory {}", dir.display());
        // Lost acknowledgements are no concern here: the commit log is what makes a change
        // durable, and a checkpoint flushes the tree.
        let config = sled::Config::new()
            .path(native)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(None)
            .use_compression(false)
            .mode(sled::Mode::HighThroughput);
        match catch_unwind(AssertUnwindSafe(|| config.open())) {
            Ok(Ok(tree)) => return Ok(tree),
            Ok(Err(error)) if is_locked(&error) && attempts < LOCK_ATTEMPTS => {
                attempts += 1;
                pause();
            }
            Ok(Err(error)) => return Err(sled_error(error, context())),
            Err(_) => return Err(panicked(context())),
        }
    }
}

/// sled tells a held lock from other failures only by its words.
fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(error) if error.to_string().contains("could not acquire lock"))
}

/// Lets the threads that hold the lock run on: there is nothing they would notify.
fn pause() {
    let nobody = Mutex::new(());
    Condvar::new().wait_for(&mut nobody.lock(), LOCK_PAUSE);
}
