//! What a message is: identity, place, content.

use std::fmt;

use bytes::Bytes;
use compact_str::{CompactString, format_compact};
use tidestore_disk::Millis;
use tidestore_plan::{AttachmentId, IdError, ResourceId, UserId};

pub use tidestore_plan::AppId;

/// Position of a message in its conversation: contiguous from 1 in append order, never restarting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

/// A time-ordered message id, unique in its app.
///
/// ```text
/// bit 63    62..20          19..14    13      12..0
///     0     milliseconds    shard     lane    counter
/// ```
///
/// 43 bits of milliseconds reach the year 2248 and keep the id positive as a signed number, which is how many
/// clients parse it. The lane is 0 for messages appended live and 1 for imported ones: live ids come from a counter
/// that only rises, imported ids fill old milliseconds and are checked against what is stored there.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode,
)]
pub struct MessageId(pub u64);

impl MessageId {
    /// Bits below the milliseconds.
    pub const MILLIS_SHIFT: u32 = 20;
    /// Bits below the shard number.
    pub const SHARD_SHIFT: u32 = 14;
    /// The lane bit: set for imported messages.
    pub const IMPORTED: u64 = 1 << 13;
    /// Largest counter value.
    pub const COUNTER_MAX: u64 = Self::IMPORTED - 1;
    /// How many shards an id can name.
    pub const SHARDS_MAX: u16 = 64;
    /// The latest time an id can carry.
    pub const MILLIS_MAX: Millis = (1 << 43) - 1;

    /// Puts an id together from its parts; parts beyond their width are masked.
    pub const fn new(millis: Millis, shard: u16, imported: bool, counter: u64) -> Self {
        let lane = if imported { Self::IMPORTED } else { 0 };
        let shard = (shard as u64 & 63) << Self::SHARD_SHIFT;
        Self(
            (millis & Self::MILLIS_MAX) << Self::MILLIS_SHIFT
                | shard
                | lane
                | counter & Self::COUNTER_MAX,
        )
    }

    /// The smallest id of a millisecond.
    pub const fn first_at(millis: Millis) -> Self {
        Self::new(millis, 0, false, 0)
    }

    /// The time of the message; it decides the bucket and the expiry.
    pub const fn millis(self) -> Millis {
        self.0 >> Self::MILLIS_SHIFT
    }

    /// The shard whose committer gave the id.
    #[expect(clippy::cast_possible_truncation, reason = "masked to 6 bits")]
    pub const fn shard(self) -> u16 {
        (self.0 >> Self::SHARD_SHIFT) as u16 & (Self::SHARDS_MAX - 1)
    }

    /// Whether the message was imported with an old time.
    pub const fn is_imported(self) -> bool {
        self.0 & Self::IMPORTED != 0
    }

    /// Lane and counter together: the low 14 bits.
    pub const fn low(self) -> u64 {
        self.0 & (Self::IMPORTED | Self::COUNTER_MAX)
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where messages are exchanged. Held in its canonical text: `direct:a,b` (sorted), `group:ID`, `room:ID`, `thread:ID`.
///
/// Beside each stands its *aside*, where that goes which devices must get but nobody reads as history: command messages
/// and notices of changes. It has numbers of its own, so those of the conversation count only what is read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Conversation(CompactString);

/// What the text of an aside begins with.
const ASIDE: &str = "aside:";

impl Conversation {
    /// Longest canonical text: `aside:direct:` and two ids of 64 characters with a comma.
    pub const TEXT_MAX: usize = 6 + 7 + 64 + 1 + 64;

    /// A text that sorts behind those of all asides, and before those of all conversations.
    pub const BEHIND_ASIDES: &str = "aside;";

    /// The conversation of two users, in either order.
    pub fn direct(a: &UserId, b: &UserId) -> Self {
        let (low, high) = if a <= b { (a, b) } else { (b, a) };
        Self(format_compact!("direct:{low},{high}"))
    }

    /// The conversation of a group.
    pub fn group(id: &ResourceId) -> Self {
        Self(format_compact!("group:{id}"))
    }

    /// The conversation of a chatroom.
    pub fn room(id: &ResourceId) -> Self {
        Self(format_compact!("room:{id}"))
    }

    /// The conversation of a thread inside a group.
    pub fn thread(id: &ResourceId) -> Self {
        Self(format_compact!("thread:{id}"))
    }

    /// Parses `direct:alice,bob`, `group:ID`, `room:ID` or `thread:ID` and makes it canonical.
    ///
    /// # Errors
    ///
    /// Says which id breaks the id rule, or that the text has none of these forms.
    pub fn parse(text: &str) -> Result<Self, ConversationError> {
        let (kind, rest) = text
            .split_once(':')
            .ok_or_else(|| ConversationError::form(text))?;
        match kind {
            "direct" => {
                let (a, b) = rest
                    .split_once(',')
                    .ok_or_else(|| ConversationError::form(text))?;
                Ok(Self::direct(&UserId::parse(a)?, &UserId::parse(b)?))
            }
            "group" => Ok(Self::group(&ResourceId::parse(rest)?)),
            "room" => Ok(Self::room(&ResourceId::parse(rest)?)),
            "thread" => Ok(Self::thread(&ResourceId::parse(rest)?)),
            _ => Err(ConversationError::form(text)),
        }
    }

    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The aside of a conversation; that of an aside is itself.
    #[must_use]
    pub fn aside(&self) -> Self {
        if self.is_aside() {
            return self.clone();
        }
        Self(format_compact!("{ASIDE}{}", self.0))
    }

    /// Whether this is the aside of a conversation.
    pub fn is_aside(&self) -> bool {
        self.0.starts_with(ASIDE)
    }

    /// The text of the conversation that this is, or is the aside of.
    pub fn main_str(&self) -> &str {
        self.0.strip_prefix(ASIDE).unwrap_or(&self.0)
    }

    /// The conversation that this is the aside of, or itself.
    #[must_use]
    pub fn main(&self) -> Self {
        Self(CompactString::from(self.main_str()))
    }

    /// The two users of a direct conversation, or of its aside, as their ids are written.
    pub fn pair(&self) -> Option<(&str, &str)> {
        self.main_str()
            .strip_prefix("direct:")
            .and_then(|pair| pair.split_once(','))
    }

    /// Whether a user may be a sender here, as far as the name tells: one of the two of a direct conversation, anyone
    /// elsewhere.
    pub fn admits(&self, sender: &UserId) -> bool {
        match self
            .main_str()
            .strip_prefix("direct:")
            .and_then(|pair| pair.split_once(','))
        {
            Some((low, high)) => sender.as_str() == low || sender.as_str() == high,
            None => true,
        }
    }

    /// Who or what is meant by it, or by what it is the aside of.
    pub fn parties(&self) -> Option<Parties> {
        let (kind, rest) = self.main_str().split_once(':')?;
        let resource = || ResourceId::parse(rest).ok();
        match kind {
            "direct" => {
                let (low, high) = rest.split_once(',')?;
                Some(Parties::Direct(
                    UserId::parse(low).ok()?,
                    UserId::parse(high).ok()?,
                ))
            }
            "group" => resource().map(Parties::Group),
            "room" => resource().map(Parties::Room),
            "thread" => resource().map(Parties::Thread),
            _ => None,
        }
    }

    /// Takes text that this type wrote earlier, checking only what keeps decoding safe. For decoders.
    #[doc(hidden)]
    pub fn from_stored(text: &str) -> Option<Self> {
        let known = ["direct:", "group:", "room:", "thread:"]
            .iter()
            .any(|kind| text.strip_prefix(ASIDE).unwrap_or(text).starts_with(kind));
        (known && text.len() <= Self::TEXT_MAX).then(|| Self(CompactString::from(text)))
    }
}

impl fmt::Display for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who or what a conversation is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parties {
    /// Two users, in the order of their ids; both are the same in a conversation with oneself.
    Direct(UserId, UserId),
    /// A group.
    Group(ResourceId),
    /// A chatroom.
    Room(ResourceId),
    /// A thread inside a group.
    Thread(ResourceId),
}

/// Why a text names no conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConversationError {
    /// The text has none of the known forms.
    Form(String),
    /// An id in it breaks the id rule.
    Id(IdError),
}

impl ConversationError {
    fn form(text: &str) -> Self {
        // A hostile text may be megabytes long; the error quotes only its head.
        Self::Form(text.chars().take(80).collect())
    }
}

impl From<IdError> for ConversationError {
    fn from(error: IdError) -> Self {
        Self::Id(error)
    }
}

impl fmt::Display for ConversationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form(text) => write!(
                f,
                "{text:?} names no conversation; write direct:USER,USER, group:ID, room:ID or thread:ID"
            ),
            Self::Id(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ConversationError {}

/// What kind of message it is, in the terms of the service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// `txt`
    #[default]
    Text = 0,
    /// `img`
    Image = 1,
    /// `audio`
    Audio = 2,
    /// `video`
    Video = 3,
    /// `file`
    File = 4,
    /// `loc`
    Location = 5,
    /// `cmd`
    Command = 6,
    /// `custom`
    Custom = 7,
    /// `notice`: says that an earlier message was recalled, edited, reacted to or pinned. Only the store writes it.
    Notice = 8,
}

impl Kind {
    /// Every kind, in the order of its stored number.
    pub const ALL: [Self; 9] = [
        Self::Text,
        Self::Image,
        Self::Audio,
        Self::Video,
        Self::File,
        Self::Location,
        Self::Command,
        Self::Custom,
        Self::Notice,
    ];

    /// The service's word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "txt",
            Self::Image => "img",
            Self::Audio => "audio",
            Self::Video => "video",
            Self::File => "file",
            Self::Location => "loc",
            Self::Command => "cmd",
            Self::Custom => "custom",
            Self::Notice => "notice",
        }
    }

    /// Finds a kind by the service's word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Finds a kind by its stored number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

/// One stored message. Its app and conversation are where it lies, not part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Time-ordered id; carries the time.
    pub id: MessageId,
    /// Place in the conversation.
    pub seq: Seq,
    /// Who sent it.
    pub sender: CompactString,
    /// What kind it is.
    pub kind: Kind,
    /// The body, opaque to the store (UTF-8 text or JSON by convention).
    pub body: Bytes,
    /// The extension, opaque; empty when absent.
    pub ext: Bytes,
    /// The sender's own id for it, which makes a retry safe; empty when absent.
    pub client_id: CompactString,
    /// The attachments it refers to, in the sender's order; usually none or one.
    pub attachments: Vec<AttachmentId>,
    /// What became of it since. Not stored with it: a reader of segments always finds it original.
    pub revision: Revision,
}

/// What became of a message after it was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Revision {
    /// Nothing: it is as it was sent.
    #[default]
    Original,
    /// Body and extension were replaced.
    Edited {
        /// How many times, from 1.
        version: u32,
        /// When last.
        at: Millis,
    },
    /// It was taken back: body, extension, client id and attachments are empty.
    Recalled {
        /// When.
        at: Millis,
    },
    /// Its sender was erased with all that he sent: as recalled, and the sender is empty too.
    Erased,
}

impl Message {
    /// Longest client id in bytes: four UUIDs' worth.
    pub const CLIENT_ID_MAX: usize = 128;
    /// Most attachments that one message may refer to.
    pub const ATTACHMENTS_MAX: usize = 16;

    /// The time of the message.
    pub const fn millis(&self) -> Millis {
        self.id.millis()
    }

    /// Whether it has body, extension, client id or attachments.
    pub fn has_content(&self) -> bool {
        let texts = self.body.len() + self.ext.len() + self.client_id.len();
        texts + self.attachments.len() > 0
    }

    /// Leaves nothing of it but its place, kind and sender.
    pub fn blank(&mut self) {
        self.body = Bytes::new();
        self.ext = Bytes::new();
        self.client_id = CompactString::default();
        self.attachments = Vec::new();
    }

    /// Leaves nothing of it but its place and kind.
    pub fn erase(&mut self) {
        self.blank();
        self.sender = CompactString::default();
        self.revision = Revision::Erased;
    }

    /// Bytes of body and extension, as the ledger counts them.
    pub fn content_len(&self) -> u64 {
        (self.body.len() + self.ext.len()) as u64
    }
}
