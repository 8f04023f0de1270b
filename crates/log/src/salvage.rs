//! Saving the batches that are whole from a log that does not open.
//!
//! Opening refuses a log with a hole, because nobody may take what lies behind it for all there is. A repair knows that
//! something is lost and says so; here are the batches on both sides of the hole, and a new file to write them to.
//!
//! A frame counts only if head and payload fit their checksums, which cover store, shard, generation and offset. So frames
//! are found also behind damage, and in a file whose header is damaged, by looking at every multiple of eight.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidestore_disk::{Disk, EntryKind, FileExt, OpenMode};

use crate::error::Result;
use crate::file::{LogFile, read_full};
use crate::format::{
    FRAME_HEAD_LEN, FileHeader, FrameHead, HEADER_LEN, Identity, file_name, parse_name, put_frame,
    spare_name,
};
use crate::newest::{self, Newest};

/// Something in a log file that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDamage {
    /// The file.
    pub path: PathBuf,
    /// Where in it.
    pub offset: u64,
    /// What is wrong.
    pub detail: String,
}

/// What is whole in a log.
#[derive(Debug, Default)]
pub struct LogSalvage {
    /// Files with a number, oldest first.
    pub files: Vec<PathBuf>,
    /// What is damaged. A tail that was torn by a crash is not.
    pub damage: Vec<LogDamage>,
    /// The smallest position that the log says it holds; 0 if it says nothing.
    pub first: u64,
    /// The largest position that surely was synced.
    pub synced: u64,
    /// Whether nothing says where the log ends: no file is left, or nothing of the youngest can be read.
    pub is_tail_lost: bool,
    /// The number of the next file.
    pub next_generation: u64,
    logs: Vec<LogFile>,
    /// By position: which file, and where in it.
    places: BTreeMap<u64, Place>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    file: usize,
    offset: u64,
    /// Bytes of what stands before it and is no frame.
    hole: u64,
    raw_len: u32,
}

/// Reads what is whole in the log of a shard; changes nothing.
///
/// # Errors
///
/// What the disk reports about the directory; a file that cannot be read is damage.
pub fn salvage(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    store: [u8; 16],
    shard: u16,
) -> Result<LogSalvage> {
    let identity = Identity { store, shard };
    let mut found = LogSalvage {
        next_generation: 1,
        ..LogSalvage::default()
    };
    let mut generations = Vec::new();
    let entries = match disk.list(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == tidestore_disk::ErrorKind::NotFound => return Ok(found),
        Err(error) => return Err(error.into()),
    };
    for entry in entries {
        if let Some((generation, is_spare)) = parse_name(&entry.name)
            && entry.kind == EntryKind::File
        {
            found.next_generation = found.next_generation.max(generation + 1);
            if !is_spare {
                generations.push(generation);
            }
        }
    }
    generations.sort_unstable();
    let newest = match newest::read(&**disk, dir, identity) {
        Ok(Newest::File(newest)) => newest,
        _ => 0,
    };
    found.next_generation = found.next_generation.max(newest + 1);
    let is_missing = generations.last().copied().unwrap_or_default() < newest;
    for generation in generations {
        let path = dir.join(file_name(generation));
        found.files.push(path.clone());
        if let Err(error) = found.file(disk, &path, identity, generation) {
            found.damage(&path, 0, error.to_string());
        }
    }
    found.judge();
    if is_missing {
        let detail =
            "the newest file of the log is missing, and with it what was acknowledged last";
        found.damage(&dir.join(file_name(newest)), 0, detail);
        found.is_tail_lost = true;
    }
    Ok(found)
}

impl LogSalvage {
    /// Positions of batches that are whole, in order.
    pub fn positions(&self) -> impl Iterator<Item = u64> {
        self.places.keys().copied()
    }

    /// Reads a batch; `None` if it is not whole.
    ///
    /// # Errors
    ///
    /// What the disk reports.
    pub fn batch(&self, position: u64) -> Result<Option<Vec<u8>>> {
        let Some(place) = self.places.get(&position) else {
            return Ok(None);
        };
        let Some(file) = self.logs.get(place.file) else {
            return Ok(None);
        };
        Ok(file.frame_at(place.offset)?.map(|found| found.batch))
    }

    /// Where a batch stands: file and offset.
    pub fn place(&self, position: u64) -> Option<(&Path, u64)> {
        let place = self.places.get(&position)?;
        Some((self.logs.get(place.file)?.path.as_path(), place.offset))
    }

    /// How many bytes, as they were stored, a hole right before a position takes up; 0 if that is not known.
    pub fn hole_before(&self, position: u64) -> u64 {
        self.places.get(&position).map_or(0, |place| place.hole)
    }

    /// Bytes of a batch before compression.
    pub fn raw_len(&self, position: u64) -> u64 {
        self.places
            .get(&position)
            .map_or(0, |place| place.raw_len.into())
    }

    fn damage(&mut self, path: &Path, offset: u64, detail: impl Into<String>) {
        self.damage.push(LogDamage {
            path: path.to_owned(),
            offset,
            detail: detail.into(),
        });
    }

    fn file(
        &mut self,
        disk: &Arc<dyn Disk>,
        path: &Path,
        identity: Identity,
        generation: u64,
    ) -> Result<()> {
        let file = disk.open(path, OpenMode::Read)?;
        let mut bytes = [0; 64];
        read_full(&*file, &mut bytes, 0)?;
        // The frames of a file are its own also where its header is not what it was.
        let mut header = FileHeader {
            identity,
            generation,
            first_position: 0,
        };
        match FileHeader::decode(&bytes, path) {
            Ok(found) if (found.identity, found.generation) == (identity, generation) => {
                header = found;
            }
            Ok(found) => {
                let detail = format!(
                    "the header says shard {}, generation {}: this is not the file that its name says",
                    found.identity.shard, found.generation
                );
                self.damage(path, 0, detail);
            }
            Err(error) => self.damage(path, 0, error.to_string()),
        }
        if header.first_position > 0 {
            let first = header.first_position;
            self.first = if self.first == 0 {
                first
            } else {
                self.first.min(first)
            };
            self.synced = self.synced.max(first - 1);
        }
        let len = file.len()?;
        self.logs.push(LogFile {
            header,
            path: path.to_owned(),
            file,
            end: HEADER_LEN,
            last_position: 0,
            len,
        });
        self.frames(self.logs.len() - 1);
        Ok(())
    }

    fn frames(&mut self, number: usize) {
        let (mut offset, mut hole) = (HEADER_LEN, 0);
        let mut last = 0;
        while let Some(file) = self.logs.get(number) {
            if offset >= file.len {
                break;
            }
            match file.frame_at(offset) {
                Ok(Some(found)) if found.head.position > last => {
                    last = found.head.position;
                    self.synced = self.synced.max(found.head.durable);
                    let place = Place {
                        file: number,
                        offset,
                        hole: std::mem::take(&mut hole),
                        raw_len: found.head.raw_len,
                    };
                    self.places.insert(last, place);
                    offset += found.head.frame_len();
                }
                _ => match next_head(file, offset + 8) {
                    Some(next) => {
                        hole += next - offset;
                        offset = next;
                    }
                    None => break,
                },
            }
        }
    }

    /// Decides which holes are losses. What stands behind one that was never synced was never acknowledged either.
    fn judge(&mut self) {
        let youngest = self.logs.len().wrapping_sub(1);
        let is_read = self.files.len() == self.logs.len()
            && self.logs.last().is_some_and(|file| {
                file.header.first_position > 0
                    || self.places.values().any(|place| place.file == youngest)
            });
        self.is_tail_lost = !is_read;
        let Some(&lowest) = self.places.keys().next() else {
            return;
        };
        self.first = if self.first == 0 {
            lowest
        } else {
            self.first.min(lowest)
        };
        let mut next = self.first;
        let mut holes = Vec::new();
        let mut cut = None;
        for (&position, place) in &self.places {
            if position > next {
                if next > self.synced {
                    cut = Some(next);
                    break;
                }
                holes.push((next, position, *place));
            }
            next = position + 1;
        }
        if let Some(cut) = cut {
            self.places.split_off(&cut);
        }
        for (from, to, place) in holes {
            let (path, offset) = match self.places.get(&(from.saturating_sub(1))) {
                // Where the last whole batch before it ends.
                Some(before) if before.file == place.file => {
                    let file = self.logs.get(before.file);
                    let head = file.and_then(|file| file.head_at(before.offset).ok().flatten());
                    let end = head.map_or(before.offset, |head| before.offset + head.frame_len());
                    (file.map(|file| file.path.clone()), end)
                }
                _ => (
                    self.logs.get(place.file).map(|file| file.path.clone()),
                    HEADER_LEN,
                ),
            };
            let detail = if to - from == 1 {
                format!("batch {from} was synced and is damaged or missing")
            } else {
                format!(
                    "batches {from} to {} were synced and are damaged or missing",
                    to - 1
                )
            };
            self.damage(&path.unwrap_or_default(), offset, detail);
        }
        let end = self.places.keys().next_back().copied().unwrap_or_default();
        if end < self.synced {
            let path = self.files.last().cloned().unwrap_or_default();
            let text = format!(
                "the log ends with batch {end}; up to {} they were synced",
                self.synced
            );
            self.damage(&path, HEADER_LEN, text);
        }
    }
}

/// The next offset, at a multiple of eight, where the head of a frame stands.
fn next_head(file: &LogFile, from: u64) -> Option<u64> {
    const WINDOW: usize = 64 << 10;
    let seal = file.header.seal();
    let mut window = vec![0; WINDOW + FRAME_HEAD_LEN];
    let mut offset = from.next_multiple_of(8);
    while offset < file.len {
        // A sector that cannot be read holds no frame.
        let read = read_full(&*file.file, &mut window, offset).unwrap_or(0);
        let bytes = window.get(..read).unwrap_or_default();
        for step in (0..WINDOW).step_by(8) {
            let Some(candidate) = bytes.get(step..) else {
                break;
            };
            let at = offset + step as u64;
            let is_zero = candidate
                .first_chunk::<8>()
                .is_none_or(|first| *first == [0; 8]);
            if !is_zero
                && FrameHead::decode(candidate, &seal, at).is_some()
                && file.frame_at(at).ok().flatten().is_some()
            {
                return Some(at);
            }
        }
        offset += WINDOW as u64;
    }
    None
}

/// Store and shard of a log file, as its header says.
///
/// # Errors
///
/// [`Corruption`](crate::ErrorKind::Corruption) if it has no valid header, or what the disk reports.
pub fn identify(disk: &Arc<dyn Disk>, path: &Path) -> Result<([u8; 16], u16)> {
    let file = disk.open(path, OpenMode::Read)?;
    let mut bytes = [0; 64];
    read_full(&*file, &mut bytes, 0)?;
    let identity = FileHeader::decode(&bytes, path)?.identity;
    Ok((identity.store, identity.shard))
}

/// What a rebuilt log is made of.
#[derive(Clone, Copy, Debug)]
pub struct RebuiltLog {
    /// The store.
    pub store: [u8; 16],
    /// The shard.
    pub shard: u16,
    /// The number of the file: above that of every other.
    pub generation: u64,
    /// The position of the first batch.
    pub first: u64,
}

/// Writes batches as one new file of a log. It has its name, beside the files that it replaces, only when all of it is
/// durable; those must be moved away before the log is opened. Returns its path.
///
/// # Errors
///
/// What the disk and `batches` report: a file under the name of a spare may be left, which opening uses or removes.
pub fn write_rebuilt(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    log: RebuiltLog,
    batches: &mut dyn Iterator<Item = Result<Vec<u8>>>,
) -> Result<PathBuf> {
    let header = FileHeader {
        identity: Identity {
            store: log.store,
            shard: log.shard,
        },
        generation: log.generation,
        first_position: log.first,
    };
    let spare = dir.join(spare_name(log.generation));
    let path = dir.join(file_name(log.generation));
    let file = disk.open(&spare, OpenMode::Create)?;
    file.set_len(0)?;
    file.write_all_at(&header.encode(), 0, &spare)?;
    let (mut offset, mut position) = (HEADER_LEN, log.first);
    let mut frame = Vec::new();
    for batch in batches {
        let batch = batch?;
        let packed = zstd::bulk::compress(&batch, 1).ok();
        let packed = packed.filter(|packed| packed.len() < batch.len());
        let payload = packed.as_deref().unwrap_or(&batch);
        let raw_len = u32::try_from(batch.len()).unwrap_or(u32::MAX);
        frame.clear();
        let numbers = (position, position - 1);
        put_frame(
            &mut frame,
            &header.seal(),
            offset,
            numbers,
            raw_len,
            payload,
        );
        file.write_all_at(&frame, offset, &spare)?;
        offset += frame.len() as u64;
        position += 1;
    }
    file.sync_data()?;
    disk.rename(&spare, &path)?;
    disk.sync_dir(dir)?;
    newest::write(&**disk, dir, header.identity, log.generation)?;
    Ok(path)
}
