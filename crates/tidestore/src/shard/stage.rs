//! Staging: checking commands against the views and against what stands before them in the same batch.
//!
//! Nothing staged is visible, and all of it is forgotten if the batch cannot be written; only the counter of live ids
//! moves on, because an id that was ever given is not given again.

use std::collections::BTreeSet;
use std::sync::Arc;

use ahash::HashMap;
use tidestore_disk::Millis;
use tidestore_kv::Overlay;
use tidestore_messages::{
    AppId, Applied, ByConversation, Conversation, Kind, Message, MessageId, Place,
    Receipt as Stored, ReceiptKey, Revision, Seq,
};

use crate::apps::AppRecord;
use crate::delivery::intake::Intake;
use crate::delivery::tables::put_read_by_all;
use crate::delivery::views::hide;
use crate::error::{Error, ErrorKind, Result};
use crate::guard::Times;
use crate::message::{NewMessage, OldMessage, Receipt};
use crate::record;
use crate::shard::Shard;
use crate::tables::Position;

/// A batch in the making.
#[derive(Debug, Default)]
pub(crate) struct Stage {
    /// The bytes for the log.
    pub(crate) bytes: Vec<u8>,
    /// The same messages for the views.
    pub(crate) applied: Vec<Applied>,
    conversations: ByConversation<Staged>,
    receipts: HashMap<ReceiptKey, Stored>,
    imported: BTreeSet<(AppId, MessageId)>,
    intakes: HashMap<(AppId, Conversation), Intake>,
    /// The time of the batch.
    now: Millis,
}

/// What is staged of one conversation.
#[derive(Debug, Default)]
struct Staged {
    head: Position,
    rows: Vec<usize>,
    /// Youngest staged time; an import of a younger message need not look for its like.
    youngest: Millis,
}

/// A message may lie this far in the future: clocks differ, but not by more than a day.
pub(crate) const FUTURE_MAX: Millis = 24 * 3_600_000;

/// How many milliseconds an import may be moved when its own is full.
const SPILL_MAX: u64 = 1_000;

impl Stage {
    /// Forgets everything and starts a batch.
    ///
    /// The batch carries the time that is trusted, not the one that dates messages: a clock that nobody has confirmed
    /// must not become the last time the store was seen alive, or the next opening would find nothing wrong with it.
    pub(crate) fn restart(&mut self, times: Times) {
        record::start_batch(&mut self.bytes, times.trusted);
        self.applied.clear();
        self.conversations.clear();
        self.receipts.clear();
        self.imported.clear();
        self.intakes.clear();
        self.now = times.now;
    }

    /// Where something is staged.
    pub(crate) fn conversations(&self) -> impl Iterator<Item = &(AppId, Conversation)> {
        self.conversations.keys()
    }

    pub(crate) fn is_empty(&self) -> bool {
        record::is_empty_batch(&self.bytes)
    }

    /// Stages a live message; the id and the time are now.
    pub(crate) fn live(
        &mut self,
        shard: &Shard,
        app: &AppRecord,
        message: NewMessage,
        last_live: &mut u64,
        rows: &mut Overlay<'_>,
    ) -> Result<Receipt> {
        let id = AppId(app.id);
        let message = placed(shard, message);
        let key = receipt_key(shard, id, &message);
        if let Some(stored) = self.known_receipt(shard, key)? {
            return Ok(duplicate(stored));
        }
        let message_id = next_live(*last_live, self.now, shard.number);
        let seq = self.next_seq(shard, id, &message.conversation)?;
        *last_live = message_id.0;
        Ok(self.put(id, message, message_id, seq, key, rows))
    }

    /// Stages an imported message; it keeps its time.
    pub(crate) fn imported(
        &mut self,
        shard: &Shard,
        app: &AppRecord,
        old: OldMessage,
        last_live: &mut u64,
        rows: &mut Overlay<'_>,
    ) -> Result<Receipt> {
        let id = AppId(app.id);
        let OldMessage {
            message,
            time,
            occurrence,
            is_pending,
            is_read,
        } = old;
        let message = placed(shard, message);
        let key = receipt_key(shard, id, &message);
        if let Some(stored) = self.known_receipt(shard, key)? {
            return Ok(duplicate(stored));
        }
        self.check_time(shard, app, time)?;
        if let Some(stored) = self.alike(shard, id, &message, time, occurrence)? {
            return Ok(duplicate(stored));
        }
        let message_id = self.next_imported(shard, id, time)?;
        let seq = self.next_seq(shard, id, &message.conversation)?;
        self.imported.insert((id, message_id));
        if is_pending {
            let arrival = next_live(*last_live, self.now, shard.number);
            *last_live = arrival.0;
            self.take_in(id, &message.conversation, seq, arrival, rows)?;
        }
        if is_read {
            put_read_by_all(rows, id, &message.conversation, seq.0);
        }
        Ok(self.put(id, message, message_id, seq, key, rows))
    }

    /// Notes that an imported message has to be delivered, as if it had arrived now.
    fn take_in(
        &mut self,
        app: AppId,
        conversation: &Conversation,
        seq: Seq,
        arrival: MessageId,
        rows: &mut Overlay<'_>,
    ) -> Result<()> {
        let intakes = self.intakes.entry((app, conversation.clone()));
        let intake = intakes
            .and_modify(|intake| intake.extend(seq.0, arrival.0))
            .or_insert_with(|| Intake::of(seq.0, arrival.0));
        intake.put(rows, app, conversation)
    }

    fn put(
        &mut self,
        app: AppId,
        message: NewMessage,
        id: MessageId,
        seq: Seq,
        receipt: Option<ReceiptKey>,
        rows: &mut Overlay<'_>,
    ) -> Receipt {
        let NewMessage {
            conversation,
            sender,
            kind,
            body,
            ext,
            client_id,
            attachments,
            hidden_from,
        } = message;
        for user in hidden_from {
            hide(rows, app, &conversation, &user, seq, id);
        }
        let sender = sender.into();
        let message = Message {
            id,
            seq,
            sender,
            kind,
            body,
            ext,
            client_id,
            attachments,
            revision: Revision::Original,
        };
        record::put_message(&mut self.bytes, app, &conversation, &message);
        if let Some(key) = receipt {
            self.receipts.insert(key, Stored { id, seq });
        }
        if let Some(staged) = self.conversations.get_mut(&Place(app, &conversation)) {
            staged.head = staged.head.after(seq, id);
            staged.youngest = staged.youngest.max(id.millis());
            staged.rows.push(self.applied.len());
        }
        self.applied.push(Applied {
            app,
            conversation,
            message,
            receipt,
        });
        Receipt {
            id,
            seq,
            duplicate: false,
        }
    }

    fn known_receipt(&self, shard: &Shard, key: Option<ReceiptKey>) -> Result<Option<Stored>> {
        let Some(key) = key else { return Ok(None) };
        match self.receipts.get(&key) {
            Some(stored) => Ok(Some(*stored)),
            None => Ok(shard.view.receipt(key)?),
        }
    }

    fn conversation(
        &mut self,
        shard: &Shard,
        app: AppId,
        conversation: &Conversation,
    ) -> Result<&mut Staged> {
        use hashbrown::hash_map::EntryRef;
        match self.conversations.entry_ref(&Place(app, conversation)) {
            EntryRef::Occupied(staged) => Ok(staged.into_mut()),
            EntryRef::Vacant(place) => {
                let head = shard.heads.load(&*shard.engine, app, conversation)?;
                Ok(place.insert(Staged {
                    head,
                    ..Staged::default()
                }))
            }
        }
    }

    fn next_seq(&mut self, shard: &Shard, app: AppId, conversation: &Conversation) -> Result<Seq> {
        let head = self.conversation(shard, app, conversation)?.head;
        Ok(Seq(head.last_seq + 1 + shard.gap.before(&head)))
    }

    fn check_time(&self, shard: &Shard, app: &AppRecord, time: Millis) -> Result<()> {
        let floor = shard.registry.floor(app);
        if time < floor {
            let text = format!(
                "the message is dated {time}, which is {} ms older than what {} keeps",
                floor - time,
                app.key
            );
            return Err(Error::new(ErrorKind::TooOld { time, floor }, text));
        }
        let latest = self.now.saturating_add(FUTURE_MAX);
        if time > latest {
            let text = format!("the message is dated {time}, more than 24 hours in the future");
            return Err(Error::new(ErrorKind::Future { time, latest }, text));
        }
        Ok(())
    }

    /// Finds the message that an import would store a second time.
    fn alike(
        &mut self,
        shard: &Shard,
        app: AppId,
        message: &NewMessage,
        time: Millis,
        occurrence: u32,
    ) -> Result<Option<Stored>> {
        self.conversation(shard, app, &message.conversation)?;
        let mut before = occurrence as usize;
        // Messages for which their own millisecond had no id left stand in those behind it.
        for time in time..=time.saturating_add(SPILL_MAX) {
            let same = self.alike_at(shard, app, message, time)?;
            if let Some(stored) = same.get(before) {
                return Ok(Some(*stored));
            }
            before -= same.len();
            let (_, high) = imported_at(time, shard.number);
            if self.last_imported(shard, app, time)? < Some(high) {
                break;
            }
        }
        Ok(None)
    }

    /// The messages of a conversation that carry a time and are like a message, stored ones first.
    fn alike_at(
        &self,
        shard: &Shard,
        app: AppId,
        message: &NewMessage,
        time: Millis,
    ) -> Result<Vec<Stored>> {
        let key = (app, message.conversation.clone());
        let Some(staged) = self.conversations.get(&key) else {
            return Ok(Vec::new());
        };
        let mut alike = Vec::new();
        // Most imports come sorted: then nothing in the conversation is as young as this message.
        if MessageId(staged.head.last_id).millis() >= time {
            alike = shard.view.at_time(app, &message.conversation, time)?;
        }
        let rows = if staged.youngest >= time {
            staged.rows.as_slice()
        } else {
            &[]
        };
        let rows = rows
            .iter()
            .filter_map(|row| self.applied.get(*row))
            .map(|row| &row.message);
        let same = alike
            .iter()
            .chain(rows)
            .filter(|stored| stored.millis() == time && is_alike(stored, message));
        Ok(same
            .map(|stored| Stored {
                id: stored.id,
                seq: stored.seq,
            })
            .collect())
    }

    /// Finds an id of the imported lane that nobody has.
    fn next_imported(&self, shard: &Shard, app: AppId, time: Millis) -> Result<MessageId> {
        for time in time..=time.saturating_add(SPILL_MAX) {
            let (low, high) = imported_at(time, shard.number);
            match self.last_imported(shard, app, time)? {
                None => return Ok(low),
                Some(taken) if taken < high => return Ok(MessageId(taken.0 + 1)),
                Some(_) => {}
            }
        }
        let text = format!(
            "more than {} messages carry times within one second of {time}",
            SPILL_MAX * MessageId::COUNTER_MAX
        );
        Err(Error::new(ErrorKind::Argument, text))
    }

    /// The largest id that was given to an imported message of a millisecond.
    fn last_imported(&self, shard: &Shard, app: AppId, time: Millis) -> Result<Option<MessageId>> {
        let (low, high) = imported_at(time, shard.number);
        let staged = self.imported.range((app, low)..=(app, high)).next_back();
        let staged = staged.map(|(_, id)| *id);
        Ok(staged.max(shard.view.max_imported(app, low, high)?))
    }
}

/// The first and the last id of the imported lane of a millisecond.
fn imported_at(time: Millis, shard: u16) -> (MessageId, MessageId) {
    let at = |counter| MessageId::new(time, shard, true, counter);
    (at(0), at(MessageId::COUNTER_MAX))
}

/// Puts a message where it is kept: commands go into the aside, unless the store shows them as history.
fn placed(shard: &Shard, message: NewMessage) -> NewMessage {
    let is_aside = match message.kind {
        Kind::Notice => true,
        Kind::Command => !shard.options.commands_in_history,
        _ => false,
    };
    if !is_aside {
        return message;
    }
    NewMessage {
        conversation: message.conversation.aside(),
        ..message
    }
}

fn receipt_key(shard: &Shard, app: AppId, message: &NewMessage) -> Option<ReceiptKey> {
    let NewMessage {
        conversation,
        sender,
        client_id,
        ..
    } = message;
    (!client_id.is_empty())
        .then(|| ReceiptKey::new(shard.store, app, conversation, sender.as_str(), client_id))
}

fn duplicate(stored: Stored) -> Receipt {
    Receipt {
        id: stored.id,
        seq: stored.seq,
        duplicate: true,
    }
}

fn is_alike(stored: &Message, message: &NewMessage) -> bool {
    stored.sender == message.sender.as_str()
        && stored.kind == message.kind
        && stored.client_id == message.client_id
        && stored.body == message.body
        && stored.ext == message.ext
        && stored.attachments == message.attachments
}

/// The next id of the live lane: now, or just behind the last one if the clock stands or went back.
fn next_live(last: u64, now: Millis, shard: u16) -> MessageId {
    let last = MessageId(last);
    if now > last.millis() {
        return MessageId::new(now, shard, false, 0);
    }
    let counter = (last.0 & MessageId::COUNTER_MAX) + 1;
    if counter > MessageId::COUNTER_MAX {
        return MessageId::new(last.millis() + 1, shard, false, 0);
    }
    MessageId::new(last.millis(), shard, false, counter)
}

/// What every command of a batch waits for.
pub(crate) type Outcome = (
    tokio::sync::oneshot::Sender<Vec<Result<Receipt>>>,
    Vec<Result<Receipt>>,
);

/// An app's record as it is now; it may have been deleted while the command waited.
pub(crate) fn current(shard: &Shard, app: &AppRecord) -> Result<Arc<AppRecord>> {
    shard.registry.by_id(AppId(app.id)).ok_or_else(|| {
        Error::new(
            ErrorKind::UnknownApp,
            format!("the app {} was deleted", app.key),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_ids_rise_whatever_the_clock_does() {
        let mut last = MessageId::new(1_000, 3, false, MessageId::COUNTER_MAX - 1).0;
        for now in [1_000, 1_000, 500, 1_001, 0, 2_000] {
            let next = next_live(last, now, 3);
            assert!(next.0 > last, "{next} after {last} at {now}");
            assert!(!next.is_imported());
            assert_eq!(next.shard(), 3);
            last = next.0;
        }
        assert_eq!(MessageId(last).millis(), 2_000);
    }
}
