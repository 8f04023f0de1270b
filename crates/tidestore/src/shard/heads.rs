//! The head table: where each conversation stands.
//!
//! A head is loaded from the tables when its conversation is first touched and stays in memory from then on; so opening
//! costs nothing per conversation. The committer changes heads as it applies messages, and each checkpoint writes the
//! changed ones, with what follows from them: the order of a user's direct conversations, and up to where each sender
//! has sent. Hence seq never restarts, even after everything in a conversation has expired, and a message costs no row.
//!
//! What a checkpoint wrote stays here until the next one: its batch takes effect a moment after it was made, and in
//! between a reader must find the heads in one place or the other.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;
use std::ops::Bound;

// Names that anybody may choose: seeded anew in each process, so that nobody can aim at one bucket.
use ahash::{HashMap, HashSet};
use compact_str::CompactString;
use tidestore_disk::sync::RwLock;
use tidestore_kv::{Batch, Engine};
use tidestore_messages::{AppId, ByConversation, Conversation, Message, Place};

use crate::delivery::tables::{self as delivery, Order};
use crate::error::Result;
use crate::tables::{self, Position};

/// Numbers that a repair could not account for: messages in a lost batch of the log had them, and nobody knows in which
/// conversations. Each jumps over them once, with its next message, so that none is given twice.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gap {
    count: u64,
    before: u64,
}

impl Gap {
    pub(crate) fn load(engine: &dyn Engine) -> Result<Self> {
        Ok(Self {
            count: tables::number(engine, tables::GAP)?,
            before: tables::number(engine, tables::GAP_BEFORE)?,
        })
    }

    /// How many numbers the next message of a conversation jumps over. One that an import came to since has done so.
    pub(crate) fn before(&self, head: &Position) -> u64 {
        let is_older = head.last_id < self.before;
        let is_imported = head.imported_seq > 0 && head.imported_seq == head.last_seq;
        if is_older && !is_imported {
            self.count
        } else {
            0
        }
    }
}

type Key = (AppId, Conversation);

/// A conversation and where it stands.
pub(crate) type Head = (Conversation, Position);

/// The head table of a shard.
#[derive(Debug)]
pub(crate) struct Heads {
    state: RwLock<State>,
    /// Clean heads beyond this number are forgotten; about 150 bytes each.
    max: usize,
}

#[derive(Debug, Default)]
struct State {
    known: ByConversation<Entry>,
    /// Changed since the last checkpoint, each once.
    dirty: Vec<Key>,
    /// Written by the last checkpoint.
    settling: Vec<Key>,
    /// The direct conversations among both, by user.
    touched: HashMap<(AppId, CompactString), HashSet<Conversation>>,
    /// How many had to stay when the last ones were forgotten.
    stayed: usize,
}

#[derive(Debug, Default)]
struct Entry {
    head: Position,
    /// As the tables have it.
    stored: Position,
    /// Up to which number each sender has sent, of those who did lately, and whether that is not written yet.
    sent: HashMap<CompactString, (u64, bool)>,
    /// Whether it stands among those that changed.
    is_dirty: bool,
}

impl Heads {
    /// A table of at most so many heads that need not be kept.
    pub(crate) fn new(max: usize) -> Self {
        Self {
            state: RwLock::default(),
            max,
        }
    }

    /// How many heads are in memory.
    pub(crate) fn known(&self) -> usize {
        self.state.read().known.len()
    }

    /// How many changed since the last checkpoint.
    pub(crate) fn dirty(&self) -> usize {
        self.state.read().dirty.len()
    }

    /// Forgets clean heads if there are too many. An import that stores nothing, because it was made before, looks at every
    /// conversation without ever coming to a checkpoint. Committer only, before it stages anything: what it has loaded
    /// must be known until it is applied.
    pub(crate) fn bound(&self) {
        let is_over = |state: &State| state.known.len() > self.max.max(2 * state.stayed);
        if is_over(&self.state.read()) {
            self.state.write().forget_clean();
        }
    }

    /// Where a conversation stands; zero before its first message. For readers: remembers nothing, so that nobody can
    /// fill the memory with names, and no old value can slip in behind a checkpoint.
    pub(crate) fn peek(
        &self,
        engine: &dyn Engine,
        app: AppId,
        conversation: &Conversation,
    ) -> Result<Position> {
        if let Some(entry) = self.state.read().known.get(&Place(app, conversation)) {
            return Ok(entry.head);
        }
        Ok(tables::head(engine, app, conversation)?.unwrap_or_default())
    }

    /// The same for the committer and the replay, who are about to move the head on: it is known from now on, and with
    /// an aside its conversation.
    pub(crate) fn load(
        &self,
        engine: &dyn Engine,
        app: AppId,
        conversation: &Conversation,
    ) -> Result<Position> {
        if conversation.is_aside() {
            self.load(engine, app, &conversation.main())?;
        }
        let place = Place(app, conversation);
        if let Some(entry) = self.state.read().known.get(&place) {
            return Ok(entry.head);
        }
        let head = tables::head(engine, app, conversation)?.unwrap_or_default();
        let mut state = self.state.write();
        let entry = state.known.entry_ref(&place);
        let fresh = || Entry {
            head,
            stored: head,
            sent: HashMap::default(),
            is_dirty: false,
        };
        Ok(entry.or_insert_with(fresh).head)
    }

    /// Moves heads on to applied messages. They must be known, see [`load`](Self::load).
    pub(crate) fn advance<'a>(
        &self,
        messages: impl IntoIterator<Item = (AppId, &'a Conversation, &'a Message)>,
    ) {
        let mut state = self.state.write();
        for (app, conversation, message) in messages {
            let is_room = conversation.as_str().starts_with("room:");
            let is_aside = conversation.is_aside();
            state.change(Place(app, conversation), |entry| {
                entry.head = entry.head.after(message.seq, message.id);
                if is_room || is_aside {
                    return;
                }
                if let Some(sent) = entry.sent.get_mut(&message.sender) {
                    *sent = (sent.0.max(message.seq.0), true);
                } else {
                    let sender = message.sender.clone();
                    entry.sent.insert(sender, (message.seq.0, true));
                }
            });
            if is_aside {
                state.change(Place(app, &conversation.main()), |entry| {
                    let last = &mut entry.head.aside_live;
                    *last = (*last).max(message.id.0);
                });
            }
        }
    }

    /// Up to which number a user has sent in a conversation.
    pub(crate) fn sent(
        &self,
        engine: &dyn Engine,
        app: AppId,
        conversation: &Conversation,
        user: &str,
    ) -> Result<u64> {
        {
            let state = self.state.read();
            let entry = state.known.get(&Place(app, conversation));
            if let Some((seq, _)) = entry.and_then(|entry| entry.sent.get(user)) {
                return Ok(*seq);
            }
        }
        delivery::sent(engine, app, conversation, user)
    }

    /// Adds up to so many changed heads to a batch of the tables; they count as clean from now on. Answers how many there
    /// were. A checkpoint does all that is left at once, and while it does nobody can append: a hundred thousand changed
    /// heads took a fifth of a second.
    pub(crate) fn settle_some(&self, batch: &mut Batch, limit: usize) -> usize {
        let mut state = self.state.write();
        let state = &mut *state;
        let from = state.dirty.len().saturating_sub(limit);
        let some = state.dirty.split_off(from);
        state.write(&some, batch);
        let count = some.len();
        state.settling.extend(some);
        count
    }

    /// Adds every changed head to a batch of the tables; they count as clean from now on.
    pub(crate) fn checkpoint(&self, batch: &mut Batch) {
        let mut state = self.state.write();
        let state = &mut *state;
        let dirty = std::mem::take(&mut state.dirty);
        for key in std::mem::take(&mut state.settling) {
            if let Some(entry) = state.known.get_mut(&key) {
                entry.sent.retain(|_, (_, is_new)| *is_new);
            }
        }
        state.write(&dirty, batch);
        state.touched.clear();
        for key in &dirty {
            note_touched(&mut state.touched, key);
        }
        state.settling = dirty;
        if state.known.len() > self.max {
            state.forget_clean();
        }
    }

    /// Pages through an app's conversations in the order of their canonical texts.
    pub(crate) fn page(
        &self,
        engine: &dyn Engine,
        app: AppId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Head>> {
        // What changed lately is in memory; read first, because a checkpoint moves it from there into the tables.
        let fresh: BTreeMap<Conversation, Position> = {
            let state = self.state.read();
            let keys = state.dirty.iter().chain(&state.settling);
            let keys =
                keys.filter(|key| key.0 == app && after.is_none_or(|after| key.1.as_str() > after));
            keys.filter_map(|key| Some((key.1.clone(), state.known.get(key)?.head)))
                .collect()
        };
        let stored = tables::heads_after(engine, app, after, limit)?;
        let last = stored.last().filter(|_| stored.len() == limit);
        let high = last.map_or(Bound::Unbounded, |(last, _)| Bound::Included(last.clone()));
        let mut merged: BTreeMap<Conversation, Position> = stored.into_iter().collect();
        let fresh = fresh.range((Bound::Unbounded, high));
        merged.extend(fresh.map(|(conversation, head)| (conversation.clone(), *head)));
        Ok(merged.into_iter().take(limit).collect())
    }

    /// A user's direct conversations that have messages, the youngest message first, behind a place in that order.
    pub(crate) fn directs_by_time(
        &self,
        engine: &dyn Engine,
        app: AppId,
        user: &str,
        behind: Option<(u64, &Conversation)>,
        limit: usize,
    ) -> Result<Vec<Head>> {
        let is_behind = |(conversation, head): &Head| {
            behind.is_none_or(|(id, last)| {
                (std::cmp::Reverse(head.last_id), conversation) > (std::cmp::Reverse(id), last)
            })
        };
        let fresh = self.touched(app, user);
        let mut found = Vec::new();
        let mut after = behind.map(|(id, last)| (id, last.clone()));
        while found.len() < limit {
            let after_key = after.as_ref().map(|(id, last)| (*id, last));
            let rows = delivery::activity(engine, app, user, Order::Time, after_key, 0, limit)?;
            let is_last = rows.len() < limit;
            after = rows.last().cloned();
            for (_, conversation) in rows {
                if !fresh.contains_key(&conversation) {
                    let head = self.peek(engine, app, &conversation)?;
                    found.push((conversation, head));
                }
            }
            if is_last {
                break;
            }
        }
        let fresh = fresh.into_iter().filter(|(_, head)| head.last_id > 0);
        found.extend(fresh.filter(is_behind));
        found.sort_unstable_by(|a, b| (b.1.last_id, &a.0).cmp(&(a.1.last_id, &b.0)));
        found.truncate(limit);
        Ok(found)
    }

    /// A user's direct conversations where something came after an id that devices wait for. Costs as many rows as there
    /// are such conversations, and a look at those of the user that changed since the last checkpoints.
    pub(crate) fn directs_since(
        &self,
        engine: &dyn Engine,
        app: AppId,
        user: &str,
        id: u64,
    ) -> Result<Vec<Head>> {
        let mut found = self.touched(app, user);
        for order in [Order::Time, Order::Arrival] {
            let rows = delivery::activity(engine, app, user, order, None, id, usize::MAX)?;
            for (_, conversation) in rows {
                if let Slot::Vacant(place) = found.entry(conversation) {
                    let head = self.peek(engine, app, place.key())?;
                    place.insert(head);
                }
            }
        }
        let news = found.into_iter().filter(|(_, head)| head.arrival() > id);
        Ok(news.collect())
    }

    fn touched(&self, app: AppId, user: &str) -> BTreeMap<Conversation, Position> {
        let state = self.state.read();
        let touched = state.touched.get(&(app, CompactString::from(user)));
        let heads = touched.into_iter().flatten().filter_map(|conversation| {
            let entry = state.known.get(&Place(app, conversation))?;
            Some((conversation.clone(), entry.head))
        });
        heads.collect()
    }

    /// Forgets an app.
    pub(crate) fn forget(&self, app: AppId) {
        let mut state = self.state.write();
        state.known.retain(|key, _| key.0 != app);
        state.dirty.retain(|key| key.0 != app);
        state.settling.retain(|key| key.0 != app);
        state.touched.retain(|key, _| key.0 != app);
    }

    /// Forgets up to where a user has sent.
    pub(crate) fn forget_sender(&self, app: AppId, user: &str) {
        let mut state = self.state.write();
        let entries = state.known.iter_mut().filter(|(key, _)| key.0 == app);
        for (_, entry) in entries {
            entry.sent.remove(user);
        }
    }
}

impl State {
    /// Forgets what is as the tables have it.
    fn forget_clean(&mut self) {
        let settling: HashSet<&Key> = self.settling.iter().collect();
        self.known
            .retain(|key, entry| entry.is_dirty || settling.contains(key));
        self.stayed = self.known.len();
    }

    /// Adds heads to a batch of the tables.
    fn write(&mut self, keys: &[Key], batch: &mut Batch) {
        for key in keys {
            if let Some(entry) = self.known.get_mut(key) {
                entry.is_dirty = false;
                entry.write(batch, key.0, &key.1);
            }
        }
    }

    fn change(&mut self, place: Place<'_>, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.known.get_mut(&place) {
            change(entry);
            if std::mem::replace(&mut entry.is_dirty, true) {
                return;
            }
        } else {
            let mut entry = Entry {
                is_dirty: true,
                ..Entry::default()
            };
            change(&mut entry);
            self.known.insert((&place).into(), entry);
        }
        let key = (&place).into();
        note_touched(&mut self.touched, &key);
        self.dirty.push(key);
    }
}

fn note_touched(
    touched: &mut HashMap<(AppId, CompactString), HashSet<Conversation>>,
    (app, conversation): &Key,
) {
    if conversation.is_aside() {
        return;
    }
    let (low, high) = conversation.pair().unzip();
    for user in [low, high].into_iter().flatten() {
        let key = (*app, CompactString::from(user));
        touched.entry(key).or_default().insert(conversation.clone());
    }
}

impl Entry {
    /// Writes the head, and what follows from it and is no longer as the tables have it.
    fn write(&mut self, batch: &mut Batch, app: AppId, conversation: &Conversation) {
        tables::put_head(batch, app, conversation.as_str(), self.head);
        delivery::move_activity(batch, app, conversation, &self.stored, &self.head);
        self.stored = self.head;
        for (sender, (seq, is_new)) in &mut self.sent {
            if std::mem::take(is_new) {
                delivery::put_sent(batch, app, conversation, sender, *seq);
            }
        }
    }
}
