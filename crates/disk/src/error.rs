//! What can go wrong below the store, told so that the caller knows what to do.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use rustix::io::Errno;

/// The result of a disk operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed disk operation: what was tried, on which file, and why it failed.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    op: &'static str,
    path: PathBuf,
    offset: Option<u64>,
    detail: Option<String>,
    source: Option<io::Error>,
}

/// What the caller can do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no such file.
    NotFound,
    /// The file exists already.
    AlreadyExists,
    /// No space is left (or the quota is used up): free space and try again.
    Full,
    /// Another process holds the lock.
    Locked,
    /// The path leaves the data directory, is a symbolic link, or is not a regular file.
    Refused,
    /// The bytes are not what was written: restore or repair.
    Corruption,
    /// The device or the filesystem failed.
    Io,
}

impl Error {
    /// Wraps an error of the operating system.
    pub fn io(op: &'static str, path: &Path, source: io::Error) -> Self {
        let kind = match source.kind() {
            io::ErrorKind::NotFound => ErrorKind::NotFound,
            io::ErrorKind::AlreadyExists => ErrorKind::AlreadyExists,
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => ErrorKind::Full,
            _ if is_refusal(&source) => ErrorKind::Refused,
            _ => ErrorKind::Io,
        };
        Self {
            kind,
            op,
            path: path.to_owned(),
            offset: None,
            detail: None,
            source: Some(source),
        }
    }

    /// Reports bytes that are not what was written.
    pub fn corruption(path: &Path, offset: u64, detail: impl Into<String>) -> Self {
        Self {
            offset: Some(offset),
            detail: Some(detail.into()),
            ..Self::new(ErrorKind::Corruption, "read", path)
        }
    }

    /// Makes an error of a kind without a cause in the operating system.
    pub fn new(kind: ErrorKind, op: &'static str, path: &Path) -> Self {
        Self {
            kind,
            op,
            path: path.to_owned(),
            offset: None,
            detail: None,
            source: None,
        }
    }

    /// Adds what was expected and found.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds where in the file it happened, in bytes.
    #[must_use]
    pub fn at(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The file it happened on.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the process or the machine has no file descriptor left: close some and try again.
    pub fn is_out_of_handles(&self) -> bool {
        let raw = self.source.as_ref().and_then(io::Error::raw_os_error);
        [Errno::MFILE, Errno::NFILE]
            .iter()
            .any(|errno| Some(errno.raw_os_error()) == raw)
    }

    /// Where in the file, in bytes.
    pub fn offset(&self) -> Option<u64> {
        self.offset
    }
}

/// Whether the operating system says that the path leaves the directory, passes through a symbolic
/// link, or meets another kind of file than was asked for.
fn is_refusal(source: &io::Error) -> bool {
    let refusals = [
        Errno::LOOP,
        Errno::XDEV,
        Errno::NOTDIR,
        Errno::ISDIR,
        Errno::NXIO,
    ];
    source
        .raw_os_error()
        .is_some_and(|raw| refusals.iter().any(|e| e.raw_os_error() == raw))
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            ErrorKind::NotFound => "no such file",
            ErrorKind::AlreadyExists => "file exists already",
            ErrorKind::Full => "no space left",
            ErrorKind::Locked => "locked by another process",
            ErrorKind::Refused => "refused: not a regular file inside the data directory",
            ErrorKind::Corruption => "corrupt data",
            ErrorKind::Io => "input/output error",
        };
        write!(f, "{what} ({} {}", self.op, self.path.display())?;
        if let Some(offset) = self.offset {
            write!(f, " at byte {offset}")?;
        }
        f.write_str(")")?;
        if let Some(detail) = &self.detail {
            write!(f, ": {detail}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}
