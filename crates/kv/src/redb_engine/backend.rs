//! redb's file, on a disk. A full disk is kept from redb.
//!
//! redb takes any failed write for the end: from then on it answers nothing, reads included, until it is opened anew. But a
//! full disk is over once there is space. So what does not fit waits here, in the order in which redb wrote it, and so does
//! everything behind it, flushes included; readers see it. When there is space again, the file gets it in the same order. At
//! every moment the file is as a crash would leave it, which redb can open.
//!
//! Nothing that waits is durable. [`RedbFile::catch_up`] says so, and the engine asks it before it claims anything.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use tidestore_disk::{Error, ErrorKind, File, FileExt, Result};

/// The file of a database, and what waits for it.
#[derive(Debug)]
pub(super) struct RedbFile {
    file: Arc<dyn File>,
    path: PathBuf,
    waiting: Mutex<VecDeque<Step>>,
}

/// What redb asked for and the disk had no space for, or what came behind that.
#[derive(Debug)]
enum Step {
    Write(u64, Vec<u8>),
    SetLen(u64),
    Sync,
}

impl RedbFile {
    pub(super) fn new(file: Arc<dyn File>, path: PathBuf) -> Arc<Self> {
        Arc::new(Self {
            file,
            path,
            waiting: Mutex::default(),
        })
    }

    /// Gives the file what waits for it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Full`]: there is still no space for all of it, and none of it may be taken as durable. Anything else is what
    /// the disk reports; the file must then be opened anew.
    pub(super) fn catch_up(&self) -> Result<()> {
        let mut waiting = self.waiting.lock();
        while let Some(step) = waiting.front() {
            match step {
                Step::Write(offset, data) => self.file.write_all_at(data, *offset, &self.path),
                Step::SetLen(len) => self.file.set_len(*len),
                Step::Sync => self.file.sync_data().map_err(|error| self.is_final(&error)),
            }?;
            waiting.pop_front();
        }
        Ok(())
    }

    /// A flush that failed must not be repeated on the same file, whatever the reason.
    fn is_final(&self, error: &Error) -> Error {
        Error::new(ErrorKind::Io, "sync", &self.path).with_detail(error.to_string())
    }

    fn len(&self) -> Result<u64> {
        let waiting = self.waiting.lock();
        let mut len = self.file.len()?;
        for step in &*waiting {
            match step {
                Step::Write(offset, data) => len = len.max(offset + data.len() as u64),
                Step::SetLen(set) => len = *set,
                Step::Sync => {}
            }
        }
        Ok(len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let waiting = self.waiting.lock();
        if waiting.is_empty() {
            drop(waiting);
            return self.file.read_exact_at(out, offset, &self.path);
        }
        // The file may end before what was written behind its end and waits.
        let held = self.file.len()?.saturating_sub(offset);
        let held = usize::try_from(held).unwrap_or(usize::MAX).min(out.len());
        let (there, missing) = out.split_at_mut(held);
        self.file.read_exact_at(there, offset, &self.path)?;
        missing.fill(0);
        for step in &*waiting {
            match step {
                Step::Write(at, data) => lay_over(out, offset, data, *at),
                Step::SetLen(len) => cut(out, offset, *len),
                Step::Sync => {}
            }
        }
        Ok(())
    }

    /// Does a step, or lets it wait behind those that do already.
    fn take(&self, step: Step, now: impl FnOnce(&dyn File) -> Result<()>) -> Result<()> {
        let mut waiting = self.waiting.lock();
        if waiting.is_empty() {
            match (now(&*self.file), &step) {
                // A flush that fails, for whatever reason, must not be repeated.
                (Err(error), Step::Write(..) | Step::SetLen(_))
                    if error.kind() == ErrorKind::Full => {}
                (done, _) => return done,
            }
        }
        waiting.push_back(step);
        Ok(())
    }
}

/// Puts what of `data`, which begins at `at`, lies in `out`, which begins at `offset`.
fn lay_over(out: &mut [u8], offset: u64, data: &[u8], at: u64) {
    let skip = |from: u64, to: u64| usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX);
    let out = out.get_mut(skip(offset, at)..).unwrap_or_default();
    let data = data.get(skip(at, offset)..).unwrap_or_default();
    let len = out.len().min(data.len());
    if let (Some(out), Some(data)) = (out.get_mut(..len), data.get(..len)) {
        out.copy_from_slice(data);
    }
}

/// Clears what lies behind the end of the file.
fn cut(out: &mut [u8], offset: u64, len: u64) {
    let kept = usize::try_from(len.saturating_sub(offset)).unwrap_or(usize::MAX);
    out.get_mut(kept..).unwrap_or_default().fill(0);
}

/// What redb gets.
#[derive(Debug)]
pub(super) struct Backend(pub(super) Arc<RedbFile>);

impl redb::StorageBackend for Backend {
    fn len(&self) -> std::io::Result<u64> {
        self.0.len().map_err(told)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.0.read(offset, out).map_err(told)
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        let step = Step::SetLen(len);
        self.0.take(step, |file| file.set_len(len)).map_err(told)
    }

    fn sync_data(&self) -> std::io::Result<()> {
        // Not as `told`: nobody may go on from here as if only space were missing.
        let sync = |file: &dyn File| file.sync_data();
        self.0.take(Step::Sync, sync).map_err(std::io::Error::other)
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        let step = Step::Write(offset, data.to_vec());
        let write = |file: &dyn File| file.write_all_at(data, offset, &self.0.path);
        self.0.take(step, write).map_err(told)
    }
}

/// What the disk says, in the words that redb passes on.
fn told(error: Error) -> std::io::Error {
    use std::io::ErrorKind as Cause;
    let cause = match error.kind() {
        ErrorKind::Full => Cause::StorageFull,
        ErrorKind::Corruption => Cause::InvalidData,
        _ => Cause::Other,
    };
    std::io::Error::new(cause, error)
}
