//! Shared files of a group: attachments that live as long as they are shared.

use tidestore_blobs::{NewAttachment, Reference};
use tidestore_directory::{Page, SharedFile};
use tidestore_plan::{AttachmentId, ResourceId, UserId};

use crate::app::App;
use crate::error::{Error, ErrorKind, Result};

/// The shared files of one group.
#[derive(Clone, Debug)]
pub struct SharedFiles<'a> {
    app: &'a App,
    group: ResourceId,
}

impl App {
    /// The shared files of a group.
    pub fn shared_files(&self, group: &ResourceId) -> SharedFiles<'_> {
        SharedFiles {
            app: self,
            group: group.clone(),
        }
    }

    /// Takes back the pins of files that are no longer shared; those that a crash has left are taken back after opening.
    pub(crate) async fn take_back_pins(&self) -> Result<()> {
        let app = self.id();
        let _turn = self.store().inner.pins.lock().await;
        loop {
            let home = std::sync::Arc::clone(self.home());
            let found = crate::store::blocking(move || {
                Ok(tidestore_directory::unpins_of(&*home.engine, app, 256)?)
            })
            .await?;
            if found.is_empty() {
                return Ok(());
            }
            for (attachment, group) in found {
                self.take_back_pin(attachment, group).await?;
            }
        }
    }

    async fn take_back_pin(&self, attachment: AttachmentId, group: ResourceId) -> Result<()> {
        let of = group.clone();
        let is_due = self
            .edit_directory(move |editor| editor.take_unpin(&of, attachment))
            .await?;
        if !is_due {
            return Ok(());
        }
        let pin = Reference::GroupFile(group.clone());
        match self.unrefer_attachment(attachment, pin).await {
            Ok(()) => {}
            // Deleted meanwhile, and its pins with it.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::AttachmentNotFound | ErrorKind::AttachmentExpired
                ) => {}
            Err(error) => return Err(error),
        }
        self.edit_directory(move |editor| {
            editor.unpinned(&group, attachment);
            Ok(())
        })
        .await
    }
}

impl SharedFiles<'_> {
    /// Shares an attachment with the group: it lives until that ends, whatever else refers to it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`] if there is no such group, it is banned, the owner is not in it, or it shares the
    /// attachment already; [`ErrorKind::Limit`] over 10,000 files; [`ErrorKind::AttachmentNotFound`],
    /// [`ErrorKind::AttachmentExpired`].
    pub async fn share(
        &self,
        owner: &UserId,
        attachment: AttachmentId,
        name: &str,
    ) -> Result<SharedFile> {
        let (chars, max) = (name.chars().count(), NewAttachment::NAME_CHARS_MAX);
        if chars > max {
            let text = format!("the name is {chars} characters long; at most {max} are allowed");
            return Err(Error::new(ErrorKind::Argument, text));
        }
        let found = self.app.attachment(attachment).await?;
        let file = SharedFile {
            attachment,
            name: name.to_owned(),
            owner: owner.clone(),
            size: found.length,
            created: self.app.now(),
        };
        // Pins are set and taken back one at a time: nobody may take back what is just being set.
        let turn = self.app.store().inner.pins.lock().await;
        let (group, user) = (self.group.clone(), owner.clone());
        self.app
            .edit_directory(move |editor| editor.intend_pin(&group, &user, attachment))
            .await?;
        let pin = Reference::GroupFile(self.group.clone());
        self.app.refer_attachment(attachment, pin).await?;
        let (group, shared) = (self.group.clone(), file.clone());
        let done = self
            .app
            .edit_directory(move |editor| editor.share_file(&group, shared))
            .await;
        drop(turn);
        match done {
            Ok(()) => Ok(file),
            Err(error) => {
                self.app.take_back_pins().await?;
                Err(error)
            }
        }
    }

    /// Ends the sharing of a file.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`] if there is no such group or file.
    pub async fn unshare(&self, attachment: AttachmentId) -> Result<()> {
        let group = self.group.clone();
        self.app
            .edit_directory(move |editor| editor.unshare_file(&group, attachment))
            .await?;
        let done = self.app.take_back_pins().await;
        self.app.home().leave(done);
        Ok(())
    }

    /// A page of shared files, newest first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`] if there is no such group, or the cursor is not of this list.
    pub async fn list(&self, cursor: Option<&str>, limit: usize) -> Result<Page<SharedFile>> {
        let (group, cursor) = (self.group.clone(), cursor.map(str::to_owned));
        self.app
            .look_up(move |directory| directory.shared_files(&group, cursor.as_deref(), limit))
            .await
    }

    /// Finds a shared file.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Directory`] if there is no such group or file.
    pub async fn get(&self, attachment: AttachmentId) -> Result<SharedFile> {
        let group = self.group.clone();
        self.app
            .look_up(move |directory| directory.shared_file(&group, attachment))
            .await
    }
}
