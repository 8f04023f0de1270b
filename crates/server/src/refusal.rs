//! Why a call is refused, as the service says it: a status, a word for programs and a text for people.

use std::time::Duration;

use axum::http::StatusCode;
use tidestore::plan::{CapKind, Exceeded, IdError, Limit, LimitError};
use tidestore::{AttributesErrorKind, DirectoryErrorKind, ErrorKind};

/// The result of a call.
pub(crate) type Result<T, E = Refusal> = std::result::Result<T, E>;

/// A refused call.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) error: &'static str,
    pub(crate) description: String,
    /// When to try again, where waiting helps.
    pub(crate) retry_after: Option<Duration>,
}

impl Refusal {
    pub(crate) fn new(
        status: StatusCode,
        error: &'static str,
        description: impl Into<String>,
    ) -> Self {
        Self {
            status,
            error,
            description: description.into(),
            retry_after: None,
        }
    }

    /// A value is missing or not possible.
    pub(crate) fn argument(description: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "illegal_argument", description)
    }

    /// A batch is too large, or a field is unknown.
    pub(crate) fn parameter(description: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_parameter", description)
    }

    /// The rules of the group or chatroom, or of tokens, are against it.
    pub(crate) fn forbidden(description: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden_op", description)
    }

    /// There is no such thing.
    pub(crate) fn not_found(description: impl Into<String>) -> Self {
        let error = "service_resource_not_found";
        Self::new(StatusCode::NOT_FOUND, error, description)
    }

    /// A token is missing or has expired.
    pub(crate) fn unauthorized(description: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", description)
    }

    /// The same with another word, as some calls have words of their own.
    #[must_use]
    pub(crate) fn called(mut self, error: &'static str) -> Self {
        self.error = error;
        self
    }

    /// The same with another status and word.
    #[must_use]
    pub(crate) fn with_status(mut self, status: StatusCode, error: &'static str) -> Self {
        self.status = status;
        self.error = error;
        self
    }

    /// Whether it says that something does not exist.
    pub(crate) fn is_not_found(&self) -> bool {
        self.status == StatusCode::NOT_FOUND
    }

    /// The same, changed if it says that something does not exist.
    #[must_use]
    pub(crate) fn if_missing(self, change: impl FnOnce(Self) -> Self) -> Self {
        if self.is_not_found() {
            change(self)
        } else {
            self
        }
    }

    /// The same, in calls where whoever does not exist is a wrong argument.
    #[must_use]
    pub(crate) fn missing_is_argument(self) -> Self {
        self.if_missing(|it| it.with_status(StatusCode::BAD_REQUEST, "illegal_argument"))
    }

    /// The same, in calls about mutes and push, which have a word of their own for a user who does not exist.
    #[must_use]
    pub(crate) fn missing_is_property(self) -> Self {
        let error = "required_property_not_found";
        self.if_missing(|it| it.with_status(StatusCode::BAD_REQUEST, error))
    }
}

impl From<IdError> for Refusal {
    fn from(error: IdError) -> Self {
        Self::argument(error.to_string())
    }
}

impl From<LimitError> for Refusal {
    fn from(error: LimitError) -> Self {
        let (status, word) = match error.limit() {
            Exceeded::Cap(CapKind::Users) => (StatusCode::TOO_MANY_REQUESTS, "resource_limited"),
            Exceeded::Limit(limit) => word_of(limit),
            _ => (StatusCode::FORBIDDEN, "exceed_limit"),
        };
        Self::new(status, word, error.to_string())
    }
}

fn word_of(limit: Limit) -> (StatusCode, &'static str) {
    match limit {
        Limit::MessageContent => (StatusCode::BAD_REQUEST, "message_send_error"),
        Limit::SendRequest | Limit::Attachment => (
            StatusCode::PAYLOAD_TOO_LARGE,
            "file exceeding maximum limit",
        ),
        Limit::UserAttributes | Limit::AppUserAttributes | Limit::AppRoomAttributes => {
            (StatusCode::FORBIDDEN, "FORBIDDEN")
        }
        Limit::GroupName
        | Limit::GroupDescription
        | Limit::GroupExtension
        | Limit::RoomName
        | Limit::RoomDescription
        | Limit::RoomExtension
        | Limit::Announcement
        | Limit::Admins
        | Limit::BlockList
        | Limit::SharedFiles
        | Limit::Threads
        | Limit::PushLabels
        | Limit::PushLabelUsers => (StatusCode::FORBIDDEN, "exceed_limit"),
        Limit::RegistrationBatch
        | Limit::StatusBatch
        | Limit::BlockBatch
        | Limit::AttributeTargets
        | Limit::MemberBatch
        | Limit::RoomMemberRemovals
        | Limit::RoomAttributesPerCall
        | Limit::GroupDetails
        | Limit::RoomDetails
        | Limit::GroupFounders
        | Limit::RoomMaxUsers
        | Limit::PresenceBatch
        | Limit::ThreadBatch
        | Limit::PushTargets
        | Limit::PushLabelTargets
        | Limit::PushLabelBatch
        | Limit::ReactionMessages => (StatusCode::BAD_REQUEST, "invalid_parameter"),
        Limit::PushTasks => (StatusCode::TOO_MANY_REQUESTS, "reach_limit"),
        _ => (StatusCode::BAD_REQUEST, "illegal_argument"),
    }
}

impl From<tidestore::Error> for Refusal {
    fn from(error: tidestore::Error) -> Self {
        use ErrorKind as Kind;
        let text = error.to_string();
        match error.kind() {
            Kind::Limit(limit) | Kind::Attributes(AttributesErrorKind::Limit(limit)) => {
                limit.clone().into()
            }
            Kind::Id(id) => id.clone().into(),
            Kind::Directory(kind) => of_directory(kind, text),
            Kind::UnknownApp => {
                let word = "organization_application_not_found";
                Self::new(StatusCode::NOT_FOUND, word, text)
            }
            Kind::AttachmentNotFound | Kind::MessageNotFound => {
                Self::new(StatusCode::NOT_FOUND, "entity_not_found", text)
            }
            Kind::AttachmentExpired => Self::new(StatusCode::NOT_FOUND, "file_expired", text),
            Kind::NotAllowed => Self::forbidden(text),
            Kind::Source => Self::new(
                StatusCode::BAD_REQUEST,
                "invalid_request_body",
                "the request ended early",
            ),
            Kind::Busy => Self {
                retry_after: Some(Duration::from_secs(1)),
                ..Self::new(StatusCode::TOO_MANY_REQUESTS, "reach_limit", text)
            },
            Kind::Attributes(AttributesErrorKind::Tables)
            | Kind::Full
            | Kind::Poisoned
            | Kind::Closed
            | Kind::Corruption
            | Kind::Format
            | Kind::Io => failed(&error),
            _ => Self::argument(text),
        }
    }
}

fn of_directory(kind: &DirectoryErrorKind, text: String) -> Refusal {
    use DirectoryErrorKind as Kind;
    match kind {
        Kind::Limit(limit) => limit.clone().into(),
        Kind::UserNotFound(_) => Refusal::not_found(text),
        Kind::ChannelNotFound(..)
        | Kind::FileNotFound
        | Kind::LabelNotFound(_)
        | Kind::TemplateNotFound(_) => {
            Refusal::new(StatusCode::NOT_FOUND, "resource_not_found", text)
        }
        Kind::ThreadNotFound(_) => Refusal::new(StatusCode::NOT_FOUND, "group_error", text),
        Kind::ThreadExists(_) => Refusal::new(StatusCode::BAD_REQUEST, "group_error", text),
        Kind::UserExists(_) | Kind::LabelExists(_) => Refusal::new(
            StatusCode::BAD_REQUEST,
            "duplicate_unique_property_exists",
            text,
        ),
        Kind::Argument(_) | Kind::Cursor => Refusal::argument(text),
        Kind::Tables => Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", text),
        _ => Refusal::forbidden(text),
    }
}

/// The store cannot do it. What is wrong stands in the log, not in the answer: it names files of this machine.
fn failed(error: &tidestore::Error) -> Refusal {
    tracing::error!(kind = error.kind().name(), %error, "a call failed");
    let text = format!("the store cannot do this now ({})", error.kind().name());
    let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "service_unavailable", text);
    Refusal {
        retry_after: Some(Duration::from_secs(5)),
        ..refusal
    }
}
