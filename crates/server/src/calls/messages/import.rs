//! Importing what was sent elsewhere, with its own time: rows 29 and 30.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidestore::plan::{ResourceId, UserId};
use tidestore::{Conversation, NewMessage, OldMessage};

use super::content::{attachments, content, kind_of, own_file};
use crate::answer::Answer;
use crate::auth::Access;
use crate::call::{Call, required};
use crate::lenient;
use crate::refusal::{Refusal, Result};
use crate::routes::Route;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(29, Access::App, direct)
            .body::<Import>()
            .data::<Imported>(),
        Route::new(30, Access::App, group)
            .body::<Import>()
            .data::<Imported>(),
    ]
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Import {
    #[serde(deserialize_with = "lenient::text")]
    from: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    target: Option<String>,
    #[serde(rename = "type", deserialize_with = "lenient::text")]
    kind: Option<String>,
    body: Option<Value>,
    ext: Option<Value>,
    #[serde(deserialize_with = "lenient::flag")]
    is_ack_read: Option<bool>,
    /// Milliseconds since 1970; now if it is not there.
    #[serde(deserialize_with = "lenient::number")]
    msg_timestamp: Option<i64>,
    #[serde(deserialize_with = "lenient::flag")]
    need_download: Option<bool>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Imported {
    msg_id: String,
}

async fn direct(call: Call) -> Result<Answer> {
    import(call, |from, target| {
        Ok(Conversation::direct(from, &UserId::parse(target)?))
    })
    .await
}

async fn group(call: Call) -> Result<Answer> {
    import(call, |_, target| {
        Ok(Conversation::group(&ResourceId::parse(target)?))
    })
    .await
}

async fn import(
    mut call: Call,
    place: fn(&UserId, &str) -> Result<Conversation>,
) -> Result<Answer> {
    let asked: Import = call.json().await?;
    let from = UserId::parse(&required(asked.from, "from")?)?;
    let target = required(asked.target, "target")?;
    let conversation = place(&from, &target)?;
    let kind = required(asked.kind, "type")?;
    let body = required(asked.body, "body")?;
    let said =
        kind_of(&kind).and_then(|kind| content(call.limits(), kind, &body, asked.ext.as_ref()));
    // These calls have a word of their own for a message that is none.
    let said = said.map_err(|refusal| refusal.called("illegal_argument"))?;
    let attachments = attachments(&call.app, &said.urls).await?;
    let is_here = |url: &String| own_file(url).is_some_and(|id| attachments.contains(&id));
    if asked.need_download == Some(true) && !said.urls.iter().all(is_here) {
        let text = "this service opens no connections for its callers: upload the file first";
        return Err(Refusal::argument(text));
    }
    if let Some(tidestore::Parties::Group(id)) = conversation.parties() {
        call.app.groups().get(&id).await?;
    }
    let now = call.app.now();
    let time = asked.msg_timestamp.map(u64::try_from).transpose();
    let time = time
        .map_err(|_| Refusal::argument("msg_timestamp is negative"))?
        .unwrap_or(now);
    let message = NewMessage {
        kind: said.kind,
        ext: said.ext,
        attachments,
        ..NewMessage::text(conversation, from, said.body)
    };
    let old = OldMessage {
        is_read: asked.is_ack_read.unwrap_or(false),
        ..OldMessage::new(message, time)
    };
    let receipt = call.app.import(vec![old]).await.pop();
    let receipt = receipt.ok_or_else(|| Refusal::argument("there is nothing to import"))??;
    let msg_id = receipt.id.to_string();
    Answer::data(&Imported { msg_id })
}
