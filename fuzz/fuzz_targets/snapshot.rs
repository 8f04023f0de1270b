//! The snapshot of the memory engine: arbitrary bytes as the file, and an arbitrary body behind right checksums. What is
//! read is written back the same.

#![no_main]

use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use tidestore_disk::{Disk, SimDisk};
use tidestore_kv::{Batch, Engine, MemoryEngine, Range, Table};

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    let Some((entries, body)) = bytes.split_first() else { return };
    let mut file = b"TIDEKVMS\x01\0\0\0\0\0\0\0".to_vec();
    file.extend_from_slice(&u64::from(*entries).to_le_bytes());
    file.extend_from_slice(&(body.len() as u64).to_le_bytes());
    file.extend_from_slice(&crc32fast::hash(body).to_le_bytes());
    file.extend_from_slice(&crc32fast::hash(&file).to_le_bytes());
    file.extend_from_slice(body);
    read(&file);
});

fn read(file: &[u8]) {
    let sim = SimDisk::new();
    let path = Path::new("t/snapshot");
    sim.plant(path, file).expect("a file");
    let disk: Arc<dyn Disk> = Arc::new(sim.clone());
    let Ok(engine) = MemoryEngine::open(&disk, Path::new("t")) else { return };
    for table in 0..=u8::MAX {
        let range =
            Range { start: Bound::Unbounded, end: Bound::Unbounded, reverse: false, limit: 10 };
        engine.range(Table(table), range).expect("a page of a map");
    }
    // A row that comes and goes leaves the file as it was.
    let mut rows = Batch::new();
    rows.put(Table(255), "no such key is in any input", "");
    rows.delete(Table(255), "no such key is in any input");
    engine.write(rows).expect("memory");
    engine.flush().expect("a disk");
    assert_eq!(sim.read_all(path).expect("a file"), file, "the snapshot changed");
}
