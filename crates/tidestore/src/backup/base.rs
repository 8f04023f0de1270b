//! An earlier backup that a new one takes unchanged files from.

use std::collections::HashMap;
use std::path::Path;

use crate::backup::entries::read_manifest;
use crate::backup::manifest::FileEntry;
use crate::backup::place::BackupPlace;
use crate::backup::sink::Sink;
use crate::error::{Error, ErrorKind, Result};

/// An earlier backup in a directory.
#[derive(Debug)]
pub(crate) struct Base {
    place: BackupPlace,
    files: HashMap<String, FileEntry>,
}

impl Base {
    /// Reads the manifest of an earlier backup of the same store and app.
    pub(crate) fn open(place: &BackupPlace, store: [u8; 16], app: Option<&str>) -> Result<Self> {
        if !place.is_dir()? {
            let text = "a base is a backup in a directory: files of an archive cannot be linked";
            return Err(Error::new(ErrorKind::Argument, text));
        }
        let manifest = read_manifest(place)?;
        if manifest.store != store {
            let text = "the base is a backup of another store";
            return Err(Error::new(ErrorKind::Argument, text));
        }
        if manifest.head.app.as_deref() != app {
            let text = "the base holds other apps than the backup is to hold";
            return Err(Error::new(ErrorKind::Argument, text));
        }
        let files = manifest.files.into_iter();
        Ok(Self {
            place: place.clone(),
            files: files.map(|file| (file.path.clone(), file)).collect(),
        })
    }

    /// Links a file if the base has the same. It is not read again: the restore does that.
    pub(crate) fn link(
        &self,
        sink: &mut dyn Sink,
        path: &Path,
        len: u64,
        mark: Option<[u8; 32]>,
    ) -> Result<Option<FileEntry>> {
        let Some(entry) = self.files.get(path.to_string_lossy().as_ref()) else {
            return Ok(None);
        };
        if entry.len != len || mark.is_none() || entry.mark != mark {
            return Ok(None);
        }
        let from = self.place.join(path);
        let is_whole = |found: tidestore_disk::Metadata| found.len == len;
        // What is no longer as it was is copied anew.
        if !self.place.disk.metadata(&from).is_ok_and(is_whole) {
            return Ok(None);
        }
        let linked = sink.link(&*self.place.disk, &from, path)?;
        Ok(linked.then(|| entry.clone()))
    }
}
