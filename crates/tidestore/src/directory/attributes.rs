//! Attributes of users and chatrooms.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidestore_attributes::{Attributes, AttributesEditor, KeyResults, RoomAttribute, Total};
use tidestore_directory::{ChannelKind, ErrorKind as Directory, Scope};
use tidestore_kv::Engine;
use tidestore_plan::{ResourceId, UserId};

use crate::app::App;
use crate::directory::edited;
use crate::directory::names;
use crate::error::Result;
use crate::store::blocking;

/// The attributes of an app's users: at most 2 KB a user, 10 GB an app.
#[derive(Clone, Copy, Debug)]
pub struct UserAttributes<'a>(&'a App);

/// The attributes of a chatroom: at most 100 keys a room, 10 GB an app.
#[derive(Clone, Debug)]
pub struct RoomAttributes<'a> {
    app: &'a App,
    room: ResourceId,
}

impl App {
    /// The attributes of users. They need not be registered.
    pub fn user_attributes(&self) -> UserAttributes<'_> {
        UserAttributes(self)
    }

    /// The attributes of a chatroom.
    pub fn room_attributes(&self, room: &ResourceId) -> RoomAttributes<'_> {
        RoomAttributes {
            app: self,
            room: room.clone(),
        }
    }

    /// Bytes of all room attributes of the app, keys and values, and how many there are.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnknownApp`](crate::ErrorKind::UnknownApp).
    #[expect(
        clippy::redundant_closure_for_method_calls,
        reason = "the method itself is not general enough in its lifetimes"
    )]
    pub async fn room_attributes_total(&self) -> Result<Total> {
        self.look_at_attributes(|attributes| attributes.room_total())
            .await
    }

    async fn edit_attributes<T: Send + 'static>(
        &self,
        edit: impl FnOnce(&mut AttributesEditor<'_, '_>) -> tidestore_attributes::Result<T>
        + Send
        + 'static,
    ) -> Result<T> {
        self.change(move |rows, of| {
            let own = scope(of);
            Ok(edit(&mut AttributesEditor::new(rows, &own))?)
        })
        .await
    }

    async fn look_at_attributes<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Attributes<'_, dyn Engine>) -> tidestore_attributes::Result<T>
        + Send
        + 'static,
    ) -> Result<T> {
        let (app, home) = (self.clone(), Arc::clone(self.home()));
        blocking(move || {
            app.info()?;
            Ok(look(&Attributes::new(&*home.engine, app.id()))?)
        })
        .await
    }
}

/// What attributes need to know of a change.
pub(crate) fn scope(of: &Scope) -> tidestore_attributes::Scope {
    tidestore_attributes::Scope {
        app: of.app,
        limits: of.limits.clone(),
        now: of.now,
    }
}

/// Keys and values.
type Pairs = BTreeMap<String, String>;

impl UserAttributes<'_> {
    /// Sets some attributes of a user; the others stay.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) if the user would have more than 2,048 bytes, the app more than 10 GB,
    /// or a well-known key is too long; [`ErrorKind::Attributes`](crate::ErrorKind::Attributes) if a key is empty or given
    /// twice. Nothing was changed.
    pub async fn set(
        &self,
        user: &UserId,
        pairs: impl IntoIterator<Item = (String, String)>,
    ) -> Result<()> {
        let (user, pairs) = (user.clone(), pairs.into_iter().collect::<Vec<_>>());
        self.0
            .edit_attributes(move |attributes| attributes.set(&user, pairs))
            .await
    }

    /// Sets all attributes of a user: those that are not given go.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub async fn replace(
        &self,
        user: &UserId,
        pairs: impl IntoIterator<Item = (String, String)>,
    ) -> Result<()> {
        let (user, pairs) = (user.clone(), pairs.into_iter().collect::<Vec<_>>());
        self.0
            .edit_attributes(move |attributes| attributes.replace(&user, pairs))
            .await
    }

    /// Reads attributes of a user: those of some keys, or all. What is not there is left out.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnknownApp`](crate::ErrorKind::UnknownApp).
    pub async fn get(&self, user: &UserId, keys: Option<&[String]>) -> Result<Pairs> {
        let (user, keys) = (user.clone(), keys.map(<[String]>::to_vec));
        self.0
            .look_at_attributes(move |attributes| attributes.get(&user, keys.as_deref()))
            .await
    }

    /// Reads attributes of up to 100 users, in their order.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) if there are more.
    pub async fn get_many(
        &self,
        users: &[UserId],
        keys: Option<&[String]>,
    ) -> Result<Vec<(UserId, Pairs)>> {
        let (users, keys) = (names(users)?, keys.map(<[String]>::to_vec));
        let limits = self.0.store().inner.options.limits.clone();
        self.0
            .look_at_attributes(move |attributes| {
                attributes.get_many(&users, keys.as_deref(), &limits)
            })
            .await
    }

    /// Removes all attributes of a user; one without any is fine.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnknownApp`](crate::ErrorKind::UnknownApp).
    pub async fn delete(&self, user: &UserId) -> Result<()> {
        let user = user.clone();
        self.0
            .edit_attributes(move |attributes| attributes.delete(&user))
            .await
    }

    /// Bytes of all user attributes of the app, keys and values, and of how many users. One row: exact at once.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnknownApp`](crate::ErrorKind::UnknownApp).
    #[expect(
        clippy::redundant_closure_for_method_calls,
        reason = "the method itself is not general enough in its lifetimes"
    )]
    pub async fn total(&self) -> Result<Total> {
        self.0
            .look_at_attributes(|attributes| attributes.user_total())
            .await
    }
}

/// How room attributes are to be set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoomSet {
    /// Remove them when the member who sets them leaves the room.
    pub auto_delete: bool,
    /// Take over keys that another member has set.
    pub force: bool,
}

impl RoomAttributes<'_> {
    /// Sets up to 10 attributes on behalf of a member, and says of each key how it went.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory) if there is no such room, or the user is not in it;
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) over 10 pairs. Nothing was changed.
    pub async fn set(
        &self,
        member: &UserId,
        pairs: impl IntoIterator<Item = (String, String)>,
        how: RoomSet,
    ) -> Result<KeyResults> {
        let (room, member) = (self.room.clone(), member.clone());
        let pairs: Vec<_> = pairs.into_iter().collect();
        self.edit_as(member, move |attributes, member| {
            attributes.set_room(&room, member, pairs, how.auto_delete, how.force)
        })
        .await
    }

    /// Removes up to 10 attributes on behalf of a member: his own, or with `force` anybody's.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub async fn delete(
        &self,
        member: &UserId,
        keys: &[String],
        force: bool,
    ) -> Result<KeyResults> {
        let (room, member, keys) = (self.room.clone(), member.clone(), keys.to_vec());
        self.edit_as(member, move |attributes, member| {
            attributes.delete_room_keys(&room, member, &keys, force)
        })
        .await
    }

    /// Reads attributes: those of some keys, or all. What is not there is left out.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory) if there is no such room.
    pub async fn get(&self, keys: Option<&[String]>) -> Result<BTreeMap<String, RoomAttribute>> {
        let (room, keys) = (self.room.clone(), keys.map(<[String]>::to_vec));
        let (app, home) = (self.app.clone(), Arc::clone(self.app.home()));
        blocking(move || {
            app.info()?;
            tidestore_directory::Directory::new(&*home.engine, app.id())
                .channel(ChannelKind::Room, &room)?;
            let attributes = Attributes::new(&*home.engine, app.id());
            Ok(attributes.room(&room, keys.as_deref())?)
        })
        .await
    }

    /// Changes attributes for a user who is in the room when that is decided.
    async fn edit_as<T: Send + 'static>(
        &self,
        member: UserId,
        edit: impl FnOnce(&mut AttributesEditor<'_, '_>, &UserId) -> tidestore_attributes::Result<T>
        + Send
        + 'static,
    ) -> Result<T> {
        let (room, app) = (self.room.clone(), self.app.clone());
        self.app
            .change(move |rows, of| {
                edited(&app, rows, of, |editor| {
                    let directory = editor.directory();
                    directory.channel(ChannelKind::Room, &room)?;
                    if directory.is_member(ChannelKind::Room, &room, &member)? {
                        return Ok(());
                    }
                    Err(Directory::NotMember(member.clone()).into())
                })?;
                let own = scope(of);
                Ok(edit(&mut AttributesEditor::new(rows, &own), &member)?)
            })
            .await
    }
}
