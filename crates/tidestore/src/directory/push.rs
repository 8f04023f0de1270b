//! Push: what users want to be told of, templates of notifications, labels of users.

use tidestore_directory::{
    Page, PushLabel, PushLabelUser, PushScope, PushSetting, PushSettingChange, PushTemplate,
};
use tidestore_disk::Millis;
use tidestore_plan::UserId;

use crate::app::App;
use crate::directory::names;
use crate::error::{ErrorKind, Result};

/// What an app keeps for pushing. Nothing is pushed by it.
#[derive(Clone, Copy, Debug)]
pub struct Push<'a>(&'a App);

impl App {
    /// Settings of users, templates and labels for pushing.
    pub fn push(&self) -> Push<'_> {
        Push(self)
    }
}

impl Push<'_> {
    /// What a user wants to be told of; see [`wants_push`](crate::wants_push).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`] if there is no such user.
    pub async fn setting(&self, user: &UserId, scope: &PushScope) -> Result<PushSetting> {
        let (user, scope) = (user.clone(), scope.clone());
        self.0
            .look_up(move |directory| directory.push_setting(&user, &scope))
            .await
    }

    /// Changes what a user wants to be told of, and says what it is now.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`] if there is no such user, the interval is none, or it is for one conversation;
    /// [`ErrorKind::Limit`] for a silence of over 7 days.
    pub async fn set_setting(
        &self,
        user: &UserId,
        scope: &PushScope,
        change: PushSettingChange,
    ) -> Result<PushSetting> {
        let (user, scope) = (user.clone(), scope.clone());
        self.0
            .edit_directory(move |editor| editor.set_push_setting(&user, &scope, change))
            .await
    }

    /// Into which language a user wants notifications translated; empty for none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`] if there is no such user.
    pub async fn language(&self, user: &UserId) -> Result<String> {
        let user = user.clone();
        self.0
            .look_up(move |directory| directory.push_language(&user))
            .await
    }

    /// Sets into which language a user wants notifications translated, at most 64 characters; an empty one for none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`] if there is no such user, or the language is too long.
    pub async fn set_language(&self, user: &UserId, language: &str) -> Result<()> {
        let (user, language) = (user.clone(), language.to_owned());
        self.0
            .edit_directory(move |editor| editor.set_push_language(&user, &language))
            .await
    }

    /// Creates a template: a name of 1 to 64 letters and digits, patterns of at most 512 characters.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`] if the name is none or taken, a pattern is too long, or there are 1,000 templates;
    /// [`ErrorKind::Limit`] if the name is too long.
    pub async fn create_template(
        &self,
        name: &str,
        title_pattern: &str,
        content_pattern: &str,
    ) -> Result<PushTemplate> {
        let name = name.to_owned();
        let (title, content) = (title_pattern.to_owned(), content_pattern.to_owned());
        self.0
            .edit_directory(move |editor| editor.create_push_template(&name, &title, &content))
            .await
    }

    /// Finds a template.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`] if there is none.
    pub async fn template(&self, name: &str) -> Result<PushTemplate> {
        let name = name.to_owned();
        self.0
            .look_up(move |directory| directory.push_template(&name))
            .await
    }

    /// Deletes a template, and says what it was.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`] if there is none.
    pub async fn delete_template(&self, name: &str) -> Result<PushTemplate> {
        let name = name.to_owned();
        self.0
            .edit_directory(move |editor| editor.delete_push_template(&name))
            .await
    }

    /// Creates a label: a name of 1 to 64 of `a-z A-Z 0-9 _ - .`, a description of at most 255 characters.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`] if the name is none or taken; [`ErrorKind::Limit`] if name or description are too long or
    /// there are 100 labels.
    pub async fn create_label(&self, name: &str, description: &str) -> Result<PushLabel> {
        match self.try_create_label(name, description).await {
            // As with groups: what is left of a deletion that was cut short must not keep the name.
            Err(error)
                if matches!(error.kind(), ErrorKind::Directory(_))
                    && self.label(name).await.is_err() =>
            {
                match self.delete_label(name).await {
                    Ok(()) => self.try_create_label(name, description).await,
                    Err(nothing) if matches!(nothing.kind(), ErrorKind::Directory(_)) => Err(error),
                    Err(why) => Err(why),
                }
            }
            created => created,
        }
    }

    async fn try_create_label(&self, name: &str, description: &str) -> Result<PushLabel> {
        let (name, description) = (name.to_owned(), description.to_owned());
        self.0
            .edit_directory(move |editor| editor.create_push_label(&name, &description))
            .await
    }

    /// Finds a label, with how many users it has.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`] if there is none.
    pub async fn label(&self, name: &str) -> Result<PushLabel> {
        let name = name.to_owned();
        self.0
            .look_up(move |directory| directory.push_label(&name))
            .await
    }

    /// A page of labels, by name.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`] if the cursor is not of this list.
    pub async fn labels(&self, cursor: Option<&str>, limit: usize) -> Result<Page<PushLabel>> {
        let cursor = cursor.map(str::to_owned);
        self.0
            .look_up(move |directory| directory.push_labels(cursor.as_deref(), limit))
            .await
    }

    /// Deletes a label. Its users stay; from the first moment on nobody finds it, and one with a great many users goes in
    /// several records. A deletion that a crash interrupted is finished after opening.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`] if there is none.
    pub async fn delete_label(&self, name: &str) -> Result<()> {
        let budget = self.0.store().inner.options.deletion_rows;
        loop {
            let name = name.to_owned();
            let is_done = self
                .0
                .edit_directory(move |editor| editor.delete_push_label_step(&name, budget))
                .await?;
            if is_done {
                return Ok(());
            }
        }
    }

    /// Gives a label to up to 100 users, and says of each how it went. Who has it already keeps the time since when.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`] if there is no such label, [`ErrorKind::Limit`] over 100 users: nobody got it. Of each:
    /// [`ErrorKind::Directory`] if there is no such user, [`ErrorKind::Limit`] if the label has 200,000.
    pub async fn add_to_label(&self, name: &str, users: &[UserId]) -> Result<Vec<Result<()>>> {
        let (name, users) = (name.to_owned(), names(users)?);
        let each = self
            .0
            .edit_directory(move |editor| editor.add_push_label_users(&name, &users))
            .await?;
        Ok(each
            .into_iter()
            .map(|one| one.map_err(Into::into))
            .collect())
    }

    /// Takes a label from up to 100 users, and says of each how it went. One who has it not is fine.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`] if there is no such label, [`ErrorKind::Limit`] over 100 users: nobody lost it. Of each:
    /// [`ErrorKind::Directory`] if there is no such user.
    pub async fn remove_from_label(&self, name: &str, users: &[UserId]) -> Result<Vec<Result<()>>> {
        let (name, users) = (name.to_owned(), names(users)?);
        let each = self
            .0
            .edit_directory(move |editor| editor.remove_push_label_users(&name, &users))
            .await?;
        Ok(each
            .into_iter()
            .map(|one| one.map_err(Into::into))
            .collect())
    }

    /// Since when a user has a label; `None` if he has not.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`] if there is no such label.
    pub async fn label_user(&self, name: &str, user: &UserId) -> Result<Option<Millis>> {
        let (name, user) = (name.to_owned(), user.clone());
        self.0
            .look_up(move |directory| directory.push_label_user(&name, &user))
            .await
    }

    /// A page of the users of a label, by id.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`] if there is no such label, or the cursor is not of this list.
    pub async fn label_users(
        &self,
        name: &str,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<PushLabelUser>> {
        let (name, cursor) = (name.to_owned(), cursor.map(str::to_owned));
        self.0
            .look_up(move |directory| directory.push_label_users(&name, cursor.as_deref(), limit))
            .await
    }
}
