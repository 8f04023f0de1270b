//! Errors of the directory and of attributes, as the store tells them.

use crate::error::{Error, ErrorKind};

impl From<tidestore_directory::Error> for Error {
    fn from(error: tidestore_directory::Error) -> Self {
        use tidestore_directory::ErrorKind as Directory;
        let text = error.to_string();
        match error.kind().clone() {
            Directory::Limit(limit) => Self::new(ErrorKind::Limit(limit), text),
            Directory::Tables => error
                .into_tables()
                .map_or_else(|| Self::new(ErrorKind::Corruption, text), Self::from),
            kind => Self::new(ErrorKind::Directory(kind), text),
        }
    }
}

impl From<tidestore_attributes::Error> for Error {
    fn from(error: tidestore_attributes::Error) -> Self {
        use tidestore_attributes::ErrorKind as Attributes;
        let text = error.to_string();
        match error.kind().clone() {
            Attributes::Limit(limit) => Self::new(ErrorKind::Limit(limit), text),
            Attributes::Tables => error
                .into_tables()
                .map_or_else(|| Self::new(ErrorKind::Corruption, text), Self::from),
            kind => Self::new(ErrorKind::Attributes(kind), text),
        }
    }
}
