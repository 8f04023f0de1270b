//! What can go wrong with a commit log.

use std::fmt;
use std::path::Path;

/// The result of an operation on the log.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Any error, as a visitor of a replay may return it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A failed operation on the log.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    context: String,
    source: Option<BoxError>,
}

/// What the caller can do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No disk space is left, or no file descriptor; nothing was appended, and appending works again once there is one.
    Full,
    /// A write or sync failed, now or before: nothing more can be acknowledged. Reopen the log.
    Poisoned,
    /// Bytes that were synced are damaged or missing; the log was not changed.
    Corruption,
    /// A batch is larger than the log accepts; nothing was appended.
    TooLarge,
    /// A replay was asked for positions that are not there any more.
    Gap,
    /// The visitor of a replay stopped it; its error is the source.
    Visitor,
    /// The disk failed while reading or opening.
    Io,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self {
            kind,
            context: context.into(),
            source: None,
        }
    }

    pub(crate) fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    pub(crate) fn corruption(path: &Path, offset: u64, detail: impl Into<String>) -> Self {
        tidestore_disk::Error::corruption(path, offset, detail).into()
    }

    /// An error of whoever gives batches to a log that is being written anew.
    pub fn of_source(source: &dyn std::error::Error) -> Self {
        Self::new(ErrorKind::Visitor, source.to_string())
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl From<tidestore_disk::Error> for Error {
    fn from(error: tidestore_disk::Error) -> Self {
        use tidestore_disk::ErrorKind as Disk;
        let kind = match error.kind() {
            Disk::Full => ErrorKind::Full,
            // Only opening needs a descriptor: nothing was done, and it works again once there is one.
            _ if error.is_out_of_handles() => ErrorKind::Full,
            Disk::Corruption => ErrorKind::Corruption,
            _ => ErrorKind::Io,
        };
        Self::new(kind, error.to_string()).with_source(error)
    }
}
