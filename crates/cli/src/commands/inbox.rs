//! `inbox`, `ack`, `conversations`, `read`: what a user's device gets, and where it stands.

use clap::Args;
use serde_json::{Value, json};
use tidestore::plan::{AppKey, UserId};
use tidestore::{Conversation, Listed, Pending, Seq, Store};

use crate::args::{app_key, chat, user};
use crate::commands::history::shown;
use crate::commands::listing::Listing;
use crate::error::Failure;
use crate::output::{Output, count, cut, plain, table};
use crate::session::{Missing, Place, close};
use crate::times;

/// A user of an app.
#[derive(Debug, Args)]
pub(crate) struct Of {
    /// The app's key, org#app
    #[arg(value_parser = app_key)]
    key: AppKey,
    /// The user's id
    #[arg(value_parser = user)]
    user: UserId,
}

#[derive(Debug, Args)]
pub(crate) struct Inbox {
    #[command(flatten)]
    of: Of,
    /// The device; each acknowledges for itself
    #[arg(long, value_name = "NAME", default_value = "phone")]
    device: String,
    /// Where the page before ended
    #[arg(long)]
    cursor: Option<String>,
    /// How many messages, at most 1000
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    limit: u16,
}

#[derive(Debug, Args)]
pub(crate) struct Ack {
    #[command(flatten)]
    of: Of,
    /// Everything up to here has arrived: what `inbox` printed
    cursor: String,
    /// The device
    #[arg(long, value_name = "NAME", default_value = "phone")]
    device: String,
}

#[derive(Debug, Args)]
pub(crate) struct Conversations {
    #[command(flatten)]
    of: Of,
    #[command(flatten)]
    listing: Listing,
}

#[derive(Debug, Args)]
pub(crate) struct Read {
    #[command(flatten)]
    of: Of,
    /// direct:alice,bob, group:ID or thread:ID
    #[arg(value_parser = chat)]
    chat: Conversation,
    /// Only up to the message with this number
    #[arg(long, value_name = "NUMBER")]
    up_to: Option<u64>,
}

/// What is pending for a device.
pub(crate) async fn inbox(place: &Place, output: Output, args: &Inbox) -> Result<(), Failure> {
    let store = place.open_briefly(output, Missing::Refuse).await?;
    let ended = show_inbox(&store, output, args).await;
    close(&store, ended).await
}

async fn show_inbox(store: &Store, output: Output, args: &Inbox) -> Result<(), Failure> {
    let app = store.app(&args.of.key)?;
    let inbox = app.inbox(&args.of.user, &args.device)?;
    let pending = inbox.count().await?;
    let page = inbox
        .page(args.cursor.as_deref(), args.limit.into())
        .await?;
    output.show(
        || pending_text(&page.items, pending),
        || {
            let items: Vec<Value> = page.items.iter().map(pending_value).collect();
            json!({ "pending": pending, "items": items, "cursor": page.cursor, "more": page.more })
        },
    )?;
    if !page.items.is_empty() {
        let (key, user, device) = (&args.of.key, &args.of.user, &args.device);
        let cursor = &page.cursor;
        output.note(&format!(
            "arrived? tidestore ack '{key}' {user} {cursor} --device {device}"
        ));
    }
    Ok(())
}

fn pending_text(items: &[Pending], pending: u64) -> String {
    let mut table = table(["id", "time (UTC)", "chat", "from", "message"]);
    for item in items {
        let message = &item.message;
        table.add_row([
            message.id.to_string(),
            times::show(message.millis()),
            item.conversation.main().to_string(),
            message.sender.to_string(),
            cut(&shown(message), 60),
        ]);
    }
    if items.is_empty() {
        return format!("{} pending", count(pending));
    }
    format!("{table}\n{} pending", count(pending))
}

fn pending_value(item: &Pending) -> Value {
    let message = &item.message;
    json!({
        "chat": item.conversation.main().as_str(),
        "id": message.id.0,
        "seq": message.seq.0,
        "from": message.sender.as_str(),
        "ts": message.millis(),
        "kind": message.kind.as_str(),
        "body": String::from_utf8_lossy(&message.body),
    })
}

/// Acknowledges what a device got.
pub(crate) async fn ack(place: &Place, output: Output, args: &Ack) -> Result<(), Failure> {
    let store = place.open_briefly(output, Missing::Refuse).await?;
    let ended = async {
        let app = store.app(&args.of.key)?;
        let inbox = app.inbox(&args.of.user, &args.device)?;
        inbox.acknowledge(&args.cursor).await?;
        let pending = inbox.count().await?;
        output.show(
            || format!("{} pending", count(pending)),
            || json!({ "pending": pending }),
        )
    }
    .await;
    close(&store, ended).await
}

/// A user's conversations, the newest first.
pub(crate) async fn conversations(
    place: &Place,
    output: Output,
    args: &Conversations,
) -> Result<(), Failure> {
    let store = place.open_briefly(output, Missing::Refuse).await?;
    let ended = async {
        let app = store.app(&args.of.key)?;
        let view = app.as_user(&args.of.user);
        let (cursor, limit) = (args.listing.cursor.as_deref(), args.listing.limit());
        let page = view.conversations(cursor, limit.min(1_000)).await?;
        output.show(
            || list_text(&page.items),
            || {
                let items: Vec<Value> = page.items.iter().map(listed_value).collect();
                json!({ "items": items, "next": page.next })
            },
        )?;
        if let Some(next) = &page.next {
            output.note(&format!("more: --cursor {next}"));
        }
        Ok(())
    }
    .await;
    close(&store, ended).await
}

fn list_text(items: &[Listed]) -> String {
    if items.is_empty() {
        return "no conversations".to_owned();
    }
    let mut table = table(["chat", "unread", "last (UTC)", "from", "message", ""]);
    for item in items {
        let marks = [(item.pinned.is_some(), "pinned"), (item.muted, "muted")];
        let marks = marks.into_iter().filter(|(is_set, _)| *is_set);
        let marks: Vec<_> = marks.map(|(_, mark)| mark).collect();
        table.add_row([
            item.conversation.to_string(),
            count(item.unread),
            times::show(item.last.millis()),
            item.last.sender.to_string(),
            cut(&plain(&shown(&item.last)), 40),
            marks.join(", "),
        ]);
    }
    table.to_string()
}

fn listed_value(item: &Listed) -> Value {
    json!({
        "chat": item.conversation.as_str(),
        "unread": item.unread,
        "pinned": item.pinned.is_some(),
        "muted": item.muted,
        "last": {
            "id": item.last.id.0,
            "seq": item.last.seq.0,
            "from": item.last.sender.as_str(),
            "ts": item.last.millis(),
            "kind": item.last.kind.as_str(),
            "body": String::from_utf8_lossy(&item.last.body),
        },
    })
}

/// Marks a conversation as read.
pub(crate) async fn read(place: &Place, output: Output, args: &Read) -> Result<(), Failure> {
    let store = place.open_briefly(output, Missing::Refuse).await?;
    let ended = async {
        let app = store.app(&args.of.key)?;
        let view = app.as_user(&args.of.user);
        view.mark_read(&args.chat, args.up_to.map(Seq)).await?;
        let unread = view.unread(&args.chat).await?;
        output.show(
            || format!("{} unread", count(unread)),
            || json!({ "unread": unread }),
        )
    }
    .await;
    close(&store, ended).await
}
