//! Work that takes more than one record, and goes on after a crash where it stopped.
//!
//! Each chore is noted as a row by the record that begins it, and the row leaves with the last of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use tidestore_disk::sync::atomic::Ordering;

use tidestore_directory::{going_channels, going_labels, leaving_users, unpins};
use tidestore_kv::{Table, page_of};
use tidestore_messages::{AppId, Apps, MessageId};
use tidestore_plan::UserId;

use crate::app::App;
use crate::delivery::notifications::{delete_faded, has_faded};
use crate::delivery::redaction::references;
use crate::delivery::tables::{ERASING, delete_aged, has_aged, text};
use crate::error::{ErrorKind, Result};
use crate::shard::Shard;
use crate::store::{Store, blocking};
use crate::tables::{FORGETTING, OF_APPS};

/// Rows removed by one record: small enough that nobody waits for it long.
const ROWS_MAX: usize = 2_048;

impl Shard {
    /// Does what is left to do.
    pub(crate) fn do_chores(&self) -> Result<()> {
        for (key, _) in page_of(&*self.engine, FORGETTING, b"", None, false, ROWS_MAX)? {
            if let Ok(app) = <[u8; 4]>::try_from(key.as_slice()) {
                self.forget_rows(AppId(u32::from_be_bytes(app)))?;
            }
        }
        self.forget_aged()?;
        self.forget_faded()
    }

    /// Takes note of how something went that follows a change which is durable: the change stands, and what could not be
    /// done, on a full disk for one, is done by the next [`Store::expire`] or the next opening.
    pub(crate) fn leave(&self, done: Result<()>) {
        if let Err(error) = done {
            tracing::warn!(shard = self.number, %error, "what follows a change is left for later");
            self.has_leftovers.store(true, Ordering::Release);
        }
    }

    /// Removes rows that stand beside messages which have expired.
    fn forget_aged(&self) -> Result<()> {
        for record in self.registry.all() {
            let (app, floor) = (
                AppId(record.id),
                self.registry.physical_floor(AppId(record.id)),
            );
            let before = MessageId::first_at(floor.min(MessageId::MILLIS_MAX));
            while has_aged(&*self.engine, app, before)?
                && self.change_own(move |rows, _| delete_aged(rows, app, before, ROWS_MAX))?
            {
            }
        }
        Ok(())
    }

    /// Removes notifications that are older than their app keeps anything.
    fn forget_faded(&self) -> Result<()> {
        for record in self.registry.all() {
            let app = AppId(record.id);
            let floor = self.registry.physical_floor(app);
            while has_faded(&*self.engine, app, floor)?
                && self.change_own(move |rows, _| delete_faded(rows, app, floor, ROWS_MAX))?
            {
            }
        }
        Ok(())
    }

    /// Removes all rows of a deleted app.
    pub(crate) fn forget_rows(&self, app: AppId) -> Result<()> {
        let prefix = app.0.to_be_bytes();
        let tables = OF_APPS.into_iter().flatten().map(Table);
        for table in tables {
            while self.change_own(move |rows, _| {
                let page = page_of(rows, table, &prefix, None, false, ROWS_MAX)?;
                let more = page.len() == ROWS_MAX;
                for (key, _) in page {
                    rows.delete(table, key);
                }
                Ok(more)
            })? {}
        }
        self.change_own(move |rows, _| {
            rows.delete(FORGETTING, prefix);
            Ok(())
        })
    }
}

/// Chores taken up at a time.
const PAGE: usize = 256;

impl Store {
    /// Does what changes have left.
    pub(crate) async fn do_leftovers(&self) -> Result<()> {
        let shards = &self.inner.shards.list;
        let left: Vec<_> = shards
            .iter()
            .filter(|shard| shard.has_leftovers.swap(false, Ordering::AcqRel))
            .collect();
        if left.is_empty() {
            return Ok(());
        }
        let done = self.resume_deletions().await;
        if done.is_err() {
            for shard in left {
                shard.has_leftovers.store(true, Ordering::Release);
            }
        }
        done
    }

    /// Finishes what a crash has interrupted: deletions of users, groups, chatrooms and labels, and the taking back of pins.
    /// Nearly always there is nothing, and one look at a few tables of each shard says so.
    pub(crate) async fn resume_deletions(&self) -> Result<()> {
        for shard in &self.inner.shards.list {
            self.resume_erasures(shard).await?;
            for (app, message, attachment) in references(&*shard.engine)? {
                if let Some(app) = self.app_by_id(app) {
                    app.let_go(attachment, message).await?;
                }
            }
            let shard = Arc::clone(shard);
            let (users, channels, labels, pins) = blocking(move || {
                let rows = &*shard.engine;
                let users = leaving_users(rows, PAGE)?;
                let labels = going_labels(rows, PAGE)?;
                let channels = going_channels(rows, PAGE)?;
                Ok((users, channels, labels, unpins(rows, PAGE)?))
            })
            .await?;
            let (left, gone) = (users.len(), channels.len());
            if left + gone + labels.len() + pins.len() > 0 {
                let (labels, pins) = (labels.len(), pins.len());
                tracing::info!(
                    users = left,
                    channels = gone,
                    labels,
                    pins,
                    "deletions that were cut short go on"
                );
            }
            for (app, user) in users {
                if let Some(app) = self.app_by_id(app) {
                    ignore_gone(app.users().delete(&user).await.map(drop))?;
                }
            }
            for (app, kind, id) in channels {
                if let Some(app) = self.app_by_id(app) {
                    ignore_gone(app.channels(kind).delete(&id).await)?;
                }
            }
            for (app, name) in labels {
                if let Some(app) = self.app_by_id(app) {
                    ignore_gone(app.push().delete_label(&name).await)?;
                }
            }
            let pinning: BTreeSet<AppId> = pins.into_iter().map(|(app, ..)| app).collect();
            for app in pinning {
                if let Some(app) = self.app_by_id(app) {
                    app.take_back_pins().await?;
                }
            }
        }
        Ok(())
    }

    async fn resume_erasures(&self, shard: &Arc<Shard>) -> Result<()> {
        for (key, _) in page_of(&*shard.engine, ERASING, b"", None, false, PAGE)? {
            let Some((app, user)) = key.split_first_chunk::<4>() else {
                continue;
            };
            if let Some(app) = self.app_by_id(AppId(u32::from_be_bytes(*app))) {
                let user = UserId::parse(text(user)?)?;
                ignore_gone(app.users().delete(&user).await.map(drop))?;
                app.finish_erasure(&user).await?;
            }
        }
        Ok(())
    }

    pub(crate) fn app_by_id(&self, id: AppId) -> Option<App> {
        let record = self.inner.registry.by_id(id)?;
        let key = tidestore_plan::AppKey::parse(&record.key).ok()?;
        Some(App::new(self.clone(), id, key))
    }
}

/// A group may have gone with its owner.
fn ignore_gone(done: Result<()>) -> Result<()> {
    match done {
        Err(error) if matches!(error.kind(), ErrorKind::Directory(_)) => Ok(()),
        done => done,
    }
}
