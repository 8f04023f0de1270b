//! The store's own threads: one flushes full memtables, one merges and expires, one reads what is stored to find damage.
//!
//! They are two so that a long merge never makes writers wait for a flush.

use std::sync::Arc;
use std::time::Duration;

use tidestore_disk::sync::thread::JoinHandle;
use tidestore_disk::sync::{Condvar, Mutex};

use crate::error::Result;
use crate::expiry::MergeReport;
use crate::meters;
use crate::options::Options;
use crate::scrub::Scrubber;
use crate::shard::{Command, Shard};
use crate::shards::Shards;
use crate::store::spawn;

/// Wakes a thread that waits for work.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    state: Mutex<Ring>,
    rung: Condvar,
}

#[derive(Clone, Copy, Debug, Default)]
struct Ring {
    work: bool,
    stop: bool,
}

impl Bell {
    /// Says that there is work.
    pub(crate) fn ring(&self) {
        self.state.lock().work = true;
        self.rung.notify_all();
    }

    pub(crate) fn stop(&self) {
        self.state.lock().stop = true;
        self.rung.notify_all();
    }

    /// Waits for work or for `patience` to end; `false` once the store closes.
    pub(crate) fn wait(&self, patience: Duration) -> bool {
        let mut state = self.state.lock();
        if !state.work && !state.stop {
            self.rung.wait_for(&mut state, patience);
        }
        state.work = false;
        !state.stop
    }
}

/// The running threads.
#[derive(Debug)]
pub(crate) struct Background {
    bells: Vec<Arc<Bell>>,
    threads: Vec<JoinHandle<()>>,
}

/// How often the threads look whether something has come due by time alone.
const TICK: Duration = Duration::from_secs(1);
/// From so many bytes on, rows of the tables are handed on here, so that no writer has to.
const WAITING_BYTES: usize = 8 << 20;
/// How often recalled contents are taken off the disk: it costs a flush.
const PURGE: Duration = Duration::from_hours(1);
/// So many recalled messages wait in memory to be taken off the disk; then that is done earlier.
const REDACTED_MAX: usize = 262_144;
/// How often an idle store notes that it is alive.
const ALIVE: Duration = Duration::from_hours(1);

impl Background {
    pub(crate) fn start(
        shards: &Arc<Shards>,
        options: &Arc<Options>,
        flush_bell: Arc<Bell>,
        scrubber: &Arc<Scrubber>,
    ) -> Result<Self> {
        let tidy_bell = Arc::new(Bell::default());
        let flusher = {
            let (bell, shards) = (Arc::clone(&flush_bell), Arc::clone(shards));
            let age = options.memtable_age;
            spawn("tidestore-flush".into(), move || {
                while bell.wait(TICK) {
                    shards.list.iter().for_each(|shard| flush(shard, age));
                }
            })?
        };
        let tidier = {
            let (bell, shards) = (Arc::clone(&tidy_bell), Arc::clone(shards));
            let every = options.expiry_interval;
            spawn("tidestore-tidy".into(), move || tidy(&bell, &shards, every))?
        };
        let mut bells = vec![flush_bell, tidy_bell];
        let mut threads = vec![flusher, tidier];
        if options.scrub_bytes_per_second > 0 {
            let bell = Arc::clone(scrubber.bell());
            bells.push(Arc::clone(&bell));
            let scrubber = Arc::clone(scrubber);
            threads.push(spawn("tidestore-scrub".into(), move || {
                scrubber.run(&bell);
            })?);
        }
        Ok(Self { bells, threads })
    }

    /// Lets the threads finish what they do and ends them.
    pub(crate) fn stop(self) {
        self.bells.iter().for_each(|bell| bell.stop());
        for thread in self.threads {
            drop(thread.join());
        }
    }
}

fn flush(shard: &Shard, age: Duration) {
    let old = shard
        .status
        .lock()
        .active_since
        .is_some_and(|at| at + age <= shard.monotonic());
    if old && let Err(error) = shard.ask_own(Command::Freeze) {
        tracing::warn!(shard = shard.number, %error, "a memtable could not be frozen");
    }
    if shard.engine.waiting_bytes() > WAITING_BYTES
        && let Err(error) = shard.engine.hand_on()
    {
        tracing::warn!(shard = shard.number, %error, "the tables did not take their rows");
    }
    // Changes that are no messages fill the log too.
    let long = shard.status.lock().log_bytes > shard.log_bytes_max();
    if long && let Err(error) = shard.flush() {
        tracing::warn!(shard = shard.number, %error, "a long log could not be trimmed");
    }
    if shard.view.frozen_count() > 0 {
        let flushed = shard.flush_frozen();
        if flushed.is_err() {
            shard.meters.flush_failed();
        }
        shard.set_flush_trouble(flushed.err());
    }
}

fn do_chores(shards: &Shards) {
    for shard in &shards.list {
        if let Err(error) = shard.do_chores() {
            tracing::warn!(shard = shard.number, %error, "a chore failed and will be repeated");
        }
    }
}

fn tidy(bell: &Bell, shards: &Shards, every: Duration) {
    let clock = || {
        shards
            .list
            .first()
            .map_or(Duration::ZERO, |shard| shard.monotonic())
    };
    let (mut expire_at, mut alive_at) = (clock() + every, clock() + ALIVE);
    let mut purge_at = clock() + PURGE;
    // What a crash interrupted.
    do_chores(shards);
    while bell.wait(TICK) {
        meters::publish(&meters::of_shards(shards));
        for shard in &shards.list {
            if let Err(error) = shard.merge(false, &mut MergeReport::default()) {
                tracing::warn!(shard = shard.number, %error, "a merge failed and will be repeated");
            }
        }
        let now = clock();
        if now >= expire_at {
            expire_at = now + every;
            do_chores(shards);
            match shards.expire() {
                Ok(report) if report.paused.is_some() => {
                    tracing::warn!(alarm = ?report.paused, "expiry is paused");
                }
                Ok(report) if report.segments + report.attachments > 0 => tracing::info!(
                    segments = report.segments,
                    messages = report.messages,
                    bytes = report.bytes,
                    attachments = report.attachments,
                    attachment_bytes = report.attachment_bytes,
                    "what was over left the disk"
                ),
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "expiry failed and will be repeated"),
            }
        }
        let is_purge_time = now >= purge_at;
        if is_purge_time {
            purge_at = now + PURGE;
        }
        for shard in &shards.list {
            let is_due = is_purge_time || shard.redacted.read().messages.len() > REDACTED_MAX;
            if is_due && let Err(error) = shard.purge(&mut MergeReport::default()) {
                tracing::warn!(shard = shard.number, %error, "recalled contents could not be removed yet");
            }
        }
        if now >= alive_at {
            alive_at = now + ALIVE;
            if let Err(error) = shards.note_alive() {
                tracing::warn!(%error, "the time could not be noted");
            }
        }
    }
}
