//! The whole store driven by random requests over all its parts, with power cuts, failing disks, wrong clocks and damage.
//!
//! The input decides what is asked and what goes wrong; a plain model says what must be there after each opening. This is
//! the simulated part of `tidestore torture`, steered by a fuzzer instead of a seed.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Err(why) = tidestore_torture::drive(input) {
        panic!("{why}");
    }
});
