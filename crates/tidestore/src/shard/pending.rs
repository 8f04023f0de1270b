//! Who waits for the batch in the making, and the rows it will change.

use tidestore_kv::{Changes, Engine, Overlay};
use tokio::sync::oneshot;

use crate::error::{Error, ErrorKind, Result};
use crate::shard::Shard;
use crate::shard::stage::Outcome;

/// A change of rows: looks at them as they will be once all before it is done, changes them or finds that it may not, and
/// says how to tell the caller. Given an error instead of rows it only says how to tell that.
pub(crate) struct Change(Box<Work>);

type Work = dyn FnOnce(Result<&mut Overlay<'_>>, &Shard) -> Tell + Send;

/// Tells a caller how the batch of his change went.
pub(crate) type Tell = Box<dyn FnOnce(Result<()>) + Send>;

/// One change may put and delete rows of so many bytes, so that a record holds it with room to spare.
pub(crate) const CHANGE_BYTES_MAX: usize = 16 << 20;

/// Makes a change out of a decision, and what its caller waits for.
pub(crate) fn change<T: Send + 'static>(
    decide: impl FnOnce(&mut Overlay<'_>, &Shard) -> Result<T> + Send + 'static,
) -> (Change, oneshot::Receiver<Result<T>>) {
    let (reply, answer) = oneshot::channel();
    let change = Change(Box::new(move |rows, shard| {
        let decided = rows.and_then(|rows| rows.attempt(|rows| bounded(rows, shard, decide)));
        Box::new(move |written| {
            // What was decided may rest on rows of the same batch: if that failed, so did this.
            drop(reply.send(written.and(decided)));
        })
    }));
    (change, answer)
}

impl Change {
    /// Carries it out on rows, or refuses it.
    pub(crate) fn carry_out(self, rows: Result<&mut Overlay<'_>>, shard: &Shard) -> Tell {
        (self.0)(rows, shard)
    }
}

impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Change").finish_non_exhaustive()
    }
}

fn bounded<T>(
    rows: &mut Overlay<'_>,
    shard: &Shard,
    decide: impl FnOnce(&mut Overlay<'_>, &Shard) -> Result<T>,
) -> Result<T> {
    let before = rows.bytes();
    let decided = decide(rows, shard)?;
    let bytes = rows.bytes() - before;
    if bytes > CHANGE_BYTES_MAX {
        let text = format!(
            "the change has {bytes} bytes of rows; one call may have {CHANGE_BYTES_MAX}: do it in parts"
        );
        return Err(Error::new(ErrorKind::Argument, text));
    }
    Ok(decided)
}

/// A batch in the making, but for its messages.
pub(crate) struct Pending<'a> {
    engine: &'a dyn Engine,
    /// The rows as they will be.
    pub(crate) rows: Overlay<'a>,
    /// Whether somebody waits for a flush.
    pub(crate) synced: bool,
    /// Who waits for receipts of messages.
    pub(crate) outcomes: Vec<Outcome>,
    /// Who waits for changes of rows.
    pub(crate) tells: Vec<Tell>,
}

/// A batch that is made: its rows, and who waits for it.
pub(crate) struct Answers {
    pub(crate) rows: Changes,
    pub(crate) synced: bool,
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) tells: Vec<Tell>,
}

impl<'a> Pending<'a> {
    pub(crate) fn new(engine: &'a dyn Engine) -> Self {
        Self {
            engine,
            rows: Overlay::new(engine),
            synced: false,
            outcomes: Vec::new(),
            tells: Vec::new(),
        }
    }

    /// Gives away what has gathered and starts anew.
    pub(crate) fn take(&mut self) -> Answers {
        let rows = std::mem::replace(&mut self.rows, Overlay::new(self.engine));
        Answers {
            rows: rows.into_changes(),
            synced: std::mem::take(&mut self.synced),
            outcomes: std::mem::take(&mut self.outcomes),
            tells: std::mem::take(&mut self.tells),
        }
    }
}
