//! What a flush of the sled engine asks of the disk, and what it does when that fails.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{DIR, House, TABLES, batch_of, contents};
use parking_lot::Mutex;
use tidestore_disk::{
    Disk, Entry, Error, ErrorKind as Cause, File, Lock, Metadata, OpenMode, Result,
};
use tidestore_kv::{EngineKind, ErrorKind, open};

/// Passes everything on, notes what is synced, and fails the syncs it is told to fail.
#[derive(Clone, Debug)]
struct Watched {
    inner: Arc<dyn Disk>,
    synced: Arc<Mutex<Vec<PathBuf>>>,
    failing: Arc<Mutex<Option<(PathBuf, Cause)>>>,
}

impl Watched {
    fn new(inner: &Arc<dyn Disk>) -> Self {
        Self {
            inner: Arc::clone(inner),
            synced: Arc::default(),
            failing: Arc::default(),
        }
    }

    fn sync(&self, path: &Path, sync: impl FnOnce() -> Result<()>) -> Result<()> {
        self.synced.lock().push(path.to_owned());
        match &*self.failing.lock() {
            Some((failing, cause)) if failing == path => Err(Error::new(*cause, "sync", path)),
            _ => sync(),
        }
    }

    fn fail(&self, path: &str, cause: Cause) {
        *self.failing.lock() = Some((Path::new(DIR).join(path), cause));
    }
}

impl Disk for Watched {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn File>> {
        let inner = self.inner.open(path, mode)?;
        Ok(Arc::new(WatchedFile {
            inner,
            path: path.to_owned(),
            disk: self.clone(),
        }))
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.inner.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> Result<()> {
        self.inner.remove_file(path)
    }
    fn remove_dir(&self, path: &Path) -> Result<()> {
        self.inner.remove_dir(path)
    }
    fn create_dir_all(&self, path: &Path) -> Result<()> {
        self.inner.create_dir_all(path)
    }
    fn sync_dir(&self, path: &Path) -> Result<()> {
        self.sync(path, || self.inner.sync_dir(path))
    }
    fn list(&self, path: &Path) -> Result<Vec<Entry>> {
        self.inner.list(path)
    }
    fn metadata(&self, path: &Path) -> Result<Metadata> {
        self.inner.metadata(path)
    }
    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>> {
        self.inner.lock(path)
    }
    fn native_path(&self, path: &Path) -> Option<PathBuf> {
        self.inner.native_path(path)
    }
}

#[derive(Debug)]
struct WatchedFile {
    inner: Arc<dyn File>,
    path: PathBuf,
    disk: Watched,
}

impl File for WatchedFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        self.inner.read_at(buf, offset)
    }
    fn write_at(&self, buf: &[u8], offset: u64) -> Result<usize> {
        self.inner.write_at(buf, offset)
    }
    fn sync_data(&self) -> Result<()> {
        self.disk.sync(&self.path, || self.inner.sync_data())
    }
    fn len(&self) -> Result<u64> {
        self.inner.len()
    }
    fn set_len(&self, len: u64) -> Result<()> {
        self.inner.set_len(len)
    }
    fn punch(&self, offset: u64, len: u64) -> Result<bool> {
        self.inner.punch(offset, len)
    }
}

fn put(key: &str, len: usize) -> tidestore_kv::Batch {
    batch_of(&[(1, key.into(), Some(vec![b'x'; len]))])
}

#[test]
fn a_flush_syncs_the_log_every_new_blob_and_the_mark_in_this_order() {
    let house = House::new(EngineKind::Sled);
    let watched = Watched::new(&house.disk);
    let disk: Arc<dyn Disk> = Arc::new(watched.clone());
    let engine = open(EngineKind::Sled, &disk, Path::new(DIR)).unwrap();
    engine.write(put("large", 1 << 20)).unwrap();
    watched.synced.lock().clear();
    engine.flush().unwrap();
    let synced = watched.synced.lock().clone();
    let dir = Path::new(DIR);
    let place = |path: PathBuf| synced.iter().position(|synced| *synced == path).unwrap();
    let blobs = disk.list(&dir.join("blobs")).unwrap();
    assert!(!blobs.is_empty(), "a value of 1 MiB makes a blob");
    for blob in blobs {
        assert!(place(dir.join("blobs").join(blob.name)) < place(dir.join("blobs")));
    }
    assert!(place(dir.join("blobs")) < place(dir.join("db")));
    assert!(place(dir.join("db")) < place(dir.join("flushed.tmp")));
    assert!(place(dir.join("flushed.tmp")) < place(dir.to_owned()));

    engine.write(put("small", 1)).unwrap();
    watched.synced.lock().clear();
    engine.flush().unwrap();
    let synced = watched.synced.lock().clone();
    assert!(synced.contains(&dir.join("db")), "{synced:?}");
    assert!(
        !synced.contains(&dir.join("blobs")),
        "no new blob: {synced:?}"
    );
}

#[test]
fn a_flush_without_changes_syncs_nothing() {
    let house = House::new(EngineKind::Sled);
    let watched = Watched::new(&house.disk);
    let disk: Arc<dyn Disk> = Arc::new(watched.clone());
    let engine = open(EngineKind::Sled, &disk, Path::new(DIR)).unwrap();
    engine.flush().unwrap();
    watched.synced.lock().clear();
    engine.flush().unwrap();
    assert_eq!(*watched.synced.lock(), Vec::<PathBuf>::new());
}

#[test]
fn after_a_failed_sync_writes_and_flushes_are_refused_and_reads_go_on() {
    for (file, cause, kind) in [
        ("db", Cause::Io, ErrorKind::Io),
        ("db", Cause::Full, ErrorKind::Io),
        ("flushed.tmp", Cause::Io, ErrorKind::Io),
        ("blobs", Cause::Io, ErrorKind::Io),
    ] {
        let house = House::new(EngineKind::Sled);
        let watched = Watched::new(&house.disk);
        let disk: Arc<dyn Disk> = Arc::new(watched.clone());
        let engine = open(EngineKind::Sled, &disk, Path::new(DIR)).unwrap();
        engine.write(put("before", 1 << 20)).unwrap();
        let before = contents(&*engine, &TABLES);
        watched.fail(file, cause);
        assert_eq!(engine.flush().unwrap_err().kind(), kind, "{file}");

        *watched.failing.lock() = None;
        watched.synced.lock().clear();
        let refused = engine.flush().unwrap_err();
        assert_eq!(refused.kind(), kind, "{file}");
        assert!(refused.to_string().contains("reopen"), "{refused}");
        assert_eq!(
            engine.write(put("after", 1)).unwrap_err().kind(),
            kind,
            "{file}"
        );
        assert_eq!(
            *watched.synced.lock(),
            Vec::<PathBuf>::new(),
            "no sync is tried again"
        );
        assert_eq!(contents(&*engine, &TABLES), before);

        drop(engine);
        let engine = open(EngineKind::Sled, &disk, Path::new(DIR)).unwrap();
        engine.write(put("after", 1)).unwrap();
        engine.flush().unwrap();
    }
}
