//! The commit log of a shard: batches that are durable once they are synced, and come back in order.
//!
//! - One append is one write, one sync is one `fdatasync`; how many callers share them is decided above.
//! - Files are zeroed ahead and used again, so that a sync writes data and no metadata.
//! - Damage in synced batches is an error that names file and offset; only a tail that was never synced is dropped.
//!
//! It is not: a queue, or a place that knows what a batch means.
//!
//! | after … | a synced batch | an appended one |
//! |---|---|---|
//! | a crash of the process | there | there |
//! | power loss | there | there or absent, and absent only together with all later ones |
//! | a failed sync | there | known after reopening |
//!
//! ```
//! use std::path::Path;
//! use std::sync::Arc;
//!
//! use tidestore_disk::{Disk, SimDisk};
//! use tidestore_log::{FileLog, Log, LogOptions, Position};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
//! disk.create_dir_all(Path::new("log"))?;
//! let (mut log, _) =
//!     FileLog::open(Arc::clone(&disk), Path::new("log"), [7; 16], 0, LogOptions::default())?;
//! assert_eq!(log.append(b"first")?, Position(1));
//! log.append(b"second")?;
//! log.sync()?;
//!
//! let mut seen = Vec::new();
//! log.replay(Position(1), &mut |position, batch| {
//!     seen.push((position.0, batch.to_vec()));
//!     Ok(())
//! })?;
//! assert_eq!(seen, [(1, b"first".to_vec()), (2, b"second".to_vec())]);
//! # Ok(())
//! # }
//! ```

#![warn(clippy::indexing_slicing)]

mod error;
mod file;
mod format;
mod inspect;
mod log;
mod newest;
mod recovery;
mod salvage;
mod traits;

pub use error::{BoxError, Error, ErrorKind, Result};
pub use format::decode_frame;
pub use inspect::{LogFileReport, inspect};
pub use log::{FileLog, LogOptions};
pub use newest::inspect_newest;
pub use recovery::{Notice, RecoveryReport};
pub use salvage::{LogDamage, LogSalvage, RebuiltLog, identify, salvage, write_rebuilt};
pub use traits::{Log, Position, Visitor};
