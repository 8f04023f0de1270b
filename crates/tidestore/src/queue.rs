//! The queue in front of a committer: bounded for callers, with a second lane for the store's own work.
//!
//! Callers wait for a permit before they enter, so a queue never grows beyond its depth, nor beyond its bytes: a few calls
//! with very much in each are held back as well as very many with little. The store's own commands (install a flush, trim
//! the log) pass by, because the committer may have to wait for exactly them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tidestore_disk::sync::atomic::{AtomicU64, Ordering};

use tidestore_disk::sync::{Condvar, Mutex};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Something that takes up memory while it waits.
pub(crate) trait Weigh {
    /// How much, in bytes, about.
    fn bytes(&self) -> usize;
}

/// A bounded queue with a fast lane.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
    room: Room,
}

#[derive(Debug)]
struct State<T> {
    own: VecDeque<T>,
    callers: VecDeque<(T, Permit)>,
    closed: bool,
    nudged: bool,
}

/// The room for callers.
#[derive(Debug)]
struct Room {
    places: Arc<Semaphore>,
    kib: Arc<Semaphore>,
    depth: usize,
    kib_max: u32,
    /// Callers that had to wait, ever.
    held_back: AtomicU64,
    waiting: AtomicU64,
}

/// A caller's room, free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    _place: OwnedSemaphorePermit,
    _kib: OwnedSemaphorePermit,
}

impl Permit {
    fn of(place: OwnedSemaphorePermit, kib: OwnedSemaphorePermit) -> Self {
        Self {
            _place: place,
            _kib: kib,
        }
    }
}

/// How full a queue is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStatus {
    /// Calls that have entered and are not answered yet.
    pub depth: u64,
    /// Bytes of them, in whole KiB.
    pub bytes: u64,
    /// Commands of the store itself that wait.
    pub own: u64,
    /// Callers that wait for room at this moment.
    pub waiting: u64,
    /// Callers that had to wait for room since the store was opened.
    pub held_back: u64,
}

/// What the committer took from the queue.
#[derive(Debug)]
pub(crate) struct Drained<T> {
    /// Commands in the order in which they are to be processed.
    pub(crate) commands: Vec<T>,
    /// Held until the commands are answered.
    pub(crate) permits: Vec<Permit>,
}

impl Room {
    fn new(depth: usize, bytes: usize) -> Self {
        let kib_max = u32::try_from(bytes >> 10).unwrap_or(u32::MAX).max(1);
        Self {
            places: Arc::new(Semaphore::new(depth)),
            kib: Arc::new(Semaphore::new(kib_max as usize)),
            depth,
            kib_max,
            held_back: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
        }
    }

    /// Waits for a place and for so many bytes; `None` once the queue is closed. What is larger than all the room there
    /// is waits until it can have all of it.
    async fn take(&self, bytes: usize) -> Option<Permit> {
        let kib = u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX);
        let kib = kib.clamp(1, self.kib_max);
        let place = Arc::clone(&self.places).try_acquire_owned();
        let weight = Arc::clone(&self.kib).try_acquire_many_owned(kib);
        if let (Ok(place), Ok(weight)) = (place, weight) {
            return Some(Permit::of(place, weight));
        }
        if self.places.is_closed() {
            return None;
        }
        self.held_back.fetch_add(1, Ordering::Relaxed);
        let _waits = Waits::begin(&self.waiting);
        // Always in this order, so that nobody has the one while somebody with the other waits for it.
        let place = Arc::clone(&self.places).acquire_owned().await.ok()?;
        let weight = Arc::clone(&self.kib).acquire_many_owned(kib).await.ok()?;
        Some(Permit::of(place, weight))
    }

    fn close(&self) {
        self.places.close();
        self.kib.close();
    }
}

/// Counts a caller as waiting for as long as it does, also if it goes away.
struct Waits<'a>(&'a AtomicU64);

impl<'a> Waits<'a> {
    fn begin(waiting: &'a AtomicU64) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<T> Queue<T> {
    /// A queue for so many calls with so many bytes.
    pub(crate) fn new(depth: usize, bytes: usize) -> Self {
        let state = State {
            own: VecDeque::new(),
            callers: VecDeque::new(),
            closed: false,
            nudged: false,
        };
        Self {
            state: Mutex::new(state),
            filled: Condvar::new(),
            room: Room::new(depth, bytes),
        }
    }

    /// How full it is.
    pub(crate) fn status(&self) -> QueueStatus {
        let room = &self.room;
        let free_kib = room.kib.available_permits() as u64;
        QueueStatus {
            depth: room.depth.saturating_sub(room.places.available_permits()) as u64,
            bytes: u64::from(room.kib_max).saturating_sub(free_kib) << 10,
            own: self.state.lock().own.len() as u64,
            waiting: room.waiting.load(Ordering::Relaxed),
            held_back: room.held_back.load(Ordering::Relaxed),
        }
    }

    /// Waits for room and enters; gives the command back once the queue is closed.
    pub(crate) async fn push(&self, command: T) -> Result<(), T>
    where
        T: Weigh,
    {
        let Some(permit) = self.room.take(command.bytes()).await else {
            return Err(command);
        };
        let mut state = self.state.lock();
        if state.closed {
            return Err(command);
        }
        state.callers.push_back((command, permit));
        self.filled.notify_one();
        Ok(())
    }

    /// Enters the fast lane without waiting; gives the command back once the queue is closed.
    pub(crate) fn push_own(&self, command: T) -> Result<(), T> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(command);
        }
        state.own.push_back(command);
        self.filled.notify_one();
        Ok(())
    }

    /// Waits for commands and takes all that wait, at most `most`. Callers' commands stay where they are while
    /// `own_only`. Empty after `patience`; `None` once the queue is closed and empty.
    pub(crate) fn drain(
        &self,
        most: usize,
        own_only: bool,
        patience: Option<Duration>,
    ) -> Option<Drained<T>> {
        let mut state = self.state.lock();
        // Whoever closes has stopped the flushes that callers would wait for.
        while state.own.is_empty() && (own_only && !state.closed || state.callers.is_empty()) {
            if state.closed {
                return None;
            }
            if std::mem::take(&mut state.nudged) {
                break;
            }
            if let Some(patience) = patience {
                if self.filled.wait_for(&mut state, patience).timed_out() {
                    break;
                }
            } else {
                self.filled.wait(&mut state);
            }
        }
        let mut drained = Drained {
            commands: state.own.drain(..).collect(),
            permits: Vec::new(),
        };
        let callers = if own_only && !state.closed {
            0
        } else {
            state.callers.len().min(most)
        };
        for (command, permit) in state.callers.drain(..callers) {
            drained.commands.push(command);
            drained.permits.push(permit);
        }
        Some(drained)
    }

    /// Lets the committer look again at what it waits for.
    pub(crate) fn nudge(&self) {
        self.state.lock().nudged = true;
        self.filled.notify_all();
    }

    /// Lets nobody in any more and forgets what waits: nobody is left to process it. Whoever waits for an answer hears that
    /// there will be none.
    pub(crate) fn abandon(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.own.clear();
        state.callers.clear();
        self.room.close();
    }

    /// Whether nobody is let in any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// Lets nobody in any more; what waits is still processed.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.room.close();
        self.filled.notify_all();
    }
}

#[cfg(all(test, shuttle))]
mod schedules;

#[cfg(test)]
mod tests {
    use super::*;

    impl Weigh for u8 {
        /// As many KiB as its value says.
        fn bytes(&self) -> usize {
            usize::from(*self) << 10
        }
    }

    fn wait<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(future)
    }

    fn queue() -> Queue<u8> {
        let queue = Queue::new(4, 64 << 10);
        wait(queue.push(1)).unwrap();
        queue.push_own(2).unwrap();
        queue
    }

    #[test]
    fn the_stores_own_commands_pass_waiting_callers() {
        let queue = queue();
        assert_eq!(queue.drain(9, true, None).unwrap().commands, [2]);
        let patience = Some(Duration::ZERO);
        assert!(queue.drain(9, true, patience).unwrap().commands.is_empty());
        assert_eq!(queue.drain(9, false, None).unwrap().commands, [1]);
    }

    /// Closing while callers were held back once waited for ever: nobody was left to flush what they waited for.
    #[test]
    fn a_closed_queue_hands_out_callers_that_were_held_back_and_ends() {
        let queue = queue();
        queue.close();
        assert_eq!(queue.drain(9, true, None).unwrap().commands, [2, 1]);
        assert!(queue.drain(9, true, None).is_none());
    }

    /// Whether a push enters at once; it gives up if not.
    fn enters(queue: &Queue<u8>, command: u8) -> bool {
        let mut push = std::pin::pin!(queue.push(command));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        push.as_mut().poll(&mut context).is_ready()
    }

    /// A queue was bounded in calls only: a thousand of them with three megabytes each were gigabytes.
    #[test]
    fn callers_are_held_back_by_bytes_as_well_as_by_number() {
        let queue = Queue::new(4, 64 << 10);
        assert!(enters(&queue, 40));
        assert!(!enters(&queue, 25));
        assert!(enters(&queue, 24));
        assert_eq!((queue.status().depth, queue.status().bytes), (2, 64 << 10));
        drop(queue.drain(9, false, None));
        assert_eq!(queue.status().bytes, 0);
        // Larger than all the room there is: alone.
        assert!(enters(&queue, 200));
        assert!(!enters(&queue, 1));
        drop(queue.drain(9, false, None));
        (0..4).for_each(|_| assert!(enters(&queue, 1)));
        assert!(!enters(&queue, 1));
        let status = queue.status();
        assert_eq!((status.depth, status.waiting, status.held_back), (4, 0, 3));
    }

    /// Whoever needs much must not be passed by everybody who needs little for ever.
    #[test]
    fn a_large_call_that_waits_gets_its_turn() {
        let queue = Queue::new(9, 64 << 10);
        assert!(enters(&queue, 30));
        let mut large = std::pin::pin!(queue.push(60));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(large.as_mut().poll(&mut context).is_pending());
        assert!(!enters(&queue, 10), "it would pass the one that waits");
        assert_eq!(queue.status().waiting, 1);
        drop(queue.drain(9, false, None));
        assert!(large.as_mut().poll(&mut context).is_ready());
    }

    #[test]
    fn a_closed_queue_gives_the_command_back() {
        let queue = queue();
        queue.close();
        assert_eq!(wait(queue.push(3)), Err(3));
    }
}
