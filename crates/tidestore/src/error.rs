//! What a call can refuse or fail with, told so that the caller knows what to do.

use std::fmt;

use tidestore_disk::Millis;
use tidestore_messages::ConversationError;
use tidestore_plan::{IdError, LimitError, TermsError};

/// The result of a call to the store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A refused or failed call.
///
/// Unless the kind says otherwise nothing was changed, and the store goes on working.
#[derive(Debug, Clone)]
pub struct Error {
    kind: ErrorKind,
    context: String,
    source: Option<std::sync::Arc<dyn std::error::Error + Send + Sync>>,
}

/// What the caller can do about an [`Error`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No app has this key: create it first.
    UnknownApp,
    /// An app with this key exists already.
    AppExists,
    /// A limit of the contract is exceeded; the error says which, its maximum and the actual value.
    Limit(LimitError),
    /// An id or an app key breaks the id rule.
    Id(IdError),
    /// A text names no conversation, or the sender is no part of the direct conversation.
    Conversation,
    /// The terms are not possible, such as a custom retention outside Enterprise.
    Terms(TermsError),
    /// The directory refuses: somebody or something does not exist, exists already, or may not; the kind says which.
    Directory(tidestore_directory::ErrorKind),
    /// Attributes are refused; the kind says why.
    Attributes(tidestore_attributes::ErrorKind),
    /// No such attachment was ever given to the app, or it was deleted.
    AttachmentNotFound,
    /// The attachment's time is over.
    AttachmentExpired,
    /// An upload did not have the length that was announced.
    Length {
        /// Bytes that were announced.
        declared: u64,
        /// Bytes that came, or at least so many.
        actual: u64,
    },
    /// The stream that was handed in failed; nothing of it was kept.
    Source,
    /// There is no such message, or it has expired, was recalled, or is not for this user.
    MessageNotFound,
    /// This user may not do this to the message: it is somebody else's, or a command.
    NotAllowed,
    /// The time within which the message can be recalled is over.
    RecallWindow {
        /// How old the message is, in milliseconds.
        age: Millis,
        /// How old it may be.
        window: Millis,
    },
    /// The user has reacted so already, or the reaction that is to be taken back is not there.
    Reaction,
    /// The cursor is made up, or of another list.
    Cursor,
    /// As many uploads, downloads or streams are open as may be: close some, or try again later.
    Busy,
    /// Somebody else has changed it at the same time.
    Overtaken,
    /// The message is older than the app's retention floor and would be invisible at once.
    TooOld {
        /// Time of the message.
        time: Millis,
        /// Oldest time that is still visible.
        floor: Millis,
    },
    /// The message is dated more than 24 hours in the future.
    Future {
        /// Time of the message.
        time: Millis,
        /// Latest time that is accepted.
        latest: Millis,
    },
    /// An argument makes no sense, such as a page of no messages.
    Argument,
    /// There is no plan change that could still be undone.
    NothingToUndo,
    /// Another process has the data directory open.
    Locked,
    /// The data directory has a format this version cannot read.
    Format,
    /// The directory is not a data directory of Tidestore, or a part of it is missing.
    NotAStore,
    /// The target of a backup or restore is not empty, or lies in the data directory; nothing was written there.
    Occupied,
    /// The file or directory is no backup, or one that did not come to its end.
    NotABackup,
    /// Bytes on disk are not what was written; the rest of the store is still served.
    Corruption,
    /// No disk space is left, or no file descriptor where the log needs one; reads and expiry still work, and so does
    /// writing once there is room again.
    Full,
    /// An earlier write or sync failed; what was acknowledged is safe. Reopen the store.
    Poisoned,
    /// The store was closed.
    Closed,
    /// The disk failed.
    Io,
}

impl ErrorKind {
    /// Its name in a word, for labels of metrics and fields of events.
    pub fn name(&self) -> &'static str {
        match self {
            Self::UnknownApp => "unknown_app",
            Self::AppExists => "app_exists",
            Self::Limit(_) => "limit",
            Self::Id(_) => "id",
            Self::Conversation => "conversation",
            Self::Terms(_) => "terms",
            Self::Directory(_) => "directory",
            Self::Attributes(_) => "attributes",
            Self::AttachmentNotFound => "attachment_not_found",
            Self::AttachmentExpired => "attachment_expired",
            Self::Length { .. } => "length",
            Self::Source => "source",
            Self::MessageNotFound => "message_not_found",
            Self::NotAllowed => "not_allowed",
            Self::RecallWindow { .. } => "recall_window",
            Self::Reaction => "reaction",
            Self::Cursor => "cursor",
            Self::Busy => "busy",
            Self::Overtaken => "overtaken",
            Self::TooOld { .. } => "too_old",
            Self::Future { .. } => "future",
            Self::Argument => "argument",
            Self::NothingToUndo => "nothing_to_undo",
            Self::Locked => "locked",
            Self::Format => "format",
            Self::NotAStore => "not_a_store",
            Self::Occupied => "occupied",
            Self::NotABackup => "not_a_backup",
            Self::Corruption => "corruption",
            Self::Full => "full",
            Self::Poisoned => "poisoned",
            Self::Closed => "closed",
            Self::Io => "io",
        }
    }
}

impl Error {
    /// Makes an error of a kind with one line of context.
    pub fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self {
            kind,
            context: context.into(),
            source: None,
        }
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(std::sync::Arc::new(source));
        self
    }

    /// An error of a part of the store; damage is noted here, where each passes once.
    fn of_part(kind: ErrorKind, error: impl std::error::Error + Send + Sync + 'static) -> Self {
        let error = Self::new(kind, error.to_string()).with_source(error);
        if error.kind == ErrorKind::Corruption {
            crate::meters::found_damage(&error);
        }
        error
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}

impl From<LimitError> for Error {
    fn from(error: LimitError) -> Self {
        Self::new(ErrorKind::Limit(error.clone()), error.to_string())
    }
}

impl From<IdError> for Error {
    fn from(error: IdError) -> Self {
        Self::new(ErrorKind::Id(error.clone()), error.to_string())
    }
}

impl From<TermsError> for Error {
    fn from(error: TermsError) -> Self {
        Self::new(ErrorKind::Terms(error.clone()), error.to_string())
    }
}

impl From<ConversationError> for Error {
    fn from(error: ConversationError) -> Self {
        match error {
            ConversationError::Id(error) => error.into(),
            other => Self::new(ErrorKind::Conversation, other.to_string()),
        }
    }
}

impl From<tidestore_disk::Error> for Error {
    fn from(error: tidestore_disk::Error) -> Self {
        use tidestore_disk::ErrorKind as Disk;
        let kind = match error.kind() {
            Disk::Full => ErrorKind::Full,
            Disk::Locked => ErrorKind::Locked,
            Disk::Corruption => ErrorKind::Corruption,
            _ => ErrorKind::Io,
        };
        Self::of_part(kind, error)
    }
}

impl From<tidestore_blobs::Error> for Error {
    fn from(error: tidestore_blobs::Error) -> Self {
        use tidestore_blobs::ErrorKind as Blobs;
        let kind = match error.kind() {
            Blobs::NotFound => ErrorKind::AttachmentNotFound,
            Blobs::Expired => ErrorKind::AttachmentExpired,
            Blobs::Limit(limit) => ErrorKind::Limit(limit.clone()),
            Blobs::Length { declared, actual } => ErrorKind::Length {
                declared: *declared,
                actual: *actual,
            },
            Blobs::Argument => ErrorKind::Argument,
            Blobs::Corruption => ErrorKind::Corruption,
            Blobs::Full => ErrorKind::Full,
            _ => ErrorKind::Io,
        };
        Self::of_part(kind, error)
    }
}

impl From<tidestore_messages::Error> for Error {
    fn from(error: tidestore_messages::Error) -> Self {
        use tidestore_messages::ErrorKind as Messages;
        let kind = match error.kind() {
            Messages::Full => ErrorKind::Full,
            Messages::Corruption | Messages::NotFound => ErrorKind::Corruption,
            _ => ErrorKind::Io,
        };
        Self::of_part(kind, error)
    }
}

impl From<tidestore_kv::Error> for Error {
    fn from(error: tidestore_kv::Error) -> Self {
        use tidestore_kv::ErrorKind as Kv;
        let kind = match error.kind() {
            Kv::Full => ErrorKind::Full,
            Kv::Corruption => ErrorKind::Corruption,
            Kv::Unsupported => ErrorKind::Argument,
            _ => ErrorKind::Io,
        };
        Self::of_part(kind, error)
    }
}

impl From<tidestore_log::Error> for Error {
    fn from(error: tidestore_log::Error) -> Self {
        use tidestore_log::ErrorKind as Log;
        let kind = match error.kind() {
            Log::Full => ErrorKind::Full,
            Log::Corruption => ErrorKind::Corruption,
            Log::Poisoned => ErrorKind::Poisoned,
            _ => ErrorKind::Io,
        };
        Self::of_part(kind, error)
    }
}
