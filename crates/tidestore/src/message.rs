//! What callers hand in and get back when they append.

use bytes::Bytes;
use compact_str::CompactString;
use tidestore_disk::Millis;
use tidestore_messages::{Conversation, Kind, Message, MessageId, Seq};
use tidestore_plan::{AttachmentId, Limit, Limits, UserId};

use crate::error::{Error, ErrorKind, Result};

/// A message to append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMessage {
    /// Where it goes.
    pub conversation: Conversation,
    /// Who sends it; in a direct conversation one of the two.
    pub sender: UserId,
    /// What kind it is.
    pub kind: Kind,
    /// The body; with the extension at most 3,072 bytes.
    pub body: Bytes,
    /// The extension; empty when absent.
    pub ext: Bytes,
    /// The sender's own id for it, at most 128 bytes: repeating an append with the same one within the dedupe window
    /// stores nothing and answers the first receipt. Empty when absent.
    pub client_id: CompactString,
    /// The attachments it refers to, in the order in which they are shown; at most 16, each once.
    pub attachments: Vec<AttachmentId>,
    /// Users who never see it, at most 20.
    pub hidden_from: Vec<UserId>,
}

impl NewMessage {
    /// A text message without extension, client id and attachments.
    pub fn text(conversation: Conversation, sender: UserId, body: impl Into<Bytes>) -> Self {
        Self {
            conversation,
            sender,
            kind: Kind::Text,
            body: body.into(),
            ext: Bytes::new(),
            client_id: CompactString::default(),
            attachments: Vec::new(),
            hidden_from: Vec::new(),
        }
    }

    /// Checks all that needs no look at the store.
    pub(crate) fn check(&self, limits: &Limits) -> Result<()> {
        limits.check(
            Limit::MessageContent,
            (self.body.len() + self.ext.len()) as u64,
        )?;
        if self.client_id.len() > Message::CLIENT_ID_MAX {
            let actual = self.client_id.len();
            let text = format!(
                "the client id is {actual} bytes long; at most {} are allowed",
                Message::CLIENT_ID_MAX
            );
            return Err(Error::new(ErrorKind::Argument, text));
        }
        self.check_attachments()?;
        limits.check(Limit::RoamIgnoreUsers, self.hidden_from.len() as u64)?;
        if self.kind == Kind::Notice || self.conversation.is_aside() {
            let text = "notices are written by the store: recall, edit, react or pin instead";
            return Err(Error::new(ErrorKind::Argument, text));
        }
        if !self.conversation.admits(&self.sender) {
            let text = format!(
                "{} is no part of {}; send as one of its two users",
                self.sender, self.conversation
            );
            return Err(Error::new(ErrorKind::Conversation, text));
        }
        Ok(())
    }

    /// About how much memory it takes up, in bytes.
    pub(crate) fn memory(&self) -> usize {
        size_of::<Self>()
            + self.conversation.as_str().len()
            + self.body.len()
            + self.ext.len()
            + self.client_id.len()
            + size_of_val(self.attachments.as_slice())
            + self.hidden_from.len() * 2 * size_of::<UserId>()
    }

    /// The same in memory of its own: a body may be a small part of a large buffer, which would otherwise stay for as long
    /// as the message is in the memtable.
    pub(crate) fn detached(mut self) -> Self {
        self.body = Bytes::copy_from_slice(&self.body);
        self.ext = Bytes::copy_from_slice(&self.ext);
        self.client_id.shrink_to_fit();
        self.attachments.shrink_to_fit();
        self.hidden_from.shrink_to_fit();
        self
    }

    fn check_attachments(&self) -> Result<()> {
        let (actual, max) = (self.attachments.len(), Message::ATTACHMENTS_MAX);
        if actual > max {
            let text = format!("the message names {actual} attachments; at most {max} are allowed");
            return Err(Error::new(ErrorKind::Argument, text));
        }
        let mut rest = self.attachments.as_slice();
        // A handful at most: comparing each with those behind it is cheaper than a set.
        while let Some((id, behind)) = rest.split_first() {
            if behind.contains(id) {
                let text = format!("the message names the attachment {id} more than once");
                return Err(Error::new(ErrorKind::Argument, text));
            }
            rest = behind;
        }
        Ok(())
    }

    /// The largest body and extension together, in bytes, unless a store has a limit of its own.
    pub fn content_max() -> u64 {
        Limit::MessageContent.max()
    }
}

/// A message to import with its own, old time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldMessage {
    /// The message.
    pub message: NewMessage,
    /// When it was sent.
    pub time: Millis,
    /// How many messages like this one (same conversation, time, sender and content) stood before it in the source.
    /// The import stores it unless that many and one more are stored already, so that repeating an import changes
    /// nothing, and a source that really holds the same line twice keeps both.
    pub occurrence: u32,
    /// Whether it still has to be delivered to devices. Otherwise it is history only.
    pub is_pending: bool,
    /// Whether everybody has read it, and what stands before it in its conversation.
    pub is_read: bool,
}

impl OldMessage {
    /// A message of history: nobody waits for it, nobody has read it, and it stands once in its source.
    pub fn new(message: NewMessage, time: Millis) -> Self {
        Self {
            message,
            time,
            occurrence: 0,
            is_pending: false,
            is_read: false,
        }
    }
}

/// What an append answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The id it was given.
    pub id: MessageId,
    /// Its place in the conversation.
    pub seq: Seq,
    /// Whether it was stored before and this call stored nothing.
    pub duplicate: bool,
}
