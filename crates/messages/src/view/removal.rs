//! What leaves a view: which files may go, and taking them off the disk once nobody keeps them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidestore_disk::Millis;

use crate::error::Result;
use crate::segment::{Owner, SegmentMeta};
use crate::types::AppId;
use crate::version::{Installed, Version};
use crate::view::MessageView;

impl MessageView {
    /// Segments whose whole bucket lies below the physical floor of every app in them, or whose apps are deleted.
    pub fn expirable(&self) -> Vec<Expirable> {
        self.expirable_of(&self.version())
    }

    fn expirable_of(&self, version: &Version) -> Vec<Expirable> {
        let apps = &*self.parts.apps;
        let is_over = |meta: &SegmentMeta, app: AppId| {
            apps.dir(app).is_none() || apps.physical_floor(app) >= meta.bucket.end
        };
        let sorted = version.segments.sorted();
        let over = sorted.iter().filter(|installed| {
            let meta = &installed.meta;
            match meta.owner {
                Owner::App(app) => is_over(meta, app),
                Owner::Shared => meta.apps.iter().all(|share| is_over(meta, share.app)),
            }
        });
        over.map(|installed| Expirable {
            meta: installed.meta.clone(),
            path: installed.path.clone(),
        })
        .collect()
    }

    /// Generations of receipt runs written before a time.
    pub fn receipts_before(&self, time: Millis) -> Vec<u64> {
        let version = self.version();
        let old = version
            .receipts
            .iter()
            .filter(|run| run.meta.written < time);
        old.map(|run| run.meta.generation).collect()
    }

    /// Keeps every file that the view names now until [`let_go`](Self::let_go), whatever leaves the view meanwhile. Calls
    /// may overlap; the last to let go counts. What a crash finds kept is swept at the next opening.
    pub fn keep_files(&self) {
        self.kept.lock().holders += 1;
    }

    /// Ends a [`keep_files`](Self::keep_files), and removes what waited for it.
    ///
    /// # Errors
    ///
    /// As [`unlink`](Self::unlink).
    pub fn let_go(&self) -> Result<()> {
        let mut kept = self.kept.lock();
        kept.holders = kept.holders.saturating_sub(1);
        if kept.holders > 0 {
            return Ok(());
        }
        let waiting = std::mem::take(&mut kept.waiting);
        drop(kept);
        self.remove_files(&waiting)
    }

    /// Removes files that the view no longer names, and the directories they leave empty; not before nobody keeps them.
    ///
    /// # Errors
    ///
    /// What the disk reports; what is left is swept at the next opening.
    pub fn unlink(&self, removed: &[PathBuf]) -> Result<()> {
        {
            let mut kept = self.kept.lock();
            if kept.holders > 0 {
                kept.waiting.extend_from_slice(removed);
                return Ok(());
            }
        }
        self.remove_files(removed)
    }

    fn remove_files(&self, removed: &[PathBuf]) -> Result<()> {
        for path in removed {
            let removed = self.parts.disk.remove_file(path);
            self.parts.files.forget(path);
            match removed {
                Err(error) if error.kind() != tidestore_disk::ErrorKind::NotFound => {
                    return Err(error.into());
                }
                _ => {}
            }
            // Fails while the bucket still holds files, which is as it should be.
            if let Some(dir) = path.parent() {
                drop(self.parts.disk.remove_dir(dir));
            }
        }
        Ok(())
    }

    /// Lets go of a file that is about to be moved.
    pub fn forget_file(&self, path: &Path) {
        self.parts.files.forget(path);
    }

    /// A moment without the segments that may have left the disk although no record says so; `None` if there are none.
    pub(crate) fn without_expirable(&self, version: &Version) -> Option<Version> {
        let expirable = self.expirable_of(version);
        let gone: Vec<_> = expirable.iter().map(|e| e.meta.generation).collect();
        (!gone.is_empty()).then(|| Version {
            segments: Arc::new(version.segments.changed(&gone, Vec::new())),
            ..version.clone()
        })
    }
}

/// A segment that may leave the disk.
#[derive(Clone, Debug)]
pub struct Expirable {
    /// What it holds.
    pub meta: SegmentMeta,
    /// Where it lies.
    pub path: PathBuf,
}

/// A file that left the view.
#[derive(Clone, Debug, Default)]
pub struct Removed {
    /// Where it lies.
    pub path: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
    /// How many messages it held.
    pub messages: u64,
}

impl Removed {
    pub(super) fn of(installed: &Arc<Installed>) -> Self {
        Self {
            path: installed.path.clone(),
            bytes: installed.meta.file_len,
            messages: installed.meta.messages,
        }
    }
}
