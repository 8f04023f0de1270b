//! Attachments in the store: who decides about them, and how their references follow the messages.
//!
//! Each shard has a [`Desk`] with one thread, the only one that changes the attachments of that shard. It takes all
//! requests that wait, writes small contents to volumes, flushes each volume once, logs all rows as one record and then
//! answers everybody: a put costs a share of two flushes.
//!
//! # References
//!
//! Which messages refer to an attachment is a view of the messages' logs. When messages are durable, their committer
//! hands the references to the desks of the attachments, which log them with the position at which the messages stand
//! in *their* log. A replay hands over again, and a desk skips what it has noted. No log is trimmed before all desks
//! have noted what it holds. So a message and the references to its attachments cannot part, although they lie in
//! different shards; and an append does not wait for them.

mod api;
mod clerk;
mod desk;
mod download;
mod mentions;
mod requests;
mod upload;

pub use api::{AttachmentUsage, DayOfUsage};
pub use download::Download;
pub use upload::Upload;

pub(crate) use clerk::Clerk;
pub(crate) use desk::{Desk, Desks, Edit, EditKind, Request, Still};
pub(crate) use mentions::Mentions;
pub(crate) use requests::forget_deleted;
