//! redb's file, on a disk that may be full.
//!
//! redb takes any failure of its file for its last: it refuses everything until it is opened anew, and what was committed
//! without a sync is gone then. A full disk must not do that, for it is over once there is space. So from the first
//! request that has no room on, everything redb asks for is held in memory, in order, and redb is told that it was done;
//! reads see it. The engine asks before each change that what is held be carried out, and changes nothing before that: so
//! what is held is never more than one change.
//!
//! Carried out in order, syncs included, it leaves what redb would have left; a crash before that, what a crash at the
//! first of them would have.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use tidestore_disk::{ErrorKind, File, FileExt, Result};

/// The file.
#[derive(Debug)]
pub(crate) struct RedbFile {
    file: Arc<dyn File>,
    path: PathBuf,
    held: Mutex<Vec<Step>>,
}

/// Something that redb believes to be done.
#[derive(Debug)]
enum Step {
    Write(u64, Vec<u8>),
    SetLen(u64),
    Sync,
}

impl RedbFile {
    pub(crate) fn new(file: Arc<dyn File>, path: PathBuf) -> Self {
        Self {
            file,
            path,
            held: Mutex::default(),
        }
    }

    /// Whether something is held.
    pub(crate) fn is_behind(&self) -> bool {
        !self.held.lock().is_empty()
    }

    /// Carries out what is held.
    ///
    /// # Errors
    ///
    /// What the disk reports. After [`ErrorKind::Full`] the rest is still held, to be tried again.
    pub(crate) fn catch_up(&self) -> Result<()> {
        let mut held = self.held.lock();
        let mut done = 0;
        let mut ended = Ok(());
        for step in held.iter() {
            ended = self.carry_out(step);
            if ended.is_err() {
                break;
            }
            done += 1;
        }
        drop(held.drain(..done));
        ended
    }

    fn carry_out(&self, step: &Step) -> Result<()> {
        match step {
            Step::Write(offset, bytes) => self.file.write_all_at(bytes, *offset, &self.path),
            Step::SetLen(len) => self.file.set_len(*len),
            Step::Sync => self.file.sync_data(),
        }
    }

    /// Does something, or holds it.
    fn take(&self, step: Step) -> Result<()> {
        let mut held = self.held.lock();
        if held.is_empty() {
            match self.carry_out(&step) {
                // A sync that fails is not tried again, whatever it says.
                Err(error) if error.kind() == ErrorKind::Full && !matches!(step, Step::Sync) => {}
                done => return done,
            }
        }
        held.push(step);
        Ok(())
    }

    fn length(&self) -> Result<u64> {
        let mut len = self.file.len()?;
        for step in self.held.lock().iter() {
            match step {
                Step::Write(offset, bytes) => len = len.max(offset + bytes.len() as u64),
                Step::SetLen(new) => len = *new,
                Step::Sync => {}
            }
        }
        Ok(len)
    }

    fn read_back(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let held = self.held.lock();
        if held.is_empty() {
            return self.file.read_exact_at(out, offset, &self.path);
        }
        // What the file does not have yet is zeros, until something that is held says otherwise.
        let there = self.file.len()?.saturating_sub(offset);
        let there = usize::try_from(there).unwrap_or(usize::MAX).min(out.len());
        let (old, new) = out.split_at_mut(there);
        self.file.read_exact_at(old, offset, &self.path)?;
        new.fill(0);
        for step in held.iter() {
            match step {
                Step::Write(at, bytes) => lay_over(out, offset, bytes, *at),
                Step::SetLen(len) => {
                    let kept = usize::try_from(len.saturating_sub(offset)).unwrap_or(usize::MAX);
                    out.iter_mut().skip(kept).for_each(|byte| *byte = 0);
                }
                Step::Sync => {}
            }
        }
        Ok(())
    }
}

/// Copies those of some bytes that lie in a range over it; both begin at an offset in the same file.
fn lay_over(out: &mut [u8], offset: u64, bytes: &[u8], at: u64) {
    let skip = |by: u64| usize::try_from(by).unwrap_or(usize::MAX);
    let targets = out.iter_mut().skip(skip(at.saturating_sub(offset)));
    let sources = bytes.iter().skip(skip(offset.saturating_sub(at)));
    targets.zip(sources).for_each(|(to, from)| *to = *from);
}

/// redb owns its backend; the engine has to ask for it, too.
#[derive(Debug)]
pub(crate) struct Backend(pub(crate) Arc<RedbFile>);

impl redb::StorageBackend for Backend {
    fn len(&self) -> Result<u64, std::io::Error> {
        self.0.length().map_err(told)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), std::io::Error> {
        self.0.read_back(offset, out).map_err(told)
    }

    fn set_len(&self, len: u64) -> Result<(), std::io::Error> {
        self.0.take(Step::SetLen(len)).map_err(told)
    }

    fn sync_data(&self) -> Result<(), std::io::Error> {
        self.0.take(Step::Sync).map_err(told)
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), std::io::Error> {
        self.0
            .take(Step::Write(offset, data.to_vec()))
            .map_err(told)
    }
}

/// What the disk says, in the words that redb passes on.
fn told(error: tidestore_disk::Error) -> std::io::Error {
    use std::io::ErrorKind as Cause;
    let cause = match error.kind() {
        ErrorKind::Full => Cause::StorageFull,
        ErrorKind::Corruption => Cause::InvalidData,
        _ => Cause::Other,
    };
    std::io::Error::new(cause, error)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use redb::StorageBackend;
    use tidestore_disk::{Disk, OpenMode, SimDisk};

    use super::*;

    #[test]
    fn what_has_no_room_is_read_back_and_carried_out_in_order_when_there_is_some() {
        let (disk, path) = (SimDisk::new(), Path::new("t"));
        let file = disk.open(path, OpenMode::CreateNew).unwrap();
        let file = Arc::new(RedbFile::new(file, path.into()));
        let backend = Backend(Arc::clone(&file));
        backend.write(0, &[1; 1_000]).unwrap();
        disk.set_space(Some(disk.total_bytes()));
        backend.write(900, &[2; 400]).unwrap();
        backend.sync_data().unwrap();
        backend.write(0, &[3; 10]).unwrap();
        backend.set_len(5_000).unwrap();
        backend.set_len(1_250).unwrap();
        backend.set_len(1_400).unwrap();
        let mut expected = [vec![3; 10], vec![1; 890], vec![2; 350], vec![0; 150]].concat();
        for _ in 0..2 {
            let mut found = vec![9; 1_400];
            backend.read(0, &mut found).unwrap();
            assert_eq!((backend.len().unwrap(), &found), (1_400, &expected));
            let mut part = [9; 30];
            backend.read(885, &mut part).unwrap();
            assert_eq!(part[..], expected[885..915]);
            assert_eq!(file.catch_up().unwrap_err().kind(), ErrorKind::Full);
        }
        assert!(file.is_behind());
        disk.set_space(None);
        file.catch_up().unwrap();
        assert!(!file.is_behind());
        assert_eq!(disk.read_all(path).unwrap(), expected);
        backend.write(0, &[4]).unwrap();
        expected[0] = 4;
        assert_eq!(disk.read_all(path).unwrap(), expected);
    }
}
