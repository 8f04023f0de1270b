//! Block lists of users: who may not send to them.

use tidestore_kv::{Rows, decode_row, row};
use tidestore_plan::{AppId, Limit, UserId};

use crate::cursor::{List, Page};
use crate::directory::{Directory, Editor};
use crate::error::{Error, Result};
use crate::tables::{BLOCKS, BLOCKS_BY_AGE, Key, name_behind};
use crate::users::{each_once, parse_user};

impl<R: Rows + ?Sized> Directory<'_, R> {
    /// A page of those whom a user has blocked, newest first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`](crate::ErrorKind::UserNotFound), [`ErrorKind::Cursor`](crate::ErrorKind::Cursor).
    pub fn blocked(
        &self,
        user: &UserId,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<UserId>> {
        self.user_row(user)?;
        let prefix = Key::of(self.app).names(user.as_str());
        let list = List {
            table: BLOCKS_BY_AGE,
            prefix: prefix.bytes(),
            newest_first: true,
        };
        list.page(self.rows, cursor, limit)?
            .try_map(|(key, value)| {
                let id: String = decode_row(BLOCKS_BY_AGE, &key, &value)?;
                parse_user(&id)
            })
    }

    /// Whether a user has blocked another.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Tables`](crate::ErrorKind::Tables) if that cannot be read.
    pub fn has_blocked(&self, user: &UserId, other: &UserId) -> Result<bool> {
        let place = key(self.app, user, other);
        Ok(self.rows.bytes(BLOCKS, place.bytes())?.is_some())
    }

    pub(crate) fn recount_blocks(
        &self,
        user: &UserId,
        counted: u32,
        problems: &mut Vec<String>,
    ) -> Result<()> {
        let prefix = Key::of(self.app).names(user.as_str());
        let mut found = 0;
        tidestore_kv::each_row(self.rows, BLOCKS, prefix.bytes(), |place, value| {
            found += 1;
            let other = name_behind(place, prefix.bytes()).unwrap_or_default();
            let serial: u64 = decode_row(BLOCKS, place, value)?;
            let by_age = Key::of(self.app).names(user.as_str()).number(serial);
            let named: Option<String> = row(self.rows, BLOCKS_BY_AGE, by_age.bytes())?;
            if named.as_deref() != Some(other) {
                problems.push(format!(
                    "{user} has blocked {other}, which has no place in the order"
                ));
            }
            Ok::<_, Error>(true)
        })?;
        if found != counted {
            problems.push(format!(
                "{user} has blocked {found} users, {counted} are counted"
            ));
        }
        Ok(())
    }
}

impl Editor<'_, '_> {
    /// Blocks users; those who are blocked already stay where they are in the list.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`](crate::ErrorKind::UserNotFound) for anyone of them,
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) over 50 in a call or 500 in the list,
    /// [`ErrorKind::Argument`](crate::ErrorKind::Argument) for one twice or oneself.
    pub fn block(&mut self, user: &UserId, others: &[UserId]) -> Result<()> {
        let limits = &self.scope.limits;
        limits.check(Limit::BlockBatch, others.len() as u64)?;
        each_once(others.iter())?;
        let mut blocks = self.directory().user_row(user)?.blocks;
        for other in others {
            if other == user {
                return Err(Error::argument(format!("{user} cannot block himself")));
            }
            self.directory().user_row(other)?;
            let place = key(self.scope.app, user, other);
            if self.rows.bytes_of(BLOCKS, place.bytes())?.is_some() {
                continue;
            }
            blocks += 1;
            limits.check(Limit::BlockList, blocks.into())?;
            let serial = self.next_serial()?;
            self.rows.put(BLOCKS, place, &serial)?;
            let by_age = Key::of(self.scope.app).names(user.as_str()).number(serial);
            let name = other.as_str().to_owned();
            self.rows.put(BLOCKS_BY_AGE, by_age, &name)?;
        }
        self.change_user_row(user, |row| row.blocks = blocks)
    }

    /// Takes a user off the list; one who is not on it is fine.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`](crate::ErrorKind::UserNotFound) if the list's user does not exist.
    pub fn unblock(&mut self, user: &UserId, other: &UserId) -> Result<()> {
        self.directory().user_row(user)?;
        let place = key(self.scope.app, user, other);
        let Some(serial) = self.rows.get::<u64>(BLOCKS, place.bytes())? else {
            return Ok(());
        };
        self.rows.delete(BLOCKS, place);
        let by_age = Key::of(self.scope.app).names(user.as_str()).number(serial);
        self.rows.delete(BLOCKS_BY_AGE, by_age);
        self.change_user_row(user, |row| row.blocks = row.blocks.saturating_sub(1))
    }
}

fn key(app: AppId, user: &UserId, other: &UserId) -> Key {
    Key::of(app).names(user.as_str()).name(other.as_str())
}
