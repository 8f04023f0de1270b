//! A decoded block: what readers share through the cache.

use std::ops::Range;

use bytes::Bytes;
use compact_str::CompactString;
use tidestore_disk::Millis;
use tidestore_plan::AttachmentId;

use crate::codec::Malformed;
use crate::segment::columns;
use crate::types::{AppId, Conversation, Kind, Message, MessageId, Revision, Seq};

/// The rows of one block. Messages taken from it share its memory.
#[derive(Debug)]
pub struct Block {
    pub(crate) raw: Bytes,
    pub(crate) runs: Vec<RunRows>,
    pub(crate) senders: Vec<CompactString>,
    pub(crate) rows: Vec<RowMeta>,
    /// The rows with attachments, in order. A list of its own, because few rows have any.
    pub(crate) attached: Vec<RowAttachments>,
}

/// The rows of one conversation.
#[derive(Debug)]
pub(crate) struct RunRows {
    pub(crate) app: AppId,
    pub(crate) conversation: Conversation,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// One row: numbers, and where its texts lie in the block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowMeta {
    pub(crate) id: MessageId,
    pub(crate) seq: u64,
    pub(crate) sender: u32,
    pub(crate) kind: Kind,
    pub(crate) body: (u32, u32),
    pub(crate) ext: (u32, u32),
    pub(crate) client: (u32, u32),
}

/// Where the attachment ids of one row lie in the block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowAttachments {
    pub(crate) row: u32,
    pub(crate) at: u32,
    pub(crate) count: u8,
}

/// Bytes of an attachment's id.
pub(crate) const ATTACHMENT_LEN: usize = 16;

impl Block {
    /// Decodes a block before compression. For fuzzing.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if the bytes are no block.
    #[doc(hidden)]
    pub fn decode(raw: &[u8], bucket_start: Millis, shard: u16) -> Result<Self, Malformed> {
        columns::decode(Bytes::copy_from_slice(raw), bucket_start, shard)
    }

    /// The rows of a conversation, in id order; empty if it has none here.
    pub fn rows(&self, app: AppId, conversation: &Conversation) -> Range<usize> {
        let order = |run: &RunRows| (run.app, &run.conversation).cmp(&(app, conversation));
        let run = self
            .runs
            .binary_search_by(order)
            .ok()
            .and_then(|index| self.runs.get(index));
        run.map_or(0..0, |run| run.start as usize..run.end as usize)
    }

    /// The id of a row; 0 for a row that is not there.
    pub fn id(&self, row: usize) -> MessageId {
        self.rows.get(row).map_or(MessageId(0), |row| row.id)
    }

    /// The number of a row in its conversation; 0 for a row that is not there.
    pub fn seq(&self, row: usize) -> Seq {
        Seq(self.rows.get(row).map_or(0, |row| row.seq))
    }

    /// The message of a row, without copying its body; an empty one with id 0 for a row that is not there.
    pub fn message(&self, row: usize) -> Message {
        let meta = self.rows.get(row);
        // The decoder has made sure that the sender is listed and the client id is text.
        let sender = meta.and_then(|row| self.senders.get(row.sender as usize));
        let client_id = meta.and_then(|row| self.raw.get(range(row.client)));
        let client_id = client_id.and_then(|bytes| std::str::from_utf8(bytes).ok());
        let sender = sender.cloned().unwrap_or_default();
        // Nobody can send without a name: this is what erasing a sender leaves.
        let revision = if sender.is_empty() {
            Revision::Erased
        } else {
            Revision::Original
        };
        Message {
            id: self.id(row),
            seq: self.seq(row),
            sender,
            kind: meta.map_or(Kind::default(), |row| row.kind),
            body: meta.map_or_else(Bytes::new, |row| self.text(row.body)),
            ext: meta.map_or_else(Bytes::new, |row| self.text(row.ext)),
            client_id: client_id.unwrap_or_default().into(),
            attachments: self.attachments(row),
            revision,
        }
    }

    /// App and conversation of a row.
    pub fn conversation(&self, row: usize) -> Option<(AppId, &Conversation)> {
        let row = u32::try_from(row).ok()?;
        let run = self
            .runs
            .get(self.runs.partition_point(|run| run.end <= row))?;
        Some((run.app, &run.conversation))
    }

    /// Finds the row of an id in an app.
    pub(crate) fn find(&self, app: AppId, id: MessageId) -> Option<(Conversation, Message)> {
        let runs = self.runs.iter().filter(|run| run.app == app);
        runs.into_iter().find_map(|run| {
            let rows = self.rows.get(run.start as usize..run.end as usize)?;
            let row = rows.binary_search_by_key(&id, |row| row.id).ok()?;
            Some((
                run.conversation.clone(),
                self.message(run.start as usize + row),
            ))
        })
    }

    /// Every run with its rows, in order.
    pub(crate) fn runs(&self) -> impl Iterator<Item = (AppId, &Conversation, Range<usize>)> {
        self.runs.iter().map(|run| {
            (
                run.app,
                &run.conversation,
                run.start as usize..run.end as usize,
            )
        })
    }

    /// Memory that the block takes up.
    pub(crate) fn memory(&self) -> u64 {
        let rows = self.rows.len() * size_of::<RowMeta>();
        let names = self.runs.len() * size_of::<RunRows>() + self.senders.len() * 48;
        let attached = self.attached.len() * size_of::<RowAttachments>();
        (self.raw.len() + rows + names + attached) as u64
    }

    fn attachments(&self, row: usize) -> Vec<AttachmentId> {
        // Most blocks have none: their rows pay nothing for the search.
        if self.attached.is_empty() {
            return Vec::new();
        }
        let found = self
            .attached
            .binary_search_by_key(&row, |attached| attached.row as usize);
        let found = found.ok().and_then(|place| self.attached.get(place));
        let bytes = found.and_then(|row| {
            let start = row.at as usize;
            self.raw
                .get(start..start + usize::from(row.count) * ATTACHMENT_LEN)
        });
        // The decoder has made sure that all ids lie inside.
        let (ids, _) = bytes.unwrap_or_default().as_chunks::<ATTACHMENT_LEN>();
        ids.iter().copied().map(AttachmentId::from_bytes).collect()
    }

    fn text(&self, (at, len): (u32, u32)) -> Bytes {
        if len == 0 {
            return Bytes::new();
        }
        let range = range((at, len));
        // The decoder has made sure that every text lies inside.
        if range.end <= self.raw.len() {
            self.raw.slice(range)
        } else {
            Bytes::new()
        }
    }
}

fn range((at, len): (u32, u32)) -> Range<usize> {
    at as usize..at as usize + len as usize
}
