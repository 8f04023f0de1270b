//! The tables of attributes: what lies under which key.
//!
//! The long form, with a worked example and what a crash may leave: `docs/format/tables.md`.
//!
//! | table | key | value |
//! |---|---|---|
//! | 13 `USER_ATTRIBUTES` | app, user | bincode of the pairs, sorted by key |
//! | 14 `USER_TOTALS` | app | `Total` of users |
//! | 15 `ROOM_ATTRIBUTES` | app, room, 0, key | `RoomAttribute` |
//! | 16 `ROOM_TOTALS` | app; or app, room | `Total` of the app; of the room |
//!
//! An app is four bytes, big-endian. All attributes of a user are one row: they are at most 2 KB, and mostly read together.

use tidestore_kv::Table;
use tidestore_plan::{AppId, ResourceId, UserId};

pub(crate) const USER_ATTRIBUTES: Table = Table(13);
pub(crate) const USER_TOTALS: Table = Table(14);
pub(crate) const ROOM_ATTRIBUTES: Table = Table(15);
pub(crate) const ROOM_TOTALS: Table = Table(16);

pub(crate) fn app_key(app: AppId) -> Vec<u8> {
    app.0.to_be_bytes().to_vec()
}

pub(crate) fn user_key(app: AppId, user: &UserId) -> Vec<u8> {
    [&app.0.to_be_bytes(), user.as_str().as_bytes()].concat()
}

pub(crate) fn room_key(app: AppId, room: &ResourceId) -> Vec<u8> {
    [&app.0.to_be_bytes(), room.as_str().as_bytes()].concat()
}

/// What the keys of all attributes of a room begin with.
pub(crate) fn room_prefix(app: AppId, room: &ResourceId) -> Vec<u8> {
    [&app.0.to_be_bytes(), room.as_str().as_bytes(), &[0]].concat()
}
