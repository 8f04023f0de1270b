//! What a user has done with a conversation: read up to where, what is hidden, pinned, muted.

use std::ops::Bound;

use tidestore_disk::Millis;
use tidestore_kv::{Key, Overlay, Range, Rows};
use tidestore_messages::{AppId, Conversation, Message, MessageId, Seq};
use tidestore_plan::UserId;

use crate::app::App;
use crate::delivery::tables::{HIDDEN, VIEWS, key_of, number_behind, put_aging};
use crate::error::Result;

/// The value of `VIEWS`. One that is not there is the default: nothing read, nothing hidden.
#[derive(Clone, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub(crate) struct ViewRow {
    /// The last number when the user came into the group; what stands up to it is not his.
    pub(crate) since: u64,
    /// He has read up to this number.
    pub(crate) read_seq: u64,
    /// The id of that message, if known: what is younger lies above the floor if this does.
    pub(crate) read_id: u64,
    /// He has deleted what stands up to this number.
    pub(crate) cleared_seq: u64,
    /// He has deleted what is older than this id, the first of its millisecond.
    pub(crate) cleared_id: u64,
    /// Since when it is pinned in his list.
    pub(crate) pinned: Option<Millis>,
    /// Whether he wants no notifications of it.
    pub(crate) muted: bool,
}

impl ViewRow {
    /// What of a conversation its user may see.
    pub(crate) fn lens(&self, sees_past: bool) -> Lens {
        let since = if sees_past { 0 } else { self.since };
        Lens {
            above_seq: since.max(self.cleared_seq),
            from_id: self.cleared_id,
        }
    }
}

fn view_key(app: AppId, user: &UserId, conversation: &Conversation) -> Key {
    key_of(app).names(user.as_str()).name(conversation.as_str())
}

pub(crate) fn view(
    rows: &(impl Rows + ?Sized),
    app: AppId,
    user: &UserId,
    conversation: &Conversation,
) -> Result<ViewRow> {
    let key = view_key(app, user, conversation);
    crate::delivery::intake::row_or_default(rows, VIEWS, &key)
}

pub(crate) fn put_view(
    rows: &mut Overlay<'_>,
    app: AppId,
    user: &UserId,
    conversation: &Conversation,
    view: &ViewRow,
) -> Result<()> {
    Ok(rows.put(VIEWS, view_key(app, user, conversation), view)?)
}

impl App {
    /// Notes where a group stands when a user comes into it: what was sent before is not his.
    pub(crate) fn note_newcomer(
        &self,
        rows: &mut Overlay<'_>,
        group: &Conversation,
        user: &UserId,
    ) -> Result<()> {
        let shard = self.store().inner.shards.of(self.id(), group);
        for conversation in [group.clone(), group.aside()] {
            let head = shard.heads.peek(&*shard.engine, self.id(), &conversation)?;
            let mut row = view(rows, self.id(), user, &conversation)?;
            if row.since != head.last_seq {
                row.since = head.last_seq;
                put_view(rows, self.id(), user, &conversation, &row)?;
            }
        }
        Ok(())
    }
}

/// What of a conversation a user may see, but for single messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lens {
    pub(crate) above_seq: u64,
    pub(crate) from_id: u64,
}

impl Lens {
    pub(crate) fn admits(&self, message: &Message) -> bool {
        message.seq.0 > self.above_seq && message.id.0 >= self.from_id
    }
}

fn hidden_prefix(app: AppId, conversation: &Conversation, user: &str) -> Key {
    key_of(app).names(conversation.as_str()).names(user)
}

/// Hides a message from a user, for as long as it is stored.
pub(crate) fn hide(
    rows: &mut Overlay<'_>,
    app: AppId,
    conversation: &Conversation,
    user: &UserId,
    seq: Seq,
    id: MessageId,
) {
    let key = hidden_prefix(app, conversation, user.as_str()).number(seq.0);
    put_aging(rows, app, id, HIDDEN, key, id.0.to_le_bytes());
}

/// The numbers from `low` to `high` that are hidden from a user.
pub(crate) fn hidden(
    rows: &(impl Rows + ?Sized),
    app: AppId,
    conversation: &Conversation,
    user: &str,
    low: u64,
    high: u64,
) -> Result<Vec<u64>> {
    let prefix = hidden_prefix(app, conversation, user);
    let range = Range {
        start: Bound::Included(prefix.clone().number(low).into()),
        end: Bound::Included(prefix.clone().number(high).into()),
        reverse: false,
        limit: usize::MAX,
    };
    let rows = rows.page(HIDDEN, range)?;
    let seq = |(key, _): (Vec<u8>, _)| Ok(number_behind(&key, prefix.bytes())?.0);
    rows.into_iter().map(seq).collect()
}

/// Takes out of a page what is hidden from a user.
pub(crate) fn drop_hidden(
    rows: &(impl Rows + ?Sized),
    app: AppId,
    conversation: &Conversation,
    user: &str,
    messages: &mut Vec<Message>,
) -> Result<()> {
    let seqs = || messages.iter().map(|message| message.seq.0);
    let (Some(low), Some(high)) = (seqs().min(), seqs().max()) else {
        return Ok(());
    };
    let hidden = hidden(rows, app, conversation, user, low, high)?;
    if !hidden.is_empty() {
        messages.retain(|message| hidden.binary_search(&message.seq.0).is_err());
    }
    Ok(())
}
