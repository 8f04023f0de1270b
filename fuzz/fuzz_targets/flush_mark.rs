//! `flushed`, the mark of the last flush of sled's tables: arbitrary bytes, and fields behind a right checksum.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tidestore_disk::SimDisk;
use tidestore_kv::flush_number;

fuzz_target!(|bytes: &[u8]| {
    drop(read(bytes));
    let Some(head) = bytes.first_chunk::<24>() else { return };
    let file = [&head[..], &crc32fast::hash(head).to_le_bytes()].concat();
    let is_right = head.starts_with(b"TIDEKVSF\x01\0\0\0\0\0\0\0");
    let number = head.last_chunk().map(|number| u64::from_le_bytes(*number));
    assert_eq!(read(&file).ok(), number.filter(|_| is_right));
    if let Some(bit) = bytes.get(24) {
        let mut damaged = file.clone();
        damaged[usize::from(*bit) % 28] ^= 1 << (bit >> 5);
        assert!(read(&damaged).is_err(), "a flipped bit passed");
    }
});

fn read(bytes: &[u8]) -> tidestore_kv::Result<u64> {
    let sim = SimDisk::new();
    sim.plant(Path::new("t/flushed"), bytes).expect("a file");
    flush_number(&sim, Path::new("t"))
}
