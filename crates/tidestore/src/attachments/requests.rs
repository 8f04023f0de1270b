//! What the requests at a desk mean for the attachments.

use tidestore_blobs::{Attachment, Change, Prepared, Reference, index};
use tidestore_messages::{AppId, Apps as _};
use tidestore_plan::AttachmentId;
use tokio::sync::oneshot;

use crate::attachments::desk::{Edit, EditKind, Note, Request};
use crate::error::{Error, ErrorKind, Result};
use crate::shard::Shard;

/// An answer that waits for its change to be durable.
#[derive(Debug)]
pub(crate) struct Waiting<T> {
    reply: oneshot::Sender<Result<T>>,
    result: Result<T>,
}

impl<T> Waiting<T> {
    pub(crate) fn new(reply: oneshot::Sender<Result<T>>, result: Result<T>) -> Self {
        Self { reply, result }
    }

    /// Answers; nothing of a change that failed is there.
    pub(crate) fn send(self, failed: Option<&Error>) {
        let result = match failed {
            Some(error) => self.result.and(Err(error.clone())),
            None => self.result,
        };
        // A caller that went away is not interested in the answer.
        drop(self.reply.send(result));
    }
}

/// Answers a request that cannot be tried; hands references back, which nobody waits for.
pub(crate) fn refuse(request: Request, error: &Error) -> Option<Note> {
    match request {
        Request::Put(_, reply) => drop(reply.send(Err(error.clone()))),
        Request::Edit(_, reply) => drop(reply.send(Err(error.clone()))),
        Request::Note(note) => return Some(note),
        _ => {}
    }
    None
}

pub(crate) fn put(
    change: &mut Change<'_>,
    shard: &Shard,
    prepared: Prepared,
) -> Result<Attachment> {
    let app = prepared.app();
    if shard.registry.by_id(app).is_none() {
        let text = "the app was deleted while the attachment came in";
        return Err(Error::new(ErrorKind::UnknownApp, text));
    }
    Ok(change.put(prepared)?)
}

pub(crate) fn apply(change: &mut Change<'_>, shard: &Shard, edit: &Edit) -> Result<()> {
    let Edit {
        app, attachment, ..
    } = *edit;
    let floor = shard.registry.physical_floor(app);
    match &edit.what {
        EditKind::Refer(reference) => change.refer(app, attachment, reference)?,
        EditKind::Unrefer(reference) => change.unrefer(app, attachment, reference, floor)?,
        EditKind::Delete => change.delete(app, attachment)?,
    }
    Ok(())
}

/// Notes references, unless they were noted before: a replay hands them over again.
pub(crate) fn note(change: &mut Change<'_>, shard: &Shard, note: &Note) -> Result<()> {
    let Note {
        source,
        position,
        mentions,
        ..
    } = note;
    let (source, position) = (*source, *position);
    if position <= index::noted_through(&*shard.engine, source)? {
        return Ok(());
    }
    for mention in mentions {
        let reference = Reference::Message {
            time: mention.message.millis(),
            id: mention.message.0,
        };
        refer_if_there(change, mention.app, mention.attachment, &reference)?;
    }
    Ok(change.note_through(source, position)?)
}

/// An imported message may name an attachment that is not here, and an app may have been deleted.
fn refer_if_there(
    change: &mut Change<'_>,
    app: AppId,
    attachment: AttachmentId,
    reference: &Reference,
) -> Result<()> {
    match change.refer(app, attachment, reference) {
        Err(error) if *error.kind() == tidestore_blobs::ErrorKind::NotFound => Ok(()),
        Err(error) if *error.kind() == tidestore_blobs::ErrorKind::Corruption => {
            // One damaged row must not keep the references of all others from being noted.
            tracing::error!(%attachment, %error, "a reference cannot be noted");
            Ok(())
        }
        result => Ok(result?),
    }
}

/// Looks for apps that were deleted while the store was going down, and whose rows are still there.
pub(crate) fn forget_deleted(shard: &Shard) -> Result<()> {
    for app in tidestore_blobs::apps_with_volumes(&*shard.engine)? {
        if shard.registry.by_id(app).is_none() {
            let (reply, _) = oneshot::channel();
            let forget = Request::Forget(app, None, reply);
            drop(shard.desk().queue.push_own(forget));
        }
    }
    Ok(())
}
