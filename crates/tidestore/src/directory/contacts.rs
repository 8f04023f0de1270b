//! Contacts and block lists of a user.

use tidestore_directory::{Contact, Page};
use tidestore_plan::UserId;

use crate::app::App;
use crate::directory::names;
use crate::error::Result;

/// The contacts of a user.
#[derive(Clone, Debug)]
pub struct Contacts<'a> {
    app: &'a App,
    user: UserId,
}

/// The users that a user has blocked.
#[derive(Clone, Debug)]
pub struct Blocks<'a> {
    app: &'a App,
    user: UserId,
}

impl App {
    /// The contacts of a user.
    pub fn contacts(&self, user: &UserId) -> Contacts<'_> {
        Contacts {
            app: self,
            user: user.clone(),
        }
    }

    /// The users that a user has blocked.
    pub fn blocks(&self, user: &UserId) -> Blocks<'_> {
        Blocks {
            app: self,
            user: user.clone(),
        }
    }
}

impl Contacts<'_> {
    /// Makes two users contacts of each other, at once; if they are already, nothing changes. Says whether they became so.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory) if one of them does not exist,
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) if either has as many contacts as the plan allows.
    pub async fn add(&self, friend: &UserId) -> Result<bool> {
        let (user, friend) = (self.user.clone(), friend.clone());
        self.app
            .edit_directory(move |editor| editor.add_contact(&user, &friend))
            .await
    }

    /// Takes two users out of each other's contacts; says whether they were.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory) if one of them does not exist.
    pub async fn remove(&self, friend: &UserId) -> Result<bool> {
        let (user, friend) = (self.user.clone(), friend.clone());
        self.app
            .edit_directory(move |editor| editor.remove_contact(&user, &friend))
            .await
    }

    /// Sets what the user calls a contact.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory) if they are no contacts,
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) if the text is too long.
    pub async fn set_remark(&self, friend: &UserId, remark: &str) -> Result<()> {
        let (user, friend, remark) = (self.user.clone(), friend.clone(), remark.to_owned());
        self.app
            .edit_directory(move |editor| editor.set_remark(&user, &friend, &remark))
            .await
    }

    /// A page of contacts, by id.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory) if there is no such user, or the cursor is not of this list.
    pub async fn list(&self, cursor: Option<&str>, limit: usize) -> Result<Page<Contact>> {
        let (user, cursor) = (self.user.clone(), cursor.map(str::to_owned));
        self.app
            .look_up(move |directory| directory.contacts(&user, cursor.as_deref(), limit))
            .await
    }
}

impl Blocks<'_> {
    /// Blocks users: they cannot send to this one any more. Contacts stay contacts.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory) if one of them does not exist,
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) over 50 in a call or 500 in the list; nothing was changed.
    pub async fn add(&self, others: &[UserId]) -> Result<()> {
        let (user, others) = (self.user.clone(), names(others)?);
        self.app
            .edit_directory(move |editor| editor.block(&user, &others))
            .await
    }

    /// Takes a user off the list; says whether he was on it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory) if the list's user does not exist.
    pub async fn remove(&self, other: &UserId) -> Result<bool> {
        let (user, other) = (self.user.clone(), other.clone());
        self.app
            .edit_directory(move |editor| editor.unblock(&user, &other))
            .await
    }

    /// A page of the list, newest first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory) if there is no such user, or the cursor is not of this list.
    pub async fn list(&self, cursor: Option<&str>, limit: usize) -> Result<Page<UserId>> {
        let (user, cursor) = (self.user.clone(), cursor.map(str::to_owned));
        self.app
            .look_up(move |directory| directory.blocked(&user, cursor.as_deref(), limit))
            .await
    }
}
