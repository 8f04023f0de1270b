//! `tail KEY CHAT`: follows a conversation.
//!
//! A data directory belongs to one process at a time, so this opens it for a moment, shows what is new, and leaves it to
//! others until the next look.

use std::time::Duration;

use clap::Args;
use tidestore::plan::AppKey;
use tidestore::{Conversation, Cursor, ErrorKind, Message, Page};

use crate::args::{app_key, chat};
use crate::commands::history::shown;
use crate::error::Failure;
use crate::lines::Outgoing;
use crate::output::{Lines, Output, print};
use crate::session::{Missing, Place, close};
use crate::times;

#[derive(Debug, Args)]
pub(crate) struct Tail {
    /// The app's key, org#app
    #[arg(value_parser = app_key)]
    key: AppKey,
    /// direct:alice,bob, group:ID, room:ID or thread:ID
    #[arg(value_parser = chat)]
    chat: Conversation,
    /// How many messages to begin with
    #[arg(long, short, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    lines: u16,
    /// End after this many messages
    #[arg(long, value_name = "N")]
    until: Option<u64>,
}

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(500);

pub(crate) async fn run(place: &Place, output: Output, args: &Tail) -> Result<(), Failure> {
    place.existing()?;
    let (mut cursor, mut left) = (None, args.until.unwrap_or(u64::MAX));
    loop {
        let found = match look(place, output, args, cursor).await {
            // Somebody else has it; that will end.
            Err(Failure::Store(error)) if *error.kind() == ErrorKind::Locked => Vec::new(),
            found => found?,
        };
        for message in found
            .iter()
            .take(usize::try_from(left).unwrap_or(usize::MAX))
        {
            show(output, &args.chat, message)?;
        }
        left = left.saturating_sub(found.len() as u64);
        if left == 0 {
            return Ok(());
        }
        cursor = found.last().map(|last| Cursor::Seq(last.seq)).or(cursor);
        tokio::time::sleep(PAUSE).await;
    }
}

/// What is new, the oldest first.
async fn look(
    place: &Place,
    output: Output,
    args: &Tail,
    cursor: Option<Cursor>,
) -> Result<Vec<Message>, Failure> {
    let store = place.open_briefly(output, Missing::Refuse).await?;
    let ended = async {
        let app = store.app(&args.key)?;
        if let Some(cursor) = cursor {
            let page = Page::after(cursor, Page::LIMIT_MAX);
            return Ok(app.history(&args.chat, page).await?);
        }
        let last = app.head(&args.chat).await?.last_seq;
        let next = Cursor::Seq(tidestore::Seq(last.0.saturating_add(1)));
        let page = Page::before(next, args.lines.into());
        let mut found = app.history(&args.chat, page).await?;
        found.reverse();
        Ok(found)
    }
    .await;
    close(&store, ended).await
}

fn show(output: Output, chat: &Conversation, message: &Message) -> Result<(), Failure> {
    if output.is_json() {
        let mut lines = Lines::start();
        lines.write(&Outgoing::new(chat, message))?;
        return lines.finish();
    }
    let (time, from) = (times::show(message.millis()), &message.sender);
    print(&format!("{time}  {from}: {}", shown(message)))
}
