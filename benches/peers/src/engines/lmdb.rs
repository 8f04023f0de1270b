//! LMDB through heed: a memory-mapped B-tree; `NO_SYNC` where a load is not durable, as its documentation says.

use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use heed::types::Bytes;
use heed::{Database, Env, EnvFlags, EnvOpenOptions};

use super::Mode;
use crate::chat::Message;
use crate::layout::{self, entry, id_of, inbox_key, message_key};
use crate::peer::{Page, Peer, append_in_groups};

type Table = Database<Bytes, Bytes>;

pub struct Lmdb {
    env: Env,
    messages: Table,
    inbox: Table,
    cursors: Table,
}

impl Lmdb {
    #[expect(unsafe_code, reason = "nobody else changes the map")]
    pub fn open(dir: &Path, mode: Mode) -> Self {
        let mut options = EnvOpenOptions::new();
        options.map_size(32 << 30).max_dbs(4);
        if !mode.durable {
            // SAFETY: after a crash of the machine nobody opens these files again.
            unsafe { options.flags(EnvFlags::NO_SYNC) };
        }
        // SAFETY: the directory belongs to this process.
        let env = unsafe { options.open(dir) }.unwrap();
        let mut transaction = env.write_txn().unwrap();
        let mut table = |name| env.create_database(&mut transaction, Some(name)).unwrap();
        let (messages, inbox, cursors) = (table("messages"), table("inbox"), table("cursors"));
        transaction.commit().unwrap();
        Self {
            env,
            messages,
            inbox,
            cursors,
        }
    }
}

impl Peer for Lmdb {
    fn write(&self, batch: &[Message], _: bool) {
        let mut transaction = self.env.write_txn().unwrap();
        let mut value = Vec::new();
        for message in batch {
            layout::value(message, &mut value);
            let key = message_key(message.conversation, message.id);
            self.messages.put(&mut transaction, &key, &value).unwrap();
            let key = inbox_key(message);
            self.inbox
                .put(&mut transaction, &key, &entry(message))
                .unwrap();
        }
        transaction.commit().unwrap();
    }

    fn sync(&self) {
        self.env.force_sync().unwrap();
    }

    fn page(&self, conversation: u32, before: Option<u64>, limit: usize) -> Page {
        let transaction = self.env.read_txn().unwrap();
        let (from, to) = (
            message_key(conversation, 0),
            message_key(conversation, before.unwrap_or(u64::MAX)),
        );
        let range = (Bound::Included(&from[..]), Bound::Excluded(&to[..]));
        let rows = self.messages.rev_range(&transaction, &range).unwrap();
        layout::page(rows.map(Result::unwrap), limit)
    }

    fn expire(&self, conversations: u32, before: u64) {
        let mut transaction = self.env.write_txn().unwrap();
        for conversation in 0..conversations {
            let (from, to) = (
                message_key(conversation, 0),
                message_key(conversation, before),
            );
            let range = (Bound::Included(&from[..]), Bound::Excluded(&to[..]));
            self.messages
                .delete_range(&mut transaction, &range)
                .unwrap();
        }
        transaction.commit().unwrap();
        self.sync();
    }

    fn fan_out(&self, batch: &[Message], members: u32) {
        let mut value = Vec::new();
        for message in batch {
            let mut transaction = self.env.write_txn().unwrap();
            layout::value(message, &mut value);
            let key = message_key(message.conversation, message.id);
            self.messages.put(&mut transaction, &key, &value).unwrap();
            for member in 0..members {
                let key = message_key(member, message.id);
                self.inbox
                    .put(&mut transaction, &key, &entry(message))
                    .unwrap();
            }
            transaction.commit().unwrap();
        }
    }

    fn drain(&self, member: u32) -> (usize, u64) {
        let transaction = self.env.read_txn().unwrap();
        let rows = self
            .inbox
            .prefix_iter(&transaction, &member.to_be_bytes()[..]);
        let rows = rows.unwrap().map(Result::unwrap);
        let waiting: Vec<_> = rows.map(|(key, value)| (id_of(key), value)).collect();
        let (Some((first, place)), Some((last, _))) = (waiting.first(), waiting.last()) else {
            return (0, 0);
        };
        let conversation = u32::from_be_bytes(place[..4].try_into().unwrap());
        let (from, to) = (
            message_key(conversation, *first),
            message_key(conversation, *last),
        );
        let range = (Bound::Included(&from[..]), Bound::Included(&to[..]));
        let rows = self.messages.range(&transaction, &range).unwrap();
        let read = rows.filter(|row| layout::body_bytes(row.as_ref().unwrap().1) > 0);
        (read.count(), *last)
    }

    fn acknowledge(&self, cursors: &[(u32, u64)]) {
        let mut transaction = self.env.write_txn().unwrap();
        for (member, last) in cursors {
            let (key, value) = (member.to_be_bytes(), last.to_be_bytes());
            self.cursors.put(&mut transaction, &key, &value).unwrap();
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
