//! All shards of a store, and which of them has what.

use std::hash::Hasher;
use std::sync::Arc;

use siphasher::sip::SipHasher13;
use tidestore_disk::Millis;
use tidestore_messages::{AppId, Conversation};

use crate::apps::Registry;
use crate::error::{Error, ErrorKind, Result};
use crate::expiry::ExpiryReport;
use crate::guard::ClockGuard;
use crate::record::Event;
use crate::shard::Shard;

/// An app's key, its number, and a floor.
type Floor = (String, u32, Millis);

/// The shards of a store, shared by its handles and its background threads.
#[derive(Debug)]
pub(crate) struct Shards {
    pub(crate) store: [u8; 16],
    pub(crate) list: Vec<Arc<Shard>>,
    pub(crate) guard: Arc<ClockGuard>,
    pub(crate) registry: Arc<Registry>,
}

impl Shards {
    /// The shard where an app's own record lives.
    pub(crate) fn home(&self, key: &str) -> &Arc<Shard> {
        self.pick(key.as_bytes(), b"")
    }

    /// The shard of a conversation.
    pub(crate) fn of(&self, app: AppId, conversation: &Conversation) -> &Arc<Shard> {
        self.pick(&app.0.to_le_bytes(), conversation.as_str().as_bytes())
    }

    /// Which shard: keyed with the store's id, so that it never changes and nobody outside can aim at one.
    fn pick(&self, first: &[u8], second: &[u8]) -> &Arc<Shard> {
        let mut hasher = SipHasher13::new_with_key(&self.store);
        hasher.write(first);
        hasher.write_u8(0xff);
        hasher.write(second);
        let index = hasher.finish() % self.list.len() as u64;
        #[expect(
            clippy::indexing_slicing,
            clippy::cast_possible_truncation,
            reason = "reduced by the length"
        )]
        &self.list[index as usize]
    }

    /// One pass of expiry by the guarded clock; paused while the clock is not trusted.
    pub(crate) fn expire(&self) -> Result<ExpiryReport> {
        if let Some(alarm) = self.guard.alarm() {
            return Ok(ExpiryReport {
                paused: Some(alarm),
                ..ExpiryReport::default()
            });
        }
        self.expire_by(self.guard.expiry_now())
    }

    /// One pass of expiry as if it were `now`.
    ///
    /// Floors first, and durably: what a reader was once told is gone must not come back with the clock.
    pub(crate) fn expire_by(&self, now: Millis) -> Result<ExpiryReport> {
        let mut report = ExpiryReport::default();
        // On a full disk the record may have to wait until expiry has made room for it.
        let deferred = self.raise_floors(&self.risen(now))?;
        for shard in &self.list {
            shard.expire(&mut report)?;
        }
        match self.raise_floors(&deferred)?.first() {
            None => Ok(report),
            Some(_) => Err(Error::new(
                ErrorKind::Full,
                "no space is left to note the floors",
            )),
        }
    }

    /// Floors that are higher at a time than what is written down.
    fn risen(&self, now: Millis) -> Vec<Floor> {
        let floors = self.registry.all().into_iter().filter_map(|record| {
            let floor = record.floor_at(now);
            (floor > record.floor).then(|| (record.key.clone(), record.id, floor))
        });
        floors.collect()
    }

    /// Writes floors down, one record a home shard, and returns those for which there was no space.
    fn raise_floors(&self, floors: &[Floor]) -> Result<Vec<Floor>> {
        let mut deferred = Vec::new();
        for shard in &self.list {
            let is_home = |floor: &&Floor| Arc::ptr_eq(self.home(&floor.0), shard);
            let of_shard: Vec<_> = floors.iter().filter(is_home).cloned().collect();
            if of_shard.is_empty() {
                continue;
            }
            let records = of_shard
                .iter()
                .map(|(_, id, floor)| (*id, *floor))
                .collect();
            match shard.raise_floors(records) {
                Err(error) if *error.kind() == ErrorKind::Full => deferred.extend(of_shard),
                other => other?,
            }
        }
        Ok(deferred)
    }

    /// Notes in the log that the store is alive, so that a long quiet time is not taken for a wrong clock.
    pub(crate) fn note_alive(&self) -> Result<()> {
        let Some(shard) = self.list.first() else {
            return Ok(());
        };
        shard.decide_own(Box::new(|_| Ok(Some(Event::Alive))))
    }
}
