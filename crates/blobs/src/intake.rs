//! Taking a content in: counted, hashed and checked while it streams.
//!
//! A small content waits in memory until it is whole, and then shares a volume, and a flush, with others. A larger one
//! goes into a file of its own as it comes, so the memory of an upload does not depend on its size. Nothing of it is
//! visible before the tables know it, and a file of an upload that ends early is removed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidestore_disk::{Disk, ErrorKind as DiskErrorKind, File, FileExt, OpenMode, Seal, checksum};
use tidestore_plan::{AppId, Limit};

use crate::attachment::{ContentHash, NewAttachment};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{
    self, BLOCK_BYTES, CHUNK_BYTES, Chunk, RecordHead, Span, VolumeHead, blocks_of, head_bytes,
};
use crate::media;
use crate::pack::Packer;
use crate::site::{Site, bucket_dir, volume_path};

/// Room for the head of the longest record that shares a volume: 1 MiB in 16 chunks.
pub const HEADROOM: usize = 192;
const _: () = assert!(head_bytes((1 << 20) / CHUNK_BYTES) <= HEADROOM);
/// So many bytes go to the disk in one write.
const WRITE_BYTES: usize = 512 << 10;
/// A content of so many bytes is hashed and packed at once, wherever the caller is.
const LIGHT_BYTES: usize = 32 << 10;
/// So many bytes decide on the media type.
const SNIFF_BYTES: usize = 8 << 10;

/// Where an upload goes.
#[derive(Clone, Debug)]
pub struct Destination {
    /// The app.
    pub app: AppId,
    /// The app's directory.
    pub app_dir: PathBuf,
    /// The bucket of now.
    pub bucket: Span,
    /// The largest content that shares a volume, in bytes.
    pub shared_max: usize,
}

impl Destination {
    /// So much is held before it goes into a file of its own: the media type must not depend on how a stream is cut.
    fn held_max(&self) -> usize {
        self.shared_max.max(SNIFF_BYTES)
    }
}

/// Counts what comes in against the limit and the announcement.
#[derive(Clone, Copy, Debug)]
pub struct Tally {
    declared: Option<u64>,
    received: u64,
}

impl Tally {
    /// Starts at nothing.
    pub fn new(declared: Option<u64>) -> Self {
        Self {
            declared,
            received: 0,
        }
    }

    /// How many bytes may still come, and one more, by which is noticed that there are too many.
    pub fn room(&self) -> u64 {
        Limit::Attachment.max().saturating_sub(self.received) + 1
    }

    /// Counts bytes before anything is done with them.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Limit`], [`ErrorKind::Length`]: they are beyond what may come, and were not counted.
    pub fn take(&mut self, bytes: usize) -> Result<()> {
        let received = self.received + bytes as u64;
        Limit::Attachment.check(received)?;
        if let Some(declared) = self.declared
            && received > declared
        {
            return Err(wrong_length(declared, received));
        }
        self.received = received;
        Ok(())
    }

    /// Says how many bytes came, now that no more will.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Length`]: fewer than were announced.
    pub fn end(&self) -> Result<u64> {
        match self.declared {
            Some(declared) if declared != self.received => {
                Err(wrong_length(declared, self.received))
            }
            _ => Ok(self.received),
        }
    }
}

/// An upload on its way.
#[derive(Debug)]
pub struct Intake {
    site: Site,
    to: Destination,
    new: NewAttachment,
    tally: Tally,
    hasher: blake3::Hasher,
    body: Body,
}

#[derive(Debug)]
enum Body {
    /// All that has come, as it came.
    Held(Vec<u8>),
    /// All that will come, behind [`HEADROOM`] bytes.
    Whole(Vec<u8>),
    /// Too large to be held.
    Solo(Box<Solo>),
}

/// A content that is whole and waits to be acknowledged.
#[derive(Debug)]
pub struct Prepared {
    pub(crate) app: AppId,
    pub(crate) app_dir: PathBuf,
    pub(crate) bucket: Span,
    pub(crate) uploader: String,
    pub(crate) name: String,
    pub(crate) media_type: String,
    pub(crate) length: u64,
    pub(crate) hash: ContentHash,
    pub(crate) body: PreparedBody,
}

#[derive(Debug)]
pub(crate) enum PreparedBody {
    /// A record but for its place: room for the head, then the chunks.
    Shared { record: Vec<u8>, chunks: Vec<Chunk> },
    /// A whole volume, already durable.
    Solo {
        file: SoloFile,
        number: u64,
        record: u64,
    },
}

impl Prepared {
    /// The app.
    pub fn app(&self) -> AppId {
        self.app
    }

    /// Bytes of it in memory: the whole content if it is to share a volume.
    pub fn memory(&self) -> usize {
        match &self.body {
            PreparedBody::Shared { record, .. } => record.len(),
            PreparedBody::Solo { .. } => 0,
        }
    }

    /// The hash of the content.
    pub fn hash(&self) -> &ContentHash {
        &self.hash
    }
}

impl Intake {
    /// Begins.
    ///
    /// # Errors
    ///
    /// Those of [`NewAttachment::check`].
    pub fn new(site: Site, to: Destination, new: NewAttachment) -> Result<Self> {
        new.check()?;
        Ok(Self {
            site,
            to,
            tally: Tally::new(new.length),
            new,
            hasher: blake3::Hasher::new(),
            body: Body::Held(Vec::new()),
        })
    }

    /// Whether the upload is so small, with so many bytes more as its last, that pushing them and finishing takes some
    /// tens of microseconds and touches no file.
    pub fn is_light(&self, more: usize) -> bool {
        match &self.body {
            Body::Held(held) => held.len() + more <= self.to.shared_max.min(LIGHT_BYTES),
            Body::Solo(_) | Body::Whole(_) => false,
        }
    }

    /// Takes more bytes. Reads and writes files once there are more than share a volume.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Limit`], [`ErrorKind::Length`]: these bytes are beyond what may come; none of them was taken.
    /// - [`ErrorKind::Full`], [`ErrorKind::Io`]: the disk failed.
    ///
    /// After an error the upload is over; drop it.
    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.tally.take(bytes.len())?;
        self.hasher.update(bytes);
        match &mut self.body {
            Body::Held(held) if held.len() + bytes.len() <= self.to.held_max() => {
                held.extend_from_slice(bytes);
                Ok(())
            }
            Body::Held(held) => {
                let held = std::mem::take(held);
                let mut solo = self.start_solo(&held, bytes)?;
                solo.write(&held)?;
                solo.write(bytes)?;
                self.body = Body::Solo(Box::new(solo));
                Ok(())
            }
            Body::Solo(solo) => solo.write(bytes),
            // Nothing is pushed behind the end.
            Body::Whole(_) => Ok(()),
        }
    }

    fn start_solo(&mut self, first: &[u8], next: &[u8]) -> Result<Solo> {
        let mut head: Vec<u8> = first.iter().take(SNIFF_BYTES).copied().collect();
        head.extend(next.iter().take(SNIFF_BYTES - head.len()));
        self.settle_media_type(&head);
        let packer = Packer::new(self.new.media_type.as_deref().unwrap_or_default())?;
        Solo::create(&self.site, &self.to, packer)
    }

    fn volume_head(
        &self,
        number: u64,
        hash: &ContentHash,
        home: &impl Fn(&ContentHash) -> u16,
    ) -> VolumeHead {
        VolumeHead {
            store: self.site.store,
            app: self.to.app,
            shard: home(hash),
            number,
            bucket: self.to.bucket,
        }
    }

    /// Turns a content behind its headroom into a record.
    fn shared_record(&mut self, whole: Vec<u8>) -> Result<PreparedBody> {
        self.settle_media_type(whole.get(HEADROOM..).unwrap_or_default());
        let mut packer = Packer::new(self.new.media_type.as_deref().unwrap_or_default())?;
        let raw = whole.get(HEADROOM..).unwrap_or_default();
        if !packer.tries() {
            let chunks = raw.chunks(CHUNK_BYTES).map(Chunk::plain).collect();
            let record = whole;
            return Ok(PreparedBody::Shared { record, chunks });
        }
        let mut record = Vec::with_capacity(whole.len() + 4_096);
        record.resize(HEADROOM, 0);
        let chunks = raw.chunks(CHUNK_BYTES);
        let chunks = chunks
            .map(|chunk| packer.pack(chunk, &mut record))
            .collect();
        Ok(PreparedBody::Shared { record, chunks })
    }

    fn settle_media_type(&mut self, head: &[u8]) {
        let head = head.get(..SNIFF_BYTES).unwrap_or(head);
        let sniffed = || media::sniff(head).to_owned();
        self.new.media_type.get_or_insert_with(sniffed);
    }

    /// As [`finish`](Self::finish), after a last push. The first [`HEADROOM`] bytes of `last` are not part of the content:
    /// if it is all there is, it becomes the record as it is, without a copy.
    ///
    /// # Errors
    ///
    /// Those of [`push`](Self::push) and [`finish`](Self::finish).
    pub fn finish_with(
        mut self,
        mut last: Vec<u8>,
        home: impl Fn(&ContentHash) -> u16,
    ) -> Result<Prepared> {
        let bytes = last.get(HEADROOM..).unwrap_or_default();
        let is_all = matches!(&self.body, Body::Held(held) if held.is_empty());
        if !is_all || bytes.len() > self.to.shared_max {
            self.push(bytes)?;
            return self.finish(home);
        }
        self.tally.take(bytes.len())?;
        self.hasher.update(bytes);
        last.resize(last.len().max(HEADROOM), 0);
        self.body = Body::Whole(last);
        self.finish(home)
    }

    /// Ends the upload: nothing more comes. A large content is durable then, but not visible. `home` says which shard
    /// keeps a content.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Length`]: fewer bytes came than were announced; [`ErrorKind::Full`], [`ErrorKind::Io`].
    pub fn finish(mut self, home: impl Fn(&ContentHash) -> u16) -> Result<Prepared> {
        let length = self.tally.end()?;
        let hash = *self.hasher.finalize().as_bytes();
        let body = match std::mem::replace(&mut self.body, Body::Held(Vec::new())) {
            // Held only until the media type could be told.
            Body::Held(raw) if raw.len() > self.to.shared_max => {
                let mut solo = self.start_solo(&raw, &[])?;
                solo.write(&raw)?;
                let head = self.volume_head(solo.number, &hash, &home);
                solo.finish(&head, length, hash)?
            }
            Body::Held(raw) => {
                let mut whole = vec![0; HEADROOM];
                whole.extend_from_slice(&raw);
                self.shared_record(whole)?
            }
            Body::Whole(whole) => self.shared_record(whole)?,
            Body::Solo(solo) => {
                let head = self.volume_head(solo.number, &hash, &home);
                solo.finish(&head, length, hash)?
            }
        };
        Ok(Prepared {
            app: self.to.app,
            app_dir: self.to.app_dir,
            bucket: self.to.bucket,
            uploader: self.new.uploader.as_str().to_owned(),
            name: self.new.name,
            media_type: self.new.media_type.unwrap_or_default(),
            length,
            hash,
            body,
        })
    }
}

fn wrong_length(declared: u64, actual: u64) -> Error {
    let least = if actual > declared { "at least " } else { "" };
    let text = format!("{declared} bytes were announced and {least}{actual} came");
    Error::new(ErrorKind::Length { declared, actual }, text)
}

/// A large content on its way into a volume of its own.
#[derive(Debug)]
struct Solo {
    file: SoloFile,
    handle: Arc<dyn File>,
    seal: Seal,
    number: u64,
    packer: Packer,
    /// The beginning of the next chunk.
    partial: Vec<u8>,
    /// Chunks that are not written yet.
    out: Vec<u8>,
    /// Where they will stand.
    at: u64,
    chunks: Vec<Chunk>,
}

/// The record follows the header, and its head has a block to itself.
const SOLO_RECORD: u64 = BLOCK_BYTES;
const SOLO_DATA: u64 = 2 * BLOCK_BYTES;

impl Solo {
    fn create(site: &Site, to: &Destination, packer: Packer) -> Result<Self> {
        site.disk
            .create_dir_all(&bucket_dir(&to.app_dir, to.bucket.start))?;
        let (number, path, handle) = create_numbered(site, |number| {
            volume_path(&to.app_dir, to.bucket, 0, number, true)
        })?;
        Ok(Self {
            file: SoloFile {
                disk: Arc::clone(&site.disk),
                path: Some(path),
            },
            handle,
            seal: format::seal(site.store, number),
            number,
            packer,
            partial: Vec::new(),
            out: Vec::new(),
            at: SOLO_DATA,
            chunks: Vec::new(),
        })
    }

    fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        if !self.partial.is_empty() {
            let missing = (CHUNK_BYTES - self.partial.len()).min(bytes.len());
            let (first, rest) = bytes.split_at(missing);
            self.partial.extend_from_slice(first);
            bytes = rest;
            if self.partial.len() == CHUNK_BYTES {
                let chunk = std::mem::take(&mut self.partial);
                self.pack(&chunk)?;
                self.partial = chunk;
                self.partial.clear();
            }
        }
        let whole = bytes.len() / CHUNK_BYTES * CHUNK_BYTES;
        let (whole, rest) = bytes.split_at(whole);
        if self.packer.tries() {
            whole
                .chunks(CHUNK_BYTES)
                .try_for_each(|chunk| self.pack(chunk))?;
        } else if !whole.is_empty() {
            self.write_plain(whole)?;
        }
        self.partial.extend_from_slice(rest);
        Ok(())
    }

    /// Writes whole chunks as they are, without a copy.
    fn write_plain(&mut self, bytes: &[u8]) -> Result<()> {
        self.write_out()?;
        for raw in bytes.chunks(CHUNK_BYTES) {
            let checksum = checksum(&self.seal, self.at, &[raw]);
            self.chunks.push(Chunk {
                checksum,
                ..Chunk::plain(raw)
            });
            self.at += raw.len() as u64;
        }
        let (start, len) = (self.at - bytes.len() as u64, bytes.len() as u64);
        self.handle.write_all_at(bytes, start, self.file.path())?;
        // The device works while the next bytes come in and are hashed.
        self.handle.start_sync(start, len);
        Ok(())
    }

    fn pack(&mut self, raw: &[u8]) -> Result<()> {
        let start = self.out.len();
        let mut chunk = self.packer.pack(raw, &mut self.out);
        let offset = self.at + start as u64;
        let stored = self.out.get(start..).unwrap_or_default();
        chunk.checksum = checksum(&self.seal, offset, &[stored]);
        self.chunks.push(chunk);
        if self.out.len() >= WRITE_BYTES {
            self.write_out()?;
        }
        Ok(())
    }

    fn write_out(&mut self) -> Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        self.handle
            .write_all_at(&self.out, self.at, self.file.path())?;
        self.at += self.out.len() as u64;
        self.out.clear();
        Ok(())
    }

    /// Writes what is left, then the heads, and makes all of it durable.
    fn finish(
        mut self,
        volume: &VolumeHead,
        length: u64,
        hash: ContentHash,
    ) -> Result<PreparedBody> {
        let partial = std::mem::take(&mut self.partial);
        if !partial.is_empty() {
            self.pack(&partial)?;
        }
        let end = self.at + self.out.len() as u64;
        let padding = blocks_of(end) - end;
        self.out.resize(
            self.out.len() + usize::try_from(padding).unwrap_or_default(),
            0,
        );
        self.write_out()?;
        let record = RecordHead {
            length: u32::try_from(length).unwrap_or(u32::MAX),
            data_at: u32::try_from(SOLO_DATA - SOLO_RECORD).unwrap_or(u32::MAX),
            hash,
            chunks: self.chunks,
        };
        let mut heads = volume.encode();
        heads.extend_from_slice(&record.encode(&self.seal, SOLO_RECORD));
        let path = self.file.path();
        self.handle.write_all_at(&heads, 0, path)?;
        self.handle.sync_data()?;
        let parent = path.parent().unwrap_or(Path::new(""));
        self.file.disk.sync_dir(parent)?;
        Ok(PreparedBody::Solo {
            file: self.file,
            number: self.number,
            record: end - SOLO_RECORD,
        })
    }
}

/// Makes a file under a number that nobody has.
pub(crate) fn create_numbered(
    site: &Site,
    path: impl Fn(u64) -> PathBuf,
) -> Result<(u64, PathBuf, Arc<dyn File>)> {
    loop {
        let number = site.draw_number()?;
        let path = path(number);
        match site.disk.open(&path, OpenMode::CreateNew) {
            Err(error) if error.kind() == DiskErrorKind::AlreadyExists => {}
            Err(error) => return Err(error.into()),
            Ok(file) => return Ok((number, path, file)),
        }
    }
}

/// The file of an upload; removed when it is dropped, unless it is kept.
#[derive(Debug)]
pub(crate) struct SoloFile {
    disk: Arc<dyn Disk>,
    path: Option<PathBuf>,
}

impl SoloFile {
    fn path(&self) -> &Path {
        self.path.as_deref().unwrap_or(Path::new(""))
    }

    /// Leaves the file where it is, and says where.
    pub(crate) fn keep(mut self) -> PathBuf {
        self.path.take().unwrap_or_default()
    }
}

impl Drop for SoloFile {
    fn drop(&mut self) {
        if let Some(path) = self.path.take() {
            // What cannot be removed now is swept at the next opening.
            let _ = self.disk.remove_file(&path);
        }
    }
}
