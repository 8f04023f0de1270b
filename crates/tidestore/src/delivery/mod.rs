//! What becomes of messages behind the store: inboxes of devices, conversations as each user sees them, changes.
//!
//! There is one copy of each message. Everything here is a cursor over it (how far a device has got, a user has read, has
//! deleted) or a row beside it (a change, a reaction, whom it is hidden from). What was pushed is logged here too.

pub(crate) mod changes;
mod conversation_list;
pub(crate) mod cursor;
mod devices;
mod erasure;
mod history_file;
mod inbox;
pub(crate) mod intake;
pub(crate) mod listeners;
pub(crate) mod notifications;
mod pending;
mod push_receivers;
mod reactions;
pub(crate) mod reader;
pub(crate) mod recount;
pub(crate) mod redaction;
pub(crate) mod rows;
mod state;
mod stream;
pub(crate) mod tables;
pub(crate) mod upgrade;
mod user_view;
pub(crate) mod views;

pub use changes::{By, Notice, PINS_MAX};
pub use conversation_list::{Listed, ListedPage};
pub use erasure::Traces;
pub use history_file::HistoryFile;
pub use inbox::{Inbox, InboxPage, Pending};
pub use notifications::{NewNotification, Notification, NotificationKind};
pub use push_receivers::Mentions;
pub use reactions::{ReactionCount, Reactor, ReactorPage};
pub use state::{DeliveryState, Readers};
pub use stream::{Event, InboxStream, Signal};
pub use user_view::{Filter, HistoryPage, UserView};
