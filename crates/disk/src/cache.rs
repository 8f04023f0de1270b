//! A bounded number of open files, so that many segments do not need as many descriptors.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::roomy::RoomyDisk;
use crate::sync::Mutex;
use crate::{Disk, File, OpenMode, Result};

/// A cache of files open for reading; the least recently used one leaves first.
///
/// A file that leaves stays open for those who still hold it.
#[derive(Debug)]
pub struct FileCache {
    disk: Arc<dyn Disk>,
    capacity: usize,
    files: Mutex<Files>,
    /// Held while cached files are closed to make room. Whoever needs room as well waits until they are closed.
    making_room: Mutex<()>,
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
            making_room: Mutex::default(),
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
    /// the file is tried again, until there was nothing left to drop.
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
        let file = self.with_room(|disk| disk.open(path, OpenMode::Read))?;
        let evicted = self
            .files
            .lock()
            .insert(path, &file, forgotten, self.capacity);
        // Closing a file may wait for the disk, so it happens after the lock is released.
        drop(evicted);
        Ok(file)
    }

    /// Does something that needs a descriptor, and makes room for it if there is none.
    fn with_room<T>(&self, work: impl Fn(&dyn Disk) -> Result<T>) -> Result<T> {
        let mut had_none = false;
        loop {
            match work(&*self.disk) {
                // Others fill what was made room for, so once is not always enough. With nothing left to drop, one more
                // attempt: what somebody else has dropped is closed by now.
                Err(error) if error.is_out_of_handles() && !had_none => {
                    had_none = self.clear() == 0;
                }
                result => return result,
            }
        }
    }

    /// The disk, but whatever else needs a descriptor of it and finds none has the files of this cache closed first:
    /// what is only kept open must not end what has to be done.
    pub fn roomy_disk(self: &Arc<Self>) -> Arc<dyn Disk> {
        Arc::new(RoomyDisk(Arc::clone(self)))
    }

    /// Drops a file that was removed or replaced. Behind the removal, not before it: otherwise it may be opened again in
    /// between, and its bytes stay on the disk for as long as there is room for it here.
    pub fn forget(&self, path: &Path) {
        let removed = self.files.lock().forget(path);
        drop(removed);
    }

    /// Drops all files and says how many; they are closed when this returns, but for those that somebody still reads.
    pub fn clear(&self) -> usize {
        let _turn = self.making_room.lock();
        // Closing a file may wait for the disk, so the files go after the lock is released.
        let removed = self.files.lock().clear();
        removed.len()
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

    /// Oldest first.
    fn clear(&mut self) -> Vec<Arc<dyn File>> {
        let paths = std::mem::take(&mut self.by_use).into_values();
        let removed = paths.filter_map(|path| self.by_path.remove(&path));
        removed.map(|(file, _)| file).collect()
    }
}

mod roomy;
#[cfg(all(test, shuttle))]
mod schedules;
#[cfg(test)]
mod tests;
