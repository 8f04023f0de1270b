//! A disk that does something at chosen moments of a backup.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tidestore::disk::{Disk, Entry, File, Lock, Metadata, OpenMode, Result, SimDisk};

type Hook = Box<dyn FnOnce() + Send>;

/// Calls a hook when the first file below a path is made.
pub struct Watched {
    disk: SimDisk,
    hooks: Mutex<Vec<(PathBuf, Hook)>>,
}

impl Watched {
    pub fn new(disk: &SimDisk) -> Self {
        Self {
            disk: disk.clone(),
            hooks: Mutex::default(),
        }
    }

    #[must_use]
    pub fn at(self, path: &str, hook: impl FnOnce() + Send + 'static) -> Self {
        self.hooks
            .lock()
            .unwrap()
            .push((path.into(), Box::new(hook)));
        self
    }

    pub fn shared(self) -> Arc<Self> {
        Arc::new(self)
    }

    /// Whether every hook was called.
    pub fn is_spent(&self) -> bool {
        self.hooks.lock().unwrap().is_empty()
    }
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watched").finish_non_exhaustive()
    }
}

impl Disk for Watched {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn File>> {
        let due = {
            let mut hooks = self.hooks.lock().unwrap();
            let due = hooks.iter().position(|(at, _)| path.starts_with(at));
            due.map(|due| hooks.remove(due).1)
        };
        if let Some(hook) = due {
            hook();
        }
        self.disk.open(path, mode)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.disk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        self.disk.remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> Result<()> {
        self.disk.remove_dir(path)
    }

    fn create_dir_all(&self, path: &Path) -> Result<()> {
        self.disk.create_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        self.disk.sync_dir(path)
    }

    fn list(&self, path: &Path) -> Result<Vec<Entry>> {
        self.disk.list(path)
    }

    fn metadata(&self, path: &Path) -> Result<Metadata> {
        self.disk.metadata(path)
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>> {
        self.disk.lock(path)
    }

    fn native_path(&self, path: &Path) -> Option<PathBuf> {
        self.disk.native_path(path)
    }
}
