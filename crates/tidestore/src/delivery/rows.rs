//! What the rows of the tables of inboxes and changes must be, by the number of the table.

use tidestore_kv::Table;
use tidestore_kv::codec::{Malformed, check};

use crate::delivery::changes::ChangeRow;
use crate::delivery::devices::DeviceRow;
use crate::delivery::intake::IntakeRow;
use crate::delivery::reactions::{ReactionRow, TallyRow};
use crate::delivery::tables::{
    ACTIVITY, AGING, CHANGES, DEVICES, ERASED, ERASING, HIDDEN, INTAKE, INTAKE_OF, OPEN_HISTORY,
    PINS, REACTED, REACTIONS, SCRUBS, SENT, TALLIES, VIEWS, read_short_number,
};
use crate::delivery::views::ViewRow;

/// Checks the value of a row; `None` for a table that is none of these.
pub(crate) fn check_row(table: Table, value: &[u8]) -> Option<Result<(), Malformed>> {
    let is = |right: bool| match right {
        true => Ok(()),
        false => Err(Malformed::new("the value has not the length of its table")),
    };
    Some(match table {
        VIEWS => check::<ViewRow>(value),
        DEVICES => check::<DeviceRow>(value),
        INTAKE => check::<IntakeRow>(value),
        CHANGES => check::<ChangeRow>(value),
        REACTIONS => check::<ReactionRow>(value),
        TALLIES => check::<TallyRow>(value),
        SENT => is(read_short_number(value).is_ok()),
        HIDDEN | REACTED | PINS | ERASED => is(value.len() == 8),
        ERASING => is(value.len() == 1),
        SCRUBS => is(value.len().is_multiple_of(16)),
        OPEN_HISTORY | ACTIVITY | INTAKE_OF | AGING => is(value.is_empty()),
        _ => return None,
    })
}
