//! sled on a real disk: snapshots that block opening are set aside, and nothing is lost.

#![expect(
    clippy::disallowed_methods,
    reason = "the damage is done behind the disk's back"
)]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{Change, DIR, House, Model, TABLES, apply, batch_of, contents, try_contents};
use tidestore_kv::{EngineKind, ErrorKind, SledEngine, open};

fn batch(round: u8) -> Vec<Change> {
    let entry = |i: u16| {
        (
            TABLES[usize::from(i % 4)],
            i.to_be_bytes().to_vec(),
            Some(vec![round; 90]),
        )
    };
    (0..400)
        .map(entry)
        .chain([(0, vec![round], Some(Vec::new()))])
        .collect()
}

/// A closed store of several generations, and what is in it.
fn filled() -> (House, Model) {
    let house = House::new(EngineKind::Sled);
    let mut model = Model::new();
    for round in 0..4 {
        fill(&house, &mut model, round);
    }
    (house, model)
}

fn fill(house: &House, model: &mut Model, round: u8) {
    let engine = house.open();
    engine.write(batch_of(&batch(round))).unwrap();
    apply(model, &batch(round));
    engine.flush().unwrap();
}

fn native(house: &House) -> PathBuf {
    house.disk.native_path(Path::new(DIR)).unwrap()
}

fn names_in(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn snapshots(house: &House) -> Vec<PathBuf> {
    let dir = native(house);
    let names = names_in(&dir).into_iter();
    names
        .filter(|name| name.starts_with("snap."))
        .map(|name| dir.join(name))
        .collect()
}

/// The one snapshot of a closed store, which sled writes when it opens.
fn snapshot(house: &House) -> PathBuf {
    let mut found = snapshots(house);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

fn assert_heals(house: &House, model: &Model, damaged: &[u8]) {
    let engine = house.open();
    assert_eq!(contents(&*engine, &TABLES), *model);
    let quarantined = engine.quarantined();
    assert_eq!(quarantined.len(), 1);
    assert!(
        quarantined[0].starts_with("views/quarantine"),
        "{quarantined:?}"
    );
    let kept = house.disk.native_path(&quarantined[0]).unwrap();
    assert!(
        fs::read(kept).unwrap() == damaged,
        "the file is kept as it was"
    );
    drop(engine);
    let engine = house.open();
    assert!(engine.quarantined().is_empty(), "healed for good");
    assert_eq!(contents(&*engine, &TABLES), *model);
}

#[test]
fn a_snapshot_of_garbage_is_set_aside_and_everything_comes_back() {
    let (house, model) = filled();
    let garbage: Vec<u8> = (0..5_000_u32)
        .map(|i| i.wrapping_mul(37).to_le_bytes()[0])
        .collect();
    fs::write(snapshot(&house), &garbage).unwrap();
    assert_heals(&house, &model, &garbage);
}

#[test]
fn a_snapshot_cut_anywhere_is_set_aside() {
    let (house, model) = filled();
    let path = snapshot(&house);
    let intact = fs::read(&path).unwrap();
    for len in [0, 1, 12, 13, intact.len() / 2, intact.len() - 1] {
        fs::write(snapshot(&house), &intact[..len]).unwrap();
        assert_heals(&house, &model, &intact[..len]);
    }
    assert_eq!(
        names_in(&native(&house).with_file_name("quarantine")).len(),
        6
    );
}

#[test]
fn a_flipped_bit_in_a_snapshot_costs_nothing() {
    let (house, model) = filled();
    let mut bytes = fs::read(snapshot(&house)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(snapshot(&house), &bytes).unwrap();
    assert_heals(&house, &model, &bytes);
}

#[test]
fn an_unfinished_snapshot_is_set_aside_before_sled_sees_it() {
    let (house, model) = filled();
    let unfinished = native(&house).join("snap.00FFFFFFFFFFFFFF.generating");
    fs::write(&unfinished, b"half of it").unwrap();
    assert_heals(&house, &model, b"half of it");
}

#[test]
fn stale_snapshots_of_the_same_store_lose_nothing() {
    let house = House::new(EngineKind::Sled);
    let mut model = Model::new();
    let mut stale = Vec::new();
    fill(&house, &mut model, 0);
    for round in 1..7 {
        fill(&house, &mut model, round);
        let path = snapshot(&house);
        stale.push((path.clone(), fs::read(path).unwrap()));
    }
    for (path, bytes) in &stale {
        for current in snapshots(&house) {
            fs::remove_file(current).unwrap();
        }
        fs::write(path, bytes).unwrap();
        assert_eq!(
            contents(&*house.open(), &TABLES),
            model,
            "{}",
            path.display()
        );
    }
}

#[test]
fn a_snapshot_of_another_store_is_set_aside_even_though_sled_panics() {
    let (house, model) = filled();
    let (other, _) = filled();
    for round in 4..40 {
        fill(&other, &mut Model::new(), round);
    }
    let foreign = snapshot(&other);
    let bytes = fs::read(&foreign).unwrap();
    fs::remove_file(snapshot(&house)).unwrap();
    fs::write(native(&house).join(foreign.file_name().unwrap()), &bytes).unwrap();
    assert_heals(&house, &model, &bytes);
}

fn copy_dir(from: &Path, to: &Path) {
    if to.exists() {
        fs::remove_dir_all(to).unwrap();
    }
    fs::create_dir_all(to).unwrap();
    for name in names_in(from) {
        if from.join(&name).is_dir() {
            copy_dir(&from.join(&name), &to.join(&name));
        } else {
            fs::copy(from.join(&name), to.join(&name)).unwrap();
        }
    }
}

/// sled opens a log with damage in its middle without a word, and without the flushed batches
/// behind the damage, down to an empty tree: a view would have lost changes whose records the
/// commit log had been allowed to drop.
#[test]
fn damage_anywhere_in_the_log_costs_nothing_or_is_an_error_but_is_never_silent() {
    let house = House::new(EngineKind::Sled);
    let mut model = Model::new();
    for round in 0..36_u8 {
        let entry = |i: u32| {
            let key = i * 7_919 % 3_001 + u32::from(round % 3) * 4_000;
            (1, key.to_be_bytes().to_vec(), Some(vec![round; 90]))
        };
        let changes: Vec<Change> = (0..3_000).map(entry).collect();
        let engine = house.open();
        engine.write(batch_of(&changes)).unwrap();
        apply(&mut model, &changes);
        engine.flush().unwrap();
    }
    let dir = native(&house);
    let backup = dir.with_file_name("backup");
    copy_dir(&dir, &backup);
    let intact = fs::read(dir.join("db")).unwrap();
    let mut errors = 0;
    for position in (0..intact.len()).step_by(intact.len() / 60) {
        copy_dir(&backup, &dir);
        let mut bytes = intact.clone();
        bytes
            .iter_mut()
            .skip(position)
            .take(64)
            .for_each(|byte| *byte ^= 0x55);
        fs::write(dir.join("db"), &bytes).unwrap();
        let found = open(EngineKind::Sled, &house.disk, Path::new(DIR))
            .and_then(|engine| try_contents(&*engine, &TABLES));
        match found {
            Ok(found) => assert!(found == model, "silent loss, damage at byte {position}"),
            Err(error) => {
                assert_eq!(
                    error.kind(),
                    ErrorKind::Corruption,
                    "byte {position}: {error}"
                );
                assert!(error.to_string().contains(DIR), "{error}");
                errors += 1;
            }
        }
    }
    assert!(errors > 0, "the damage hit nothing");
}

#[test]
fn a_damaged_mark_of_the_last_flush_is_an_error_that_names_it() {
    let (house, model) = filled();
    let path = native(&house).join("flushed");
    let intact = fs::read(&path).unwrap();
    let mut bytes = intact.clone();
    bytes[16] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let error = open(EngineKind::Sled, &house.disk, Path::new(DIR)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corruption);
    assert!(error.to_string().contains("flushed"), "{error}");
    fs::write(&path, &intact).unwrap();
    assert_eq!(contents(&*house.open(), &TABLES), model);
}

#[test]
fn what_was_written_before_a_kill_is_flushed_even_if_nothing_is_written_after() {
    let (house, _) = filled();
    let before = fs::read(native(&house).join("flushed")).unwrap();
    house.open().flush().unwrap();
    assert_ne!(fs::read(native(&house).join("flushed")).unwrap(), before);
}

#[test]
fn foreign_files_are_left_alone() {
    let (house, model) = filled();
    let foreign = native(&house).join("snapshot of my cat.jpg");
    fs::write(&foreign, b"meow").unwrap();
    fs::write(
        snapshot(&house),
        b"garbage, and rather more than twelve bytes of it",
    )
    .unwrap();
    assert_eq!(contents(&*house.open(), &TABLES), model);
    assert_eq!(fs::read(foreign).unwrap(), b"meow");
}

#[test]
fn planted_links_are_refused() {
    for name in ["db", "conf", "blobs", "snap.0000000000000001"] {
        let house = House::new(EngineKind::Sled);
        let elsewhere = tempfile::tempdir().unwrap();
        house.disk.create_dir_all(Path::new(DIR)).unwrap();
        let link = native(&house).join(name);
        std::os::unix::fs::symlink(elsewhere.path().join("target"), link).unwrap();
        let error = open(EngineKind::Sled, &house.disk, Path::new(DIR)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{name}");
        assert!(error.to_string().contains(name), "{error}");
        assert_eq!(
            names_in(elsewhere.path()),
            [""; 0],
            "nothing was written through {name}"
        );
    }
}

#[test]
fn what_an_engine_prints_for_debugging_is_not_its_contents() {
    let (house, _) = filled();
    let engine = SledEngine::open(&house.disk, Path::new(DIR)).unwrap();
    let printed = format!("{engine:?} {:?}", Arc::new(&engine));
    assert!(printed.len() < 200, "{printed}");
}
