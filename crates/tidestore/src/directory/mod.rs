//! The directory and the attributes of an app, as a server uses them.
//!
//! Both live on the app's home shard. A change is decided on its committer, on the rows as they will be after all that was
//! decided before it, so caps hold exactly however many callers race; what waits together shares one flush. A reader sees
//! what is durable.

mod attributes;
mod channels;
mod contacts;
mod errors;
mod files;
mod members;
mod presence;
mod push;
mod send;
mod sessions;
mod threads;
mod users;

use std::sync::Arc;

use tidestore_attributes::AttributesEditor;
use tidestore_directory::{ChannelKind, Directory, Editor, Effect, Scope};
use tidestore_kv::{Engine, Overlay};
use tidestore_messages::Conversation;
use tidestore_plan::UserId;

use crate::app::App;
use crate::error::{Error, ErrorKind, Result};
use crate::shard::Shard;
use crate::store::unknown_app;

pub(crate) use attributes::scope as attributes_scope;
pub use attributes::{RoomAttributes, RoomSet, UserAttributes};
pub use channels::Channels;
pub use contacts::{Blocks, Contacts};
pub use files::SharedFiles;
pub use members::Members;
pub use presence::Presence;
pub use push::Push;
pub(crate) use sessions::AllSessions;
pub use sessions::Connections;
pub use threads::Threads;
pub use users::{Account, Users};

/// Users in one call, whatever the limits say: so that nothing larger has to wait at the committer to be refused there.
const NAMES_MAX: usize = 10_000;

/// A list of users that is to be taken along.
pub(crate) fn names(users: &[UserId]) -> Result<Vec<UserId>> {
    let actual = users.len();
    if actual > NAMES_MAX {
        let text = format!("{actual} users in one call; {NAMES_MAX} are possible at most");
        return crate::meters::refused(Err(Error::new(ErrorKind::Argument, text)));
    }
    Ok(users.to_vec())
}

impl App {
    /// The shard that the app's directory and attributes live on.
    pub(crate) fn home(&self) -> &Arc<Shard> {
        self.store().inner.shards.home(self.key().as_str())
    }

    /// Changes rows of the app.
    pub(crate) async fn change<T: Send + 'static>(
        &self,
        decide: impl FnOnce(&mut Overlay<'_>, &Scope) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let app = self.clone();
        let decide = move |rows: &mut Overlay<'_>, shard: &Shard| decide(rows, &app.scope(shard)?);
        self.home().change(decide).await
    }

    /// What the app may do now.
    pub(crate) fn scope(&self, shard: &Shard) -> Result<Scope> {
        let record = shard.registry.by_id(self.id());
        let record = record.ok_or_else(|| unknown_app(self.key()))?;
        Ok(Scope {
            app: self.id(),
            caps: *record.terms.terms()?.caps(),
            limits: shard.options.limits.clone(),
            now: shard.guard.now(),
        })
    }

    /// Changes the directory, and all that has to follow it in the same record.
    pub(crate) async fn edit_directory<T: Send + 'static>(
        &self,
        edit: impl FnOnce(&mut Editor<'_, '_>) -> tidestore_directory::Result<T> + Send + 'static,
    ) -> Result<T> {
        let app = self.clone();
        let (done, effects) = self
            .change(move |rows, scope| edited(&app, rows, scope, edit))
            .await?;
        self.follow_up(&effects);
        Ok(done)
    }

    /// Reads the directory.
    pub(crate) async fn look_up<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Directory<'_, dyn Engine>) -> tidestore_directory::Result<T> + Send + 'static,
    ) -> Result<T> {
        let (app, home) = (self.clone(), Arc::clone(self.home()));
        let look = move || {
            app.info()?;
            Ok(look(&Directory::new(&*home.engine, app.id()))?)
        };
        self.store().inner.look(look).await
    }

    /// What a change means for what is not in the tables.
    pub(crate) fn follow_up(&self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::UserDeleted(user) => drop(self.connections().disconnect_user(user)),
                Effect::Joined(ChannelKind::Group, _, user) => {
                    self.home().listeners.wake_user(self.id(), user.as_str());
                }
                _ => {}
            }
        }
    }
}

/// Makes a change of the directory and lets the attributes and inboxes follow it.
pub(crate) fn edited<T>(
    app: &App,
    rows: &mut Overlay<'_>,
    scope: &Scope,
    edit: impl FnOnce(&mut Editor<'_, '_>) -> tidestore_directory::Result<T>,
) -> Result<(T, Vec<Effect>)> {
    let mut editor = Editor::new(rows, scope);
    let done = edit(&mut editor)?;
    let effects = editor.into_effects();
    let own = attributes::scope(scope);
    for effect in &effects {
        let mut attributes = AttributesEditor::new(rows, &own);
        match effect {
            Effect::Left(ChannelKind::Room, room, user) => attributes.left(room, user)?,
            Effect::ChannelDeleted(ChannelKind::Room, room) => attributes.room_deleted(room)?,
            Effect::UserDeleted(user) => {
                attributes.user_deleted(user)?;
                app.begin_erasure(rows, user)?;
            }
            Effect::Joined(ChannelKind::Group, group, user) => {
                app.note_newcomer(rows, &Conversation::group(group), user)?;
            }
            _ => {}
        }
    }
    Ok((done, effects))
}
