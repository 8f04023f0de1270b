//! The key-value tables of a shard: what lies under which key.
//!
//! | table | key | value |
//! |---|---|---|
//! | 0 `META` | name | u64, little-endian: `applied`, `flushed`, `next_generation`, `last_live`, `last_seen` |
//! | 1 `APPS` | app number, big-endian | bincode of an app record |
//! | 2 `SEGMENTS` | generation, big-endian | bincode of `SegmentMeta` |
//! | 3 `RECEIPTS` | generation, big-endian | bincode of `ReceiptRunMeta` |
//! | 4 `HEADS` | app number, big-endian; conversation | last seq, last id: two u64, little-endian |
//! | 17 `DAYS` | generation, big-endian | bincode of the `DayShare`s of a segment; none for one written before days were noted |
//! | 18 `FORGETTING` | app number, big-endian | nothing: a deleted app whose rows are being removed |
//!
//! Tables 5 to 12 are those of attachments, 13 to 16 of attributes, 20 to 49 of the directory; they are described there.
//!
//! Numbers in keys are big-endian because the tables are sorted by bytes.

use std::ops::Bound;

use tidestore_kv::{Batch, Engine, Range, Table, decode_row, prefix_range, row, scan};
use tidestore_messages::{AppId, Conversation, DayShare, codec};

use crate::error::{Error, ErrorKind, Result};

pub(crate) const META: Table = Table(0);
pub(crate) const APPS: Table = Table(1);
pub(crate) const SEGMENTS: Table = Table(2);
pub(crate) const RECEIPTS: Table = Table(3);
pub(crate) const HEADS: Table = Table(4);
pub(crate) const DAYS: Table = Table(17);
pub(crate) const FORGETTING: Table = Table(18);
/// Tables whose keys begin with an app, on the app's home shard: attributes, then the directory.
pub(crate) const OF_APPS: [std::ops::RangeInclusive<u8>; 2] = [13..=16, 20..=49];

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

/// Where a conversation stands: the last number and the last id that it gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) last_seq: u64,
    pub(crate) last_id: u64,
}

pub(crate) fn head_key(app: AppId, conversation: &str) -> Vec<u8> {
    let mut key = app.0.to_be_bytes().to_vec();
    key.extend_from_slice(conversation.as_bytes());
    key
}

pub(crate) fn put_head(batch: &mut Batch, app: AppId, conversation: &str, head: Position) {
    let mut value = head.last_seq.to_le_bytes().to_vec();
    value.extend_from_slice(&head.last_id.to_le_bytes());
    batch.put(HEADS, head_key(app, conversation), value);
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
    after: Option<&Conversation>,
    limit: usize,
) -> Result<Vec<(Conversation, Position)>> {
    let (start, end) = prefix_range(&app.0.to_be_bytes());
    let start = match after {
        Some(after) => Bound::Excluded(head_key(app, after.as_str())),
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
    let numbers = value.split_first_chunk::<8>().and_then(|(seq, rest)| {
        let id = <[u8; 8]>::try_from(rest).ok()?;
        Some(Position {
            last_seq: u64::from_le_bytes(*seq),
            last_id: u64::from_le_bytes(id),
        })
    });
    numbers.ok_or_else(|| corrupt("a head is not sixteen bytes"))
}

fn corrupt(detail: impl Into<String>) -> Error {
    Error::new(
        ErrorKind::Corruption,
        format!("the tables of a shard are damaged: {}", detail.into()),
    )
}
