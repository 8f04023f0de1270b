//! A disk in memory that crashes, fails, fills up and rots on command.
//!
//! Every file has volatile bytes, which the process sees, durable bytes, which a crash leaves, and
//! the unsynced changes between the two; directory entries likewise. Invariants:
//!
//! - A crash makes a *new* disk, so that many crashes can be tried from one moment.
//! - What a sync acknowledged is durable in every crash.
//! - A failed sync drops the changes it was asked to make durable, as Linux does: they stay
//!   visible, a later sync succeeds, and a crash shows that they were lost. A failed directory sync
//!   keeps its operations pending.
//! - The same calls and seeds give the same bytes.

mod crash;
mod damage;
mod fault;
mod handle;
mod inode;
mod tree;

use std::any::Any;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::Errno;

pub use self::crash::Survival;
pub use self::fault::{Fault, OpKind};
use self::fault::{Faults, Verdict, crash_error};
use self::handle::{SimFile, SimLock};
use self::inode::{InodeId, SECTOR_BYTES};
use self::tree::{ROOT, Slot, Tree};
use crate::path::{check_rename, components, parent_and_name};
use crate::sync::Mutex;
use crate::{Disk, Entry, EntryKind, Error, ErrorKind, File, Lock, Metadata, OpenMode, Result};

/// A simulated disk. Clones are the same disk.
///
/// ```
/// use std::path::Path;
/// use tidestore_disk::{Disk, FileExt, OpenMode, SimDisk, Survival};
///
/// let disk = SimDisk::new();
/// let path = Path::new("log");
/// let file = disk.open(path, OpenMode::CreateNew)?;
/// disk.sync_dir(Path::new(""))?;
/// file.write_all_at(b"kept", 0, path)?;
/// file.sync_data()?;
/// file.write_all_at(b" or not", 4, path)?;
///
/// assert_eq!(disk.crash(1, Survival::NONE).read_all(path)?, b"kept");
/// assert_eq!(disk.crash(1, Survival::ALL).read_all(path)?, b"kept or not");
/// # Ok::<(), tidestore_disk::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    tree: Tree,
    faults: Faults,
    locks: BTreeSet<InodeId>,
    short_io: Option<usize>,
    punches: bool,
    written: u64,
    /// Files that are open, and how many may be.
    open_files: usize,
    open_files_max: usize,
    /// Files of which a sync has failed, and those that were synced again since.
    failed_syncs: BTreeSet<InodeId>,
    repeated_syncs: Vec<PathBuf>,
}

impl Default for SimDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl SimDisk {
    /// Makes an empty disk.
    pub fn new() -> Self {
        Self::of(Tree::new(), None, true)
    }

    fn of(tree: Tree, short_io: Option<usize>, punches: bool) -> Self {
        let state = State {
            tree,
            faults: Faults::default(),
            locks: BTreeSet::new(),
            short_io,
            punches,
            written: 0,
            open_files: 0,
            open_files_max: usize::MAX,
            failed_syncs: BTreeSet::new(),
            repeated_syncs: Vec::new(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// Returns the disk that is found after a power cut now; this one is not changed.
    ///
    /// Each unsynced write is cut into sectors of 512 bytes, and each sector as well as each
    /// unsynced directory operation survives with the chance of `survival`. An operation whose
    /// precondition did not survive is dropped. The new disk has no locks, no faults and counts
    /// from zero; capacity, short input/output and whether it punches carry over.
    #[must_use]
    pub fn crash(&self, seed: u64, survival: Survival) -> Self {
        let state = self.state.lock();
        let tree = crash::crash(&state.tree, seed, survival);
        Self::of(tree, state.short_io, state.punches)
    }

    /// From now on opening fails as for a process without descriptors while so many files are open.
    pub fn limit_open_files(&self, most: usize) {
        self.state.lock().open_files_max = most;
    }

    /// How many files are open, once for each time they were opened.
    pub fn open_files(&self) -> usize {
        self.state.lock().open_files
    }

    /// Cuts the power at the `k`-th operation from now (1 is the next): it and all later ones fail.
    /// If it is a write, some first part of it is applied. Call [`crash`](Self::crash) then.
    pub fn crash_at(&self, k: u64) {
        self.state.lock().faults.crash_at(k);
    }

    /// Whether the power went at the operation that [`crash_at`](Self::crash_at) named.
    pub fn is_crashed(&self) -> bool {
        self.state.lock().faults.is_crashed()
    }

    /// Fails the `k`-th operation from now (1 is the next).
    pub fn fail_at(&self, k: u64, fault: Fault) {
        self.state.lock().faults.fail_at(k, fault);
    }

    /// Fails the `nth` operation of a kind from now (1 is the next).
    pub fn fail_matching(&self, kind: OpKind, nth: u64, fault: Fault) {
        self.state.lock().faults.fail_matching(kind, nth, fault);
    }

    /// Fails every operation of a kind until [`clear_faults`](Self::clear_faults).
    pub fn fail_always(&self, kind: OpKind, fault: Fault) {
        self.state.lock().faults.fail_always(kind, fault);
    }

    /// Fails the `nth` operation of a kind from now (1 is the next), and every later one of that kind, until
    /// [`clear_faults`](Self::clear_faults).
    pub fn fail_from(&self, kind: OpKind, nth: u64, fault: Fault) {
        self.state.lock().faults.fail_from(kind, nth, fault);
    }

    /// Files that were synced again after a sync of them had failed, one entry each time: nobody who is told of a failed
    /// sync may do that, because the second one succeeds without what the first one lost.
    pub fn repeated_syncs(&self) -> Vec<PathBuf> {
        self.state.lock().repeated_syncs.clone()
    }

    /// Forgets all planned faults and a planned crash. A disk that has crashed stays crashed.
    pub fn clear_faults(&self) {
        self.state.lock().faults.clear();
    }

    /// Bounds the sum of all file lengths without their holes, in bytes. A write that does not fit is short, and one of
    /// which nothing fits is [`ErrorKind::Full`]. A removed file gives its space back when its last
    /// handle is dropped.
    pub fn set_space(&self, bytes: Option<u64>) {
        self.state.lock().tree.space = bytes;
    }

    /// Says whether the filesystem can give back the space of a part of a file; it can unless told otherwise.
    pub fn set_punching(&self, punches: bool) {
        self.state.lock().punches = punches;
    }

    /// Makes every read and write move at most so many bytes.
    pub fn set_short_io(&self, bytes: Option<usize>) {
        self.state.lock().short_io = bytes;
    }

    /// How many operations have been asked for, those that failed included.
    pub fn operations(&self) -> u64 {
        self.state.lock().faults.total()
    }

    /// How many operations of a kind have been asked for.
    pub fn count(&self, kind: OpKind) -> u64 {
        self.state.lock().faults.count(kind)
    }

    /// How many bytes have been written to files.
    pub fn written(&self) -> u64 {
        self.state.lock().written
    }

    /// The bytes of a file as the process sees them; not an operation.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`], or [`ErrorKind::Refused`] if it is not a file.
    pub fn read_all(&self, path: &Path) -> Result<Vec<u8>> {
        let state = self.state.lock();
        let id = state.file("read", path)?;
        let inode = state
            .tree
            .inode(id)
            .map_err(|errno| os("read", path, errno))?;
        Ok(inode.file.volatile.clone())
    }

    /// All files as the process sees them, sorted; not an operation.
    pub fn files(&self) -> Vec<PathBuf> {
        let state = self.state.lock();
        let (mut files, mut todo) = (Vec::new(), vec![(PathBuf::new(), ROOT)]);
        while let Some((dir, id)) = todo.pop() {
            for (name, id) in state.tree.volatile.get(&id).into_iter().flatten() {
                match state.tree.inode(*id).map(|inode| inode.kind) {
                    Ok(EntryKind::Dir) => todo.push((dir.join(name), *id)),
                    Ok(EntryKind::File) => files.push(dir.join(name)),
                    _ => {}
                }
            }
        }
        files.sort();
        files
    }

    /// What all files take up, named or unlinked and still open: their lengths without their holes.
    pub fn total_bytes(&self) -> u64 {
        self.state.lock().tree.used
    }
}

impl State {
    /// Counts an operation; fails it if that is its fate, else says how many bytes it may move.
    fn enter(&mut self, kind: OpKind, op: &'static str, path: &Path) -> Result<usize> {
        match self.next(kind) {
            Verdict::Run { limit } => Ok(limit),
            Verdict::Fail(fault) => Err(fault.error(op, path)),
            Verdict::Crash { .. } => Err(crash_error(op, path)),
        }
    }

    fn next(&mut self, kind: OpKind) -> Verdict {
        match self.faults.next(kind) {
            Verdict::Run { limit } => Verdict::Run {
                limit: limit.min(self.short_io.unwrap_or(usize::MAX)),
            },
            verdict => verdict,
        }
    }

    /// Finds a regular file without counting an operation.
    fn file(&self, op: &'static str, path: &Path) -> Result<InodeId> {
        let names = components(op, path)?;
        let id = self
            .tree
            .resolve(&names)
            .map_err(|errno| os(op, path, errno))?;
        self.tree
            .expect_file(id)
            .map_err(|errno| os(op, path, errno))?;
        Ok(id)
    }

    fn open(&mut self, op: &'static str, path: &Path, mode: OpenMode) -> Result<InodeId> {
        let (parents, name) = parent_and_name(op, path)?;
        let failed = |errno| os(op, path, errno);
        let dir = self.tree.resolve_dir(&parents).map_err(failed)?;
        let found = self.tree.child(dir, name).map_err(failed)?;
        let creates = matches!(mode, OpenMode::Create | OpenMode::CreateNew);
        let id = match found {
            Some(_) if mode == OpenMode::CreateNew => return Err(failed(Errno::EXIST)),
            Some(id) => id,
            None if creates => self
                .tree
                .create(dir, name, EntryKind::File)
                .map_err(failed)?,
            None => return Err(failed(Errno::NOENT)),
        };
        self.tree.expect_file(id).map_err(failed)?;
        self.tree.inode_mut(id).map_err(failed)?.handles += 1;
        Ok(id)
    }

    fn make_dir(&mut self, dir: InodeId, name: &OsStr, path: &Path) -> Result<InodeId> {
        let failed = |errno| os("create_dir", path, errno);
        if let Some(id) = self.tree.child(dir, name).map_err(failed)? {
            self.tree.entries(id).map_err(failed)?;
            return Ok(id);
        }
        self.enter(OpKind::CreateDir, "create_dir", path)?;
        let id = self
            .tree
            .create(dir, name, EntryKind::Dir)
            .map_err(failed)?;
        if let Err(error) = self.enter(OpKind::SyncDir, "sync_dir", path) {
            // Were it left behind, the next call would find it and take it for durable.
            if !self.faults.is_crashed() {
                self.tree.unlink(dir, name).map_err(failed)?;
            }
            return Err(error);
        }
        self.tree.sync_dir(dir);
        Ok(id)
    }

    fn remove(&mut self, path: &Path, kind: EntryKind) -> Result<()> {
        self.enter(OpKind::Remove, "remove", path)?;
        let (parents, name) = parent_and_name("remove", path)?;
        let failed = |errno| os("remove", path, errno);
        let dir = self.tree.resolve_dir(&parents).map_err(failed)?;
        let found = self.tree.child(dir, name).map_err(failed)?;
        let id = found.ok_or_else(|| failed(Errno::NOENT))?;
        match kind {
            EntryKind::Dir if !self.tree.entries(id).map_err(failed)?.is_empty() => {
                return Err(failed(Errno::NOTEMPTY));
            }
            EntryKind::Dir => {}
            _ => self.tree.expect_file(id).map_err(failed)?,
        }
        self.tree.unlink(dir, name).map_err(failed)
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn File>> {
        let mut state = self.state.lock();
        state.enter(OpKind::Open, "open", path)?;
        if state.open_files >= state.open_files_max {
            return Err(Fault::NoHandles.error("open", path));
        }
        let inode = state.open("open", path, mode)?;
        state.open_files += 1;
        let writable = mode != OpenMode::Read;
        let state = Arc::clone(&self.state);
        Ok(Arc::new(SimFile {
            state,
            inode,
            path: path.to_owned(),
            writable,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let mut state = self.state.lock();
        state.enter(OpKind::Rename, "rename", from)?;
        check_rename(from, to)?;
        let (from_parents, from_name) = parent_and_name("rename", from)?;
        let (to_parents, to_name) = parent_and_name("rename", to)?;
        let tree = &mut state.tree;
        let from_failed = |errno| os("rename", from, errno);
        let to_failed = |errno| os("rename", to, errno);
        let from_dir = tree.resolve_dir(&from_parents).map_err(from_failed)?;
        let to_dir = tree.resolve_dir(&to_parents).map_err(to_failed)?;
        let id = tree.child(from_dir, from_name).map_err(from_failed)?;
        let id = id.ok_or_else(|| from_failed(Errno::NOENT))?;
        if tree.inode(id).map_err(from_failed)?.kind == EntryKind::Other {
            return Err(from_failed(Errno::LOOP));
        }
        let from = Slot {
            dir: from_dir,
            name: from_name.to_owned(),
        };
        let slot = Slot {
            dir: to_dir,
            name: to_name.to_owned(),
        };
        tree.rename(from, slot).map_err(to_failed)
    }

    fn hard_link(&self, from: &Path, target: &dyn Disk, to: &Path) -> Result<bool> {
        let target = (target as &dyn Any).downcast_ref::<Self>();
        if !target.is_some_and(|target| Arc::ptr_eq(&target.state, &self.state)) {
            return Ok(false);
        }
        let mut state = self.state.lock();
        state.enter(OpKind::Link, "link", from)?;
        // In the order of the real one, so that what is wrong twice fails the same way.
        let (from_parents, _) = parent_and_name("link", from)?;
        let source = state.tree.resolve_dir(&from_parents);
        source.map_err(|errno| os("link", from, errno))?;
        let (parents, name) = parent_and_name("link", to)?;
        let failed = |errno| os("link", to, errno);
        let dir = state.tree.resolve_dir(&parents).map_err(failed)?;
        let inode = state.file("link", from)?;
        let name = name.to_owned();
        state.tree.link(inode, Slot { dir, name }).map_err(failed)?;
        Ok(true)
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        self.state.lock().remove(path, EntryKind::File)
    }

    fn remove_dir(&self, path: &Path) -> Result<()> {
        self.state.lock().remove(path, EntryKind::Dir)
    }

    fn create_dir_all(&self, path: &Path) -> Result<()> {
        let names = components("create_dir", path)?;
        let mut state = self.state.lock();
        state.enter(OpKind::CreateDir, "create_dir", path)?;
        let mut dir = ROOT;
        for name in names {
            dir = state.make_dir(dir, name, path)?;
        }
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        let mut state = self.state.lock();
        state.enter(OpKind::SyncDir, "sync_dir", path)?;
        let names = components("sync_dir", path)?;
        let dir = state
            .tree
            .resolve_dir(&names)
            .map_err(|errno| os("sync_dir", path, errno))?;
        state.tree.sync_dir(dir);
        Ok(())
    }

    fn list(&self, path: &Path) -> Result<Vec<Entry>> {
        let mut state = self.state.lock();
        state.enter(OpKind::List, "list", path)?;
        let names = components("list", path)?;
        let failed = |errno| os("list", path, errno);
        let dir = state.tree.resolve_dir(&names).map_err(failed)?;
        let mut list = Vec::new();
        for (name, id) in state.tree.entries(dir).map_err(failed)? {
            let kind = state.tree.inode(*id).map_err(failed)?.kind;
            list.push(Entry {
                name: name.to_string_lossy().into_owned(),
                kind,
            });
        }
        list.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(list)
    }

    fn metadata(&self, path: &Path) -> Result<Metadata> {
        let mut state = self.state.lock();
        state.enter(OpKind::Metadata, "metadata", path)?;
        let names = components("metadata", path)?;
        let failed = |errno| os("metadata", path, errno);
        let id = state.tree.resolve(&names).map_err(failed)?;
        let inode = state.tree.inode(id).map_err(failed)?;
        let len = inode.file.volatile.len() as u64;
        let allocated = inode.file.taken().next_multiple_of(SECTOR_BYTES as u64);
        Ok(Metadata {
            kind: inode.kind,
            len,
            allocated,
        })
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>> {
        let mut state = self.state.lock();
        state.enter(OpKind::Lock, "lock", path)?;
        let inode = state.open("lock", path, OpenMode::Create)?;
        if !state.locks.insert(inode) {
            state.tree.close(inode);
            return Err(Error::new(ErrorKind::Locked, "lock", path));
        }
        Ok(Box::new(SimLock {
            state: Arc::clone(&self.state),
            inode,
        }))
    }

    fn native_path(&self, _path: &Path) -> Option<PathBuf> {
        None
    }
}

fn os(op: &'static str, path: &Path, errno: Errno) -> Error {
    Error::io(op, path, errno.into())
}

#[cfg(test)]
mod tests;
