//! The apps of a store: who exists, on which terms, and how far each one's messages reach back.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidestore_blobs::Span;
use tidestore_disk::sync::RwLock;
use tidestore_disk::{Millis, encode_name};
use tidestore_messages::{AppId, Apps, Bucket};
use tidestore_plan::{AppKey, Caps, Limit, Plan, Retention, Terms};

use crate::error::{Error, ErrorKind, Result};
use crate::guard::ClockGuard;
use crate::record::Event;

/// An app, as a caller sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct AppInfo {
    /// Its key, `org#app`.
    pub key: AppKey,
    /// Its number inside this store.
    pub id: AppId,
    /// Its plan and caps.
    pub terms: Terms,
    /// When it was created.
    pub created: Millis,
    /// Messages older than this are not visible.
    pub floor: Millis,
    /// A downgrade that can still be undone.
    pub undo: Option<Undo>,
}

/// What undoing a downgrade restores, and until when.
#[derive(Clone, Debug, PartialEq)]
pub struct Undo {
    /// The terms before the downgrade.
    pub terms: Terms,
    /// The floor before the downgrade.
    pub floor: Millis,
    /// When the grace time ends and hidden files leave the disk.
    pub until: Millis,
}

/// An app as the log and the tables keep it.
#[derive(Clone, Debug, PartialEq, bincode::Encode, bincode::Decode)]
pub(crate) struct AppRecord {
    pub(crate) id: u32,
    pub(crate) key: String,
    pub(crate) terms: TermsRecord,
    pub(crate) created: Millis,
    pub(crate) floor: Millis,
    pub(crate) undo: Option<UndoRecord>,
}

/// [`Undo`] as it is stored.
#[derive(Clone, Debug, PartialEq, bincode::Encode, bincode::Decode)]
pub(crate) struct UndoRecord {
    pub(crate) terms: TermsRecord,
    pub(crate) floor: Millis,
    pub(crate) until: Millis,
}

/// [`Terms`] as they are stored: only what an app may choose for itself.
#[derive(Clone, Debug, PartialEq, bincode::Encode, bincode::Decode)]
pub(crate) struct TermsRecord {
    plan: u8,
    retention_days: u32,
    /// The custom caps of Enterprise, in the order of the fields of [`Caps`].
    caps: Option<[Option<u64>; 9]>,
}

const DAY: Millis = 24 * 3_600_000;

impl TermsRecord {
    pub(crate) fn of(terms: &Terms) -> Self {
        let caps = terms.caps();
        let plan = Plan::ALL
            .iter()
            .position(|plan| *plan == terms.plan())
            .unwrap_or_default();
        let custom = terms.plan() == Plan::Enterprise;
        Self {
            plan: u8::try_from(plan).unwrap_or_default(),
            retention_days: caps.retention.as_days(),
            caps: custom.then_some([
                caps.users,
                caps.users_online,
                caps.contacts_per_user,
                caps.groups,
                caps.group_members,
                caps.groups_per_user,
                caps.rooms,
                caps.room_members,
                caps.rooms_per_user,
            ]),
        }
    }

    /// The terms as the contract states them today; only Enterprise keeps figures of its own.
    pub(crate) fn terms(&self) -> Result<Terms> {
        let unknown = || Error::new(ErrorKind::Corruption, "an app is stored with unknown terms");
        let plan = *Plan::ALL.get(usize::from(self.plan)).ok_or_else(unknown)?;
        let Some(caps) = self.caps else {
            return Ok(Terms::of(plan));
        };
        let [
            users,
            users_online,
            contacts_per_user,
            groups,
            group_members,
            groups_per_user,
            rooms,
            room_members,
            rooms_per_user,
        ] = caps;
        let retention = Retention::days(self.retention_days).map_err(|_| unknown())?;
        Ok(Terms::enterprise(Caps {
            users,
            users_online,
            contacts_per_user,
            groups,
            group_members,
            groups_per_user,
            rooms,
            room_members,
            rooms_per_user,
            retention,
        }))
    }
}

impl AppRecord {
    pub(crate) fn retention(&self) -> Millis {
        Millis::from(self.terms.retention_days) * DAY
    }

    /// Messages older than this are not visible at a time.
    pub(crate) fn floor_at(&self, now: Millis) -> Millis {
        self.floor.max(now.saturating_sub(self.retention()))
    }

    /// Messages older than this may leave the disk: the floor, unless a downgrade can still be undone. Never above the
    /// floor itself, whatever terms followed each other.
    pub(crate) fn physical_floor_at(&self, now: Millis) -> Millis {
        let floor = self.floor_at(now);
        match &self.undo {
            Some(undo) if now < undo.until => {
                let retention = Millis::from(undo.terms.retention_days) * DAY;
                floor.min(undo.floor.max(now.saturating_sub(retention)))
            }
            _ => floor,
        }
    }

    /// The same while the clock is not trusted: only what was written down before counts.
    fn physical_floor_in_doubt(&self, now: Millis) -> Millis {
        match &self.undo {
            Some(undo) if now < undo.until => self.floor.min(undo.floor),
            _ => self.floor,
        }
    }
}

/// Every app of a store, shared by all shards.
#[derive(Debug)]
pub(crate) struct Registry {
    guard: Arc<ClockGuard>,
    apps: RwLock<Index>,
}

#[derive(Debug, Default)]
struct Index {
    by_id: HashMap<u32, Arc<AppRecord>>,
    by_key: HashMap<String, u32>,
}

impl Registry {
    pub(crate) fn new(guard: Arc<ClockGuard>) -> Self {
        Self {
            guard,
            apps: RwLock::default(),
        }
    }

    /// Inserts or replaces an app's record.
    pub(crate) fn put(&self, record: AppRecord) {
        let mut apps = self.apps.write();
        apps.by_key.insert(record.key.clone(), record.id);
        apps.by_id.insert(record.id, Arc::new(record));
    }

    /// Forgets an app; its number is never used again.
    pub(crate) fn remove(&self, id: u32) {
        let mut apps = self.apps.write();
        if let Some(record) = apps.by_id.remove(&id) {
            apps.by_key.remove(&record.key);
        }
    }

    /// Applies what an event says of apps.
    pub(crate) fn apply(&self, event: &Event) {
        match event {
            Event::App(record) => self.put(record.clone()),
            Event::AppDeleted(id) => self.remove(*id),
            Event::Floors(floors) => {
                for (id, floor) in floors {
                    if let Some(record) = self.by_id(AppId(*id)) {
                        let floor = record.floor.max(*floor);
                        self.put(AppRecord {
                            floor,
                            ..(*record).clone()
                        });
                    }
                }
            }
            Event::AppForgotten(_)
            | Event::Manifest(_)
            | Event::Sealed(..)
            | Event::Alive
            | Event::Rows(_) => {}
        }
    }

    pub(crate) fn by_key(&self, key: &AppKey) -> Option<Arc<AppRecord>> {
        let apps = self.apps.read();
        apps.by_key
            .get(key.as_str())
            .and_then(|id| apps.by_id.get(id))
            .cloned()
    }

    pub(crate) fn by_id(&self, id: AppId) -> Option<Arc<AppRecord>> {
        self.apps.read().by_id.get(&id.0).cloned()
    }

    /// Every app, sorted by key.
    pub(crate) fn all(&self) -> Vec<Arc<AppRecord>> {
        let mut all: Vec<_> = self.apps.read().by_id.values().cloned().collect();
        all.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        all
    }

    /// An app's floor by the guarded clock.
    pub(crate) fn floor(&self, record: &AppRecord) -> Millis {
        record.floor_at(self.guard.expiry_now())
    }

    /// An app as a caller sees it.
    pub(crate) fn info(&self, record: &AppRecord) -> Result<AppInfo> {
        let undo = match &record.undo {
            Some(undo) if self.guard.expiry_now() < undo.until => Some(Undo {
                terms: undo.terms.terms()?,
                floor: undo.floor,
                until: undo.until,
            }),
            _ => None,
        };
        Ok(AppInfo {
            key: AppKey::parse(&record.key)?,
            id: AppId(record.id),
            terms: record.terms.terms()?,
            created: record.created,
            floor: self.floor(record),
            undo,
        })
    }
}

/// The directory of an app.
pub(crate) fn app_dir(key: &str) -> Option<PathBuf> {
    // A legal key has at most 129 characters, and none of them takes more than three bytes when encoded, so it fits.
    encode_name(key)
        .ok()
        .map(|name| Path::new("apps").join(name))
}

impl Apps for Registry {
    fn dir(&self, app: AppId) -> Option<PathBuf> {
        app_dir(&self.by_id(app)?.key)
    }

    fn retention_days(&self, app: AppId) -> u32 {
        self.by_id(app)
            .map_or(1, |record| record.terms.retention_days)
    }

    fn physical_floor(&self, app: AppId) -> Millis {
        self.physical_floor_of(app)
    }
}

impl tidestore_blobs::Apps for Registry {
    fn dir(&self, app: AppId) -> Option<PathBuf> {
        app_dir(&self.by_id(app)?.key)
    }

    fn bucket(&self, app: AppId, time: Millis) -> Span {
        // Most attachments of an app live as long as its messages, and no shorter than their own retention.
        let own = Limit::AttachmentRetention.max() / 86_400;
        let own = u32::try_from(own).unwrap_or(u32::MAX);
        let days = Apps::retention_days(self, app).max(own);
        let Bucket { start, end } = tidestore_messages::bucket_of(time, days);
        Span { start, end }
    }

    fn floor(&self, app: AppId) -> Millis {
        self.by_id(app).map_or(0, |record| self.floor(&record))
    }

    fn physical_floor(&self, app: AppId) -> Millis {
        self.physical_floor_of(app)
    }
}

impl Registry {
    /// The time before which an app's messages, and what only they refer to, may leave the disk.
    fn physical_floor_of(&self, app: AppId) -> Millis {
        let Some(record) = self.by_id(app) else {
            return 0;
        };
        let now = self.guard.expiry_now();
        match self.guard.alarm() {
            None => record.physical_floor_at(now),
            Some(_) => record.physical_floor_in_doubt(now),
        }
    }
}
