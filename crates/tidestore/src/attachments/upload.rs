//! An upload: bytes pushed in by a server, or pulled from a stream.

use std::sync::Arc;

use tidestore_blobs::{Attachment, Destination, HEADROOM, Intake, NewAttachment, Site, Tally};
use tidestore_disk::Millis;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::app::App;
use crate::attachments::desk::Request;
use crate::error::{Error, ErrorKind, Result};
use crate::meters;
use crate::places::Place;
use crate::store::blocking;
use crate::threads::{Work, spawn_blocking};

/// So many bytes are gathered before a thread that may block takes them over. While it hashes and writes them, the
/// next ones are gathered; so an upload holds a few of these, whatever its size.
const PIECE_BYTES: usize = HEADROOM + (512 << 10);

/// An attachment on its way into the store.
///
/// Nothing of it exists before [`finish`](Self::finish) has returned: dropping it, an error, or a crash leaves nothing.
#[derive(Debug)]
pub struct Upload {
    app: App,
    tally: Tally,
    /// What came, behind room for the head that it will get.
    gathered: Vec<u8>,
    intake: State,
    _place: Place,
}

#[derive(Debug)]
enum State {
    Idle(Box<Intake>),
    /// Takes a piece in; gives the emptied buffer back.
    Busy(Work<(Box<Intake>, Vec<u8>, Result<()>)>),
    Failed,
}

impl App {
    /// Begins an upload whose bytes are pushed in.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Limit`]: more than 10 MB are announced.
    /// - [`ErrorKind::Argument`]: a file name of over 4,096 characters, or a media type that is none.
    /// - [`ErrorKind::UnknownApp`]: the app was deleted.
    /// - [`ErrorKind::Busy`]: as many uploads and downloads are open as may be.
    pub fn upload(&self, new: NewAttachment) -> Result<Upload> {
        let inner = &self.store().inner;
        let place = meters::refused(inner.shards.transfers.take())?;
        let times = inner.guard.times();
        let now: Millis = times.now.max(times.trusted);
        let gone = || crate::store::unknown_app(self.key());
        let apps: &dyn tidestore_blobs::Apps = &*inner.registry;
        let to = Destination {
            app: self.id(),
            app_dir: apps.dir(self.id()).ok_or_else(gone)?,
            bucket: apps.bucket(self.id(), now),
            shared_max: inner.options.shared_attachment_bytes,
        };
        let tally = Tally::new(new.length);
        let expected = new.length.and_then(|length| usize::try_from(length).ok());
        let intake = Intake::new(Site::new(&inner.env, inner.file.id), to, new)?;
        Ok(Upload {
            app: self.clone(),
            tally,
            gathered: start(expected),
            intake: State::Idle(Box::new(intake)),
            _place: place,
        })
    }

    /// Stores everything that a stream yields as an attachment. When this returns it is durable.
    ///
    /// Of a stream that is too long, at most one byte beyond the limit is read.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Limit`]: the stream has more than 10 MB.
    /// - [`ErrorKind::Length`]: it has not the length that was announced.
    /// - [`ErrorKind::Source`]: reading it failed.
    /// - [`ErrorKind::Full`], [`ErrorKind::Poisoned`], [`ErrorKind::Io`]: the disk failed.
    /// - Those of [`upload`](Self::upload).
    ///
    /// In each case nothing of it stays.
    pub async fn put_attachment(
        &self,
        new: NewAttachment,
        mut source: impl AsyncRead + Unpin,
    ) -> Result<Attachment> {
        let mut upload = self.upload(new)?;
        loop {
            let room = PIECE_BYTES - upload.gathered.len();
            let most = upload.tally.room().min(room as u64);
            upload.reserve();
            let read = (&mut source)
                .take(most)
                .read_buf(&mut upload.gathered)
                .await;
            let counted = read.map_err(unreadable).and_then(|read| {
                upload.tally.take(read)?;
                Ok(read)
            });
            match counted {
                Ok(0) => return upload.finish().await,
                Ok(_) => upload.pass_on().await?,
                Err(error) => {
                    upload.give_up().await;
                    return Err(error);
                }
            }
        }
    }
}

impl Upload {
    /// Takes more bytes.
    ///
    /// # Errors
    ///
    /// As [`App::put_attachment`]; the upload is over then.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        if let Err(error) = self.tally.take(bytes.len()) {
            self.give_up().await;
            return Err(error.into());
        }
        while !bytes.is_empty() {
            let room = PIECE_BYTES - self.gathered.len();
            let (piece, rest) = bytes.split_at(room.min(bytes.len()));
            self.gathered.extend_from_slice(piece);
            bytes = rest;
            self.pass_on().await?;
        }
        Ok(())
    }

    /// Ends the upload and makes it an attachment. When this returns it is durable.
    ///
    /// # Errors
    ///
    /// As [`App::put_attachment`].
    pub async fn finish(mut self) -> Result<Attachment> {
        if let Err(error) = self.tally.end() {
            self.give_up().await;
            return Err(error.into());
        }
        let (intake, _) = self.idle().await?;
        let gathered = std::mem::take(&mut self.gathered);
        let shards = Arc::clone(&self.app.store().inner.shards);
        let app = self.app.id();
        let is_light = intake.is_light(gathered.len());
        let prepare = move || {
            let home = |hash: &[u8; 32]| shards.of_content(app, hash).number;
            Ok(intake.finish_with(gathered, home)?)
        };
        let prepared = if is_light {
            // Cheaper than the way to a thread that may block, and nothing of it blocks.
            prepare()?
        } else {
            blocking(prepare).await?
        };
        let shards = &self.app.store().inner.shards;
        let desk = shards.of_content(app, prepared.hash()).desk();
        let put = desk.ask(|reply| Request::Put(Box::new(prepared), reply));
        let attachment = meters::refused(put.await)?;
        self.app.meters().uploads.increment(1);
        self.app.meters().upload_bytes.increment(attachment.length);
        Ok(attachment)
    }

    /// Leaves nothing behind, and waits until that is so.
    async fn give_up(&mut self) {
        self.gathered = Vec::new();
        if let Ok((intake, _)) = self.idle().await {
            // Where it may block: a file may have to be removed. Failing, it is swept at the next opening.
            drop(spawn_blocking(move || drop(intake)).await);
        }
        self.intake = State::Failed;
    }

    /// Room for a piece, taken once there is reason to believe that it will be filled.
    fn reserve(&mut self) {
        let len = self.gathered.len();
        if self.gathered.capacity() - len < 4 << 10 {
            // Few steps, so that little is copied from one to the next.
            let more = (3 * len).max(16 << 10).min(PIECE_BYTES - len);
            self.gathered.reserve_exact(more);
        }
    }

    /// Hands a full piece to a thread that may block.
    async fn pass_on(&mut self) -> Result<()> {
        if self.gathered.len() < PIECE_BYTES {
            return Ok(());
        }
        let (mut intake, buffer) = self.idle().await?;
        let mut piece = std::mem::replace(&mut self.gathered, buffer);
        self.intake = State::Busy(spawn_blocking(move || {
            let bytes = piece.get(HEADROOM..).unwrap_or_default();
            let done = intake.push(bytes).map_err(Error::from);
            piece.truncate(HEADROOM);
            (intake, piece, done)
        }));
        Ok(())
    }

    /// Waits until the piece before is taken in.
    async fn idle(&mut self) -> Result<(Box<Intake>, Vec<u8>)> {
        match std::mem::replace(&mut self.intake, State::Failed) {
            State::Idle(intake) => Ok((intake, start(None))),
            State::Busy(work) => {
                let (intake, buffer, done) = work.await.map_err(|error| {
                    Error::new(ErrorKind::Closed, "the upload was cut short").with_source(error)
                })?;
                done.map(|()| (intake, buffer))
            }
            State::Failed => {
                let text = "the upload failed before; begin a new one";
                Err(Error::new(ErrorKind::Argument, text))
            }
        }
    }
}

fn unreadable(error: std::io::Error) -> Error {
    let text = format!("reading the upload failed: {error}");
    Error::new(ErrorKind::Source, text).with_source(error)
}

/// A buffer that begins with room for a head, and has room for what is expected.
fn start(expected: Option<usize>) -> Vec<u8> {
    let expected = expected.unwrap_or_default().saturating_add(HEADROOM);
    // A block more: a record is padded to whole blocks.
    let mut buffer = Vec::with_capacity(expected.min(PIECE_BYTES) + 4_096);
    buffer.resize(HEADROOM, 0);
    buffer
}
