//! What a caller may have open only so many times at once, because each costs memory for as long as he likes.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Error, ErrorKind, Result};

/// A bounded number of places. They are not waited for: who never reads what he has opened would let all others wait.
#[derive(Debug)]
pub(crate) struct Places {
    free: Arc<Semaphore>,
    max: usize,
    what: &'static str,
}

/// A place, free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
}

impl Places {
    pub(crate) fn new(max: usize, what: &'static str) -> Self {
        Self {
            free: Arc::new(Semaphore::new(max)),
            max,
            what,
        }
    }

    /// Takes a place, or says that all are taken.
    pub(crate) fn take(&self) -> Result<Place> {
        if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
            return Ok(Place { _permit: permit });
        }
        let (max, what) = (self.max, self.what);
        let text = format!("{max} {what} are open, as many as may be; try again later");
        Err(Error::new(ErrorKind::Busy, text))
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> u64 {
        self.max.saturating_sub(self.free.available_permits()) as u64
    }
}
