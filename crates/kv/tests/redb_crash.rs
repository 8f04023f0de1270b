//! The redb engine on a disk that loses power, fails and fills up, and on damaged files.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use common::{Change, DIR, Model, TABLES, apply, batch_of, contents, try_contents};
use tidestore_disk::{Disk, Fault, SimDisk, Survival};
use tidestore_kv::{Engine, EngineKind, Result, open};

fn open_on(disk: &SimDisk) -> Result<Arc<dyn Engine>> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    open(EngineKind::Redb, &disk, Path::new(DIR))
}

fn work() -> Vec<Vec<Change>> {
    (0..9_u8)
        .map(|n| {
            let put = TABLES.map(|table| (table, vec![n % 4], Some(vec![n; 300])));
            put.into_iter()
                .chain([(0, vec![(n + 1) % 4], None)])
                .collect()
        })
        .collect()
}

/// Does the work until something fails; answers the states that may be found after a crash.
fn run_work(disk: &SimDisk) -> (Vec<Model>, Result<()>) {
    let mut model = Model::new();
    let mut possible = vec![Model::new()];
    let mut work_on = || {
        let engine = open_on(disk)?;
        for (n, changes) in work().iter().enumerate() {
            // In memory at first: what a flush that fails was to make durable may be there.
            apply(&mut model, changes);
            possible.push(model.clone());
            engine.write(batch_of(changes))?;
            if n % 3 == 2 {
                engine.flush()?;
                possible = vec![model.clone()];
            }
        }
        Ok(())
    };
    let done = work_on();
    (possible, done)
}

#[test]
fn a_crash_at_any_operation_leaves_whole_batches_in_order() {
    for k in 1.. {
        let disk = SimDisk::new();
        disk.crash_at(k);
        let (possible, done) = run_work(&disk);
        for survival in Survival::LEVELS {
            let engine = open_on(&disk.crash(k, survival));
            let engine = engine.unwrap_or_else(|error| panic!("{k}, {survival:?}: {error}"));
            let found = contents(&*engine, &TABLES);
            assert!(possible.contains(&found), "{k}, {survival:?}: {found:?}");
        }
        if done.is_ok() && !disk.is_crashed() {
            assert!(k > 15, "three flushes need more than {k} operations");
            return;
        }
    }
}

#[test]
fn a_failure_at_any_operation_loses_nothing_that_was_flushed() {
    for fault in [Fault::Eio, Fault::NoSpace] {
        for k in 1.. {
            let disk = SimDisk::new();
            disk.fail_at(k, fault);
            let (possible, done) = run_work(&disk);
            disk.clear_faults();
            let found = contents(&*open_on(&disk).unwrap(), &TABLES);
            assert!(possible.contains(&found), "{fault:?} at {k}: {found:?}");
            if done.is_ok() {
                break;
            }
        }
    }
}

/// A row that is shown is the row that was written, or an error says that it cannot be. One may be missing: redb does not
/// look at the checksums of its pages while it reads, and a page that says it holds fewer rows is believed. And a few flips
/// make redb abort the process; so this runs in processes of its own, each from where the last one ended.
#[test]
fn a_flipped_bit_never_shows_as_another_row() {
    if let Ok(from) = std::env::var(CHILD) {
        flip_from(from.parse().unwrap());
        return;
    }
    let (mut from, mut counts) = (0, BTreeMap::new());
    loop {
        let child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "a_flipped_bit_never_shows_as_another_row",
                "--nocapture",
            ])
            .env(CHILD, from.to_string())
            .env("RUST_BACKTRACE", "0")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout).into_owned();
        for line in said.lines().filter_map(|line| line.strip_prefix("flip ")) {
            let (offset, outcome) = line.split_once(' ').unwrap();
            from = offset.parse::<usize>().unwrap() + 41;
            *counts.entry(outcome.to_owned()).or_insert(0) += 1;
        }
        if said.contains("flips are done") {
            break;
        }
        // It went while it tried the offset behind the last that it spoke of.
        assert!(child.status.code().is_none(), "{said}\n{child:?}");
        *counts.entry("aborted".to_owned()).or_insert(0) += 1;
        from += 41;
    }
    println!("{counts:?}");
    assert!(!counts.contains_key("wrong"), "{counts:?}");
    assert!(
        counts["noticed"] > 10 && counts["harmless"] > 10,
        "{counts:?}"
    );
}

const CHILD: &str = "TIDESTORE_TEST_REDB_FLIP_FROM";

fn flip_from(from: usize) {
    let disk = SimDisk::new();
    let (possible, _) = run_work(&disk);
    let path = Path::new(DIR).join("tables.redb");
    let len = disk.read_all(&path).unwrap().len();
    for offset in (from..len).step_by(41) {
        let disk = disk.crash(0, Survival::ALL);
        disk.flip_bit(&path, offset as u64, 3).unwrap();
        let opened = open_on(&disk).and_then(|engine| try_contents(&*engine, &TABLES));
        let outcome = match opened {
            Err(_) => "noticed",
            Ok(found) if found == possible[0] => "harmless",
            Ok(found) => {
                let is_right = |(place, value)| possible[0].get(place) == Some(value);
                if found.iter().all(is_right) {
                    "missing"
                } else {
                    "wrong"
                }
            }
        };
        println!("flip {offset} {outcome}");
    }
    println!("flips are done");
}

#[test]
fn a_truncated_file_is_an_error_and_stays_as_it_is() {
    let disk = SimDisk::new();
    let _ = run_work(&disk);
    let path = Path::new(DIR).join("tables.redb");
    let whole = disk.read_all(&path).unwrap();
    for len in [1, 100, 4_096, whole.len() / 2, whole.len() - 1] {
        let disk = disk.crash(0, Survival::ALL);
        disk.plant(&path, &whole[..len]).unwrap();
        let opened = open_on(&disk).and_then(|engine| try_contents(&*engine, &TABLES));
        assert!(opened.is_err(), "{len} bytes");
    }
}

/// A full disk made redb refuse everything until it was opened anew, so a shard whose tables had no room stopped for good:
/// no appends, and no expiry either, which alone could have made room.
#[test]
fn a_full_disk_is_over_when_there_is_space_and_nothing_was_lost_meanwhile() {
    for room in (0..60_000).step_by(1_500) {
        let disk = SimDisk::new();
        let engine = open_on(&disk).unwrap();
        let mut model = Model::new();
        let mut refused = 0;
        disk.set_space(Some(disk.total_bytes() + room));
        for (n, mut changes) in work().into_iter().enumerate() {
            let more = u8::try_from(n).unwrap();
            changes.extend((100..160).map(|key| (0, vec![key, more], Some(vec![more; 400]))));
            match engine.write(batch_of(&changes)) {
                Ok(()) => apply(&mut model, &changes),
                Err(error) => assert_eq!(error.kind(), tidestore_kv::ErrorKind::Full),
            }
            // What was taken is read, whether it has room on the disk or not.
            assert_eq!(
                contents(&*engine, &TABLES),
                model,
                "{room} bytes, batch {n}"
            );
            refused += u32::from(engine.flush().is_err());
        }
        assert!(refused > 0 || room > 30_000, "{room} bytes");
        disk.set_space(None);
        let (last, changes) = (work(), vec![(0, vec![250], Some(vec![1; 10]))]);
        engine.write(batch_of(&last[3])).unwrap();
        engine.write(batch_of(&changes)).unwrap();
        apply(&mut model, &last[3]);
        apply(&mut model, &changes);
        engine.flush().unwrap();
        let after = disk.crash(room, Survival::NONE);
        drop(engine);
        assert_eq!(
            contents(&*open_on(&after).unwrap(), &TABLES),
            model,
            "{room} bytes"
        );
    }
}
