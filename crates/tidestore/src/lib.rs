//! Tidestore keeps an IM service's messages exactly as long as each tenant's plan says, and gives the disk back by
//! deleting whole files.

mod app;
mod apps;
mod background;
mod error;
mod expiry;
mod format;
mod guard;
pub mod inspect;
mod message;
mod options;
mod queue;
mod record;
mod shard;
mod shards;
mod store;
mod sweep;
mod tables;
mod verify;

pub use app::{App, Head, Preview, Usage};
pub use apps::{AppInfo, Undo};
pub use error::{Error, ErrorKind, Result};
pub use expiry::{AppExpiry, ExpiryReport, MergeReport};
pub use format::{FORMAT_VERSION, StoreFile};
pub use guard::ClockAlarm;
pub use message::{NewMessage, OldMessage, Receipt};
pub use options::{Durability, Options};
pub use store::Store;
pub use verify::{Problem, VerifyReport};

pub use tidestore_disk as disk;
pub use tidestore_kv::EngineKind;
pub use tidestore_messages::{AppId, Conversation, Cursor, Kind, Message, MessageId, Page, Seq};
pub use tidestore_plan as plan;
