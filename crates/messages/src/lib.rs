//! The message store of one shard: memtable, segments, pages, retention.

#![warn(clippy::indexing_slicing)]

#[doc(hidden)]
pub mod codec;
mod error;
mod flush;
mod layout;
mod memtable;
mod merge;
mod page;
mod read;
mod receipts;
mod segment;
mod types;
mod verify;
mod version;
mod view;

pub use error::{Error, ErrorKind, Result};
pub use layout::{Apps, bucket_of, receipt_run_path, receipts_dir, segment_path};
pub use memtable::Applied;
pub use merge::{MergeJob, MergeTime, Merged};
pub use page::{Cursor, Direction, Page};
pub use read::Count;
pub use receipts::{Receipt, ReceiptKey, ReceiptRunMeta};
pub use segment::{
    AppShare, Block, BlockCache, Bounds, Bucket, Io, Lookup, Owner, Run, Segment, SegmentHead,
    SegmentMeta, SegmentOptions, SegmentReport, SegmentScan, SegmentWriter, StoreId, inspect,
};
pub use types::{AppId, Conversation, ConversationError, Kind, Message, MessageId, Seq};
pub use verify::ViewReport;
pub use version::Frozen;
pub use view::{Expirable, Flushed, Manifest, MessageView, Removed, ViewParts};
