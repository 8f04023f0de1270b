//! Contacts: two users who know each other. Each side has a row, and they come and go together.

use tidestore_disk::Millis;
use tidestore_kv::{Key, Rows, decode_row, row};
use tidestore_plan::{AppId, CapKind, Limit, UserId};

use super::{UserRow, user_behind};
use crate::cursor::{List, Page};
use crate::directory::{Directory, Editor};
use crate::error::{Error, ErrorKind, Result};
use crate::tables::{CONTACTS, key_of};

/// One side of a contact as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub(crate) struct ContactRow {
    since: Millis,
    remark: Option<String>,
}

/// A contact of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// The other one.
    pub friend: UserId,
    /// Since when they are contacts.
    pub since: Millis,
    /// What the user calls him.
    pub remark: Option<String>,
}

impl Contact {
    fn of(friend: UserId, row: ContactRow) -> Self {
        Self {
            friend,
            since: row.since,
            remark: row.remark,
        }
    }
}

/// What the keys of a user's contacts begin with.
pub(super) fn contacts_of(app: AppId, user: &UserId) -> Key {
    key_of(app).names(user.as_str())
}

fn contact_key(app: AppId, user: &UserId, friend: &UserId) -> Key {
    contacts_of(app, user).name(friend.as_str())
}

impl<R: Rows + ?Sized> Directory<'_, R> {
    /// The contacts of a user, in the order of their ids.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`]; [`ErrorKind::Cursor`] if the cursor is not one of this list.
    pub fn contacts(
        &self,
        user: &UserId,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<Contact>> {
        self.user_row(user)?;
        let prefix = contacts_of(self.app, user);
        let list = List {
            table: CONTACTS,
            prefix: prefix.bytes(),
            newest_first: false,
        };
        list.page(self.rows, cursor, limit)?
            .try_map(|(key, value)| {
                let friend = user_behind(CONTACTS, &key, prefix.bytes())?;
                Ok(Contact::of(friend, decode_row(CONTACTS, &key, &value)?))
            })
    }

    /// One contact of a user; `None` if they are no contacts.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`] for either.
    pub fn contact(&self, user: &UserId, friend: &UserId) -> Result<Option<Contact>> {
        self.user_row(user)?;
        self.user_row(friend)?;
        let found = self.contact_row(user, friend)?;
        Ok(found.map(|row| Contact::of(friend.clone(), row)))
    }

    pub(super) fn contact_row(&self, user: &UserId, friend: &UserId) -> Result<Option<ContactRow>> {
        let key = contact_key(self.app, user, friend);
        Ok(row(self.rows, CONTACTS, key.bytes())?)
    }
}

impl Editor<'_, '_> {
    /// Makes two users contacts of each other, without asking the second. Says whether they were not.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`] for either; [`ErrorKind::Limit`] if either would have more contacts than the plan
    /// allows; [`ErrorKind::Argument`] with oneself.
    pub fn add_contact(&mut self, user: &UserId, friend: &UserId) -> Result<bool> {
        let row = self.directory().user_row(user)?;
        let row_of_friend = self.directory().user_row(friend)?;
        if user == friend {
            return Err(Error::argument(format!("{user} cannot be his own contact")));
        }
        if self.directory().contact_row(user, friend)?.is_some() {
            return Ok(false);
        }
        self.add_side(user, row, friend)?;
        self.add_side(friend, row_of_friend, user)?;
        Ok(true)
    }

    fn add_side(&mut self, user: &UserId, mut row: UserRow, friend: &UserId) -> Result<()> {
        row.contacts = row.contacts.saturating_add(1);
        let caps = &self.scope.caps;
        caps.check(CapKind::ContactsPerUser, row.contacts.into())?;
        self.put_user_row(user, &row)?;
        let contact = ContactRow {
            since: self.scope.now,
            remark: None,
        };
        let key = contact_key(self.scope.app, user, friend);
        Ok(self.rows.put(CONTACTS, key, &contact)?)
    }

    /// Ends a contact for both sides. Says whether they were contacts.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`] for either.
    pub fn remove_contact(&mut self, user: &UserId, friend: &UserId) -> Result<bool> {
        self.directory().user_row(user)?;
        self.directory().user_row(friend)?;
        if self.directory().contact_row(user, friend)?.is_none() {
            return Ok(false);
        }
        self.remove_side(user, friend)?;
        self.remove_side(friend, user)?;
        Ok(true)
    }

    /// Takes a friend off the contacts of a user, who may be about to be deleted.
    pub(super) fn remove_side(&mut self, user: &UserId, friend: &UserId) -> Result<()> {
        let key = contact_key(self.scope.app, user, friend);
        self.rows.delete(CONTACTS, key);
        self.change_user_row(user, |row| row.contacts = row.contacts.saturating_sub(1))
    }

    /// Sets what a user calls a contact; the friend does not see it. An empty text takes it away.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`] for either; [`ErrorKind::NotListed`] if they are no contacts; [`ErrorKind::Limit`] if the
    /// text is too long.
    pub fn set_remark(&mut self, user: &UserId, friend: &UserId, text: &str) -> Result<()> {
        self.scope.limits.check_text(Limit::PushNickname, text)?;
        self.directory().user_row(user)?;
        self.directory().user_row(friend)?;
        let found = self.directory().contact_row(user, friend)?;
        let mut contact = found.ok_or_else(|| ErrorKind::NotListed(friend.clone()))?;
        contact.remark = Some(text.to_owned()).filter(|text| !text.is_empty());
        let key = contact_key(self.scope.app, user, friend);
        Ok(self.rows.put(CONTACTS, key, &contact)?)
    }
}
