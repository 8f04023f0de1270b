//! The only code of Tidestore that touches files, `fsync`, the clock and randomness.
//!
//! - [`Disk`], [`File`], [`Clock`] and [`Entropy`] are the seams; [`Env`] holds one of each.
//! - [`RealDisk`], [`RealClock`] and [`OsEntropy`] are the machine.
//! - [`ShadowDisk`] lies over another disk and keeps what is written in memory.
//! - [`SimDisk`], [`SimClock`] and [`SimEntropy`] are a machine that crashes, fails, fills up, rots
//!   and lies about the time on command, and does the same again for the same seed.
//! - [`encode_frame`] and [`decode_frame`] tell one's own bytes from damage, [`atomic_replace`]
//!   changes a small file as a whole, [`encode_name`] makes a file name of any name, and
//!   [`FileCache`] bounds the number of open files.
//!
//! It is not a filesystem abstraction for general use: paths are relative to one root, there are
//! only regular files and directories, and nothing is ever followed out of the root.
//!
//! ```
//! use std::path::Path;
//! use tidestore_disk::{Env, Fault, OpKind, SimClock, SimDisk, Survival};
//! use tidestore_disk::{atomic_replace, read_small};
//!
//! let disk = SimDisk::new();
//! let env = Env::sim(disk.clone(), SimClock::new(0), 42);
//! let path = Path::new("manifest");
//! atomic_replace(&*env.disk, path, b"first")?;
//!
//! // The next sync fails: the old file must stay, now and after a power cut.
//! disk.fail_matching(OpKind::Sync, 1, Fault::Eio);
//! assert!(atomic_replace(&*env.disk, path, b"second").is_err());
//! assert_eq!(read_small(&*env.disk, path, 100)?, b"first");
//! assert_eq!(disk.crash(7, Survival::HALF).read_all(path)?, b"first");
//! # Ok::<(), tidestore_disk::Error>(())
//! ```

#![warn(clippy::indexing_slicing)]

mod cache;
mod clock;
#[cfg(test)]
mod conformance;
mod entropy;
mod env;
mod error;
mod file;
mod frame;
mod names;
mod path;
mod real;
mod replace;
mod rng;
mod shadow;
mod sim;
pub mod sync;
mod traits;

pub use cache::FileCache;
pub use clock::{Clock, Millis, RealClock, SimClock};
pub use entropy::{OsEntropy, SimEntropy};
pub use env::Env;
pub use error::{Error, ErrorKind, Result};
pub use file::FileExt;
pub use frame::{FRAME_HEADER_BYTES, FrameError, Seal, checksum, decode_frame, encode_frame};
pub use names::{NameError, decode_name, encode_name};
pub use real::RealDisk;
pub use replace::{TEMPORARY_SUFFIX, atomic_replace, read_small};
pub use shadow::ShadowDisk;
pub use sim::{Fault, OpKind, SimDisk, Survival};
pub use traits::{Disk, Entropy, Entry, EntryKind, File, Lock, Metadata, OpenMode, PUNCH_BYTES};
