//! A bounded number of open files, so that many segments do not need as many descriptors.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::{Disk, File, OpenMode, Result};

/// A cache of files open for reading; the least recently used one leaves first.
///
/// A file that leaves stays open for those who still hold it.
#[derive(Debug)]
pub struct FileCache {
    disk: Arc<dyn Disk>,
    capacity: usize,
    files: Mutex<Files>,
}

#[derive(Debug, Default)]
struct Files {
    by_path: HashMap<PathBuf, (Arc<dyn File>, u64)>,
    by_use: BTreeMap<u64, PathBuf>,
    uses: u64,
    /// How often something was forgotten: a file opened before and stored after may be gone.
    forgotten: u64,
}

impl FileCache {
    /// Makes an empty cache of at most `capacity` files; with 0 it opens each time.
    pub fn new(disk: Arc<dyn Disk>, capacity: usize) -> Self {
        Self {
            disk,
            capacity,
            files: Mutex::default(),
        }
    }

    /// How many files it holds at most.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The disk whose files these are.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// Opens a file for reading, or returns the one that is open.
    ///
    /// When the process or the machine has no descriptors left, all cached files are dropped and
    /// the file is tried once more.
    ///
    /// # Errors
    ///
    /// What [`Disk::open`] reports; the cache stays usable.
    pub fn open(&self, path: &Path) -> Result<Arc<dyn File>> {
        let forgotten = {
            let mut files = self.files.lock();
            if let Some(file) = files.touch(path) {
                return Ok(file);
            }
            files.forgotten
        };
        let file = match self.disk.open(path, OpenMode::Read) {
            Err(error) if error.is_out_of_handles() => {
                self.clear();
                self.disk.open(path, OpenMode::Read)?
            }
            result => result?,
        };
        let evicted = self
            .files
            .lock()
            .insert(path, &file, forgotten, self.capacity);
        // Closing a file may wait for the disk, so it happens after the lock is released.
        drop(evicted);
        Ok(file)
    }

    /// Drops a file that is about to be removed or replaced.
    pub fn forget(&self, path: &Path) {
        let removed = self.files.lock().forget(path);
        drop(removed);
    }

    /// Drops all files.
    pub fn clear(&self) {
        let removed = self.files.lock().clear();
        drop(removed);
    }

    /// How many files are held open.
    pub fn len(&self) -> usize {
        self.files.lock().by_path.len()
    }

    /// Whether no file is held open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Files {
    fn touch(&mut self, path: &Path) -> Option<Arc<dyn File>> {
        let (file, used) = self.by_path.get_mut(path)?;
        if let Some(path) = self.by_use.remove(used) {
            self.uses += 1;
            *used = self.uses;
            self.by_use.insert(self.uses, path);
        }
        Some(Arc::clone(file))
    }

    /// Stores a file unless something was forgotten since it was opened; returns what had to go.
    fn insert(
        &mut self,
        path: &Path,
        file: &Arc<dyn File>,
        forgotten: u64,
        capacity: usize,
    ) -> Vec<Arc<dyn File>> {
        if capacity == 0 || forgotten != self.forgotten {
            return Vec::new();
        }
        let mut evicted: Vec<_> = self.remove(path).into_iter().collect();
        while self.by_path.len() >= capacity {
            let Some((_, oldest)) = self.by_use.pop_first() else {
                break;
            };
            evicted.extend(self.by_path.remove(&oldest).map(|(file, _)| file));
        }
        self.uses += 1;
        self.by_use.insert(self.uses, path.to_owned());
        self.by_path
            .insert(path.to_owned(), (Arc::clone(file), self.uses));
        evicted
    }

    fn forget(&mut self, path: &Path) -> Option<Arc<dyn File>> {
        self.forgotten += 1;
        self.remove(path)
    }

    fn remove(&mut self, path: &Path) -> Option<Arc<dyn File>> {
        let (file, used) = self.by_path.remove(path)?;
        self.by_use.remove(&used);
        Some(file)
    }

    fn clear(&mut self) -> Vec<Arc<dyn File>> {
        self.by_use.clear();
        self.by_path.drain().map(|(_, (file, _))| file).collect()
    }
}

#[cfg(test)]
mod tests;
