//! The log against a disk that crashes, fails, fills up and lies.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure here fails the test"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;
use tidestore_disk::{Disk, Fault, OpKind, SimDisk, Survival};
use tidestore_log::{ErrorKind, FileLog, Log, LogOptions, Position, RecoveryReport, Result};

const STORE: [u8; 16] = [7; 16];
const DIR: &str = "log";

fn options() -> LogOptions {
    LogOptions {
        file_bytes: 1_024,
        zero_ahead: 256,
        ..LogOptions::default()
    }
}

fn disk() -> SimDisk {
    let disk = SimDisk::new();
    disk.create_dir_all(Path::new(DIR)).unwrap();
    disk
}

fn open(disk: &SimDisk) -> Result<(FileLog, RecoveryReport)> {
    FileLog::open(Arc::new(disk.clone()), Path::new(DIR), STORE, 0, options())
}

fn read(log: &FileLog) -> Vec<Vec<u8>> {
    let mut batches = Vec::new();
    let mut expected = log.first();
    log.replay(log.first(), &mut |position, batch| {
        assert_eq!(position, expected, "positions are contiguous");
        expected = Position(position.0 + 1);
        batches.push(batch.to_vec());
        Ok(())
    })
    .unwrap();
    assert_eq!(expected.0, log.end().0 + 1);
    batches
}

fn batch(n: u64) -> Vec<u8> {
    let len = n * 37 % 150 + 1;
    (0..len)
        .map(|at| u8::try_from((n * 31 + at * 7) % 251).unwrap())
        .collect()
}

fn log_files(disk: &SimDisk) -> Vec<PathBuf> {
    let is_log = |path: &PathBuf| path.extension() == Some("log".as_ref());
    disk.files().into_iter().filter(is_log).collect()
}

/// What a run was told to be durable.
#[derive(Default)]
struct Told {
    synced: u64,
    appended: u64,
    trimmed: u64,
}

/// Appends, syncs, rotates, trims and reopens until something fails.
fn script(disk: &SimDisk, told: &mut Told) -> Result<()> {
    for round in 0..4 {
        let (mut log, _) = open(disk)?;
        for n in 0..12 {
            told.appended = log.end().0 + 1;
            log.append(&batch(told.appended))?;
            if n % 3 != 1 {
                log.sync()?;
                told.synced = log.end().0;
            }
        }
        if round % 2 == 1 {
            told.trimmed = told.synced.saturating_sub(9);
            log.trim(Position(told.trimmed))?;
        }
    }
    Ok(())
}

fn check(disk: &SimDisk, told: &Told, what: &str) {
    let (mut log, _) = open(disk).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(
        log.end().0 >= told.synced,
        "{what}: {} of {} are left",
        log.end(),
        told.synced
    );
    assert!(
        log.end().0 <= told.appended,
        "{what}: batches that nobody appended"
    );
    assert!(
        log.first().0 <= told.trimmed.max(1),
        "{what}: more was trimmed than asked for"
    );
    let first = log.first().0;
    for (n, found) in (first..).zip(read(&log)) {
        assert_eq!(found, batch(n), "{what}: batch {n}");
    }
    log.append(b"goes on").unwrap();
    log.sync().unwrap();
    let end = log.end();
    drop(log);
    let (log, _) = open(disk).unwrap();
    assert_eq!(log.end(), end, "{what}");
    assert_eq!(read(&log).last().unwrap(), b"goes on", "{what}");
}

#[test]
fn a_crash_at_any_operation_keeps_every_synced_batch() {
    for k in 1.. {
        let disk = disk();
        let mut told = Told::default();
        disk.crash_at(k);
        let done = script(&disk, &mut told).is_ok();
        for survival in Survival::LEVELS {
            for seed in 0..3 {
                let after = disk.crash(k * 10 + seed, survival);
                check(
                    &after,
                    &told,
                    &format!("operation {k}, {survival:?}, seed {seed}"),
                );
            }
        }
        if done {
            return;
        }
    }
}

#[test]
fn a_failure_of_any_operation_keeps_every_synced_batch() {
    for fault in [Fault::Eio, Fault::NoSpace, Fault::ShortIo(1)] {
        for k in 1.. {
            let disk = disk();
            let mut told = Told::default();
            disk.fail_at(k, fault);
            let before = disk.operations();
            let done = script(&disk, &mut told).is_ok();
            disk.clear_faults();
            check(
                &disk.crash(k, Survival::NONE),
                &told,
                &format!("{fault:?} at {k}, power cut"),
            );
            check(&disk, &told, &format!("{fault:?} at {k}"));
            if done && disk.operations() - before < k {
                break;
            }
        }
    }
}

#[test]
fn the_last_file_cut_at_any_byte_keeps_every_whole_batch() {
    let disk = disk();
    let (mut log, _) = open(&disk).unwrap();
    let mut ends = vec![64];
    for n in 1..=6 {
        log.append(&batch(n)).unwrap();
        ends.push(ends.last().unwrap() + (32 + batch(n).len() as u64).next_multiple_of(8));
    }
    drop(log);
    let path = log_files(&disk).pop().unwrap();
    for len in 64..*ends.last().unwrap() {
        for filler in [None, Some(0x00), Some(0xa5)] {
            let cut = disk.crash(0, Survival::ALL);
            cut.truncate(&path, len).unwrap();
            if let Some(byte) = filler {
                cut.overwrite(&path, len, &[byte; 40]).unwrap();
            }
            let (mut log, _) = open(&cut).unwrap();
            // Padding is not part of a batch: a batch whose last padding bytes are cut is whole.
            let whole = read(&log);
            let least = ends.iter().filter(|end| **end <= len).count() - 1;
            assert!(
                whole.len() >= least && whole.len() <= least + 1,
                "cut at {len}"
            );
            for (n, found) in (1..).zip(&whole) {
                assert_eq!(*found, batch(n), "cut at {len}");
            }
            let next = log.append(b"next").unwrap();
            assert_eq!(next.0, whole.len() as u64 + 1);
        }
    }
}

/// A flipped bit must never make a synced batch vanish while a later one vouches for it.
#[test]
fn every_flipped_bit_gives_the_right_batches_or_names_the_damage() {
    let disk = disk();
    let (mut log, _) = open(&disk).unwrap();
    for n in 1..=12 {
        log.append(&batch(n)).unwrap();
        log.sync().unwrap();
    }
    drop(log);
    let files = log_files(&disk);
    assert!(files.len() > 1, "the script rotates");
    for path in &files {
        let len = disk.read_all(path).unwrap().len() as u64;
        for bit in 0..len * 8 {
            let damaged = disk.crash(0, Survival::ALL);
            damaged
                .flip_bit(path, bit / 8, u8::try_from(bit % 8).unwrap())
                .unwrap();
            match open(&damaged) {
                Ok((log, _)) => {
                    let found = read(&log);
                    // Only the very last batch has no later one to vouch for it.
                    assert!(
                        found.len() >= 11,
                        "{} bit {bit}: {} left",
                        path.display(),
                        found.len()
                    );
                    for (n, found) in (1..).zip(found) {
                        assert_eq!(found, batch(n));
                    }
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Corruption, "{error}");
                    assert!(
                        error.to_string().contains(&path.display().to_string()),
                        "{error}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_recycled_file_never_replays_its_earlier_life() {
    let disk = disk();
    let (mut log, _) = open(&disk).unwrap();
    for n in 1..=40 {
        log.append(&batch(n)).unwrap();
        log.sync().unwrap();
        log.trim(Position(n)).unwrap();
    }
    let spares = |disk: &SimDisk| {
        let name = |path: &PathBuf| {
            path.file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with("spare")
        };
        log_files(disk).iter().filter(|path| name(path)).count()
    };
    assert!(spares(&disk) > 0, "files are kept for use");
    let renames = disk.count(OpKind::Rename);
    for n in 41..=60 {
        log.append(&batch(n)).unwrap();
        log.sync().unwrap();
    }
    assert!(disk.count(OpKind::Rename) > renames, "and used");
    drop(log);
    let (log, report) = open(&disk).unwrap();
    assert_eq!(log.end(), Position(60));
    assert_eq!(report.notices().count(), 0);
    let first = log.first().0;
    for (n, found) in (first..).zip(read(&log)) {
        assert_eq!(found, batch(n));
    }
}

#[test]
fn a_failed_sync_is_final_and_reopening_writes_the_tail_again() {
    let disk = disk();
    let (mut log, _) = open(&disk).unwrap();
    log.append(&batch(1)).unwrap();
    log.sync().unwrap();
    log.append(&batch(2)).unwrap();
    disk.fail_matching(OpKind::Sync, 1, Fault::Eio);
    assert_eq!(log.sync().unwrap_err().kind(), ErrorKind::Poisoned);
    let syncs = disk.count(OpKind::Sync);
    assert_eq!(log.sync().unwrap_err().kind(), ErrorKind::Poisoned);
    assert_eq!(
        log.append(&batch(3)).unwrap_err().kind(),
        ErrorKind::Poisoned
    );
    assert_eq!(
        disk.count(OpKind::Sync),
        syncs,
        "the sync is not tried again"
    );
    drop(log);
    // The bytes of batch 2 can be read and are not on the device. Whoever opens must make that true.
    let (log, _) = open(&disk).unwrap();
    assert_eq!(log.end(), Position(2));
    drop(log);
    let after = disk.crash(1, Survival::NONE);
    let (log, _) = open(&after).unwrap();
    assert_eq!(read(&log), [batch(1), batch(2)]);
}

#[test]
fn a_full_disk_refuses_a_batch_and_takes_the_next_when_there_is_space() {
    let disk = disk();
    let (mut log, _) = open(&disk).unwrap();
    log.append(&batch(1)).unwrap();
    log.sync().unwrap();
    disk.set_space(Some(disk.total_bytes()));
    let large: Vec<u8> = (0..4_000_u32)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    assert_eq!(log.append(&large).unwrap_err().kind(), ErrorKind::Full);
    assert_eq!(log.append(&large).unwrap_err().kind(), ErrorKind::Full);
    disk.set_space(None);
    assert_eq!(log.append(&batch(2)).unwrap(), Position(2));
    log.sync().unwrap();
    assert_eq!(read(&log), [batch(1), batch(2)]);
    drop(log);
    let (log, _) = open(&disk.crash(0, Survival::NONE)).unwrap();
    assert_eq!(read(&log), [batch(1), batch(2)]);
}

#[test]
fn files_that_are_not_what_their_name_says_are_refused() {
    let disk = disk();
    let (mut log, _) = open(&disk).unwrap();
    for n in 1..=30 {
        log.append(&batch(n)).unwrap();
        log.sync().unwrap();
    }
    drop(log);
    let files = log_files(&disk);
    let (first, second) = (&files[0], &files[1]);
    let bytes = |path: &PathBuf| disk.read_all(path).unwrap();
    let newest = Path::new(DIR).join("00000099.log");
    let refused = |change: &dyn Fn(&SimDisk)| -> ErrorKind {
        let damaged = disk.crash(0, Survival::ALL);
        change(&damaged);
        open(&damaged).unwrap_err().kind()
    };
    let swapped = refused(&|d| {
        d.overwrite(first, 0, &bytes(second)).unwrap();
    });
    assert_eq!(swapped, ErrorKind::Corruption);
    let copied = refused(&|d| d.plant(&newest, &bytes(second)).unwrap());
    assert_eq!(copied, ErrorKind::Corruption, "a copy under a younger name");
    let renamed = refused(&|d| d.rename(files.last().unwrap(), &newest).unwrap());
    assert_eq!(
        renamed,
        ErrorKind::Corruption,
        "the newest file under another name"
    );
    let missing = refused(&|d| d.remove_file(second).unwrap());
    assert_eq!(missing, ErrorKind::Corruption, "a gap");
    let stranger = disk.crash(0, Survival::ALL);
    stranger
        .plant(&Path::new(DIR).join("notes.txt"), b"foreign")
        .unwrap();
    let (_, report) = open(&stranger).unwrap();
    assert_eq!(report.notices().count(), 1, "foreign files are reported");
    assert!(
        stranger.files().contains(&Path::new(DIR).join("notes.txt")),
        "and left alone"
    );
    let other = FileLog::open(
        Arc::new(disk.clone()),
        Path::new(DIR),
        [8; 16],
        0,
        options(),
    );
    assert_eq!(
        other.unwrap_err().kind(),
        ErrorKind::Corruption,
        "another store's files"
    );
}

#[test]
fn a_batch_that_carries_a_frame_is_only_a_batch() {
    let disk = disk();
    let (mut log, _) = open(&disk).unwrap();
    log.append(&batch(1)).unwrap();
    let forged = disk.read_all(&log_files(&disk)[0]).unwrap()[64..256].to_vec();
    log.append(&forged).unwrap();
    log.sync().unwrap();
    log.append(&forged).unwrap();
    drop(log);
    let path = log_files(&disk).pop().unwrap();
    let end = disk
        .read_all(&path)
        .unwrap()
        .iter()
        .rposition(|byte| *byte != 0)
        .unwrap() as u64;
    let torn = disk.crash(0, Survival::ALL);
    torn.truncate(&path, end - 8).unwrap();
    let (log, _) = open(&torn).unwrap();
    assert_eq!(read(&log), [batch(1), forged]);
}

#[test]
fn large_batches_get_files_of_their_own() {
    let disk = disk();
    let (mut log, _) = open(&disk).unwrap();
    let large: Vec<u8> = (0..100_000_u32)
        .flat_map(|n| (n ^ n >> 3).to_le_bytes())
        .collect();
    log.append(&batch(1)).unwrap();
    log.append(&large).unwrap();
    log.append(&batch(3)).unwrap();
    log.sync().unwrap();
    assert_eq!(
        log.append(&vec![0; (64 << 20) + 1]).unwrap_err().kind(),
        ErrorKind::TooLarge
    );
    drop(log);
    let (log, _) = open(&disk).unwrap();
    assert_eq!(read(&log), [batch(1), large, batch(3)]);
}

#[test]
fn version_1_is_written_byte_for_byte() {
    let disk = disk();
    let (mut log, _) = open(&disk).unwrap();
    log.append(b"abc").unwrap();
    let bytes = disk.read_all(&log_files(&disk)[0]).unwrap();
    let hex = |range: std::ops::Range<usize>| -> Vec<u8> { bytes[range].to_vec() };
    let header = [
        &b"TIDELOG1"[..],
        &[1, 0, 0, 0, 0, 0, 0, 0],
        &[1, 0, 0, 0, 0, 0, 0, 0],
        &STORE,
        &[1, 0, 0, 0, 0, 0, 0, 0],
        &[0; 12],
    ];
    assert_eq!(hex(0..60), header.concat());
    assert_eq!(
        hex(64..88),
        [
            3, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
        ]
    );
    assert_eq!(hex(96..104), *b"abc\0\0\0\0\0");
    let sums = [hex(60..64), hex(88..92), hex(92..96)].concat();
    assert_eq!(sums, SUMS, "checksums of header, payload and frame head");
}

/// Checksums of the file above: they cover store, shard, generation and offset, so they change if any of these does.
const SUMS: [u8; 12] = [57, 247, 108, 188, 60, 55, 63, 202, 17, 222, 95, 191];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_appended_comes_back(
        batches in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..900), 1..30),
        sync_every in 1..5_usize,
        seed: u64,
    ) {
        let disk = disk();
        let (mut log, _) = open(&disk).unwrap();
        let mut synced = 0;
        for (n, batch) in batches.iter().enumerate() {
            log.append(batch).unwrap();
            if n % sync_every == 0 {
                log.sync().unwrap();
                synced = n + 1;
            }
        }
        drop(log);
        let (log, _) = open(&disk.crash(seed, Survival::HALF)).unwrap();
        let found = read(&log);
        prop_assert!(found.len() >= synced && found.len() <= batches.len());
        prop_assert_eq!(&found[..], &batches[..found.len()]);
    }

    #[test]
    fn arbitrary_bytes_are_never_a_frame_and_never_a_panic(bytes: Vec<u8>, offset: u64) {
        let seal = tidestore_disk::Seal { store: STORE, kind: 1, generation: 1 };
        prop_assert_eq!(tidestore_log::decode_frame(&bytes, &seal, offset & 0xffff_fff8), None);
    }
}

#[test]
fn a_log_that_begins_behind_the_first_position_is_opened_as_any_other() {
    for count in [0, 1, 40] {
        let disk = disk();
        let begin = || {
            let disk = Arc::new(disk.clone());
            FileLog::begin(disk, Path::new(DIR), STORE, 0, options(), Position(101))
        };
        let mut log = begin().unwrap();
        assert_eq!((log.first(), log.end()), (Position(101), Position(100)));
        for n in 0..count {
            assert_eq!(log.append(&batch(n)).unwrap(), Position(101 + n));
        }
        log.sync().unwrap();
        drop(log);
        assert!(begin().is_err(), "there is a log");
        let disk = disk.crash(1, Survival::NONE);
        let (log, _) = open(&disk).unwrap();
        assert_eq!(log.first(), Position(101));
        assert_eq!(log.end(), Position(100 + count));
        let expected: Vec<_> = (0..count).map(batch).collect();
        assert_eq!(read(&log), expected);
    }
}
