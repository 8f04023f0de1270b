//! The seams: a disk, a file, a lock, a source of randomness.

use std::any::Any;
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[cfg(doc)]
use crate::ErrorKind;
use crate::Result;

/// A directory tree that the store owns.
///
/// All paths are relative to the root of the disk; the empty path is the root. A path that is
/// absolute, contains `..`, passes through a symbolic link, or ends at something that is neither a
/// regular file nor a directory is [`Refused`](ErrorKind::Refused), and so is a directory where a
/// file is wanted or the other way round. Every method may fail with [`Io`](ErrorKind::Io).
pub trait Disk: Any + Debug + Send + Sync {
    /// Opens a file.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] or [`ErrorKind::AlreadyExists`] as the mode says,
    /// [`ErrorKind::Refused`], [`ErrorKind::Full`] if it cannot be created.
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn File>>;

    /// Renames a file, replacing the target. Durable after [`Disk::sync_dir`] of both parents.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`], [`ErrorKind::Refused`]; nothing was renamed.
    fn rename(&self, from: &Path, to: &Path) -> Result<()>;

    /// Gives a file a second name, which may lie on another disk: both are the same file from now on. Durable after
    /// [`Disk::sync_dir`] of the new parent, as far as the file itself is.
    ///
    /// Returns false where that is not possible: the disks are of different kinds or on different filesystems, the
    /// filesystem has no such links, or the file has too many names. Nothing has changed then.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`], [`ErrorKind::AlreadyExists`] if the new name is taken, [`ErrorKind::Refused`],
    /// [`ErrorKind::Full`]; nothing was linked.
    fn hard_link(&self, from: &Path, target: &dyn Disk, to: &Path) -> Result<bool> {
        let _ = (from, target, to);
        Ok(false)
    }

    /// Removes a file. Durable after [`Disk::sync_dir`] of the parent.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`], [`ErrorKind::Refused`]; nothing was removed.
    fn remove_file(&self, path: &Path) -> Result<()>;

    /// Removes an empty directory.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`], [`ErrorKind::Refused`], [`ErrorKind::Io`] if it is not empty;
    /// nothing was removed.
    fn remove_dir(&self, path: &Path) -> Result<()>;

    /// Creates a directory and its missing parents, and makes each new entry durable before it
    /// returns.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Refused`], [`ErrorKind::Full`]; some of the parents may have been created.
    fn create_dir_all(&self, path: &Path) -> Result<()>;

    /// Makes the entries of a directory durable.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`], [`ErrorKind::Refused`], [`ErrorKind::Io`]: some of the entries may
    /// be durable.
    fn sync_dir(&self, path: &Path) -> Result<()>;

    /// Lists a directory, sorted by name. Symbolic links are listed as [`EntryKind::Other`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`], [`ErrorKind::Refused`].
    fn list(&self, path: &Path) -> Result<Vec<Entry>>;

    /// Reads size and kind of what is at a path, without following a symbolic link.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`], [`ErrorKind::Refused`] if the path leaves the disk.
    fn metadata(&self, path: &Path) -> Result<Metadata>;

    /// Takes the exclusive lock of a file, creating it. The lock dies with the guard or the
    /// process.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Locked`] if another holder lives, [`ErrorKind::Refused`], [`ErrorKind::Full`].
    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>>;

    /// Bytes that can still be written, as the filesystem says; `None` if it does not.
    fn free_bytes(&self) -> Option<u64> {
        None
    }

    /// How many files the process may have open at once, everything counted; `None` if there is no limit worth a thought.
    fn handles_max(&self) -> Option<usize> {
        None
    }

    /// The path in the machine's own filesystem, for libraries that open files by themselves;
    /// `None` in simulation, and for a path that is refused.
    fn native_path(&self, path: &Path) -> Option<PathBuf>;
}

/// An open file. Every method takes `&self`: reads and writes carry their offset.
///
/// Every method may fail with [`Io`](ErrorKind::Io). A file that has been unlinked stays usable.
pub trait File: Debug + Send + Sync {
    /// Reads at an offset; may be short; 0 at the end of the file.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`].
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize>;

    /// Writes at an offset; may be short, never 0 for a non-empty buffer.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Full`] if not one byte fits, [`ErrorKind::Io`]; no bytes were accepted.
    fn write_at(&self, buf: &[u8], offset: u64) -> Result<usize>;

    /// Makes the bytes and the length durable (`fdatasync`). After an error the file must not be
    /// synced again.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] or [`ErrorKind::Full`]: any of the unsynced bytes may be lost for good,
    /// although they can still be read and a later sync may succeed.
    fn sync_data(&self) -> Result<()>;

    /// Asks the system to begin with writing a range to the device, and does not wait: the next
    /// [`sync_data`](Self::sync_data) has less left to do. Promises nothing.
    fn start_sync(&self, offset: u64, len: u64) {
        let _ = (offset, len);
    }

    /// The current length in bytes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`].
    fn len(&self) -> Result<u64>;

    /// Whether the file holds no bytes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`].
    fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Cuts or extends (with zeros) the file.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Full`], [`ErrorKind::Io`]; the length is as it was.
    fn set_len(&self, len: u64) -> Result<()>;

    /// Gives the space of a range back without changing the length: the range reads as zeros from now on, and those of its
    /// blocks of [`PUNCH_BYTES`] that lie whole in it take no space any more. Durable after [`sync_data`](Self::sync_data).
    ///
    /// Returns false where the filesystem cannot; nothing has changed then.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`]: some of the range may read as zeros.
    fn punch(&self, offset: u64, len: u64) -> Result<bool>;
}

/// The unit in which [`File::punch`] gives space back, in bytes: a block of ext4, XFS and btrfs on most machines.
pub const PUNCH_BYTES: u64 = 4_096;

/// A held lock; released when dropped.
pub trait Lock: Debug + Send + Sync {}

/// A source of random bytes: the operating system's, or a seeded one in simulation.
pub trait Entropy: Debug + Send + Sync + 'static {
    /// Fills the buffer.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] if the system has none to give; the buffer must not be used.
    fn fill(&self, buf: &mut [u8]) -> Result<()>;
}

/// How [`Disk::open`] opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// Read only; the file must exist.
    Read,
    /// Read and write; the file must exist.
    Write,
    /// Read and write; the file must not exist yet.
    CreateNew,
    /// Read and write; created if missing, its contents kept.
    Create,
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name; bytes that are not UTF-8 are replaced, so that foreign files can be reported but
    /// never matched.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
}

/// What an [`Entry`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link, socket, device …: never opened, never deleted.
    Other,
}

/// Size and kind of what is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// What it is.
    pub kind: EntryKind,
    /// Length in bytes.
    pub len: u64,
    /// Bytes that the filesystem has allocated for it.
    pub allocated: u64,
}
