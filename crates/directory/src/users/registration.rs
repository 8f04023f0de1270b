//! Registration, and users as callers see them.

use std::collections::HashSet;

use tidestore_disk::Millis;
use tidestore_kv::Rows;
use tidestore_plan::{CapKind, Limit, UserId};

use super::passwords::Password;
use super::{UserRow, user_in};
use crate::cursor::{List, Page};
use crate::directory::{Directory, Editor};
use crate::error::{Error, ErrorKind, Result};
use crate::tables::{USERS_BY_AGE, key_of};

/// A user to be registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewUser {
    /// The id.
    pub id: UserId,
    /// A random number of 128 bits that no other user has.
    pub uuid: [u8; 16],
    /// The name that pushed notifications show; an empty one is none.
    pub nickname: Option<String>,
    /// What [`Password::hash`] made of the password; `None` for a user who cannot log in by password.
    pub password_hash: Option<String>,
}

/// A registered user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The id.
    pub id: UserId,
    /// The number that was given at registration.
    pub uuid: [u8; 16],
    /// When he was registered.
    pub created: Millis,
    /// When his profile, password or ban was last changed.
    pub modified: Millis,
    /// Whether he is banned: he exists, but cannot log in or send.
    pub is_banned: bool,
    /// The name that pushed notifications show.
    pub nickname: Option<String>,
    /// How much pushed notifications show: 0 only that there is a message, 1 the message too.
    pub display_style: Option<u8>,
    /// Whether nothing is pushed in the hours below.
    pub no_disturbing: Option<bool>,
    /// From which hour of the day to which.
    pub no_disturbing_hours: Option<(u8, u8)>,
}

impl User {
    pub(crate) fn of(id: UserId, row: UserRow) -> Self {
        Self {
            id,
            uuid: row.uuid,
            created: row.created,
            modified: row.modified,
            is_banned: row.is_banned,
            nickname: row.nickname,
            display_style: row.display_style,
            no_disturbing: row.no_disturbing,
            no_disturbing_hours: row.no_disturbing_hours,
        }
    }

    /// Whether he does not want to be disturbed at a time, which is counted in UTC as the daily intervals of push settings are.
    /// The last hour is not among the hours; without hours, and with the same twice, it is the whole day.
    pub fn is_undisturbed_at(&self, now: Millis) -> bool {
        if self.no_disturbing != Some(true) {
            return false;
        }
        let hour = now / HOUR % 24;
        match self
            .no_disturbing_hours
            .map(|(from, to)| (from.into(), to.into()))
        {
            Some((from, to)) if from < to => (from..to).contains(&hour),
            Some((from, to)) if from > to => hour >= from || hour < to,
            _ => true,
        }
    }
}

/// Milliseconds.
const HOUR: u64 = 3_600_000;

impl<R: Rows + ?Sized> Directory<'_, R> {
    /// One user.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`].
    pub fn user(&self, id: &UserId) -> Result<User> {
        Ok(User::of(id.clone(), self.user_row(id)?))
    }

    /// All users, in the order of their registration.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Cursor`] if the cursor is not one of this list.
    pub fn users(&self, cursor: Option<&str>, limit: usize) -> Result<Page<User>> {
        let prefix = key_of(self.app);
        let list = List {
            table: USERS_BY_AGE,
            prefix: prefix.bytes(),
            newest_first: false,
        };
        let page = list.page(self.rows, cursor, limit)?;
        page.try_map(|(key, value)| self.user(&user_in(USERS_BY_AGE, &key, &value)?))
    }
}

impl Editor<'_, '_> {
    /// Registers a user.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserExists`], also while a user of this id is being deleted; [`ErrorKind::Limit`] if the nickname is too
    /// long or the plan has no room for one more user; [`ErrorKind::Argument`] if the password hash is none.
    pub fn register(&mut self, new: NewUser) -> Result<User> {
        if self.directory().any_user_row(&new.id)?.is_some() {
            return Err(ErrorKind::UserExists(new.id).into());
        }
        let nickname = self.nickname(new.nickname)?;
        if let Some(hash) = &new.password_hash {
            Password::check_hash(hash)?;
        }
        let (users, serial) = self.count(|counters| {
            counters.users += 1;
            (counters.users, counters.next_serial())
        })?;
        self.scope.caps.check(CapKind::Users, users)?;
        let row = UserRow {
            serial,
            uuid: new.uuid,
            created: self.scope.now,
            modified: self.scope.now,
            is_banned: false,
            nickname,
            password: new.password_hash,
            display_style: None,
            no_disturbing: None,
            no_disturbing_hours: None,
            contacts: 0,
            blocks: 0,
            groups: 0,
            rooms: 0,
            subscriptions: 0,
            subscribers: 0,
        };
        self.put_user_row(&new.id, &row)?;
        let by_age = key_of(self.scope.app).number(serial);
        self.rows.put(USERS_BY_AGE, by_age, &new.id.as_str())?;
        Ok(User::of(new.id, row))
    }

    /// Registers several users; each is registered or refused by itself, as by [`register`](Self::register).
    ///
    /// # Errors
    ///
    /// None is registered: [`ErrorKind::Limit`] if there are too many for one call; [`ErrorKind::Argument`] if an id comes
    /// twice; [`ErrorKind::Tables`] if the tables fail at any of them.
    pub fn register_many(&mut self, new: Vec<NewUser>) -> Result<Vec<Result<User>>> {
        let limits = &self.scope.limits;
        limits.check(Limit::RegistrationBatch, new.len() as u64)?;
        let mut seen = HashSet::new();
        if let Some(twice) = new.iter().find(|new| !seen.insert(&new.id)) {
            let text = format!("the user {} comes twice in one registration", twice.id);
            return Err(Error::argument(text));
        }
        drop(seen);
        let scope = self.scope;
        let mut done = Vec::with_capacity(new.len());
        for new in new {
            // Registration has no effects on other parts, so there are none to be handed on.
            let one = self
                .rows
                .attempt(|rows| Editor::new(rows, scope).register(new));
            match one {
                Err(error) if *error.kind() == ErrorKind::Tables => return Err(error),
                one => done.push(one),
            }
        }
        Ok(done)
    }

    /// A nickname that is short enough; `None` instead of an empty one.
    pub(super) fn nickname(&self, text: Option<String>) -> Result<Option<String>> {
        let text = text.filter(|text| !text.is_empty());
        if let Some(text) = &text {
            self.scope.limits.check_text(Limit::PushNickname, text)?;
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_without_disturbance_may_pass_midnight() {
        let user = |asked, hours| User {
            no_disturbing: asked,
            no_disturbing_hours: hours,
            id: UserId::parse("ann").unwrap(),
            uuid: [0; 16],
            created: 0,
            modified: 0,
            is_banned: false,
            nickname: None,
            display_style: None,
        };
        let held = |user: &User| {
            (0..24)
                .filter(|hour| user.is_undisturbed_at(hour * HOUR + 1))
                .collect::<Vec<_>>()
        };
        assert_eq!(held(&user(Some(true), Some((8, 10)))), [8, 9]);
        assert_eq!(held(&user(Some(true), Some((22, 2)))), [0, 1, 22, 23]);
        for hours in [None, Some((5, 5))] {
            assert_eq!(held(&user(Some(true), hours)).len(), 24);
            assert_eq!(held(&user(Some(false), hours)).len(), 0);
            assert_eq!(held(&user(None, hours)).len(), 0);
        }
    }
}
