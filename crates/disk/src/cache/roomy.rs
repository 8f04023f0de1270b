//! A disk that closes cached files when there is no descriptor left for anything else.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::FileCache;
use crate::{Disk, Entry, File, Lock, Metadata, OpenMode, Result};

/// See [`FileCache::roomy_disk`]. Each operation on a path may need a descriptor for a moment.
#[derive(Debug)]
pub(super) struct RoomyDisk(pub(super) Arc<FileCache>);

impl Disk for RoomyDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn File>> {
        self.0.with_room(|disk| disk.open(path, mode))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.0.with_room(|disk| disk.rename(from, to))
    }

    fn hard_link(&self, from: &Path, target: &dyn Disk, to: &Path) -> Result<bool> {
        self.0.with_room(|disk| disk.hard_link(from, target, to))
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        self.0.with_room(|disk| disk.remove_file(path))
    }

    fn remove_dir(&self, path: &Path) -> Result<()> {
        self.0.with_room(|disk| disk.remove_dir(path))
    }

    fn create_dir_all(&self, path: &Path) -> Result<()> {
        self.0.with_room(|disk| disk.create_dir_all(path))
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        self.0.with_room(|disk| disk.sync_dir(path))
    }

    fn list(&self, path: &Path) -> Result<Vec<Entry>> {
        self.0.with_room(|disk| disk.list(path))
    }

    fn metadata(&self, path: &Path) -> Result<Metadata> {
        self.0.with_room(|disk| disk.metadata(path))
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>> {
        self.0.with_room(|disk| disk.lock(path))
    }

    fn free_bytes(&self) -> Option<u64> {
        self.0.disk.free_bytes()
    }

    fn handles_max(&self) -> Option<usize> {
        self.0.disk.handles_max()
    }

    fn native_path(&self, path: &Path) -> Option<PathBuf> {
        self.0.disk.native_path(path)
    }
}
