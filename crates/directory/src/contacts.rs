//! Contacts: always mutual, each side with a remark of its own.

use tidestore_disk::Millis;
use tidestore_kv::{Rows, decode_row, row};
use tidestore_plan::{CapKind, Limit, UserId};

use crate::cursor::{List, Page};
use crate::directory::{Directory, Editor};
use crate::error::{Error, ErrorKind, Result};
use crate::tables::{CONTACTS, Key, USERS, name_behind};
use crate::users::{UserRow, parse_user};

/// A contact as its row says.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub(crate) struct ContactRow {
    since: Millis,
    remark: String,
}

/// A contact of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// The other.
    pub user: UserId,
    /// Since when.
    pub since: Millis,
    /// What the user calls the other; empty if nothing.
    pub remark: String,
}

impl<R: Rows + ?Sized> Directory<'_, R> {
    /// Finds a contact of a user.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`].
    pub fn contact(&self, user: &UserId, friend: &UserId) -> Result<Option<Contact>> {
        self.user_row(user)?;
        let found: Option<ContactRow> =
            row(self.rows, CONTACTS, key(self.app, user, friend).bytes())?;
        Ok(found.map(|row| Contact {
            user: friend.clone(),
            since: row.since,
            remark: row.remark,
        }))
    }

    /// A page of a user's contacts, by id.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`], [`ErrorKind::Cursor`].
    pub fn contacts(
        &self,
        user: &UserId,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<Contact>> {
        self.user_row(user)?;
        let prefix = Key::of(self.app).names(user.as_str());
        let list = List {
            table: CONTACTS,
            prefix: prefix.bytes(),
            newest_first: false,
        };
        list.page(self.rows, cursor, limit)?
            .try_map(|(key, value)| {
                let ContactRow { since, remark } = decode_row(CONTACTS, &key, &value)?;
                let user = parse_user(name_behind(&key, prefix.bytes()).unwrap_or_default())?;
                Ok(Contact {
                    user,
                    since,
                    remark,
                })
            })
    }

    /// Counts contacts and block lists again, and looks whether contacts are mutual.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Tables`] if they cannot be read.
    pub(crate) fn recount_contacts(&self, problems: &mut Vec<String>) -> Result<()> {
        let prefix = Key::of(self.app);
        tidestore_kv::each_row(self.rows, USERS, prefix.bytes(), |place, value| {
            let id = parse_user(name_behind(place, prefix.bytes()).unwrap_or_default())?;
            let user: UserRow = decode_row(USERS, place, value)?;
            let mine = Key::of(self.app).names(id.as_str());
            let mut found = 0;
            tidestore_kv::each_row(self.rows, CONTACTS, mine.bytes(), |row, _| {
                found += 1;
                let friend = parse_user(name_behind(row, mine.bytes()).unwrap_or_default())?;
                let back = key(self.app, &friend, &id);
                if self.rows.bytes(CONTACTS, back.bytes())?.is_none() {
                    problems.push(format!(
                        "{friend} is a contact of {id}, but not the other way"
                    ));
                }
                Ok::<_, Error>(true)
            })?;
            if found != user.contacts {
                let counted = user.contacts;
                problems.push(format!("{id} has {found} contacts, {counted} are counted"));
            }
            self.recount_blocks(&id, user.blocks, problems)?;
            Ok::<_, Error>(true)
        })
    }
}

impl Editor<'_, '_> {
    /// Makes two users contacts of each other; if they are, nothing changes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`]; [`ErrorKind::Limit`] if either has as many contacts as the plan allows;
    /// [`ErrorKind::Argument`] for one and the same user.
    pub fn add_contact(&mut self, user: &UserId, friend: &UserId) -> Result<()> {
        if user == friend {
            return Err(Error::argument(format!(
                "{user} cannot be a contact of himself"
            )));
        }
        let rows = [
            self.directory().user_row(user)?,
            self.directory().user_row(friend)?,
        ];
        let place = key(self.scope.app, user, friend);
        if self.rows.bytes_of(CONTACTS, place.bytes())?.is_some() {
            return Ok(());
        }
        for row in &rows {
            let would_be = u64::from(row.contacts) + 1;
            self.scope.caps.check(CapKind::ContactsPerUser, would_be)?;
        }
        let contact = ContactRow {
            since: self.scope.now,
            remark: String::new(),
        };
        for (one, other) in [(user, friend), (friend, user)] {
            self.change_user_row(one, |row| row.contacts += 1)?;
            let place = key(self.scope.app, one, other);
            self.rows.put(CONTACTS, place, &contact)?;
        }
        Ok(())
    }

    /// Takes two users out of each other's contacts; if they are none, nothing changes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`].
    pub fn remove_contact(&mut self, user: &UserId, friend: &UserId) -> Result<()> {
        self.directory().user_row(user)?;
        self.directory().user_row(friend)?;
        self.part(user, friend)
    }

    /// As [`remove_contact`](Self::remove_contact), also for users that are being deleted.
    pub(crate) fn part(&mut self, user: &UserId, friend: &UserId) -> Result<()> {
        for (one, other) in [(user, friend), (friend, user)] {
            let place = key(self.scope.app, one, other);
            if self.rows.bytes_of(CONTACTS, place.bytes())?.is_some() {
                self.rows.delete(CONTACTS, place);
                self.change_user_row(one, |row| row.contacts = row.contacts.saturating_sub(1))?;
            }
        }
        Ok(())
    }

    /// Sets what a user calls a contact, at most 100 characters; empty for nothing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`], [`ErrorKind::NotListed`] if they are no contacts, [`ErrorKind::Limit`].
    pub fn set_remark(&mut self, user: &UserId, friend: &UserId, remark: &str) -> Result<()> {
        self.scope.limits.check_text(Limit::PushNickname, remark)?;
        let found = self.directory().contact(user, friend)?;
        let found = found.ok_or_else(|| ErrorKind::NotListed(friend.clone()))?;
        let contact = ContactRow {
            since: found.since,
            remark: remark.to_owned(),
        };
        let place = key(self.scope.app, user, friend);
        Ok(self.rows.put(CONTACTS, place, &contact)?)
    }
}

fn key(app: tidestore_plan::AppId, user: &UserId, friend: &UserId) -> Key {
    Key::of(app).names(user.as_str()).name(friend.as_str())
}
