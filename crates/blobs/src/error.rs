//! What can go wrong with attachments.

use std::fmt;
use std::path::Path;

use tidestore_plan::LimitError;

/// The result of an operation on attachments.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A refused or failed operation on attachments. Nothing of it stays.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    context: String,
    /// Boxed: results pass through hot paths, and an error is rare.
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What the caller can do about an [`Error`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no such attachment: the id is forged, of another app, or the attachment was deleted.
    NotFound,
    /// There was such an attachment, and its time is over.
    Expired,
    /// A limit of the contract is exceeded: send less.
    Limit(LimitError),
    /// The stream did not have the length that was declared.
    Length {
        /// Bytes that were announced.
        declared: u64,
        /// Bytes that came, or at least so many.
        actual: u64,
    },
    /// A name or a media type that cannot be kept, or a range outside the attachment.
    Argument,
    /// Bytes on disk are not what was written; the error names file and offset.
    Corruption,
    /// No disk space is left.
    Full,
    /// The disk failed.
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

    pub(crate) fn corruption(path: &Path, offset: u64, detail: impl fmt::Display) -> Self {
        tidestore_disk::Error::corruption(path, offset, detail.to_string()).into()
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // The context already says what the cause says; what lies below it is the news.
        self.source.as_deref().and_then(std::error::Error::source)
    }
}

impl From<LimitError> for Error {
    fn from(error: LimitError) -> Self {
        let context = error.to_string();
        Self::new(ErrorKind::Limit(error), context)
    }
}

impl From<tidestore_disk::Error> for Error {
    fn from(error: tidestore_disk::Error) -> Self {
        use tidestore_disk::ErrorKind as Disk;
        let kind = match error.kind() {
            Disk::Corruption | Disk::NotFound => ErrorKind::Corruption,
            Disk::Full => ErrorKind::Full,
            _ => ErrorKind::Io,
        };
        Self {
            source: Some(Box::new(error)),
            ..Self::new(kind, String::new())
        }
        .told()
    }
}

impl From<tidestore_kv::Error> for Error {
    fn from(error: tidestore_kv::Error) -> Self {
        use tidestore_kv::ErrorKind as Kv;
        let kind = match error.kind() {
            Kv::Corruption => ErrorKind::Corruption,
            Kv::Full => ErrorKind::Full,
            Kv::Unsupported => ErrorKind::Argument,
            _ => ErrorKind::Io,
        };
        Self {
            source: Some(Box::new(error)),
            ..Self::new(kind, String::new())
        }
        .told()
    }
}

impl Error {
    /// Takes the words of its cause.
    fn told(mut self) -> Self {
        if let Some(source) = &self.source {
            self.context = source.to_string();
        }
        self
    }
}
