//! Open files and held locks.

use std::path::PathBuf;
use std::sync::Arc;

use rustix::io::Errno;

use super::State;
use super::fault::{OpKind, Verdict, crash_error};
use super::inode::InodeId;
use crate::rng::SplitMix;
use crate::sync::Mutex;
use crate::{Error, File, Lock, Result};

/// An open file of a [`SimDisk`](crate::SimDisk). It keeps an unlinked file readable.
#[derive(Debug)]
pub(super) struct SimFile {
    pub(super) state: Arc<Mutex<State>>,
    pub(super) inode: InodeId,
    pub(super) path: PathBuf,
    pub(super) writable: bool,
}

impl SimFile {
    fn error(&self, op: &'static str, errno: Errno) -> Error {
        Error::io(op, &self.path, errno.into())
    }

    fn check_writable(&self, op: &'static str) -> Result<()> {
        if self.writable {
            Ok(())
        } else {
            Err(self.error(op, Errno::BADF))
        }
    }
}

impl File for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        let mut state = self.state.lock();
        let limit = state.enter(OpKind::Read, "read", &self.path)?;
        let limit = limit.max(1).min(buf.len());
        let inode = state
            .tree
            .inode(self.inode)
            .map_err(|errno| self.error("read", errno).at(offset))?;
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = inode.file.volatile.get(offset..).unwrap_or_default();
        let bytes = rest.get(..limit).unwrap_or(rest);
        if let Some(target) = buf.get_mut(..bytes.len()) {
            target.copy_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> Result<usize> {
        let mut state = self.state.lock();
        let (limit, crashes) = match state.next(OpKind::Write) {
            Verdict::Run { limit } => (limit, false),
            Verdict::Fail(fault) => return Err(fault.error("write", &self.path)),
            Verdict::Crash { first: false } => return Err(crash_error("write", &self.path)),
            Verdict::Crash { first: true } => {
                // The power goes while the bytes are on their way: some of them have arrived.
                (SplitMix::new(state.faults.total()).up_to(buf.len()), true)
            }
        };
        self.check_writable("write")?;
        let buf = buf.get(..limit).unwrap_or(buf);
        state.written += buf.len() as u64;
        if buf.is_empty() && limit == 0 && !crashes {
            return Err(self
                .error("write", Errno::IO)
                .with_detail("the device accepted no bytes"));
        }
        let written = if buf.is_empty() {
            Ok(0)
        } else {
            state.tree.write(self.inode, offset, buf)
        };
        if crashes {
            return Err(crash_error("write", &self.path));
        }
        written.map_err(|errno| self.error("write", errno).at(offset))
    }

    fn sync_data(&self) -> Result<()> {
        let mut state = self.state.lock();
        let verdict = state.next(OpKind::Sync);
        if state.failed_syncs.contains(&self.inode) {
            state.repeated_syncs.push(self.path.clone());
        }
        if matches!(verdict, Verdict::Fail(_)) {
            state.failed_syncs.insert(self.inode);
        }
        let inode = state
            .tree
            .inode_mut(self.inode)
            .map_err(|errno| self.error("sync", errno))?;
        match verdict {
            Verdict::Run { .. } => inode.file.sync(),
            Verdict::Fail(fault) => {
                inode.file.drop_dirty();
                return Err(fault.error("sync", &self.path));
            }
            Verdict::Crash { .. } => return Err(crash_error("sync", &self.path)),
        }
        Ok(())
    }

    fn len(&self) -> Result<u64> {
        let mut state = self.state.lock();
        state.enter(OpKind::Metadata, "metadata", &self.path)?;
        let inode = state
            .tree
            .inode(self.inode)
            .map_err(|errno| self.error("metadata", errno))?;
        Ok(inode.file.volatile.len() as u64)
    }

    fn set_len(&self, len: u64) -> Result<()> {
        let mut state = self.state.lock();
        state.enter(OpKind::SetLen, "set_len", &self.path)?;
        self.check_writable("set_len")?;
        state
            .tree
            .set_len(self.inode, len)
            .map_err(|errno| self.error("set_len", errno))
    }

    fn punch(&self, offset: u64, len: u64) -> Result<bool> {
        let mut state = self.state.lock();
        state.enter(OpKind::Punch, "punch", &self.path)?;
        self.check_writable("punch")?;
        if !state.punches {
            return Ok(false);
        }
        let punched = state.tree.punch(self.inode, offset, len);
        punched.map_err(|errno| self.error("punch", errno).at(offset))?;
        Ok(true)
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        state.open_files -= 1;
        state.tree.close(self.inode);
    }
}

/// A held lock of a [`SimDisk`](crate::SimDisk).
#[derive(Debug)]
pub(super) struct SimLock {
    pub(super) state: Arc<Mutex<State>>,
    pub(super) inode: InodeId,
}

impl Lock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        state.locks.remove(&self.inode);
        state.tree.close(self.inode);
    }
}
