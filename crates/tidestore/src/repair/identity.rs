//! The file `STORE`: what it said can be learned from the files of the store.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidestore_blobs::VolumeHead;
use tidestore_disk::{Disk, EntryKind, Env, FileExt, Millis, OpenMode, read_small};
use tidestore_kv::EngineKind;

use crate::error::{Error, ErrorKind, Result};
use crate::format::{self, StoreFile};
use crate::shard::views_dir;

/// What the files say of their store.
#[derive(Debug, Default)]
struct Testimony {
    /// How many files name each store.
    ids: BTreeMap<[u8; 16], u64>,
    shards: u16,
    oldest: Option<Millis>,
}

/// What `STORE` says, or should say, and why it has to be written anew if it has to be.
pub(super) fn identify(env: &Env) -> Result<(StoreFile, Option<String>)> {
    let read = read_small(&*env.disk, Path::new("STORE"), 4_096).map_err(Error::from);
    let said = read.and_then(|bytes| format::decode(&bytes));
    let damage = match said {
        Ok(store) => {
            let testimony = hear(&env.disk, Some(store.id))?;
            let others: u64 = testimony.ids.values().sum();
            if others == 0 || testimony.ids.contains_key(&store.id) {
                return Ok((store, None));
            }
            "STORE is that of another store".to_owned()
        }
        // Another version is no damage.
        Err(error) if *error.kind() == ErrorKind::Format => return Err(error),
        Err(error) => error.to_string(),
    };
    let testimony = hear(&env.disk, None)?;
    let Some((&id, _)) = testimony.ids.iter().max_by_key(|(_, files)| **files) else {
        let text = "the directory holds no file that says which store it is of";
        return Err(Error::new(ErrorKind::NotAStore, text));
    };
    if testimony.shards == 0 {
        let text = "nothing says how many shards the store has";
        return Err(Error::new(ErrorKind::NotAStore, text));
    }
    let engines = (0..testimony.shards)
        .filter_map(|shard| tidestore_kv::engine_of(&env.disk, &views_dir(shard)));
    let store = StoreFile {
        id,
        created: testimony.oldest.unwrap_or_else(|| env.clock.wall()),
        shards: testimony.shards,
        engine: engines.into_iter().next().unwrap_or(EngineKind::Redb),
    };
    Ok((store, Some(damage)))
}

/// Asks every file; only until one names `wanted`, if somebody is only wanted to confirm it.
fn hear(disk: &Arc<dyn Disk>, wanted: Option<[u8; 16]>) -> Result<Testimony> {
    let mut testimony = Testimony::default();
    for path in all_files(disk, Path::new(""))? {
        testimony.numbers(&path);
        if let Some((store, time)) = witness(disk, &path) {
            *testimony.ids.entry(store).or_default() += 1;
            let times = testimony.oldest.into_iter().chain(time);
            testimony.oldest = times.min();
            if wanted == Some(store) {
                break;
            }
        }
    }
    Ok(testimony)
}

impl Testimony {
    /// Directories of shards are made with the store and are never removed.
    fn numbers(&mut self, path: &Path) {
        let mut names = path.iter().filter_map(|name| name.to_str());
        if !matches!(names.next(), Some("log" | "views" | "receipts")) {
            return;
        }
        let number = names.next().and_then(|name| name.strip_prefix("shard-"));
        if let Some(number) = number.and_then(|number| number.parse::<u16>().ok()) {
            self.shards = self.shards.max(number.saturating_add(1));
        }
    }
}

/// The store that a file says it is of, and the time of what it holds.
fn witness(disk: &Arc<dyn Disk>, path: &Path) -> Option<([u8; 16], Option<Millis>)> {
    match path.extension()?.to_str()? {
        "seg" => {
            let (head, _) = tidestore_messages::identify(disk, path).ok()?;
            Some((head.store.0, Some(head.bucket.start)))
        }
        "log" => Some((tidestore_log::identify(disk, path).ok()?.0, None)),
        "vol" => {
            let head = volume_head(disk, path)?;
            Some((head.store, Some(head.bucket.start)))
        }
        _ => None,
    }
}

/// The header of a volume, if it has a valid one.
pub(super) fn volume_head(disk: &Arc<dyn Disk>, path: &Path) -> Option<VolumeHead> {
    let file = disk.open(path, OpenMode::Read).ok()?;
    let mut bytes = vec![0; 4_096];
    file.read_exact_at(&mut bytes, 0, path).ok()?;
    VolumeHead::decode(&bytes).ok()
}

/// Every file below a directory, what was set aside left out.
pub(crate) fn all_files(disk: &Arc<dyn Disk>, root: &Path) -> Result<Vec<PathBuf>> {
    let (mut files, mut dirs) = (Vec::new(), vec![root.to_owned()]);
    while let Some(dir) = dirs.pop() {
        let entries = match disk.list(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == tidestore_disk::ErrorKind::NotFound => continue,
            Err(error) => return Err(error.into()),
        };
        for entry in entries {
            let path = dir.join(&entry.name);
            match entry.kind {
                EntryKind::Dir if path != Path::new("quarantine") => dirs.push(path),
                EntryKind::File => files.push(path),
                EntryKind::Dir | EntryKind::Other => {}
            }
        }
    }
    files.sort();
    Ok(files)
}
