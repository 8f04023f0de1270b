//! Looking into one file of a data directory, without opening the store.

use std::fmt::{Display, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidestore_blobs::{FoundRecord, VolumeReport};
use tidestore_disk::{Disk, RealDisk, read_small};
use tidestore_messages::{Owner, SegmentMeta};

use crate::apps::AppRecord;
use crate::error::{Error, ErrorKind, Result};
use crate::{format, tables};

/// Records of a volume that are listed.
const RECORDS_SHOWN: usize = 20;

/// What a file holds, as rows of a name and a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What kind of file it is.
    pub title: String,
    /// Names and values, in reading order.
    pub rows: Vec<(String, String)>,
}

/// Reads a segment, a volume of attachments, a commit log file, `STORE`, `NEWEST`, or a shard's tables (the manifest; name the
/// directory `views/shard-NN`) and checks every checksum on the way.
///
/// # Errors
///
/// [`ErrorKind::Corruption`] with file and offset for the first thing that is not right, [`ErrorKind::Argument`] for a
/// file that is none of these.
pub fn file(path: &Path) -> Result<Report> {
    let (parent, name) = split(path)?;
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(&parent)?);
    let extension = name.extension().and_then(|extension| extension.to_str());
    match extension {
        Some("seg") => segment(&disk, &name),
        Some("vol") => volume(&disk, &name),
        Some("log") => log(&disk, &name),
        None if name == Path::new("STORE") => store(&disk),
        None if name == Path::new("NEWEST") => newest(&disk, &name),
        _ if disk.metadata(&name)?.kind == tidestore_disk::EntryKind::Dir => manifest(path),
        _ => {
            let text = format!(
                "{} is no segment (.seg), volume (.vol), log file (.log), STORE, NEWEST or views/shard-NN",
                path.display()
            );
            Err(Error::new(ErrorKind::Argument, text))
        }
    }
}

fn split(path: &Path) -> Result<(PathBuf, PathBuf)> {
    let name = path.file_name().ok_or_else(|| {
        Error::new(
            ErrorKind::Argument,
            format!("{} names no file", path.display()),
        )
    })?;
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    Ok((parent, PathBuf::from(name)))
}

impl Report {
    fn row(&mut self, name: &str, value: impl Display) {
        self.rows.push((name.to_owned(), value.to_string()));
    }
}

fn newest(disk: &Arc<dyn Disk>, name: &Path) -> Result<Report> {
    let (shard, number) = tidestore_log::inspect_newest(disk, name)?;
    let mut report = Report {
        title: "name of the newest log file, version 1".to_owned(),
        rows: Vec::new(),
    };
    report.row("shard", shard);
    report.row("newest log file", format!("{number:08}.log"));
    Ok(report)
}

fn segment(disk: &Arc<dyn Disk>, name: &Path) -> Result<Report> {
    let found = tidestore_messages::inspect(disk, name)?;
    let meta = &found.meta;
    let mut report = Report {
        title: format!("segment, version {}", found.version),
        rows: Vec::new(),
    };
    report.row("store", hex(&found.store.0));
    segment_rows(&mut report, meta);
    report.row("conversations", found.conversations);
    report.row("blocks", meta.blocks);
    report.row("bytes of blocks, unpacked", found.blocks_raw_len);
    report.row("bytes of blocks, stored", found.blocks_len);
    report.row(
        "compression ratio of blocks",
        ratio(found.blocks_raw_len, found.blocks_len),
    );
    report.row("bytes of the id index", found.ids_len);
    report.row("bytes of block table and locator", found.index_len);
    report.row("file bytes a message", ratio(meta.file_len, meta.messages));
    report.row(
        "file bytes a byte of body",
        ratio(meta.file_len, meta.body_bytes),
    );
    report.row("checksums, order, indexes and counts", "all right");
    Ok(report)
}

fn segment_rows(report: &mut Report, meta: &SegmentMeta) {
    report.row("shard", meta.shard);
    report.row("generation", meta.generation);
    match meta.owner {
        Owner::App(app) => report.row("app number", app.0),
        Owner::Shared => report.row("shared by apps", meta.apps.len()),
    }
    report.row("bucket start, ms", meta.bucket.start);
    report.row("bucket end, ms", meta.bucket.end);
    report.row("messages", meta.messages);
    report.row("bytes of bodies and extensions", meta.body_bytes);
    report.row("bytes of the file", meta.file_len);
}

fn volume(disk: &Arc<dyn Disk>, name: &Path) -> Result<Report> {
    let found = tidestore_blobs::inspect(disk, name)?;
    if let Some((offset, problem)) = found.problems.first() {
        let more = match found.problems.len() - 1 {
            0 => String::new(),
            more => format!("; and {more} more problems"),
        };
        let name = name.display();
        let text = format!("{name} is damaged at byte {offset}: {problem}{more}");
        return Err(Error::new(ErrorKind::Corruption, text));
    }
    let VolumeReport {
        head,
        records,
        empty,
        ..
    } = &found;
    let mut report = Report {
        title: "volume of attachments, version 1".to_owned(),
        rows: Vec::new(),
    };
    report.row("store", hex(&head.store));
    report.row("app number", head.app.0);
    report.row("shard", head.shard);
    report.row("number", head.number);
    report.row("bucket start, ms", head.bucket.start);
    report.row("bucket end, ms", head.bucket.end);
    report.row("records", records.len());
    let contents = records.iter().map(|record| u64::from(record.head.length));
    report.row("bytes of contents", contents.sum::<u64>());
    let stored = records.iter().map(|record| record.record);
    report.row("bytes of records", stored.sum::<u64>());
    report.row("empty bytes", empty);
    for record in records.iter().take(RECORDS_SHOWN) {
        report.row("record", record_text(record));
    }
    if records.len() > RECORDS_SHOWN {
        report.row("further records, not shown", records.len() - RECORDS_SHOWN);
    }
    report.row("checksums", "all right");
    Ok(report)
}

fn record_text(record: &FoundRecord) -> String {
    let head = &record.head;
    let compressed = head.chunks.iter().filter(|chunk| chunk.compressed).count();
    let hash = hex(head.hash.get(..8).unwrap_or_default());
    format!(
        "at {}: {} bytes, {} as stored, {} chunks, {compressed} of them compressed, hash {hash}…",
        record.offset,
        head.length,
        head.stored(),
        head.chunks.len(),
    )
}

fn log(disk: &Arc<dyn Disk>, name: &Path) -> Result<Report> {
    let found = tidestore_log::inspect(disk, name)?;
    let mut report = Report {
        title: "commit log file, version 1".to_owned(),
        rows: Vec::new(),
    };
    for (name, value) in found.rows() {
        report.row(&name, value);
    }
    Ok(report)
}

fn store(disk: &Arc<dyn Disk>) -> Result<Report> {
    let found = format::decode(&read_small(&**disk, Path::new("STORE"), 4_096)?)?;
    let mut report = Report {
        title: "data directory, version 1".to_owned(),
        rows: Vec::new(),
    };
    report.row("store", hex(&found.id));
    report.row("created, ms", found.created);
    report.row("shards", found.shards);
    report.row("key-value engine", found.engine);
    Ok(report)
}

fn manifest(path: &Path) -> Result<Report> {
    // The engine is named in STORE, two levels up; its lock refuses while the store is open elsewhere.
    let root = path
        .ancestors()
        .nth(2)
        .filter(|root| !root.as_os_str().is_empty());
    let root = root.unwrap_or(Path::new(".")).to_owned();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(&root)?);
    let _lock = disk.lock(Path::new("LOCK"))?;
    let store = format::decode(&read_small(&*disk, Path::new("STORE"), 4_096)?)?;
    let relative = path.strip_prefix(&root).unwrap_or(path);
    let engine = tidestore_kv::open(store.engine, &disk, relative)?;
    let mut report = Report {
        title: "tables of a shard".to_owned(),
        rows: Vec::new(),
    };
    for name in [
        tables::APPLIED,
        tables::FLUSHED,
        tables::NEXT_GENERATION,
        tables::LAST_LIVE,
        tables::LAST_SEEN,
        tables::LAST_APP,
    ] {
        report.row(name, tables::number(&*engine, name)?);
    }
    for app in tables::rows::<AppRecord>(&*engine, tables::APPS)? {
        let days = app.retention() / 86_400_000;
        report.row(
            "app",
            format!(
                "{} is {}, {days} days, floor {}",
                app.id, app.key, app.floor
            ),
        );
    }
    for meta in tables::rows::<SegmentMeta>(&*engine, tables::SEGMENTS)? {
        let text = format!(
            "{} {:?} bucket {}..{}: {} messages, {} bytes",
            meta.generation,
            meta.owner,
            meta.bucket.start,
            meta.bucket.end,
            meta.messages,
            meta.file_len
        );
        report.row("segment", text);
    }
    report.row("bytes on disk", engine.size_on_disk()?);
    Ok(report)
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        // Writing to a string cannot fail.
        let _infallible = write!(text, "{byte:02x}");
    }
    text
}

/// A ratio of two counts, to a hundredth.
fn ratio(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    let hundredths = part.saturating_mul(100) / whole;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}
