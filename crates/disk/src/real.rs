//! The machine's own filesystem, below one directory.
//!
//! The root is held open, and every path is resolved from that descriptor, so that neither a
//! symbolic link planted in the data directory nor a renamed root leads anywhere else. The kernel
//! is asked for that with `openat2`; where it does not know that call (`ENOSYS`), each component is
//! opened by itself without following links.

use std::any::Any;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf, absolute};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    Advice, AtFlags, CWD, Dir, FallocateFlags, FileType, FlockOperation, Mode, OFlags,
    ResolveFlags, Stat, fadvise, fallocate, fdatasync, flock, fstat, fstatvfs, fsync, ftruncate,
    linkat, mkdirat, openat, openat2, renameat, statat, unlinkat,
};
use rustix::io::{Errno, pread, pwrite, retry_on_intr};
use rustix::process::{Resource, getrlimit};

use crate::path::{check_rename, components, parent_and_name};
use crate::{Disk, Entry, EntryKind, Error, ErrorKind, File, Lock, Metadata, OpenMode, Result};

/// Messages are private: only the owner may read them.
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);
const DIR_MODE: Mode = Mode::RWXU;

/// Opens a directory so that it can be listed and synced.
const DIR_FLAGS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY);

/// The unit of `st_blocks`, whatever the filesystem's own blocks are, in bytes.
const STAT_BLOCK_BYTES: u64 = 512;

/// A directory of the machine's filesystem.
#[derive(Debug)]
pub struct RealDisk {
    root: OwnedFd,
    native: PathBuf,
    has_openat2: AtomicBool,
}

impl RealDisk {
    /// Opens a directory, creating it and its missing parents durably first.
    ///
    /// The path of the root itself may pass through symbolic links: the operator chose it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Refused`] if something else than a directory is in the way, [`ErrorKind::Io`]
    /// or [`ErrorKind::Full`] as the filesystem says.
    pub fn create(root: &Path) -> Result<Self> {
        let native = absolute(root).map_err(|error| Error::io("create_dir", root, error))?;
        let mut reached = PathBuf::new();
        for component in native.components() {
            let parent = reached.clone();
            reached.push(component);
            match retry_on_intr(|| mkdirat(CWD, &reached, DIR_MODE)) {
                Ok(()) => {
                    let parent = open_native(&parent)?;
                    sync_made_dir(&parent, reached.as_os_str(), &reached)?;
                }
                Err(Errno::EXIST) => {}
                // Where nothing may be created, what exists will do.
                Err(_) if statat(CWD, &reached, AtFlags::empty()).is_ok() => {}
                Err(errno) => return Err(os("create_dir", &reached, errno)),
            }
        }
        Self::open(root)
    }

    /// Opens a directory that exists.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`], [`ErrorKind::Refused`] if it is not a directory,
    /// [`ErrorKind::Io`] as the filesystem says.
    pub fn open(root: &Path) -> Result<Self> {
        let native = absolute(root).map_err(|error| Error::io("open", root, error))?;
        let root = open_native(&native)?;
        Ok(Self {
            root,
            native,
            has_openat2: AtomicBool::new(true),
        })
    }

    /// Acts as on a kernel that does not know `openat2`.
    #[cfg(test)]
    pub(crate) fn forgo_openat2(&self) {
        self.has_openat2.store(false, Ordering::Relaxed);
    }

    /// Resolves a path below the root; `names` are its checked components.
    fn resolve(&self, names: &[&OsStr], flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = if flags.contains(OFlags::CREATE) {
            FILE_MODE
        } else {
            Mode::empty()
        };
        if self.has_openat2.load(Ordering::Relaxed) {
            let path = if names.is_empty() {
                PathBuf::from(".")
            } else {
                names.iter().collect()
            };
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
            match retry_on_intr(|| openat2(&self.root, &path, flags, mode, resolve)) {
                Err(Errno::NOSYS) => self.has_openat2.store(false, Ordering::Relaxed),
                result => return result,
            }
        }
        self.walk(names, flags, mode)
    }

    /// Does what `openat2` does, one component at a time.
    fn walk(&self, names: &[&OsStr], flags: OFlags, mode: Mode) -> rustix::io::Result<OwnedFd> {
        let (last, parents) = match names.split_last() {
            Some((last, parents)) => (*last, parents),
            None => (OsStr::new("."), names),
        };
        let through = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut dir: Option<OwnedFd> = None;
        for name in parents {
            let at = dir.as_ref().unwrap_or(&self.root);
            dir = Some(retry_on_intr(|| openat(at, *name, through, Mode::empty()))?);
        }
        let at = dir.as_ref().unwrap_or(&self.root);
        retry_on_intr(|| openat(at, last, flags, mode))
    }

    /// Opens the directory that holds a path's last name.
    fn parent<'a>(&self, op: &'static str, path: &'a Path) -> Result<(OwnedFd, &'a OsStr)> {
        let (parents, name) = parent_and_name(op, path)?;
        let through = OFlags::PATH | OFlags::DIRECTORY;
        let dir = self
            .resolve(&parents, through)
            .map_err(|errno| os(op, path, errno))?;
        Ok((dir, name))
    }

    fn open_file(&self, op: &'static str, path: &Path, mode: OpenMode) -> Result<OwnedFd> {
        // Opening a planted pipe must not wait for its other end.
        let flags = OFlags::NONBLOCK
            | match mode {
                OpenMode::Read => OFlags::RDONLY,
                OpenMode::Write => OFlags::RDWR,
                OpenMode::CreateNew => OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
                OpenMode::Create => OFlags::RDWR | OFlags::CREATE,
            };
        parent_and_name(op, path)?;
        let names = components(op, path)?;
        let fd = self
            .resolve(&names, flags)
            .map_err(|errno| os(op, path, errno))?;
        let stat = fstat(&fd).map_err(|errno| os(op, path, errno))?;
        expect_kind(op, path, &stat, EntryKind::File)?;
        Ok(fd)
    }
}

impl Disk for RealDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn File>> {
        let fd = self.open_file("open", path, mode)?;
        Ok(Arc::new(RealFile {
            fd,
            path: path.to_owned(),
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        check_rename(from, to)?;
        let (from_dir, from_name) = self.parent("rename", from)?;
        let (to_dir, to_name) = self.parent("rename", to)?;
        let stat = stat_at(&from_dir, from_name).map_err(|errno| os("rename", from, errno))?;
        if kind_of(&stat) == EntryKind::Other {
            return Err(Error::new(ErrorKind::Refused, "rename", from));
        }
        match stat_at(&to_dir, to_name) {
            Ok(target) => expect_kind("rename", to, &target, kind_of(&stat))?,
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(os("rename", to, errno)),
        }
        retry_on_intr(|| renameat(&from_dir, from_name, &to_dir, to_name))
            .map_err(|errno| os("rename", to, errno))
    }

    fn hard_link(&self, from: &Path, target: &dyn Disk, to: &Path) -> Result<bool> {
        let Some(target) = (target as &dyn Any).downcast_ref::<Self>() else {
            return Ok(false);
        };
        let (from_dir, from_name) = self.parent("link", from)?;
        let (to_dir, to_name) = target.parent("link", to)?;
        let stat = stat_at(&from_dir, from_name).map_err(|errno| os("link", from, errno))?;
        expect_kind("link", from, &stat, EntryKind::File)?;
        // Without AT_SYMLINK_FOLLOW the name itself is linked, whatever was put in its place meanwhile.
        let linked =
            retry_on_intr(|| linkat(&from_dir, from_name, &to_dir, to_name, AtFlags::empty()));
        match linked {
            Ok(()) => Ok(true),
            Err(Errno::XDEV | Errno::PERM | Errno::MLINK | Errno::OPNOTSUPP | Errno::NOSYS) => {
                Ok(false)
            }
            Err(errno) => Err(os("link", to, errno)),
        }
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        let (dir, name) = self.parent("remove", path)?;
        let stat = stat_at(&dir, name).map_err(|errno| os("remove", path, errno))?;
        expect_kind("remove", path, &stat, EntryKind::File)?;
        retry_on_intr(|| unlinkat(&dir, name, AtFlags::empty()))
            .map_err(|errno| os("remove", path, errno))
    }

    fn remove_dir(&self, path: &Path) -> Result<()> {
        let (dir, name) = self.parent("remove", path)?;
        retry_on_intr(|| unlinkat(&dir, name, AtFlags::REMOVEDIR))
            .map_err(|errno| os("remove", path, errno))
    }

    fn create_dir_all(&self, path: &Path) -> Result<()> {
        let failed = |errno| os("create_dir", path, errno);
        let names = components("create_dir", path)?;
        let flags = DIR_FLAGS | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut reached = self.resolve(&[], DIR_FLAGS).map_err(failed)?;
        for name in names {
            let open = || retry_on_intr(|| openat(&reached, name, flags, Mode::empty()));
            let mut next = open();
            if matches!(next, Err(Errno::NOENT)) {
                match retry_on_intr(|| mkdirat(&reached, name, DIR_MODE)) {
                    Ok(()) => sync_made_dir(&reached, name, path)?,
                    // Someone else made it just now and may not have synced it yet.
                    Err(Errno::EXIST) => sync_fd(&reached, path)?,
                    Err(errno) => return Err(failed(errno)),
                }
                next = open();
            }
            reached = next.map_err(failed)?;
        }
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        let names = components("sync_dir", path)?;
        let dir = self
            .resolve(&names, DIR_FLAGS)
            .map_err(|errno| os("sync_dir", path, errno))?;
        sync_fd(&dir, path)
    }

    fn list(&self, path: &Path) -> Result<Vec<Entry>> {
        let failed = |errno| os("list", path, errno);
        let names = components("list", path)?;
        let fd = self.resolve(&names, DIR_FLAGS).map_err(failed)?;
        let mut list = Vec::new();
        for entry in Dir::read_from(&fd).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::Unknown => match statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => kind_of(&stat),
                    // It was removed while the directory was being listed.
                    Err(Errno::NOENT) => continue,
                    Err(errno) => return Err(failed(errno)),
                },
                file_type => entry_kind(file_type),
            };
            list.push(Entry {
                name: name.to_string_lossy().into_owned(),
                kind,
            });
        }
        list.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(list)
    }

    fn metadata(&self, path: &Path) -> Result<Metadata> {
        let failed = |errno| os("metadata", path, errno);
        let stat = if components("metadata", path)?.is_empty() {
            fstat(&self.root).map_err(failed)?
        } else {
            let (dir, name) = self.parent("metadata", path)?;
            stat_at(&dir, name).map_err(failed)?
        };
        let kind = kind_of(&stat);
        let blocks = u64::try_from(stat.st_blocks).unwrap_or_default();
        let len = if kind == EntryKind::File {
            stat_len(&stat)
        } else {
            0
        };
        Ok(Metadata {
            kind,
            len,
            allocated: blocks.saturating_mul(STAT_BLOCK_BYTES),
        })
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>> {
        let fd = self.open_file("lock", path, OpenMode::Create)?;
        match retry_on_intr(|| flock(&fd, FlockOperation::NonBlockingLockExclusive)) {
            Ok(()) => Ok(Box::new(RealLock { fd })),
            Err(Errno::WOULDBLOCK) => Err(Error::new(ErrorKind::Locked, "lock", path)),
            Err(errno) => Err(os("lock", path, errno)),
        }
    }

    fn free_bytes(&self) -> Option<u64> {
        let stat = fstatvfs(&self.root).ok()?;
        Some(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn handles_max(&self) -> Option<usize> {
        let most = getrlimit(Resource::Nofile).current?;
        usize::try_from(most).ok()
    }

    fn native_path(&self, path: &Path) -> Option<PathBuf> {
        let names = components("native_path", path).ok()?;
        Some(
            names
                .iter()
                .fold(self.native.clone(), |native, name| native.join(name)),
        )
    }
}

/// An open file of a [`RealDisk`].
#[derive(Debug)]
struct RealFile {
    fd: OwnedFd,
    path: PathBuf,
}

impl File for RealFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        retry_on_intr(|| pread(&self.fd, &mut *buf, offset))
            .map_err(|errno| os("read", &self.path, errno).at(offset))
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> Result<usize> {
        let written = retry_on_intr(|| pwrite(&self.fd, buf, offset))
            .map_err(|errno| os("write", &self.path, errno).at(offset))?;
        if written == 0 && !buf.is_empty() {
            let error = Error::new(ErrorKind::Io, "write", &self.path).at(offset);
            return Err(error.with_detail("the device accepted no bytes"));
        }
        Ok(written)
    }

    fn sync_data(&self) -> Result<()> {
        retry_on_intr(|| fdatasync(&self.fd)).map_err(|errno| os("sync", &self.path, errno))
    }

    fn start_sync(&self, offset: u64, len: u64) {
        // Linux begins to write what is dirty in a range that will not be needed; what is being written stays in the
        // page cache. A refusal changes nothing.
        let _ = fadvise(
            &self.fd,
            offset,
            std::num::NonZeroU64::new(len),
            Advice::DontNeed,
        );
    }

    fn len(&self) -> Result<u64> {
        let stat = fstat(&self.fd).map_err(|errno| os("metadata", &self.path, errno))?;
        Ok(stat_len(&stat))
    }

    fn set_len(&self, len: u64) -> Result<()> {
        retry_on_intr(|| ftruncate(&self.fd, len)).map_err(|errno| os("set_len", &self.path, errno))
    }

    fn punch(&self, offset: u64, len: u64) -> Result<bool> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match retry_on_intr(|| fallocate(&self.fd, flags, offset, len)) {
            Ok(()) => Ok(true),
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(false),
            Err(errno) => Err(os("punch", &self.path, errno).at(offset)),
        }
    }
}

/// A held `flock`. The kernel releases it at the latest when the process dies.
#[derive(Debug)]
struct RealLock {
    fd: OwnedFd,
}

impl Drop for RealLock {
    fn drop(&mut self) {
        // Closing alone is not enough: a child that another thread is just starting has a copy of the descriptor until it
        // becomes another program, and would hold the lock so long.
        let _ = flock(&self.fd, FlockOperation::Unlock);
    }
}

impl Lock for RealLock {}

fn open_native(path: &Path) -> Result<OwnedFd> {
    retry_on_intr(|| openat(CWD, path, DIR_FLAGS | OFlags::CLOEXEC, Mode::empty()))
        .map_err(|errno| os("open", path, errno))
}

/// Makes a directory just made durable. If that fails it is removed again: were it left behind,
/// the next call would find it and take it for durable.
fn sync_made_dir(parent: &OwnedFd, name: &OsStr, path: &Path) -> Result<()> {
    sync_fd(parent, path).inspect_err(|_| {
        // The sync's error is the one to report.
        let _ = unlinkat(parent, name, AtFlags::REMOVEDIR);
    })
}

fn sync_fd(dir: &OwnedFd, path: &Path) -> Result<()> {
    retry_on_intr(|| fsync(dir)).map_err(|errno| os("sync_dir", path, errno))
}

fn stat_at(dir: &impl AsFd, name: &OsStr) -> rustix::io::Result<Stat> {
    let dir: BorrowedFd<'_> = dir.as_fd();
    retry_on_intr(|| statat(dir, name, AtFlags::SYMLINK_NOFOLLOW))
}

fn expect_kind(op: &'static str, path: &Path, stat: &Stat, kind: EntryKind) -> Result<()> {
    if kind_of(stat) == kind {
        Ok(())
    } else {
        Err(Error::new(ErrorKind::Refused, op, path))
    }
}

fn kind_of(stat: &Stat) -> EntryKind {
    entry_kind(FileType::from_raw_mode(stat.st_mode))
}

fn entry_kind(file_type: FileType) -> EntryKind {
    match file_type {
        FileType::RegularFile => EntryKind::File,
        FileType::Directory => EntryKind::Dir,
        _ => EntryKind::Other,
    }
}

fn stat_len(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or_default()
}

fn os(op: &'static str, path: &Path, errno: Errno) -> Error {
    Error::io(op, path, io::Error::from(errno))
}

#[cfg(test)]
mod tests;
