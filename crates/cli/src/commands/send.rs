//! `send KEY CHAT --from USER TEXT`: one message, if the directory allows it.

use clap::Args;
use serde_json::json;
use tidestore::plan::{AppKey, UserId};
use tidestore::{Conversation, NewMessage, Store};

use crate::args::{app_key, chat, user};
use crate::error::Failure;
use crate::output::Output;
use crate::session::{Missing, Place, close};

#[derive(Debug, Args)]
pub(crate) struct Send {
    /// The app's key, org#app
    #[arg(value_parser = app_key)]
    key: AppKey,
    /// direct:alice,bob, group:ID, room:ID or thread:ID
    #[arg(value_parser = chat)]
    chat: Conversation,
    /// Who sends it
    #[arg(long, value_name = "USER", value_parser = user)]
    from: UserId,
    /// The message
    text: String,
}

pub(crate) async fn run(place: &Place, output: Output, args: Send) -> Result<(), Failure> {
    let store = place.open_briefly(output, Missing::Refuse).await?;
    let ended = send(&store, output, args).await;
    close(&store, ended).await
}

async fn send(store: &Store, output: Output, args: Send) -> Result<(), Failure> {
    let message = NewMessage::text(args.chat, args.from, args.text);
    let sent = store.app(&args.key)?.send(message).await?;
    output.show(
        || format!("stored as {}, number {}", sent.id, sent.seq),
        || json!({ "id": sent.id.0, "seq": sent.seq.0 }),
    )
}
