//! Asking the store: an [`Op`] in, an [`Answer`] out. Used in simulation and by the process that gets killed.

use bytes::Bytes;
use compact_str::format_compact;
use tidestore::plan::{AppKey, AttachmentId, Plan, ResourceId, Terms, UserId};
use tidestore::{
    Account, App, By, ChannelKind, Conversation, Cursor, Durability, Error, ErrorKind, Kind,
    Message, MessageId, MuteFor, NewAttachment, NewChannel, NewMessage, Notice, OldMessage, Page,
    Reference, Result, RoomSet, Seq, Store,
};

use crate::op::{
    Answer, DEVICES, Failure, GROUPS, MessageSeen, Op, PendingSeen, PeopleOp, Place, Receipt, Said,
    USERS,
};
use crate::people;

/// The plans that the chat of a lane moves between.
pub(crate) const PLANS: [Plan; 3] = [Plan::Free, Plan::Basic, Plan::Pro];
/// The kinds of channel.
pub(crate) const KINDS: [ChannelKind; 2] = [ChannelKind::Group, ChannelKind::Room];

/// The two apps of a lane: a chat, and a directory with small caps.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    pub(crate) chat: App,
    pub(crate) people: App,
}

impl Lane {
    /// Finds the apps of a lane.
    pub(crate) fn find(store: &Store, lane: usize) -> Result<Self> {
        Ok(Self {
            chat: store.app(&key(lane, "chat")?)?,
            people: store.app(&key(lane, "people")?)?,
        })
    }
}

fn key(lane: usize, app: &str) -> Result<AppKey> {
    Ok(AppKey::parse(&format!("lane{lane}#{app}"))?)
}

pub(crate) fn user(index: usize) -> Result<UserId> {
    let name = USERS.get(index).copied().unwrap_or("owner");
    Ok(UserId::parse(name)?)
}

pub(crate) fn person(number: u8) -> Result<UserId> {
    Ok(UserId::parse(&format!("u{number}"))?)
}

pub(crate) fn channel(number: u8) -> Result<ResourceId> {
    Ok(ResourceId::parse(&format!("c{number}"))?)
}

fn group(index: usize) -> Result<ResourceId> {
    Ok(ResourceId::parse(
        GROUPS.get(index).copied().unwrap_or_default(),
    )?)
}

/// Conversation number `to`: ann with one of the others, or a group.
pub(crate) fn conversation(to: usize) -> Result<Conversation> {
    match (to + 1).checked_sub(USERS.len()) {
        Some(index) => Ok(Conversation::group(&group(index)?)),
        None => Ok(Conversation::direct(&user(0)?, &user(to + 1)?)),
    }
}

/// The number of a conversation.
fn place_of(conversation: &Conversation, seq: Seq) -> Place {
    let main = conversation.main();
    let to =
        (0..crate::op::PLACES).find(|to| crate::act::conversation(*to).is_ok_and(|c| c == main));
    (to.unwrap_or(usize::MAX), conversation.is_aside(), seq.0)
}

fn attachment(id: &str) -> Result<AttachmentId> {
    AttachmentId::parse(id).map_err(|error| Error::new(ErrorKind::Argument, error.to_string()))
}

/// The content that belongs to a name: some compress, some do not.
pub(crate) fn content(name: &str, len: usize) -> Vec<u8> {
    let mut state = name
        .bytes()
        .fold(7_u64, |a, b| crate::draw::mix(a, b.into()));
    let is_noise = state & 1 == 0;
    let mut content = Vec::with_capacity(len);
    while content.len() < len {
        state = crate::draw::mix(state, 1);
        let word = if is_noise { state } else { state & 0x0101 };
        content.extend_from_slice(&word.to_le_bytes());
    }
    content.truncate(len);
    content
}

/// Makes a request.
pub(crate) async fn act(store: &Store, lane: usize, op: &Op) -> Answer {
    match ask(store, lane, op).await {
        Ok(said) => Answer::Done(said),
        Err(error) => answer_of(&error),
    }
}

/// Sorts an error: a rule, or a failure.
pub(crate) fn answer_of(error: &Error) -> Answer {
    let failure = match error.kind() {
        ErrorKind::Full => Failure::Full,
        ErrorKind::Poisoned => Failure::Poisoned,
        ErrorKind::Corruption => Failure::Corruption,
        ErrorKind::Closed => Failure::Closed,
        ErrorKind::Io | ErrorKind::Locked | ErrorKind::Format | ErrorKind::NotAStore => Failure::Io,
        kind => return Answer::Refused(format!("{kind:?}")),
    };
    Answer::Failed(failure, format!("{error} ({:?})", error.kind()))
}

async fn ask(store: &Store, lane: usize, op: &Op) -> Result<Said> {
    match op {
        Op::SetUp => return set_up(store, lane).await,
        Op::Flush => return store.flush().await.map(|()| Said::Done),
        Op::Merge => return store.merge().await.map(|_| Said::Done),
        Op::Sync => return store.sync().await.map(|()| Said::Done),
        Op::Expire => {
            let report = store.expire().await?;
            return Ok(Said::Expired {
                is_paused: report.paused.is_some(),
                segments: report.segments,
            });
        }
        _ => {}
    }
    let apps = Lane::find(store, lane)?;
    match op {
        Op::People(op) => change_people(&apps.people, op).await,
        Op::Put { .. } | Op::DeleteFile { .. } | Op::PinFile { .. } => files(&apps.chat, op).await,
        Op::Send { .. } | Op::SendMany { .. } | Op::Import { .. } => write(&apps.chat, op).await,
        op => chat(&apps.chat, op).await,
    }
}

async fn set_up(store: &Store, lane: usize) -> Result<Said> {
    let chat = store
        .create_app(&key(lane, "chat")?, Terms::of(Plan::Basic))
        .await?;
    store
        .create_app(&key(lane, "people")?, people::terms())
        .await?;
    let owner = user(USERS.len())?;
    chat.users().register(Account::new(owner.clone())).await?;
    for index in 0..USERS.len() {
        chat.users().register(Account::new(user(index)?)).await?;
        for device in DEVICES {
            // From its first page on a device is known, and begins where the others are.
            chat.inbox(&user(index)?, device)?.page(None, 1).await?;
        }
    }
    for index in 0..GROUPS.len() {
        let new = NewChannel::new(group(index)?, owner.clone());
        chat.groups().create(new).await?;
    }
    Ok(Said::Done)
}

async fn write(app: &App, op: &Op) -> Result<Said> {
    let receipts = match op {
        Op::Send {
            from,
            to,
            body,
            client,
            attachments,
            is_command,
            is_buffered,
        } => {
            let ids = attachments.iter().map(|(_, id)| attachment(id));
            let message = NewMessage {
                kind: if *is_command {
                    Kind::Command
                } else {
                    Kind::Text
                },
                client_id: client.map(|c| format_compact!("c{c}")).unwrap_or_default(),
                attachments: ids.collect::<Result<_>>()?,
                ..NewMessage::text(conversation(*to)?, user(*from)?, body.clone())
            };
            let durability = if *is_buffered {
                Durability::Buffered
            } else {
                Durability::Synced
            };
            app.check_send(&message.sender, &message.conversation)
                .await?;
            let referred = message.attachments.first().copied();
            let receipt = app.append_with(message, durability).await;
            if let Some(id) = referred {
                // Waits until the reference is noted, so that the next request begins when this one is over.
                drop(app.attachment(id).await);
            }
            vec![receipt]
        }
        Op::SendMany { from, to, bodies } => {
            let mut messages = Vec::new();
            for body in bodies {
                messages.push(NewMessage::text(
                    conversation(*to)?,
                    user(*from)?,
                    body.clone(),
                ));
            }
            app.append_many(messages).await
        }
        Op::Import {
            from,
            to,
            time,
            bodies,
            is_pending,
            is_read,
        } => {
            let mut messages = Vec::new();
            for body in bodies {
                let message = NewMessage::text(conversation(*to)?, user(*from)?, body.clone());
                messages.push(OldMessage {
                    is_pending: *is_pending,
                    is_read: *is_read,
                    ..OldMessage::new(message, *time)
                });
            }
            app.import(messages).await
        }
        _ => Vec::new(),
    };
    let mut said = Vec::new();
    for receipt in receipts {
        said.push(match receipt {
            Ok(receipt) => Ok(Receipt {
                id: receipt.id.0,
                seq: receipt.seq.0,
                duplicate: receipt.duplicate,
            }),
            Err(error) => match answer_of(&error) {
                Answer::Refused(why) => Err(why),
                // All of one conversation are one batch: it fails as a whole, or the model will say so.
                _ => return Err(error),
            },
        });
    }
    Ok(Said::Receipts(said))
}

async fn chat(app: &App, op: &Op) -> Result<Said> {
    match op {
        Op::History { to, seq, is_after } => {
            let cursor = Cursor::Seq(Seq(*seq));
            let page = if *is_after {
                Page::after(cursor, 9)
            } else {
                Page::before(cursor, 9)
            };
            let found = app.history(&conversation(*to)?, page).await?;
            return Ok(Said::Messages(found.iter().map(seen).collect()));
        }
        Op::Inbox {
            user: of,
            device,
            limit,
        } => return pending(app, *of, *device, *limit).await,
        Op::Acknowledge {
            user: of,
            device,
            cursor,
            ..
        } => {
            let of = user(*of)?;
            let device = DEVICES.get(*device).copied().unwrap_or_default();
            app.inbox(&of, device)?.acknowledge(cursor).await?;
        }
        Op::MarkRead { user: of, to, seq } => {
            let of = user(*of)?;
            app.as_user(&of)
                .mark_read(&conversation(*to)?, seq.map(Seq))
                .await?;
        }
        Op::Join {
            user: who,
            group: to,
            is_in,
        } => {
            let members = app.groups().members(&group(*to)?);
            if *is_in {
                members.add(&user(*who)?).await?;
            } else {
                members.remove(&user(*who)?).await?;
            }
        }
        Op::Recall { id, .. } => {
            app.recall(MessageId(*id), &By::Server(user(USERS.len())?))
                .await?;
        }
        Op::Edit { id, body, .. } => {
            let by = By::Server(user(USERS.len())?);
            let version = app
                .edit_message(MessageId(*id), &by, body.clone(), Bytes::new())
                .await?;
            return Ok(Said::Version(version));
        }
        Op::React {
            id,
            user: who,
            is_on,
            ..
        } => {
            let (id, who) = (MessageId(*id), user(*who)?);
            if *is_on {
                app.react(id, &who, "+1").await?;
            } else {
                app.unreact(id, &who, "+1").await?;
            }
        }
        Op::Terms { plan } => {
            let plan = PLANS.get(*plan).copied().unwrap_or(Plan::Basic);
            app.change_terms(Terms::of(plan)).await?;
        }
        Op::Undo => drop(app.undo().await?),
        _ => {}
    }
    Ok(Said::Done)
}

async fn pending(app: &App, of: usize, device: usize, limit: usize) -> Result<Said> {
    let of = user(of)?;
    let inbox = app.inbox(&of, DEVICES.get(device).copied().unwrap_or_default())?;
    let page = inbox.page(None, limit).await?;
    let items = page.items.iter().map(|item| {
        let place = place_of(&item.conversation, item.message.seq);
        (place, seen(&item.message), inbox.cursor_of(&page, item))
    });
    Ok(Said::Pending(PendingSeen {
        items: items.collect(),
        cursor: page.cursor.clone(),
        more: page.more,
    }))
}

/// Everything that waits for a device, page by page, without acknowledging it.
pub(crate) async fn all_pending(
    app: &App,
    of: usize,
    device: usize,
) -> Result<Vec<(Place, MessageSeen)>> {
    let of = user(of)?;
    let inbox = app.inbox(&of, DEVICES.get(device).copied().unwrap_or_default())?;
    let (mut all, mut behind) = (Vec::new(), None);
    loop {
        let page = inbox.page(behind.as_deref(), 50).await?;
        for item in &page.items {
            all.push((
                place_of(&item.conversation, item.message.seq),
                seen(&item.message),
            ));
        }
        if !page.more {
            return Ok(all);
        }
        behind = Some(page.cursor);
    }
}

async fn files(app: &App, op: &Op) -> Result<Said> {
    match op {
        Op::Put { name, len } => {
            let new = NewAttachment::new(user(0)?, name.clone());
            let stored = app.put_attachment(new, &content(name, *len)[..]).await?;
            return Ok(Said::Stored {
                id: stored.id.to_string(),
                uploaded: stored.uploaded,
                keep_until: stored.keep_until,
            });
        }
        Op::DeleteFile { id, .. } => app.delete_attachment(attachment(id)?).await?,
        Op::PinFile {
            id,
            user: of,
            is_on,
            ..
        } => {
            let (id, reference) = (attachment(id)?, Reference::Profile(user(*of)?));
            if *is_on {
                app.refer_attachment(id, reference).await?;
            } else {
                app.unrefer_attachment(id, reference).await?;
            }
        }
        _ => {}
    }
    Ok(Said::Done)
}

async fn change_people(app: &App, op: &PeopleOp) -> Result<Said> {
    let channels =
        |kind: usize| app.channels(KINDS.get(kind).copied().unwrap_or(ChannelKind::Group));
    match op {
        PeopleOp::Register(a) => drop(app.users().register(Account::new(person(*a)?)).await?),
        PeopleOp::Delete(a) => drop(app.users().delete(&person(*a)?).await?),
        PeopleOp::Ban(a, true) => drop(app.users().ban(&person(*a)?).await?),
        PeopleOp::Ban(a, false) => drop(app.users().unban(&person(*a)?).await?),
        PeopleOp::Contact(a, b, is_on) => {
            let (of, other) = (person(*a)?, person(*b)?);
            let contacts = app.contacts(&of);
            if *is_on {
                contacts.add(&other).await?;
            } else {
                contacts.remove(&other).await?;
            }
        }
        PeopleOp::Block(a, b, true) => app.blocks(&person(*a)?).add(&[person(*b)?]).await?,
        PeopleOp::Block(a, b, false) => drop(app.blocks(&person(*a)?).remove(&person(*b)?).await?),
        PeopleOp::Create(kind, c, owner, others) => {
            let members = others.iter().map(|other| person(*other));
            let new = NewChannel {
                members: members.collect::<Result<_>>()?,
                ..NewChannel::new(channel(*c)?, person(*owner)?)
            };
            channels(*kind).create(new).await?;
        }
        PeopleOp::DeleteChannel(kind, c) => channels(*kind).delete(&channel(*c)?).await?,
        PeopleOp::Member(kind, c, a, is_on) => {
            let (of, members) = (person(*a)?, channels(*kind).members(&channel(*c)?));
            if *is_on {
                members.add(&of).await?;
            } else {
                members.remove(&of).await?;
            }
        }
        PeopleOp::Transfer(kind, c, a) => {
            channels(*kind)
                .transfer(&channel(*c)?, &person(*a)?)
                .await?;
        }
        PeopleOp::Admin(kind, c, a, is_on) => {
            let members = channels(*kind).members(&channel(*c)?);
            members.set_admin(&person(*a)?, *is_on).await?;
        }
        PeopleOp::Mute(kind, c, a, is_on) => {
            let how = if *is_on {
                MuteFor::Forever
            } else {
                MuteFor::Lift
            };
            let members = channels(*kind).members(&channel(*c)?);
            if let Some(only) = members.mute(&[person(*a)?], how).await?.pop() {
                only?;
            }
        }
        PeopleOp::SetAttribute(a, key, value) => {
            let pairs = [(key.to_string(), value.clone())];
            app.user_attributes().set(&person(*a)?, pairs).await?;
        }
        PeopleOp::DropAttributes(a) => app.user_attributes().delete(&person(*a)?).await?,
        PeopleOp::SetRoomAttribute {
            room,
            by,
            key,
            value,
            goes_with_him,
            force,
        } => {
            let how = RoomSet {
                auto_delete: *goes_with_him,
                force: *force,
            };
            let pairs = [(key.to_string(), value.clone())];
            let room = channel(*room)?;
            let results = app
                .room_attributes(&room)
                .set(&person(*by)?, pairs, how)
                .await?;
            return Ok(Said::Changed(!results.done.is_empty()));
        }
    }
    Ok(Said::Done)
}

/// A message as the model compares it.
pub(crate) fn seen(message: &Message) -> MessageSeen {
    let body = match Notice::of(message) {
        Some(notice) => format!("{notice:?}"),
        None => String::from_utf8_lossy(&message.body).into_owned(),
    };
    MessageSeen {
        id: message.id.0,
        seq: message.seq.0,
        sender: message.sender.to_string(),
        kind: message.kind.as_str().to_owned(),
        body,
        client: message.client_id.to_string(),
        attachments: message
            .attachments
            .iter()
            .map(ToString::to_string)
            .collect(),
        version: match message.revision {
            tidestore::Revision::Original => Some(0),
            tidestore::Revision::Edited { version, .. } => Some(version),
            _ => None,
        },
    }
}
