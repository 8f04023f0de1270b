//! The calls, a file for each table of the limits page.

#![allow(
    clippy::struct_field_names,
    reason = "fields have the names of the service"
)]

mod channels;
mod contacts;
mod messages;
mod mutes;
mod presence;
mod push;
mod push_labels;
mod push_settings;
mod reactions;
mod room_attributes;
mod shared_files;
mod threads;
mod user_attributes;
mod users;

use crate::routes::Route;

/// All of them.
pub(crate) fn routes() -> Vec<Route> {
    let tables = [
        channels::routes(),
        contacts::routes(),
        messages::routes(),
        mutes::routes(),
        presence::routes(),
        push::routes(),
        push_labels::routes(),
        push_settings::routes(),
        reactions::routes(),
        room_attributes::routes(),
        shared_files::routes(),
        threads::routes(),
        user_attributes::routes(),
        users::routes(),
    ];
    tables.into_iter().flatten().collect()
}
