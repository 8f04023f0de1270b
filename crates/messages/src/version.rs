//! Which memtables and segments together are the shard's messages at one moment.
//!
//! A [`Version`] never changes; the view replaces it as a whole. So a reader sees each message exactly once, also
//! while a memtable becomes segments or segments become one.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::memtable::Memtable;
use crate::receipts::ReceiptRun;
use crate::segment::{Segment, SegmentMeta};
use crate::types::AppId;

/// One moment of the shard.
#[derive(Clone, Debug, Default)]
pub(crate) struct Version {
    pub(crate) active: Arc<Memtable>,
    /// Full memtables on their way into segments, oldest first.
    pub(crate) frozen: Vec<Arc<Frozen>>,
    pub(crate) segments: Arc<Segments>,
    /// Receipt runs, newest first: a retry comes soon after its original.
    pub(crate) receipts: Vec<Arc<ReceiptRun>>,
}

/// A memtable that takes no more messages.
#[derive(Debug)]
pub struct Frozen {
    pub(crate) memtable: Arc<Memtable>,
    /// The last log position whose messages it holds.
    pub(crate) through: u64,
}

/// A segment the manifest names.
#[derive(Debug)]
pub(crate) struct Installed {
    pub(crate) meta: SegmentMeta,
    pub(crate) path: PathBuf,
    pub(crate) segment: Segment,
    /// When it became part of the store, on the monotonic clock: merging waits until a bucket has come to rest.
    pub(crate) since: Duration,
}

/// All segments of a shard, found by app.
#[derive(Debug, Default)]
pub(crate) struct Segments {
    all: HashMap<u64, Arc<Installed>>,
    /// Per app, those that hold something of it, youngest message first.
    by_app: HashMap<AppId, Vec<Arc<Installed>>>,
}

impl Segments {
    /// The set without `removed` and with `added`. Costs a pass over the whole set, a few microseconds per thousand
    /// segments, at each flush, merge and expiry.
    pub(crate) fn changed(&self, removed: &[u64], added: Vec<Arc<Installed>>) -> Self {
        let mut all = self.all.clone();
        for generation in removed {
            all.remove(generation);
        }
        all.extend(
            added
                .into_iter()
                .map(|installed| (installed.meta.generation, installed)),
        );
        let mut by_app: HashMap<AppId, Vec<Arc<Installed>>> = HashMap::new();
        for installed in all.values() {
            for share in &installed.meta.apps {
                by_app
                    .entry(share.app)
                    .or_default()
                    .push(Arc::clone(installed));
            }
        }
        for (app, list) in &mut by_app {
            list.sort_unstable_by_key(|installed| {
                std::cmp::Reverse((
                    installed.meta.share(*app).map(|s| s.max_id),
                    installed.meta.generation,
                ))
            });
        }
        Self { all, by_app }
    }

    /// The segments that hold something of an app, youngest message first.
    pub(crate) fn of_app(&self, app: AppId) -> &[Arc<Installed>] {
        self.by_app.get(&app).map(Vec::as_slice).unwrap_or_default()
    }

    /// A segment by its generation.
    pub(crate) fn get(&self, generation: u64) -> Option<&Arc<Installed>> {
        self.all.get(&generation)
    }

    /// Every segment, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Installed>> {
        self.all.values()
    }

    /// Every segment, in the order of generations.
    pub(crate) fn sorted(&self) -> Vec<Arc<Installed>> {
        let mut all: Vec<_> = self.all.values().cloned().collect();
        all.sort_unstable_by_key(|installed| installed.meta.generation);
        all
    }
}

impl Version {
    /// Every memtable, youngest first.
    pub(crate) fn memtables(&self) -> impl Iterator<Item = &Memtable> {
        let frozen = self.frozen.iter().rev().map(|frozen| &*frozen.memtable);
        std::iter::once(&*self.active).chain(frozen)
    }
}
