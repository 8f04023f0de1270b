//! A downgrade that is taken back, and a message that is refused.

use tidestore::plan::{Plan, Terms, UserId};
use tidestore::{Conversation, ErrorKind, NewMessage, Preview, Store};

use super::walk::key;
use crate::error::{Failure, store_kind};

/// What a downgrade of the pro app to basic hid, and what undoing it brought back.
pub(crate) struct Downgrade {
    pub(crate) preview: Preview,
    /// Visible messages before, after, and when undone.
    pub(crate) visible: [u64; 3],
}

/// What became of a message one byte over the limit.
pub(crate) struct Refused {
    pub(crate) kind: &'static str,
    pub(crate) text: String,
}

pub(crate) async fn downgrade(store: &Store) -> Result<Downgrade, Failure> {
    let app = store.app(&key(Plan::Pro)?)?;
    let basic = Terms::of(Plan::Basic);
    let before = app.usage().await?.messages;
    let preview = app.preview(&basic).await?;
    app.change_terms(basic).await?;
    let after = app.usage().await?.messages;
    app.undo().await?;
    let undone = app.usage().await?.messages;
    Ok(Downgrade {
        preview,
        visible: [before, after, undone],
    })
}

pub(crate) async fn refused(store: &Store) -> Result<Refused, Failure> {
    let app = store.app(&key(Plan::Free)?)?;
    let conversation = Conversation::parse("group:demo").map_err(tidestore::Error::from)?;
    let sender = UserId::parse("alice").map_err(tidestore::Error::from)?;
    let len = usize::try_from(NewMessage::content_max()).unwrap_or(usize::MAX) + 1;
    let answer = app
        .append(NewMessage::text(conversation, sender, "x".repeat(len)))
        .await;
    if let Err(error) = answer {
        return Ok(Refused {
            kind: store_kind(error.kind()),
            text: error.to_string(),
        });
    }
    let text = format!("a message of {len} bytes was accepted");
    Err(Failure::Store(tidestore::Error::new(
        ErrorKind::Argument,
        text,
    )))
}
