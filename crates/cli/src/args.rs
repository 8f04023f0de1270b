//! What can be written on the command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use tidestore::plan::{AppKey, AttachmentId, Plan, ResourceId, UserId};
use tidestore::{Conversation, EngineKind};

use crate::commands::{
    app, attr, backup, bench, blob, change, channel, demo, expire, export, history, import, inbox,
    inspect, push, rebuild, repair, scrub, send, tail, thread, torture, tune, usage, user, verify,
};

const EXIT_CODES: &str = "\
Exit codes:
  0  done; also when the reader of a pipe has seen enough
  1  verify or scrub found problems, repair could not save everything, backup found files missing or cut, or torture a loss
  2  wrong usage or a bad argument
  3  not found: unknown app, no store, no such file or attachment, or one that has expired
  4  refused by a limit or a rule of the contract
  5  another process has the data directory open
  6  damaged data, another format version, or not a data directory
  7  disk full or failing

A KEY is written org#app; quote it, because # begins a comment in some shells.
A CHAT is written direct:alice,bob or group:ID or room:ID or thread:ID.
A TIME is 2025-03-31, 2025-03-31T12:00:00Z, milliseconds since 1970, now, or back from now: -3d (w, d, h, m, s).";

/// Keeps every message of an IM service exactly as long as the tenant's plan says.
#[derive(Debug, Parser)]
#[command(name = "tidestore", version, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Args {
    /// The data directory [default: ./tidestore-data; demo: a temporary one]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Print JSON for programs instead of tables for people
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Where the tables of a new store live: sled or redb; a store that exists keeps its own, see `rebuild`
    #[arg(long, global = true, value_name = "ENGINE", value_parser = engine)]
    pub(crate) kv: Option<EngineKind>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Demo(demo::Demo),
    /// Create, list, change and delete apps
    #[command(subcommand)]
    App(app::AppCommand),
    /// Register, show, ban, mute and delete users; their contacts and block lists
    #[command(subcommand)]
    User(user::UserCommand),
    /// Create, change and delete groups; their members and lists
    #[command(subcommand)]
    Group(channel::ChannelCommand),
    /// Create, change and delete chatrooms; their members and lists
    #[command(subcommand)]
    Room(channel::ChannelCommand),
    /// Create, join, rename and delete threads in groups
    #[command(subcommand)]
    Thread(thread::ThreadCommand),
    /// Read and change attributes of users and chatrooms
    #[command(subcommand)]
    Attr(attr::AttrCommand),
    #[cfg(feature = "service")]
    Serve(Box<crate::commands::serve::Serve>),
    /// Look at what was pushed
    #[command(subcommand)]
    Push(push::PushCommand),
    /// Send a message, if the directory allows it
    Send(send::Send),
    /// Show what is pending for a device of a user, in the order of arrival
    Inbox(inbox::Inbox),
    /// Say that a device has what `inbox` showed
    Ack(inbox::Ack),
    /// List a user's conversations with unread counts, the newest first
    Conversations(inbox::Conversations),
    /// Mark a conversation as read by a user
    Read(inbox::Read),
    /// Take a message back
    Recall(change::Recall),
    /// Replace the text of a message
    Edit(change::Edit),
    /// React to a message, or show the reactions to it
    React(change::React),
    /// Erase a user, and all that he sent if asked
    Erase(change::Erase),
    /// Follow a conversation: print its last messages, then new ones as they come
    Tail(tail::Tail),
    /// Store, read, list and delete attachments
    #[command(subcommand)]
    Blob(blob::BlobCommand),
    Import(import::Import),
    /// Write messages as JSON lines, conversation by conversation, oldest first
    Export(export::Export),
    /// Show one page of a conversation, newest first
    History(history::History),
    /// Show what an app uses, and how much of what its plan allows
    Usage(usage::Usage),
    /// Take what is older than each app's retention off the disk, now
    Expire(expire::Expire),
    /// Look into one file: a segment (.seg), a volume of attachments (.vol), a log file (.log), STORE, or a shard's tables (views/shard-NN)
    Inspect(inspect::Inspect),
    /// Copy the tables into new files, of the same engine or another; the store must not be open
    Rebuild(rebuild::Rebuild),
    Backup(backup::Backup),
    Restore(backup::Restore),
    /// Save what is whole of a damaged store, set aside the rest, and say what is lost; exit code 1 if anything is
    Repair(repair::Repair),
    /// Read everything once to find damage; exit code 1 if there is any
    Scrub(scrub::Scrub),
    /// Walk every checksum, index and counter, also of a store that does not open; exit code 1 if anything is off
    Verify(verify::Verify),
    Torture(torture::Torture),
    Bench(bench::Bench),
    Tune(tune::Tune),
    #[command(name = torture::WORKER, hide = true)]
    TortureWorker(torture::Worker),
}

/// Parses an app key.
pub(crate) fn app_key(text: &str) -> Result<AppKey, String> {
    AppKey::parse(text).map_err(|error| error.to_string())
}

/// Parses the name of a key-value engine.
pub(crate) fn engine(text: &str) -> Result<EngineKind, String> {
    match text.parse() {
        Ok(kind @ (EngineKind::Sled | EngineKind::Redb)) => Ok(kind),
        _ => Err(format!("{text:?} is no engine; there are sled and redb")),
    }
}

/// Parses the id of a group or chatroom.
pub(crate) fn resource(text: &str) -> Result<ResourceId, String> {
    ResourceId::parse(text).map_err(|error| error.to_string())
}

/// Parses the id of an attachment.
pub(crate) fn attachment_id(text: &str) -> Result<AttachmentId, String> {
    AttachmentId::parse(text).map_err(|error| error.to_string())
}

/// Parses a user's id.
pub(crate) fn user(text: &str) -> Result<UserId, String> {
    UserId::parse(text).map_err(|error| error.to_string())
}

/// Parses a plan's name.
pub(crate) fn plan(text: &str) -> Result<Plan, String> {
    text.parse()
        .map_err(|error: tidestore::plan::TermsError| error.to_string())
}

/// Parses a conversation.
pub(crate) fn chat(text: &str) -> Result<Conversation, String> {
    Conversation::parse(text).map_err(|error| error.to_string())
}
