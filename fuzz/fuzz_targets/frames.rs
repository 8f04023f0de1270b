//! Frames: arbitrary bytes as a small file's frame, as a frame of the log, and as a whole log that is opened.

#![no_main]

use std::path::Path;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use tidestore_disk::{Disk, Seal, SimDisk, decode_frame, encode_frame};
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

    damaged_log(&bytes);
});

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
