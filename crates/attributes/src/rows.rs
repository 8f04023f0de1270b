//! What the rows of each table must be, by the number of the table: for checks that know nothing else, and for fuzzing.

use tidestore_kv::Table;
use tidestore_kv::codec::{Malformed, recode};

use crate::attributes::Total;
use crate::rooms::RoomAttribute;
use crate::tables::{ROOM_ATTRIBUTES, ROOM_TOTALS, USER_ATTRIBUTES, USER_TOTALS};
use crate::users::Pairs;

/// Decodes the value of a row and encodes it again; `None` for a table that is none of attributes.
#[doc(hidden)]
pub fn recode_row(table: Table, value: &[u8]) -> Option<Result<Vec<u8>, Malformed>> {
    Some(match table {
        USER_ATTRIBUTES => recode::<Pairs>(value),
        ROOM_ATTRIBUTES => recode::<RoomAttribute>(value),
        USER_TOTALS | ROOM_TOTALS => recode::<Total>(value),
        _ => return None,
    })
}
