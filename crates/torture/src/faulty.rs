//! A real disk and a real clock that fail on command, inside the process that will be killed.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tidestore::disk::{
    Clock, Disk, Entry, Error, ErrorKind, File, Lock, Metadata, Millis, OpenMode, RealClock,
    RealDisk, Result,
};

/// How the disk fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Trouble {
    /// It does not.
    #[default]
    None,
    /// The next flush of a file fails, and does nothing.
    SyncFailsOnce,
    /// Every flush of a file or directory fails, and does nothing.
    SyncFails,
    /// The next write fails.
    WriteFails,
    /// Nothing can grow, and no file be made.
    Full,
}

/// Hears of trouble, and of the file at which it strikes.
type Struck = dyn Fn(Trouble, &Path) + Send + Sync;

/// Turns trouble on and off, and says when it strikes.
pub(crate) struct Switch {
    trouble: Mutex<Trouble>,
    struck: Box<Struck>,
}

impl fmt::Debug for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Switch")
            .field(&*self.trouble.lock())
            .finish()
    }
}

impl Switch {
    pub(crate) fn new(struck: impl Fn(Trouble, &Path) + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            trouble: Mutex::new(Trouble::None),
            struck: Box::new(struck),
        })
    }

    pub(crate) fn set(&self, trouble: Trouble) {
        *self.trouble.lock() = trouble;
    }

    /// Fails a request if its trouble is on. Whoever listens knows before the store does.
    fn strike(&self, by: &[Trouble], op: &'static str, path: &Path) -> Result<()> {
        let mut trouble = self.trouble.lock();
        let now = *trouble;
        if !by.contains(&now) {
            return Ok(());
        }
        if matches!(now, Trouble::SyncFailsOnce | Trouble::WriteFails) {
            *trouble = Trouble::None;
        }
        drop(trouble);
        (self.struck)(now, path);
        let kind = if now == Trouble::Full {
            ErrorKind::Full
        } else {
            ErrorKind::Io
        };
        Err(Error::new(kind, op, path).with_detail("on command"))
    }
}

/// The disk.
#[derive(Debug)]
pub(crate) struct FaultyDisk {
    pub(crate) inner: RealDisk,
    pub(crate) switch: Arc<Switch>,
}

#[derive(Debug)]
struct FaultyFile {
    inner: Arc<dyn File>,
    path: PathBuf,
    switch: Arc<Switch>,
}

impl Disk for FaultyDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn File>> {
        if mode == OpenMode::CreateNew {
            self.switch.strike(&[Trouble::Full], "open", path)?;
        }
        Ok(Arc::new(FaultyFile {
            inner: self.inner.open(path, mode)?,
            path: path.to_owned(),
            switch: Arc::clone(&self.switch),
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.inner.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        self.inner.remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> Result<()> {
        self.inner.remove_dir(path)
    }

    fn create_dir_all(&self, path: &Path) -> Result<()> {
        self.inner.create_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        self.switch
            .strike(&[Trouble::SyncFails], "sync_dir", path)?;
        self.inner.sync_dir(path)
    }

    fn list(&self, path: &Path) -> Result<Vec<Entry>> {
        self.inner.list(path)
    }

    fn metadata(&self, path: &Path) -> Result<Metadata> {
        self.inner.metadata(path)
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>> {
        self.inner.lock(path)
    }

    fn native_path(&self, path: &Path) -> Option<PathBuf> {
        self.inner.native_path(path)
    }
}

impl File for FaultyFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        self.inner.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> Result<usize> {
        self.switch
            .strike(&[Trouble::WriteFails], "write", &self.path)?;
        if offset + buf.len() as u64 > self.inner.len()? {
            self.switch.strike(&[Trouble::Full], "write", &self.path)?;
        }
        self.inner.write_at(buf, offset)
    }

    fn sync_data(&self) -> Result<()> {
        let by = [Trouble::SyncFailsOnce, Trouble::SyncFails];
        self.switch.strike(&by, "sync", &self.path)?;
        self.inner.sync_data()
    }

    fn start_sync(&self, offset: u64, len: u64) {
        self.inner.start_sync(offset, len);
    }

    fn len(&self) -> Result<u64> {
        self.inner.len()
    }

    fn set_len(&self, len: u64) -> Result<()> {
        if len > self.inner.len()? {
            self.switch
                .strike(&[Trouble::Full], "set_len", &self.path)?;
        }
        self.inner.set_len(len)
    }

    fn punch(&self, offset: u64, len: u64) -> Result<bool> {
        self.inner.punch(offset, len)
    }
}

/// The machine's clock, whose wall time is off by some milliseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct ShiftedClock(pub(crate) Arc<AtomicI64>);

impl ShiftedClock {
    pub(crate) fn by(millis: i64) -> Self {
        Self(Arc::new(AtomicI64::new(millis)))
    }

    pub(crate) fn shift(&self, millis: i64) {
        self.0.store(millis, Ordering::SeqCst);
    }
}

impl Clock for ShiftedClock {
    fn wall(&self) -> Millis {
        RealClock
            .wall()
            .saturating_add_signed(self.0.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        RealClock.monotonic()
    }
}
