//! What a batch of the commit log holds.
//!
//! The long form, with a worked example and what a crash may leave: `docs/format/log-batch.md`.
//!
//! # Format, version 2
//!
//! ```text
//! offset  size  what
//!      0     1  version, 2
//!      1     8  time of the batch, milliseconds
//!      9     …  records, one after the other:
//!
//! message   tag 1 (1)  app (4)  id (8)  seq (8)  kind (1), bit 7 set if it has attachments
//!           conversation length (1)  sender length (1)  client id length (1)  body length (2)  ext length (2)
//!           then those five texts
//!           then, if it has attachments: count (1), 1 to 16, and their ids (16 each)
//! event     tag 2 (1)  length (4)  bincode of an Event
//! ```
//!
//! Integers are little-endian. A record states absolute values (the id and seq that were given, the whole record of an
//! app), so applying it twice is harmless. The frame around a batch carries length and checksum, see `tidestore-log`.
//!
//! Version 1 had no attachments: bit 7 of the kind was never set. All else is the same, and both versions are read.

use bytes::{Buf, BufMut, Bytes};
use compact_str::CompactString;
use tidestore_disk::Millis;
use tidestore_kv::Batch;
use tidestore_messages::{
    AppId, Conversation, Kind, Message, MessageId, ReceiptRunMeta, Revision, SegmentDays,
    SegmentMeta, Seq,
};
use tidestore_plan::AttachmentId;

use crate::apps::AppRecord;

/// Everything but messages that changes a store.
#[derive(Clone, Debug, PartialEq, bincode::Encode, bincode::Decode)]
pub(crate) enum Event {
    /// An app was created or changed: its whole record.
    App(AppRecord),
    /// An app was deleted.
    AppDeleted(u32),
    /// A deleted app's conversations leave the head table of this shard.
    AppForgotten(u32),
    /// Floors that rose, so that what expired stays expired whatever the clock says later.
    Floors(Vec<(u32, Millis)>),
    /// Files that came and went.
    Manifest(ManifestChange),
    /// The store was alive at the time of the batch.
    Alive,
    /// Rows of the tables as they are from now on: what a view decided.
    Rows(Batch),
    /// Files that came and went, and how much of the new ones belongs to each day. `Manifest` is what was written before
    /// days were noted.
    Sealed(ManifestChange, Vec<SegmentDays>),
}

impl Event {
    /// Whether the event changes the registry and nothing else in memory.
    pub(crate) fn is_of_apps(&self) -> bool {
        matches!(self, Self::App(_) | Self::AppDeleted(_) | Self::Floors(_))
    }
}

/// A change of the files that make up a shard's messages.
#[derive(Clone, Debug, Default, PartialEq, bincode::Encode, bincode::Decode)]
pub(crate) struct ManifestChange {
    pub(crate) added: Vec<SegmentMeta>,
    pub(crate) removed: Vec<u64>,
    pub(crate) receipts_added: Option<ReceiptRunMeta>,
    pub(crate) receipts_removed: Vec<u64>,
    /// After a flush: the last log position whose messages are in segments.
    pub(crate) flushed: Option<u64>,
    /// After a flush: whether no message stands between that position and this record.
    pub(crate) is_idle: bool,
    /// Every file number below this one is used up.
    pub(crate) next_generation: u64,
}

/// One record of a batch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Record {
    Message {
        app: AppId,
        conversation: Conversation,
        message: Message,
    },
    Event(Event),
}

const VERSION: u8 = 2;
/// The version that knew no attachments.
const VERSION_PLAIN: u8 = 1;
const TAG_MESSAGE: u8 = 1;
const TAG_EVENT: u8 = 2;
/// In the byte of the kind: attachments follow the texts.
const HAS_ATTACHMENTS: u8 = 0x80;
const ATTACHMENT_LEN: usize = 16;
const MESSAGE_HEAD: usize = 4 + 8 + 8 + 1 + 3 + 4;
/// Largest event: a manifest change of a flush with tens of thousands of apps stays far below.
const EVENT_BYTES_MAX: usize = 32 << 20;

/// Starts a batch.
pub(crate) fn start_batch(buf: &mut Vec<u8>, time: Millis) {
    buf.clear();
    buf.put_u8(VERSION);
    buf.put_u64_le(time);
}

/// Whether a batch holds any record.
pub(crate) fn is_empty_batch(buf: &[u8]) -> bool {
    buf.len() <= 9
}

/// Appends a message record. All lengths were checked against the contract before.
pub(crate) fn put_message(
    buf: &mut Vec<u8>,
    app: AppId,
    conversation: &Conversation,
    message: &Message,
) {
    buf.put_u8(TAG_MESSAGE);
    buf.put_u32_le(app.0);
    buf.put_u64_le(message.id.0);
    buf.put_u64_le(message.seq.0);
    let has_attachments = !message.attachments.is_empty();
    let attached = if has_attachments { HAS_ATTACHMENTS } else { 0 };
    buf.put_u8(message.kind as u8 | attached);
    buf.put_u8(short(conversation.as_str()));
    buf.put_u8(short(&message.sender));
    buf.put_u8(short(&message.client_id));
    buf.put_u16_le(u16::try_from(message.body.len()).unwrap_or(u16::MAX));
    buf.put_u16_le(u16::try_from(message.ext.len()).unwrap_or(u16::MAX));
    buf.put_slice(conversation.as_str().as_bytes());
    buf.put_slice(message.sender.as_bytes());
    buf.put_slice(message.client_id.as_bytes());
    buf.put_slice(&message.body);
    buf.put_slice(&message.ext);
    if has_attachments {
        buf.put_u8(u8::try_from(message.attachments.len()).unwrap_or(u8::MAX));
        for id in &message.attachments {
            buf.put_slice(&id.to_bytes());
        }
    }
}

fn short(text: &str) -> u8 {
    u8::try_from(text.len()).unwrap_or(u8::MAX)
}

/// Appends an event record.
pub(crate) fn put_event(buf: &mut Vec<u8>, event: &Event) -> Result<(), Malformed> {
    let bytes = tidestore_messages::codec::encode(event)
        .map_err(|_| Malformed("an event cannot be encoded"))?;
    let len = u32::try_from(bytes.len())
        .ok()
        .filter(|_| bytes.len() <= EVENT_BYTES_MAX)
        .ok_or(Malformed("an event is too large"))?;
    buf.put_u8(TAG_EVENT);
    buf.put_u32_le(len);
    buf.put_slice(&bytes);
    Ok(())
}

/// Bytes that are no batch of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Malformed {}

/// Decodes a batch: its time and its records. Bodies share one buffer.
pub(crate) fn decode_batch(batch: &[u8]) -> Result<(Millis, Vec<Record>), Malformed> {
    let mut rest = Bytes::copy_from_slice(batch);
    if rest.remaining() < 9 {
        return Err(Malformed("a batch is shorter than its head"));
    }
    let known_bits = match rest.get_u8() {
        VERSION => HAS_ATTACHMENTS,
        VERSION_PLAIN => 0,
        _ => return Err(Malformed("a batch has a version that is not known")),
    };
    let time = rest.get_u64_le();
    let mut records = Vec::new();
    while rest.has_remaining() {
        records.push(match rest.get_u8() {
            TAG_MESSAGE => message(&mut rest, known_bits)?,
            TAG_EVENT => Record::Event(event(&mut rest)?),
            _ => return Err(Malformed("a record has a tag that is not known")),
        });
    }
    Ok((time, records))
}

/// Decodes a message; `known_bits` are those that may stand beside its kind.
fn message(rest: &mut Bytes, known_bits: u8) -> Result<Record, Malformed> {
    if rest.remaining() < MESSAGE_HEAD {
        return Err(Malformed("a message record is cut short"));
    }
    let app = AppId(rest.get_u32_le());
    let (id, seq) = (MessageId(rest.get_u64_le()), Seq(rest.get_u64_le()));
    let kind = rest.get_u8();
    let has_attachments = kind & known_bits & HAS_ATTACHMENTS != 0;
    let kind =
        Kind::from_number(kind & !known_bits).ok_or(Malformed("a message has no known kind"))?;
    let [conversation, sender, client_id] = [rest.get_u8(), rest.get_u8(), rest.get_u8()];
    let [body, ext] = [rest.get_u16_le(), rest.get_u16_le()];
    let conversation = text(rest, conversation)?;
    let conversation = Conversation::from_stored(&conversation)
        .ok_or(Malformed("a message lies in no known kind of conversation"))?;
    let (sender, client_id) = (text(rest, sender)?, text(rest, client_id)?);
    let (body, ext) = (part(rest, body.into())?, part(rest, ext.into())?);
    let attachments = if has_attachments {
        attachments(rest)?
    } else {
        Vec::new()
    };
    let message = Message {
        id,
        seq,
        sender,
        kind,
        body,
        ext,
        client_id,
        attachments,
        revision: Revision::Original,
    };
    Ok(Record::Message {
        app,
        conversation,
        message,
    })
}

fn attachments(rest: &mut Bytes) -> Result<Vec<AttachmentId>, Malformed> {
    let [count] = part(rest, 1)?[..] else {
        return Err(Malformed("a record is cut short"));
    };
    let count = usize::from(count);
    if !(1..=Message::ATTACHMENTS_MAX).contains(&count) {
        return Err(Malformed("a message has too few or too many attachments"));
    }
    let bytes = part(rest, count * ATTACHMENT_LEN)?;
    let (ids, _) = bytes.as_chunks::<ATTACHMENT_LEN>();
    Ok(ids.iter().copied().map(AttachmentId::from_bytes).collect())
}

fn event(rest: &mut Bytes) -> Result<Event, Malformed> {
    if rest.remaining() < 4 {
        return Err(Malformed("an event record is cut short"));
    }
    let len = rest.get_u32_le() as usize;
    let bytes = part(rest, len)?;
    match tidestore_messages::codec::decode(&bytes) {
        Ok(Event::Manifest(change)) => Ok(Event::Sealed(change, Vec::new())),
        decoded => decoded.map_err(|_| Malformed("an event cannot be decoded")),
    }
}

fn part(rest: &mut Bytes, len: usize) -> Result<Bytes, Malformed> {
    if rest.remaining() < len {
        return Err(Malformed("a record is cut short"));
    }
    Ok(rest.split_to(len))
}

fn text(rest: &mut Bytes, len: u8) -> Result<CompactString, Malformed> {
    let bytes = part(rest, len.into())?;
    CompactString::from_utf8(bytes).map_err(|_| Malformed("a name is not UTF-8"))
}

#[cfg(test)]
mod tests;
