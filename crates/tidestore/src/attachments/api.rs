//! What an app can do with its attachments besides moving their bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tidestore_blobs::index::{self, Moment};
use tidestore_blobs::{Attachment, DayUsage, Reference, id};
use tidestore_plan::AttachmentId;

use crate::app::{App, check_page};
use crate::attachments::desk::{Edit, EditKind, Hold, Request, desk_of};
use crate::error::{Error, ErrorKind, Result};
use crate::guard::millis;
use crate::message::NewMessage;
use crate::shard::Shard;
use crate::store::blocking;

/// What an app's attachments take up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttachmentUsage {
    /// All days together.
    pub total: DayUsage,
    /// By the day of the upload, days since 1970, oldest first; days of which nothing is left are missing.
    pub days: Vec<DayOfUsage>,
}

/// One day of [`AttachmentUsage`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayOfUsage {
    /// Days since 1970-01-01, UTC.
    pub day: u32,
    /// What is stored of that day's uploads.
    pub usage: DayUsage,
}

/// Attachments in one page: some megabytes.
const PAGE_MAX: usize = 10_000;

impl App {
    /// What is known of an attachment, without its content.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::AttachmentNotFound`], [`ErrorKind::AttachmentExpired`], or what the tables report.
    pub async fn attachment(&self, id: AttachmentId) -> Result<Attachment> {
        if let Some(desk) = desk_of(&self.store().inner.desks, id) {
            // So that the references of messages that were appended before are counted.
            desk.settled().await?;
        }
        let app = self.clone();
        let look = move || Ok(app.find_attachment(id)?.1);
        self.store().inner.look(look).await
    }

    /// Pages through the attachments that can be read, oldest first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Argument`]: a limit of 0 or over 10,000. What the tables report.
    pub async fn attachments(
        &self,
        after: Option<AttachmentId>,
        limit: usize,
    ) -> Result<Vec<Attachment>> {
        check_page(limit, PAGE_MAX)?;
        let (app, moment) = (self.clone(), self.moment()?);
        blocking(move || {
            let mut all = Vec::new();
            for shard in &app.store().inner.shards.list {
                all.extend(index::list(&*shard.engine, app.id(), after, limit, moment)?);
            }
            all.sort_unstable_by_key(|attachment| attachment.id);
            all.truncate(limit);
            Ok(all)
        })
        .await
    }

    /// Deletes an attachment at once, whatever refers to it, and gives its space back.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::AttachmentNotFound`], [`ErrorKind::AttachmentExpired`], [`ErrorKind::Full`],
    /// [`ErrorKind::Poisoned`].
    pub async fn delete_attachment(&self, id: AttachmentId) -> Result<()> {
        self.edit(id, EditKind::Delete).await
    }

    /// Notes that something refers to an attachment, which keeps it alive. References of messages are noted by
    /// themselves when the message is appended or imported; this is for pictures of profiles and files of groups.
    ///
    /// # Errors
    ///
    /// As [`delete_attachment`](Self::delete_attachment).
    pub async fn refer_attachment(&self, id: AttachmentId, reference: Reference) -> Result<()> {
        self.edit(id, EditKind::Refer(reference)).await
    }

    /// Takes a reference back: the picture was replaced, the file left the group, the message was recalled. An
    /// attachment that nothing refers to any more is removed after
    /// [`attachment_grace`](crate::Options::attachment_grace). A reference that is not there is no error.
    ///
    /// # Errors
    ///
    /// As [`delete_attachment`](Self::delete_attachment).
    pub async fn unrefer_attachment(&self, id: AttachmentId, reference: Reference) -> Result<()> {
        self.edit(id, EditKind::Unrefer(reference)).await
    }

    async fn edit(&self, id: AttachmentId, what: EditKind) -> Result<()> {
        let (shard, _) = blocking({
            let app = self.clone();
            move || app.find_attachment(id)
        })
        .await?;
        let (app, attachment) = (self.id(), id);
        let edit = Edit {
            app,
            attachment,
            what,
        };
        shard.desk().ask(|reply| Request::Edit(edit, reply)).await
    }

    /// What the app's attachments take up, in total and by the day of their upload. Costs one row a day and shard.
    ///
    /// # Errors
    ///
    /// What the tables report.
    pub async fn attachment_usage(&self) -> Result<AttachmentUsage> {
        self.moment()?;
        let app = self.clone();
        blocking(move || {
            let mut days: BTreeMap<u32, DayUsage> = BTreeMap::new();
            for shard in &app.store().inner.shards.list {
                for (day, usage) in index::usage(&*shard.engine, app.id())? {
                    days.entry(day).or_default().add(usage);
                }
            }
            let mut found = AttachmentUsage::default();
            for (day, usage) in days {
                found.total.add(usage);
                found.days.push(DayOfUsage { day, usage });
            }
            Ok(found)
        })
        .await
    }

    /// Finds an attachment and the shard that keeps it.
    pub(crate) fn find_attachment(&self, id: AttachmentId) -> Result<(Arc<Shard>, Attachment)> {
        let moment = self.moment()?;
        let inner = &self.store().inner;
        let shard = inner.shards.list.get(usize::from(id::shard(id)));
        let Some(shard) = shard else {
            let text = format!("there is no attachment {id}");
            return Err(Error::new(ErrorKind::AttachmentNotFound, text));
        };
        let found = index::find(&*shard.engine, &inner.file.id, self.id(), id, moment)?;
        Ok((Arc::clone(shard), found))
    }

    fn moment(&self) -> Result<Moment> {
        let inner = &self.store().inner;
        Ok(Moment {
            now: inner.guard.expiry_now(),
            floor: self.floor()?,
            retention: millis(inner.options.attachment_retention),
        })
    }

    /// Waits while the clerks of these attachments are behind with noting what refers to them: every message gives them
    /// something to do that no caller waits for, so nothing else holds callers back.
    async fn await_room<'a>(&self, ids: impl Iterator<Item = &'a AttachmentId>) -> Result<()> {
        let shards = &self.store().inner.shards.list;
        let numbers: BTreeSet<_> = ids.map(|id| usize::from(id::shard(*id))).collect();
        for shard in numbers.into_iter().filter_map(|number| shards.get(number)) {
            shard.desk().room(|| shard.poisoned()).await?;
        }
        Ok(())
    }

    /// Makes sure that the attachments of messages are there, and stay there until the answer is dropped. Messages that
    /// name one that is not there get the reason.
    pub(crate) async fn hold_attachments(
        &self,
        messages: &[NewMessage],
    ) -> Result<(Vec<Hold>, Vec<Option<Error>>)> {
        if messages
            .iter()
            .all(|message| message.attachments.is_empty())
        {
            return Ok((Vec::new(), Vec::new()));
        }
        let desks = &self.store().inner.desks;
        let named: Vec<Vec<_>> = messages.iter().map(|m| m.attachments.clone()).collect();
        self.await_room(named.iter().flatten()).await?;
        // Held first and looked for then: between the two nothing can be removed.
        let holds = named.iter().flatten().filter_map(|id| {
            let desk = desk_of(desks, *id)?;
            Some(desk.hold(self.id(), *id))
        });
        let holds = holds.collect();
        let app = self.clone();
        let look = move || {
            let refusal = |ids: &Vec<AttachmentId>| {
                let mut found = ids.iter().map(|id| app.find_attachment(*id));
                found.find_map(Result::err)
            };
            Ok(named.iter().map(refusal).collect())
        };
        let refusals = self.store().inner.look(look).await?;
        Ok((holds, refusals))
    }
}
