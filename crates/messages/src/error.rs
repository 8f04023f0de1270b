//! What can go wrong with the files of the message store.

use std::fmt;
use std::path::Path;

use crate::codec::Malformed;

/// The result of an operation on messages.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed operation on messages.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    context: String,
    /// Boxed: results pass through hot paths, and an error is rare.
    source: Option<Box<tidestore_disk::Error>>,
}

/// What the caller can do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A file is damaged; the error names it and the offset. The rest is still served.
    Corruption,
    /// A file is not there (any more).
    NotFound,
    /// No disk space is left.
    Full,
    /// A row does not belong into the file it was given to: a mistake of the caller.
    Refused,
    /// Rows were given to a writer out of order: a mistake of the caller.
    OutOfOrder,
    /// A row or a part of a file is larger than the format holds.
    TooLarge,
    /// The disk failed.
    Io,
}

impl Error {
    pub(crate) fn corruption(path: &Path, offset: u64, detail: impl fmt::Display) -> Self {
        tidestore_disk::Error::corruption(path, offset, detail.to_string()).into()
    }

    pub(crate) fn malformed(path: &Path, offset: u64, malformed: &Malformed) -> Self {
        Self::corruption(path, offset, malformed)
    }

    pub(crate) fn refused(context: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::Refused,
            context: context.into(),
            source: None,
        }
    }

    pub(crate) fn out_of_order(context: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::OutOfOrder,
            context: context.into(),
            source: None,
        }
    }

    pub(crate) fn too_large(context: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::TooLarge,
            context: context.into(),
            source: None,
        }
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The disk's own error, if it came from there.
    pub fn disk(&self) -> Option<&tidestore_disk::Error> {
        self.source.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // The context already says what the disk's error says; what lies below it is the news.
        self.source.as_deref().and_then(std::error::Error::source)
    }
}

impl From<tidestore_disk::Error> for Error {
    fn from(error: tidestore_disk::Error) -> Self {
        use tidestore_disk::ErrorKind as Disk;
        let kind = match error.kind() {
            Disk::Corruption => ErrorKind::Corruption,
            Disk::NotFound => ErrorKind::NotFound,
            Disk::Full => ErrorKind::Full,
            _ => ErrorKind::Io,
        };
        Self {
            kind,
            context: error.to_string(),
            source: Some(Box::new(error)),
        }
    }
}
