//! The committer: the one thread that changes a shard.
//!
//! It takes all commands that wait, stages them, writes one batch, flushes it once, applies it to the views and then
//! answers everybody. So a flush of the device is shared by all writers that waited for the one before.

use std::sync::Arc;
use std::time::Duration;

use tidestore_kv::{Batch, Changes, Overlay, batch_of};
use tidestore_log::{Log, Position};
use tidestore_messages::{AppId, Conversation, SegmentDays};

use crate::apps::AppRecord;
use crate::attachments::Mentions;
use crate::error::{Error, ErrorKind, Result};
use crate::message::Receipt;
use crate::options::Durability;
use crate::record::{self, Event, ManifestChange, Record};
use crate::shard::pending::{Answers, Pending};
use crate::shard::stage::{Stage, current};
use crate::shard::{Append, Command, Decide, Messages, Pause, ReadLog, Shard};
use crate::tables;

/// The writer of a shard.
#[derive(Debug)]
pub(crate) struct Committer {
    shard: Arc<Shard>,
    log: Box<dyn Log>,
    stage: Stage,
    last_live: u64,
    last_seen: u64,
    /// What was applied and not handed to the desks yet.
    mentions: Mentions,
    /// When what was written but not flushed has to be flushed, on the monotonic clock.
    flush_by: Option<Duration>,
    jump: Jump,
}

/// Whether it is written down that the clock has jumped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Jump {
    Unknown,
    /// It is in the batch that is being written.
    Staged,
    Noted,
}

/// A batch is closed at this size, so that one command with many messages does not hold up all others.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// Commands taken from the queue at a time.
const DRAIN_MAX: usize = 1_024;
/// Changed heads that are written at a time: about two milliseconds.
pub(crate) const HEADS_MAX: usize = 1_024;
/// So many full memtables may wait before callers have to.
const FROZEN_MAX: usize = 2;

impl Committer {
    pub(crate) fn new(shard: Arc<Shard>, log: Box<dyn Log>, last_live: u64, seen: u64) -> Self {
        shard.set_applied(last_live);
        shard.set_durable(last_live);
        let committer = Self {
            shard,
            log,
            stage: Stage::default(),
            last_live,
            last_seen: seen,
            mentions: Mentions::default(),
            flush_by: None,
            jump: Jump::Unknown,
        };
        committer.publish();
        committer
    }

    /// Works until the queue is closed and empty.
    pub(crate) fn run(mut self) {
        loop {
            // Callers wait for a flush that is under way; one that fails refuses them instead, see `refusal`.
            let own_only = self.shard.options.background && self.is_full() && !self.is_stuck();
            let patience = self.flush_by.map(|by| by.saturating_sub(self.monotonic()));
            let Some(drained) = self.shard.queue.drain(DRAIN_MAX, own_only, patience) else {
                break;
            };
            self.process(drained.commands);
            if self.flush_by.is_some_and(|by| by <= self.monotonic()) {
                // A failure poisons the shard; whoever comes next hears of it.
                drop(self.flush());
            }
        }
        drop(self.flush());
    }

    fn process(&mut self, commands: Vec<Command>) {
        let shard = Arc::clone(&self.shard);
        let mut pending = Pending::new(&*shard.engine);
        shard.heads.bound();
        self.stage.restart(shard.guard.times());
        for command in commands {
            match command {
                Command::Append(append) => {
                    // What changes rows besides is always flushed.
                    pending.synced |= append.durability == Durability::Synced;
                    self.stage_append(append, &mut pending);
                }
                Command::Change(change) => {
                    let refused = shard.poisoned().or_else(|| self.choked());
                    let rows = refused.map_or(Ok(&mut pending.rows), Err);
                    pending.tells.push(change.carry_out(rows, &shard));
                    pending.synced = true;
                }
                // These look at the views, so what is staged before them is committed first.
                other => {
                    self.commit(&mut pending);
                    self.other(other);
                }
            }
            if self.stage.bytes.len() + pending.rows.bytes() >= BATCH_BYTES_MAX {
                self.commit(&mut pending);
            }
        }
        self.commit(&mut pending);
    }

    fn other(&mut self, command: Command) {
        match command {
            Command::Append(_) | Command::Change(_) => {}
            Command::Decide(decide) => self.decide(decide),
            Command::Freeze(reply) => drop(reply.send(self.freeze())),
            Command::Sync(reply) => drop(reply.send(self.flush())),
            Command::Pause(pause) => self.pause(pause),
            Command::ReadLog(read) => self.read_log(read),
            Command::Trim(before, reply) => drop(reply.send(self.trim(before))),
            Command::Roll(reply) => {
                let rolled = self.flush().and_then(|()| Ok(self.log.roll()?));
                drop(reply.send(rolled));
            }
            Command::DropSpares(reply) => {
                drop(reply.send(self.log.drop_spares().map_err(Error::from)));
            }
            Command::SettleHeads(reply) => drop(reply.send(self.settle_heads())),
            Command::CountSender(app, user, reply) => {
                drop(reply.send(self.count_sender(app, &user)));
            }
        }
    }

    fn stage_append(&mut self, append: Append, pending: &mut Pending<'_>) {
        let Append {
            app,
            messages,
            guard,
            reply,
            ..
        } = append;
        let current = self
            .refusal()
            .map_or_else(|| current(&self.shard, &app), Err);
        let (shard, rows) = (&*self.shard, &mut pending.rows);
        let (stage, last_live) = (&mut self.stage, &mut self.last_live);
        let count = messages.len();
        let put = |app: &AppRecord, rows: &mut Overlay<'_>| match messages {
            Messages::Live(list) => list
                .into_iter()
                .map(|message| stage.live(shard, app, message, last_live, rows))
                .collect::<Vec<_>>(),
            Messages::Imported(list) => list
                .into_iter()
                .map(|old| stage.imported(shard, app, old, last_live, rows))
                .collect(),
        };
        let receipts = match (current, guard) {
            (Err(error), _) => vec![Err(error); count],
            (Ok(app), None) => put(&app, rows),
            // What changes with messages is one with them: if one of them is not taken, the rows stay as they are.
            (Ok(app), Some(guard)) => rows
                .attempt(|rows| {
                    guard
                        .decide(rows, shard)
                        .map_err(|error| vec![Err(error); count])?;
                    let receipts = put(&app, rows);
                    if receipts.iter().all(Result::is_ok) {
                        Ok(receipts)
                    } else {
                        Err(receipts)
                    }
                })
                .unwrap_or_else(|refused| refused),
        };
        let known = |receipt: &&Result<Receipt>| receipt.as_ref().is_ok_and(|it| it.duplicate);
        let duplicates = receipts.iter().filter(known).count() as u64;
        self.shard.meters.duplicates.increment(duplicates);
        pending.outcomes.push((reply, receipts));
    }

    /// Why no message can be taken at all.
    fn refusal(&self) -> Option<Error> {
        let trouble = || {
            self.shard
                .flush_trouble
                .lock()
                .clone()
                .filter(|_| self.is_full())
        };
        let shard = &self.shard;
        shard.poisoned().or_else(trouble).or_else(|| self.choked())
    }

    /// Whether tables that find no space hold so much in memory that nothing more may be begun. Manifest changes are not
    /// asked: they are what gives space back.
    fn choked(&self) -> Option<Error> {
        self.shard.engine.is_choked().then(|| {
            let text = format!("the tables of shard {} find no space", self.shard.number);
            Error::new(ErrorKind::Full, text)
        })
    }

    /// Whether as many full memtables wait as memory is meant for.
    fn is_full(&self) -> bool {
        self.shard.view.frozen_count() >= FROZEN_MAX
    }

    /// Whether waiting for a flush is in vain for now.
    fn is_stuck(&self) -> bool {
        self.shard.poisoned().is_some() || self.shard.flush_trouble.lock().is_some()
    }

    /// Writes what is staged, applies it, answers, and starts the next batch.
    fn commit(&mut self, pending: &mut Pending<'_>) {
        let Answers {
            rows,
            synced,
            outcomes,
            tells,
        } = pending.take();
        let written = self.commit_staged(&rows, synced);
        for (reply, mut receipts) in outcomes {
            if let Err(error) = &written {
                for receipt in receipts.iter_mut().filter(|receipt| receipt.is_ok()) {
                    *receipt = Err(error.clone());
                }
            }
            // A caller that went away is not interested in the answer.
            drop(reply.send(receipts));
        }
        for tell in tells {
            tell(written.clone());
        }
        if written.is_ok() {
            self.shard.listeners.wake(self.stage.conversations());
        }
        self.stage.restart(self.shard.guard.times());
        self.publish();
        if self.shard.view.active_bytes() >= self.shard.options.memtable_bytes {
            drop(self.freeze());
        }
    }

    /// Makes the staged messages and rows one batch of the log, and applies it.
    fn commit_staged(&mut self, rows: &Changes, synced: bool) -> Result<()> {
        if self.stage.is_empty() && rows.is_empty() {
            // A duplicate may repeat a message that was only buffered: a synced caller waits for its flush too.
            return if synced && self.flush_by.is_some() {
                self.flush()
            } else {
                Ok(())
            };
        }
        let event = (!rows.is_empty()).then(|| Event::Rows(batch_of(rows)));
        if let Some(event) = &event {
            self.stage_event(event)?;
        }
        let position = self.write(synced || event.is_some())?;
        // Rows first: who may not see a message must not find it before it is known that he may not.
        event.map_or(Ok(()), |event| self.apply_event(event, position))?;
        self.apply_messages(position);
        self.hand_over_mentions();
        self.shard.set_applied(self.last_live);
        self.apply_jump(position)
    }

    /// Appends the staged bytes to the log and, if asked, flushes them.
    fn write(&mut self, synced: bool) -> Result<Position> {
        let synced = self.stage_jump()? || synced;
        let begun = self.monotonic();
        let position = match self.log.append(&self.stage.bytes) {
            Ok(position) => position,
            Err(error) => return Err(self.failed(error)),
        };
        let took = self.monotonic().saturating_sub(begun);
        self.shard.meters.written(self.stage.bytes.len(), took);
        self.shard.note_space(false);
        // Not the maximum: an operator may have confirmed a clock that is behind what was seen before.
        self.last_seen = self.shard.guard.times().trusted;
        if synced {
            self.flush_by = Some(Duration::ZERO);
            self.flush()?;
        } else if self.flush_by.is_none() {
            self.flush_by = Some(self.monotonic() + self.shard.options.buffered_delay);
        }
        Ok(position)
    }

    fn apply_messages(&mut self, position: Position) {
        if self.stage.applied.is_empty() {
            return;
        }
        self.mentions.add(&self.stage.applied, position.0);
        self.shard.meters.applied(&self.stage.applied);
        let rows = self.stage.applied.iter();
        self.shard
            .heads
            .advance(rows.map(|row| (row.app, &row.conversation, &row.message)));
        self.shard.view.insert(self.stage.applied.drain(..));
        let mut status = self.shard.status.lock();
        status
            .active_since
            .get_or_insert_with(|| self.shard.monotonic());
    }

    /// Makes everything written durable.
    fn flush(&mut self) -> Result<()> {
        let is_due = self.flush_by.take().is_some();
        if let Some(error) = self.shard.poisoned() {
            return Err(error);
        }
        if !is_due {
            return Ok(());
        }
        let begun = self.monotonic();
        self.log.sync().map_err(|error| self.failed(error))?;
        let took = self.monotonic().saturating_sub(begun);
        self.shard.meters.flushed_log(took);
        self.shard.set_durable(self.last_live);
        self.hand_over_mentions();
        Ok(())
    }

    /// Tells the desks which attachments are referred to, once the messages that do are durable: a message that a crash
    /// may take back must not leave a mark behind that another would be skipped by.
    fn hand_over_mentions(&mut self) {
        if self.flush_by.is_none() {
            let shard = &self.shard;
            self.mentions.hand_over(&shard.desks, shard.number);
        }
    }

    /// A full disk is over once there is space; any other failure of the log is final.
    fn failed(&self, error: tidestore_log::Error) -> Error {
        let error = Error::from(error);
        if *error.kind() == ErrorKind::Full {
            self.shard.note_space(true);
        } else {
            self.shard.poison(&error);
        }
        error
    }

    fn decide(&mut self, decide: Decide) {
        let Decide {
            decision,
            done: tell,
        } = decide;
        let decided = self
            .shard
            .poisoned()
            .map_or_else(|| decision(&self.shard), Err);
        let done = match decided {
            Ok(Some(event)) => self.commit_event(event),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        self.publish();
        tell(done);
    }

    fn commit_event(&mut self, event: Event) -> Result<()> {
        self.stage.restart(self.shard.guard.times());
        let written = self.stage_event(&event).and_then(|()| self.write(true));
        // Whatever became of it, the next batch must not carry this event a second time.
        self.stage.restart(self.shard.guard.times());
        let position = written?;
        self.apply_event(event, position)?;
        self.apply_jump(position)
    }

    /// The first batch after a jump of the clock says that there was one: after a crash, a jump that is shorter than the
    /// longest gap would pass for time that the store was closed.
    fn stage_jump(&mut self) -> Result<bool> {
        self.jump = match (self.shard.guard.is_jumped(), self.jump) {
            (false, _) => Jump::Unknown,
            (true, Jump::Noted) => Jump::Noted,
            (true, _) => Jump::Staged,
        };
        if self.jump == Jump::Staged {
            self.stage_event(&tables::jumped(true))?;
        }
        Ok(self.jump == Jump::Staged)
    }

    fn apply_jump(&mut self, position: Position) -> Result<()> {
        if self.jump == Jump::Staged {
            self.apply_event(tables::jumped(true), position)?;
            self.jump = Jump::Noted;
        }
        Ok(())
    }

    fn stage_event(&mut self, event: &Event) -> Result<()> {
        record::put_event(&mut self.stage.bytes, event)
            .map_err(|error| Error::new(ErrorKind::Argument, error.to_string()))
    }

    /// Brings the views up to an event that is durable.
    fn apply_event(&mut self, event: Event, position: Position) -> Result<()> {
        let numbers = Numbers {
            applied: position.0,
            last_live: self.last_live,
            last_seen: self.last_seen,
        };
        let batch = apply_to_tables(&self.shard, &event, numbers);
        if let Err(error) = batch.and_then(|batch| Ok(self.shard.engine.write(batch)?)) {
            // The change is durable in the log, but its view is behind: only a replay can mend that.
            self.shard.poison(&error);
            return Err(error);
        }
        apply_to_memory(&self.shard, event);
        Ok(())
    }

    fn freeze(&mut self) -> Result<()> {
        self.flush()?;
        if self.shard.view.freeze(self.log.end().0) {
            self.shard.status.lock().active_since = None;
            self.shard.wake();
        }
        Ok(())
    }

    /// Stands still at the end of a durable log.
    fn pause(&mut self, pause: Pause) {
        let flushed = self.shard.poisoned().map_or_else(|| self.flush(), Err);
        let stands = flushed.is_ok();
        let told = pause.reply.send(flushed.map(|()| self.log.end().0));
        if stands && told.is_ok() {
            pause.gate.wait();
        }
    }

    fn read_log(&self, read: ReadLog) {
        let (mut batches, mut bytes) = (Vec::new(), 0);
        let mut is_enough = false;
        let done = self
            .log
            .replay(Position(read.from), &mut |position, batch| {
                is_enough = bytes >= read.bytes || position.0 > read.through;
                if is_enough {
                    return Err("enough".into());
                }
                bytes += batch.len();
                batches.push((position.0, batch.to_vec()));
                Ok(())
            });
        let done = match done {
            Err(error) if !is_enough => Err(error.into()),
            _ => Ok(batches),
        };
        drop(read.reply.send(done));
    }

    /// Writes some of the changed heads. What they say of is durable first: a head that is ahead of its log would leave a
    /// gap behind a crash.
    fn settle_heads(&mut self) -> Result<usize> {
        self.flush()?;
        let mut batch = Batch::new();
        let count = self.shard.heads.settle_some(&mut batch, HEADS_MAX);
        self.shard.engine.write(batch).map_err(|error| {
            let error = Error::from(error);
            self.shard.poison(&error);
            error
        })?;
        Ok(count)
    }

    fn trim(&mut self, before: u64) -> Result<()> {
        if let Some(error) = self.shard.poisoned() {
            return Err(error);
        }
        let trimmed = self
            .log
            .trim(Position(before))
            .map_err(|error| self.failed(error));
        self.publish();
        trimmed
    }

    fn count_sender(&self, app: AppId, user: &str) -> Result<u64> {
        let mut count = 0;
        self.log.replay(self.log.first(), &mut |_, bytes| {
            let (_, records) = record::decode_batch(bytes)?;
            let is_his = |record: &&Record| {
                matches!(record, Record::Message { app: of, message, .. } if *of == app && message.sender == user)
            };
            count += records.iter().filter(is_his).count() as u64;
            Ok(())
        })?;
        Ok(count)
    }

    fn monotonic(&self) -> Duration {
        self.shard.monotonic()
    }

    fn publish(&self) {
        let mut status = self.shard.status.lock();
        status.log_bytes = self.log.bytes_on_disk();
        status.log_end = self.log.end().0;
        status.last_live = self.last_live;
        status.last_seen = self.last_seen;
    }
}

/// The numbers that are written with every change of the tables.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbers {
    pub(crate) applied: u64,
    pub(crate) last_live: u64,
    pub(crate) last_seen: u64,
}

/// What an event changes in the tables, together with the position it stands at.
pub(crate) fn apply_to_tables(shard: &Shard, event: &Event, numbers: Numbers) -> Result<Batch> {
    let mut batch = Batch::new();
    match event {
        Event::App(record) => {
            let key = record.id.to_be_bytes();
            tables::put_row(&mut batch, tables::APPS, key, record)?;
            let last = tables::number(&*shard.engine, tables::LAST_APP)?.max(record.id.into());
            tables::put_number(&mut batch, tables::LAST_APP, last);
        }
        Event::AppDeleted(id) => {
            batch.delete(tables::APPS, id.to_be_bytes());
            batch.put(tables::FORGETTING, id.to_be_bytes(), []);
        }
        Event::Floors(floors) => {
            for (id, floor) in floors {
                if let Some(record) = shard.registry.by_id(AppId(*id)) {
                    let mut record = (*record).clone();
                    record.floor = record.floor.max(*floor);
                    tables::put_row(&mut batch, tables::APPS, id.to_be_bytes(), &record)?;
                }
            }
        }
        Event::AppForgotten(id) => {
            forget_heads(shard, &mut batch, AppId(*id))?;
            batch.put(tables::FORGETTING, id.to_be_bytes(), []);
        }
        Event::Manifest(change) => put_manifest(shard, &mut batch, change, &[], numbers.applied)?,
        Event::Sealed(change, days) => {
            put_manifest(shard, &mut batch, change, days, numbers.applied)?;
        }
        Event::Rows(rows) => batch.append(rows.clone()),
        Event::Alive => {}
    }
    tables::put_number(&mut batch, tables::APPLIED, numbers.applied);
    tables::put_number(&mut batch, tables::LAST_LIVE, numbers.last_live);
    tables::put_number(&mut batch, tables::LAST_SEEN, numbers.last_seen);
    Ok(batch)
}

fn forget_heads(shard: &Shard, batch: &mut Batch, app: AppId) -> Result<()> {
    let mut after: Option<Conversation> = None;
    loop {
        let behind = after.as_ref().map(Conversation::as_str);
        let page = tables::heads_after(&*shard.engine, app, behind, 1_024)?;
        for (conversation, _) in &page {
            batch.delete(tables::HEADS, tables::head_key(app, conversation.as_str()));
        }
        match page.into_iter().last() {
            Some((last, _)) => after = Some(last),
            None => return Ok(()),
        }
    }
}

fn put_manifest(
    shard: &Shard,
    batch: &mut Batch,
    change: &ManifestChange,
    days: &[SegmentDays],
    position: u64,
) -> Result<()> {
    for meta in &change.added {
        tables::put_row(batch, tables::SEGMENTS, meta.generation.to_be_bytes(), meta)?;
    }
    for days in days {
        let key = days.generation.to_be_bytes();
        tables::put_row(batch, tables::DAYS, key, &days.shares)?;
    }
    for generation in &change.removed {
        batch.delete(tables::SEGMENTS, generation.to_be_bytes());
        batch.delete(tables::DAYS, generation.to_be_bytes());
    }
    if let Some(meta) = &change.receipts_added {
        tables::put_row(batch, tables::RECEIPTS, meta.generation.to_be_bytes(), meta)?;
    }
    for generation in &change.receipts_removed {
        batch.delete(tables::RECEIPTS, generation.to_be_bytes());
    }
    tables::put_number(batch, tables::NEXT_GENERATION, change.next_generation);
    if let Some(flushed) = change.flushed {
        let flushed = if change.is_idle { position } else { flushed };
        tables::put_number(batch, tables::FLUSHED, flushed);
        shard.heads.checkpoint(batch);
    }
    Ok(())
}

/// What an event changes in memory, once it is durable.
pub(crate) fn apply_to_memory(shard: &Shard, event: Event) {
    match event {
        Event::App(_) | Event::AppDeleted(_) | Event::Floors(_) => shard.registry.apply(&event),
        Event::Rows(rows) => shard.note_redacted(&rows),
        Event::AppForgotten(id) => {
            shard.heads.forget(AppId(id));
            shard.forget_redacted(AppId(id));
        }
        Event::Manifest(change) | Event::Sealed(change, _) => {
            let ManifestChange {
                added,
                removed,
                receipts_added,
                receipts_removed,
                flushed,
                next_generation,
                ..
            } = change;
            shard.view.raise_generation(next_generation);
            shard.view.install_receipts_removed(&receipts_removed);
            match flushed {
                Some(through) => shard.view.install_flush(tidestore_messages::Flushed {
                    added,
                    days: Vec::new(),
                    receipts: receipts_added,
                    through,
                }),
                None => drop(shard.view.install_change(added, &removed)),
            }
        }
        Event::Alive => {}
    }
}
