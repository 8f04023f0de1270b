use std::collections::{BTreeMap, BTreeSet};

use compact_str::CompactString;
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use tidestore_disk::{Disk, SimDisk, Survival};
use tidestore_plan::AttachmentId;

use super::*;
use crate::types::{Kind, Seq};

const STORE: StoreId = StoreId([7; 16]);
const SHARD: u16 = 3;
const BUCKET: Bucket = Bucket {
    start: 1_000_000,
    end: 2_000_000,
};

type Row = (AppId, Conversation, Message);

fn head(generation: u64, owner: Owner) -> SegmentHead {
    SegmentHead {
        store: STORE,
        shard: SHARD,
        generation,
        owner,
        bucket: BUCKET,
    }
}

fn message(id: MessageId, seq: u64, sender: &str, body: &[u8]) -> Message {
    Message {
        id,
        seq: Seq(seq),
        sender: sender.into(),
        kind: Kind::Text,
        body: Bytes::copy_from_slice(body),
        ext: Bytes::new(),
        client_id: CompactString::default(),
        attachments: Vec::new(),
        revision: crate::types::Revision::Original,
    }
}

fn write(disk: &Arc<dyn Disk>, path: &Path, rows: &[Row], block_bytes: usize) -> SegmentMeta {
    let options = SegmentOptions {
        block_bytes,
        level: 3,
    };
    let mut writer = SegmentWriter::create(disk, path, head(5, Owner::Shared), options).unwrap();
    for (app, conversation, message) in rows {
        writer.push(*app, conversation, message).unwrap();
    }
    writer.finish().unwrap()
}

fn open(disk: &Arc<dyn Disk>, path: &Path, meta: &SegmentMeta) -> Segment {
    let files = Arc::new(FileCache::new(Arc::clone(disk), 4));
    Segment::open(files, Arc::new(BlockCache::new(1 << 20)), path, STORE, meta)
}

/// Rows of many shapes: ties in time, both lanes, seqs out of order, all kinds, empty and long texts.
fn rows() -> impl Strategy<Value = Vec<Row>> {
    let text = prop_oneof![
        "[a-z ]{0,40}",
        "[\u{4e00}-\u{4e20}]{0,30}",
        Just("x".repeat(3_072))
    ];
    let attachments = prop_oneof![
        3 => Just(Vec::new()),
        1 => vec(any::<u128>().prop_map(AttachmentId::from_bits), 1..=Message::ATTACHMENTS_MAX),
    ];
    let texts = (text, "[a-z]{0,5}", "[a-z0-9-]{0,8}");
    let content = (texts, 0..8_u8, 1..10_000_u64, attachments);
    let ids = btree_set((1_000_000..1_000_400_u64, any::<bool>(), 0..3_u64), 0..60);
    let run = (0..3_u32, 0..4_u8, ids);
    (vec(run, 0..6), vec(content, 360)).prop_map(|(runs, contents)| {
        let mut contents = contents.into_iter().cycle();
        let mut sorted: BTreeMap<(AppId, Conversation), BTreeSet<MessageId>> = BTreeMap::new();
        for (app, name, ids) in runs {
            let conversation = Conversation::from_stored(&format!("group:g{name}")).unwrap();
            let ids = ids
                .into_iter()
                .map(|(t, lane, n)| MessageId::new(t, SHARD, lane, n));
            sorted
                .entry((AppId(app), conversation))
                .or_default()
                .extend(ids);
        }
        let mut rows = Vec::new();
        // Ids are unique in an app, over all of its conversations; two apps may have the same.
        let mut used = BTreeSet::new();
        for ((app, conversation), ids) in sorted {
            for id in ids
                .into_iter()
                .filter(|id| used.insert((app, *id)))
                .collect::<Vec<_>>()
            {
                let ((body, ext, client), kind, seq, attachments) = contents.next().unwrap();
                let message = Message {
                    kind: Kind::from_number(kind).unwrap(),
                    ext: Bytes::from(ext),
                    client_id: client.into(),
                    attachments,
                    ..message(id, seq, &format!("user{}", seq % 7), body.as_bytes())
                };
                rows.push((app, conversation.clone(), message));
            }
        }
        rows
    })
}

fn sim() -> (SimDisk, Arc<dyn Disk>) {
    let sim = SimDisk::new();
    (sim.clone(), Arc::new(sim))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_was_written_is_read_every_way(rows in rows(), block_bytes in 1..6_000_usize) {
        let (_, disk) = sim();
        let path = Path::new("03-5.seg");
        let meta = write(&disk, path, &rows, block_bytes);
        let segment = open(&disk, path, &meta);
        let report = segment.verify(&disk).unwrap();
        prop_assert_eq!(report.meta.messages, rows.len() as u64);
        prop_assert_eq!(&inspect(&disk, path).unwrap(), &report);
        let scanned: Vec<Row> = segment.scan().unwrap().collect::<Result<_>>().unwrap();
        prop_assert_eq!(&scanned, &rows);
        for (app, conversation, message) in &rows {
            let found = segment.find(*app, message.id, Io::Allowed).unwrap().ready().unwrap();
            prop_assert_eq!(found, Some((*app, conversation.clone(), message.clone())));
            let run = segment.run(*app, conversation, Io::Allowed).unwrap().ready().unwrap();
            let same = rows.iter().filter(|row| row.0 == *app && row.1 == *conversation);
            prop_assert_eq!(run.unwrap().messages, same.count() as u64);
        }
        let absent = Conversation::from_stored("room:nowhere").unwrap();
        let run = segment.run(AppId(0), &absent, Io::Allowed).unwrap();
        prop_assert_eq!(run, Lookup::Ready(None));
        let absent = MessageId::new(1_500_000, SHARD, false, 9);
        let found = segment.find(AppId(0), absent, Io::Allowed).unwrap();
        prop_assert_eq!(found, Lookup::Ready(None));
    }

    #[test]
    fn counts_and_largest_ids_are_those_of_the_rows(
        rows in rows(),
        app in 0..3_u32,
        low in 999_990..1_000_410_u64,
        width in 0..50_u64,
    ) {
        let (_, disk) = sim();
        let path = Path::new("s.seg");
        let segment = open(&disk, path, &write(&disk, path, &rows, 900));
        let app = AppId(app);
        let (low, high) = (MessageId::first_at(low), MessageId::first_at(low + width));
        let of_app = || rows.iter().filter(move |row| row.0 == app).map(|row| &row.2);
        let largest = of_app().map(|m| m.id).filter(|id| *id >= low && *id <= high).max();
        prop_assert_eq!(segment.max_id_between(app, low, high).unwrap(), largest);
        let from = of_app().filter(|m| m.id >= low);
        let expected = from.fold((0, 0), |(n, bytes), m| (n + 1, bytes + m.content_len()));
        prop_assert_eq!(segment.count(app, low).unwrap(), expected);
    }
}

/// A few rows in two blocks, small enough to damage every bit.
fn small() -> Vec<Row> {
    let mut rows = Vec::new();
    for (app, name) in [(1, "group:a"), (1, "group:b"), (2, "direct:x,y")] {
        for n in 0..4 {
            let conversation = Conversation::from_stored(name).unwrap();
            let id = MessageId::new(1_000_000 + n * 10, SHARD, n % 2 == 1, n);
            rows.push((
                AppId(app),
                conversation,
                message(id, n + 1, "x", b"hello there, you"),
            ));
        }
    }
    rows
}

/// Everything a reader can ask: the rows, or the first error.
fn read_all(segment: &Segment) -> Result<Vec<Row>> {
    let rows: Vec<Row> = segment.scan()?.collect::<Result<_>>()?;
    for (app, conversation, message) in &rows {
        segment.find(*app, message.id, Io::Allowed)?;
        segment.run(*app, conversation, Io::Allowed)?;
    }
    Ok(rows)
}

#[test]
fn every_flipped_bit_gives_the_right_rows_or_an_error_that_names_the_file() {
    let (sim, disk) = sim();
    let path = Path::new("s.seg");
    let mut rows = small();
    rows[1].2.attachments = vec![AttachmentId::from_bits(7), AttachmentId::from_bits(8)];
    let meta = write(&disk, path, &rows, 120);
    for bit in 0..meta.file_len * 8 {
        let damaged = sim.crash(0, Survival::ALL);
        damaged
            .flip_bit(path, bit / 8, u8::try_from(bit % 8).unwrap())
            .unwrap();
        let disk: Arc<dyn Disk> = Arc::new(damaged);
        let segment = open(&disk, path, &meta);
        match read_all(&segment) {
            Ok(read) => assert_eq!(read, rows, "bit {bit}"),
            Err(error) => {
                assert_eq!(
                    error.kind(),
                    crate::ErrorKind::Corruption,
                    "bit {bit}: {error}"
                );
                assert_eq!(error.disk().unwrap().path(), path);
            }
        }
        assert!(
            segment.verify(&disk).is_err(),
            "verification passes over bit {bit}"
        );
    }
}

#[test]
fn a_segment_that_was_cut_is_refused_at_every_length() {
    let (sim, disk) = sim();
    let path = Path::new("s.seg");
    let meta = write(&disk, path, &small(), 120);
    for len in 0..meta.file_len {
        let damaged = sim.crash(0, Survival::ALL);
        damaged.truncate(path, len).unwrap();
        let disk: Arc<dyn Disk> = Arc::new(damaged);
        assert!(inspect(&disk, path).is_err(), "length {len}");
        if let Err(error) = read_all(&open(&disk, path, &meta)) {
            assert_eq!(
                error.kind(),
                crate::ErrorKind::Corruption,
                "length {len}: {error}"
            );
        }
    }
}

#[test]
fn a_whole_segment_in_the_wrong_place_is_refused() {
    let (_, disk) = sim();
    let path = Path::new("s.seg");
    let meta = write(&disk, path, &small(), 120);
    let other = SegmentMeta {
        generation: 6,
        ..meta.clone()
    };
    assert!(read_all(&open(&disk, path, &other)).is_err());
    let other = SegmentMeta {
        shard: 4,
        ..meta.clone()
    };
    assert!(read_all(&open(&disk, path, &other)).is_err());
    let files = Arc::new(FileCache::new(Arc::clone(&disk), 4));
    let cache = Arc::new(BlockCache::new(1 << 20));
    let foreign = Segment::open(files, cache, path, StoreId([8; 16]), &meta);
    assert!(read_all(&foreign).is_err());
}

#[test]
fn a_section_that_unpacks_to_more_than_it_says_is_refused() {
    let seal = head(5, Owner::Shared).seal();
    let mut compressor = zstd::bulk::Compressor::new(3).unwrap();
    let bomb = compressor.compress(&vec![0; 1 << 20]).unwrap();
    let mut bytes = 1_000_u32.to_le_bytes().to_vec();
    bytes.extend_from_slice(&u32::try_from(bomb.len()).unwrap().to_le_bytes());
    let crc = tidestore_disk::checksum(&seal, 0, &[&bytes, &bomb]);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes.extend_from_slice(&bomb);
    assert!(open_section(&bytes, &seal, 0, Path::new("bomb"), format::BLOCK_RAW_MAX).is_err());
}

#[test]
fn a_crash_at_any_operation_leaves_no_segment_or_a_whole_one() {
    let rows = small();
    let path = Path::new("s.seg");
    for k in 1.. {
        let (sim, disk) = sim();
        sim.crash_at(k);
        let mut finished = None;
        let options = SegmentOptions {
            block_bytes: 120,
            level: 3,
        };
        let writer = SegmentWriter::create(&disk, path, head(5, Owner::Shared), options);
        if let Ok(mut writer) = writer {
            let pushed = rows
                .iter()
                .try_for_each(|(app, name, m)| writer.push(*app, name, m));
            finished = pushed.and_then(|()| writer.finish()).ok();
        }
        for survival in Survival::LEVELS {
            let after: Arc<dyn Disk> = Arc::new(sim.crash(k, survival));
            let there = after.metadata(path).is_ok();
            assert!(
                there || finished.is_none(),
                "a finished segment is gone after operation {k}"
            );
            assert!(
                !there || inspect(&after, path).is_ok(),
                "half a segment after operation {k}"
            );
        }
        if finished.is_some() && !sim.is_crashed() {
            return;
        }
    }
}

#[test]
fn rows_out_of_order_or_outside_the_bucket_are_refused() {
    let (_, disk) = sim();
    let rows = small();
    let options = SegmentOptions::default();
    let create = |name: &str| {
        SegmentWriter::create(&disk, Path::new(name), head(5, Owner::Shared), options).unwrap()
    };
    let mut writer = create("a.seg");
    writer.push(rows[1].0, &rows[1].1, &rows[1].2).unwrap();
    assert!(writer.push(rows[0].0, &rows[0].1, &rows[0].2).is_err());
    assert!(
        writer.push(rows[1].0, &rows[1].1, &rows[1].2).is_err(),
        "the same row twice"
    );
    let late = message(MessageId::new(BUCKET.end, SHARD, false, 0), 1, "x", b"");
    assert!(create("b.seg").push(AppId(1), &rows[0].1, &late).is_err());
    let elsewhere = message(
        MessageId::new(BUCKET.start, SHARD + 1, false, 0),
        1,
        "x",
        b"",
    );
    assert!(
        create("c.seg")
            .push(AppId(1), &rows[0].1, &elsewhere)
            .is_err()
    );
}

/// The columns of two rows, byte for byte: the compressor may change, the layout below it may not.
#[test]
fn a_block_without_attachments_is_written_byte_for_byte_as_in_version_1() {
    let mut columns = columns::Columns::default();
    let conversation = Conversation::from_stored("group:g").unwrap();
    for n in 0..2 {
        let id = MessageId::new(1_000_005 + n, SHARD, n == 1, n);
        columns.push(
            BUCKET.start,
            AppId(1),
            &conversation,
            &message(id, 9 + n, "ann", b"hi"),
        );
    }
    let expected = [
        &[2, 1, 1][..],
        &[1, 7],
        b"group:g",
        &[2, 3],
        b"ann",
        &[5, 1, 0, 3, 9, 0, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0],
        b"hihi",
    ]
    .concat();
    assert_eq!(columns.take(), expected);
}

/// Three rows of which the first and the last have attachments, byte for byte.
const BLOCK_V2: &[&[u8]] = &[
    &[3, 1, 1],
    &[1, 7],
    b"group:g",
    &[3, 3],
    b"ann",
    &[5, 1, 1, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0x80, 0, 0x81],
    &[2, 2, 2, 0, 0, 0, 0, 0, 0],
    b"hihihi",
    &[1, 2],
    &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0],
    &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2],
    &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2],
];
/// Where the counts of attachments stand in it.
const COUNTS_AT: usize = 47;
/// Where its kinds stand.
const KINDS_AT: usize = 29;

#[test]
fn a_block_with_attachments_is_written_byte_for_byte() {
    let mut columns = columns::Columns::default();
    let conversation = Conversation::from_stored("group:g").unwrap();
    let mut rows = Vec::new();
    let attachments: [&[u128]; 3] = [&[0x100], &[], &[0x102, 0x202]];
    for (n, ids) in (0..3_u8).zip(attachments) {
        let id = MessageId::new(1_000_005 + u64::from(n), SHARD, false, 0);
        let message = Message {
            kind: Kind::from_number(n / 2).unwrap(),
            attachments: ids.iter().copied().map(AttachmentId::from_bits).collect(),
            ..message(id, 9 + u64::from(n), "ann", b"hi")
        };
        columns.push(BUCKET.start, AppId(1), &conversation, &message);
        rows.push(message);
    }
    let expected = BLOCK_V2.concat();
    let len = columns.raw_len();
    assert_eq!(columns.take(), expected);
    assert!(columns.is_empty() && columns.raw_len() < len);
    let block = Block::decode(&expected, BUCKET.start, SHARD).unwrap();
    let read: Vec<_> = (0..3).map(|row| block.message(row)).collect();
    assert_eq!(read, rows);
    assert_eq!(block.attached.len(), 2);
}

#[test]
fn attachments_that_do_not_fit_their_rows_are_refused() {
    let whole = BLOCK_V2.concat();
    let refused = |bytes: &[u8]| Block::decode(bytes, BUCKET.start, SHARD).is_err();
    for len in 0..whole.len() {
        assert!(refused(&whole[..len]), "cut to {len} bytes");
    }
    assert!(refused(&[&whole[..], &[0]].concat()));
    assert_eq!(whole.get(COUNTS_AT..COUNTS_AT + 2), Some(&[1, 2][..]));
    // 16 is allowed, but not there; 2 and 2, or 1 and 1, are not what is there.
    for counts in [
        [0, 3],
        [0, 2],
        [1, 0],
        [17, 2],
        [255, 255],
        [16, 16],
        [2, 2],
        [1, 1],
    ] {
        let mut bytes = whole.clone();
        bytes[COUNTS_AT..COUNTS_AT + 2].copy_from_slice(&counts);
        assert!(refused(&bytes), "{counts:?}");
    }
    for (row, kind) in [(0, 0), (1, 0x80), (2, 1), (0, 0x89), (1, 9), (1, 0x40)] {
        let mut bytes = whole.clone();
        bytes[KINDS_AT + row] = kind;
        assert!(refused(&bytes), "kind {kind} of row {row}");
    }
}

#[test]
fn a_row_with_more_attachments_than_a_reader_takes_is_not_written() {
    let (_, disk) = sim();
    let options = SegmentOptions::default();
    let path = Path::new("a.seg");
    for (count, fits) in [(16, true), (17, false)] {
        let mut writer =
            SegmentWriter::create(&disk, path, head(5, Owner::Shared), options).unwrap();
        let mut row = small().remove(0);
        row.2.attachments = (0..count).map(AttachmentId::from_bits).collect();
        let pushed = writer.push(row.0, &row.1, &row.2);
        assert_eq!(pushed.is_ok(), fits, "{count}");
        assert!(
            pushed
                .err()
                .is_none_or(|e| e.kind() == crate::ErrorKind::TooLarge)
        );
    }
}

#[test]
fn cached_reads_never_touch_the_disk() {
    let (sim, disk) = sim();
    let path = Path::new("s.seg");
    let rows = small();
    let segment = open(&disk, path, &write(&disk, path, &rows, 120));
    let before = sim.operations();
    let (app, conversation, _) = &rows[0];
    assert_eq!(
        segment.run(*app, conversation, Io::CachedOnly).unwrap(),
        Lookup::WouldBlock
    );
    assert_eq!(sim.operations(), before);
    let run = segment
        .run(*app, conversation, Io::Allowed)
        .unwrap()
        .ready()
        .unwrap()
        .unwrap();
    segment.block(run.first_block, Io::Allowed).unwrap();
    let before = sim.operations();
    assert!(
        segment
            .run(*app, conversation, Io::CachedOnly)
            .unwrap()
            .ready()
            .is_some()
    );
    assert!(
        segment
            .block(run.first_block, Io::CachedOnly)
            .unwrap()
            .ready()
            .is_some()
    );
    assert_eq!(sim.operations(), before);
}

#[test]
fn after_a_failed_row_a_segment_cannot_be_finished_and_its_file_goes() {
    let (sim, disk) = sim();
    let rows = small();
    let options = SegmentOptions::default();
    let path = Path::new("a.seg");
    let mut writer =
        SegmentWriter::create(&disk, path, head(5, Owner::App(AppId(1))), options).unwrap();
    writer.push(rows[1].0, &rows[1].1, &rows[1].2).unwrap();
    let error = writer.push(rows[0].0, &rows[0].1, &rows[0].2).unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::OutOfOrder);
    assert!(writer.finish().is_err());
    assert!(sim.files().is_empty());
    let mut writer =
        SegmentWriter::create(&disk, path, head(5, Owner::App(AppId(1))), options).unwrap();
    let error = writer.push(AppId(2), &rows[0].1, &rows[0].2).unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::Refused);
    let large = message(rows[0].2.id, 1, "x", &vec![b'x'; 5 << 20]);
    let error = writer.push(AppId(1), &rows[0].1, &large).unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::TooLarge);
}

#[test]
fn a_failed_disk_operation_leaves_no_segment() {
    let rows = small();
    let path = Path::new("s.seg");
    for k in 1.. {
        let (sim, disk) = sim();
        sim.fail_at(k, tidestore_disk::Fault::NoSpace);
        let options = SegmentOptions {
            block_bytes: 120,
            level: 3,
        };
        let written = SegmentWriter::create(&disk, path, head(5, Owner::Shared), options).and_then(
            |mut writer| {
                rows.iter()
                    .try_for_each(|(app, name, m)| writer.push(*app, name, m))?;
                writer.finish()
            },
        );
        if written.is_ok() {
            return;
        }
        // The very last step, the directory's sync, may fail for a file that is whole.
        assert!(
            disk.metadata(path).is_err() || inspect(&disk, path).is_ok(),
            "operation {k}"
        );
    }
}

/// A section whose checksum is right, holding what the test wants: what a checksum cannot catch.
fn forged(raw_len: u32, payload: &[u8]) -> Vec<u8> {
    let seal = head(5, Owner::Shared).seal();
    let mut bytes = raw_len.to_le_bytes().to_vec();
    bytes.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
    let crc = tidestore_disk::checksum(&seal, 0, &[&bytes, payload]);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

#[test]
fn a_section_that_lies_about_its_length_is_refused() {
    let seal = head(5, Owner::Shared).seal();
    let payload = zstd::bulk::compress(&[7; 100], 3).unwrap();
    let open = |bytes: &[u8]| open_section(bytes, &seal, 0, Path::new("s"), format::BLOCK_RAW_MAX);
    assert_eq!(open(&forged(100, &payload)).unwrap(), [7; 100]);
    for raw_len in [0, 99, 101, u32::MAX, (8 << 20) + 1] {
        let error = open(&forged(raw_len, &payload)).unwrap_err();
        assert_eq!(
            error.kind(),
            crate::ErrorKind::Corruption,
            "raw length {raw_len}"
        );
    }
    assert!(open_section(&forged(100, &payload), &seal, 1, Path::new("s"), 200).is_err());
}

proptest! {
    #[test]
    fn a_block_of_any_bytes_is_read_or_refused(bytes in vec(any::<u8>(), 0..300)) {
        drop(Block::decode(&bytes, BUCKET.start, SHARD));
    }

    #[test]
    fn a_block_with_any_bytes_changed_is_read_or_refused(
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = BLOCK_V2.concat();
        for (place, byte) in changes {
            *place.get_mut(&mut bytes) = byte;
        }
        if let Ok(block) = Block::decode(&bytes, BUCKET.start, SHARD) {
            for row in 0..block.rows.len() {
                prop_assert!(block.message(row).attachments.len() <= Message::ATTACHMENTS_MAX);
            }
        }
    }

    #[test]
    fn an_index_or_id_page_of_any_bytes_is_read_or_refused(bytes in vec(any::<u8>(), 0..300)) {
        drop(Index::decode(&bytes, BUCKET.start, 1_000, 2_000));
        drop(IdPage::decode(&bytes, MessageId::first_at(BUCKET.start), SHARD));
    }
}

#[test]
fn counts_beyond_the_data_are_refused_in_every_decoder() {
    for position in 0..3 {
        let mut counts = vec![1_u8, 1, 1];
        counts.splice(position..=position, [0xff, 0xff, 0xff, 0xff, 0x7f]);
        assert!(Block::decode(&counts, BUCKET.start, SHARD).is_err());
        assert!(Index::decode(&counts, BUCKET.start, 1_000, 2_000).is_err());
        assert!(IdPage::decode(&counts, MessageId(0), SHARD).is_err());
    }
}

/// Rows that the golden file holds.
fn golden() -> Vec<Row> {
    let mut rows = small();
    rows[3].2.ext = Bytes::from_static(b"{}");
    rows[5].2.client_id = "c-1".into();
    rows[7].2.kind = Kind::Custom;
    rows[9].2.body = Bytes::copy_from_slice("潮汐".as_bytes());
    rows
}

#[test]
fn a_segment_of_version_1_can_be_read_for_ever() {
    let bytes = include_bytes!("../../tests/fixtures/segment-v1.seg");
    let (sim, disk) = sim();
    let path = Path::new("03-5.seg");
    sim.plant(path, bytes).unwrap();
    let report = inspect(&disk, path).unwrap();
    assert_eq!(report.store, STORE);
    let segment = open(&disk, path, &report.meta);
    let read: Vec<Row> = segment.scan().unwrap().collect::<Result<_>>().unwrap();
    assert_eq!(read, golden());
    assert_eq!(report.version, 1);
}

/// Rows that the golden file of version 2 holds; there is a block of which none has attachments.
fn golden_v2() -> Vec<Row> {
    let mut rows = golden();
    let id = |n: u128| AttachmentId::from_bits(0x0123_4567_89ab_8def_8123_4567_89ab_cd00 + n);
    rows[0].2.attachments = vec![id(0)];
    rows[1].2.attachments = (1..17).map(id).collect();
    rows[11].2.attachments = vec![id(18), id(17)];
    rows
}

#[test]
fn a_segment_of_version_2_can_be_read_for_ever() {
    let bytes = include_bytes!("../../tests/fixtures/segment-v2.seg");
    let (sim, disk) = sim();
    let path = Path::new("03-5.seg");
    sim.plant(path, bytes).unwrap();
    let report = inspect(&disk, path).unwrap();
    assert_eq!((report.version, report.store), (2, STORE));
    let segment = open(&disk, path, &report.meta);
    let read: Vec<Row> = segment.scan().unwrap().collect::<Result<_>>().unwrap();
    assert_eq!(read, golden_v2());
    assert_eq!(bytes.get(..72).unwrap(), head(5, Owner::Shared).encode());
}

#[test]
fn a_segment_of_an_unknown_version_is_refused() {
    for version in [0_u16, 3, u16::MAX] {
        let mut header = head(5, Owner::Shared).encode();
        header[8..10].copy_from_slice(&version.to_le_bytes());
        let crc = tidestore_disk::checksum(&head(5, Owner::Shared).seal(), 0, &[&header[..68]]);
        header[68..].copy_from_slice(&crc.to_le_bytes());
        let error = SegmentHead::decode(&header, Path::new("s.seg")).unwrap_err();
        assert!(error.to_string().contains("version"), "{error}");
    }
}

#[test]
fn a_damaged_block_costs_only_its_rows() {
    let (sim, disk) = sim();
    let path = Path::new("s.seg");
    let rows = small();
    let meta = write(&disk, path, &rows, 120);
    sim.flip_bit(path, 72 + 20, 3).unwrap();
    let segment = open(&disk, path, &meta);
    let (good, bad): (Vec<_>, Vec<_>) = segment.scan().unwrap().partition(Result::is_ok);
    assert_eq!(bad.len(), 1);
    assert!(!good.is_empty() && good.len() < rows.len());
    let last = rows.last().unwrap();
    let found = segment
        .find(last.0, last.2.id, Io::Allowed)
        .unwrap()
        .ready()
        .unwrap();
    assert_eq!(found.unwrap().2, last.2);
}
