//! Writing a segment: rows in, an immutable file out.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidestore_disk::{Disk, File, FileExt, OpenMode, Seal};

use crate::codec;
use crate::days::{Days, SegmentDays};
use crate::error::{Error, Result};
use crate::segment::columns::Columns;
use crate::segment::format::{
    AppShare, BLOCK_RAW_MAX, MAGIC, Owner, SECTION_RAW_MAX, SegmentHead, SegmentMeta,
    SegmentOptions, put_section,
};
use crate::segment::ids::{IdPage, PAGE_ENTRIES};
use crate::segment::index::{BlockEntry, Bounds, IdPageEntry, Index, Located, Run, locator_hash};
use crate::types::{AppId, Conversation, Message, MessageId};

/// Writes one segment under a temporary name; [`finish`](Self::finish) syncs it and gives it its name.
pub struct SegmentWriter {
    head: SegmentHead,
    options: SegmentOptions,
    seal: Seal,
    out: Output,
    compressor: zstd::bulk::Compressor<'static>,
    columns: Columns,
    index: Index,
    ids: Vec<(MessageId, u32)>,
    bounds: Option<Bounds>,
    rows: u32,
    /// The run being written, and where it began.
    run: Option<(AppId, Conversation, Run)>,
    last_id: MessageId,
    apps: Vec<AppShare>,
    days: Days,
    first_app: Option<AppId>,
    /// A row or block may be missing since something failed, so the file must never get its name.
    failed: bool,
}

impl std::fmt::Debug for SegmentWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SegmentWriter")
            .field("path", &self.out.path)
            .finish_non_exhaustive()
    }
}

/// Bytes gathered before they are written: few, large writes.
const BUFFER_LEN: usize = 256 << 10;
/// Largest row: with a full block before it, it stays below what a reader accepts.
const ROW_MAX: u64 = 4 << 20;
/// Largest target for a block, whatever the options say.
const BLOCK_BYTES_MAX: usize = 1 << 20;

impl SegmentWriter {
    /// Starts a segment that will lie at `path`; its directory must exist.
    ///
    /// # Errors
    ///
    /// What the disk reports.
    pub fn create(
        disk: &Arc<dyn Disk>,
        path: &Path,
        head: SegmentHead,
        options: SegmentOptions,
    ) -> Result<Self> {
        let compressor = zstd::bulk::Compressor::new(options.level)
            .map_err(|error| Error::refused(format!("zstd level {}: {error}", options.level)))?;
        let mut out = Output::create(disk, path)?;
        out.buffer.extend_from_slice(&head.encode());
        Ok(Self {
            head,
            options,
            seal: head.seal(),
            out,
            compressor,
            columns: Columns::default(),
            index: Index::default(),
            ids: Vec::new(),
            bounds: None,
            rows: 0,
            run: None,
            last_id: MessageId(0),
            apps: Vec::new(),
            days: Days::default(),
            first_app: None,
            failed: false,
        })
    }

    /// Adds a row. Rows come sorted by app, conversation text and id.
    ///
    /// # Errors
    ///
    /// [`OutOfOrder`](crate::ErrorKind::OutOfOrder), [`Refused`](crate::ErrorKind::Refused) for a row of another
    /// bucket, shard or app, [`TooLarge`](crate::ErrorKind::TooLarge), and what the disk reports. The segment cannot
    /// be finished then.
    pub fn push(
        &mut self,
        app: AppId,
        conversation: &Conversation,
        message: &Message,
    ) -> Result<()> {
        let pushed = self.try_push(app, conversation, message);
        self.failed |= pushed.is_err();
        pushed
    }

    fn try_push(
        &mut self,
        app: AppId,
        conversation: &Conversation,
        message: &Message,
    ) -> Result<()> {
        self.check(app, conversation, message)?;
        let block = u32::try_from(self.index.blocks.len())
            .map_err(|_| Error::too_large("a segment has too many blocks"))?;
        self.first_app.get_or_insert(app);
        match &mut self.run {
            Some((run_app, run_conversation, run))
                if *run_app == app && run_conversation == conversation =>
            {
                run.last_block = block;
                run.messages += 1;
                run.first_seq = run.first_seq.min(message.seq);
                run.last_seq = run.last_seq.max(message.seq);
            }
            _ => self.start_run(app, conversation, message, block),
        }
        self.last_id = message.id;
        self.ids.push((message.id, block));
        match &mut self.bounds {
            Some(bounds) => bounds.widen(message.id, message.seq),
            None => self.bounds = Some(Bounds::of(message.id, message.seq)),
        }
        self.count(app, message);
        self.columns
            .push(self.head.bucket.start, app, conversation, message);
        self.rows += 1;
        if self.columns.raw_len() >= self.options.block_bytes.min(BLOCK_BYTES_MAX) {
            self.end_block()?;
        }
        Ok(())
    }

    /// Writes the indexes, syncs the file, gives it its name and syncs the directory.
    ///
    /// # Errors
    ///
    /// What the disk reports; a file under the temporary name may be left, which opening a store sweeps.
    pub fn finish(self) -> Result<SegmentMeta> {
        Ok(self.seal()?.0)
    }

    /// As [`finish`](Self::finish), and says how much of the segment belongs to each day.
    pub(crate) fn seal(mut self) -> Result<(SegmentMeta, SegmentDays)> {
        if self.failed {
            return Err(Error::refused(
                "an earlier row failed, so the segment is not complete",
            ));
        }
        self.end_run();
        self.end_block()?;
        let ids_offset = self.out.offset();
        self.put_ids()?;
        let index_offset = self.out.offset();
        self.index
            .locator
            .sort_unstable_by_key(|entry| (entry.hash, entry.run.first_block));
        let raw = self.index.encode(self.head.bucket.start);
        self.put(&raw, SECTION_RAW_MAX)?;
        let footer_offset = self.out.offset();
        let mut meta = SegmentMeta {
            shard: self.head.shard,
            generation: self.head.generation,
            owner: self.head.owner,
            bucket: self.head.bucket,
            ids_offset,
            index_offset,
            footer_offset,
            file_len: 0,
            blocks: u32::try_from(self.index.blocks.len()).unwrap_or(u32::MAX),
            messages: self.apps.iter().map(|share| share.messages).sum(),
            body_bytes: self.apps.iter().map(|share| share.body_bytes).sum(),
            apps: std::mem::take(&mut self.apps),
        };
        // The footer states everything but the file's own length, which follows from where it ends.
        let footer = codec::encode(&meta).map_err(|error| Error::refused(error.to_string()))?;
        let footer_len = self.put(&footer, SECTION_RAW_MAX)?;
        let mut trailer = footer_offset.to_le_bytes().to_vec();
        trailer.extend_from_slice(&footer_len.to_le_bytes());
        let crc = tidestore_disk::checksum(&self.seal, self.out.offset(), &[&trailer]);
        trailer.extend_from_slice(&crc.to_le_bytes());
        trailer.extend_from_slice(MAGIC);
        self.out.put(&trailer)?;
        meta.file_len = self.out.offset();
        let days = SegmentDays {
            generation: meta.generation,
            shares: self.days.shares(),
        };
        self.out.finish()?;
        Ok((meta, days))
    }

    fn check(&self, app: AppId, conversation: &Conversation, message: &Message) -> Result<()> {
        let bucket = self.head.bucket;
        let (time, shard) = (message.millis(), message.id.shard());
        if time < bucket.start || time >= bucket.end || shard != self.head.shard {
            return Err(Error::refused(format!(
                "message {} (time {time}, shard {shard}) does not belong into {}..{} of shard {}",
                message.id, bucket.start, bucket.end, self.head.shard
            )));
        }
        let foreign = matches!(self.head.owner, Owner::App(owner) if owner != app);
        if foreign || app.0 == u32::MAX {
            return Err(Error::refused(format!(
                "app {} does not belong into this segment",
                app.0
            )));
        }
        let client_len = message.client_id.len();
        let len = message.content_len() + (client_len + message.sender.len()) as u64;
        if len > ROW_MAX {
            return Err(Error::too_large(format!(
                "message {} has {len} bytes; at most {ROW_MAX} fit",
                message.id
            )));
        }
        let attached = message.attachments.len();
        if attached > Message::ATTACHMENTS_MAX {
            return Err(Error::too_large(format!(
                "message {} has {attached} attachments; at most {} fit",
                message.id,
                Message::ATTACHMENTS_MAX
            )));
        }
        let in_order = match &self.run {
            None => true,
            Some((last_app, last, _)) => {
                (*last_app, last, self.last_id) < (app, conversation, message.id)
            }
        };
        if in_order {
            Ok(())
        } else {
            Err(Error::out_of_order(format!(
                "message {} of {conversation} is out of order",
                message.id
            )))
        }
    }

    fn start_run(
        &mut self,
        app: AppId,
        conversation: &Conversation,
        message: &Message,
        block: u32,
    ) {
        self.end_run();
        let run = Run {
            first_block: block,
            last_block: block,
            messages: 1,
            first_seq: message.seq,
            last_seq: message.seq,
        };
        self.run = Some((app, conversation.clone(), run));
    }

    fn end_run(&mut self) {
        if let Some((app, conversation, run)) = self.run.take() {
            let hash = locator_hash(self.head.store, app, &conversation);
            self.index.locator.push(Located { hash, run });
        }
    }

    fn count(&mut self, app: AppId, message: &Message) {
        self.days.count(app, message);
        let (id, len) = (message.id, message.content_len());
        match self.apps.last_mut().filter(|share| share.app == app) {
            Some(share) => {
                share.messages += 1;
                share.body_bytes += len;
                share.min_id = share.min_id.min(id);
                share.max_id = share.max_id.max(id);
            }
            None => {
                self.apps.push(AppShare {
                    app,
                    messages: 1,
                    body_bytes: len,
                    min_id: id,
                    max_id: id,
                });
            }
        }
    }

    fn end_block(&mut self) -> Result<()> {
        let (Some(bounds), Some(first_app)) = (self.bounds.take(), self.first_app.take()) else {
            return Ok(());
        };
        if self.columns.is_empty() {
            return Ok(());
        }
        let (raw, rows) = (self.columns.take(), std::mem::take(&mut self.rows));
        let offset = self.out.offset();
        let stored_len = self.put(&raw, BLOCK_RAW_MAX)?;
        self.index.blocks.push(BlockEntry {
            offset,
            stored_len,
            rows,
            first_app,
            bounds,
        });
        Ok(())
    }

    fn put_ids(&mut self) -> Result<()> {
        let mut ids = std::mem::take(&mut self.ids);
        ids.sort_unstable();
        for entries in ids.chunks(PAGE_ENTRIES) {
            let Some((first_id, _)) = entries.first() else {
                continue;
            };
            let offset = self.out.offset();
            let stored_len = self.put(&IdPage::encode(entries), BLOCK_RAW_MAX)?;
            self.index.id_pages.push(IdPageEntry {
                offset,
                stored_len,
                first_id: *first_id,
            });
        }
        Ok(())
    }

    /// Writes a section and returns its length.
    fn put(&mut self, raw: &[u8], raw_max: usize) -> Result<u32> {
        let offset = self.out.offset();
        let buffer = &mut self.out.buffer;
        let len = put_section(
            buffer,
            &mut self.compressor,
            &self.seal,
            offset,
            raw,
            raw_max,
        )?;
        self.out.spill(BUFFER_LEN)?;
        Ok(len)
    }
}

/// The file under its temporary name, and what is not written to it yet.
struct Output {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    temporary: PathBuf,
    file: Arc<dyn File>,
    written: u64,
    buffer: Vec<u8>,
    done: bool,
}

impl Output {
    fn create(disk: &Arc<dyn Disk>, path: &Path) -> Result<Self> {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".tmp");
        let temporary = PathBuf::from(temporary);
        let file = disk.open(&temporary, OpenMode::CreateNew)?;
        Ok(Self {
            disk: Arc::clone(disk),
            path: path.to_owned(),
            temporary,
            file,
            written: 0,
            buffer: Vec::with_capacity(BUFFER_LEN * 2),
            done: false,
        })
    }

    fn offset(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.buffer.extend_from_slice(bytes);
        self.spill(BUFFER_LEN)
    }

    fn spill(&mut self, most: usize) -> Result<()> {
        if self.buffer.len() > most {
            self.file
                .write_all_at(&self.buffer, self.written, &self.temporary)?;
            self.written += self.buffer.len() as u64;
            self.buffer.clear();
        }
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        self.spill(0)?;
        self.file.sync_data()?;
        self.disk.rename(&self.temporary, &self.path)?;
        self.done = true;
        self.disk
            .sync_dir(self.path.parent().unwrap_or(Path::new("")))?;
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if !self.done {
            // Best effort: what stays is swept when the store is opened.
            drop(self.disk.remove_file(&self.temporary));
        }
    }
}
