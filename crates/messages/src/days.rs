//! How much of a segment belongs to each day: told when it is written, so that nobody has to read it again for that.

use std::collections::BTreeMap;

use bincode::{Decode, Encode};
use tidestore_disk::Millis;

use crate::types::{AppId, Message};

/// Milliseconds of a day.
pub const DAY_MILLIS: Millis = 86_400_000;

/// What one app has in a segment of one day, which begins at midnight UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct DayShare {
    /// The app.
    pub app: AppId,
    /// Days since 1970.
    pub day: u32,
    /// Its messages.
    pub messages: u64,
    /// Bytes of their bodies and extensions.
    pub body_bytes: u64,
}

/// The days of one segment.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SegmentDays {
    /// The segment.
    pub generation: u64,
    /// Its shares, by app and day.
    pub shares: Vec<DayShare>,
}

/// Messages and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DayCount {
    /// Messages.
    pub messages: u64,
    /// Bytes of their bodies and extensions.
    pub body_bytes: u64,
}

impl DayCount {
    /// Adds another count.
    pub fn add(&mut self, other: Self) {
        self.messages += other.messages;
        self.body_bytes += other.body_bytes;
    }
}

/// Counts by app and day.
#[derive(Clone, Debug, Default)]
pub(crate) struct Days(BTreeMap<(AppId, u32), DayCount>);

impl Days {
    pub(crate) fn count(&mut self, app: AppId, message: &Message) {
        let count = self.0.entry((app, day_of(message.millis()))).or_default();
        count.add(DayCount {
            messages: 1,
            body_bytes: message.content_len(),
        });
    }

    pub(crate) fn shares(&self) -> Vec<DayShare> {
        let share = |(&(app, day), count): (&(AppId, u32), &DayCount)| DayShare {
            app,
            day,
            messages: count.messages,
            body_bytes: count.body_bytes,
        };
        self.0.iter().map(share).collect()
    }
}

/// The day of a time; ids hold no time that would not fit.
pub fn day_of(time: Millis) -> u32 {
    u32::try_from(time / DAY_MILLIS).unwrap_or(u32::MAX)
}
