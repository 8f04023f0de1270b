//! Threads inside groups.

use tidestore_directory::{NewThread, Page, Thread};
use tidestore_plan::{ResourceId, UserId};

use crate::app::App;
use crate::directory::names;
use crate::error::{Error, Result};

/// The threads of an app.
#[derive(Clone, Copy, Debug)]
pub struct Threads<'a>(&'a App);

impl App {
    /// The app's threads.
    pub fn threads(&self) -> Threads<'_> {
        Threads(self)
    }
}

impl Threads<'_> {
    /// Creates a thread under a message of a group.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory) if the group does not exist or is banned, the owner is not in
    /// it, the message has a thread already or the id is taken; [`ErrorKind::Limit`](crate::ErrorKind::Limit).
    pub async fn create(&self, new: NewThread) -> Result<Thread> {
        let owner = new.owner.clone();
        let created = self
            .0
            .edit_directory(move |editor| editor.create_thread(new))
            .await?;
        self.wake(&[owner]);
        Ok(created)
    }

    /// Lets those who wait for messages look for a thread that they are in now.
    fn wake(self, users: &[UserId]) {
        let (app, listeners) = (self.0.id(), &self.0.home().listeners);
        for user in users {
            listeners.wake_user(app, user.as_str());
        }
    }

    /// Finds a thread.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory) if there is none.
    pub async fn get(&self, id: &ResourceId) -> Result<Thread> {
        let id = id.clone();
        self.0.look_up(move |directory| directory.thread(&id)).await
    }

    /// Gives it another name, at most 64 characters.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory), [`ErrorKind::Limit`](crate::ErrorKind::Limit).
    pub async fn rename(&self, id: &ResourceId, name: &str) -> Result<()> {
        let (id, name) = (id.clone(), name.to_owned());
        self.0
            .edit_directory(move |editor| editor.rename_thread(&id, &name))
            .await
    }

    /// Deletes it. Its messages live out their time.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory) if there is none.
    pub async fn delete(&self, id: &ResourceId) -> Result<()> {
        let id = id.clone();
        self.0
            .edit_directory(move |editor| editor.delete_thread(&id))
            .await
    }

    /// Lets up to 10 members of its group join, and says of each how it went.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory) if there is no such thread,
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) over 10.
    pub async fn join(&self, id: &ResourceId, users: &[UserId]) -> Result<Vec<Result<()>>> {
        let (id, those) = (id.clone(), names(users)?);
        let joined = self
            .0
            .edit_directory(move |editor| editor.join_thread(&id, &those))
            .await?;
        self.wake(users);
        Ok(joined
            .into_iter()
            .map(|user| user.map_err(Error::from))
            .collect())
    }

    /// Lets up to 10 users leave, and says of each how it went.
    ///
    /// # Errors
    ///
    /// As [`join`](Self::join).
    pub async fn leave(&self, id: &ResourceId, users: &[UserId]) -> Result<Vec<Result<()>>> {
        let (id, users) = (id.clone(), names(users)?);
        let left = self
            .0
            .edit_directory(move |editor| editor.leave_thread(&id, &users))
            .await?;
        Ok(left
            .into_iter()
            .map(|user| user.map_err(Error::from))
            .collect())
    }

    /// A page of those who are in a thread, by id.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory) if there is no such thread, or the cursor is not of this list.
    pub async fn members(
        &self,
        id: &ResourceId,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<UserId>> {
        let (id, cursor) = (id.clone(), cursor.map(str::to_owned));
        self.0
            .look_up(move |directory| directory.thread_members(&id, cursor.as_deref(), limit))
            .await
    }

    /// A page of all threads of the app, by creation.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory) if the cursor is not of this list.
    pub async fn list(
        &self,
        newest_first: bool,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<Thread>> {
        let cursor = cursor.map(str::to_owned);
        self.0
            .look_up(move |directory| directory.threads(newest_first, cursor.as_deref(), limit))
            .await
    }

    /// A page of the threads that a user has joined, by joining: all, or those of a group.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`](crate::ErrorKind::Directory) if there is no such user, or the cursor is not of this list.
    pub async fn joined(
        &self,
        user: &UserId,
        group: Option<&ResourceId>,
        newest_first: bool,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<Thread>> {
        let (user, group) = (user.clone(), group.cloned());
        let cursor = cursor.map(str::to_owned);
        self.0
            .look_up(move |directory| {
                let (group, cursor) = (group.as_ref(), cursor.as_deref());
                directory.threads_joined(&user, group, newest_first, cursor, limit)
            })
            .await
    }
}
