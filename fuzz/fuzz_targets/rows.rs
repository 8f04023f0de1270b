//! Rows of every table: arbitrary values as what the table's codec reads. What is accepted is the same once it is written
//! again. The first byte is the table, the second the length of the key.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidestore::recode_row;
use tidestore_kv::Table;

fuzz_target!(|bytes: &[u8]| {
    let [table, key_len, rest @ ..] = bytes else { return };
    let (key, value) = rest.split_at(rest.len().min((*key_len).into()));
    if let Some(Ok(written)) = recode_row(Table(*table), key, value) {
        let again = recode_row(Table(*table), key, &written);
        assert_eq!(again, Some(Ok(written)), "a row of table {table} changes when it is written");
    }
});
