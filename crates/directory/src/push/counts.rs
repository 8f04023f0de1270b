//! How many templates and labels an app has: the row that every creation and deletion rewrites with it.

use tidestore_kv::{Rows, row};

use crate::directory::{Directory, Editor};
use crate::error::Result;
use crate::tables::{PUSH_COUNTS, key_of};

/// What an app has for pushing, in number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub(crate) struct PushCounts {
    pub(crate) templates: u64,
    /// Those included whose deletion has begun.
    pub(crate) labels: u64,
}

impl<R: Rows + ?Sized> Directory<'_, R> {
    pub(crate) fn push_counts(&self) -> Result<PushCounts> {
        let key = key_of(self.app);
        Ok(row(self.rows, PUSH_COUNTS, key.bytes())?.unwrap_or_default())
    }
}

impl Editor<'_, '_> {
    pub(super) fn put_push_counts(&mut self, counts: &PushCounts) -> Result<()> {
        Ok(self.rows.put(PUSH_COUNTS, key_of(self.scope.app), counts)?)
    }
}
