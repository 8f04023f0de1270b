//! Ordered key-value tables that the views of a shard live in.
//!
//! - Tables of byte strings in key order, read by key or by page, forwards or backwards.
//! - One [`Batch`] changes any number of tables, all of it or nothing, also after a crash.
//! - Three engines behind one trait: sled and redb, and memory for simulation; a store moves from one to another by copy.
//!
//! It is not a store by itself: a batch is durable only after [`Engine::flush`], and what lies
//! between the last flush and a crash comes back from the commit log. Hence the position that a
//! view has applied belongs into the same batch as the change.
//!
//! | after … | a batch before the last flush | a batch after it |
//! |---|---|---|
//! | `write` returned | visible | visible |
//! | a crash | there, whole | whole or absent; if absent, all later ones are too |
//! | a failed `flush`, then a crash | there, whole | the same |
//!
//! Where a device breaks this, by damage or by syncs that lied, [`open`] reports
//! [`ErrorKind::Corruption`] instead of tables that lack what was flushed.
//!
//! # Example
//!
//! ```
//! use std::path::Path;
//! use std::sync::Arc;
//!
//! use tidestore_disk::{Disk, SimDisk};
//! use tidestore_kv::{Batch, EngineKind, Range, Table, open, prefix_range};
//!
//! const MEMBERS: Table = Table(1);
//! const APPLIED: Table = Table(0);
//!
//! # fn main() -> tidestore_kv::Result<()> {
//! let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
//! let tables = open(EngineKind::Memory, &disk, Path::new("views/shard-00"))?;
//!
//! let mut batch = Batch::new();
//! batch.put(MEMBERS, "tea/ann", "owner");
//! batch.put(MEMBERS, "tea/bob", "member");
//! batch.put(MEMBERS, "walks/ann", "member");
//! batch.put(APPLIED, "position", 42_u64.to_le_bytes());
//! tables.write(batch)?;
//! tables.flush()?;
//!
//! let (start, end) = prefix_range(b"tea/");
//! let page = tables.range(MEMBERS, Range { start, end, reverse: false, limit: 100 })?;
//! assert_eq!(page.len(), 2);
//! assert_eq!(page[1], (b"tea/bob".to_vec(), b"member".to_vec()));
//! # Ok(())
//! # }
//! ```

mod batch;
pub mod codec;
mod engine;
mod error;
mod key;
mod layered;
mod memory;
mod overlay;
mod place;
mod rebuild;
mod redb_engine;
mod redb_file;
mod rows;
mod scan;
mod sled_engine;
mod write_back;

pub use batch::{Batch, KEY_BYTES_MAX, VALUE_BYTES_MAX};
pub use engine::{Engine, EngineKind, KeyValue, Range, Table, open, prefix_range};
pub use error::{Error, ErrorKind, Result};
pub use key::Key;
pub use memory::MemoryEngine;
pub use overlay::{Changes, Overlay, batch_of, decode_row};
pub use place::CURRENT;
pub use rebuild::{Rebuilt, rebuild};
pub use redb_engine::RedbEngine;
pub use rows::{Rows, each_row, page_of, row};
pub use scan::scan;
pub use sled_engine::SledEngine;
