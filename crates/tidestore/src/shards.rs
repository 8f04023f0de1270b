//! All shards of a store, and which of them has what.

use std::hash::Hasher;
use std::sync::Arc;
use tidestore_disk::sync::atomic::AtomicU64;

use siphasher::sip::SipHasher13;
use tidestore_blobs::ContentHash;
use tidestore_disk::Millis;

use tidestore_messages::{AppId, Conversation};

use crate::apps::Registry;
use crate::attachments::Request;
use crate::error::Result;
use crate::expiry::ExpiryReport;
use crate::guard::ClockGuard;
use crate::meters::StoreMeters;
use crate::places::Places;
use crate::record::Event;
use crate::shard::Shard;
use crate::tables;

/// The shards of a store, shared by its handles and its background threads.
#[derive(Debug)]
pub(crate) struct Shards {
    pub(crate) store: [u8; 16],
    pub(crate) list: Vec<Arc<Shard>>,
    pub(crate) guard: Arc<ClockGuard>,
    pub(crate) registry: Arc<Registry>,
    /// Uploads and downloads that may be open.
    pub(crate) transfers: Places,
    /// Inboxes that may be followed live.
    pub(crate) streams: Places,
    /// How many notices opening has left.
    pub(crate) notices: AtomicU64,
    pub(crate) meters: StoreMeters,
}

impl Shards {
    /// The shard where an app's own record lives.
    pub(crate) fn home(&self, key: &str) -> &Arc<Shard> {
        self.pick(key.as_bytes(), b"")
    }

    /// The shard of a conversation and its aside.
    pub(crate) fn of(&self, app: AppId, conversation: &Conversation) -> &Arc<Shard> {
        self.pick(&app.0.to_le_bytes(), conversation.main_str().as_bytes())
    }

    /// The shard that keeps a content and its attachments.
    pub(crate) fn of_content(&self, app: AppId, hash: &ContentHash) -> &Arc<Shard> {
        self.pick(&app.0.to_le_bytes(), hash)
    }

    /// Which shard: keyed with the store's id, so that it never changes and nobody outside can aim at one.
    fn pick(&self, first: &[u8], second: &[u8]) -> &Arc<Shard> {
        let index = shard_of(&self.store, self.list.len(), first, second);
        #[expect(clippy::indexing_slicing, reason = "reduced by the length")]
        &self.list[index]
    }

    /// One pass of expiry by the guarded clock; paused while the clock is not trusted.
    pub(crate) fn expire(&self) -> Result<ExpiryReport> {
        if let Err(error) = self.note_jump() {
            // The next pass tries again.
            tracing::warn!(%error, "it could not be noted whether the clock has jumped");
        }
        if let Some(alarm) = self.guard.alarm() {
            let report = ExpiryReport {
                paused: Some(alarm),
                ..ExpiryReport::default()
            };
            self.meters.expiry(Some(&report));
            return Ok(report);
        }
        self.expire_by(self.guard.expiry_now())
    }

    /// One pass of expiry as if it were `now`.
    ///
    /// Floors first, and durably: what a reader was once told is gone must not come back with the clock. But neither a
    /// full disk nor one broken shard may keep the others from giving their space back; the first error is returned
    /// when all is done that can be done.
    pub(crate) fn expire_by(&self, now: Millis) -> Result<ExpiryReport> {
        let mut report = ExpiryReport::default();
        let noted = self.raise_floors(now);
        let mut failed = None;
        for shard in &self.list {
            if let Err(error) = shard.expire(&mut report) {
                failed.get_or_insert(error);
            }
        }
        // Behind the messages: their floors say which attachments nothing refers to any more.
        for shard in &self.list {
            match shard.desk().ask_own(|reply| Request::Collect(now, reply)) {
                Ok(collected) => report.add_collected(&self.registry, collected),
                Err(error) => drop(failed.get_or_insert(error)),
            }
        }
        // What has left the disk may have made the room that the record was short of.
        let noted = noted.or_else(|_| self.raise_floors(now));
        let done = match (noted, failed) {
            (Ok(()), None) => Ok(report),
            (Err(error), _) | (Ok(()), Some(error)) => Err(error),
        };
        self.meters.expiry(done.as_ref().ok());
        done
    }

    /// Writes down the floors of all apps at a time, one record a home shard. All shards are tried.
    fn raise_floors(&self, now: Millis) -> Result<()> {
        let apps = self.registry.all();
        let risen = apps
            .iter()
            .filter(|record| record.floor_at(now) > record.floor);
        let risen: Vec<_> = risen
            .map(|record| (self.home(&record.key), record.id))
            .collect();
        let mut done = Ok(());
        for shard in &self.list {
            let of_shard = risen.iter().filter(|(home, _)| Arc::ptr_eq(home, shard));
            let of_shard: Vec<u32> = of_shard.map(|(_, id)| *id).collect();
            if !of_shard.is_empty() {
                done = done.and(shard.raise_floors(of_shard, now));
            }
        }
        done
    }

    /// Notes in every log that the store is alive, so that a long quiet time is not taken for a wrong clock.
    pub(crate) fn note_alive(&self) -> Result<()> {
        let note = |shard: &Arc<Shard>| shard.decide_own(Box::new(|_| Ok(Some(Event::Alive))));
        let noted = self.list.iter().map(note).fold(Ok(()), Result::and);
        noted.and(self.note_jump())
    }

    /// Notes that the clock has jumped, or that this was confirmed: a restart must not forget it, because a jump that is
    /// shorter than the longest gap would pass for time that the store was closed.
    fn note_jump(&self) -> Result<()> {
        let jumped = self.guard.is_jumped();
        for shard in &self.list {
            if tables::number(&*shard.engine, tables::JUMPED)? != u64::from(jumped) {
                shard.decide_own(Box::new(move |_| Ok(Some(tables::jumped(jumped)))))?;
            }
        }
        Ok(())
    }
}

/// The number of the shard of something, of so many.
#[expect(
    clippy::cast_possible_truncation,
    reason = "reduced by the number of shards"
)]
pub(crate) fn shard_of(store: &[u8; 16], shards: usize, first: &[u8], second: &[u8]) -> usize {
    let mut hasher = SipHasher13::new_with_key(store);
    hasher.write(first);
    hasher.write_u8(0xff);
    hasher.write(second);
    (hasher.finish() % shards.max(1) as u64) as usize
}
