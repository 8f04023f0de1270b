//! How a command fails: what is said, and the exit code.

use std::error::Error as _;
use std::io;

use tidestore::{DirectoryErrorKind, ErrorKind};

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The store refused or failed.
    Store(tidestore::Error),
    /// The disk below the command's own files failed.
    Io { what: String, source: io::Error },
    /// An input is not what it should be.
    Input(String),
    /// Something named on the command line does not exist.
    NotFound { what: String, help: String },
    /// What was asked is not allowed, or not the case.
    Refused(String),
    /// An argument that only turns out wrong in its context.
    Argument(String),
    /// Nobody reads standard output any more.
    ClosedPipe,
}

impl From<tidestore_tuning::Error> for Failure {
    fn from(error: tidestore_tuning::Error) -> Self {
        match error {
            tidestore_tuning::Error::Store(error) => Self::Store(error),
            tidestore_tuning::Error::Io(error) => Self::io("the disk below the load failed", error),
            tidestore_tuning::Error::Spec(text) => Self::Argument(text),
        }
    }
}

impl Failure {
    pub(crate) fn io(what: impl Into<String>, source: io::Error) -> Self {
        Self::Io {
            what: what.into(),
            source,
        }
    }

    /// A write to standard output failed.
    pub(crate) fn stdout(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::ClosedPipe
        } else {
            Self::io("standard output cannot be written", error)
        }
    }

    /// One word for programs.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Store(error) => store_kind(error.kind()),
            Self::Io { source, .. } if is_full(source) => "full",
            Self::Io { .. } => "io",
            Self::Input(_) => "input",
            Self::NotFound { .. } => "not_found",
            Self::Argument(_) => "argument",
            Self::Refused(_) => "refused",
            Self::ClosedPipe => "closed_pipe",
        }
    }

    /// The process's exit code; the table stands in `--help`.
    pub(crate) fn exit_code(&self) -> u8 {
        match self.kind() {
            "closed_pipe" => 0,
            "argument" | "id" | "conversation" => 2,
            "not_found" | "unknown_app" | "attachment_not_found" | "attachment_expired" => 3,
            "app_exists" | "limit" | "refused" | "occupied" | "length" | "terms" | "too_old"
            | "future" | "nothing_to_undo" => 4,
            "locked" => 5,
            "format" | "not_a_store" | "not_a_backup" | "corruption" | "input" => 6,
            _ => 7,
        }
    }

    /// What happened, in one line.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Store(error) => error.to_string(),
            Self::Io { what: text, .. }
            | Self::NotFound { what: text, .. }
            | Self::Input(text)
            | Self::Refused(text)
            | Self::Argument(text) => text.clone(),
            Self::ClosedPipe => "standard output is closed".to_owned(),
        }
    }

    /// The chain of causes, outermost first, without repetitions.
    pub(crate) fn causes(&self) -> Vec<String> {
        let mut next = match self {
            Self::Store(error) => error.source(),
            Self::Io { source, .. } => Some(source as &(dyn std::error::Error + 'static)),
            _ => None,
        };
        let mut said = vec![self.message()];
        while let Some(cause) = next {
            let text = cause.to_string();
            if said.last() != Some(&text) {
                said.push(text);
            }
            next = cause.source();
        }
        said.split_off(1)
    }

    /// What to do about it, where that is not in the message.
    pub(crate) fn help(&self) -> Option<String> {
        let text = match self.kind() {
            "unknown_app" => "`tidestore app list` shows the apps of this data directory",
            "attachment_not_found" | "attachment_expired" => {
                "`tidestore blob list KEY` shows the attachments of an app"
            }
            "length" => "the file changed while it was read; try again",
            "locked" => "end the other process, or name another directory with --data",
            "corruption" => {
                "`tidestore verify` says what is damaged; keep a copy before anything else"
            }
            "full" => {
                "free some space, or run `tidestore expire`, which needs none; then try again"
            }
            "poisoned" => "check the disk; what was acknowledged is safe",
            "too_old" | "future" => {
                "check the clocks, or move the times with `import --shift-to-now`"
            }
            _ => match self {
                Self::NotFound { help, .. } => return Some(help.clone()),
                _ => return None,
            },
        };
        Some(text.to_owned())
    }
}

impl From<tidestore::Error> for Failure {
    fn from(error: tidestore::Error) -> Self {
        Self::Store(error)
    }
}

/// One word for each kind of error of the store; also the name of the reason for which a line is refused.
pub(crate) fn store_kind(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::UnknownApp => "unknown_app",
        ErrorKind::AppExists => "app_exists",
        ErrorKind::Limit(_) => "limit",
        ErrorKind::Id(_) => "id",
        ErrorKind::Conversation => "conversation",
        ErrorKind::Terms(_) => "terms",
        ErrorKind::MessageNotFound => "not_found",
        ErrorKind::NotAllowed | ErrorKind::RecallWindow { .. } | ErrorKind::Reaction => "refused",
        ErrorKind::AttachmentNotFound => "attachment_not_found",
        ErrorKind::AttachmentExpired => "attachment_expired",
        ErrorKind::Directory(kind) => directory_kind(kind),
        ErrorKind::Length { .. } => "length",
        ErrorKind::Source => "source",
        ErrorKind::TooOld { .. } => "too_old",
        ErrorKind::Future { .. } => "future",
        ErrorKind::Argument | ErrorKind::Cursor | ErrorKind::Attributes(_) => "argument",
        ErrorKind::NothingToUndo => "nothing_to_undo",
        ErrorKind::Locked => "locked",
        ErrorKind::Format => "format",
        ErrorKind::NotAStore => "not_a_store",
        ErrorKind::Occupied => "occupied",
        ErrorKind::NotABackup => "not_a_backup",
        ErrorKind::Corruption => "corruption",
        ErrorKind::Full => "full",
        ErrorKind::Poisoned => "poisoned",
        ErrorKind::Closed => "closed",
        ErrorKind::Busy => "busy",
        _ => "io",
    }
}

/// Whether something is missing, misnamed or not allowed.
fn directory_kind(kind: &DirectoryErrorKind) -> &'static str {
    use DirectoryErrorKind as Kind;
    match kind {
        Kind::UserNotFound(_)
        | Kind::ChannelNotFound(..)
        | Kind::ThreadNotFound(_)
        | Kind::FileNotFound => "not_found",
        Kind::Argument(_) | Kind::Cursor => "argument",
        _ => "refused",
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}
