//! Sending: rows 20 to 22.

use std::collections::{BTreeMap, HashSet};

use axum::http::StatusCode;
use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use tidestore::plan::{AttachmentId, Limit, Limits, Method, ResourceId, UserId};
use tidestore::{
    ChannelKind, Conversation, DirectoryErrorKind, ErrorKind, Kind, MessageId, NewMessage, Parties,
    Signal,
};

use super::content::{Content, attachments, content, kind_of, send_error};
use crate::answer::Answer;
use crate::auth::Access;
use crate::call::{Call, parse_object};
use crate::lenient;
use crate::push::SentMessage;
use crate::refusal::{Refusal, Result};
use crate::routes::{Charge, Route};

pub(super) fn routes() -> Vec<Route> {
    let route = |route: Route| {
        let route = route.charged(Charge::Handler).body::<Send>();
        route.data::<BTreeMap<String, String>>()
    };
    vec![
        route(Route::new(20, Access::User, to_users)),
        route(Route::new(21, Access::User, to_groups)),
        route(Route::new(22, Access::User, to_rooms)),
        Route::beside(
            "send_message",
            Method::Post,
            "/messages",
            Access::User,
            to_any,
        )
        .charged(Charge::Handler)
        .body::<OldSend>()
        .data::<BTreeMap<String, String>>(),
    ]
}

/// Who sends where nobody is named.
pub(super) const ADMIN: &str = "admin";

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Send {
    /// `admin` if it is not there.
    #[serde(deserialize_with = "lenient::kept_text")]
    from: Option<String>,
    #[serde(deserialize_with = "lenient::names")]
    to: Option<Vec<String>>,
    #[serde(rename = "type", deserialize_with = "lenient::text")]
    kind: Option<String>,
    body: Option<Value>,
    ext: Option<Value>,
    /// The store's inboxes always carry what a user sent from elsewhere, so this asks for what happens anyway.
    #[serde(deserialize_with = "lenient::flag")]
    #[allow(dead_code, reason = "its type is checked")]
    sync_device: Option<bool>,
    /// `ROUTE_ONLINE`: only to those who are online now.
    #[serde(deserialize_with = "lenient::text")]
    routetype: Option<String>,
    /// Users who never see it.
    #[serde(deserialize_with = "lenient::names")]
    roam_ignore_users: Option<Vec<String>>,
    #[serde(deserialize_with = "lenient::text")]
    chatroom_msg_level: Option<String>,
}

/// What clients of the hosted service sent before there was a call for each kind of target.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
struct OldSend {
    #[serde(deserialize_with = "lenient::kept_text")]
    from: Option<String>,
    /// `users`, `chatgroups` or `chatrooms`.
    #[serde(deserialize_with = "lenient::text")]
    target_type: Option<String>,
    #[serde(deserialize_with = "lenient::names")]
    target: Option<Vec<String>>,
    /// The body, with its `type`.
    msg: Option<serde_json::Map<String, Value>>,
    ext: Option<Value>,
}

/// A checked message, without its place.
struct Draft {
    from: UserId,
    content: Content,
    attachments: Vec<AttachmentId>,
    hidden_from: Vec<UserId>,
    is_online_only: bool,
}

/// Where messages of a call go.
#[derive(Clone, Copy)]
struct Targets {
    row: u8,
    limit: Limit,
    conversation: fn(&UserId, &str) -> Result<Conversation>,
}

fn unsendable(error: &tidestore::plan::IdError) -> Refusal {
    send_error(error.to_string())
}

const USERS: Targets = Targets {
    row: 20,
    limit: Limit::DirectTargets,
    conversation: |from, to| {
        let to = UserId::parse(to).map_err(|error| unsendable(&error))?;
        Ok(Conversation::direct(from, &to))
    },
};

async fn to_users(call: Call) -> Result<Answer> {
    send(call, USERS).await
}

const GROUPS: Targets = Targets {
    row: 21,
    limit: Limit::GroupTargets,
    conversation: |_, to| {
        let to = ResourceId::parse(to).map_err(|error| unsendable(&error))?;
        Ok(Conversation::group(&to))
    },
};

async fn to_groups(call: Call) -> Result<Answer> {
    send(call, GROUPS).await
}

const ROOMS: Targets = Targets {
    row: 22,
    limit: Limit::RoomTargets,
    conversation: |_, to| {
        let to = ResourceId::parse(to).map_err(|error| unsendable(&error))?;
        Ok(Conversation::room(&to))
    },
};

async fn to_rooms(call: Call) -> Result<Answer> {
    send(call, ROOMS).await
}

/// The bound on a request, which leaves its receivers out: 600 long names alone would be beyond it.
fn check_size(limits: &Limits, bytes: &Bytes, to: &[String]) -> Result<()> {
    let names: usize = to.iter().map(|name| name.len() + 3).sum();
    let rest = bytes.len().saturating_sub(names) as u64;
    let limit = Limit::SendRequest;
    if limits.check(limit, rest).is_ok() {
        return Ok(());
    }
    let text = format!(
        "the request is {rest} bytes long; at most {} are allowed",
        limits.max(limit)
    );
    Err(Refusal::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "Request Entity Too Large",
        text,
    ))
}

async fn send(mut call: Call, targets: Targets) -> Result<Answer> {
    call.check_json()?;
    let bytes = call.bytes().await?;
    let asked: Send = parse_object(&bytes)?;
    Answer::data(&send_to(&call, &bytes, asked, targets).await?)
}

/// The older form of all three. It says `success` for each target, where the newer ones say ids.
async fn to_any(mut call: Call) -> Result<Answer> {
    let bytes = call.bytes().await?;
    let asked: OldSend = parse_object(&bytes)?;
    let targets = match asked.target_type.as_deref() {
        Some("users") => USERS,
        Some("chatgroups") => GROUPS,
        Some("chatrooms") => ROOMS,
        _ => {
            return Err(send_error(
                "target_type is none of users, chatgroups, chatrooms",
            ));
        }
    };
    let mut body = asked.msg.unwrap_or_default();
    let kind = match body.remove("type") {
        Some(Value::String(kind)) => Some(kind),
        _ => None,
    };
    let asked = Send {
        from: asked.from,
        to: asked.target,
        kind,
        body: Some(Value::Object(body)),
        ext: asked.ext,
        ..Send::default()
    };
    let sent = send_to(&call, &bytes, asked, targets).await?;
    let done = |(name, _)| (name, "success");
    Answer::data(&sent.into_iter().map(done).collect::<BTreeMap<_, _>>())
}

/// Does what a request asks for, and says the ids of the messages.
async fn send_to(call: &Call, bytes: &Bytes, asked: Send, targets: Targets) -> Result<Sent> {
    let mut to = asked.to.clone().unwrap_or_default();
    if to.is_empty() {
        return Err(send_error("to is empty"));
    }
    let (count, most) = (to.len() as u64, call.limits().max(targets.limit));
    if count > most {
        return Err(send_error(format!(
            "to holds {count} targets; at most {most} are allowed"
        )));
    }
    check_size(call.limits(), bytes, &to)?;
    to.sort();
    to.dedup();
    let draft = draft(call, asked).await?;
    let mut places = Vec::with_capacity(to.len());
    let mut seen = HashSet::with_capacity(to.len());
    for name in to {
        let conversation = (targets.conversation)(&draft.from, &name)?;
        // Two spellings of a user are one.
        if seen.insert(conversation.clone()) {
            places.push((conversation, name));
        }
    }
    // Counted before the directory is asked: that costs more than counting.
    call.charge(targets.row, places.len())?;
    for (conversation, _) in &places {
        check_allowed(call, &draft.from, conversation).await?;
    }
    if draft.is_online_only {
        hand_over(call, &draft, places).await
    } else {
        store(call, &draft, places).await
    }
}

async fn draft(call: &Call, asked: Send) -> Result<Draft> {
    let from = match (asked.from.as_deref(), call.caller_user()) {
        (Some(""), _) => return Err(send_error("from is empty")),
        (Some(from), _) => UserId::parse(from).map_err(|error| unsendable(&error))?,
        (None, Some(user)) => user.clone(),
        (None, None) => UserId::parse(ADMIN)?,
    };
    call.acts_for(&from)?;
    let kind = asked
        .kind
        .as_deref()
        .ok_or_else(|| send_error("type is empty"))?;
    let body = asked
        .body
        .as_ref()
        .ok_or_else(|| send_error("body is empty"))?;
    let content = content(call.limits(), kind_of(kind)?, body, asked.ext.as_ref())?;
    let hidden = asked.roam_ignore_users.unwrap_or_default();
    if hidden.len() as u64 > call.limits().max(Limit::RoamIgnoreUsers) {
        return Err(send_error("roam_ignore_users holds too many users"));
    }
    let hidden = hidden
        .iter()
        .map(|name| UserId::parse(name).map_err(|error| unsendable(&error)));
    let is_online_only = match asked.routetype.as_deref() {
        None => false,
        Some("ROUTE_ONLINE") => true,
        Some(other) => return Err(send_error(format!("{other:?} is no routetype"))),
    };
    if let Some(level) = asked.chatroom_msg_level.as_deref()
        && !matches!(level, "high" | "normal" | "low")
    {
        return Err(send_error(format!("{level:?} is no chatroom_msg_level")));
    }
    Ok(Draft {
        from,
        attachments: attachments(&call.app, &content.urls).await?,
        content,
        hidden_from: hidden.collect::<Result<_>>()?,
        is_online_only,
    })
}

/// Asks the directory. With the app's token nobody has to exist; but whoever does keeps to the rules.
async fn check_allowed(call: &Call, from: &UserId, conversation: &Conversation) -> Result<()> {
    let Err(error) = call.app.check_send(from, conversation).await else {
        return Ok(());
    };
    let is_missing = matches!(
        error.kind(),
        ErrorKind::Directory(
            DirectoryErrorKind::UserNotFound(_)
                | DirectoryErrorKind::ChannelNotFound(..)
                | DirectoryErrorKind::NotMember(_)
        )
    );
    if !is_missing || call.caller_user().is_some() {
        return Err(error.into());
    }
    check_known(call, from, conversation, error.kind()).await?;
    // An unknown sender hides that a group is banned.
    let channel = match conversation.parties() {
        Some(Parties::Group(id)) => (ChannelKind::Group, id),
        Some(Parties::Room(id)) => (ChannelKind::Room, id),
        _ => return Ok(()),
    };
    match call.app.channels(channel.0).get(&channel.1).await {
        Ok(found) if found.is_disabled => Err(Refusal::forbidden(format!(
            "the {} {} is banned",
            channel.0, channel.1
        ))),
        _ => Ok(()),
    }
}

/// Holds a sender whom the directory knows to his mutes and to the block list, also where something else is missing.
async fn check_known(
    call: &Call,
    from: &UserId,
    conversation: &Conversation,
    missing: &ErrorKind,
) -> Result<()> {
    let (place, mutes) = match missing {
        ErrorKind::Directory(DirectoryErrorKind::UserNotFound(user)) if user == from => {
            return Ok(());
        }
        _ => (conversation.parties(), call.app.users().mutes(from).await?),
    };
    let (mute, channel) = match place {
        Some(Parties::Direct(..)) => (mutes.chat, None),
        Some(Parties::Group(id)) => (mutes.groupchat, Some((ChannelKind::Group, id))),
        Some(Parties::Room(id)) => (mutes.chatroom, Some((ChannelKind::Room, id))),
        Some(Parties::Thread(_)) | None => (mutes.groupchat, None),
    };
    if mute.is_some() {
        return Err(Refusal::forbidden("the sender is muted"));
    }
    if let Some((kind, id)) = channel
        && call
            .app
            .channels(kind)
            .members(&id)
            .is_blocked(from)
            .await?
    {
        return Err(Refusal::forbidden(format!("{from} is on the block list")));
    }
    Ok(())
}

impl Draft {
    fn message(&self, conversation: &Conversation) -> NewMessage {
        NewMessage {
            kind: self.content.kind,
            ext: self.content.ext.clone(),
            attachments: self.attachments.clone(),
            hidden_from: self.hidden_from.clone(),
            ..NewMessage::text(
                conversation.clone(),
                self.from.clone(),
                self.content.body.clone(),
            )
        }
    }

    fn signal(&self, conversation: &Conversation, id: MessageId) -> Signal {
        Signal {
            conversation: conversation.clone(),
            id: Some(id),
            from: self.from.clone(),
            kind: self.content.kind.as_str().into(),
            body: self.content.body.clone(),
            ext: self.content.ext.clone(),
        }
    }
}

type Places = Vec<(Conversation, String)>;
type Sent = BTreeMap<String, String>;

async fn store(call: &Call, draft: &Draft, places: Places) -> Result<Sent> {
    let messages = places
        .iter()
        .map(|(conversation, _)| draft.message(conversation))
        .collect();
    let receipts = call.app.append_many(messages).await;
    let (mut sent, mut failed) = (Sent::new(), None);
    for ((conversation, name), receipt) in places.into_iter().zip(receipts) {
        match receipt {
            Ok(receipt) => {
                sent.insert(name, receipt.id.to_string());
                tell(call, draft, conversation, receipt.id).await;
            }
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    // What was sent is sent: a refusal would make the caller send it again.
    match failed {
        Some(error) if sent.is_empty() => Err(error.into()),
        _ => Ok(sent),
    }
}

/// What follows a stored message. It is stored, whatever becomes of this.
async fn tell(call: &Call, draft: &Draft, conversation: Conversation, id: MessageId) {
    if matches!(conversation.parties(), Some(Parties::Room(_))) {
        // Chatrooms have no inbox: whoever is there hears it now.
        if let Ok(receivers) = call.app.receivers(&conversation, &draft.from).await {
            call.app
                .signal(&receivers, &draft.signal(&conversation, id));
        }
        return;
    }
    if draft.content.kind == Kind::Command || draft.content.is_quiet {
        return;
    }
    call.service.pusher.message(
        &call.app,
        SentMessage {
            conversation,
            sender: draft.from.clone(),
            id,
            kind: draft.content.kind,
            body: draft.content.body.clone(),
            ext: draft.content.ext.clone(),
        },
    );
}

/// To those who are online; nothing is stored.
async fn hand_over(call: &Call, draft: &Draft, places: Places) -> Result<Sent> {
    let mut sent = Sent::new();
    for (conversation, name) in places {
        let is_direct = matches!(conversation.parties(), Some(Parties::Direct(..)));
        let receivers = if is_direct {
            vec![UserId::parse(&name).map_err(|error| unsendable(&error))?]
        } else {
            let found = call.app.receivers(&conversation, &draft.from).await;
            match found.map_err(Refusal::from) {
                // There may be no such group: then there is nobody in it.
                Err(refusal) if refusal.is_not_found() => Vec::new(),
                found => found?,
            }
        };
        let receivers = receivers
            .iter()
            .filter(|user| !draft.hidden_from.contains(user));
        // It names what those who are online are handed; nothing is stored under it.
        let id = MessageId(crate::ids::fresh());
        call.app.signal(receivers, &draft.signal(&conversation, id));
        sent.insert(name, id.to_string());
    }
    Ok(sent)
}
