//! The seam: where the log is.

use std::fmt::{self, Debug};

use crate::error::{BoxError, Result};

/// The number of a batch: contiguous from 1. 0 is before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What a replay calls with each batch.
pub type Visitor<'a> = dyn FnMut(Position, &[u8]) -> Result<(), BoxError> + 'a;

/// A sequence of batches that survives.
///
/// One writer owns it. Nothing above may assume that it is a local file: the next implementation is a replicated
/// stream, whose expected sequence is the position.
pub trait Log: Debug + Send {
    /// Appends one batch with one write. It is durable only after [`sync`](Self::sync).
    ///
    /// # Errors
    ///
    /// - [`Full`](crate::ErrorKind::Full), [`TooLarge`](crate::ErrorKind::TooLarge): nothing was appended; go on.
    /// - [`Poisoned`](crate::ErrorKind::Poisoned): reopen; whether the batch is there is known then.
    fn append(&mut self, batch: &[u8]) -> Result<Position>;

    /// Makes every appended batch durable.
    ///
    /// # Errors
    ///
    /// [`Poisoned`](crate::ErrorKind::Poisoned): what was synced before is safe, the rest is known after reopening. The
    /// sync is never tried again: the system may have dropped the bytes and would claim success.
    fn sync(&mut self) -> Result<()>;

    /// The last batch; 0 if there never was one.
    fn end(&self) -> Position;

    /// The oldest batch that can be replayed; one behind [`end`](Self::end) if there is none.
    fn first(&self) -> Position;

    /// Calls the visitor with every batch from `from` on, in order.
    ///
    /// # Errors
    ///
    /// [`Gap`](crate::ErrorKind::Gap) if `from` was trimmed, [`Visitor`](crate::ErrorKind::Visitor) if the visitor
    /// stopped, [`Corruption`](crate::ErrorKind::Corruption) if a batch is damaged.
    fn replay(&self, from: Position, visit: &mut Visitor<'_>) -> Result<()>;

    /// Says that batches before `before` are not needed any more. Whole files are used again or removed.
    ///
    /// # Errors
    ///
    /// What the disk reports; what was not freed is freed by the next call. [`Poisoned`](crate::ErrorKind::Poisoned) if
    /// it is not known whether what was freed stays so after a crash: reopen.
    fn trim(&mut self, before: Position) -> Result<()>;

    /// Begins a new file, so that a [`trim`](Self::trim) can let go of all that was appended before. Does nothing if
    /// nothing was.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append) and [`sync`](Self::sync).
    fn roll(&mut self) -> Result<()>;

    /// Removes the files that are kept to be used again: they still hold what was trimmed.
    ///
    /// # Errors
    ///
    /// What the disk reports; what was not removed is removed by the next call.
    fn drop_spares(&mut self) -> Result<()>;

    /// Bytes of disk that the log takes up.
    fn bytes_on_disk(&self) -> u64;
}
