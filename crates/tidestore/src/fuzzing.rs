//! Decoders for those who try them with bytes of their own: fuzz targets, and tests of formats and limits.

use bytes::Bytes;
use tidestore_disk::Millis;
use tidestore_kv::Table;
use tidestore_kv::codec::{Malformed, recode};
use tidestore_messages::{DayShare, ReceiptRunMeta, SegmentMeta};

use crate::access::CredentialsRow;
use crate::apps::AppRecord;
use crate::delivery;
use crate::error::Result;
use crate::format::{self, StoreFile};
use crate::record::{self, Record};
use crate::tables::{
    APPS, CREDENTIALS, DAYS, FORGETTING, HEADS, META, Position, RECEIPTS, SEGMENTS,
};

/// Decodes the contents of `STORE`.
///
/// # Errors
///
/// As opening a store.
#[doc(hidden)]
pub fn decode_store_file(bytes: &[u8]) -> Result<StoreFile> {
    format::decode(bytes)
}

/// Decodes a batch of the commit log and encodes it again, as the current version writes it.
///
/// # Errors
///
/// A text that says what is wrong.
#[doc(hidden)]
pub fn recode_batch(batch: &[u8]) -> std::result::Result<Vec<u8>, &'static str> {
    let (time, records): (Millis, Vec<Record>) =
        record::decode_batch(batch).map_err(|malformed| malformed.0)?;
    let mut buf = Vec::new();
    record::start_batch(&mut buf, time);
    for record in &records {
        match record {
            Record::Message {
                app,
                conversation,
                message,
            } => record::put_message(&mut buf, *app, conversation, message),
            Record::Event(event) => {
                record::put_event(&mut buf, event).map_err(|malformed| malformed.0)?;
            }
        }
    }
    Ok(buf)
}

/// Decodes the value of a row of any table of a shard and encodes it again; `None` if there is no such table.
#[doc(hidden)]
pub fn recode_row(
    table: Table,
    key: &[u8],
    value: &[u8],
) -> Option<std::result::Result<Vec<u8>, Malformed>> {
    let is = |right: bool| {
        let wrong = || Malformed::new("the value has not the length of its table");
        right.then(|| value.to_vec()).ok_or_else(wrong)
    };
    Some(match table {
        META => is(value.len() == 8),
        APPS => recode::<AppRecord>(value),
        SEGMENTS => recode::<SegmentMeta>(value),
        RECEIPTS => recode::<ReceiptRunMeta>(value),
        HEADS => is(Position::decode(value).is_some()),
        DAYS => recode::<Vec<DayShare>>(value),
        FORGETTING => is(value.is_empty()),
        CREDENTIALS => recode::<CredentialsRow>(value),
        _ => {
            return tidestore_blobs::recode_row(table, value)
                .or_else(|| tidestore_attributes::recode_row(table, value))
                .or_else(|| tidestore_directory::recode_row(table, key, value))
                .or_else(|| delivery::rows::recode_row(table, value));
        }
    })
}

/// Writes a cursor of a list with the checksum that belongs to it, whatever its place says.
#[doc(hidden)]
pub fn encode_cursor(of: &[&str], place: &[u8]) -> String {
    delivery::cursor::encode(of, place)
}

/// Reads the place of a cursor.
///
/// # Errors
///
/// [`ErrorKind::Cursor`](crate::ErrorKind::Cursor) if it is made up, or of another list.
#[doc(hidden)]
pub fn decode_cursor(of: &[&str], text: &str) -> Result<Bytes> {
    delivery::cursor::decode(of, text).map(Bytes::from)
}
