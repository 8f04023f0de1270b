//! Attachments: contents of up to 10 MB, counted while they stream in, stored once in their app, kept as long as
//! something refers to them.
//!
//! This crate decides and writes volumes; it makes nothing durable by itself but bytes that nobody can see yet. Its
//! caller logs the rows of a [`Change`] and then lets [`Volumes::settle`] do to files what they say.
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
mod site;
mod tables;
mod volume;

pub use attachment::{Attachment, ContentHash, NewAttachment, Reference};
pub use buffers::Buffers;
pub use change::{After, Change, Keeping};
pub use collect::{Collected, Punched, apps_with_volumes};
pub use content::{Content, Location};
pub use error::{Error, ErrorKind, Result};
pub use format::{CHUNK_BYTES, Chunk, RecordHead, Span, VolumeHead};
pub use inspect::{FoundRecord, VolumeReport, inspect};
pub use intake::{Destination, HEADROOM, Intake, Prepared, Tally};
pub use recount::{ReadThrough, Recount, RecountedVolume, recount};
pub use site::{Apps, Site};
pub use tables::DayUsage;
pub use volume::Volumes;
