//! The volumes that are being written: which there are, and what was written to them since the last flush.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidestore_disk::sync::Mutex;
use tidestore_disk::{ErrorKind as DiskErrorKind, File, FileCache, FileExt, OpenMode};
use tidestore_kv::{Engine, Overlay, decode_row};
use tidestore_plan::AppId;

use crate::error::{Error, ErrorKind, Result};
use crate::format::{self, BLOCK_BYTES, Span, VolumeHead, blocks_of};
use crate::intake::create_numbered;
use crate::site::{Apps, Site, bucket_dir, volume_path};
use crate::tables::{VOLUMES, VolumeRow, app_of, number_at, volume_key};

/// A shared volume is closed at this size, so that none becomes too large to be carried or copied.
const VOLUME_BYTES_MAX: u64 = 256 << 20;
/// From this size on, the device begins with a record while the next one is being written.
const START_SYNC_BYTES: usize = 64 << 10;
/// So many volumes stay open for writing, or a quarter of what may be open for reading if that is less; a store with more
/// apps opens them again when they are needed.
const HANDLES_MAX: usize = 64;

/// The volumes of one shard that still grow.
#[derive(Debug)]
pub struct Volumes {
    pub(crate) site: Site,
    pub(crate) files: Arc<FileCache>,
    pub(crate) shard: u16,
    active: HashMap<(AppId, Span), Active>,
    /// Volumes that the change in the making has filled. They are flushed with it, and grow again if it is abandoned.
    filled: Vec<Filled>,
    /// Volumes that would still grow, but for another one of the same bucket; closed when that is over.
    strays: Vec<(AppId, Span, u64)>,
    /// Files that could not be removed when it was time; tried again with the next.
    pub(crate) unremoved: Vec<PathBuf>,
    pub(crate) syncs: Syncs,
}

/// Flushes files, and none again of which a flush has failed: a second one would succeed without what the first one lost.
#[derive(Debug, Default)]
pub(crate) struct Syncs(Mutex<HashSet<PathBuf>>);

impl Syncs {
    /// Makes a file durable.
    pub(crate) fn sync(&self, file: &dyn File, path: &Path) -> Result<()> {
        if self.have_failed(path) {
            let text = format!("an earlier flush of {} failed; reopen", path.display());
            return Err(Error::new(ErrorKind::Io, text));
        }
        let synced = file.sync_data();
        if synced.is_err() {
            self.0.lock().insert(path.to_owned());
        }
        Ok(synced?)
    }

    /// Whether a flush of a file has failed since opening.
    pub(crate) fn have_failed(&self, path: &Path) -> bool {
        self.0.lock().contains(path)
    }
}

/// A volume that was filled.
#[derive(Debug)]
pub(crate) struct Filled {
    place: (AppId, Span),
    active: Active,
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

impl Active {
    /// Makes what was written durable, and the name of a new file.
    fn sync(&mut self, site: &Site, syncs: &Syncs) -> Result<()> {
        if !self.dirty {
            return Ok(());
        }
        if let Some(file) = &self.file {
            syncs.sync(&**file, &self.path)?;
        }
        if self.fresh {
            let dir = self.path.parent().unwrap_or(Path::new(""));
            site.disk.sync_dir(dir)?;
        }
        self.dirty = false;
        Ok(())
    }

    /// Removes the file of a volume that no table knows.
    fn remove(&mut self, site: &Site, files: &FileCache) {
        self.file = None;
        // What cannot be removed now is swept at the next opening.
        let _ = site.disk.remove_file(&self.path);
        files.forget(&self.path);
    }
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
            filled: Vec::new(),
            strays: Vec::new(),
            unremoved: Vec::new(),
            syncs: Syncs::default(),
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
                let place = (app, row.bucket);
                if let Some(other) = volumes.active.insert(place, active) {
                    volumes.strays.push((app, row.bucket, other.number));
                }
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
            let place = (app, bucket);
            if let Some(active) = self.active.remove(&place) {
                self.filled.push(Filled { place, active });
            }
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
        let most = HANDLES_MAX.min((self.files.capacity() / 4).max(1));
        if open.count() >= most {
            let clean = self.active.values_mut().filter(is_open);
            clean.for_each(|active| active.file = None);
        }
    }

    /// Makes everything durable that was written since the last flush. After an error no volume must be flushed again.
    /// Hands out the volumes that were filled.
    pub(crate) fn sync(&mut self) -> Result<Vec<Filled>> {
        let filled = self.filled.iter_mut().map(|filled| &mut filled.active);
        for active in filled.chain(self.active.values_mut()) {
            active.sync(&self.site, &self.syncs)?;
        }
        Ok(std::mem::take(&mut self.filled))
    }

    /// The change that named the new volumes is in the log.
    pub(crate) fn committed(&mut self) {
        self.active
            .values_mut()
            .for_each(|active| active.fresh = false);
    }

    /// The change is surely not in the log: goes back to what the tables say.
    pub(crate) fn aborted(&mut self, engine: &dyn Engine, filled: Vec<Filled>) {
        let filled = filled.into_iter().chain(std::mem::take(&mut self.filled));
        for Filled { place, active } in filled {
            // What was begun behind it is in no table, and goes. Of several, the first is the one that the tables know.
            self.filled_again(engine, place, active);
        }
        let (site, files) = (&self.site, &self.files);
        self.active.retain(|(app, _), active| {
            let row = engine.get(VOLUMES, &volume_key(*app, active.number));
            match row.map(|row| row.map(|row| decode_row::<VolumeRow>(VOLUMES, b"", &row))) {
                Ok(Some(Ok(row))) => {
                    if let Some(file) = &active.file {
                        // Only to give space back; what is behind the length is overwritten or cut off anyway.
                        let _ = file.set_len(row.len);
                    }
                    true
                }
                Ok(None) => {
                    active.remove(site, files);
                    false
                }
                // Unreadable tables: touch nothing.
                _ => true,
            }
        });
    }

    /// Lets a volume grow again, unless no table knows it.
    fn filled_again(&mut self, engine: &dyn Engine, place: (AppId, Span), mut active: Active) {
        let is_known = |active: &Active| {
            let row = engine.get(VOLUMES, &volume_key(place.0, active.number));
            !matches!(row, Ok(None))
        };
        if !is_known(&active) {
            active.remove(&self.site, &self.files);
            return;
        }
        if let Some(mut begun) = self.active.insert(place, active) {
            if is_known(&begun) {
                self.strays.push((place.0, place.1, begun.number));
            } else {
                begun.remove(&self.site, &self.files);
            }
        }
    }

    /// The growing volumes of buckets that are over.
    pub(crate) fn ended(&self, now: u64) -> Vec<(AppId, Span, u64)> {
        let ended = self
            .active
            .iter()
            .filter(|((_, bucket), _)| bucket.end <= now);
        let ended = ended.map(|((app, bucket), active)| (*app, *bucket, active.number));
        let strays = self.strays.iter().copied();
        ended
            .chain(strays.filter(|(_, bucket, _)| bucket.end <= now))
            .collect()
    }

    /// Lets go of a volume that grows no more.
    pub(crate) fn close(&mut self, app: AppId, bucket: Span, number: u64) {
        self.strays.retain(|stray| *stray != (app, bucket, number));
        let is_it = |active: &Active| active.number == number && !active.dirty;
        if self.active.get(&(app, bucket)).is_some_and(is_it) {
            self.active.remove(&(app, bucket));
        }
    }

    /// Forgets the volumes of an app.
    pub(crate) fn forget(&mut self, app: AppId) {
        self.active.retain(|(owner, _), _| *owner != app);
        self.strays.retain(|(owner, ..)| *owner != app);
    }

    /// What the checksums of a volume are bound to.
    pub(crate) fn seal(&self, number: u64) -> tidestore_disk::Seal {
        format::seal(self.site.store, number)
    }
}
