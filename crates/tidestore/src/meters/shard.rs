//! What one shard counts as it goes.

use std::fmt;
use std::time::Duration;

use metrics::{Counter, Histogram, counter, histogram};
use tidestore_messages::Applied;

use crate::expiry::{ExpiryReport, MergeReport};

/// Handles of a shard's counters, made once.
pub(crate) struct ShardMeters {
    live: Counter,
    imported: Counter,
    pub(crate) duplicates: Counter,
    append_bytes: Counter,
    batches: Counter,
    batch_messages: Histogram,
    log_bytes: Counter,
    log_write: Histogram,
    log_flush: Histogram,
    flushes: Counter,
    flush_failures: Counter,
    flush_files: Counter,
    flush_bytes: Counter,
    flush_time: Histogram,
    merges: Counter,
    merge_in: Counter,
    merge_out: Counter,
    expired_segments: Counter,
    expired_messages: Counter,
    expired_bytes: Counter,
    pub(crate) table_copies: Counter,
}

impl fmt::Debug for ShardMeters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardMeters").finish_non_exhaustive()
    }
}

impl ShardMeters {
    pub(crate) fn new(number: u16) -> Self {
        let shard = label(number);
        let appends =
            |kind| counter!("tidestore_appends_total", "shard" => shard.clone(), "kind" => kind);
        macro_rules! count {
            ($name:literal) => {
                counter!($name, "shard" => shard.clone())
            };
        }
        macro_rules! spread {
            ($name:literal) => {
                histogram!($name, "shard" => shard.clone())
            };
        }
        Self {
            live: appends("live"),
            imported: appends("import"),
            duplicates: appends("duplicate"),
            append_bytes: count!("tidestore_append_bytes_total"),
            batches: count!("tidestore_batches_total"),
            batch_messages: spread!("tidestore_batch_messages"),
            log_bytes: count!("tidestore_log_written_bytes_total"),
            log_write: spread!("tidestore_log_write_seconds"),
            log_flush: spread!("tidestore_log_flush_seconds"),
            flushes: count!("tidestore_flushes_total"),
            flush_failures: count!("tidestore_flush_failures_total"),
            flush_files: count!("tidestore_flush_files_total"),
            flush_bytes: count!("tidestore_flush_bytes_total"),
            flush_time: spread!("tidestore_flush_seconds"),
            merges: count!("tidestore_merges_total"),
            merge_in: count!("tidestore_merge_read_bytes_total"),
            merge_out: count!("tidestore_merge_written_bytes_total"),
            expired_segments: count!("tidestore_expired_segments_total"),
            expired_messages: count!("tidestore_expired_messages_total"),
            expired_bytes: count!("tidestore_expired_bytes_total"),
            table_copies: count!("tidestore_tables_copies_total"),
        }
    }

    /// Counts the messages of a batch that was applied.
    pub(crate) fn applied(&self, rows: &[Applied]) {
        let imported = rows.iter().filter(|row| row.message.id.is_imported());
        let imported = imported.count() as u64;
        let bytes = rows.iter().map(|row| row.message.content_len());
        self.live.increment(rows.len() as u64 - imported);
        self.imported.increment(imported);
        self.append_bytes.increment(bytes.sum());
        // A batch has at most some ten thousand messages.
        self.batch_messages
            .record(f64::from(u32::try_from(rows.len()).unwrap_or(u32::MAX)));
    }

    /// Counts a batch that was written to the log.
    pub(crate) fn written(&self, bytes: usize, took: Duration) {
        self.batches.increment(1);
        self.log_bytes.increment(bytes as u64);
        self.log_write.record(took);
    }

    /// Notes how long the device took to flush the log.
    pub(crate) fn flushed_log(&self, took: Duration) {
        self.log_flush.record(took);
    }

    /// Counts a memtable that became segments.
    pub(crate) fn flushed(&self, files: usize, bytes: u64, took: Duration) {
        self.flushes.increment(1);
        self.flush_files.increment(files as u64);
        self.flush_bytes.increment(bytes);
        self.flush_time.record(took);
    }

    /// Counts a flush that has to be repeated.
    pub(crate) fn flush_failed(&self) {
        self.flush_failures.increment(1);
    }

    /// Counts what was merged between two reports.
    pub(crate) fn merged(&self, before: &MergeReport, after: &MergeReport) {
        self.merges.increment(after.merges - before.merges);
        self.merge_in.increment(after.bytes_in - before.bytes_in);
        self.merge_out.increment(after.bytes_out - before.bytes_out);
    }

    /// Counts what expired between two reports.
    pub(crate) fn expired(&self, before: &ExpiryReport, after: &ExpiryReport) {
        self.expired_segments
            .increment(after.segments - before.segments);
        self.expired_messages
            .increment(after.messages - before.messages);
        self.expired_bytes.increment(after.bytes - before.bytes);
    }
}

/// The label of a shard.
pub(super) fn label(number: u16) -> String {
    format!("{number:02}")
}
