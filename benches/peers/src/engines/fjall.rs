//! fjall: a keyspace for messages, one for inboxes, one journal.

use std::path::Path;
use std::sync::Arc;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::{CACHE_BYTES, Mode};
use crate::chat::Message;
use crate::layout::{self, entry, id_of, inbox_key, message_key};
use crate::peer::{Page, Peer, append_in_groups};

pub struct Fjall {
    db: Database,
    messages: Keyspace,
    inbox: Keyspace,
    cursors: Keyspace,
}

impl Fjall {
    pub fn open(dir: &Path, mode: Mode) -> Self {
        let db = Database::builder(dir)
            .cache_size(CACHE_BYTES as u64)
            .open()
            .unwrap();
        let options = || KeyspaceCreateOptions::default().max_memtable_size(mode.memtable as u64);
        let keyspace = |name| db.keyspace(name, options).unwrap();
        Self {
            messages: keyspace("messages"),
            inbox: keyspace("inbox"),
            cursors: keyspace("cursors"),
            db,
        }
    }

    fn persist(&self) {
        self.db.persist(PersistMode::SyncData).unwrap();
    }
}

impl Peer for Fjall {
    fn write(&self, batch: &[Message], sync: bool) {
        let (mut changes, mut value) = (self.db.batch(), Vec::new());
        for message in batch {
            layout::value(message, &mut value);
            let key = message_key(message.conversation, message.id);
            changes.insert(&self.messages, key, &value[..]);
            changes.insert(&self.inbox, inbox_key(message), entry(message));
        }
        changes.commit().unwrap();
        if sync {
            self.persist();
        }
    }

    fn sync(&self) {
        self.persist();
    }

    fn page(&self, conversation: u32, before: Option<u64>, limit: usize) -> Page {
        let range =
            message_key(conversation, 0)..message_key(conversation, before.unwrap_or(u64::MAX));
        let rows = self.messages.range(range).rev();
        layout::page(rows.map(|row| row.into_inner().unwrap()), limit)
    }

    fn expire(&self, conversations: u32, before: u64) {
        for conversation in 0..conversations {
            let range = message_key(conversation, 0)..message_key(conversation, before);
            let mut changes = self.db.batch();
            for row in self.messages.range(range) {
                changes.remove(&self.messages, row.key().unwrap());
            }
            changes.commit().unwrap();
        }
        self.persist();
        self.settle();
    }

    fn fan_out(&self, batch: &[Message], members: u32) {
        let mut value = Vec::new();
        for message in batch {
            let mut changes = self.db.batch();
            layout::value(message, &mut value);
            let key = message_key(message.conversation, message.id);
            changes.insert(&self.messages, key, &value[..]);
            for member in 0..members {
                changes.insert(&self.inbox, message_key(member, message.id), entry(message));
            }
            changes.commit().unwrap();
            self.persist();
        }
    }

    fn drain(&self, member: u32) -> (usize, u64) {
        let rows = self.inbox.prefix(member.to_be_bytes());
        let rows = rows.map(|row| row.into_inner().unwrap());
        let waiting: Vec<_> = rows.map(|(key, value)| (id_of(&key), value)).collect();
        let (Some((first, place)), Some((last, _))) = (waiting.first(), waiting.last()) else {
            return (0, 0);
        };
        let conversation = u32::from_be_bytes(place[..4].try_into().unwrap());
        let range = message_key(conversation, *first)..=message_key(conversation, *last);
        let rows = self.messages.range(range);
        let read = rows.map(|row| row.into_inner().unwrap());
        let read = read
            .filter(|(_, value)| layout::body_bytes(value) > 0)
            .count();
        (read, *last)
    }

    fn acknowledge(&self, cursors: &[(u32, u64)]) {
        let mut changes = self.db.batch();
        for (member, last) in cursors {
            changes.insert(&self.cursors, member.to_be_bytes(), last.to_be_bytes());
        }
        changes.commit().unwrap();
        self.persist();
    }

    fn settle(&self) {
        for keyspace in [&self.messages, &self.inbox] {
            keyspace.rotate_memtable_and_wait().unwrap();
            keyspace.major_compact().unwrap();
        }
    }

    fn append_each(self: Arc<Self>, writers: usize, messages: Vec<Message>) -> Vec<u32> {
        append_in_groups(move |batch| self.write(batch, true), writers, messages)
    }
}
