//! The pages under `docs/format`: each worked example is built anew by the code that writes such a file, and compared with
//! the bytes on the page. So a page cannot say what the code does not do.
//!
//! `TIDESTORE_WRITE_EXAMPLES=1 cargo test -p tidestore-tests --test format` writes the examples into the pages: for whoever
//! writes the page of a new version, never to make a test pass.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tidestore::disk::{Clock, Disk, Env, FileCache, Seal, SimClock, SimDisk};
use tidestore::plan::{AttachmentId, Plan, Terms};
use tidestore::{EngineKind, NewMessage, Store};
use tidestore_blobs::{Change, Destination, Intake, Keeping, NewAttachment, Site, Span, Volumes};
use tidestore_kv::{Batch, Engine, SledEngine, Table, batch_of};
use tidestore_log::{FileLog, Log, LogOptions, decode_frame};
use tidestore_messages::{
    AppId, Applied, Apps, BlockCache, Bucket, Conversation, Kind, Manifest, Message, MessageId,
    MessageView, Owner, ReceiptKey, Revision, SegmentHead, SegmentOptions, SegmentWriter, Seq,
    StoreId, ViewParts, open_section,
};
use tidestore_tests::example::Page;
use tidestore_tests::world::{END, fill, leave_a_tail, options};
use tidestore_tests::{Machine, START, key, run, text, user};

const STORE: [u8; 16] = *b"0123456789abcdef";

fn sim() -> (SimDisk, Arc<dyn Disk>) {
    let sim = SimDisk::new();
    (sim.clone(), Arc::new(sim))
}

#[test]
fn the_store_file_is_written_as_its_page_shows() {
    run(async {
        let machine = Machine::new();
        let store = machine.open().await.unwrap();
        let bytes = machine.disk.read_all(Path::new("STORE")).unwrap();
        Page::open("store").check(
            "STORE",
            &bytes,
            &[
                (8, "magic \"TIDESTOR\""),
                (4, "format version 1"),
                (16, "store id"),
                (8, "created 2026-01-01T00:00:00Z"),
                (2, "2 shards"),
                (2, "engine 2, memory"),
                (4, "crc32 of all above, seeded"),
            ],
        );
        assert_eq!(tidestore::decode_store_file(&bytes).unwrap(), *store.file());
    });
}

#[test]
fn a_log_file_is_written_as_its_page_shows() {
    let (sim, disk) = sim();
    let dir = Path::new("log");
    sim.create_dir_all(dir).unwrap();
    let options = LogOptions {
        zero_ahead: 0,
        compress_from: 64,
        ..LogOptions::default()
    };
    let (mut log, _) = FileLog::open(disk, dir, STORE, 1, options).unwrap();
    log.append(b"hello, tide").unwrap();
    log.sync().unwrap();
    log.append("ebb and flow, ".repeat(8).as_bytes()).unwrap();
    let bytes = sim.read_all(&dir.join("00000001.log")).unwrap();
    Page::open("commit-log").check(
        "log",
        &bytes,
        &[
            (8, "magic \"TIDELOG1\""),
            (2, "version 1"),
            (2, "shard 1"),
            (4, "zero"),
            (8, "generation 1"),
            (16, "store id \"0123456789abcdef\""),
            (8, "first position 1"),
            (12, "zeros"),
            (4, "crc32 of the 60 bytes above, offset 0"),
            (4, "stored length 11"),
            (4, "raw length 11: not compressed"),
            (8, "position 1"),
            (8, "durable 0: nothing was synced before"),
            (4, "crc32 of the payload, offset 0x60"),
            (4, "crc32 of the 28 bytes above, offset 0x40"),
            (11, "\"hello, tide\""),
            (5, "padding"),
            (4, "stored length 31"),
            (4, "raw length 112: one zstd frame"),
            (8, "position 2"),
            (8, "durable 1"),
            (4, "crc32 of the payload"),
            (4, "crc32 of the 28 bytes above"),
            (4, "zstd: \"ebb and flow, \" eight times"),
        ],
    );
}

/// The batches in the newest log file of a shard.
fn batches(machine: &Machine, store: [u8; 16], shard: u64) -> Vec<Vec<u8>> {
    let path = PathBuf::from(format!("log/shard-{shard:02}/00000001.log"));
    let bytes = machine.disk.read_all(&path).unwrap();
    let seal = Seal {
        store,
        kind: u32::from_le_bytes(*b"LOG1"),
        generation: 1 ^ shard << 48,
    };
    let (mut at, mut found) = (64, Vec::new());
    while let Some((batch, len)) = decode_frame(&bytes[at..], &seal, at as u64) {
        found.push(batch);
        at += usize::try_from(len).unwrap();
    }
    found
}

#[test]
fn batches_are_written_as_their_page_shows() {
    run(async {
        let machine = Machine::new();
        let (store, app) = machine.open_app(Plan::Free).await;
        let kept = app.put_attachment(NewAttachment::new(user("ann"), "a.txt"), &b"hi"[..]);
        let kept = kept.await.unwrap();
        app.append(NewMessage {
            ext: "x".into(),
            client_id: "c1".into(),
            attachments: vec![kept.id],
            ..text("tea", "ann", "hello")
        })
        .await
        .unwrap();
        let all: Vec<_> = (0..2)
            .flat_map(|shard| batches(&machine, store.file().id, shard))
            .collect();
        let mut page = Page::open("log-batch");
        let of_message = all.iter().find(|batch| batch.get(9) == Some(&1)).unwrap();
        page.check(
            "message",
            of_message,
            &[
                (1, "version 2"),
                (8, "time of the batch"),
                (1, "tag 1: a message"),
                (4, "app 2"),
                (8, "id"),
                (8, "seq 1"),
                (1, "kind 0 (txt); bit 7: has attachments"),
                (1, "9 bytes of conversation"),
                (1, "3 of sender"),
                (1, "2 of client id"),
                (2, "5 of body"),
                (2, "1 of ext"),
                (9, "\"group:tea\""),
                (3, "\"ann\""),
                (2, "\"c1\""),
                (5, "\"hello\""),
                (1, "\"x\""),
                (1, "1 attachment"),
                (16, "its id"),
            ],
        );
        // Tag 2, then the length, then the variant: 0 is `App`.
        let of_app = all
            .iter()
            .find(|batch| batch.get(9) == Some(&2) && batch[14] == 0);
        page.check(
            "event",
            of_app.unwrap(),
            &[
                (1, "version 2"),
                (8, "time of the batch"),
                (1, "tag 2: an event"),
                (4, "length"),
                (1, "variant 0, App"),
                (1, "id 2"),
                (10, "key: length 9, \"acme#chat\""),
                (1, "plan 0, Free"),
                (1, "retention 3 days"),
                (1, "no caps of its own"),
                (9, "created: marker 253, then 8 bytes"),
                (1, "floor 0"),
                (1, "nothing to undo"),
            ],
        );
        for batch in &all {
            assert_eq!(tidestore::recode_batch(batch).as_ref(), Ok(batch));
        }
    });
}

const BUCKET: Bucket = Bucket {
    start: START,
    end: START + 6 * 3_600_000,
};

fn message(n: u64, sender: &str, body: &str) -> Message {
    Message {
        id: MessageId::new(START + n, 3, false, 0),
        seq: Seq(n),
        sender: sender.into(),
        kind: Kind::Text,
        body: Bytes::copy_from_slice(body.as_bytes()),
        ext: Bytes::new(),
        client_id: "".into(),
        attachments: Vec::new(),
        revision: Revision::Original,
    }
}

#[test]
fn a_segment_is_written_as_its_page_shows() {
    let (sim, disk) = sim();
    let path = Path::new("03-0000000005.seg");
    let head = SegmentHead {
        store: StoreId(STORE),
        shard: 3,
        generation: 5,
        owner: Owner::App(AppId(1)),
        bucket: BUCKET,
    };
    let mut writer = SegmentWriter::create(&disk, path, head, SegmentOptions::default()).unwrap();
    let [lunch, tea] = ["group:lunch", "group:tea"].map(|c| Conversation::parse(c).unwrap());
    writer
        .push(AppId(1), &lunch, &message(9, "bob", "soup?"))
        .unwrap();
    let with_file = Message {
        kind: Kind::Image,
        attachments: vec![AttachmentId::from_bits(
            0x0011_2233_4455_6677_8899_aabb_ccdd_eeff,
        )],
        ..message(1, "ann", "look")
    };
    writer.push(AppId(1), &tea, &with_file).unwrap();
    writer
        .push(AppId(1), &tea, &message(2, "bob", "nice"))
        .unwrap();
    let meta = writer.finish().unwrap();
    let bytes = sim.read_all(path).unwrap();
    let place = |at: u64| usize::try_from(at).unwrap();
    let (ids, index, footer) = (
        place(meta.ids_offset),
        place(meta.index_offset),
        place(meta.footer_offset),
    );
    let trailer = bytes.len() - 24;
    let mut page = Page::open("segment");
    page.check(
        "file",
        &bytes,
        &[
            (8, "magic \"TIDESEG1\""),
            (2, "version 2"),
            (2, "shard 3"),
            (4, "app 1"),
            (8, "generation 5"),
            (16, "store id"),
            (8, "bucket start"),
            (8, "bucket end"),
            (12, "zeros"),
            (4, "crc32 of the 68 bytes above, offset 0"),
            (4, "the block: raw length"),
            (4, "stored length"),
            (4, "crc32 of lengths and stored bytes, offset 0x48"),
            (ids - 84, "zstd frame, see `block`"),
            (12, "the id page: raw length, stored length, crc32"),
            (index - ids - 12, "zstd frame, see `ids`"),
            (12, "the index: raw length, stored length, crc32"),
            (footer - index - 12, "zstd frame, see `index`"),
            (12, "the footer: raw length, stored length, crc32"),
            (trailer - footer - 12, "zstd frame, see `footer`"),
            (8, "trailer: offset of the footer"),
            (4, "its length"),
            (4, "crc32 of the 12 bytes above"),
            (8, "magic again"),
        ],
    );
    let seal = Seal {
        store: STORE,
        kind: u32::from_le_bytes(*b"SEG1"),
        generation: 5 ^ 3 << 48,
    };
    let raw =
        |from: usize, to: usize| open_section(&bytes[from..to], &seal, from as u64, false).unwrap();
    page.check("block", &raw(72, ids), &BLOCK_FIELDS);
    page.check(
        "ids",
        &raw(ids, index),
        &[
            (1, "3 ids"),
            (3, "milliseconds from one to the next"),
            (3, "low bits"),
            (3, "block"),
        ],
    );
    page.check("index", &raw(index, footer), &INDEX_FIELDS);
    page.check("footer", &raw(footer, trailer), &FOOTER_FIELDS);
}

const BLOCK_FIELDS: [(usize, &str); 22] = [
    (3, "3 rows, 2 runs, 2 senders"),
    (1, "run: app 1"),
    (12, "length 11, \"group:lunch\""),
    (1, "1 row"),
    (1, "run: app 1"),
    (10, "length 9, \"group:tea\""),
    (1, "2 rows"),
    (4, "length 3, \"bob\""),
    (4, "length 3, \"ann\""),
    (3, "times: 9 from the bucket's start; 1 from it, 1 on"),
    (3, "low bits"),
    (3, "seq: 9; 1, then a step of 1"),
    (3, "senders: bob, ann, bob"),
    (3, "kinds: txt, img with attachments, txt"),
    (3, "lengths of bodies"),
    (3, "lengths of exts"),
    (3, "lengths of client ids"),
    (5, "\"soup?\""),
    (4, "\"look\""),
    (4, "\"nice\""),
    (1, "rows with attachments: 1 of them"),
    (16, "its id"),
];

const INDEX_FIELDS: [(usize, &str); 15] = [
    (1, "1 block"),
    (1, "stored length"),
    (1, "3 rows"),
    (1, "app 1"),
    (3, "smallest id, from the bucket's start"),
    (4, "largest id, from the smallest"),
    (2, "smallest seq 1, largest 8 further"),
    (1, "2 conversations"),
    (18, "hashes, each from the one before"),
    (4, "first blocks; last blocks from them"),
    (2, "messages of each"),
    (4, "smallest seqs; largest from them"),
    (1, "1 id page"),
    (1, "stored length"),
    (3, "first id, from the bucket's start"),
];

const FOOTER_FIELDS: [(usize, &str); 18] = [
    (1, "shard 3"),
    (1, "generation 5"),
    (2, "owner: variant 0, app 1"),
    (9, "bucket start: marker 253, 8 bytes"),
    (9, "bucket end"),
    (1, "where the id pages begin"),
    (1, "where the index begins"),
    (3, "where the footer begins"),
    (1, "file length: 0 in the footer"),
    (1, "1 block"),
    (1, "3 messages"),
    (1, "13 bytes of bodies and exts"),
    (1, "1 app:"),
    (1, "number 1"),
    (1, "3 messages"),
    (1, "13 bytes"),
    (9, "smallest id"),
    (9, "largest id"),
];

/// One app that keeps messages for seven days.
#[derive(Debug)]
struct OneApp;

impl Apps for OneApp {
    fn dir(&self, _: AppId) -> Option<PathBuf> {
        Some(PathBuf::from("apps/one"))
    }
    fn retention_days(&self, _: AppId) -> u32 {
        7
    }
    fn physical_floor(&self, _: AppId) -> u64 {
        0
    }
}

impl tidestore_blobs::Apps for OneApp {
    fn dir(&self, _: AppId) -> Option<PathBuf> {
        Some(PathBuf::from("apps/one"))
    }
    fn bucket(&self, _: AppId, _: u64) -> Span {
        Span {
            start: BUCKET.start,
            end: BUCKET.end,
        }
    }
    fn floor(&self, _: AppId) -> u64 {
        0
    }
    fn physical_floor(&self, _: AppId) -> u64 {
        0
    }
}

#[test]
fn a_receipt_run_is_written_as_its_page_shows() {
    let (sim, disk) = sim();
    let clock: Arc<dyn Clock> = Arc::new(SimClock::new(START));
    let view = MessageView::open(
        ViewParts {
            files: Arc::new(FileCache::new(Arc::clone(&disk), 8)),
            blocks: Arc::new(BlockCache::new(1 << 20)),
            disk,
            clock,
            apps: Arc::new(OneApp),
            redacted: Arc::default(),
            store: StoreId(STORE),
            shard: 3,
            options: SegmentOptions::default(),
        },
        Manifest {
            next_generation: 5,
            ..Manifest::default()
        },
    );
    let tea = Conversation::parse("group:tea").unwrap();
    let row = |n: u64, client_id: &str| Applied {
        app: AppId(1),
        conversation: tea.clone(),
        message: message(n, "ann", "hi"),
        receipt: Some(ReceiptKey::new(
            StoreId(STORE),
            AppId(1),
            &tea,
            "ann",
            client_id,
        )),
    };
    view.insert([row(1, "c1"), row(2, "c2")]);
    view.freeze(1);
    let frozen = view.oldest_frozen().unwrap();
    let written = view.write_frozen(&frozen, START).unwrap();
    let run = written.receipts.unwrap();
    let path = tidestore_messages::receipt_run_path(3, run.generation);
    let bytes = sim.read_all(&path).unwrap();
    assert_eq!((run.count, run.file_len), (2, bytes.len() as u64));
    Page::open("receipt-run").check(
        "run",
        &bytes,
        &[
            (8, "magic \"TIDERCP1\""),
            (2, "version 1"),
            (2, "shard 3"),
            (4, "crc32 of the header without these 4 bytes, offset 0"),
            (8, "generation 6"),
            (8, "2 receipts"),
            (4, "upper 32 bits of the first key"),
            (4, "of the second"),
            (4, "crc32 of these 8 bytes, offset 0x20"),
            (16, "key"),
            (8, "id"),
            (8, "seq"),
            (4, "crc32 of these 32 bytes, offset 0x2c"),
            (16, "key"),
            (8, "id"),
            (8, "seq"),
            (4, "crc32, offset 0x50"),
        ],
    );
}

#[test]
fn a_volume_is_written_as_its_page_shows() {
    let disk = SimDisk::new();
    let env = Env::sim(disk.clone(), SimClock::new(START), 7);
    let engine = tidestore_kv::open(EngineKind::Memory, &env.disk, Path::new("views")).unwrap();
    let files = Arc::new(FileCache::new(Arc::clone(&env.disk), 8));
    let site = Site::new(&env, STORE);
    let mut volumes = Volumes::open(site.clone(), files, 3, &*engine, &OneApp).unwrap();
    let to = Destination {
        app: AppId(1),
        app_dir: "apps/one".into(),
        bucket: tidestore_blobs::Apps::bucket(&OneApp, AppId(1), START),
        shared_max: 256 << 10,
    };
    let keeping = Keeping {
        retention: 7 * 86_400_000,
        grace: 86_400_000,
    };
    for content in [&b"soup at noon"[..], &b"tide ".repeat(20)] {
        let new = NewAttachment::new(user("ann"), "soup.txt");
        let mut intake = Intake::new(site.clone(), to.clone(), new).unwrap();
        intake.push(content).unwrap();
        let prepared = intake.finish(|_| 3).unwrap();
        let mut change = Change::new(&*engine, None, &mut volumes, START, keeping);
        change.put(prepared).unwrap();
        let (rows, after) = change.finish().unwrap();
        engine.write(batch_of(&rows)).unwrap();
        assert!(volumes.settle(after).failed.is_none());
    }
    let volume = disk.files().into_iter();
    let path = volume
        .into_iter()
        .find(|path| path.extension().is_some_and(|e| e == "vol"));
    let bytes = disk.read_all(&path.unwrap()).unwrap();
    Page::open("volume").check(
        "volume",
        &bytes,
        &[
            (8, "magic \"TIDEVOL1\""),
            (2, "version 1"),
            (2, "shard 3"),
            (4, "app 1"),
            (8, "number"),
            (16, "store id"),
            (8, "bucket start"),
            (8, "bucket end"),
            (4, "crc32 of the 56 bytes above, offset 0"),
            (4_036, "zeros to the end of the block"),
            (4, "record: magic \"BLB1\""),
            (4, "crc32 of the rest of the head, offset 0x1000"),
            (4, "content of 12 bytes"),
            (4, "12 as stored"),
            (4, "the first chunk lies 64 bytes behind the start"),
            (2, "1 chunk"),
            (2, "zeros"),
            (32, "BLAKE3 of the content"),
            (4, "12 bytes, stored as they are"),
            (4, "crc32 of them, offset 0x1040"),
            (12, "\"soup at noon\""),
            (4_020, "zeros to the end of the block"),
            (4, "the second record"),
            (4, "crc32 of the rest of the head, offset 0x2000"),
            (4, "content of 100 bytes"),
            (4, "as stored"),
            (4, "where the first chunk lies"),
            (2, "1 chunk"),
            (2, "zeros"),
            (32, "BLAKE3 of the content"),
            (4, "bit 31: a zstd frame; its length"),
            (4, "crc32 of it, offset 0x2040"),
            (19, "the zstd frame"),
            (4_013, "zeros"),
        ],
    );
}

#[test]
fn the_place_of_tables_is_written_as_its_page_shows() {
    let (sim, disk) = sim();
    let dir = Path::new("views/shard-00");
    let tables = tidestore_kv::open(EngineKind::Memory, &disk, dir).unwrap();
    let mut rows = Batch::new();
    rows.put(Table(0), "applied", 42_u64.to_le_bytes());
    tables.write(rows).unwrap();
    tables.flush().unwrap();
    drop(tables);
    tidestore_kv::rebuild(&disk, dir, EngineKind::Redb, &mut |_| {}).unwrap();
    let bytes = sim.read_all(&dir.join("CURRENT")).unwrap();
    let mut page = Page::open("tables-place");
    page.check(
        "CURRENT",
        &bytes,
        &[
            (2, "version \"1\", a blank"),
            (11, "\"redb-000001\""),
            (1, "a blank"),
            (8, "crc32 of the 13 bytes before the blank, in hexadecimal"),
            (1, "end of the line"),
        ],
    );
    // sled needs a real directory.
    let real = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(tidestore::disk::RealDisk::open(real.path()).unwrap());
    let sled = SledEngine::open(&disk, Path::new("t")).unwrap();
    for number in 0..3_u64 {
        let mut rows = Batch::new();
        rows.put(Table(0), "applied", number.to_le_bytes());
        sled.write(rows).unwrap();
        sled.flush().unwrap();
    }
    drop(sled);
    let bytes = tidestore::disk::read_small(&*disk, Path::new("t/flushed"), 100).unwrap();
    page.check(
        "flushed",
        &bytes,
        &[
            (8, "magic \"TIDEKVSF\""),
            (1, "version 1"),
            (7, "zero"),
            (8, "number of the last flush"),
            (4, "crc32 of the 24 bytes above, not seeded"),
        ],
    );
}

#[test]
fn a_snapshot_is_written_as_its_page_shows() {
    let (sim, disk) = sim();
    let tables = tidestore_kv::MemoryEngine::open(&disk, Path::new("t")).unwrap();
    let mut rows = Batch::new();
    rows.put(Table(1), "tea", "owner");
    rows.put(Table(0), "applied", 42_u64.to_le_bytes());
    tables.write(rows).unwrap();
    tables.flush().unwrap();
    let bytes = sim.read_all(Path::new("t/snapshot")).unwrap();
    Page::open("memory-snapshot").check(
        "snapshot",
        &bytes,
        &[
            (8, "magic \"TIDEKVMS\""),
            (1, "version 1"),
            (7, "zero"),
            (8, "2 rows"),
            (8, "length of the body"),
            (4, "crc32 of the body"),
            (4, "crc32 of the 36 bytes above"),
            (1, "table 0"),
            (2, "key of 7 bytes"),
            (4, "value of 8 bytes"),
            (7, "\"applied\""),
            (8, "42"),
            (1, "table 1"),
            (2, "key of 3 bytes"),
            (4, "value of 5 bytes"),
            (3, "\"tea\""),
            (5, "\"owner\""),
        ],
    );
}

/// A store with everything in it, in simulation.
async fn world() -> (SimDisk, Store) {
    let (disk, clock) = (SimDisk::new(), SimClock::new(START));
    let env = Env::sim(disk.clone(), clock.clone(), 1);
    let store = Store::open_env(env, options(EngineKind::Memory))
        .await
        .unwrap();
    fill(&store, &clock).await;
    leave_a_tail(&store, &clock).await;
    assert_eq!(clock.wall(), END);
    (disk, store)
}

fn hex(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "-".to_owned();
    }
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// The first row of each table, over both shards; `None` of those that depend on when threads ran.
fn first_rows(disk: &SimDisk) -> Vec<(u8, Vec<u8>, Vec<u8>)> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let mut rows = Vec::new();
    for table in 1..76 {
        for shard in 0..2 {
            let views = PathBuf::from(format!("views/shard-{shard:02}"));
            let tables = tidestore_kv::open(EngineKind::Memory, &disk, &views).unwrap();
            let found = tidestore_kv::page_of(&*tables, Table(table), b"", None, false, 1);
            rows.extend(
                found
                    .unwrap()
                    .into_iter()
                    .map(|(key, value)| (table, key, value)),
            );
            if rows.last().is_some_and(|(last, ..)| *last == table) {
                break;
            }
        }
    }
    rows
}

#[test]
fn rows_are_written_as_the_page_of_tables_shows() {
    run(async {
        let (disk, store) = world().await;
        store.close().await.unwrap();
        drop(store);
        let mut text = String::new();
        // What was noted of the other shards' logs depends on when the threads got to it.
        for (table, key, value) in first_rows(&disk).iter().filter(|(table, ..)| *table != 12) {
            writeln!(text, "{table:2} {} {}", hex(key), hex(value)).unwrap();
        }
        let is_right = |block: &str| block == text;
        Page::open("tables").check_text("hex rows", &text, is_right);
    });
}

#[test]
fn a_history_file_is_written_as_its_page_shows() {
    use std::io::Read;
    run(async {
        let machine = Machine::new();
        let store = machine.open().await.unwrap();
        let app = store
            .create_app(&key("acme#chat"), Terms::of(Plan::Pro))
            .await
            .unwrap();
        let message = NewMessage {
            ext: "{\"a\":1}".into(),
            ..text("tea", "ann", "soup at noon?")
        };
        app.append(message).await.unwrap();
        machine.pass(2 * 3_600_000);
        let mut file = app.history_file(START).unwrap();
        let mut gzip = Vec::new();
        while let Some(piece) = file.next().await.unwrap() {
            gzip.extend_from_slice(&piece);
        }
        let mut line = String::new();
        let mut decoder = flate2::read::GzDecoder::new(&gzip[..]);
        decoder.read_to_string(&mut line).unwrap();
        Page::open("history-file").check_text("json line", &line, |block| block == line);
    });
}

/// The index names every page, and the versions it lists stand in the examples.
#[test]
fn the_index_names_every_page_and_its_version() {
    let index = Page::open("README");
    for name in [
        "store",
        "commit-log",
        "log-batch",
        "segment",
        "receipt-run",
        "volume",
        "tables",
        "tables-place",
        "memory-snapshot",
        "history-file",
    ] {
        assert!(
            index.text().contains(&format!("({name}.md)")),
            "{name} is not in the index"
        );
        let page = Page::open(name);
        for heading in [
            "## Layout",
            "## Checksums",
            "## Worked example",
            "## After a crash",
            "## Versions",
        ] {
            assert!(page.text().contains(heading), "{name} has no {heading:?}");
        }
    }
    let versions = [
        ("STORE", u64::from(tidestore::FORMAT_VERSION)),
        ("STORE", Page::open("store").bytes("STORE")[8].into()),
        (
            "commit log",
            Page::open("commit-log").bytes("log")[8].into(),
        ),
        (
            "log batch",
            Page::open("log-batch").bytes("message")[0].into(),
        ),
        ("segment", Page::open("segment").bytes("file")[8].into()),
        (
            "receipt run",
            Page::open("receipt-run").bytes("run")[8].into(),
        ),
        ("volume", Page::open("volume").bytes("volume")[8].into()),
        (
            "memory snapshot",
            Page::open("memory-snapshot").bytes("snapshot")[8].into(),
        ),
    ];
    for (file, version) in versions {
        let row = index
            .text()
            .lines()
            .find(|line| line.starts_with(&format!("| {file} |")));
        let row = row.unwrap_or_else(|| panic!("no row {file}"));
        let written = row.split('|').nth(2).unwrap().trim();
        assert_eq!(written, version.to_string(), "{file}");
    }
}

/// Writes the seeds of the fuzz targets: what the real writers made for the pages, in the form that each target takes.
#[test]
#[ignore = "writes files into the sources"]
#[expect(clippy::disallowed_methods, reason = "seeds are files of the sources")]
fn write_fuzz_seeds() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds");
    let put = |target: &str, name: &str, parts: &[&[u8]]| {
        let dir = seeds.join(target);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join(name), parts.concat()).unwrap();
    };
    let batch = Page::open("log-batch");
    put("batch", "message", &[&batch.bytes("message")]);
    put("batch", "event", &[&batch.bytes("event")]);
    let log = Page::open("commit-log").bytes("log");
    // Offset, raw length, zstd frame: the second frame of the example begins at 0x70.
    put(
        "frames",
        "compressed",
        &[&0x70_u64.to_le_bytes(), &log[0x74..0x78], &log[0x90..]],
    );
    let segment = Page::open("segment");
    let file = segment.bytes("file");
    let stored = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    let block = &file[84..84 + stored(76) as usize];
    put(
        "segment_parts",
        "index",
        &[&[0, 100, 0, 50, 0], &segment.bytes("index")],
    );
    put("segment_parts", "ids", &[&[1], &segment.bytes("ids")]);
    put("segment_parts", "section", &[&[2], &file[72..76], block]);
    put("segment_parts", "block", &[&[3], &file[72..76], block]);
    let run = Page::open("receipt-run").bytes("run");
    put("receipts", "file", &[&[2 << 1], &run]);
    put(
        "receipts",
        "entries",
        &[&[1], &run[44..76], &run[80..112], &[40, 1]],
    );
    put("store_file", "v1", &[&Page::open("store").bytes("STORE")]);
    let place = Page::open("tables-place");
    put("current", "redb", &[&place.bytes("CURRENT")]);
    put("current", "memory", &[b"1 memory-000001"]);
    put("flush_mark", "v1", &[&place.bytes("flushed")]);
    let snapshot = Page::open("memory-snapshot").bytes("snapshot");
    put("snapshot", "file", &[&snapshot]);
    put("snapshot", "body", &[&[2], &snapshot[40..]]);
    for row in Page::open("tables").block("hex rows").lines() {
        let [table, key, value] = row.split_whitespace().collect::<Vec<_>>()[..] else {
            panic!("{row:?} is no row");
        };
        let bytes = |hex: &str| match hex {
            "-" => Vec::new(),
            hex => (0..hex.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
                .collect(),
        };
        let (key, number) = (bytes(key), table.parse().unwrap());
        let key_len = u8::try_from(key.len()).unwrap();
        put("rows", table, &[&[number, key_len], &key, &bytes(value)]);
    }
    let id = (START << 20).to_le_bytes();
    put("cursors", "inbox", &[&[0, 1], &id, &id]);
    put(
        "cursors",
        "conversations",
        &[&[1, 1], &id, b"direct:ann,bob"],
    );
    put("cursors", "no-conversation", &[&[1, 1], &id, b"nothing"]);
    put("cursors", "reactors", &[&[2, 1], &1_u64.to_be_bytes()]);
    put("cursors", "users", &[&[3, 1], &1_u64.to_be_bytes()]);
    put("cursors", "groups", &[&[4, 3], &1_u64.to_be_bytes()]);
    put("cursors", "members", &[&[5, 1], b"bob"]);
    put("cursors", "contacts", &[&[6, 1], b"bob"]);
    put("cursors", "joined", &[&[7, 3], &1_u64.to_be_bytes()]);
    put("cursors", "text", &[&[0, 0], b"AQAAAAAxMjM0NTY3OA"]);
    for (name, text) in [
        ("user", "Ann.B-1_2"),
        ("app", "acme#chat"),
        ("direct", "direct:ann,bob"),
        ("group", "group:tea"),
        ("aside", "aside:direct:ann,bob"),
        ("attachment", "019b76da-a87b-8a7f-bfff-ffffa8b3184b"),
        ("file-name", "acme%23chat"),
        ("kind", "custom"),
    ] {
        put("ids", name, &[text.as_bytes()]);
    }
}
