//! Where the store blocks: on threads that may, and on answers of its own threads.
//!
//! Futures of callers run wherever they like; what touches the disk goes to a thread of tokio's that may block. In the
//! scheduled build (see [`tidestore_disk::sync`]) there is no tokio: each such piece of work is a task of the scheduler.

use tidestore_disk::sync::thread::{self, JoinHandle};
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::RecvError;

use crate::error::{Error, ErrorKind, Result};

#[cfg(shuttle)]
pub(crate) use scheduled::{Work, spawn_blocking};
#[cfg(not(shuttle))]
pub(crate) use tokio::task::{JoinHandle as Work, spawn_blocking};

/// Runs work that touches the disk where it may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => {
            Err(Error::new(ErrorKind::Closed, "the work was cut short").with_source(error))
        }
    }
}

/// Starts one of the store's own threads.
pub(crate) fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    thread::spawn(name, work).map_err(|error| {
        Error::new(ErrorKind::Io, "a thread of the store cannot be started").with_source(error)
    })
}

/// Waits for an answer, on a thread of the store.
pub(crate) fn wait_for<T>(answer: oneshot::Receiver<T>) -> std::result::Result<T, RecvError> {
    #[cfg(shuttle)]
    return shuttle::future::block_on(answer);
    #[cfg(not(shuttle))]
    answer.blocking_recv()
}

#[cfg(shuttle)]
mod scheduled {
    pub(crate) use shuttle::future::JoinHandle as Work;

    pub(crate) fn spawn_blocking<T: Send + 'static>(
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Work<T> {
        shuttle::future::spawn(async { work() })
    }
}
