//! A disk that is read at a bounded rate.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tidestore_disk::sync::Mutex;
use tidestore_disk::{
    Clock, Disk, Entry, Error, ErrorKind, File, Lock, Metadata, OpenMode, Result,
};

use crate::background::Bell;

/// How fast a pass may read, and how much it has read.
#[derive(Debug)]
pub(super) struct Pace {
    clock: Arc<dyn Clock>,
    /// Bytes a second; 0 for as fast as it goes.
    rate: u64,
    /// Ends a pass that waits.
    bell: Option<Arc<Bell>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// When the bytes that are read next may be.
    due: Duration,
    read: u64,
    stopped: bool,
}

/// So much may be read in one go after a pause: a disk that was slow need not be made up for.
const BURST: Duration = Duration::from_millis(200);
const TICK: Duration = Duration::from_millis(50);

impl Pace {
    pub(super) fn new(clock: &Arc<dyn Clock>, rate: u64, bell: Option<Arc<Bell>>) -> Self {
        Self {
            clock: Arc::clone(clock),
            rate,
            bell,
            state: Mutex::new(State {
                due: clock.monotonic(),
                read: 0,
                stopped: false,
            }),
        }
    }

    /// Bytes that were read.
    pub(super) fn read(&self) -> u64 {
        self.state.lock().read
    }

    /// Whether the store is being closed.
    pub(super) fn is_stopped(&self) -> bool {
        self.state.lock().stopped
    }

    /// Waits until so many bytes may be read; `false` if the store is being closed.
    pub(super) fn spend(&self, bytes: u64) -> bool {
        let due = {
            let mut state = self.state.lock();
            state.read += bytes;
            if state.stopped {
                return false;
            }
            if self.rate == 0 {
                return true;
            }
            let now = self.clock.monotonic();
            let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.rate);
            let took = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
            state.due = state.due.max(now.saturating_sub(BURST)) + took;
            state.due
        };
        // The clock is looked at now and then: it is the clock that says how much time has passed.
        loop {
            let wait = due.saturating_sub(self.clock.monotonic());
            if wait.is_zero() {
                return true;
            }
            let goes_on = match &self.bell {
                Some(bell) => bell.wait(wait.min(TICK)),
                // Nobody to be woken by: a pass that somebody asked for and waits for.
                None => Bell::default().wait(wait.min(TICK)),
            };
            if !goes_on {
                self.state.lock().stopped = true;
                return false;
            }
        }
    }
}

/// A disk whose files are read at a pace. It is never written to.
#[derive(Debug)]
pub(super) struct PacedDisk {
    pub(super) base: Arc<dyn Disk>,
    pub(super) pace: Arc<Pace>,
}

#[derive(Debug)]
struct PacedFile {
    base: Arc<dyn File>,
    pace: Arc<Pace>,
    path: PathBuf,
}

fn refused<T>(op: &'static str, path: &Path) -> Result<T> {
    let error = Error::new(ErrorKind::Refused, op, path);
    Err(error.with_detail("a scrub only reads"))
}

impl Disk for PacedDisk {
    fn open(&self, path: &Path, _mode: OpenMode) -> Result<Arc<dyn File>> {
        Ok(Arc::new(PacedFile {
            base: self.base.open(path, OpenMode::Read)?,
            pace: Arc::clone(&self.pace),
            path: path.to_owned(),
        }))
    }

    fn rename(&self, from: &Path, _to: &Path) -> Result<()> {
        refused("rename", from)
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        refused("remove", path)
    }

    fn remove_dir(&self, path: &Path) -> Result<()> {
        refused("remove_dir", path)
    }

    fn create_dir_all(&self, path: &Path) -> Result<()> {
        refused("create_dir", path)
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        refused("sync_dir", path)
    }

    fn list(&self, path: &Path) -> Result<Vec<Entry>> {
        self.base.list(path)
    }

    fn metadata(&self, path: &Path) -> Result<Metadata> {
        self.base.metadata(path)
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>> {
        refused("lock", path)
    }

    fn native_path(&self, _path: &Path) -> Option<PathBuf> {
        None
    }
}

impl File for PacedFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        if !self.pace.spend(buf.len() as u64) {
            let error = Error::new(ErrorKind::Io, "read", &self.path);
            return Err(error.with_detail("the store is being closed"));
        }
        self.base.read_at(buf, offset)
    }

    fn write_at(&self, _buf: &[u8], _offset: u64) -> Result<usize> {
        refused("write", &self.path)
    }

    fn sync_data(&self) -> Result<()> {
        refused("sync", &self.path)
    }

    fn len(&self) -> Result<u64> {
        self.base.len()
    }

    fn set_len(&self, _len: u64) -> Result<()> {
        refused("set_len", &self.path)
    }

    fn punch(&self, _offset: u64, _len: u64) -> Result<bool> {
        refused("punch", &self.path)
    }
}
