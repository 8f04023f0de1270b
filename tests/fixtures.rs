//! Golden files: small data directories that each version wrote, and what must be read from them for ever.
//!
//! `fixtures/v1` holds one directory for each engine of the tables, as a kill would have left it: the newest records are in
//! the log only. They were written by
//!
//! ```sh
//! cargo test -p tidestore-tests --test fixtures -- --ignored write_golden_files
//! ```
//!
//! which writes those of the version that the code is, and refuses to touch files that are there: what was released does
//! not change. A new version gets a directory of its own, and the old ones stay.

#![expect(
    clippy::disallowed_methods,
    reason = "golden files lie beside the tests, outside of any store"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;
use tidestore::disk::{Env, RealDisk, SimClock, SimEntropy};
use tidestore::{EngineKind, FORMAT_VERSION, NewMessage, Store};
use tidestore_tests::world::{END, fill, leave_a_tail, look, options};
use tidestore_tests::{START, group, key, run, user};

const ENGINES: [EngineKind; 3] = [EngineKind::Redb, EngineKind::Sled, EngineKind::Memory];

fn fixtures(version: u32) -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.join("fixtures").join(format!("v{version}"))
}

fn archive(version: u32, engine: EngineKind) -> PathBuf {
    fixtures(version).join(format!("{engine}.tar.zst"))
}

/// A real disk with a clock that stands still.
fn env(dir: &Path, clock: &SimClock) -> Env {
    Env {
        disk: Arc::new(RealDisk::create(dir).unwrap()),
        clock: Arc::new(clock.clone()),
        entropy: Arc::new(SimEntropy::new(1)),
    }
}

async fn open(dir: &Path, engine: EngineKind) -> Store {
    let env = env(dir, &SimClock::new(END));
    Store::open_env(env, options(engine)).await.unwrap()
}

fn unpack(version: u32, engine: EngineKind) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let packed = std::fs::read(archive(version, engine)).unwrap();
    let tar = zstd::stream::read::Decoder::new(&packed[..]).unwrap();
    tar::Archive::new(tar).unpack(dir.path()).unwrap();
    dir
}

fn expected(version: u32) -> Value {
    let text = std::fs::read_to_string(fixtures(version).join("expected.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Says where two values differ, so that nobody has to find one number among thousands.
fn differences(found: &Value, expected: &Value, at: &str, into: &mut Vec<String>) {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            // What a later version reads besides is its own affair.
            for (key, value) in expected {
                let at = format!("{at}/{key}");
                differences(found.get(key).unwrap_or(&Value::Null), value, &at, into);
            }
        }
        (Value::Array(found), Value::Array(expected)) if found.len() == expected.len() => {
            for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
                differences(found, expected, &format!("{at}/{index}"), into);
            }
        }
        _ if found == expected => {}
        _ => into.push(format!("{at}: {found}, not {expected}")),
    }
}

fn assert_same(found: &Value, expected: &Value) {
    let mut list = Vec::new();
    differences(found, expected, "", &mut list);
    assert!(
        list.is_empty(),
        "{} differences:\n{}",
        list.len(),
        list.join("\n")
    );
}

/// Everything is read as it was written, `verify` finds nothing, and the store goes on: also after it was closed.
fn golden_files_open(version: u32, engine: EngineKind) {
    run(async {
        let dir = unpack(version, engine);
        let expected = expected(version);
        for round in 0..2 {
            let store = open(dir.path(), engine).await;
            assert_eq!(store.clock_alarm(), None);
            if round == 0 {
                assert_same(&look(&store).await, &expected);
            }
            assert_eq!(store.verify().await.unwrap().problems, []);
            let app = store.app(&key("acme#chat")).unwrap();
            let seq = app.head(&group("tea")).await.unwrap().last_seq;
            let next = NewMessage::text(group("tea"), user("ann"), "going on");
            assert_eq!(app.send(next).await.unwrap().seq.0, seq.0 + 1);
            store.close().await.unwrap();
        }
    });
}

#[test]
fn a_store_of_version_1_on_redb_opens_for_ever() {
    golden_files_open(1, EngineKind::Redb);
}

#[test]
fn a_store_of_version_1_on_sled_opens_for_ever() {
    golden_files_open(1, EngineKind::Sled);
}

#[test]
fn a_store_of_version_1_on_memory_opens_for_ever() {
    golden_files_open(1, EngineKind::Memory);
}

#[test]
fn there_are_golden_files_of_the_version_that_is_written() {
    for engine in ENGINES {
        assert!(
            archive(FORMAT_VERSION, engine).exists(),
            "no golden files of {engine}"
        );
    }
}

/// Every table that there was when they were written has a row in the golden files, or a reason why not; and every row is what its table
/// says.
#[test]
fn the_golden_files_hold_a_row_of_every_table() {
    // What only an interrupted deletion, a sharing between two shards or a delivery still to come leaves.
    let fleeting = [18, 27, 44, 45, 49, 62];
    let dir = unpack(1, EngineKind::Memory);
    let disk: Arc<dyn tidestore::disk::Disk> = Arc::new(RealDisk::open(dir.path()).unwrap());
    // Tables 63 to 75 came later.
    let mut missing: Vec<u8> = (0..=18).chain(20..=62).collect();
    missing.retain(|table| !fleeting.contains(table) && *table != 19);
    for shard in 0..2 {
        let views = PathBuf::from(format!("views/shard-{shard:02}"));
        let tables = tidestore_kv::open(EngineKind::Memory, &disk, &views).unwrap();
        for table in 0..=u8::MAX {
            let table = tidestore_kv::Table(table);
            tidestore_kv::scan(&*tables, table, b"", |key, value| {
                // As it was written then, it would be written today.
                let written = tidestore::recode_row(table, key, value);
                assert_eq!(
                    written,
                    Some(Ok(value.to_vec())),
                    "{table}: {}",
                    key.escape_ascii()
                );
                missing.retain(|missing| *missing != table.0);
                Ok(())
            })
            .unwrap();
        }
    }
    assert!(missing.is_empty(), "tables without a row: {missing:?}");
}

fn pack(dir: &Path) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    tar.mode(tar::HeaderMode::Deterministic);
    tar.append_dir_all("", dir).unwrap();
    zstd::bulk::compress(&tar.into_inner().unwrap(), 19).unwrap()
}

/// Writes the golden files of the version that the code is. Run once for each version; see the head of this file.
#[test]
#[ignore = "writes files into the sources"]
fn write_golden_files() {
    let to = fixtures(FORMAT_VERSION);
    assert!(
        !to.exists(),
        "{} is there: golden files of a version are written once and never again",
        to.display()
    );
    let mut all = Vec::new();
    for engine in ENGINES {
        let dir = tempfile::tempdir().unwrap();
        let found = run(async {
            let clock = SimClock::new(START);
            let store = Store::open_env(env(dir.path(), &clock), options(engine));
            let store = store.await.unwrap();
            fill(&store, &clock).await;
            leave_a_tail(&store, &clock).await;
            // The copy is made of a store that is open, as a kill would leave it.
            let packed = pack(dir.path());
            let found = look(&store).await;
            (packed, found)
        });
        all.push((engine, found));
    }
    let expected = all[0].1.1.clone();
    for (_, (_, found)) in &all {
        assert_same(found, &expected);
    }
    std::fs::create_dir_all(&to).unwrap();
    for (engine, (packed, _)) in &all {
        println!("{engine}: {} bytes", packed.len());
        std::fs::write(archive(FORMAT_VERSION, *engine), packed).unwrap();
    }
    let text = serde_json::to_string_pretty(&expected).unwrap() + "\n";
    std::fs::write(to.join("expected.json"), text).unwrap();
}
