//! The clerk: the one thread that changes the attachments of a shard.

use std::path::Path;
use std::sync::Arc;

use tidestore_blobs::{
    After, Attachment, Change, Collected, Keeping, Prepared, Punched, Reference, Volumes, index,
};
use tidestore_disk::Millis;
use tidestore_kv::{Batch, Engine};
use tidestore_messages::{AppId, Apps as _};
use tidestore_plan::AttachmentId;
use tokio::sync::oneshot;

use crate::attachments::desk::{Edit, EditKind, Note, Request};
use crate::error::{Error, ErrorKind, Result};
use crate::guard::millis;
use crate::record::Event;
use crate::shard::Shard;

/// Requests taken at a time. Each may hold a content of the shared size, so this also bounds memory.
const DRAIN_MAX: usize = 64;

/// The writer of a shard's attachments.
#[derive(Debug)]
pub(crate) struct Clerk {
    shard: Arc<Shard>,
    volumes: Volumes,
    /// References that could not be logged, and are tried again before anybody relies on them.
    unnoted: Vec<Note>,
    /// Whether volumes that hold dead records since a crash were taken up again.
    revisited: bool,
}

/// An answer that waits for the change to be durable.
enum Waiting {
    Put(oneshot::Sender<Result<Attachment>>, Result<Attachment>),
    Edit(oneshot::Sender<Result<()>>, Result<()>),
}

impl Clerk {
    pub(crate) fn new(shard: Arc<Shard>, volumes: Volumes) -> Self {
        Self {
            shard,
            volumes,
            unnoted: Vec::new(),
            revisited: false,
        }
    }

    /// Works until the queue is closed and empty.
    pub(crate) fn run(mut self) {
        let desk = Arc::clone(self.shard.desk());
        while let Some(drained) = desk.queue.drain(DRAIN_MAX, false, None) {
            self.process(drained.commands);
        }
    }

    fn process(&mut self, requests: Vec<Request>) {
        let mut together = Vec::new();
        for request in requests {
            match request {
                Request::Put(..) | Request::Edit(..) | Request::Note(_) => {
                    together.push(request);
                }
                other => {
                    self.change_if_any(std::mem::take(&mut together));
                    self.other(other);
                }
            }
        }
        self.change_if_any(together);
    }

    fn change_if_any(&mut self, requests: Vec<Request>) {
        if !requests.is_empty() {
            self.change(requests);
        }
    }

    fn other(&mut self, request: Request) {
        match request {
            Request::Put(..) | Request::Edit(..) | Request::Note(_) => {}
            Request::Collect(now, reply) => drop(reply.send(self.collect(now))),
            Request::Forget(app, dir, reply) => drop(reply.send(self.forget(app, dir.as_deref()))),
            Request::Recount(reply) => drop(reply.send(self.recount())),
            Request::Barrier(source, reply) => drop(reply.send(self.unnoted(source))),
        }
    }

    /// Carries out requests that may share a flush, and answers them.
    fn change(&mut self, requests: Vec<Request>) {
        if requests.is_empty() && self.unnoted.is_empty() {
            return;
        }
        if let Some(error) = self.shard.poisoned() {
            for request in requests {
                match request {
                    Request::Note(note) => self.unnoted.push(note),
                    other => refuse(other, &error),
                }
            }
            return;
        }
        let mut waiting = Vec::new();
        // In the order of their positions, those that failed before first: a mark says that all below it is noted.
        let mut notes = std::mem::take(&mut self.unnoted);
        let done = self.commit(|change, shard| {
            for request in requests {
                match request {
                    Request::Put(prepared, reply) => {
                        let put = put(change, shard, *prepared);
                        waiting.push(Waiting::Put(reply, put));
                    }
                    Request::Edit(edit, reply) => {
                        let edited = apply(change, shard, &edit);
                        waiting.push(Waiting::Edit(reply, edited));
                    }
                    Request::Note(note) => notes.push(note),
                    _ => {}
                }
            }
            for noted in &notes {
                note(change, shard, noted)?;
            }
            change.settle_volumes(&*shard.registry, &mut Collected::default())?;
            Ok(())
        });
        if let Err(error) = &done {
            if !notes.is_empty() {
                tracing::warn!(shard = self.shard.number, %error, "references wait to be noted");
            }
            self.unnoted = notes;
        }
        for answer in waiting {
            answer.send(done.as_ref().err());
        }
    }

    /// Answers whether the references that a shard has handed over are durable.
    fn unnoted(&mut self, source: u16) -> Result<()> {
        self.change(Vec::new());
        if self.unnoted.iter().all(|note| note.source != source) {
            return Ok(());
        }
        Err(self.shard.poisoned().unwrap_or_else(|| {
            let text = "references to attachments could not be noted: no disk space is left";
            Error::new(ErrorKind::Full, text)
        }))
    }

    /// Decides on a change, makes it durable, and then does to files what it says.
    fn commit(&mut self, decide: impl FnOnce(&mut Change<'_>, &Shard) -> Result<()>) -> Result<()> {
        let shard = Arc::clone(&self.shard);
        if let Some(error) = shard.poisoned() {
            return Err(error);
        }
        let times = shard.guard.times();
        // Never behind either clock: a wrong one must not make anything expire before its time.
        let now = times.now.max(times.trusted);
        let punched = self.commit_at(now, &shard, decide)?;
        self.note_punched(now, &shard, &punched)
    }

    fn note_punched(&mut self, now: Millis, shard: &Shard, punched: &[Punched]) -> Result<()> {
        if punched.is_empty() {
            return Ok(());
        }
        // Should this fail, the records count as dead, and are punched again.
        self.commit_at(now, shard, |change, _| Ok(change.punched(punched)?))
            .map(drop)
    }

    fn commit_at(
        &mut self,
        now: Millis,
        shard: &Shard,
        decide: impl FnOnce(&mut Change<'_>, &Shard) -> Result<()>,
    ) -> Result<Vec<Punched>> {
        let engine = &*shard.engine;
        let mut change = Change::new(engine, &mut self.volumes, now, keeping(shard));
        let decided = decide(&mut change, shard);
        let finished = change.finish();
        let (rows, after) = match (decided, finished) {
            (Ok(()), Ok(finished)) => finished,
            (Err(error), Ok((_, after))) => {
                self.volumes.abandon(engine, after, true);
                return Err(error);
            }
            (_, Err(error)) => {
                // A failed flush: what it held may be lost although it can still be read.
                let error = Error::from(error);
                shard.poison(&error);
                return Err(error);
            }
        };
        if rows.is_empty() {
            return Ok(self.settle(after));
        }
        match self.log(shard, rows, &after) {
            Ok(()) => Ok(self.settle(after)),
            Err(error) => {
                let unlogged = shard.is_unlogged(&error);
                self.volumes.abandon(engine, after, unlogged);
                Err(error)
            }
        }
    }

    /// Does to files what a logged change says. The change stands whatever becomes of that: what is left is punched by
    /// the next pass or swept by the next opening.
    fn settle(&mut self, after: After) -> Vec<Punched> {
        self.volumes.settle(after).unwrap_or_else(|error| {
            tracing::warn!(shard = self.shard.number, %error, "space could not be given back");
            self.revisited = false;
            Vec::new()
        })
    }

    /// Logs rows. On a full disk, volumes that are to go anyway make the room.
    fn log(&self, shard: &Shard, rows: Batch, after: &After) -> Result<()> {
        let log = |rows: Batch| shard.decide_own(Box::new(move |_| Ok(Some(Event::Rows(rows)))));
        let makes_room = !after.unlinks().is_empty();
        let spare = makes_room.then(|| rows.clone());
        match (log(rows), spare) {
            (Err(error), Some(rows)) if shard.is_unlogged(&error) => {
                self.volumes.make_room(after)?;
                log(rows)
            }
            (done, _) => done,
        }
    }

    /// Removes what is over, portion by portion.
    fn collect(&mut self, now: Millis) -> Result<Collected> {
        let shard = Arc::clone(&self.shard);
        if let Some(error) = shard.poisoned() {
            return Err(error);
        }
        self.change(Vec::new());
        let mut all = Collected::default();
        loop {
            let mut found = Collected::default();
            let revisit = !std::mem::replace(&mut self.revisited, true);
            let unnoted = self.unnoted.clone();
            let punched = self.commit_at(now, &shard, |change, shard| {
                let engine = &*shard.engine;
                if revisit {
                    change.revisit(engine)?;
                }
                let is_held = |app, id| {
                    let waits = |note: &Note| note.names(app, id);
                    shard.desk().is_held(app, id) || unnoted.iter().any(waits)
                };
                found = change.collect(engine, &*shard.registry, &is_held)?;
                Ok(())
            });
            let punched = punched.inspect_err(|_| self.revisited = false)?;
            self.note_punched(now, &shard, &punched)?;
            // A portion of which nothing was removed is held as a whole: it can wait.
            let more = found.more && !found.attachments.is_empty();
            all.add(found);
            if !more {
                return Ok(all);
            }
        }
    }

    fn forget(&mut self, app: AppId, dir: Option<&Path>) -> Result<()> {
        loop {
            let mut more = false;
            self.commit(|change, shard| {
                more = change.forget_app(&*shard.engine, app, dir)?;
                Ok(())
            })?;
            if !more {
                return Ok(());
            }
        }
    }

    fn recount(&self) -> Result<tidestore_blobs::Recount> {
        let (engine, shard) = (&*self.shard.engine, self.shard.number);
        Ok(tidestore_blobs::recount(
            engine,
            &*self.shard.registry,
            shard,
        )?)
    }
}

/// Answers a request that cannot be tried.
fn refuse(request: Request, error: &Error) {
    match request {
        Request::Put(_, reply) => drop(reply.send(Err(error.clone()))),
        Request::Edit(_, reply) => drop(reply.send(Err(error.clone()))),
        _ => {}
    }
}

impl Waiting {
    /// Answers; nothing of a change that failed is there.
    fn send(self, failed: Option<&Error>) {
        fn outcome<T>(result: Result<T>, failed: Option<&Error>) -> Result<T> {
            match failed {
                Some(error) => result.and(Err(error.clone())),
                None => result,
            }
        }
        // A caller that went away is not interested in the answer.
        match self {
            Self::Put(reply, result) => drop(reply.send(outcome(result, failed))),
            Self::Edit(reply, result) => drop(reply.send(outcome(result, failed))),
        }
    }
}

fn keeping(shard: &Shard) -> Keeping {
    Keeping {
        retention: millis(shard.options.attachment_retention),
        grace: millis(shard.options.attachment_grace),
    }
}

fn put(change: &mut Change<'_>, shard: &Shard, prepared: Prepared) -> Result<Attachment> {
    let app = prepared.app();
    if shard.registry.by_id(app).is_none() {
        let text = "the app was deleted while the attachment came in";
        return Err(Error::new(ErrorKind::UnknownApp, text));
    }
    Ok(change.put(prepared)?)
}

fn apply(change: &mut Change<'_>, shard: &Shard, edit: &Edit) -> Result<()> {
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
fn note(change: &mut Change<'_>, shard: &Shard, note: &Note) -> Result<()> {
    let Note {
        source,
        position,
        mentions,
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
pub(crate) fn forget_deleted(shard: &Shard, engine: &dyn Engine) -> Result<()> {
    for app in tidestore_blobs::apps_with_volumes(engine)? {
        if shard.registry.by_id(app).is_none() {
            let (reply, _) = oneshot::channel();
            drop(
                shard
                    .desk()
                    .queue
                    .push_own(Request::Forget(app, None, reply)),
            );
        }
    }
    Ok(())
}
