//! Deleting a label, and a user's part in all of them, in steps of a bounded number of rows.
//!
//! A label may have 200,000 users. The first step marks its row and notes in `GOING_LABELS` that it goes: from then on nobody
//! finds it, and its name is not given anew. Steps may be repeated from any state; who opens the store goes on with those
//! that the note names.

use tidestore_kv::{Rows, page_of};
use tidestore_plan::{AppId, UserId};

use super::label_users::{labels_of, users_of};
use super::settings::settings_of;
use crate::directory::Editor;
use crate::error::{ErrorKind, Result};
use crate::tables::{
    GOING_LABELS, LABEL_USERS, LABELS, LABELS_OF, PUSH_LANGUAGES, PUSH_SETTINGS, key_of,
    name_behind,
};
use crate::users::user_behind;

/// Labels of all apps whose deletion has begun and not ended, at most `limit`.
///
/// # Errors
///
/// [`ErrorKind::Tables`] if they cannot be read.
pub fn going_labels(rows: &(impl Rows + ?Sized), limit: usize) -> Result<Vec<(AppId, String)>> {
    let mut all = Vec::new();
    for (key, _) in page_of(rows, GOING_LABELS, b"", None, false, limit)? {
        if let Some((app, _)) = key.split_first_chunk::<4>()
            && let Some(name) = name_behind(&key, app)
        {
            all.push((AppId(u32::from_be_bytes(*app)), name.to_owned()));
        }
    }
    Ok(all)
}

impl Editor<'_, '_> {
    /// Does a part of the deletion of a label: about `budget` rows. Says whether all is gone.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::LabelNotFound`].
    pub fn delete_push_label_step(&mut self, name: &str, budget: usize) -> Result<bool> {
        let found = self.directory().any_label_row(name)?;
        let mut label = found.ok_or_else(|| ErrorKind::LabelNotFound(name.to_owned()))?;
        let place = key_of(self.scope.app).name(name);
        if !label.is_going {
            label.is_going = true;
            self.rows.put(GOING_LABELS, place.clone(), &())?;
        }
        let prefix = users_of(self.scope.app, name);
        // A user has two rows.
        let most = (budget / 2).max(1);
        let page = page_of(&*self.rows, LABEL_USERS, prefix.bytes(), None, false, most)?;
        let is_done = page.len() < most;
        for (key, _) in page {
            let user = user_behind(LABEL_USERS, &key, prefix.bytes())?;
            self.remove_one(name, &mut label, &user)?;
        }
        if !is_done {
            self.put_label_row(name, &label)?;
            return Ok(false);
        }
        self.rows.delete(LABELS, place.clone());
        self.rows.delete(GOING_LABELS, place);
        let mut counts = self.directory().push_counts()?;
        counts.labels = counts.labels.saturating_sub(1);
        self.put_push_counts(&counts)?;
        Ok(true)
    }

    /// Takes a user's labels from him and removes what he has set, until `budget` rows are used up. Says whether nothing is
    /// left.
    pub(crate) fn abandon_push(&mut self, user: &UserId, budget: &mut usize) -> Result<bool> {
        Ok(self.abandon_labels(user, budget)? && self.abandon_settings(user, budget)?)
    }

    fn abandon_labels(&mut self, user: &UserId, budget: &mut usize) -> Result<bool> {
        let prefix = labels_of(self.scope.app, user);
        // A label that a user has is two rows, and one that counts him.
        let most = (*budget / 3).max(1);
        let page = page_of(&*self.rows, LABELS_OF, prefix.bytes(), None, false, most)?;
        let is_done = page.len() < most;
        *budget = budget.saturating_sub(3 * page.len());
        for (key, _) in page {
            let name = name_behind(&key, prefix.bytes()).unwrap_or_default();
            // Also of one that is being deleted itself.
            match self.directory().any_label_row(name)? {
                Some(mut label) => {
                    self.remove_one(name, &mut label, user)?;
                    self.put_label_row(name, &label)?;
                }
                None => self.rows.delete(LABELS_OF, key),
            }
        }
        Ok(is_done)
    }

    fn abandon_settings(&mut self, user: &UserId, budget: &mut usize) -> Result<bool> {
        let prefix = settings_of(self.scope.app, user);
        let most = (*budget).max(1);
        let page = page_of(
            &*self.rows,
            PUSH_SETTINGS,
            prefix.bytes(),
            None,
            false,
            most,
        )?;
        let is_done = page.len() < most;
        *budget = budget.saturating_sub(page.len());
        for (key, _) in page {
            self.rows.delete(PUSH_SETTINGS, key);
        }
        let language = key_of(self.scope.app).name(user.as_str());
        self.rows.delete(PUSH_LANGUAGES, language);
        Ok(is_done)
    }
}
