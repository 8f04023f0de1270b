//! Reading back everything that a lane holds.
//!
//! Each part is read on its own, so that damage in one says nothing of the others.

use std::collections::BTreeMap;

use tidestore::plan::{AttachmentId, Plan};
use tidestore::{Cursor, ErrorKind, MessageId, Page, Result, Role};

use crate::act::{KINDS, Lane, all_pending, channel, content, conversation, person, seen, user};
use crate::op::{DEVICES, MessageSeen, PLACES, Place, USERS};
use crate::people::{Channel, NAMES, People};

/// A part that was read, or how reading it failed.
pub(crate) type Part<T> = Result<T, String>;

/// What waits for a device.
pub(crate) type PendingPart = Part<Vec<(Place, MessageSeen)>>;

/// Everything that was read.
#[derive(Clone, Debug)]
pub(crate) struct Observed {
    pub(crate) talks: Vec<TalkSeen>,
    /// By user, then device.
    pub(crate) pending: Vec<Vec<PendingPart>>,
    pub(crate) files: Part<Vec<FileSeen>>,
    pub(crate) plan: Part<Plan>,
    pub(crate) people: Part<People>,
    pub(crate) ledger: Part<LedgerSeen>,
}

/// A conversation.
#[derive(Clone, Debug)]
pub(crate) struct TalkSeen {
    pub(crate) last_seq: Part<u64>,
    pub(crate) messages: Part<Vec<MessageSeen>>,
    /// By user; `None` for those it is not for.
    pub(crate) unread: Vec<Part<Option<u64>>>,
    /// Reactions by id of the message, where there are any.
    pub(crate) reactions: Part<BTreeMap<u64, u64>>,
}

/// An attachment.
#[derive(Clone, Debug)]
pub(crate) struct FileSeen {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) len: u64,
    pub(crate) keep_until: u64,
    /// Whether its bytes are those that belong to its name.
    pub(crate) is_right: Part<bool>,
}

/// What the ledgers of the two apps say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LedgerSeen {
    pub(crate) messages: u64,
    pub(crate) days: u64,
    pub(crate) attachments: u64,
    pub(crate) users: u64,
    pub(crate) groups: u64,
    pub(crate) rooms: u64,
    pub(crate) user_attributes: u64,
    pub(crate) room_attributes: u64,
}

/// Reads everything.
pub(crate) async fn observe(lane: &Lane) -> Observed {
    let mut talks = Vec::new();
    for to in 0..PLACES {
        talks.push(talk(lane, to).await);
    }
    let mut pending = Vec::new();
    for of in 0..USERS.len() {
        let mut devices = Vec::new();
        for device in 0..DEVICES.len() {
            devices.push(all_pending(&lane.chat, of, device).await.map_err(said));
        }
        pending.push(devices);
    }
    Observed {
        talks,
        pending,
        files: files(lane).await.map_err(said),
        plan: lane.chat.info().map(|info| info.terms.plan()).map_err(said),
        people: people(lane).await.map_err(said),
        ledger: ledger(lane).await.map_err(said),
    }
}

/// An error as a text that begins with its kind.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn said(error: tidestore::Error) -> String {
    format!("{:?}: {error}", error.kind())
}

async fn talk(lane: &Lane, to: usize) -> TalkSeen {
    let messages = whole(lane, to).await;
    let ids = messages
        .iter()
        .flatten()
        .map(|message| MessageId(message.id));
    let reactions = reactions(lane, ids.collect()).await;
    let mut unread = Vec::new();
    for of in 0..USERS.len() {
        unread.push(count_unread(lane, of, to).await.map_err(said));
    }
    TalkSeen {
        last_seq: last_seq(lane, to).await.map_err(said),
        messages: messages.map_err(said),
        unread,
        reactions: reactions.map_err(said),
    }
}

async fn last_seq(lane: &Lane, to: usize) -> Result<u64> {
    Ok(lane.chat.head(&conversation(to)?).await?.last_seq.0)
}

/// A conversation from its oldest message on, in pages of seven; then in the order of numbers.
async fn whole(lane: &Lane, to: usize) -> Result<Vec<MessageSeen>> {
    let conversation = conversation(to)?;
    let mut all = Vec::new();
    let mut page = Page::oldest(7);
    loop {
        let found = lane.chat.history(&conversation, page).await?;
        let Some(last) = found.last() else { break };
        page = Page::after(Cursor::Id(last.id), 7);
        all.extend(found.iter().map(seen));
    }
    all.sort_by_key(|message: &MessageSeen| message.seq);
    Ok(all)
}

async fn count_unread(lane: &Lane, of: usize, to: usize) -> Result<Option<u64>> {
    match lane
        .chat
        .as_user(&user(of)?)
        .unread(&conversation(to)?)
        .await
    {
        Ok(unread) => Ok(Some(unread)),
        Err(error) if matches!(error.kind(), ErrorKind::Corruption | ErrorKind::Io) => Err(error),
        Err(_) => Ok(None),
    }
}

async fn reactions(lane: &Lane, ids: Vec<MessageId>) -> Result<BTreeMap<u64, u64>> {
    let mut found = BTreeMap::new();
    for ids in ids.chunks(10) {
        for (id, counts) in ids.iter().zip(lane.chat.reactions(ids).await?) {
            let count = counts.iter().map(|count| count.count).sum();
            if count > 0 {
                found.insert(id.0, count);
            }
        }
    }
    Ok(found)
}

async fn files(lane: &Lane) -> Result<Vec<FileSeen>> {
    let mut found = Vec::new();
    let mut after: Option<AttachmentId> = None;
    loop {
        let page = lane.chat.attachments(after, 20).await?;
        let Some(last) = page.last() else {
            return Ok(found);
        };
        after = Some(last.id);
        for attachment in page {
            let len = usize::try_from(attachment.length).unwrap_or_default();
            let bytes = async {
                lane.chat
                    .open_attachment(attachment.id)
                    .await?
                    .read_to_end()
                    .await
            };
            let is_right = bytes
                .await
                .map(|bytes| bytes == content(&attachment.name, len));
            found.push(FileSeen {
                id: attachment.id.to_string(),
                name: attachment.name,
                len: attachment.length,
                keep_until: attachment.keep_until,
                is_right: is_right.map_err(said),
            });
        }
    }
}

async fn people(lane: &Lane) -> Result<People> {
    let (app, mut found) = (&lane.people, People::default());
    for one in app.users().list(None, 100).await?.items {
        let a = number(one.id.as_str());
        found.users.insert(a, one.is_banned);
        for contact in app.contacts(&one.id).list(None, 100).await?.items {
            found.contacts.insert((a, number(contact.friend.as_str())));
        }
        for other in app.blocks(&one.id).list(None, 100).await?.items {
            found.blocks.insert((a, number(other.as_str())));
        }
    }
    for a in 0..NAMES[0] {
        let pairs = app.user_attributes().get(&person(a)?, None).await?;
        if !pairs.is_empty() {
            let pairs = pairs.into_iter().map(|(key, value)| (digit(&key), value));
            found.attributes.insert(a, pairs.collect());
        }
    }
    for (kind, all) in KINDS.into_iter().zip(&mut found.channels) {
        for one in app.channels(kind).list(None, 100).await?.items {
            let mut read = Channel {
                owner: number(one.owner.as_str()),
                ..Channel::default()
            };
            let members = app.channels(kind).members(&one.id);
            for member in members.list(None, 100).await?.items {
                let flags = (member.role == Role::Admin, member.muted_until.is_some());
                read.members.insert(number(member.user.as_str()), flags);
            }
            if kind == tidestore::ChannelKind::Room {
                let id = channel(number(one.id.as_str()))?;
                for (key, a) in app.room_attributes(&id).get(None).await? {
                    let attribute = (a.value, number(&a.setter), a.auto_delete);
                    read.attributes.insert(digit(&key), attribute);
                }
            }
            all.insert(number(one.id.as_str()), read);
        }
    }
    Ok(found)
}

/// The number in a name such as `u3`; one that nobody has if there is none.
fn number(name: &str) -> u8 {
    digit(name.get(1..).unwrap_or_default())
}

fn digit(text: &str) -> u8 {
    text.parse().unwrap_or(u8::MAX)
}

async fn ledger(lane: &Lane) -> Result<LedgerSeen> {
    let (chat, people) = (lane.chat.ledger().await?, lane.people.ledger().await?);
    Ok(LedgerSeen {
        messages: chat.messages.messages,
        days: chat.days.values().map(|day| day.messages).sum(),
        attachments: chat.attachments.total.attachments,
        users: people.users.used,
        groups: people.groups.used,
        rooms: people.rooms.used,
        user_attributes: people.user_attributes.used,
        room_attributes: people.room_attributes.used,
    })
}
