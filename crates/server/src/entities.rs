//! Users and apps as answers show them.

use schemars::JsonSchema;
use serde::Serialize;
use tidestore::User;
use tidestore::plan::AppKey;

use crate::auth::uuid;

/// A user; what is not set is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct UserEntity {
    pub(crate) uuid: String,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    /// Milliseconds since 1970.
    pub(crate) created: u64,
    pub(crate) modified: u64,
    pub(crate) username: String,
    pub(crate) activated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) nickname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) notification_display_style: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) notification_no_disturbing: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) notification_no_disturbing_start: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) notification_no_disturbing_end: Option<u8>,
}

impl UserEntity {
    pub(crate) fn of(user: &User) -> Self {
        Self {
            uuid: uuid(user.uuid),
            kind: "user",
            created: user.created,
            modified: user.modified,
            username: user.id.as_str().to_owned(),
            activated: !user.is_banned,
            nickname: user.nickname.clone(),
            notification_display_style: user.display_style,
            notification_no_disturbing: user.no_disturbing,
            notification_no_disturbing_start: user.no_disturbing_hours.map(|hours| hours.0),
            notification_no_disturbing_end: user.no_disturbing_hours.map(|hours| hours.1),
        }
    }
}

/// The UUID of an app: the same for the same key, in every store.
pub(crate) fn app_uuid(key: &AppKey) -> String {
    let hash = blake3::derive_key("tidestore 2026 app uuid", key.as_str().as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    uuid::Builder::from_custom_bytes(bytes)
        .into_uuid()
        .to_string()
}
