//! `STORE`: arbitrary bytes as the file, and arbitrary fields behind a right checksum.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidestore::decode_store_file;
use tidestore_disk::{Seal, checksum};

fuzz_target!(|bytes: &[u8]| {
    drop(decode_store_file(bytes));
    let Some(head) = bytes.first_chunk::<40>() else { return };
    let mut head = *head;
    head[..8].copy_from_slice(b"TIDESTOR");
    let store = *head[12..].first_chunk().expect("16 of 28");
    let seal = Seal { store, kind: u32::from_le_bytes(*b"STOR"), generation: 0 };
    let mut file = head.to_vec();
    file.extend_from_slice(&checksum(&seal, 0, &[&head]).to_le_bytes());
    let is_right = head[8..12] == [1, 0, 0, 0]
        && (1..=64).contains(&u16::from_le_bytes([head[36], head[37]]))
        && (1..=3).contains(&u16::from_le_bytes([head[38], head[39]]));
    assert_eq!(decode_store_file(&file).is_ok(), is_right, "{head:?}");
    // What is left of the input says which bit is flipped.
    if let Some(bit) = bytes.get(40) {
        let bit = usize::from(*bit) % (44 * 8);
        file[bit / 8] ^= 1 << (bit % 8);
        assert!(decode_store_file(&file).is_err(), "a flipped bit passed");
    }
});
