//! The rows that say which attachments there are and where their contents lie.
//!
//! The long form, with a worked example and what a crash may leave: `docs/format/tables.md`.
//!
//! | table | key | value |
//! |---|---|---|
//! | 5 `ATTACHMENTS` | app, id (16) | [`AttachmentRow`] |
//! | 6 `CONTENTS` | app, hash (32) | [`ContentRow`] |
//! | 7 `VOLUMES` | app, volume number (8) | [`VolumeRow`] |
//! | 8 `PLACES` | volume number (8), offset (8) | [`PlaceRow`] |
//! | 9 `REFERENCES` | app, id (16), kind (1), then time and id of a message, or a name | nothing |
//! | 10 `DUE` | app, kind (1), time (8), id (16) | nothing |
//! | 11 `BLOB_USAGE` | app, day since 1970 (4) | [`DayUsage`] |
//! | 12 `MARKS` | number of a shard (2) | u64: up to where references of its messages are noted |
//!
//! Apps are four bytes; numbers in keys are big-endian, because tables are sorted by bytes. Values are bincode.
//!
//! `DUE` is what makes expiry cheap. Kind 0 holds attachments by the time until which they are kept without any
//! reference, kind 1 by the time of the youngest message that refers to them: a pass reads the rows below now, and
//! below the app's floor, and nothing else.

use bincode::{Decode, Encode};
use tidestore_disk::Millis;
use tidestore_kv::Table;
use tidestore_plan::{AppId, AttachmentId};

use crate::attachment::{Attachment, ContentHash, Reference};
use crate::format::{BLOCK_BYTES, Span};

pub(crate) const ATTACHMENTS: Table = Table(5);
pub(crate) const CONTENTS: Table = Table(6);
pub(crate) const VOLUMES: Table = Table(7);
pub(crate) const PLACES: Table = Table(8);
pub(crate) const REFERENCES: Table = Table(9);
pub(crate) const DUE: Table = Table(10);
pub(crate) const BLOB_USAGE: Table = Table(11);
pub(crate) const MARKS: Table = Table(12);

/// One attachment.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct AttachmentRow {
    pub(crate) uploader: String,
    pub(crate) name: String,
    pub(crate) media_type: String,
    pub(crate) length: u64,
    pub(crate) hash: ContentHash,
    pub(crate) uploaded: Millis,
    pub(crate) keep_until: Millis,
    pub(crate) messages: u64,
    pub(crate) pins: u64,
    pub(crate) newest_message: Option<Millis>,
    /// Where it stands in `DUE`; nowhere while it is pinned and nothing else would end it.
    pub(crate) due: Option<Due>,
}

/// When an attachment has to be looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum Due {
    /// At this time.
    At(Millis),
    /// When the app's floor is above this time.
    Below(Millis),
}

/// One content; several attachments may have it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct ContentRow {
    pub(crate) volume: u64,
    pub(crate) offset: u64,
    /// Bytes of the whole record.
    pub(crate) record: u64,
    pub(crate) attachments: u64,
}

/// One volume.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct VolumeRow {
    pub(crate) bucket: Span,
    /// Length of the file; what is behind it was never acknowledged.
    pub(crate) len: u64,
    /// Blocks of records that attachments have.
    pub(crate) live: u64,
    /// Blocks of records that nobody has and that still take up space.
    pub(crate) dead: u64,
    /// When it was made; the day to which its header is charged.
    pub(crate) created: Millis,
    /// Whether nothing is added any more.
    pub(crate) sealed: bool,
    /// Whether it was made for one large content.
    pub(crate) solo: bool,
}

impl VolumeRow {
    /// A shared volume with nothing but its header.
    pub(crate) fn empty(bucket: Span, created: Millis) -> Self {
        Self {
            bucket,
            len: BLOCK_BYTES,
            live: 0,
            dead: 0,
            created,
            sealed: false,
            solo: false,
        }
    }
}

/// One record's place in a volume.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct PlaceRow {
    pub(crate) hash: ContentHash,
    /// Blocks, in bytes.
    pub(crate) len: u64,
    /// The day to which they are charged.
    pub(crate) day: u32,
    pub(crate) state: PlaceState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum PlaceState {
    /// Attachments have it.
    Live,
    /// Nobody has it; its space is still taken.
    Dead,
    /// Its space is given back.
    Punched,
}

/// What an app stores, of one day of uploading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct DayUsage {
    /// Attachments.
    pub attachments: u64,
    /// Bytes of their contents, each attachment counted.
    pub logical_bytes: u64,
    /// Bytes on disk: each content once, in whole blocks, with the headers of volumes and what deleted ones still hold.
    pub physical_bytes: u64,
}

impl DayUsage {
    /// Adds the figures of another.
    pub fn add(&mut self, other: Self) {
        self.attachments += other.attachments;
        self.logical_bytes += other.logical_bytes;
        self.physical_bytes += other.physical_bytes;
    }
}

const DAY: Millis = 24 * 3_600_000;

/// The day of a time, since 1970.
pub(crate) fn day_of(time: Millis) -> u32 {
    u32::try_from(time / DAY).unwrap_or(u32::MAX)
}

/// A key that begins with an app.
pub(crate) fn app_key(app: AppId, rest: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(4 + rest.len());
    key.extend_from_slice(&app.0.to_be_bytes());
    key.extend_from_slice(rest);
    key
}

pub(crate) fn attachment_key(app: AppId, id: AttachmentId) -> Vec<u8> {
    app_key(app, &id.to_bytes())
}

pub(crate) fn volume_key(app: AppId, number: u64) -> Vec<u8> {
    app_key(app, &number.to_be_bytes())
}

pub(crate) fn place_key(volume: u64, offset: u64) -> Vec<u8> {
    let mut key = volume.to_be_bytes().to_vec();
    key.extend_from_slice(&offset.to_be_bytes());
    key
}

/// The eight bytes of a key from a place on, as a number.
pub(crate) fn number_at(key: &[u8], at: usize) -> u64 {
    let bytes = key.get(at..).and_then(|rest| rest.first_chunk());
    bytes.map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

pub(crate) fn app_of(key: &[u8]) -> AppId {
    AppId(key.first_chunk().map_or(0, |app| u32::from_be_bytes(*app)))
}

pub(crate) fn reference_key(app: AppId, id: AttachmentId, reference: &Reference) -> Vec<u8> {
    let mut key = attachment_key(app, id);
    key.extend_from_slice(&reference.key());
    key
}

pub(crate) fn usage_key(app: AppId, day: u32) -> Vec<u8> {
    app_key(app, &day.to_be_bytes())
}

impl Due {
    /// First byte behind the app, which tells the kinds apart.
    pub(crate) const AT: u8 = 0;
    pub(crate) const BELOW: u8 = 1;

    pub(crate) fn key(self, app: AppId, id: AttachmentId) -> Vec<u8> {
        let (kind, time) = match self {
            Self::At(time) => (Self::AT, time),
            Self::Below(time) => (Self::BELOW, time),
        };
        let mut key = app_key(app, &[kind]);
        key.extend_from_slice(&time.to_be_bytes());
        key.extend_from_slice(&id.to_bytes());
        key
    }
}

impl AttachmentRow {
    /// Whether anything but its own time keeps it alive under a floor.
    pub(crate) fn is_held(&self, floor: Millis) -> bool {
        self.pins > 0 || self.newest_message.is_some_and(|time| time >= floor)
    }

    /// Whether it can be read.
    pub(crate) fn is_alive(&self, now: Millis, floor: Millis) -> bool {
        now < self.keep_until || self.is_held(floor)
    }

    pub(crate) fn attachment(self, id: AttachmentId) -> Attachment {
        Attachment {
            id,
            uploader: self.uploader,
            name: self.name,
            media_type: self.media_type,
            length: self.length,
            hash: self.hash,
            uploaded: self.uploaded,
            keep_until: self.keep_until,
            messages: self.messages,
            pins: self.pins,
            newest_message: self.newest_message,
        }
    }
}
