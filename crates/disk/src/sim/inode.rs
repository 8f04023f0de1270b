//! The bytes of one file: what the process sees, what the platter holds, and what lies between.

use std::collections::BTreeSet;

use crate::rng::SplitMix;
use crate::{EntryKind, PUNCH_BYTES};

/// What a disk writes whole or not at all, in bytes.
pub(super) const SECTOR_BYTES: usize = 512;

pub(super) type InodeId = u64;

/// A file, a directory (whose entries the tree holds), or something else.
#[derive(Debug)]
pub(super) struct Inode {
    pub(super) kind: EntryKind,
    pub(super) file: FileBytes,
    /// How many names it has, as the process sees it.
    pub(super) names: u32,
    /// How many open files refer to it.
    pub(super) handles: u32,
}

impl Inode {
    pub(super) fn new(kind: EntryKind) -> Self {
        Self {
            kind,
            file: FileBytes::default(),
            names: 1,
            handles: 0,
        }
    }

    /// Whether its bytes take up space: they do until the last name and the last handle are gone.
    pub(super) fn takes_space(&self) -> bool {
        self.names > 0 || self.handles > 0
    }
}

/// The bytes of a file on both sides of a sync.
///
/// Invariant: `durable` with all of `pending` applied equals `volatile`, unless a sync failed or
/// the file was damaged on purpose.
#[derive(Debug, Default)]
pub(super) struct FileBytes {
    pub(super) volatile: Vec<u8>,
    pub(super) durable: Vec<u8>,
    pub(super) pending: Vec<Change>,
    /// Blocks that were punched and not written since, as the process sees them, by number.
    pub(super) holes: BTreeSet<usize>,
}

/// [`PUNCH_BYTES`] as an index is counted.
const HOLE_BYTES: usize = 4_096;
const _: () = assert!(HOLE_BYTES as u64 == PUNCH_BYTES);

/// A change that no sync has made durable yet.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Write { offset: usize, data: Vec<u8> },
    SetLen(usize),
    Punch(std::ops::Range<usize>),
}

impl FileBytes {
    /// Bytes that are durable and nothing else.
    pub(super) fn settled(bytes: Vec<u8>) -> Self {
        Self {
            volatile: bytes.clone(),
            durable: bytes,
            pending: Vec::new(),
            holes: BTreeSet::new(),
        }
    }

    /// Bytes of the disk that it takes up.
    pub(super) fn taken(&self) -> u64 {
        (self.volatile.len() - self.holes.len() * HOLE_BYTES) as u64
    }

    /// Bytes of the disk that a write to a range takes up because it fills holes.
    pub(super) fn filled(&self, range: std::ops::Range<usize>) -> usize {
        let blocks = range.start / HOLE_BYTES..range.end.div_ceil(HOLE_BYTES);
        self.holes.range(blocks).count() * HOLE_BYTES
    }

    pub(super) fn apply(&mut self, change: Change) {
        change.apply(&mut self.volatile);
        match &change {
            Change::Write { offset, data } => {
                let blocks = offset / HOLE_BYTES..(offset + data.len()).div_ceil(HOLE_BYTES);
                self.holes.retain(|block| !blocks.contains(block));
            }
            Change::SetLen(len) => self.holes.retain(|block| (block + 1) * HOLE_BYTES <= *len),
            Change::Punch(range) => {
                let end = range.end.min(self.volatile.len());
                let blocks = range.start.div_ceil(HOLE_BYTES)..end / HOLE_BYTES;
                self.holes.extend(blocks);
            }
        }
        self.pending.push(change);
    }

    pub(super) fn sync(&mut self) {
        for change in self.pending.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    /// What a failed sync does: the pages are marked clean, so that nothing writes them again.
    pub(super) fn drop_dirty(&mut self) {
        self.pending.clear();
    }

    /// The bytes after a crash in which each unsynced sector survived by the throw of a die.
    pub(super) fn after_crash(&self, rng: &mut SplitMix, percent: u32) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        for change in &self.pending {
            match change {
                Change::SetLen(_) | Change::Punch(_) if rng.percent(percent) => {
                    change.apply(&mut bytes);
                }
                Change::SetLen(_) | Change::Punch(_) => {}
                Change::Write { offset, data } => {
                    for (at, sector) in sectors(*offset, data) {
                        if rng.percent(percent) {
                            overwrite(&mut bytes, at, sector);
                        }
                    }
                }
            }
        }
        bytes
    }

    /// The holes that a crash which left these bytes has kept.
    pub(super) fn holes_in(&self, bytes: &[u8]) -> BTreeSet<usize> {
        let is_hole = |block: &usize| {
            let block = bytes.get(block * HOLE_BYTES..(block + 1) * HOLE_BYTES);
            block.is_some_and(|block| block.iter().all(|byte| *byte == 0))
        };
        self.holes.iter().copied().filter(is_hole).collect()
    }

    /// Lets `damage` alter the bytes on both sides and those in between. It gets the offset in the
    /// file at which the bytes begin.
    pub(super) fn damage(&mut self, mut damage: impl FnMut(usize, &mut Vec<u8>)) {
        damage(0, &mut self.volatile);
        damage(0, &mut self.durable);
        for change in &mut self.pending {
            if let Change::Write { offset, data } = change {
                damage(*offset, data);
            }
        }
    }

    /// Cuts the file on both sides; what was pending beyond the cut is gone too.
    pub(super) fn cut(&mut self, len: usize) {
        self.damage(|offset, bytes| bytes.truncate(len.saturating_sub(offset)));
        self.holes.retain(|block| (block + 1) * HOLE_BYTES <= len);
        self.pending
            .retain(|change| !matches!(change, Change::Write { data, .. } if data.is_empty()));
        for change in &mut self.pending {
            if let Change::SetLen(pending) = change {
                *pending = len.min(*pending);
            }
        }
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write { offset, data } => overwrite(bytes, *offset, data),
            Self::SetLen(len) => bytes.resize(*len, 0),
            Self::Punch(range) => {
                let end = range.end.min(bytes.len());
                if let Some(range) = bytes.get_mut(range.start.min(end)..end) {
                    range.fill(0);
                }
            }
        }
    }
}

/// Writes into bytes, extending them with zeros up to the offset.
pub(super) fn overwrite(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset.saturating_add(data.len());
    if !data.is_empty() && bytes.len() < end {
        bytes.resize(end, 0);
    }
    if let Some(target) = bytes.get_mut(offset..end) {
        target.copy_from_slice(data);
    }
}

/// Cuts a write at the sector boundaries of the file.
fn sectors(offset: usize, data: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let first = (SECTOR_BYTES - offset % SECTOR_BYTES).min(data.len());
    let (head, tail) = data.split_at(first);
    let tail_offset = offset + first;
    let rest = tail.chunks(SECTOR_BYTES).enumerate();
    let rest = rest.map(move |(i, sector)| (tail_offset + i * SECTOR_BYTES, sector));
    std::iter::once((offset, head)).chain(rest)
}
