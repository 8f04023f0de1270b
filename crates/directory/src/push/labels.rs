//! Labels: names under which users of an app are gathered, to be pushed to together.

use tidestore_disk::Millis;
use tidestore_kv::{Rows, decode_row, row};
use tidestore_plan::Limit;

use crate::cursor::{List, Page};
use crate::directory::{Directory, Editor};
use crate::error::{Error, ErrorKind, Result};
use crate::tables::{LABELS, key_of, name_behind};

/// A label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushLabel {
    /// What it is called; `a` and `A` are two.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// When it was created.
    pub created: Millis,
    /// How many users it has.
    pub users: u64,
}

/// The value of `LABELS`.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub(crate) struct LabelRow {
    pub(super) description: String,
    pub(super) created: Millis,
    pub(super) users: u64,
    /// Whether its deletion has begun: nobody finds it, and its name is not free.
    pub(super) is_going: bool,
}

impl LabelRow {
    fn label(self, name: &str) -> PushLabel {
        PushLabel {
            name: name.to_owned(),
            description: self.description,
            created: self.created,
            users: self.users,
        }
    }
}

impl<R: Rows + ?Sized> Directory<'_, R> {
    /// Finds a label.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::LabelNotFound`].
    pub fn push_label(&self, name: &str) -> Result<PushLabel> {
        Ok(self.label_row(name)?.label(name))
    }

    /// A page of labels, by name.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Cursor`].
    pub fn push_labels(&self, cursor: Option<&str>, limit: usize) -> Result<Page<PushLabel>> {
        let prefix = key_of(self.app);
        let list = List {
            table: LABELS,
            prefix: prefix.bytes(),
            newest_first: false,
        };
        list.page_where(self.rows, cursor, limit, |key, value| {
            let label: LabelRow = decode_row(LABELS, key, value)?;
            let name = name_behind(key, prefix.bytes()).unwrap_or_default();
            Ok((!label.is_going).then(|| label.label(name)))
        })
    }

    /// The row of a label that exists; one whose deletion has begun does not.
    pub(super) fn label_row(&self, name: &str) -> Result<LabelRow> {
        let found = self.any_label_row(name)?.filter(|label| !label.is_going);
        found.ok_or_else(|| ErrorKind::LabelNotFound(name.to_owned()).into())
    }

    pub(super) fn any_label_row(&self, name: &str) -> Result<Option<LabelRow>> {
        let key = key_of(self.app).name(name);
        Ok(row(self.rows, LABELS, key.bytes())?)
    }
}

impl Editor<'_, '_> {
    /// Creates a label without users: a name of 1 to 64 of `a-z A-Z 0-9 _ - .`, a description of at most 255 characters.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::LabelExists`], also while one of this name is being deleted; [`ErrorKind::Limit`] if name or description
    /// are too long or there are 100 labels; [`ErrorKind::Argument`] if the name is none.
    pub fn create_push_label(&mut self, name: &str, description: &str) -> Result<PushLabel> {
        let limits = &self.scope.limits;
        limits.check_text(Limit::PushLabelName, name)?;
        limits.check_text(Limit::PushLabelDescription, description)?;
        let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_fine) {
            let text =
                "the name of a push label consists of letters, digits, and the characters _ - .";
            return Err(Error::argument(text));
        }
        if self.directory().any_label_row(name)?.is_some() {
            return Err(ErrorKind::LabelExists(name.to_owned()).into());
        }
        let mut counts = self.directory().push_counts()?;
        counts.labels += 1;
        limits.check(Limit::PushLabels, counts.labels)?;
        self.put_push_counts(&counts)?;
        let label = LabelRow {
            description: description.to_owned(),
            created: self.scope.now,
            users: 0,
            is_going: false,
        };
        self.put_label_row(name, &label)?;
        Ok(label.label(name))
    }

    pub(super) fn put_label_row(&mut self, name: &str, label: &LabelRow) -> Result<()> {
        let key = key_of(self.scope.app).name(name);
        Ok(self.rows.put(LABELS, key, label)?)
    }
}
