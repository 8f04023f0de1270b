//! Turning parts back into tables and logs.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidestore_disk::{Disk, read_small};
use tidestore_kv::{Batch, Table};
use tidestore_log::{FileLog, Log, LogOptions, Position};

use crate::backup::entries::damaged;
use crate::backup::manifest::{FileEntry, Manifest};
use crate::backup::part::{Id, Kind, Unpacked};
use crate::error::Result;
use crate::format::StoreFile;
use crate::options::Options;
use crate::shard::{log_dir, views_dir};

/// No file of a part is larger, in bytes.
const FILE_MAX: usize = 80 << 20;
/// Rows are written in batches of about so many bytes.
const BATCH_BYTES: usize = 1 << 20;

/// Loads the parts of a backup.
pub(crate) struct Loader<'a> {
    pub(crate) disk: &'a Arc<dyn Disk>,
    /// Where the parts lie.
    pub(crate) parts: &'a Path,
    pub(crate) store: &'a StoreFile,
    pub(crate) options: &'a Options,
    paths: HashSet<PathBuf>,
}

impl<'a> Loader<'a> {
    pub(crate) fn new(
        disk: &'a Arc<dyn Disk>,
        parts: &'a Path,
        store: &'a StoreFile,
        options: &'a Options,
        manifest: &Manifest,
    ) -> Self {
        let paths = manifest.files.iter().map(FileEntry::path);
        Self {
            disk,
            parts,
            store,
            options,
            paths: paths.collect(),
        }
    }

    /// Makes the tables of a shard; returns how many rows they have.
    pub(crate) fn tables(&self, shard: u16) -> Result<u64> {
        let dir = views_dir(shard);
        self.disk.create_dir_all(&dir)?;
        let engine = tidestore_kv::open(self.store.engine, self.disk, &dir)?;
        let (mut batch, mut bytes, mut rows) = (Batch::new(), 0, 0);
        self.each(Kind::Rows, shard, |unpacked| {
            unpacked.rows(|(table, key, value)| {
                batch.put(Table(table), key, value);
                rows += 1;
                bytes += key.len() + value.len();
                if bytes >= BATCH_BYTES {
                    bytes = 0;
                    engine.write(std::mem::take(&mut batch))?;
                }
                Ok(())
            })
        })?;
        engine.write(batch)?;
        engine.flush()?;
        Ok(rows)
    }

    /// Makes the log of a shard, which begins and ends at the positions that the manifest says; returns how many batches it
    /// has.
    pub(crate) fn log(&self, shard: u16, (first, last): (u64, u64)) -> Result<u64> {
        let dir = log_dir(shard);
        self.disk.create_dir_all(&dir)?;
        let options = LogOptions {
            file_bytes: self.options.log_file_bytes,
            ..LogOptions::default()
        };
        let (disk, id) = (Arc::clone(self.disk), self.store.id);
        let mut log = FileLog::begin(disk, &dir, id, shard, options, Position(first))?;
        self.each(Kind::Batches, shard, |unpacked| {
            unpacked.batches(|position, batch| {
                if position != log.end().0 + 1 {
                    let text = format!("position {position} follows {}", log.end());
                    return Err(damaged(&self.parts.join("log"), &text));
                }
                log.append(batch)?;
                Ok(())
            })
        })?;
        log.sync()?;
        if log.end().0 != last {
            let text = format!("the log of shard {shard} ends at {}, not {last}", log.end());
            return Err(damaged(&self.parts.join("log"), &text));
        }
        Ok((last + 1).saturating_sub(first))
    }

    /// Shows every part of a shard in order; `load` says whether it was as it should be.
    fn each(
        &self,
        kind: Kind,
        shard: u16,
        mut load: impl FnMut(&Unpacked) -> Result<bool>,
    ) -> Result<()> {
        let store = self.store.id;
        for number in 1.. {
            let path = kind.path(shard, number);
            if !self.paths.contains(&path) {
                break;
            }
            let bytes = read_small(&**self.disk, &self.parts.join(&path), FILE_MAX)?;
            let id = Id {
                store,
                shard,
                number,
            };
            let unpacked = Unpacked::decode(kind, id, &path, &bytes)?;
            if !load(&unpacked)? {
                return Err(damaged(&path, "the part does not hold what its head says"));
            }
        }
        Ok(())
    }
}
