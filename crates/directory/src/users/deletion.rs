//! Deleting a user, in steps of a bounded number of rows.
//!
//! The first step notes in `LEAVING` that the user goes: from then on nobody finds him, and his id is not given anew. The
//! last one removes his row and the note. Steps may be repeated from any state, so a crash between two of them costs
//! nothing: who opens the store goes on with those that the note names.

use tidestore_kv::{Rows, page_of, row};
use tidestore_plan::{AppId, UserId};

use crate::directory::{Editor, Effect};
use crate::error::{ErrorKind, Result};
use crate::tables::{
    BLOCKS, BLOCKS_BY_AGE, CONTACTS, Key, LEAVING, MUTES, SUPER_ADMINS, USERS, USERS_BY_AGE,
    name_behind,
};
use crate::users::{User, UserRow, parse_user};

/// How far a deletion has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// There are rows left; the user is invisible already.
    Unfinished,
    /// All is gone; this is what the user was.
    Done(User),
}

/// Users of all apps whose deletion has begun and not ended, at most `limit`.
///
/// # Errors
///
/// [`ErrorKind::Tables`] if they cannot be read.
pub fn leaving_users(rows: &(impl Rows + ?Sized), limit: usize) -> Result<Vec<(AppId, UserId)>> {
    let page = page_of(rows, LEAVING, b"", None, false, limit)?;
    let mut users = Vec::new();
    for (key, _) in page {
        let Some((app, _)) = key.split_first_chunk::<4>() else {
            continue;
        };
        let name = name_behind(&key, app).unwrap_or_default();
        users.push((AppId(u32::from_be_bytes(*app)), parse_user(name)?));
    }
    Ok(users)
}

impl Editor<'_, '_> {
    /// Does a part of the deletion of a user: about `budget` rows.
    ///
    /// Groups and chatrooms that he owns go with him. Rows in which others have blocked him stay: there may be any number of
    /// them, nobody can find them from here, and should the id be registered again, whoever blocked it does not want it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`].
    pub fn delete_user_step(&mut self, id: &UserId, budget: usize) -> Result<Deletion> {
        let key = Key::of(self.scope.app).name(id.as_str());
        let user: Option<UserRow> = row(&*self.rows, USERS, key.bytes())?;
        if user.is_none() {
            return Err(ErrorKind::UserNotFound(id.clone()).into());
        }
        self.rows.put(LEAVING, key.clone(), &())?;
        let mut budget = budget.max(1);
        let done = self.abandon_channels(id, &mut budget)?
            && self.abandon_contacts(id, &mut budget)?
            && self.abandon_blocks(id, &mut budget)?
            && self.abandon_presence(id, &mut budget)?;
        if !done {
            return Ok(Deletion::Unfinished);
        }
        let user: Option<UserRow> = row(&*self.rows, USERS, key.bytes())?;
        let user = user.ok_or_else(|| ErrorKind::UserNotFound(id.clone()))?;
        self.rows.delete(MUTES, key.clone());
        self.rows.delete(SUPER_ADMINS, key.clone());
        self.rows.delete(LEAVING, key.clone());
        self.rows.delete(USERS, key);
        let by_age = Key::of(self.scope.app).number(user.serial);
        self.rows.delete(USERS_BY_AGE, by_age);
        self.count(|counters| counters.users = counters.users.saturating_sub(1))?;
        self.effects.push(Effect::UserDeleted(id.clone()));
        Ok(Deletion::Done(User::of(id.clone(), user)))
    }

    fn abandon_contacts(&mut self, user: &UserId, budget: &mut usize) -> Result<bool> {
        let prefix = Key::of(self.scope.app).names(user.as_str());
        let page = page_of(&*self.rows, CONTACTS, prefix.bytes(), None, false, *budget)?;
        let done = page.len() < *budget;
        for (key, _) in page {
            let friend = parse_user(name_behind(&key, prefix.bytes()).unwrap_or_default())?;
            self.part(user, &friend)?;
            *budget = budget.saturating_sub(1);
        }
        Ok(done)
    }

    fn abandon_blocks(&mut self, user: &UserId, budget: &mut usize) -> Result<bool> {
        let prefix = Key::of(self.scope.app).names(user.as_str());
        let mut done = true;
        for table in [BLOCKS, BLOCKS_BY_AGE] {
            let page = page_of(&*self.rows, table, prefix.bytes(), None, false, *budget)?;
            done &= page.len() < *budget;
            *budget = budget.saturating_sub(page.len());
            for (key, _) in page {
                self.rows.delete(table, key);
            }
        }
        Ok(done)
    }
}
