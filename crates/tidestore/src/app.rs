//! One app: appending, reading, terms.

use std::sync::Arc;

use tidestore_disk::Millis;
use tidestore_messages::{AppId, Conversation, Io, Lookup, Message, MessageId, Page, Seq};
use tidestore_plan::{AppKey, Terms};

use crate::apps::{AppInfo, AppRecord, TermsRecord, UndoRecord};
use crate::error::{Error, ErrorKind, Result};
use crate::guard::millis;
use crate::message::{NewMessage, OldMessage, Receipt};
use crate::meters::{self, StoreMeters};
use crate::options::Durability;
use crate::record::Event;
use crate::shard::{Messages, Shard};
use crate::store::{Store, blocking, unknown_app};

/// A handle to one app of a store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct App {
    store: Store,
    id: AppId,
    key: AppKey,
}

/// Where a conversation stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The conversation.
    pub conversation: Conversation,
    /// The number of its newest message, also if that has expired; unread is a subtraction from it.
    pub last_seq: Seq,
    /// The largest id in it.
    pub last_id: MessageId,
}

/// What an app has stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Visible messages.
    pub messages: u64,
    /// Bytes of their bodies and extensions.
    pub body_bytes: u64,
    /// Bytes of the app's files, its share of shared ones included; what is only in the log is not counted.
    pub disk_bytes: u64,
    /// Segments that hold something of the app.
    pub segments: u64,
    /// Time of the oldest visible message; may be the floor instead where a segment straddles it.
    pub oldest: Option<Millis>,
    /// Time of the newest visible message.
    pub newest: Option<Millis>,
}

/// What a change of terms would hide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preview {
    /// Messages that are visible now and would not be.
    pub hidden_messages: u64,
    /// Bytes of their bodies and extensions.
    pub hidden_bytes: u64,
    /// Oldest visible time now.
    pub floor_before: Millis,
    /// Oldest visible time after the change.
    pub floor_after: Millis,
}

/// Messages handed to a committer at a time; more are cut into several commands, so that no caller holds up the others.
const COMMAND_MESSAGES_MAX: usize = 1_024;
/// Conversations in one page: some ten megabytes.
const HEADS_MAX: usize = 100_000;

impl App {
    pub(crate) fn new(store: Store, id: AppId, key: AppKey) -> Self {
        Self { store, id, key }
    }

    /// The app's key, `org#app`.
    pub fn key(&self) -> &AppKey {
        &self.key
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// The app's number inside its store.
    pub fn id(&self) -> AppId {
        self.id
    }

    /// Key, terms, floor, and a downgrade that can still be undone.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnknownApp`] if the app was deleted.
    pub fn info(&self) -> Result<AppInfo> {
        self.store.inner.registry.info(&*self.record()?)
    }

    /// Appends one message with the store's default durability and returns its id and number.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Limit`]: body and extension are over 3,072 bytes; nothing was written.
    /// - [`ErrorKind::Conversation`]: the sender is no part of the direct conversation; nothing was written.
    /// - [`ErrorKind::Argument`]: the client id is over 128 bytes, or there are more than 16 attachments or one of them
    ///   twice; nothing was written.
    /// - [`ErrorKind::AttachmentNotFound`], [`ErrorKind::AttachmentExpired`]: it names an attachment that cannot be read;
    ///   nothing was written.
    /// - [`ErrorKind::UnknownApp`]: the app was deleted.
    /// - [`ErrorKind::Full`]: no disk space; nothing was written, reads and expiry still work.
    /// - [`ErrorKind::Poisoned`]: the disk failed; whether the message is stored is known after reopening.
    pub async fn append(&self, message: NewMessage) -> Result<Receipt> {
        self.append_with(message, self.store.inner.options.durability)
            .await
    }

    /// As [`append`](Self::append), with a durability of the caller's choice.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    pub async fn append_with(
        &self,
        message: NewMessage,
        durability: Durability,
    ) -> Result<Receipt> {
        meters::refused(message.check(self.store().limits()))?;
        let (_holds, refusals) = self
            .hold_attachments(std::slice::from_ref(&message))
            .await?;
        if let Some(Some(refusal)) = refusals.into_iter().next() {
            return meters::refused(Err(refusal));
        }
        let shard = self.shard(&message.conversation);
        let messages = Messages::Live(vec![message]);
        let mut receipts = shard.append(self.record()?, messages, durability).await?;
        let receipt = receipts
            .pop()
            .unwrap_or_else(|| Err(unknown_app(&self.key)));
        meters::refused(receipt)
    }

    /// Appends many messages and returns their receipts in the same order. Those of one conversation keep their order;
    /// one that is refused does not stop the others.
    pub async fn append_many(&self, messages: Vec<NewMessage>) -> Vec<Result<Receipt>> {
        let (_holds, refusals) = match self.hold_attachments(&messages).await {
            Ok(held) => held,
            Err(error) => return vec![Err(error); messages.len()],
        };
        let limits = self.store().limits();
        let check = |index: usize, message: &NewMessage| {
            let refusal = refusals.get(index).cloned().flatten();
            refusal.map_or_else(|| message.check(limits), Err)
        };
        self.append_list(
            messages,
            check,
            |message| &message.conversation,
            Messages::Live,
        )
        .await
    }

    /// Imports messages with their own times and returns their receipts in the same order.
    ///
    /// Safe to repeat: see [`OldMessage::occurrence`]. Further reasons for refusal than those of
    /// [`append`](Self::append): [`ErrorKind::TooOld`] for a message older than the floor, [`ErrorKind::Future`] for
    /// one dated more than 24 hours ahead. An attachment that is not here is no reason: the message is worth more than
    /// what it names, and keeps the id.
    pub async fn import(&self, messages: Vec<OldMessage>) -> Vec<Result<Receipt>> {
        let limits = self.store().limits();
        let check = |_, old: &OldMessage| old.message.check(limits);
        self.append_list(
            messages,
            check,
            |old| &old.message.conversation,
            Messages::Imported,
        )
        .await
    }

    async fn append_list<T>(
        &self,
        messages: Vec<T>,
        check: impl Fn(usize, &T) -> Result<()>,
        conversation: impl Fn(&T) -> &Conversation,
        wrap: impl Fn(Vec<T>) -> Messages,
    ) -> Vec<Result<Receipt>> {
        let count = messages.len();
        let record = match self.record() {
            Ok(record) => record,
            Err(error) => return vec![Err(error); count],
        };
        let unanswered = || Err(Error::new(ErrorKind::Closed, "the store is closed"));
        let mut receipts: Vec<_> = std::iter::repeat_with(unanswered).take(count).collect();
        let mut parts: Vec<Part<T>> = Vec::new();
        for (index, message) in messages.into_iter().enumerate() {
            if let Err(error) = check(index, &message) {
                if let Some(receipt) = receipts.get_mut(index) {
                    *receipt = Err(error);
                }
                continue;
            }
            let shard = self.shard(conversation(&message));
            let open = parts
                .iter_mut()
                .rev()
                .find(|part| Arc::ptr_eq(&part.shard, shard));
            match open.filter(|part| part.messages.len() < COMMAND_MESSAGES_MAX) {
                Some(part) => part.push(index, message),
                None => parts.push(Part::start(Arc::clone(shard), index, message)),
            }
        }
        let durability = self.store.inner.options.durability;
        // All commands are in their queues before the first answer is waited for.
        let mut waiting = Vec::with_capacity(parts.len());
        for Part {
            shard,
            indexes,
            messages,
        } in parts
        {
            let answer = shard
                .submit(Arc::clone(&record), wrap(messages), durability)
                .await;
            waiting.push((shard, indexes, answer));
        }
        for (shard, indexes, answer) in waiting {
            let answers = match answer {
                Ok(answer) => shard.answered(answer).await,
                Err(error) => Err(error),
            };
            let answers = answers.unwrap_or_else(|error| vec![Err(error); indexes.len()]);
            for (index, answer) in indexes.into_iter().zip(answers) {
                if let Some(receipt) = receipts.get_mut(index) {
                    *receipt = answer;
                }
            }
        }
        for error in receipts.iter().filter_map(|receipt| receipt.as_ref().err()) {
            meters::count_refusal(error.kind());
        }
        receipts
    }

    /// Reads one page of a conversation. A page that is in memory is answered without leaving the caller's thread.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Argument`]: a limit of 0 or over [`Page::LIMIT_MAX`].
    /// - [`ErrorKind::Corruption`]: a block that the page needs is damaged; other pages are served.
    pub async fn history(&self, conversation: &Conversation, page: Page) -> Result<Vec<Message>> {
        if page.limit() == 0 || page.limit() > Page::LIMIT_MAX {
            let text = format!(
                "a page of {} messages; 1 to {} are possible",
                page.limit(),
                Page::LIMIT_MAX
            );
            return Err(Error::new(ErrorKind::Argument, text));
        }
        let floor = self.floor()?;
        let shard = Arc::clone(self.shard(conversation));
        let id = self.id;
        let found = shard
            .view
            .page(id, conversation, page, floor, Io::CachedOnly)?;
        match found {
            Lookup::Ready(found) if !shard.may_revise(id) => {
                self.meters().reads_memory.increment(1);
                Ok(found)
            }
            _ => {
                self.meters().reads_disk.increment(1);
                let conversation = conversation.clone();
                self.read(move |reader| reader.page(&conversation, page))
                    .await
            }
        }
    }

    /// Finds a message by its id alone; `None` if there is none or it has expired.
    ///
    /// # Errors
    ///
    /// As [`history`](Self::history).
    pub async fn message(&self, id: MessageId) -> Result<Option<(Conversation, Message)>> {
        let floor = self.floor()?;
        let Some(shard) = self.store.inner.shards.list.get(usize::from(id.shard())) else {
            return Ok(None);
        };
        let (shard, app) = (Arc::clone(shard), self.id);
        match shard.view.find(app, id, floor, Io::CachedOnly)? {
            Lookup::Ready(found) if !shard.may_revise(app) => {
                self.meters().reads_memory.increment(1);
                Ok(found)
            }
            _ => {
                self.meters().reads_disk.increment(1);
                self.read(move |reader| reader.message(id)).await
            }
        }
    }

    /// Where one conversation stands; zero before its first message.
    ///
    /// # Errors
    ///
    /// What the tables report.
    pub async fn head(&self, conversation: &Conversation) -> Result<Head> {
        let shard = Arc::clone(self.shard(conversation));
        let (id, conversation) = (self.id, conversation.clone());
        let look = move || {
            let head = shard.heads.peek(&*shard.engine, id, &conversation)?;
            Ok(Head {
                conversation,
                last_seq: Seq(head.last_seq),
                last_id: MessageId(head.last_id),
            })
        };
        self.store.inner.look(look).await
    }

    /// Pages through the app's conversations in the order of their canonical texts, those included whose messages
    /// have all expired. Asides are not among them: each stands beside its conversation, see [`Conversation::aside`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Argument`]: a limit of 0 or over 100,000. What the tables report.
    pub async fn conversations(
        &self,
        after: Option<&Conversation>,
        limit: usize,
    ) -> Result<Vec<Head>> {
        check_page(limit, HEADS_MAX)?;
        self.record()?;
        let (inner, id, after) = (Arc::clone(&self.store.inner), self.id, after.cloned());
        blocking(move || {
            // Asides come first in the order of texts.
            let after = after.as_ref().map_or("", Conversation::as_str);
            let after = after.max(Conversation::BEHIND_ASIDES);
            let mut heads = Vec::new();
            for shard in &inner.shards.list {
                heads.extend(shard.heads.page(&*shard.engine, id, Some(after), limit)?);
            }
            heads.sort_unstable_by(|a, b| a.0.cmp(&b.0));
            heads.truncate(limit);
            let head = |(conversation, head): (_, crate::tables::Position)| Head {
                conversation,
                last_seq: Seq(head.last_seq),
                last_id: MessageId(head.last_id),
            };
            Ok(heads.into_iter().map(head).collect())
        })
        .await
    }

    /// What the app has stored: visible messages, to the millisecond, and bytes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corruption`] if a segment that the floor cuts through is damaged.
    pub async fn usage(&self) -> Result<Usage> {
        let floor = self.floor()?;
        self.count(floor).await
    }

    /// Says what a change of terms would hide, in messages and bytes, without making it.
    ///
    /// # Errors
    ///
    /// As [`usage`](Self::usage).
    pub async fn preview(&self, terms: &Terms) -> Result<Preview> {
        let record = self.record()?;
        let floor_before = self.store.inner.registry.floor(&record);
        let changed = AppRecord {
            terms: TermsRecord::of(terms),
            ..(*record).clone()
        };
        let floor_after = self.store.inner.registry.floor(&changed).max(floor_before);
        let (before, after) = (
            self.count(floor_before).await?,
            self.count(floor_after).await?,
        );
        Ok(Preview {
            hidden_messages: before.messages.saturating_sub(after.messages),
            hidden_bytes: before.body_bytes.saturating_sub(after.body_bytes),
            floor_before,
            floor_after,
        })
    }

    /// Puts the app on other terms.
    ///
    /// With a longer retention the floor stays where it is: what had expired stays expired. With a shorter one it jumps
    /// at once, but files wait for the grace time, within which [`undo`](Self::undo) brings everything back.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnknownApp`] if the app was deleted.
    pub async fn change_terms(&self, terms: Terms) -> Result<AppInfo> {
        let (id, key) = (self.id, self.key.clone());
        let grace = millis(self.store.inner.options.downgrade_grace);
        let terms = TermsRecord::of(&terms);
        let home = self.store.inner.shards.home(self.key.as_str());
        home.decide(Box::new(move |shard| {
            let record = shard.registry.by_id(id).ok_or_else(|| unknown_app(&key))?;
            let now = shard.guard.expiry_now();
            Ok(Some(Event::App(changed(&record, terms, now, grace))))
        }))
        .await?;
        self.info()
    }

    /// Takes the last downgrade back, with everything it hid.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NothingToUndo`]: there was none, or its grace time is over.
    pub async fn undo(&self) -> Result<AppInfo> {
        let (id, key) = (self.id, self.key.clone());
        let home = self.store.inner.shards.home(self.key.as_str());
        home.decide(Box::new(move |shard| {
            let record = shard.registry.by_id(id).ok_or_else(|| unknown_app(&key))?;
            let now = shard.guard.expiry_now();
            let undo = record
                .undo
                .clone()
                .filter(|undo| now < undo.until)
                .ok_or_else(|| {
                    let text = format!("{key} has no downgrade that could still be undone");
                    Error::new(ErrorKind::NothingToUndo, text)
                })?;
            let (terms, floor) = (undo.terms, undo.floor);
            Ok(Some(Event::App(AppRecord {
                terms,
                floor,
                undo: None,
                ..(*record).clone()
            })))
        }))
        .await?;
        self.info()
    }

    async fn count(&self, floor: Millis) -> Result<Usage> {
        let (inner, id) = (Arc::clone(&self.store.inner), self.id);
        blocking(move || {
            let mut usage = Usage::default();
            for shard in &inner.shards.list {
                usage.add(shard.view.count(id, floor)?);
            }
            Ok(usage)
        })
        .await
    }

    pub(crate) fn record(&self) -> Result<Arc<AppRecord>> {
        self.store
            .inner
            .registry
            .by_id(self.id)
            .ok_or_else(|| unknown_app(&self.key))
    }

    /// The time that dates what is made now.
    pub fn now(&self) -> Millis {
        self.store.inner.guard.now()
    }

    pub(crate) fn floor(&self) -> Result<Millis> {
        Ok(self.store.inner.registry.floor(&*self.record()?))
    }

    pub(crate) fn meters(&self) -> &StoreMeters {
        &self.store.inner.shards.meters
    }

    pub(crate) fn shard(&self, conversation: &Conversation) -> &Arc<Shard> {
        self.store.inner.shards.of(self.id, conversation)
    }
}

/// Messages of one call that go to one shard in one command.
struct Part<T> {
    shard: Arc<Shard>,
    indexes: Vec<usize>,
    messages: Vec<T>,
}

impl<T> Part<T> {
    fn start(shard: Arc<Shard>, index: usize, message: T) -> Self {
        Self {
            shard,
            indexes: vec![index],
            messages: vec![message],
        }
    }

    fn push(&mut self, index: usize, message: T) {
        self.indexes.push(index);
        self.messages.push(message);
    }
}

impl Usage {
    fn add(&mut self, count: tidestore_messages::Count) {
        self.messages += count.messages;
        self.body_bytes += count.content_bytes;
        self.disk_bytes += count.file_bytes;
        self.segments += count.segments;
        self.oldest = match (self.oldest, count.oldest) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.newest = self.newest.max(count.newest);
    }
}

/// An app's record after a change of terms.
fn changed(record: &AppRecord, terms: TermsRecord, now: Millis, grace: Millis) -> AppRecord {
    let mut next = AppRecord {
        terms,
        ..record.clone()
    };
    // The old terms' floor is fixed now: an upgrade must not bring back what had expired.
    next.floor = record.floor_at(now);
    let pending = record.undo.clone().filter(|undo| now < undo.until);
    next.undo = match pending {
        // A second change within the grace time still leads back to where the first one began.
        Some(undo) => Some(UndoRecord {
            until: now.saturating_add(grace),
            ..undo
        }),
        None if next.retention() < record.retention() => Some(UndoRecord {
            terms: record.terms.clone(),
            floor: next.floor,
            until: now.saturating_add(grace),
        }),
        None => None,
    };
    next.floor = next.floor_at(now);
    next
}

/// Refuses a page of nothing, and one that would fill the memory.
pub(crate) fn check_page(limit: usize, max: usize) -> Result<()> {
    if limit == 0 || limit > max {
        let text = format!("a page of {limit}; 1 to {max} are possible");
        return Err(Error::new(ErrorKind::Argument, text));
    }
    Ok(())
}

pub(crate) fn unreadable() -> Error {
    Error::new(ErrorKind::Io, "a page that may read found nothing to read")
}
