//! One moment for all shards.

use std::sync::Arc;
use std::time::Duration;

use tidestore_disk::Millis;
use tidestore_disk::sync::{Condvar, Mutex};
use tokio::sync::oneshot;

use crate::apps::AppRecord;
use crate::attachments::Still;
use crate::error::{Error, ErrorKind, Result};
use crate::shard::{Command, Pause, Shard};
use crate::store::Inner;

/// What stopped committers wait for.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    is_open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    /// Waits until the gate opens.
    pub(crate) fn wait(&self) {
        let mut is_open = self.is_open.lock();
        while !*is_open {
            self.opened.wait(&mut is_open);
        }
    }
}

/// Opens a gate when dropped: whatever happens to a backup, no committer may stand for ever.
struct Opener(Arc<Gate>);

impl Drop for Opener {
    fn drop(&mut self) {
        *self.0.is_open.lock() = true;
        self.0.opened.notify_all();
    }
}

/// The moment that a backup holds.
#[derive(Debug)]
pub(crate) struct Cut {
    /// The last position of each shard's log.
    pub(crate) ends: Vec<u64>,
    /// The apps there are.
    pub(crate) apps: Vec<Arc<AppRecord>>,
    pub(crate) moment: Millis,
    /// How long committers stood.
    pub(crate) pause: Duration,
}

/// Stops all committers at once, looks where their logs end, and lets them go on.
pub(crate) fn cut(inner: &Inner) -> Result<Cut> {
    let began = inner.env.clock.monotonic();
    let gate = Arc::new(Gate::default());
    let opener = Opener(Arc::clone(&gate));
    let mut answers = Vec::new();
    for shard in &inner.shards.list {
        let (reply, answer) = oneshot::channel();
        let gate = Arc::clone(&gate);
        let pause = Command::Pause(Pause { reply, gate });
        shard.queue.push_own(pause).map_err(|_| closed())?;
        answers.push((shard, answer));
    }
    let mut ends = Vec::new();
    for (shard, answer) in answers {
        let gone = |_| shard.poisoned().unwrap_or_else(closed);
        ends.push(answer.blocking_recv().map_err(gone)??);
    }
    let (apps, moment) = (inner.registry.all(), inner.env.clock.wall());
    drop(opener);
    let pause = inner.env.clock.monotonic().saturating_sub(began);
    Ok(Cut {
        ends,
        apps,
        moment,
        pause,
    })
}

/// Keeps the files of all shards until it is dropped.
#[derive(Debug)]
pub(crate) struct Kept<'a> {
    shards: Vec<&'a Shard>,
    volumes: Vec<Still>,
}

impl<'a> Kept<'a> {
    pub(crate) fn all(inner: &'a Inner) -> Result<Self> {
        let mut kept = Self {
            shards: Vec::new(),
            volumes: Vec::new(),
        };
        for shard in &inner.shards.list {
            shard.view.keep_files();
            kept.shards.push(shard);
            kept.volumes.push(shard.desk().keep_still()?);
        }
        Ok(kept)
    }
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        for shard in &self.shards {
            if let Err(error) = shard.view.let_go() {
                tracing::warn!(shard = shard.number, %error, "files that left the store stay until the next opening");
            }
        }
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the store is closed")
}
