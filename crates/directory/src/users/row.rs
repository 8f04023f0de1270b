//! The row of a user.

use tidestore_disk::Millis;
use tidestore_kv::{Rows, Table, decode_row, row};
use tidestore_plan::UserId;

use crate::directory::{Directory, Editor};
use crate::error::{ErrorKind, Result};
use crate::tables::{LEAVING, USERS, key_of, name_behind};

/// A user as it is stored, with how many of everything belong to it.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub(crate) struct UserRow {
    /// Orders users by registration.
    pub(crate) serial: u64,
    pub(crate) uuid: [u8; 16],
    pub(crate) created: Millis,
    pub(crate) modified: Millis,
    pub(crate) is_banned: bool,
    pub(crate) nickname: Option<String>,
    /// The argon2 hash with its salt and parameters, as text in the PHC format.
    pub(crate) password: Option<String>,
    pub(crate) display_style: Option<u8>,
    pub(crate) no_disturbing: Option<bool>,
    /// Hours of the day between which nothing is pushed.
    pub(crate) no_disturbing_hours: Option<(u8, u8)>,
    pub(crate) contacts: u32,
    pub(crate) blocks: u32,
    pub(crate) groups: u32,
    pub(crate) rooms: u32,
    pub(crate) subscriptions: u32,
    pub(crate) subscribers: u32,
}

impl<R: Rows + ?Sized> Directory<'_, R> {
    /// The row of a user that exists; one whose deletion has begun does not.
    pub(crate) fn user_row(&self, user: &UserId) -> Result<UserRow> {
        let found = self.any_user_row(user)?;
        let found = found.ok_or_else(|| ErrorKind::UserNotFound(user.clone()))?;
        if self.is_leaving(user)? {
            return Err(ErrorKind::UserNotFound(user.clone()).into());
        }
        Ok(found)
    }

    /// The row of a user, also of one whose deletion has begun.
    pub(crate) fn any_user_row(&self, user: &UserId) -> Result<Option<UserRow>> {
        let key = key_of(self.app).name(user.as_str());
        Ok(row(self.rows, USERS, key.bytes())?)
    }

    /// Whether the deletion of a user has begun.
    pub(crate) fn is_leaving(&self, user: &UserId) -> Result<bool> {
        let key = key_of(self.app).name(user.as_str());
        Ok(self.rows.bytes(LEAVING, key.bytes())?.is_some())
    }
}

impl Editor<'_, '_> {
    pub(crate) fn put_user_row(&mut self, user: &UserId, row: &UserRow) -> Result<()> {
        let key = key_of(self.scope.app).name(user.as_str());
        Ok(self.rows.put(USERS, key, row)?)
    }

    /// Changes the row of a user that exists, also of one whose deletion has begun.
    pub(crate) fn change_user_row(
        &mut self,
        user: &UserId,
        change: impl FnOnce(&mut UserRow),
    ) -> Result<()> {
        let key = key_of(self.scope.app).name(user.as_str());
        let found: Option<UserRow> = self.rows.get(USERS, key.bytes())?;
        let mut found = found.ok_or_else(|| ErrorKind::UserNotFound(user.clone()))?;
        change(&mut found);
        self.put_user_row(user, &found)
    }
}

/// The user that a key names behind its prefix.
pub(crate) fn user_behind(table: Table, key: &[u8], prefix: &[u8]) -> Result<UserId> {
    let user = name_behind(key, prefix).and_then(|name| UserId::parse(name).ok());
    user.ok_or_else(|| damaged(table, key))
}

/// The user that a row names.
pub(crate) fn user_in(table: Table, key: &[u8], value: &[u8]) -> Result<UserId> {
    let name: String = decode_row(table, key, value)?;
    UserId::parse(&name).map_err(|_| damaged(table, key))
}

fn damaged(table: Table, key: &[u8]) -> crate::Error {
    let key = key.escape_ascii();
    let text = format!("the row {key} of table {table} names no user");
    tidestore_kv::Error::new(tidestore_kv::ErrorKind::Corruption, text).into()
}
