//! Announcements: rows 50, 51, 85 and 86.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Kind;
use super::kind::{all, id};
use crate::answer::Answer;
use crate::call::{Call, required};
use crate::lenient;
use crate::refusal::Result;

/// What is announced; empty for nothing.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub(super) struct Announcement {
    #[serde(deserialize_with = "lenient::kept_text")]
    announcement: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Announced {
    id: String,
    result: bool,
}

pub(super) async fn get<K: Kind>(call: Call) -> Result<Answer> {
    let text = all::<K>(&call).announcement(&id::<K>(&call)?).await?;
    Answer::data(&Announcement {
        announcement: Some(text),
    })
}

pub(super) async fn set<K: Kind>(mut call: Call) -> Result<Answer> {
    let asked: Announcement = call.json().await?;
    let text = required(asked.announcement, "announcement")?;
    let id = id::<K>(&call)?;
    all::<K>(&call).announce(&id, &text).await?;
    Answer::data(&Announced {
        id: id.as_str().to_owned(),
        result: true,
    })
}
