use std::os::unix::fs::{PermissionsExt, symlink};

use tempfile::TempDir;

use super::*;

#[test]
fn creating_makes_the_missing_parents_and_opening_does_not() {
    let dir = TempDir::new().unwrap();
    let root = dir.path().join("a/b");
    assert_eq!(
        RealDisk::open(&root).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    let disk = RealDisk::create(&root).unwrap();
    RealDisk::create(&root).unwrap();
    RealDisk::open(&root).unwrap();
    assert_eq!(disk.native_path(Path::new("x/./y")), Some(root.join("x/y")));
}

#[test]
fn a_root_that_is_a_file_is_refused() {
    let dir = TempDir::new().unwrap();
    let disk = RealDisk::open(dir.path()).unwrap();
    Disk::open(&disk, Path::new("f"), OpenMode::CreateNew).unwrap();
    let file = dir.path().join("f");
    assert_eq!(
        RealDisk::open(&file).unwrap_err().kind(),
        ErrorKind::Refused
    );
    assert_eq!(
        RealDisk::create(&file.join("x")).unwrap_err().kind(),
        ErrorKind::Refused
    );
}

#[test]
fn files_and_directories_are_private() {
    let dir = TempDir::new().unwrap();
    let root = dir.path().join("root");
    let disk = RealDisk::create(&root).unwrap();
    disk.create_dir_all(Path::new("d")).unwrap();
    Disk::open(&disk, Path::new("f"), OpenMode::Create).unwrap();
    for path in [root.clone(), root.join("d"), root.join("f")] {
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", path.display());
    }
}

#[test]
fn a_link_that_dangles_or_leaves_the_root_creates_nothing() {
    let outside = TempDir::new().unwrap();
    let dir = TempDir::new().unwrap();
    symlink(outside.path().join("new"), dir.path().join("dangling")).unwrap();
    symlink(outside.path(), dir.path().join("away")).unwrap();
    for has_openat2 in [true, false] {
        let disk = RealDisk::open(dir.path()).unwrap();
        if !has_openat2 {
            disk.forgo_openat2();
        }
        for path in ["dangling", "away/new"] {
            let error = Disk::open(&disk, Path::new(path), OpenMode::Create).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        }
        let error = disk.create_dir_all(Path::new("away/new")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    }
    assert_eq!(outside.path().read_dir().unwrap().count(), 0);
}

#[test]
fn the_disk_follows_its_root_when_that_is_renamed() {
    let dir = TempDir::new().unwrap();
    let disk = RealDisk::create(&dir.path().join("old")).unwrap();
    let above = RealDisk::open(dir.path()).unwrap();
    above.rename(Path::new("old"), Path::new("new")).unwrap();
    Disk::open(&disk, Path::new("f"), OpenMode::CreateNew).unwrap();
    assert_eq!(
        above.metadata(Path::new("new/f")).unwrap().kind,
        EntryKind::File
    );
}

#[test]
fn two_disks_on_one_directory_exclude_each_other() {
    let dir = TempDir::new().unwrap();
    let disks = [
        RealDisk::open(dir.path()).unwrap(),
        RealDisk::open(dir.path()).unwrap(),
    ];
    let lock = disks[0].lock(Path::new("LOCK")).unwrap();
    let error = disks[1].lock(Path::new("LOCK")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
    drop(lock);
    disks[1].lock(Path::new("LOCK")).unwrap();
}
