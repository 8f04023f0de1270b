//! Taking messages back: row 26, in the forms of old and new clients.

use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tidestore::plan::{Method, ResourceId, UserId};
use tidestore::{By, Conversation, ErrorKind, MessageId, Revision};

use super::send::ADMIN;
use crate::answer::Answer;
use crate::auth::Access;
use crate::call::Call;
use crate::lenient::{self, OneOrMany};
use crate::refusal::{Refusal, Result};
use crate::routes::Route;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(26, Access::User, recall)
            .also(Method::Post, "/messages/recall")
            .body::<Asked>()
            .data::<OneOrMany<Recalled>>(),
    ]
}

/// One message, or `msgs` as old clients send them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Asked {
    #[serde(flatten)]
    one: Recall,
    msgs: Option<Vec<Recall>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Recall {
    #[serde(deserialize_with = "lenient::text")]
    msg_id: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    to: Option<String>,
    /// `chat`, `groupchat` or `chatroom`.
    #[serde(deserialize_with = "lenient::text")]
    chat_type: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    from: Option<String>,
    /// Also when the time for it is over.
    #[serde(deserialize_with = "lenient::flag")]
    force: Option<bool>,
    #[serde(deserialize_with = "lenient::flag")]
    #[allow(dead_code, reason = "devices of the sender always hear of it")]
    sync_device: Option<bool>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Recalled {
    #[serde(skip_serializing_if = "Option::is_none")]
    msgs: Option<Vec<Self>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    msg_id: Option<String>,
    /// `yes`, or why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    recalled: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chattype: Option<String>,
}

/// Messages of one call of old clients: as many as one call may send to.
const MSGS_MAX: usize = 600;

const WORD: &str = "message_recall_error";

fn refused(status: StatusCode, text: impl Into<String>) -> Refusal {
    Refusal::new(status, WORD, text)
}

async fn recall(mut call: Call) -> Result<Answer> {
    let asked: Asked = call.json().await?;
    let Some(msgs) = asked.msgs else {
        return Answer::data(&one(&call, &asked.one).await?);
    };
    if msgs.is_empty() || msgs.len() > MSGS_MAX {
        return Err(refused(
            StatusCode::BAD_REQUEST,
            format!("msgs holds 1 to {MSGS_MAX} messages"),
        ));
    }
    let mut all = Vec::new();
    for msg in &msgs {
        all.push(match one(&call, msg).await {
            Ok(recalled) => recalled,
            Err(refusal) if refusal.status.is_server_error() => return Err(refusal),
            Err(refusal) => Recalled {
                recalled: Some(refusal.description),
                ..Recalled::of(&call, msg)
            },
        });
    }
    Answer::data(&json!({"msgs": all}))
}

impl Recalled {
    fn of(call: &Call, asked: &Recall) -> Self {
        let caller = call.caller_user().map_or(ADMIN, UserId::as_str);
        Self {
            msgs: None,
            msg_id: asked.msg_id.clone(),
            recalled: Some("yes".to_owned()),
            from: Some(asked.from.clone().unwrap_or_else(|| caller.to_owned())),
            to: asked.to.clone(),
            chattype: asked.chat_type.clone(),
        }
    }
}

async fn one(call: &Call, asked: &Recall) -> Result<Recalled> {
    let missing = |name| refused(StatusCode::BAD_REQUEST, format!("{name} is empty"));
    let text = asked.msg_id.as_deref().ok_or_else(|| missing("msg_id"))?;
    let to = asked.to.as_deref().ok_or_else(|| missing("to"))?;
    let chat_type = asked
        .chat_type
        .as_deref()
        .ok_or_else(|| missing("chat_type"))?;
    let by = recaller(call, asked)?;
    let not_found = || refused(StatusCode::FORBIDDEN, "not_found msg");
    let id = text.parse().map(MessageId).map_err(|_| not_found())?;
    let (conversation, message) = call.app.message(id).await?.ok_or_else(not_found)?;
    let sender = UserId::parse(&message.sender).map_err(|_| not_found())?;
    let expected = match chat_type {
        "chat" => Conversation::direct(&sender, &UserId::parse(to).map_err(|_| not_found())?),
        "groupchat" => Conversation::group(&ResourceId::parse(to).map_err(|_| not_found())?),
        "chatroom" => Conversation::room(&ResourceId::parse(to).map_err(|_| not_found())?),
        other => {
            let text = format!("{other:?} is no chat_type");
            return Err(refused(StatusCode::BAD_REQUEST, text));
        }
    };
    let is_there = matches!(
        message.revision,
        Revision::Original | Revision::Edited { .. }
    );
    if conversation.main() != expected || !is_there {
        return Err(not_found());
    }
    let age = call.app.now().saturating_sub(message.millis());
    if asked.force != Some(true) && age > call.app.recall_window() {
        return Err(refused(StatusCode::FORBIDDEN, "exceed recall time limit"));
    }
    call.app
        .recall(id, &by)
        .await
        .map_err(|error| match error.kind() {
            ErrorKind::MessageNotFound => not_found(),
            ErrorKind::RecallWindow { .. } => {
                refused(StatusCode::FORBIDDEN, "exceed recall time limit")
            }
            _ => error.into(),
        })?;
    Ok(Recalled::of(call, asked))
}

/// In whose name a message is taken back: with a user's own token in his.
fn recaller(call: &Call, asked: &Recall) -> Result<By> {
    let from = match (asked.from.as_deref(), call.caller_user()) {
        (Some(from), _) => UserId::parse(from)
            .map_err(|error| refused(StatusCode::BAD_REQUEST, error.to_string()))?,
        (None, Some(user)) => user.clone(),
        (None, None) => UserId::parse(ADMIN)?,
    };
    call.acts_for(&from)?;
    Ok(match call.caller_user() {
        Some(_) => By::User(from),
        None => By::Server(from),
    })
}
