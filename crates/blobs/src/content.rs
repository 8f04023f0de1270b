//! Reading a content: by chunks, each compared with its checksum.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tidestore_disk::{ErrorKind as DiskErrorKind, File, FileCache, FileExt, Seal};

use crate::buffers::Buffers;
use crate::error::{Error, Result};
use crate::format::{self, BLOCK_BYTES, CHUNK_BYTES, RecordHead};
use crate::pack;

/// Where a content lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    pub(crate) path: PathBuf,
    pub(crate) volume: u64,
    pub(crate) offset: u64,
    pub(crate) record: u64,
}

impl Location {
    /// Where the record begins, in bytes.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The file of the volume.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// So much of a record is read together with its head: most of what shares a volume is whole then.
const FIRST_READ: u64 = CHUNK_BYTES as u64 + BLOCK_BYTES;

/// A content that can be read. The file stays readable even if it is deleted meanwhile.
#[derive(Debug)]
pub struct Content {
    file: Arc<dyn File>,
    at: Location,
    seal: Seal,
    head: RecordHead,
    /// The record's first bytes.
    first: Bytes,
}

impl Content {
    /// Reads and checks the head of a record. `None` if the file is not there (any more).
    ///
    /// # Errors
    ///
    /// [`crate::ErrorKind::Corruption`] with file and offset, or what the disk reports.
    pub fn open(files: &FileCache, store: [u8; 16], at: Location) -> Result<Option<Self>> {
        let file = match files.open(&at.path) {
            Ok(file) => file,
            Err(error) if error.kind() == DiskErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let seal = format::seal(store, at.volume);
        // The head of a large content has a block to itself, and what follows it may not be wanted.
        let wanted = if at.record > FIRST_READ {
            BLOCK_BYTES
        } else {
            at.record
        };
        let mut first = vec![0; usize::try_from(wanted).unwrap_or_default()];
        file.read_exact_at(&mut first, at.offset, &at.path)?;
        let head = RecordHead::decode(&first, &seal, at.offset)
            .map_err(|error| Error::corruption(&at.path, at.offset, error))?;
        if u64::from(head.data_at) + head.stored() != at.record {
            let detail = "the record has another length than the tables say";
            return Err(Error::corruption(&at.path, at.offset, detail));
        }
        Ok(Some(Self {
            file,
            at,
            seal,
            head,
            first: first.into(),
        }))
    }

    /// Bytes of the content.
    pub fn len(&self) -> u64 {
        self.head.length.into()
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.head.length == 0
    }

    /// What the record says of itself.
    pub fn head(&self) -> &RecordHead {
        &self.head
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.at.path
    }

    /// Reads whole chunks, in one read of the disk. Empty behind the last one.
    ///
    /// # Errors
    ///
    /// [`crate::ErrorKind::Corruption`] with file and offset, or what the disk reports.
    pub fn chunks(&self, chunks: Range<usize>) -> Result<Bytes> {
        self.chunks_into(chunks, &Buffers::default())
    }

    /// As [`chunks`](Self::chunks), into a buffer that was used before, if there is one.
    ///
    /// # Errors
    ///
    /// As [`chunks`](Self::chunks).
    pub fn chunks_into(&self, chunks: Range<usize>, buffers: &Buffers) -> Result<Bytes> {
        let places: Vec<_> = self
            .head
            .offsets()
            .enumerate()
            .skip(chunks.start)
            .take(chunks.len())
            .collect();
        let (Some((_, (start, _))), Some((_, (last, end)))) = (places.first(), places.last())
        else {
            return Ok(Bytes::new());
        };
        let stored = self.stored(*start..last + u64::from(end.stored), buffers)?;
        // Chunks that are all stored as they are lie side by side and are handed out without a copy.
        let is_plain = places.iter().all(|(_, (_, chunk))| !chunk.compressed);
        let mut raw = Vec::new();
        let mut at = 0;
        for (index, (offset, chunk)) in &places {
            let bytes = stored.get(at..at + chunk.stored as usize);
            let (bytes, place) = (bytes.unwrap_or_default(), self.at.offset + offset);
            at += chunk.stored as usize;
            let checked = if is_plain {
                pack::check(chunk, bytes, &self.seal, place)
            } else {
                let raw_len = self.head.raw_len(*index);
                pack::unpack(chunk, bytes, raw_len, &self.seal, place, &mut raw)
            };
            checked.map_err(|error| Error::corruption(&self.at.path, place, error))?;
        }
        Ok(if is_plain { stored } else { raw.into() })
    }

    /// Bytes of the record, as they are stored.
    fn stored(&self, range: Range<u64>, buffers: &Buffers) -> Result<Bytes> {
        let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        if range.end <= self.first.len() as u64 {
            return Ok(self.first.slice(index(range.start)..index(range.end)));
        }
        // Bounded by the head, which was checked: at most 10 MB, and callers ask for a few chunks.
        let mut bytes = buffers.take(index(range.end - range.start));
        let at = self.at.offset + range.start;
        self.file.read_exact_at(bytes.as_mut(), at, &self.at.path)?;
        Ok(bytes.into_bytes())
    }
}
