//! Length bombs and zstd bombs, one for each decoder: a few bytes that claim to be a great many. Each is refused, and what
//! was allocated meanwhile is counted. Checksums are right, so nothing but the decoder's own care stands in the way.
//!
//! A binary of its own, because it counts the allocations of its whole process. Memory that zstd takes by itself is not
//! counted: it unpacks into a buffer of ours, for which it needs no window.

use std::alloc::System;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tidestore::disk::{Disk, Seal, SimDisk, checksum};
use tidestore::plan::{AppKey, AttachmentId, UserId};
use tidestore::{Conversation, MessageId};
use tidestore_blobs::{Chunk, RecordHead, Span, VolumeHead};
use tidestore_kv::{MemoryEngine, Table};
use tidestore_log::{FileLog, Log, LogOptions, decode_frame};
use tidestore_messages::{
    AppId, Block, ReceiptRunMeta, StoreId, open_section, receipt_run_path, recode_id_page,
    recode_index, verify_receipts,
};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Tests of this file must not count each other's allocations.
static ALONE: Mutex<()> = Mutex::new(());

const STORE: [u8; 16] = [7; 16];
/// What refusing a bomb may allocate: errors, file handles, a buffer or two.
const ENOUGH: usize = 512 << 10;

/// Runs a decoder that has to refuse, and counts what it allocates.
fn refused<T>(name: &str, decode: impl FnOnce() -> Option<T>) {
    let region = Region::new(ALLOCATOR);
    let decoded = decode().is_some();
    let allocated = region.change().bytes_allocated;
    println!("{name}: {allocated} bytes allocated");
    assert!(!decoded, "{name} was taken for good");
    assert!(
        allocated <= ENOUGH,
        "{name}: {allocated} bytes were allocated"
    );
}

fn alone() -> MutexGuard<'static, ()> {
    ALONE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// 128 MiB of zeros as a zstd frame of about 12 KiB, which says how long it is or does not.
fn bomb(says_so: bool) -> Vec<u8> {
    let zeros = vec![0; 1 << 20];
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    if says_so {
        encoder.set_pledged_src_size(Some(128 << 20)).unwrap();
    }
    (0..128).for_each(|_| encoder.write_all(&zeros).unwrap());
    encoder.finish().unwrap()
}

fn seal(kind: [u8; 4], generation: u64) -> Seal {
    let kind = u32::from_le_bytes(kind);
    Seal {
        store: STORE,
        kind,
        generation,
    }
}

fn log_frame(stored_len: u32, raw_len: u32, payload: &[u8], at: u64) -> Vec<u8> {
    let seal = seal(*b"LOG1", 1);
    let mut frame = [stored_len.to_le_bytes(), raw_len.to_le_bytes()].concat();
    frame.extend_from_slice(&1_u64.to_le_bytes());
    frame.extend_from_slice(&0_u64.to_le_bytes());
    frame.extend_from_slice(&checksum(&seal, at + 32, &[payload]).to_le_bytes());
    frame.extend_from_slice(&checksum(&seal, at, &[&frame]).to_le_bytes());
    frame.extend_from_slice(payload);
    frame
}

#[test]
fn a_frame_of_the_log_allocates_no_more_than_it_can_hold() {
    let _alone = alone();
    let at = 64;
    let read = |frame: &[u8]| decode_frame(frame, &seal(*b"LOG1", 1), at);
    let bombs = [bomb(true), bomb(false)];
    let len = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap();
    for (name, frame) in [
        (
            "frame, stored length u32::MAX",
            log_frame(u32::MAX, u32::MAX, b"x", at),
        ),
        (
            "frame, raw length u32::MAX",
            log_frame(1, u32::MAX, b"x", at),
        ),
        (
            "frame, raw length above the bound",
            log_frame(1, (64 << 20) + 1, b"x", at),
        ),
        (
            "frame, bomb that says so",
            log_frame(len(&bombs[0]), 65_536, &bombs[0], at),
        ),
        (
            "frame, silent bomb",
            log_frame(len(&bombs[1]), 65_536, &bombs[1], at),
        ),
    ] {
        refused(name, || read(&frame));
    }
}

#[test]
fn a_log_that_ends_in_a_bomb_is_opened_without_it() {
    let _alone = alone();
    let dir = Path::new("log");
    let options = LogOptions {
        file_bytes: 4_096,
        zero_ahead: 4_096,
        ..LogOptions::default()
    };
    let (lie, most) = (60 << 20, 64 << 20);
    // A stored length beyond the file is not read. A raw length may be as large as a batch, and that is all it costs.
    for (frame, enough) in [
        (log_frame(lie, lie, b"x", 64), ENOUGH),
        (log_frame(1, most, b"x", 64), ENOUGH + most as usize),
    ] {
        let sim = SimDisk::new();
        let disk: Arc<dyn Disk> = Arc::new(sim.clone());
        sim.create_dir_all(dir).unwrap();
        let open = || FileLog::open(Arc::clone(&disk), dir, STORE, 0, options).unwrap();
        let (mut log, _) = open();
        log.append(b"one").unwrap();
        drop(log);
        sim.overwrite(&dir.join("00000001.log"), 64, &frame)
            .unwrap();
        let region = Region::new(ALLOCATOR);
        let (mut log, _) = open();
        let allocated = region.change().bytes_allocated;
        println!("a log that ends in a bomb: {allocated} bytes allocated");
        assert!(allocated <= enough, "{allocated} bytes were allocated");
        assert_eq!(log.append(b"goes on").unwrap().0, 1);
    }
}

#[test]
fn a_batch_allocates_no_more_than_it_can_hold() {
    let _alone = alone();
    let head = [&[2][..], &[0; 8]].concat();
    let event = |bytes: &[u8]| {
        let len = u32::try_from(bytes.len()).unwrap().to_le_bytes();
        [&head[..], &[2], &len, bytes].concat()
    };
    let many = [0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    let some = [0xfc, 0x00, 0x00, 0x08, 0x00];
    for (name, batch) in [
        (
            "event of u32::MAX bytes",
            [&head[..], &[2, 0xff, 0xff, 0xff, 0xff]].concat(),
        ),
        (
            "key of an app of u64::MAX bytes",
            event(&[&[0, 1][..], &many].concat()),
        ),
        (
            "key of an app of half a million bytes",
            event(&[&[0, 1][..], &some].concat()),
        ),
        ("u64::MAX floors", event(&[&[3][..], &many].concat())),
        ("half a million floors", event(&[&[3][..], &some].concat())),
        ("half a million rows", event(&[&[6][..], &some].concat())),
        ("u64::MAX rows", event(&[&[6][..], &many].concat())),
        (
            "half a million segments",
            event(&[&[7][..], &some].concat()),
        ),
        (
            "message with longest texts",
            [&head[..], &[1], &[0; 21], &[0xff; 7]].concat(),
        ),
    ] {
        refused(name, || tidestore::recode_batch(&batch).ok());
    }
}

fn section(raw_len: u32, stored_len: u32, stored: &[u8]) -> Vec<u8> {
    let lens = [raw_len.to_le_bytes(), stored_len.to_le_bytes()].concat();
    let sum = checksum(&seal(*b"SEG1", 5), 72, &[&lens, stored]);
    [&lens[..], &sum.to_le_bytes(), stored].concat()
}

#[test]
fn a_section_of_a_segment_allocates_no_more_than_it_can_hold() {
    let _alone = alone();
    let bombs = [bomb(true), bomb(false)];
    let len = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap();
    for (name, section, is_block) in [
        (
            "section, raw length u32::MAX",
            section(u32::MAX, 1, b"x"),
            false,
        ),
        (
            "section, stored length u32::MAX",
            section(1, u32::MAX, b"x"),
            false,
        ),
        (
            "section, raw length above the bound",
            section((64 << 20) + 1, 1, b"x"),
            false,
        ),
        (
            "block, raw length above the bound",
            section((8 << 20) + 1, 1, b"x"),
            true,
        ),
        (
            "section, bomb that says so",
            section(65_536, len(&bombs[0]), &bombs[0]),
            false,
        ),
        (
            "block, silent bomb",
            section(65_536, len(&bombs[1]), &bombs[1]),
            true,
        ),
    ] {
        refused(name, || {
            open_section(&section, &seal(*b"SEG1", 5), 72, is_block).ok()
        });
    }
}

/// A varint.
fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
    bytes
}

/// An index of 64 MiB of zeros is a few kilobytes in its file. Each of its counts was below the bytes that follow it, and
/// so it took over a gigabyte to find that the file has no such parts.
#[test]
fn a_count_in_an_index_is_bounded_by_what_the_file_has_room_for() {
    let _alone = alone();
    let mut blocks = varint(60 << 20);
    blocks.resize(64 << 20, 0);
    refused("index, 60 million blocks", || {
        recode_index(&blocks, 0, 10_000, 20_000).ok()
    });
    // One block of one row, and then as many conversations as bytes.
    let mut locator = [vec![1, 100, 1, 1, 0, 0, 1, 0], varint(60 << 20)].concat();
    locator.resize(64 << 20, 0);
    refused("index, 60 million conversations", || {
        recode_index(&locator, 0, 172, 20_000).ok()
    });
    let mut rows = [
        vec![1, 100],
        varint(u64::from(u32::MAX)),
        vec![1, 0, 0, 1, 0],
    ]
    .concat();
    rows.extend(varint(60 << 20));
    rows.resize(64 << 20, 0);
    refused("index, a block of u32::MAX rows", || {
        recode_index(&rows, 0, 172, 20_000).ok()
    });
    let mut pages = [vec![1, 100, 1, 1, 0, 0, 1, 0, 0], varint(60 << 20)].concat();
    pages.resize(64 << 20, 0);
    refused("index, 60 million id pages", || {
        recode_index(&pages, 0, 172, 20_000).ok()
    });
    let page = varint(u64::MAX);
    refused("id page, u64::MAX ids", || {
        recode_id_page(&page, MessageId(0), 3).ok()
    });
    let block = [varint(u64::MAX), varint(1), varint(1)].concat();
    refused("block, u64::MAX rows", || Block::decode(&block, 0, 3).ok());
}

#[test]
fn a_receipt_run_allocates_no_more_than_its_file_has() {
    let _alone = alone();
    let sim = SimDisk::new();
    let disk: Arc<dyn Disk> = Arc::new(sim.clone());
    for count in [1 << 40, u64::MAX / 40, u64::MAX] {
        let seal = seal(*b"RCP1", 5);
        let head = [&b"TIDERCP1"[..], &[1, 0, 3, 0]].concat();
        let tail = [5_u64.to_le_bytes(), count.to_le_bytes()].concat();
        let sum = checksum(&seal, 0, &[&head, &tail]).to_le_bytes();
        let file = [&head[..], &sum, &tail, &[0; 100]].concat();
        sim.plant(&receipt_run_path(3, 5), &file).unwrap();
        let meta = ReceiptRunMeta {
            generation: 5,
            count,
            written: 0,
            file_len: file.len() as u64,
        };
        let name = format!("run of {count} receipts");
        refused(&name, || {
            verify_receipts(&disk, StoreId(STORE), 3, &meta).ok()
        });
        sim.remove_file(&receipt_run_path(3, 5)).unwrap();
    }
}

#[test]
fn a_record_of_a_volume_allocates_no_more_than_it_can_hold() {
    let _alone = alone();
    let seal = seal(*b"VOL1", 5);
    for (name, bomb) in [
        ("chunk, bomb that says so", bomb(true)),
        ("chunk, silent bomb", bomb(false)),
    ] {
        let head = VolumeHead {
            store: STORE,
            app: AppId(1),
            shard: 3,
            number: 5,
            bucket: Span { start: 0, end: 1 },
        };
        let record = RecordHead {
            length: 65_536,
            data_at: 64,
            hash: [9; 32],
            chunks: vec![Chunk {
                stored: u32::try_from(bomb.len()).unwrap(),
                compressed: true,
                checksum: checksum(&seal, 4_096 + 64, &[&bomb]),
            }],
        };
        let mut file = [head.encode(), record.encode(&seal, 4_096), bomb].concat();
        file.resize(file.len().next_multiple_of(4_096), 0);
        let sim = SimDisk::new();
        sim.plant(Path::new("v.vol"), &file).unwrap();
        let disk: Arc<dyn Disk> = Arc::new(sim);
        refused(name, || {
            let report = tidestore_blobs::inspect(&disk, Path::new("v.vol")).unwrap();
            report.problems.is_empty().then_some(())
        });
    }
    // The head of a record that claims the largest number of chunks.
    let mut head = b"BLB1\0\0\0\0".to_vec();
    head.extend_from_slice(&[0xff; 14]);
    head.resize(56, 0);
    let sum = checksum(&seal, 0, &[&head[8..]]).to_le_bytes();
    head[4..8].copy_from_slice(&sum);
    refused("record, most chunks", || {
        RecordHead::decode(&head, &seal, 0).ok()
    });
}

#[test]
fn a_snapshot_allocates_no_more_than_its_file_has() {
    let _alone = alone();
    let file = |body_len: u64, body: &[u8]| {
        let mut file = b"TIDEKVMS\x01\0\0\0\0\0\0\0".to_vec();
        file.extend_from_slice(&1_u64.to_le_bytes());
        file.extend_from_slice(&body_len.to_le_bytes());
        file.extend_from_slice(&crc32fast::hash(body).to_le_bytes());
        file.extend_from_slice(&crc32fast::hash(&file).to_le_bytes());
        file.extend_from_slice(body);
        file
    };
    let entry = [1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, b'k'];
    for (name, file) in [
        ("snapshot, a body of u64::MAX bytes", file(u64::MAX, &entry)),
        ("snapshot, a body of a tebibyte", file(1 << 40, &entry)),
        ("snapshot, a value of u32::MAX bytes", file(8, &entry)),
        (
            "snapshot, a value of 16 MiB",
            file(8, &[1, 1, 0, 0, 0, 0, 1, b'k']),
        ),
    ] {
        let sim = SimDisk::new();
        sim.plant(Path::new("t/snapshot"), &file).unwrap();
        let disk: Arc<dyn Disk> = Arc::new(sim);
        refused(name, || MemoryEngine::open(&disk, Path::new("t")).ok());
    }
}

/// bincode reserves what a list claims before it looks for its elements. Ten bytes took 32 MiB.
#[test]
fn a_row_allocates_no_more_than_its_bytes_can_hold() {
    let _alone = alone();
    let claims: [&[u8]; 4] = [
        &[0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[0xfc, 0xff, 0xff, 0xff, 0xff],
        &[0xfc, 0x00, 0x00, 0x10, 0x00],
        &[0xfb, 0xff, 0xff],
    ];
    for table in 0..=u8::MAX {
        for zeros in 0..48 {
            for claim in claims {
                let value = [&vec![0; zeros][..], claim].concat();
                let region = Region::new(ALLOCATOR);
                drop(tidestore::recode_row(Table(table), b"", &value));
                let allocated = region.change().bytes_allocated;
                assert!(
                    allocated <= 64 << 10,
                    "table {table}, {value:x?}: {allocated} bytes"
                );
            }
        }
    }
}

#[test]
fn texts_of_any_length_from_outside_are_refused_without_a_copy() {
    let _alone = alone();
    let long = "a".repeat(16 << 20);
    refused("cursor", || {
        tidestore::decode_cursor(&["inbox"], &long).ok()
    });
    refused("user id", || UserId::parse(&long).ok());
    refused("app key", || {
        AppKey::parse(&format!("{}#b", &long[..100_000])).ok()
    });
    refused("attachment id", || AttachmentId::parse(&long).ok());
    refused("conversation", || Conversation::parse(&long).ok());
    refused("conversation with a long id", || {
        Conversation::parse(&["group:", &long[..100_000]].concat()).ok()
    });
}
