//! What shuttle's `parking_lot` lacks.

use std::time::Duration;

use super::MutexGuard;

/// A condition variable with the face of `parking_lot`'s, for the scheduled build.
#[derive(Debug, Default)]
pub struct Condvar {
    /// Held between letting go of the caller's lock and beginning to wait, and while notifying: so a notification that
    /// comes in between is not lost, and one that really comes too early is.
    entry: shuttle::sync::Mutex<()>,
    inner: shuttle::sync::Condvar,
}

/// How a wait with a limit ended.
#[derive(Clone, Copy, Debug)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// Whether the time was over.
    pub fn timed_out(&self) -> bool {
        self.0
    }
}

impl Condvar {
    /// Makes one that nobody waits for.
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits for a notification.
    pub fn wait<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>) {
        let entry = self.entry();
        MutexGuard::unlocked(guard, || {
            drop(self.inner.wait(entry));
        });
    }

    /// Waits for a notification or for any time at all: there is no clock here, so the time may be over at once.
    pub fn wait_for<T: ?Sized>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        _limit: Duration,
    ) -> WaitTimeoutResult {
        MutexGuard::unlocked(guard, shuttle::thread::yield_now);
        WaitTimeoutResult(shuttle::rand::Rng::r#gen(&mut shuttle::rand::thread_rng()))
    }

    /// Wakes one who waits.
    pub fn notify_one(&self) {
        let _entry = self.entry();
        self.inner.notify_one();
    }

    /// Wakes all who wait.
    pub fn notify_all(&self) {
        let _entry = self.entry();
        self.inner.notify_all();
    }

    fn entry(&self) -> shuttle::sync::MutexGuard<'_, ()> {
        self.entry
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
