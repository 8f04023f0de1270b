//! Parts of a segment behind right checksums: its index, a page of its id index, sections that lie about what they unpack
//! to. Run with `-malloc_limit_mb=64`: no number in a part justifies a larger allocation.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidestore_disk::{Seal, checksum};
use tidestore_messages::{Block, MessageId, open_section, recode_id_page, recode_index};

const BUCKET: u64 = 1_000_000;
const SHARD: u16 = 3;
const SEAL: Seal = Seal { store: [7; 16], kind: u32::from_le_bytes(*b"SEG1"), generation: 5 };
/// Largest block, and largest index, before compression.
const RAW_MAX: [usize; 2] = [64 << 20, 8 << 20];

fuzz_target!(|bytes: &[u8]| {
    let Some((mode, bytes)) = bytes.split_first() else { return };
    match mode % 4 {
        0 => index(bytes),
        1 => id_page(bytes),
        2 => section(bytes, false),
        _ => section(bytes, true),
    }
});

/// The first bytes say where the file's parts end; what is accepted stays as it is.
fn index(bytes: &[u8]) {
    let Some((ends, raw)) = bytes.split_first_chunk::<4>() else { return };
    let ids = 72 + u64::from(u16::from_le_bytes([ends[0], ends[1]]));
    let end = ids + u64::from(u16::from_le_bytes([ends[2], ends[3]]));
    if let Ok(written) = recode_index(raw, BUCKET, ids, end) {
        let again = recode_index(&written, BUCKET, ids, end);
        assert_eq!(again, Ok(written), "an index changes when it is written");
    }
}

fn id_page(raw: &[u8]) {
    let first = MessageId::new(BUCKET, SHARD, false, 0);
    if let Ok(written) = recode_id_page(raw, first, SHARD) {
        // The first id stands in the index, and the writer begins every page with it.
        drop(recode_id_page(&written, first, SHARD));
    }
}

/// The first four bytes are the length that the section claims, the rest its compressed bytes.
fn section(bytes: &[u8], is_block: bool) {
    let Some((raw_len, stored)) = bytes.split_first_chunk::<4>() else { return };
    // The largest section there may be is what `-malloc_limit_mb=64` stops at; one byte less is as good.
    if u32::from_le_bytes(*raw_len) == 64 << 20 {
        return;
    }
    let offset = 72;
    let stored_len = u32::try_from(stored.len()).expect("small").to_le_bytes();
    let sum = checksum(&SEAL, offset, &[raw_len, &stored_len, stored]);
    let section = [&raw_len[..], &stored_len, &sum.to_le_bytes(), stored].concat();
    let Ok(raw) = open_section(&section, &SEAL, offset, is_block) else { return };
    let claimed = u32::from_le_bytes(*raw_len) as usize;
    assert!(raw.len() == claimed && claimed <= RAW_MAX[usize::from(is_block)]);
    let mut elsewhere = section.clone();
    elsewhere[8] ^= 1;
    assert!(open_section(&elsewhere, &SEAL, offset, is_block).is_err(), "a wrong checksum passed");
    assert!(open_section(&section, &SEAL, offset + 1, is_block).is_err(), "a wrong place passed");
    if is_block {
        drop(Block::decode(&raw, BUCKET, SHARD));
    } else {
        drop(recode_index(&raw, BUCKET, 1_000, 2_000));
    }
}
