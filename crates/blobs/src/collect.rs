//! Expiry, and giving space back.
//!
//! A pass reads the rows of `DUE` whose time has come, and nothing else. An attachment that still lives gets a later
//! row; the others are removed. A volume in which nothing lives is unlinked. One in which little lives has that carried
//! into the volume of now, and is unlinked then. In any other the dead records are punched out; where the filesystem
//! cannot do that, they are counted as what they are, bytes on disk, until the volume goes.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use tidestore_disk::{ErrorKind as DiskErrorKind, Millis, OpenMode};
use tidestore_kv::{Engine, Overlay, Range};
use tidestore_plan::{AppId, AttachmentId};

use crate::change::{After, Change, Hole};
use crate::content::{Content, Location};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{BLOCK_BYTES, CHUNK_BYTES, Chunk, RecordHead, head_bytes};
use crate::intake::SoloFile;
use crate::pack::Packer;
use crate::site::{Apps, volume_path};
use crate::tables::{
    ATTACHMENTS, AttachmentRow, BLOB_USAGE, CONTENTS, ContentRow, DUE, Due, PLACES, PlaceRow,
    PlaceState, REFERENCES, VOLUMES, VolumeRow, app_key, app_of, attachment_key, day_of, number_at,
    place_key, volume_key,
};
use crate::volume::Volumes;

/// What a pass removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Attachments, with their app and the bytes of their contents.
    pub attachments: Vec<(AppId, u64)>,
    /// Volumes that leave the disk.
    pub volumes: u64,
    /// Contents that were carried into a younger volume.
    pub carried: u64,
    /// Volumes that could not be carried because they are damaged; they stay as they are.
    pub damaged: Vec<String>,
    /// Whether there is more to do: another pass should follow at once.
    pub more: bool,
}

impl Collected {
    /// Adds what another pass removed.
    pub fn add(&mut self, other: Self) {
        self.attachments.extend(other.attachments);
        self.volumes += other.volumes;
        self.carried += other.carried;
        self.damaged.extend(other.damaged);
        self.more = other.more;
    }
}

/// Attachments are removed in portions of this size, so that no change becomes too large.
const PORTION: usize = 512;

/// A volume is carried if less than one part in so many of its bytes lives: then carrying writes at most a third of
/// what it frees.
const CARRY_BELOW: u64 = 4;

/// What is left to be punched out of a volume, and how it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Punched {
    app: AppId,
    volume: u64,
    places: Vec<u64>,
}

/// How giving space back went.
#[derive(Debug, Default)]
pub struct Settled {
    /// What was punched.
    pub punched: Vec<Punched>,
    /// The first thing that failed.
    pub failed: Option<Error>,
}

impl Change<'_> {
    /// Removes attachments whose time is over, at most a portion. Those that are held, because a message that refers to
    /// them is just being appended, are left for a later pass.
    ///
    /// # Errors
    ///
    /// What tables and disk report; drop the change then.
    pub fn collect(
        &mut self,
        engine: &dyn Engine,
        apps: &dyn Apps,
        is_held: &dyn Fn(AppId, AttachmentId) -> bool,
    ) -> Result<Collected> {
        let mut found = Collected::default();
        for (app, bucket, number) in self.volumes.ended(self.now) {
            self.end(app, number)?;
            self.after.ended.push((app, bucket, number));
        }
        let mut next = Vec::new();
        while let Some(app) = next_app(engine, &next)? {
            next = app_key(AppId(app.0.saturating_add(1)), b"");
            if apps.dir(app).is_some() {
                self.collect_app(engine, apps, app, is_held, &mut found)?;
            }
            if found.more || app.0 == u32::MAX {
                break;
            }
        }
        self.settle_volumes(apps, &mut found)?;
        Ok(found)
    }

    /// Closes a growing volume whose bucket is over.
    fn end(&mut self, app: AppId, number: u64) -> Result<()> {
        let key = volume_key(app, number);
        if let Some(mut row) = self.rows.get::<VolumeRow>(VOLUMES, &key)? {
            row.sealed = true;
            self.rows.put(VOLUMES, key, &row)?;
            self.touched.entry((app, number)).or_default();
        }
        Ok(())
    }

    fn collect_app(
        &mut self,
        engine: &dyn Engine,
        apps: &dyn Apps,
        app: AppId,
        is_held: &dyn Fn(AppId, AttachmentId) -> bool,
        found: &mut Collected,
    ) -> Result<()> {
        let floor = apps.physical_floor(app);
        // At its last moment a message is visible still; at the end of its own time an attachment is not.
        for (kind, before) in [(Due::AT, self.now.saturating_add(1)), (Due::BELOW, floor)] {
            let mut end = app_key(app, &[kind]);
            end.extend_from_slice(&before.to_be_bytes());
            let range = Range {
                start: Bound::Included(app_key(app, &[kind])),
                end: Bound::Excluded(end),
                reverse: false,
                limit: PORTION,
            };
            let due = engine.range(DUE, range)?;
            let (full, mut moved) = (due.len() == PORTION, false);
            for (key, _) in due {
                moved |= self.review(app, &key, floor, is_held, found)?;
            }
            // A portion that is held as a whole can wait; otherwise the next pass begins behind this one.
            found.more |= full && moved;
        }
        Ok(())
    }

    /// Looks at one attachment whose time may be over; false if it was left as it is.
    fn review(
        &mut self,
        app: AppId,
        key: &[u8],
        floor: Millis,
        is_held: &dyn Fn(AppId, AttachmentId) -> bool,
        found: &mut Collected,
    ) -> Result<bool> {
        let Some(id) = key.get(13..).and_then(|id| id.first_chunk()) else {
            return Ok(false);
        };
        let id = AttachmentId::from_bytes(*id);
        if is_held(app, id) {
            return Ok(false);
        }
        let row: Option<AttachmentRow> = self.rows.get(ATTACHMENTS, &attachment_key(app, id))?;
        let Some(row) = row else {
            self.rows.delete(DUE, key);
            return Ok(true);
        };
        let due = if self.now < row.keep_until {
            Some(Due::At(row.keep_until))
        } else if row.pins > 0 {
            None
        } else if let Some(newest) = row.newest_message.filter(|newest| *newest >= floor) {
            Some(Due::Below(newest))
        } else {
            found.attachments.push((app, row.length));
            self.remove(app, id, &row)?;
            return Ok(true);
        };
        let later = AttachmentRow { due, ..row.clone() };
        self.put_row(app, id, Some(&row), &later)?;
        Ok(true)
    }

    /// Decides what becomes of the volumes that lost records.
    ///
    /// # Errors
    ///
    /// What tables and disk report; drop the change then.
    pub fn settle_volumes(&mut self, apps: &dyn Apps, found: &mut Collected) -> Result<()> {
        for ((app, number), holes) in std::mem::take(&mut self.touched) {
            let key = volume_key(app, number);
            let Some(row) = self.rows.get::<VolumeRow>(VOLUMES, &key)? else {
                continue;
            };
            let Some(dir) = apps.dir(app) else { continue };
            let written = row.len - BLOCK_BYTES;
            if row.sealed && row.live == 0 {
                let path = self.drop_volume(app, &dir, number, &row)?;
                if !self.wanted.contains(&(app, number)) {
                    self.after.over.push(path.clone());
                }
                self.after.unlink.push(path);
                found.volumes += 1;
            } else if row.sealed && !row.solo && row.live * CARRY_BELOW <= written {
                match self.carry(apps, app, &dir, number, &row) {
                    Ok(carried) => {
                        found.carried += carried;
                        found.volumes += 1;
                    }
                    Err(error) if *error.kind() == ErrorKind::Corruption => {
                        found.damaged.push(error.to_string());
                        self.plan_holes(app, number, &dir, &row, holes);
                    }
                    // Carrying needs space; punching gives some.
                    Err(error) if *error.kind() == ErrorKind::Full => {
                        self.plan_holes(app, number, &dir, &row, holes);
                    }
                    Err(error) => return Err(error),
                }
            } else {
                self.plan_holes(app, number, &dir, &row, holes);
            }
        }
        Ok(())
    }

    fn plan_holes(
        &mut self,
        app: AppId,
        number: u64,
        dir: &Path,
        row: &VolumeRow,
        holes: Vec<Hole>,
    ) {
        if !holes.is_empty() {
            let path = volume_path(dir, row.bucket, self.volumes.shard, number, row.solo);
            self.after.punch.push((app, number, path, holes));
        }
    }

    /// Forgets a volume in which nothing lives; its file goes once that is logged.
    fn drop_volume(
        &mut self,
        app: AppId,
        dir: &Path,
        number: u64,
        row: &VolumeRow,
    ) -> Result<PathBuf> {
        for key in self.rows.keys(PLACES, &number.to_be_bytes())? {
            if let Some(place) = self.rows.get::<PlaceRow>(PLACES, &key)?
                && place.state == PlaceState::Dead
            {
                self.discharge(app, place.day, place.len)?;
            }
            self.rows.delete(PLACES, key);
        }
        self.rows.delete(VOLUMES, volume_key(app, number));
        self.discharge(app, day_of(row.created), BLOCK_BYTES)?;
        let shard = self.volumes.shard;
        Ok(volume_path(dir, row.bucket, shard, number, row.solo))
    }

    fn discharge(&mut self, app: AppId, day: u32, bytes: u64) -> Result<()> {
        self.charge(app, day, |of| {
            of.physical_bytes -= of.physical_bytes.min(bytes);
        })
    }

    /// Copies what lives in a volume into the volume of now, and drops the old one. Everything is read before anything
    /// is written, so damage leaves the volume as it is.
    fn carry(
        &mut self,
        apps: &dyn Apps,
        app: AppId,
        dir: &Path,
        number: u64,
        row: &VolumeRow,
    ) -> Result<u64> {
        let mut living = Vec::new();
        for key in self.rows.keys(PLACES, &number.to_be_bytes())? {
            let place: Option<PlaceRow> = self.rows.get(PLACES, &key)?;
            let Some(place) = place.filter(|place| place.state == PlaceState::Live) else {
                continue;
            };
            let content_key = app_key(app, &place.hash);
            let content: Option<ContentRow> = self.rows.get(CONTENTS, &content_key)?;
            let Some(content) = content else { continue };
            let at = Location {
                path: volume_path(dir, row.bucket, self.volumes.shard, number, row.solo),
                volume: number,
                offset: number_at(&key, 8),
                record: content.record,
            };
            living.push((key, content_key, content, place, self.reread(at)?));
        }
        let bucket = apps.bucket(app, self.now);
        let mut volume = row.clone();
        let carried = living.len() as u64;
        for (key, content_key, content, mut place, (head, mut record)) in living {
            let moved = self.store(app, dir, bucket, head, &mut record)?;
            let moved = ContentRow {
                attachments: content.attachments,
                ..moved
            };
            self.rows.put(CONTENTS, content_key, &moved)?;
            volume.live -= volume.live.min(place.len);
            volume.dead += place.len;
            place.state = PlaceState::Dead;
            self.rows.put(PLACES, key, &place)?;
            // Kept in step: should the disk be full at the next one, this one has moved.
            self.rows.put(VOLUMES, volume_key(app, number), &volume)?;
        }
        let path = self.drop_volume(app, dir, number, &volume)?;
        self.after.carried.push(path);
        Ok(carried)
    }

    /// Reads a record and packs it anew, with room for its head.
    fn reread(&self, at: Location) -> Result<(RecordHead, Vec<u8>)> {
        let path = at.path.clone();
        let content = Content::open(&self.volumes.files, self.volumes.site.store, at)?;
        let content =
            content.ok_or_else(|| Error::corruption(&path, 0, "the volume is missing"))?;
        let old = content.head();
        let count = old.chunks.len();
        let mut record = vec![0; head_bytes(count)];
        let mut chunks: Vec<Chunk> = Vec::with_capacity(count);
        let compresses = old.chunks.iter().any(|chunk| chunk.compressed);
        let mut packer = Packer::new(if compresses { "" } else { "image/jpeg" })?;
        for index in 0..count {
            let raw = content.chunks(index..index + 1)?;
            chunks.push(packer.pack(raw.get(..CHUNK_BYTES).unwrap_or(&raw), &mut record));
        }
        let head = RecordHead {
            chunks,
            ..old.clone()
        };
        Ok((head, record))
    }

    /// Notes what was punched.
    ///
    /// # Errors
    ///
    /// What the tables report.
    pub fn punched(&mut self, punched: &[Punched]) -> Result<()> {
        for Punched {
            app,
            volume,
            places,
        } in punched
        {
            let key = volume_key(*app, *volume);
            let Some(mut row) = self.rows.get::<VolumeRow>(VOLUMES, &key)? else {
                continue;
            };
            for offset in places {
                let key = place_key(*volume, *offset);
                let place: Option<PlaceRow> = self.rows.get(PLACES, &key)?;
                let is_dead = |place: &PlaceRow| place.state == PlaceState::Dead;
                let Some(mut place) = place.filter(is_dead) else {
                    continue;
                };
                place.state = PlaceState::Punched;
                row.dead -= row.dead.min(place.len);
                self.discharge(*app, place.day, place.len)?;
                self.rows.put(PLACES, key, &place)?;
            }
            self.rows.put(VOLUMES, key, &row)?;
        }
        Ok(())
    }

    /// Takes volumes up again that hold dead records since a crash or since their filesystem refused.
    ///
    /// # Errors
    ///
    /// What the tables report.
    pub fn revisit(&mut self, engine: &dyn Engine) -> Result<()> {
        for key in Overlay::new(engine).keys(VOLUMES, b"")? {
            let row: Option<VolumeRow> = self.rows.get(VOLUMES, &key)?;
            if row.is_some_and(|row| row.dead > 0 || row.sealed && row.live == 0) {
                let number = number_at(&key, 4);
                let holes = self.dead_places(number)?;
                self.touched.insert((app_of(&key), number), holes);
            }
        }
        Ok(())
    }

    fn dead_places(&self, number: u64) -> Result<Vec<Hole>> {
        let mut holes = Vec::new();
        for key in self.rows.keys(PLACES, &number.to_be_bytes())? {
            let place: Option<PlaceRow> = self.rows.get(PLACES, &key)?;
            let dead = place.filter(|place| place.state == PlaceState::Dead);
            holes.extend(dead.map(|place| Hole {
                offset: number_at(&key, 8),
                len: place.len,
            }));
        }
        Ok(holes)
    }

    /// Removes the rows of a deleted app, at most a portion; true if there are more. Its volumes go with them; without
    /// its directory, which only the app's key tells, the next opening sweeps them.
    ///
    /// # Errors
    ///
    /// What the tables report; drop the change then.
    pub fn forget_app(
        &mut self,
        engine: &dyn Engine,
        app: AppId,
        app_dir: Option<&Path>,
    ) -> Result<bool> {
        self.volumes.forget(app);
        let mut left = PORTION * 8;
        let prefix = app_key(app, b"");
        for table in [ATTACHMENTS, CONTENTS, REFERENCES, DUE, BLOB_USAGE] {
            left = self.delete_some(engine, table, &prefix, left)?;
        }
        for key in Overlay::new(engine).keys(VOLUMES, &prefix)? {
            if left == 0 {
                break;
            }
            left = self.delete_some(engine, PLACES, &number_at(&key, 4).to_be_bytes(), left)?;
            if left == 0 {
                break;
            }
            left -= 1;
            if let (Some(dir), Some(row)) = (app_dir, self.rows.get::<VolumeRow>(VOLUMES, &key)?) {
                let (shard, number) = (self.volumes.shard, number_at(&key, 4));
                let path = volume_path(dir, row.bucket, shard, number, row.solo);
                self.after.over.push(path.clone());
                self.after.unlink.push(path);
            }
            self.rows.delete(VOLUMES, key);
        }
        Ok(left == 0)
    }

    fn delete_some(
        &mut self,
        engine: &dyn Engine,
        table: tidestore_kv::Table,
        prefix: &[u8],
        left: usize,
    ) -> Result<usize> {
        let (start, end) = tidestore_kv::prefix_range(prefix);
        let range = Range {
            start,
            end,
            reverse: false,
            limit: left,
        };
        let page = engine.range(table, range)?;
        let left = left - page.len().min(left);
        for (key, _) in page {
            self.rows.delete(table, key);
        }
        Ok(left)
    }
}

/// The first app at or behind a key that has attachments which will end.
fn next_app(engine: &dyn Engine, from: &[u8]) -> Result<Option<AppId>> {
    let range = Range {
        start: Bound::Included(from.to_vec()),
        end: Bound::Unbounded,
        reverse: false,
        limit: 1,
    };
    let page = engine.range(DUE, range)?;
    Ok(page.first().map(|(key, _)| app_of(key)))
}

/// Apps that have volumes.
///
/// # Errors
///
/// What the tables report.
pub fn apps_with_volumes(engine: &dyn Engine) -> Result<BTreeSet<AppId>> {
    let mut apps = BTreeSet::new();
    for table in [VOLUMES, ATTACHMENTS] {
        apps.extend(
            Overlay::new(engine)
                .keys(table, b"")?
                .iter()
                .map(|key| app_of(key)),
        );
    }
    Ok(apps)
}

impl Volumes {
    /// Does to files what a logged change says: keeps what it named, unlinks what it dropped, punches out what is dead.
    /// What was punched is to be noted with [`Change::punched`]. All of it is tried; the first failure is told, and
    /// what it leaves is done by a later pass.
    pub fn settle(&mut self, after: After) -> Settled {
        self.committed();
        after.solos.into_iter().map(SoloFile::keep).for_each(drop);
        for (app, bucket, number) in after.ended {
            self.close(app, bucket, number);
        }
        let mut settled = Settled::default();
        let mut paths = std::mem::take(&mut self.unremoved);
        paths.extend(after.unlink);
        paths.extend(after.carried);
        for path in paths {
            if let Err(error) = self.unlink(&path) {
                settled.failed.get_or_insert(error);
                self.unremoved.push(path);
            }
        }
        for (app, volume, path, holes) in after.punch {
            match self.punch(&path, &holes) {
                Ok(true) => settled.punched.push(Punched {
                    app,
                    volume,
                    places: holes.iter().map(|hole| hole.offset).collect(),
                }),
                Ok(false) => {}
                Err(error) => drop(settled.failed.get_or_insert(error)),
            }
        }
        settled
    }

    /// The change could not be logged. `unlogged` says that this is sure; otherwise every file stays for the next
    /// opening to decide.
    pub fn abandon(&mut self, engine: &dyn Engine, after: After, unlogged: bool) {
        if unlogged {
            self.aborted(engine, after.filled);
            for path in after.kept {
                // What cannot be removed now is swept at the next opening.
                let _ = self.site.disk.remove_file(&path);
            }
        } else {
            after.solos.into_iter().map(SoloFile::keep).for_each(drop);
        }
    }

    /// Unlinks volumes that are over and that a change will drop, before it is logged: on a full disk that makes the room
    /// for the log. If it stays full, nothing is lost that could be read; see [`index::is_over`](crate::index::is_over).
    ///
    /// # Errors
    ///
    /// What the disk reports.
    pub fn make_room(&self, after: &After) -> Result<()> {
        after.over.iter().try_for_each(|path| self.unlink(path))
    }

    fn unlink(&self, path: &Path) -> Result<()> {
        let removed = self.site.disk.remove_file(path);
        self.files.forget(path);
        match removed {
            Err(error) if error.kind() != DiskErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        if let Some(dir) = path.parent() {
            // Fails while the bucket holds files, which is as it should be.
            let _ = self.site.disk.remove_dir(dir);
        }
        Ok(())
    }

    /// Punches dead records out of a volume, durably. False if the filesystem cannot, the file is not there, or a flush of
    /// it has failed: then that waits until the store is reopened.
    fn punch(&self, path: &Path, holes: &[Hole]) -> Result<bool> {
        if self.syncs.have_failed(path) {
            return Ok(false);
        }
        let file = match self.site.disk.open(path, OpenMode::Write) {
            Err(error) if error.kind() == DiskErrorKind::NotFound => return Ok(false),
            result => result?,
        };
        for hole in holes {
            if !file.punch(hole.offset, hole.len)? {
                return Ok(false);
            }
        }
        self.syncs.sync(&*file, path)?;
        Ok(true)
    }
}
