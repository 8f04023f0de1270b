//! The key-value tables of a shard: what lies under which key.
//!
//! The long form, with a worked example and what a crash may leave: `docs/format/tables.md`.
//!
//! | table | key | value |
//! |---|---|---|
//! | 0 `META` | name | u64, little-endian: `applied`, `flushed`, `next_generation`, `last_live`, `last_seen`; `gap`, `gap_before` after a repair |
//! | 1 `APPS` | app number, big-endian | bincode of an app record |
//! | 2 `SEGMENTS` | generation, big-endian | bincode of `SegmentMeta` |
//! | 3 `RECEIPTS` | generation, big-endian | bincode of `ReceiptRunMeta` |
//! | 4 `HEADS` | app number, big-endian; conversation | [`Position`]: five u64, little-endian, in the order of its fields; two (last seq, last id) before there were inboxes |
//! | 17 `DAYS` | generation, big-endian | bincode of the `DayShare`s of a segment; none for one written before days were noted |
//! | 19 `SCRUB` | nothing | bincode of how far the scrub is, see `scrub`; on the first shard only |
//! | 18 `FORGETTING` | app number, big-endian | nothing: a deleted app whose rows are being removed |
//! | 72 `CREDENTIALS` | app number, big-endian | bincode of what an app was issued, see `access`; on its home shard only |
//!
//! Tables 5 to 12 are those of attachments, 13 to 16 of attributes, 20 to 45 and 63 to 71 of the directory; they are
//! described there. Tables 46 to 62, 73 and 74 are those of inboxes, conversations, changed messages and notifications, see
//! `delivery::tables`.
//!
//! Numbers in keys are big-endian because the tables are sorted by bytes.

use std::ops::Bound;

use tidestore_kv::{Batch, Engine, Range, Table, decode_row, prefix_range, row, scan};
use tidestore_messages::{AppId, Conversation, DayShare, MessageId, Seq, codec};

use crate::error::{Error, ErrorKind, Result};
use crate::record::Event;

pub(crate) const META: Table = Table(0);
pub(crate) const APPS: Table = Table(1);
pub(crate) const SEGMENTS: Table = Table(2);
pub(crate) const RECEIPTS: Table = Table(3);
pub(crate) const HEADS: Table = Table(4);
pub(crate) const DAYS: Table = Table(17);
pub(crate) const FORGETTING: Table = Table(18);
pub(crate) const SCRUB: Table = Table(19);
pub(crate) const CREDENTIALS: Table = Table(72);
/// Tables whose keys begin with an app: attributes, then the directory, what is delivered, and credentials.
pub(crate) const OF_APPS: [std::ops::RangeInclusive<u8>; 2] = [13..=16, 20..=75];

/// The last log position that the tables have applied.
pub(crate) const APPLIED: &str = "applied";
/// The last log position whose messages are in segments.
pub(crate) const FLUSHED: &str = "flushed";
/// Every file number below this one is used up.
pub(crate) const NEXT_GENERATION: &str = "next_generation";
/// The largest id that was given to a live message.
pub(crate) const LAST_LIVE: &str = "last_live";
/// The newest time at which the store was alive.
pub(crate) const LAST_SEEN: &str = "last_seen";
/// 1 while a jump of the wall clock waits to be confirmed; in the first shard.
pub(crate) const JUMPED: &str = "clock_jumped";
/// Whether `ACTIVITY` holds every direct conversation; not so in a store that is older than it.
pub(crate) const ACTIVITY_COMPLETE: &str = "activity";
/// At most so many numbers of a conversation were given to messages that a repair could not save …
pub(crate) const GAP: &str = "gap";
/// … in conversations whose last message has an id below this one.
pub(crate) const GAP_BEFORE: &str = "gap_before";
/// The largest app number that was ever given by this shard.
pub(crate) const LAST_APP: &str = "last_app";

pub(crate) fn number(engine: &dyn Engine, name: &str) -> Result<u64> {
    let value = engine.get(META, name.as_bytes())?;
    value.map_or(Ok(0), |value| {
        let bytes = <[u8; 8]>::try_from(value.as_slice())
            .map_err(|_| corrupt(format!("the number {name} is not eight bytes")))?;
        Ok(u64::from_le_bytes(bytes))
    })
}

pub(crate) fn put_number(batch: &mut Batch, name: &str, value: u64) {
    batch.put(META, name.as_bytes(), value.to_le_bytes());
}

/// Notes that the clock has jumped, or that it was confirmed.
pub(crate) fn jumped(is_jumped: bool) -> Event {
    let mut batch = Batch::new();
    put_number(&mut batch, JUMPED, u64::from(is_jumped));
    Event::Rows(batch)
}

pub(crate) fn put_row<T: bincode::Encode>(
    batch: &mut Batch,
    table: Table,
    key: impl Into<Vec<u8>>,
    row: &T,
) -> Result<()> {
    let value = codec::encode(row).map_err(|error| corrupt(error.to_string()))?;
    batch.put(table, key, value);
    Ok(())
}

/// Reads every row of a table.
pub(crate) fn rows<T: bincode::Decode<()>>(engine: &dyn Engine, table: Table) -> Result<Vec<T>> {
    let mut rows = Vec::new();
    scan(engine, table, b"", |key, value| {
        rows.push(decode_row(table, key, value)?);
        Ok(())
    })?;
    Ok(rows)
}

/// What was noted of a segment's days.
pub(crate) fn days(engine: &dyn Engine, generation: u64) -> Result<Option<Vec<DayShare>>> {
    let key = generation.to_be_bytes();
    Ok(row(engine, DAYS, &key)?)
}

/// Where a conversation stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// The last number it gave.
    pub(crate) last_seq: u64,
    /// The largest id in it.
    pub(crate) last_id: u64,
    /// The largest id of a message that was sent, not imported.
    pub(crate) last_live: u64,
    /// The number of its last imported message. Behind that numbers and ids rise together.
    pub(crate) imported_seq: u64,
    /// The largest id in its aside.
    pub(crate) aside_live: u64,
}

impl Position {
    /// Where it stands after a message.
    pub(crate) fn after(self, seq: Seq, id: MessageId) -> Self {
        let (live, imported) = if id.is_imported() {
            (0, seq.0)
        } else {
            (id.0, 0)
        };
        Self {
            last_seq: self.last_seq.max(seq.0),
            last_id: self.last_id.max(id.0),
            last_live: self.last_live.max(live),
            imported_seq: self.imported_seq.max(imported),
            ..self
        }
    }

    /// When something came last that devices wait for, its aside included.
    pub(crate) fn arrival(&self) -> u64 {
        self.last_live.max(self.aside_live)
    }

    fn encode(&self) -> Vec<u8> {
        let fields = [
            self.last_seq,
            self.last_id,
            self.last_live,
            self.imported_seq,
            self.aside_live,
        ];
        fields
            .iter()
            .flat_map(|field| field.to_le_bytes())
            .collect()
    }

    pub(crate) fn decode(value: &[u8]) -> Option<Self> {
        let (words, rest) = value.as_chunks::<8>();
        let words: Vec<u64> = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
        match (words.as_slice(), rest) {
            ([last_seq, last_id, last_live, imported_seq, aside_live], []) => Some(Self {
                last_seq: *last_seq,
                last_id: *last_id,
                last_live: *last_live,
                imported_seq: *imported_seq,
                aside_live: *aside_live,
            }),
            // Nobody noted which of them were imported: any may have been.
            ([last_seq, last_id], []) => Some(Self {
                last_seq: *last_seq,
                last_id: *last_id,
                last_live: *last_id,
                imported_seq: *last_seq,
                aside_live: 0,
            }),
            _ => None,
        }
    }
}

pub(crate) fn head_key(app: AppId, conversation: &str) -> Vec<u8> {
    let mut key = app.0.to_be_bytes().to_vec();
    key.extend_from_slice(conversation.as_bytes());
    key
}

pub(crate) fn put_head(batch: &mut Batch, app: AppId, conversation: &str, head: Position) {
    batch.put(HEADS, head_key(app, conversation), head.encode());
}

pub(crate) fn head(
    engine: &dyn Engine,
    app: AppId,
    conversation: &Conversation,
) -> Result<Option<Position>> {
    let value = engine.get(HEADS, &head_key(app, conversation.as_str()))?;
    value.map(|value| decode_head(&value)).transpose()
}

/// Reads heads of an app after a conversation, in the order of canonical texts.
pub(crate) fn heads_after(
    engine: &dyn Engine,
    app: AppId,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<(Conversation, Position)>> {
    let (start, end) = prefix_range(&app.0.to_be_bytes());
    let start = match after {
        Some(after) => Bound::Excluded(head_key(app, after)),
        None => start,
    };
    let page = engine.range(
        HEADS,
        Range {
            start,
            end,
            reverse: false,
            limit,
        },
    )?;
    let decode = |(key, value): (Vec<u8>, Vec<u8>)| {
        let text = key.get(4..).and_then(|text| std::str::from_utf8(text).ok());
        let conversation = text.and_then(Conversation::from_stored);
        let conversation = conversation.ok_or_else(|| corrupt("a head of no conversation"))?;
        Ok((conversation, decode_head(&value)?))
    };
    page.into_iter().map(decode).collect()
}

fn decode_head(value: &[u8]) -> Result<Position> {
    Position::decode(value).ok_or_else(|| corrupt("a head is neither two numbers nor five"))
}

fn corrupt(detail: impl Into<String>) -> Error {
    Error::new(
        ErrorKind::Corruption,
        format!("the tables of a shard are damaged: {}", detail.into()),
    )
}
