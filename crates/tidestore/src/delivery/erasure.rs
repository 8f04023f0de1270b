//! Erasing a user: account, inbox and cursors, and if asked all that he ever sent.
//!
//! An erasure is noted as a row before it begins, does its parts in records of bounded size, and is taken up again by the
//! next opening if a crash comes in between: each part may be done twice.

use std::sync::Arc;

use tidestore_attributes::AttributesEditor;
use tidestore_directory::{Directory, Editor, NewUser};
use tidestore_kv::{Engine, Overlay, Table, page_of};
use tidestore_messages::{AppId, Conversation, Cursor, MessageId, Page};
use tidestore_plan::{AttachmentId, UserId};

use crate::app::App;
use crate::delivery::intake::is_there;
use crate::delivery::reactions::Reaction;
use crate::delivery::reader::Reader;
use crate::delivery::tables::{
    CHANGES, DEVICES, ERASED, ERASING, HIDDEN, REACTED, SENT, UNLISTED, VIEWS, delete_aging,
    key_of, number_behind, text,
};
use crate::directory::edited;
use crate::error::{ErrorKind, Result};
use crate::expiry::MergeReport;
use crate::shard::{Command, FUTURE_MAX, Shard};
use crate::store::blocking;

/// Rows removed by one record.
const ROWS_MAX: usize = 1_024;

/// How much of a user goes: the value of `ERASING`.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
enum Depth {
    /// Views and devices: with every user who is deleted.
    Cursors = 0,
    /// Also reactions, and what is hidden from him: these lie under messages and are searched for.
    Marks = 1,
    /// Also what he sent.
    Messages = 2,
}

/// What is still there of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traces {
    /// Whether there is an account, a block list, a membership or the like.
    pub account: bool,
    /// Whether there are attributes.
    pub attributes: bool,
    /// Rows of inboxes, cursors and marks.
    pub rows: u64,
    /// Conversations of which it is known up to where he has sent. They stay as long as what he sent does.
    pub sent_marks: u64,
    /// Messages that he sent, in memory and in segments.
    pub messages: u64,
    /// Records of messages that he sent, in the log.
    pub log_records: u64,
}

impl Traces {
    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl App {
    /// Erases a user: account, memberships, attributes, inbox, cursors, reactions. With `messages` also all that he sent, in
    /// every conversation, with its attachments and edits: whoever reads finds the places empty at once, and when this
    /// returns no file holds the contents any more. That reads all messages of the app once.
    ///
    /// A user who is not registered is erased as well: he may have sent through [`append`](Self::append). What others sent
    /// to him stays theirs, and so does the name of their conversation with him.
    ///
    /// # Errors
    ///
    /// What the disk reports; what is left is done by the next call, or after the next opening.
    pub async fn erase_user(&self, user: &UserId, messages: bool) -> Result<()> {
        let id = user.clone();
        self.change(move |rows, scope| {
            let key = key_of(scope.app).name(id.as_str());
            let depth = if messages {
                Depth::Messages
            } else {
                Depth::Marks
            };
            rows.put_bytes(ERASING, key, [depth as u8]);
            // He may have some without being registered.
            let of = crate::directory::attributes_scope(scope);
            Ok(AttributesEditor::new(rows, &of).user_deleted(&id)?)
        })
        .await?;
        match self.users().delete(user).await {
            Err(error) if !matches!(error.kind(), ErrorKind::Directory(_)) => Err(error),
            // Whoever deletes leaves what follows for later if it fails; whoever erases hears of it.
            _ => self.finish_erasure(user).await,
        }
    }

    /// Notes that what inboxes know of a user has to go; if an erasure has begun already, that is enough.
    pub(crate) fn begin_erasure(&self, rows: &mut Overlay<'_>, user: &UserId) -> Result<()> {
        let key = key_of(self.id()).name(user.as_str());
        if !is_there(rows, ERASING, &key)? {
            rows.put_bytes(ERASING, key, [Depth::Cursors as u8]);
        }
        Ok(())
    }

    /// Does what is left of an erasure that has begun. One at a time: nobody goes on with it who thinks that it is not done,
    /// while somebody else has finished it and a new user is there under the same id.
    pub(crate) async fn finish_erasure(&self, user: &UserId) -> Result<()> {
        let _one = self.store().inner.erasures.lock().await;
        let key = key_of(self.id()).name(user.as_str());
        let row = self.home().engine.get(ERASING, key.bytes())?;
        let Some(row) = row else { return Ok(()) };
        let depth = row.first().copied().unwrap_or_default();
        self.forget_rows_of(user, depth).await?;
        if depth >= Depth::Messages as u8 {
            self.erase_messages(user).await?;
        }
        self.change(move |rows, _| {
            rows.delete(ERASING, key);
            Ok(())
        })
        .await
    }

    /// Registers users once nothing is left of those who had their ids before: what goes on erasing them would take the new
    /// ones for the old.
    pub(crate) async fn register_anew<T: Send + 'static>(
        &self,
        new: Vec<NewUser>,
        register: impl Fn(&mut Editor<'_, '_>, Vec<NewUser>) -> tidestore_directory::Result<T>
        + Clone
        + Send
        + 'static,
    ) -> Result<T> {
        loop {
            let (app, new, register) = (self.clone(), new.clone(), register.clone());
            let done = self.change(move |rows, scope| {
                for user in &new {
                    if is_there(rows, ERASING, &key_of(app.id()).name(user.id.as_str()))? {
                        return Ok(Err(user.id.clone()));
                    }
                }
                let edit = |editor: &mut Editor<'_, '_>| register(editor, new);
                edited(&app, rows, scope, edit).map(Ok)
            });
            match done.await? {
                Ok((done, effects)) => {
                    self.follow_up(&effects);
                    return Ok(done);
                }
                Err(leaving) => self.finish_erasure(&leaving).await?,
            }
        }
    }

    /// Removes what inboxes, marks and reactions know of a user.
    async fn forget_rows_of(&self, user: &UserId, depth: u8) -> Result<()> {
        let (app, user) = (self.id(), user.clone());
        let (inner, home) = (Arc::clone(&self.store().inner), Arc::clone(self.home()));
        blocking(move || {
            let own = key_of(app).names(user.as_str());
            for table in [VIEWS, UNLISTED, DEVICES] {
                forget_below(&home, table, own.bytes())?;
            }
            if depth < Depth::Marks as u8 {
                return Ok(());
            }
            for shard in &inner.shards.list {
                for table in [HIDDEN, REACTED] {
                    forget_marks(shard, app, table, &user)?;
                }
                if depth >= Depth::Messages as u8 {
                    shard.heads.forget_sender(app, user.as_str());
                    forget_marks(shard, app, SENT, &user)?;
                }
            }
            Ok(())
        })
        .await
    }

    async fn erase_messages(&self, user: &UserId) -> Result<()> {
        let name = user.clone();
        let references = self.read(move |reader| reader.drop_edits_of(&name));
        for (id, attachment) in references.await? {
            self.let_go(attachment, id).await?;
        }
        let (app, user, inner) = (self.id(), user.clone(), Arc::clone(&self.store().inner));
        // Imported messages may be dated ahead.
        let latest = self
            .now()
            .saturating_add(FUTURE_MAX)
            .min(MessageId::MILLIS_MAX);
        let last = MessageId::first_at(latest);
        blocking(move || {
            for shard in &inner.shards.list {
                let name = user.clone();
                shard.change_own(move |rows, _| {
                    let key = key_of(app).name(name.as_str());
                    rows.put_bytes(ERASED, key, last.0.to_le_bytes());
                    Ok(())
                })?;
                shard.purge(&mut MergeReport::default())?;
            }
            Ok(())
        })
        .await
    }

    /// Looks for everything that is left of a user: in the tables, in memory, in every segment, in the log. Reads all
    /// messages of the app.
    ///
    /// # Errors
    ///
    /// What the disk reports.
    pub async fn find_traces(&self, user: &UserId) -> Result<Traces> {
        let user = user.clone();
        self.read(move |reader| reader.find_traces(&user)).await
    }
}

/// Removes all rows below a prefix.
fn forget_below(shard: &Shard, table: Table, prefix: &[u8]) -> Result<()> {
    loop {
        let prefix = prefix.to_vec();
        let more = shard.change_own(move |rows, _| {
            let page = page_of(rows, table, &prefix, None, false, ROWS_MAX)?;
            let more = page.len() == ROWS_MAX;
            for (key, _) in page {
                rows.delete(table, key);
            }
            Ok(more)
        })?;
        if !more {
            return Ok(());
        }
    }
}

/// Removes what stands under conversations and messages, and names a user.
fn forget_marks(shard: &Shard, app: AppId, table: Table, user: &UserId) -> Result<()> {
    let mut behind: Option<Vec<u8>> = None;
    loop {
        let (after, user) = (behind.take(), user.clone());
        behind = shard.change_own(move |rows, _| {
            let prefix = key_of(app);
            let after = after.as_deref();
            let page = page_of(rows, table, prefix.bytes(), after, false, ROWS_MAX)?;
            for (key, _) in &page {
                let rest = key.get(4..).unwrap_or_default();
                if table == REACTED {
                    forget_reaction(rows, app, &user, rest)?;
                } else if names(table, rest, &user) {
                    rows.delete(table, key.clone());
                }
            }
            Ok(page.into_iter().next_back().map(|(key, _)| key))
        })?;
        if behind.is_none() {
            return Ok(());
        }
    }
}

/// Whether a key of `SENT` or `HIDDEN` names a user, behind its app.
fn names(table: Table, rest: &[u8], user: &UserId) -> bool {
    if table == SENT {
        return rest.get(8..) == Some(user.as_str().as_bytes());
    }
    let name = rest.split(|byte| *byte == 0).nth(1);
    name == Some(user.as_str().as_bytes())
}

fn forget_reaction(rows: &mut Overlay<'_>, app: AppId, user: &UserId, rest: &[u8]) -> Result<()> {
    let (id, rest) = number_behind(rest, b"")?;
    let mut parts = rest.splitn(2, |byte| *byte == 0);
    if parts.next() != Some(user.as_str().as_bytes()) {
        return Ok(());
    }
    let reaction = Reaction {
        app,
        id: MessageId(id),
        user: user.clone(),
        text: text(parts.next().unwrap_or_default())?.to_owned(),
    };
    reaction.remove(rows)
}

impl Reader {
    /// Calls with every message of the app that a user sent.
    fn each_sent(
        &self,
        user: &UserId,
        mut visit: impl FnMut(&Conversation, &tidestore_messages::Message) -> Result<()>,
    ) -> Result<()> {
        for shard in &self.inner.shards.list {
            let mut after: Option<Conversation> = None;
            loop {
                let engine = &*shard.engine;
                let heads = {
                    let behind = after.as_ref().map(Conversation::as_str);
                    shard.heads.page(engine, self.app, behind, 512)?
                };
                let Some((last, _)) = heads.last() else { break };
                after = Some(last.clone());
                for (conversation, _) in heads {
                    let pair = conversation.pair();
                    if pair.is_some_and(|(a, b)| a != user.as_str() && b != user.as_str()) {
                        continue;
                    }
                    let mut page = Page::oldest(Page::LIMIT_MAX);
                    loop {
                        let found = self.raw_page(&conversation, page)?;
                        for message in found.iter().filter(|m| m.sender == user.as_str()) {
                            visit(&conversation, message)?;
                        }
                        let Some(last) = found.last() else { break };
                        page = Page::after(Cursor::Id(last.id), Page::LIMIT_MAX);
                    }
                }
            }
        }
        Ok(())
    }

    /// Removes the edits of what a user sent, and says what his messages refer to.
    fn drop_edits_of(&self, user: &UserId) -> Result<Vec<(MessageId, AttachmentId)>> {
        let (mut references, app) = (Vec::new(), self.app);
        self.each_sent(user, |conversation, message| {
            let id = message.id;
            references.extend(
                message
                    .attachments
                    .iter()
                    .map(|attachment| (id, *attachment)),
            );
            let key = key_of(app).names(conversation.as_str()).number(id.0);
            let shard = self.shard_of(conversation);
            if shard.engine.get(CHANGES, key.bytes())?.is_some() {
                shard.change_own(move |rows, _| {
                    delete_aging(rows, app, id, CHANGES, key);
                    Ok(())
                })?;
            }
            Ok(())
        })?;
        Ok(references)
    }

    fn find_traces(&self, user: &UserId) -> Result<Traces> {
        let mut traces = Traces::default();
        let directory: Directory<'_, dyn Engine> = self.directory();
        traces.account = directory.user(user).is_ok()
            || !self.channels_of(user)?.is_empty()
            || directory
                .blocked(user, None, 1)
                .is_ok_and(|page| !page.items.is_empty());
        let attributes = tidestore_attributes::Attributes::new(&*self.home.engine, self.app);
        traces.attributes = !attributes.get(user, None)?.is_empty();
        let own = key_of(self.app).names(user.as_str());
        for table in [VIEWS, UNLISTED, DEVICES] {
            tidestore_kv::each_row(&*self.home.engine, table, own.bytes(), |_, _| {
                traces.rows += 1;
                Ok::<_, tidestore_kv::Error>(true)
            })?;
        }
        for shard in &self.inner.shards.list {
            let prefix = key_of(self.app);
            for table in [SENT, HIDDEN, REACTED] {
                tidestore_kv::each_row(&*shard.engine, table, prefix.bytes(), |key, _| {
                    let rest = key.get(4..).unwrap_or_default();
                    let is_his = if table == REACTED {
                        let rest = rest.get(8..).unwrap_or_default();
                        rest.split(|byte| *byte == 0).next() == Some(user.as_str().as_bytes())
                    } else {
                        names(table, rest, user)
                    };
                    let count = if table == SENT {
                        &mut traces.sent_marks
                    } else {
                        &mut traces.rows
                    };
                    *count += u64::from(is_his);
                    Ok::<_, tidestore_kv::Error>(true)
                })?;
            }
            traces.messages += shard.view.count_sender(self.app, user.as_str())?;
            let (app, name) = (self.app, user.as_str().to_owned());
            traces.log_records += shard.ask_own(|reply| Command::CountSender(app, name, reply))?;
        }
        Ok(traces)
    }
}
