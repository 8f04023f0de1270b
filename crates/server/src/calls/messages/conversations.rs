//! A user's list of conversations: rows 27 and 28.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tidestore::plan::{Limit, Method, ResourceId, UserId};
use tidestore::{Conversation, Listed, Message, Parties};

use crate::answer::Answer;
use crate::auth::Access;
use crate::call::{Call, required};
use crate::lenient;
use crate::pages::{ByCursor, size};
use crate::refusal::{Refusal, Result};
use crate::routes::Route;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(27, Access::Own, delete)
            .also(Method::Delete, "/user/{username}/user_channel")
            .body::<Channel>()
            .data::<Done>(),
        Route::new(28, Access::Own, list)
            .also(Method::Get, "/users/{username}/user_channels")
            .query::<ByCursor>()
            .data::<Channels>(),
    ]
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Channel {
    /// The other one, or a group.
    #[serde(deserialize_with = "lenient::text")]
    channel: Option<String>,
    /// `chat` or `groupchat`.
    #[serde(rename = "type", deserialize_with = "lenient::text")]
    kind: Option<String>,
    /// Also deletes, for this user, what it holds now.
    #[serde(deserialize_with = "lenient::flag")]
    delete_roam: Option<bool>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Done {
    result: &'static str,
}

async fn delete(mut call: Call) -> Result<Answer> {
    let user = call.user()?;
    let asked: Channel = call.json().await?;
    let channel = required(asked.channel, "channel")?;
    let delete_roam = required(asked.delete_roam, "delete_roam")?;
    let conversation = match required(asked.kind, "type")?.as_str() {
        "chat" => Conversation::direct(&user, &UserId::parse(&channel)?),
        "groupchat" | "groupChat" => Conversation::group(&ResourceId::parse(&channel)?),
        other => {
            return Err(Refusal::argument(format!(
                "{other:?} is neither chat nor groupchat"
            )));
        }
    };
    call.app.users().get(&user).await?;
    let view = call.app.as_user(&user);
    if delete_roam {
        view.clear(&conversation).await?;
    } else {
        view.unlist(&conversation).await?;
    }
    Answer::data(&Done { result: "ok" })
}

#[derive(Debug, Serialize, JsonSchema)]
struct Channels {
    channel_infos: Vec<ChannelInfo>,
}

/// As the service's own web client reads it.
#[derive(Debug, Serialize, JsonSchema)]
struct ChannelInfo {
    channel_id: String,
    meta: Meta,
    unread_num: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Meta {
    from: String,
    to: String,
    id: String,
    timestamp: u64,
    /// JSON as text.
    payload: String,
}

/// The domains that clients tell direct conversations and groups apart by.
const DIRECT: &str = "easemob.com";
const GROUP: &str = "conference.easemob.com";

fn json_of(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| json!({"msg": String::from_utf8_lossy(bytes)}))
}

/// The newest message as clients read it.
fn payload(message: &Message, to: &str) -> String {
    let mut body = json_of(&message.body);
    if let Value::Object(body) = &mut body {
        body.insert("type".to_owned(), message.kind.as_str().into());
    }
    let ext = serde_json::from_slice(&message.ext).unwrap_or_else(|_| json!({}));
    json!({"bodies": [body], "ext": ext, "from": message.sender.as_str(), "to": to}).to_string()
}

fn info(app: &str, user: &UserId, listed: &Listed) -> Option<ChannelInfo> {
    let (peer, domain) = match listed.conversation.parties()? {
        Parties::Direct(low, high) if low == *user => (high.to_string(), DIRECT),
        Parties::Direct(low, _) => (low.to_string(), DIRECT),
        Parties::Group(id) => (id.to_string(), GROUP),
        Parties::Room(_) | Parties::Thread(_) => return None,
    };
    let last = &listed.last;
    let to = if domain == DIRECT && last.sender != user.as_str() {
        user.to_string()
    } else {
        peer.clone()
    };
    Some(ChannelInfo {
        channel_id: format!("{app}_{peer}@{domain}"),
        meta: Meta {
            from: last.sender.to_string(),
            id: last.id.to_string(),
            timestamp: last.millis(),
            payload: payload(last, &to),
            to,
        },
        unread_num: listed.unread,
    })
}

async fn list(call: Call) -> Result<Answer> {
    let user = call.user()?;
    let asked: ByCursor = call.query()?;
    let max = call.limits().max(Limit::ConversationList);
    let limit = size(
        asked.limit,
        usize::try_from(max).unwrap_or(100),
        max,
        "limit",
    )?;
    call.app.users().get(&user).await?;
    let page = call
        .app
        .as_user(&user)
        .conversations(asked.cursor.as_deref(), limit)
        .await?;
    let app = call.app.key().as_str();
    let channel_infos = page
        .items
        .iter()
        .filter_map(|listed| info(app, &user, listed))
        .collect();
    // Without a size the whole list was asked for: the idlest conversations fall off, and there is no page behind it.
    let cursor = page.next.filter(|_| asked.limit.is_some());
    Ok(Answer::data(&Channels { channel_infos })?.cursor(cursor))
}
