//! The redb engine on a disk that loses power, fails and fills up, and on damaged files.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use common::{Change, DIR, Model, TABLES, apply, batch_of, contents, try_contents};
use tidestore_disk::{Disk, Fault, SimDisk, Survival};
use tidestore_kv::{Engine, EngineKind, ErrorKind, Result, open};

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

/// A full disk once ended the tables until they were opened again, reads included; and since every change of a view that fails
/// poisons its shard, the store with them. Now what waits for space is shown, refused as not durable, and goes to the file
/// later; and whenever the power goes, what was flushed is there and nothing half.
#[test]
fn a_full_disk_hides_nothing_is_over_when_there_is_space_and_a_crash_meanwhile_costs_nothing() {
    let mut refused = 0;
    for k in (0..).step_by(7) {
        let disk = SimDisk::new();
        let engine = open_on(&disk).unwrap();
        let mut model = Model::new();
        let mut durable = Model::new();
        let mut possible = vec![model.clone()];
        let mut was_crashed = false;
        for n in 0..8_u8 {
            // Full to the last byte, and space again, by turns.
            disk.set_space((n % 4 < 2).then(|| disk.total_bytes() + u64::from(n) * 4_096));
            if n == 1 {
                disk.crash_at(k + 1);
            }
            let put = |key: u8| (0, vec![n, key], Some(vec![n; 3_000]));
            let changes: Vec<Change> = (0..12).map(put).collect();
            apply(&mut model, &changes);
            possible.push(model.clone());
            let done = engine
                .write(batch_of(&changes))
                .and_then(|()| engine.flush());
            was_crashed |= disk.is_crashed();
            if was_crashed {
                break;
            }
            match done {
                Ok(()) => {
                    durable = model.clone();
                    possible = vec![model.clone()];
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Full, "{k}: {error}");
                    assert!(n % 4 < 2, "{k}: there is space");
                    refused += 1;
                }
            }
            assert_eq!(contents(&*engine, &TABLES), model, "{k}: a row is hidden");
        }
        for survival in Survival::LEVELS {
            let found = open_on(&disk.crash(k, survival));
            let found = contents(&*found.unwrap(), &TABLES);
            let is_possible = found == durable || possible.contains(&found);
            assert!(is_possible, "{k}, {survival:?}: {} rows", found.len());
        }
        if !was_crashed {
            assert!(k > 20 && refused > 20, "{k} {refused}");
            return;
        }
    }
}
