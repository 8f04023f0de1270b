//! Which volumes there are, gathered from rows while a shard's tables are copied: what to copy of each, and whether it is
//! the same as in an earlier copy.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tidestore_kv::{Result, Table, decode_row};
use tidestore_plan::AppId;

use crate::site::{Apps, volume_path};
use crate::tables::{
    ATTACHMENTS, BLOB_USAGE, CONTENTS, DUE, PLACES, REFERENCES, VOLUMES, VolumeRow, app_of,
    number_at,
};

/// The volumes of one shard as rows tell of them.
///
/// Show it every row of the tables in order, [`read`](Self::read), then every change that was logged since the reading
/// began, [`change`](Self::change): it then knows the volumes at the moment of the last change.
#[derive(Debug, Default)]
pub struct Stock {
    volumes: BTreeMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    app: AppId,
    row: VolumeRow,
    mark: Option<[u8; 32]>,
}

/// What to copy of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockedVolume {
    /// The app.
    pub app: AppId,
    /// Where it lies.
    pub path: PathBuf,
    /// How much of it counts, in bytes; the file may be longer by what is being written to it.
    pub len: u64,
    /// A digest of all rows that speak of it: two volumes of one path and one mark hold the same contents. `None` if it
    /// changed while the rows were read.
    pub mark: Option<[u8; 32]>,
}

impl Stock {
    /// Takes note of a row. Tables and keys must come in order.
    ///
    /// # Errors
    ///
    /// [`Corruption`](tidestore_kv::ErrorKind::Corruption) if the row of a volume is none.
    pub fn read(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<()> {
        if table == VOLUMES {
            let entry = Entry {
                app: app_of(key),
                row: decode_row(table, key, value)?,
                mark: Some(digest(&[0; 32], key, value)),
            };
            self.volumes.insert(number_at(key, 4), entry);
        } else if table == PLACES
            && let Some(entry) = self.volumes.get_mut(&number_at(key, 0))
        {
            entry.mark = entry.mark.map(|mark| digest(&mark, key, value));
        }
        Ok(())
    }

    /// Takes note of a row that changed since.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn change(&mut self, table: Table, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        if table == VOLUMES {
            let number = number_at(key, 4);
            match value {
                Some(value) => {
                    let entry = Entry {
                        app: app_of(key),
                        row: decode_row(table, key, value)?,
                        mark: None,
                    };
                    self.volumes.insert(number, entry);
                }
                None => drop(self.volumes.remove(&number)),
            }
        } else if table == PLACES
            && let Some(entry) = self.volumes.get_mut(&number_at(key, 0))
        {
            entry.mark = None;
        }
        Ok(())
    }

    /// Whether a row belongs to an app; `None` if the table is none of those of attachments, or belongs to nobody. A place
    /// belongs to the app of its volume, which must have been shown before.
    pub fn is_of(&self, app: AppId, table: Table, key: &[u8]) -> Option<bool> {
        match table {
            PLACES => {
                let entry = self.volumes.get(&number_at(key, 0));
                Some(entry.is_some_and(|entry| entry.app == app))
            }
            ATTACHMENTS | CONTENTS | VOLUMES | REFERENCES | DUE | BLOB_USAGE => {
                Some(app_of(key) == app)
            }
            _ => None,
        }
    }

    /// The volumes whose apps exist, those of one app if `only` says so.
    pub fn volumes(&self, apps: &dyn Apps, shard: u16, only: Option<AppId>) -> Vec<StockedVolume> {
        let wanted = |entry: &Entry| only.is_none_or(|only| only == entry.app);
        let wanted = self.volumes.iter().filter(|(_, entry)| wanted(entry));
        let stocked = wanted.filter_map(|(number, entry)| {
            let (dir, row) = (apps.dir(entry.app)?, &entry.row);
            Some(StockedVolume {
                app: entry.app,
                path: volume_path(&dir, row.bucket, shard, *number, row.solo),
                len: row.len,
                mark: entry.mark,
            })
        });
        stocked.collect()
    }
}

fn digest(before: &[u8; 32], key: &[u8], value: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(before);
    for part in [key, value] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}
