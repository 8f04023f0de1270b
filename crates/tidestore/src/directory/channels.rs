//! Groups and chatrooms: making, changing, ending.

use tidestore_directory::{Channel, ChannelChange, ChannelKind, NewChannel, Page};
use tidestore_plan::{ResourceId, UserId};

use crate::app::App;
use crate::error::{ErrorKind, Result};

/// The groups of an app, or its chatrooms.
#[derive(Clone, Copy, Debug)]
pub struct Channels<'a> {
    pub(super) app: &'a App,
    pub(super) kind: ChannelKind,
}

impl App {
    /// The app's groups.
    pub fn groups(&self) -> Channels<'_> {
        self.channels(ChannelKind::Group)
    }

    /// The app's chatrooms.
    pub fn rooms(&self) -> Channels<'_> {
        self.channels(ChannelKind::Room)
    }

    /// The app's groups or chatrooms.
    pub fn channels(&self, kind: ChannelKind) -> Channels<'_> {
        Channels { app: self, kind }
    }
}

impl Channels<'_> {
    /// Creates one.
    ///
    /// An id that was used before is free again once its group or room was deleted; but messages that were sent there and
    /// live on are then found in the new one. Ids that are never used twice are the caller's to give.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`] if the id is taken or a member does not exist;
    /// [`ErrorKind::Limit`] if the plan has no place for it, for so many members, or for one of
    /// them in one more group, or a text is too long. Nothing was created.
    pub async fn create(&self, new: NewChannel) -> Result<Channel> {
        match self.try_create(new.clone()).await {
            // What is left of one whose deletion was cut short, by a full disk say, can be seen by nobody: it must not keep the id.
            Err(error)
                if matches!(error.kind(), ErrorKind::Directory(_))
                    && self.get(&new.id).await.is_err() =>
            {
                match self.delete(&new.id).await {
                    Ok(()) => self.try_create(new).await,
                    Err(nothing) if matches!(nothing.kind(), ErrorKind::Directory(_)) => Err(error),
                    Err(why) => Err(why),
                }
            }
            created => created,
        }
    }

    async fn try_create(&self, new: NewChannel) -> Result<Channel> {
        let kind = self.kind;
        self.app
            .edit_directory(move |editor| editor.create_channel(kind, new))
            .await
    }

    /// Changes name, description, extension and settings.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`] if there is none or it is banned,
    /// [`ErrorKind::Limit`].
    pub async fn change(&self, id: &ResourceId, change: ChannelChange) -> Result<Channel> {
        let (kind, id) = (self.kind, id.clone());
        self.app
            .edit_directory(move |editor| editor.change_channel(kind, &id, change))
            .await
    }

    /// Finds one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`] if there is none.
    pub async fn get(&self, id: &ResourceId) -> Result<Channel> {
        let (kind, id) = (self.kind, id.clone());
        self.app
            .look_up(move |directory| directory.channel(kind, &id))
            .await
    }

    /// A page, newest first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`] if the cursor is not of this list.
    pub async fn list(&self, cursor: Option<&str>, limit: usize) -> Result<Page<Channel>> {
        let (kind, cursor) = (self.kind, cursor.map(str::to_owned));
        self.app
            .look_up(move |directory| directory.channels(kind, cursor.as_deref(), limit))
            .await
    }

    /// A page of those that a user is in, the last joined first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`] if there is no such user, or the cursor is not of this list.
    pub async fn joined(
        &self,
        user: &UserId,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<Channel>> {
        let (kind, user, cursor) = (self.kind, user.clone(), cursor.map(str::to_owned));
        self.app
            .look_up(move |directory| directory.joined(&user, kind, cursor.as_deref(), limit))
            .await
    }

    /// Bans one: nobody can send to it or change it, threads included.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`] if there is none.
    pub async fn disable(&self, id: &ResourceId) -> Result<()> {
        let (kind, id) = (self.kind, id.clone());
        self.app
            .edit_directory(move |editor| editor.disable(kind, &id))
            .await
    }

    /// Takes a ban back.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`] if there is none.
    pub async fn enable(&self, id: &ResourceId) -> Result<()> {
        let (kind, id) = (self.kind, id.clone());
        self.app
            .edit_directory(move |editor| editor.enable(kind, &id))
            .await
    }

    /// Sets the announcement, at most 512 characters.
    ///
    /// # Errors
    ///
    /// As [`change`](Self::change).
    pub async fn announce(&self, id: &ResourceId, text: &str) -> Result<()> {
        let (kind, id, text) = (self.kind, id.clone(), text.to_owned());
        self.app
            .edit_directory(move |editor| editor.set_announcement(kind, &id, &text))
            .await
    }

    /// The announcement; empty if there is none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`] if there is no such group or room.
    pub async fn announcement(&self, id: &ResourceId) -> Result<String> {
        let (kind, id) = (self.kind, id.clone());
        self.app
            .look_up(move |directory| directory.announcement(kind, &id))
            .await
    }

    /// Gives it to another member; the owner so far stays as a member.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`] if he is not a member, or the owner already.
    pub async fn transfer(&self, id: &ResourceId, to: &UserId) -> Result<()> {
        let (kind, id, to) = (self.kind, id.clone(), to.clone());
        self.app
            .edit_directory(move |editor| editor.set_owner(kind, &id, &to))
            .await
    }

    /// Mutes everybody but the owner, admins and those on the allow list, or lifts that.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`] if there is none.
    pub async fn mute_all(&self, id: &ResourceId, muted: bool) -> Result<()> {
        let (kind, id) = (self.kind, id.clone());
        self.app
            .edit_directory(move |editor| editor.set_mute_all(kind, &id, muted))
            .await
    }

    /// Deletes one with its members, lists, threads, attributes and shared files. Its messages live out their time, for
    /// whoever knows the conversation.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`] if there is none.
    pub async fn delete(&self, id: &ResourceId) -> Result<()> {
        let (kind, budget) = (self.kind, self.app.store().inner.options.deletion_rows);
        loop {
            let id = id.clone();
            let done = self
                .app
                .edit_directory(move |editor| editor.delete_channel_step(kind, &id, budget))
                .await?;
            if done {
                let done = self.app.take_back_pins().await;
                self.app.home().leave(done);
                return Ok(());
            }
        }
    }
}
