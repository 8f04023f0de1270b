//! Reactions to messages: rows 140 to 143. The answers have an envelope of their own.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tidestore::plan::{Limit, ResourceId, UserId};
use tidestore::{Conversation, ErrorKind, MessageId, Parties, ReactionCount};

use crate::answer::{Answer, timestamp};
use crate::auth::Access;
use crate::call::{Call, required};
use crate::lenient;
use crate::pages::size;
use crate::refusal::{Refusal, Result};
use crate::routes::Route;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(140, Access::Own, add)
            .body::<NewReaction>()
            .bare::<Done<Added>>(),
        Route::new(141, Access::Own, list)
            .query::<Wanted>()
            .bare::<Done<Vec<OfMessage>>>(),
        Route::new(142, Access::Own, remove)
            .query::<One>()
            .bare::<Done<Value>>(),
        Route::new(143, Access::Own, detail)
            .query::<One>()
            .bare::<Done<Detail>>(),
    ]
}

/// What is around each answer.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Done<T> {
    request_status_code: &'static str,
    timestamp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<T>,
}

fn done<T: Serialize>(data: Option<T>) -> Answer {
    Answer::bare(json!(Done {
        request_status_code: "ok",
        timestamp: timestamp(),
        data,
    }))
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct NewReaction {
    #[serde(rename = "msgId", deserialize_with = "lenient::text")]
    msg_id: Option<String>,
    /// The reaction.
    #[serde(deserialize_with = "lenient::text")]
    message: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Added {
    id: String,
    msg_id: String,
    msg_type: &'static str,
    group_id: Option<String>,
    reaction: String,
    created_at: String,
    updated_at: String,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct Wanted {
    /// Ids, separated by commas.
    #[serde(deserialize_with = "lenient::text")]
    msg_id_list: Option<String>,
    /// `chat` or `groupchat`.
    #[serde(deserialize_with = "lenient::text")]
    msg_type: Option<String>,
    /// For `groupchat`.
    #[serde(deserialize_with = "lenient::text")]
    group_id: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct OfMessage {
    msg_id: String,
    reaction_list: Vec<Reaction>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Reaction {
    reaction_id: String,
    reaction: String,
    count: u64,
    /// Whether the user of the call has reacted so.
    state: bool,
    /// The first three.
    user_list: Vec<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct One {
    #[serde(rename = "msgId", deserialize_with = "lenient::text")]
    msg_id: Option<String>,
    #[serde(deserialize_with = "lenient::text")]
    message: Option<String>,
    #[serde(deserialize_with = "lenient::number")]
    limit: Option<i64>,
    #[serde(deserialize_with = "lenient::text")]
    cursor: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Detail {
    #[serde(flatten)]
    reaction: Reaction,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

/// How many users a list of reactions names.
const NAMED: usize = 3;

/// The service has a number for this one, and all else is 400 too.
fn refused(error: tidestore::Error) -> Refusal {
    let text = match error.kind() {
        ErrorKind::Reaction => format!("1301: {error}"),
        _ => error.to_string(),
    };
    let refusal = Refusal::from(error);
    if refusal.status.is_client_error() {
        Refusal::argument(text)
    } else {
        refusal
    }
}

fn message_id(text: &str) -> Result<MessageId> {
    let id = text.trim().parse().map(MessageId);
    id.map_err(|_| Refusal::argument(format!("{text:?} is no id of a message")))
}

/// The same reaction to the same message has the same id, and another has another.
fn reaction_id(id: MessageId, reaction: &str) -> String {
    let hash = blake3::hash(format!("{id}/{reaction}").as_bytes());
    hash.to_hex().chars().take(20).collect()
}

/// The conversation of a message that a user may see and react to.
async fn conversation(call: &Call, user: &UserId, id: MessageId) -> Result<Conversation> {
    let found = call.app.message(id).await?;
    let unknown = || Refusal::argument(format!("there is no message {id} for {user}"));
    let (conversation, _) = found.ok_or_else(unknown)?;
    if matches!(conversation.parties(), Some(Parties::Room(_)) | None) {
        return Err(Refusal::argument("messages of chatrooms have no reactions"));
    }
    // Says whether he takes part in it.
    call.app
        .as_user(user)
        .unread(&conversation)
        .await
        .map_err(|_| unknown())?;
    Ok(conversation)
}

async fn add(mut call: Call) -> Result<Answer> {
    let user = call.user()?;
    let asked: NewReaction = call.json().await?;
    let id = message_id(&required(asked.msg_id, "msgId")?)?;
    let reaction = required(asked.message, "message")?;
    let conversation = conversation(&call, &user, id).await?;
    call.app
        .react(id, &user, &reaction)
        .await
        .map_err(refused)?;
    let (msg_type, group_id) = match conversation.parties() {
        Some(Parties::Group(group)) => ("groupchat", Some(group.to_string())),
        Some(Parties::Thread(thread)) => ("groupchat", Some(thread.to_string())),
        _ => ("chat", None),
    };
    let now = i64::try_from(call.app.now())
        .ok()
        .and_then(|now| Timestamp::from_millisecond(now).ok());
    let now = now.map(|now| now.to_string()).unwrap_or_default();
    Ok(done(Some(Added {
        id: reaction_id(id, &reaction),
        msg_id: id.to_string(),
        msg_type,
        group_id,
        reaction,
        created_at: now.clone(),
        updated_at: now,
    })))
}

/// A reaction as a user sees it.
async fn seen(call: &Call, user: &UserId, id: MessageId, of: ReactionCount) -> Result<Reaction> {
    let first = call
        .app
        .reactors(id, &of.reaction, None, NAMED)
        .await
        .map_err(refused)?;
    let mut state = first.items.iter().any(|reactor| reactor.user == *user);
    let mut cursor = first.next.clone();
    while let (false, Some(behind)) = (state, cursor) {
        let page = call
            .app
            .reactors(id, &of.reaction, Some(&behind), 1_000)
            .await
            .map_err(refused)?;
        state = page.items.iter().any(|reactor| reactor.user == *user);
        cursor = page.next;
    }
    Ok(Reaction {
        reaction_id: reaction_id(id, &of.reaction),
        reaction: of.reaction,
        count: of.count,
        state,
        user_list: first
            .items
            .iter()
            .map(|reactor| reactor.user.to_string())
            .collect(),
    })
}

/// Whether a message is where the call says.
fn is_there(conversation: &Conversation, group: Option<&ResourceId>) -> bool {
    match (conversation.parties(), group) {
        (Some(Parties::Group(id) | Parties::Thread(id)), Some(group)) => id == *group,
        (Some(Parties::Direct(..)), None) => true,
        _ => false,
    }
}

async fn list(call: Call) -> Result<Answer> {
    let (user, wanted) = (call.user()?, call.query::<Wanted>()?);
    let ids = required(wanted.msg_id_list, "msgIdList")?;
    let ids = ids.split(',').map(message_id).collect::<Result<Vec<_>>>()?;
    call.limits()
        .check(Limit::ReactionMessages, ids.len() as u64)?;
    let group = match (wanted.msg_type.as_deref(), wanted.group_id) {
        (Some("chat"), _) => None,
        (Some("groupchat"), group) => Some(ResourceId::parse(&required(group, "groupId")?)?),
        _ => return Err(Refusal::argument("msgType is chat or groupchat")),
    };
    for id in &ids {
        if !is_there(&conversation(&call, &user, *id).await?, group.as_ref()) {
            return Err(Refusal::argument(format!("message {id} is not there")));
        }
    }
    let counts = call.app.reactions(&ids).await.map_err(refused)?;
    let mut data = Vec::new();
    for (id, counts) in ids.iter().zip(counts) {
        let mut reaction_list = Vec::new();
        for count in counts {
            reaction_list.push(seen(&call, &user, *id, count).await?);
        }
        data.push(OfMessage {
            msg_id: id.to_string(),
            reaction_list,
        });
    }
    Ok(done(Some(data)))
}

async fn remove(call: Call) -> Result<Answer> {
    let (user, one) = (call.user()?, call.query::<One>()?);
    let id = message_id(&required(one.msg_id, "msgId")?)?;
    let reaction = required(one.message, "message")?;
    conversation(&call, &user, id).await?;
    call.app
        .unreact(id, &user, &reaction)
        .await
        .map_err(refused)?;
    Ok(done(None::<Value>))
}

async fn detail(call: Call) -> Result<Answer> {
    let (user, one) = (call.user()?, call.query::<One>()?);
    let id = message_id(&required(one.msg_id, "msgId")?)?;
    let wanted = required(one.message, "message")?;
    conversation(&call, &user, id).await?;
    let limit = size(
        one.limit,
        50,
        call.limits().max(Limit::ReactionPage),
        "limit",
    )?;
    let counts = call.app.reactions(&[id]).await.map_err(refused)?;
    let count = counts
        .into_iter()
        .flatten()
        .find(|count| count.reaction == wanted);
    let count = count.ok_or_else(|| Refusal::argument("nobody has reacted so"))?;
    let mut reaction = seen(&call, &user, id, count).await?;
    let page = call
        .app
        .reactors(id, &wanted, one.cursor.as_deref(), limit)
        .await
        .map_err(refused)?;
    reaction.user_list = page
        .items
        .iter()
        .map(|reactor| reactor.user.to_string())
        .collect();
    let cursor = page.next;
    Ok(done(Some(Detail { reaction, cursor })))
}
