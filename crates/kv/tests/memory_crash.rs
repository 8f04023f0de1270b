//! The memory engine on a disk that loses power, fails and fills up.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{Change, DIR, House, Model, TABLES, apply, batch_of, change, contents, seeds_beside};
use proptest::prelude::*;
use tidestore_disk::{Disk, Fault, SimDisk, Survival};
use tidestore_kv::{Engine, EngineKind, ErrorKind, Result, Table, open};

fn open_on(disk: &SimDisk) -> Result<Arc<dyn Engine>> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    open(EngineKind::Memory, &disk, Path::new(DIR))
}

/// The states that a crash may leave: the last one flushed for certain, and all later ones.
struct Possible {
    model: Model,
    states: Vec<Model>,
}

impl Possible {
    fn new() -> Self {
        Self {
            model: Model::new(),
            states: vec![Model::new()],
        }
    }

    fn written(&mut self, changes: &[Change]) {
        apply(&mut self.model, changes);
        self.states.push(self.model.clone());
    }

    fn flushed(&mut self) {
        self.states = vec![self.model.clone()];
    }

    /// Cuts the power at every level of survival and looks at what is found.
    fn check_crashes(&self, disk: &SimDisk, seed: u64) {
        for survival in Survival::LEVELS {
            let engine = open_on(&disk.crash(seed, survival)).unwrap();
            let found = contents(&*engine, &TABLES);
            assert!(
                self.states.contains(&found),
                "seed {seed}, {survival:?}: a state that may not be: {found:?}"
            );
        }
    }
}

/// A fixed piece of work: nine batches over all tables, each third one flushed.
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

/// Does the work until something fails.
fn run_work(disk: &SimDisk, possible: &mut Possible) -> Result<()> {
    let engine = open_on(disk)?;
    for (n, changes) in work().iter().enumerate() {
        engine.write(batch_of(changes))?;
        possible.written(changes);
        if n % 3 == 2 {
            engine.flush()?;
            possible.flushed();
        }
    }
    Ok(())
}

#[test]
fn a_crash_at_any_operation_leaves_whole_batches_in_order() {
    for k in 1.. {
        let disk = SimDisk::new();
        disk.crash_at(k);
        let mut possible = Possible::new();
        let done = run_work(&disk, &mut possible).is_ok();
        for seed in 0..8 {
            possible.check_crashes(&disk, seed);
        }
        if done && !disk.is_crashed() {
            assert!(k > 15, "three flushes need more than {k} operations");
            return;
        }
    }
}

#[test]
fn a_failure_at_any_operation_is_reported_and_the_next_flush_may_succeed() {
    for k in 1.. {
        let disk = SimDisk::new();
        disk.fail_at(k, Fault::Eio);
        let operations = disk.operations() + k;
        let mut possible = Possible::new();
        let engine = match open_on(&disk) {
            Ok(engine) => engine,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Io);
                open_on(&disk).unwrap()
            }
        };
        for changes in work() {
            engine.write(batch_of(&changes)).unwrap();
            possible.written(&changes);
            if let Err(error) = engine.flush() {
                assert_eq!(error.kind(), ErrorKind::Io);
                possible.check_crashes(&disk, k);
                assert_eq!(contents(&*engine, &TABLES), possible.model);
                engine.flush().unwrap();
            }
            possible.flushed();
            possible.check_crashes(&disk, k);
        }
        if disk.operations() < operations {
            return;
        }
    }
}

#[test]
fn a_full_disk_refuses_the_flush_and_takes_it_once_there_is_space() {
    let disk = SimDisk::new();
    let engine = open_on(&disk).unwrap();
    let mut possible = Possible::new();
    let work = work();
    engine.write(batch_of(&work[0])).unwrap();
    possible.written(&work[0]);
    engine.flush().unwrap();
    possible.flushed();
    for space in [0, 10, 500, disk.total_bytes(), disk.total_bytes() + 39] {
        disk.set_space(Some(space));
        engine.write(batch_of(&work[1])).unwrap();
        possible.written(&work[1]);
        let error = engine.flush().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Full, "{space} bytes");
        assert_eq!(contents(&*engine, &TABLES), possible.model);
        possible.check_crashes(&disk, space);
    }
    disk.set_space(None);
    engine.flush().unwrap();
    possible.flushed();
    possible.check_crashes(&disk, 0);
}

#[test]
fn one_byte_at_a_time_is_enough() {
    let disk = SimDisk::new();
    disk.set_short_io(Some(1));
    let mut possible = Possible::new();
    run_work(&disk, &mut possible).unwrap();
    possible.check_crashes(&disk, 0);
}

#[test]
fn a_half_written_snapshot_and_foreign_files_do_not_matter() {
    let disk = SimDisk::new();
    let mut possible = Possible::new();
    run_work(&disk, &mut possible).unwrap();
    let foreign = Path::new(DIR).join(".DS_Store");
    let half = Path::new(DIR).join("snapshot.tmp");
    disk.plant(&foreign, b"Finder was here").unwrap();
    disk.plant(&half, b"TIDEKV").unwrap();
    assert_eq!(contents(&*open_on(&disk).unwrap(), &TABLES), possible.model);
    assert!(disk.files().contains(&foreign));
    assert!(!disk.files().contains(&half));
}

#[test]
fn a_damaged_snapshot_is_reported_and_stays() {
    let disk = SimDisk::new();
    run_work(&disk, &mut Possible::new()).unwrap();
    let path = Path::new(DIR).join("snapshot");
    disk.flip_bit(&path, 60, 3).unwrap();
    let before = disk.read_all(&path).unwrap();
    let error = open_on(&disk).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corruption);
    assert_eq!(disk.read_all(&path).unwrap(), before);
}

#[test]
fn a_flush_without_changes_writes_nothing() {
    let disk = SimDisk::new();
    let engine = open_on(&disk).unwrap();
    engine.write(batch_of(&work()[0])).unwrap();
    engine.flush().unwrap();
    let operations = disk.operations();
    engine.flush().unwrap();
    assert_eq!(disk.operations(), operations);
}

#[test]
fn a_crash_loses_what_was_not_flushed() {
    let house = House::new(EngineKind::Memory);
    let engine = house.open();
    engine
        .write(batch_of(&[(1, b"k".to_vec(), Some(b"v".to_vec()))]))
        .unwrap();
    drop(engine);
    assert_eq!(house.open().get(Table(1), b"k").unwrap(), None);
}

#[derive(Clone, Debug)]
enum Step {
    Write(Vec<Change>),
    Flush,
    /// Goes on from what a crash leaves.
    Crash(u64, Survival),
}

fn step() -> impl Strategy<Value = Step> {
    let crash = (
        any::<u64>(),
        prop::sample::select(Survival::LEVELS.to_vec()),
    );
    prop_oneof![
        6 => prop::collection::vec(change(), 0..12).prop_map(Step::Write),
        2 => Just(Step::Flush),
        1 => crash.prop_map(|(seed, survival)| Step::Crash(seed, survival)),
    ]
}

#[test]
fn crashes_in_any_history_leave_whole_batches_in_order() {
    proptest!(seeds_beside(file!(), 200), |(steps in prop::collection::vec(step(), 1..60))| {
        let mut disk = SimDisk::new();
        let mut engine = open_on(&disk).unwrap();
        let mut possible = Possible::new();
        for step in steps {
            match step {
                Step::Write(changes) => {
                    engine.write(batch_of(&changes)).unwrap();
                    possible.written(&changes);
                }
                Step::Flush => {
                    engine.flush().unwrap();
                    possible.flushed();
                }
                Step::Crash(seed, survival) => {
                    disk = disk.crash(seed, survival);
                    engine = open_on(&disk).unwrap();
                    let found = contents(&*engine, &TABLES);
                    prop_assert!(possible.states.contains(&found));
                    possible = Possible { model: found.clone(), states: vec![found] };
                }
            }
        }
    });
}
