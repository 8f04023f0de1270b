//! The engines, each set up as its documentation advises for such a load, with 64 MiB of cache each.

mod clustered;
mod fjall;
mod lmdb;
mod raw;
mod redb;
mod rocksdb;
mod sled;
mod sqlite;
mod tidestore;

use std::path::Path;
use std::sync::Arc;

use crate::peer::Peer;

/// Memory for what was read, of each engine.
pub const CACHE_BYTES: usize = 64 << 20;

/// How an engine is opened.
#[derive(Clone, Copy, Debug)]
pub struct Mode {
    /// Whether what is written is on the device when the call returns. Otherwise it survives the process, and a later
    /// [`Peer::sync`] makes it durable.
    pub durable: bool,
    /// Whether messages come with times of their own. Only Tidestore makes a difference.
    pub history: bool,
    /// How many days Tidestore keeps messages: it lays out its files by that.
    pub keeps_days: u32,
    /// Memory for what was written and waits for its place, in bytes.
    pub memtable: usize,
}

impl Default for Mode {
    fn default() -> Self {
        Self {
            durable: true,
            history: false,
            keeps_days: 180,
            memtable: 32 << 20,
        }
    }
}

/// All engines; the last two are no engines but bounds: an append and a read cannot be faster than theirs.
pub const NAMES: [&str; 9] = [
    "tidestore",
    "rocksdb",
    "fjall",
    "redb",
    "lmdb",
    "sqlite",
    "sled",
    "raw",
    "clustered",
];

/// Something to do with any engine.
pub trait Visit {
    /// What comes of it.
    type Out;

    /// Does it.
    fn visit<P: Peer + 'static>(self, peer: Arc<P>, names: &Names) -> Self::Out;
}

/// The names behind the numbers in messages.
pub struct Names<'a> {
    /// Of conversations.
    pub conversations: &'a [String],
    /// Of users.
    pub users: &'a [String],
}

/// Opens an engine in a directory and does something with it.
pub fn with<V: Visit>(engine: &str, dir: &Path, mode: Mode, names: &Names, visit: V) -> V::Out {
    std::fs::create_dir_all(dir).unwrap();
    match engine {
        "tidestore" => visit.visit(Arc::new(tidestore::Tide::open(dir, mode, names)), names),
        "rocksdb" => visit.visit(Arc::new(rocksdb::Rocks::open(dir, mode)), names),
        "fjall" => visit.visit(Arc::new(fjall::Fjall::open(dir, mode)), names),
        "redb" => visit.visit(Arc::new(redb::Redb::open(dir, mode)), names),
        "lmdb" => visit.visit(Arc::new(lmdb::Lmdb::open(dir, mode)), names),
        "sqlite" => visit.visit(Arc::new(sqlite::Sqlite::open(dir, mode)), names),
        "sled" => visit.visit(Arc::new(sled::Sled::open(dir)), names),
        "raw" => visit.visit(Arc::new(raw::Raw::open(dir)), names),
        "clustered" => visit.visit(Arc::new(clustered::Clustered::open(dir)), names),
        other => panic!("no engine {other}: {NAMES:?}"),
    }
}
