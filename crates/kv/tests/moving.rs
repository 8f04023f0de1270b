//! Moving tables by copy: from engine to engine, after much rewriting, and through crashes.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{DIR, House, Model, TABLES, apply, batch_of, contents};
use tidestore_disk::{Disk, Fault, SimDisk, Survival, atomic_replace, read_small};
use tidestore_kv::{Batch, Engine, EngineKind, ErrorKind, Table, open, rebuild};

fn fill(engine: &dyn Engine) -> Model {
    let mut model = Model::new();
    for n in 0..40_u8 {
        let changes = [
            (TABLES[usize::from(n) % 4], vec![n], Some(vec![n; 200])),
            (1, vec![n / 2], (n % 3 > 0).then(|| vec![n])),
        ];
        engine.write(batch_of(&changes)).unwrap();
        apply(&mut model, &changes);
    }
    engine.flush().unwrap();
    model
}

#[test]
fn tables_move_from_every_engine_to_every_engine() {
    let engines = [EngineKind::Sled, EngineKind::Redb];
    for (from, to) in engines
        .into_iter()
        .flat_map(|from| engines.map(|to| (from, to)))
    {
        let house = House::new(from);
        let mut model = fill(&*house.open());
        for kind in [to, from, to] {
            let mut told = 0;
            let moved = rebuild(&house.disk, Path::new(DIR), kind, &mut |rows| told = rows);
            assert_eq!(
                (moved.unwrap().rows, told),
                (model.len() as u64, model.len() as u64)
            );
            // Whoever opens it need not know.
            let engine = house.open();
            assert_eq!(engine.kind(), kind);
            assert_eq!(contents(&*engine, &TABLES), model);
            let more = [(0, b"more".to_vec(), Some(kind.to_string().into_bytes()))];
            engine.write(batch_of(&more)).unwrap();
            engine.flush().unwrap();
            apply(&mut model, &more);
        }
        let left = house.disk.list(Path::new(DIR)).unwrap();
        let left: Vec<_> = left.into_iter().map(|entry| entry.name).collect();
        assert_eq!(
            left,
            ["CURRENT".to_owned(), format!("{to}-000003")],
            "{from}"
        );
    }
}

#[test]
fn a_crash_at_any_operation_of_a_move_leaves_the_old_tables_or_the_new() {
    let disk = SimDisk::new();
    let arc = |disk: &SimDisk| Arc::new(disk.clone()) as Arc<dyn Disk>;
    let dir = Path::new(DIR);
    let model = fill(&*open(EngineKind::Memory, &arc(&disk), dir).unwrap());
    let mut after = [0, 0];
    for k in 1.. {
        let crashing = disk.crash(0, Survival::ALL);
        crashing.crash_at(k);
        let done = rebuild(&arc(&crashing), dir, EngineKind::Redb, &mut |_| {}).is_ok();
        for survival in Survival::LEVELS {
            let found = arc(&crashing.crash(k, survival));
            let engine = open(EngineKind::Memory, &found, dir).unwrap();
            assert_eq!(contents(&*engine, &TABLES), model, "{k}, {survival:?}");
            after[usize::from(engine.kind() == EngineKind::Redb)] += 1;
            // Nothing of the other is left over.
            let entries = found.list(dir).unwrap().len();
            assert!(entries <= 2, "{k}: {:?}", found.list(dir).unwrap());
        }
        let failing = disk.crash(0, Survival::ALL);
        failing.fail_at(k, Fault::Eio);
        drop(rebuild(&arc(&failing), dir, EngineKind::Redb, &mut |_| {}));
        failing.clear_faults();
        let engine = open(EngineKind::Memory, &arc(&failing), dir).unwrap();
        assert_eq!(contents(&*engine, &TABLES), model, "failure at {k}");
        if done && !crashing.is_crashed() {
            break;
        }
    }
    assert!(after[0] > 20 && after[1] > 3, "{after:?}");
}

#[test]
fn a_damaged_name_of_the_tables_is_an_error_and_costs_nothing() {
    let house = House::new(EngineKind::Redb);
    let model = fill(&*house.open());
    rebuild(&house.disk, Path::new(DIR), EngineKind::Sled, &mut |_| {}).unwrap();
    let path = Path::new(DIR).join("CURRENT");
    let line = read_small(&*house.disk, &path, 128).unwrap();
    for byte in 0..line.len() {
        let mut damaged = line.clone();
        damaged[byte] ^= 1;
        atomic_replace(&*house.disk, &path, &damaged).unwrap();
        let error = open(EngineKind::Sled, &house.disk, Path::new(DIR)).unwrap_err();
        let kinds = [ErrorKind::Corruption, ErrorKind::Unsupported];
        assert!(kinds.contains(&error.kind()), "{byte}: {error}");
    }
    atomic_replace(&*house.disk, &path, &line).unwrap();
    assert_eq!(contents(&*house.open(), &TABLES), model);
}

/// Much rewriting, then the removal of everything: the files follow what is in them.
#[test]
fn files_stay_near_what_is_in_them() {
    for kind in [EngineKind::Sled, EngineKind::Redb] {
        let house = House::new(kind);
        let engine = house.open();
        let (keys, mut state) = (20_000_u64, 7_u64);
        for round in 0..300 {
            let mut batch = Batch::new();
            for _ in 0..1_000 {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let key = (state >> 33) % keys;
                batch.put(
                    Table(1),
                    key.to_be_bytes(),
                    vec![state.to_le_bytes()[5]; 200],
                );
            }
            engine.write(batch).unwrap();
            if round % 20 == 19 {
                engine.flush().unwrap();
                engine.compact(3).unwrap();
            }
        }
        let logical = keys * 208;
        let files = engine.size_on_disk().unwrap();
        assert!(
            files < 3 * logical + (16 << 20),
            "{kind}: {files} bytes for {logical}"
        );
        for all in 0..20_u64 {
            let mut batch = Batch::new();
            for key in all * 1_000..(all + 1) * 1_000 {
                batch.delete(Table(1), key.to_be_bytes());
            }
            engine.write(batch).unwrap();
        }
        engine.flush().unwrap();
        drop(engine);
        let engine = house.open();
        assert_eq!(contents(&*engine, &[1]), Model::new());
        engine.compact(3).unwrap();
        let files = engine.size_on_disk().unwrap();
        assert!(files < 16 << 20, "{kind}: {files} bytes for nothing");
    }
}
