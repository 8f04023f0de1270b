//! The queue in front of a committer: bounded for callers, with a second lane for the store's own work.
//!
//! Callers wait for a permit before they enter, so a queue never grows beyond its depth. The store's own commands
//! (install a flush, trim the log) pass by, because the committer may have to wait for exactly them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tidestore_disk::sync::{Condvar, Mutex};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A bounded queue with a fast lane.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
    permits: Arc<Semaphore>,
}

#[derive(Debug)]
struct State<T> {
    own: VecDeque<T>,
    callers: VecDeque<(T, OwnedSemaphorePermit)>,
    closed: bool,
    nudged: bool,
}

/// What the committer took from the queue.
#[derive(Debug)]
pub(crate) struct Drained<T> {
    /// Commands in the order in which they are to be processed.
    pub(crate) commands: Vec<T>,
    /// Held until the commands are answered.
    pub(crate) permits: Vec<OwnedSemaphorePermit>,
}

impl<T> Queue<T> {
    pub(crate) fn new(depth: usize) -> Self {
        let state = State {
            own: VecDeque::new(),
            callers: VecDeque::new(),
            closed: false,
            nudged: false,
        };
        Self {
            state: Mutex::new(state),
            filled: Condvar::new(),
            permits: Arc::new(Semaphore::new(depth)),
        }
    }

    /// Waits for a place and enters; gives the command back once the queue is closed.
    pub(crate) async fn push(&self, command: T) -> Result<(), T> {
        let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else {
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
        self.permits.close();
    }

    /// Whether nobody is let in any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// Lets nobody in any more; what waits is still processed.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.permits.close();
        self.filled.notify_all();
    }
}

#[cfg(all(test, shuttle))]
mod schedules;

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> Queue<u8> {
        let queue = Queue::new(4);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(queue.push(1)).unwrap();
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
}
