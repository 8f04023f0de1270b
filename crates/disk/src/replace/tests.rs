use super::*;
use crate::{Fault, OpKind, SimDisk, Survival};

const PATH: &str = "dir/manifest";
const OLD: &[u8] = b"the old bytes";

fn disk() -> SimDisk {
    let disk = SimDisk::new();
    disk.create_dir_all(Path::new("dir")).unwrap();
    atomic_replace(&disk, Path::new(PATH), OLD).unwrap();
    disk
}

#[test]
fn a_crash_at_any_operation_leaves_all_of_the_old_or_all_of_the_new() {
    let new = vec![7; 3000];
    for k in 1.. {
        let disk = disk();
        disk.crash_at(k);
        let acknowledged = atomic_replace(&disk, Path::new(PATH), &new).is_ok();
        assert_eq!(acknowledged, !disk.is_crashed());
        for (seed, survival) in (0..50).flat_map(|s| Survival::LEVELS.map(|level| (s, level))) {
            let after = disk.crash(seed, survival);
            let found = read_small(&after, Path::new(PATH), 4096).unwrap();
            assert!(
                found == new || (!acknowledged && found == OLD),
                "{k} {seed} {survival:?}"
            );
            atomic_replace(&after, Path::new(PATH), b"again").unwrap();
            assert_eq!(after.files(), [Path::new(PATH)], "{k} {seed} {survival:?}");
        }
        if acknowledged {
            return;
        }
    }
}

#[test]
fn a_fault_at_any_operation_leaves_the_file_whole_and_the_next_attempt_succeeds() {
    for fault in [Fault::Eio, Fault::NoSpace] {
        for k in 1.. {
            let disk = disk();
            let before = disk.operations();
            disk.fail_at(k, fault);
            let result = atomic_replace(&disk, Path::new(PATH), b"new");
            let found = disk.read_all(Path::new(PATH)).unwrap();
            assert!(found == b"new" || found == OLD);
            disk.clear_faults();
            atomic_replace(&disk, Path::new(PATH), b"newer").unwrap();
            let after = disk.crash(k, Survival::NONE);
            assert_eq!(after.read_all(Path::new(PATH)).unwrap(), b"newer");
            assert_eq!(after.files(), [Path::new(PATH)]);
            if result.is_ok() && disk.operations() < before + 2 * k {
                break;
            }
        }
    }
}

#[test]
fn it_costs_one_sync_and_one_directory_sync() {
    let disk = disk();
    let (syncs, dirs) = (disk.count(OpKind::Sync), disk.count(OpKind::SyncDir));
    atomic_replace(&disk, Path::new(PATH), b"new").unwrap();
    assert_eq!(
        (disk.count(OpKind::Sync), disk.count(OpKind::SyncDir)),
        (syncs + 1, dirs + 1)
    );
}

#[test]
fn short_writes_and_reads_are_completed() {
    let disk = disk();
    disk.set_short_io(Some(1));
    atomic_replace(&disk, Path::new(PATH), b"new").unwrap();
    assert_eq!(read_small(&disk, Path::new(PATH), 100).unwrap(), b"new");
}

#[test]
fn a_file_over_the_limit_is_reported_with_its_length() {
    let disk = disk();
    let error = read_small(&disk, Path::new(PATH), 5).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corruption);
    assert!(
        error
            .to_string()
            .ends_with("the file has 13 bytes, limit 5"),
        "{error}"
    );
}

#[test]
fn a_full_disk_keeps_the_old_bytes_and_gives_the_space_back() {
    let disk = disk();
    disk.set_space(Some(20));
    let error = atomic_replace(&disk, Path::new(PATH), b"more than seven bytes").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full);
    assert_eq!((disk.total_bytes(), disk.files().len()), (13, 1));
    atomic_replace(&disk, Path::new(PATH), b"fits").unwrap();
    assert_eq!(disk.total_bytes(), 4);
}
