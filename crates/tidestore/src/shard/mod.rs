//! One shard: a commit log, the views of it, and the thread that joins them.
//!
//! Every change passes the committer: it is checked against the views and against what is staged before it, framed
//! with its neighbours, written and flushed once, applied to the views, and only then answered.

mod checkpoint;
mod committer;
mod heads;
mod pending;
mod recovery;
mod stage;

use std::collections::HashSet;
use std::sync::Arc;

use tidestore_disk::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tidestore_disk::sync::thread::JoinHandle;
use tidestore_disk::sync::{Mutex, RwLock};
use tidestore_disk::{Clock, Millis};
use tidestore_kv::{Engine, Overlay};
use tidestore_messages::{AppId, MessageView, Redacted, StoreId};
use tokio::sync::oneshot;

use crate::apps::{AppRecord, Registry};
use crate::attachments::{Desk, Desks};
use crate::background::Bell;
use crate::backup::Gate;
use crate::delivery::listeners::Listeners;
use crate::error::{Error, ErrorKind, Result};
use crate::guard::ClockGuard;
use crate::message::{NewMessage, OldMessage, Receipt};
use crate::meters::{self, ShardMeters};
use crate::options::{Durability, Options};
use crate::queue::{Queue, Weigh};
use crate::record::Event;
use crate::threads::wait_for;

pub(crate) use committer::Committer;
pub(crate) use heads::{Gap, Heads};
pub(crate) use recovery::{Parts, log_dir, open_shard, recover, views_dir};
pub(crate) use stage::FUTURE_MAX;

/// What the threads of a shard share.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) number: u16,
    pub(crate) store: StoreId,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) options: Arc<Options>,
    pub(crate) guard: Arc<ClockGuard>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) view: MessageView,
    pub(crate) heads: Heads,
    /// See [`Gap`].
    pub(crate) gap: Gap,
    pub(crate) queue: Queue<Command>,
    /// What is counted for the operator.
    pub(crate) meters: ShardMeters,
    /// Whether the last thing that was to be written found no space.
    pub(crate) is_disk_full: AtomicBool,
    /// Whether something is left to be done that follows changes of this shard, see [`leave`](Self::leave).
    pub(crate) has_leftovers: AtomicBool,
    /// Why the shard takes no more changes.
    poison: Mutex<Option<Error>>,
    /// Held while memtables become segments, one thread at a time.
    pub(crate) flushing: Mutex<()>,
    /// Held while segments are merged or expire, so that a file is never an input twice. Not held by a flush: a long
    /// merge must not make writers wait.
    pub(crate) tidying: Mutex<()>,
    /// Why full memtables cannot be flushed at the moment, such as a full disk.
    pub(crate) flush_trouble: Mutex<Option<Error>>,
    /// Merges that failed because an input is damaged.
    pub(crate) damaged: Mutex<HashSet<u64>>,
    pub(crate) status: Mutex<Status>,
    /// Where requests for attachments wait: of this shard, and of all others.
    pub(crate) desks: Desks,
    /// What is recalled or erased and may still lie in files.
    pub(crate) redacted: Arc<RwLock<Redacted>>,
    /// Whether any message was ever recalled or edited here: if not, pages need not look.
    pub(crate) has_changes: AtomicBool,
    /// See [`applied`](Self::applied).
    applied: AtomicU64,
    /// The largest id that was written and flushed to the device.
    durable: AtomicU64,
    /// Who waits for new messages, on all shards.
    pub(crate) listeners: Arc<Listeners>,
    /// Rung when a memtable waits to be flushed.
    bell: Arc<Bell>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Figures the committer leaves for others to see.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Status {
    pub(crate) log_bytes: u64,
    pub(crate) log_end: u64,
    pub(crate) last_live: u64,
    pub(crate) last_seen: Millis,
    /// When the active memtable got its first message, on the monotonic clock.
    pub(crate) active_since: Option<std::time::Duration>,
}

/// What a committer is asked to do.
#[derive(Debug)]
pub(crate) enum Command {
    /// Append messages.
    Append(Append),
    /// Change rows of the views; shares its flush with all that waits.
    Change(pending::Change),
    /// Change something else; decided by the committer, so that nothing can change in between.
    Decide(Decide),
    /// Set a fresh memtable in place of the active one.
    Freeze(oneshot::Sender<Result<()>>),
    /// Make everything written durable.
    Sync(oneshot::Sender<Result<()>>),
    /// Begin a new log file.
    Roll(oneshot::Sender<Result<()>>),
    /// Remove log files that are kept to be used again.
    DropSpares(oneshot::Sender<Result<()>>),
    /// Writes some of the changed heads to the tables, and answers how many there were.
    SettleHeads(oneshot::Sender<Result<usize>>),
    /// Count records of messages that a user sent.
    CountSender(AppId, String, oneshot::Sender<Result<u64>>),
    /// Make everything written durable, say where the log ends, and stand until a gate opens.
    Pause(Pause),
    /// Read batches of the log.
    ReadLog(ReadLog),
    /// Forget log positions before this one: every view is durable beyond them.
    Trim(u64, oneshot::Sender<Result<()>>),
}

/// Stops a committer, so that all shards can be seen at one moment.
#[derive(Debug)]
pub(crate) struct Pause {
    /// Told the last position of the log when the committer stands.
    pub(crate) reply: oneshot::Sender<Result<u64>>,
    pub(crate) gate: Arc<Gate>,
}

/// Some batches of the log from a position on.
#[derive(Debug)]
pub(crate) struct ReadLog {
    pub(crate) from: u64,
    /// Not beyond this position.
    pub(crate) through: u64,
    /// No more are read once they have so many bytes.
    pub(crate) bytes: usize,
    pub(crate) reply: oneshot::Sender<Result<Vec<LoggedBatch>>>,
}

/// A position of the log, and the batch that stands there.
pub(crate) type LoggedBatch = (u64, Vec<u8>);

/// Messages of one app to append.
#[derive(Debug)]
pub(crate) struct Append {
    pub(crate) app: Arc<AppRecord>,
    pub(crate) messages: Messages,
    /// Changes rows in the same batch, or refuses all of the messages.
    pub(crate) guard: Option<Guard>,
    pub(crate) durability: Durability,
    pub(crate) reply: oneshot::Sender<Vec<Result<Receipt>>>,
}

/// Decides whether messages may be appended, and what changes with them.
pub(crate) struct Guard(Box<GuardFn>);

type GuardFn = dyn FnOnce(&mut Overlay<'_>, &Shard) -> Result<()> + Send;

impl Guard {
    pub(crate) fn new(
        decide: impl FnOnce(&mut Overlay<'_>, &Shard) -> Result<()> + Send + 'static,
    ) -> Self {
        Self(Box::new(decide))
    }

    pub(crate) fn decide(self, rows: &mut Overlay<'_>, shard: &Shard) -> Result<()> {
        (self.0)(rows, shard)
    }
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard").finish_non_exhaustive()
    }
}

/// Live messages get the time of their commit, imported ones keep their own.
#[derive(Debug)]
pub(crate) enum Messages {
    Live(Vec<NewMessage>),
    Imported(Vec<OldMessage>),
}

impl Messages {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Live(list) => list.len(),
            Self::Imported(list) => list.len(),
        }
    }

    /// The same in memory of their own.
    fn detached(self) -> Self {
        match self {
            Self::Live(list) => Self::Live(list.into_iter().map(NewMessage::detached).collect()),
            Self::Imported(list) => Self::Imported(
                list.into_iter()
                    .map(|old| OldMessage {
                        message: old.message.detached(),
                        ..old
                    })
                    .collect(),
            ),
        }
    }
}

/// What a command that is no append takes up, about: at most some hundred names.
const COMMAND_BYTES: usize = 4 << 10;

impl Weigh for Command {
    fn bytes(&self) -> usize {
        let Self::Append(append) = self else {
            return COMMAND_BYTES;
        };
        match &append.messages {
            Messages::Live(list) => list.iter().map(NewMessage::memory).sum(),
            Messages::Imported(list) => list.iter().map(|old| 40 + old.message.memory()).sum(),
        }
    }
}

/// Looks at the shard as it is and says what is to change.
pub(crate) type Decision = Box<dyn FnOnce(&Shard) -> Result<Option<Event>> + Send>;

/// A change that is no message.
pub(crate) struct Decide {
    pub(crate) decision: Decision,
    /// Told how it went, on the committer's thread: must not wait.
    pub(crate) done: Done,
}

/// What is told when a change is durable and applied, or why it is not. Dropped if nobody is left to tell.
pub(crate) type Done = Box<dyn FnOnce(Result<()>) + Send>;

impl std::fmt::Debug for Decide {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decide").finish_non_exhaustive()
    }
}

impl Shard {
    /// Appends messages and waits for their receipts.
    pub(crate) async fn append(
        &self,
        app: Arc<AppRecord>,
        messages: Messages,
        durability: Durability,
    ) -> Result<Vec<Result<Receipt>>> {
        let answer = self.submit(app, messages, durability).await?;
        self.answered(answer).await
    }

    /// Puts messages into the queue; their order is that of the calls.
    pub(crate) async fn submit(
        &self,
        app: Arc<AppRecord>,
        messages: Messages,
        durability: Durability,
    ) -> Result<oneshot::Receiver<Vec<Result<Receipt>>>> {
        let (reply, answer) = oneshot::channel();
        let append = Append {
            app,
            messages: messages.detached(),
            guard: None,
            durability,
            reply,
        };
        self.queue
            .push(Command::Append(append))
            .await
            .map_err(|_| closed())?;
        Ok(answer)
    }

    /// Appends one message if a decision allows it, and changes rows with it; waits until both are durable.
    pub(crate) async fn append_if(
        &self,
        app: Arc<AppRecord>,
        message: NewMessage,
        decide: impl FnOnce(&mut Overlay<'_>, &Self) -> Result<()> + Send + 'static,
    ) -> Result<Receipt> {
        let (reply, answer) = oneshot::channel();
        let append = Append {
            app,
            messages: Messages::Live(vec![message.detached()]),
            guard: Some(Guard::new(decide)),
            durability: Durability::Synced,
            reply,
        };
        let pushed = self.queue.push(Command::Append(append)).await;
        pushed.map_err(|_| closed())?;
        let receipts = self.answered(answer).await?;
        let receipt = receipts.into_iter().next().unwrap_or_else(|| Err(closed()));
        meters::refused(receipt)
    }

    /// Waits for the receipts of submitted messages.
    pub(crate) async fn answered(
        &self,
        answer: oneshot::Receiver<Vec<Result<Receipt>>>,
    ) -> Result<Vec<Result<Receipt>>> {
        answer.await.map_err(|_| self.gone())
    }

    /// Changes rows and waits until that is durable and can be read; an error of the decision leaves them as they are.
    ///
    /// The decision sees every change that was decided before it, so what it finds cannot be overtaken.
    pub(crate) async fn change<T: Send + 'static>(
        &self,
        decide: impl FnOnce(&mut Overlay<'_>, &Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (change, answer) = pending::change(decide);
        self.queue
            .push(Command::Change(change))
            .await
            .map_err(|_| closed())?;
        meters::refused(answer.await.map_err(|_| self.gone())?)
    }

    /// As [`change`](Self::change), from a thread of the store itself: passes waiting callers.
    pub(crate) fn change_own<T: Send + 'static>(
        &self,
        decide: impl FnOnce(&mut Overlay<'_>, &Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (change, answer) = pending::change(decide);
        self.queue
            .push_own(Command::Change(change))
            .map_err(|_| closed())?;
        wait_for(answer).map_err(|_| self.gone())?
    }

    /// Makes a change and waits until it is durable and applied.
    pub(crate) async fn decide(&self, decision: Decision) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        let decide = Command::Decide(Decide {
            decision,
            done: told(reply),
        });
        self.queue.push(decide).await.map_err(|_| closed())?;
        meters::refused(answer.await.map_err(|_| self.gone())?)
    }

    /// As [`decide`](Self::decide), from a thread of the store itself: passes waiting callers.
    pub(crate) fn decide_own(&self, decision: Decision) -> Result<()> {
        self.ask_own(|reply| {
            Command::Decide(Decide {
                decision,
                done: told(reply),
            })
        })
    }

    /// As [`decide_own`](Self::decide_own), without waiting.
    pub(crate) fn decide_later(&self, decision: Decision, done: Done) -> Result<()> {
        let decide = Command::Decide(Decide { decision, done });
        self.queue.push_own(decide).map_err(|_| closed())
    }

    /// Sends one of the store's own commands and waits for the answer.
    pub(crate) fn ask_own<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T>>) -> Command,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.queue.push_own(command(reply)).map_err(|_| closed())?;
        wait_for(answer).map_err(|_| self.gone())?
    }

    /// Writes down the floors that apps whose home this is have at a time. Decided on the committer, from the terms
    /// they have then: an undo that came in between must not find its data below a floor of the terms it took back.
    pub(crate) fn raise_floors(&self, apps: Vec<u32>, now: Millis) -> Result<()> {
        self.decide_own(Box::new(move |shard| {
            let records = apps
                .iter()
                .filter_map(|id| shard.registry.by_id(AppId(*id)));
            let risen = records.filter_map(|record| {
                let floor = record.floor_at(now);
                (floor > record.floor).then_some((record.id, floor))
            });
            let risen: Vec<_> = risen.collect();
            Ok((!risen.is_empty()).then_some(Event::Floors(risen)))
        }))
    }

    /// The desk of this shard's attachments.
    #[expect(clippy::indexing_slicing, reason = "there is a desk for every shard")]
    pub(crate) fn desk(&self) -> &Arc<Desk> {
        &self.desks[usize::from(self.number)]
    }

    /// Waits until all desks have noted which attachments this shard's durable messages refer to. Before that the log
    /// must not be trimmed: it is what the references are made from.
    pub(crate) fn await_references(&self) -> Result<()> {
        for desk in self.desks.iter() {
            desk.barrier(self.number)?;
        }
        Ok(())
    }

    /// A log is trimmed when it is longer than this: what a memtable may hold, and some files more.
    pub(crate) fn log_bytes_max(&self) -> u64 {
        self.options.memtable_bytes as u64 + 8 * self.options.log_file_bytes
    }

    /// Time since an arbitrary start.
    pub(crate) fn monotonic(&self) -> std::time::Duration {
        self.clock.monotonic()
    }

    /// The largest id that was given, to a message or to an arrival, when all before it could be read.
    pub(crate) fn applied(&self) -> u64 {
        self.applied.load(Ordering::Acquire)
    }

    pub(crate) fn set_applied(&self, id: u64) {
        self.applied.store(id, Ordering::Release);
    }

    pub(crate) fn set_durable(&self, id: u64) {
        self.durable.store(id, Ordering::Release);
    }

    /// Waits until everything up to an id is durable. What a cursor stands on must not be lost when it is not: another
    /// message would get the place, and be taken for one that was there.
    pub(crate) async fn settle(&self, id: u64) -> Result<()> {
        if id <= self.durable.load(Ordering::Acquire) {
            return Ok(());
        }
        let (reply, answer) = oneshot::channel();
        let pushed = self.queue.push(Command::Sync(reply)).await;
        pushed.map_err(|_| closed())?;
        answer.await.map_err(|_| self.gone())?
    }

    /// Tells the flusher that a memtable waits.
    pub(crate) fn wake(&self) {
        self.bell.ring();
    }

    /// Says whether full memtables can be flushed, and lets the committer look again.
    pub(crate) fn set_flush_trouble(&self, trouble: Option<Error>) {
        let before = std::mem::replace(&mut *self.flush_trouble.lock(), trouble.clone());
        match (before, trouble) {
            (None, Some(error)) => {
                tracing::warn!(shard = self.number, %error, "flushes fail and are repeated");
            }
            (Some(_), None) => tracing::info!(shard = self.number, "flushes succeed again"),
            _ => {}
        }
        self.queue.nudge();
    }

    /// Stops taking changes for good. The first reason stays.
    pub(crate) fn poison(&self, cause: &Error) {
        let text = format!("shard {} takes no more changes: {cause}", self.number);
        let error = Error::new(ErrorKind::Poisoned, text).with_source(cause.clone());
        let mut poison = self.poison.lock();
        if poison.is_none() {
            tracing::error!(shard = self.number, %cause, "shard is poisoned");
            *poison = Some(error);
        }
        drop(poison);
        // Whoever waits until references are noted would wait for ever.
        self.desk().nudge();
    }

    /// Notes whether there was space for what was to be written, and says when that changes.
    pub(crate) fn note_space(&self, is_full: bool) {
        if is_full != self.is_disk_full.load(Ordering::Relaxed) {
            self.is_disk_full.store(is_full, Ordering::Relaxed);
            if is_full {
                tracing::warn!(shard = self.number, "no disk space is left");
            } else {
                tracing::info!(shard = self.number, "there is disk space again");
            }
        }
    }

    /// The reason why the shard takes no more changes.
    pub(crate) fn poisoned(&self) -> Option<Error> {
        self.poison.lock().clone()
    }

    /// Why an answer will not come.
    fn gone(&self) -> Error {
        if self.poisoned().is_none() && !self.queue.is_closed() {
            // An open queue lets go of an answer only while its committer panics, which `Lifeline` says a moment later.
            self.poison(&panicked());
        }
        self.poisoned().unwrap_or_else(closed)
    }

    pub(crate) fn keep_thread(&self, thread: JoinHandle<()>) {
        *self.thread.lock() = Some(thread);
    }

    /// What the committer's thread holds while it runs: should it panic, nobody may wait for it for ever.
    pub(crate) fn lifeline(self: &Arc<Self>) -> Lifeline {
        Lifeline(Arc::clone(self))
    }

    /// What the clerk's thread holds while it runs.
    pub(crate) fn desk_lifeline(self: &Arc<Self>) -> DeskLifeline {
        DeskLifeline(Arc::clone(self))
    }

    /// Lets the committer finish what waits and ends it.
    pub(crate) fn stop(&self) {
        self.queue.close();
        if let Some(thread) = self.thread.lock().take() {
            // A committer that panicked has poisoned the shard when it went, see `Lifeline`.
            drop(thread.join());
        }
    }
}

/// Poisons a shard whose committer panics, and lets go of everybody who waits for it.
#[derive(Debug)]
pub(crate) struct Lifeline(Arc<Shard>);

impl Drop for Lifeline {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.poison(&panicked());
        }
        self.0.queue.abandon();
    }
}

/// As [`Lifeline`], of the thread that changes attachments.
#[derive(Debug)]
pub(crate) struct DeskLifeline(Arc<Shard>);

impl Drop for DeskLifeline {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.poison(&Error::new(
                ErrorKind::Io,
                "its clerk of attachments panicked; this is a bug",
            ));
        }
        self.0.desk().queue.abandon();
    }
}

/// Tells whoever waits at the other end; one that went away is not interested.
fn told(reply: oneshot::Sender<Result<()>>) -> Done {
    Box::new(move |done| drop(reply.send(done)))
}

fn panicked() -> Error {
    Error::new(ErrorKind::Io, "its committer panicked; this is a bug")
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the store is closed")
}

#[cfg(test)]
mod tests;
