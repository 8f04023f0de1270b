//! Which paths are accepted at all: the rule that both disks share.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use crate::{Error, ErrorKind, Result};

/// The longest name of a file or directory, in bytes; what common filesystems allow.
pub(crate) const NAME_BYTES_MAX: usize = 255;

/// Splits a path into names; an empty path (or `.`) is the root and has none.
pub(crate) fn components<'a>(op: &'static str, path: &'a Path) -> Result<Vec<&'a OsStr>> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(name) => names.push(checked(op, path, name)?),
            Component::ParentDir => return Err(refused(op, path, "the path contains `..`")),
            Component::RootDir | Component::Prefix(_) => {
                return Err(refused(op, path, "the path is absolute"));
            }
        }
    }
    Ok(names)
}

/// Splits a path into the names of its parent and its own name; the root is refused.
pub(crate) fn parent_and_name<'a>(
    op: &'static str,
    path: &'a Path,
) -> Result<(Vec<&'a OsStr>, &'a OsStr)> {
    let mut names = components(op, path)?;
    let name = names
        .pop()
        .ok_or_else(|| refused(op, path, "this is the root of the disk"))?;
    Ok((names, name))
}

/// Refuses to rename the root, onto the root, or a directory to a place below itself.
pub(crate) fn check_rename(from: &Path, to: &Path) -> Result<()> {
    let (mut source, name) = parent_and_name("rename", from)?;
    source.push(name);
    let (target_parents, _) = parent_and_name("rename", to)?;
    if target_parents.starts_with(&source) {
        return Err(refused(
            "rename",
            to,
            "the path lies below the one to be renamed",
        ));
    }
    Ok(())
}

fn checked<'a>(op: &'static str, path: &Path, name: &'a OsStr) -> Result<&'a OsStr> {
    let bytes = name.as_bytes();
    if bytes.len() > NAME_BYTES_MAX {
        let detail = format!("a name of {} bytes, limit {NAME_BYTES_MAX}", bytes.len());
        return Err(refused(op, path, &detail));
    }
    if bytes.contains(&0) {
        return Err(refused(op, path, "a name contains a zero byte"));
    }
    Ok(name)
}

fn refused(op: &'static str, path: &Path, detail: &str) -> Error {
    Error::new(ErrorKind::Refused, op, path).with_detail(detail)
}
