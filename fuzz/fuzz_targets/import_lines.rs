//! Import lines: arbitrary bytes as one line of JSON.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &[u8]| {
    if let Ok(parsed) = tidestore_cli::lines::parse(line) {
        // What is accepted is within the contract or will be refused by a typed error, never by a panic.
        drop(format!("{parsed:?}"));
    }
});
