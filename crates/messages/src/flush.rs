//! A full memtable becomes segments: one per app and bucket, or a shared one for many small apps.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidestore_disk::sync::atomic::{AtomicU64, Ordering};
use tidestore_disk::sync::{Mutex, RwLock};
use tidestore_disk::{Disk, Millis};

use crate::days::SegmentDays;
use crate::error::Result;
use crate::layout::{Apps, bucket_dir, bucket_of, segment_file_name};
use crate::memtable::{Memtable, Run};
use crate::redact::Redacted;
use crate::segment::{
    Bucket, Owner, SegmentHead, SegmentMeta, SegmentOptions, SegmentWriter, StoreId,
};
use crate::types::{AppId, Conversation, Message};

/// What a writer of segments needs to know of its shard.
#[derive(Clone, Debug)]
pub(crate) struct SegmentPlace {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) store: StoreId,
    pub(crate) shard: u16,
    pub(crate) options: SegmentOptions,
    /// Directories whose way from the root is known to be durable.
    pub(crate) prepared: Arc<Mutex<HashSet<PathBuf>>>,
    /// What may not be written again.
    pub(crate) redacted: Arc<RwLock<Redacted>>,
}

impl SegmentPlace {
    /// Makes sure that a directory exists and stays.
    ///
    /// Creating one syncs its parents. One that is found may have been made by a process that died before it came to
    /// that; so the way to it is synced once.
    fn prepare_dir(&self, dir: &Path) -> Result<()> {
        self.disk.create_dir_all(dir)?;
        if self.prepared.lock().contains(dir) {
            return Ok(());
        }
        for parent in dir.ancestors().skip(1) {
            self.disk.sync_dir(parent)?;
        }
        self.prepared.lock().insert(dir.to_owned());
        Ok(())
    }
}

/// Hands out the numbers of files; a number is used at most once in the life of a shard.
#[derive(Debug)]
pub(crate) struct Generations(AtomicU64);

impl Generations {
    pub(crate) fn starting_at(next: u64) -> Self {
        Self(AtomicU64::new(next))
    }

    pub(crate) fn take(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }

    /// Says that every number below `next` is used up.
    pub(crate) fn raise(&self, next: u64) {
        self.0.fetch_max(next, Ordering::Relaxed);
    }

    /// The number that [`take`](Self::take) would give next.
    pub(crate) fn next(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A group smaller than this may share a segment with other apps …
const SHARED_BYTES_MAX: u64 = 64 * 1024;
/// … once a flush would otherwise write more files than this.
const OWN_FILES_MAX: usize = 32;

/// Where a message goes: sorted, this is the order of files and of rows in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    bucket_start: Millis,
    bucket_end: Millis,
    /// Retention in days: apps share a segment only with those that expire together.
    class: u32,
    app: AppId,
}

type Row<'a> = (&'a Conversation, &'a Message);
type AppRows<'a> = (AppId, Vec<Row<'a>>);

/// Writes what a memtable holds and is not yet expired, under new generations, and adds each finished segment to
/// `written`, also when a later one fails.
///
/// # Errors
///
/// What the disk reports.
pub(crate) fn write_memtable(
    memtable: &Memtable,
    place: &SegmentPlace,
    apps: &dyn Apps,
    generations: &Generations,
    written: &mut Vec<(SegmentMeta, SegmentDays)>,
) -> Result<()> {
    memtable.with_runs(|runs| {
        let groups = group(runs, apps);
        let small = |rows: &Vec<Row<'_>>| {
            rows.iter()
                .map(|(_, message)| message.content_len())
                .sum::<u64>()
                < SHARED_BYTES_MAX
        };
        let may_share = groups.len() > OWN_FILES_MAX;
        let mut files: BTreeMap<(Bucket, u32, Option<AppId>), Vec<AppRows<'_>>> = BTreeMap::new();
        for (group, rows) in groups {
            let owner = if may_share && small(&rows) {
                None
            } else {
                Some(group.app)
            };
            let bucket = Bucket {
                start: group.bucket_start,
                end: group.bucket_end,
            };
            let class = if owner.is_some() { 0 } else { group.class };
            files
                .entry((bucket, class, owner))
                .or_default()
                .push((group.app, rows));
        }
        for ((bucket, _, owner), parts) in files {
            let owner = owner.map_or(Owner::Shared, Owner::App);
            let generation = generations.take();
            let head = SegmentHead {
                store: place.store,
                shard: place.shard,
                generation,
                owner,
                bucket,
            };
            written.extend(write_segment(place, apps, head, parts)?);
        }
        Ok(())
    })
}

/// Sorts the memtable's messages by file and, inside a file, by app, conversation and id.
fn group<'a>(runs: &'a [Run], apps: &dyn Apps) -> BTreeMap<Group, Vec<Row<'a>>> {
    let mut order: Vec<&Run> = runs.iter().collect();
    order.sort_unstable_by(|a, b| (a.app, &a.conversation).cmp(&(b.app, &b.conversation)));
    let mut groups: BTreeMap<Group, Vec<Row<'a>>> = BTreeMap::new();
    for run in order {
        // A deleted app's messages simply do not reach a segment.
        if apps.dir(run.app).is_none() {
            continue;
        }
        let class = apps.retention_days(run.app);
        let floor = apps.physical_floor(run.app);
        let mut bucket = bucket_of(0, class);
        for message in run.by_id().filter(|message| message.millis() >= floor) {
            let time = message.millis();
            if time < bucket.start || time >= bucket.end {
                bucket = bucket_of(time, class);
            }
            let group = Group {
                bucket_start: bucket.start,
                bucket_end: bucket.end,
                class,
                app: run.app,
            };
            groups
                .entry(group)
                .or_default()
                .push((&run.conversation, message));
        }
    }
    groups.retain(|group, _| group.bucket_end > apps.physical_floor(group.app));
    groups
}

fn write_segment(
    place: &SegmentPlace,
    apps: &dyn Apps,
    head: SegmentHead,
    parts: Vec<AppRows<'_>>,
) -> Result<Option<(SegmentMeta, SegmentDays)>> {
    let Some(mut writer) = start_segment(place, apps, head)? else {
        return Ok(None);
    };
    let redacted = place.redacted.read().clone();
    for (app, rows) in parts {
        for (conversation, message) in rows {
            let rest = redacted.without_content(app, message);
            writer.push(app, conversation, rest.as_ref().unwrap_or(message))?;
        }
    }
    writer.seal().map(Some)
}

/// Opens the writer of a new segment; `None` if its app was deleted meanwhile.
pub(crate) fn start_segment(
    place: &SegmentPlace,
    apps: &dyn Apps,
    head: SegmentHead,
) -> Result<Option<SegmentWriter>> {
    let Some(dir) = bucket_dir(apps, head.owner, head.bucket) else {
        return Ok(None);
    };
    place.prepare_dir(&dir)?;
    let path = dir.join(segment_file_name(head.shard, head.generation));
    SegmentWriter::create(&place.disk, &path, head, place.options).map(Some)
}
