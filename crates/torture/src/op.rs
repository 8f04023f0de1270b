//! What can be asked of a store, and what it answers: plain values that go through a pipe as lines of JSON.

use serde::{Deserialize, Serialize};
use tidestore::disk::Millis;

/// Users of the chat. The first one talks with each of the others.
pub(crate) const USERS: [&str; 4] = ["ann", "bob", "cid", "dora"];
/// Groups of the chat.
pub(crate) const GROUPS: [&str; 2] = ["tea", "chess"];
/// Devices of each user.
pub(crate) const DEVICES: [&str; 2] = ["phone", "desk"];
/// Conversations: ann with each of the others, then the groups.
pub(crate) const PLACES: usize = USERS.len() - 1 + GROUPS.len();

/// One request. Users, groups and conversations are indexes; ids are what the store gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Op {
    /// Makes the two apps of a lane with all that its model takes for granted.
    SetUp,
    /// A live message, as the directory allows.
    Send {
        /// Who.
        from: usize,
        /// The conversation.
        to: usize,
        /// The text, unlike any other.
        body: String,
        /// The sender's own id for it.
        client: Option<u8>,
        /// Names of attachments and the ids of them.
        attachments: Vec<(String, String)>,
        /// Whether it is a command, which devices get but nobody counts.
        is_command: bool,
        /// Whether to answer before it is flushed.
        is_buffered: bool,
    },
    /// Several live messages of one conversation at once.
    SendMany {
        /// Who.
        from: usize,
        /// The conversation.
        to: usize,
        /// Their texts.
        bodies: Vec<String>,
    },
    /// Messages with an old time.
    Import {
        /// Who.
        from: usize,
        /// The conversation.
        to: usize,
        /// When they were sent.
        time: Millis,
        /// Their texts.
        bodies: Vec<String>,
        /// Whether they are delivered.
        is_pending: bool,
        /// Whether everybody has read them.
        is_read: bool,
    },
    /// A page of a conversation, by number.
    History {
        /// The conversation.
        to: usize,
        /// Behind or before this number.
        seq: u64,
        /// Behind it.
        is_after: bool,
    },
    /// A page of what is pending.
    Inbox {
        /// Whose.
        user: usize,
        /// On which device.
        device: usize,
        /// How much.
        limit: usize,
    },
    /// Acknowledges a part of a page.
    Acknowledge {
        /// Whose.
        user: usize,
        /// On which device.
        device: usize,
        /// The cursor of that part.
        cursor: String,
        /// What is in it.
        places: Vec<Place>,
    },
    /// Reads up to a number.
    MarkRead {
        /// Who.
        user: usize,
        /// The conversation.
        to: usize,
        /// The number; all if absent.
        seq: Option<u64>,
    },
    /// A user comes into a group of the chat, or leaves it.
    Join {
        /// Who.
        user: usize,
        /// The group.
        group: usize,
        /// Comes.
        is_in: bool,
    },
    /// Takes a message back, by the server.
    Recall {
        /// Where it stands.
        to: usize,
        /// Its number.
        seq: u64,
        /// Its id.
        id: u64,
    },
    /// Replaces a text.
    Edit {
        /// Where it stands.
        to: usize,
        /// Its number.
        seq: u64,
        /// Its id.
        id: u64,
        /// The new text.
        body: String,
    },
    /// Reacts, or takes a reaction back.
    React {
        /// Where it stands.
        to: usize,
        /// Its number.
        seq: u64,
        /// Its id.
        id: u64,
        /// Who.
        user: usize,
        /// Reacts.
        is_on: bool,
    },
    /// Uploads an attachment.
    Put {
        /// Its name, unlike any other; its content follows from it.
        name: String,
        /// Its length in bytes.
        len: usize,
    },
    /// Deletes an attachment.
    DeleteFile {
        /// Its name.
        name: String,
        /// Its id.
        id: String,
    },
    /// Makes an attachment a user's picture, or no longer.
    PinFile {
        /// Its name.
        name: String,
        /// Its id.
        id: String,
        /// Whose.
        user: usize,
        /// Makes it.
        is_on: bool,
    },
    /// Changes the plan of the chat: Free, Basic or Pro.
    Terms {
        /// Which.
        plan: usize,
    },
    /// Takes a downgrade back.
    Undo,
    /// A change of the directory or of attributes in the lane's other app.
    People(PeopleOp),
    /// Writes segments and trims logs.
    Flush,
    /// Merges segments.
    Merge,
    /// Runs expiry.
    Expire,
    /// Flushes what was acknowledged without.
    Sync,
}

/// A change of users, contacts, channels and attributes; numbers are names. A kind of 0 is groups, 1 is chatrooms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PeopleOp {
    Register(u8),
    Delete(u8),
    Ban(u8, bool),
    Contact(u8, u8, bool),
    Block(u8, u8, bool),
    Create(usize, u8, u8, Vec<u8>),
    DeleteChannel(usize, u8),
    Member(usize, u8, u8, bool),
    Transfer(usize, u8, u8),
    Admin(usize, u8, u8, bool),
    Mute(usize, u8, u8, bool),
    SetAttribute(u8, u8, String),
    DropAttributes(u8),
    SetRoomAttribute {
        room: u8,
        by: u8,
        key: u8,
        value: String,
        goes_with_him: bool,
        force: bool,
    },
}

/// Where a message stands: conversation, whether in its aside, number.
pub(crate) type Place = (usize, bool, u64);

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// It was done.
    Done(Said),
    /// A rule forbids it; nothing was done.
    Refused(String),
    /// The disk or the store failed.
    Failed(Failure, String),
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Failure {
    /// No space is left. Nothing was done.
    Full,
    /// The disk failed.
    Io,
    /// The shard takes nothing more.
    Poisoned,
    /// Bytes are not what was written.
    Corruption,
    /// The store was closed.
    Closed,
}

/// What was said with "done".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Said {
    /// No more than that.
    Done,
    /// Of messages: a receipt, or why it was refused.
    Receipts(Vec<Result<Receipt, String>>),
    /// Of a page.
    Messages(Vec<MessageSeen>),
    /// Of an inbox.
    Pending(PendingSeen),
    /// Of an upload.
    Stored {
        /// The id.
        id: String,
        /// When it was uploaded.
        uploaded: Millis,
        /// Until when it is kept at least.
        keep_until: Millis,
    },
    /// Of an edit.
    Version(u32),
    /// Of a change in the directory that may be refused without an error.
    Changed(bool),
    /// Of expiry: whether it is paused.
    Expired {
        /// Whether the clock is not trusted.
        is_paused: bool,
        /// Segments that left.
        segments: u64,
    },
}

/// What an append answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Receipt {
    /// The id.
    pub id: u64,
    /// The number.
    pub seq: u64,
    /// Whether it was there before.
    pub duplicate: bool,
}

/// A message as the store shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MessageSeen {
    /// The id.
    pub id: u64,
    /// The number.
    pub seq: u64,
    /// Who sent it.
    pub sender: String,
    /// Text, command or notice.
    pub kind: String,
    /// The text; of a notice what it tells.
    pub body: String,
    /// The sender's id for it.
    pub client: String,
    /// Ids of attachments.
    pub attachments: Vec<String>,
    /// How often edited; `None` if taken back.
    pub version: Option<u32>,
}

/// A page of an inbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PendingSeen {
    /// What waits, in the order of arrival, each with the cursor that acknowledges it and what is before it.
    pub items: Vec<(Place, MessageSeen, String)>,
    /// The cursor behind all of it.
    pub cursor: String,
    /// Whether there is more.
    pub more: bool,
}

impl Op {
    /// Whether it changes anything that can be seen.
    pub(crate) fn is_change(&self) -> bool {
        !matches!(
            self,
            Self::History { .. }
                | Self::Inbox { .. }
                | Self::Flush
                | Self::Merge
                | Self::Expire
                | Self::Sync
        )
    }

    /// Whether it is one record, so that a full disk refuses it whole. A deletion takes several steps.
    pub(crate) fn is_one_record(&self) -> bool {
        !matches!(
            self,
            Self::SetUp | Self::People(PeopleOp::Delete(_) | PeopleOp::DeleteChannel(..))
        )
    }

    /// What shares a shard for certain, so that what one learns of a failed flush holds for the next.
    pub(crate) fn shard_class(&self) -> Option<usize> {
        match self {
            Self::Send { to, .. } | Self::SendMany { to, .. } | Self::Import { to, .. } => {
                Some(*to)
            }
            Self::People(_) => Some(PLACES),
            _ => None,
        }
    }
}
