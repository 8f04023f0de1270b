//! `history KEY CHAT [--before ID] [--limit N]`.

use clap::Args;
use tidestore::plan::AppKey;
use tidestore::{Conversation, Cursor, Kind, Message, MessageId, Notice, Page, Revision, Store};

use crate::args::{app_key, chat};
use crate::error::Failure;
use crate::lines::Outgoing;
use crate::output::{Lines, Output, cut, plain, print, table};
use crate::session::{Missing, Place, close};
use crate::times;

#[derive(Debug, Args)]
pub(crate) struct History {
    /// The app's key, org#app
    #[arg(value_parser = app_key)]
    key: AppKey,
    /// direct:alice,bob, group:ID or room:ID
    #[arg(value_parser = chat)]
    chat: Conversation,
    /// Only what is older than the message with this id
    #[arg(long, value_name = "ID")]
    before: Option<u64>,
    /// How many messages, at most 1000
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    limit: u16,
}

pub(crate) async fn run(place: &Place, output: Output, args: &History) -> Result<(), Failure> {
    let store = place.open_briefly(output, Missing::Refuse).await?;
    let ended = show(&store, output, args).await;
    close(&store, ended).await
}

async fn show(store: &Store, output: Output, args: &History) -> Result<(), Failure> {
    let limit = usize::from(args.limit);
    let page = match args.before {
        Some(id) => Page::before(Cursor::Id(MessageId(id)), limit),
        None => Page::newest(limit),
    };
    let found = store.app(&args.key)?.history(&args.chat, page).await?;
    if output.is_json() {
        let mut lines = Lines::start();
        for message in &found {
            lines.write(&Outgoing::new(&args.chat, message))?;
        }
        return lines.finish();
    }
    if found.is_empty() {
        return print(&format!("no messages in {}", args.chat));
    }
    print(&text(&found))?;
    if let Some(oldest) = found.last().filter(|_| found.len() == limit) {
        output.note(&format!("older ones: --before {}", oldest.id));
    }
    Ok(())
}

fn text(messages: &[Message]) -> String {
    let mut table = table(["id", "time (UTC)", "from", "message"]);
    // What the other columns, their padding and lines take.
    let senders = messages
        .iter()
        .map(|message| message.sender.len())
        .max()
        .unwrap_or(4);
    let taken = 19 + 19 + senders + 13;
    let width = table
        .width()
        .map_or(80, |width| usize::from(width).saturating_sub(taken).max(20));
    for message in messages {
        table.add_row([
            message.id.to_string(),
            times::show(message.millis()),
            message.sender.to_string(),
            cut(&shown(message), width),
        ]);
    }
    table.to_string()
}

/// A message as people read it.
pub(crate) fn shown(message: &Message) -> String {
    match message.revision {
        Revision::Recalled { .. } => return "[recalled]".to_owned(),
        Revision::Erased => return "[erased]".to_owned(),
        Revision::Original | Revision::Edited { .. } => {}
    }
    let body = plain(&String::from_utf8_lossy(&message.body));
    let body = match (Notice::of(message), message.kind) {
        (Some(notice), _) => notice_text(&notice),
        (None, Kind::Text) => body,
        (None, kind) => format!("[{}] {body}", kind.as_str()),
    };
    if matches!(message.revision, Revision::Edited { .. }) {
        return format!("{body} (edited)");
    }
    body
}

fn notice_text(notice: &Notice) -> String {
    match notice {
        Notice::Recalled(id) => format!("[recalled {id}]"),
        Notice::Edited(id, version) => format!("[edited {id}, version {version}]"),
        Notice::Reacted(id, reaction) => format!("[{} to {id}]", plain(reaction)),
        Notice::Unreacted(id, reaction) => format!("[no longer {} to {id}]", plain(reaction)),
        Notice::Pinned(id) => format!("[pinned {id}]"),
        Notice::Unpinned(id) => format!("[unpinned {id}]"),
    }
}
