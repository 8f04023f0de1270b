//! SQLite: write-ahead log, clustered tables (`WITHOUT ROWID`), prepared statements, one connection.

use std::path::Path;
use std::sync::{Arc, Mutex};

use rusqlite::{Connection, params};

use super::{CACHE_BYTES, Mode};
use crate::chat::Message;
use crate::peer::{Page, Peer, append_in_groups};

pub struct Sqlite {
    connection: Mutex<Connection>,
}

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS messages (
        conversation INTEGER NOT NULL, id INTEGER NOT NULL, sender INTEGER NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY (conversation, id)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS inbox (
        user INTEGER NOT NULL, id INTEGER NOT NULL, conversation INTEGER NOT NULL,
        PRIMARY KEY (user, id)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS cursors (user INTEGER PRIMARY KEY, id INTEGER NOT NULL);";

fn signed(id: u64) -> i64 {
    i64::try_from(id).unwrap_or(i64::MAX)
}

impl Sqlite {
    pub fn open(dir: &Path, mode: Mode) -> Self {
        let connection = Connection::open(dir.join("sqlite")).unwrap();
        let set = |name: &str, value: &str| connection.pragma_update(None, name, value).unwrap();
        set("journal_mode", "WAL");
        set("synchronous", if mode.durable { "FULL" } else { "NORMAL" });
        set("cache_size", &format!("-{}", CACHE_BYTES >> 10));
        set("wal_autocheckpoint", "8000");
        set("temp_store", "MEMORY");
        connection.execute_batch(TABLES).unwrap();
        Self {
            connection: Mutex::new(connection),
        }
    }
}

impl Peer for Sqlite {
    fn write(&self, batch: &[Message], _: bool) {
        let mut connection = self.connection.lock().unwrap();
        let transaction = connection.transaction().unwrap();
        {
            let mut message =
                transaction.prepare_cached("INSERT INTO messages VALUES (?1, ?2, ?3, ?4)");
            let message = message.as_mut().unwrap();
            let mut inbox = transaction.prepare_cached("INSERT INTO inbox VALUES (?1, ?2, ?3)");
            let inbox = inbox.as_mut().unwrap();
            for m in batch {
                let body = m.body.as_bytes();
                message
                    .execute(params![m.conversation, signed(m.id), m.sender, body])
                    .unwrap();
                inbox
                    .execute(params![m.receiver, signed(m.id), m.conversation])
                    .unwrap();
            }
        }
        transaction.commit().unwrap();
    }

    fn sync(&self) {
        let connection = self.connection.lock().unwrap();
        connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .unwrap();
    }

    fn page(&self, conversation: u32, before: Option<u64>, limit: usize) -> Page {
        let connection = self.connection.lock().unwrap();
        let mut select = connection
            .prepare_cached(
                "SELECT id, body FROM messages WHERE conversation = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3",
            )
            .unwrap();
        let before = signed(before.unwrap_or(u64::MAX));
        let mut rows = select
            .query(params![conversation, before, signed(limit as u64)])
            .unwrap();
        let mut page = Page::default();
        while let Some(row) = rows.next().unwrap() {
            let body = row.get_ref(1).unwrap().as_blob().unwrap();
            page.count += 1;
            page.bytes += body.len() + usize::from(body.iter().all(|byte| *byte == 0));
            page.next = row.get::<_, i64>(0).unwrap().try_into().ok();
        }
        if page.count < limit {
            page.next = None;
        }
        page
    }

    fn expire(&self, conversations: u32, before: u64) {
        {
            let mut connection = self.connection.lock().unwrap();
            let transaction = connection.transaction().unwrap();
            for conversation in 0..conversations {
                transaction
                    .execute(
                        "DELETE FROM messages WHERE conversation = ?1 AND id < ?2",
                        params![conversation, signed(before)],
                    )
                    .unwrap();
            }
            transaction.commit().unwrap();
        }
        self.sync();
    }

    fn fan_out(&self, batch: &[Message], members: u32) {
        let mut connection = self.connection.lock().unwrap();
        for m in batch {
            let transaction = connection.transaction().unwrap();
            let body = m.body.as_bytes();
            transaction
                .prepare_cached("INSERT INTO messages VALUES (?1, ?2, ?3, ?4)")
                .unwrap()
                .execute(params![m.conversation, signed(m.id), m.sender, body])
                .unwrap();
            let mut inbox = transaction.prepare_cached("INSERT INTO inbox VALUES (?1, ?2, ?3)");
            for member in 0..members {
                let values = params![member, signed(m.id), m.conversation];
                inbox.as_mut().unwrap().execute(values).unwrap();
            }
            drop(inbox);
            transaction.commit().unwrap();
        }
    }

    fn drain(&self, member: u32) -> (usize, u64) {
        let connection = self.connection.lock().unwrap();
        let mut select = connection
            .prepare_cached(
                "SELECT m.id, m.body FROM inbox i JOIN messages m ON m.conversation = i.conversation AND m.id = i.id
                 WHERE i.user = ?1 ORDER BY i.id",
            )
            .unwrap();
        let mut rows = select.query([member]).unwrap();
        let (mut read, mut last) = (0, 0_i64);
        while let Some(row) = rows.next().unwrap() {
            read += usize::from(!row.get_ref(1).unwrap().as_blob().unwrap().is_empty());
            last = row.get(0).unwrap();
        }
        (read, last.try_into().unwrap())
    }

    fn acknowledge(&self, cursors: &[(u32, u64)]) {
        let mut connection = self.connection.lock().unwrap();
        let transaction = connection.transaction().unwrap();
        for (member, last) in cursors {
            transaction
                .prepare_cached("INSERT OR REPLACE INTO cursors VALUES (?1, ?2)")
                .unwrap()
                .execute(params![member, signed(*last)])
                .unwrap();
        }
        transaction.commit().unwrap();
    }

    fn settle(&self) {
        self.sync();
    }

    fn append_each(self: Arc<Self>, writers: usize, messages: Vec<Message>) -> Vec<u32> {
        append_in_groups(move |batch| self.write(batch, true), writers, messages)
    }
}
