//! Reading what a user may see, on a thread that may wait for the disk.

use std::ops::Bound;
use std::sync::Arc;

use tidestore_directory::{ChannelKind, Directory};
use tidestore_disk::Millis;
use tidestore_kv::{Engine, Range};
use tidestore_messages::{AppId, Conversation, Cursor, Io, Message, MessageId, Page, Parties, Seq};
use tidestore_plan::UserId;

use crate::app::{App, unreadable};
use crate::delivery::changes::ChangeRow;
use crate::delivery::intake::is_there;
use crate::delivery::tables::{self, CHANGES, OPEN_HISTORY, key_of};
use crate::delivery::views::{Lens, ViewRow, drop_hidden, hidden, view};
use crate::error::{Error, ErrorKind, Result};
use crate::shard::Shard;
use crate::store::Inner;
use crate::tables::Position;

/// Reads one app at one moment of its floor.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    pub(crate) inner: Arc<Inner>,
    pub(crate) app: AppId,
    pub(crate) home: Arc<Shard>,
    pub(crate) floor: Millis,
}

impl App {
    /// Reads on a thread that may wait.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let reader = Reader {
            inner: Arc::clone(&self.store().inner),
            app: self.id(),
            home: Arc::clone(self.home()),
            floor: self.floor()?,
        };
        self.store().inner.look(move || read(&reader)).await
    }
}

impl Shard {
    /// Whether pages of this shard have to be looked through for changes.
    pub(crate) fn may_revise(&self, app: AppId) -> bool {
        use tidestore_disk::sync::atomic::Ordering::Relaxed;
        let redacted = || self.redacted.read();
        self.has_changes.load(Relaxed) || redacted().senders.keys().any(|(of, _)| *of == app)
    }

    /// Shows messages as they are now: recalled, edited, erased.
    pub(crate) fn revise(
        &self,
        app: AppId,
        conversation: &Conversation,
        messages: &mut [Message],
    ) -> Result<()> {
        if !self.may_revise(app) {
            return Ok(());
        }
        {
            let redacted = self.redacted.read();
            for message in messages.iter_mut() {
                if redacted.is_erased(app, message) {
                    message.erase();
                }
            }
        }
        let ids = || messages.iter().map(|message| message.id.0);
        let (Some(low), Some(high)) = (ids().min(), ids().max()) else {
            return Ok(());
        };
        let prefix = key_of(app).names(conversation.as_str());
        let range = Range {
            start: Bound::Included(prefix.clone().number(low).into()),
            end: Bound::Included(prefix.clone().number(high).into()),
            reverse: false,
            limit: usize::MAX,
        };
        for (key, value) in self.engine.range(CHANGES, range)? {
            let (id, _) = tables::number_behind(&key, prefix.bytes())?;
            let change: ChangeRow = tidestore_kv::decode_row(CHANGES, &key, &value)?;
            let changed = messages.iter_mut().find(|message| message.id.0 == id);
            if let Some(message) = changed {
                change.show(message);
            }
        }
        Ok(())
    }
}

impl Reader {
    pub(crate) fn shard_of(&self, conversation: &Conversation) -> &Arc<Shard> {
        self.inner.shards.of(self.app, conversation)
    }

    pub(crate) fn directory(&self) -> Directory<'_, dyn Engine> {
        Directory::new(&*self.home.engine, self.app)
    }

    pub(crate) fn head(&self, conversation: &Conversation) -> Result<Position> {
        let shard = self.shard_of(conversation);
        shard.heads.peek(&*shard.engine, self.app, conversation)
    }

    pub(crate) fn view(&self, user: &UserId, conversation: &Conversation) -> Result<ViewRow> {
        view(&*self.home.engine, self.app, user, conversation)
    }

    /// A page as it is now, whoever reads it.
    pub(crate) fn page(&self, conversation: &Conversation, page: Page) -> Result<Vec<Message>> {
        let shard = self.shard_of(conversation);
        let found = shard
            .view
            .page(self.app, conversation, page, self.floor, Io::Allowed)?;
        let mut found = found.ready().ok_or_else(unreadable)?;
        shard.revise(self.app, conversation, &mut found)?;
        Ok(found)
    }

    /// A message as it is now.
    pub(crate) fn message(&self, id: MessageId) -> Result<Option<(Conversation, Message)>> {
        let Some(shard) = self.inner.shards.list.get(usize::from(id.shard())) else {
            return Ok(None);
        };
        let found = shard.view.find(self.app, id, self.floor, Io::Allowed)?;
        let Some((conversation, mut message)) = found.ready().ok_or_else(unreadable)? else {
            return Ok(None);
        };
        shard.revise(self.app, &conversation, std::slice::from_mut(&mut message))?;
        Ok(Some((conversation, message)))
    }

    /// Takes out of a page what a user may not see.
    pub(crate) fn keep_visible(
        &self,
        user: &UserId,
        conversation: &Conversation,
        lens: &Lens,
        messages: &mut Vec<Message>,
    ) -> Result<()> {
        messages.retain(|message| lens.admits(message));
        let engine = &*self.shard_of(conversation).engine;
        drop_hidden(engine, self.app, conversation, user.as_str(), messages)
    }

    /// What a user may see of a conversation.
    pub(crate) fn lens(&self, user: &UserId, conversation: &Conversation) -> Result<Lens> {
        let view = self.view(user, conversation)?;
        Ok(view.lens(self.sees_past(conversation, &view)?))
    }

    pub(crate) fn sees_past(&self, conversation: &Conversation, view: &ViewRow) -> Result<bool> {
        match conversation.main_str().strip_prefix("group:") {
            Some(group) if view.since > 0 => {
                let key = key_of(self.app).name(group);
                is_there(&*self.home.engine, OPEN_HISTORY, &key)
            }
            _ => Ok(true),
        }
    }

    /// Makes sure that a user takes part in a conversation.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conversation`] if a direct conversation is not his, [`ErrorKind::Directory`] if he is not in the
    /// group, chatroom, or the group of the thread.
    pub(crate) fn check_part(&self, user: &UserId, conversation: &Conversation) -> Result<()> {
        let parties = conversation.parties().ok_or_else(|| {
            let text = format!("{conversation} names no conversation");
            Error::new(ErrorKind::Conversation, text)
        })?;
        let directory = self.directory();
        let (kind, id) = match parties {
            Parties::Direct(low, high) if *user == low || *user == high => return Ok(()),
            Parties::Direct(..) => {
                let text = format!("{user} is no part of {conversation}");
                return Err(Error::new(ErrorKind::Conversation, text));
            }
            Parties::Group(id) => (ChannelKind::Group, id),
            Parties::Room(id) => (ChannelKind::Room, id),
            Parties::Thread(id) => (ChannelKind::Group, directory.thread(&id)?.group),
        };
        if directory.is_member(kind, &id, user)? {
            return Ok(());
        }
        directory.member(kind, &id, user)?;
        Ok(())
    }

    /// The groups and threads that a user is in, as conversations.
    pub(crate) fn channels_of(&self, user: &UserId) -> Result<Vec<Conversation>> {
        let directory = self.directory();
        let groups = directory.joined_ids(user, ChannelKind::Group)?;
        let threads = directory.thread_ids(user)?;
        let groups = groups.iter().map(Conversation::group);
        Ok(groups
            .chain(threads.iter().map(Conversation::thread))
            .collect())
    }

    /// Up to which number a user has read: by saying so, by sending, or because everybody has.
    pub(crate) fn read_up_to(
        &self,
        user: &UserId,
        conversation: &Conversation,
        view: &ViewRow,
    ) -> Result<u64> {
        let shard = self.shard_of(conversation);
        let engine = &*shard.engine;
        let sent = shard
            .heads
            .sent(engine, self.app, conversation, user.as_str())?;
        let by_all = tables::sent(engine, self.app, conversation, "")?;
        Ok(view.read_seq.max(sent).max(by_all))
    }

    /// How many messages a user has not read. A few rows, and at most one look at a segment, however many there are; only
    /// where messages were imported behind those he has read they are counted one by one.
    pub(crate) fn unread(
        &self,
        user: &UserId,
        conversation: &Conversation,
        head: &Position,
        view: &ViewRow,
    ) -> Result<u64> {
        let lens = view.lens(self.sees_past(conversation, view)?);
        let read = self
            .read_up_to(user, conversation, view)?
            .max(lens.above_seq);
        if head.last_seq <= read {
            return Ok(0);
        }
        if head.imported_seq > read {
            return self.count_above(user, conversation, &lens, read, |_| true);
        }
        let floor = self.floor.max(MessageId(lens.from_id).millis());
        let is_known = view.read_seq == read && MessageId(view.read_id).millis() >= floor;
        let first = if is_known && read > 0 {
            read + 1
        } else {
            // Usually the very next one; further on where some have expired unread.
            let page = Page::after(Cursor::Seq(Seq(read)), 1);
            match self.page_above(conversation, page, floor)?.first() {
                Some(first) => first.seq.0,
                None => return Ok(0),
            }
        };
        self.count_between(user, conversation, first, head.last_seq)
    }

    /// A page as it was stored: for numbers and ids only.
    pub(crate) fn raw_page(&self, conversation: &Conversation, page: Page) -> Result<Vec<Message>> {
        self.page_above(conversation, page, self.floor)
    }

    fn page_above(
        &self,
        conversation: &Conversation,
        page: Page,
        floor: Millis,
    ) -> Result<Vec<Message>> {
        let view = &self.shard_of(conversation).view;
        let found = view.page(self.app, conversation, page, floor, Io::Allowed)?;
        found.ready().ok_or_else(unreadable)
    }

    /// How many numbers there are from one to another, both included, that are not hidden from a user.
    pub(crate) fn count_between(
        &self,
        user: &UserId,
        conversation: &Conversation,
        first: u64,
        last: u64,
    ) -> Result<u64> {
        if first > last {
            return Ok(0);
        }
        let engine = &*self.shard_of(conversation).engine;
        let hidden = hidden(engine, self.app, conversation, user.as_str(), first, last)?;
        Ok((last - first + 1).saturating_sub(hidden.len() as u64))
    }

    /// Counts, one by one, the messages above a number that a user may see.
    pub(crate) fn count_above(
        &self,
        user: &UserId,
        conversation: &Conversation,
        lens: &Lens,
        seq: u64,
        counts: impl Fn(&Message) -> bool,
    ) -> Result<u64> {
        let (mut after, mut count) = (seq, 0);
        loop {
            let page = Page::after(Cursor::Seq(Seq(after)), Page::LIMIT_MAX);
            let mut found = self.raw_page(conversation, page)?;
            let Some(last) = found.last() else {
                return Ok(count);
            };
            after = last.seq.0;
            self.keep_visible(user, conversation, lens, &mut found)?;
            count += found.iter().filter(|message| counts(message)).count() as u64;
        }
    }
}
