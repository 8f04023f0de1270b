//! Opening and closing the store around a command.

use std::path::{Path, PathBuf};

use tidestore::disk::{Disk, ErrorKind, RealDisk};
use tidestore::{EngineKind, Options, Store};

use crate::error::Failure;
use crate::output::Output;

/// Where the store is.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    named: Option<PathBuf>,
    /// The engine of a new store.
    engine: Option<EngineKind>,
}

/// Whether a command may make a new store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Make one.
    Create,
    /// Say that there is none, and leave no directory behind.
    Refuse,
}

impl Place {
    pub(crate) fn new(named: Option<PathBuf>, engine: Option<EngineKind>) -> Self {
        Self { named, engine }
    }

    /// The directory of a store that must be there.
    pub(crate) fn existing(&self) -> Result<&Path, Failure> {
        let dir = self.dir();
        if holds_something(dir) {
            return Ok(dir);
        }
        Err(Failure::NotFound {
            what: format!("there is no store in {}", dir.display()),
            help: "create an app first: `tidestore app create KEY --plan PLAN`".to_owned(),
        })
    }

    /// The directory that was named on the command line.
    pub(crate) fn named(&self) -> Option<&Path> {
        self.named.as_deref()
    }

    /// The directory that commands work on, whether it is there or not.
    pub(crate) fn dir(&self) -> &Path {
        self.named().unwrap_or(Path::new("./tidestore-data"))
    }

    /// Opens the store and passes on what it has to say.
    pub(crate) async fn open(
        &self,
        output: Output,
        missing: Missing,
        options: Options,
    ) -> Result<Store, Failure> {
        let dir = match missing {
            Missing::Refuse => self.existing()?,
            Missing::Create => self.dir(),
        };
        let engine = self.engine.unwrap_or(options.engine);
        let store = Store::open(dir, Options { engine, ..options }).await?;
        warn(&store, output);
        Ok(store)
    }

    /// Opens the store for a command that is over soon: no work in the background.
    pub(crate) async fn open_briefly(
        &self,
        output: Output,
        missing: Missing,
    ) -> Result<Store, Failure> {
        self.open(
            output,
            missing,
            Options {
                background: false,
                ..Options::default()
            },
        )
        .await
    }
}

/// Prints what the store found while opening, and whether it trusts the clock.
pub(crate) fn warn(store: &Store, output: Output) {
    for notice in store.notices() {
        output.warning(notice);
    }
    if let Some(alarm) = store.clock_alarm() {
        output.warning(&format!(
            "{alarm}; `tidestore expire --confirm-clock` confirms it"
        ));
    }
}

/// Ends a command: whatever it came to, the store is closed in order, and the first failure is the one that counts.
pub(crate) async fn close<T>(store: &Store, ended: Result<T, Failure>) -> Result<T, Failure> {
    let closed = store.close().await;
    let value = ended?;
    closed?;
    Ok(value)
}

/// Whether there is a directory with at least one file that is not a lock. A directory with anything else in it is
/// for the store to judge.
pub(crate) fn holds_something(dir: &Path) -> bool {
    let disk = match RealDisk::open(dir) {
        Ok(disk) => disk,
        Err(error) => return error.kind() != ErrorKind::NotFound,
    };
    match disk.list(Path::new("")) {
        Ok(entries) => entries.iter().any(|entry| entry.name != "LOCK"),
        Err(_) => true,
    }
}
