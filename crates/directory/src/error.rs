//! Why a call to the directory was refused.

use std::fmt;

use tidestore_plan::{LimitError, ResourceId, UserId};

use crate::ChannelKind;

/// The result of a call to the directory.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A refused or failed call. Nothing was changed.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    source: Option<tidestore_kv::Error>,
}

/// What the caller can do about an [`Error`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No such user is registered.
    UserNotFound(UserId),
    /// A user with this id is registered already.
    UserExists(UserId),
    /// The user is banned.
    UserBanned(UserId),
    /// There is no such group or chatroom.
    ChannelNotFound(ChannelKind, ResourceId),
    /// There is a group or chatroom with this id already.
    ChannelExists(ChannelKind, ResourceId),
    /// The group or chatroom is banned: nobody can send to it or change it.
    ChannelDisabled(ChannelKind, ResourceId),
    /// There is no such thread.
    ThreadNotFound(ResourceId),
    /// The message has a thread already.
    ThreadExists(ResourceId),
    /// There is no such shared file in the group.
    FileNotFound,
    /// There is no push template of this name.
    TemplateNotFound(String),
    /// There is no push label of this name.
    LabelNotFound(String),
    /// There is a push label of this name already.
    LabelExists(String),
    /// The user belongs to it already.
    AlreadyMember(UserId),
    /// The user does not belong to it.
    NotMember(UserId),
    /// The owner cannot be removed, blocked, muted or made an admin: transfer the group or chatroom first.
    IsOwner(UserId),
    /// The user is no admin of it.
    NotAdmin(UserId),
    /// The user is not on the list that he is to be taken off.
    NotListed(UserId),
    /// The receiver has blocked the sender.
    BlockedByReceiver(UserId),
    /// The user is on the block list of the group or chatroom.
    Blocked(UserId),
    /// The sender may not speak before this time, in milliseconds; `None` for ever.
    Muted(Option<u64>),
    /// Everybody in it is muted but the owner, admins, and those on the allow list.
    AllMuted,
    /// A limit or cap is exceeded; the error says which, its maximum and the actual value.
    Limit(LimitError),
    /// An argument makes no sense, such as one user twice in a call.
    Argument(String),
    /// The cursor was not given by this list.
    Cursor,
    /// The tables failed or are damaged.
    Tables,
}

impl Error {
    /// Makes an error of a kind.
    pub fn new(kind: ErrorKind) -> Self {
        Self { kind, source: None }
    }

    /// An argument that makes no sense.
    pub fn argument(text: impl Into<String>) -> Self {
        Self::new(ErrorKind::Argument(text.into()))
    }

    /// A row that is not what this crate wrote.
    pub(crate) fn damaged(text: impl Into<String>) -> Self {
        tidestore_kv::Error::new(tidestore_kv::ErrorKind::Corruption, text).into()
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// The failure of the tables, if that is what it is.
    pub fn into_tables(self) -> Option<tidestore_kv::Error> {
        self.source
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use ErrorKind as Kind;
        match &self.kind {
            Kind::UserNotFound(user) => write!(f, "there is no user {user}; register it first"),
            Kind::UserExists(user) => write!(f, "the user {user} exists already"),
            Kind::UserBanned(user) => write!(f, "the user {user} is banned"),
            Kind::ChannelNotFound(kind, id) => write!(f, "there is no {kind} {id}"),
            Kind::ChannelExists(kind, id) => write!(f, "the {kind} {id} exists already"),
            Kind::ChannelDisabled(kind, id) => {
                write!(f, "the {kind} {id} is banned; enable it first")
            }
            Kind::ThreadNotFound(id) => write!(f, "there is no thread {id}"),
            Kind::ThreadExists(id) => write!(f, "the message has the thread {id} already"),
            Kind::FileNotFound => f.write_str("there is no such shared file in the group"),
            Kind::TemplateNotFound(name) => {
                write!(f, "there is no push template {name:?}")
            }
            Kind::LabelNotFound(name) => {
                write!(f, "there is no push label {name:?}")
            }
            Kind::LabelExists(name) => write!(f, "the push label {name} exists already"),
            Kind::AlreadyMember(user) => write!(f, "{user} is a member already"),
            Kind::NotMember(user) => write!(f, "{user} is not a member"),
            Kind::IsOwner(user) => write!(f, "{user} is the owner; transfer the ownership first"),
            Kind::NotAdmin(user) => write!(f, "{user} is not an admin"),
            Kind::NotListed(user) => write!(f, "{user} is not on the list"),
            Kind::BlockedByReceiver(user) => write!(f, "{user} has blocked the sender"),
            Kind::Blocked(user) => write!(f, "{user} is on the block list"),
            Kind::Muted(Some(until)) => write!(f, "the sender is muted until {until}"),
            Kind::Muted(None) => f.write_str("the sender is muted for good"),
            Kind::AllMuted => f.write_str("all members are muted"),
            Kind::Limit(error) => error.fmt(f),
            Kind::Argument(text) => f.write_str(text),
            Kind::Cursor => f.write_str("the cursor was not given by this list; start without one"),
            Kind::Tables => match &self.source {
                Some(source) => source.fmt(f),
                None => f.write_str("the tables of the directory are damaged"),
            },
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self::new(kind)
    }
}

impl From<LimitError> for Error {
    fn from(error: LimitError) -> Self {
        Self::new(ErrorKind::Limit(error))
    }
}

impl From<tidestore_kv::Error> for Error {
    fn from(source: tidestore_kv::Error) -> Self {
        Self {
            kind: ErrorKind::Tables,
            source: Some(source),
        }
    }
}
