//! Locks, atomics and threads, behind one door, so that a scheduler can be put in their place.
//!
//! Ordinarily these are `parking_lot`'s and the standard library's, by the same names and at no cost. Built with
//! `RUSTFLAGS="--cfg shuttle"` they are those of [shuttle](https://docs.rs/shuttle): every lock, every atomic and every
//! operation of a [`SimDisk`](crate::SimDisk) becomes a point where another thread may go on, a test runs under
//! thousands of interleavings, and one that fails is printed and can be run again. See `tests/concurrency/README.md`.
//!
//! What the scheduled build does not know: time (a wait that has a limit may end at any moment, with or without a reason)
//! and weak memory (atomics are sequentially consistent).

#[cfg(shuttle)]
mod explore;
#[cfg(shuttle)]
mod scheduled;

#[cfg(shuttle)]
pub use explore::explore;

#[cfg(not(shuttle))]
pub use parking_lot::{Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
#[cfg(shuttle)]
pub use scheduled::Condvar;
#[cfg(shuttle)]
pub use shuttle_parking_lot::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Atomics.
pub mod atomic {
    #[cfg(shuttle)]
    pub use shuttle::sync::atomic::*;
    #[cfg(not(shuttle))]
    pub use std::sync::atomic::*;
}

/// Threads.
pub mod thread {
    #[cfg(shuttle)]
    use shuttle::thread::Builder;
    #[cfg(shuttle)]
    pub use shuttle::thread::JoinHandle;
    #[cfg(not(shuttle))]
    use std::thread::Builder;
    #[cfg(not(shuttle))]
    pub use std::thread::JoinHandle;

    /// Starts a thread with a name.
    ///
    /// # Errors
    ///
    /// What the machine says if it has no room for one more.
    pub fn spawn<T: Send + 'static>(
        name: String,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> std::io::Result<JoinHandle<T>> {
        Builder::new().name(name).spawn(work)
    }
}
