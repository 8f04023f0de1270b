//! Copying what a shard's log holds up to the cut.

use crate::backup::manifest::FileEntry;
use crate::backup::part::{Kind, PART_BYTES};
use crate::backup::rows::{Parts, ShardRows};
use crate::backup::sink::Sink;
use crate::error::{Error, ErrorKind, Result};
use crate::record::{Event, Record, decode_batch};
use crate::shard::{Command, ReadLog, Shard};

/// Copies the batches of a shard from where its rows may lack something up to `end`, and brings the list of its volumes up to
/// there. Returns how many there are. The log must not be trimmed meanwhile.
pub(crate) fn copy_log(
    shard: &Shard,
    copied: &mut ShardRows,
    end: u64,
    sink: &mut dyn Sink,
    files: &mut Vec<FileEntry>,
) -> Result<u64> {
    let mut parts = Parts::new(sink, files, Kind::Batches, shard);
    let mut next = copied.from;
    while next <= end {
        // In portions, between which the committer has its turn.
        let batches = shard.ask_own(|reply| {
            Command::ReadLog(ReadLog {
                from: next,
                through: end,
                bytes: PART_BYTES,
                reply,
            })
        })?;
        if batches.is_empty() {
            let text = format!("shard {}: the log lacks position {next}", shard.number);
            return Err(Error::new(ErrorKind::Corruption, text));
        }
        for (position, batch) in batches {
            learn(copied, &batch)?;
            match &copied.filter {
                Some(filter) => parts.batch(position, &filter.batch(&copied.stock, &batch)?)?,
                None => parts.batch(position, &batch)?,
            }
            next = position + 1;
        }
    }
    parts.finish()?;
    Ok(end + 1 - copied.from)
}

/// Notes what a batch changes of the volumes.
fn learn(copied: &mut ShardRows, batch: &[u8]) -> Result<()> {
    let (_, records) = decode_batch(batch)
        .map_err(|error| Error::new(ErrorKind::Corruption, error.to_string()))?;
    for record in records {
        let Record::Event(Event::Rows(rows)) = record else {
            continue;
        };
        for (table, key, value) in rows.changes() {
            copied.stock.change(table, key, value)?;
        }
    }
    Ok(())
}
