//! Attributes of chatrooms: rows 87 to 91.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tidestore::plan::Limit;
use tidestore::{DirectoryErrorKind, ErrorKind, KeyResults, RoomSet};

use crate::answer::Answer;
use crate::auth::Access;
use crate::call::{Call, required};
use crate::lenient;
use crate::refusal::{Refusal, Result};
use crate::routes::Route;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(87, Access::Member, get)
            .body::<Keys>()
            .data::<BTreeMap<String, String>>(),
        Route::new(88, Access::Own, set)
            .body::<Pairs>()
            .data::<Outcome>(),
        Route::new(89, Access::Admin, set_forced)
            .body::<Pairs>()
            .data::<Outcome>(),
        Route::new(90, Access::Own, delete)
            .body::<Keys>()
            .data::<Outcome>(),
        Route::new(91, Access::Admin, delete_forced)
            .body::<Keys>()
            .data::<Outcome>(),
    ]
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Keys {
    #[serde(deserialize_with = "lenient::names")]
    keys: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Pairs {
    #[serde(rename = "metaData")]
    meta_data: Option<Map<String, Value>>,
    /// `DELETE`: the keys go when the user leaves the room. `NO_DELETE`: they stay.
    #[serde(rename = "autoDelete", deserialize_with = "lenient::text")]
    auto_delete: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    success_keys: Vec<String>,
    error_keys: BTreeMap<String, String>,
}

impl From<KeyResults> for Outcome {
    fn from(results: KeyResults) -> Self {
        let refused = results.refused.into_iter();
        Self {
            success_keys: results.done,
            error_keys: refused.map(|(key, why)| (key, why.to_string())).collect(),
        }
    }
}

async fn get(mut call: Call) -> Result<Answer> {
    let room = call.resource_in("chatroom_id")?;
    let keys = call
        .json::<Keys>()
        .await?
        .keys
        .filter(|keys| !keys.is_empty());
    let found = call.app.room_attributes(&room).get(keys.as_deref()).await?;
    let found: BTreeMap<_, _> = found
        .into_iter()
        .map(|(key, found)| (key, found.value))
        .collect();
    Answer::data(&found)
}

/// Who is not in the room may not change its attributes; the service says 401.
fn outsider(error: tidestore::Error) -> Refusal {
    let is_outside = matches!(
        error.kind(),
        ErrorKind::Directory(DirectoryErrorKind::NotMember(_))
    );
    let refusal = Refusal::from(error);
    if is_outside {
        refusal.with_status(StatusCode::UNAUTHORIZED, "unauthorized")
    } else {
        refusal
    }
}

async fn set_with(mut call: Call, force: bool) -> Result<Answer> {
    let (room, user) = (call.resource_in("chatroom_id")?, call.user()?);
    let asked: Pairs = call.json().await?;
    let auto_delete = match asked.auto_delete.as_deref() {
        None | Some("DELETE") => true,
        Some("NO_DELETE") => false,
        Some(other) => {
            return Err(Refusal::argument(format!(
                "{other:?} is neither DELETE nor NO_DELETE"
            )));
        }
    };
    let pairs = required(asked.meta_data, "metaData")?;
    call.limits()
        .check(Limit::RoomAttributesPerCall, pairs.len() as u64)?;
    let pairs = pairs.into_iter().map(|(key, value)| match value {
        Value::String(text) => Ok((key, text)),
        _ => Err(Refusal::argument(format!("{key} is no text"))),
    });
    let pairs = pairs.collect::<Result<Vec<_>>>()?;
    if pairs.is_empty() {
        return Err(Refusal::argument("metaData is empty"));
    }
    let attributes = call.app.room_attributes(&room);
    let set = attributes
        .set(&user, pairs, RoomSet { auto_delete, force })
        .await;
    Answer::data(&Outcome::from(set.map_err(outsider)?))
}

async fn set(call: Call) -> Result<Answer> {
    set_with(call, false).await
}

async fn set_forced(call: Call) -> Result<Answer> {
    set_with(call, true).await
}

async fn delete_with(mut call: Call, force: bool) -> Result<Answer> {
    let (room, user) = (call.resource_in("chatroom_id")?, call.user()?);
    let keys = required(call.json::<Keys>().await?.keys, "keys")?;
    call.limits()
        .check(Limit::RoomAttributesPerCall, keys.len() as u64)?;
    if keys.is_empty() {
        return Err(Refusal::argument("keys is empty"));
    }
    let deleted = call
        .app
        .room_attributes(&room)
        .delete(&user, &keys, force)
        .await;
    Answer::data(&Outcome::from(deleted.map_err(outsider)?))
}

async fn delete(call: Call) -> Result<Answer> {
    delete_with(call, false).await
}

async fn delete_forced(call: Call) -> Result<Answer> {
    delete_with(call, true).await
}
