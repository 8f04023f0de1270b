//! Counting everything again: rows against each other and against the ledger, volumes against what stands in them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use tidestore_disk::{FileCache, FileExt, Millis};
use tidestore_kv::{Engine, decode_row, scan};
use tidestore_plan::{AppId, AttachmentId};

use crate::attachment::{ContentHash, MESSAGE};
use crate::content::{Content, Location};
use crate::error::Result;
use crate::format::{BLOCK_BYTES, Span, VolumeHead, blocks_of};
use crate::index::NamedVolume;
use crate::site::{Apps, volume_path};
use crate::tables::{
    ATTACHMENTS, AttachmentRow, BLOB_USAGE, CONTENTS, ContentRow, DUE, DayUsage, PLACES, PlaceRow,
    PlaceState, REFERENCES, VOLUMES, VolumeRow, app_key, app_of, day_of, number_at,
};

/// What counting found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recount {
    /// Attachments.
    pub attachments: u64,
    /// What their contents' files are, and where each content lies in them.
    pub volumes: Vec<RecountedVolume>,
    /// What does not fit together.
    pub problems: Vec<String>,
}

/// A volume and what should be in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecountedVolume {
    /// Its path.
    pub path: PathBuf,
    /// The app.
    pub app: AppId,
    /// Its number.
    pub number: u64,
    /// Length of the file.
    pub len: u64,
    shard: u16,
    bucket: Span,
    /// The contents that live there.
    contents: Vec<(Location, ContentHash)>,
}

/// Reads all rows of a shard and compares them: attachments with references, contents with attachments, places with
/// contents, volumes with places, the ledger with all of them. Nothing may change meanwhile.
///
/// # Errors
///
/// What the tables report; what does not fit is no error but a problem of the report.
pub fn recount(engine: &dyn Engine, apps: &dyn Apps, shard: u16) -> Result<Recount> {
    let mut count = Count {
        engine,
        report: Recount::default(),
        usage: BTreeMap::new(),
        contents: HashMap::new(),
        references: BTreeMap::new(),
        due: BTreeSet::new(),
    };
    count.references()?;
    count.attachments()?;
    let places = count.places()?;
    count.volumes(apps, shard, places)?;
    count.ledger()?;
    Ok(count.report)
}

/// What refers to one attachment.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    messages: u64,
    pins: u64,
    newest: Option<Millis>,
}

struct Count<'a> {
    engine: &'a dyn Engine,
    report: Recount,
    usage: BTreeMap<(AppId, u32), DayUsage>,
    /// How many attachments have a content, by app and hash.
    contents: HashMap<(AppId, ContentHash), u64>,
    references: BTreeMap<(AppId, AttachmentId), Held>,
    due: BTreeSet<Vec<u8>>,
}

impl Count<'_> {
    fn problem(&mut self, text: impl Into<String>) {
        self.report.problems.push(text.into());
    }

    fn references(&mut self) -> Result<()> {
        let mut all = BTreeMap::new();
        scan(self.engine, REFERENCES, b"", |key, _| {
            let id = key.get(4..).and_then(|id| id.first_chunk());
            let id = AttachmentId::from_bytes(id.copied().unwrap_or_default());
            let held: &mut Held = all.entry((app_of(key), id)).or_default();
            if key.get(20) == Some(&MESSAGE) {
                held.messages += 1;
                held.newest = held.newest.max(Some(number_at(key, 21)));
            } else {
                held.pins += 1;
            }
            Ok(())
        })?;
        self.references = all;
        let mut due = BTreeSet::new();
        scan(self.engine, DUE, b"", |key, _| {
            due.insert(key.to_vec());
            Ok(())
        })?;
        self.due = due;
        Ok(())
    }

    fn attachments(&mut self) -> Result<()> {
        let mut rows = Vec::new();
        scan(self.engine, ATTACHMENTS, b"", |key, value| {
            let row: AttachmentRow = decode_row(ATTACHMENTS, key, value)?;
            let id = key.get(4..).and_then(|id| id.first_chunk());
            let id = AttachmentId::from_bytes(id.copied().unwrap_or_default());
            rows.push((app_of(key), id, row));
            Ok(())
        })?;
        for (app, id, row) in rows {
            self.report.attachments += 1;
            let held = self.references.remove(&(app, id)).unwrap_or_default();
            let said = (row.messages, row.pins, row.newest_message);
            if said != (held.messages, held.pins, held.newest) {
                self.problem(format!(
                    "attachment {id}: its row says {said:?}, its references {held:?}"
                ));
            }
            let is_due = row.due.is_none_or(|due| {
                let key = due.key(app, id);
                self.due.remove(&key)
            });
            if !is_due || row.due.is_none() && row.pins == 0 {
                self.problem(format!("attachment {id} would never expire"));
            }
            *self.contents.entry((app, row.hash)).or_default() += 1;
            let day = self.usage.entry((app, day_of(row.uploaded))).or_default();
            day.attachments += 1;
            day.logical_bytes += row.length;
        }
        if !self.references.is_empty() || !self.due.is_empty() {
            let (references, due) = (self.references.len(), self.due.len());
            self.problem(format!(
                "{references} attachments that are referred to and {due} that will expire do not exist"
            ));
        }
        Ok(())
    }

    /// Compares places with contents; returns the places by volume.
    fn places(&mut self) -> Result<BTreeMap<u64, Vec<(u64, PlaceRow)>>> {
        let mut rows: HashMap<(AppId, ContentHash), ContentRow> = HashMap::new();
        scan(self.engine, CONTENTS, b"", |key, value| {
            let hash = key.get(4..).and_then(|hash| hash.first_chunk());
            let row = decode_row(CONTENTS, key, value)?;
            rows.insert((app_of(key), hash.copied().unwrap_or_default()), row);
            Ok(())
        })?;
        let mut places: BTreeMap<u64, Vec<(u64, PlaceRow)>> = BTreeMap::new();
        scan(self.engine, PLACES, b"", |key, value| {
            let row = decode_row(PLACES, key, value)?;
            let of_volume = places.entry(number_at(key, 0)).or_default();
            of_volume.push((number_at(key, 8), row));
            Ok(())
        })?;
        for ((app, hash), count) in std::mem::take(&mut self.contents) {
            let Some(row) = rows.remove(&(app, hash)) else {
                self.problem(format!(
                    "app {}: {count} attachments without content",
                    app.0
                ));
                continue;
            };
            let place = places.get(&row.volume);
            let place = place.and_then(|of| of.iter().find(|(at, _)| *at == row.offset));
            let fits = place.is_some_and(|(_, place)| {
                place.state == PlaceState::Live
                    && place.hash == hash
                    && place.len == blocks_of(row.record)
            });
            if row.attachments != count || !fits {
                self.problem(format!(
                    "app {}: a content in volume {} at {} is counted for {} attachments, which are {count}",
                    app.0, row.volume, row.offset, row.attachments
                ));
            }
        }
        if !rows.is_empty() {
            self.problem(format!("{} contents belong to no attachment", rows.len()));
        }
        Ok(places)
    }

    fn volumes(
        &mut self,
        apps: &dyn Apps,
        shard: u16,
        mut places: BTreeMap<u64, Vec<(u64, PlaceRow)>>,
    ) -> Result<()> {
        let mut rows = Vec::new();
        scan(self.engine, VOLUMES, b"", |key, value| {
            let row: VolumeRow = decode_row(VOLUMES, key, value)?;
            rows.push((app_of(key), number_at(key, 4), row));
            Ok(())
        })?;
        for (app, number, row) in rows {
            let Some(dir) = apps.dir(app) else { continue };
            let path = volume_path(&dir, row.bucket, shard, number, row.solo);
            let places = places.remove(&number).unwrap_or_default();
            let sum = |state| {
                let of = places.iter().filter(|(_, place)| place.state == state);
                of.map(|(_, place)| place.len).sum::<u64>()
            };
            let (live, dead) = (sum(PlaceState::Live), sum(PlaceState::Dead));
            let all = BLOCK_BYTES + live + dead + sum(PlaceState::Punched);
            if (row.live, row.dead, row.len) != (live, dead, all) {
                let path = path.display();
                self.problem(format!(
                    "{path}: {} bytes live, {} dead, {} in all; counted {live}, {dead}, {all}",
                    row.live, row.dead, row.len
                ));
            }
            self.usage
                .entry((app, day_of(row.created)))
                .or_default()
                .physical_bytes += BLOCK_BYTES;
            for (_, place) in places
                .iter()
                .filter(|(_, p)| p.state != PlaceState::Punched)
            {
                let day = self.usage.entry((app, place.day)).or_default();
                day.physical_bytes += place.len;
            }
            let contents = self.contents_of(app, &path, number, &places)?;
            self.report.volumes.push(RecountedVolume {
                path,
                app,
                number,
                len: row.len,
                shard,
                bucket: row.bucket,
                contents,
            });
        }
        if !places.is_empty() {
            self.problem(format!("{} volumes have places but no row", places.len()));
        }
        Ok(())
    }

    fn contents_of(
        &self,
        app: AppId,
        path: &Path,
        number: u64,
        places: &[(u64, PlaceRow)],
    ) -> Result<Vec<(Location, ContentHash)>> {
        let mut contents = Vec::new();
        for (offset, place) in places {
            let key = app_key(app, &place.hash);
            let Some(value) = self.engine.get(CONTENTS, &key)? else {
                continue;
            };
            let row: ContentRow = decode_row(CONTENTS, &key, &value)?;
            if place.state == PlaceState::Live && (row.volume, row.offset) == (number, *offset) {
                let location = Location {
                    path: path.to_owned(),
                    volume: number,
                    offset: *offset,
                    record: row.record,
                };
                contents.push((location, place.hash));
            }
        }
        Ok(contents)
    }

    fn ledger(&mut self) -> Result<()> {
        let mut said = BTreeMap::new();
        scan(self.engine, BLOB_USAGE, b"", |key, value| {
            let day = key.get(4..).and_then(|day| day.first_chunk());
            let day = u32::from_be_bytes(day.copied().unwrap_or_default());
            let usage: DayUsage = decode_row(BLOB_USAGE, key, value)?;
            said.insert((app_of(key), day), usage);
            Ok(())
        })?;
        for (place, counted) in std::mem::take(&mut self.usage) {
            let usage = said.remove(&place).unwrap_or_default();
            if usage != counted {
                self.problem(format!(
                    "the ledger of app {}, day {} says {usage:?}; counted {counted:?}",
                    place.0.0, place.1
                ));
            }
        }
        if !said.is_empty() {
            self.problem(format!("the ledger has {} days too many", said.len()));
        }
        Ok(())
    }
}

/// What reading a volume found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadThrough {
    /// Contents read to the end.
    pub contents: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What is not as it was written.
    pub problems: Vec<String>,
}

/// What of a volume cannot be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VolumeDamage {
    /// What is wrong with its header, or with the whole file.
    pub head: Option<String>,
    /// Contents that cannot be read.
    pub contents: Vec<DamagedContent>,
    /// How many can.
    pub whole: u64,
}

/// A content that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedContent {
    /// Its hash.
    pub hash: ContentHash,
    /// Where its record lies.
    pub offset: u64,
    /// Bytes of the record's blocks.
    pub len: u64,
    /// What is wrong.
    pub why: String,
}

impl RecountedVolume {
    /// Reads the header and every content, and compares them with their checksums and hashes.
    pub fn read_through(&self, files: &FileCache, store: [u8; 16]) -> ReadThrough {
        let mut found = ReadThrough::default();
        if let Err(error) = self.check_head(files, store) {
            found.problems.push(error);
        }
        for (at, hash) in &self.contents {
            match read_content(files, store, at, hash) {
                Ok(bytes) => {
                    found.contents += 1;
                    found.bytes += bytes;
                }
                Err(error) => found.problems.push(error),
            }
        }
        found
    }

    /// Reads everything as [`read_through`](Self::read_through) does, and says which contents cannot be read.
    pub fn damage(&self, files: &FileCache, store: [u8; 16]) -> VolumeDamage {
        let mut damage = VolumeDamage {
            head: self.check_head(files, store).err(),
            ..VolumeDamage::default()
        };
        for (at, hash) in &self.contents {
            match read_content(files, store, at, hash) {
                Ok(_) => damage.whole += 1,
                Err(why) => damage.contents.push(DamagedContent {
                    hash: *hash,
                    offset: at.offset,
                    len: blocks_of(at.record),
                    why,
                }),
            }
        }
        damage
    }

    /// The header as it was written: all that it says is in the tables.
    pub fn header(&self, store: [u8; 16]) -> Vec<u8> {
        let head = VolumeHead {
            store,
            app: self.app,
            shard: self.shard,
            number: self.number,
            bucket: self.bucket,
        };
        head.encode()
    }

    /// As the tables name it.
    pub fn named(&self) -> NamedVolume {
        NamedVolume {
            app: self.app,
            number: self.number,
            path: self.path.clone(),
        }
    }

    fn check_head(&self, files: &FileCache, store: [u8; 16]) -> Result<(), String> {
        let mut bytes = vec![0; 4_096];
        let file = files.open(&self.path).map_err(|error| error.to_string())?;
        file.read_exact_at(&mut bytes, 0, &self.path)
            .map_err(|error| error.to_string())?;
        let head = VolumeHead::decode(&bytes).map_err(|error| error.to_string())?;
        if (head.store, head.number, head.app) == (store, self.number, self.app) {
            Ok(())
        } else {
            Err(format!("the header says {head}"))
        }
    }
}

fn read_content(
    files: &FileCache,
    store: [u8; 16],
    at: &Location,
    hash: &ContentHash,
) -> Result<u64, String> {
    let content = Content::open(files, store, at.clone()).map_err(|error| error.to_string())?;
    let content = content.ok_or("the file is missing")?;
    let mut hasher = blake3::Hasher::new();
    for index in 0..content.head().chunks.len() {
        let chunk = content.chunks(index..index + 1);
        hasher.update(&chunk.map_err(|error| error.to_string())?);
    }
    if hasher.finalize().as_bytes() == hash && content.head().hash == *hash {
        Ok(content.len())
    } else {
        Err(format!("the content at {} has another hash", at.offset))
    }
}
