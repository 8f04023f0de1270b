//! What can go wrong in a table, told so that the caller knows what to do.

use std::error::Error as StdError;
use std::fmt;

use tidestore_disk as disk;

/// The result of an operation on an [`Engine`](crate::Engine).
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed operation: its kind, what was tried on which file, and the cause.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    context: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What the caller can do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The stored bytes are not what was written: rebuild the view from the log, or restore.
    Corruption,
    /// The device, the filesystem or the engine failed: reopen, and replay the log.
    Io,
    /// No space is left: free space, then reopen, and replay the log.
    Full,
    /// This engine cannot do that here, or a key or value is over its limit: fix the argument.
    Unsupported,
}

impl Error {
    /// Makes an error without a cause below it.
    pub fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self {
            kind,
            context: context.into(),
            source: None,
        }
    }

    /// Adds the cause, which [`source`](StdError::source) then returns.
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What was tried, and on which file.
    pub fn context(&self) -> &str {
        &self.context
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            ErrorKind::Corruption => "corrupt table",
            ErrorKind::Io => "input/output error",
            ErrorKind::Full => "no space left",
            ErrorKind::Unsupported => "not supported",
        };
        write!(f, "{what}: {}", self.context)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| source.as_ref() as _)
    }
}

impl From<disk::Error> for Error {
    fn from(source: disk::Error) -> Self {
        let kind = match source.kind() {
            disk::ErrorKind::Corruption => ErrorKind::Corruption,
            disk::ErrorKind::Full => ErrorKind::Full,
            disk::ErrorKind::Refused => ErrorKind::Unsupported,
            _ => ErrorKind::Io,
        };
        Self::new(kind, format!("file {}", source.path().display())).with_source(source)
    }
}
