//! A disk over another one: what is written stays in memory, and nothing below is ever changed.
//!
//! It is how a repair is tried out, and how a store is looked at that must not be touched: the same code runs as on the
//! disk itself. Memory holds what was written, in blocks of 4 KiB.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use crate::sync::{Mutex, RwLock};

use crate::path::{check_rename, parent_and_name};
use crate::{
    Disk, Entry, EntryKind, Error, ErrorKind, File, FileExt, Lock, Metadata, OpenMode, Result,
};

/// What is written stays in memory, over a disk that nobody touches. Clones are one disk.
#[derive(Clone, Debug)]
pub struct ShadowDisk {
    base: Arc<dyn Disk>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// What is not as it is below.
    nodes: BTreeMap<PathBuf, Node>,
    /// Files that are open and as they are below.
    clean: BTreeMap<PathBuf, Weak<ShadowFile>>,
}

#[derive(Clone, Debug)]
enum Node {
    File(Arc<ShadowFile>),
    Dir,
    Gone,
}

const BLOCK: u64 = 4_096;
const BLOCK_LEN: usize = 4_096;

#[derive(Debug)]
struct ShadowFile {
    path: PathBuf,
    base: Option<Arc<dyn File>>,
    bytes: RwLock<Bytes>,
}

#[derive(Debug)]
struct Bytes {
    len: u64,
    /// Up to here the file below is what was not written to.
    base_len: u64,
    blocks: BTreeMap<u64, Box<[u8]>>,
}

impl ShadowDisk {
    /// Lays a shadow over a disk that nobody else changes meanwhile.
    pub fn new(base: Arc<dyn Disk>) -> Self {
        Self {
            base,
            state: Arc::default(),
        }
    }

    /// What stands at a path: changed, or `None` for what is as it is below.
    fn node(state: &State, path: &Path) -> Option<Node> {
        if let Some(node) = state.nodes.get(path) {
            return Some(node.clone());
        }
        let parents = path.ancestors().skip(1);
        let changed = parents
            .into_iter()
            .find_map(|parent| state.nodes.get(parent));
        // A directory that went, or was made anew, has nothing of what lies below.
        changed.map(|_| Node::Gone)
    }

    fn base_metadata(&self, path: &Path) -> Result<Metadata> {
        self.base.metadata(path)
    }

    fn shadow(&self, path: &Path) -> Result<Arc<ShadowFile>> {
        let base = self.base.open(path, OpenMode::Read)?;
        let len = base.len()?;
        Ok(Arc::new(ShadowFile {
            path: path.to_owned(),
            base: Some(base),
            bytes: RwLock::new(Bytes {
                len,
                base_len: len,
                blocks: BTreeMap::new(),
            }),
        }))
    }

    fn remove(&self, op: &'static str, path: &Path, kind: EntryKind) -> Result<()> {
        let found = self.metadata(path)?.kind;
        if found != kind {
            return Err(Error::new(ErrorKind::Refused, op, path));
        }
        if kind == EntryKind::Dir && !self.list(path)?.is_empty() {
            return Err(Error::new(ErrorKind::Io, op, path).with_detail("it is not empty"));
        }
        let mut state = self.state.lock();
        state.clean.remove(path);
        state.nodes.insert(path.to_owned(), Node::Gone);
        Ok(())
    }

    fn expect_parent(&self, op: &'static str, path: &Path) -> Result<()> {
        parent_and_name(op, path)?;
        let parent = path.parent().unwrap_or(Path::new(""));
        if parent.as_os_str().is_empty() || self.metadata(parent)?.kind == EntryKind::Dir {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Refused, op, path))
    }
}

impl Disk for ShadowDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn File>> {
        parent_and_name("open", path)?;
        let mut state = self.state.lock();
        let known = match Self::node(&state, path) {
            Some(Node::File(file)) => Some(file),
            Some(Node::Dir) => return Err(Error::new(ErrorKind::Refused, "open", path)),
            Some(Node::Gone) => None,
            None => match state.clean.get(path).and_then(Weak::upgrade) {
                Some(file) => Some(file),
                None => match self.shadow(path) {
                    Ok(file) => Some(file),
                    Err(error) if error.kind() == ErrorKind::NotFound => None,
                    Err(error) => return Err(error),
                },
            },
        };
        let file = match (known, mode) {
            (Some(_), OpenMode::CreateNew) => {
                return Err(Error::new(ErrorKind::AlreadyExists, "open", path));
            }
            (Some(file), _) => file,
            (None, OpenMode::Read | OpenMode::Write) => {
                return Err(Error::new(ErrorKind::NotFound, "open", path));
            }
            (None, OpenMode::Create | OpenMode::CreateNew) => {
                drop(state);
                self.expect_parent("open", path)?;
                state = self.state.lock();
                Arc::new(ShadowFile {
                    path: path.to_owned(),
                    base: None,
                    bytes: RwLock::new(Bytes {
                        len: 0,
                        base_len: 0,
                        blocks: BTreeMap::new(),
                    }),
                })
            }
        };
        if mode == OpenMode::Read && !state.nodes.contains_key(path) {
            state.clean.insert(path.to_owned(), Arc::downgrade(&file));
        } else {
            state.clean.remove(path);
            let node = Node::File(Arc::clone(&file));
            state.nodes.insert(path.to_owned(), node);
        }
        Ok(file)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        check_rename(from, to)?;
        self.expect_parent("rename", to)?;
        let file = {
            let state = self.state.lock();
            match Self::node(&state, from) {
                Some(Node::File(file)) => Some(file),
                Some(Node::Gone) => return Err(Error::new(ErrorKind::NotFound, "rename", from)),
                Some(Node::Dir) => return Err(Error::new(ErrorKind::Refused, "rename", from)),
                None => state.clean.get(from).and_then(Weak::upgrade),
            }
        };
        let file = file.map_or_else(|| self.shadow(from), Ok)?;
        let mut state = self.state.lock();
        state.clean.remove(from);
        state.clean.remove(to);
        state.nodes.insert(from.to_owned(), Node::Gone);
        state.nodes.insert(to.to_owned(), Node::File(file));
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> Result<()> {
        self.remove("remove", path, EntryKind::File)
    }

    fn remove_dir(&self, path: &Path) -> Result<()> {
        self.remove("remove_dir", path, EntryKind::Dir)
    }

    fn create_dir_all(&self, path: &Path) -> Result<()> {
        let mut missing: Vec<&Path> = Vec::new();
        for parent in path.ancestors() {
            if parent.as_os_str().is_empty() {
                break;
            }
            match self.metadata(parent) {
                Ok(found) if found.kind == EntryKind::Dir => break,
                Ok(_) => return Err(Error::new(ErrorKind::Refused, "create_dir", path)),
                Err(error) if error.kind() == ErrorKind::NotFound => missing.push(parent),
                Err(error) => return Err(error),
            }
        }
        let mut state = self.state.lock();
        for dir in missing {
            state.nodes.insert(dir.to_owned(), Node::Dir);
        }
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        if path.as_os_str().is_empty() || self.metadata(path)?.kind == EntryKind::Dir {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Refused, "sync_dir", path))
    }

    fn list(&self, path: &Path) -> Result<Vec<Entry>> {
        let state = self.state.lock();
        let below = match Self::node(&state, path) {
            Some(Node::Gone) => return Err(Error::new(ErrorKind::NotFound, "list", path)),
            Some(Node::File(_)) => return Err(Error::new(ErrorKind::Refused, "list", path)),
            Some(Node::Dir) => Vec::new(),
            None => self.base.list(path)?,
        };
        let mut entries: BTreeMap<String, EntryKind> = below
            .into_iter()
            .map(|entry| (entry.name, entry.kind))
            .collect();
        for (place, node) in &state.nodes {
            let (Some(parent), Some(name)) = (place.parent(), place.file_name()) else {
                continue;
            };
            if parent != path {
                continue;
            }
            let name = name.to_string_lossy().into_owned();
            match node {
                Node::File(_) => drop(entries.insert(name, EntryKind::File)),
                Node::Dir => drop(entries.insert(name, EntryKind::Dir)),
                Node::Gone => drop(entries.remove(&name)),
            }
        }
        let entry = |(name, kind)| Entry { name, kind };
        Ok(entries.into_iter().map(entry).collect())
    }

    fn metadata(&self, path: &Path) -> Result<Metadata> {
        let node = Self::node(&self.state.lock(), path);
        match node {
            Some(Node::File(file)) => {
                let len = file.bytes.read().len;
                Ok(Metadata {
                    kind: EntryKind::File,
                    len,
                    allocated: len.next_multiple_of(BLOCK),
                })
            }
            Some(Node::Dir) => Ok(Metadata {
                kind: EntryKind::Dir,
                len: 0,
                allocated: 0,
            }),
            Some(Node::Gone) => Err(Error::new(ErrorKind::NotFound, "metadata", path)),
            None => self.base_metadata(path),
        }
    }

    fn lock(&self, _path: &Path) -> Result<Box<dyn Lock>> {
        // Whoever lays a shadow over a disk holds the lock of what lies below.
        Ok(Box::new(ShadowLock))
    }

    fn native_path(&self, _path: &Path) -> Option<PathBuf> {
        None
    }
}

#[derive(Debug)]
struct ShadowLock;

impl Lock for ShadowLock {}

impl ShadowFile {
    /// A block as it is now.
    fn block(&self, bytes: &Bytes, number: u64) -> Result<Box<[u8]>> {
        if let Some(block) = bytes.blocks.get(&number) {
            return Ok(block.clone());
        }
        let mut block = vec![0; BLOCK_LEN].into_boxed_slice();
        let start = number * BLOCK;
        let there = bytes.base_len.saturating_sub(start).min(BLOCK);
        if let Some(base) = self.base.as_ref().filter(|_| there > 0) {
            let there = usize::try_from(there).unwrap_or(BLOCK_LEN);
            let part = block.get_mut(..there).unwrap_or_default();
            base.read_exact_at(part, start, &self.path)?;
        }
        Ok(block)
    }
}

impl File for ShadowFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        let bytes = self.bytes.read();
        let left = usize::try_from(bytes.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let len = buf.len().min(left);
        let buf = buf.get_mut(..len).unwrap_or_default();
        if bytes.blocks.is_empty() && bytes.len == bytes.base_len && len > 0 {
            return self
                .base
                .as_ref()
                .map_or(Ok(0), |base| base.read_at(buf, offset));
        }
        let mut done = 0;
        while done < len {
            let at = offset + done as u64;
            let block = self.block(&bytes, at / BLOCK)?;
            let within = usize::try_from(at % BLOCK).unwrap_or_default();
            let part = block.get(within..).unwrap_or_default();
            let part = part.get(..part.len().min(len - done)).unwrap_or_default();
            let end = done + part.len();
            if let Some(place) = buf.get_mut(done..end) {
                place.copy_from_slice(part);
            }
            done = end;
        }
        Ok(len)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> Result<usize> {
        let mut bytes = self.bytes.write();
        let mut done = 0;
        while done < buf.len() {
            let at = offset + done as u64;
            let mut block = self.block(&bytes, at / BLOCK)?;
            let within = usize::try_from(at % BLOCK).unwrap_or_default();
            let len = (BLOCK_LEN - within).min(buf.len() - done);
            let from = buf.get(done..done + len).unwrap_or_default();
            if let Some(place) = block.get_mut(within..within + len) {
                place.copy_from_slice(from);
            }
            bytes.blocks.insert(at / BLOCK, block);
            done += len;
        }
        bytes.len = bytes.len.max(offset + buf.len() as u64);
        Ok(buf.len())
    }

    fn sync_data(&self) -> Result<()> {
        Ok(())
    }

    fn len(&self) -> Result<u64> {
        Ok(self.bytes.read().len)
    }

    fn set_len(&self, len: u64) -> Result<()> {
        let mut bytes = self.bytes.write();
        if len < bytes.len {
            let last = len / BLOCK;
            if !len.is_multiple_of(BLOCK) {
                let mut block = self.block(&bytes, last)?;
                let within = usize::try_from(len % BLOCK).unwrap_or_default();
                block.get_mut(within..).unwrap_or_default().fill(0);
                bytes.blocks.insert(last, block);
            }
            let from = len.div_ceil(BLOCK);
            bytes.blocks.retain(|number, _| *number < from);
            bytes.base_len = bytes.base_len.min(len);
        }
        bytes.len = len;
        Ok(())
    }

    fn punch(&self, offset: u64, len: u64) -> Result<bool> {
        let mut bytes = self.bytes.write();
        let end = (offset + len).min(bytes.len);
        let mut at = offset;
        while at < end {
            let mut block = self.block(&bytes, at / BLOCK)?;
            let within = usize::try_from(at % BLOCK).unwrap_or_default();
            let len = (BLOCK_LEN - within).min(usize::try_from(end - at).unwrap_or(BLOCK_LEN));
            block
                .get_mut(within..within + len)
                .unwrap_or_default()
                .fill(0);
            bytes.blocks.insert(at / BLOCK, block);
            at += len as u64;
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::SplitMix;
    use crate::{SimDisk, atomic_replace, read_small};

    #[test]
    fn a_shadow_behaves_as_its_disk_and_leaves_it_alone() {
        for seed in 0..60 {
            let mut rng = SplitMix::new(seed);
            let (below, twin) = (SimDisk::new(), SimDisk::new());
            for disk in [&below, &twin] {
                disk.plant(Path::new("a/one"), &[7; 9_000]).unwrap();
                disk.plant(Path::new("a/two"), b"two").unwrap();
            }
            let shadow = ShadowDisk::new(Arc::new(below.clone()));
            let disks: [&dyn Disk; 2] = [&shadow, &twin];
            for _ in 0..80 {
                let names = ["a/one", "a/two", "b/one", "c", "b"];
                let mut pick = || Path::new(names[usize::try_from(rng.next() % 5).unwrap()]);
                let (from, to) = (pick(), pick());
                let is_dir = |path: &Path| {
                    let found = Disk::metadata(&twin, path);
                    found.is_ok_and(|found| found.kind == EntryKind::Dir)
                };
                let no_rename = is_dir(from) || is_dir(to);
                let (what, at, len) = (rng.next() % 9, rng.next() % 9_999, rng.next() % 6_000);
                let fill = vec![rng.next().to_le_bytes()[0]; usize::try_from(len).unwrap()];
                let [ours, theirs] = disks.map(|disk| {
                    let opened = |mode| disk.open(from, mode);
                    let done: Result<Vec<u8>> = match what {
                        0 => opened(OpenMode::Create).and_then(|file| {
                            file.write_all_at(&fill, at, from).map(|()| Vec::new())
                        }),
                        1 if no_rename => Ok(Vec::new()),
                        1 => disk.rename(from, to).map(|()| Vec::new()),
                        2 => disk.remove_file(from).map(|()| Vec::new()),
                        3 => disk.remove_dir(from).map(|()| Vec::new()),
                        4 => disk.create_dir_all(from).map(|()| Vec::new()),
                        5 => opened(OpenMode::Write)
                            .and_then(|file| file.set_len(at).map(|()| Vec::new())),
                        6 => opened(OpenMode::Write)
                            .and_then(|file| file.punch(at, len).map(|_| Vec::new())),
                        7 => disk.list(from).map(|list| format!("{list:?}").into_bytes()),
                        _ => read_small(disk, from, 1 << 20),
                    };
                    done.map_err(|error| error.kind())
                });
                let what = format!("seed {seed}: {what} {} {}", from.display(), to.display());
                // Which of several reasons a disk names first is its own affair.
                assert_eq!(ours.is_ok(), theirs.is_ok(), "{what}: {ours:?} {theirs:?}");
                assert_eq!(
                    ours.unwrap_or_default(),
                    theirs.unwrap_or_default(),
                    "{what}"
                );
            }
            assert_eq!(below.read_all(Path::new("a/one")).unwrap(), [7; 9_000]);
            assert_eq!(below.files().len(), 2, "seed {seed}");
        }
    }

    #[test]
    fn a_file_is_replaced_in_the_shadow_only() {
        let below = SimDisk::new();
        below.plant(Path::new("STORE"), b"old").unwrap();
        let shadow = ShadowDisk::new(Arc::new(below.clone()));
        let reader = shadow.open(Path::new("STORE"), OpenMode::Read).unwrap();
        atomic_replace(&shadow, Path::new("STORE"), b"new").unwrap();
        assert_eq!(read_small(&shadow, Path::new("STORE"), 9).unwrap(), b"new");
        assert_eq!(below.read_all(Path::new("STORE")).unwrap(), b"old");
        let mut bytes = [0; 3];
        reader
            .read_exact_at(&mut bytes, 0, Path::new("STORE"))
            .unwrap();
        assert_eq!(
            &bytes, b"old",
            "whoever has the old file open goes on with it"
        );
    }
}
