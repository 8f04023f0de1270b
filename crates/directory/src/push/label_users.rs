//! The users of a label.

use tidestore_disk::Millis;
use tidestore_kv::{Key, Rows, decode_row, row};
use tidestore_plan::{AppId, Limit, UserId};

use super::LabelRow;
use crate::cursor::{List, Page};
use crate::directory::{Directory, Editor};
use crate::error::{ErrorKind, Result};
use crate::tables::{LABEL_USERS, LABELS_OF, key_of};
use crate::users::user_behind;

/// A user of a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushLabelUser {
    /// Who.
    pub user: UserId,
    /// Since when.
    pub created: Millis,
}

/// All users of a label.
pub(super) fn users_of(app: AppId, label: &str) -> Key {
    key_of(app).names(label)
}

/// All labels of a user.
pub(super) fn labels_of(app: AppId, user: &UserId) -> Key {
    key_of(app).names(user.as_str())
}

impl<R: Rows + ?Sized> Directory<'_, R> {
    /// Since when a user has a label; `None` if he has not.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::LabelNotFound`].
    pub fn push_label_user(&self, label: &str, user: &UserId) -> Result<Option<Millis>> {
        self.label_row(label)?;
        let key = users_of(self.app, label).name(user.as_str());
        Ok(row(self.rows, LABEL_USERS, key.bytes())?)
    }

    /// A page of the users of a label, by id.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::LabelNotFound`], [`ErrorKind::Cursor`].
    pub fn push_label_users(
        &self,
        label: &str,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<PushLabelUser>> {
        self.label_row(label)?;
        let prefix = users_of(self.app, label);
        let list = List {
            table: LABEL_USERS,
            prefix: prefix.bytes(),
            newest_first: false,
        };
        list.page(self.rows, cursor, limit)?
            .try_map(|(key, value)| {
                Ok(PushLabelUser {
                    user: user_behind(LABEL_USERS, &key, prefix.bytes())?,
                    created: decode_row(LABEL_USERS, &key, &value)?,
                })
            })
    }
}

impl Editor<'_, '_> {
    /// Gives a label to up to 100 users, and says of each how it went. Who has it already keeps the time since when.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::LabelNotFound`], [`ErrorKind::Limit`] over 100 users: nobody got it. Of each:
    /// [`ErrorKind::UserNotFound`]; [`ErrorKind::Limit`] if the label has 200,000 users.
    pub fn add_push_label_users(
        &mut self,
        label: &str,
        users: &[UserId],
    ) -> Result<Vec<Result<()>>> {
        self.change_label_users(label, users, Self::add_one)
    }

    /// Takes a label from up to 100 users, and says of each how it went. One who has it not is fine.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::LabelNotFound`], [`ErrorKind::Limit`] over 100 users: nobody lost it. Of each:
    /// [`ErrorKind::UserNotFound`].
    pub fn remove_push_label_users(
        &mut self,
        label: &str,
        users: &[UserId],
    ) -> Result<Vec<Result<()>>> {
        self.change_label_users(label, users, Self::remove_one)
    }

    /// Changes a label for each of its users who exists, and counts in its row.
    fn change_label_users(
        &mut self,
        label: &str,
        users: &[UserId],
        change: impl Fn(&mut Self, &str, &mut LabelRow, &UserId) -> Result<()>,
    ) -> Result<Vec<Result<()>>> {
        let limits = &self.scope.limits;
        limits.check(Limit::PushLabelBatch, users.len() as u64)?;
        let mut found = self.directory().label_row(label)?;
        let each = users.iter().map(|user| {
            refused(match self.directory().user_row(user) {
                Ok(_) => change(self, label, &mut found, user),
                Err(error) => Err(error),
            })
        });
        let each = each.collect::<Result<Vec<_>>>()?;
        self.put_label_row(label, &found)?;
        Ok(each)
    }

    /// Everything is checked before anything is changed.
    fn add_one(&mut self, name: &str, label: &mut LabelRow, user: &UserId) -> Result<()> {
        let app = self.scope.app;
        let key = users_of(app, name).name(user.as_str());
        if self.rows.bytes_of(LABEL_USERS, key.bytes())?.is_some() {
            return Ok(());
        }
        let limits = &self.scope.limits;
        limits.check(Limit::PushLabelUsers, label.users + 1)?;
        self.rows.put(LABEL_USERS, key, &self.scope.now)?;
        self.rows
            .put(LABELS_OF, labels_of(app, user).name(name), &())?;
        label.users += 1;
        Ok(())
    }

    /// Removes both rows of a user's label and counts him off; the label's row has to be put afterwards.
    pub(super) fn remove_one(
        &mut self,
        name: &str,
        label: &mut LabelRow,
        user: &UserId,
    ) -> Result<()> {
        let app = self.scope.app;
        let key = users_of(app, name).name(user.as_str());
        if self.rows.bytes_of(LABEL_USERS, key.bytes())?.is_some() {
            label.users = label.users.saturating_sub(1);
        }
        self.rows.delete(LABEL_USERS, key);
        self.rows.delete(LABELS_OF, labels_of(app, user).name(name));
        Ok(())
    }
}

/// What is wrong with one user is his answer; tables that fail are everybody's.
fn refused(done: Result<()>) -> Result<Result<()>> {
    match done {
        Err(error) if *error.kind() == ErrorKind::Tables => Err(error),
        done => Ok(done),
    }
}
