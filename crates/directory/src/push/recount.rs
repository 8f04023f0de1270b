//! Counting labels, their users and templates again.

use tidestore_kv::{Rows, Table, decode_row, each_row};
use tidestore_plan::UserId;

use super::LabelRow;
use super::label_users::{labels_of, users_of};
use crate::directory::Directory;
use crate::error::{Error, Result};
use crate::tables::{
    GOING_LABELS, LABEL_USERS, LABELS, LABELS_OF, PUSH_LANGUAGES, PUSH_SETTINGS, PUSH_TEMPLATES,
    TOKENS, key_of, name_behind,
};
use crate::users::user_behind;

impl<R: Rows + ?Sized> Directory<'_, R> {
    /// Counts labels, their users and templates again, compares both directions of the index of labels, and looks for rows of
    /// users that there are not.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Tables`](crate::ErrorKind::Tables) if they cannot be read.
    pub(crate) fn recount_push(&self, problems: &mut Vec<String>) -> Result<()> {
        let app = key_of(self.app);
        let (mut labels, mut users, mut templates) = (0, 0, 0);
        each_row(self.rows, LABELS, app.bytes(), |key, value| {
            labels += 1;
            let name = name_behind(key, app.bytes()).unwrap_or_default();
            let label: LabelRow = decode_row(LABELS, key, value)?;
            users += self.recount_label(name, &label, problems)?;
            Ok::<_, Error>(true)
        })?;
        each_row(self.rows, PUSH_TEMPLATES, app.bytes(), |_, _| {
            templates += 1;
            Ok::<_, Error>(true)
        })?;
        let counts = self.push_counts()?;
        let (found, counted) = ((labels, templates), (counts.labels, counts.templates));
        if found != counted {
            problems.push(format!(
                "push labels and templates are {found:?}, {counted:?} are counted"
            ));
        }
        // Each user of a label was found in both directions: so more rows than users are rows of nothing.
        for table in [LABEL_USERS, LABELS_OF] {
            let mut rows = 0;
            each_row(self.rows, table, app.bytes(), |_, _| {
                rows += 1;
                Ok::<_, Error>(true)
            })?;
            if rows != users {
                problems.push(format!(
                    "labels have {users} users, and there are {rows} rows in table {table}"
                ));
            }
        }
        each_row(self.rows, GOING_LABELS, app.bytes(), |key, _| {
            let name = name_behind(key, app.bytes()).unwrap_or_default();
            if !self
                .any_label_row(name)?
                .is_some_and(|label| label.is_going)
            {
                problems.push(format!("the label {name} is not being deleted"));
            }
            Ok::<_, Error>(true)
        })?;
        self.recount_owners(problems)
    }

    fn recount_label(
        &self,
        name: &str,
        label: &LabelRow,
        problems: &mut Vec<String>,
    ) -> Result<u64> {
        let prefix = users_of(self.app, name);
        let mut users = 0;
        each_row(self.rows, LABEL_USERS, prefix.bytes(), |key, _| {
            users += 1;
            let user = user_behind(LABEL_USERS, key, prefix.bytes())?;
            let back = labels_of(self.app, &user).name(name);
            if self.rows.bytes(LABELS_OF, back.bytes())?.is_none() {
                problems.push(format!("{user} has the label {name} and does not know it"));
            }
            self.expect_owner(&user, "a label", problems)?;
            Ok::<_, Error>(true)
        })?;
        if users != label.users {
            let counted = label.users;
            problems.push(format!(
                "the label {name} has {users} users, {counted} are counted"
            ));
        }
        let note = key_of(self.app).name(name);
        if label.is_going && self.rows.bytes(GOING_LABELS, note.bytes())?.is_none() {
            problems.push(format!(
                "nothing notes that the label {name} is being deleted"
            ));
        }
        Ok(users)
    }

    /// Rows of a user are of one that there is.
    fn recount_owners(&self, problems: &mut Vec<String>) -> Result<()> {
        let app = key_of(self.app);
        let tables: [(Table, &str); 3] = [
            (PUSH_SETTINGS, "a push setting"),
            (PUSH_LANGUAGES, "a push language"),
            (TOKENS, "a token revision"),
        ];
        for (table, what) in tables {
            each_row(self.rows, table, app.bytes(), |key, _| {
                let rest = key.strip_prefix(app.bytes()).unwrap_or_default();
                let user = rest.split(|byte| *byte == 0).next().unwrap_or_default();
                let whole = [app.bytes(), user].concat();
                let user = user_behind(table, &whole, app.bytes())?;
                self.expect_owner(&user, what, problems)?;
                Ok::<_, Error>(true)
            })?;
        }
        Ok(())
    }

    fn expect_owner(&self, user: &UserId, what: &str, problems: &mut Vec<String>) -> Result<()> {
        if self.any_user_row(user)?.is_none() {
            problems.push(format!("{user} has {what} and is not registered"));
        }
        Ok(())
    }
}
