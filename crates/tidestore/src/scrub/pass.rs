//! One pass over everything that is stored.
//!
//! What is read was whole when it was written and may have left since: by expiry, by a merge, by a log that was trimmed. So
//! nothing is damage before it has been looked at twice and is still named.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidestore_blobs::index::{self, NamedVolume};
use tidestore_disk::{Disk, FileCache};
use tidestore_kv::{Table, page_of};
use tidestore_messages::{ReceiptRunMeta, SegmentMeta, segment_path};

use super::paced::{Pace, PacedDisk};
use crate::record::decode_batch;
use crate::shard::{Shard, log_dir, views_dir};
use crate::verify::Problem;

/// Something that is read as a whole.
#[derive(Clone, Debug)]
enum Item {
    Segment(Arc<Shard>, Box<SegmentMeta>),
    Receipts(Arc<Shard>, ReceiptRunMeta),
    Volume(Arc<Shard>, NamedVolume),
    Log(Arc<Shard>),
    Tables(Arc<Shard>),
}

/// A pass, and what it reads through.
#[derive(Debug)]
pub(super) struct Pass {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) store: [u8; 16],
    pub(super) pace: Arc<Pace>,
}

/// What is wrong: where, and what.
type Found = Vec<(Option<u64>, String)>;

impl Pass {
    pub(super) fn new(disk: &Arc<dyn Disk>, store: [u8; 16], pace: &Arc<Pace>) -> Self {
        let paced = PacedDisk {
            base: Arc::clone(disk),
            pace: Arc::clone(pace),
        };
        Self {
            disk: Arc::new(paced),
            store,
            pace: Arc::clone(pace),
        }
    }

    /// Reads everything behind a place, in the order of paths, and tells after each file what was found in it. Says
    /// whether it came to the end.
    pub(super) fn run(
        &self,
        shards: &[Arc<Shard>],
        behind: Option<&Path>,
        told: &mut dyn FnMut(&Path, Vec<Problem>),
    ) -> bool {
        let mut items = BTreeMap::new();
        for shard in shards {
            items.extend(items_of(shard));
        }
        for (path, item) in items {
            if behind.is_some_and(|behind| path.as_path() <= behind) {
                continue;
            }
            let mut found = self.look(&path, &item);
            if !found.is_empty() && !self.pace.is_stopped() {
                // Once more: what was on its way, or has left, is no damage.
                let again = self.look(&path, &item);
                found.retain(|problem| again.contains(problem));
                if !is_named(&path, &item) {
                    found.clear();
                }
            }
            if self.pace.is_stopped() {
                return false;
            }
            let problem = |(offset, detail)| Problem {
                path: path.clone(),
                offset,
                detail,
                is_mendable: true,
            };
            told(&path, found.into_iter().map(problem).collect());
        }
        true
    }

    fn look(&self, path: &Path, item: &Item) -> Found {
        match item {
            Item::Segment(_, meta) => self.segment(path, meta),
            Item::Receipts(shard, meta) => self.receipts(path, shard, meta),
            Item::Volume(shard, volume) => self.volume(shard, volume),
            Item::Log(shard) => self.log(shard),
            Item::Tables(shard) => self.tables(shard),
        }
    }

    /// With caches of its own, which go with the file: readers keep theirs.
    fn segment(&self, path: &Path, meta: &SegmentMeta) -> Found {
        match tidestore_messages::inspect(&self.disk, path) {
            Ok(report) if report.store.0 == self.store && report.meta == *meta => Vec::new(),
            Ok(_) => vec![(
                None,
                "the file is not the one that the manifest names".to_owned(),
            )],
            Err(error) => {
                let offset = error.disk().and_then(tidestore_disk::Error::offset);
                vec![(offset, error.to_string())]
            }
        }
    }

    fn receipts(&self, path: &Path, shard: &Shard, meta: &ReceiptRunMeta) -> Found {
        let (store, written) = (shard.store, meta.written);
        let found =
            tidestore_messages::describe_receipts(&self.disk, path, store, shard.number, written);
        match found {
            Ok(found) if found == *meta => Vec::new(),
            Ok(_) => vec![(
                None,
                "the file is not the one that the manifest names".to_owned(),
            )],
            Err(error) => {
                let offset = error.disk().and_then(tidestore_disk::Error::offset);
                vec![(offset, error.to_string())]
            }
        }
    }

    fn volume(&self, shard: &Shard, volume: &NamedVolume) -> Found {
        let contents = match index::contents_of(&*shard.engine, volume) {
            Ok(contents) => contents,
            Err(error) => return vec![(None, error.to_string())],
        };
        if shard.is_gone_early(&*self.disk, volume) {
            return vec![];
        }
        let files = FileCache::new(Arc::clone(&self.disk), 1);
        let mut found = Vec::new();
        for (at, hash) in contents {
            if let Err(error) = index::read_through(&files, self.store, &at, &hash) {
                found.push((Some(at.offset()), error.to_string()));
            }
        }
        found
    }

    fn log(&self, shard: &Shard) -> Found {
        let dir = log_dir(shard.number);
        let log = match tidestore_log::salvage(&self.disk, &dir, self.store, shard.number) {
            Ok(log) => log,
            Err(error) => return vec![(None, error.to_string())],
        };
        let damage = log.damage.iter().map(|damage| {
            let path = damage.path.display();
            (Some(damage.offset), format!("{path}: {}", damage.detail))
        });
        let mut found: Found = damage.collect();
        for position in log.positions().collect::<Vec<_>>() {
            if let Ok(Some(batch)) = log.batch(position)
                && let Err(error) = decode_batch(&batch)
            {
                let offset = log.place(position).map(|(_, offset)| offset);
                found.push((offset, format!("batch {position}: {error}")));
            }
        }
        found
    }

    /// Every row with its checksum. What damage in redb's own pages hides is found by `verify` of a store that is closed.
    fn tables(&self, shard: &Shard) -> Found {
        const PAGE: usize = 256;
        for table in (0..=u8::MAX).map(Table) {
            let mut after: Option<Vec<u8>> = None;
            loop {
                let page = page_of(&*shard.engine, table, b"", after.as_deref(), false, PAGE);
                let page = match page {
                    Ok(page) => page,
                    Err(error) => return vec![(None, error.to_string())],
                };
                let bytes: usize = page
                    .iter()
                    .map(|(key, value)| key.len() + value.len())
                    .sum();
                if page.is_empty() || !self.pace.spend(bytes as u64) {
                    break;
                }
                after = page.into_iter().next_back().map(|(key, _)| key);
            }
        }
        Vec::new()
    }
}

fn items_of(shard: &Arc<Shard>) -> Vec<(PathBuf, Item)> {
    let mut items = vec![
        (log_dir(shard.number), Item::Log(Arc::clone(shard))),
        (views_dir(shard.number), Item::Tables(Arc::clone(shard))),
    ];
    let manifest = shard.view.manifest();
    for meta in manifest.segments {
        if let Some(path) = segment_path(&*shard.registry, &meta) {
            items.push((path, Item::Segment(Arc::clone(shard), Box::new(meta))));
        }
    }
    for run in manifest.receipts {
        let path = tidestore_messages::receipt_run_path(shard.number, run.generation);
        items.push((path, Item::Receipts(Arc::clone(shard), run)));
    }
    // Tables that cannot be read are found as such.
    let volumes = index::volumes(&*shard.engine, &*shard.registry, shard.number);
    for volume in volumes.unwrap_or_default() {
        items.push((volume.path.clone(), Item::Volume(Arc::clone(shard), volume)));
    }
    items
}

/// Whether a file is still part of the store.
fn is_named(path: &Path, item: &Item) -> bool {
    match item {
        Item::Log(_) | Item::Tables(_) => true,
        Item::Segment(shard, _) | Item::Receipts(shard, _) | Item::Volume(shard, _) => {
            items_of(shard).iter().any(|(named, _)| named == path)
        }
    }
}
