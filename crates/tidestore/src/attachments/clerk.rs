//! The clerk: the one thread that changes the attachments of a shard.
//!
//! Puts go through two flushes, of a volume and of the log. The clerk does not wait for the second: while one change
//! is being logged, the next is decided on top of it and its volumes are flushed. At most one change is under way in
//! the log; whoever looks through whole tables waits for it first.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tidestore_blobs::{After, Attachment, Change, Collected, Keeping, Punched, Volumes};
use tidestore_disk::Millis;
use tidestore_kv::{Changes, batch_of};
use tidestore_messages::AppId;
use tokio::sync::oneshot;

use crate::attachments::desk::{Edit, EditKind, Note, Request};
use crate::attachments::requests::{Waiting, apply, note, put, refuse};
use crate::error::{Error, ErrorKind, Result};
use crate::guard::millis;
use crate::record::Event;
use crate::shard::Shard;
use crate::threads::wait_for;

/// Requests taken at a time. Each may hold a content of the shared size, so this also bounds memory.
const DRAIN_MAX: usize = 64;

/// The writer of a shard's attachments.
#[derive(Debug)]
pub(crate) struct Clerk {
    shard: Arc<Shard>,
    volumes: Volumes,
    /// The change that is being logged.
    under_way: Option<UnderWay>,
    /// References that could not be logged, and are tried again before anybody relies on them.
    unnoted: Vec<Note>,
    /// Whether volumes that hold dead records since a crash were taken up again.
    revisited: bool,
    /// What removes files and has to wait until nobody copies them.
    put_off: Vec<Request>,
}

/// A change of one attachment, and who waits for it.
type Asked = (Edit, oneshot::Sender<Result<()>>);

#[derive(Debug)]
struct UnderWay {
    rows: Arc<Changes>,
    after: After,
    notes: Vec<Note>,
    done: oneshot::Receiver<Result<()>>,
}

impl Clerk {
    pub(crate) fn new(shard: Arc<Shard>, volumes: Volumes) -> Self {
        Self {
            shard,
            volumes,
            under_way: None,
            unnoted: Vec::new(),
            revisited: false,
            put_off: Vec::new(),
        }
    }

    /// Works until the queue is closed and empty.
    pub(crate) fn run(mut self) {
        let desk = Arc::clone(self.shard.desk());
        loop {
            let patience = self.under_way.is_some().then_some(Duration::ZERO);
            match desk.queue.drain(DRAIN_MAX, false, patience) {
                Some(drained) if drained.commands.is_empty() => drop(self.land()),
                Some(drained) => self.process(drained.commands),
                None => break,
            }
            if !self.put_off.is_empty() && !desk.is_still() {
                let put_off = std::mem::take(&mut self.put_off);
                self.process(put_off);
            }
        }
        drop(self.land());
    }

    fn process(&mut self, requests: Vec<Request>) {
        let (mut quick, mut edits) = (Vec::new(), Vec::new());
        for request in requests {
            // Those of one sort that follow each other share a flush; those of different sorts keep their order.
            match request {
                Request::Put(..) | Request::Note(_) => {
                    self.edit_all(std::mem::take(&mut edits));
                    quick.push(request);
                }
                Request::Edit(edit, reply) => {
                    self.put_all(std::mem::take(&mut quick));
                    edits.push((edit, reply));
                }
                other => {
                    self.put_all(std::mem::take(&mut quick));
                    self.edit_all(std::mem::take(&mut edits));
                    drop(self.land());
                    self.other(other);
                }
            }
        }
        self.put_all(quick);
        self.edit_all(edits);
    }

    /// What looks through tables.
    fn other(&mut self, request: Request) {
        match request {
            Request::Put(..) | Request::Note(_) | Request::Edit(..) => {}
            // The next pass does it.
            Request::Collect(_, reply) if self.is_still() => {
                drop(reply.send(Ok(Collected::default())));
            }
            Request::Forget(..) if self.is_still() => self.put_off.push(request),
            Request::Pass(reply) => drop(reply.send(Ok(()))),
            Request::Collect(now, reply) => drop(reply.send(self.collect(now))),
            Request::Forget(app, dir, reply) => {
                drop(reply.send(self.forget(app, dir.as_deref())));
            }
            Request::Recount(reply) => drop(reply.send(self.recount())),
            Request::Barrier(source, reply) => drop(reply.send(self.noted(source))),
        }
    }

    /// Carries out changes of single attachments, and gives back what they free.
    fn edit_all(&mut self, edits: Vec<Asked>) {
        if edits.is_empty() {
            return;
        }
        drop(self.land());
        if let Some(error) = self.shard.poisoned() {
            for (_, reply) in edits {
                drop(reply.send(Err(error.clone())));
            }
            return;
        }
        // What could not be noted yet comes before what takes it back; otherwise the reference would be there for good.
        self.note_again();
        let (edits, early) = self.split_early(edits);
        for (_, reply) in early {
            drop(reply.send(Err(unnoted())));
        }
        let mut waiting = Vec::new();
        let is_still = self.is_still();
        // What dies now is looked for by a later pass.
        self.revisited &= !is_still;
        let done = self.commit(|change, shard| {
            for (edit, reply) in edits {
                waiting.push(Waiting::new(reply, apply(change, shard, &edit)));
            }
            if !is_still {
                change.settle_volumes(&*shard.registry, &mut Collected::default())?;
            }
            Ok(())
        });
        for answer in waiting {
            answer.send(done.as_ref().err());
        }
    }

    /// Splits off what takes a reference back that waits to be noted.
    fn split_early(&self, edits: Vec<Asked>) -> (Vec<Asked>, Vec<Asked>) {
        let waits = |edit: &Edit| {
            matches!(edit.what, EditKind::Unrefer(_))
                && self
                    .unnoted
                    .iter()
                    .any(|note| note.names(edit.app, edit.attachment))
        };
        edits.into_iter().partition(|(edit, _)| !waits(edit))
    }

    /// Carries out puts and references, and hands them to the log without waiting for it.
    fn put_all(&mut self, requests: Vec<Request>) {
        if requests.is_empty() {
            return;
        }
        if let Some(error) = self.shard.poisoned() {
            for request in requests {
                self.unnoted.extend(refuse(request, &error));
            }
            return;
        }
        // In the order of their positions, those that failed before first: a mark says that all below it is noted.
        if !self.unnoted.is_empty() {
            drop(self.land());
        }
        let mut notes = std::mem::take(&mut self.unnoted);
        let mut waiting = Vec::new();
        let now = self.now();
        let decided = self.decide(now, |change, shard| {
            for request in requests {
                match request {
                    Request::Put(prepared, reply) => {
                        waiting.push(Waiting::new(reply, put(change, shard, *prepared)));
                    }
                    Request::Note(next) => notes.push(next),
                    _ => {}
                }
            }
            notes
                .iter()
                .try_for_each(|noted| note(change, shard, noted))
        });
        // Landed after the volumes were flushed: the two flushes go on at the same time.
        let landed = self.land();
        match (decided, landed) {
            (Ok((rows, after)), Ok(())) => self.launch(rows, after, notes, waiting),
            (decided, landed) => {
                let error = landed.err().or_else(|| decided.as_ref().err().cloned());
                if let Ok((_, after)) = decided {
                    // Decided on top of rows that are not there.
                    self.abandon(after, error.as_ref());
                }
                self.unnoted.extend(notes);
                for answer in waiting {
                    answer.send(error.as_ref());
                }
            }
        }
    }

    /// Decides on a change on top of the one under way, and flushes the volumes it writes to.
    fn decide(
        &mut self,
        now: Millis,
        decide: impl FnOnce(&mut Change<'_>, &Shard) -> Result<()>,
    ) -> Result<(Changes, After)> {
        let shard = Arc::clone(&self.shard);
        let below = self.under_way.as_ref().map(|way| Arc::clone(&way.rows));
        let (engine, keeping) = (&*shard.engine, keeping(&shard));
        let mut change = Change::new(engine, below, &mut self.volumes, now, keeping);
        let decided = decide(&mut change, &shard);
        match (decided, change.finish()) {
            (Ok(()), Ok(finished)) => Ok(finished),
            (Err(error), Ok((_, after))) => {
                // While a change is under way, what the tables say is not what the volumes hold; then the tail stays
                // where it is, to be written over.
                if self.under_way.is_none() {
                    self.volumes.abandon(engine, after, true);
                }
                Err(error)
            }
            (_, Err(error)) => {
                // A failed flush: what it held may be lost although it can still be read.
                let error = Error::from(error);
                shard.poison(&error);
                Err(error)
            }
        }
    }

    /// Hands a change to the log. Its callers are answered by the log's own thread, as soon as it is durable.
    fn launch(
        &mut self,
        rows: Changes,
        mut after: After,
        notes: Vec<Note>,
        waiting: Vec<Waiting<Attachment>>,
    ) {
        after.keep_files();
        let batch = batch_of(&rows);
        let (reply, done) = oneshot::channel();
        let tell = Box::new(move |done: Result<()>| {
            for answer in waiting {
                answer.send(done.as_ref().err());
            }
            drop(reply.send(done));
        });
        let decision =
            Box::new(move |_: &Shard| Ok((!batch.is_empty()).then_some(Event::Rows(batch))));
        // A closed queue drops the callback, and with it the callers' answers.
        drop(self.shard.decide_later(decision, tell));
        self.under_way = Some(UnderWay {
            rows: Arc::new(rows),
            after,
            notes,
            done,
        });
    }

    /// Waits for the change that is under way, and does to files what it says.
    fn land(&mut self) -> Result<()> {
        let Some(way) = self.under_way.take() else {
            return Ok(());
        };
        let done = wait_for(way.done);
        match done.unwrap_or_else(|_| Err(closed())) {
            Ok(()) => {
                // Puts and references give nothing back, so there is nothing to be punched.
                drop(self.settle(way.after));
                Ok(())
            }
            Err(error) => {
                self.abandon(way.after, Some(&error));
                if !way.notes.is_empty() {
                    tracing::warn!(shard = self.shard.number, %error, "references wait to be noted");
                }
                self.unnoted.extend(way.notes);
                Err(error)
            }
        }
    }

    fn abandon(&mut self, after: After, error: Option<&Error>) {
        let unlogged = error.is_some_and(|error| self.shard.is_unlogged(error));
        self.volumes.abandon(&*self.shard.engine, after, unlogged);
    }

    /// Decides on a change, waits until it is durable, and then does to files what it says.
    fn commit(&mut self, decide: impl FnOnce(&mut Change<'_>, &Shard) -> Result<()>) -> Result<()> {
        let now = self.now();
        let punched = self.commit_at(now, decide)?;
        self.note_punched(now, &punched);
        Ok(())
    }

    /// The change before stands whatever becomes of this: what is not noted counts as dead, and is punched again.
    fn note_punched(&mut self, now: Millis, punched: &[Punched]) {
        if punched.is_empty() {
            return;
        }
        if let Err(error) = self.commit_at(now, |change, _| Ok(change.punched(punched)?)) {
            tracing::warn!(shard = self.shard.number, %error, "what was punched could not be noted");
            self.revisited = false;
        }
    }

    fn commit_at(
        &mut self,
        now: Millis,
        decide: impl FnOnce(&mut Change<'_>, &Shard) -> Result<()>,
    ) -> Result<Vec<Punched>> {
        if let Some(error) = self.shard.poisoned() {
            return Err(error);
        }
        let (rows, mut after) = self.decide(now, decide)?;
        after.keep_files();
        match self.log(&rows, &after) {
            Ok(()) => Ok(self.settle(after)),
            Err(error) => {
                self.abandon(after, Some(&error));
                Err(error)
            }
        }
    }

    /// Does to files what a logged change says. The change stands whatever becomes of that: what is left is punched by
    /// the next pass or swept by the next opening.
    fn settle(&mut self, after: After) -> Vec<Punched> {
        let settled = self.volumes.settle(after);
        if let Some(error) = settled.failed {
            tracing::warn!(shard = self.shard.number, %error, "space could not be given back");
            self.revisited = false;
        }
        settled.punched
    }

    /// Logs rows. On a full disk, volumes in which nothing can be read any more make the room.
    fn log(&self, rows: &Changes, after: &After) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let log = || {
            let rows = batch_of(rows);
            let decision = Box::new(move |_: &Shard| Ok(Some(Event::Rows(rows))));
            self.shard.decide_own(decision)
        };
        match log() {
            Err(error) if self.shard.is_unlogged(&error) && !after.over().is_empty() => {
                self.volumes.make_room(after)?;
                log()
            }
            done => done,
        }
    }

    /// Answers whether the references that a shard has handed over are durable.
    fn noted(&mut self, source: u16) -> Result<()> {
        self.note_again();
        if self.unnoted.iter().all(|note| note.source != source) {
            return Ok(());
        }
        Err(self.shard.poisoned().unwrap_or_else(unnoted))
    }

    /// Tries to note what could not be noted before.
    fn note_again(&mut self) {
        let notes = std::mem::take(&mut self.unnoted);
        if notes.is_empty() {
            return;
        }
        let again = |change: &mut Change<'_>, shard: &Shard| {
            notes
                .iter()
                .try_for_each(|noted| note(change, shard, noted))
        };
        if self.commit(again).is_err() {
            self.unnoted = notes;
        }
    }

    /// Removes what is over, portion by portion.
    fn collect(&mut self, now: Millis) -> Result<Collected> {
        self.note_again();
        let mut all = Collected::default();
        loop {
            let mut found = Collected::default();
            let revisit = !std::mem::replace(&mut self.revisited, true);
            let unnoted = self.unnoted.clone();
            let punched = self.commit_at(now, |change, shard| {
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
            self.note_punched(now, &punched);
            let more = found.more;
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
        let shard = &self.shard;
        let recount = tidestore_blobs::recount(&*shard.engine, &*shard.registry, shard.number);
        Ok(recount?)
    }

    fn is_still(&self) -> bool {
        self.shard.desk().is_still()
    }

    /// Never behind either clock: a wrong one must not make anything expire before its time.
    fn now(&self) -> Millis {
        let times = self.shard.guard.times();
        times.now.max(times.trusted)
    }
}

fn keeping(shard: &Shard) -> Keeping {
    Keeping {
        retention: millis(shard.options.attachment_retention),
        grace: millis(shard.options.attachment_grace),
    }
}

fn unnoted() -> Error {
    let text = "references to attachments could not be noted: no disk space is left";
    Error::new(ErrorKind::Full, text)
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the store is closed")
}
