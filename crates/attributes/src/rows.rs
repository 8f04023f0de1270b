//! What the rows of each table must be, by the number of the table: for checks that know nothing else, and for fuzzing.

use tidestore_kv::Table;
use tidestore_kv::codec::{Malformed, check};

use crate::attributes::Total;
use crate::rooms::RoomAttribute;
use crate::tables::{ROOM_ATTRIBUTES, ROOM_TOTALS, USER_ATTRIBUTES, USER_TOTALS};
use crate::users::Pairs;

/// Checks the value of a row; `None` for a table that is none of attributes.
#[doc(hidden)]
pub fn check_row(table: Table, value: &[u8]) -> Option<Result<(), Malformed>> {
    Some(match table {
        USER_ATTRIBUTES => check::<Pairs>(value),
        ROOM_ATTRIBUTES => check::<RoomAttribute>(value),
        USER_TOTALS | ROOM_TOTALS => check::<Total>(value),
        _ => return None,
    })
}
