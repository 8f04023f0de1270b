//! All shards of a store, and which of them has what.

use std::hash::Hasher;
use std::sync::Arc;

use siphasher::sip::SipHasher13;
use tidestore_disk::Millis;
use tidestore_messages::{AppId, Conversation};

use crate::apps::Registry;
use crate::error::Result;
use crate::expiry::ExpiryReport;
use crate::guard::ClockGuard;
use crate::record::Event;
use crate::shard::Shard;

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
        let mut raised: Vec<(Arc<Shard>, Vec<(u32, Millis)>)> = Vec::new();
        for record in self.registry.all() {
            let floor = record.floor_at(now);
            if floor <= record.floor {
                continue;
            }
            let home = self.home(&record.key);
            match raised
                .iter_mut()
                .find(|(shard, _)| Arc::ptr_eq(shard, home))
            {
                Some((_, floors)) => floors.push((record.id, floor)),
                None => raised.push((Arc::clone(home), vec![(record.id, floor)])),
            }
        }
        for (shard, floors) in raised {
            shard.raise_floors(floors)?;
        }
        for shard in &self.list {
            shard.expire(&mut report)?;
        }
        Ok(report)
    }

    /// Notes in the log that the store is alive, so that a long quiet time is not taken for a wrong clock.
    pub(crate) fn note_alive(&self) -> Result<()> {
        let Some(shard) = self.list.first() else {
            return Ok(());
        };
        shard.decide_own(Box::new(|_| Ok(Some(Event::Alive))))
    }
}
