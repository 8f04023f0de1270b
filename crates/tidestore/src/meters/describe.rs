//! What each metric means, for recorders that show it.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Describes every metric to the recorder that is installed.
pub(crate) fn describe() {
    for (name, unit, text) in COUNTERS {
        describe_counter!(*name, *unit, *text);
    }
    for (name, unit, text) in GAUGES {
        describe_gauge!(*name, *unit, *text);
    }
    for (name, unit, text) in HISTOGRAMS {
        describe_histogram!(*name, *unit, *text);
    }
}

type Described = (&'static str, Unit, &'static str);

const COUNTERS: &[Described] = &[
    (
        "tidestore_appends_total",
        Unit::Count,
        "messages appended, by kind",
    ),
    (
        "tidestore_append_bytes_total",
        Unit::Bytes,
        "bytes of their bodies and extensions",
    ),
    (
        "tidestore_batches_total",
        Unit::Count,
        "batches written to the log",
    ),
    (
        "tidestore_log_written_bytes_total",
        Unit::Bytes,
        "bytes of batches before compression",
    ),
    (
        "tidestore_queue_held_back_total",
        Unit::Count,
        "calls that had to wait for room in a queue",
    ),
    (
        "tidestore_refusals_total",
        Unit::Count,
        "changes that were refused, by kind of error",
    ),
    (
        "tidestore_corruptions_total",
        Unit::Count,
        "damage that was met, each time",
    ),
    (
        "tidestore_flushes_total",
        Unit::Count,
        "memtables that became segments",
    ),
    (
        "tidestore_flush_failures_total",
        Unit::Count,
        "flushes that failed and are repeated",
    ),
    (
        "tidestore_flush_files_total",
        Unit::Count,
        "segments written by flushes",
    ),
    (
        "tidestore_flush_bytes_total",
        Unit::Bytes,
        "bytes of segments written by flushes",
    ),
    (
        "tidestore_merges_total",
        Unit::Count,
        "segments written by merging others",
    ),
    (
        "tidestore_merge_read_bytes_total",
        Unit::Bytes,
        "bytes of segments that were merged",
    ),
    (
        "tidestore_merge_written_bytes_total",
        Unit::Bytes,
        "bytes of segments that merging wrote",
    ),
    (
        "tidestore_expiry_runs_total",
        Unit::Count,
        "passes of expiry, by result",
    ),
    (
        "tidestore_expired_segments_total",
        Unit::Count,
        "segments that expired",
    ),
    (
        "tidestore_expired_messages_total",
        Unit::Count,
        "messages that expired",
    ),
    (
        "tidestore_expired_bytes_total",
        Unit::Bytes,
        "bytes of segments that expired",
    ),
    (
        "tidestore_expired_attachments_total",
        Unit::Count,
        "attachments that expired",
    ),
    (
        "tidestore_expired_attachment_bytes_total",
        Unit::Bytes,
        "bytes of attachments that expired",
    ),
    (
        "tidestore_reads_total",
        Unit::Count,
        "pages and messages read, by source",
    ),
    (
        "tidestore_cache_hits_total",
        Unit::Count,
        "look-ups that a cache answered",
    ),
    (
        "tidestore_cache_misses_total",
        Unit::Count,
        "look-ups that a cache did not answer",
    ),
    ("tidestore_uploads_total", Unit::Count, "attachments stored"),
    (
        "tidestore_upload_bytes_total",
        Unit::Bytes,
        "bytes of attachments stored",
    ),
    (
        "tidestore_downloads_total",
        Unit::Count,
        "attachments opened for reading",
    ),
    (
        "tidestore_download_bytes_total",
        Unit::Bytes,
        "bytes of attachments handed out",
    ),
    (
        "tidestore_tables_copies_total",
        Unit::Count,
        "copies of the tables made to shrink them",
    ),
];

const GAUGES: &[Described] = &[
    (
        "tidestore_queue_depth",
        Unit::Count,
        "calls in a queue that are not answered yet",
    ),
    (
        "tidestore_queue_bytes",
        Unit::Bytes,
        "bytes of the calls in a queue",
    ),
    (
        "tidestore_queue_waiting",
        Unit::Count,
        "callers waiting for room in a queue",
    ),
    (
        "tidestore_unnoted_references",
        Unit::Count,
        "references to attachments that wait to be noted",
    ),
    (
        "tidestore_memtable_bytes",
        Unit::Bytes,
        "memory of the memtable that takes new messages",
    ),
    (
        "tidestore_memtables_frozen",
        Unit::Count,
        "full memtables that wait to become segments",
    ),
    (
        "tidestore_poisoned",
        Unit::Count,
        "1 if the shard takes no more changes",
    ),
    (
        "tidestore_flush_trouble",
        Unit::Count,
        "1 while full memtables cannot become segments",
    ),
    (
        "tidestore_log_bytes",
        Unit::Bytes,
        "bytes of the log's files",
    ),
    ("tidestore_files", Unit::Count, "files, by kind"),
    (
        "tidestore_file_bytes",
        Unit::Bytes,
        "bytes of files, by kind",
    ),
    (
        "tidestore_tables_bytes",
        Unit::Bytes,
        "bytes of the files of the tables",
    ),
    (
        "tidestore_tables_waiting_bytes",
        Unit::Bytes,
        "bytes of rows that wait for the tables",
    ),
    (
        "tidestore_heads",
        Unit::Count,
        "conversations whose heads are in memory",
    ),
    (
        "tidestore_expiry_lag_seconds",
        Unit::Seconds,
        "how long the oldest file that may go is overdue",
    ),
    (
        "tidestore_clock_alarm",
        Unit::Count,
        "1 while the clock is not trusted",
    ),
    ("tidestore_cache_bytes", Unit::Bytes, "bytes in a cache"),
    (
        "tidestore_open_files",
        Unit::Count,
        "files that are kept open for reading",
    ),
    (
        "tidestore_transfers",
        Unit::Count,
        "uploads and downloads that are open",
    ),
    (
        "tidestore_streams",
        Unit::Count,
        "inboxes that are followed live",
    ),
    (
        "tidestore_problems",
        Unit::Count,
        "notices of opening, and merges given up because of damage",
    ),
];

const HISTOGRAMS: &[Described] = &[
    (
        "tidestore_batch_messages",
        Unit::Count,
        "messages in a batch",
    ),
    (
        "tidestore_log_write_seconds",
        Unit::Seconds,
        "how long writing a batch took",
    ),
    (
        "tidestore_log_flush_seconds",
        Unit::Seconds,
        "how long the device took to flush the log",
    ),
    (
        "tidestore_flush_seconds",
        Unit::Seconds,
        "how long a memtable took to become segments",
    ),
];
