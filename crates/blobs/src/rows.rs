//! What the rows of each table must be, by the number of the table: for checks that know nothing else, and for fuzzing.

use tidestore_kv::Table;
use tidestore_kv::codec::{Malformed, check};

use crate::tables::{
    ATTACHMENTS, AttachmentRow, BLOB_USAGE, CONTENTS, ContentRow, DUE, DayUsage, MARKS, PLACES,
    PlaceRow, REFERENCES, VOLUMES, VolumeRow,
};

/// Checks the value of a row; `None` for a table that is none of attachments.
#[doc(hidden)]
pub fn check_row(table: Table, value: &[u8]) -> Option<Result<(), Malformed>> {
    Some(match table {
        ATTACHMENTS => check::<AttachmentRow>(value),
        CONTENTS => check::<ContentRow>(value),
        VOLUMES => check::<VolumeRow>(value),
        PLACES => check::<PlaceRow>(value),
        BLOB_USAGE => check::<DayUsage>(value),
        MARKS => check::<u64>(value),
        REFERENCES | DUE => check::<()>(value),
        _ => return None,
    })
}
