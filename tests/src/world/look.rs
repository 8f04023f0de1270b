//! Everything that can be read from the store, as JSON.

use std::fmt::Write;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tidestore::plan::UserId;
use tidestore::{
    App, Channel, ChannelKind, Conversation, Filter, Message, MuteEnd, NewMessage, Page, PushScope,
    Revision, Store,
};

use crate::world::resource;
use crate::{DAY, group, key, user, whole};

/// Reads all that [`fill`](crate::world::fill) and [`leave_a_tail`](crate::world::leave_a_tail) wrote. Reading changes
/// nothing; appends that were made before are tried again, and answered with the first receipt.
pub async fn look(store: &Store) -> Value {
    let mut apps = Map::new();
    for info in store.apps() {
        let app = store.app(&info.key).unwrap();
        let undo = info.undo.as_ref();
        let found = json!({
            "id": info.id.0,
            "plan": info.terms.plan().to_string(),
            "users_cap": info.terms.caps().users,
            "retention_days": info.terms.caps().retention.as_days(),
            "created": info.created,
            "floor": info.floor,
            "undo": undo.map(|undo| json!([undo.terms.plan().to_string(), undo.floor, undo.until])),
            "conversations": conversations(&app).await,
            "usage": usage(&app).await,
        });
        apps.insert(info.key.to_string(), found);
    }
    let app = store.app(&key("acme#chat")).unwrap();
    json!({
        "store": hex(&store.file().id),
        "created": store.file().created,
        "apps": apps,
        "users": users(&app).await,
        "groups": channels(&app, ChannelKind::Group).await,
        "rooms": channels(&app, ChannelKind::Room).await,
        "threads": threads(&app).await,
        "attachments": attachments(&app).await,
        "delivery": delivery(&app).await,
        "reactions": reactions(&app).await,
        "push": push(&app).await,
        "receipts": receipts(&app).await,
        "history_file": history_file(&app).await,
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// Text as it is, other bytes in hexadecimal.
fn content(bytes: &Bytes) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => json!({"hex": hex(bytes)}),
    }
}

fn message(message: &Message) -> Value {
    json!({
        "id": message.id.0,
        "seq": message.seq.0,
        "sender": message.sender.as_str(),
        "kind": message.kind.as_str(),
        "body": content(&message.body),
        "ext": content(&message.ext),
        "client_id": message.client_id.as_str(),
        "attachments": message.attachments.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "revision": match message.revision {
            Revision::Original => Value::Null,
            Revision::Edited { version, at } => json!({"edited": version, "at": at}),
            Revision::Recalled { at } => json!({"recalled": at}),
            Revision::Erased => "erased".into(),
        },
    })
}

fn ids(messages: &[Message]) -> Vec<u64> {
    messages.iter().map(|message| message.id.0).collect()
}

async fn conversations(app: &App) -> Value {
    let mut all = Map::new();
    for head in app.conversations(None, 1_000).await.unwrap() {
        let messages = whole(app, &head.conversation).await.unwrap();
        for found in &messages {
            let (of, by_id) = app.message(found.id).await.unwrap().unwrap();
            assert_eq!((&of, &by_id), (&head.conversation, found));
        }
        let aside = whole(app, &head.conversation.aside()).await.unwrap();
        let found = json!({
            "last_seq": head.last_seq.0,
            "last_id": head.last_id.0,
            "messages": messages.iter().map(message).collect::<Vec<_>>(),
            "aside": aside.iter().map(message).collect::<Vec<_>>(),
        });
        all.insert(head.conversation.to_string(), found);
    }
    all.into()
}

async fn usage(app: &App) -> Value {
    let ledger = app.ledger().await.unwrap();
    let days = ledger.days.iter();
    let days: Vec<_> = days
        .map(|(day, count)| (day, count.messages, count.body_bytes))
        .collect();
    let attachments = ledger.attachments.total;
    json!({
        "users": ledger.users.used,
        "groups": ledger.groups.used,
        "rooms": ledger.rooms.used,
        "threads": ledger.threads.used,
        "user_attributes": ledger.user_attributes.used,
        "room_attributes": ledger.room_attributes.used,
        "messages": ledger.messages.messages,
        "body_bytes": ledger.messages.body_bytes,
        "days": days,
        "attachments": attachments.attachments,
        "logical_bytes": attachments.logical_bytes,
        "physical_bytes": attachments.physical_bytes,
    })
}

fn end(end: MuteEnd) -> Value {
    match end {
        MuteEnd::At(time) => time.into(),
        MuteEnd::Never => "never".into(),
    }
}

fn names(users: &[UserId]) -> Vec<String> {
    users.iter().map(ToString::to_string).collect()
}

async fn users(app: &App) -> Value {
    let mut all = Vec::new();
    for found in app.users().list(None, 100).await.unwrap().items {
        let contacts = app.contacts(&found.id).list(None, 100).await.unwrap().items;
        let contacts = contacts
            .iter()
            .map(|c| (c.friend.to_string(), c.since, c.remark.clone()));
        let mutes = app.users().mutes(&found.id).await.unwrap();
        let counts = app.users().counts(&found.id).await.unwrap();
        let presence = app.presence(&found.id);
        let subscriptions = presence.subscriptions(None, 100).await.unwrap().items;
        let subscriptions = subscriptions.iter().map(|s| (s.user.to_string(), s.until));
        let blocked = app.blocks(&found.id).list(None, 100).await.unwrap().items;
        all.push(json!({
            "id": found.id.to_string(),
            "uuid": hex(&found.uuid),
            "created": found.created,
            "modified": found.modified,
            "banned": found.is_banned,
            "nickname": found.nickname,
            "display_style": found.display_style,
            "no_disturbing": found.no_disturbing,
            "no_disturbing_hours": found.no_disturbing_hours,
            "contacts": contacts.collect::<Vec<_>>(),
            "blocked": names(&blocked),
            "mutes": [mutes.chat.map(end), mutes.groupchat.map(end), mutes.chatroom.map(end)],
            "groups": counts.groups,
            "subscriptions": subscriptions.collect::<Vec<_>>(),
            "subscribers": names(&presence.subscribers(None, 100).await.unwrap().items),
            "attributes": app.user_attributes().get(&found.id, None).await.unwrap(),
        }));
    }
    let password = app
        .users()
        .check_password(&user("ann"), "tide-and-time")
        .await;
    let supers = app.rooms().super_admins(None, 100).await.unwrap().items;
    json!({
        "all": all,
        "password": password.unwrap(),
        "wrong_password": app.users().check_password(&user("ann"), "wrong").await.unwrap(),
        "super_admins": names(&supers),
    })
}

fn channel(channel: &Channel) -> Value {
    json!({
        "name": channel.name,
        "description": channel.description,
        "extension": channel.extension,
        "owner": channel.owner.to_string(),
        "created": channel.created,
        "modified": channel.modified,
        "max_users": channel.max_users,
        "flags": [
            channel.is_public, channel.members_only, channel.allow_invites,
            channel.invite_needs_confirm, channel.is_disabled, channel.is_muted,
        ],
        "counts": [channel.members, channel.admins],
    })
}

async fn channels(app: &App, kind: ChannelKind) -> Value {
    let mut all = Map::new();
    let channels = app.channels(kind);
    for found in channels.list(None, 100).await.unwrap().items {
        let members = channels.members(&found.id);
        let list = members.list(None, 100).await.unwrap().items;
        let list = list.iter().map(|m| {
            let muted = m.muted_until.map(end);
            (
                m.user.to_string(),
                format!("{:?}", m.role),
                m.joined,
                muted,
                m.is_allowed,
            )
        });
        let muted = members.muted(None, 100).await.unwrap().items;
        let muted = muted
            .into_iter()
            .map(|(user, until)| (user.to_string(), end(until)));
        let mut value = channel(&found);
        value["members"] = json!(list.collect::<Vec<_>>());
        value["admins"] = json!(names(&members.admins(None, 100).await.unwrap().items));
        value["muted"] = json!(muted.collect::<Vec<_>>());
        value["blocked"] = json!(names(&members.blocked(None, 100).await.unwrap().items));
        value["allowed"] = json!(names(&members.allowed(None, 100).await.unwrap().items));
        value["announcement"] = channels.announcement(&found.id).await.unwrap().into();
        if kind == ChannelKind::Group {
            let files = app
                .shared_files(&found.id)
                .list(None, 100)
                .await
                .unwrap()
                .items;
            let files = files.iter().map(|f| {
                (
                    f.attachment.to_string(),
                    &f.name,
                    f.owner.to_string(),
                    f.size,
                    f.created,
                )
            });
            value["files"] = json!(files.collect::<Vec<_>>());
        } else {
            let attributes = app.room_attributes(&found.id).get(None).await.unwrap();
            let attributes = attributes
                .iter()
                .map(|(key, a)| (key, &a.value, &a.setter, a.auto_delete, a.modified));
            value["attributes"] = json!(attributes.collect::<Vec<_>>());
        }
        all.insert(found.id.to_string(), value);
    }
    all.into()
}

async fn threads(app: &App) -> Value {
    let mut all = Vec::new();
    for found in app.threads().list(false, None, 100).await.unwrap().items {
        let members = app
            .threads()
            .members(&found.id, None, 100)
            .await
            .unwrap()
            .items;
        all.push(json!({
            "id": found.id.to_string(),
            "group": found.group.to_string(),
            "name": found.name,
            "owner": found.owner.to_string(),
            "parent": found.parent,
            "created": found.created,
            "members": names(&members),
        }));
    }
    all.into()
}

async fn attachments(app: &App) -> Value {
    let mut all = Vec::new();
    for found in app.attachments(None, 100).await.unwrap() {
        let download = app.open_attachment(found.id).await.unwrap();
        let bytes = download.read_to_end().await.unwrap();
        all.push(json!({
            "id": found.id.to_string(),
            "uploader": found.uploader,
            "name": found.name,
            "media_type": found.media_type,
            "length": found.length,
            "read": bytes.len(),
            "first": hex(&bytes[..bytes.len().min(16)]),
            "last": hex(&bytes[bytes.len().saturating_sub(16)..]),
            "hash": hex(&found.hash),
            "uploaded": found.uploaded,
            "keep_until": found.keep_until,
            "messages": found.messages,
            "pins": found.pins,
            "newest_message": found.newest_message,
        }));
    }
    all.into()
}

async fn delivery(app: &App) -> Value {
    let mut all = Map::new();
    for (name, devices) in [
        ("ann", &["phone", "tablet"][..]),
        ("bob", &["desk"]),
        ("dan", &[]),
    ] {
        let user = user(name);
        let mut inboxes = Map::new();
        for device in devices {
            let page = app
                .inbox(&user, device)
                .unwrap()
                .page(None, 1_000)
                .await
                .unwrap();
            let items = page.items.iter();
            let items = items.map(|p| (p.conversation.to_string(), p.message.id.0));
            inboxes.insert((*device).to_owned(), json!(items.collect::<Vec<_>>()));
        }
        let list = app
            .as_user(&user)
            .conversations(None, 100)
            .await
            .unwrap()
            .items;
        let list = list.iter().map(|l| {
            (
                l.conversation.to_string(),
                l.last.id.0,
                l.unread,
                l.pinned,
                l.muted,
            )
        });
        let view = app.as_user(&user);
        let all_of = Filter::default();
        let mut histories = Map::new();
        let chat = Conversation::direct(&crate::user("ann"), &crate::user("bob"));
        for conversation in [group("tea"), chat] {
            if conversation.admits(&user) {
                let page = view
                    .history(&conversation, Page::newest(1_000), &all_of)
                    .await;
                let read = view.read_up_to(&conversation).await.unwrap().0;
                let found = json!({"shown": ids(&page.unwrap().messages), "read_up_to": read});
                histories.insert(conversation.to_string(), found);
            }
        }
        let found =
            json!({"inboxes": inboxes, "list": list.collect::<Vec<_>>(), "histories": histories});
        all.insert(name.to_owned(), found);
    }
    all.into()
}

async fn reactions(app: &App) -> Value {
    let tea = group("tea");
    let messages = whole(app, &tea).await.unwrap();
    let mut all = Vec::new();
    for found in &messages {
        let counts = app.reactions(&[found.id]).await.unwrap().remove(0);
        for count in counts {
            let reactors = app
                .reactors(found.id, &count.reaction, None, 100)
                .await
                .unwrap();
            let reactors = reactors.items.iter().map(|r| (r.user.to_string(), r.at));
            let reactors: Vec<_> = reactors.collect();
            all.push(json!([found.id.0, count.reaction, count.count, reactors]));
        }
    }
    let pinned = app.pinned_messages(&tea).await.unwrap();
    let pinned: Vec<_> = pinned
        .iter()
        .map(|(message, at)| (message.id.0, at))
        .collect();
    json!({"reactions": all, "pinned": pinned})
}

/// What is there for pushing, and for access. Stores of before there was any of it have nothing.
async fn push(app: &App) -> Value {
    let (push, ann) = (app.push(), user("ann"));
    let mut settings = Vec::new();
    for scope in [
        PushScope::App,
        PushScope::User(user("bob")),
        PushScope::Group(resource("tea")),
    ] {
        let found = push.setting(&ann, &scope).await.unwrap();
        let mode = found.mode.map(|mode| format!("{mode:?}"));
        settings.push((mode, found.ignore_interval, found.silent_until));
    }
    let template = push.template("default").await.ok();
    let template = template.map(|t| (t.title_pattern, t.content_pattern, t.created, t.updated));
    let mut labels = Map::new();
    for label in push.labels(None, 100).await.unwrap().items {
        let users = push.label_users(&label.name, None, 100).await.unwrap();
        let users = users.items.iter();
        let users: Vec<_> = users.map(|u| (u.user.to_string(), u.created)).collect();
        let found = json!([label.description, label.created, label.users, users]);
        labels.insert(label.name, found);
    }
    let log = app.notifications(None, 100).await.unwrap();
    let log = log.iter().map(|n| {
        let kind = format!("{:?}", n.kind);
        json!([n.id, n.time, kind, n.targets, content(&n.content)])
    });
    json!({
        "settings": settings,
        "language": push.language(&ann).await.unwrap(),
        "template": template,
        "labels": labels,
        "log": log.collect::<Vec<_>>(),
        "revision": app.users().token_revision(&user("eve")).await.unwrap(),
        "signing_key": app.signing_key().await.unwrap().map(|key| hex(&key)),
    })
}

/// What retries are answered: from both receipt runs, and from the log's tail.
async fn receipts(app: &App) -> Value {
    let mut all = Map::new();
    for (client_id, sender) in [("c-1", "ann"), ("later-3", "dan"), ("late-1", "dan")] {
        let mut retry = NewMessage::text(group("tea"), user(sender), "a retry");
        retry.client_id = client_id.into();
        let receipt = app.append(retry).await.unwrap();
        all.insert(client_id.to_owned(), json!([receipt.id.0, receipt.seq.0]));
    }
    all.into()
}

async fn history_file(app: &App) -> Value {
    use std::io::Read;
    let mut file = app.history_file(crate::START - 3 * DAY).unwrap();
    let mut gzip = Vec::new();
    while let Some(piece) = file.next().await.unwrap() {
        gzip.extend_from_slice(&piece);
    }
    let mut text = String::new();
    flate2::read::GzDecoder::new(&gzip[..])
        .read_to_string(&mut text)
        .unwrap();
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.collect::<Vec<_>>().into()
}
