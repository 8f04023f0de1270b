use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::FileExt;

const FILE: &str = "f";

fn p(path: &str) -> &Path {
    Path::new(path)
}

/// A disk with an empty file whose directory entry is durable.
fn disk_with_file() -> (SimDisk, Arc<dyn File>) {
    let disk = SimDisk::new();
    let file = disk.open(p(FILE), OpenMode::CreateNew).unwrap();
    disk.sync_dir(p("")).unwrap();
    (disk, file)
}

fn contents(disk: &SimDisk) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = disk.files().into_iter();
    files
        .map(|path| (path.clone(), disk.read_all(&path).unwrap()))
        .collect()
}

#[track_caller]
fn assert_fails<T>(result: Result<T>, kind: ErrorKind) {
    assert_eq!(result.err().map(|error| error.kind()), Some(kind));
}

#[test]
fn an_unsynced_entry_is_lost_with_all_its_synced_bytes() {
    let disk = SimDisk::new();
    let file = disk.open(p(FILE), OpenMode::CreateNew).unwrap();
    file.write_all_at(b"bytes", 0, p(FILE)).unwrap();
    file.sync_data().unwrap();
    assert!(disk.crash(0, Survival::NONE).files().is_empty());
    assert_eq!(
        disk.crash(0, Survival::ALL).read_all(p(FILE)).unwrap(),
        b"bytes"
    );
    disk.sync_dir(p("")).unwrap();
    assert_eq!(
        disk.crash(0, Survival::NONE).read_all(p(FILE)).unwrap(),
        b"bytes"
    );
}

#[test]
fn an_unsynced_unlink_brings_the_file_back() {
    let (disk, file) = disk_with_file();
    file.write_all_at(b"bytes", 0, p(FILE)).unwrap();
    file.sync_data().unwrap();
    drop(file);
    disk.remove_file(p(FILE)).unwrap();
    assert_eq!(
        disk.crash(0, Survival::NONE).read_all(p(FILE)).unwrap(),
        b"bytes"
    );
    disk.sync_dir(p("")).unwrap();
    assert!(disk.crash(0, Survival::NONE).files().is_empty());
}

#[test]
fn a_rename_is_atomic_and_durable_once_both_parents_are_synced() {
    let (disk, _) = disk_with_file();
    disk.create_dir_all(p("d")).unwrap();
    disk.rename(p(FILE), p("d/g")).unwrap();
    disk.sync_dir(p("")).unwrap();
    let outcomes = (0..40).map(|seed| disk.crash(seed, Survival::HALF).files());
    let outcomes: BTreeSet<_> = outcomes.collect();
    assert_eq!(
        outcomes,
        BTreeSet::from([vec![PathBuf::from("d/g")], vec![FILE.into()]])
    );
    disk.sync_dir(p("d")).unwrap();
    assert_eq!(disk.crash(0, Survival::NONE).files(), [p("d/g")]);
}

#[test]
fn a_sync_pulls_in_the_earlier_operations_it_builds_on() {
    let (disk, file) = disk_with_file();
    file.write_all_at(b"old", 0, p(FILE)).unwrap();
    file.sync_data().unwrap();
    disk.create_dir_all(p("d")).unwrap();
    disk.rename(p(FILE), p("d/g")).unwrap();
    disk.open(p(FILE), OpenMode::CreateNew).unwrap();
    disk.sync_dir(p("")).unwrap();
    let after = disk.crash(0, Survival::NONE);
    assert_eq!(after.files(), [p("d/g"), p(FILE)]);
    assert_eq!(after.read_all(p("d/g")).unwrap(), b"old");
}

#[test]
fn a_durable_removal_of_a_directory_takes_along_what_was_moved_out_of_it() {
    let disk = SimDisk::new();
    disk.create_dir_all(p("d")).unwrap();
    disk.create_dir_all(p("e")).unwrap();
    disk.open(p("d/f"), OpenMode::CreateNew).unwrap();
    disk.sync_dir(p("d")).unwrap();
    disk.rename(p("d/f"), p("e/f")).unwrap();
    disk.remove_dir(p("d")).unwrap();
    disk.sync_dir(p("")).unwrap();
    let after = disk.crash(0, Survival::NONE);
    assert_eq!(after.files(), [p("e/f")]);
    assert_fails(after.metadata(p("d")), ErrorKind::NotFound);
}

#[test]
fn directories_are_durable_when_they_are_made() {
    let disk = SimDisk::new();
    disk.create_dir_all(p("a/b")).unwrap();
    assert_eq!(
        (disk.count(OpKind::CreateDir), disk.count(OpKind::SyncDir)),
        (3, 2)
    );
    assert_eq!(
        disk.crash(0, Survival::NONE)
            .metadata(p("a/b"))
            .unwrap()
            .kind,
        EntryKind::Dir
    );
    disk.fail_matching(OpKind::SyncDir, 1, Fault::Eio);
    assert_fails(disk.create_dir_all(p("a/c")), ErrorKind::Io);
    assert_fails(disk.metadata(p("a/c")), ErrorKind::NotFound);
}

#[test]
fn a_failed_sync_never_becomes_durable_though_a_later_sync_succeeds() {
    let (disk, file) = disk_with_file();
    file.write_all_at(b"first ", 0, p(FILE)).unwrap();
    file.sync_data().unwrap();
    file.write_all_at(b"lost ", 6, p(FILE)).unwrap();
    disk.fail_matching(OpKind::Sync, 1, Fault::Eio);
    assert_fails(file.sync_data(), ErrorKind::Io);
    file.write_all_at(b"last", 11, p(FILE)).unwrap();
    file.sync_data().unwrap();
    assert_eq!(disk.read_all(p(FILE)).unwrap(), b"first lost last");
    let after = disk.crash(0, Survival::ALL).read_all(p(FILE)).unwrap();
    assert_eq!(after, b"first \0\0\0\0\0last");
    file.write_all_at(b"lost ", 6, p(FILE)).unwrap();
    file.sync_data().unwrap();
    let after = disk.crash(0, Survival::NONE).read_all(p(FILE)).unwrap();
    assert_eq!(after, b"first lost last");
}

#[test]
fn extended_but_unwritten_bytes_read_as_zero_after_a_crash() {
    let (disk, file) = disk_with_file();
    file.write_all_at(&[7; 4 * SECTOR_BYTES], 0, p(FILE))
        .unwrap();
    let holes = (0..50).map(|seed| disk.crash(seed, Survival::HALF).read_all(p(FILE)).unwrap());
    let holes: Vec<_> = holes.filter(|bytes| bytes.contains(&0)).collect();
    assert!(!holes.is_empty());
    for sector in holes.iter().flat_map(|bytes| bytes.chunks(SECTOR_BYTES)) {
        assert!(sector == [7; SECTOR_BYTES] || sector == [0; SECTOR_BYTES]);
    }
}

#[test]
fn locks_do_not_outlive_a_crash_but_do_hold_before_it() {
    let disk = SimDisk::new();
    let _lock = disk.lock(p("LOCK")).unwrap();
    assert_fails(disk.clone().lock(p("LOCK")), ErrorKind::Locked);
    let after = disk.crash(0, Survival::ALL);
    after.lock(p("LOCK")).unwrap();
    assert_fails(disk.lock(p("LOCK")), ErrorKind::Locked);
}

#[test]
fn a_planned_crash_fails_that_operation_and_all_later_ones() {
    let (disk, file) = disk_with_file();
    disk.crash_at(2);
    file.write_all_at(b"before", 0, p(FILE)).unwrap();
    assert!(!disk.is_crashed());
    let error = file.write_at(&[b'x'; 5000], 6).unwrap_err();
    assert!(error.to_string().ends_with("simulated crash"), "{error}");
    assert!(disk.is_crashed());
    assert!(file.sync_data().is_err() && file.read_at(&mut [0], 0).is_err());
    assert!(disk.list(p("")).is_err() && disk.create_dir_all(p("")).is_err());
    assert!(disk.lock(p("LOCK")).is_err() && file.len().is_err());
    assert_eq!(disk.files(), [p(FILE)]);
    let after = disk.crash(0, Survival::ALL).read_all(p(FILE)).unwrap();
    assert!(after.starts_with(b"before") && (6..=5006).contains(&after.len()));
}

#[test]
fn a_crash_during_a_write_applies_a_first_part_of_any_length() {
    let lens = (0..40_u64).map(|earlier| {
        let (disk, file) = disk_with_file();
        for _ in 0..earlier {
            file.len().unwrap();
        }
        disk.crash_at(1);
        assert!(file.write_at(&[1; 2], 0).is_err());
        disk.read_all(p(FILE)).unwrap().len()
    });
    assert_eq!(lens.collect::<BTreeSet<_>>(), BTreeSet::from([0, 1, 2]));
}

#[test]
fn faults_hit_the_operation_they_name_and_no_other() {
    let (disk, file) = disk_with_file();
    disk.fail_at(2, Fault::Eio);
    disk.fail_matching(OpKind::Write, 3, Fault::NoSpace);
    disk.fail_matching(OpKind::Write, 4, Fault::ShortIo(2));
    file.write_at(b"a", 0).unwrap();
    assert_fails(file.write_at(b"b", 1), ErrorKind::Io);
    assert_fails(file.write_at(b"c", 1), ErrorKind::Full);
    assert_eq!(file.write_at(b"def", 1).unwrap(), 2);
    assert_eq!(file.write_at(b"ghi", 3).unwrap(), 3);
    assert_eq!(disk.read_all(p(FILE)).unwrap(), b"adeghi");
    disk.fail_always(OpKind::Write, Fault::Eio);
    assert!(file.write_at(b"x", 0).is_err() && file.write_at(b"x", 0).is_err());
    disk.clear_faults();
    file.write_at(b"x", 0).unwrap();
    assert_eq!(disk.count(OpKind::Write), 8);
}

#[test]
fn a_write_of_zero_bytes_is_an_error_and_a_short_read_moves_at_least_one() {
    let (disk, file) = disk_with_file();
    file.write_all_at(b"abc", 0, p(FILE)).unwrap();
    disk.set_short_io(Some(0));
    assert_fails(file.write_all_at(b"abc", 0, p(FILE)), ErrorKind::Io);
    assert_eq!(file.read_at(&mut [0; 3], 0).unwrap(), 1);
    disk.set_short_io(Some(1));
    file.write_all_at(b"xyz", 0, p(FILE)).unwrap();
    let mut buf = [0; 3];
    file.read_exact_at(&mut buf, 0, p(FILE)).unwrap();
    assert_eq!(&buf, b"xyz");
}

#[test]
fn a_full_disk_takes_what_fits_and_goes_on_when_space_is_back() {
    let (disk, file) = disk_with_file();
    disk.set_space(Some(10));
    assert_eq!(file.write_at(&[1; 8], 0).unwrap(), 8);
    assert_eq!(file.write_at(&[1; 8], 8).unwrap(), 2);
    assert_fails(file.write_at(&[1], 10), ErrorKind::Full);
    assert_fails(file.write_at(&[1], 100), ErrorKind::Full);
    assert_fails(file.set_len(11), ErrorKind::Full);
    assert_eq!(file.write_at(&[2; 10], 0).unwrap(), 10);
    let other = disk.open(p("other"), OpenMode::Create).unwrap();
    assert_fails(other.write_at(&[1], 0), ErrorKind::Full);
    disk.remove_file(p(FILE)).unwrap();
    assert_fails(other.write_at(&[1], 0), ErrorKind::Full);
    drop(file);
    assert_eq!(other.write_at(&[1; 4], 0).unwrap(), 4);
    assert_eq!(disk.total_bytes(), 4);
    other.set_len(1).unwrap();
    disk.set_space(None);
    other.set_len(1000).unwrap();
    assert_eq!(disk.total_bytes(), 1000);
}

#[test]
fn an_absurd_offset_fails_instead_of_eating_the_memory() {
    let (_, file) = disk_with_file();
    for offset in [1 << 40, u64::MAX] {
        assert_fails(file.write_at(b"x", offset), ErrorKind::Full);
        assert_fails(file.set_len(offset), ErrorKind::Full);
        assert_eq!(file.read_at(&mut [0], offset).unwrap(), 0);
    }
}

#[test]
fn damage_shows_at_once_and_after_a_crash() {
    let (disk, file) = disk_with_file();
    file.write_all_at(b"aaaa", 0, p(FILE)).unwrap();
    file.sync_data().unwrap();
    file.write_all_at(b"aaaa", 4, p(FILE)).unwrap();
    disk.flip_bit(p(FILE), 0, 1).unwrap();
    disk.flip_bit(p(FILE), 5, 1).unwrap();
    disk.overwrite(p(FILE), 3, b"XY").unwrap();
    let damaged = b"caaXYcaa";
    assert_eq!(disk.read_all(p(FILE)).unwrap(), damaged);
    assert_eq!(
        disk.crash(0, Survival::ALL).read_all(p(FILE)).unwrap(),
        damaged
    );
    disk.truncate(p(FILE), 6).unwrap();
    assert_eq!(disk.read_all(p(FILE)).unwrap(), damaged[..6]);
    assert_eq!(
        disk.crash(0, Survival::ALL).read_all(p(FILE)).unwrap(),
        damaged[..6]
    );
    assert_fails(disk.flip_bit(p(FILE), 6, 0), ErrorKind::Refused);
    assert_fails(disk.truncate(p("x"), 6), ErrorKind::NotFound);
    assert_eq!(disk.total_bytes(), 6);
}

#[test]
fn planted_files_are_durable_and_replace_what_was_there() {
    let (disk, file) = disk_with_file();
    file.write_all_at(b"ours", 0, p(FILE)).unwrap();
    disk.plant(p(FILE), b"foreign").unwrap();
    disk.plant(p("x/y"), b"stray").unwrap();
    let after = disk.crash(0, Survival::NONE);
    assert_eq!(after.files(), [p(FILE), p("x/y")]);
    assert_eq!(after.read_all(p(FILE)).unwrap(), b"foreign");
}

#[derive(Clone, Debug)]
enum Op {
    Create(&'static str),
    Write {
        path: &'static str,
        offset: u16,
        len: u16,
        byte: u8,
    },
    SetLen {
        path: &'static str,
        len: u16,
    },
    Sync(&'static str),
    SyncDir(&'static str),
    Rename(&'static str, &'static str),
    Remove(&'static str),
    MakeDir(&'static str),
    RemoveDir(&'static str),
}

const DIRS: [&str; 3] = ["d", "e", "d/e"];

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let paths = || prop::sample::select(vec!["a", "b", "d/a", "d/b", "e/a", "d/e/a"]);
    let dirs = || prop::sample::select(DIRS.to_vec());
    let synced = || prop::sample::select(vec!["", "d", "e", "d/e"]);
    let op = prop_oneof![
        3 => paths().prop_map(Op::Create),
        4 => (paths(), 0..2000_u16, 1..2000_u16, 1..=255_u8)
            .prop_map(|(path, offset, len, byte)| Op::Write { path, offset, len, byte }),
        1 => (paths(), 0..3000_u16).prop_map(|(path, len)| Op::SetLen { path, len }),
        2 => paths().prop_map(Op::Sync),
        2 => synced().prop_map(Op::SyncDir),
        3 => (paths(), paths()).prop_map(|(from, to)| Op::Rename(from, to)),
        2 => paths().prop_map(Op::Remove),
        2 => dirs().prop_map(Op::MakeDir),
        1 => dirs().prop_map(Op::RemoveDir),
    ];
    prop::collection::vec(op, 1..60)
}

/// Carries an operation out; whether it succeeds does not matter.
fn run(disk: &SimDisk, op: &Op) {
    let open = |path: &str| disk.open(p(path), OpenMode::Write);
    let _ = match *op {
        Op::Create(path) => disk.open(p(path), OpenMode::Create).map(drop),
        Op::Write {
            path,
            offset,
            len,
            byte,
        } => open(path)
            .and_then(|file| file.write_all_at(&vec![byte; len.into()], offset.into(), p(path))),
        Op::SetLen { path, len } => open(path).and_then(|file| file.set_len(len.into())),
        Op::Sync(path) => open(path).and_then(|file| file.sync_data()),
        Op::SyncDir(path) => disk.sync_dir(p(path)),
        Op::Rename(from, to) => disk.rename(p(from), p(to)),
        Op::Remove(path) => disk.remove_file(p(path)),
        Op::MakeDir(path) => disk.create_dir_all(p(path)),
        Op::RemoveDir(path) => disk.remove_dir(p(path)),
    };
}

fn run_all(disk: &SimDisk, ops: &[Op]) {
    for op in ops {
        run(disk, op);
    }
}

proptest! {
    #[test]
    fn everything_survives_a_crash_in_which_everything_survives(ops in ops(), seed: u64) {
        let disk = SimDisk::new();
        for op in &ops {
            run(&disk, op);
            let after = disk.crash(seed, Survival::ALL);
            prop_assert_eq!(contents(&after), contents(&disk), "{:?}", op);
        }
        let bytes: usize = contents(&disk).values().map(Vec::len).sum();
        prop_assert_eq!(disk.total_bytes(), bytes as u64);
    }

    #[test]
    fn what_is_synced_survives_every_crash(
        ops in ops(),
        seed: u64,
        order in Just(DIRS).prop_shuffle(),
    ) {
        let disk = SimDisk::new();
        run_all(&disk, &ops);
        for path in disk.files() {
            disk.open(&path, OpenMode::Write).unwrap().sync_data().unwrap();
        }
        disk.sync_dir(p("")).unwrap();
        for dir in order {
            let _ = disk.sync_dir(p(dir));
        }
        for survival in Survival::LEVELS {
            prop_assert_eq!(contents(&disk.crash(seed, survival)), contents(&disk));
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_crash(ops in ops(), seed: u64) {
        let crash = || {
            let disk = SimDisk::new();
            run_all(&disk, &ops);
            contents(&disk.crash(seed, Survival::HALF))
        };
        prop_assert_eq!(crash(), crash());
    }

    #[test]
    fn crashes_of_crashes_lose_nothing_more(ops in ops(), seed: u64) {
        let disk = SimDisk::new();
        run_all(&disk, &ops);
        let once = disk.crash(seed, Survival::HALF);
        prop_assert_eq!(contents(&once.crash(seed, Survival::NONE)), contents(&once));
    }

    #[test]
    fn each_unsynced_sector_survives_whole_or_not_at_all(
        offset in 0..2000_usize,
        len in 1..3000_usize,
        seed: u64,
        level in prop::sample::select(Survival::LEVELS.to_vec()),
    ) {
        let (disk, file) = disk_with_file();
        file.write_all_at(&vec![1; 6000], 0, p(FILE)).unwrap();
        file.sync_data().unwrap();
        file.write_all_at(&vec![2; len], offset as u64, p(FILE)).unwrap();
        let after = disk.crash(seed, level).read_all(p(FILE)).unwrap();
        let now = disk.read_all(p(FILE)).unwrap();
        prop_assert_eq!(after.len(), now.len());
        for (after, now) in after.chunks(SECTOR_BYTES).zip(now.chunks(SECTOR_BYTES)) {
            prop_assert!(after == now || after.iter().all(|byte| *byte == 1));
        }
    }
}

#[test]
fn a_file_that_is_synced_again_after_a_failed_sync_is_told_of() {
    let disk = SimDisk::new();
    let (bad, good) = (Path::new("bad"), Path::new("good"));
    let file = disk.open(bad, OpenMode::CreateNew).unwrap();
    let other = disk.open(good, OpenMode::CreateNew).unwrap();
    file.sync_data().unwrap();
    disk.fail_from(OpKind::Sync, 2, Fault::Eio);
    other.sync_data().unwrap();
    for _ in 0..2 {
        file.sync_data().unwrap_err();
    }
    disk.clear_faults();
    assert_eq!(disk.repeated_syncs(), [bad]);
    file.sync_data().unwrap();
    other.sync_data().unwrap();
    assert_eq!(disk.repeated_syncs(), [bad, bad]);
}

#[test]
fn an_unsynced_hard_link_may_be_lost_and_the_file_stays_under_its_other_name() {
    let disk = SimDisk::new();
    let (a, b) = (Path::new("a"), Path::new("b"));
    let file = disk.open(a, OpenMode::CreateNew).unwrap();
    file.write_all_at(b"kept", 0, a).unwrap();
    file.sync_data().unwrap();
    disk.sync_dir(Path::new("")).unwrap();
    drop(file);
    let before = disk.total_bytes();
    assert!(disk.hard_link(a, &disk, b).unwrap());
    assert_eq!(disk.total_bytes(), before);
    assert_eq!(disk.crash(1, Survival::NONE).files(), [a]);
    disk.sync_dir(Path::new("")).unwrap();
    let after = disk.crash(1, Survival::NONE);
    assert_eq!(after.files(), [a, b]);
    assert_eq!(after.total_bytes(), before);
    // Still one file with two names: it goes with the second.
    after.remove_file(a).unwrap();
    assert_eq!(after.read_all(b).unwrap(), b"kept");
    after.remove_file(b).unwrap();
    assert_eq!(after.total_bytes(), 0);
}
