//! The directory tree: names as the process sees them, names as the platter holds them, and the
//! operations between the two.
//!
//! A rename between two directories is one atomic operation that is durable when both are synced.
//! A sync never makes an operation durable without the earlier ones that it builds on: those on the
//! same name, and those that emptied a directory before its removal. A journaling filesystem orders
//! them the same way.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};

use rustix::io::Errno;

use super::inode::{Change, FileBytes, Inode, InodeId, overwrite};
use crate::EntryKind;

/// The entries of every directory.
pub(super) type Entries = BTreeMap<InodeId, BTreeMap<OsString, InodeId>>;

pub(super) const ROOT: InodeId = 0;

/// No simulated file grows larger, so that a wrong offset fails instead of eating the memory.
const FILE_BYTES_MAX: usize = 1 << 32;

/// The result of an operation, failing as the operating system would.
pub(super) type Result<T> = std::result::Result<T, Errno>;

#[derive(Debug)]
pub(super) struct Tree {
    pub(super) inodes: BTreeMap<InodeId, Inode>,
    pub(super) volatile: Entries,
    pub(super) durable: Entries,
    pub(super) pending: Vec<DirOp>,
    /// The sum of what all files take up: their lengths without their holes.
    pub(super) used: u64,
    pub(super) space: Option<u64>,
    next: InodeId,
}

/// A place where a directory has or had an entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot {
    pub(super) dir: InodeId,
    pub(super) name: OsString,
}

/// A change of directory entries that is not durable yet.
#[derive(Clone, Debug)]
pub(super) struct DirOp {
    pub(super) change: DirChange,
    /// The directories that must still be synced.
    unsynced: Vec<InodeId>,
}

#[derive(Clone, Debug)]
pub(super) enum DirChange {
    Link {
        at: Slot,
        inode: InodeId,
    },
    Unlink {
        at: Slot,
        inode: InodeId,
    },
    Rename {
        from: Slot,
        to: Slot,
        inode: InodeId,
    },
}

impl Tree {
    /// An empty disk.
    pub(super) fn new() -> Self {
        Self {
            inodes: BTreeMap::from([(ROOT, Inode::new(EntryKind::Dir))]),
            volatile: BTreeMap::from([(ROOT, BTreeMap::new())]),
            durable: BTreeMap::from([(ROOT, BTreeMap::new())]),
            pending: Vec::new(),
            used: 0,
            space: None,
            next: ROOT + 1,
        }
    }

    /// A disk on which everything is durable.
    pub(super) fn settled(inodes: BTreeMap<InodeId, Inode>, entries: Entries) -> Self {
        let used = inodes.values().map(|inode| inode.file.taken()).sum();
        let next = inodes.keys().next_back().map_or(ROOT, |last| *last) + 1;
        let durable = entries.clone();
        Self {
            inodes,
            volatile: entries,
            durable,
            pending: Vec::new(),
            used,
            space: None,
            next,
        }
    }

    pub(super) fn inode(&self, id: InodeId) -> Result<&Inode> {
        self.inodes.get(&id).ok_or(Errno::STALE)
    }

    pub(super) fn inode_mut(&mut self, id: InodeId) -> Result<&mut Inode> {
        self.inodes.get_mut(&id).ok_or(Errno::STALE)
    }

    pub(super) fn resolve(&self, names: &[&OsStr]) -> Result<InodeId> {
        let mut id = ROOT;
        for name in names {
            id = self.child(id, name)?.ok_or(Errno::NOENT)?;
        }
        Ok(id)
    }

    pub(super) fn resolve_dir(&self, names: &[&OsStr]) -> Result<InodeId> {
        let id = self.resolve(names)?;
        self.entries(id)?;
        Ok(id)
    }

    pub(super) fn entries(&self, dir: InodeId) -> Result<&BTreeMap<OsString, InodeId>> {
        match self.inode(dir)?.kind {
            EntryKind::Dir => self.volatile.get(&dir).ok_or(Errno::NOENT),
            EntryKind::File => Err(Errno::NOTDIR),
            EntryKind::Other => Err(Errno::LOOP),
        }
    }

    pub(super) fn child(&self, dir: InodeId, name: &OsStr) -> Result<Option<InodeId>> {
        Ok(self.entries(dir)?.get(name).copied())
    }

    pub(super) fn expect_file(&self, id: InodeId) -> Result<()> {
        match self.inode(id)?.kind {
            EntryKind::File => Ok(()),
            EntryKind::Dir => Err(Errno::ISDIR),
            EntryKind::Other => Err(Errno::LOOP),
        }
    }

    /// Makes an inode and names it.
    pub(super) fn create(
        &mut self,
        dir: InodeId,
        name: &OsStr,
        kind: EntryKind,
    ) -> Result<InodeId> {
        self.entries(dir)?;
        let id = self.next;
        self.next += 1;
        self.inodes.insert(id, Inode::new(kind));
        if kind == EntryKind::Dir {
            self.volatile.insert(id, BTreeMap::new());
            self.durable.insert(id, BTreeMap::new());
        }
        let at = Slot {
            dir,
            name: name.to_owned(),
        };
        insert(&mut self.volatile, &at, id);
        self.push(DirChange::Link { at, inode: id });
        Ok(id)
    }

    pub(super) fn unlink(&mut self, dir: InodeId, name: &OsStr) -> Result<()> {
        let inode = self.child(dir, name)?.ok_or(Errno::NOENT)?;
        let at = Slot {
            dir,
            name: name.to_owned(),
        };
        remove(&mut self.volatile, &at);
        self.push(DirChange::Unlink { at, inode });
        self.unlinked(inode)
    }

    pub(super) fn rename(&mut self, from: Slot, to: Slot) -> Result<()> {
        let inode = self.child(from.dir, &from.name)?.ok_or(Errno::NOENT)?;
        let target = self.child(to.dir, &to.name)?;
        if target == Some(inode) {
            return Ok(());
        }
        if let Some(target) = target {
            self.check_replace(inode, target)?;
        }
        remove(&mut self.volatile, &from);
        insert(&mut self.volatile, &to, inode);
        self.push(DirChange::Rename { from, to, inode });
        target.map_or(Ok(()), |target| self.unlinked(target))
    }

    /// Gives a file another name.
    pub(super) fn link(&mut self, inode: InodeId, at: Slot) -> Result<()> {
        if self.child(at.dir, &at.name)?.is_some() {
            return Err(Errno::EXIST);
        }
        self.inode_mut(inode)?.names += 1;
        insert(&mut self.volatile, &at, inode);
        self.push(DirChange::Link { at, inode });
        Ok(())
    }

    fn check_replace(&self, inode: InodeId, target: InodeId) -> Result<()> {
        match (self.inode(inode)?.kind, self.inode(target)?.kind) {
            (EntryKind::File, EntryKind::File) => Ok(()),
            (EntryKind::Dir, EntryKind::Dir) if self.entries(target)?.is_empty() => Ok(()),
            (EntryKind::Dir, EntryKind::Dir) => Err(Errno::NOTEMPTY),
            (EntryKind::File, EntryKind::Dir) => Err(Errno::ISDIR),
            (EntryKind::Dir, EntryKind::File) => Err(Errno::NOTDIR),
            (EntryKind::Other, _) | (_, EntryKind::Other) => Err(Errno::LOOP),
        }
    }

    /// Writes as much as there is space for.
    pub(super) fn write(&mut self, id: InodeId, offset: u64, data: &[u8]) -> Result<usize> {
        let offset = bounded(offset)?;
        let end = offset
            .checked_add(data.len())
            .filter(|end| *end <= FILE_BYTES_MAX);
        let end = end.ok_or(Errno::FBIG)?;
        let old_len = self.inode(id)?.file.volatile.len();
        let reach = usize::try_from(self.free())
            .unwrap_or(usize::MAX)
            .saturating_add(old_len);
        let end = end.min(reach);
        let fits = end
            .checked_sub(offset)
            .filter(|fits| *fits > 0)
            .ok_or(Errno::NOSPC)?;
        let filled = self.inode(id)?.file.filled(offset..end);
        if filled > 0 && (filled + end.saturating_sub(old_len)) as u64 > self.free() {
            return Err(Errno::NOSPC);
        }
        let data = data.get(..fits).unwrap_or(data).to_vec();
        self.change(id, Change::Write { offset, data })?;
        Ok(fits)
    }

    /// Gives back the space of a range.
    pub(super) fn punch(&mut self, id: InodeId, offset: u64, len: u64) -> Result<()> {
        let start = bounded(offset)?;
        let end = start
            .checked_add(bounded(len)?)
            .filter(|end| *end > start)
            .ok_or(Errno::INVAL)?;
        self.change(id, Change::Punch(start..end))
    }

    /// Changes a file and keeps the account of what is used.
    fn change(&mut self, id: InodeId, change: Change) -> Result<()> {
        let file = &mut self.inode_mut(id)?.file;
        let before = file.taken();
        file.apply(change);
        let after = file.taken();
        self.used = self.used - before + after;
        Ok(())
    }

    pub(super) fn set_len(&mut self, id: InodeId, len: u64) -> Result<()> {
        let new = bounded(len)?;
        let old = self.inode(id)?.file.volatile.len() as u64;
        if len > old && len - old > self.free() {
            return Err(Errno::NOSPC);
        }
        self.change(id, Change::SetLen(new))
    }

    /// Overwrites bytes behind everyone's back, on both sides of the sync.
    pub(super) fn damage(&mut self, id: InodeId, offset: u64, data: &[u8]) -> Result<()> {
        let offset = bounded(offset)?;
        let inode = self.inode_mut(id)?;
        let old = inode.file.volatile.len() as u64;
        overwrite(&mut inode.file.volatile, offset, data);
        overwrite(&mut inode.file.durable, offset, data);
        // What is pending would undo the damage when it becomes durable.
        inode.file.damage(|start, bytes| {
            let (skip, at) = (start.saturating_sub(offset), offset.saturating_sub(start));
            let damaged = data.get(skip..).unwrap_or_default();
            let room = bytes.len().saturating_sub(at).min(damaged.len());
            overwrite(bytes, at, damaged.get(..room).unwrap_or_default());
        });
        let new = inode.file.volatile.len() as u64;
        self.used = self.used - old + new;
        Ok(())
    }

    pub(super) fn cut(&mut self, id: InodeId, len: u64) -> Result<()> {
        let inode = self.inode_mut(id)?;
        let old = inode.file.taken();
        inode.file.cut(usize::try_from(len).unwrap_or(usize::MAX));
        let new = inode.file.taken();
        self.used = self.used - old + new;
        Ok(())
    }

    /// Gives up a handle.
    pub(super) fn close(&mut self, id: InodeId) {
        let Some(inode) = self.inodes.get_mut(&id) else {
            return;
        };
        inode.handles = inode.handles.saturating_sub(1);
        if !inode.takes_space() {
            self.used -= inode.file.taken();
        }
    }

    fn unlinked(&mut self, id: InodeId) -> Result<()> {
        self.volatile.remove(&id);
        let inode = self.inode_mut(id)?;
        inode.names = inode.names.saturating_sub(1);
        if !inode.takes_space() {
            let taken = inode.file.taken();
            self.used -= taken;
        }
        Ok(())
    }

    fn free(&self) -> u64 {
        self.space
            .map_or(u64::MAX, |space| space.saturating_sub(self.used))
    }

    fn push(&mut self, change: DirChange) {
        let mut unsynced: Vec<_> = change.slots().map(|slot| slot.dir).collect();
        unsynced.dedup();
        self.pending.push(DirOp { change, unsynced });
    }

    /// Makes the entries of a directory durable, with what they build on.
    pub(super) fn sync_dir(&mut self, dir: InodeId) {
        for op in &mut self.pending {
            op.unsynced.retain(|unsynced| *unsynced != dir);
        }
        let mut due = self.due();
        for op in std::mem::take(&mut self.pending) {
            if due.pop().unwrap_or_default() {
                op.change.apply(&mut self.durable);
            } else {
                self.pending.push(op);
            }
        }
        self.collect();
    }

    /// Which pending operations become durable now: the last comes first, so that each pulls in
    /// the earlier ones it builds on.
    fn due(&self) -> Vec<bool> {
        let (mut slots, mut dirs) = (BTreeSet::new(), BTreeSet::new());
        let mut due = Vec::with_capacity(self.pending.len());
        for op in self.pending.iter().rev() {
            let needed = op
                .change
                .slots()
                .any(|at| slots.contains(at) || dirs.contains(&at.dir));
            let is_due = op.unsynced.is_empty() || needed;
            if is_due {
                slots.extend(op.change.slots().cloned());
                if let DirChange::Unlink { inode, .. } = op.change {
                    dirs.insert(inode);
                }
            }
            due.push(is_due);
        }
        due
    }

    /// Forgets inodes that nothing refers to any more.
    fn collect(&mut self) {
        if self.inodes.values().all(Inode::takes_space) {
            return;
        }
        let mut named: BTreeSet<_> = self.durable.values().flat_map(BTreeMap::values).collect();
        for op in &self.pending {
            let (DirChange::Link { inode, .. }
            | DirChange::Unlink { inode, .. }
            | DirChange::Rename { inode, .. }) = &op.change;
            named.insert(inode);
        }
        self.inodes
            .retain(|id, inode| inode.takes_space() || named.contains(id));
        let inodes = &self.inodes;
        self.durable.retain(|dir, _| inodes.contains_key(dir));
        self.pending
            .retain(|op| op.change.slots().any(|slot| inodes.contains_key(&slot.dir)));
    }
}

impl DirChange {
    /// Carries the change out on durable entries, unless what it starts from is not there.
    pub(super) fn apply(&self, entries: &mut Entries) {
        match self {
            Self::Link { at, inode } => {
                if lookup(entries, at).is_none() {
                    insert(entries, at, *inode);
                }
            }
            Self::Unlink { at, inode } => {
                let holds_entries = entries.get(inode).is_some_and(|dir| !dir.is_empty());
                if lookup(entries, at) == Some(*inode) && !holds_entries {
                    remove(entries, at);
                }
            }
            Self::Rename { from, to, inode } => {
                if lookup(entries, from) == Some(*inode) {
                    remove(entries, from);
                    insert(entries, to, *inode);
                }
            }
        }
    }

    fn slots(&self) -> impl Iterator<Item = &Slot> {
        let (first, second) = match self {
            Self::Link { at, .. } | Self::Unlink { at, .. } => (at, None),
            Self::Rename { from, to, .. } => (from, Some(to)),
        };
        std::iter::once(first).chain(second)
    }
}

fn lookup(entries: &Entries, at: &Slot) -> Option<InodeId> {
    entries.get(&at.dir)?.get(&at.name).copied()
}

fn insert(entries: &mut Entries, at: &Slot, inode: InodeId) {
    entries
        .entry(at.dir)
        .or_default()
        .insert(at.name.clone(), inode);
}

fn remove(entries: &mut Entries, at: &Slot) {
    if let Some(dir) = entries.get_mut(&at.dir) {
        dir.remove(&at.name);
    }
}

fn bounded(bytes: u64) -> Result<usize> {
    usize::try_from(bytes)
        .ok()
        .filter(|bytes| *bytes <= FILE_BYTES_MAX)
        .ok_or(Errno::FBIG)
}

impl Tree {
    /// Places a durable entry without an operation: how tests plant what the store never wrote.
    pub(super) fn plant(&mut self, dir: InodeId, name: &OsStr, kind: EntryKind, bytes: Vec<u8>) {
        let id = self.next;
        self.next += 1;
        self.used += bytes.len() as u64;
        let file = FileBytes::settled(bytes);
        self.inodes.insert(
            id,
            Inode {
                file,
                ..Inode::new(kind)
            },
        );
        let at = Slot {
            dir,
            name: name.to_owned(),
        };
        insert(&mut self.volatile, &at, id);
        insert(&mut self.durable, &at, id);
        if kind == EntryKind::Dir {
            self.volatile.insert(id, BTreeMap::new());
            self.durable.insert(id, BTreeMap::new());
        }
    }
}
