//! Attachments: contents of up to 10 MB, counted while they stream in, stored once in their app, kept as long as
//! something refers to them.
//!
//! This crate decides, and writes volumes; it makes nothing visible. Its caller logs the rows of a [`Change`], writes
//! them into the tables, and then lets [`Volumes::settle`] do to files what they say. Until the rows are there, nobody
//! can see the bytes; whatever a crash leaves of them is cut off or swept at the next opening.
//!
//! ```
//! use std::path::PathBuf;
//! use std::sync::Arc;
//! use tidestore_blobs::{
//!     Apps, Change, Content, Destination, Intake, Keeping, NewAttachment, Site, Span, Volumes, index,
//! };
//! use tidestore_disk::{Env, FileCache, SimClock, SimDisk};
//! use tidestore_kv::{EngineKind, batch_of, open};
//! use tidestore_plan::{AppId, UserId};
//!
//! #[derive(Debug)]
//! struct OneApp;
//! impl Apps for OneApp {
//!     fn dir(&self, _: AppId) -> Option<PathBuf> {
//!         Some("apps/one".into())
//!     }
//!     fn bucket(&self, _: AppId, _: u64) -> Span {
//!         Span { start: 0, end: 86_400_000 }
//!     }
//!     fn floor(&self, _: AppId) -> u64 {
//!         0
//!     }
//!     fn physical_floor(&self, _: AppId) -> u64 {
//!         0
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let env = Env::sim(SimDisk::new(), SimClock::new(1_000), 7);
//! let engine = open(EngineKind::Memory, &env.disk, "views".as_ref())?;
//! let files = Arc::new(FileCache::new(Arc::clone(&env.disk), 8));
//! let (store, app) = ([1; 16], AppId(1));
//! let site = Site::new(&env, store);
//! let mut volumes = Volumes::open(site.clone(), Arc::clone(&files), 0, &*engine, &OneApp)?;
//!
//! // The bytes come in pieces of any size.
//! let to = Destination {
//!     app,
//!     app_dir: "apps/one".into(),
//!     bucket: OneApp.bucket(app, 1_000),
//!     shared_max: 256 << 10,
//! };
//! let mut intake = Intake::new(site, to, NewAttachment::new(UserId::parse("ann")?, "soup.txt"))?;
//! intake.push(b"soup ")?;
//! intake.push(b"at noon")?;
//! let prepared = intake.finish(|_| 0)?;
//!
//! // Decided, made durable, and only then visible.
//! let keeping = Keeping { retention: 7 * 86_400_000, grace: 86_400_000 };
//! let mut change = Change::new(&*engine, None, &mut volumes, 1_000, keeping);
//! let attachment = change.put(prepared)?;
//! let (rows, after) = change.finish()?;
//! engine.write(batch_of(&rows))?;
//! assert!(volumes.settle(after).failed.is_none());
//!
//! let at = index::locate(&*engine, app, "apps/one".as_ref(), 0, &attachment)?;
//! let content = Content::open(&files, store, at)?.ok_or("the volume is there")?;
//! assert_eq!(&content.chunks(0..1)?[..], b"soup at noon");
//! assert_eq!(attachment.media_type, "text/plain");
//! # Ok(())
//! # }
//! ```

mod attachment;
mod buffers;
mod change;
mod collect;
mod content;
mod error;
mod format;
pub mod id;
pub mod index;
mod inspect;
mod intake;
mod media;
mod pack;
mod recount;
mod rows;
mod site;
mod stock;
mod tables;
mod volume;

pub use attachment::{Attachment, ContentHash, NewAttachment, Reference};
pub use buffers::Buffers;
pub use change::{After, Change, Keeping};
pub use collect::{Collected, Punched, Settled, apps_with_volumes};
pub use content::{Content, Location};
pub use error::{Error, ErrorKind, Result};
pub use format::{CHUNK_BYTES, Chunk, RecordHead, Span, VolumeHead};
pub use inspect::{FoundRecord, VolumeReport, inspect};
pub use intake::{Destination, HEADROOM, Intake, Prepared, Tally};
pub use recount::{DamagedContent, ReadThrough, Recount, RecountedVolume, VolumeDamage, recount};
#[doc(hidden)]
pub use rows::recode_row;
pub use site::{Apps, Site};
pub use stock::{Stock, StockedVolume};
pub use tables::DayUsage;
pub use volume::Volumes;
