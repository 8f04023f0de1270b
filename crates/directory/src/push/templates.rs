//! Templates of notifications.

use tidestore_disk::Millis;
use tidestore_kv::{Rows, row};
use tidestore_plan::Limit;

use crate::directory::{Directory, Editor};
use crate::error::{Error, ErrorKind, Result};
use crate::tables::{PUSH_TEMPLATES, key_of};

/// A template of a notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushTemplate {
    /// What it is called.
    pub name: String,
    /// Its title, with `{0}` and so on where something is filled in.
    pub title_pattern: String,
    /// Its text, likewise.
    pub content_pattern: String,
    /// When it was created.
    pub created: Millis,
    /// When it was last changed.
    pub updated: Millis,
}

/// The value of `PUSH_TEMPLATES`.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub(crate) struct TemplateRow {
    title_pattern: String,
    content_pattern: String,
    created: Millis,
    updated: Millis,
}

impl TemplateRow {
    fn template(self, name: &str) -> PushTemplate {
        PushTemplate {
            name: name.to_owned(),
            title_pattern: self.title_pattern,
            content_pattern: self.content_pattern,
            created: self.created,
            updated: self.updated,
        }
    }
}

/// Templates of one app. No source gives a number; this is more than anybody writes by hand, and a megabyte at most.
const TEMPLATES_MAX: u64 = 1_000;

/// Characters of a pattern. No source gives a number; a notification shows 100 of them.
const PATTERN_MAX: usize = 512;

impl<R: Rows + ?Sized> Directory<'_, R> {
    /// Finds a template.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TemplateNotFound`].
    pub fn push_template(&self, name: &str) -> Result<PushTemplate> {
        let key = key_of(self.app).name(name);
        let found: Option<TemplateRow> = row(self.rows, PUSH_TEMPLATES, key.bytes())?;
        let found = found.ok_or_else(|| ErrorKind::TemplateNotFound(name.to_owned()))?;
        Ok(found.template(name))
    }
}

impl Editor<'_, '_> {
    /// Creates a template: a name of 1 to 64 letters and digits, patterns of at most 512 characters.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Limit`] if the name is too long; [`ErrorKind::Argument`] if it is none or taken, if a pattern is too
    /// long, or if the app has 1,000 templates.
    pub fn create_push_template(
        &mut self,
        name: &str,
        title_pattern: &str,
        content_pattern: &str,
    ) -> Result<PushTemplate> {
        self.scope
            .limits
            .check_text(Limit::PushTemplateName, name)?;
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            let text = "the name of a push template consists of letters and digits";
            return Err(Error::argument(text));
        }
        for (what, pattern) in [("title", title_pattern), ("content", content_pattern)] {
            let characters = pattern.chars().count();
            if characters > PATTERN_MAX {
                let text = format!(
                    "the {what} pattern has {characters} characters; give at most {PATTERN_MAX}"
                );
                return Err(Error::argument(text));
            }
        }
        let key = key_of(self.scope.app).name(name);
        if self.rows.bytes_of(PUSH_TEMPLATES, key.bytes())?.is_some() {
            let text = format!("the push template {name} exists already");
            return Err(Error::argument(text));
        }
        let mut counts = self.directory().push_counts()?;
        counts.templates += 1;
        if counts.templates > TEMPLATES_MAX {
            let text = format!("there are {TEMPLATES_MAX} push templates; delete one first");
            return Err(Error::argument(text));
        }
        self.put_push_counts(&counts)?;
        let template = TemplateRow {
            title_pattern: title_pattern.to_owned(),
            content_pattern: content_pattern.to_owned(),
            created: self.scope.now,
            updated: self.scope.now,
        };
        self.rows.put(PUSH_TEMPLATES, key, &template)?;
        Ok(template.template(name))
    }

    /// Deletes a template, and says what it was.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TemplateNotFound`].
    pub fn delete_push_template(&mut self, name: &str) -> Result<PushTemplate> {
        let was = self.directory().push_template(name)?;
        self.rows
            .delete(PUSH_TEMPLATES, key_of(self.scope.app).name(name));
        let mut counts = self.directory().push_counts()?;
        counts.templates = counts.templates.saturating_sub(1);
        self.put_push_counts(&counts)?;
        Ok(was)
    }
}
