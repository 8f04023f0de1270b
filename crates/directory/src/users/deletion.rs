//! Deletion of a user, in steps of a bounded size.
//!
//! The first step writes a `LEAVING` row: from then on the user does not exist for any call, but his id is not free. It also
//! takes him off the lists of users and of mutes, so that no list names somebody who is not found. Every step then removes
//! what belongs to him: contacts on both sides, his block list, groups and rooms, presence, labels and push settings. The last
//! one removes his row.
//! What a step needs to know is in the rows, so a deletion that a crash or restart cut short is finished by further steps;
//! [`Directory::leaving_users`] says which.
//!
//! The block lists of others keep his name, see `blocks.rs`.

use tidestore_kv::{Key, Rows, Table, each_row, page_of};
use tidestore_plan::{AppId, UserId};

use super::blocks::blocks_of;
use super::contacts::contacts_of;
use super::mutes::mutes_key;
use super::registration::User;
use super::{UserRow, user_behind};
use crate::directory::{Directory, Editor, Effect};
use crate::error::{ErrorKind, Result};
use crate::tables::{
    BLOCKS, CONTACTS, LEAVING, MUTES, SUPER_ADMINS, TOKENS, USERS, USERS_BY_AGE, key_of,
};

/// How far the deletion of a user has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// Something that belonged to him is left: take the next step.
    Unfinished,
    /// He is gone; this is what he was.
    Done(User),
}

/// Users of all apps whose deletion has begun and not ended, at most `limit`.
///
/// # Errors
///
/// [`ErrorKind::Tables`].
pub fn leaving_users(rows: &(impl Rows + ?Sized), limit: usize) -> Result<Vec<(AppId, UserId)>> {
    let mut users = Vec::new();
    for (key, _) in page_of(rows, LEAVING, b"", None, false, limit)? {
        if let Some((app, _)) = key.split_first_chunk::<4>() {
            let user = user_behind(LEAVING, &key, app)?;
            users.push((AppId(u32::from_be_bytes(*app)), user));
        }
    }
    Ok(users)
}

impl<R: Rows + ?Sized> Directory<'_, R> {
    /// The users whose deletion has begun and is not finished. There are as many as deletions under way.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Tables`].
    pub fn leaving_users(&self) -> Result<Vec<UserId>> {
        let prefix = key_of(self.app);
        let mut users = Vec::new();
        each_row(
            self.rows,
            LEAVING,
            prefix.bytes(),
            |key, _| -> Result<bool> {
                users.push(user_behind(LEAVING, key, prefix.bytes())?);
                Ok(true)
            },
        )?;
        Ok(users)
    }
}

impl Editor<'_, '_> {
    /// Takes one step of the deletion of a user: the first, or the next of one that has begun.
    ///
    /// A step removes at most `budget` entries of the lists he is on, at least one; each is a handful of rows.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`].
    ///
    /// # Example
    ///
    /// ```
    /// use std::path::Path;
    /// use std::sync::Arc;
    ///
    /// use tidestore_directory::{Deletion, Directory, Editor, NewUser, Scope};
    /// use tidestore_disk::{Disk, SimDisk};
    /// use tidestore_kv::{EngineKind, Overlay, open};
    /// use tidestore_plan::{AppId, Limits, Plan, UserId};
    ///
    /// let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
    /// let tables = open(EngineKind::Memory, &disk, Path::new("views")).unwrap();
    /// let mut rows = Overlay::new(&*tables);
    /// let scope = Scope {
    ///     app: AppId(1),
    ///     caps: Plan::Free.caps(),
    ///     limits: Limits::default(),
    ///     now: 1_700_000_000_000,
    /// };
    /// let ann = UserId::parse("Ann").unwrap();
    /// let new = NewUser { id: ann.clone(), uuid: [9; 16], nickname: None, password_hash: None };
    /// rows.attempt(|rows| Editor::new(rows, &scope).register(new)).unwrap();
    ///
    /// // Each step would be one record in the log; other changes go in between.
    /// let mut step = || rows.attempt(|rows| Editor::new(rows, &scope).delete_user_step(&ann, 100));
    /// while step().unwrap() == Deletion::Unfinished {}
    /// assert!(Directory::new(&rows, scope.app).user(&ann).is_err());
    /// ```
    pub fn delete_user_step(&mut self, id: &UserId, budget: usize) -> Result<Deletion> {
        let found = self.directory().any_user_row(id)?;
        let found = found.ok_or_else(|| ErrorKind::UserNotFound(id.clone()))?;
        if !self.directory().is_leaving(id)? {
            self.begin_deletion(id, &found)?;
        }
        // With nothing to spend, whoever repeats the step until it is done would do so for ever.
        let mut budget = budget.max(1);
        let is_done = self.abandon_contacts(id, &mut budget)?
            && self.abandon_blocks(id, &mut budget)?
            && self.abandon_channels(id, &mut budget)?
            && self.abandon_presence(id, &mut budget)?
            && self.abandon_push(id, &mut budget)?;
        if !is_done {
            return Ok(Deletion::Unfinished);
        }
        let key = key_of(self.scope.app).name(id.as_str());
        self.rows.delete(USERS, key.clone());
        self.rows.delete(SUPER_ADMINS, key.clone());
        self.rows.delete(TOKENS, key.clone());
        self.rows.delete(LEAVING, key);
        self.count(|counters| counters.users = counters.users.saturating_sub(1))?;
        self.effects.push(Effect::UserDeleted(id.clone()));
        Ok(Deletion::Done(User::of(id.clone(), found)))
    }

    fn begin_deletion(&mut self, id: &UserId, row: &UserRow) -> Result<()> {
        let app = self.scope.app;
        self.rows.delete(MUTES, mutes_key(app, id));
        self.rows
            .delete(USERS_BY_AGE, key_of(app).number(row.serial));
        Ok(self.rows.put(LEAVING, key_of(app).name(id.as_str()), &())?)
    }

    /// Says whether no contact is left. The friends' sides go with his.
    fn abandon_contacts(&mut self, user: &UserId, budget: &mut usize) -> Result<bool> {
        let prefix = contacts_of(self.scope.app, user);
        let (friends, is_done) = self.named_below(CONTACTS, &prefix, budget)?;
        for friend in &friends {
            self.remove_side(friend, user)?;
            self.remove_side(user, friend)?;
        }
        Ok(is_done)
    }

    /// Says whether nobody is left on his block list.
    fn abandon_blocks(&mut self, user: &UserId, budget: &mut usize) -> Result<bool> {
        let prefix = blocks_of(self.scope.app, user);
        let (others, is_done) = self.named_below(BLOCKS, &prefix, budget)?;
        for other in &others {
            self.remove_block(user, other)?;
        }
        Ok(is_done)
    }

    /// The first users whom rows below a prefix name, as many as the budget allows; and whether these are all.
    fn named_below(
        &self,
        table: Table,
        prefix: &Key,
        budget: &mut usize,
    ) -> Result<(Vec<UserId>, bool)> {
        let ask = budget.saturating_add(1);
        let mut page = page_of(&*self.rows, table, prefix.bytes(), None, false, ask)?;
        let is_all = page.len() <= *budget;
        page.truncate(*budget);
        *budget -= page.len();
        let users = page
            .iter()
            .map(|(key, _)| user_behind(table, key, prefix.bytes()));
        Ok((users.collect::<Result<_>>()?, is_all))
    }
}
