//! Opening: which frames are there, and whether any are missing that must not be.
//!
//! | what is found | what it means | what is done |
//! |---|---|---|
//! | frames up to where the next file begins | an older file | it is kept for replay |
//! | fewer frames than the next file says | synced data is damaged | refused, with file and offset |
//! | an invalid frame at the end of the last file, nothing behind it | a torn tail: it was never synced | ignored |
//! | the same, and behind it a frame that says its place was durable | synced data is damaged | refused |
//! | the same, and behind it frames that do not say so | unsynced writes that arrived out of order | ignored |
//! | no file with the number that `NEWEST` says | the newest file is missing | refused |
//! | a file without a valid header of its own | damaged or moved: it got its name after its header was durable | refused |
//! | a spare file, with whatever in it | trimmed, or its making was cut short | used for the next file |
//!
//! What lies behind the damage is only ever evidence: it can make opening refuse, it is never replayed. A message that
//! carries the bytes of a frame cannot pass for one, because the checksum is seeded with the store's secret id, the
//! file's generation and the exact offset.
//!
//! A sync that failed before may have left pages that look written and are not on the device. So the frames that no
//! later frame vouches for are written once more and synced before anything else is.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidestore_disk::{Disk, EntryKind, FileExt, OpenMode};

use crate::error::{Error, Result};
use crate::file::{LogFile, read_full};
use crate::format::{FRAME_HEAD_LEN, FileHeader, FrameHead, HEADER_LEN, Identity, parse_name};
use crate::newest::{self, NEWEST, NEWEST_UNFINISHED, Newest};

/// What opening a log found that is worth a word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    notices: Vec<Notice>,
}

/// Something worth a word.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// A file that is none of the log's; left alone.
    Foreign(PathBuf),
    /// The file that names the newest log file cannot be believed: whether one is missing is not known.
    NewestUnknown(PathBuf),
    /// Bytes behind the last whole frame: a batch that was being written, and was never acknowledged as synced.
    TornTail {
        /// The file.
        path: PathBuf,
        /// Where the last whole frame ends.
        offset: u64,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign(path) => write!(f, "{} is not a log file; left alone", path.display()),
            Self::NewestUnknown(path) => write!(
                f,
                "{} is damaged: a newer log file could be missing; it is written anew with the next one",
                path.display()
            ),
            Self::TornTail { path, offset } => {
                write!(
                    f,
                    "{} ends in a torn batch at byte {offset}; ignored",
                    path.display()
                )
            }
        }
    }
}

impl RecoveryReport {
    /// Everything worth a word, in the order in which it was found.
    pub fn notices(&self) -> impl Iterator<Item = &Notice> {
        self.notices.iter()
    }
}

/// What is on disk of a log.
#[derive(Debug)]
pub(crate) struct Recovered {
    /// Oldest first, each with its frames counted.
    pub(crate) files: Vec<LogFile>,
    pub(crate) spares: Vec<PathBuf>,
    pub(crate) next_generation: u64,
    pub(crate) report: RecoveryReport,
}

pub(crate) fn recover(disk: &Arc<dyn Disk>, dir: &Path, identity: Identity) -> Result<Recovered> {
    let mut recovered = Recovered {
        files: Vec::new(),
        spares: Vec::new(),
        next_generation: 1,
        report: RecoveryReport::default(),
    };
    let names = list(disk, dir, &mut recovered)?;
    match newest::read(&**disk, dir, identity)? {
        Newest::Damaged => {
            let notice = Notice::NewestUnknown(newest::path(dir));
            recovered.report.notices.push(notice);
        }
        Newest::File(newest) if names.last().is_none_or(|last| *last < newest) => {
            let path = dir.join(crate::format::file_name(newest));
            let detail =
                "the newest file of the log is missing, and with it what was acknowledged last";
            return Err(Error::corruption(&path, 0, detail));
        }
        Newest::Unknown | Newest::File(_) => {}
    }
    for generation in names {
        let path = dir.join(crate::format::file_name(generation));
        let file = open_file(disk, &path, identity, generation)?;
        recovered.files.push(file);
    }
    // What was renamed or removed by a process that died before it could sync the directory must not come back once
    // something is built on it.
    disk.sync_dir(dir)?;
    check_chain(&mut recovered)?;
    Ok(recovered)
}

fn list(disk: &Arc<dyn Disk>, dir: &Path, recovered: &mut Recovered) -> Result<Vec<u64>> {
    let mut generations = Vec::new();
    for entry in disk.list(dir)? {
        let path = dir.join(&entry.name);
        match parse_name(&entry.name).filter(|_| entry.kind == EntryKind::File) {
            Some((generation, spare)) => {
                recovered.next_generation = recovered.next_generation.max(generation + 1);
                if spare {
                    recovered.spares.push(path);
                } else {
                    generations.push(generation);
                }
            }
            None if entry.name == NEWEST || entry.name == NEWEST_UNFINISHED => {}
            None => recovered.report.notices.push(Notice::Foreign(path)),
        }
    }
    generations.sort_unstable();
    Ok(generations)
}

fn open_file(
    disk: &Arc<dyn Disk>,
    path: &Path,
    identity: Identity,
    generation: u64,
) -> Result<LogFile> {
    let file = disk.open(path, OpenMode::Write)?;
    let mut bytes = [0; 64];
    read_full(&*file, &mut bytes, 0)?;
    let header = FileHeader::decode(&bytes, path)?;
    if header.identity != identity || header.generation != generation || header.first_position == 0
    {
        let detail = format!(
            "the header says shard {}, generation {}: this is not the file that its name says",
            header.identity.shard, header.generation
        );
        return Err(Error::corruption(path, 0, detail));
    }
    let len = file.len()?;
    let last_position = header.first_position - 1;
    Ok(LogFile {
        header,
        path: path.to_owned(),
        file,
        end: HEADER_LEN,
        last_position,
        len,
    })
}

/// Counts the frames of every file and makes sure that the files follow each other.
fn check_chain(recovered: &mut Recovered) -> Result<()> {
    let starts: Vec<u64> = recovered
        .files
        .iter()
        .map(|f| f.header.first_position)
        .collect();
    let count = recovered.files.len();
    for (index, file) in recovered.files.iter_mut().enumerate() {
        let until = starts.get(index + 1).copied();
        count_frames(file, until)?;
        if let Some(next) = until
            && file.last_position + 1 != next
        {
            let detail = format!(
                "batch {} is damaged or missing; the next file begins with {next}",
                file.last_position + 1
            );
            return Err(Error::corruption(&file.path, file.end, detail));
        }
        if index + 1 == count
            && let Some(notice) = check_tail(file)?
        {
            recovered.report.notices.push(notice);
        }
    }
    if let Some(last) = recovered.files.last() {
        rewrite_tail(last)?;
    }
    Ok(())
}

fn count_frames(file: &mut LogFile, until: Option<u64>) -> Result<()> {
    while until.is_none_or(|until| file.last_position + 1 < until) {
        match file.frame_at(file.end)? {
            Some(found) if found.head.position == file.last_position + 1 => {
                file.last_position += 1;
                file.end += found.head.frame_len();
            }
            _ => break,
        }
    }
    Ok(())
}

/// Tells a torn tail from damage, see the table above.
fn check_tail(file: &LogFile) -> Result<Option<Notice>> {
    let missing = file.last_position + 1;
    let mut is_clean = true;
    let mut offset = file.end;
    let seal = file.header.seal();
    let mut window = vec![0; WINDOW + FRAME_HEAD_LEN];
    while offset < file.len {
        let read = read_full(&*file.file, &mut window, offset)?;
        let bytes = window.get(..read).unwrap_or_default();
        is_clean &= bytes.iter().all(|byte| *byte == 0);
        for step in (0..WINDOW).step_by(8) {
            let Some(candidate) = bytes.get(step..) else {
                break;
            };
            // Most of a tail is zeros, which are no frame; checking that first keeps opening fast.
            if candidate
                .first_chunk::<8>()
                .is_none_or(|first| *first == [0; 8])
            {
                continue;
            }
            let head = FrameHead::decode(candidate, &seal, offset + step as u64);
            if head.is_some_and(|head| head.durable >= missing) {
                let detail = format!("batch {missing} was synced and is damaged");
                return Err(Error::corruption(&file.path, file.end, detail));
            }
        }
        offset += WINDOW as u64;
    }
    let torn = Notice::TornTail {
        path: file.path.clone(),
        offset: file.end,
    };
    // A recycled file is full of an earlier life's frames; only what begins like a frame of this one was torn.
    let begins = begins_a_frame(file)?;
    Ok((begins && !is_clean).then_some(torn))
}

/// Whether a frame of this file begins behind the last whole one, be it with one bit of its head flipped.
fn begins_a_frame(file: &LogFile) -> Result<bool> {
    let (seal, offset) = (file.header.seal(), file.end);
    let mut head = [0; FRAME_HEAD_LEN];
    read_full(&*file.file, &mut head, offset)?;
    let is_head = |head: &[u8]| {
        let head = FrameHead::decode(head, &seal, offset);
        head.is_some_and(|head| head.position == file.last_position + 1)
    };
    if is_head(&head) {
        return Ok(true);
    }
    Ok((0..FRAME_HEAD_LEN * 8).any(|bit| {
        let mut flipped = head;
        if let Some(byte) = flipped.get_mut(bit / 8) {
            *byte ^= 1 << (bit % 8);
        }
        is_head(&flipped)
    }))
}

const WINDOW: usize = 64 << 10;

/// Writes the frames that no later frame vouches for once more, and syncs them.
fn rewrite_tail(file: &LogFile) -> Result<()> {
    let mut offset = HEADER_LEN;
    let mut frames = Vec::new();
    while offset < file.end {
        let Some(head) = file.head_at(offset)? else {
            break;
        };
        frames.push((offset, head));
        offset += head.frame_len();
    }
    let vouched = frames.last().map_or(0, |(_, head)| head.durable);
    let first = frames
        .iter()
        .find(|(_, head)| head.position > vouched)
        .map(|(offset, _)| *offset);
    let Some(start) = first else { return Ok(()) };
    let mut offset = start;
    let mut window = vec![0; WINDOW];
    while offset < file.end {
        let len = usize::try_from((file.end - offset).min(WINDOW as u64)).unwrap_or(WINDOW);
        let part = window.get_mut(..len).unwrap_or_default();
        let read = read_full(&*file.file, part, offset)?;
        // The last frame's padding may lie behind the end of the file: it is zeros either way.
        if let Some(rest) = part.get_mut(read..) {
            rest.fill(0);
        }
        file.file.write_all_at(part, offset, &file.path)?;
        offset += len as u64;
    }
    file.file.sync_data()?;
    Ok(())
}
