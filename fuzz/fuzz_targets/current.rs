//! `CURRENT`, which names the place of the tables: arbitrary bytes, and arbitrary names behind a right checksum. No name
//! leads anywhere but to tables of its own directory.

#![no_main]

use std::path::Path;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use tidestore_disk::{Disk, SimDisk};
use tidestore_kv::{EngineKind, Table, open};

fuzz_target!(|bytes: &[u8]| {
    try_file(bytes);
    let mut line = bytes.to_vec();
    line.extend_from_slice(format!(" {:08x}\n", crc32fast::hash(bytes)).as_bytes());
    try_file(&line);
});

fn try_file(bytes: &[u8]) {
    let sim = SimDisk::new();
    let dir = Path::new("views");
    sim.create_dir_all(&dir.join("memory-000001")).expect("a directory");
    sim.create_dir_all(Path::new("outside")).expect("a directory");
    sim.plant(Path::new("outside/snapshot"), b"anything").expect("a file");
    sim.plant(&dir.join("CURRENT"), bytes).expect("a file");
    let disk: Arc<dyn Disk> = Arc::new(sim.clone());
    let Ok(engine) = open(EngineKind::Memory, &disk, dir) else { return };
    assert_eq!(engine.kind(), EngineKind::Memory);
    assert_eq!(bytes, b"1 memory-000001 11ca899b\n", "tables were opened by another name");
    drop(engine.get(Table(1), b"k"));
    assert!(sim.read_all(Path::new("outside/snapshot")).is_ok(), "a file elsewhere was removed");
}
