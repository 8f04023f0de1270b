//! One log file: its frames, and the zeros ahead of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidestore_disk::{Disk, File, FileExt, OpenMode};

use crate::error::Result;
use crate::format::{FRAME_HEAD_LEN, FileHeader, FrameHead, HEADER_LEN};

/// A log file, open for reading and writing.
#[derive(Debug)]
pub(crate) struct LogFile {
    pub(crate) header: FileHeader,
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn File>,
    /// Where the next frame goes.
    pub(crate) end: u64,
    /// The position of the last frame; one before the first if there is none.
    pub(crate) last_position: u64,
    /// Length of the file; bytes from `end` to here exist already.
    pub(crate) len: u64,
}

/// One whole frame as it was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) head: FrameHead,
    pub(crate) offset: u64,
    pub(crate) batch: Vec<u8>,
}

impl LogFile {
    /// Gives a spare file, new or old, its next life; header and directory entry are durable afterwards.
    ///
    /// The header is durable before the file has its name. So a file of that name without a valid header of its own was
    /// damaged or moved, whatever moment a crash picks, and opening never has to guess.
    pub(crate) fn start(
        disk: &Arc<dyn Disk>,
        dir: &Path,
        path: PathBuf,
        header: FileHeader,
        spare: &Path,
    ) -> Result<Self> {
        let file = disk.open(spare, OpenMode::Create)?;
        file.write_all_at(&header.encode(), 0, spare)?;
        file.sync_data()?;
        disk.rename(spare, &path)?;
        disk.sync_dir(dir)?;
        let len = file.len()?;
        let last_position = header.first_position - 1;
        Ok(Self {
            header,
            path,
            file,
            end: HEADER_LEN,
            last_position,
            len,
        })
    }

    /// Makes sure that what arrived of a refused batch is no frame, also after a crash. Says whether it synced the file.
    pub(crate) fn erase_refused(&mut self) -> Result<bool> {
        self.len = self.len.max(self.file.len()?);
        // Only padding can be missing from a frame that is valid; anything less is a torn tail already.
        if self.frame_at(self.end)?.is_none() {
            return Ok(false);
        }
        // These bytes exist, so that a full disk takes them.
        self.file
            .write_all_at(&[0; FRAME_HEAD_LEN], self.end, &self.path)?;
        self.file.sync_data()?;
        Ok(true)
    }

    /// Writes zeros ahead of the frames if fewer than `need` bytes exist there, so that most syncs find their blocks.
    pub(crate) fn zero_ahead(&mut self, need: u64, step: u64, most: u64) -> Result<()> {
        if self.end + need <= self.len || step == 0 {
            return Ok(());
        }
        let target = (self.end + need + step).min(most).max(self.end + need);
        let zeros = vec![0; usize::try_from((target - self.len).min(1 << 20)).unwrap_or(1 << 20)];
        while self.len < target {
            let len = (target - self.len).min(zeros.len() as u64);
            let part = zeros
                .get(..usize::try_from(len).unwrap_or(zeros.len()))
                .unwrap_or(&zeros);
            self.file.write_all_at(part, self.len, &self.path)?;
            self.len += part.len() as u64;
        }
        Ok(())
    }

    /// Reads the frame at an offset; `None` if there is no whole and valid one.
    pub(crate) fn frame_at(&self, offset: u64) -> Result<Option<Found>> {
        let Some(head) = self.head_at(offset)? else {
            return Ok(None);
        };
        if offset + head.frame_len() > self.len.next_multiple_of(8) {
            return Ok(None);
        }
        let mut payload = vec![0; head.stored_len as usize];
        if read_full(&*self.file, &mut payload, offset + FRAME_HEAD_LEN as u64)? < payload.len() {
            return Ok(None);
        }
        let batch = head.open(&payload, &self.header.seal(), offset);
        Ok(batch.map(|batch| Found {
            head,
            offset,
            batch,
        }))
    }

    /// Reads the head of a frame at an offset; `None` if there is none.
    pub(crate) fn head_at(&self, offset: u64) -> Result<Option<FrameHead>> {
        let mut bytes = [0; FRAME_HEAD_LEN];
        if read_full(&*self.file, &mut bytes, offset)? < bytes.len() {
            return Ok(None);
        }
        Ok(FrameHead::decode(&bytes, &self.header.seal(), offset))
    }
}

/// Reads as much as there is.
pub(crate) fn read_full(file: &dyn File, buf: &mut [u8], offset: u64) -> Result<usize> {
    let mut done = 0;
    while done < buf.len() {
        let read = file.read_at(
            buf.get_mut(done..).unwrap_or_default(),
            offset + done as u64,
        )?;
        if read == 0 {
            break;
        }
        done += read;
    }
    Ok(done)
}
