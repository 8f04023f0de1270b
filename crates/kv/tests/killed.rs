//! A process that writes to an engine is killed again and again: what was flushed is there, in whole batches.
//!
//! The test starts itself as the process to be killed, on the real disk.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use common::DIR;
use tidestore_disk::{Disk, RealDisk};
use tidestore_kv::{Batch, EngineKind, Table, open};

const CHILD: &str = "TIDESTORE_TEST_KV_DIR";
const ROUNDS: u64 = 6;
const TABLES: [Table; 2] = [Table(1), Table(200)];

/// Writes numbers for ever, each into both tables, and says which are flushed.
fn work(kind: EngineKind, root: &Path) {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(root).unwrap());
    let engine = open(kind, &disk, Path::new(DIR)).unwrap();
    let first = last(&*engine, TABLES[0]) + 1;
    for number in first.. {
        let mut batch = Batch::new();
        for table in TABLES {
            batch.put(table, b"last", number.to_le_bytes());
            batch.put(table, (number % 500).to_be_bytes(), vec![7; 300]);
        }
        engine.write(batch).unwrap();
        // Some of it reaches the engine without a flush.
        if number % 7 == 0 {
            engine.hand_on().unwrap();
        }
        if number % 20 == 0 {
            engine.flush().unwrap();
            let mut out = std::io::stdout().lock();
            out.write_all(format!("flushed {number}\n").as_bytes())
                .unwrap();
            out.flush().unwrap();
        }
    }
}

fn last(engine: &dyn tidestore_kv::Engine, table: Table) -> u64 {
    let value = engine.get(table, b"last").unwrap();
    value.map_or(0, |value| u64::from_le_bytes(value.try_into().unwrap()))
}

fn killed_again_and_again(kind: EngineKind, name: &str) {
    if let Ok(root) = std::env::var(CHILD) {
        work(kind, Path::new(&root));
        return;
    }
    let root = tempfile::tempdir().unwrap();
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(CHILD, root.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = std::sync::mpsc::channel();
        let reader = std::thread::spawn(move || {
            out.lines()
                .map_while(Result::ok)
                .for_each(|line| drop(send.send(line)));
        });
        let mut said = vec![lines.recv_timeout(Duration::from_mins(1)).unwrap()];
        let (_keep, never) = std::sync::mpsc::channel::<()>();
        assert!(
            never
                .recv_timeout(Duration::from_millis(30 + round * 37 % 120))
                .is_err()
        );
        child.kill().unwrap();
        child.wait().unwrap();
        reader.join().unwrap();
        said.extend(lines.try_iter());
        let number = |line: &String| line.strip_prefix("flushed ")?.parse::<u64>().ok();
        let flushed = said.iter().filter_map(number).max().unwrap_or(0);

        let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(root.path()).unwrap());
        let engine = open(kind, &disk, Path::new(DIR)).unwrap();
        let [one, other] = TABLES.map(|table| last(&*engine, table));
        assert_eq!(one, other, "{kind}, round {round}: half of a batch");
        assert!(one >= flushed, "{kind}, round {round}: {one} of {flushed}");
    }
}

#[test]
fn sled() {
    killed_again_and_again(EngineKind::Sled, "sled");
}

#[test]
fn redb() {
    killed_again_and_again(EngineKind::Redb, "redb");
}
