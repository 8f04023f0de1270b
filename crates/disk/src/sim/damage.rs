//! Rot and foreign matter: changing a disk behind the back of the store.

use std::path::Path;

use rustix::io::Errno;

use super::tree::ROOT;
use super::{SimDisk, os};
use crate::path::parent_and_name;
use crate::{EntryKind, Error, ErrorKind, Result};

/// None of these is an operation: they are not counted and meet no fault.
impl SimDisk {
    /// Flips one bit (0 is the lowest) of the byte at `offset`, in what the process sees and in
    /// what is durable; not an operation.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`], or [`ErrorKind::Refused`] if it is not a file or ends before
    /// `offset`.
    pub fn flip_bit(&self, path: &Path, offset: u64, bit: u8) -> Result<()> {
        let mut state = self.state.lock();
        let id = state.file("flip_bit", path)?;
        let inode = state
            .tree
            .inode_mut(id)
            .map_err(|errno| os("flip_bit", path, errno))?;
        let at = usize::try_from(offset).unwrap_or(usize::MAX);
        if at >= inode.file.volatile.len() {
            let error = Error::new(ErrorKind::Refused, "flip_bit", path);
            return Err(error.with_detail(format!("the file ends before byte {offset}")));
        }
        inode.file.damage(|start, bytes| {
            if let Some(byte) = at.checked_sub(start).and_then(|at| bytes.get_mut(at)) {
                *byte ^= 1 << (bit % 8);
            }
        });
        Ok(())
    }

    /// Cuts a file to `len` bytes, in what the process sees and in what is durable; not an
    /// operation. A shorter file stays as it is.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`], or [`ErrorKind::Refused`] if it is not a file.
    pub fn truncate(&self, path: &Path, len: u64) -> Result<()> {
        let mut state = self.state.lock();
        let id = state.file("truncate", path)?;
        state
            .tree
            .cut(id, len)
            .map_err(|errno| os("truncate", path, errno))
    }

    /// Overwrites bytes, in what the process sees and in what is durable; not an operation. A file
    /// that is too short is extended, with zeros up to `offset`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`], [`ErrorKind::Refused`] if it is not a file, or
    /// [`ErrorKind::Full`] beyond what a simulated file may hold (4 GiB).
    pub fn overwrite(&self, path: &Path, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut state = self.state.lock();
        let id = state.file("overwrite", path)?;
        state
            .tree
            .damage(id, offset, bytes)
            .map_err(|errno| os("overwrite", path, errno))
    }

    /// Plants a durable file, with its parents, that the store did not write; not an operation. It
    /// replaces a file of that name.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Refused`] if the path is, or passes through, something else.
    pub fn plant(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        self.plant_entry(path, EntryKind::File, bytes)
    }

    /// Plants a durable entry that is neither file nor directory; not an operation.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Refused`] if the path is, or passes through, something else.
    pub fn plant_other(&self, path: &Path) -> Result<()> {
        self.plant_entry(path, EntryKind::Other, &[])
    }

    fn plant_entry(&self, path: &Path, kind: EntryKind, bytes: &[u8]) -> Result<()> {
        let (parents, name) = parent_and_name("plant", path)?;
        let failed = |errno| os("plant", path, errno);
        let mut state = self.state.lock();
        let mut dir = ROOT;
        for parent in parents {
            if state.tree.child(dir, parent).map_err(failed)?.is_none() {
                state.tree.plant(dir, parent, EntryKind::Dir, Vec::new());
            }
            dir = state
                .tree
                .child(dir, parent)
                .map_err(failed)?
                .ok_or_else(|| failed(Errno::NOENT))?;
        }
        if let Some(old) = state.tree.child(dir, name).map_err(failed)? {
            state.tree.expect_file(old).map_err(failed)?;
            state.tree.unlink(dir, name).map_err(failed)?;
        }
        state.tree.plant(dir, name, kind, bytes.to_vec());
        Ok(())
    }
}
