//! The message store of one shard: memtable, segments, pages, retention.
//!
//! A [`MessageView`] is a view of the shard's commit log. Its committer inserts what is durable; when a memtable is full
//! it becomes segments, one per app and bucket, or one for many small apps; segments below the retention floor leave as
//! whole files. Readers see one moment at a time and never wait for any of that.
//!
//! It is not durable by itself and knows no plans, queues or sockets: the facade joins it with log and tables.
//!
//! ```
//! use std::path::PathBuf;
//! use std::sync::Arc;
//!
//! use tidestore_disk::{Clock, Disk, FileCache, SimClock, SimDisk};
//! use tidestore_messages::{
//!     AppId, Applied, Apps, BlockCache, Conversation, Io, Kind, Manifest, Message, MessageId,
//!     MessageView, Page, Revision, SegmentOptions, Seq, StoreId, ViewParts,
//! };
//!
//! /// One app that keeps messages for seven days.
//! #[derive(Debug)]
//! struct OneApp;
//!
//! impl Apps for OneApp {
//!     fn dir(&self, _: AppId) -> Option<PathBuf> {
//!         Some(PathBuf::from("apps/one"))
//!     }
//!     fn retention_days(&self, _: AppId) -> u32 {
//!         7
//!     }
//!     fn physical_floor(&self, _: AppId) -> u64 {
//!         0
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
//! let clock: Arc<dyn Clock> = Arc::new(SimClock::new(1_000_000));
//! let view = MessageView::open(
//!     ViewParts {
//!         files: Arc::new(FileCache::new(Arc::clone(&disk), 64)),
//!         blocks: Arc::new(BlockCache::new(1 << 20)),
//!         disk,
//!         clock,
//!         apps: Arc::new(OneApp),
//!         redacted: Arc::default(),
//!         store: StoreId([7; 16]),
//!         shard: 0,
//!         options: SegmentOptions::default(),
//!     },
//!     Manifest { next_generation: 1, ..Manifest::default() },
//! );
//! let (app, conversation) = (AppId(1), Conversation::parse("group:tea")?);
//! let message = Message {
//!     id: MessageId::new(1_000_000, 0, false, 0),
//!     seq: Seq(1),
//!     sender: "ann".into(),
//!     kind: Kind::Text,
//!     body: "hello".into(),
//!     ext: "".into(),
//!     client_id: "".into(),
//!     attachments: Vec::new(),
//!     revision: Revision::Original,
//! };
//! let row = Applied { app, conversation: conversation.clone(), message, receipt: None };
//! view.insert([row]);
//!
//! // The memtable becomes a segment; readers notice nothing.
//! view.freeze(1);
//! let frozen = view.oldest_frozen().expect("there is one");
//! view.install_flush(view.write_frozen(&frozen, 1_000_000)?);
//! let page = view.page(app, &conversation, Page::newest(20), 0, Io::Allowed)?;
//! assert_eq!(page.ready().expect("reading was allowed")[0].body, "hello");
//! # Ok(())
//! # }
//! ```

#![warn(clippy::indexing_slicing)]

mod by_conversation;
mod carry;
#[doc(hidden)]
pub mod codec;
mod days;
mod error;
mod extract;
mod flush;
mod fuzzing;
mod layout;
mod memtable;
mod merge;
mod page;
mod read;
mod receipts;
mod redact;
mod segment;
mod types;
mod verify;
mod version;
mod view;

pub use by_conversation::{ByConversation, Place};
pub use carry::{Carried, DamagedRun, DamagedSegment};
pub use days::{DAY_MILLIS, DayCount, DayShare, SegmentDays, day_of};
pub use error::{Error, ErrorKind, Result};
#[doc(hidden)]
pub use fuzzing::{find_receipt, open_section, recode_id_page, recode_index, verify_receipts};
pub use layout::{Apps, bucket_of, receipt_run_path, receipts_dir, segment_path};
pub use memtable::Applied;
pub use merge::{MergeJob, MergeTime, Merged};
pub use page::{Cursor, Direction, Page};
pub use read::Count;
pub use receipts::{Receipt, ReceiptKey, ReceiptRunMeta, describe_receipts, is_receipt_run};
pub use redact::Redacted;
pub use segment::{
    AppShare, Block, BlockCache, Bounds, Bucket, CacheBytes, CacheUse, Io, Lookup, LostRun, Owner,
    Run, Salvage, Segment, SegmentHead, SegmentMeta, SegmentOptions, SegmentReport, SegmentScan,
    SegmentWriter, StoreId, conversation_hash, identify, inspect, meta_of_header,
};
pub use types::{
    AppId, Conversation, ConversationError, Kind, Message, MessageId, Parties, Revision, Seq,
};
pub use verify::ViewReport;
pub use version::Frozen;
pub use view::{Expirable, FileTally, Flushed, Manifest, MessageView, Removed, ViewParts};
