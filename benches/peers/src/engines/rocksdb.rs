//! RocksDB: by its tuning guide, level compaction with dynamic levels, LZ4 above and zstd in the last level.

use std::path::Path;
use std::sync::Arc;

use rocksdb::{
    BlockBasedOptions, BottommostLevelCompaction, Cache, ColumnFamilyDescriptor, CompactOptions,
    DB, DBCompressionType, Direction, FlushOptions, IteratorMode, Options, WriteBatch,
    WriteOptions,
};

use super::{CACHE_BYTES, Mode};
use crate::chat::Message;
use crate::layout::{self, entry, id_of, inbox_key, message_key};
use crate::peer::{Page, Peer, append_in_groups};

pub struct Rocks {
    db: DB,
}

impl Rocks {
    pub fn open(dir: &Path, mode: Mode) -> Self {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.increase_parallelism(2);
        options.set_bytes_per_sync(1 << 20);
        options.set_max_total_wal_size(256 << 20);
        options.set_enable_pipelined_write(true);
        let cache = Cache::new_lru_cache(CACHE_BYTES).unwrap();
        let family = |name: &str| {
            let mut options = Options::default();
            options.set_level_compaction_dynamic_level_bytes(true);
            options.set_write_buffer_size(mode.memtable);
            options.set_max_write_buffer_number(3);
            options.set_compression_type(DBCompressionType::Zstd);
            options.set_bottommost_compression_type(DBCompressionType::Zstd);
            let mut blocks = BlockBasedOptions::default();
            blocks.set_block_cache(&cache);
            blocks.set_block_size(16 << 10);
            blocks.set_format_version(5);
            blocks.set_cache_index_and_filter_blocks(false);
            options.set_block_based_table_factory(&blocks);
            ColumnFamilyDescriptor::new(name, options)
        };
        let families = ["messages", "inbox", "cursors"].map(family);
        let db = DB::open_cf_descriptors(&options, dir, families).unwrap();
        Self { db }
    }

    fn family(&self, name: &str) -> &rocksdb::ColumnFamily {
        self.db.cf_handle(name).unwrap()
    }

    fn commit(&self, batch: WriteBatch, sync: bool) {
        let mut options = WriteOptions::default();
        options.set_sync(sync);
        self.db.write_opt(batch, &options).unwrap();
    }
}

impl Peer for Rocks {
    fn write(&self, batch: &[Message], sync: bool) {
        let (messages, inbox) = (self.family("messages"), self.family("inbox"));
        let (mut changes, mut value) = (WriteBatch::default(), Vec::new());
        for message in batch {
            layout::value(message, &mut value);
            let key = message_key(message.conversation, message.id);
            changes.put_cf(messages, key, &value);
            changes.put_cf(inbox, inbox_key(message), entry(message));
        }
        self.commit(changes, sync);
    }

    fn sync(&self) {
        self.db.flush_wal(true).unwrap();
    }

    fn page(&self, conversation: u32, before: Option<u64>, limit: usize) -> Page {
        let end = message_key(conversation, before.map_or(u64::MAX, |id| id - 1));
        let mode = IteratorMode::From(&end, Direction::Reverse);
        let rows = self.db.iterator_cf(self.family("messages"), mode);
        let rows = rows.map(Result::unwrap);
        let rows = rows.take_while(|(key, _)| key[..4] == conversation.to_be_bytes());
        layout::page(rows, limit)
    }

    fn expire(&self, conversations: u32, before: u64) {
        let messages = self.family("messages");
        let mut changes = WriteBatch::default();
        for conversation in 0..conversations {
            let (from, to) = (
                message_key(conversation, 0),
                message_key(conversation, before),
            );
            changes.delete_range_cf(messages, from, to);
        }
        self.commit(changes, true);
        let mut options = CompactOptions::default();
        options.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
        self.db
            .compact_range_cf_opt(messages, None::<&[u8]>, None::<&[u8]>, &options);
    }

    fn fan_out(&self, batch: &[Message], members: u32) {
        let (messages, inbox) = (self.family("messages"), self.family("inbox"));
        let mut value = Vec::new();
        for message in batch {
            let mut changes = WriteBatch::default();
            layout::value(message, &mut value);
            let key = message_key(message.conversation, message.id);
            changes.put_cf(messages, key, &value);
            for member in 0..members {
                changes.put_cf(inbox, message_key(member, message.id), entry(message));
            }
            self.commit(changes, true);
        }
    }

    fn drain(&self, member: u32) -> (usize, u64) {
        let from = message_key(member, 0);
        let mode = IteratorMode::From(&from, Direction::Forward);
        let rows = self.db.iterator_cf(self.family("inbox"), mode);
        let rows = rows.map(Result::unwrap);
        let rows = rows.take_while(|(key, _)| key[..4] == member.to_be_bytes());
        let waiting: Vec<_> = rows.map(|(key, value)| (id_of(&key), value)).collect();
        let (Some((first, place)), Some((last, _))) = (waiting.first(), waiting.last()) else {
            return (0, 0);
        };
        let conversation = u32::from_be_bytes(place[..4].try_into().unwrap());
        let from = message_key(conversation, *first);
        let mode = IteratorMode::From(&from, Direction::Forward);
        let rows = self.db.iterator_cf(self.family("messages"), mode);
        let read = rows.map(Result::unwrap).take(waiting.len());
        let read = read
            .filter(|(_, value)| layout::body_bytes(value) > 0)
            .count();
        (read, *last)
    }

    fn acknowledge(&self, cursors: &[(u32, u64)]) {
        let family = self.family("cursors");
        let mut changes = WriteBatch::default();
        for (member, last) in cursors {
            changes.put_cf(family, member.to_be_bytes(), last.to_be_bytes());
        }
        self.commit(changes, true);
    }

    fn settle(&self) {
        let mut options = FlushOptions::default();
        options.set_wait(true);
        for name in ["messages", "inbox"] {
            let family = self.family(name);
            self.db.flush_cf_opt(family, &options).unwrap();
            self.db
                .compact_range_cf(family, None::<&[u8]>, None::<&[u8]>);
        }
    }

    fn append_each(self: Arc<Self>, writers: usize, messages: Vec<Message>) -> Vec<u32> {
        append_in_groups(move |batch| self.write(batch, true), writers, messages)
    }
}
