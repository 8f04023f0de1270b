//! Reading what is whole in a segment that is damaged.
//!
//! With the index at hand every block is tried by itself, and the index tells what the others held. Without it the blocks
//! are found by walking: they lie one behind the other from the end of the header, and each is a section whose checksum
//! covers store, file and offset. Behind a damaged one the next is looked for byte by byte; what carries the bytes of a
//! section inside a message cannot pass for one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tidestore_disk::{Disk, FileExt, OpenMode};

use crate::codec::{self, le_u32};
use crate::error::Result;
use crate::segment::block::Block;
use crate::segment::columns;
use crate::segment::format::{
    BLOCK_RAW_MAX, HEADER_LEN, SECTION_HEAD_LEN, SECTION_RAW_MAX, SegmentHead, SegmentMeta,
    TRAILER_LEN, open_section,
};
use crate::segment::index::{Index, locator_hash};
use crate::segment::verify::check_trailer;
use crate::segment::{Segment, format};
use crate::types::{AppId, Conversation, Message, Seq};

/// What a damaged segment has lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Salvage {
    /// Messages that were read.
    pub messages: u64,
    /// What is damaged, with its offset.
    pub damage: Vec<(u64, String)>,
    /// Conversations that have lost messages; `None` if the index that knows them is lost too.
    pub lost: Option<Vec<LostRun>>,
}

/// Messages of one conversation that a damaged segment has lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostRun {
    /// The keyed hash of app and conversation, see [`conversation_hash`](crate::conversation_hash): all that the index
    /// knows of the name.
    pub hash: u64,
    /// App and conversation, if another block of the segment tells.
    pub conversation: Option<(AppId, Conversation)>,
    /// How many messages are lost.
    pub messages: u64,
    /// The smallest number of the conversation in the segment.
    pub first_seq: Seq,
    /// The largest one.
    pub last_seq: Seq,
}

/// What is done with each row that is whole.
type Visit<'a> = dyn FnMut(AppId, &Conversation, Message) -> Result<()> + 'a;

/// Reads what a segment says of itself, without its rows: the header, and what the footer repeats of the manifest if
/// that can be read.
///
/// # Errors
///
/// [`Corruption`](crate::ErrorKind::Corruption) if the header is that of no segment, or what the disk reports.
pub fn identify(disk: &Arc<dyn Disk>, path: &Path) -> Result<(SegmentHead, Option<SegmentMeta>)> {
    let file = disk.open(path, OpenMode::Read)?;
    let mut header = [0; HEADER_LEN];
    file.read_exact_at(&mut header, 0, path)?;
    let head = SegmentHead::decode(&header, path)?;
    let footer = || -> Option<SegmentMeta> {
        let len = file.len().ok()?;
        let at = len.checked_sub(TRAILER_LEN as u64)?;
        let mut trailer = [0; TRAILER_LEN];
        file.read_exact_at(&mut trailer, at, path).ok()?;
        let from = check_trailer(&head, &trailer, at, path).ok()?;
        let footer = usize::try_from(at.checked_sub(from)?).ok()?;
        if footer > SECTION_RAW_MAX + SECTION_HEAD_LEN {
            return None;
        }
        let mut bytes = vec![0; footer];
        file.read_exact_at(&mut bytes, from, path).ok()?;
        let raw = open_section(&bytes, &head.seal(), from, path, SECTION_RAW_MAX).ok()?;
        let mut meta: SegmentMeta = codec::decode(&raw).ok()?;
        meta.file_len = len;
        let is_its_own = (meta.shard, meta.generation, meta.owner, meta.bucket)
            == (head.shard, head.generation, head.owner, head.bucket);
        (is_its_own && meta.footer_offset == from).then_some(meta)
    };
    let meta = footer();
    Ok((head, meta))
}

impl Segment {
    /// Shows every row that is whole, in order, and says what is lost. Reads past the cache.
    ///
    /// # Errors
    ///
    /// What `visit` answers; what cannot be read is damage.
    pub(crate) fn salvage(&self, visit: &mut Visit<'_>) -> Result<Salvage> {
        let mut salvage = Salvage::default();
        match self.read_index() {
            Ok(index) => self.salvage_blocks(&index, visit, &mut salvage)?,
            Err(error) => {
                let offset = error
                    .disk()
                    .and_then(tidestore_disk::Error::offset)
                    .unwrap_or(self.meta.index_offset);
                salvage.damage.push((offset, error.to_string()));
                self.walk_blocks(visit, &mut salvage)?;
            }
        }
        Ok(salvage)
    }

    fn salvage_blocks(
        &self,
        index: &Index,
        visit: &mut Visit<'_>,
        salvage: &mut Salvage,
    ) -> Result<()> {
        let mut damaged = BTreeSet::new();
        let mut saved: BTreeMap<u64, (AppId, Conversation, u64)> = BTreeMap::new();
        for (number, entry) in (0_u32..).zip(&index.blocks) {
            match self.load_block(index, number) {
                Ok(block) => {
                    for (app, conversation, rows) in block.runs() {
                        let hash = locator_hash(self.store, app, conversation);
                        let found = saved
                            .entry(hash)
                            .or_insert_with(|| (app, conversation.clone(), 0));
                        found.2 += rows.len() as u64;
                    }
                    salvage.messages += show(&block, visit)?;
                }
                Err(error) => {
                    salvage.damage.push((entry.offset, error.to_string()));
                    damaged.insert(number);
                }
            }
        }
        let mut lost = Vec::new();
        for located in &index.locator {
            let run = located.run;
            if damaged
                .range(run.first_block..=run.last_block)
                .next()
                .is_none()
            {
                continue;
            }
            let saved = saved.get(&located.hash);
            let messages = run
                .messages
                .saturating_sub(saved.map_or(0, |(.., count)| *count));
            if messages > 0 {
                lost.push(LostRun {
                    hash: located.hash,
                    conversation: saved.map(|(app, name, _)| (*app, name.clone())),
                    messages,
                    first_seq: run.first_seq,
                    last_seq: run.last_seq,
                });
            }
        }
        salvage.lost = Some(lost);
        Ok(())
    }

    /// Finds blocks without the index.
    fn walk_blocks(&self, visit: &mut Visit<'_>, salvage: &mut Salvage) -> Result<()> {
        let Ok(file) = self.files.open(&self.path) else {
            return Ok(());
        };
        let len = file.len().unwrap_or_default();
        let end = if self.meta.is_plausible() {
            self.meta.ids_offset.min(len)
        } else {
            len
        };
        let mut offset = HEADER_LEN as u64;
        let mut is_hole = false;
        while offset < end {
            let Some((stored, raw)) = self.section_at(offset, end) else {
                if !is_hole {
                    let text = "no whole block begins here".to_owned();
                    salvage.damage.push((offset, text));
                }
                is_hole = true;
                let Some(next) = self.next_candidate(offset + 1, end) else {
                    return Ok(());
                };
                offset = next;
                continue;
            };
            is_hole = false;
            let (start, shard) = (self.meta.bucket.start, self.meta.shard);
            let Ok(block) = columns::decode(Bytes::from(raw), start, shard) else {
                // A whole section that is no block: here the blocks end.
                return Ok(());
            };
            salvage.messages += show(&block, visit)?;
            offset += stored;
        }
        Ok(())
    }

    /// A whole section at an offset: how long it is, and what it holds.
    fn section_at(&self, offset: u64, end: u64) -> Option<(u64, Vec<u8>)> {
        let mut head = [0; SECTION_HEAD_LEN];
        let file = self.files.open(&self.path).ok()?;
        file.read_exact_at(&mut head, offset, &self.path).ok()?;
        let (raw_len, stored) = (le_u32(&head, 0) as usize, u64::from(le_u32(&head, 4)));
        let len = stored + SECTION_HEAD_LEN as u64;
        if raw_len > BLOCK_RAW_MAX || offset.checked_add(len)? > end {
            return None;
        }
        let mut bytes = vec![0; usize::try_from(len).ok()?];
        file.read_exact_at(&mut bytes, offset, &self.path).ok()?;
        let raw = open_section(&bytes, &self.seal, offset, &self.path, BLOCK_RAW_MAX).ok()?;
        Some((len, raw))
    }

    /// The next offset at which a section may begin: where a zstd frame follows its head.
    fn next_candidate(&self, from: u64, end: u64) -> Option<u64> {
        const WINDOW: usize = 64 << 10;
        const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
        let head = SECTION_HEAD_LEN as u64;
        let file = self.files.open(&self.path).ok()?;
        let mut at = from + head;
        let mut window = vec![0; WINDOW + ZSTD.len()];
        while at < end {
            let len = usize::try_from((end - at).min(window.len() as u64)).ok()?;
            let bytes = window.get_mut(..len)?;
            // A sector that cannot be read holds no candidate.
            if file.read_exact_at(bytes, at, &self.path).is_ok() {
                let found = bytes.windows(ZSTD.len()).position(|four| four == ZSTD);
                if let Some(found) = found {
                    return Some(at + found as u64 - head);
                }
            }
            at += WINDOW as u64;
        }
        None
    }
}

fn show(block: &Block, visit: &mut Visit<'_>) -> Result<u64> {
    for (app, conversation, rows) in block.runs() {
        for row in rows {
            visit(app, conversation, block.message(row))?;
        }
    }
    Ok(block.rows.len() as u64)
}

/// What the manifest would say of a segment of which only the header can be read: nothing of its parts.
pub fn meta_of_header(head: &SegmentHead, file_len: u64) -> SegmentMeta {
    SegmentMeta {
        shard: head.shard,
        generation: head.generation,
        owner: head.owner,
        bucket: head.bucket,
        ids_offset: 0,
        index_offset: 0,
        footer_offset: 0,
        file_len,
        blocks: 0,
        messages: 0,
        body_bytes: 0,
        apps: match head.owner {
            format::Owner::App(app) => vec![format::AppShare {
                app,
                messages: 0,
                body_bytes: 0,
                min_id: crate::MessageId::first_at(head.bucket.start),
                max_id: crate::MessageId(crate::MessageId::first_at(head.bucket.end).0 - 1),
            }],
            format::Owner::Shared => Vec::new(),
        },
    }
}
