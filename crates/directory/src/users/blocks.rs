//! Block lists: whose messages a user does not want.
//!
//! A row says that somebody is blocked, a second one finds it by age. A blocked user need not be a contact, and blocking one
//! keeps the contact. When a blocked user is deleted, he stays on the lists of others: nothing leads from him to them, so
//! finding them would mean a walk over the lists of all; and whoever registers under the same id later is not let through to
//! people who did not want to hear from it.

use tidestore_kv::{Key, Rows, row};
use tidestore_plan::{AppId, Limit, UserId};

use super::user_in;
use crate::cursor::{List, Page};
use crate::directory::{Directory, Editor};
use crate::error::{Error, Result};
use crate::tables::{BLOCKS, BLOCKS_BY_AGE, key_of};

/// What the keys of a user's list begin with, in both tables.
pub(super) fn blocks_of(app: AppId, user: &UserId) -> Key {
    key_of(app).names(user.as_str())
}

impl<R: Rows + ?Sized> Directory<'_, R> {
    /// Whom a user has blocked, the latest first. Some of them may not be registered any more.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`](crate::ErrorKind::UserNotFound); [`ErrorKind::Cursor`](crate::ErrorKind::Cursor) if the
    /// cursor is not one of this list.
    pub fn blocked(
        &self,
        user: &UserId,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<UserId>> {
        self.user_row(user)?;
        let prefix = blocks_of(self.app, user);
        let list = List {
            table: BLOCKS_BY_AGE,
            prefix: prefix.bytes(),
            newest_first: true,
        };
        list.page(self.rows, cursor, limit)?
            .try_map(|(key, value)| user_in(BLOCKS_BY_AGE, &key, &value))
    }

    /// Whether a user has blocked another. One read; a user who does not exist has blocked nobody.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Tables`](crate::ErrorKind::Tables).
    pub fn has_blocked(&self, user: &UserId, other: &UserId) -> Result<bool> {
        let key = blocks_of(self.app, user).name(other.as_str());
        Ok(self.rows.bytes(BLOCKS, key.bytes())?.is_some())
    }
}

impl Editor<'_, '_> {
    /// Puts users on the block list of a user. One who is on it stays where he is.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`](crate::ErrorKind::UserNotFound) for any of them;
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) if these are too many for one call or for the list;
    /// [`ErrorKind::Argument`](crate::ErrorKind::Argument) if the user is among them.
    pub fn block(&mut self, user: &UserId, others: &[UserId]) -> Result<()> {
        let scope = self.scope;
        scope.limits.check(Limit::BlockBatch, others.len() as u64)?;
        let mut row = self.directory().user_row(user)?;
        let before = row.blocks;
        for other in others {
            if other == user {
                return Err(Error::argument(format!("{user} cannot block himself")));
            }
            self.directory().user_row(other)?;
            if self.directory().has_blocked(user, other)? {
                continue;
            }
            row.blocks = row.blocks.saturating_add(1);
            let serial = self.next_serial()?;
            let list = blocks_of(scope.app, user);
            let by_age = list.clone().number(serial);
            self.rows.put(BLOCKS, list.name(other.as_str()), &serial)?;
            self.rows.put(BLOCKS_BY_AGE, by_age, &other.as_str())?;
        }
        // Who is on the list already does not make it grow, so a full list takes a repeated call.
        if row.blocks != before {
            scope.limits.check(Limit::BlockList, row.blocks.into())?;
            self.put_user_row(user, &row)?;
        }
        Ok(())
    }

    /// Takes somebody off the block list of a user. Says whether he was on it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`](crate::ErrorKind::UserNotFound) for the user, and for the other one unless he is on the
    /// list: who was deleted can still be taken off.
    pub fn unblock(&mut self, user: &UserId, other: &UserId) -> Result<bool> {
        self.directory().user_row(user)?;
        let was_on_it = self.remove_block(user, other)?;
        if !was_on_it {
            self.directory().user_row(other)?;
        }
        Ok(was_on_it)
    }

    /// Takes somebody off the list of a user who may be about to be deleted.
    pub(super) fn remove_block(&mut self, user: &UserId, other: &UserId) -> Result<bool> {
        let list = blocks_of(self.scope.app, user);
        let key = list.clone().name(other.as_str());
        let Some(serial) = row(&*self.rows, BLOCKS, key.bytes())? else {
            return Ok(false);
        };
        self.rows.delete(BLOCKS, key);
        self.rows.delete(BLOCKS_BY_AGE, list.number(serial));
        self.change_user_row(user, |row| row.blocks = row.blocks.saturating_sub(1))?;
        Ok(true)
    }
}
