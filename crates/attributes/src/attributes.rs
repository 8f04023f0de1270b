//! The two handles, and the totals.

use tidestore_disk::Millis;
use tidestore_kv::{Overlay, Rows, Table, row};
use tidestore_plan::{AppId, Limits};

use crate::error::Result;
use crate::tables::{ROOM_TOTALS, USER_TOTALS, app_key};

/// Reads the attributes of one app.
#[derive(Debug)]
pub struct Attributes<'a, R: ?Sized> {
    pub(crate) rows: &'a R,
    pub(crate) app: AppId,
}

/// For whom and when something is changed.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The app.
    pub app: AppId,
    /// The limits as this store has them.
    pub limits: Limits,
    /// Now, in milliseconds since 1970.
    pub now: Millis,
}

/// Changes the attributes of one app. A call that fails may leave a part of its changes in the overlay: it must be made
/// inside an [`attempt`](Overlay::attempt).
#[derive(Debug)]
pub struct AttributesEditor<'a, 'e> {
    pub(crate) rows: &'a mut Overlay<'e>,
    pub(crate) scope: &'a Scope,
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Total {
    /// Users with attributes, or attributes of rooms.
    pub count: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
}

impl Total {
    /// The total once something of `before` bytes has become `after`; `None` is not there.
    pub(crate) fn changed(self, before: Option<u64>, after: Option<u64>) -> Self {
        let count = |part: Option<u64>| u64::from(part.is_some());
        Self {
            count: (self.count + count(after)).saturating_sub(count(before)),
            bytes: (self.bytes + after.unwrap_or(0)).saturating_sub(before.unwrap_or(0)),
        }
    }
}

impl<'a, R: Rows + ?Sized> Attributes<'a, R> {
    /// Reads an app's rows.
    pub fn new(rows: &'a R, app: AppId) -> Self {
        Self { rows, app }
    }

    /// All user attributes of the app. Costs one row.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Tables`](crate::ErrorKind::Tables) if it cannot be read; so with every call below.
    pub fn user_total(&self) -> Result<Total> {
        self.total(USER_TOTALS, &app_key(self.app))
    }

    /// All room attributes of the app. Costs one row.
    ///
    /// # Errors
    ///
    /// As [`user_total`](Self::user_total).
    pub fn room_total(&self) -> Result<Total> {
        self.total(ROOM_TOTALS, &app_key(self.app))
    }

    pub(crate) fn total(&self, table: Table, key: &[u8]) -> Result<Total> {
        Ok(row(self.rows, table, key)?.unwrap_or_default())
    }
}

impl<'a, 'e> AttributesEditor<'a, 'e> {
    /// Changes an app's rows.
    pub fn new(rows: &'a mut Overlay<'e>, scope: &'a Scope) -> Self {
        Self { rows, scope }
    }

    /// Reads what was changed so far.
    pub fn attributes(&self) -> Attributes<'_, Overlay<'e>> {
        Attributes::new(&*self.rows, self.scope.app)
    }

    pub(crate) fn put_total(&mut self, table: Table, key: Vec<u8>, total: Total) -> Result<()> {
        if total == Total::default() {
            self.rows.delete(table, key);
            return Ok(());
        }
        Ok(self.rows.put(table, key, &total)?)
    }
}
