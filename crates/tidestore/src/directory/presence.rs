//! Who is online, and who wants to know.

use tidestore_directory::{Page, Subscription};
use tidestore_plan::UserId;

use crate::app::App;
use crate::directory::names;
use crate::error::Result;

/// Subscriptions of a user to the presence of others.
#[derive(Clone, Debug)]
pub struct Presence<'a> {
    app: &'a App,
    user: UserId,
}

impl App {
    /// Subscriptions of a user to the presence of others.
    pub fn presence(&self, user: &UserId) -> Presence<'_> {
        Presence {
            app: self,
            user: user.clone(),
        }
    }
}

impl Presence<'_> {
    /// Subscribes to up to 100 users for some seconds, at most 30 days; again means a new end. The 3,001st takes the
    /// place of the one that ends first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory) if one of them does not exist or is the user himself,
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit). Nothing was changed.
    pub async fn subscribe(&self, to: &[UserId], seconds: u64) -> Result<()> {
        let (user, to) = (self.user.clone(), names(to)?);
        self.app
            .edit_directory(move |editor| editor.subscribe(&user, &to, seconds))
            .await
    }

    /// Ends subscriptions; one that is not there is fine.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory) if the user does not exist.
    pub async fn unsubscribe(&self, from: &[UserId]) -> Result<()> {
        let (user, from) = (self.user.clone(), names(from)?);
        self.app
            .edit_directory(move |editor| editor.unsubscribe(&user, &from))
            .await
    }

    /// A page of those who want to know of the user's presence, by id.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory) if the user does not exist, or the cursor is not of this list.
    pub async fn subscribers(&self, cursor: Option<&str>, limit: usize) -> Result<Page<UserId>> {
        let (user, cursor, now) = (self.user.clone(), cursor.map(str::to_owned), self.app.now());
        self.app
            .look_up(move |directory| directory.subscribers(&user, now, cursor.as_deref(), limit))
            .await
    }

    /// A page of subscriptions that have not ended, by user.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory) if the user does not exist, or the cursor is not of this list.
    pub async fn subscriptions(
        &self,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<Subscription>> {
        let (user, cursor, now) = (self.user.clone(), cursor.map(str::to_owned), self.app.now());
        self.app
            .look_up(move |directory| directory.subscriptions(&user, now, cursor.as_deref(), limit))
            .await
    }
}
