//! Writing a backup: into a directory, or as an archive.

use std::collections::BTreeSet;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidestore_disk::{Disk, EntryKind, File, FileExt, OpenMode, atomic_replace};

use crate::backup::entries::FileReader;
use crate::backup::manifest::{self, FileEntry};
use crate::backup::place::{BackupPlace, Opened};
use crate::error::{Error, ErrorKind, Result};

/// What stands in a directory while a backup is made in it.
pub(crate) const UNFINISHED: &str = "BACKUP.unfinished";
/// What a backup's files lie in.
const DIRS: [&str; 3] = ["data", "rows", "log"];
/// What an archive is called before it is whole.
const PARTIAL: &str = "partial";
/// Bytes copied at a time.
const PIECE: usize = 1 << 20;

/// Takes the files of a backup, one after the other.
pub(crate) trait Sink {
    /// Writes a file that comes from a reader, which must have exactly this length.
    fn put(&mut self, path: &Path, len: u64, from: &mut dyn Read) -> Result<()>;

    /// Makes a file of the backup another name of one that exists; false if that is not possible here.
    fn link(&mut self, disk: &dyn Disk, from: &Path, path: &Path) -> Result<bool>;

    /// Makes everything durable, then writes the manifest: the backup is whole.
    fn finish(&mut self, manifest: &[u8]) -> Result<()>;

    /// Takes away what was written, as far as that is possible.
    fn discard(&mut self);
}

/// Opens a target.
pub(crate) fn open(target: Opened) -> Result<Box<dyn Sink>> {
    Ok(match target {
        Opened::Directory(place) => Box::new(DirSink::open(place)?),
        Opened::Archive(place) => Box::new(ArchiveSink::file(place)?),
        Opened::Stream(stream) => Box::new(ArchiveSink::start(Out::Stream(stream))?),
    })
}

/// Puts bytes and says what the manifest is to say of them.
pub(crate) fn put_bytes(sink: &mut dyn Sink, path: &Path, bytes: &[u8]) -> Result<FileEntry> {
    put_hashed(sink, path, bytes.len() as u64, &mut &*bytes)
}

/// Puts what a reader gives and says what the manifest is to say of it.
pub(crate) fn put_hashed(
    sink: &mut dyn Sink,
    path: &Path,
    len: u64,
    from: &mut dyn Read,
) -> Result<FileEntry> {
    let mut from = Hashing {
        from,
        hasher: blake3::Hasher::new(),
        read: 0,
    };
    sink.put(path, len, &mut from)?;
    if from.read != len {
        let detail = format!("{} bytes could be read of {len}", from.read);
        return Err(tidestore_disk::Error::corruption(path, from.read, detail).into());
    }
    Ok(FileEntry {
        path: path.to_string_lossy().into_owned(),
        len,
        hash: *from.hasher.finalize().as_bytes(),
        mark: None,
    })
}

/// Passes on what it reads, hashed.
pub(crate) struct Hashing<'a> {
    pub(crate) from: &'a mut dyn Read,
    pub(crate) hasher: blake3::Hasher,
    pub(crate) read: u64,
}

impl Read for Hashing<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buf)?;
        self.hasher.update(buf.get(..read).unwrap_or_default());
        self.read += read as u64;
        Ok(read)
    }
}

/// Copies all that a reader gives into a new file, and makes it durable.
pub(crate) fn write_file(disk: &dyn Disk, path: &Path, from: &mut dyn Read) -> Result<u64> {
    let file = disk.open(path, OpenMode::CreateNew)?;
    let (mut piece, mut offset) = (vec![0; PIECE], 0);
    loop {
        let read = match from.read(&mut piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read.map_err(io)?,
        };
        if read == 0 {
            break;
        }
        file.write_all_at(piece.get(..read).unwrap_or_default(), offset, path)?;
        offset += read as u64;
    }
    file.sync_data()?;
    Ok(offset)
}

/// An error of a reader or writer, which may carry one of ours.
pub(crate) fn io(error: io::Error) -> Error {
    let is_full = matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    );
    let is_cut = error.kind() == io::ErrorKind::UnexpectedEof;
    let error = match error.downcast::<tidestore_disk::Error>() {
        Ok(error) => return error.into(),
        Err(error) => error,
    };
    let kind = match (is_full, is_cut) {
        (true, _) => ErrorKind::Full,
        (_, true) => ErrorKind::Corruption,
        _ => ErrorKind::Io,
    };
    Error::new(kind, error.to_string()).with_source(error)
}

/// A backup in a directory.
#[derive(Debug)]
struct DirSink {
    place: BackupPlace,
    /// Directories with entries that are not durable yet.
    dirs: BTreeSet<PathBuf>,
}

impl DirSink {
    fn open(place: BackupPlace) -> Result<Self> {
        place.disk.create_dir_all(&place.path)?;
        let dirs = BTreeSet::new();
        let sink = Self { place, dirs };
        let entries = sink.place.disk.list(&sink.place.path)?;
        let has = |name: &str| entries.iter().any(|entry| entry.name == name);
        let is_ours =
            |name: &str| DIRS.contains(&name) || name == UNFINISHED || name.starts_with("BACKUP.");
        let stranger = entries.iter().find(|entry| !is_ours(&entry.name));
        if let Some(entry) = stranger.or(entries.first().filter(|_| !has(UNFINISHED))) {
            let text = format!(
                "the target holds {:?}: a backup goes into an empty directory",
                entry.name
            );
            return Err(Error::new(ErrorKind::Occupied, text));
        }
        // What an earlier attempt left.
        clear(&sink.place, &DIRS)?;
        let disk = &*sink.place.disk;
        disk.open(&sink.place.join(Path::new(UNFINISHED)), OpenMode::Create)?;
        disk.sync_dir(&sink.place.path)?;
        Ok(sink)
    }

    fn prepare(&mut self, path: &Path) -> Result<PathBuf> {
        let path = self.place.join(path);
        let dir = path.parent().unwrap_or(Path::new(""));
        if !self.dirs.contains(dir) {
            self.place.disk.create_dir_all(dir)?;
            self.dirs.insert(dir.to_owned());
        }
        Ok(path)
    }
}

/// Removes what lies in some directories of a place, and them.
pub(crate) fn clear(place: &BackupPlace, names: &[&str]) -> Result<()> {
    for name in names {
        remove(&*place.disk, &place.join(Path::new(name)))?;
    }
    Ok(())
}

/// Removes a file or directory with all that is in it; one that is not there is fine.
pub(crate) fn remove(disk: &dyn Disk, path: &Path) -> Result<()> {
    let metadata = match disk.metadata(path) {
        Err(error) if error.kind() == tidestore_disk::ErrorKind::NotFound => return Ok(()),
        metadata => metadata?,
    };
    if metadata.kind != EntryKind::Dir {
        return Ok(disk.remove_file(path)?);
    }
    for entry in disk.list(path)? {
        remove(disk, &path.join(entry.name))?;
    }
    Ok(disk.remove_dir(path)?)
}

impl Sink for DirSink {
    fn put(&mut self, path: &Path, _len: u64, from: &mut dyn Read) -> Result<()> {
        let path = self.prepare(path)?;
        write_file(&*self.place.disk, &path, from).map(drop)
    }

    fn link(&mut self, disk: &dyn Disk, from: &Path, path: &Path) -> Result<bool> {
        let path = self.prepare(path)?;
        Ok(disk.hard_link(from, &*self.place.disk, &path)?)
    }

    fn finish(&mut self, manifest: &[u8]) -> Result<()> {
        let disk = &*self.place.disk;
        for dir in &self.dirs {
            disk.sync_dir(dir)?;
        }
        atomic_replace(disk, &self.place.join(Path::new(manifest::NAME)), manifest)?;
        // Whole from here on; the marker is only in the way.
        let _ = disk.remove_file(&self.place.join(Path::new(UNFINISHED)));
        let _ = disk.sync_dir(&self.place.path);
        Ok(())
    }

    fn discard(&mut self) {
        let manifest = format!("{}.tmp", manifest::NAME);
        // The manifest first: a part of a backup must never have one.
        let names = [manifest::NAME, &manifest, "data", "rows", "log", UNFINISHED];
        if let Err(error) = clear(&self.place, &names) {
            tracing::warn!(%error, "what was begun of a backup could not be removed");
        }
    }
}

/// A backup as a tar file.
struct ArchiveSink {
    /// None once it is finished or discarded.
    builder: Option<tar::Builder<BufWriter<Out>>>,
    /// Where it is written; none for a stream.
    place: Option<BackupPlace>,
}

/// Where an archive's bytes go.
enum Out {
    File { file: Arc<dyn File>, at: u64 },
    Stream(Box<dyn Write + Send>),
}

impl Write for Out {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::File { file, at } => {
                let written = file.write_at(buf, *at).map_err(io::Error::other)?;
                *at += written as u64;
                Ok(written)
            }
            Self::Stream(stream) => stream.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File { .. } => Ok(()),
            Self::Stream(stream) => stream.flush(),
        }
    }
}

impl ArchiveSink {
    fn file(place: BackupPlace) -> Result<Self> {
        if place.disk.metadata(&place.path).is_ok() {
            let text = format!("{} exists already", place.path.display());
            return Err(Error::new(ErrorKind::Occupied, text));
        }
        let partial = partial(&place.path);
        remove(&*place.disk, &partial)?;
        let file = place.disk.open(&partial, OpenMode::CreateNew)?;
        let started = Self::start(Out::File { file, at: 0 });
        if started.is_err() {
            let _ = place.disk.remove_file(&partial);
        }
        let place = Some(place);
        started.map(|sink| Self { place, ..sink })
    }

    fn start(out: Out) -> Result<Self> {
        let builder = tar::Builder::new(BufWriter::with_capacity(PIECE, out));
        let mut sink = Self {
            builder: Some(builder),
            place: None,
        };
        let bytes = manifest::version_bytes();
        let path = Path::new(manifest::VERSION_NAME);
        sink.put(path, bytes.len() as u64, &mut bytes.as_slice())?;
        Ok(sink)
    }
}

fn partial(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(PARTIAL);
    path.with_file_name(name)
}

impl Sink for ArchiveSink {
    fn put(&mut self, path: &Path, len: u64, from: &mut dyn Read) -> Result<()> {
        let Some(builder) = &mut self.builder else {
            return Err(Error::new(ErrorKind::Closed, "the archive is closed"));
        };
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_mode(0o600);
        header.set_size(len);
        builder.append_data(&mut header, path, from).map_err(io)
    }

    fn link(&mut self, _: &dyn Disk, _: &Path, _: &Path) -> Result<bool> {
        Ok(false)
    }

    fn finish(&mut self, manifest: &[u8]) -> Result<()> {
        let path = Path::new(manifest::NAME);
        self.put(path, manifest.len() as u64, &mut &*manifest)?;
        let Some(builder) = self.builder.take() else {
            return Ok(());
        };
        let mut writer = builder.into_inner().map_err(io)?;
        writer.flush().map_err(io)?;
        let out = writer
            .into_inner()
            .map_err(|error| io(error.into_error()))?;
        let (Out::File { file, .. }, Some(place)) = (out, &self.place) else {
            return Ok(());
        };
        file.sync_data()?;
        drop(file);
        place.disk.rename(&partial(&place.path), &place.path)?;
        Ok(place
            .disk
            .sync_dir(place.path.parent().unwrap_or(Path::new("")))?)
    }

    fn discard(&mut self) {
        // The builder would write its end when it is dropped; that harms nobody.
        self.builder = None;
        if let Some(place) = &self.place {
            let _ = place.disk.remove_file(&partial(&place.path));
        }
    }
}

/// Opens a file for copying: a reader of its first so many bytes.
pub(crate) fn reader(disk: &dyn Disk, path: &Path, len: u64) -> Result<FileReader> {
    let file = disk.open(path, OpenMode::Read)?;
    Ok(FileReader::new(file, len))
}
