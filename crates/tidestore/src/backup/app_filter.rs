//! Which rows and records belong to one app.

use tidestore_blobs::Stock;
use tidestore_kv::Table;
use tidestore_messages::AppId;

use crate::error::{Error, ErrorKind, Result};
use crate::record::{Event, Record, decode_batch, put_event, put_message, start_batch};
use crate::tables::{APPS, DAYS, FORGETTING, HEADS, META, OF_APPS, RECEIPTS, SEGMENTS};

/// What a backup of one app takes of a shard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AppFilter {
    pub(crate) app: AppId,
}

impl AppFilter {
    /// Whether a row belongs to the app or to nobody. Those of the manifest are not judged here: false.
    pub(crate) fn keeps(self, stock: &Stock, table: Table, key: &[u8]) -> bool {
        let of_app = key.starts_with(&self.app.0.to_be_bytes());
        match table {
            META => true,
            APPS | HEADS => of_app,
            SEGMENTS | RECEIPTS | DAYS | FORGETTING => false,
            _ if OF_APPS.iter().any(|range| range.contains(&table.0)) => of_app,
            _ => stock
                .is_of(self.app, table, key)
                .unwrap_or(is_of_nobody(table)),
        }
    }

    /// A batch of the log with nothing of others. It keeps its place: positions have no gaps.
    pub(crate) fn batch(self, stock: &Stock, batch: &[u8]) -> Result<Vec<u8>> {
        let malformed =
            |error: crate::record::Malformed| Error::new(ErrorKind::Corruption, error.to_string());
        let (time, records) = decode_batch(batch).map_err(malformed)?;
        let mut kept = Vec::new();
        start_batch(&mut kept, time);
        for record in records {
            match record {
                Record::Message {
                    app,
                    conversation,
                    message,
                } if app == self.app => put_message(&mut kept, app, &conversation, &message),
                Record::Message { .. } => {}
                Record::Event(event) => {
                    if let Some(event) = self.event(stock, event) {
                        put_event(&mut kept, &event).map_err(malformed)?;
                    }
                }
            }
        }
        Ok(kept)
    }

    fn event(self, stock: &Stock, event: Event) -> Option<Event> {
        let id = self.app.0;
        match event {
            Event::App(record) => (record.id == id).then_some(Event::App(record)),
            Event::AppDeleted(of) => (of == id).then_some(Event::AppDeleted(of)),
            Event::AppForgotten(of) => (of == id).then_some(Event::AppForgotten(of)),
            Event::Floors(mut floors) => {
                floors.retain(|(of, _)| *of == id);
                (!floors.is_empty()).then_some(Event::Floors(floors))
            }
            Event::Rows(mut rows) => {
                rows.retain(|table, key| self.keeps(stock, table, key));
                (!rows.is_empty()).then_some(Event::Rows(rows))
            }
            // While a backup looks at the logs, none of these is written that a replay would need.
            Event::Manifest(_) | Event::Sealed(..) => None,
            Event::Alive => Some(Event::Alive),
        }
    }
}

/// The marks of noted references, which speak of shards. What a table holds that is not known here stays behind.
fn is_of_nobody(table: Table) -> bool {
    table == Table(12)
}
