//! What is committed and not yet in a segment.
//!
//! One writer (the shard's committer) and many readers. Messages of a conversation stand in append order, so that
//! seq is an index; an order by id is kept beside it only after an import has put an older message behind a younger.

use std::collections::{BTreeMap, BTreeSet};

use ahash::HashMap;
use tidestore_disk::sync::RwLock;

use crate::by_conversation::{ByConversation, Place};
use crate::days::{DayCount, day_of};
use crate::page::{Axis, Direction, Span};
use crate::receipts::{Receipt, ReceiptKey};
use crate::types::{AppId, Conversation, Message, MessageId};

/// The part of the store that lives in memory; everything in it is also in the log.
#[derive(Debug, Default)]
pub(crate) struct Memtable {
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    places: ByConversation<usize>,
    runs: Vec<Run>,
    ids: Ids,
    imported: BTreeSet<(AppId, MessageId)>,
    receipts: HashMap<ReceiptKey, Receipt>,
    apps: HashMap<AppId, Tally>,
    bytes: usize,
}

/// Where each message stands, by its id: its run and its row there.
///
/// Ids of live messages rise as they are committed, so that a list is sorted by itself; it takes a third of a map's memory
/// and no hashing. What does not rise goes to the map: imported messages.
#[derive(Debug, Default)]
struct Ids {
    rising: Vec<(MessageId, u32, u32)>,
    others: HashMap<(AppId, MessageId), (u32, u32)>,
}

impl Ids {
    fn insert(&mut self, app: AppId, id: MessageId, (run, row): (usize, usize)) {
        // A memtable is far from four thousand million messages.
        let (run, row) = (narrow(run), narrow(row));
        if !id.is_imported() && self.rising.last().is_none_or(|(last, ..)| *last < id) {
            self.rising.push((id, run, row));
        } else {
            self.others.insert((app, id), (run, row));
        }
    }

    /// Where a message with this id may stand; among the rising ones it may be another app's.
    fn get(&self, app: AppId, id: MessageId) -> Option<(usize, usize)> {
        let (run, row) = match self.rising.binary_search_by_key(&id, |(id, ..)| *id) {
            Ok(place) => self.rising.get(place).map(|(_, run, row)| (*run, *row))?,
            Err(_) => *self.others.get(&(app, id))?,
        };
        Some((run as usize, row as usize))
    }
}

fn narrow(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

/// One conversation's messages.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) app: AppId,
    pub(crate) conversation: Conversation,
    pub(crate) rows: Vec<Message>,
    /// Rows by id; `None` as long as append order is id order.
    by_id: Option<BTreeMap<MessageId, usize>>,
}

/// Counts of one app in one memtable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tally {
    pub(crate) messages: u64,
    pub(crate) content_bytes: u64,
    pub(crate) min_id: MessageId,
    pub(crate) max_id: MessageId,
}

/// One committed message on its way into the memtable.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The app it belongs to.
    pub app: AppId,
    /// The conversation it belongs to.
    pub conversation: Conversation,
    /// The message itself.
    pub message: Message,
    /// Under which key a repeated append finds it; absent without a client id.
    pub receipt: Option<ReceiptKey>,
}

/// Memory beside the content of a message: its row, its place in the indexes, and slack.
const ROW_OVERHEAD: usize = 224;
/// Memory of a conversation beside its messages: its place, its name twice, and room for a few rows more than there are.
/// Without it whoever sends one message to each of very many conversations would fill several times the memory that is
/// meant for a memtable.
const RUN_OVERHEAD: usize = 768;

impl Memtable {
    /// Adds committed messages, in log order.
    pub(crate) fn insert(&self, batch: impl IntoIterator<Item = Applied>) {
        let mut inner = self.inner.write();
        for applied in batch {
            inner.insert(applied);
        }
    }

    /// Estimated memory in bytes: not less than nine tenths of what is really taken, see `tests/memory.rs`.
    pub(crate) fn bytes(&self) -> usize {
        self.inner.read().bytes
    }

    /// Whether nothing was inserted.
    pub(crate) fn is_empty(&self) -> bool {
        self.inner.read().runs.is_empty()
    }

    /// Appends up to `span.limit` messages of a conversation to `found`.
    pub(crate) fn page(
        &self,
        app: AppId,
        conversation: &Conversation,
        span: &Span,
        found: &mut Vec<Message>,
    ) {
        let inner = self.inner.read();
        let place = inner.places.get(&Place(app, conversation));
        if let Some(run) = place.and_then(|place| inner.runs.get(*place)) {
            run.page(span, found);
        }
    }

    /// Finds a message by its id.
    pub(crate) fn find(&self, app: AppId, id: MessageId) -> Option<(Conversation, Message)> {
        let inner = self.inner.read();
        let (place, row) = inner.ids.get(app, id)?;
        let run = inner.runs.get(place).filter(|run| run.app == app)?;
        Some((run.conversation.clone(), run.rows.get(row)?.clone()))
    }

    /// The receipt that an append with this key got.
    pub(crate) fn receipt(&self, key: &ReceiptKey) -> Option<Receipt> {
        self.inner.read().receipts.get(key).copied()
    }

    /// The largest imported id of an app in `[low, high]`.
    pub(crate) fn max_imported(
        &self,
        app: AppId,
        low: MessageId,
        high: MessageId,
    ) -> Option<MessageId> {
        let inner = self.inner.read();
        inner
            .imported
            .range((app, low)..=(app, high))
            .next_back()
            .map(|(_, id)| *id)
    }

    /// The counts of one app.
    pub(crate) fn tally(&self, app: AppId) -> Option<Tally> {
        self.inner.read().apps.get(&app).copied()
    }

    /// The counts of every app.
    pub(crate) fn tallies(&self) -> Vec<(AppId, Tally)> {
        let mut tallies: Vec<_> = self
            .inner
            .read()
            .apps
            .iter()
            .map(|(a, t)| (*a, *t))
            .collect();
        tallies.sort_unstable_by_key(|(app, _)| *app);
        tallies
    }

    /// Counts messages and content bytes of an app at or above an id.
    pub(crate) fn count_from(&self, app: AppId, from: MessageId) -> (u64, u64) {
        let inner = self.inner.read();
        match inner.apps.get(&app) {
            None => (0, 0),
            Some(tally) if tally.min_id >= from => (tally.messages, tally.content_bytes),
            Some(_) => inner
                .runs
                .iter()
                .filter(|run| run.app == app)
                .flat_map(|run| &run.rows)
                .filter(|message| message.id >= from)
                .fold((0, 0), |(n, bytes), message| {
                    (n + 1, bytes + message.content_len())
                }),
        }
    }

    /// Counts an app's messages at or above an id by day. Looks at each of them, under one read lock.
    pub(crate) fn count_days(
        &self,
        app: AppId,
        from: MessageId,
        days: &mut BTreeMap<u32, DayCount>,
    ) {
        let inner = self.inner.read();
        if !inner.apps.contains_key(&app) {
            return;
        }
        let runs = inner.runs.iter().filter(|run| run.app == app);
        for message in runs.flat_map(|run| &run.rows).filter(|m| m.id >= from) {
            days.entry(day_of(message.millis()))
                .or_default()
                .add(DayCount {
                    messages: 1,
                    body_bytes: message.content_len(),
                });
        }
    }

    /// Shows every run, for flushing, under one read lock.
    pub(crate) fn with_runs<T>(&self, read: impl FnOnce(&[Run]) -> T) -> T {
        read(&self.inner.read().runs)
    }

    /// Every receipt, for flushing.
    pub(crate) fn receipts(&self) -> Vec<(ReceiptKey, Receipt)> {
        self.inner
            .read()
            .receipts
            .iter()
            .map(|(key, receipt)| (*key, *receipt))
            .collect()
    }
}

impl Inner {
    fn insert(&mut self, applied: Applied) {
        let Applied {
            app,
            conversation,
            message,
            receipt,
        } = applied;
        self.bytes += ROW_OVERHEAD
            + message.body.len()
            + message.ext.len()
            + message.client_id.len()
            + message.sender.len()
            + size_of_val(message.attachments.as_slice());
        self.apps
            .entry(app)
            .or_insert_with(|| Tally::starting_at(message.id))
            .add(&message);
        if message.id.is_imported() {
            self.imported.insert((app, message.id));
        }
        if let Some(key) = receipt {
            self.receipts.insert(
                key,
                Receipt {
                    id: message.id,
                    seq: message.seq,
                },
            );
        }
        let (runs, bytes) = (&mut self.runs, &mut self.bytes);
        let place = *self
            .places
            .entry_ref(&Place(app, &conversation))
            .or_insert_with(|| {
                *bytes += RUN_OVERHEAD + 2 * conversation.as_str().len();
                runs.push(Run {
                    app,
                    conversation: conversation.clone(),
                    rows: Vec::new(),
                    by_id: None,
                });
                runs.len() - 1
            });
        if let Some(run) = runs.get_mut(place) {
            self.ids.insert(app, message.id, (place, run.rows.len()));
            run.push(message);
        }
    }
}

impl Tally {
    fn starting_at(id: MessageId) -> Self {
        Self {
            messages: 0,
            content_bytes: 0,
            min_id: id,
            max_id: id,
        }
    }

    fn add(&mut self, message: &Message) {
        self.messages += 1;
        self.content_bytes += message.content_len();
        self.min_id = self.min_id.min(message.id);
        self.max_id = self.max_id.max(message.id);
    }
}

impl Run {
    fn push(&mut self, message: Message) {
        let id = message.id;
        let in_order = self.rows.last().is_none_or(|last| last.id < id);
        if !in_order && self.by_id.is_none() {
            self.by_id = Some(
                self.rows
                    .iter()
                    .enumerate()
                    .map(|(row, m)| (m.id, row))
                    .collect(),
            );
        }
        if let Some(by_id) = &mut self.by_id {
            by_id.insert(id, self.rows.len());
        }
        self.rows.push(message);
    }

    /// The messages in id order.
    pub(crate) fn by_id(&self) -> Box<dyn Iterator<Item = &Message> + '_> {
        match &self.by_id {
            None => Box::new(self.rows.iter()),
            Some(by_id) => Box::new(by_id.values().filter_map(|row| self.rows.get(*row))),
        }
    }

    fn page(&self, span: &Span, found: &mut Vec<Message>) {
        match (&self.by_id, span.axis) {
            (Some(by_id), Axis::Id) => {
                let range = by_id.range(MessageId(span.low)..MessageId(span.high.max(span.low)));
                let rows = range.filter_map(|(_, row)| self.rows.get(*row));
                take(rows, span, found);
            }
            // Rows stand in append order, which is also id order here: both axes are sorted.
            (_, axis) => {
                let low = self.rows.partition_point(|m| axis.key(m) < span.low);
                let high = self
                    .rows
                    .partition_point(|m| axis.key(m) < span.high)
                    .max(low);
                take(
                    self.rows.get(low..high).unwrap_or_default().iter(),
                    span,
                    found,
                );
            }
        }
    }
}

fn take<'a>(
    rows: impl DoubleEndedIterator<Item = &'a Message>,
    span: &Span,
    found: &mut Vec<Message>,
) {
    let visible = rows.filter(|message| message.id >= span.floor);
    match span.direction {
        Direction::Before => found.extend(visible.rev().take(span.limit).cloned()),
        Direction::After => found.extend(visible.take(span.limit).cloned()),
    }
}
