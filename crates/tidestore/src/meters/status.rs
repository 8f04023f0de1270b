//! How a store is at a moment: for whoever asks, and once a second as gauges.

use metrics::{counter, gauge};
use tidestore_disk::Millis;
use tidestore_messages::{Apps as _, CacheUse, Owner};

use crate::error::Error;
use crate::guard::ClockAlarm;
use crate::meters::shard::label;
use crate::queue::QueueStatus;
use crate::shard::Shard;
use crate::shards::Shards;

/// How a store is at a moment.
#[derive(Clone, Debug)]
pub struct Status {
    /// Its shards, by number.
    pub shards: Vec<ShardStatus>,
    /// Why expiry is paused, if the clock is not trusted.
    pub clock_alarm: Option<ClockAlarm>,
    /// The cache of blocks.
    pub blocks: CacheUse,
    /// The cache of indexes of segments.
    pub indexes: CacheUse,
    /// Bytes of prefixes of receipts in memory.
    pub receipt_bytes: u64,
    /// Files that are kept open for reading.
    pub open_files: u64,
    /// Uploads and downloads that are open.
    pub transfers: u64,
    /// Inboxes that are followed live.
    pub streams: u64,
    /// How many things opening found and healed or left alone, see [`Store::notices`](crate::Store::notices).
    pub notices: u64,
}

/// How a shard is at a moment.
#[derive(Clone, Debug)]
pub struct ShardStatus {
    /// Its number.
    pub number: u16,
    /// Calls that wait for the committer.
    pub queue: QueueStatus,
    /// Calls that wait for the clerk of attachments.
    pub desk: QueueStatus,
    /// References of messages that the clerk has not noted yet.
    pub unnoted: u64,
    /// Memory of the memtable that takes new messages, in bytes.
    pub memtable_bytes: u64,
    /// Full memtables that wait to become segments.
    pub memtables_frozen: u64,
    /// Why it takes no more changes.
    pub poisoned: Option<Error>,
    /// Why full memtables cannot become segments at the moment.
    pub flush_trouble: Option<Error>,
    /// Bytes of the log's files.
    pub log_bytes: u64,
    /// The last position in the log.
    pub log_end: u64,
    /// Segments.
    pub segments: u64,
    /// Bytes of their files.
    pub segment_bytes: u64,
    /// Receipt runs.
    pub receipt_runs: u64,
    /// Bytes of their files.
    pub receipt_file_bytes: u64,
    /// Bytes of the files of the tables.
    pub tables_bytes: u64,
    /// Bytes of rows that wait in memory for the tables.
    pub tables_waiting_bytes: u64,
    /// Conversations whose heads are in memory.
    pub heads: u64,
    /// Merges that were given up because a segment is damaged.
    pub damaged: u64,
    /// How long the oldest file that could have left the disk has been there since, in milliseconds.
    pub overdue: Millis,
}

/// How the shards of a store are; the rest of the status is left as it is at the beginning.
pub(crate) fn of_shards(shards: &Shards) -> Status {
    let first = shards.list.first();
    let blocks = first.map(|shard| shard.view.caches());
    let cache = |of: fn(&tidestore_messages::BlockCache) -> CacheUse| {
        blocks.as_ref().map(|caches| of(caches)).unwrap_or_default()
    };
    Status {
        shards: shards.list.iter().map(|shard| of_shard(shard)).collect(),
        clock_alarm: shards.guard.alarm(),
        blocks: cache(tidestore_messages::BlockCache::blocks),
        indexes: cache(tidestore_messages::BlockCache::indexes),
        receipt_bytes: blocks.as_ref().map_or(0, |caches| caches.prefix_bytes()),
        open_files: first.map_or(0, |shard| shard.view.open_files() as u64),
        transfers: shards.transfers.taken(),
        streams: shards.streams.taken(),
        notices: shards
            .notices
            .load(tidestore_disk::sync::atomic::Ordering::Relaxed),
    }
}

fn of_shard(shard: &Shard) -> ShardStatus {
    let status = *shard.status.lock();
    let tally = shard.view.tally();
    let desk = shard.desk();
    ShardStatus {
        number: shard.number,
        queue: shard.queue.status(),
        desk: desk.queue.status(),
        unnoted: desk.backlog(),
        memtable_bytes: shard.view.active_bytes() as u64,
        memtables_frozen: shard.view.frozen_count() as u64,
        poisoned: shard.poisoned(),
        flush_trouble: shard.flush_trouble.lock().clone(),
        log_bytes: status.log_bytes,
        log_end: status.log_end,
        segments: tally.segments,
        segment_bytes: tally.segment_bytes,
        receipt_runs: tally.receipt_runs,
        receipt_file_bytes: tally.receipt_bytes,
        // A figure that cannot be had is no reason to have none of the others.
        tables_bytes: shard.engine.size_on_disk().unwrap_or_default(),
        tables_waiting_bytes: shard.engine.waiting_bytes() as u64,
        heads: shard.heads.known() as u64,
        damaged: shard.damaged.lock().len() as u64,
        overdue: overdue(shard),
    }
}

/// Floors move on as time does, so how far one is past the end of a file's bucket is how long the file could have gone.
fn overdue(shard: &Shard) -> Millis {
    let expirable = shard.view.expirable();
    let past = expirable.iter().map(|expirable| {
        let meta = &expirable.meta;
        let past = |app| {
            let is_there = shard.registry.by_id(app).is_some();
            let floor = shard.registry.physical_floor(app);
            is_there.then(|| floor.saturating_sub(meta.bucket.end))
        };
        match meta.owner {
            Owner::App(app) => past(app).unwrap_or_default(),
            Owner::Shared => {
                let shares = meta.apps.iter().filter_map(|share| past(share.app));
                shares.min().unwrap_or_default()
            }
        }
    });
    past.max().unwrap_or_default()
}

/// Sets the gauges to what a status says.
pub(crate) fn publish(status: &Status) {
    for shard in &status.shards {
        publish_shard(shard);
    }
    gauge!("tidestore_clock_alarm").set(flag(status.clock_alarm.is_some()));
    for (cache, used) in [("blocks", &status.blocks), ("indexes", &status.indexes)] {
        gauge!("tidestore_cache_bytes", "cache" => cache).set(figure(used.bytes));
        counter!("tidestore_cache_hits_total", "cache" => cache).absolute(used.hits);
        counter!("tidestore_cache_misses_total", "cache" => cache).absolute(used.misses);
    }
    gauge!("tidestore_cache_bytes", "cache" => "receipts").set(figure(status.receipt_bytes));
    gauge!("tidestore_open_files").set(figure(status.open_files));
    gauge!("tidestore_transfers").set(figure(status.transfers));
    gauge!("tidestore_streams").set(figure(status.streams));
    let damaged: u64 = status.shards.iter().map(|shard| shard.damaged).sum();
    gauge!("tidestore_problems").set(figure(status.notices + damaged));
}

fn publish_shard(status: &ShardStatus) {
    let shard = label(status.number);
    macro_rules! set {
        ($name:literal, $value:expr) => {
            gauge!($name, "shard" => shard.clone()).set($value)
        };
    }
    for (queue, of) in [("commit", &status.queue), ("attachments", &status.desk)] {
        macro_rules! of_queue {
            ($make:ident, $name:literal) => {
                $make!($name, "shard" => shard.clone(), "queue" => queue)
            };
        }
        of_queue!(gauge, "tidestore_queue_depth").set(figure(of.depth));
        of_queue!(gauge, "tidestore_queue_bytes").set(figure(of.bytes));
        of_queue!(gauge, "tidestore_queue_waiting").set(figure(of.waiting));
        of_queue!(counter, "tidestore_queue_held_back_total").absolute(of.held_back);
    }
    set!("tidestore_unnoted_references", figure(status.unnoted));
    set!("tidestore_memtable_bytes", figure(status.memtable_bytes));
    set!(
        "tidestore_memtables_frozen",
        figure(status.memtables_frozen)
    );
    set!("tidestore_poisoned", flag(status.poisoned.is_some()));
    set!(
        "tidestore_flush_trouble",
        flag(status.flush_trouble.is_some())
    );
    set!("tidestore_log_bytes", figure(status.log_bytes));
    for (kind, files, bytes) in [
        ("segments", status.segments, status.segment_bytes),
        ("receipts", status.receipt_runs, status.receipt_file_bytes),
    ] {
        gauge!("tidestore_files", "shard" => shard.clone(), "kind" => kind).set(figure(files));
        gauge!("tidestore_file_bytes", "shard" => shard.clone(), "kind" => kind).set(figure(bytes));
    }
    set!("tidestore_tables_bytes", figure(status.tables_bytes));
    set!(
        "tidestore_tables_waiting_bytes",
        figure(status.tables_waiting_bytes)
    );
    set!("tidestore_heads", figure(status.heads));
    set!(
        "tidestore_expiry_lag_seconds",
        figure(status.overdue / 1_000)
    );
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floating point")]
fn figure(value: u64) -> f64 {
    value as f64
}

fn flag(is_set: bool) -> f64 {
    if is_set { 1.0 } else { 0.0 }
}
