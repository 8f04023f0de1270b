//! Frames: arbitrary bytes as a small file's frame, as a frame of the log, and as a whole log that is opened.

#![no_main]

use std::path::Path;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use tidestore_disk::{Disk, Seal, SimDisk, checksum, decode_frame, encode_frame};
use tidestore_log::{FileLog, Log, LogOptions, Position};

const STORE: [u8; 16] = [7; 16];
const SEAL: Seal = Seal { store: STORE, kind: 1, generation: 1 };

fuzz_target!(|input: (u64, Vec<u8>)| {
    let (offset, bytes) = input;
    let offset = offset % (1 << 40);
    drop(decode_frame(&bytes, &SEAL, offset, 1 << 20));
    drop(tidestore_log::decode_frame(&bytes, &SEAL, offset));

    // What was written must come back, wherever it stands.
    let mut out = Vec::new();
    encode_frame(&mut out, &SEAL, offset, &bytes).expect("a small frame");
    let (range, _) = decode_frame(&out, &SEAL, offset, 1 << 30).expect("a whole frame");
    assert_eq!(&out[range], &bytes[..]);

    sealed_frame(offset, &bytes);
    damaged_log(&bytes);
});

/// A frame of the log with right checksums: the first four bytes are the length that it claims to unpack to, the rest what
/// is stored. Run with `-malloc_limit_mb=64`: nothing is as large.
fn sealed_frame(offset: u64, bytes: &[u8]) {
    let Some((raw_len, stored)) = bytes.split_first_chunk::<4>() else { return };
    // The largest batch there may be is what the limit stops at; one byte less is as good.
    if u32::from_le_bytes(*raw_len) == 64 << 20 {
        return;
    }
    let stored_len = u32::try_from(stored.len()).expect("small").to_le_bytes();
    let sum = checksum(&SEAL, offset + 32, &[stored]).to_le_bytes();
    let mut frame = [&stored_len[..], raw_len, &[9; 16], &sum].concat();
    frame.extend_from_slice(&checksum(&SEAL, offset, &[&frame]).to_le_bytes());
    frame.extend_from_slice(stored);
    if let Some((batch, _)) = tidestore_log::decode_frame(&frame, &SEAL, offset) {
        let claimed = u32::from_le_bytes(*raw_len) as usize;
        assert!(batch.len() == claimed && claimed <= 64 << 20);
        let elsewhere = tidestore_log::decode_frame(&frame, &SEAL, offset + 8);
        assert!(elsewhere.is_none(), "a frame was read in the wrong place");
    }
}

/// A log of three batches whose tail is overwritten with the input: it opens or names the damage.
fn damaged_log(bytes: &[u8]) {
    let sim = SimDisk::new();
    let dir = Path::new("log");
    sim.create_dir_all(dir).expect("a directory");
    let disk: Arc<dyn Disk> = Arc::new(sim.clone());
    let options = LogOptions { file_bytes: 4_096, zero_ahead: 512, ..LogOptions::default() };
    let open = || FileLog::open(Arc::clone(&disk), dir, STORE, 0, options);
    let (mut log, _) = open().expect("an empty log");
    for batch in [&b"one"[..], b"two", b"three"] {
        log.append(batch).expect("space");
    }
    drop(log);
    let path = dir.join("00000001.log");
    let at = 64 + bytes.first().map_or(0, |byte| u64::from(*byte) / 2);
    if sim.overwrite(&path, at, bytes).is_ok()
        && let Ok((log, _)) = open()
    {
        log.replay(Position(1), &mut |_, _| Ok(())).expect("what opened can be read");
    }
}
