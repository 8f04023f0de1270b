//! Tidestore keeps an IM service's messages exactly as long as each tenant's plan says, and gives the disk back by
//! deleting whole files.
//!
//! - Durable appends that share one flush of the device, however many callers wait.
//! - Pages of a conversation by id, number and time, in both directions; lookup by id.
//! - Retention to the millisecond on reading, by unlink on disk; plan changes with preview and undo.
//! - Retries are safe: by client id, and for imports by content.
//! - One copy of each message, whatever the size of the group.
//! - Attachments of up to 10 MB: streamed, stored once, kept as long as something refers to them.
//! - The directory: users, contacts, groups, chatrooms, threads, with every cap of every plan, exactly.
//! - Attributes of users and chatrooms, and a ledger of who uses what.
//! - What a server needs for pushing and for letting in: settings, templates and labels, a log of notifications, credentials.
//! - Inboxes of devices with acknowledgement and live streams; conversation lists, unread counts, one-sided deletion;
//!   recall, edits, reactions; erasing a user.
//!
//! It is not: a server, or a replicated store. It runs inside one process, on one machine.
//!
//! # Example
//!
//! ```
//! use tidestore::plan::{AppKey, Plan, Terms, UserId};
//! use tidestore::{Conversation, Cursor, NewMessage, Options, Page, Store};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let dir = dir.path().join("data");
//! let store = Store::open(&dir, Options::default()).await?;
//! let app = store.create_app(&AppKey::parse("acme#chat")?, Terms::of(Plan::Pro)).await?;
//!
//! let tea = Conversation::parse("group:tea")?;
//! let sent = app.append(NewMessage::text(tea.clone(), UserId::parse("ann")?, "hello")).await?;
//! assert_eq!(sent.seq.0, 1);
//!
//! let newest = app.history(&tea, Page::newest(20)).await?;
//! assert_eq!(newest[0].body, "hello");
//! let older = app.history(&tea, Page::before(Cursor::Id(newest[0].id), 20)).await?;
//! assert!(older.is_empty());
//!
//! // With the directory's word for it: bob is not a member, so he cannot send.
//! use tidestore::plan::ResourceId;
//! use tidestore::{Account, NewChannel};
//! let (ann, bob, tea) = (UserId::parse("ann")?, UserId::parse("bob")?, ResourceId::parse("tea")?);
//! app.users().register_many(vec![Account::new(ann.clone()), Account::new(bob.clone())]).await?;
//! app.groups().create(NewChannel::new(tea.clone(), ann.clone())).await?;
//! let hi = NewMessage::text(Conversation::group(&tea), bob.clone(), "hi");
//! assert!(app.send(hi.clone()).await.is_err());
//! app.groups().members(&tea).add(&bob).await?;
//! app.send(hi).await?;
//!
//! // What a device missed: acknowledged, it does not come again.
//! let inbox = app.inbox(&ann, "phone")?;
//! let missed = inbox.page(None, 100).await?;
//! assert_eq!(missed.items[0].message.body, "hi");
//! inbox.acknowledge(&missed.cursor).await?;
//! let list = app.as_user(&ann).conversations(None, 20).await?;
//! assert_eq!((list.items.len(), list.items[0].unread), (1, 1));
//!
//! store.expire().await?;
//! let ledger = app.ledger().await?;
//! assert_eq!((ledger.messages.messages, ledger.users.used), (2, 2));
//! store.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What is still true after …
//!
//! | call that returned | the process crashed | the power went | a flush of the device failed |
//! |---|---|---|---|
//! | [`App::append`], [`App::append_many`], [`App::import`] | stored | stored | stored; later calls get [`ErrorKind::Poisoned`] |
//! | [`App::append_with`] [`Durability::Buffered`] | stored | stored, if it was 100 ms ago; otherwise it may be gone with all that came after it in its shard | may be gone |
//! | the same, then [`Store::sync`] | stored | stored | stored |
//! | [`App::put_attachment`], [`Upload::finish`] | whole and readable | the same | the same; later calls get [`ErrorKind::Poisoned`] |
//! | [`App::delete_attachment`], [`App::refer_attachment`], [`App::unrefer_attachment`] | done | done | done |
//! | changes of [`App::users`], [`App::groups`], [`App::push`], [`App::user_attributes`] and their like | done | done | done; later ones get [`ErrorKind::Poisoned`] |
//! | [`Inbox::acknowledge`], [`UserView::mark_read`], [`UserView::clear`], [`App::recall`], [`App::edit_message`], [`App::react`] | done | done, with what it speaks of | done; later ones get [`ErrorKind::Poisoned`] |
//! | [`App::log_notifications`], [`App::issue_credentials`] | done | done | done; later ones get [`ErrorKind::Poisoned`] |
//! | [`App::erase_user`] | done; one that did not return is finished when the store is opened | the same | what is left is done by the next call |
//! | [`Store::create_app`], [`App::change_terms`], [`App::undo`], [`Store::delete_app`] | done | done | done |
//! | [`Store::expire`] | what expired stays expired | the same | the same |
//!
//! A call that did not return may have been done, whole, or not at all. A duplicate of a `Buffered` message that is
//! appended again as `Synced` is flushed before it is answered.

mod access;
mod app;
mod apps;
mod attachments;
mod background;
mod backup;
mod chores;
mod delivery;
mod directory;
mod error;
mod expiry;
mod format;
mod fuzzing;
mod guard;
pub mod inspect;
mod ledger;
mod message;
mod meters;
mod offline;
mod options;
mod places;
mod queue;
mod rebuild;
mod record;
mod repair;
mod scrub;
mod shard;
mod shards;
mod store;
mod sweep;
mod tables;
mod threads;
mod verify;

pub use access::Credentials;
pub use app::{App, Head, Preview, Usage};
pub use apps::{AppInfo, Undo};
pub use attachments::{AttachmentUsage, DayOfUsage, Download, Upload};
pub use backup::{BackupOptions, BackupPlace, BackupReport, BackupTarget, Copied, RestoreReport};
pub use delivery::{
    By, DeliveryState, Event, Filter, HistoryFile, HistoryPage, Inbox, InboxPage, InboxStream,
    Listed, ListedPage, Mentions, NewNotification, Notice, Notification, NotificationKind,
    PINS_MAX, Pending, ReactionCount, Reactor, ReactorPage, Readers, Signal, Traces, UserView,
};
pub use directory::{
    Account, Blocks, Channels, Connections, Contacts, Members, Presence, Push, RoomAttributes,
    RoomSet, SharedFiles, Threads, UserAttributes, Users,
};
pub use error::{Error, ErrorKind, Result};
pub use expiry::{AppExpiry, ExpiryReport, MergeReport};
pub use format::{FORMAT_VERSION, StoreFile};
#[doc(hidden)]
pub use fuzzing::{decode_cursor, decode_store_file, encode_cursor, recode_batch, recode_row};
pub use guard::ClockAlarm;
pub use ledger::{Gauge, Ledger};
pub use message::{NewMessage, OldMessage, Receipt};
pub use meters::{ShardStatus, Status};
pub use options::{Durability, OfflineCaps, Options};
pub use queue::QueueStatus;
pub use repair::{LostAttachment, LostMessages, Quarantined, RepairOptions, RepairReport};
pub use scrub::ScrubStatus;
pub use store::Store;
pub use verify::{Problem, VerifyReport};

pub use tidestore_attributes::{
    ErrorKind as AttributesErrorKind, KeyResults, Refusal, RoomAttribute, Total,
};
pub use tidestore_blobs::{Attachment, ContentHash, DayUsage, NewAttachment, Reference};
pub use tidestore_directory::{
    Channel, ChannelChange, ChannelKind, Contact, Counters, ErrorKind as DirectoryErrorKind, Lease,
    Member, MuteChange, MuteEnd, MuteFor, MuteKind, MutedUser, Mutes, NewChannel, NewThread,
    Page as ListPage, PushLabel, PushLabelUser, PushMode, PushScope, PushSetting,
    PushSettingChange, PushTemplate, Role, SharedFile, Subscription, Thread, User, UserChange,
    UserCounts, wants_push,
};
pub use tidestore_disk as disk;
pub use tidestore_kv::{EngineKind, Rebuilt};
pub use tidestore_messages::{
    AppId, CacheUse, Conversation, Cursor, DayCount, Kind, Message, MessageId, Page, Parties,
    Revision, Seq,
};
pub use tidestore_plan as plan;
