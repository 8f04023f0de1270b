//! Small segments of one bucket become one.
//!
//! Segments are merged only with those of the same owner and bucket, never across buckets: those expire apart. While
//! a bucket is open, segments of similar size are merged four at a time, so a message is rewritten about once per
//! factor of four; once it is over and has come to rest, all that is left of it becomes one file.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tidestore_disk::Millis;

use crate::days::SegmentDays;
use crate::error::Result;
use crate::flush::{Generations, SegmentPlace, start_segment};
use crate::layout::Apps;
use crate::redact::Redacted;
use crate::segment::{AppShare, Bucket, Io, Lookup, Owner, SegmentHead, SegmentMeta, SegmentScan};
use crate::types::{AppId, Conversation, Message};
use crate::version::{Installed, Version};

/// Segments that are worth merging into one.
#[derive(Clone, Debug)]
pub struct MergeJob {
    pub(crate) inputs: Vec<Arc<Installed>>,
}

impl MergeJob {
    /// The smallest generation among the inputs; names the job.
    pub fn first(&self) -> u64 {
        self.inputs
            .iter()
            .map(|input| input.meta.generation)
            .min()
            .unwrap_or_default()
    }

    /// Where the inputs lie.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.inputs.iter().map(|input| input.path.clone()).collect()
    }
}

/// What a merge wrote; it takes effect when it is installed.
#[derive(Clone, Debug)]
pub struct Merged {
    /// The new segment; none if nothing was left to keep.
    pub added: Option<SegmentMeta>,
    /// How much of it belongs to each day.
    pub days: Option<SegmentDays>,
    /// Generations of the segments it replaces.
    pub removed: Vec<u64>,
    /// Bytes of the replaced files.
    pub bytes_in: u64,
}

/// When merging is worth it.
#[derive(Clone, Copy, Debug)]
pub struct MergeTime {
    /// The wall clock, to tell open buckets from closed ones.
    pub now: Millis,
    /// The monotonic clock, to tell whether a bucket has come to rest.
    pub monotonic: Duration,
    /// Merge all that can be merged, whatever size and age.
    pub force: bool,
}

/// So many segments of similar size are merged into one.
const FAN_IN: usize = 4;
/// A closed bucket is left alone so long after its last change, so that an import into old buckets does not rewrite
/// them at every flush.
const REST: Duration = Duration::from_mins(10);

/// Finds what to merge, oldest bucket first.
pub(crate) fn plan(version: &Version, apps: &dyn Apps, time: MergeTime) -> Vec<MergeJob> {
    let mut groups: BTreeMap<(Bucket, Owner, u32), Vec<Arc<Installed>>> = BTreeMap::new();
    for installed in version.segments.sorted() {
        let meta = &installed.meta;
        // A shared segment only meets segments whose apps keep messages as long as its own.
        let class = match meta.owner {
            Owner::App(_) => 0,
            Owner::Shared => meta
                .apps
                .first()
                .map_or(0, |share| apps.retention_days(share.app)),
        };
        groups
            .entry((meta.bucket, meta.owner, class))
            .or_default()
            .push(installed);
    }
    groups
        .into_iter()
        .filter_map(|((bucket, ..), group)| choose(group, apps, bucket, time))
        .collect()
}

/// Finds the segments that hold what is redacted.
pub(crate) fn plan_redactions(version: &Version, redacted: &Redacted) -> Result<Vec<MergeJob>> {
    let mut jobs = Vec::new();
    for installed in version.segments.sorted() {
        if holds(&installed, redacted)? {
            let inputs = vec![installed];
            jobs.push(MergeJob { inputs });
        }
    }
    Ok(jobs)
}

fn holds(installed: &Installed, redacted: &Redacted) -> Result<bool> {
    for (app, id) in &redacted.messages {
        let reaches = |share: &AppShare| share.min_id <= *id && share.max_id >= *id;
        if !installed.meta.share(*app).is_some_and(reaches) {
            continue;
        }
        let found = installed.segment.find(*app, *id, Io::Allowed)?;
        if matches!(found, Lookup::Ready(Some((.., message))) if message.has_content()) {
            return Ok(true);
        }
    }
    let of_sender = |app: AppId| redacted.senders.keys().any(|(erased, _)| *erased == app);
    if !installed.meta.apps.iter().any(|share| of_sender(share.app)) {
        return Ok(false);
    }
    for row in installed.segment.scan()? {
        let (app, _, message) = row?;
        if redacted.is_erased(app, &message) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn choose(
    mut group: Vec<Arc<Installed>>,
    apps: &dyn Apps,
    bucket: Bucket,
    time: MergeTime,
) -> Option<MergeJob> {
    // A segment that still holds a deleted app is rewritten even alone.
    let has_deleted = |installed: &Arc<Installed>| {
        installed.meta.owner == Owner::Shared
            && installed
                .meta
                .apps
                .iter()
                .any(|share| apps.dir(share.app).is_none())
    };
    if group.iter().any(has_deleted) {
        return Some(MergeJob { inputs: group });
    }
    if group.len() < 2 {
        return None;
    }
    let rested = group
        .iter()
        .all(|installed| installed.since + REST <= time.monotonic);
    if time.force || bucket.end <= time.now && rested {
        return Some(MergeJob { inputs: group });
    }
    group.sort_unstable_by_key(|installed| installed.meta.file_len);
    let mut total = 0;
    let similar = group
        .iter()
        .take_while(|installed| {
            let fits = total == 0 || installed.meta.file_len <= 2 * total;
            total += installed.meta.file_len;
            fits
        })
        .count();
    group.truncate(similar);
    (group.len() >= FAN_IN).then_some(MergeJob { inputs: group })
}

/// Writes the merged segment. Rows of deleted apps and rows below the physical floor are left out.
///
/// # Errors
///
/// [`Corruption`](crate::ErrorKind::Corruption) if an input cannot be read: then nothing is replaced.
pub(crate) fn write(
    job: &MergeJob,
    place: &SegmentPlace,
    apps: &dyn Apps,
    generations: &Generations,
) -> Result<Merged> {
    let merged = |written: Option<(SegmentMeta, SegmentDays)>| {
        let (added, days) = written.unzip();
        Merged {
            added,
            days,
            removed: job
                .inputs
                .iter()
                .map(|input| input.meta.generation)
                .collect(),
            bytes_in: job.inputs.iter().map(|input| input.meta.file_len).sum(),
        }
    };
    let Some(first) = job.inputs.first() else {
        return Ok(merged(None));
    };
    let head = SegmentHead {
        store: place.store,
        shard: place.shard,
        generation: generations.take(),
        owner: first.meta.owner,
        bucket: first.meta.bucket,
    };
    let mut rows = Union::open(&job.inputs)?;
    let mut keep = Keep::new(apps);
    let mut writer = None;
    let redacted = place.redacted.read().clone();
    while let Some((app, conversation, message)) = rows.next_row()? {
        if !keep.admits(app, &message) {
            continue;
        }
        if writer.is_none() {
            writer = start_segment(place, apps, head)?;
        }
        let Some(writer) = &mut writer else {
            return Ok(merged(None));
        };
        let rest = redacted.without_content(app, &message);
        writer.push(app, &conversation, rest.as_ref().unwrap_or(&message))?;
    }
    Ok(merged(
        writer
            .map(crate::segment::SegmentWriter::seal)
            .transpose()?,
    ))
}

/// Remembers the floor of the app whose rows are passing, so that the registry is asked once per app.
struct Keep<'a> {
    apps: &'a dyn Apps,
    current: Option<(AppId, Option<Millis>)>,
}

impl<'a> Keep<'a> {
    fn new(apps: &'a dyn Apps) -> Self {
        Self {
            apps,
            current: None,
        }
    }

    fn admits(&mut self, app: AppId, message: &Message) -> bool {
        let floor = match self.current {
            Some((known, floor)) if known == app => floor,
            _ => {
                let floor = self.apps.dir(app).map(|_| self.apps.physical_floor(app));
                self.current = Some((app, floor));
                floor
            }
        };
        floor.is_some_and(|floor| message.millis() >= floor)
    }
}

type Row = (AppId, Conversation, Message);

/// The rows of several segments in one order.
struct Union {
    heads: Vec<(Row, SegmentScan)>,
}

impl Union {
    fn open(inputs: &[Arc<Installed>]) -> Result<Self> {
        let mut heads = Vec::with_capacity(inputs.len());
        for input in inputs {
            let mut scan = input.segment.scan()?;
            if let Some(row) = scan.next().transpose()? {
                heads.push((row, scan));
            }
        }
        Ok(Self { heads })
    }

    fn next_row(&mut self) -> Result<Option<Row>> {
        let order = |(row, _): &(Row, SegmentScan)| (row.0, row.1.clone(), row.2.id);
        // Inputs are few, so a linear search for the smallest beats a heap.
        let smallest = self
            .heads
            .iter()
            .enumerate()
            .min_by_key(|(_, head)| order(head));
        let Some(index) = smallest.map(|(index, _)| index) else {
            return Ok(None);
        };
        let next = match self.heads.get_mut(index) {
            Some((_, scan)) => scan.next().transpose()?,
            None => None,
        };
        match (next, self.heads.get_mut(index)) {
            (Some(next), Some((row, _))) => Ok(Some(std::mem::replace(row, next))),
            _ => Ok(Some(self.heads.swap_remove(index).0)),
        }
    }
}
