//! Users: registration, profile, ban.

mod deletion;
mod row;

use std::collections::HashSet;

use tidestore_disk::Millis;
use tidestore_kv::{Rows, decode_row, row};
use tidestore_plan::{CapKind, Limit, UserId};

use crate::cursor::{List, Page};
use crate::directory::{Directory, Editor};
use crate::error::{Error, ErrorKind, Result};
use crate::tables::{Key, USERS, USERS_BY_AGE, name_behind, number_behind};

pub use deletion::{Deletion, leaving_users};
pub(crate) use row::UserRow;

/// A registered user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The id.
    pub id: UserId,
    /// The number that outlives a change of everything else.
    pub uuid: [u8; 16],
    /// When it was registered.
    pub created: Millis,
    /// When its profile was last changed.
    pub modified: Millis,
    /// Whether it is banned.
    pub is_banned: bool,
    /// What push notices call it.
    pub nickname: Option<String>,
    /// How push notices look: 0 without the message's text, 1 with it.
    pub display_style: Option<u8>,
    /// Whether there are hours without push notices.
    pub no_disturbing: Option<bool>,
    /// These hours: from, to, each 0 to 23.
    pub no_disturbing_hours: Option<(u8, u8)>,
    /// How many contacts it has.
    pub contacts: u64,
    /// How many users it has blocked.
    pub blocked: u64,
    /// How many groups it is in.
    pub groups: u64,
    /// How many chatrooms it is in.
    pub rooms: u64,
}

/// A user to register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewUser {
    /// The id; free in the app.
    pub id: UserId,
    /// Random.
    pub uuid: [u8; 16],
    /// What push notices call it, at most 100 characters.
    pub nickname: Option<String>,
    /// The hash of the password, see [`Password`](crate::Password).
    pub password_hash: Option<String>,
}

/// What is to change of a user; `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserChange {
    /// What push notices call it, at most 100 characters.
    pub nickname: Option<String>,
    /// How push notices look: 0 or 1.
    pub display_style: Option<u8>,
    /// Whether there are hours without push notices.
    pub no_disturbing: Option<bool>,
    /// These hours: from, to, each 0 to 23.
    pub no_disturbing_hours: Option<(u8, u8)>,
}

impl User {
    fn of(id: UserId, row: UserRow) -> Self {
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
            contacts: row.contacts.into(),
            blocked: row.blocks.into(),
            groups: row.groups.into(),
            rooms: row.rooms.into(),
        }
    }
}

impl<R: Rows + ?Sized> Directory<'_, R> {
    /// Finds a user.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`].
    pub fn user(&self, id: &UserId) -> Result<User> {
        Ok(User::of(id.clone(), self.user_row(id)?))
    }

    /// A page of users, oldest registration first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Cursor`].
    pub fn users(&self, cursor: Option<&str>, limit: usize) -> Result<Page<User>> {
        let prefix = Key::of(self.app);
        let list = List {
            table: USERS_BY_AGE,
            prefix: prefix.bytes(),
            newest_first: false,
        };
        let page = list.page(self.rows, cursor, limit)?;
        // One whose deletion has begun still stands in the list.
        page.try_filter_map(|(key, value)| {
            let id: String = decode_row(USERS_BY_AGE, &key, &value)?;
            match self.user(&parse_user(&id)?) {
                Err(error) if matches!(error.kind(), ErrorKind::UserNotFound(_)) => Ok(None),
                user => user.map(Some),
            }
        })
    }

    /// The hash of a user's password, if he has one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`].
    pub fn password_hash(&self, id: &UserId) -> Result<Option<String>> {
        Ok(self.user_row(id)?.password)
    }

    /// Whether a user may act at all.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`], [`ErrorKind::UserBanned`].
    pub fn check_sender(&self, id: &UserId) -> Result<()> {
        if self.user_row(id)?.is_banned {
            return Err(ErrorKind::UserBanned(id.clone()).into());
        }
        Ok(())
    }

    /// Counts users again and compares both directions of their index.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Tables`] if they cannot be read.
    pub(crate) fn recount_users(&self, problems: &mut Vec<String>) -> Result<u64> {
        let prefix = Key::of(self.app);
        let mut users = 0;
        tidestore_kv::each_row(self.rows, USERS, prefix.bytes(), |key, value| {
            users += 1;
            let id = name_behind(key, prefix.bytes()).unwrap_or_default();
            let user: UserRow = decode_row(USERS, key, value)?;
            let by_age = Key::of(self.app).number(user.serial);
            let named: Option<String> = row(self.rows, USERS_BY_AGE, by_age.bytes())?;
            if named.as_deref() != Some(id) {
                problems.push(format!("user {id} is missing in the order of registration"));
            }
            Ok::<_, Error>(true)
        })?;
        let mut aged = 0;
        tidestore_kv::each_row(self.rows, USERS_BY_AGE, prefix.bytes(), |key, _| {
            aged += u64::from(number_behind(key, prefix.bytes()).is_some());
            Ok::<_, Error>(true)
        })?;
        let counted = self.counters()?.users;
        if (users, users) != (aged, counted) {
            problems.push(format!(
                "there are {users} users, {aged} by registration, and {counted} are counted"
            ));
        }
        Ok(users)
    }
}

impl Editor<'_, '_> {
    /// Registers a user.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserExists`]; [`ErrorKind::Limit`] if the plan has no place for it or the nickname is too long.
    pub fn register(&mut self, new: NewUser) -> Result<User> {
        let NewUser {
            id,
            uuid,
            nickname,
            password_hash,
        } = new;
        if let Some(nickname) = &nickname {
            self.scope
                .limits
                .check_text(Limit::PushNickname, nickname)?;
        }
        let key = Key::of(self.scope.app).name(id.as_str());
        if self.rows.bytes_of(USERS, key.bytes())?.is_some() {
            return Err(ErrorKind::UserExists(id).into());
        }
        let would_be = self.directory().counters()?.users + 1;
        self.scope.caps.check(CapKind::Users, would_be)?;
        let serial = self.count(|counters| {
            counters.users += 1;
            counters.next_serial()
        })?;
        let now = self.scope.now;
        let user = UserRow {
            serial,
            uuid,
            created: now,
            modified: now,
            nickname,
            password: password_hash,
            ..UserRow::default()
        };
        self.put_user_row(&id, &user)?;
        let by_age = Key::of(self.scope.app).number(serial);
        self.rows
            .put(USERS_BY_AGE, by_age, &id.as_str().to_owned())?;
        Ok(User::of(id, user))
    }

    /// Registers several users, and says of each how it went: those that cannot be are left out, the others are made.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Limit`] over 60, [`ErrorKind::Argument`] if an id is given twice; nobody was registered.
    pub fn register_many(&mut self, all: Vec<NewUser>) -> Result<Vec<Result<User>>> {
        self.scope
            .limits
            .check(Limit::RegistrationBatch, all.len() as u64)?;
        each_once(all.iter().map(|new| &new.id))?;
        Ok(all
            .into_iter()
            .map(|new| self.attempt(|editor| editor.register(new)))
            .collect())
    }

    /// Changes nickname and push settings.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`], [`ErrorKind::Limit`], [`ErrorKind::Argument`].
    pub fn change_user(&mut self, id: &UserId, change: UserChange) -> Result<User> {
        let mut user = self.directory().user_row(id)?;
        if let Some(nickname) = change.nickname {
            self.scope
                .limits
                .check_text(Limit::PushNickname, &nickname)?;
            user.nickname = Some(nickname);
        }
        if let Some(style) = change.display_style {
            if style > 1 {
                return Err(Error::argument(format!(
                    "the display style is {style}; there are 0 and 1"
                )));
            }
            user.display_style = Some(style);
        }
        if let Some((from, to)) = change.no_disturbing_hours {
            if from > 23 || to > 23 {
                return Err(Error::argument(format!(
                    "the hours are {from} to {to}; a day has 0 to 23"
                )));
            }
            user.no_disturbing_hours = Some((from, to));
        }
        user.no_disturbing = change.no_disturbing.or(user.no_disturbing);
        self.put_changed(id, user)
    }

    /// Sets the hash of the password, see [`Password`](crate::Password).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`].
    pub fn set_password(&mut self, id: &UserId, hash: String) -> Result<()> {
        let mut user = self.directory().user_row(id)?;
        user.password = Some(hash);
        self.put_changed(id, user).map(drop)
    }

    /// Bans a user: he stays what he is and may do nothing. Again is fine.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`].
    pub fn ban(&mut self, id: &UserId) -> Result<User> {
        self.set_banned(id, true)
    }

    /// Takes a ban back.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`].
    pub fn unban(&mut self, id: &UserId) -> Result<User> {
        self.set_banned(id, false)
    }

    fn set_banned(&mut self, id: &UserId, is_banned: bool) -> Result<User> {
        let mut user = self.directory().user_row(id)?;
        user.is_banned = is_banned;
        self.put_changed(id, user)
    }

    fn put_changed(&mut self, id: &UserId, mut user: UserRow) -> Result<User> {
        user.modified = self.scope.now;
        self.put_user_row(id, &user)?;
        Ok(User::of(id.clone(), user))
    }
}

/// Refuses a call that names a user twice: what would hold for him is anybody's guess.
pub(crate) fn each_once<'a>(users: impl Iterator<Item = &'a UserId>) -> Result<()> {
    let mut seen = HashSet::new();
    for user in users {
        if !seen.insert(user) {
            return Err(Error::argument(format!(
                "{user} is named twice in one call"
            )));
        }
    }
    Ok(())
}

/// A name that this crate wrote.
pub(crate) fn parse_user(text: &str) -> Result<UserId> {
    UserId::parse(text).map_err(|_| Error::damaged(format!("{text:?} stands where a user should")))
}
