//! redb: a copy-on-write B-tree; durable commits, or none until [`Peer::sync`].

use std::path::Path;
use std::sync::Arc;

use redb::{Database, Durability, ReadableDatabase, TableDefinition};

use super::{CACHE_BYTES, Mode};
use crate::chat::Message;
use crate::layout::{self, entry, id_of, inbox_key, message_key};
use crate::peer::{Page, Peer, append_in_groups};

const MESSAGES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("messages");
const INBOX: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("inbox");
const CURSORS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("cursors");

pub struct Redb {
    db: Database,
}

impl Redb {
    pub fn open(dir: &Path, _: Mode) -> Self {
        let db = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create(dir.join("redb"))
            .unwrap();
        let redb = Self { db };
        redb.change(true, |_| ());
        redb
    }

    fn change<T>(&self, sync: bool, change: impl FnOnce(&redb::WriteTransaction) -> T) -> T {
        let mut transaction = self.db.begin_write().unwrap();
        let durability = if sync {
            Durability::Immediate
        } else {
            Durability::None
        };
        transaction.set_durability(durability).unwrap();
        for table in [MESSAGES, INBOX, CURSORS] {
            transaction.open_table(table).unwrap();
        }
        let changed = change(&transaction);
        transaction.commit().unwrap();
        changed
    }
}

impl Peer for Redb {
    fn write(&self, batch: &[Message], sync: bool) {
        self.change(sync, |transaction| {
            let mut messages = transaction.open_table(MESSAGES).unwrap();
            let mut inbox = transaction.open_table(INBOX).unwrap();
            let mut value = Vec::new();
            for message in batch {
                layout::value(message, &mut value);
                let key = message_key(message.conversation, message.id);
                messages.insert(&key[..], &value[..]).unwrap();
                inbox
                    .insert(&inbox_key(message)[..], &entry(message)[..])
                    .unwrap();
            }
        });
    }

    fn sync(&self) {
        self.change(true, |_| ());
    }

    fn page(&self, conversation: u32, before: Option<u64>, limit: usize) -> Page {
        let transaction = self.db.begin_read().unwrap();
        let messages = transaction.open_table(MESSAGES).unwrap();
        let (from, to) = (
            message_key(conversation, 0),
            message_key(conversation, before.unwrap_or(u64::MAX)),
        );
        let rows = messages.range(&from[..]..&to[..]).unwrap().rev();
        let mut page = Page::default();
        for row in rows.take(limit) {
            let (key, value) = row.unwrap();
            page.count += 1;
            page.bytes += layout::body_bytes(value.value());
            page.next = Some(id_of(key.value()));
        }
        if page.count < limit {
            page.next = None;
        }
        page
    }

    fn expire(&self, conversations: u32, before: u64) {
        self.change(true, |transaction| {
            let mut messages = transaction.open_table(MESSAGES).unwrap();
            for conversation in 0..conversations {
                let (from, to) = (
                    message_key(conversation, 0),
                    message_key(conversation, before),
                );
                messages
                    .retain_in(&from[..]..&to[..], |_, _| false)
                    .unwrap();
            }
        });
    }

    fn fan_out(&self, batch: &[Message], members: u32) {
        let mut value = Vec::new();
        for message in batch {
            self.change(true, |transaction| {
                let mut messages = transaction.open_table(MESSAGES).unwrap();
                let mut inbox = transaction.open_table(INBOX).unwrap();
                layout::value(message, &mut value);
                let key = message_key(message.conversation, message.id);
                messages.insert(&key[..], &value[..]).unwrap();
                for member in 0..members {
                    let key = message_key(member, message.id);
                    inbox.insert(&key[..], &entry(message)[..]).unwrap();
                }
            });
        }
    }

    fn drain(&self, member: u32) -> (usize, u64) {
        let transaction = self.db.begin_read().unwrap();
        let inbox = transaction.open_table(INBOX).unwrap();
        let messages = transaction.open_table(MESSAGES).unwrap();
        let (from, to) = (message_key(member, 0), message_key(member, u64::MAX));
        let rows = inbox.range(&from[..]..&to[..]).unwrap();
        let waiting: Vec<_> = rows
            .map(|row| row.unwrap())
            .map(|(key, value)| (id_of(key.value()), value.value().to_vec()))
            .collect();
        let (Some((first, place)), Some((last, _))) = (waiting.first(), waiting.last()) else {
            return (0, 0);
        };
        let conversation = u32::from_be_bytes(place[..4].try_into().unwrap());
        let (from, to) = (
            message_key(conversation, *first),
            message_key(conversation, *last),
        );
        let rows = messages.range(&from[..]..=&to[..]).unwrap();
        let read = rows.filter(|row| layout::body_bytes(row.as_ref().unwrap().1.value()) > 0);
        let read = read.count();
        (read, *last)
    }

    fn acknowledge(&self, cursors: &[(u32, u64)]) {
        self.change(true, |transaction| {
            let mut table = transaction.open_table(CURSORS).unwrap();
            for (member, last) in cursors {
                let (key, value) = (member.to_be_bytes(), last.to_be_bytes());
                table.insert(&key[..], &value[..]).unwrap();
            }
        });
    }

    fn settle(&self) {
        self.sync();
    }

    fn append_each(self: Arc<Self>, writers: usize, messages: Vec<Message>) -> Vec<u32> {
        append_in_groups(move |batch| self.write(batch, true), writers, messages)
    }
}
