//! Users: registration, profile, ban, deletion.

mod row;

pub(crate) use row::UserRow;
