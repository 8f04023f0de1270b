//! Why a load did not run.

use std::fmt;

/// What goes wrong with loads.
#[derive(Debug)]
pub enum Error {
    /// The file that describes the load is not what it should be: the text says where and why.
    Spec(String),
    /// The store refused or failed.
    Store(tidestore::Error),
    /// Files beside the store's cannot be made.
    Io(std::io::Error),
}

/// The result of this crate's calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spec(text) => f.write_str(text),
            Self::Store(error) => error.fmt(f),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl From<tidestore::Error> for Error {
    fn from(error: tidestore::Error) -> Self {
        Self::Store(error)
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}
