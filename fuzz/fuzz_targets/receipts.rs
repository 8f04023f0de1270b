//! Receipt runs: arbitrary bytes as the file, and receipts that the bytes describe, sealed with right checksums.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use tidestore_disk::{Disk, Seal, SimDisk, checksum};
use tidestore_messages::{
    AppId, Conversation, ReceiptKey, ReceiptRunMeta, StoreId, find_receipt, receipt_run_path,
    verify_receipts,
};

const STORE: StoreId = StoreId([7; 16]);
const SHARD: u16 = 3;
const GENERATION: u64 = 5;
const SEAL: Seal =
    Seal { store: STORE.0, kind: u32::from_le_bytes(*b"RCP1"), generation: GENERATION };

fuzz_target!(|bytes: &[u8]| {
    let Some((mode, bytes)) = bytes.split_first() else { return };
    if mode & 1 == 0 {
        let count = u64::from(mode >> 1);
        let _ = read(bytes, count);
        // What the manifest claims may be anything.
        let _ = read(bytes, u64::MAX / 40);
        let _ = read(bytes, u64::MAX);
    } else {
        described(bytes);
    }
});

/// Reads a file as a run of so many receipts.
fn read(file: &[u8], count: u64) -> Result<(), tidestore_messages::Error> {
    let sim = SimDisk::new();
    let path = receipt_run_path(SHARD, GENERATION);
    sim.plant(&path, file).expect("a file");
    let disk: Arc<dyn Disk> = Arc::new(sim);
    let meta =
        ReceiptRunMeta { generation: GENERATION, count, written: 1, file_len: file.len() as u64 };
    let conversation = Conversation::parse("group:g").expect("a group");
    let key = ReceiptKey::new(STORE, AppId(1), &conversation, "ann", "c");
    let found = find_receipt(&disk, STORE, SHARD, &meta, key);
    let verified = verify_receipts(&disk, STORE, SHARD, &meta);
    assert!(found.is_ok() || verified.is_err(), "a whole run cannot be searched");
    verified
}

/// A run as the page of the format describes it; entries of 32 bytes. It is whole if and only if its keys rise.
fn described(bytes: &[u8]) {
    let (entries, rest) = bytes.as_chunks::<32>();
    let key = |entry: &[u8; 32]| u128::from_le_bytes(*entry.first_chunk().expect("16 of 32"));
    let mut file = b"TIDERCP1".to_vec();
    file.extend_from_slice(&1_u16.to_le_bytes());
    file.extend_from_slice(&SHARD.to_le_bytes());
    let tail = [GENERATION.to_le_bytes(), (entries.len() as u64).to_le_bytes()].concat();
    let sum = checksum(&SEAL, 0, &[&file, &tail]);
    file.extend_from_slice(&sum.to_le_bytes());
    file.extend_from_slice(&tail);
    for entry in entries {
        file.extend_from_slice(&entry[12..16]);
    }
    let sum = checksum(&SEAL, 32, &[&file[32..]]);
    file.extend_from_slice(&sum.to_le_bytes());
    for entry in entries {
        let sum = checksum(&SEAL, file.len() as u64, &[entry]);
        file.extend_from_slice(entry);
        file.extend_from_slice(&sum.to_le_bytes());
    }
    let count = entries.len() as u64;
    let is_right = entries.is_sorted_by(|a, b| key(a) < key(b));
    assert_eq!(read(&file, count).is_ok(), is_right, "{} receipts", entries.len());
    // What is left of the input says which byte is changed.
    if let [at, flip, ..] = *rest
        && flip > 0
    {
        let at = usize::from(at) % file.len();
        file[at] ^= flip;
        assert!(read(&file, count).is_err(), "a changed run passed for a whole one");
    }
}
