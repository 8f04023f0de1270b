//! `blob put`, `blob get`, `blob list`, `blob rm`: the attachments of an app.

mod get;
mod list;
mod put;

use clap::Subcommand;
use serde_json::{Value, json};
use tidestore::plan::{AppKey, AttachmentId};
use tidestore::{Attachment, Store};

use crate::args::{app_key, attachment_id};
use crate::error::Failure;
use crate::lines::to_hex;
use crate::output::Output;
use crate::session::{Missing, Place, close};

#[derive(Debug, Subcommand)]
pub(crate) enum BlobCommand {
    Put(put::Put),
    Get(get::Get),
    List(list::List),
    /// Delete an attachment at once, whatever refers to it
    Rm {
        /// The app's key, org#app
        #[arg(value_parser = app_key)]
        key: AppKey,
        /// The attachment's id
        #[arg(value_parser = attachment_id)]
        id: AttachmentId,
    },
}

pub(crate) async fn run(
    place: &Place,
    output: Output,
    command: &BlobCommand,
) -> Result<(), Failure> {
    // What is wrong with the caller's own files is said before the store is touched.
    let input = match command {
        BlobCommand::Put(put) => Some(put.open()?),
        _ => None,
    };
    if let BlobCommand::Get(get) = command {
        get.check()?;
    }
    let store = place.open_briefly(output, Missing::Refuse).await?;
    let ended = match (command, input) {
        (BlobCommand::Put(put), Some(input)) => put.run(&store, output, input).await,
        (BlobCommand::Put(_), None) => Ok(()),
        (BlobCommand::Get(get), _) => get.run(&store, output).await,
        (BlobCommand::List(list), _) => list.run(&store, output).await,
        (BlobCommand::Rm { key, id }, _) => remove(&store, output, key, *id).await,
    };
    close(&store, ended).await
}

async fn remove(
    store: &Store,
    output: Output,
    key: &AppKey,
    id: AttachmentId,
) -> Result<(), Failure> {
    store.app(key)?.delete_attachment(id).await?;
    output.show(
        || format!("{id} is deleted"),
        || json!({ "deleted": id.to_string() }),
    )
}

/// An attachment as one JSON object; times in milliseconds since 1970.
fn value(attachment: &Attachment) -> Value {
    json!({
        "id": attachment.id.to_string(),
        "from": attachment.uploader,
        "name": attachment.name,
        "type": attachment.media_type,
        "size": attachment.length,
        "blake3": to_hex(&attachment.hash),
        "uploaded": attachment.uploaded,
        "keep_until": attachment.keep_until,
        "messages": attachment.messages,
        "pins": attachment.pins,
        "newest_message": attachment.newest_message,
    })
}
