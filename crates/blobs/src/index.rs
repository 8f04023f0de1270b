//! Looking attachments up. Reads the tables and no file.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use tidestore_disk::{FileCache, Millis};
use tidestore_kv::{Engine, Overlay, Range, decode_row, prefix_range, scan};
use tidestore_plan::{AppId, AttachmentId};

use crate::attachment::{Attachment, ContentHash};
use crate::content::{Content, Location};
use crate::error::{Error, ErrorKind, Result};
use crate::id;
use crate::site::{Apps, volume_path};
use crate::tables::{
    ATTACHMENTS, AttachmentRow, BLOB_USAGE, CONTENTS, ContentRow, DayUsage, MARKS, PLACES,
    PlaceRow, PlaceState, VOLUMES, VolumeRow, app_key, app_of, attachment_key, number_at,
    volume_key,
};

/// What decides whether an attachment can be read.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The time.
    pub now: Millis,
    /// The app's floor.
    pub floor: Millis,
    /// How long an attachment is kept without any reference.
    pub retention: Millis,
}

/// Finds an attachment.
///
/// # Errors
///
/// [`ErrorKind::NotFound`], [`ErrorKind::Expired`], or what the tables report.
pub fn find(
    engine: &dyn Engine,
    store: &[u8; 16],
    app: AppId,
    id: AttachmentId,
    moment: Moment,
) -> Result<Attachment> {
    let row = engine.get(ATTACHMENTS, &attachment_key(app, id))?;
    let Some(row) = row else {
        return Err(missing(store, app, id, moment));
    };
    let row: AttachmentRow = decode_row(ATTACHMENTS, &id.to_bytes(), &row)?;
    if row.is_alive(moment.now, moment.floor) {
        Ok(row.attachment(id))
    } else {
        Err(expired(id))
    }
}

/// Why there is no row: an id that was given and whose time is over has expired, anything else never was or is deleted.
fn missing(store: &[u8; 16], app: AppId, id: AttachmentId, moment: Moment) -> Error {
    let was_given = id::is_genuine(store, app, id);
    if was_given && id::time(id).saturating_add(moment.retention) <= moment.now {
        return expired(id);
    }
    Error::new(ErrorKind::NotFound, format!("there is no attachment {id}"))
}

fn expired(id: AttachmentId) -> Error {
    Error::new(
        ErrorKind::Expired,
        format!("the attachment {id} has expired"),
    )
}

/// Says where the content of an attachment lies at the moment.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] if it left since the attachment was looked up, or what the tables report.
pub fn locate(
    engine: &dyn Engine,
    app: AppId,
    app_dir: &Path,
    shard: u16,
    attachment: &Attachment,
) -> Result<Location> {
    let gone = || {
        let text = format!("there is no attachment {} any more", attachment.id);
        Error::new(ErrorKind::NotFound, text)
    };
    let key = app_key(app, &attachment.hash);
    let content = engine.get(CONTENTS, &key)?.ok_or_else(gone)?;
    let content: ContentRow = decode_row(CONTENTS, &key, &content)?;
    let key = volume_key(app, content.volume);
    let volume = engine.get(VOLUMES, &key)?.ok_or_else(gone)?;
    let volume: VolumeRow = decode_row(VOLUMES, &key, &volume)?;
    Ok(Location {
        path: volume_path(app_dir, volume.bucket, shard, content.volume, volume.solo),
        volume: content.volume,
        offset: content.offset,
        record: content.record,
    })
}

/// Pages through the attachments of one shard that can be read, oldest first.
///
/// # Errors
///
/// What the tables report.
pub fn list(
    engine: &dyn Engine,
    app: AppId,
    after: Option<AttachmentId>,
    limit: usize,
    moment: Moment,
) -> Result<Vec<Attachment>> {
    let (mut start, end) = prefix_range(&app_key(app, b""));
    if let Some(after) = after {
        start = Bound::Excluded(attachment_key(app, after));
    }
    let mut found = Vec::new();
    while found.len() < limit {
        let range = Range {
            start,
            end: end.clone(),
            reverse: false,
            limit,
        };
        let page = engine.range(ATTACHMENTS, range)?;
        let Some((last, _)) = page.last() else { break };
        start = Bound::Excluded(last.clone());
        for (key, value) in page {
            let row: AttachmentRow = decode_row(ATTACHMENTS, &key, &value)?;
            let id = key.get(4..).and_then(|id| id.first_chunk());
            let alive = row.is_alive(moment.now, moment.floor);
            found.extend(
                id.filter(|_| alive)
                    .map(|id| row.attachment(AttachmentId::from_bytes(*id))),
            );
        }
    }
    found.truncate(limit);
    Ok(found)
}

/// Every attachment of an app that has one of these contents. Costs a look at each of its attachments.
///
/// # Errors
///
/// What the tables report.
pub fn with_contents(
    engine: &dyn Engine,
    app: AppId,
    hashes: &BTreeSet<ContentHash>,
) -> Result<Vec<Attachment>> {
    let mut found = Vec::new();
    scan(engine, ATTACHMENTS, &app_key(app, b""), |key, value| {
        let row: AttachmentRow = decode_row(ATTACHMENTS, key, value)?;
        let id = key.get(4..).and_then(|id| id.first_chunk());
        if let Some(id) = id.filter(|_| hashes.contains(&row.hash)) {
            found.push(row.attachment(AttachmentId::from_bytes(*id)));
        }
        Ok(())
    })?;
    Ok(found)
}

/// What an app stores in one shard, by day of upload.
///
/// # Errors
///
/// What the tables report.
pub fn usage(engine: &dyn Engine, app: AppId) -> Result<Vec<(u32, DayUsage)>> {
    let mut days = Vec::new();
    scan(engine, BLOB_USAGE, &app_key(app, b""), |key, value| {
        let day = key.get(4..).and_then(|day| day.first_chunk());
        let day = day.map_or(0, |day| u32::from_be_bytes(*day));
        days.push((day, decode_row(BLOB_USAGE, key, value)?));
        Ok(())
    })?;
    Ok(days)
}

/// A volume that the tables name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedVolume {
    /// The app.
    pub app: AppId,
    /// The number of the file.
    pub number: u64,
    /// Its path.
    pub path: PathBuf,
}

/// The volumes of one shard whose apps exist.
///
/// # Errors
///
/// What the tables report.
pub fn volumes(engine: &dyn Engine, apps: &dyn Apps, shard: u16) -> Result<Vec<NamedVolume>> {
    let mut volumes = Vec::new();
    for key in Overlay::new(engine).keys(VOLUMES, b"")? {
        let (app, number) = (app_of(&key), number_at(&key, 4));
        let (Some(dir), Some(row)) = (apps.dir(app), engine.get(VOLUMES, &key)?) else {
            continue;
        };
        let row: VolumeRow = decode_row(VOLUMES, &key, &row)?;
        let path = volume_path(&dir, row.bucket, shard, number, row.solo);
        volumes.push(NamedVolume { app, number, path });
    }
    Ok(volumes)
}

/// Where the contents lie that a volume holds and attachments have, with their hashes.
///
/// # Errors
///
/// What the tables report.
pub fn contents_of(
    engine: &dyn Engine,
    volume: &NamedVolume,
) -> Result<Vec<(Location, ContentHash)>> {
    let mut places = Vec::new();
    scan(
        engine,
        PLACES,
        &volume.number.to_be_bytes(),
        |key, value| {
            let place: PlaceRow = decode_row(PLACES, key, value)?;
            if place.state == PlaceState::Live {
                places.push((number_at(key, 8), place.hash));
            }
            Ok(())
        },
    )?;
    let mut contents = Vec::new();
    for (offset, hash) in places {
        let key = app_key(volume.app, &hash);
        let Some(value) = engine.get(CONTENTS, &key)? else {
            continue;
        };
        let row: ContentRow = decode_row(CONTENTS, &key, &value)?;
        if (row.volume, row.offset) == (volume.number, offset) {
            let at = Location {
                path: volume.path.clone(),
                volume: volume.number,
                offset,
                record: row.record,
            };
            contents.push((at, hash));
        }
    }
    Ok(contents)
}

/// Whether nothing in a volume can be read any more, so that it may have been unlinked before that was logged. Costs a
/// look at each attachment of the app.
///
/// # Errors
///
/// What the tables report.
pub fn is_over(engine: &dyn Engine, volume: &NamedVolume, moment: Moment) -> Result<bool> {
    let contents = contents_of(engine, volume)?;
    let hashes: BTreeSet<_> = contents.into_iter().map(|(_, hash)| hash).collect();
    let mut is_over = true;
    scan(
        engine,
        ATTACHMENTS,
        &app_key(volume.app, b""),
        |key, value| {
            let row: AttachmentRow = decode_row(ATTACHMENTS, key, value)?;
            is_over &= !hashes.contains(&row.hash) || !row.is_alive(moment.now, moment.floor);
            Ok(())
        },
    )?;
    Ok(is_over)
}

/// Reads a content past every cache but that of open files, and compares it with its checksums and hash.
///
/// # Errors
///
/// [`ErrorKind::Corruption`] with file and offset, or what the disk reports.
pub fn read_through(
    files: &FileCache,
    store: [u8; 16],
    at: &Location,
    hash: &ContentHash,
) -> Result<u64> {
    let content = Content::open(files, store, at.clone())?
        .ok_or_else(|| Error::corruption(&at.path, 0, "the file is missing"))?;
    let mut hasher = blake3::Hasher::new();
    for index in 0..content.head().chunks.len() {
        hasher.update(&content.chunks(index..index + 1)?);
    }
    if hasher.finalize().as_bytes() == hash && content.head().hash == *hash {
        return Ok(content.len());
    }
    Err(Error::corruption(
        &at.path,
        at.offset,
        "the content has another hash",
    ))
}

/// Up to which position of another shard's log the references of its messages are noted here.
///
/// # Errors
///
/// What the tables report.
pub fn noted_through(engine: &dyn Engine, source: u16) -> Result<u64> {
    let key = source.to_be_bytes();
    let value = engine.get(MARKS, &key)?;
    let mark = value.map(|value| decode_row(MARKS, &key, &value));
    Ok(mark.transpose()?.unwrap_or_default())
}
