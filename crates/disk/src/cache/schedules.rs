//! The cache under a scheduler: files are opened, evicted, forgotten and removed at once, and descriptors run out.
//! See `tests/concurrency/README.md`.

use std::fmt::Write as _;

use super::*;
use crate::sync::{explore, thread};
use crate::{ErrorKind, FileExt, SimDisk};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

fn setup(capacity: usize) -> (SimDisk, Arc<FileCache>) {
    let disk = SimDisk::new();
    for name in NAMES {
        disk.plant(Path::new(name), name.as_bytes()).unwrap();
    }
    let cache = FileCache::new(Arc::new(disk.clone()), capacity);
    (disk, Arc::new(cache))
}

/// Opens a file and reads it; `None` if it is not there.
fn read(cache: &FileCache, name: &str) -> Option<()> {
    let path = Path::new(name);
    let file = match cache.open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        file => file.unwrap(),
    };
    let mut byte = [0];
    file.read_exact_at(&mut byte, 0, path).unwrap();
    assert_eq!(&byte, name.as_bytes());
    Some(())
}

/// Reads files in this order, on a thread of its own.
fn reader(cache: &Arc<FileCache>, names: &'static str) -> thread::JoinHandle<usize> {
    let cache = Arc::clone(cache);
    let work = move || {
        let mut found = 0;
        for name in names.chars() {
            let mut path = String::new();
            write!(path, "{name}").unwrap();
            found += usize::from(read(&cache, &path).is_some());
            assert!(cache.len() <= cache.capacity, "more files than allowed");
        }
        found
    };
    thread::spawn(names.to_owned(), work).unwrap()
}

/// The two indexes of the cache agree, and whatever is open is in it.
fn check(disk: &SimDisk, cache: &FileCache) {
    let files = cache.files.lock();
    assert_eq!(files.by_path.len(), files.by_use.len());
    for (path, (_, used)) in &files.by_path {
        assert_eq!(files.by_use.get(used), Some(path));
    }
    let len = files.by_path.len();
    drop(files);
    assert_eq!(disk.open_files(), len, "a file is held open by nobody");
}

#[test]
fn files_that_come_and_go_are_what_they_are_called_and_stay_within_the_capacity() {
    explore(3_000, || {
        let (disk, cache) = setup(2);
        let readers = ["abcd", "dcba", "bbac"].map(|names| reader(&cache, names));
        for reader in readers {
            assert_eq!(reader.join().unwrap(), 4);
        }
        check(&disk, &cache);
    });
}

/// Otherwise its bytes would stay on the disk for as long as the cache has room.
#[test]
fn a_file_that_is_removed_and_forgotten_is_not_held_open_by_the_cache() {
    explore(3_000, || {
        let (disk, cache) = setup(4);
        let readers = ["aba", "aab"].map(|names| reader(&cache, names));
        let remover = {
            let (disk, cache) = (disk.clone(), Arc::clone(&cache));
            let work = move || {
                disk.remove_file(Path::new("a")).unwrap();
                cache.forget(Path::new("a"));
            };
            thread::spawn("remover".to_owned(), work).unwrap()
        };
        remover.join().unwrap();
        for reader in readers {
            assert!(reader.join().unwrap() >= 1, "the file that stays was there");
        }
        assert!(!cache.files.lock().by_path.contains_key(Path::new("a")));
        check(&disk, &cache);
    });
}

/// Two readers hold a file each and may be closing another one that both have opened at once: with three descriptors nobody
/// may hear that there is none, as the cache can always give one back.
#[test]
fn running_out_of_descriptors_is_nobodys_error_while_the_cache_can_give_some_back() {
    explore(3_000, || {
        let (disk, cache) = setup(4);
        disk.limit_open_files(3);
        let readers = ["abcd", "dcba"].map(|names| reader(&cache, names));
        for reader in readers {
            assert_eq!(reader.join().unwrap(), 4);
        }
        check(&disk, &cache);
    });
}
