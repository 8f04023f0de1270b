//! The two handles: one that reads, one that changes.

use tidestore_disk::Millis;
use tidestore_kv::{Overlay, Rows};
use tidestore_plan::{AppId, Caps, Limits, ResourceId, UserId};

use crate::ChannelKind;
use crate::counters::Counters;
use crate::error::Result;

/// Reads the directory of one app.
#[derive(Debug)]
pub struct Directory<'a, R: ?Sized> {
    pub(crate) rows: &'a R,
    pub(crate) app: AppId,
}

impl<'a, R: Rows + ?Sized> Directory<'a, R> {
    /// Reads an app's rows.
    pub fn new(rows: &'a R, app: AppId) -> Self {
        Self { rows, app }
    }

    /// How many there are of everything.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Tables`](crate::ErrorKind::Tables) if they cannot be read; so with every call below.
    pub fn counters(&self) -> Result<Counters> {
        Counters::read(self.rows, self.app)
    }

    /// Counts everything again, and says where rows, counters and indexes disagree. Answers how many users there are.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Tables`](crate::ErrorKind::Tables) if rows cannot be read.
    pub fn recount(&self, problems: &mut Vec<String>) -> Result<u64> {
        self.recount_channels(problems)?;
        self.recount_threads(problems)?;
        self.recount_presence(problems)?;
        self.recount_push(problems)?;
        self.recount_users(problems)?;
        Ok(self.counters()?.users)
    }
}

/// For whom and when something is changed.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The app.
    pub app: AppId,
    /// What its plan allows.
    pub caps: Caps,
    /// The limits that are the same on every plan, as this store has them.
    pub limits: Limits,
    /// Now, in milliseconds since 1970.
    pub now: Millis,
}

/// Changes the directory of one app. A call that fails may leave a part of its changes in the overlay: it must be made
/// inside an [`attempt`](Overlay::attempt).
#[derive(Debug)]
pub struct Editor<'a, 'e> {
    pub(crate) rows: &'a mut Overlay<'e>,
    pub(crate) scope: &'a Scope,
    pub(crate) effects: Vec<Effect>,
}

/// What a change means for other parts of the store, which have to follow it in the same record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A user has come into a group or chatroom.
    Joined(ChannelKind, ResourceId, UserId),
    /// A user is no longer in a group or chatroom that goes on.
    Left(ChannelKind, ResourceId, UserId),
    /// A group or chatroom is gone, with all that was in it.
    ChannelDeleted(ChannelKind, ResourceId),
    /// A thread is gone.
    ThreadDeleted(ResourceId),
    /// A user is gone, with all that belonged to it.
    UserDeleted(UserId),
}

impl<'a, 'e> Editor<'a, 'e> {
    /// Changes an app's rows.
    pub fn new(rows: &'a mut Overlay<'e>, scope: &'a Scope) -> Self {
        Self {
            rows,
            scope,
            effects: Vec::new(),
        }
    }

    /// What the changes so far mean for other parts of the store, in order.
    pub fn into_effects(self) -> Vec<Effect> {
        self.effects
    }

    /// Reads what was changed so far.
    pub fn directory(&self) -> Directory<'_, Overlay<'e>> {
        Directory::new(&*self.rows, self.scope.app)
    }

    /// Carries out a part of a call that may fail without the rest: then nothing of it stays.
    pub(crate) fn attempt<T>(
        &mut self,
        change: impl FnOnce(&mut Editor<'_, '_>) -> Result<T>,
    ) -> Result<T> {
        let scope = self.scope;
        let done = self.rows.attempt(|rows| {
            let mut part = Editor::new(rows, scope);
            let done = change(&mut part)?;
            Ok::<_, crate::Error>((done, part.effects))
        });
        let (done, effects) = done?;
        self.effects.extend(effects);
        Ok(done)
    }

    /// Changes the app's counters.
    pub(crate) fn count<T>(&mut self, change: impl FnOnce(&mut Counters) -> T) -> Result<T> {
        let mut counters = Counters::read(&*self.rows, self.scope.app)?;
        let done = change(&mut counters);
        counters.write(self.rows, self.scope.app)?;
        Ok(done)
    }

    /// Gives the next serial.
    pub(crate) fn next_serial(&mut self) -> Result<u64> {
        self.count(Counters::next_serial)
    }
}
