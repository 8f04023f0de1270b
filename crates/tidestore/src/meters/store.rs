//! What the store counts as a whole.

use std::fmt;

use metrics::{Counter, counter};

use crate::expiry::ExpiryReport;

/// Handles of the store's counters, made once.
pub(crate) struct StoreMeters {
    pub(crate) reads_memory: Counter,
    pub(crate) reads_disk: Counter,
    pub(crate) uploads: Counter,
    pub(crate) upload_bytes: Counter,
    pub(crate) downloads: Counter,
    pub(crate) download_bytes: Counter,
    expiry_done: Counter,
    expiry_paused: Counter,
    expiry_failed: Counter,
    expired_attachments: Counter,
    expired_attachment_bytes: Counter,
}

impl fmt::Debug for StoreMeters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreMeters").finish_non_exhaustive()
    }
}

impl StoreMeters {
    pub(crate) fn new() -> Self {
        let reads = |source| counter!("tidestore_reads_total", "source" => source);
        let runs = |result| counter!("tidestore_expiry_runs_total", "result" => result);
        Self {
            reads_memory: reads("memory"),
            reads_disk: reads("disk"),
            uploads: counter!("tidestore_uploads_total"),
            upload_bytes: counter!("tidestore_upload_bytes_total"),
            downloads: counter!("tidestore_downloads_total"),
            download_bytes: counter!("tidestore_download_bytes_total"),
            expiry_done: runs("done"),
            expiry_paused: runs("paused"),
            expiry_failed: runs("failed"),
            expired_attachments: counter!("tidestore_expired_attachments_total"),
            expired_attachment_bytes: counter!("tidestore_expired_attachment_bytes_total"),
        }
    }

    /// Counts a pass of expiry.
    pub(crate) fn expiry(&self, pass: Option<&ExpiryReport>) {
        match pass {
            None => self.expiry_failed.increment(1),
            Some(report) if report.paused.is_some() => self.expiry_paused.increment(1),
            Some(report) => {
                self.expiry_done.increment(1);
                self.expired_attachments.increment(report.attachments);
                self.expired_attachment_bytes
                    .increment(report.attachment_bytes);
            }
        }
    }
}
