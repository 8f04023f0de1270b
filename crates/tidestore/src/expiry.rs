//! What background work reports.

use std::collections::BTreeMap;

use tidestore_blobs::Collected;

use crate::apps::Registry;
use crate::guard::ClockAlarm;

/// What one pass of expiry took off the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExpiryReport {
    /// Segments unlinked.
    pub segments: u64,
    /// Messages in them.
    pub messages: u64,
    /// Bytes of their files.
    pub bytes: u64,
    /// Attachments removed.
    pub attachments: u64,
    /// Bytes of their contents.
    pub attachment_bytes: u64,
    /// Volumes unlinked.
    pub volumes: u64,
    /// Contents that were carried into a younger volume, because something still refers to them.
    pub carried: u64,
    /// Volumes that could not be carried because they are damaged; they were left as they are.
    pub damaged: Vec<String>,
    /// The same per app key.
    pub apps: BTreeMap<String, AppExpiry>,
    /// Why nothing was done, if the clock is not trusted.
    pub paused: Option<ClockAlarm>,
}

/// What expiry took from one app.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AppExpiry {
    /// Segments that held something of the app.
    pub segments: u64,
    /// Messages of the app.
    pub messages: u64,
    /// Bytes of files, by the app's share of their messages.
    pub bytes: u64,
    /// Attachments of the app.
    pub attachments: u64,
    /// Bytes of their contents.
    pub attachment_bytes: u64,
}

impl ExpiryReport {
    /// Adds what left one shard's attachments.
    pub(crate) fn add_collected(&mut self, registry: &Registry, collected: Collected) {
        self.volumes += collected.volumes;
        self.carried += collected.carried;
        self.damaged.extend(collected.damaged);
        for (app, bytes) in collected.attachments {
            self.attachments += 1;
            self.attachment_bytes += bytes;
            if let Some(record) = registry.by_id(app) {
                let app = self.apps.entry(record.key.clone()).or_default();
                app.attachments += 1;
                app.attachment_bytes += bytes;
            }
        }
    }
}

/// What merging did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MergeReport {
    /// How many new segments were written for old ones.
    pub merges: u64,
    /// Segments that went in.
    pub segments_in: u64,
    /// Segments that came out.
    pub segments_out: u64,
    /// Bytes of the files that went in.
    pub bytes_in: u64,
    /// Bytes of the files that came out.
    pub bytes_out: u64,
    /// What could not be merged because it is damaged; it was left as it is.
    pub damaged: Vec<String>,
}
