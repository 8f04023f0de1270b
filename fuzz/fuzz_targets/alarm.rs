//! The fuzzer that fails on purpose: it proves that the alarm works. A frame of the log has one wrong byte if the input says
//! so, and is then expected to be read all the same. Whoever runs this must see it crash within seconds; a run that ends
//! well means that fuzzing finds nothing any more, whatever there is to find.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidestore_disk::{Seal, decode_frame, encode_frame};

const SEAL: Seal = Seal { store: [7; 16], kind: 1, generation: 1 };

fuzz_target!(|bytes: &[u8]| {
    let mut frame = Vec::new();
    encode_frame(&mut frame, &SEAL, 64, bytes).expect("a small frame");
    // Two bytes that have to be found one after the other, so that only a fuzzer that sees coverage comes here quickly.
    if bytes.first() == Some(&b't') {
        // Keeps the compiler from comparing both at once, which would leave nothing to be seen between them.
        std::hint::black_box(&mut frame);
        if bytes.get(1) == Some(&b'i') {
            frame[8] ^= 1;
        }
    }
    decode_frame(&frame, &SEAL, 64, 1 << 20).expect("the planted wrong byte was found");
});
