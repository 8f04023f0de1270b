//! Damage to the files of a store that nobody has open, on a copy of the disk.

use std::path::{Path, PathBuf};

use tidestore::disk::{Disk, SimDisk};

use crate::compare::Demand;
use crate::draw::Draw;

/// What was done to a copy.
#[derive(Clone, Debug)]
pub(crate) struct Damage {
    /// The name under which the report counts it.
    pub(crate) kind: &'static str,
    pub(crate) path: PathBuf,
    pub(crate) detail: String,
    /// What may be asked of a store that opens all the same.
    pub(crate) demand: Demand,
    /// Whether it may say that this is damage, and not open.
    pub(crate) may_refuse: bool,
}

/// Damages one file in one way. `older` is the disk as it was some time ago.
pub(crate) fn damage(draw: &mut Draw, disk: &SimDisk, older: Option<&SimDisk>) -> Option<Damage> {
    let mut files: Vec<PathBuf> = disk
        .files()
        .into_iter()
        .filter(|path| *path != Path::new("LOCK"))
        .collect();
    let kinds = [
        (8, "flips"),
        (2, "cut_files"),
        (2, "lost_files"),
        (3, "stale_files"),
        (3, "strange_files"),
    ];
    let kind = draw.weighted(&kinds, "flips");
    if kind == "stale_files" {
        // Only of some files there is another version.
        files.retain(|path| {
            let old = older.and_then(|older| older.read_all(path).ok());
            old.is_some_and(|old| disk.read_all(path).is_ok_and(|new| new != old))
        });
    }
    let path = draw.pick(&files)?.clone();
    let bytes = disk.read_all(&path).ok()?;
    let len = bytes.len() as u64;
    let (detail, demand) = match kind {
        "flips" => {
            let (at, bit) = (draw.below(len.max(1)), draw.below(8));
            disk.flip_bit(&path, at, u8::try_from(bit).ok()?).ok()?;
            (format!("bit {bit} of byte {at}"), Demand::Readable)
        }
        "cut_files" => {
            let at = draw.below(len.max(1));
            disk.truncate(&path, at).ok()?;
            (format!("cut to {at} of {len} bytes"), Demand::Right)
        }
        "lost_files" => {
            disk.remove_file(&path).ok()?;
            ("removed".to_owned(), Demand::Right)
        }
        "stale_files" => {
            let old = older?.read_all(&path).ok()?;
            disk.plant(&path, &old).ok()?;
            ("an older copy".to_owned(), Demand::Right)
        }
        _ => return strange(draw, disk, &path, &bytes),
    };
    Some(Damage {
        kind,
        path,
        detail,
        demand,
        may_refuse: true,
    })
}

/// A file that is nobody's, or a second copy of one under a name that could be ours.
fn strange(draw: &mut Draw, disk: &SimDisk, path: &Path, bytes: &[u8]) -> Option<Damage> {
    let parent = path.parent().unwrap_or(Path::new("")).to_owned();
    let choice = draw.below(3);
    let (copy, bytes) = match (choice, path.file_name()?.to_str()?) {
        (0, _) => (parent.join("notes.txt"), &b"not ours"[..]),
        (1, name) => (parent.join(format!("{name}.bak")), bytes),
        // The same file under the name of another generation.
        (_, name) => {
            let raised: String = name
                .chars()
                .map(|c| {
                    c.to_digit(10)
                        .and_then(|d| char::from_digit((d + 7) % 10, 10))
                        .unwrap_or(c)
                })
                .collect();
            (parent.join(raised), bytes)
        }
    };
    if disk.read_all(&copy).is_ok() {
        return None;
    }
    disk.plant(&copy, bytes).ok()?;
    Some(Damage {
        kind: "strange_files",
        path: copy,
        detail: format!("planted beside {}", path.display()),
        demand: Demand::Readable,
        // Foreign files are left alone. One with a name of ours that is something else may be a file that was moved.
        may_refuse: choice > 1,
    })
}
