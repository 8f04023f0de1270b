//! How many there are of everything in an app: the row that every creation and deletion rewrites with it.

use tidestore_kv::{Overlay, Rows, row};
use tidestore_plan::AppId;

use crate::ChannelKind;
use crate::error::Result;
use crate::tables::{COUNTERS, key_of};

/// What an app has, in number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Counters {
    /// Registered users.
    pub users: u64,
    /// Groups.
    pub groups: u64,
    /// Chatrooms.
    pub rooms: u64,
    /// Threads.
    pub threads: u64,
    /// The last serial that was given: it orders registrations, creations and joinings, and never goes back.
    pub serial: u64,
}

impl Counters {
    pub(crate) fn read(rows: &(impl Rows + ?Sized), app: AppId) -> Result<Self> {
        Ok(row(rows, COUNTERS, key_of(app).bytes())?.unwrap_or_default())
    }

    pub(crate) fn write(&self, rows: &mut Overlay<'_>, app: AppId) -> Result<()> {
        Ok(rows.put(COUNTERS, key_of(app), self)?)
    }

    /// Groups or chatrooms.
    pub(crate) fn channels(&mut self, kind: ChannelKind) -> &mut u64 {
        match kind {
            ChannelKind::Group => &mut self.groups,
            ChannelKind::Room => &mut self.rooms,
        }
    }

    /// Gives the next serial; the counters have to be written afterwards.
    pub(crate) fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }
}
