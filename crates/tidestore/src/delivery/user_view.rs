//! Conversations as one user sees them: his list, history, what he has read and what he has deleted.

use std::sync::Arc;

use tidestore_disk::Millis;
use tidestore_messages::{Conversation, Cursor, Kind, Message, MessageId, Page, Seq};
use tidestore_plan::UserId;

use crate::app::App;
use crate::delivery::inbox::check_limit;
use crate::delivery::reader::Reader;
use crate::delivery::views::{Lens, ViewRow, hide, put_view, view};
use crate::error::{Error, ErrorKind, Result};

/// Conversations as one user sees them. What he deletes here is gone for him only.
#[derive(Clone, Debug)]
pub struct UserView<'a> {
    pub(crate) app: &'a App,
    pub(crate) user: UserId,
}

/// Which messages of a conversation a reader wants. The default is all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only of this sender.
    pub sender: Option<UserId>,
    /// Only of these kinds; empty for all.
    pub kinds: Vec<Kind>,
    /// Only from this time on, in milliseconds.
    pub from: Option<Millis>,
    /// Only before this time.
    pub until: Option<Millis>,
}

/// A page of history as a user sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryPage {
    /// The messages, in the order of the page.
    pub messages: Vec<Message>,
    /// Where the next page goes on in the same direction; `None` at the end. There may be one though this page is short:
    /// a call looks at a bounded number of messages that a filter leaves out.
    pub next: Option<Cursor>,
}

/// Messages that one call looks at, at most, while it searches for those a filter lets through.
const LOOKED_AT_MAX: usize = 10_000;

impl Filter {
    fn admits(&self, message: &Message) -> bool {
        let time = message.millis();
        self.sender
            .as_ref()
            .is_none_or(|sender| message.sender == sender.as_str())
            && (self.kinds.is_empty() || self.kinds.contains(&message.kind))
            && self.from.is_none_or(|from| time >= from)
            && self.until.is_none_or(|until| time < until)
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl App {
    /// Conversations as a user sees them.
    pub fn as_user(&self, user: &UserId) -> UserView<'_> {
        UserView {
            app: self,
            user: user.clone(),
        }
    }

    /// Says whether those who come into a group later see what was sent before. By default they do not.
    ///
    /// # Errors
    ///
    /// What the disk reports.
    pub async fn open_history(
        &self,
        group: &tidestore_plan::ResourceId,
        is_open: bool,
    ) -> Result<()> {
        use crate::delivery::tables::{OPEN_HISTORY, key_of};
        let group = group.clone();
        self.change(move |rows, scope| {
            let key = key_of(scope.app).name(group.as_str());
            if is_open {
                rows.put_bytes(OPEN_HISTORY, key, []);
            } else {
                rows.delete(OPEN_HISTORY, key);
            }
            Ok(())
        })
        .await
    }
}

impl UserView<'_> {
    /// A page of a conversation's history: what is stored, not expired, and not hidden from the user.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conversation`], [`ErrorKind::Directory`]: the user takes no part in it. [`ErrorKind::Argument`]: a limit
    /// of 0 or over [`Page::LIMIT_MAX`].
    pub async fn history(
        &self,
        conversation: &Conversation,
        page: Page,
        filter: &Filter,
    ) -> Result<HistoryPage> {
        check_limit(page.limit())?;
        let (user, conversation) = (self.user.clone(), conversation.main());
        let filter = filter.clone();
        self.app
            .read(move |reader| {
                reader.check_part(&user, &conversation)?;
                let lens = reader.lens(&user, &conversation)?;
                reader.filtered(&user, &conversation, &lens, page, &filter)
            })
            .await
    }

    /// How many messages of a conversation the user has not read. What he sends himself he has read, and all before it.
    ///
    /// # Errors
    ///
    /// As [`history`](Self::history).
    pub async fn unread(&self, conversation: &Conversation) -> Result<u64> {
        let (user, conversation) = (self.user.clone(), conversation.main());
        self.app
            .read(move |reader| {
                reader.check_part(&user, &conversation)?;
                let (head, view) = (
                    reader.head(&conversation)?,
                    reader.view(&user, &conversation)?,
                );
                reader.unread(&user, &conversation, &head, &view)
            })
            .await
    }

    /// Says that the user has read a conversation up to a number, or all of it. Never goes back.
    ///
    /// # Errors
    ///
    /// As [`history`](Self::history).
    pub async fn mark_read(&self, conversation: &Conversation, up_to: Option<Seq>) -> Result<()> {
        let (user, of) = (self.user.clone(), conversation.main());
        let found = self.app.read(move |reader| {
            reader.check_part(&user, &of)?;
            let head = reader.head(&of)?;
            let seq = up_to.map_or(head.last_seq, |seq| seq.0.min(head.last_seq));
            let page = Page::before(Cursor::Seq(Seq(seq.saturating_add(1))), 1);
            let last = reader.raw_page(&of, page)?.pop();
            let id = last.filter(|last| last.seq.0 == seq);
            Ok((seq, id.map_or(0, |last| last.id.0)))
        });
        let (seq, id) = found.await?;
        self.settle(conversation).await?;
        self.change_view(conversation, move |view| {
            if seq > view.read_seq {
                (view.read_seq, view.read_id) = (seq, id);
            }
        })
        .await
    }

    /// Up to which number the user has read a conversation. For the other one of a direct conversation this is the read
    /// receipt.
    ///
    /// # Errors
    ///
    /// As [`history`](Self::history).
    pub async fn read_up_to(&self, conversation: &Conversation) -> Result<Seq> {
        let (user, conversation) = (self.user.clone(), conversation.main());
        self.app
            .read(move |reader| {
                reader.check_part(&user, &conversation)?;
                let view = reader.view(&user, &conversation)?;
                reader.read_up_to(&user, &conversation, &view).map(Seq)
            })
            .await
    }

    /// Pins a conversation in the user's list, or takes that back.
    ///
    /// # Errors
    ///
    /// As [`history`](Self::history).
    pub async fn set_pinned(&self, conversation: &Conversation, is_pinned: bool) -> Result<()> {
        let now = self.app.now();
        self.change_own_view(conversation, move |view| {
            view.pinned = is_pinned.then(|| view.pinned.unwrap_or(now));
        })
        .await
    }

    /// Marks a conversation as one that shall not notify the user, or takes that back.
    ///
    /// # Errors
    ///
    /// As [`history`](Self::history).
    pub async fn set_muted(&self, conversation: &Conversation, is_muted: bool) -> Result<()> {
        self.change_own_view(conversation, move |view| view.muted = is_muted)
            .await
    }

    /// Deletes what a conversation holds now, for the user: it leaves his list until something new comes.
    ///
    /// # Errors
    ///
    /// As [`history`](Self::history).
    pub async fn clear(&self, conversation: &Conversation) -> Result<()> {
        self.clear_to(conversation, None).await
    }

    /// Deletes a conversation up to a number, that one included, for the user.
    ///
    /// # Errors
    ///
    /// As [`history`](Self::history).
    pub async fn clear_up_to(&self, conversation: &Conversation, seq: Seq) -> Result<()> {
        self.clear_to(conversation, Some(seq)).await
    }

    async fn clear_to(&self, conversation: &Conversation, seq: Option<Seq>) -> Result<()> {
        let of = conversation.main();
        let last = self.app.read(move |reader| Ok(reader.head(&of)?.last_seq));
        let last = last.await?;
        self.settle(conversation).await?;
        let seq = seq.map_or(last, |seq| seq.0.min(last));
        self.change_own_view(conversation, move |view| {
            view.cleared_seq = view.cleared_seq.max(seq);
        })
        .await
    }

    /// Deletes what is older than a time, for the user.
    ///
    /// # Errors
    ///
    /// As [`history`](Self::history).
    pub async fn clear_before(&self, conversation: &Conversation, time: Millis) -> Result<()> {
        let first = MessageId::first_at(time.min(MessageId::MILLIS_MAX)).0;
        self.change_own_view(conversation, move |view| {
            view.cleared_id = view.cleared_id.max(first);
        })
        .await
    }

    /// Deletes single messages, for the user. Those that are not there are passed over.
    ///
    /// # Errors
    ///
    /// As [`history`](Self::history); [`ErrorKind::Argument`] for more than [`Page::LIMIT_MAX`].
    pub async fn hide(&self, conversation: &Conversation, ids: &[MessageId]) -> Result<()> {
        if ids.len() > Page::LIMIT_MAX {
            let text = format!(
                "{} messages in one call; {} fit",
                ids.len(),
                Page::LIMIT_MAX
            );
            return Err(Error::new(ErrorKind::Argument, text));
        }
        let (user, of, ids) = (self.user.clone(), conversation.main(), ids.to_vec());
        let found = self.app.read(move |reader| {
            reader.check_part(&user, &of)?;
            let mut found = Vec::new();
            for id in ids {
                let message = reader.message(id)?;
                found.extend(message.filter(|(place, _)| *place == of));
            }
            Ok((Arc::clone(reader.shard_of(&of)), found))
        });
        let (shard, found) = found.await?;
        self.settle(conversation).await?;
        let (user, app) = (self.user.clone(), self.app.id());
        shard
            .change(move |rows, _| {
                for (conversation, message) in &found {
                    hide(rows, app, conversation, &user, message.seq, message.id);
                }
                Ok(())
            })
            .await
    }

    /// Waits until the numbers that a mark is about to name are durable.
    async fn settle(&self, conversation: &Conversation) -> Result<()> {
        let inner = &self.app.store().inner;
        let shard = inner.shards.of(self.app.id(), conversation);
        shard.settle(shard.applied()).await
    }

    async fn change_own_view(
        &self,
        conversation: &Conversation,
        change: impl FnOnce(&mut ViewRow) + Send + 'static,
    ) -> Result<()> {
        let (user, of) = (self.user.clone(), conversation.main());
        let part = self.app.read(move |reader| reader.check_part(&user, &of));
        part.await?;
        self.change_view(conversation, change).await
    }

    async fn change_view(
        &self,
        conversation: &Conversation,
        change: impl FnOnce(&mut ViewRow) + Send + 'static,
    ) -> Result<()> {
        let (user, conversation) = (self.user.clone(), conversation.main());
        self.app
            .change(move |rows, scope| {
                let mut row = view(rows, scope.app, &user, &conversation)?;
                change(&mut row);
                put_view(rows, scope.app, &user, &conversation, &row)
            })
            .await
    }
}

impl Reader {
    /// A page of what a user may see and a filter lets through.
    fn filtered(
        &self,
        user: &UserId,
        conversation: &Conversation,
        lens: &Lens,
        page: Page,
        filter: &Filter,
    ) -> Result<HistoryPage> {
        let limit = page.limit();
        let (mut page, mut looked_at, mut messages) = (narrowed(page, filter), 0, Vec::new());
        // What is left out is read too, so a filtered page reads ahead.
        let chunk = if filter.is_empty() {
            limit
        } else {
            limit.max(200)
        };
        loop {
            let raw = self.page(conversation, page.with_limit(chunk))?;
            let (is_end, last) = (raw.len() < chunk, raw.last().cloned());
            looked_at += raw.len();
            let is_over = last
                .as_ref()
                .is_none_or(|last| is_past(&page, filter, lens, last));
            let mut found = raw;
            self.keep_visible(user, conversation, lens, &mut found)?;
            for message in found.into_iter().filter(|message| filter.admits(message)) {
                messages.push(message);
                if messages.len() == limit {
                    let next = messages.last().map(|last| page.at(last));
                    return Ok(HistoryPage { messages, next });
                }
            }
            let Some(last) = last.filter(|_| !is_end && !is_over) else {
                return Ok(HistoryPage {
                    messages,
                    next: None,
                });
            };
            page = page.behind(page.at(&last));
            if looked_at >= LOOKED_AT_MAX {
                let next = Some(page.at(&last));
                return Ok(HistoryPage { messages, next });
            }
        }
    }
}

/// Lets a page without a cursor begin where the filter's times do.
fn narrowed(page: Page, filter: &Filter) -> Page {
    let time = if page.is_towards_past() {
        filter.until
    } else {
        filter.from
    };
    match time.filter(|_| page.cursor().is_none()) {
        Some(time) => page.behind(Cursor::Time(time)),
        None => page,
    }
}

/// Whether nothing behind a message can be on the page.
fn is_past(page: &Page, filter: &Filter, lens: &Lens, last: &Message) -> bool {
    if page.is_by_seq() {
        return page.is_towards_past() && last.seq.0 <= lens.above_seq;
    }
    if page.is_towards_past() {
        let from = filter.from.map_or(0, |from| MessageId::first_at(from).0);
        return last.id.0 < from.max(lens.from_id);
    }
    filter.until.is_some_and(|until| last.millis() >= until)
}
