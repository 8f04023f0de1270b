//! Why a change of attributes was refused.

use std::fmt;

use tidestore_plan::LimitError;

/// The result of a call on attributes.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A refused or failed call. Nothing was changed.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    source: Option<tidestore_kv::Error>,
}

/// What the caller can do about an [`Error`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A limit is exceeded; the error says which, its maximum and the actual value.
    Limit(LimitError),
    /// An argument makes no sense, such as an empty key or one key twice in a call.
    Argument(String),
    /// The tables failed or are damaged.
    Tables,
}

impl Error {
    pub(crate) fn argument(text: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::Argument(text.into()),
            source: None,
        }
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// The failure of the tables, if that is what it is.
    pub fn into_tables(self) -> Option<tidestore_kv::Error> {
        self.source
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.kind, &self.source) {
            (ErrorKind::Limit(error), _) => error.fmt(f),
            (ErrorKind::Argument(text), _) => f.write_str(text),
            (ErrorKind::Tables, Some(source)) => source.fmt(f),
            (ErrorKind::Tables, None) => f.write_str("the tables of attributes are damaged"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}

impl From<LimitError> for Error {
    fn from(error: LimitError) -> Self {
        Self {
            kind: ErrorKind::Limit(error),
            source: None,
        }
    }
}

impl From<tidestore_kv::Error> for Error {
    fn from(source: tidestore_kv::Error) -> Self {
        Self {
            kind: ErrorKind::Tables,
            source: Some(source),
        }
    }
}
