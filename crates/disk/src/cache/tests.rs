use super::*;
use crate::{ErrorKind, Fault, FileExt, OpKind, SimDisk};

fn setup(capacity: usize) -> (SimDisk, FileCache) {
    let disk = SimDisk::new();
    for name in ["a", "b", "c"] {
        disk.plant(Path::new(name), name.as_bytes()).unwrap();
    }
    let cache = FileCache::new(Arc::new(disk.clone()), capacity);
    (disk, cache)
}

fn open_all(cache: &FileCache, names: &[&str]) {
    for name in names {
        let file = cache.open(Path::new(name)).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, 0, Path::new(name)).unwrap();
        assert_eq!(&byte, name.as_bytes());
    }
}

#[test]
fn an_open_file_is_not_opened_again() {
    let (disk, cache) = setup(2);
    open_all(&cache, &["a", "b", "a", "b", "a"]);
    assert_eq!(disk.count(OpKind::Open), 2);
}

#[test]
fn the_least_recently_used_file_leaves_first() {
    let (disk, cache) = setup(2);
    open_all(&cache, &["a", "b", "a", "c", "a"]);
    assert_eq!((disk.count(OpKind::Open), cache.len()), (3, 2));
    open_all(&cache, &["b"]);
    assert_eq!(disk.count(OpKind::Open), 4);
}

#[test]
fn a_forgotten_file_is_opened_afresh() {
    let (disk, cache) = setup(2);
    open_all(&cache, &["a"]);
    disk.remove_file(Path::new("a")).unwrap();
    cache.forget(Path::new("a"));
    assert_eq!(
        cache.open(Path::new("a")).unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

#[test]
fn a_file_forgotten_while_it_was_being_opened_is_not_kept() {
    let (disk, cache) = setup(2);
    let file = disk.open(Path::new("a"), OpenMode::Read).unwrap();
    let forgotten = cache.files.lock().forgotten;
    cache.forget(Path::new("a"));
    cache
        .files
        .lock()
        .insert(Path::new("a"), &file, forgotten, 2);
    assert!(cache.is_empty());
}

#[test]
fn running_out_of_descriptors_evicts_everything_and_tries_once_more() {
    let (disk, cache) = setup(3);
    open_all(&cache, &["a", "b"]);
    disk.fail_matching(OpKind::Open, 1, Fault::NoHandles);
    open_all(&cache, &["c"]);
    assert_eq!(cache.len(), 1);
    disk.fail_always(OpKind::Open, Fault::NoHandles);
    assert!(cache.open(Path::new("a")).unwrap_err().is_out_of_handles());
    disk.clear_faults();
    open_all(&cache, &["a", "b", "c"]);
}

#[test]
fn a_cache_of_nothing_still_opens() {
    let (_, cache) = setup(0);
    open_all(&cache, &["a", "b", "a"]);
    assert!(cache.is_empty());
}
