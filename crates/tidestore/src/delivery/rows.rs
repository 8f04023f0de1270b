//! What the rows of the tables of inboxes and changes must be, by the number of the table.

use tidestore_kv::Table;
use tidestore_kv::codec::{Malformed, recode};

use crate::delivery::changes::ChangeRow;
use crate::delivery::devices::DeviceRow;
use crate::delivery::intake::IntakeRow;
use crate::delivery::notifications::NotificationRow;
use crate::delivery::reactions::{ReactionRow, TallyRow};
use crate::delivery::tables::{
    ACTIVITY, AGING, CHANGES, DEVICES, ERASED, ERASING, HIDDEN, INTAKE, INTAKE_OF, NOTIFICATIONS,
    NOTIFIED, OPEN_HISTORY, PINS, PURGES, REACTED, REACTIONS, SENT, TALLIES, UNLISTED, VIEWS,
    read_short_number,
};
use crate::delivery::views::ViewRow;

/// Decodes the value of a row and encodes it again; `None` for a table that is none of these.
pub(crate) fn recode_row(table: Table, value: &[u8]) -> Option<Result<Vec<u8>, Malformed>> {
    let is = |right: bool| {
        let wrong = || Malformed::new("the value has not the length of its table");
        right.then(|| value.to_vec()).ok_or_else(wrong)
    };
    Some(match table {
        VIEWS => recode::<ViewRow>(value),
        DEVICES => recode::<DeviceRow>(value),
        INTAKE => recode::<IntakeRow>(value),
        CHANGES => recode::<ChangeRow>(value),
        REACTIONS => recode::<ReactionRow>(value),
        TALLIES => recode::<TallyRow>(value),
        NOTIFICATIONS => recode::<NotificationRow>(value),
        SENT => is(read_short_number(value).is_ok()),
        HIDDEN | REACTED | PINS | ERASED | NOTIFIED | UNLISTED => is(value.len() == 8),
        ERASING => is(value.len() == 1),
        PURGES => is(value.len().is_multiple_of(16)),
        OPEN_HISTORY | ACTIVITY | INTAKE_OF | AGING => is(value.is_empty()),
        _ => return None,
    })
}
