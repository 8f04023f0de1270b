//! The head table: where each conversation stands.
//!
//! A head is loaded from the tables when its conversation is first touched and stays in memory from then on; so opening
//! costs nothing per conversation. The committer changes heads as it applies messages, and each checkpoint writes the
//! changed ones. Hence seq never restarts, even after everything in a conversation has expired.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Bound;

use parking_lot::RwLock;
use tidestore_kv::{Batch, Engine};
use tidestore_messages::{AppId, Conversation, MessageId, Seq};

use crate::error::Result;
use crate::tables::{self, Position};

type Key = (AppId, Conversation);

/// The head table of a shard.
#[derive(Debug, Default)]
pub(crate) struct Heads {
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    known: HashMap<Key, Position>,
    dirty: HashSet<Key>,
}

/// Clean heads beyond this number are forgotten at a checkpoint; about 100 MB.
const KNOWN_MAX: usize = 1_000_000;

impl Heads {
    /// Where a conversation stands; zero before its first message. For readers: remembers nothing, so that nobody can
    /// fill the memory with names, and no old value can slip in behind a checkpoint.
    pub(crate) fn peek(
        &self,
        engine: &dyn Engine,
        app: AppId,
        conversation: &Conversation,
    ) -> Result<Position> {
        if let Some(head) = self.state.read().known.get(&(app, conversation.clone())) {
            return Ok(*head);
        }
        Ok(tables::head(engine, app, conversation)?.unwrap_or_default())
    }

    /// The same for the committer and the replay, who are about to move the head on: it is known from now on.
    pub(crate) fn load(
        &self,
        engine: &dyn Engine,
        app: AppId,
        conversation: &Conversation,
    ) -> Result<Position> {
        let head = self.peek(engine, app, conversation)?;
        let key = (app, conversation.clone());
        Ok(*self.state.write().known.entry(key).or_insert(head))
    }

    /// Moves a head on to an applied message. The head must be known, see [`load`](Self::load).
    pub(crate) fn advance<'a>(
        &self,
        messages: impl IntoIterator<Item = (AppId, &'a Conversation, Seq, MessageId)>,
    ) {
        let mut state = self.state.write();
        for (app, conversation, seq, id) in messages {
            let key = (app, conversation.clone());
            let head = state.known.entry(key.clone()).or_default();
            head.last_seq = head.last_seq.max(seq.0);
            head.last_id = head.last_id.max(id.0);
            if !state.dirty.contains(&key) {
                state.dirty.insert(key);
            }
        }
    }

    /// Adds every changed head to a batch of the tables; they count as clean from now on.
    pub(crate) fn checkpoint(&self, batch: &mut Batch) {
        let mut state = self.state.write();
        let state = &mut *state;
        for key in state.dirty.drain() {
            if let Some(head) = state.known.get(&key) {
                tables::put_head(batch, key.0, key.1.as_str(), *head);
            }
        }
        if state.known.len() > KNOWN_MAX {
            state.known.clear();
        }
    }

    /// Pages through an app's conversations in the order of their canonical texts.
    pub(crate) fn page(
        &self,
        engine: &dyn Engine,
        app: AppId,
        after: Option<&Conversation>,
        limit: usize,
    ) -> Result<Vec<(Conversation, Position)>> {
        // The tables hold the state of the last checkpoint; what changed since is in memory.
        let stored = tables::heads_after(engine, app, after, limit)?;
        let last = stored
            .last()
            .filter(|_| stored.len() == limit)
            .map(|(last, _)| last.clone());
        let mut merged: BTreeMap<Conversation, Position> = stored.into_iter().collect();
        let low = after.map_or(Bound::Unbounded, Bound::Excluded);
        let high = last.as_ref().map_or(Bound::Unbounded, Bound::Included);
        let state = self.state.read();
        for key in state.dirty.iter().filter(|key| key.0 == app) {
            if std::ops::RangeBounds::contains(&(low, high), &key.1)
                && let Some(head) = state.known.get(key)
            {
                merged.insert(key.1.clone(), *head);
            }
        }
        Ok(merged.into_iter().take(limit).collect())
    }

    /// Forgets an app.
    pub(crate) fn forget(&self, app: AppId) {
        let mut state = self.state.write();
        state.known.retain(|key, _| key.0 != app);
        state.dirty.retain(|key| key.0 != app);
    }
}
