//! Changes of attachments: decided one after the other, made durable together.
//!
//! A [`Change`] gathers rows. What it writes to volumes is behind what the tables know, so it does not exist until the
//! rows are in the log. The order is always the same: volumes are flushed, rows are logged, then files are given back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidestore_disk::{ErrorKind as DiskErrorKind, Millis, checksum};
use tidestore_kv::{Changes, Engine, Overlay};
use tidestore_plan::{AppId, AttachmentId};

use crate::attachment::{Attachment, MESSAGE, Reference};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{BLOCK_BYTES, Chunk, RecordHead, Span, blocks_of};
use crate::id;
use crate::intake::{Prepared, PreparedBody, SoloFile};
use crate::site::volume_path;
use crate::tables::{
    ATTACHMENTS, AttachmentRow, BLOB_USAGE, CONTENTS, ContentRow, DUE, DayUsage, Due, MARKS,
    PLACES, PlaceRow, PlaceState, REFERENCES, VOLUMES, VolumeRow, app_key, attachment_key, day_of,
    number_at, place_key, reference_key, usage_key, volume_key,
};
use crate::volume::{Filled, Slot, Volumes};

/// How long attachments are kept.
#[derive(Clone, Copy, Debug)]
pub struct Keeping {
    /// From the upload on, whatever refers to it, in milliseconds.
    pub retention: Millis,
    /// From the loss of the last reference on, in milliseconds.
    pub grace: Millis,
}

/// Where a dead record lies in its volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hole {
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

/// Changes in the making. Drop it, and nothing has happened.
#[derive(Debug)]
pub struct Change<'a> {
    pub(crate) rows: Overlay<'a>,
    pub(crate) volumes: &'a mut Volumes,
    pub(crate) now: Millis,
    pub(crate) keeping: Keeping,
    pub(crate) after: After,
    /// Volumes that lost records, and which.
    pub(crate) touched: BTreeMap<(AppId, u64), Vec<Hole>>,
    /// Volumes that lost records which can be read as long as this change is not logged.
    pub(crate) wanted: BTreeSet<(AppId, u64)>,
}

/// What is done to files once the rows are in the log.
#[derive(Debug, Default)]
pub struct After {
    /// Files of large contents, removed unless they are kept.
    pub(crate) solos: Vec<SoloFile>,
    /// Those that are kept unless the change is surely not logged.
    pub(crate) kept: Vec<PathBuf>,
    /// Volumes in which nothing lives.
    pub(crate) unlink: Vec<PathBuf>,
    /// Those of them in which nothing could be read any more before this change either, because its time is over.
    pub(crate) over: Vec<PathBuf>,
    /// Volumes of which all that lives was carried elsewhere: needed until that is logged.
    pub(crate) carried: Vec<PathBuf>,
    /// Volumes that this change has filled.
    pub(crate) filled: Vec<Filled>,
    /// Dead records, by volume.
    pub(crate) punch: Vec<(AppId, u64, PathBuf, Vec<Hole>)>,
    /// Volumes that grow no more.
    pub(crate) ended: Vec<(AppId, Span, u64)>,
}

impl After {
    /// Keeps the files of large contents: from the moment that the change is handed to the log, nobody may remove them
    /// without knowing that it is not there.
    pub fn keep_files(&mut self) {
        let solos = std::mem::take(&mut self.solos);
        self.kept.extend(solos.into_iter().map(SoloFile::keep));
    }

    /// Volumes that can go before the change is logged: whether it is or not, nobody can read what they hold.
    pub fn over(&self) -> &[PathBuf] {
        &self.over
    }
}

impl<'a> Change<'a> {
    /// Starts without changes, on top of those that are being logged. On top of such, only [`put`](Self::put),
    /// [`refer`](Self::refer) and [`note_through`](Self::note_through) are possible.
    pub fn new(
        engine: &'a dyn Engine,
        below: Option<Arc<Changes>>,
        volumes: &'a mut Volumes,
        now: Millis,
        keeping: Keeping,
    ) -> Self {
        Self {
            rows: Overlay::over(engine, below),
            volumes,
            now,
            keeping,
            after: After::default(),
            touched: BTreeMap::new(),
            wanted: BTreeSet::new(),
        }
    }

    /// Makes what was written to volumes durable, and hands out what is to be logged and what is to be done then.
    ///
    /// # Errors
    ///
    /// What the disk reports about a flush. The volumes must not be written again then.
    pub fn finish(mut self) -> Result<(Changes, After)> {
        self.after.filled = self.volumes.sync()?;
        Ok((self.rows.into_changes(), self.after))
    }

    /// Stores a content that has come in whole, once in its app.
    ///
    /// # Errors
    ///
    /// What disk and tables report; nothing was changed.
    pub fn put(&mut self, prepared: Prepared) -> Result<Attachment> {
        let app = prepared.app;
        let content_key = app_key(app, &prepared.hash);
        let known = self.content(app, &prepared.hash)?;
        let (known, lost) = match known {
            Some(known) if self.is_there(app, &prepared.app_dir, &known)? => (Some(known), None),
            lost => (None, lost),
        };
        if let Some(lost) = &lost {
            self.bury(app, lost)?;
        }
        let id = self.draw_id(app)?;
        let row = AttachmentRow {
            uploader: prepared.uploader,
            name: prepared.name,
            media_type: prepared.media_type,
            length: prepared.length,
            hash: prepared.hash,
            uploaded: self.now,
            keep_until: self.now + self.keeping.retention,
            messages: 0,
            pins: 0,
            newest_message: None,
            due: Some(Due::At(self.now + self.keeping.retention)),
        };
        let mut content = match (known, prepared.body) {
            (Some(known), _) => known,
            (None, PreparedBody::Shared { mut record, chunks }) => {
                let head = RecordHead {
                    length: u32::try_from(prepared.length).unwrap_or(u32::MAX),
                    data_at: 0,
                    hash: prepared.hash,
                    chunks,
                };
                self.store(app, &prepared.app_dir, prepared.bucket, head, &mut record)?
            }
            (
                None,
                PreparedBody::Solo {
                    file,
                    number,
                    record,
                },
            ) => {
                let content = self.adopt(app, prepared.bucket, number, record, prepared.hash)?;
                self.after.solos.push(file);
                content
            }
        };
        content.attachments += 1;
        content.attachments += lost.map_or(0, |lost| lost.attachments);
        self.rows.put(CONTENTS, content_key, &content)?;
        self.charge(app, day_of(self.now), |day| {
            day.attachments += 1;
            day.logical_bytes += row.length;
        })?;
        self.put_row(app, id, None, &row)?;
        Ok(row.attachment(id))
    }

    fn content(&self, app: AppId, hash: &[u8; 32]) -> Result<Option<ContentRow>> {
        Ok(self.rows.get(CONTENTS, &app_key(app, hash))?)
    }

    /// Whether the volume of a content is on the disk. One may have gone before its rows: on a full disk, or by damage.
    /// Then those who upload the same content again bring it back.
    fn is_there(&self, app: AppId, app_dir: &Path, content: &ContentRow) -> Result<bool> {
        let key = volume_key(app, content.volume);
        let Some(row) = self.rows.get::<VolumeRow>(VOLUMES, &key)? else {
            return Ok(false);
        };
        let volumes = &self.volumes;
        let path = volume_path(app_dir, row.bucket, volumes.shard, content.volume, row.solo);
        match volumes.files.open(&path) {
            Err(error) if error.kind() == DiskErrorKind::NotFound => Ok(false),
            opened => Ok(opened.map(|_| true)?),
        }
    }

    fn draw_id(&self, app: AppId) -> Result<AttachmentId> {
        let site = &self.volumes.site;
        loop {
            let id = id::compose(
                &site.store,
                app,
                self.volumes.shard,
                self.now,
                site.chance()?,
            );
            let taken: Option<AttachmentRow> =
                self.rows.get(ATTACHMENTS, &attachment_key(app, id))?;
            if taken.is_none() {
                return Ok(id);
            }
        }
    }

    /// Writes a record into the shared volume of a bucket. `record` begins with room for the head; the checksums of the
    /// chunks are computed here, because they depend on the place.
    pub(crate) fn store(
        &mut self,
        app: AppId,
        app_dir: &Path,
        bucket: Span,
        mut head: RecordHead,
        record: &mut Vec<u8>,
    ) -> Result<ContentRow> {
        let (now, bytes) = (self.now, record.len() as u64);
        let (slot, mut volume) =
            self.volumes
                .place(&mut self.rows, app, app_dir, bucket, now, bytes)?;
        let seal = self.volumes.seal(slot.volume);
        let room = record.len() - usize::try_from(head.stored()).unwrap_or_default();
        head.data_at = u32::try_from(room).unwrap_or(u32::MAX);
        let mut rest = record.get(room..).unwrap_or_default();
        let mut at = slot.offset + room as u64;
        for chunk in &mut head.chunks {
            let Chunk { stored, .. } = *chunk;
            let (bytes, behind) = rest.split_at(rest.len().min(stored as usize));
            chunk.checksum = checksum(&seal, at, &[bytes]);
            (rest, at) = (behind, at + u64::from(stored));
        }
        let encoded = head.encode(&seal, slot.offset);
        if let Some(place) = record.get_mut(..encoded.len()) {
            place.copy_from_slice(&encoded);
        }
        // Whole blocks, so that the file is as long as the tables say.
        record.resize(usize::try_from(blocks_of(bytes)).unwrap_or(record.len()), 0);
        self.volumes.write(app, bucket, slot.offset, record)?;
        self.enter(app, slot, &mut volume, bytes, head.hash)
    }

    /// Takes over a volume that was written for one large content.
    fn adopt(
        &mut self,
        app: AppId,
        bucket: Span,
        number: u64,
        record: u64,
        hash: [u8; 32],
    ) -> Result<ContentRow> {
        let mut volume = VolumeRow {
            sealed: true,
            solo: true,
            ..VolumeRow::empty(bucket, self.now)
        };
        let slot = Slot {
            volume: number,
            offset: BLOCK_BYTES,
        };
        self.enter(app, slot, &mut volume, record, hash)
    }

    /// Notes a record that was written.
    fn enter(
        &mut self,
        app: AppId,
        slot: Slot,
        volume: &mut VolumeRow,
        bytes: u64,
        hash: [u8; 32],
    ) -> Result<ContentRow> {
        let (blocks, day) = (blocks_of(bytes), day_of(self.now));
        let header = if volume.len == BLOCK_BYTES {
            BLOCK_BYTES
        } else {
            0
        };
        volume.len = slot.offset + blocks;
        volume.live += blocks;
        let place = PlaceRow {
            hash,
            len: blocks,
            day,
            state: PlaceState::Live,
        };
        self.rows
            .put(PLACES, place_key(slot.volume, slot.offset), &place)?;
        self.rows
            .put(VOLUMES, volume_key(app, slot.volume), volume)?;
        self.charge(app, day_of(volume.created), |of| {
            of.physical_bytes += header;
        })?;
        self.charge(app, day, |of| of.physical_bytes += blocks)?;
        Ok(ContentRow {
            volume: slot.volume,
            offset: slot.offset,
            record: bytes,
            attachments: 0,
        })
    }

    /// Notes that something refers to an attachment. Twice is as good as once.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`]: there is no such attachment any more; nothing was changed.
    pub fn refer(&mut self, app: AppId, id: AttachmentId, reference: &Reference) -> Result<()> {
        let old = self.row(app, id)?;
        let key = reference_key(app, id, reference);
        if self.rows.get::<()>(REFERENCES, &key)?.is_some() {
            return Ok(());
        }
        let mut row = old.clone();
        match reference {
            Reference::Message { time, .. } => {
                row.messages += 1;
                row.newest_message = row.newest_message.max(Some(*time));
            }
            Reference::Profile(_) | Reference::GroupFile(_) => row.pins += 1,
        }
        // What was taken back and is wanted again has its own time again.
        row.keep_until = row.keep_until.max(row.uploaded + self.keeping.retention);
        self.rows.put(REFERENCES, key, &())?;
        self.put_row(app, id, Some(&old), &row)
    }

    /// Takes a reference back. Without any that still holds, the attachment lives for the grace time.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`]: there is no such attachment any more; nothing was changed. A reference that is not
    /// there is no error.
    pub fn unrefer(
        &mut self,
        app: AppId,
        id: AttachmentId,
        reference: &Reference,
        floor: Millis,
    ) -> Result<()> {
        let old = self.row(app, id)?;
        let key = reference_key(app, id, reference);
        if self.rows.get::<()>(REFERENCES, &key)?.is_none() {
            return Ok(());
        }
        self.rows.delete(REFERENCES, key);
        let mut row = old.clone();
        if reference.is_pin() {
            row.pins -= row.pins.min(1);
        } else {
            row.messages -= row.messages.min(1);
            let mut prefix = attachment_key(app, id);
            prefix.push(MESSAGE);
            let newest = self.rows.last_key(REFERENCES, &prefix)?;
            row.newest_message = newest.map(|key| number_at(&key, prefix.len()));
        }
        // Only if it was this that held it: what is over does not come back.
        if old.is_held(floor) && !row.is_held(floor) {
            row.keep_until = self.now + self.keeping.grace;
            row.due = Some(Due::At(row.keep_until));
        } else if row.due.is_none() {
            row.due = Some(Due::At(row.keep_until));
        }
        self.put_row(app, id, Some(&old), &row)
    }

    /// Deletes an attachment now, whatever refers to it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`]; nothing was changed.
    pub fn delete(&mut self, app: AppId, id: AttachmentId) -> Result<()> {
        let row = self.row(app, id)?;
        if let Some(content) = self.content(app, &row.hash)? {
            self.wanted.insert((app, content.volume));
        }
        self.remove(app, id, &row)
    }

    /// Notes up to which position of another shard's log the references of its messages are known here.
    ///
    /// # Errors
    ///
    /// What the tables report.
    pub fn note_through(&mut self, source: u16, position: u64) -> Result<()> {
        Ok(self.rows.put(MARKS, source.to_be_bytes(), &position)?)
    }

    fn row(&self, app: AppId, id: AttachmentId) -> Result<AttachmentRow> {
        let row = self.rows.get(ATTACHMENTS, &attachment_key(app, id))?;
        row.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no attachment {id}")))
    }

    /// Writes an attachment's row and keeps `DUE` in step with it.
    pub(crate) fn put_row(
        &mut self,
        app: AppId,
        id: AttachmentId,
        old: Option<&AttachmentRow>,
        row: &AttachmentRow,
    ) -> Result<()> {
        let before = old.and_then(|old| old.due);
        if before != row.due {
            if let Some(due) = before {
                self.rows.delete(DUE, due.key(app, id));
            }
            if let Some(due) = row.due {
                self.rows.put(DUE, due.key(app, id), &())?;
            }
        }
        Ok(self.rows.put(ATTACHMENTS, attachment_key(app, id), row)?)
    }

    /// Removes an attachment with all that refers to it; its content too, if no other attachment has it.
    pub(crate) fn remove(
        &mut self,
        app: AppId,
        id: AttachmentId,
        row: &AttachmentRow,
    ) -> Result<()> {
        let key = attachment_key(app, id);
        for reference in self.rows.keys(REFERENCES, &key)? {
            self.rows.delete(REFERENCES, reference);
        }
        if let Some(due) = row.due {
            self.rows.delete(DUE, due.key(app, id));
        }
        self.rows.delete(ATTACHMENTS, key);
        self.charge(app, day_of(row.uploaded), |day| {
            day.attachments -= day.attachments.min(1);
            day.logical_bytes -= day.logical_bytes.min(row.length);
        })?;
        let content_key = app_key(app, &row.hash);
        let Some(mut content) = self.rows.get::<ContentRow>(CONTENTS, &content_key)? else {
            return Ok(());
        };
        content.attachments -= content.attachments.min(1);
        if content.attachments > 0 {
            return Ok(self.rows.put(CONTENTS, content_key, &content)?);
        }
        self.rows.delete(CONTENTS, content_key);
        self.bury(app, &content)
    }

    /// Marks the place of a content that nobody has any more.
    fn bury(&mut self, app: AppId, content: &ContentRow) -> Result<()> {
        let key = place_key(content.volume, content.offset);
        let volume_key = volume_key(app, content.volume);
        let place: Option<PlaceRow> = self.rows.get(PLACES, &key)?;
        let volume: Option<VolumeRow> = self.rows.get(VOLUMES, &volume_key)?;
        if let (Some(mut place), Some(mut volume)) = (place, volume) {
            place.state = PlaceState::Dead;
            volume.live -= volume.live.min(place.len);
            volume.dead += place.len;
            self.rows.put(PLACES, key, &place)?;
            self.rows.put(VOLUMES, volume_key, &volume)?;
            let holes = self.touched.entry((app, content.volume)).or_default();
            holes.push(Hole {
                offset: content.offset,
                len: place.len,
            });
        }
        Ok(())
    }

    /// Changes what an app is charged for a day. A day on which nothing is left has no row.
    pub(crate) fn charge(
        &mut self,
        app: AppId,
        day: u32,
        change: impl FnOnce(&mut DayUsage),
    ) -> Result<()> {
        let key = usage_key(app, day);
        let mut usage: DayUsage = self.rows.get(BLOB_USAGE, &key)?.unwrap_or_default();
        change(&mut usage);
        if usage == DayUsage::default() {
            self.rows.delete(BLOB_USAGE, key);
            return Ok(());
        }
        Ok(self.rows.put(BLOB_USAGE, key, &usage)?)
    }
}
