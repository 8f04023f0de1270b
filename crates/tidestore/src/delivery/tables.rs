//! The tables of inboxes, conversations, changed messages and notifications: what lies under which key.
//!
//! The long form, with a worked example and what a crash may leave: `docs/format/tables.md`.
//!
//! `app` is an app number of four bytes, `id` a message id, `seq` and `serial` numbers of eight, all big-endian so that
//! keys sort by them. Names are text; where another part follows, a zero byte ends them, which no name can hold. Values
//! are bincode of the row types, which are beside the code that writes them, or what the table says.
//!
//! On the home shard of the app, because they are a user's or the app's:
//!
//! | table | key | value |
//! |---|---|---|
//! | 46 `VIEWS` | app, user, 0, conversation | `ViewRow` |
//! | 47 `DEVICES` | app, user, 0, device | `DeviceRow` |
//! | 48 `OPEN_HISTORY` | app, group | nothing: newcomers see what was sent before they came |
//! | 49 `ERASING` | app, user | how much of him goes, see `erasure`: a deletion or an erasure that has begun |
//! | 73 `NOTIFICATIONS` | app, id (8) | `NotificationRow` |
//! | 75 `UNLISTED` | app, user, 0, conversation | up to which number it has left his list, though he may still read it |
//! | 74 `NOTIFIED` | app | the last id of a notification, eight bytes little-endian |
//!
//! On the shard of the conversation, because they are written with its messages:
//!
//! | table | key | value |
//! |---|---|---|
//! | 50 `ACTIVITY` | app, user, 0, [`Order`] (1), id, counted from the largest; direct conversation | nothing |
//! | 51 `SENT` | app, SipHash-1-3 of the conversation (8), sender | the number of his last message, little-endian without its zeros; of no sender: all have read up to it |
//! | 52 `INTAKE` | app, conversation, 0, first seq | `IntakeRow` |
//! | 53 `INTAKE_OF` | app, user, 0, id of arrival, direct conversation | nothing |
//! | 54 `HIDDEN` | app, conversation, 0, user, 0, seq | id |
//! | 55 `CHANGES` | app, conversation, 0, id | `ChangeRow` |
//! | 56 `REACTED` | app, id, user, 0, reaction | serial |
//! | 57 `REACTIONS` | app, id, reaction, 0, serial | `ReactionRow` |
//! | 58 `TALLIES` | app, id | `TallyRow` |
//! | 59 `PINS` | app, conversation, 0, id | when |
//! | 60 `AGING` | app, id, table (1), the rest of another row's key | nothing: that row goes when the message expires |
//! | 61 `PURGES` | app, id | the ids of its attachments (16 each): a recalled message whose content may still lie in a file |
//! | 62 `ERASED` | app, user | the last id of his that is erased, while contents may still lie in files |

use std::collections::BTreeSet;
use std::hash::Hasher;
use std::ops::Bound;

use siphasher::sip::SipHasher13;
use tidestore_kv::{Batch, Engine, Key, Overlay, Range, Rows, Table, page_of, prefix_range};
use tidestore_messages::{AppId, Conversation, MessageId};

use crate::error::{Error, ErrorKind, Result};
use crate::tables::Position;

pub(crate) const VIEWS: Table = Table(46);
pub(crate) const DEVICES: Table = Table(47);
pub(crate) const OPEN_HISTORY: Table = Table(48);
pub(crate) const ERASING: Table = Table(49);
pub(crate) const ACTIVITY: Table = Table(50);
pub(crate) const SENT: Table = Table(51);
pub(crate) const INTAKE: Table = Table(52);
pub(crate) const INTAKE_OF: Table = Table(53);
pub(crate) const HIDDEN: Table = Table(54);
pub(crate) const CHANGES: Table = Table(55);
pub(crate) const REACTED: Table = Table(56);
pub(crate) const REACTIONS: Table = Table(57);
pub(crate) const TALLIES: Table = Table(58);
pub(crate) const PINS: Table = Table(59);
pub(crate) const AGING: Table = Table(60);
pub(crate) const PURGES: Table = Table(61);
pub(crate) const ERASED: Table = Table(62);
pub(crate) const NOTIFICATIONS: Table = Table(73);
pub(crate) const NOTIFIED: Table = Table(74);
pub(crate) const UNLISTED: Table = Table(75);

/// Every key begins with its app.
pub(crate) fn key_of(app: AppId) -> Key {
    Key::starting_with(app.0)
}

/// The number that a key goes on with behind a prefix, and what comes after it.
pub(crate) fn number_behind<'k>(key: &'k [u8], prefix: &[u8]) -> Result<(u64, &'k [u8])> {
    let rest = key.strip_prefix(prefix);
    let parts = rest.and_then(<[u8]>::split_first_chunk::<8>);
    let (number, rest) = parts.ok_or_else(|| corrupt("a key ends before its number"))?;
    Ok((u64::from_be_bytes(*number), rest))
}

/// The text that ends a key.
pub(crate) fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| corrupt("a key is not UTF-8"))
}

/// The conversation that ends a key.
pub(crate) fn conversation(bytes: &[u8]) -> Result<Conversation> {
    Conversation::from_stored(text(bytes)?).ok_or_else(|| corrupt("a key names no conversation"))
}

/// A value that is one number.
pub(crate) fn number(value: &[u8]) -> Result<u64> {
    let bytes = <[u8; 8]>::try_from(value).map_err(|_| corrupt("a number is not eight bytes"))?;
    Ok(u64::from_le_bytes(bytes))
}

pub(crate) fn corrupt(detail: &str) -> Error {
    let text = format!("the tables of a shard are damaged: {detail}");
    Error::new(ErrorKind::Corruption, text)
}

/// What a user's direct conversations are sorted by, the youngest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Order {
    /// The largest id of a message.
    Time = 0,
    /// When something came that devices wait for; only where that is another id.
    Arrival = 1,
}

impl Order {
    fn id(self, head: &Position) -> u64 {
        match self {
            Self::Time => head.last_id,
            Self::Arrival if head.arrival() == head.last_id => 0,
            Self::Arrival => head.arrival(),
        }
    }
}

fn activity_prefix(app: AppId, user: &str, order: Order) -> Key {
    key_of(app).names(user).byte(order as u8)
}

/// A user's direct conversations with ids above a bound, the largest id first, behind a place in that order.
pub(crate) fn activity(
    engine: &dyn Engine,
    app: AppId,
    user: &str,
    order: Order,
    behind: Option<(u64, &Conversation)>,
    above: u64,
    limit: usize,
) -> Result<Vec<(u64, Conversation)>> {
    let prefix = activity_prefix(app, user, order);
    let (mut start, mut end) = prefix_range(prefix.bytes());
    if let Some((id, last)) = behind {
        let key = prefix.clone().number(!id).name(last.as_str());
        start = Bound::Excluded(key.into());
    }
    if above > 0 {
        end = Bound::Excluded(prefix.clone().number(!above).into());
    }
    let range = Range {
        start,
        end,
        reverse: false,
        limit,
    };
    let decode = |(key, _): (Vec<u8>, _)| {
        let (id, rest) = number_behind(&key, prefix.bytes())?;
        Ok((!id, conversation(rest)?))
    };
    let rows = engine.range(ACTIVITY, range)?;
    rows.into_iter().map(decode).collect()
}

/// Where a conversation stands in the orders of its users: nowhere unless it is direct.
pub(crate) fn activity_keys(
    app: AppId,
    conversation: &Conversation,
    head: &Position,
) -> BTreeSet<Key> {
    let pair = conversation.pair().filter(|_| !conversation.is_aside());
    let users = pair.into_iter().flat_map(|(low, high)| [low, high]);
    let places = users
        .flat_map(|user| [Order::Time, Order::Arrival].map(|order| (user, order, order.id(head))));
    let places = places.filter(|(.., id)| *id > 0);
    let key = |(user, order, id): (&str, Order, u64)| {
        let key = activity_prefix(app, user, order).number(!id);
        key.name(conversation.as_str())
    };
    places.map(key).collect()
}

/// Moves a direct conversation in the orders of its two users.
pub(crate) fn move_activity(
    batch: &mut Batch,
    app: AppId,
    conversation: &Conversation,
    from: &Position,
    to: &Position,
) {
    let (from, to) = (
        activity_keys(app, conversation, from),
        activity_keys(app, conversation, to),
    );
    for key in from.difference(&to) {
        batch.delete(ACTIVITY, key.clone());
    }
    for key in to.difference(&from) {
        batch.put(ACTIVITY, key.clone(), []);
    }
}

/// These rows are many, one for everybody who ever spoke in a conversation, so they are short.
fn sent_key(app: AppId, conversation: &Conversation, sender: &str) -> Key {
    let mut hasher = SipHasher13::new();
    hasher.write(conversation.as_str().as_bytes());
    key_of(app).number(hasher.finish()).name(sender)
}

fn short_number(number: u64) -> Vec<u8> {
    let mut bytes = number.to_le_bytes().to_vec();
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    bytes
}

pub(crate) fn read_short_number(bytes: &[u8]) -> Result<u64> {
    let mut whole = [0; 8];
    let place = whole.get_mut(..bytes.len());
    let place = place.ok_or_else(|| corrupt("a number is over eight bytes"))?;
    place.copy_from_slice(bytes);
    Ok(u64::from_le_bytes(whole))
}

/// Up to which number somebody has sent, as the tables have it.
pub(crate) fn sent(
    rows: &(impl Rows + ?Sized),
    app: AppId,
    conversation: &Conversation,
    sender: &str,
) -> Result<u64> {
    let value = rows.bytes(SENT, sent_key(app, conversation, sender).bytes())?;
    value.map_or(Ok(0), |value| read_short_number(&value))
}

pub(crate) fn put_sent(
    batch: &mut Batch,
    app: AppId,
    conversation: &Conversation,
    sender: &str,
    seq: u64,
) {
    let key = sent_key(app, conversation, sender);
    batch.put(SENT, key, short_number(seq));
}

/// Notes that everybody has read a conversation up to a number.
pub(crate) fn put_read_by_all(
    rows: &mut Overlay<'_>,
    app: AppId,
    conversation: &Conversation,
    seq: u64,
) {
    rows.put_bytes(SENT, sent_key(app, conversation, ""), short_number(seq));
}

/// Puts a row that goes when a message expires.
pub(crate) fn put_aging(
    rows: &mut Overlay<'_>,
    app: AppId,
    id: MessageId,
    table: Table,
    key: Key,
    value: impl Into<Vec<u8>>,
) {
    let rest = key.bytes().get(4..).unwrap_or_default();
    let aging = key_of(app).number(id.0).byte(table.0).raw(rest);
    rows.put_bytes(AGING, aging, []);
    rows.put_bytes(table, key, value);
}

/// Deletes a row that [`put_aging`] put.
pub(crate) fn delete_aging(
    rows: &mut Overlay<'_>,
    app: AppId,
    id: MessageId,
    table: Table,
    key: Key,
) {
    let rest = key.bytes().get(4..).unwrap_or_default();
    let aging = key_of(app).number(id.0).byte(table.0).raw(rest);
    rows.delete(AGING, aging);
    rows.delete(table, key);
}

/// Whether an app has rows whose messages have an id below one.
pub(crate) fn has_aged(rows: &(impl Rows + ?Sized), app: AppId, before: MessageId) -> Result<bool> {
    let prefix = key_of(app);
    let page = page_of(rows, AGING, prefix.bytes(), None, false, 1)?;
    let first = page
        .first()
        .map(|(key, _)| number_behind(key, prefix.bytes()));
    Ok(first.transpose()?.is_some_and(|(id, _)| id < before.0))
}

/// Deletes a page of rows of an app whose messages have an id below one; says whether there may be more.
pub(crate) fn delete_aged(
    rows: &mut Overlay<'_>,
    app: AppId,
    before: MessageId,
    limit: usize,
) -> Result<bool> {
    let prefix = key_of(app);
    let page = page_of(rows, AGING, prefix.bytes(), None, false, limit)?;
    let mut deleted = 0;
    for (key, _) in &page {
        let (id, rest) = number_behind(key, prefix.bytes())?;
        if id >= before.0 {
            break;
        }
        if let Some((table, rest)) = rest.split_first() {
            rows.delete(Table(*table), [prefix.bytes(), rest].concat());
        }
        rows.delete(AGING, key.clone());
        deleted += 1;
    }
    Ok(deleted == limit)
}
