//! Batches of the commit log: arbitrary bytes as what a frame carries. What is accepted is the same once it is written
//! again, so nothing of it was lost or made up.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidestore::recode_batch;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(written) = recode_batch(bytes) {
        assert_eq!(recode_batch(&written), Ok(written.clone()), "a batch changes when it is written");
    }
});
