//! A small store that holds every kind of thing, and all that can be read from it. Golden files and the seeds of fuzz
//! targets are made of it.
//!
//! What [`fill`] does may grow, and golden files of an old version then lack what is new. What [`look`] finds in them is
//! compared field by field, so it lists fields by name and never prints whole structures.

mod fill;
mod look;

pub use fill::{fill, leave_a_tail};
pub use look::look;

use tidestore::disk::Millis;
use tidestore::plan::ResourceId;
use tidestore::{EngineKind, Options};

use crate::{HOUR, START};

/// When the last thing happened in it; golden files are read at this time.
pub const END: Millis = START + 12 * HOUR;

/// How such a store is made: little files, nothing by itself.
pub fn options(engine: EngineKind) -> Options {
    Options {
        shards: 2,
        engine,
        log_file_bytes: 32 << 10,
        shared_attachment_bytes: 4 << 10,
        block_bytes: 1 << 10,
        background: false,
        ..Options::default()
    }
}

/// A group, chatroom or thread.
pub(crate) fn resource(id: &str) -> ResourceId {
    ResourceId::parse(id).unwrap()
}
