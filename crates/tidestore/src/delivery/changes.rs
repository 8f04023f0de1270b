//! What becomes of a message after it was sent: recalled, edited, pinned.
//!
//! A change is a row beside the message, laid over it whenever it is read, and it goes when the message expires. With the
//! row, in the same record, a notice is appended to the aside of the conversation, so that devices which have the message
//! hear of it through their inboxes.

use std::sync::Arc;
use tidestore_disk::sync::atomic::Ordering;

use bytes::Bytes;
use compact_str::{CompactString, format_compact};
use tidestore_blobs::Reference;
use tidestore_disk::Millis;
use tidestore_kv::{Key, Overlay, page_of, row};
use tidestore_messages::{AppId, Conversation, Kind, Message, MessageId, Revision};
use tidestore_plan::{AttachmentId, Limit, UserId};

use crate::app::App;
use crate::delivery::intake::is_there;
use crate::delivery::tables::{
    CHANGES, PINS, PURGES, delete_aging, key_of, number, number_behind, put_aging,
};
use crate::error::{Error, ErrorKind, Result};
use crate::guard::millis;
use crate::message::NewMessage;
use crate::shard::Shard;

/// The value of `CHANGES`.
#[derive(Clone, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub(crate) struct ChangeRow {
    pub(crate) recalled: Option<Millis>,
    pub(crate) edit: Option<EditRow>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub(crate) struct EditRow {
    version: u32,
    at: Millis,
    body: Vec<u8>,
    ext: Vec<u8>,
}

impl ChangeRow {
    /// Shows a message as it is now.
    pub(crate) fn show(self, message: &mut Message) {
        if message.revision == Revision::Erased {
            return;
        }
        if let Some(at) = self.recalled {
            message.blank();
            message.revision = Revision::Recalled { at };
        } else if let Some(edit) = self.edit {
            message.body = edit.body.into();
            message.ext = edit.ext.into();
            message.revision = Revision::Edited {
                version: edit.version,
                at: edit.at,
            };
        }
    }
}

/// What a notice tells, as JSON in the body of a [`Kind::Notice`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A message was taken back.
    Recalled(MessageId),
    /// A message was edited; its version now.
    Edited(MessageId, u32),
    /// A user reacted to a message.
    Reacted(MessageId, String),
    /// A user took a reaction back.
    Unreacted(MessageId, String),
    /// A message was pinned in its conversation.
    Pinned(MessageId),
    /// It is no longer pinned.
    Unpinned(MessageId),
}

impl Notice {
    /// Reads what a message of the kind [`Kind::Notice`] tells; `None` for any other.
    pub fn of(message: &Message) -> Option<Self> {
        if message.kind != Kind::Notice {
            return None;
        }
        let body: serde_json::Value = serde_json::from_slice(&message.body).ok()?;
        // As text: a number of 63 bits would lose its end in clients that know only floating point.
        let id = MessageId(body.get("message")?.as_str()?.parse().ok()?);
        let reaction = || Some(body.get("reaction")?.as_str()?.to_owned());
        Some(match body.get("notice")?.as_str()? {
            "recalled" => Self::Recalled(id),
            "edited" => {
                let version = body.get("version")?.as_u64()?;
                Self::Edited(id, u32::try_from(version).ok()?)
            }
            "reacted" => Self::Reacted(id, reaction()?),
            "unreacted" => Self::Unreacted(id, reaction()?),
            "pinned" => Self::Pinned(id),
            "unpinned" => Self::Unpinned(id),
            _ => return None,
        })
    }

    fn body(&self) -> Bytes {
        let (word, id) = match self {
            Self::Recalled(id) => ("recalled", id),
            Self::Edited(id, _) => ("edited", id),
            Self::Reacted(id, _) => ("reacted", id),
            Self::Unreacted(id, _) => ("unreacted", id),
            Self::Pinned(id) => ("pinned", id),
            Self::Unpinned(id) => ("unpinned", id),
        };
        let mut body = serde_json::json!({"notice": word, "message": id.to_string()});
        match self {
            Self::Edited(_, version) => body["version"] = (*version).into(),
            Self::Reacted(_, reaction) | Self::Unreacted(_, reaction) => {
                body["reaction"] = reaction.as_str().into();
            }
            _ => {}
        }
        body.to_string().into()
    }

    /// What makes a repetition after a crash the same notice; empty where each is another.
    fn client_id(&self) -> CompactString {
        match self {
            Self::Recalled(id) => format_compact!("recalled:{id}"),
            Self::Edited(id, version) => format_compact!("edited:{id}:{version}"),
            _ => CompactString::default(),
        }
    }
}

/// Who changes a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// A user: only what he sent himself, and only for a time.
    User(UserId),
    /// The server, on behalf of its operator or of whoever it says may: anything at any time. The notice is in the name
    /// of this user.
    Server(UserId),
}

impl By {
    fn user(&self) -> &UserId {
        match self {
            Self::User(user) | Self::Server(user) => user,
        }
    }

    fn check(&self, message: &Message) -> Result<()> {
        match self {
            Self::User(user) if message.sender != user.as_str() => {
                let text = format!("message {} was not sent by {user}", message.id);
                Err(Error::new(ErrorKind::NotAllowed, text))
            }
            _ => Ok(()),
        }
    }
}

/// So many messages of a conversation can be pinned at a time.
pub const PINS_MAX: usize = 100;

fn change_key(app: AppId, conversation: &Conversation, id: MessageId) -> Key {
    key_of(app).names(conversation.as_str()).number(id.0)
}

fn pins(app: AppId, conversation: &Conversation) -> Key {
    key_of(app).names(conversation.as_str())
}

pub(crate) fn not_found(id: MessageId) -> Error {
    let text = format!("there is no message {id}; it may have expired or been recalled");
    Error::new(ErrorKind::MessageNotFound, text)
}

/// Takes a message back, unless somebody was faster.
fn recall_row(
    rows: &mut Overlay<'_>,
    app: AppId,
    conversation: &Conversation,
    message: &Message,
    now: Millis,
) -> Result<()> {
    let key = change_key(app, conversation, message.id);
    let known: Option<ChangeRow> = row(rows, CHANGES, key.bytes())?;
    if known.is_some_and(|known| known.recalled.is_some()) {
        return Err(not_found(message.id));
    }
    let row = ChangeRow {
        recalled: Some(now),
        edit: None,
    };
    put_change(rows, app, conversation, message.id, &row)?;
    let attachments = message.attachments.iter();
    let attachments: Vec<u8> = attachments.flat_map(|id| id.to_bytes()).collect();
    rows.put_bytes(PURGES, key_of(app).number(message.id.0), attachments);
    let pin = pins(app, conversation).number(message.id.0);
    delete_aging(rows, app, message.id, PINS, pin);
    Ok(())
}

fn put_change(
    rows: &mut Overlay<'_>,
    app: AppId,
    conversation: &Conversation,
    id: MessageId,
    change: &ChangeRow,
) -> Result<()> {
    let value = tidestore_kv::codec::encode(change)
        .map_err(|error| super::tables::corrupt(&error.to_string()))?;
    let key = change_key(app, conversation, id);
    put_aging(rows, app, id, CHANGES, key, value);
    Ok(())
}

impl App {
    /// For how long users may take back what they sent, in milliseconds; see
    /// [`Options::recall_window`](crate::Options::recall_window).
    pub fn recall_window(&self) -> Millis {
        millis(self.store().inner.options.recall_window)
    }

    /// Takes a message back: from now on nobody is shown its body, extension and attachments, and they leave the disk
    /// with the next merge. Attachments that no other message refers to go too. Its place stays: whoever reads the
    /// history finds it [`Revision::Recalled`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::MessageNotFound`]: it does not exist, has expired, or was recalled before. [`ErrorKind::NotAllowed`]: it
    /// is a command or a notice, or somebody else's. [`ErrorKind::RecallWindow`]: the user's time for it is over, see
    /// [`Options::recall_window`](crate::Options::recall_window).
    pub async fn recall(&self, id: MessageId, by: &By) -> Result<()> {
        let (conversation, message) = self.changeable(id, by).await?;
        let (window, now) = (self.recall_window(), self.now());
        let age = now.saturating_sub(message.millis());
        if matches!(by, By::User(_)) && age > window {
            let text = format!("message {id} was sent {age} ms ago; users may recall for {window}");
            return Err(Error::new(ErrorKind::RecallWindow { age, window }, text));
        }
        let app = self.id();
        let (of, recalled) = (conversation.clone(), message.clone());
        let notice = Notice::Recalled(id);
        self.change_with_notice(&conversation, by.user(), &notice, move |rows, _| {
            recall_row(rows, app, &of, &recalled, now)
        })
        .await?;
        for attachment in &message.attachments {
            let done = self.let_go(*attachment, id).await;
            self.shard(&conversation).leave(done);
        }
        Ok(())
    }

    /// Takes back what a recalled message refers to. An attachment that is not here is fine.
    pub(crate) async fn let_go(&self, attachment: AttachmentId, id: MessageId) -> Result<()> {
        let time = id.millis();
        let reference = Reference::Message { time, id: id.0 };
        match self.unrefer_attachment(attachment, reference).await {
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::AttachmentNotFound | ErrorKind::AttachmentExpired
                ) =>
            {
                Ok(())
            }
            done => done,
        }
    }

    /// Replaces body and extension of a message and returns its version, which counts the edits.
    ///
    /// # Errors
    ///
    /// As [`recall`](Self::recall), but at any time; [`ErrorKind::Limit`]: body and extension are over 3,072 bytes.
    pub async fn edit_message(
        &self,
        id: MessageId,
        by: &By,
        body: impl Into<Bytes>,
        ext: impl Into<Bytes>,
    ) -> Result<u32> {
        let (body, ext) = (body.into(), ext.into());
        let limits = self.store().limits();
        limits.check(Limit::MessageContent, (body.len() + ext.len()) as u64)?;
        loop {
            let (conversation, message) = self.changeable(id, by).await?;
            let version = match message.revision {
                Revision::Edited { version, .. } => version + 1,
                _ => 1,
            };
            let (of, app, now) = (conversation.clone(), self.id(), self.now());
            let edit = EditRow {
                version,
                at: now,
                body: body.to_vec(),
                ext: ext.to_vec(),
            };
            let notice = Notice::Edited(id, version);
            let done =
                self.change_with_notice(&conversation, by.user(), &notice, move |rows, _| {
                    let key = change_key(app, &of, id);
                    let known: ChangeRow = row(rows, CHANGES, key.bytes())?.unwrap_or_default();
                    if known.recalled.is_some() {
                        return Err(not_found(id));
                    }
                    if known.edit.map_or(0, |edit| edit.version) + 1 != version {
                        return Err(Error::new(ErrorKind::Overtaken, "another edit was faster"));
                    }
                    let edit = Some(edit);
                    let row = ChangeRow {
                        recalled: None,
                        edit,
                    };
                    put_change(rows, app, &of, id, &row)
                });
            match done.await {
                Err(error) if *error.kind() == ErrorKind::Overtaken => {}
                done => return done.map(|()| version),
            }
        }
    }

    /// Pins a message in its conversation, for all, or takes that back. Doing it twice is fine.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::MessageNotFound`]; [`ErrorKind::NotAllowed`]: it is a command or a notice; [`ErrorKind::Argument`]: the
    /// conversation has [`PINS_MAX`] pinned messages.
    pub async fn pin_message(&self, id: MessageId, by: &UserId, is_pinned: bool) -> Result<()> {
        let by = By::Server(by.clone());
        let (conversation, _) = self.changeable(id, &by).await?;
        let (of, app, now) = (conversation.clone(), self.id(), self.now());
        let notice = if is_pinned {
            Notice::Pinned(id)
        } else {
            Notice::Unpinned(id)
        };
        let done = self.change_with_notice(&conversation, by.user(), &notice, move |rows, _| {
            let key = pins(app, &of).number(id.0);
            if is_there(rows, PINS, &key)? == is_pinned {
                return Err(Error::new(ErrorKind::Overtaken, "nothing changes"));
            }
            if !is_pinned {
                delete_aging(rows, app, id, PINS, key);
                return Ok(());
            }
            let pinned = page_of(rows, PINS, pins(app, &of).bytes(), None, false, PINS_MAX)?;
            if pinned.len() >= PINS_MAX {
                let text = format!("{of} has {PINS_MAX} pinned messages; unpin one");
                return Err(Error::new(ErrorKind::Argument, text));
            }
            put_aging(rows, app, id, PINS, key, now.to_le_bytes());
            Ok(())
        });
        match done.await {
            Err(error) if *error.kind() == ErrorKind::Overtaken => Ok(()),
            done => done,
        }
    }

    /// The pinned messages of a conversation and since when they are, the oldest message first.
    ///
    /// # Errors
    ///
    /// What the disk reports.
    pub async fn pinned_messages(
        &self,
        conversation: &Conversation,
    ) -> Result<Vec<(Message, Millis)>> {
        let conversation = conversation.main();
        self.read(move |reader| {
            let prefix = pins(reader.app, &conversation);
            let engine = &*reader.shard_of(&conversation).engine;
            let mut pinned = Vec::new();
            for (key, value) in page_of(engine, PINS, prefix.bytes(), None, false, PINS_MAX)? {
                let (id, _) = number_behind(&key, prefix.bytes())?;
                if let Some((_, message)) = reader.message(MessageId(id))? {
                    pinned.push((message, number(&value)?));
                }
            }
            Ok(pinned)
        })
        .await
    }

    /// A message that somebody may change.
    pub(crate) async fn changeable(
        &self,
        id: MessageId,
        by: &By,
    ) -> Result<(Conversation, Message)> {
        let found = self.read(move |reader| reader.message(id)).await?;
        let (conversation, message) = found.ok_or_else(|| not_found(id))?;
        if matches!(
            message.revision,
            Revision::Recalled { .. } | Revision::Erased
        ) {
            return Err(not_found(id));
        }
        if conversation.is_aside() || matches!(message.kind, Kind::Command | Kind::Notice) {
            let text = format!("message {id} is a command; those stay as they are");
            return Err(Error::new(ErrorKind::NotAllowed, text));
        }
        by.check(&message)?;
        Ok((conversation, message))
    }

    /// Changes rows of a conversation's shard, and tells its devices in the same record.
    pub(crate) async fn change_with_notice(
        &self,
        conversation: &Conversation,
        by: &UserId,
        notice: &Notice,
        decide: impl FnOnce(&mut Overlay<'_>, &Shard) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        let message = NewMessage {
            kind: Kind::Notice,
            client_id: notice.client_id(),
            ..NewMessage::text(conversation.clone(), by.clone(), notice.body())
        };
        let shard = Arc::clone(self.store().inner.shards.of(self.id(), conversation));
        let record = self.record()?;
        let decide = move |rows: &mut Overlay<'_>, shard: &Shard| {
            decide(rows, shard)?;
            // Readers look from now on; that there is nothing yet does no harm.
            shard.has_changes.store(true, Ordering::Relaxed);
            Ok(())
        };
        shard.append_if(record, message, decide).await.map(drop)
    }
}
