//! Where the files of the message store lie, and what the view asks about apps.

use std::fmt::Debug;
use std::path::{Path, PathBuf};

use tidestore_disk::Millis;

use crate::segment::{Bucket, Owner, SegmentMeta};
use crate::types::AppId;

/// What the message store must know of apps; the facade answers from its registry.
pub trait Apps: Debug + Send + Sync {
    /// The app's directory; `None` once the app is deleted.
    fn dir(&self, app: AppId) -> Option<PathBuf>;
    /// How long the app keeps messages, in whole days: it decides the width of buckets and who may share a segment.
    fn retention_days(&self, app: AppId) -> u32;
    /// The time before which the app's messages may leave the disk.
    fn physical_floor(&self, app: AppId) -> Millis;
}

const HOUR: Millis = 3_600_000;
const DAY: Millis = 24 * HOUR;

/// Widths that a bucket may have. Each divides the day or is whole days, so that buckets of one width never straddle
/// those of a wider one more than needed when a plan changes.
const WIDTHS: [Millis; 17] = [
    HOUR,
    2 * HOUR,
    3 * HOUR,
    4 * HOUR,
    6 * HOUR,
    8 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    3 * DAY,
    5 * DAY,
    7 * DAY,
    14 * DAY,
    28 * DAY,
    56 * DAY,
    112 * DAY,
    364 * DAY,
];

/// The bucket of a time under a retention: at most 1/24 of the retention wide, so that what is held past its expiry
/// stays near 4 %.
pub fn bucket_of(time: Millis, retention_days: u32) -> Bucket {
    let bound = Millis::from(retention_days) * DAY / 24;
    let width = WIDTHS
        .into_iter()
        .rev()
        .find(|width| *width <= bound)
        .unwrap_or(HOUR);
    let start = time / width * width;
    Bucket {
        start,
        end: start + width,
    }
}

/// The directory of a bucket.
pub(crate) fn bucket_dir(apps: &dyn Apps, owner: Owner, bucket: Bucket) -> Option<PathBuf> {
    let messages = match owner {
        Owner::App(app) => apps.dir(app)?.join("messages"),
        Owner::Shared => Path::new("shared").join("messages"),
    };
    Some(messages.join(format!("{:013}", bucket.start)))
}

/// The path of a segment; `None` once its app is deleted.
pub fn segment_path(apps: &dyn Apps, meta: &SegmentMeta) -> Option<PathBuf> {
    let dir = bucket_dir(apps, meta.owner, meta.bucket)?;
    Some(dir.join(segment_file_name(meta.shard, meta.generation)))
}

/// The name of a segment file; names of one shard sort by age.
pub(crate) fn segment_file_name(shard: u16, generation: u64) -> String {
    format!("{shard:02}-{generation:010}.seg")
}

/// The directory of a shard's receipt runs.
pub fn receipts_dir(shard: u16) -> PathBuf {
    Path::new("receipts").join(format!("shard-{shard:02}"))
}

/// The path of a receipt run.
pub fn receipt_run_path(shard: u16, generation: u64) -> PathBuf {
    receipts_dir(shard).join(format!("{generation:010}.rcp"))
}
