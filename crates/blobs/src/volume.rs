//! The volumes that are being written: which there are, and what was written to them since the last flush.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidestore_disk::{ErrorKind as DiskErrorKind, File, FileCache, FileExt, OpenMode};
use tidestore_kv::{Engine, Overlay, decode_row};
use tidestore_plan::AppId;

use crate::error::Result;
use crate::format::{self, BLOCK_BYTES, Span, VolumeHead, blocks_of};
use crate::intake::create_numbered;
use crate::site::{Apps, Site, bucket_dir, volume_path};
use crate::tables::{VOLUMES, VolumeRow, app_of, number_at, volume_key};

/// A shared volume is closed at this size, so that none becomes too large to be carried or copied.
const VOLUME_BYTES_MAX: u64 = 256 << 20;
/// From this size on, the device begins with a record while the next one is being written.
const START_SYNC_BYTES: usize = 64 << 10;
/// So many volumes stay open for writing; a store with more apps opens them again when they are needed.
const HANDLES_MAX: usize = 64;

/// The volumes of one shard that still grow.
#[derive(Debug)]
pub struct Volumes {
    pub(crate) site: Site,
    pub(crate) files: Arc<FileCache>,
    pub(crate) shard: u16,
    active: HashMap<(AppId, Span), Active>,
}

#[derive(Debug)]
struct Active {
    number: u64,
    path: PathBuf,
    file: Option<Arc<dyn File>>,
    /// Written to since the last flush.
    dirty: bool,
    /// Made since the last flush: its name is not durable yet, and no table knows it.
    fresh: bool,
}

/// A place that was found for a record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub(crate) volume: u64,
    pub(crate) offset: u64,
}

impl Volumes {
    /// Finds the volumes that still grow and cuts off what was written behind what the tables know.
    ///
    /// Costs one look at each of them, and one row for each volume there is.
    ///
    /// # Errors
    ///
    /// What tables and disk report. A file that is missing is no error here.
    pub fn open(
        site: Site,
        files: Arc<FileCache>,
        shard: u16,
        engine: &dyn Engine,
        apps: &dyn Apps,
    ) -> Result<Self> {
        let mut volumes = Self {
            site,
            files,
            shard,
            active: HashMap::new(),
        };
        for key in Overlay::new(engine).keys(VOLUMES, b"")? {
            let (app, number) = (app_of(&key), number_at(&key, 4));
            let value = engine.get(VOLUMES, &key)?.unwrap_or_default();
            let row: VolumeRow = decode_row(VOLUMES, &key, &value)?;
            let Some(dir) = apps.dir(app).filter(|_| !row.sealed) else {
                continue;
            };
            let path = volume_path(&dir, row.bucket, shard, number, row.solo);
            if volumes.cut(&path, row.len)? {
                let active = Active {
                    number,
                    path,
                    file: None,
                    dirty: false,
                    fresh: false,
                };
                volumes.active.insert((app, row.bucket), active);
            }
        }
        Ok(volumes)
    }

    /// Takes off what lies behind a length. False if there is no file.
    fn cut(&self, path: &Path, len: u64) -> Result<bool> {
        match self.site.disk.metadata(path) {
            Ok(metadata) if metadata.len > len => {
                let file = self.site.disk.open(path, OpenMode::Write)?;
                file.set_len(len)?;
                file.sync_data()?;
                Ok(true)
            }
            Ok(_) => Ok(true),
            Err(error) if error.kind() == DiskErrorKind::NotFound => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Finds a place for a record of so many bytes in the volume of an app and bucket, making one if there is none.
    pub(crate) fn place(
        &mut self,
        rows: &mut Overlay<'_>,
        app: AppId,
        app_dir: &Path,
        bucket: Span,
        now: u64,
        bytes: u64,
    ) -> Result<(Slot, VolumeRow)> {
        if let Some(active) = self.active.get(&(app, bucket)) {
            let key = volume_key(app, active.number);
            // No row yet: made for a record that could not be written.
            let row: Option<VolumeRow> = rows.get(VOLUMES, &key)?;
            let mut row = row.unwrap_or_else(|| VolumeRow::empty(bucket, now));
            let fits = row.len == BLOCK_BYTES || row.len + blocks_of(bytes) <= VOLUME_BYTES_MAX;
            if fits && !row.sealed {
                let (volume, offset) = (active.number, row.len);
                return Ok((Slot { volume, offset }, row));
            }
            row.sealed = true;
            rows.put(VOLUMES, key, &row)?;
            if active.dirty {
                self.sync()?;
            }
            self.active.remove(&(app, bucket));
        }
        let volume = self.create(app, app_dir, bucket)?;
        let offset = BLOCK_BYTES;
        Ok((Slot { volume, offset }, VolumeRow::empty(bucket, now)))
    }

    fn create(&mut self, app: AppId, app_dir: &Path, bucket: Span) -> Result<u64> {
        self.spare_a_handle();
        let disk = &self.site.disk;
        disk.create_dir_all(&bucket_dir(app_dir, bucket.start))?;
        let path = |number| volume_path(app_dir, bucket, self.shard, number, false);
        let (number, path, file) = create_numbered(&self.site, path)?;
        let head = VolumeHead {
            store: self.site.store,
            app,
            shard: self.shard,
            number,
            bucket,
        };
        if let Err(error) = file.write_all_at(&head.encode(), 0, &path) {
            drop(file);
            // What cannot be removed now is swept at the next opening.
            let _ = disk.remove_file(&path);
            return Err(error.into());
        }
        let active = Active {
            number,
            path,
            file: Some(file),
            dirty: true,
            fresh: true,
        };
        self.active.insert((app, bucket), active);
        Ok(number)
    }

    /// Writes a record to the place that was found for it.
    pub(crate) fn write(
        &mut self,
        app: AppId,
        bucket: Span,
        offset: u64,
        record: &[u8],
    ) -> Result<()> {
        let file = self.handle(app, bucket)?;
        let Some(active) = self.active.get_mut(&(app, bucket)) else {
            return Ok(());
        };
        let written = file.write_all_at(record, offset, &active.path);
        if record.len() >= START_SYNC_BYTES {
            file.start_sync(offset, record.len() as u64);
        }
        active.dirty = true;
        if written.is_err() {
            // A full disk needs the space back; if this fails too, the next opening does it.
            let _ = file.set_len(offset);
        }
        Ok(written?)
    }

    fn handle(&mut self, app: AppId, bucket: Span) -> Result<Arc<dyn File>> {
        self.spare_a_handle();
        let Some(active) = self.active.get_mut(&(app, bucket)) else {
            let error = tidestore_disk::Error::new(DiskErrorKind::NotFound, "open", Path::new(""));
            return Err(error.into());
        };
        if let Some(file) = &active.file {
            return Ok(Arc::clone(file));
        }
        let open = || self.site.disk.open(&active.path, OpenMode::Write);
        let file = match open() {
            Err(error) if error.is_out_of_handles() => {
                self.files.clear();
                open()?
            }
            result => result?,
        };
        active.file = Some(Arc::clone(&file));
        Ok(file)
    }

    fn spare_a_handle(&mut self) {
        let is_open = |active: &&mut Active| active.file.is_some() && !active.dirty;
        let open = self
            .active
            .values_mut()
            .filter(|active| active.file.is_some());
        if open.count() >= HANDLES_MAX {
            let clean = self.active.values_mut().filter(is_open);
            clean.for_each(|active| active.file = None);
        }
    }

    /// Makes everything durable that was written since the last flush.
    pub(crate) fn sync(&mut self) -> Result<()> {
        for active in self.active.values_mut().filter(|active| active.dirty) {
            if let Some(file) = &active.file {
                file.sync_data()?;
            }
            if active.fresh {
                let dir = active.path.parent().unwrap_or(Path::new(""));
                self.site.disk.sync_dir(dir)?;
            }
            active.dirty = false;
        }
        Ok(())
    }

    /// The change that named the new volumes is in the log.
    pub(crate) fn committed(&mut self) {
        self.active
            .values_mut()
            .for_each(|active| active.fresh = false);
    }

    /// The change is surely not in the log: goes back to what the tables say.
    pub(crate) fn aborted(&mut self, engine: &dyn Engine) {
        let (site, files) = (&self.site, &self.files);
        self.active.retain(|(app, _), active| {
            let row = engine.get(VOLUMES, &volume_key(*app, active.number));
            match row.map(|row| row.map(|row| decode_row::<VolumeRow>(VOLUMES, b"", &row))) {
                Ok(Some(Ok(row))) => {
                    if let Some(file) = active.file.as_ref().filter(|_| active.dirty) {
                        // Only to give space back; what is behind the length is overwritten or cut off anyway.
                        let _ = file.set_len(row.len);
                    }
                    true
                }
                Ok(None) => {
                    files.forget(&active.path);
                    active.file = None;
                    let _ = site.disk.remove_file(&active.path);
                    false
                }
                // Unreadable tables: touch nothing.
                _ => true,
            }
        });
    }

    /// The growing volumes of buckets that are over.
    pub(crate) fn ended(&self, now: u64) -> Vec<(AppId, Span, u64)> {
        let ended = self
            .active
            .iter()
            .filter(|((_, bucket), _)| bucket.end <= now);
        ended
            .map(|((app, bucket), active)| (*app, *bucket, active.number))
            .collect()
    }

    /// Lets go of a volume that grows no more.
    pub(crate) fn close(&mut self, app: AppId, bucket: Span, number: u64) {
        let is_it = |active: &Active| active.number == number && !active.dirty;
        if self.active.get(&(app, bucket)).is_some_and(is_it) {
            self.active.remove(&(app, bucket));
        }
    }

    /// Forgets the volumes of an app.
    pub(crate) fn forget(&mut self, app: AppId) {
        self.active.retain(|(owner, _), _| *owner != app);
    }

    /// What the checksums of a volume are bound to.
    pub(crate) fn seal(&self, number: u64) -> tidestore_disk::Seal {
        format::seal(self.site.store, number)
    }
}
