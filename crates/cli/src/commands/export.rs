//! `export KEY [--chat C] [--since T] [--until T]`, `export KEY --hour H`.

use std::io::{self, Write};

use clap::Args;
use tidestore::plan::AppKey;
use tidestore::{App, Conversation, Cursor, ErrorKind, Kind, Page, Revision, Store};

use crate::args::{app_key, chat};
use crate::error::Failure;
use crate::lines::Outgoing;
use crate::output::{Lines, Output, count};
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
    /// The history file of an hour (UTC) as the service offers it, such as 2026112310: JSON lines, compressed by gzip
    #[arg(long, value_name = "YYYYMMDDHH", value_parser = times::parse_hour, conflicts_with_all = ["chat", "since", "until"])]
    hour: Option<u64>,
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
    if let Some(hour) = args.hour {
        return history_file(&app, hour, output).await;
    }
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

async fn history_file(app: &App, hour: u64, output: Output) -> Result<(), Failure> {
    let mut file = app.history_file(hour)?;
    let mut stdout = io::stdout().lock();
    while let Some(piece) = file.next().await? {
        stdout.write_all(&piece).map_err(Failure::stdout)?;
    }
    stdout.flush().map_err(Failure::stdout)?;
    output.note(&format!("{} messages", count(file.messages())));
    Ok(())
}

/// The lines of a conversation, then of the commands beside it.
async fn conversation_lines(
    app: &App,
    conversation: &Conversation,
    args: &Export,
    lines: &mut Lines,
) -> Result<(), Failure> {
    lines_of(app, conversation, args, lines).await?;
    lines_of(app, &conversation.aside(), args, lines).await
}

async fn lines_of(
    app: &App,
    conversation: &Conversation,
    args: &Export,
    lines: &mut Lines,
) -> Result<(), Failure> {
    let (until, main) = (args.until.unwrap_or(u64::MAX), conversation.main());
    let mut cursor = Cursor::Time(args.since.unwrap_or(0));
    loop {
        let page = app
            .history(conversation, Page::after(cursor, Page::LIMIT_MAX))
            .await?;
        for message in &page {
            if message.millis() >= until {
                return Ok(());
            }
            let is_gone = matches!(
                message.revision,
                Revision::Recalled { .. } | Revision::Erased
            );
            if !is_gone && message.kind != Kind::Notice {
                lines.write(&Outgoing::new(&main, message))?;
            }
        }
        match page.last() {
            Some(last) => cursor = Cursor::Id(last.id),
            None => return Ok(()),
        }
    }
}
