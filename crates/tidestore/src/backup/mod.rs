//! Backup of a store that goes on working, and restore.
//!
//! # One moment
//!
//! The log is the store, so a backup is: tables as they were at some position of each shard's log, what stands in the logs
//! from there to the cut, and the files that both name. The cut is one moment for all shards: every committer stands still,
//! its log flushed, when it is made. Whatever was acknowledged before the call is before the cut; whatever is in the backup
//! of one shard and rests on something of another shard finds it there.
//!
//! 1. Memtables are flushed, so that little is left in the logs.
//! 2. No flush, merge or expiry begins (`flushing` and `tidying` are held): which sealed files there are, the heads, and
//!    where the log begins do not change. Appends and changes of rows go on.
//! 3. Rows are copied page by page. A row that changes meanwhile is copied old or new; the record that changed it stands
//!    in the log behind the position that was noted before, so the replay of a restore sets it to what it was at the cut.
//! 4. All committers are stopped, the ends of their logs noted, and let go.
//! 5. The batches up to there are copied through [`Log::replay`](tidestore_log::Log::replay). Flush, merge and expiry go on.
//! 6. Sealed files are linked or copied. They stay until that is done even if a merge or expiry has taken them out of the
//!    view ([`keep_files`](tidestore_messages::MessageView::keep_files)), and nothing is punched out of volumes
//!    ([`keep_still`](crate::attachments::Desk::keep_still)). Both are held in memory only: after a crash the next opening
//!    removes what nobody names, as it always does.
//! 7. The manifest is written.
//!
//! # Files
//!
//! | file | what |
//! |---|---|
//! | `BACKUP` | the manifest, written last: see [`manifest`] |
//! | `data/…` | `STORE`, segments, receipt runs and volumes at the paths that they have in a data directory |
//! | `rows/shard-NN/NNNNNN.rows` | rows of the tables: see [`part`] |
//! | `log/shard-NN/NNNNNN.batches` | batches of the log: see [`part`] |
//! | `BACKUP.unfinished` | beside others while a backup is being made, first to come and last to go |
//!
//! An archive is a tar file of the same, with `VERSION` (magic and format version) in front and `BACKUP` at the end.
//!
//! | state after a crash | what it means |
//! |---|---|
//! | `BACKUP.unfinished`, no `BACKUP` | not finished: no restore takes it; the next backup into the directory clears it and begins anew |
//! | `BACKUP` and `BACKUP.unfinished` | whole |
//! | `FILE.partial` | not finished; the next backup to FILE begins it anew |
//! | data directory with `RESTORING` | a restore did not come to its end: the store does not open; the next restore clears it and begins anew |
//!
//! A restored store keeps its id, which every checksum is seeded with. So a store and its restored copy can both run, but they
//! are two stores from then on: nothing merges them again, and an incremental backup finds out which files differ.

mod app_filter;
mod base;
mod cut;
mod entries;
mod files;
mod load;
mod logs;
pub(crate) mod manifest;
pub(crate) mod part;
mod place;
mod restore;
mod rows;
mod sink;
mod take;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tidestore_disk::{Env, Millis};
use tidestore_plan::AppKey;

use crate::error::Result;
use crate::options::Options;
use crate::store::{Store, blocking};
use crate::verify::VerifyReport;

pub(crate) use cut::Gate;
pub use place::{BackupPlace, BackupTarget};

/// What a backup is to hold.
#[derive(Clone, Debug, Default)]
pub struct BackupOptions {
    /// Only this app, with nothing of any other. Default: all.
    pub app: Option<AppKey>,
    /// An earlier backup in a directory of the same filesystem as the target: files that are the same there become hard
    /// links to it. Each of the two can be deleted by itself. Default: none.
    pub base: Option<BackupPlace>,
}

/// Files and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// How many files.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
}

impl Copied {
    pub(crate) fn add(&mut self, bytes: u64) {
        self.files += 1;
        self.bytes += bytes;
    }
}

/// What a backup has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackupReport {
    /// The moment that it holds, by the wall clock.
    pub moment: Millis,
    /// How long committers stood still for it.
    pub pause: Duration,
    /// All files of the backup.
    pub all: Copied,
    /// Those that were written.
    pub copied: Copied,
    /// Sealed files that became links to those of the data directory.
    pub linked: Copied,
    /// Files that became links to those of the base.
    pub reused: Copied,
    /// Rows of the tables.
    pub rows: u64,
    /// Batches of the logs.
    pub batches: u64,
    /// Files that are missing in the store, or have not the length that they should: the backup has what there is. Damage
    /// inside of files is found by [`Store::verify`], not here.
    pub damaged: Vec<String>,
}

/// What a restore has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoreReport {
    /// The moment that the backup holds, by the wall clock of then.
    pub moment: Millis,
    /// The app, if the backup is of one alone.
    pub app: Option<String>,
    /// Files of the backup, each compared with the manifest.
    pub files: Copied,
    /// Rows of the tables.
    pub rows: u64,
    /// Batches of the logs.
    pub batches: u64,
    /// Apps whose floor was raised to what the clock says now, because the store does not trust a clock that is so far ahead
    /// of the backup. Their older messages are invisible, and stay on disk for the grace time of a downgrade.
    pub raised: Vec<String>,
    /// What verifying the restored store found; no problems.
    pub verified: VerifyReport,
}

impl Store {
    /// Makes a backup of the store as it is at one moment of this call, while it goes on working: all that was acknowledged
    /// before is in it, and nothing by halves.
    ///
    /// Everything stands still only while all shards note where their logs end ([`BackupReport::pause`]). Until the files are
    /// copied, none leaves the disk: expiry and merging go on, and their space comes back afterwards. While rows are copied no
    /// memtable is flushed, so writers who fill two of them wait.
    ///
    /// # Errors
    ///
    /// What was begun is removed again, as far as the disk lets; the store goes on.
    ///
    /// - [`ErrorKind::Occupied`](crate::ErrorKind::Occupied): the target is not empty, or lies in the data directory.
    /// - [`ErrorKind::UnknownApp`](crate::ErrorKind::UnknownApp), [`ErrorKind::NotABackup`](crate::ErrorKind::NotABackup):
    ///   the options name what is not there. [`ErrorKind::Argument`](crate::ErrorKind::Argument): the base is of another
    ///   store or holds other apps.
    /// - [`ErrorKind::Full`](crate::ErrorKind::Full), [`ErrorKind::Io`](crate::ErrorKind::Io): of the target or the store.
    /// - [`ErrorKind::Corruption`](crate::ErrorKind::Corruption): tables or log of the store are damaged, or in a backup of one
    ///   app a file that it shares with others.
    pub async fn backup(
        &self,
        target: BackupTarget,
        options: BackupOptions,
    ) -> Result<BackupReport> {
        let inner = Arc::clone(&self.inner);
        blocking(move || take::take(&inner, target, &options)).await
    }

    /// Makes a data directory out of a backup, in a directory that is empty or missing, and verifies it: every file is
    /// compared with the backup's manifest, then the store is opened, read to the end and closed.
    ///
    /// What has expired since the backup stays expired, and what was recalled invisible.
    ///
    /// # Errors
    ///
    /// The store cannot be opened then, unless stated otherwise; the next restore into the directory begins anew.
    ///
    /// - [`ErrorKind::Occupied`](crate::ErrorKind::Occupied): the directory is not empty.
    /// - [`ErrorKind::NotABackup`](crate::ErrorKind::NotABackup): the source is none, or did not come to its end.
    /// - [`ErrorKind::Format`](crate::ErrorKind::Format): a later version wrote it.
    /// - [`ErrorKind::Corruption`](crate::ErrorKind::Corruption): a file of the backup is damaged, missing or cut; the error
    ///   names it. Also if all files are as the backup says but verifying finds problems, because the store had them when the
    ///   backup was made: then the store can be opened and serves the rest.
    pub async fn restore(source: impl AsRef<Path>, dir: impl AsRef<Path>) -> Result<RestoreReport> {
        let source = BackupPlace::path(source.as_ref())?;
        let env = Env::real(dir.as_ref())?;
        Self::restore_env(source, env, Options::default()).await
    }

    /// As [`restore`](Self::restore), on a disk and a clock of the caller's choice.
    ///
    /// # Errors
    ///
    /// As [`restore`](Self::restore).
    pub async fn restore_env(
        source: BackupPlace,
        env: Env,
        options: Options,
    ) -> Result<RestoreReport> {
        restore::restore(source, env, options).await
    }
}
