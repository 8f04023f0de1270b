//! What every disk must do, asked of the real one (with and without `openat2`) and the simulated
//! one alike.

mod differential;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

use crate::{
    Disk, EntryKind, ErrorKind, FileExt, OpenMode, RealDisk, Result, SimDisk, atomic_replace,
};

/// Runs a check on each kind of disk. The closure plants something that is neither file nor
/// directory at a path.
fn on_each_disk(check: impl Fn(&dyn Disk, &dyn Fn(&str))) {
    let sim = SimDisk::new();
    check(&sim, &|path| sim.plant_other(Path::new(path)).unwrap());
    for has_openat2 in [true, false] {
        for plant in [plant_symlink, plant_fifo] {
            let dir = TempDir::new().unwrap();
            let disk = RealDisk::open(dir.path()).unwrap();
            if !has_openat2 {
                disk.forgo_openat2();
            }
            check(&disk, &|path| plant(dir.path(), path));
        }
    }
}

fn plant_symlink(root: &Path, path: &str) {
    std::os::unix::fs::symlink(root, root.join(path)).unwrap();
}

fn plant_fifo(root: &Path, path: &str) {
    mknodat(CWD, root.join(path), FileType::Fifo, Mode::RWXU, 0).unwrap();
}

fn p(path: &str) -> &Path {
    Path::new(path)
}

fn write(disk: &dyn Disk, path: &str, bytes: &[u8]) {
    let file = disk.open(p(path), OpenMode::Create).unwrap();
    file.write_all_at(bytes, 0, p(path)).unwrap();
}

fn read(disk: &dyn Disk, path: &str) -> Vec<u8> {
    let file = disk.open(p(path), OpenMode::Read).unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(&mut bytes, 0, p(path)).unwrap();
    bytes
}

fn names(disk: &dyn Disk, path: &str) -> Vec<String> {
    disk.list(p(path))
        .unwrap()
        .into_iter()
        .map(|entry| entry.name)
        .collect()
}

#[track_caller]
fn assert_fails<T>(result: Result<T>, kind: ErrorKind) {
    match result {
        Ok(_) => panic!("succeeded instead of failing with {kind:?}"),
        Err(error) => assert_eq!(error.kind(), kind, "{error}"),
    }
}

#[test]
fn modes_say_whether_a_file_is_created() {
    on_each_disk(|disk, _| {
        assert_fails(disk.open(p("f"), OpenMode::Read), ErrorKind::NotFound);
        assert_fails(disk.open(p("f"), OpenMode::Write), ErrorKind::NotFound);
        disk.open(p("f"), OpenMode::CreateNew)
            .unwrap()
            .write_at(b"x", 0)
            .unwrap();
        assert_fails(
            disk.open(p("f"), OpenMode::CreateNew),
            ErrorKind::AlreadyExists,
        );
        disk.open(p("f"), OpenMode::Create)
            .unwrap()
            .write_at(b"y", 1)
            .unwrap();
        disk.open(p("f"), OpenMode::Write)
            .unwrap()
            .write_at(b"z", 3)
            .unwrap();
        assert_eq!(read(disk, "f"), b"xy\0z");
        assert_fails(disk.open(p("d/f"), OpenMode::Create), ErrorKind::NotFound);
    });
}

#[test]
fn a_file_opened_for_reading_cannot_be_written() {
    on_each_disk(|disk, _| {
        write(disk, "f", b"x");
        let file = disk.open(p("f"), OpenMode::Read).unwrap();
        assert_fails(file.write_at(b"y", 0), ErrorKind::Io);
        assert!(file.set_len(0).is_err());
        assert_eq!(read(disk, "f"), b"x");
    });
}

#[test]
fn reads_end_at_the_end_of_the_file() {
    on_each_disk(|disk, _| {
        write(disk, "f", b"abc");
        let file = disk.open(p("f"), OpenMode::Read).unwrap();
        let mut buf = [0; 8];
        assert_eq!(file.read_at(&mut buf, 1).unwrap(), 2);
        assert_eq!(file.read_at(&mut buf, 3).unwrap(), 0);
        assert_eq!(file.read_at(&mut buf, 1 << 40).unwrap(), 0);
        assert_eq!(file.read_at(&mut [], 0).unwrap(), 0);
        let error = file.read_exact_at(&mut buf, 1, p("f")).unwrap_err();
        assert_eq!(
            (error.kind(), error.offset()),
            (ErrorKind::Corruption, Some(3))
        );
    });
}

#[test]
fn a_file_is_cut_and_extended_with_zeros() {
    on_each_disk(|disk, _| {
        let file = disk.open(p("f"), OpenMode::CreateNew).unwrap();
        assert!(file.is_empty().unwrap());
        assert_eq!(file.write_at(&[], 5).unwrap(), 0);
        file.write_all_at(b"abcdef", 0, p("f")).unwrap();
        file.set_len(2).unwrap();
        file.set_len(4).unwrap();
        assert_eq!(
            (read(disk, "f"), file.len().unwrap()),
            (b"ab\0\0".to_vec(), 4)
        );
        file.sync_data().unwrap();
        let metadata = disk.metadata(p("f")).unwrap();
        assert_eq!((metadata.kind, metadata.len), (EntryKind::File, 4));
        assert_eq!(metadata.allocated % 512, 0);
    });
}

#[test]
fn a_punched_range_reads_as_zeros_and_takes_no_space() {
    on_each_disk(|disk, _| {
        let file = disk.open(p("f"), OpenMode::CreateNew).unwrap();
        file.write_all_at(&vec![7; 40_000], 0, p("f")).unwrap();
        file.sync_data().unwrap();
        let before = disk.metadata(p("f")).unwrap();
        if !file.punch(4_096, 20_480).unwrap() {
            return;
        }
        file.sync_data().unwrap();
        let after = disk.metadata(p("f")).unwrap();
        assert_eq!(after.len, before.len);
        assert_eq!(before.allocated - after.allocated, 20_480);
        let bytes = read(disk, "f");
        assert_eq!(bytes[..4_096], [7; 4_096]);
        assert!(bytes[4_096..24_576].iter().all(|byte| *byte == 0));
        assert!(bytes[24_576..].iter().all(|byte| *byte == 7));
        // Twice is as good as once, and a hole can be written again.
        assert!(file.punch(4_096, 20_480).unwrap());
        file.write_all_at(&[9; 4_096], 8_192, p("f")).unwrap();
        assert_eq!(read(disk, "f")[8_192..12_288], [9; 4_096]);
    });
}

#[test]
fn a_hard_link_is_the_same_file_under_another_name() {
    on_each_disk(|disk, plant| {
        write(disk, "a", b"first");
        disk.create_dir_all(p("d")).unwrap();
        assert!(disk.hard_link(p("a"), disk, p("d/b")).unwrap());
        write(disk, "a", b"FIR");
        assert_eq!(read(disk, "d/b"), b"FIRst");
        assert_fails(
            disk.hard_link(p("a"), disk, p("d/b")),
            ErrorKind::AlreadyExists,
        );
        // The file stays until its last name goes.
        disk.remove_file(p("a")).unwrap();
        assert_eq!(read(disk, "d/b"), b"FIRst");
        assert_fails(disk.hard_link(p("a"), disk, p("c")), ErrorKind::NotFound);
        assert_fails(disk.hard_link(p("d"), disk, p("c")), ErrorKind::Refused);
        plant("odd");
        assert_fails(disk.hard_link(p("odd"), disk, p("c")), ErrorKind::Refused);
        assert_eq!(names(disk, "d"), ["b"]);
        let other = SimDisk::new();
        assert!(!disk.hard_link(p("d/b"), &other, p("b")).unwrap());
    });
}

#[test]
fn a_hard_link_reaches_from_one_real_disk_to_another_of_the_same_filesystem() {
    let (left, right) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let from = RealDisk::open(left.path()).unwrap();
    let to = RealDisk::open(right.path()).unwrap();
    write(&from, "a", b"shared");
    assert!(from.hard_link(p("a"), &to, p("b")).unwrap());
    assert_eq!(read(&to, "b"), b"shared");
    assert_fails(from.hard_link(p("a"), &to, p("../b")), ErrorKind::Refused);
}

#[test]
fn a_rename_replaces_its_target() {
    on_each_disk(|disk, _| {
        disk.create_dir_all(p("d")).unwrap();
        write(disk, "a", b"new");
        write(disk, "d/b", b"old");
        let old = disk.open(p("d/b"), OpenMode::Read).unwrap();
        disk.rename(p("a"), p("d/b")).unwrap();
        assert_eq!(
            (names(disk, ""), names(disk, "d")),
            (vec!["d".into()], vec!["b".into()])
        );
        assert_eq!(read(disk, "d/b"), b"new");
        let mut buf = [0; 3];
        old.read_exact_at(&mut buf, 0, p("d/b")).unwrap();
        assert_eq!(&buf, b"old");
        disk.rename(p("d/b"), p("d/b")).unwrap();
        assert_fails(disk.rename(p("a"), p("c")), ErrorKind::NotFound);
        assert_fails(disk.rename(p("d/b"), p("x/b")), ErrorKind::NotFound);
        assert_fails(disk.rename(p("d/b"), p("d")), ErrorKind::Refused);
        assert_fails(disk.rename(p("d"), p("d/e")), ErrorKind::Refused);
        disk.sync_dir(p("")).unwrap();
        disk.sync_dir(p("d")).unwrap();
    });
}

#[test]
fn an_unlinked_file_stays_usable_through_its_handle() {
    on_each_disk(|disk, _| {
        write(disk, "f", b"abc");
        let file = disk.open(p("f"), OpenMode::Write).unwrap();
        disk.remove_file(p("f")).unwrap();
        assert_fails(disk.metadata(p("f")), ErrorKind::NotFound);
        assert_fails(disk.remove_file(p("f")), ErrorKind::NotFound);
        file.write_all_at(b"X", 1, p("f")).unwrap();
        file.sync_data().unwrap();
        write(disk, "f", b"other");
        let mut buf = [0; 3];
        file.read_exact_at(&mut buf, 0, p("f")).unwrap();
        assert_eq!(&buf, b"aXc");
    });
}

#[test]
fn directories_are_made_listed_and_removed() {
    on_each_disk(|disk, _| {
        disk.create_dir_all(p("a/b/c")).unwrap();
        disk.create_dir_all(p("a/b/c")).unwrap();
        disk.create_dir_all(p("")).unwrap();
        write(disk, "a/z", b"");
        write(disk, "a/B", b"");
        let list = disk.list(p("a")).unwrap();
        let found: Vec<_> = list
            .iter()
            .map(|entry| (&entry.name[..], entry.kind))
            .collect();
        let expected = [
            ("B", EntryKind::File),
            ("b", EntryKind::Dir),
            ("z", EntryKind::File),
        ];
        assert_eq!(found, expected);
        assert_eq!(names(disk, "."), ["a"]);
        assert_eq!(disk.metadata(p("a")).unwrap().kind, EntryKind::Dir);
        assert_eq!(disk.metadata(p("")).unwrap().kind, EntryKind::Dir);
        assert_fails(disk.remove_dir(p("a")), ErrorKind::Io);
        assert_fails(disk.remove_dir(p("a/x")), ErrorKind::NotFound);
        disk.remove_dir(p("a/b/c")).unwrap();
        assert_fails(disk.list(p("a/b/c")), ErrorKind::NotFound);
        assert_fails(disk.sync_dir(p("a/b/c")), ErrorKind::NotFound);
    });
}

#[test]
fn a_file_is_not_a_directory_and_a_directory_not_a_file() {
    on_each_disk(|disk, _| {
        disk.create_dir_all(p("d")).unwrap();
        write(disk, "f", b"x");
        for mode in [OpenMode::Read, OpenMode::Write, OpenMode::Create] {
            assert_fails(disk.open(p("d"), mode), ErrorKind::Refused);
        }
        assert_fails(disk.remove_file(p("d")), ErrorKind::Refused);
        assert_fails(disk.remove_dir(p("f")), ErrorKind::Refused);
        assert_fails(disk.list(p("f")), ErrorKind::Refused);
        assert_fails(disk.sync_dir(p("f")), ErrorKind::Refused);
        assert_fails(disk.open(p("f/x"), OpenMode::Create), ErrorKind::Refused);
        assert_fails(disk.create_dir_all(p("f/x")), ErrorKind::Refused);
        assert_fails(disk.rename(p("d"), p("f")), ErrorKind::Refused);
        assert_fails(disk.lock(p("d")), ErrorKind::Refused);
    });
}

#[test]
fn a_lock_is_held_once_and_freed_when_dropped() {
    on_each_disk(|disk, _| {
        let lock = disk.lock(p("LOCK")).unwrap();
        assert_fails(disk.lock(p("LOCK")), ErrorKind::Locked);
        let other = disk.lock(p("OTHER")).unwrap();
        drop(lock);
        let again = disk.lock(p("LOCK")).unwrap();
        assert_fails(disk.lock(p("OTHER")), ErrorKind::Locked);
        drop((other, again));
        assert_eq!(names(disk, ""), ["LOCK", "OTHER"]);
    });
}

/// Tries every operation on a path.
fn assert_all_refused(disk: &dyn Disk, path: &Path) {
    let modes = [
        OpenMode::Read,
        OpenMode::Write,
        OpenMode::Create,
        OpenMode::CreateNew,
    ];
    for mode in modes {
        assert_fails(disk.open(path, mode), ErrorKind::Refused);
    }
    assert_fails(disk.rename(path, p("to")), ErrorKind::Refused);
    assert_fails(disk.rename(p("f"), path), ErrorKind::Refused);
    assert_fails(disk.remove_file(path), ErrorKind::Refused);
    assert_fails(disk.remove_dir(path), ErrorKind::Refused);
    assert_fails(disk.create_dir_all(path), ErrorKind::Refused);
    assert_fails(disk.sync_dir(path), ErrorKind::Refused);
    assert_fails(disk.list(path), ErrorKind::Refused);
    assert_fails(disk.metadata(path), ErrorKind::Refused);
    assert_fails(disk.lock(path), ErrorKind::Refused);
    assert_fails(atomic_replace(disk, path, b"x"), ErrorKind::Refused);
}

#[test]
fn paths_that_leave_the_disk_are_refused() {
    let long = format!("d/{}", "x".repeat(256));
    let paths = [
        "/",
        "/etc/passwd",
        "..",
        "../x",
        "d/../f",
        "d/..",
        "f\0",
        "d\0/f",
        &long,
    ];
    on_each_disk(|disk, _| {
        disk.create_dir_all(p("d")).unwrap();
        write(disk, "f", b"x");
        for path in paths {
            assert_all_refused(disk, p(path));
            assert_eq!(disk.native_path(p(path)), None);
        }
        assert_eq!(
            (names(disk, ""), read(disk, "f")),
            (vec!["d".into(), "f".into()], b"x".into())
        );
    });
}

#[test]
fn the_root_itself_can_only_be_listed_and_synced() {
    on_each_disk(|disk, _| {
        write(disk, "f", b"x");
        assert_fails(disk.open(p(""), OpenMode::Read), ErrorKind::Refused);
        assert_fails(disk.remove_dir(p("")), ErrorKind::Refused);
        assert_fails(disk.rename(p("f"), p("")), ErrorKind::Refused);
        assert_fails(disk.rename(p(""), p("x")), ErrorKind::Refused);
        assert_fails(disk.lock(p("")), ErrorKind::Refused);
        disk.sync_dir(p("")).unwrap();
    });
}

#[test]
fn planted_links_and_pipes_are_listed_but_never_used() {
    on_each_disk(|disk, plant| {
        write(disk, "f", b"x");
        plant("link");
        for mode in [OpenMode::Read, OpenMode::Write, OpenMode::Create] {
            assert_fails(disk.open(p("link"), mode), ErrorKind::Refused);
        }
        assert_fails(
            disk.open(p("link"), OpenMode::CreateNew),
            ErrorKind::AlreadyExists,
        );
        assert_all_refused(disk, p("link/f"));
        assert_fails(disk.list(p("link")), ErrorKind::Refused);
        assert_fails(disk.sync_dir(p("link")), ErrorKind::Refused);
        assert_fails(disk.create_dir_all(p("link")), ErrorKind::Refused);
        assert_fails(disk.remove_file(p("link")), ErrorKind::Refused);
        assert_fails(disk.remove_dir(p("link")), ErrorKind::Refused);
        assert_fails(disk.rename(p("link"), p("x")), ErrorKind::Refused);
        assert_fails(disk.rename(p("f"), p("link")), ErrorKind::Refused);
        assert_fails(disk.lock(p("link")), ErrorKind::Refused);
        assert_eq!(disk.metadata(p("link")).unwrap().kind, EntryKind::Other);
        let list = disk.list(p("")).unwrap();
        let kinds: Vec<_> = list
            .iter()
            .map(|entry| (&entry.name[..], entry.kind))
            .collect();
        assert_eq!(kinds, [("f", EntryKind::File), ("link", EntryKind::Other)]);
    });
}

#[test]
fn a_foreign_name_that_is_not_text_is_listed_with_replacements() {
    on_each_disk(|disk, _| {
        let foreign = Path::new(OsStr::from_bytes(b"a\xff"));
        disk.open(foreign, OpenMode::CreateNew).unwrap();
        assert_eq!(names(disk, ""), ["a\u{fffd}"]);
    });
}
