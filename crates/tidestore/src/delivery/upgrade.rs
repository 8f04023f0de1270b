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

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use tidestore_disk::{Disk, SimDisk};
    use tidestore_kv::EngineKind;

    use super::*;
    use crate::delivery::tables::{Order, activity};

    /// The head of a conversation as stores wrote it that had no inboxes.
    fn old_head(seq: u64, id: u64) -> Vec<u8> {
        [seq.to_le_bytes(), id.to_le_bytes()].concat()
    }

    #[test]
    fn direct_conversations_of_an_older_store_are_sorted_once() {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
        disk.create_dir_all(Path::new("views")).unwrap();
        let engine = tidestore_kv::open(EngineKind::Memory, &disk, Path::new("views")).unwrap();
        let app = AppId(3);
        let mut batch = Batch::new();
        for (name, id) in [
            ("direct:ann,bob", 70),
            ("direct:ann,cid", 90),
            ("group:tea", 80),
        ] {
            batch.put(HEADS, tables::head_key(app, name), old_head(5, id));
        }
        engine.write(batch).unwrap();
        let listed = |user| activity(&*engine, app, user, Order::Time, None, 0, 9).unwrap();
        for _ in 0..2 {
            complete_activity(&*engine).unwrap();
            let ids: Vec<_> = listed("ann").into_iter().map(|(id, _)| id).collect();
            assert_eq!(ids, [90, 70]);
            assert_eq!((listed("bob").len(), listed("dora").len()), (1, 0));
        }
        // Which of its messages were imported nobody noted: any may have been.
        let tea = Conversation::from_stored("group:tea").unwrap();
        let head = tables::head(&*engine, app, &tea).unwrap().unwrap();
        assert_eq!(
            (head.last_seq, head.imported_seq, head.last_live),
            (5, 5, 80)
        );
    }
}
