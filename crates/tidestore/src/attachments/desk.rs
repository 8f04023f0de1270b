//! Where requests for attachments of a shard wait, and which attachments must not be removed just now.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tidestore_disk::sync::atomic::{AtomicUsize, Ordering};

use tidestore_blobs::{Attachment, Collected, Prepared, Reference, id};
use tidestore_disk::Millis;
use tidestore_disk::sync::Mutex;
use tidestore_disk::sync::thread::JoinHandle;
use tidestore_messages::{AppId, MessageId};
use tidestore_plan::AttachmentId;
use tokio::sync::{Notify, oneshot};

use crate::error::{Error, ErrorKind, Result};
use crate::queue::{Queue, Weigh};
use crate::threads::wait_for;

/// A message that refers to an attachment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mention {
    pub(crate) app: AppId,
    pub(crate) attachment: AttachmentId,
    pub(crate) message: MessageId,
}

/// What a desk is asked to do.
#[derive(Debug)]
pub(crate) enum Request {
    /// Make a content that has come in an attachment.
    Put(Box<Prepared>, oneshot::Sender<Result<Attachment>>),
    /// Change what refers to an attachment, or delete it.
    Edit(Edit, oneshot::Sender<Result<()>>),
    /// Note the references of durable messages.
    Note(Note),
    /// Remove what is over at a time.
    Collect(Millis, oneshot::Sender<Result<Collected>>),
    /// Remove all rows of an app that was deleted.
    Forget(
        AppId,
        Option<std::path::PathBuf>,
        oneshot::Sender<Result<()>>,
    ),
    /// Compare rows and counters with each other, while nothing changes.
    Recount(oneshot::Sender<Result<tidestore_blobs::Recount>>),
    /// Answer when the references that a shard handed over before are durable, or why they are not.
    Barrier(u16, oneshot::Sender<Result<()>>),
    /// Answer when everything asked before is done, files included.
    Pass(oneshot::Sender<Result<()>>),
}

/// References of durable messages of one shard.
#[derive(Clone, Debug)]
pub(crate) struct Note {
    /// The shard of the messages.
    pub(crate) source: u16,
    /// All of its messages that refer to attachments of this desk, up to this position of its log, were handed over.
    pub(crate) position: u64,
    pub(crate) mentions: Vec<Mention>,
    /// Counted as long as any copy of it waits to be noted.
    pub(crate) _counted: Arc<Counted>,
}

/// References that wait to be noted.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    waiting: AtomicUsize,
    shrunk: Notify,
}

/// A part of a backlog.
#[derive(Debug)]
pub(crate) struct Counted {
    backlog: Arc<Backlog>,
    count: usize,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.backlog
            .waiting
            .fetch_sub(self.count, Ordering::Relaxed);
        self.backlog.shrunk.notify_waiters();
    }
}

/// So many references may wait at a desk before messages with further ones do: about 40 bytes each.
const BACKLOG_MAX: usize = 262_144;

/// What a request takes up besides a content, about.
const REQUEST_BYTES: usize = 1 << 10;

impl Weigh for Request {
    fn bytes(&self) -> usize {
        match self {
            Self::Put(prepared, _) => REQUEST_BYTES + prepared.memory(),
            _ => REQUEST_BYTES,
        }
    }
}

impl Note {
    /// Whether it refers to an attachment.
    pub(crate) fn names(&self, app: AppId, attachment: AttachmentId) -> bool {
        let mut mentions = self.mentions.iter();
        mentions.any(|mention| (mention.app, mention.attachment) == (app, attachment))
    }
}

/// A change of one attachment.
#[derive(Clone, Debug)]
pub(crate) struct Edit {
    pub(crate) app: AppId,
    pub(crate) attachment: AttachmentId,
    pub(crate) what: EditKind,
}

#[derive(Clone, Debug)]
pub(crate) enum EditKind {
    Refer(Reference),
    Unrefer(Reference),
    Delete,
}

/// The desk of one shard.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) queue: Queue<Request>,
    holds: Mutex<HashMap<(AppId, AttachmentId), u32>>,
    /// Shards that have handed over references since their last barrier.
    unnoted: Mutex<HashSet<u16>>,
    backlog: Arc<Backlog>,
    /// How many copy the volumes: nothing may be taken out of them meanwhile.
    still: AtomicUsize,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The desks of all shards, by number.
pub(crate) type Desks = Arc<[Arc<Desk>]>;

impl Desk {
    pub(crate) fn new(depth: usize, bytes: usize) -> Self {
        Self {
            queue: Queue::new(depth, bytes),
            backlog: Arc::default(),
            holds: Mutex::default(),
            unnoted: Mutex::default(),
            still: AtomicUsize::default(),
            thread: Mutex::default(),
        }
    }

    /// Asks for a caller, who waits for his turn.
    pub(crate) async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T>>) -> Request,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.queue
            .push(request(reply))
            .await
            .map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    /// Asks from a thread of the store itself.
    pub(crate) fn ask_own<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T>>) -> Request,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.queue.push_own(request(reply)).map_err(|_| closed())?;
        wait_for(answer).map_err(|_| closed())?
    }

    /// Hands over references, without waiting. A closed desk needs none: the log still holds them.
    pub(crate) fn note(&self, source: u16, position: u64, mentions: Vec<Mention>) {
        let (backlog, count) = (Arc::clone(&self.backlog), mentions.len());
        backlog.waiting.fetch_add(count, Ordering::Relaxed);
        drop(self.queue.push_own(Request::Note(Note {
            source,
            position,
            mentions,
            _counted: Arc::new(Counted { backlog, count }),
        })));
        // Behind the request: a barrier that comes between the two must not take this for noted.
        self.unnoted.lock().insert(source);
    }

    /// How many references wait to be noted.
    pub(crate) fn backlog(&self) -> u64 {
        self.backlog.waiting.load(Ordering::Relaxed) as u64
    }

    /// Waits until there is room for more references, or for a reason why there will be none.
    pub(crate) async fn room(&self, refusal: impl Fn() -> Option<Error>) -> Result<()> {
        loop {
            // Asked for before the look, so that nothing in between is missed.
            let shrunk = self.backlog.shrunk.notified();
            if self.backlog.waiting.load(Ordering::Relaxed) < BACKLOG_MAX {
                return Ok(());
            }
            if let Some(error) = refusal() {
                return Err(error);
            }
            shrunk.await;
        }
    }

    /// Lets those who wait for room look again.
    pub(crate) fn nudge(&self) {
        self.backlog.shrunk.notify_waiters();
    }

    /// Waits until the references that a shard has handed over are durable. Costs nothing if it has handed over none.
    pub(crate) fn barrier(&self, source: u16) -> Result<()> {
        if !self.unnoted.lock().remove(&source) {
            return Ok(());
        }
        let done = self.ask_own(|reply| Request::Barrier(source, reply));
        if done.is_err() {
            self.unnoted.lock().insert(source);
        }
        done
    }

    /// Waits until what was handed over before is noted, if there is any.
    pub(crate) async fn settled(&self) -> Result<()> {
        let source = self.unnoted.lock().iter().next().copied();
        match source {
            Some(source) => self.ask(|reply| Request::Barrier(source, reply)).await,
            None => Ok(()),
        }
    }

    /// Keeps an attachment from being removed while a message that refers to it is being appended.
    pub(crate) fn hold(self: &Arc<Self>, app: AppId, attachment: AttachmentId) -> Hold {
        *self.holds.lock().entry((app, attachment)).or_default() += 1;
        Hold {
            desk: Arc::clone(self),
            what: (app, attachment),
        }
    }

    pub(crate) fn is_held(&self, app: AppId, attachment: AttachmentId) -> bool {
        self.holds.lock().contains_key(&(app, attachment))
    }

    /// Lets nothing be taken out of the volumes, and none be removed, until the answer is dropped. What is asked meanwhile
    /// is decided and logged; files follow later.
    pub(crate) fn keep_still(self: &Arc<Self>) -> Result<Still> {
        self.still.fetch_add(1, Ordering::AcqRel);
        let still = Still(Arc::clone(self));
        self.ask_own(Request::Pass)?;
        Ok(still)
    }

    pub(crate) fn is_still(&self) -> bool {
        self.still.load(Ordering::Acquire) > 0
    }

    pub(crate) fn keep_thread(&self, thread: JoinHandle<()>) {
        *self.thread.lock() = Some(thread);
    }

    /// Lets the clerk finish what waits and ends it.
    pub(crate) fn stop(&self) {
        self.queue.close();
        if let Some(thread) = self.thread.lock().take() {
            // A clerk that panicked has poisoned its shard when it went.
            drop(thread.join());
        }
    }
}

/// The desk of an attachment, as its id says; none for an id that names no shard of this store.
pub(crate) fn desk_of(desks: &Desks, attachment: AttachmentId) -> Option<&Arc<Desk>> {
    desks.get(usize::from(id::shard(attachment)))
}

/// An attachment that is not removed before this is dropped.
#[derive(Debug)]
pub(crate) struct Hold {
    desk: Arc<Desk>,
    what: (AppId, AttachmentId),
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut holds = self.desk.holds.lock();
        if let Some(count) = holds.get_mut(&self.what) {
            *count -= 1;
            if *count == 0 {
                holds.remove(&self.what);
            }
        }
    }
}

/// Volumes that stay as they are, but for what is added behind, until this is dropped.
#[derive(Debug)]
pub(crate) struct Still(Arc<Desk>);

impl Drop for Still {
    fn drop(&mut self) {
        self.0.still.fetch_sub(1, Ordering::AcqRel);
        // The clerk may have put something off.
        self.0.queue.nudge();
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the store is closed")
}
