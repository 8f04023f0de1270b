//! Who is told of a message by a push: its receivers who are not online and want to be.

use tidestore_directory::{ErrorKind as Directory, PushScope, PushSetting, User, wants_push};
use tidestore_messages::{Conversation, Parties};
use tidestore_plan::UserId;

use crate::app::App;
use crate::delivery::reader::Reader;
use crate::error::{ErrorKind, Result};

/// Whom a message mentions, by the word of its sender.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Mentions {
    /// Nobody.
    #[default]
    Nobody,
    /// Everybody.
    All,
    /// These.
    Users(Vec<UserId>),
}

impl Mentions {
    fn hold(&self, user: &UserId) -> bool {
        match self {
            Self::Nobody => false,
            Self::All => true,
            Self::Users(users) => users.contains(user),
        }
    }
}

impl App {
    /// Those of the receivers of a message who are registered, not online, and whose settings say that they want to be told
    /// of it now; see [`wants_push`] and [`User::is_undisturbed_at`]. Chatrooms are not pushed. Costs a few rows a member.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`]: there is no such group or thread.
    pub async fn push_receivers(
        &self,
        conversation: &Conversation,
        sender: &UserId,
        mentions: Mentions,
    ) -> Result<Vec<User>> {
        let (conversation, sender, app) = (conversation.clone(), sender.clone(), self.clone());
        self.read(move |reader| {
            let receivers = match conversation.parties() {
                None | Some(Parties::Room(_)) => return Ok(Vec::new()),
                Some(_) => reader.receivers(&conversation, &sender)?,
            };
            let (now, connections) = (app.now(), app.connections());
            let mut found = Vec::new();
            for user in receivers {
                if connections.is_online(&user) {
                    continue;
                }
                let scope = scope(&conversation, &user);
                let is_mentioned = mentions.hold(&user);
                found.extend(reader.push_receiver(&user, scope.as_ref(), now, is_mentioned)?);
            }
            Ok(found)
        })
        .await
    }
}

/// Where a user's setting for a conversation is.
fn scope(conversation: &Conversation, user: &UserId) -> Option<PushScope> {
    match conversation.parties()? {
        Parties::Direct(low, high) => Some(PushScope::User(if low == *user { high } else { low })),
        Parties::Group(id) => Some(PushScope::Group(id)),
        Parties::Thread(_) | Parties::Room(_) => None,
    }
}

impl Reader {
    fn push_receiver(
        &self,
        user: &UserId,
        scope: Option<&PushScope>,
        now: u64,
        is_mentioned: bool,
    ) -> Result<Option<User>> {
        let directory = self.directory();
        let account = match directory.user(user).map_err(crate::Error::from) {
            Ok(account) => account,
            // Messages may be sent to those whom the directory does not know; there is nobody to push to.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::Directory(Directory::UserNotFound(_))
                ) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        if account.is_undisturbed_at(now) {
            return Ok(None);
        }
        let whole = directory.push_setting(user, &PushScope::App)?;
        let own = match scope {
            Some(scope) => directory.push_setting(user, scope)?,
            None => PushSetting::default(),
        };
        Ok(wants_push(&whole, &own, now, is_mentioned).then_some(account))
    }
}
