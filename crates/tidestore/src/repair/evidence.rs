//! What files say of a shard whose tables or manifest changes are damaged.
//!
//! Segments name their app, bucket and messages, so the manifest can be told from them: a file that nobody names is taken
//! back if it holds a message that no named file has, the youngest file first, for a merge replaces older ones. Heads are
//! counted from all messages. Apps come back under the name of their directory, on terms that expire nothing.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidestore_disk::{Disk, FileCache, decode_name};
use tidestore_kv::{Batch, Engine, page_of};
use tidestore_messages::{
    AppId, Apps, BlockCache, Io, MessageId, Owner, Segment, SegmentHead, SegmentMeta, StoreId,
    day_of, segment_path,
};
use tidestore_messages::{DayCount, DayShare};
use tidestore_plan::{AppKey, Caps, Plan, Retention, Terms};

use super::Work;
use super::identity::{all_files, volume_head};
use crate::apps::{AppRecord, Registry, TermsRecord};
use crate::delivery::tables::ACTIVITY;
use crate::error::Result;
use crate::shard::Heads;
use crate::shards::shard_of;
use crate::tables;

/// A segment file as it was found.
#[derive(Debug)]
pub(super) struct FoundSegment {
    pub(super) path: PathBuf,
    pub(super) head: SegmentHead,
    /// What the manifest would say of it.
    pub(super) meta: SegmentMeta,
    pub(super) is_whole: bool,
}

/// Everything that the files of a store say, without its tables.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    pub(super) segments: Vec<FoundSegment>,
    /// Numbers of apps, with the directory that holds something of them.
    pub(super) apps: BTreeMap<u32, Option<String>>,
    /// The largest number of any file, by shard.
    pub(super) generations: BTreeMap<u16, u64>,
}

impl Evidence {
    pub(super) fn gather(disk: &Arc<dyn Disk>, store: [u8; 16]) -> Result<Self> {
        let mut evidence = Self::default();
        for path in all_files(disk, Path::new(""))? {
            let extension = path.extension().and_then(|extension| extension.to_str());
            match extension {
                Some("seg") => evidence.segment(disk, store, path)?,
                Some("vol") => {
                    if let Some(head) = volume_head(disk, &path)
                        && head.store == store
                    {
                        evidence.app(head.app, &path);
                    }
                }
                _ => {}
            }
        }
        // Also those that were set aside: a number is used once.
        for path in all_files(disk, Path::new("quarantine"))?
            .into_iter()
            .chain(all_files(disk, Path::new("receipts"))?)
        {
            evidence.number(&path);
        }
        Ok(evidence)
    }

    fn segment(&mut self, disk: &Arc<dyn Disk>, store: [u8; 16], path: PathBuf) -> Result<()> {
        self.number(&path);
        let Ok((head, footer)) = tidestore_messages::identify(disk, &path) else {
            return Ok(());
        };
        if head.store.0 != store {
            return Ok(());
        }
        if let Owner::App(app) = head.owner {
            self.app(app, &path);
        }
        let whole = tidestore_messages::inspect(disk, &path).ok();
        let len = disk.metadata(&path)?.len;
        let is_whole = whole.is_some();
        let meta = whole
            .map(|report| report.meta)
            .or(footer)
            .unwrap_or_else(|| tidestore_messages::meta_of_header(&head, len));
        for share in &meta.apps {
            self.apps.entry(share.app.0).or_default();
        }
        self.segments.push(FoundSegment {
            path,
            head,
            meta,
            is_whole,
        });
        Ok(())
    }

    /// Notes the number in a file's name: `SHARD-NUMBER.seg` or `receipts/shard-NN/NUMBER.rcp`.
    fn number(&mut self, path: &Path) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let stem = name.split('.').next().unwrap_or_default();
        let found = if let Some((shard, number)) = stem.split_once('-') {
            shard.parse().ok().zip(number.parse().ok())
        } else {
            let shard = path.iter().find_map(|name| {
                let number = name.to_str()?.strip_prefix("shard-")?;
                number.parse().ok()
            });
            shard.zip(stem.parse().ok())
        };
        // Volumes have numbers of another kind, which are far larger.
        if let Some((shard, number)) = found
            && number < 1 << 40
        {
            let last = self.generations.entry(shard).or_default();
            *last = (*last).max(number);
        }
    }

    fn app(&mut self, app: AppId, path: &Path) {
        let mut names = path.iter().filter_map(|name| name.to_str());
        let dir = (names.next() == Some("apps"))
            .then(|| names.next())
            .flatten()
            .and_then(decode_name);
        let known = self.apps.entry(app.0).or_default();
        if known.is_none() {
            *known = dir;
        }
    }
}

/// Brings back apps whose home a shard is and that its tables do not name any more.
pub(super) fn bring_back_apps(
    work: &mut Work,
    shard: u16,
    evidence: &Evidence,
    registry: &Registry,
    deleted: &HashSet<u32>,
    batch: &mut Batch,
) -> Result<()> {
    let shards = usize::from(work.store.shards);
    let home = |key: &str| shard_of(&work.store.id, shards, key.as_bytes(), b"");
    let mut last = 0;
    let mut told = Vec::new();
    for (&id, dir) in &evidence.apps {
        // The number of an app tells its home.
        if id % u32::from(work.store.shards) != u32::from(shard) {
            continue;
        }
        last = last.max(u64::from(id));
        if registry.by_id(AppId(id)).is_some() || deleted.contains(&id) {
            continue;
        }
        let own = dir
            .as_ref()
            .filter(|key| AppKey::parse(key).is_ok() && home(key) == usize::from(shard));
        let key = match own {
            Some(key) => key.clone(),
            // Only files that several apps share know of it. Its home follows from its key, so one is made that fits.
            None => (0..10_000_u32)
                .map(|n| format!("recovered#app{id}n{n}"))
                .find(|key| home(key) == usize::from(shard))
                .unwrap_or_default(),
        };
        if AppKey::parse(&key).is_err() || registry.all().iter().any(|app| app.key == key) {
            continue;
        }
        let retention = Retention::days(Retention::DAYS_MAX).map_err(crate::error::Error::from)?;
        let terms = Terms::enterprise(Caps {
            retention,
            ..Plan::Enterprise.caps()
        });
        let record = AppRecord {
            id,
            key: key.clone(),
            terms: TermsRecord::of(&terms),
            created: work.store.created,
            floor: 0,
            undo: None,
        };
        tables::put_row(batch, tables::APPS, id.to_be_bytes(), &record)?;
        registry.put(record);
        told.push(key);
    }
    if last > 0 {
        tables::put_number(batch, tables::LAST_APP, last);
    }
    for key in told {
        work.step(format!(
            "the app {key} came back on terms that expire nothing (enterprise, {} days): set its plan",
            Retention::DAYS_MAX
        ));
        work.report.other_losses.push(format!(
            "{key}: its plan, its floor, and every row that only the tables had"
        ));
    }
    Ok(())
}

/// The manifest of a shard, told from its files.
#[derive(Debug, Default)]
pub(super) struct Manifest {
    /// Files that were taken back.
    pub(super) adopted: Vec<SegmentMeta>,
    /// Files that are named and whose messages others hold.
    pub(super) dropped: Vec<u64>,
}

/// Decides which segment files of a shard make up its messages.
pub(super) fn tell_manifest(
    work: &Work,
    shard: u16,
    evidence: &Evidence,
    registry: &Registry,
    engine: &dyn Engine,
) -> Result<Manifest> {
    let named: BTreeMap<u64, SegmentMeta> = tables::rows::<SegmentMeta>(engine, tables::SEGMENTS)?
        .into_iter()
        .map(|meta| (meta.generation, meta))
        .collect();
    let readers = Readers::new(work);
    let mut found: Vec<&FoundSegment> = evidence
        .segments
        .iter()
        .filter(|found| found.head.shard == shard && is_in_place(registry, found))
        .collect();
    found.sort_unstable_by_key(|found| std::cmp::Reverse(found.head.generation));
    let mut manifest = Manifest::default();
    let mut kept: Vec<(SegmentMeta, Segment)> = Vec::new();
    for found in found {
        let is_named = named.contains_key(&found.head.generation);
        let meta = named.get(&found.head.generation).unwrap_or(&found.meta);
        if !is_named && has_expired(registry, meta) {
            continue;
        }
        let segment = readers.segment(&found.path, meta);
        let near: Vec<&(SegmentMeta, Segment)> = kept
            .iter()
            .filter(|(other, _)| overlaps(other, meta))
            .collect();
        if found.is_whole && is_covered(&segment, &near)? {
            if is_named {
                manifest.dropped.push(meta.generation);
            }
            continue;
        }
        if !is_named {
            manifest.adopted.push(meta.clone());
        }
        if found.is_whole {
            kept.push((meta.clone(), segment));
        }
    }
    Ok(manifest)
}

/// Whether a file lies where one of its name and header belongs.
fn is_in_place(registry: &Registry, found: &FoundSegment) -> bool {
    segment_path(registry, &found.meta).is_some_and(|path| path == found.path)
}

fn has_expired(registry: &Registry, meta: &SegmentMeta) -> bool {
    !meta.apps.is_empty()
        && meta.apps.iter().all(|share| {
            Apps::dir(registry, share.app).is_none()
                || Apps::physical_floor(registry, share.app) >= meta.bucket.end
        })
}

fn overlaps(a: &SegmentMeta, b: &SegmentMeta) -> bool {
    a.apps.iter().any(|a| {
        b.share(a.app)
            .is_some_and(|b| a.min_id <= b.max_id && b.min_id <= a.max_id)
    })
}

/// Whether every message of a segment lies in one of the others.
fn is_covered(segment: &Segment, others: &[&(SegmentMeta, Segment)]) -> Result<bool> {
    if others.is_empty() {
        return Ok(false);
    }
    for row in segment.scan()? {
        let (app, _, message) = row?;
        let is_there = others
            .iter()
            .any(|(_, other)| holds(other, app, message.id));
        if !is_there {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a segment has a message that can be read.
pub(super) fn holds(segment: &Segment, app: AppId, id: MessageId) -> bool {
    let found = segment.find(app, id, Io::Allowed);
    found.is_ok_and(|found| found.ready().flatten().is_some())
}

/// Opens segments one after the other.
#[derive(Debug)]
pub(super) struct Readers {
    files: Arc<FileCache>,
    blocks: Arc<BlockCache>,
    store: StoreId,
}

impl Readers {
    pub(super) fn new(work: &Work) -> Self {
        Self {
            files: Arc::new(FileCache::new(Arc::clone(&work.env.disk), 32)),
            blocks: Arc::new(BlockCache::new(16 << 20)),
            store: StoreId(work.store.id),
        }
    }

    pub(super) fn segment(&self, path: &Path, meta: &SegmentMeta) -> Segment {
        let (files, blocks) = (Arc::clone(&self.files), Arc::clone(&self.blocks));
        Segment::open(files, blocks, path, self.store, meta)
    }
}

/// So many conversations are counted before their heads are written.
const HEADS_MAX: usize = 100_000;

/// Writes the manifest, and counts heads and days again from all messages that can be read.
pub(super) fn write_views(
    work: &Work,
    registry: &Registry,
    engine: &dyn Engine,
    manifest: &Manifest,
) -> Result<u64> {
    let mut batch = Batch::new();
    for meta in &manifest.adopted {
        tables::put_row(
            &mut batch,
            tables::SEGMENTS,
            meta.generation.to_be_bytes(),
            meta,
        )?;
    }
    for generation in &manifest.dropped {
        batch.delete(tables::SEGMENTS, generation.to_be_bytes());
        batch.delete(tables::DAYS, generation.to_be_bytes());
    }
    engine.write(batch)?;
    // Which rows of these are lost nobody knows; they follow from heads, and opening makes them anew.
    clear(engine, ACTIVITY)?;
    let mut batch = Batch::new();
    batch.delete(tables::META, tables::ACTIVITY_COMPLETE.as_bytes());
    engine.write(batch)?;
    let readers = Readers::new(work);
    let heads = Heads::new(HEADS_MAX);
    let mut known = HashSet::new();
    let mut last_live = tables::number(engine, tables::LAST_LIVE)?;
    for meta in tables::rows::<SegmentMeta>(engine, tables::SEGMENTS)? {
        let Some(path) = segment_path(registry, &meta) else {
            continue;
        };
        let Ok(scan) = readers.segment(&path, &meta).scan() else {
            continue;
        };
        let mut days: BTreeMap<(AppId, u32), DayCount> = BTreeMap::new();
        let mut is_whole = true;
        for row in scan {
            let Ok((app, conversation, message)) = row else {
                is_whole = false;
                continue;
            };
            days.entry((app, day_of(message.millis())))
                .or_default()
                .add(DayCount {
                    messages: 1,
                    body_bytes: message.content_len(),
                });
            if !message.id.is_imported() {
                last_live = last_live.max(message.id.0);
            }
            heads.load(engine, app, &conversation)?;
            heads.advance([(app, &conversation, &message)]);
            known.insert((app, conversation));
        }
        let mut batch = Batch::new();
        if is_whole {
            let share = |(&(app, day), count): (&(AppId, u32), &DayCount)| DayShare {
                app,
                day,
                messages: count.messages,
                body_bytes: count.body_bytes,
            };
            let shares: Vec<DayShare> = days.iter().map(share).collect();
            let key = meta.generation.to_be_bytes();
            tables::put_row(&mut batch, tables::DAYS, key, &shares)?;
        }
        if known.len() > HEADS_MAX {
            known.clear();
            heads.checkpoint(&mut batch);
            heads.checkpoint(&mut Batch::new());
        }
        engine.write(batch)?;
    }
    let mut batch = Batch::new();
    heads.checkpoint(&mut batch);
    engine.write(batch)?;
    clear(engine, ACTIVITY)?;
    Ok(last_live)
}

fn clear(engine: &dyn Engine, table: tidestore_kv::Table) -> Result<()> {
    loop {
        let page = page_of(engine, table, b"", None, false, 1_024)?;
        if page.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::new();
        for (key, _) in page {
            batch.delete(table, key);
        }
        engine.write(batch)?;
    }
}

/// Names receipt runs that are whole and that the manifest does not name. When they were written is not in them, so their
/// window begins anew.
pub(super) fn adopt_receipts(work: &Work, shard: u16, engine: &dyn Engine) -> Result<()> {
    let named: BTreeSet<u64> =
        tables::rows::<tidestore_messages::ReceiptRunMeta>(engine, tables::RECEIPTS)?
            .into_iter()
            .map(|run| run.generation)
            .collect();
    let mut batch = Batch::new();
    for path in all_files(&work.env.disk, &tidestore_messages::receipts_dir(shard))? {
        let now = work.env.clock.wall();
        let store = StoreId(work.store.id);
        let found = tidestore_messages::describe_receipts(&work.env.disk, &path, store, shard, now);
        if let Ok(meta) = found
            && !named.contains(&meta.generation)
            && tidestore_messages::receipt_run_path(shard, meta.generation) == path
        {
            let key = meta.generation.to_be_bytes();
            tables::put_row(&mut batch, tables::RECEIPTS, key, &meta)?;
        }
    }
    Ok(engine.write(batch)?)
}
