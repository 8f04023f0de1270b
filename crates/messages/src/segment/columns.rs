//! The inside of a block: rows as columns.
//!
//! ```text
//! rows, runs, senders            three counts
//! runs × (app, conversation, rows)
//! senders × text                 each sender once
//! rows × time                    per run: from the bucket's start, then from row to row
//! rows × low bits of the id      lane in bit 0, counter above it
//! rows × seq                     per run: the number itself, then the step minus 1, zigzag
//! rows × sender                  its place in the list
//! rows × kind                    one byte each; bit 7 is set if the row has attachments
//! rows × body length, rows × ext length, rows × client id length
//! client ids, exts, bodies       texts of the same sort side by side, for the compressor
//! rows with attachments × count  one byte each, 1 to 16; since version 2
//! attachments                    16 bytes each, row after row; since version 2
//! ```
//!
//! Numbers are varints. Shard bits are the segment's own and not stored.
//!
//! A block says by itself whether it has the last two columns: a block of which no row has attachments ends with the
//! bodies, as in version 1, and nobody needs the file's header to read one.

use ahash::HashMap;

use bytes::Bytes;
use compact_str::CompactString;
use tidestore_disk::Millis;

use crate::codec::{Malformed, Reader, put_text, put_varint, unzigzag, zigzag};
use crate::segment::block::{ATTACHMENT_LEN, Block, RowAttachments, RowMeta, RunRows};
use crate::types::{AppId, Conversation, Kind, Message, MessageId};

/// In a row's byte of the column of kinds: the row has attachments.
const HAS_ATTACHMENTS: u8 = 0x80;

/// Gathers rows and writes them as columns.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    runs: Vec<(AppId, Conversation, u64)>,
    senders: Vec<CompactString>,
    places: HashMap<CompactString, u64>,
    rows: u64,
    names_len: usize,
    times: Vec<u8>,
    lows: Vec<u8>,
    seqs: Vec<u8>,
    sender_column: Vec<u8>,
    kinds: Vec<u8>,
    body_lens: Vec<u8>,
    ext_lens: Vec<u8>,
    client_lens: Vec<u8>,
    clients: Vec<u8>,
    exts: Vec<u8>,
    bodies: Vec<u8>,
    attached_counts: Vec<u8>,
    attachments: Vec<u8>,
    previous: Option<(Millis, u64)>,
}

impl Columns {
    pub(crate) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// About how many bytes the block will take before compression.
    pub(crate) fn raw_len(&self) -> usize {
        let texts = self.bodies.len() + self.exts.len() + self.clients.len() + self.names_len;
        let attached = self.attached_counts.len() + self.attachments.len();
        texts
            + attached
            + self.times.len()
            + self.lows.len()
            + self.seqs.len()
            + self.kinds.len() * 4
    }

    /// Adds a row behind the last one.
    pub(crate) fn push(
        &mut self,
        bucket_start: Millis,
        app: AppId,
        conversation: &Conversation,
        message: &Message,
    ) {
        let last = self
            .runs
            .last_mut()
            .filter(|run| run.0 == app && run.1 == *conversation);
        let previous = if let Some(run) = last {
            run.2 += 1;
            self.previous
        } else {
            self.names_len += conversation.as_str().len() + 6;
            self.runs.push((app, conversation.clone(), 1));
            None
        };
        let (time, seq) = (message.millis(), message.seq.0);
        if let Some((previous_time, previous_seq)) = previous {
            put_varint(&mut self.times, time.wrapping_sub(previous_time));
            let step = seq.wrapping_sub(previous_seq).wrapping_sub(1);
            put_varint(&mut self.seqs, zigzag(step.cast_signed()));
        } else {
            put_varint(&mut self.times, time.wrapping_sub(bucket_start));
            put_varint(&mut self.seqs, seq);
        }
        self.previous = Some((time, seq));
        put_varint(&mut self.lows, rotate(message.id));
        let place = self.sender_place(&message.sender);
        put_varint(&mut self.sender_column, place);
        let attached = self.put_attachments(message);
        self.kinds.push(message.kind as u8 | attached);
        put_varint(&mut self.body_lens, message.body.len() as u64);
        put_varint(&mut self.ext_lens, message.ext.len() as u64);
        put_varint(&mut self.client_lens, message.client_id.len() as u64);
        self.clients.extend_from_slice(message.client_id.as_bytes());
        self.exts.extend_from_slice(&message.ext);
        self.bodies.extend_from_slice(&message.body);
        self.rows += 1;
    }

    /// Adds a row's attachments and returns the bit that announces them. The writer has checked how many there are.
    fn put_attachments(&mut self, message: &Message) -> u8 {
        if message.attachments.is_empty() {
            return 0;
        }
        let count = u8::try_from(message.attachments.len()).unwrap_or(u8::MAX);
        self.attached_counts.push(count);
        for id in &message.attachments {
            self.attachments.extend_from_slice(&id.to_bytes());
        }
        HAS_ATTACHMENTS
    }

    fn sender_place(&mut self, sender: &CompactString) -> u64 {
        if let Some(place) = self.places.get(sender) {
            return *place;
        }
        let place = self.senders.len() as u64;
        self.names_len += sender.len() + 1;
        self.senders.push(sender.clone());
        self.places.insert(sender.clone(), place);
        place
    }

    /// Writes the block and starts an empty one.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.raw_len() + 1_024);
        put_varint(&mut out, self.rows);
        put_varint(&mut out, self.runs.len() as u64);
        put_varint(&mut out, self.senders.len() as u64);
        for (app, conversation, rows) in &self.runs {
            put_varint(&mut out, app.0.into());
            put_text(&mut out, conversation.as_str());
            put_varint(&mut out, *rows);
        }
        self.senders
            .iter()
            .for_each(|sender| put_text(&mut out, sender));
        for column in [
            &self.times,
            &self.lows,
            &self.seqs,
            &self.sender_column,
            &self.kinds,
            &self.body_lens,
            &self.ext_lens,
            &self.client_lens,
            &self.clients,
            &self.exts,
            &self.bodies,
            &self.attached_counts,
            &self.attachments,
        ] {
            out.extend_from_slice(column);
        }
        *self = Self::default();
        out
    }
}

/// Moves the lane to bit 0, so that live and imported ids alike are small numbers.
pub(crate) fn rotate(id: MessageId) -> u64 {
    (id.0 & MessageId::COUNTER_MAX) << 1 | u64::from(id.is_imported())
}

pub(crate) fn unrotate(low: u64, time: Millis, shard: u16) -> Result<MessageId, Malformed> {
    if low >> 1 > MessageId::COUNTER_MAX || time > MessageId::MILLIS_MAX {
        return Err(Malformed::new("an id has more bits than ids have"));
    }
    Ok(MessageId::new(time, shard, low & 1 == 1, low >> 1))
}

/// Reads a block back. `raw` is kept as it is; messages are slices of it.
///
/// # Errors
///
/// [`Malformed`] if any number does not fit the others or the bytes.
pub(crate) fn decode(raw: Bytes, bucket_start: Millis, shard: u16) -> Result<Block, Malformed> {
    let mut reader = Reader::new(&raw);
    let (rows, runs, senders) = (reader.count()?, reader.count()?, reader.count()?);
    let runs = read_runs(&mut reader, runs, rows)?;
    let senders: Vec<CompactString> = (0..senders)
        .map(|_| reader.text().map(CompactString::from))
        .collect::<Result<_, _>>()?;
    let times = reader.column(rows)?;
    let lows = reader.column(rows)?;
    let seqs = reader.column(rows)?;
    let sender_column = reader.column(rows)?;
    let kinds = reader.bytes(rows)?;
    let [bodies, exts, clients] = [
        reader.column(rows)?,
        reader.column(rows)?,
        reader.column(rows)?,
    ];
    let (clients, mut client_at) = texts(&mut reader, &clients)?;
    check_utf8(&raw, &clients, client_at)?;
    let (exts, mut ext_at) = texts(&mut reader, &exts)?;
    let (bodies, mut body_at) = texts(&mut reader, &bodies)?;
    let attached = read_attached(&mut reader, kinds)?;
    reader.finish()?;
    let mut metas = Vec::with_capacity(rows);
    let columns = times
        .iter()
        .zip(&lows)
        .zip(&seqs)
        .zip(&sender_column)
        .zip(kinds);
    let lens = bodies.iter().zip(&exts).zip(&clients);
    let mut starts = runs.iter().map(|run| run.start);
    let mut next_start = starts.next();
    let (mut time, mut seq) = (0_u64, 0_u64);
    for (row, (((((time_step, low), seq_step), sender), kind), ((body, ext), client))) in
        (0_u32..).zip(columns.zip(lens))
    {
        let first = next_start == Some(row);
        let before = if first { bucket_start } else { time };
        time = before
            .checked_add(*time_step)
            .ok_or_else(|| Malformed::new("a time overflows"))?;
        if first {
            next_start = starts.next();
            seq = *seq_step;
        } else {
            seq = seq
                .wrapping_add(unzigzag(*seq_step).cast_unsigned())
                .wrapping_add(1);
        }
        let sender = u32::try_from(*sender)
            .ok()
            .filter(|s| (*s as usize) < senders.len());
        let id = unrotate(*low, time, shard)?;
        // Readers search the ids of a run, so a run out of order would hide messages.
        if !first && metas.last().is_some_and(|last: &RowMeta| last.id >= id) {
            return Err(Malformed::new("ids of a run do not rise"));
        }
        metas.push(RowMeta {
            id,
            seq,
            sender: sender.ok_or_else(|| Malformed::new("a sender is not in the list"))?,
            kind: Kind::from_number(*kind & !HAS_ATTACHMENTS)
                .ok_or_else(|| Malformed::new("a kind is not known"))?,
            body: take(&mut body_at, *body),
            ext: take(&mut ext_at, *ext),
            client: take(&mut client_at, *client),
        });
    }
    Ok(Block {
        raw,
        runs,
        senders,
        rows: metas,
        attached,
    })
}

/// Passes over the attachments and says where those of each row lie. `kinds` says which rows have any.
fn read_attached(reader: &mut Reader<'_>, kinds: &[u8]) -> Result<Vec<RowAttachments>, Malformed> {
    let rows = (0_u32..)
        .zip(kinds)
        .filter(|(_, kind)| **kind & HAS_ATTACHMENTS != 0)
        .map(|(row, _)| row);
    let counts = reader.bytes(rows.clone().count())?;
    let most = Message::ATTACHMENTS_MAX;
    if !counts.iter().all(|n| (1..=most).contains(&usize::from(*n))) {
        return Err(Malformed::new("a row has too few or too many attachments"));
    }
    let total = counts.iter().copied().map(usize::from).sum::<usize>() * ATTACHMENT_LEN;
    let mut next = reader.at();
    reader.bytes(total)?;
    let place = |(row, count): (u32, &u8)| {
        let at =
            u32::try_from(next).map_err(|_| Malformed::new("attachments lie too far behind"))?;
        next += usize::from(*count) * ATTACHMENT_LEN;
        Ok(RowAttachments {
            row,
            at,
            count: *count,
        })
    };
    rows.zip(counts).map(place).collect()
}

fn read_runs(reader: &mut Reader<'_>, runs: usize, rows: usize) -> Result<Vec<RunRows>, Malformed> {
    // A forged count may be millions; honest blocks hold few runs.
    let mut list = Vec::with_capacity(runs.min(1_024));
    let mut start = 0_usize;
    for _ in 0..runs {
        let app = u32::try_from(reader.varint()?)
            .map_err(|_| Malformed::new("an app's number is too large"))?;
        let conversation = Conversation::from_stored(reader.text()?)
            .ok_or_else(|| Malformed::new("a conversation is of no known kind"))?;
        let len = reader.varint()?;
        let end = usize::try_from(len)
            .ok()
            .and_then(|len| start.checked_add(len));
        let end = end.filter(|end| *end > start && *end <= rows);
        let end = end.ok_or_else(|| Malformed::new("runs do not add up to the rows"))?;
        let bound = |at: usize| u32::try_from(at).map_err(|_| Malformed::new("too many rows"));
        let previous = list
            .last()
            .map(|run: &RunRows| (run.app, &run.conversation));
        if previous.is_some_and(|previous| previous >= (AppId(app), &conversation)) {
            return Err(Malformed::new("runs are out of order"));
        }
        list.push(RunRows {
            app: AppId(app),
            conversation,
            start: bound(start)?,
            end: bound(end)?,
        });
        start = end;
    }
    if start == rows {
        Ok(list)
    } else {
        Err(Malformed::new("runs do not add up to the rows"))
    }
}

/// Passes over the texts of one sort and says where they begin; their lengths are checked against what is there.
fn texts(reader: &mut Reader<'_>, lens: &[u64]) -> Result<(Vec<u32>, u32), Malformed> {
    let bad = || Malformed::new("texts are longer than the data");
    let mut total = 0_usize;
    let mut checked = Vec::with_capacity(lens.len());
    for len in lens {
        let len = u32::try_from(*len).map_err(|_| bad())?;
        total = total.checked_add(len as usize).ok_or_else(bad)?;
        checked.push(len);
    }
    let at = u32::try_from(reader.at()).map_err(|_| bad())?;
    reader.bytes(total)?;
    Ok((checked, at))
}

/// Client ids are handed out as text, so a block that holds anything else is refused as a whole.
fn check_utf8(raw: &[u8], lens: &[u32], at: u32) -> Result<(), Malformed> {
    let mut at = at;
    for len in lens {
        let (start, len) = take(&mut at, *len);
        let text = raw
            .get(start as usize..start as usize + len as usize)
            .unwrap_or_default();
        std::str::from_utf8(text).map_err(|_| Malformed::new("a client id is not UTF-8"))?;
    }
    Ok(())
}

/// A text's place in the block: where it begins and how long it is.
fn take(at: &mut u32, len: u32) -> (u32, u32) {
    let start = *at;
    *at += len;
    (start, len)
}
