//! sled 0.34: a tree for messages, one for inboxes.

use std::path::Path;
use std::sync::Arc;

use sled::{Batch, Db, Mode as SledMode, Tree};

use super::CACHE_BYTES;
use crate::chat::Message;
use crate::layout::{self, entry, id_of, inbox_key, message_key};
use crate::peer::{Page, Peer, append_in_groups};

pub struct Sled {
    db: Db,
    messages: Tree,
    inbox: Tree,
    cursors: Tree,
}

impl Sled {
    pub fn open(dir: &Path) -> Self {
        let db = sled::Config::new()
            .path(dir.join("sled"))
            .cache_capacity(CACHE_BYTES as u64)
            .mode(SledMode::HighThroughput)
            .flush_every_ms(None)
            .open()
            .unwrap();
        let tree = |name| db.open_tree(name).unwrap();
        Self {
            messages: tree("messages"),
            inbox: tree("inbox"),
            cursors: tree("cursors"),
            db,
        }
    }
}

impl Peer for Sled {
    fn write(&self, batch: &[Message], sync: bool) {
        let (mut messages, mut inbox) = (Batch::default(), Batch::default());
        let mut value = Vec::new();
        for message in batch {
            layout::value(message, &mut value);
            let key = message_key(message.conversation, message.id);
            messages.insert(&key, &value[..]);
            inbox.insert(&inbox_key(message), &entry(message));
        }
        self.messages.apply_batch(messages).unwrap();
        self.inbox.apply_batch(inbox).unwrap();
        if sync {
            self.sync();
        }
    }

    fn sync(&self) {
        self.db.flush().unwrap();
    }

    fn page(&self, conversation: u32, before: Option<u64>, limit: usize) -> Page {
        let range =
            message_key(conversation, 0)..message_key(conversation, before.unwrap_or(u64::MAX));
        let rows = self.messages.range(range).rev();
        layout::page(rows.map(Result::unwrap), limit)
    }

    fn expire(&self, conversations: u32, before: u64) {
        for conversation in 0..conversations {
            let range = message_key(conversation, 0)..message_key(conversation, before);
            let mut changes = Batch::default();
            for key in self.messages.range(range).keys() {
                changes.remove(key.unwrap());
            }
            self.messages.apply_batch(changes).unwrap();
        }
        self.sync();
    }

    fn fan_out(&self, batch: &[Message], members: u32) {
        let mut value = Vec::new();
        for message in batch {
            layout::value(message, &mut value);
            let key = message_key(message.conversation, message.id);
            self.messages.insert(key, &value[..]).unwrap();
            let mut inbox = Batch::default();
            for member in 0..members {
                inbox.insert(&message_key(member, message.id), &entry(message));
            }
            self.inbox.apply_batch(inbox).unwrap();
            self.sync();
        }
    }

    fn drain(&self, member: u32) -> (usize, u64) {
        let rows = self.inbox.scan_prefix(member.to_be_bytes());
        let rows = rows.map(Result::unwrap);
        let waiting: Vec<_> = rows.map(|(key, value)| (id_of(&key), value)).collect();
        let (Some((first, place)), Some((last, _))) = (waiting.first(), waiting.last()) else {
            return (0, 0);
        };
        let conversation = u32::from_be_bytes(place[..4].try_into().unwrap());
        let range = message_key(conversation, *first)..=message_key(conversation, *last);
        let rows = self.messages.range(range);
        let read = rows.filter(|row| layout::body_bytes(&row.as_ref().unwrap().1) > 0);
        (read.count(), *last)
    }

    fn acknowledge(&self, cursors: &[(u32, u64)]) {
        let mut changes = Batch::default();
        for (member, last) in cursors {
            changes.insert(&member.to_be_bytes(), &last.to_be_bytes());
        }
        self.cursors.apply_batch(changes).unwrap();
        self.sync();
    }

    fn settle(&self) {
        self.sync();
    }

    fn append_each(self: Arc<Self>, writers: usize, messages: Vec<Message>) -> Vec<u32> {
        append_in_groups(move |batch| self.write(batch, true), writers, messages)
    }
}
