//! Rows of every table: arbitrary values as what the table's codec reads. What is accepted is the same once it is written
//! again. The first byte is the table, the second the length of the key.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidestore::check_row;
use tidestore_kv::Table;

fuzz_target!(|bytes: &[u8]| {
    let [table, key_len, rest @ ..] = bytes else { return };
    let (key, value) = rest.split_at(rest.len().min((*key_len).into()));
    let checked = check_row(Table(*table), key, value);
    if let Some(Err(error)) = checked {
        assert!(!error.to_string().contains("changes"), "table {table}: {error}");
    }
});
