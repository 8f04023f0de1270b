//! The log of push notifications of an app: what was pushed, when, and to whom.
//!
//! It is bounded twice, by number and by the app's retention. What falls off goes in the record that adds something new, or
//! with expiry.

use bytes::Bytes;
use tidestore_disk::Millis;
use tidestore_kv::{Key, Overlay, Rows, decode_row, page_of};
use tidestore_messages::{AppId, Apps};

use crate::app::App;
use crate::delivery::inbox::check_limit;
use crate::delivery::tables::{NOTIFICATIONS, NOTIFIED, key_of, number, number_behind};
use crate::error::{Error, ErrorKind, Result};
use crate::shard::Shard;

/// What was pushed to somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Its number in the app: later ones have larger ones.
    pub id: u64,
    /// When it was logged, in milliseconds since 1970; not before the one of the number below.
    pub time: Millis,
    /// Why it was pushed.
    pub kind: NotificationKind,
    /// To whom: users, or labels.
    pub targets: Vec<String>,
    /// What was pushed: JSON, by the word of whoever logged it.
    pub content: Bytes,
}

/// A notification to be logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewNotification {
    /// Why it is pushed.
    pub kind: NotificationKind,
    /// To whom: users, or labels; at most 100, each of at most 64 characters.
    pub targets: Vec<String>,
    /// What is pushed: JSON of at most 4 KiB.
    pub content: Bytes,
}

/// Why a notification is pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum NotificationKind {
    /// A message came for somebody who is not online.
    Message,
    /// A server pushes to single users.
    Single,
    /// A server pushes to the users of labels.
    Label,
    /// A server pushes to all users.
    All,
}

/// The value of `NOTIFICATIONS`.
#[derive(Clone, Debug, bincode::Encode, bincode::Decode)]
pub(crate) struct NotificationRow {
    time: Millis,
    kind: NotificationKind,
    targets: Vec<String>,
    content: Vec<u8>,
}

/// Notifications in one call. With the largest of them a record is still far below what it may hold.
const BATCH_MAX: usize = 1_000;
const TARGETS_MAX: usize = 100;
const TARGET_MAX: usize = 64;
const CONTENT_MAX: usize = 4 << 10;

/// Rows that one call may remove beside as many as it adds: more fall off only after the bound was lowered.
const FALLEN_MAX: usize = 2_048;

/// Rows looked at together: nearly always one falls off for each that is added.
const FALLEN_PAGE: usize = 16;

impl NewNotification {
    fn check(&self) -> Result<()> {
        let (targets, bytes) = (self.targets.len(), self.content.len());
        let longest = self.targets.iter().map(|target| target.chars().count());
        let longest = longest.max().unwrap_or_default();
        for (value, max, what) in [
            (targets, TARGETS_MAX, "targets"),
            (longest, TARGET_MAX, "characters of a target"),
            (bytes, CONTENT_MAX, "bytes of content"),
        ] {
            if value > max {
                let text = format!("a notification with {value} {what}; {max} are possible");
                return Err(Error::new(ErrorKind::Argument, text));
            }
        }
        Ok(())
    }
}

impl App {
    /// Logs notifications, all in one record, and answers their ids in the same order. The app keeps the newest 10,000, see
    /// [`push_log`](crate::Options::push_log), for as long as its messages.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Argument`]: over 1,000 notifications, or one with over 100 targets, a target of over 64 characters, or
    /// content of over 4 KiB; nothing was logged.
    pub async fn log_notifications(&self, new: Vec<NewNotification>) -> Result<Vec<u64>> {
        crate::meters::refused(check_all(&new))?;
        if new.is_empty() {
            return Ok(Vec::new());
        }
        let app = self.clone();
        let log = move |rows: &mut Overlay<'_>, shard: &Shard| {
            let (id, now) = (app.id(), app.scope(shard)?.now);
            let most = new.len() + FALLEN_MAX;
            let last = last(rows, id)?;
            let ids = add(rows, id, last, now, new)?;
            let newest = ids.last().copied().unwrap_or(last.id);
            let first = first_kept(newest, shard.options.push_log);
            let floor = Apps::physical_floor(&*shard.registry, id);
            drop_fallen(rows, id, first, floor, most)?;
            Ok(ids)
        };
        self.home().change(log).await
    }

    /// What was pushed, the newest first: the newest of all, or what came before a notification. The end is reached where
    /// there are fewer than `limit`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Argument`]: a limit of 0 or over 1,000.
    pub async fn notifications(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Notification>> {
        check_limit(limit)?;
        self.read(move |reader| {
            let (rows, prefix) = (&*reader.home.engine, key_of(reader.app));
            let newest = last(rows, reader.app)?.id;
            let first = first_kept(newest, reader.inner.options.push_log);
            let behind = before.map(|id| prefix.clone().number(id));
            let behind = behind.as_ref().map(Key::bytes);
            let mut found = Vec::new();
            for (key, value) in page_of(rows, NOTIFICATIONS, prefix.bytes(), behind, true, limit)? {
                let (id, _) = number_behind(&key, prefix.bytes())?;
                let row: NotificationRow = decode_row(NOTIFICATIONS, &key, &value)?;
                if id < first || row.time < reader.floor {
                    break;
                }
                found.push(Notification {
                    id,
                    time: row.time,
                    kind: row.kind,
                    targets: row.targets,
                    content: row.content.into(),
                });
            }
            Ok(found)
        })
        .await
    }
}

fn check_all(new: &[NewNotification]) -> Result<()> {
    if new.len() > BATCH_MAX {
        let text = format!(
            "{} notifications in one call; {BATCH_MAX} are possible",
            new.len()
        );
        return Err(Error::new(ErrorKind::Argument, text));
    }
    new.iter().try_for_each(NewNotification::check)
}

/// The last notification that was logged, also if it has fallen off.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    id: u64,
    /// When, if it is still there.
    time: Millis,
}

fn last(rows: &(impl Rows + ?Sized), app: AppId) -> Result<Last> {
    let prefix = key_of(app);
    let id = noted(rows, app)?;
    // A repair may have lost either of the two.
    let page = page_of(rows, NOTIFICATIONS, prefix.bytes(), None, true, 1)?;
    let Some((key, value)) = page.first() else {
        return Ok(Last { id, time: 0 });
    };
    let (newest, _) = number_behind(key, prefix.bytes())?;
    let row: NotificationRow = decode_row(NOTIFICATIONS, key, value)?;
    Ok(Last {
        id: id.max(newest),
        time: row.time,
    })
}

/// The first id that is kept once there is a newest one.
fn first_kept(newest: u64, most: u64) -> u64 {
    newest.saturating_add(1).saturating_sub(most)
}

fn add(
    rows: &mut Overlay<'_>,
    app: AppId,
    last: Last,
    now: Millis,
    new: Vec<NewNotification>,
) -> Result<Vec<u64>> {
    // Times rise with ids, so that who reads backwards may stop at the first that is too old.
    let (time, mut id) = (now.max(last.time), last.id);
    let mut ids = Vec::with_capacity(new.len());
    for new in new {
        id += 1;
        let row = NotificationRow {
            time,
            kind: new.kind,
            targets: new.targets,
            content: new.content.into(),
        };
        rows.put(NOTIFICATIONS, key_of(app).number(id), &row)?;
        ids.push(id);
    }
    rows.put_bytes(NOTIFIED, key_of(app), id.to_le_bytes());
    Ok(ids)
}

/// Deletes the oldest notifications of an app while they are below an id or a time, at most so many; says whether it stopped
/// for that reason alone.
fn drop_fallen(
    rows: &mut Overlay<'_>,
    app: AppId,
    first: u64,
    floor: Millis,
    most: usize,
) -> Result<bool> {
    let prefix = key_of(app);
    let mut left = most;
    while left > 0 {
        let ask = left.min(FALLEN_PAGE);
        let page = page_of(&*rows, NOTIFICATIONS, prefix.bytes(), None, false, ask)?;
        let is_end = page.len() < ask;
        for (key, value) in page {
            if !has_fallen(&key, &value, prefix.bytes(), first, floor)? {
                return Ok(false);
            }
            rows.delete(NOTIFICATIONS, key);
            left -= 1;
        }
        if is_end {
            return Ok(false);
        }
    }
    Ok(true)
}

fn has_fallen(key: &[u8], value: &[u8], prefix: &[u8], first: u64, floor: Millis) -> Result<bool> {
    let (id, _) = number_behind(key, prefix)?;
    if id < first {
        return Ok(true);
    }
    let row: NotificationRow = decode_row(NOTIFICATIONS, key, value)?;
    Ok(row.time < floor)
}

/// Whether the oldest notification of an app is older than a time.
pub(crate) fn has_faded(rows: &(impl Rows + ?Sized), app: AppId, floor: Millis) -> Result<bool> {
    let prefix = key_of(app);
    let page = page_of(rows, NOTIFICATIONS, prefix.bytes(), None, false, 1)?;
    let first = page.first();
    first.map_or(Ok(false), |(key, value)| {
        has_fallen(key, value, prefix.bytes(), 0, floor)
    })
}

/// Deletes notifications of an app that are older than a time, at most so many; says whether there may be more.
pub(crate) fn delete_faded(
    rows: &mut Overlay<'_>,
    app: AppId,
    floor: Millis,
    most: usize,
) -> Result<bool> {
    drop_fallen(rows, app, 0, floor, most)
}

/// Says if the last id of an app is not noted.
pub(crate) fn recount(
    rows: &(impl Rows + ?Sized),
    app: AppId,
    problems: &mut Vec<String>,
) -> Result<()> {
    let (newest, noted) = (last(rows, app)?.id, noted(rows, app)?);
    if newest != noted {
        let text = format!("the last notification is {newest}, {noted} is noted");
        problems.push(text);
    }
    Ok(())
}

/// Notes the last id of an app if it is not; says how many rows it changed.
pub(crate) fn mend(rows: &mut Overlay<'_>, app: AppId) -> Result<u64> {
    let newest = last(&*rows, app)?.id;
    if newest == noted(&*rows, app)? {
        return Ok(0);
    }
    rows.put_bytes(NOTIFIED, key_of(app), newest.to_le_bytes());
    Ok(1)
}

fn noted(rows: &(impl Rows + ?Sized), app: AppId) -> Result<u64> {
    let value = rows.bytes(NOTIFIED, key_of(app).bytes())?;
    value.map_or(Ok(0), |value| number(&value))
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use tidestore_disk::{Disk, SimDisk};
    use tidestore_kv::{EngineKind, open};

    use super::*;

    const APP: AppId = AppId(7);

    fn log(rows: &mut Overlay<'_>, now: Millis, count: usize) -> Vec<u64> {
        let new = NewNotification {
            kind: NotificationKind::All,
            targets: Vec::new(),
            content: Bytes::from_static(b"{}"),
        };
        let last = last(rows, APP).unwrap();
        add(rows, APP, last, now, vec![new; count]).unwrap()
    }

    fn left(rows: &Overlay<'_>) -> usize {
        let prefix = key_of(APP);
        let page = page_of(rows, NOTIFICATIONS, prefix.bytes(), None, false, 1_000);
        page.unwrap().len()
    }

    #[test]
    fn what_is_too_old_goes_in_parts_and_numbers_go_on() {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
        let engine = open(EngineKind::Memory, &disk, Path::new("t")).unwrap();
        let mut rows = Overlay::new(&*engine);
        assert!(!has_faded(&rows, APP, 1_000).unwrap());
        log(&mut rows, 100, 40);
        // The clock went back: times do not.
        log(&mut rows, 50, 10);
        log(&mut rows, 200, 5);
        assert!(!has_faded(&rows, APP, 100).unwrap() && has_faded(&rows, APP, 101).unwrap());
        assert!(delete_faded(&mut rows, APP, 101, 30).unwrap());
        assert_eq!(left(&rows), 25);
        assert!(!delete_faded(&mut rows, APP, 101, 30).unwrap());
        assert_eq!(left(&rows), 5);
        assert!(!has_faded(&rows, APP, 101).unwrap());
        assert!(!delete_faded(&mut rows, APP, 1_000, 30).unwrap());
        assert_eq!((left(&rows), log(&mut rows, 300, 1)), (0, vec![56]));
    }

    #[test]
    fn the_last_id_is_told_from_what_is_there_if_its_row_is_lost() {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
        let engine = open(EngineKind::Memory, &disk, Path::new("t")).unwrap();
        let mut rows = Overlay::new(&*engine);
        let problems = |rows: &Overlay<'_>| {
            let mut problems = Vec::new();
            recount(rows, APP, &mut problems).unwrap();
            problems.len()
        };
        assert_eq!((problems(&rows), mend(&mut rows, APP).unwrap()), (0, 0));
        log(&mut rows, 100, 3);
        rows.delete(NOTIFIED, key_of(APP));
        assert_eq!(problems(&rows), 1);
        assert_eq!((mend(&mut rows, APP).unwrap(), problems(&rows)), (1, 0));
        rows.delete(NOTIFIED, key_of(APP));
        assert_eq!((log(&mut rows, 100, 1), problems(&rows)), (vec![4], 0));
    }
}
