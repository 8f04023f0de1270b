//! The messages of one shard, as a view of its log.
//!
//! The committer inserts what is durable, freezes a full memtable and installs what background work wrote; readers
//! take the current [`Version`] and never wait for any of that. Nothing here is durable by itself: the manifest that
//! names the files is a table the facade keeps, and what is in a memtable is in the log.

mod removal;

use std::path::PathBuf;
use std::sync::Arc;

use tidestore_disk::sync::{Mutex, RwLock};
use tidestore_disk::{Clock, Disk, FileCache, Millis};

use crate::days::SegmentDays;
use crate::error::{ErrorKind, Result};
use crate::flush::{Generations, SegmentPlace, write_memtable};
use crate::layout::{Apps, receipt_run_path, receipts_dir, segment_path};
use crate::memtable::{Applied, Memtable};
use crate::merge::{self, MergeJob, MergeTime, Merged};
use crate::receipts::{Receipt, ReceiptKey, ReceiptRun, ReceiptRunMeta, RunPlace};
use crate::redact::Redacted;
use crate::segment::{BlockCache, Segment, SegmentMeta, SegmentOptions, StoreId};
use crate::types::{AppId, MessageId};
use crate::version::{Frozen, Installed, Segments, Version};

pub use removal::{Expirable, Removed};

/// What a view is made of.
#[derive(Clone, Debug)]
pub struct ViewParts {
    /// The disk all files lie on.
    pub disk: Arc<dyn Disk>,
    /// Tells when a segment was installed.
    pub clock: Arc<dyn Clock>,
    /// Open files, shared by all shards.
    pub files: Arc<FileCache>,
    /// Decoded blocks, shared by all shards.
    pub blocks: Arc<BlockCache>,
    /// What the view asks about apps.
    pub apps: Arc<dyn Apps>,
    /// The store's random identity, part of every checksum.
    pub store: StoreId,
    /// The shard.
    pub shard: u16,
    /// How segments are written.
    pub options: SegmentOptions,
    /// What may not be written again.
    pub redacted: Arc<RwLock<Redacted>>,
}

/// The files of a shard, as the facade's manifest table names them.
#[derive(Clone, Debug, Default)]
pub struct Manifest {
    /// Every segment.
    pub segments: Vec<SegmentMeta>,
    /// Every receipt run.
    pub receipts: Vec<ReceiptRunMeta>,
    /// The number of the next file.
    pub next_generation: u64,
}

/// How many files a view names, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileTally {
    /// Segments.
    pub segments: u64,
    /// Bytes of segments.
    pub segment_bytes: u64,
    /// Receipt runs.
    pub receipt_runs: u64,
    /// Bytes of receipt runs.
    pub receipt_bytes: u64,
}

/// What a flush wrote; it takes effect when it is installed.
#[derive(Clone, Debug)]
pub struct Flushed {
    /// The new segments.
    pub added: Vec<SegmentMeta>,
    /// How much of each belongs to which day; taking effect does not need it.
    pub days: Vec<SegmentDays>,
    /// The new receipt run, if any append named a client id.
    pub receipts: Option<ReceiptRunMeta>,
    /// The last log position that is now in segments.
    pub through: u64,
}

/// The messages of one shard.
#[derive(Debug)]
pub struct MessageView {
    pub(crate) parts: ViewParts,
    pub(crate) place: SegmentPlace,
    current: RwLock<Arc<Version>>,
    generations: Generations,
    kept: Mutex<Kept>,
}

/// Files that may not leave the disk yet, because somebody copies what the view held.
#[derive(Debug, Default)]
struct Kept {
    /// How many do.
    holders: usize,
    /// What left the view meanwhile.
    waiting: Vec<PathBuf>,
}

impl MessageView {
    /// Builds the view over the files that the manifest names. Reads no file: costs nothing per message.
    pub fn open(parts: ViewParts, manifest: Manifest) -> Self {
        let place = SegmentPlace {
            disk: Arc::clone(&parts.disk),
            store: parts.store,
            shard: parts.shard,
            options: parts.options,
            prepared: Arc::default(),
            redacted: Arc::clone(&parts.redacted),
        };
        let mut receipts: Vec<_> = manifest.receipts;
        receipts.sort_unstable_by_key(|meta| std::cmp::Reverse(meta.generation));
        let view = Self {
            place,
            generations: Generations::starting_at(manifest.next_generation),
            current: RwLock::default(),
            kept: Mutex::default(),
            parts,
        };
        let added = view.wrap(manifest.segments);
        let version = Version {
            segments: Arc::new(Segments::default().changed(&[], added)),
            receipts: receipts
                .into_iter()
                .map(|meta| view.wrap_receipts(meta))
                .collect(),
            ..Version::default()
        };
        *view.current.write() = Arc::new(version);
        view
    }

    /// Adds committed messages, in log order. Committer only.
    pub fn insert(&self, batch: impl IntoIterator<Item = Applied>) {
        self.version().active.insert(batch);
    }

    /// Estimated memory of the memtable that takes new messages, in bytes.
    pub fn active_bytes(&self) -> usize {
        self.version().active.bytes()
    }

    /// What the caches hold; all shards share them.
    pub fn caches(&self) -> &BlockCache {
        &self.parts.blocks
    }

    /// How many files are kept open for reading, of all shards.
    pub fn open_files(&self) -> usize {
        self.parts.files.len()
    }

    /// Counts the files that the view names. Costs a pass over the manifest.
    pub fn tally(&self) -> FileTally {
        let version = self.version();
        let mut tally = FileTally::default();
        for installed in version.segments.iter() {
            tally.segments += 1;
            tally.segment_bytes += installed.meta.file_len;
        }
        for run in &version.receipts {
            tally.receipt_runs += 1;
            tally.receipt_bytes += run.meta.file_len;
        }
        tally
    }

    /// How many full memtables wait to be flushed.
    pub fn frozen_count(&self) -> usize {
        self.version().frozen.len()
    }

    /// Sets a fresh memtable in place of the active one, which holds everything up to log position `through`.
    /// Committer only. Does nothing and answers `false` if the active one is empty.
    pub fn freeze(&self, through: u64) -> bool {
        let mut current = self.current.write();
        if current.active.is_empty() {
            return false;
        }
        let mut next = Version::clone(&current);
        let memtable = std::mem::take(&mut next.active);
        next.frozen.push(Arc::new(Frozen { memtable, through }));
        *current = Arc::new(next);
        true
    }

    /// The oldest full memtable.
    pub fn oldest_frozen(&self) -> Option<Arc<Frozen>> {
        self.version().frozen.first().cloned()
    }

    /// Writes a full memtable as segments and a receipt run.
    ///
    /// # Errors
    ///
    /// What the disk reports; the memtable stays, and the attempt can be repeated.
    pub fn write_frozen(&self, frozen: &Frozen, now: Millis) -> Result<Flushed> {
        let memtable = &frozen.memtable;
        let mut written = Vec::new();
        let (apps, numbers) = (&*self.parts.apps, &self.generations);
        let done = write_memtable(memtable, &self.place, apps, numbers, &mut written);
        let (added, days): (Vec<_>, Vec<_>) = written.into_iter().unzip();
        match done.and_then(|()| self.write_receipts(memtable, now)) {
            Ok(receipts) => Ok(Flushed {
                added,
                days,
                receipts,
                through: frozen.through,
            }),
            Err(error) => {
                self.discard(&added, None);
                Err(error)
            }
        }
    }

    /// Takes files off the disk that were written and will not be named by the manifest; otherwise every repetition on a
    /// full disk would leave some. Best effort: what stays is swept at the next opening.
    pub fn discard(&self, segments: &[SegmentMeta], receipts: Option<&ReceiptRunMeta>) {
        let paths = segments
            .iter()
            .filter_map(|meta| segment_path(&*self.parts.apps, meta));
        let run = receipts.map(|run| receipt_run_path(self.parts.shard, run.generation));
        let paths: Vec<PathBuf> = paths.chain(run).collect();
        drop(self.unlink(&paths));
    }

    fn write_receipts(&self, memtable: &Memtable, now: Millis) -> Result<Option<ReceiptRunMeta>> {
        let receipts = memtable.receipts();
        if receipts.is_empty() {
            return Ok(None);
        }
        let shard = self.parts.shard;
        self.parts.disk.create_dir_all(&receipts_dir(shard))?;
        let generation = self.generations.take();
        let place = RunPlace {
            store: self.parts.store,
            shard,
            generation,
            written: now,
        };
        let path = receipt_run_path(shard, generation);
        ReceiptRun::write(&self.parts.disk, &path, place, receipts).map(Some)
    }

    /// Lets a flush take effect: its segments replace the oldest full memtable. Committer only.
    pub fn install_flush(&self, flushed: Flushed) {
        self.replace(|next| {
            next.frozen
                .retain(|frozen| frozen.through > flushed.through);
            next.segments = Arc::new(next.segments.changed(&[], self.wrap(flushed.added)));
            if let Some(meta) = flushed.receipts {
                next.receipts.insert(0, self.wrap_receipts(meta));
            }
        });
    }

    /// What is worth merging now, oldest bucket first.
    pub fn plan_merges(&self, time: MergeTime) -> Vec<MergeJob> {
        merge::plan(&self.version(), &*self.parts.apps, time)
    }

    /// Segments that hold a content which may not stay, each to be written anew by itself. Reads the blocks where a
    /// recalled message lies, and for an erased sender all of the app's.
    ///
    /// # Errors
    ///
    /// What reading a segment reports.
    pub fn plan_redactions(&self, redacted: &Redacted) -> Result<Vec<MergeJob>> {
        merge::plan_redactions(&self.version(), redacted)
    }

    /// Writes a merged segment; it takes effect when it is installed.
    ///
    /// # Errors
    ///
    /// [`Corruption`](ErrorKind::Corruption) if an input cannot be read, or what the disk reports; nothing changed.
    pub fn write_merge(&self, job: &MergeJob) -> Result<Merged> {
        merge::write(job, &self.place, &*self.parts.apps, &self.generations)
    }

    /// Lets segments appear and others disappear from the view. Committer only. The files of the removed ones are
    /// still there: see [`unlink`](Self::unlink).
    pub fn install_change(&self, added: Vec<SegmentMeta>, removed: &[u64]) -> Vec<Removed> {
        let mut gone = Vec::new();
        self.replace(|next| {
            gone.extend(
                removed
                    .iter()
                    .filter_map(|g| next.segments.get(*g))
                    .map(Removed::of),
            );
            next.segments = Arc::new(next.segments.changed(removed, self.wrap(added)));
        });
        gone
    }

    /// Lets receipt runs disappear from the view. Committer only.
    pub fn install_receipts_removed(&self, removed: &[u64]) -> Vec<Removed> {
        let mut gone = Vec::new();
        self.replace(|next| {
            next.receipts.retain(|run| {
                let keep = !removed.contains(&run.meta.generation);
                if !keep {
                    gone.push(Removed {
                        path: run.path.clone(),
                        ..Removed::default()
                    });
                }
                keep
            });
        });
        gone
    }

    /// The receipt that an append with this key got within the dedupe window.
    ///
    /// # Errors
    ///
    /// What reading a receipt run reports.
    pub fn receipt(&self, key: ReceiptKey) -> Result<Option<Receipt>> {
        let version = self.version();
        if let Some(receipt) = version
            .memtables()
            .find_map(|memtable| memtable.receipt(&key))
        {
            return Ok(Some(receipt));
        }
        for run in &version.receipts {
            match run.find(&self.parts.files, key) {
                Ok(Some(receipt)) => return Ok(Some(receipt)),
                Ok(None) => {}
                // A damaged run makes a late retry a second message; it must not make every append fail. Verification
                // names it.
                Err(error)
                    if matches!(error.kind(), ErrorKind::Corruption | ErrorKind::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// The largest imported id of an app in `[low, high]`. Reads a segment only if its ids reach into the range.
    ///
    /// # Errors
    ///
    /// What reading a segment reports.
    pub fn max_imported(
        &self,
        app: AppId,
        low: MessageId,
        high: MessageId,
    ) -> Result<Option<MessageId>> {
        let version = self.version();
        let mut max = version
            .memtables()
            .filter_map(|m| m.max_imported(app, low, high))
            .max();
        for installed in version.segments.of_app(app) {
            let Some(share) = installed.meta.share(app) else {
                continue;
            };
            if share.max_id < low {
                break;
            }
            if share.min_id <= high {
                max = max.max(installed.segment.max_id_between(app, low, high)?);
            }
        }
        Ok(max)
    }

    /// What lies in memory, per app: the time of its oldest message.
    pub fn memory_tallies(&self) -> Vec<(AppId, Millis)> {
        let version = self.version();
        let tallies = version.memtables().flat_map(Memtable::tallies);
        tallies
            .map(|(app, tally)| (app, tally.min_id.millis()))
            .collect()
    }

    /// The number that the next file will get; every file the manifest names has a smaller one.
    pub fn next_generation(&self) -> u64 {
        self.generations.next()
    }

    /// Takes a number for a new file.
    pub(crate) fn take_generation(&self) -> u64 {
        self.generations.take()
    }

    /// Says that every file number below `next` is used up. A replay must say so before anything is written: a number
    /// used twice would replace a file that is needed.
    pub fn raise_generation(&self, next: u64) {
        self.generations.raise(next);
    }

    /// The manifest's rows, as they are now.
    pub fn manifest(&self) -> Manifest {
        let version = self.version();
        Manifest {
            segments: version
                .segments
                .sorted()
                .iter()
                .map(|i| i.meta.clone())
                .collect(),
            receipts: version
                .receipts
                .iter()
                .map(|run| run.meta.clone())
                .collect(),
            next_generation: self.generations.next(),
        }
    }

    /// The moment readers see now.
    pub(crate) fn version(&self) -> Arc<Version> {
        Arc::clone(&self.current.read())
    }

    /// Whether this is still the moment that readers see.
    pub(crate) fn is_current(&self, seen: &Arc<Version>) -> bool {
        Arc::ptr_eq(seen, &self.version())
    }

    /// Whether the view still names a segment.
    pub(crate) fn names(&self, generation: u64) -> bool {
        self.version().segments.get(generation).is_some()
    }

    /// Whether the view still names a receipt run.
    pub(crate) fn names_receipts(&self, generation: u64) -> bool {
        let version = self.version();
        version
            .receipts
            .iter()
            .any(|run| run.meta.generation == generation)
    }

    fn replace(&self, change: impl FnOnce(&mut Version)) {
        let mut current = self.current.write();
        let mut next = Version::clone(&current);
        change(&mut next);
        *current = Arc::new(next);
    }

    fn wrap(&self, metas: Vec<SegmentMeta>) -> Vec<Arc<Installed>> {
        let since = self.parts.clock.monotonic();
        let parts = &self.parts;
        // A segment of a deleted app has no path any more; its files went with the app's directory.
        let wrapped = metas.into_iter().filter_map(|meta| {
            let path = segment_path(&*parts.apps, &meta)?;
            let (files, blocks) = (Arc::clone(&parts.files), Arc::clone(&parts.blocks));
            let segment = Segment::open(files, blocks, &path, parts.store, &meta);
            Some(Arc::new(Installed {
                meta,
                path,
                segment,
                since,
            }))
        });
        wrapped.collect()
    }

    fn wrap_receipts(&self, meta: ReceiptRunMeta) -> Arc<ReceiptRun> {
        let path = receipt_run_path(self.parts.shard, meta.generation);
        Arc::new(ReceiptRun::open(
            path,
            self.parts.store,
            self.parts.shard,
            meta,
            self.parts.blocks.prefixes(),
        ))
    }
}
