//! Looking attachments up. Reads the tables and no file.

use std::ops::Bound;
use std::path::{Path, PathBuf};

use tidestore_disk::Millis;
use tidestore_kv::{Engine, Overlay, Range, decode_row, prefix_range, scan};
use tidestore_plan::{AppId, AttachmentId};

use crate::attachment::Attachment;
use crate::content::Location;
use crate::error::{Error, ErrorKind, Result};
use crate::id;
use crate::site::{Apps, volume_path};
use crate::tables::{
    ATTACHMENTS, AttachmentRow, BLOB_USAGE, CONTENTS, ContentRow, DayUsage, MARKS, VOLUMES,
    VolumeRow, app_key, app_of, attachment_key, number_at, volume_key,
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
