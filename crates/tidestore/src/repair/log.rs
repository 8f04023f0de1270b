//! What of a log is needed, what of that is lost, and how the rest becomes a log that opens.
//!
//! Records state absolute values and say at which position they stand; the tables say up to which position they hold
//! everything (`applied` for rows, `flushed` for messages). So a lost batch that lies below both costs nothing. One above
//! `flushed` costs its messages, one above `applied` the changes of rows in it, and the whole batches around it are as true
//! as before: they are kept under their own positions, and an empty batch stands in for each that is lost. What counts rows
//! is counted again afterwards, and segments of a lost manifest change are found on the disk.

use std::collections::{BTreeSet, HashMap};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

use tidestore_disk::{Disk, Millis};
use tidestore_kv::Engine;
use tidestore_log::{LogSalvage, RebuiltLog};
use tidestore_messages::{AppId, Conversation};

use super::report::LostMessages;
use crate::error::{Error, ErrorKind, Result};
use crate::record::{self, Event, Record, decode_batch};
use crate::shard::log_dir;
use crate::tables;

/// What is to become of the log of a shard.
#[derive(Debug)]
pub(super) struct Plan {
    /// The last position whose rows the tables hold.
    pub(super) applied: u64,
    /// The last position whose messages are in segments.
    pub(super) flushed: u64,
    /// The first position that is kept.
    pub(super) first: u64,
    /// The last position there ever was.
    pub(super) end: u64,
    /// Positions that are needed and lost.
    pub(super) lost: Vec<RangeInclusive<u64>>,
    /// Whether the log does not open as it is.
    pub(super) is_bad: bool,
    /// Whether there may have been more behind the end.
    is_tail_lost: bool,
}

impl Plan {
    /// Compares a log with the tables of its shard. `noted` is up to which position other shards have noted the
    /// references of its messages: a position that was given may never be given again.
    pub(super) fn of(log: &LogSalvage, numbers: Option<(u64, u64)>, noted: u64) -> Result<Self> {
        let mut whole = BTreeSet::new();
        for position in log.positions() {
            let batch = log.batch(position)?;
            if batch.is_some_and(|batch| decode_batch(&batch).is_ok()) {
                whole.insert(position);
            }
        }
        let all_decode = whole.len() == log.positions().count();
        let youngest = whole.last().copied().unwrap_or_default();
        // Tables that have lost their numbers begin where the log does.
        let start = whole.first().copied().unwrap_or(noted.max(log.synced) + 1);
        let (applied, flushed) = numbers.unwrap_or((start - 1, start - 1));
        let end = youngest
            .max(applied)
            .max(flushed)
            .max(noted)
            .max(log.synced);
        let known = applied.min(flushed);
        let first = whole
            .range(known + 1..)
            .next()
            .copied()
            .map_or(end + 1, |first| first.max(known + 1));
        let mut lost = Vec::new();
        if first > known + 1 {
            lost.push(known + 1..=first - 1);
        }
        let mut next = first;
        for position in whole.range(first..).copied().chain([end + 1]) {
            if position > next {
                lost.push(next..=position - 1);
            }
            next = position + 1;
        }
        let reaches_back = log.first > 0 && log.first <= known + 1;
        let is_tail_lost = log.is_tail_lost && end > 0;
        let opens = !is_tail_lost && log.damage.is_empty() && all_decode && lost.is_empty();
        Ok(Self {
            applied,
            flushed,
            first,
            end,
            is_bad: !opens || !reaches_back || youngest.max(log.first.saturating_sub(1)) < applied,
            lost,
            is_tail_lost,
        })
    }

    /// Whether changes of rows are lost, of the manifest among them.
    pub(super) fn loses_rows(&self) -> bool {
        self.is_tail_lost || self.lost.iter().any(|lost| *lost.end() > self.applied)
    }

    /// Whether messages may be lost.
    pub(super) fn loses_messages(&self) -> bool {
        self.is_tail_lost || self.lost.iter().any(|lost| *lost.end() > self.flushed)
    }

    fn is_lost(&self, position: u64) -> bool {
        self.lost.iter().any(|lost| lost.contains(&position))
    }

    /// At most so many messages were in the batches that are lost: a number that one of them had must not be given to
    /// another.
    pub(super) fn lost_messages_max(&self, log: &LogSalvage) -> u64 {
        /// Shorter than any record of a message.
        const RECORD_BYTES: u64 = 32;
        /// As much as compression makes of a stored byte, generously.
        const RATIO: u64 = 8;
        const MOST: u64 = 4_096;
        if self.is_tail_lost {
            return MOST;
        }
        let of_range = |lost: &RangeInclusive<u64>| {
            let bytes = log.hole_before(lost.end() + 1);
            let batches = lost.end() - lost.start() + 1;
            if bytes == 0 {
                MOST
            } else {
                (bytes * RATIO / RECORD_BYTES).max(batches)
            }
        };
        let behind = self.lost.iter().filter(|lost| *lost.end() > self.flushed);
        behind.map(of_range).sum::<u64>().min(MOST)
    }

    /// What is lost, in words.
    pub(super) fn losses(&self, shard: u16) -> Vec<String> {
        let tell = |lost: &RangeInclusive<u64>| {
            let (from, to) = (*lost.start(), *lost.end());
            let batches = if from == to {
                format!("batch {from}")
            } else {
                format!("batches {from} to {to}")
            };
            let what = match (to > self.flushed, to > self.applied) {
                (true, true) => "the messages and the changes of rows in it",
                (true, false) => "the messages in it; the tables have its changes of rows",
                (false, true) => "the changes of rows in it; its messages are in segments",
                (false, false) => "nothing: segments and tables have all of it",
            };
            format!("shard {shard}: {batches} of the log: {what}")
        };
        let mut told: Vec<String> = self.lost.iter().map(tell).collect();
        if self.is_tail_lost {
            told.push(format!(
                "shard {shard}: every batch behind {}, if there was any, of the log: the messages and the changes of rows in it",
                self.end
            ));
        }
        told
    }
}

/// Every record of the whole batches of a log, in order.
pub(super) fn each_record(
    log: &LogSalvage,
    from: u64,
    visit: &mut dyn FnMut(u64, Record) -> Result<()>,
) -> Result<()> {
    let positions: Vec<u64> = log
        .positions()
        .filter(|position| *position >= from)
        .collect();
    for position in positions {
        let Some(batch) = log.batch(position)? else {
            continue;
        };
        let Ok((_, records)) = decode_batch(&batch) else {
            continue;
        };
        for record in records {
            visit(position, record)?;
        }
    }
    Ok(())
}

/// Numbers that conversations jump over in the log: those of messages in lost batches, where a later message tells.
pub(super) fn lost_numbers(
    shard: u16,
    log: &LogSalvage,
    plan: &Plan,
    engine: &dyn Engine,
    key_of: &dyn Fn(AppId) -> String,
) -> Result<Vec<LostMessages>> {
    let mut last: HashMap<(AppId, Conversation), (u64, tidestore_messages::MessageId)> =
        HashMap::new();
    let mut found = Vec::new();
    each_record(log, plan.flushed + 1, &mut |position, record| {
        let Record::Message {
            app,
            conversation,
            message,
        } = record
        else {
            return Ok(());
        };
        let place = (app, conversation.clone());
        if !last.contains_key(&place) {
            let head = tables::head(engine, app, &conversation)?.unwrap_or_default();
            let id = tidestore_messages::MessageId(head.last_id);
            last.insert(place.clone(), (head.last_seq, id));
        }
        let (seq, id) = last.get(&place).copied().unwrap_or((0, message.id));
        if message.seq.0 > seq + 1 {
            let file = log.place(position).map(|(path, _)| path.to_owned());
            found.push(LostMessages {
                app: key_of(app),
                conversation: Some(conversation.clone()),
                messages: Some(message.seq.0 - seq - 1),
                numbers: vec![seq + 1..=message.seq.0 - 1],
                ids: Some((id, message.id)),
                file: file.unwrap_or_else(|| log_dir(shard)),
            });
        }
        last.insert(place, (seq.max(message.seq.0), message.id.max(id)));
        Ok(())
    })?;
    Ok(found)
}

/// Writes the log anew as one file: every whole batch under its own position, without messages that `is_stored`, and an
/// empty one for each that is lost.
pub(super) fn rebuild(
    disk: &Arc<dyn Disk>,
    store: [u8; 16],
    shard: u16,
    log: &LogSalvage,
    plan: &Plan,
    is_stored: &dyn Fn(&Record) -> bool,
) -> Result<PathBuf> {
    let dir = log_dir(shard);
    disk.create_dir_all(&dir)?;
    let mut time: Millis = 0;
    let mut batches = (plan.first..=plan.end).map(|position| {
        let batch = if plan.is_lost(position) {
            None
        } else {
            log.batch(position)?
        };
        let Some((at, records)) = batch.as_deref().and_then(|batch| decode_batch(batch).ok())
        else {
            let mut empty = Vec::new();
            record::start_batch(&mut empty, time);
            return Ok(empty);
        };
        time = at;
        if !records.iter().any(is_stored) {
            return Ok(batch.unwrap_or_default());
        }
        let mut rest = Vec::new();
        record::start_batch(&mut rest, time);
        for record in records.iter().filter(|record| !is_stored(record)) {
            match record {
                Record::Message {
                    app,
                    conversation,
                    message,
                } => record::put_message(&mut rest, *app, conversation, message),
                Record::Event(event) => put(&mut rest, event)?,
            }
        }
        Ok(rest)
    });
    let rebuilt = RebuiltLog {
        store,
        shard,
        generation: log.next_generation,
        first: plan.first,
    };
    Ok(tidestore_log::write_rebuilt(
        disk,
        &dir,
        rebuilt,
        &mut batches,
    )?)
}

fn put(batch: &mut Vec<u8>, event: &Event) -> Result<(), tidestore_log::Error> {
    record::put_event(batch, event).map_err(|error| {
        let error = Error::new(ErrorKind::Corruption, error.to_string());
        tidestore_log::Error::of_source(&error)
    })
}
