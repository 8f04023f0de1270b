//! What stores that are older than inboxes do not have yet.

use tidestore_kv::{Batch, Engine};
use tidestore_messages::{AppId, Conversation};

use crate::delivery::tables::move_activity;
use crate::error::Result;
use crate::tables::{self, ACTIVITY_COMPLETE, HEADS, Position};

/// Sorts the direct conversations of an older store by activity, once. Not logged: a crash before it is durable makes the
/// next opening do the same.
pub(crate) fn complete_activity(engine: &dyn Engine) -> Result<()> {
    if tables::number(engine, ACTIVITY_COMPLETE)? > 0 {
        return Ok(());
    }
    let mut batch = Batch::new();
    tidestore_kv::scan(engine, HEADS, b"", |key, value| {
        let app = key
            .first_chunk::<4>()
            .map(|app| AppId(u32::from_be_bytes(*app)));
        let text = key.get(4..).and_then(|text| std::str::from_utf8(text).ok());
        let conversation = text.and_then(Conversation::from_stored);
        if let (Some(app), Some(conversation), Some(head)) =
            (app, conversation, Position::decode(value))
        {
            move_activity(&mut batch, app, &conversation, &Position::default(), &head);
        }
        Ok(())
    })?;
    tables::put_number(&mut batch, ACTIVITY_COMPLETE, 1);
    Ok(engine.write(batch)?)
}
