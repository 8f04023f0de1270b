//! What the rows of each table must be, by the number of the table: for checks that know nothing else, and for fuzzing.

use tidestore_kv::Table;
use tidestore_kv::codec::{Malformed, recode};

use crate::tables::{
    ATTACHMENTS, AttachmentRow, BLOB_USAGE, CONTENTS, ContentRow, DUE, DayUsage, MARKS, PLACES,
    PlaceRow, REFERENCES, VOLUMES, VolumeRow,
};

/// Decodes the value of a row and encodes it again; `None` for a table that is none of attachments.
#[doc(hidden)]
pub fn recode_row(table: Table, value: &[u8]) -> Option<Result<Vec<u8>, Malformed>> {
    Some(match table {
        ATTACHMENTS => recode::<AttachmentRow>(value),
        CONTENTS => recode::<ContentRow>(value),
        VOLUMES => recode::<VolumeRow>(value),
        PLACES => recode::<PlaceRow>(value),
        BLOB_USAGE => recode::<DayUsage>(value),
        MARKS => recode::<u64>(value),
        REFERENCES | DUE => recode::<()>(value),
        _ => return None,
    })
}
