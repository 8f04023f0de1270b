//! Checking a whole segment: every checksum, and that all parts tell the same story.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tidestore_disk::{Disk, FileCache, checksum};

use crate::codec::{self, le_u16, le_u32, le_u64};
use crate::error::{Error, Result};
use crate::segment::block::Block;
use crate::segment::cache::BlockCache;
use crate::segment::format::{
    AppShare, HEADER_LEN, MAGIC, SECTION_HEAD_LEN, SECTION_RAW_MAX, SegmentHead, SegmentMeta,
    StoreId, TRAILER_LEN, open_section,
};
use crate::segment::index::{Bounds, Located, Run, locator_hash};
use crate::segment::{Io, Segment};
use crate::types::{AppId, Conversation, Message, MessageId};

/// What a check of a segment found; all lengths in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentReport {
    /// The version of its format.
    pub version: u16,
    /// The store it belongs to.
    pub store: StoreId,
    /// What the footer says of it.
    pub meta: SegmentMeta,
    /// How many conversations it holds.
    pub conversations: u64,
    /// Length of all blocks as stored.
    pub blocks_len: u64,
    /// Length of all blocks before compression.
    pub blocks_raw_len: u64,
    /// Length of the id index.
    pub ids_len: u64,
    /// Length of the block table and locator.
    pub index_len: u64,
}

impl SegmentReport {
    /// How many bytes of rows one stored byte holds; 0 for a segment without rows.
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people to read")]
    pub fn ratio(&self) -> f64 {
        if self.blocks_len == 0 {
            0.0
        } else {
            self.blocks_raw_len as f64 / self.blocks_len as f64
        }
    }
}

/// Checks a segment of which nothing is known but its path; the store is taken from its header.
///
/// # Errors
///
/// [`Corruption`](crate::ErrorKind::Corruption) with file and offset of the first damage, or what the disk reports.
pub fn inspect(disk: &Arc<dyn Disk>, path: &Path) -> Result<SegmentReport> {
    let file_len = disk.metadata(path)?.len;
    let short = || Error::corruption(path, file_len, "the file is too short for a segment");
    let trailer_at = file_len.checked_sub(TRAILER_LEN as u64).ok_or_else(short)?;
    if trailer_at < HEADER_LEN as u64 {
        return Err(short());
    }
    let files = Arc::new(FileCache::new(Arc::clone(disk), 1));
    let blocks = Arc::new(BlockCache::new(1 << 20));
    let file = files.open(path)?;
    let mut header = [0; HEADER_LEN];
    read(&*file, &mut header, 0, path)?;
    let head = SegmentHead::decode(&header, path)?;
    let mut trailer = [0; TRAILER_LEN];
    read(&*file, &mut trailer, trailer_at, path)?;
    let footer_offset = check_trailer(&head, &trailer, trailer_at, path)?;
    let len = usize::try_from(trailer_at - footer_offset).unwrap_or(usize::MAX);
    if len > SECTION_RAW_MAX + SECTION_HEAD_LEN {
        return Err(Error::corruption(
            path,
            footer_offset,
            "the footer is too long",
        ));
    }
    let mut footer = vec![0; len];
    read(&*file, &mut footer, footer_offset, path)?;
    let raw = open_section(&footer, &head.seal(), footer_offset, path, SECTION_RAW_MAX)?;
    let mut meta: SegmentMeta =
        codec::decode(&raw).map_err(|error| Error::malformed(path, footer_offset, &error))?;
    if meta.file_len != 0 || meta.footer_offset != footer_offset {
        return Err(Error::corruption(
            path,
            footer_offset,
            "the footer is not where it says",
        ));
    }
    meta.file_len = file_len;
    check_head(&head, &meta, path)?;
    let segment = Segment::open(files, blocks, path, head.store, &meta);
    Walk::new(&segment).run(le_u16(&header, 8))
}

impl Segment {
    /// Checks everything in the file, and that it is what the manifest says.
    ///
    /// # Errors
    ///
    /// As [`inspect`].
    pub fn verify(&self, disk: &Arc<dyn Disk>) -> Result<SegmentReport> {
        let report = inspect(disk, &self.path)?;
        if report.store != self.store || report.meta != *self.meta {
            return Err(self.corrupt(0, "the file is not the one that the manifest names"));
        }
        Ok(report)
    }
}

fn read(file: &dyn tidestore_disk::File, into: &mut [u8], at: u64, path: &Path) -> Result<()> {
    use tidestore_disk::FileExt;
    Ok(file.read_exact_at(into, at, path)?)
}

/// Checks the trailer, which stands at `at`, and returns where the footer begins.
pub(crate) fn check_trailer(
    head: &SegmentHead,
    trailer: &[u8],
    at: u64,
    path: &Path,
) -> Result<u64> {
    let bad = |detail: String| Err(Error::corruption(path, at, detail));
    if !trailer.ends_with(MAGIC) {
        return bad("the file does not end as a segment does".to_owned());
    }
    let covered = trailer.get(..12).unwrap_or_default();
    let (expected, found) = (checksum(&head.seal(), at, &[covered]), le_u32(trailer, 12));
    if expected != found {
        return bad(format!(
            "trailer checksum {found:08x}, expected {expected:08x}"
        ));
    }
    let (footer, len) = (le_u64(trailer, 0), le_u32(trailer, 8));
    if footer < HEADER_LEN as u64 || footer.checked_add(len.into()) != Some(at) {
        return bad("the footer does not end where the trailer begins".to_owned());
    }
    Ok(footer)
}

fn check_head(head: &SegmentHead, meta: &SegmentMeta, path: &Path) -> Result<()> {
    let of_header = (head.shard, head.generation, head.owner, head.bucket);
    let of_footer = (meta.shard, meta.generation, meta.owner, meta.bucket);
    if of_header == of_footer {
        return Ok(());
    }
    let detail = format!("the header says {of_header:?}, the footer {of_footer:?}");
    Err(Error::corruption(path, meta.footer_offset, detail))
}

/// Goes through all rows and gathers anew what the indexes and counters say.
struct Walk<'a> {
    segment: &'a Segment,
    apps: BTreeMap<AppId, AppShare>,
    runs: Vec<Located>,
    last: Option<(AppId, Conversation, MessageId)>,
    ids: Vec<(MessageId, u32)>,
    raw_len: u64,
}

impl<'a> Walk<'a> {
    fn new(segment: &'a Segment) -> Self {
        let (apps, runs, ids) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self {
            segment,
            apps,
            runs,
            last: None,
            ids,
            raw_len: 0,
        }
    }

    fn run(mut self, version: u16) -> Result<SegmentReport> {
        let (segment, meta) = (self.segment, &*self.segment.meta);
        let index = segment.passing_index()?;
        for (number, entry) in (0_u32..).zip(&index.blocks) {
            let block = segment.load_block(&index, number)?;
            self.raw_len += block.raw.len() as u64;
            let bounds = self.block(number, entry.offset, &block)?;
            let first_app = block.conversation(0).map(|(app, _)| app);
            if bounds != Some(entry.bounds) || first_app != Some(entry.first_app) {
                return self.bad(
                    entry.offset,
                    "a block has not the bounds that the index says",
                );
            }
        }
        let mut runs = std::mem::take(&mut self.runs);
        runs.sort_unstable_by_key(|located| (located.hash, located.run.first_block));
        if index.locator != runs {
            return self.bad(
                meta.index_offset,
                "the locator does not agree with the rows",
            );
        }
        self.ids.sort_unstable();
        let mut stored = Vec::with_capacity(self.ids.len());
        for (number, entry) in index.id_pages.iter().enumerate() {
            let page = segment
                .ids(&index, number, Io::Allowed)?
                .ready()
                .unwrap_or_default();
            if page
                .entries
                .first()
                .is_none_or(|(id, _)| *id != entry.first_id)
            {
                return self.bad(
                    entry.offset,
                    "an id page does not begin where the index says",
                );
            }
            stored.extend_from_slice(&page.entries);
        }
        if stored != self.ids {
            return self.bad(meta.ids_offset, "the id index does not agree with the rows");
        }
        let apps: Vec<_> = self.apps.values().copied().collect();
        let messages = apps.iter().map(|share| share.messages).sum::<u64>();
        let body_bytes = apps.iter().map(|share| share.body_bytes).sum::<u64>();
        if (&apps, messages, body_bytes) != (&meta.apps, meta.messages, meta.body_bytes) {
            return self.bad(
                meta.footer_offset,
                "the footer's counters do not agree with the rows",
            );
        }
        Ok(SegmentReport {
            version,
            store: segment.store,
            meta: meta.clone(),
            conversations: runs.len() as u64,
            blocks_len: meta.ids_offset - HEADER_LEN as u64,
            blocks_raw_len: self.raw_len,
            ids_len: meta.index_offset - meta.ids_offset,
            index_len: meta.footer_offset - meta.index_offset,
        })
    }

    fn block(&mut self, number: u32, offset: u64, block: &Block) -> Result<Option<Bounds>> {
        let mut bounds: Option<Bounds> = None;
        for (app, conversation, rows) in block.runs() {
            for row in rows {
                let message = block.message(row);
                self.row(number, offset, app, conversation, &message)?;
                match &mut bounds {
                    Some(bounds) => bounds.widen(message.id, message.seq),
                    None => bounds = Some(Bounds::of(message.id, message.seq)),
                }
            }
        }
        Ok(bounds)
    }

    fn row(
        &mut self,
        block: u32,
        offset: u64,
        app: AppId,
        conversation: &Conversation,
        message: &Message,
    ) -> Result<()> {
        let (id, seq, len) = (message.id, message.seq, message.content_len());
        let bucket = self.segment.meta.bucket;
        if id.millis() < bucket.start || id.millis() >= bucket.end {
            return self.bad(offset, "a message lies outside the bucket");
        }
        let last = self
            .last
            .as_ref()
            .map(|(app, conversation, id)| (*app, conversation, *id));
        if last.is_some_and(|last| last >= (app, conversation, id)) {
            return self.bad(offset, "rows are out of order");
        }
        let goes_on = last.is_some_and(|last| (last.0, last.1) == (app, conversation));
        if let Some(Located { run, .. }) = self.runs.last_mut().filter(|_| goes_on) {
            run.last_block = block;
            run.messages += 1;
            run.first_seq = run.first_seq.min(seq);
            run.last_seq = run.last_seq.max(seq);
        } else {
            let hash = locator_hash(self.segment.store, app, conversation);
            let (first_block, last_block) = (block, block);
            let (first_seq, last_seq) = (seq, seq);
            let run = Run {
                first_block,
                last_block,
                messages: 1,
                first_seq,
                last_seq,
            };
            self.runs.push(Located { hash, run });
        }
        let empty = AppShare {
            app,
            messages: 0,
            body_bytes: 0,
            min_id: id,
            max_id: id,
        };
        let share = self.apps.entry(app).or_insert(empty);
        share.messages += 1;
        share.body_bytes += len;
        share.min_id = share.min_id.min(id);
        share.max_id = share.max_id.max(id);
        self.ids.push((id, block));
        self.last = Some((app, conversation.clone(), id));
        Ok(())
    }

    fn bad<T>(&self, offset: u64, detail: &str) -> Result<T> {
        Err(self.segment.corrupt(offset, detail))
    }
}
