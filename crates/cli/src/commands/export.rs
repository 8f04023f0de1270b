//! `export KEY [--chat C] [--since T] [--until T]`.

use clap::Args;
use tidestore::plan::AppKey;
use tidestore::{App, Conversation, Cursor, ErrorKind, Page, Store};

use crate::args::{app_key, chat};
use crate::error::Failure;
use crate::lines::Outgoing;
use crate::output::{Lines, Output};
use crate::session::{Missing, Place, close};
use crate::times;

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The app's key, org#app
    #[arg(value_parser = app_key)]
    key: AppKey,
    /// Only this conversation
    #[arg(long, value_name = "CHAT", value_parser = chat)]
    chat: Option<Conversation>,
    /// Only messages from this time on
    #[arg(long, value_name = "TIME", value_parser = times::parse, allow_hyphen_values = true)]
    since: Option<u64>,
    /// Only messages before this time
    #[arg(long, value_name = "TIME", value_parser = times::parse, allow_hyphen_values = true)]
    until: Option<u64>,
}

/// Conversations that are listed at a time.
const HEADS: usize = 1_000;

pub(crate) async fn run(place: &Place, output: Output, args: &Export) -> Result<(), Failure> {
    let store = place.open_briefly(output, Missing::Refuse).await?;
    let ended = export(&store, output, args).await;
    close(&store, ended).await
}

async fn export(store: &Store, output: Output, args: &Export) -> Result<(), Failure> {
    let app = store.app(&args.key)?;
    let mut lines = Lines::start();
    if let Some(conversation) = &args.chat {
        conversation_lines(&app, conversation, args, &mut lines).await?;
        return lines.finish();
    }
    let mut after = None;
    let mut damaged = None;
    loop {
        let heads = app.conversations(after.as_ref(), HEADS).await?;
        for head in &heads {
            let name = &head.conversation;
            match conversation_lines(&app, name, args, &mut lines).await {
                // Damage costs the conversation it is in; the others are exported, and the end says so.
                Err(Failure::Store(error)) if *error.kind() == ErrorKind::Corruption => {
                    output.warning(&format!("{name} is not exported to its end: {error}"));
                    damaged = damaged.or(Some(error));
                }
                other => other?,
            }
        }
        match heads.into_iter().last() {
            Some(last) => after = Some(last.conversation),
            None => break,
        }
    }
    lines.finish()?;
    damaged.map_or(Ok(()), |error| Err(error.into()))
}

async fn conversation_lines(
    app: &App,
    conversation: &Conversation,
    args: &Export,
    lines: &mut Lines,
) -> Result<(), Failure> {
    let until = args.until.unwrap_or(u64::MAX);
    let mut cursor = Cursor::Time(args.since.unwrap_or(0));
    loop {
        let page = app
            .history(conversation, Page::after(cursor, Page::LIMIT_MAX))
            .await?;
        for message in &page {
            if message.millis() >= until {
                return Ok(());
            }
            lines.write(&Outgoing::new(conversation, message))?;
        }
        match page.last() {
            Some(last) => cursor = Cursor::Id(last.id),
            None => return Ok(()),
        }
    }
}
