//! Setting damaged files aside: moved under `quarantine/TIME/` with their path kept, never deleted, beside a text that
//! says what is wrong.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidestore_disk::{Disk, ErrorKind as DiskErrorKind, FileExt, OpenMode, atomic_replace};

use super::report::Quarantined;
use crate::error::Result;

/// Where a repair puts what is damaged.
#[derive(Debug)]
pub(super) struct Quarantine {
    disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    pub(super) moved: Vec<Quarantined>,
}

impl Quarantine {
    pub(super) fn new(disk: &Arc<dyn Disk>, dir: PathBuf) -> Self {
        Self {
            disk: Arc::clone(disk),
            dir,
            moved: Vec::new(),
        }
    }

    /// Moves a file. One that is not there (any more) is none.
    pub(super) fn set_aside(&mut self, path: &Path, why: &str) -> Result<()> {
        match self.disk.metadata(path) {
            Ok(_) => {}
            Err(error) if error.kind() == DiskErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        let to = self.explain(path, why)?;
        self.disk.rename(path, &to)?;
        for place in [&*to, path] {
            self.disk
                .sync_dir(place.parent().unwrap_or(Path::new("")))?;
        }
        // Fails while the directory holds other files, which is as it should be.
        if let Some(dir) = path.parent().filter(|dir| dir.starts_with("apps")) {
            drop(self.disk.remove_dir(dir));
        }
        self.told(path, to, why);
        Ok(())
    }

    /// Copies parts of a file that stays where it is, each to the offset where it was.
    pub(super) fn copy_parts(
        &mut self,
        path: &Path,
        parts: &[(u64, u64)],
        why: &str,
    ) -> Result<()> {
        let from = self.disk.open(path, OpenMode::Read)?;
        let to = self.explain(path, why)?;
        let copy = self.disk.open(&to, OpenMode::CreateNew)?;
        let len = from.len()?;
        let mut piece = vec![0; 64 << 10];
        for (offset, part) in parts {
            let end = offset.saturating_add(*part).min(len);
            let mut at = *offset;
            while at < end {
                let most = usize::try_from(end - at).unwrap_or(piece.len());
                let most = most.min(piece.len());
                let bytes = piece.get_mut(..most).unwrap_or_default();
                // What the device does not give is left out.
                if from.read_exact_at(bytes, at, path).is_ok() {
                    copy.write_all_at(bytes, at, &to)?;
                }
                at += most as u64;
            }
        }
        copy.sync_data()?;
        self.disk.sync_dir(to.parent().unwrap_or(Path::new("")))?;
        self.told(path, to, why);
        Ok(())
    }

    fn told(&mut self, path: &Path, to: PathBuf, why: &str) {
        self.moved.push(Quarantined {
            path: path.to_owned(),
            to,
            why: why.to_owned(),
        });
    }

    /// Finds a free name in the quarantine and writes down beside it what is wrong.
    fn explain(&self, path: &Path, why: &str) -> Result<PathBuf> {
        let mut to = self.dir.join(path);
        let mut again = 1;
        while self.disk.metadata(&to).is_ok() {
            again += 1;
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            to = self
                .dir
                .join(path)
                .with_file_name(format!("{name}.{again}"));
        }
        let dir = to.parent().unwrap_or(Path::new("")).to_owned();
        self.disk.create_dir_all(&dir)?;
        let name = to.file_name().unwrap_or_default().to_string_lossy();
        let text = format!(
            "{}\nwas set aside by `tidestore repair`: {why}\n",
            path.display()
        );
        let note = to.with_file_name(format!("{name}.why.txt"));
        atomic_replace(&*self.disk, &note, text.as_bytes())?;
        Ok(to)
    }
}
