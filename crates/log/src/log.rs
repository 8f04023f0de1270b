//! The log in files of one directory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidestore_disk::{Disk, FileExt};

use crate::error::{Error, ErrorKind, Result};
use crate::file::LogFile;
use crate::format::{
    BATCH_BYTES_MAX, FRAME_HEAD_LEN, FileHeader, HEADER_LEN, Identity, file_name, padded,
    put_frame, spare_name,
};
use crate::newest;
use crate::recovery::{RecoveryReport, recover};
use crate::traits::{Log, Position, Visitor};

/// How a log is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// A file takes frames until it has this size, in bytes. Default 16 MiB.
    pub file_bytes: u64,
    /// Zeros are written ahead in steps of this size, in bytes; 0 for none. Default 1 MiB.
    pub zero_ahead: u64,
    /// Batches from this size on are compressed if that makes them smaller, in bytes. Default 512.
    pub compress_from: usize,
    /// Files kept for use when they are no longer needed. Default 2.
    pub spares_max: usize,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            file_bytes: 16 << 20,
            zero_ahead: 1 << 20,
            compress_from: 512,
            spares_max: 2,
        }
    }
}

/// A commit log in the files of one directory.
///
/// A file's blocks exist before frames are written into them: zeros are written ahead, and files that were trimmed are
/// used again under a new number. A sync then has no metadata to write, which takes about a third of the time.
pub struct FileLog {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    identity: Identity,
    options: LogOptions,
    /// Files that are only read, oldest first.
    sealed: Vec<LogFile>,
    /// The file that takes frames; made with the first append after opening.
    active: Option<LogFile>,
    spares: Vec<PathBuf>,
    next_generation: u64,
    end: u64,
    durable: u64,
    first: u64,
    poison: Option<String>,
    compressor: Option<zstd::bulk::Compressor<'static>>,
    frame: Vec<u8>,
}

impl std::fmt::Debug for FileLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileLog")
            .field("dir", &self.dir)
            .field("first", &self.first)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

impl FileLog {
    /// Opens the log in a directory, which must exist, and makes sure that all of it is durable.
    ///
    /// # Errors
    ///
    /// [`Corruption`](ErrorKind::Corruption) if synced batches are damaged or missing, or a file is not the one its
    /// name says: nothing was changed. Otherwise what the disk reports.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        store: [u8; 16],
        shard: u16,
        options: LogOptions,
    ) -> Result<(Self, RecoveryReport)> {
        let identity = Identity { store, shard };
        let mut recovered = recover(&disk, dir, identity)?;
        while recovered.spares.len() > options.spares_max {
            if let Some(spare) = recovered.spares.pop() {
                // One that stays is tried again by the next opening.
                drop(disk.remove_file(&spare));
            }
        }
        let end = recovered.files.last().map_or(0, |file| file.last_position);
        let first = recovered
            .files
            .first()
            .map_or(1, |file| file.header.first_position);
        let log = Self {
            disk,
            dir: dir.to_owned(),
            identity,
            options,
            sealed: recovered.files,
            active: None,
            spares: recovered.spares,
            next_generation: recovered.next_generation,
            end,
            durable: end,
            first,
            poison: None,
            compressor: zstd::bulk::Compressor::new(1).ok(),
            frame: Vec::new(),
        };
        Ok((log, recovered.report))
    }

    /// Begins a log in an empty directory at a position other than the first: that of a log which was copied from
    /// there on. Append what was copied, then sync.
    ///
    /// # Errors
    ///
    /// [`Corruption`](ErrorKind::Corruption) if the directory holds a log already. Otherwise what the disk reports; an
    /// empty log file may be left.
    pub fn begin(
        disk: Arc<dyn Disk>,
        dir: &Path,
        store: [u8; 16],
        shard: u16,
        options: LogOptions,
        first: Position,
    ) -> Result<Self> {
        let (mut log, _) = Self::open(disk, dir, store, shard, options)?;
        if !log.sealed.is_empty() || !log.spares.is_empty() {
            return Err(Error::corruption(dir, 0, "there is a log already"));
        }
        let before = first.0.saturating_sub(1);
        (log.end, log.durable, log.first) = (before, before, before + 1);
        // Also without batches: it says where the log ends.
        log.active = Some(log.start_file()?);
        Ok(log)
    }

    fn check_poison(&self) -> Result<()> {
        match &self.poison {
            None => Ok(()),
            Some(cause) => {
                let text = format!("the log takes no more batches since: {cause}");
                Err(Error::new(ErrorKind::Poisoned, text))
            }
        }
    }

    /// Remembers why nothing more may be acknowledged. The first cause stays.
    fn poisoned(&mut self, error: Error) -> Error {
        let cause = error.to_string();
        self.poison.get_or_insert(cause.clone());
        Error::new(ErrorKind::Poisoned, format!("the log failed: {cause}")).with_source(error)
    }

    /// Makes sure that the active file has room for a frame.
    fn make_room(&mut self, need: u64) -> Result<()> {
        let options = self.options;
        let full = |file: &LogFile| {
            file.end > HEADER_LEN && file.end + need > options.file_bytes.max(HEADER_LEN + need)
        };
        if self.active.as_ref().is_some_and(full) {
            // What the next file's header says of this one must be true before that header is.
            self.sync()?;
            self.sealed.extend(self.active.take());
        }
        if self.active.is_none() {
            self.active = Some(self.start_file()?);
        }
        if let Some(file) = &mut self.active {
            match file.zero_ahead(need, options.zero_ahead, options.file_bytes) {
                // Zeros are a convenience; there may still be space for the frame itself.
                Err(error) if error.kind() == ErrorKind::Full => {}
                other => other?,
            }
        }
        Ok(())
    }

    /// Starts an empty file, because nothing in the others is needed: the next opening has nothing to read.
    fn start_over(&mut self) -> Result<()> {
        let is_empty = |file: &LogFile| file.end == HEADER_LEN;
        if self
            .active
            .as_ref()
            .map_or(self.sealed.is_empty(), is_empty)
        {
            return Ok(());
        }
        self.sync()?;
        self.sealed.extend(self.active.take());
        self.active = Some(self.start_file()?);
        Ok(())
    }

    fn start_file(&mut self) -> Result<LogFile> {
        let file = self.make_file()?;
        // A name that cannot be written, on a full disk for one, must not keep the log from going on in a file that is there:
        // until the next file it is that of an older one, which claims less.
        drop(newest::write(
            &*self.disk,
            &self.dir,
            self.identity,
            file.header.generation,
        ));
        Ok(file)
    }

    fn make_file(&mut self) -> Result<LogFile> {
        let generation = self.next_generation;
        self.next_generation += 1;
        let header = FileHeader {
            identity: self.identity,
            generation,
            first_position: self.end + 1,
        };
        let path = self.dir.join(file_name(generation));
        let spare = self
            .spares
            .pop()
            .unwrap_or_else(|| self.dir.join(spare_name(generation)));
        let started = LogFile::start(&self.disk, &self.dir, path.clone(), header, &spare);
        if started.is_err() {
            // It has one of the two names. If it cannot be removed it does no harm: it is a spare, or it is empty.
            drop(self.disk.remove_file(&path));
            drop(self.disk.remove_file(&spare));
        }
        started
    }

    /// Frames the batch into `self.frame`, compressed if that makes it smaller.
    fn encode(&mut self, batch: &[u8], raw_len: u32) {
        let compressed = match &mut self.compressor {
            Some(compressor) if batch.len() >= self.options.compress_from => compressor
                .compress(batch)
                .ok()
                .filter(|bytes| bytes.len() < batch.len()),
            _ => None,
        };
        self.frame.clear();
        let Some(file) = &self.active else { return };
        let numbers = (self.end + 1, self.durable);
        let payload = compressed.as_deref().unwrap_or(batch);
        put_frame(
            &mut self.frame,
            &file.header.seal(),
            file.end,
            numbers,
            raw_len,
            payload,
        );
    }
}

impl Log for FileLog {
    fn append(&mut self, batch: &[u8]) -> Result<Position> {
        self.check_poison()?;
        let too_large = || {
            let text = format!(
                "a batch of {} bytes; at most {BATCH_BYTES_MAX} are taken",
                batch.len()
            );
            Error::new(ErrorKind::TooLarge, text)
        };
        let raw_len = u32::try_from(batch.len()).map_err(|_| too_large())?;
        if batch.len() > BATCH_BYTES_MAX || batch.is_empty() {
            return Err(too_large());
        }
        let need = padded((FRAME_HEAD_LEN + batch.len()) as u64);
        if let Err(error) = self.make_room(need) {
            return Err(if error.kind() == ErrorKind::Full {
                error
            } else {
                self.poisoned(error)
            });
        }
        self.encode(batch, raw_len);
        let Some(file) = &mut self.active else {
            return Err(too_large());
        };
        match file.file.write_all_at(&self.frame, file.end, &file.path) {
            Ok(()) => {}
            // The next append writes over whatever of this frame arrived. Until then it must not pass for a batch: all
            // but its padding may be there.
            Err(error) if error.kind() == tidestore_disk::ErrorKind::Full => {
                match file.erase_refused() {
                    Ok(true) => self.durable = self.end,
                    Ok(false) => {}
                    Err(cause) => return Err(self.poisoned(cause)),
                }
                return Err(error.into());
            }
            Err(error) => return Err(self.poisoned(error.into())),
        }
        file.end += self.frame.len() as u64;
        file.len = file.len.max(file.end);
        self.end += 1;
        file.last_position = self.end;
        Ok(Position(self.end))
    }

    fn sync(&mut self) -> Result<()> {
        self.check_poison()?;
        if self.durable == self.end {
            return Ok(());
        }
        let Some(file) = &self.active else {
            return Ok(());
        };
        match file.file.sync_data() {
            Ok(()) => {
                self.durable = self.end;
                Ok(())
            }
            Err(error) => Err(self.poisoned(error.into())),
        }
    }

    fn end(&self) -> Position {
        Position(self.end)
    }

    fn first(&self) -> Position {
        Position(self.first)
    }

    fn replay(&self, from: Position, visit: &mut Visitor<'_>) -> Result<()> {
        if from.0 < self.first {
            let text = format!(
                "position {from} was trimmed; the log begins at {}",
                self.first
            );
            return Err(Error::new(ErrorKind::Gap, text));
        }
        for file in self.sealed.iter().chain(&self.active) {
            if file.last_position < from.0 {
                continue;
            }
            let mut offset = HEADER_LEN;
            while offset < file.end {
                let Some(found) = file.frame_at(offset)? else {
                    return Err(Error::corruption(&file.path, offset, "a batch is damaged"));
                };
                if found.head.position >= from.0 {
                    visit(Position(found.head.position), &found.batch).map_err(|source| {
                        let text = format!("replay stopped at position {}", found.head.position);
                        Error::new(ErrorKind::Visitor, format!("{text}: {source}"))
                            .with_source(source)
                    })?;
                }
                offset = found.offset + found.head.frame_len();
            }
        }
        Ok(())
    }

    fn trim(&mut self, before: Position) -> Result<()> {
        self.check_poison()?;
        if before.0 > self.end {
            self.start_over()?;
        }
        while let Some(file) = self.sealed.first() {
            // The last file stays even if nothing in it is needed: it says where the log ends.
            let is_last = self.sealed.len() == 1 && self.active.is_none();
            if file.last_position >= before.0 || is_last {
                break;
            }
            let (path, generation) = (file.path.clone(), file.header.generation);
            let keep =
                self.spares.len() < self.options.spares_max && file.len >= self.options.file_bytes;
            let spare = keep.then(|| self.dir.join(spare_name(generation)));
            match &spare {
                Some(spare) => self.disk.rename(&path, spare)?,
                None => self.disk.remove_file(&path)?,
            }
            self.sealed.remove(0);
            let oldest = self.sealed.first().or(self.active.as_ref());
            self.first = oldest.map_or(self.end + 1, |file| file.header.first_position);
            // Oldest first and each durable before the next: a crash must not leave a gap in the chain, and a spare
            // that is used again must not come back under its old name. After a failure neither can be promised.
            if let Err(error) = self.disk.sync_dir(&self.dir) {
                return Err(self.poisoned(error.into()));
            }
            self.spares.extend(spare);
        }
        Ok(())
    }

    fn roll(&mut self) -> Result<()> {
        self.check_poison()?;
        self.start_over()
    }

    fn drop_spares(&mut self) -> Result<()> {
        while let Some(spare) = self.spares.last() {
            match self.disk.remove_file(spare) {
                Err(error) if error.kind() != tidestore_disk::ErrorKind::NotFound => {
                    return Err(error.into());
                }
                _ => drop(self.spares.pop()),
            }
        }
        // Whoever asked for it forgets why: they must not come back with a power cut.
        Ok(self.disk.sync_dir(&self.dir)?)
    }

    fn bytes_on_disk(&self) -> u64 {
        let files = self.sealed.iter().chain(&self.active).map(|file| file.len);
        files.sum::<u64>() + self.spares.len() as u64 * self.options.file_bytes
    }
}
