//! Reading an attachment: whole, a range of it, piece by piece.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use tidestore_blobs::{Attachment, CHUNK_BYTES, Content, index};
use tidestore_plan::AttachmentId;

use crate::app::App;
use crate::error::{Error, ErrorKind, Result};
use crate::meters;
use crate::places::Place;
use crate::shard::Shard;
use crate::store::blocking;
use crate::threads::{Work, spawn_blocking};

/// Chunks read at a time: half a megabyte, of which a download holds two at most.
const PIECE_CHUNKS: usize = 8;

/// An attachment that is being read. Every byte is compared with its checksum before it is handed out.
///
/// It yields the attachment as it is, or says that it has expired or is gone: never a mix.
#[derive(Debug)]
pub struct Download {
    app: App,
    shard: Arc<Shard>,
    attachment: Attachment,
    content: Arc<Content>,
    /// What is still to be handed out, as bytes of the attachment.
    rest: Range<u64>,
    ahead: Option<Ahead>,
    /// None while a piece is read for another.
    _place: Option<Place>,
}

/// The next piece: read already, or being read.
#[derive(Debug)]
enum Ahead {
    Ready(Bytes),
    Reading(Work<Result<(Arc<Content>, Bytes)>>),
}

impl App {
    /// Opens an attachment for reading from its first to its last byte.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::AttachmentNotFound`]: the id was never given, is of another app, or the attachment was deleted.
    /// - [`ErrorKind::AttachmentExpired`]: its time is over.
    /// - [`ErrorKind::Corruption`]: its head is damaged; the error names file and offset.
    /// - [`ErrorKind::Busy`]: as many uploads and downloads are open as may be.
    pub async fn open_attachment(&self, id: AttachmentId) -> Result<Download> {
        self.open_range(id, 0..u64::MAX).await
    }

    /// Opens a range of an attachment, in bytes. Ends behind the end of the attachment mean its end.
    ///
    /// # Errors
    ///
    /// As [`open_attachment`](Self::open_attachment), and [`ErrorKind::Argument`] for a range that begins behind the
    /// end of the attachment or ends before it begins.
    pub async fn open_attachment_range(
        &self,
        id: AttachmentId,
        range: Range<u64>,
    ) -> Result<Download> {
        self.open_range(id, range).await
    }

    async fn open_range(&self, id: AttachmentId, range: Range<u64>) -> Result<Download> {
        let place = meters::refused(self.store().inner.shards.transfers.take())?;
        self.meters().downloads.increment(1);
        let app = self.clone();
        blocking(move || {
            let (shard, attachment) = app.find_attachment(id)?;
            let (attachment, content) = app.open_content(&shard, attachment)?;
            let length = attachment.length;
            let rest = range.start..range.end.min(length);
            if rest.start > rest.end {
                let text = format!(
                    "bytes {} to {} of an attachment of {length} bytes",
                    range.start, range.end
                );
                return Err(Error::new(ErrorKind::Argument, text));
            }
            let mut download = Download {
                app,
                shard,
                attachment,
                content: Arc::new(content),
                rest,
                ahead: None,
                _place: Some(place),
            };
            // The first piece comes with the same trip to a thread that may block.
            let (content, piece) = download.piece()?;
            download.content = content;
            download.ahead = Some(Ahead::Ready(piece));
            Ok(download)
        })
        .await
    }

    /// Opens the content of an attachment, wherever it was carried meanwhile.
    fn open_content(
        &self,
        shard: &Shard,
        mut attachment: Attachment,
    ) -> Result<(Attachment, Content)> {
        let inner = &self.store().inner;
        let apps: &dyn tidestore_blobs::Apps = &*inner.registry;
        let mut before = None;
        loop {
            let dir = apps
                .dir(self.id())
                .ok_or_else(|| crate::store::unknown_app(self.key()))?;
            let at = index::locate(&*shard.engine, self.id(), &dir, shard.number, &attachment);
            let at = match at {
                // It left between the two looks; the second says whether it expired.
                Err(error) if *error.kind() == tidestore_blobs::ErrorKind::NotFound => {
                    return Err(self
                        .find_attachment(attachment.id)
                        .err()
                        .unwrap_or_else(|| error.into()));
                }
                result => result?,
            };
            if before.as_ref() == Some(&at) {
                let (path, id) = (at.path().display(), attachment.id);
                let text = format!("{path} is missing, the volume of attachment {id}");
                return Err(Error::new(ErrorKind::Corruption, text));
            }
            match Content::open(&inner.files, inner.file.id, at.clone()) {
                Ok(Some(content)) => return Ok((attachment, content)),
                Ok(None) => {}
                // Punched out or carried away while we looked, unless it is still said to be here.
                Err(error) if *error.kind() == tidestore_blobs::ErrorKind::Corruption => {
                    let (_, again) = self.find_attachment(attachment.id)?;
                    let now = index::locate(&*shard.engine, self.id(), &dir, shard.number, &again);
                    if now.is_ok_and(|now| now == at) {
                        return Err(error.into());
                    }
                }
                Err(error) => return Err(error.into()),
            }
            (_, attachment) = self.find_attachment(attachment.id)?;
            before = Some(at);
        }
    }
}

impl Download {
    /// What is known of the attachment.
    pub fn attachment(&self) -> &Attachment {
        &self.attachment
    }

    /// How many bytes are still to come.
    pub fn remaining(&self) -> u64 {
        self.rest.end - self.rest.start
    }

    /// The next bytes, at most half a megabyte; `None` at the end. The piece behind them is read meanwhile.
    ///
    /// # Errors
    ///
    /// As [`App::open_attachment`], and [`ErrorKind::Corruption`] for a damaged chunk; all before it was handed out.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let piece = match self.ahead.take() {
            Some(Ahead::Ready(piece)) => piece,
            Some(Ahead::Reading(reading)) => {
                let read = reading.await.map_err(|error| {
                    Error::new(ErrorKind::Closed, "the download was cut short").with_source(error)
                })?;
                let (content, piece) = read?;
                self.content = content;
                piece
            }
            None => {
                let reading = self.twin();
                let (content, piece) = blocking(move || reading.piece()).await?;
                self.content = content;
                piece
            }
        };
        self.rest.start += piece.len() as u64;
        self.app
            .meters()
            .download_bytes
            .increment(piece.len() as u64);
        if !self.rest.is_empty() {
            let reading = self.twin();
            let work = move || reading.piece();
            self.ahead = Some(Ahead::Reading(spawn_blocking(work)));
        }
        Ok(Some(piece))
    }

    /// Reads all that is left into memory.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next).
    pub async fn read_to_end(mut self) -> Result<Bytes> {
        let Some(first) = self.next().await? else {
            return Ok(Bytes::new());
        };
        if self.rest.is_empty() {
            return Ok(first);
        }
        // At most 10 MB, and the caller asked for it.
        let len = usize::try_from(self.remaining()).unwrap_or_default() + first.len();
        let mut all = Vec::with_capacity(len);
        all.extend_from_slice(&first);
        while let Some(piece) = self.next().await? {
            all.extend_from_slice(&piece);
        }
        Ok(all.into())
    }

    fn twin(&self) -> Self {
        Self {
            app: self.app.clone(),
            shard: Arc::clone(&self.shard),
            attachment: self.attachment.clone(),
            content: Arc::clone(&self.content),
            rest: self.rest.clone(),
            ahead: None,
            _place: None,
        }
    }

    /// Reads the next piece. If that fails because the content was carried away or removed meanwhile, it is looked for
    /// once more.
    fn piece(&self) -> Result<(Arc<Content>, Bytes)> {
        match self.read(&self.content) {
            Err(error) if *error.kind() == ErrorKind::Corruption => {
                let (_, again) = self.app.find_attachment(self.attachment.id)?;
                let (_, content) = self.app.open_content(&self.shard, again)?;
                let piece = self.read(&content)?;
                Ok((Arc::new(content), piece))
            }
            result => Ok((Arc::clone(&self.content), result?)),
        }
    }

    fn read(&self, content: &Content) -> Result<Bytes> {
        let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        let (start, end) = (index(self.rest.start), index(self.rest.end));
        let first = start / CHUNK_BYTES;
        let last = end.div_ceil(CHUNK_BYTES).min(first + PIECE_CHUNKS);
        let buffers = &self.app.store().inner.buffers;
        let piece = content.chunks_into(first..last, buffers)?;
        let base = first * CHUNK_BYTES;
        let (from, to) = (start - base, (end - base).min(piece.len()));
        if from >= to && start < end {
            let text = format!(
                "attachment {} is shorter than it should be",
                self.attachment.id
            );
            return Err(Error::new(ErrorKind::Corruption, text));
        }
        Ok(piece.slice(from.min(to)..to))
    }
}
