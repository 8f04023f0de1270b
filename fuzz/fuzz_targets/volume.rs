//! Volumes: arbitrary bytes as the file, and records that are described by the bytes and sealed with the right checksums.
//!
//! Behind a right checksum may stand anything: lengths that are lies, frames that unpack to far more than a chunk. Run
//! with `-malloc_limit_mb=64`: no number in a volume justifies a larger allocation.

#![no_main]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use tidestore_blobs::{
    Attachment, CHUNK_BYTES, Chunk, Content, Location, RecordHead, Span, VolumeHead, VolumeReport,
    index, inspect,
};
use tidestore_disk::{Disk, FileCache, Seal, SimDisk, checksum};
use tidestore_kv::{Batch, Engine, EngineKind, Table, codec};
use tidestore_plan::{AppId, AttachmentId};

const STORE: [u8; 16] = [7; 16];
const APP: AppId = AppId(1);
const SHARD: u16 = 3;
const NUMBER: u64 = 5;
const BUCKET: Span = Span { start: 1_000, end: 2_000 };
const BLOCK: usize = 4_096;
/// The largest file that a description may become.
const FILE_MAX: usize = 4 << 20;
const SEAL: Seal =
    Seal { store: STORE, kind: u32::from_le_bytes(*b"VOL1"), generation: NUMBER };

fuzz_target!(|bytes: &[u8]| {
    match bytes.split_first() {
        None => {}
        Some((mode, bytes)) if mode & 1 == 0 => arbitrary(*mode, bytes),
        Some((_, bytes)) => described(Input(bytes)),
    }
});

/// The bytes as heads, as a file, and as what follows a header that is right.
fn arbitrary(mode: u8, bytes: &[u8]) {
    drop(VolumeHead::decode(bytes));
    drop(RecordHead::decode(bytes, &SEAL, u64::from(mode) * 4_096));
    drop(look_into(bytes));
    let mut file = head().encode();
    file.extend_from_slice(bytes);
    let report = look_into(&file).expect("a volume with a header");
    assert_eq!(report.head, head());
    assert!(report.records.is_empty(), "a checksum was met by chance");
}

fn head() -> VolumeHead {
    VolumeHead { store: STORE, app: APP, shard: SHARD, number: NUMBER, bucket: BUCKET }
}

fn look_into(file: &[u8]) -> Option<VolumeReport> {
    let sim = SimDisk::new();
    sim.plant(Path::new("v.vol"), file).expect("a file");
    let disk: Arc<dyn Disk> = Arc::new(sim);
    let report = inspect(&disk, Path::new("v.vol")).ok()?;
    let blocks = file.len().div_ceil(BLOCK);
    assert!(report.records.len() + report.problems.len() <= 2 * blocks);
    assert!(report.empty <= file.len() as u64);
    Some(report)
}

/// Records as the bytes describe them.
fn described(mut input: Input<'_>) {
    let mut file = head().encode();
    let mut records = Vec::new();
    while !input.0.is_empty() && file.len() < FILE_MAX {
        records.push(Record::write(&mut input, &mut file));
    }
    let report = look_into(&file).expect("a volume with a header");
    let mut end = 0;
    for record in &records {
        record.read(&file);
        // Behind the beginning of a record whose end was cut off, its own claim hides what follows.
        if record.offset < end {
            continue;
        }
        let found = report.records.iter().any(|found| found.offset == record.offset);
        let problem = report.problems.iter().any(|(offset, _)| *offset == record.offset);
        let is_right = record.is_right() && !record.lies_about_hash;
        assert!(!is_right || found && !problem, "a right record is refused: {report:?}");
        assert!(!record.is_wrong() || problem, "a wrong record passed: {report:?}");
        if record.is_legal {
            end = record.offset + u64::from(record.head.data_at) + record.head.stored();
        }
    }
}

/// What must come of reading a chunk.
#[derive(PartialEq)]
enum Fate {
    /// These bytes.
    Right(Vec<u8>),
    /// An error.
    Wrong,
    /// Either so many bytes as the head says, or an error.
    Open,
}

/// A record of the file, and what can be read from it.
struct Record {
    offset: u64,
    head: RecordHead,
    fates: Vec<Fate>,
    /// Whether the head keeps the rules of the format.
    is_legal: bool,
    /// Whether the head says another hash than the content has.
    lies_about_hash: bool,
    /// Whether the file is cut before the end of the record.
    is_cut: bool,
}

impl Record {
    fn write(input: &mut Input<'_>, file: &mut Vec<u8>) -> Self {
        file.resize(file.len().next_multiple_of(BLOCK), 0);
        let start = file.len();
        let count = usize::from(input.byte() % 6);
        let last = usize::from(input.short()) % CHUNK_BYTES + 1;
        let length = if count == 0 { 0 } else { (count - 1) * CHUNK_BYTES + last };
        let room = 56 + 8 * count;
        let lies = input.byte();
        // One in eight lies about where the chunks begin, one in eight about the length.
        let data_at = match lies {
            0..=31 => u32::from(input.short()),
            32..=63 => 4_096,
            _ => u32::try_from(room).expect("small"),
        };
        let claimed = match lies {
            64..=95 => u32::from(input.short()) << (lies & 15),
            _ => u32::try_from(length).expect("small"),
        };
        let data = (data_at as usize).clamp(room, BLOCK);
        let mut at = start + data;
        file.resize(at, 0);
        let (mut chunks, mut fates, mut strays) = (Vec::<Chunk>::new(), Vec::new(), false);
        for index in 0..count {
            let raw = if index + 1 == count { last } else { CHUNK_BYTES };
            let (chunk, stored, fate) = describe(input, raw, at as u64);
            file.extend_from_slice(&stored);
            at += stored.len();
            // Behind a chunk that lies about its length, the head points at other bytes.
            fates.push(if strays { Fate::Open } else { fate });
            strays |= chunk.stored as usize != stored.len();
            chunks.push(chunk);
        }
        let mut hasher = blake3::Hasher::new();
        for fate in &fates {
            if let Fate::Right(content) = fate {
                hasher.update(content);
            }
        }
        // Most hashes are right; a wrong one is a problem by itself.
        let lies_about_hash = input.byte() == 255;
        let hash = if lies_about_hash { [9; 32] } else { *hasher.finalize().as_bytes() };
        let head = RecordHead { length: claimed, data_at, hash, chunks };
        let encoded = head.encode(&SEAL, start as u64);
        file[start..start + encoded.len()].copy_from_slice(&encoded);
        let is_legal = RecordHead::decode(&file[start..], &SEAL, start as u64).is_ok();
        let is_honest = claimed as usize == length && data_at as usize == data;
        let is_right = is_honest && !lies_about_hash && fates.iter().all(|fate| matches!(fate, Fate::Right(_)));
        assert!(is_legal || !is_right, "{head:?}");
        assert!(!is_legal || (room..=BLOCK).contains(&(data_at as usize)), "{head:?}");
        if !is_honest {
            fates.iter_mut().for_each(|fate| *fate = Fate::Open);
        }
        let cut = match input.byte() {
            255 => usize::from(input.short()) % (file.len() - start),
            _ => 0,
        };
        file.truncate(file.len() - cut);
        Self { offset: start as u64, head, fates, is_legal, is_cut: cut > 0, lies_about_hash }
    }

    fn is_right(&self) -> bool {
        let mut fates = self.fates.iter();
        self.is_legal && !self.is_cut && fates.all(|fate| matches!(fate, Fate::Right(_)))
    }

    fn is_wrong(&self) -> bool {
        !self.is_cut && (!self.is_legal || self.fates.contains(&Fate::Wrong))
    }

    /// Reads chunk by chunk, and all at once, what the tables would say is here.
    fn read(&self, file: &[u8]) {
        let record = u64::from(self.head.data_at) + self.head.stored();
        let (sim, at) = located(file, self.offset, record);
        let files = FileCache::new(Arc::new(sim), 1);
        let Ok(Some(content)) = Content::open(&files, STORE, at) else {
            assert!(!self.is_right(), "{:?} cannot be opened", self.head);
            return;
        };
        let chunks = content.head().chunks.len();
        for index in 0..chunks {
            let read = content.chunks(index..index + 1);
            match (&self.fates[index], read) {
                (Fate::Right(wanted), Ok(read)) => assert!(read == *wanted, "other bytes"),
                (Fate::Right(_), Err(error)) => assert!(self.is_cut, "{error}"),
                (Fate::Wrong, Ok(_)) => assert!(self.is_cut, "a wrong chunk was read"),
                (Fate::Open, Ok(read)) => assert_eq!(read.len(), self.head.raw_len(index)),
                (_, Err(_)) => {}
            }
        }
        if let Ok(whole) = content.chunks(0..chunks) {
            assert_eq!(whole.len() as u64, content.len());
        }
    }
}

/// A chunk at an offset: what its head says, the bytes as they are stored, and what must come of reading it.
fn describe(input: &mut Input<'_>, raw: usize, at: u64) -> (Chunk, Vec<u8>, Fate) {
    let (kind, pattern) = (input.byte(), input.byte());
    let content = vec![pattern; raw];
    let pack = |bytes: &[u8]| zstd::bulk::compress(bytes, 1).expect("memory");
    let (compressed, mut stored, mut fate) = match kind % 16 {
        0..=3 => (false, content.clone(), Fate::Right(content)),
        4..=8 => (true, pack(&content), Fate::Right(content)),
        9 => (true, pack(&content[1..]), Fate::Wrong),
        10 => (true, pack(&vec![pattern; raw + 1]), Fate::Wrong),
        11 => (true, BOMB.clone(), Fate::Wrong),
        12 => (true, SILENT_BOMB.clone(), Fate::Wrong),
        13 => (false, content[1..].to_vec(), Fate::Wrong),
        _ => {
            // The fuzzer's own bytes as a frame; they may even be one.
            let len = usize::from(input.byte()).min(input.0.len());
            let (bytes, rest) = input.0.split_at(len);
            input.0 = rest;
            (true, bytes.to_vec(), Fate::Open)
        }
    };
    // Half of the frames get a byte changed before they are summed up, the descriptor of the window among them.
    if compressed && kind & 32 != 0 {
        let place = usize::from(input.byte()) % stored.len().max(1);
        if let Some(byte) = stored.get_mut(place) {
            *byte ^= input.byte();
            fate = Fate::Open;
        }
    }
    // No frame may be longer than what it holds.
    if stored.len() > raw {
        fate = Fate::Wrong;
    }
    let mut sum = checksum(&SEAL, at, &[&stored]);
    let mut len = u32::try_from(stored.len()).expect("small");
    match kind >> 6 {
        3 => {
            sum ^= 1 << (pattern & 31);
            fate = Fate::Wrong;
        }
        2 => {
            let lie = u32::from(input.short());
            len ^= lie;
            fate = if lie == 0 { fate } else { Fate::Wrong };
        }
        _ => {}
    }
    (Chunk { stored: len, compressed, checksum: sum }, stored, fate)
}

/// 128 MiB of zeros in a few kilobytes, which says so.
static BOMB: LazyLock<Vec<u8>> = LazyLock::new(|| bomb(true));
/// The same without a word about its length.
static SILENT_BOMB: LazyLock<Vec<u8>> = LazyLock::new(|| bomb(false));

fn bomb(says_so: bool) -> Vec<u8> {
    let zeros = vec![0; 1 << 20];
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).expect("memory");
    if says_so {
        encoder.set_pledged_src_size(Some(128 << 20)).expect("before the first byte");
    }
    (0..128).for_each(|_| encoder.write_all(&zeros).expect("memory"));
    encoder.finish().expect("memory")
}

/// A disk with the file as a volume, and where tables would say that a record lies in it.
fn located(file: &[u8], offset: u64, record: u64) -> (SimDisk, Location) {
    let sim = SimDisk::new();
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
    let tables = tidestore_kv::open(EngineKind::Memory, &disk, Path::new("t")).expect("tables");
    let hash = [9; 32];
    let key = |rest: &[u8]| [&APP.0.to_be_bytes(), rest].concat();
    let mut rows = Batch::new();
    let content = codec::encode(&(NUMBER, offset, record, 1_u64)).expect("a row");
    rows.put(Table(6), key(&hash), content);
    let volume = (BUCKET, file.len() as u64, record, 0_u64, BUCKET.start, true, true);
    let volume = codec::encode(&volume).expect("a row");
    rows.put(Table(7), key(&NUMBER.to_be_bytes()), volume);
    tables.write(rows).expect("a batch");
    let at = locate(&*tables, hash);
    let path = PathBuf::from(format!("a/blobs/{:013}/{NUMBER:020}.vol", BUCKET.start));
    sim.plant(&path, file).expect("a file");
    (sim, at)
}

fn locate(tables: &dyn Engine, hash: [u8; 32]) -> Location {
    let attachment = Attachment {
        id: AttachmentId::from_bits(1),
        uploader: "ann".to_owned(),
        name: "a".to_owned(),
        media_type: "a/b".to_owned(),
        length: 1,
        hash,
        uploaded: 0,
        keep_until: 1,
        messages: 0,
        pins: 0,
        newest_message: None,
    };
    index::locate(tables, APP, Path::new("a"), SHARD, &attachment).expect("rows")
}

/// Takes values from the front; zeros behind the end.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn short(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }
}
