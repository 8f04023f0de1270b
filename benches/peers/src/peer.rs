//! What an engine has to do here, and the waiting together that all of them get.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::chat::Message;

/// What a page held.
#[derive(Clone, Copy, Debug, Default)]
pub struct Page {
    /// Messages.
    pub count: usize,
    /// Bytes of their bodies: they were really read.
    pub bytes: usize,
    /// Where the next older page ends; `None` if there is none.
    pub next: Option<u64>,
}

/// An engine with the layout that a chat server would give it: messages under conversation and id, and under each user what
/// waits for him.
pub trait Peer: Send + Sync {
    /// Stores messages and, for each, an entry in its receiver's inbox. Durable on return if `sync` is set.
    fn write(&self, batch: &[Message], sync: bool);

    /// Makes everything durable that was written.
    fn sync(&self);

    /// The newest messages of a conversation below `before`, newest first.
    fn page(&self, conversation: u32, before: Option<u64>, limit: usize) -> Page;

    /// Takes all messages older than an id, and gives their space back.
    fn expire(&self, conversations: u32, before: u64);

    /// Stores messages of one group for each of its members, durable on return; an entry a member, as is usual.
    fn fan_out(&self, batch: &[Message], members: u32);

    /// Reads all that waits for a member. Returns how much it was, and the id of the last.
    fn drain(&self, member: u32) -> (usize, u64);

    /// Notes durably for many members up to where each has his messages.
    fn acknowledge(&self, cursors: &[(u32, u64)]);

    /// Whether writers that wait are put together by the engine itself; for the others [`Group`] does it.
    fn groups_itself(&self) -> bool {
        false
    }

    /// Writes out what is in memory and lets merging come to its end.
    fn settle(&self);

    /// Stores messages one by one for so many writers, each of whom waits until his message is durable before he sends the next.
    /// Returns how long each append took, in microseconds.
    fn append_each(self: Arc<Self>, writers: usize, messages: Vec<Message>) -> Vec<u32>;
}

/// Most messages that are made durable together: more than there are writers here.
const TOGETHER: usize = 1_024;

/// Gives an engine what a server with waiting clients would put before it: one thread that takes all messages that wait, writes
/// them as one batch with one flush, and answers. Faster for each of the engines than its writers by themselves.
pub struct Group {
    /// `None` when it ends.
    queue: Option<mpsc::UnboundedSender<Waiting>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Group {
    /// The engine that it writes to is let go before this returns.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

struct Waiting {
    message: Message,
    done: oneshot::Sender<()>,
}

impl Group {
    /// Starts the thread.
    pub fn start(write: impl Fn(&[Message]) + Send + 'static) -> Self {
        let (queue, mut waiting) = mpsc::unbounded_channel::<Waiting>();
        let thread = std::thread::spawn(move || {
            let (mut batch, mut answers) = (Vec::new(), Vec::new());
            while let Some(first) = waiting.blocking_recv() {
                let mut next = Some(first);
                while let Some(one) = next {
                    batch.push(one.message);
                    answers.push(one.done);
                    next = if batch.len() < TOGETHER {
                        waiting.try_recv().ok()
                    } else {
                        None
                    };
                }
                write(&batch);
                batch.clear();
                for done in answers.drain(..) {
                    assert!(done.send(()).is_ok(), "a writer went away");
                }
            }
        });
        Self {
            queue: Some(queue),
            thread: Some(thread),
        }
    }

    fn send(&self, message: Message) -> oneshot::Receiver<()> {
        let (done, waiting) = oneshot::channel();
        let queue = self.queue.as_ref().unwrap();
        assert!(
            queue.send(Waiting { message, done }).is_ok(),
            "the committer is gone"
        );
        waiting
    }

    /// Waits until a message is written, on a thread that may wait.
    pub fn append(&self, message: Message) {
        self.send(message).blocking_recv().unwrap();
    }
}

/// [`Peer::append_each`] for engines that write batches.
pub fn append_in_groups(
    write: impl Fn(&[Message]) + Send + 'static,
    writers: usize,
    messages: Vec<Message>,
) -> Vec<u32> {
    let group = Arc::new(Group::start(write));
    each(writers, messages, move |message| {
        let group = Arc::clone(&group);
        async move { group.send(message).await.unwrap() }
    })
}

/// Writers that send one after the other, each in a task of its own.
pub fn each<F: Future<Output = ()> + Send>(
    writers: usize,
    messages: Vec<Message>,
    append: impl Fn(Message) -> F + Clone + Send + Sync + 'static,
) -> Vec<u32> {
    let runtime = crate::runtime();
    let mut shares: Vec<Vec<Message>> = (0..writers).map(|_| Vec::new()).collect();
    for (index, message) in messages.into_iter().enumerate() {
        shares[index % writers].push(message);
    }
    runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for share in shares {
            let append = append.clone();
            tasks.spawn(async move {
                let mut times = Vec::with_capacity(share.len());
                for message in share {
                    let began = std::time::Instant::now();
                    append(message).await;
                    times.push(u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX));
                }
                times
            });
        }
        tasks.join_all().await.concat()
    })
}
